"""The PipeGate in Python that this one is compatible with, where it is
installed or PIPEGATE_REFERENCE names the folder that has it."""
import importlib.util
import os
import re
import subprocess
import sys

import bed

FOLDER = os.environ.get("PIPEGATE_REFERENCE")
SECRET = "a secret of the bench, longer than 32 octets"


def files():
    there = (os.path.isdir(os.path.join(FOLDER, "pipegate")) if FOLDER
             else importlib.util.find_spec("pipegate") is not None)
    if not there:
        raise bed.Absent("the Python PipeGate is not installed")
    return []


def environment():
    env = {"PYTHONUNBUFFERED": "1", "PIPEGATE_JWT_SECRET": SECRET,
           "PIPEGATE_JWT_ALGORITHMS": '["HS256"]',
           "PIPEGATE_MAX_BODY_BYTES": str(1 << 40)}
    if FOLDER:
        env["PYTHONPATH"] = FOLDER
    return env


def command(*words):
    return [sys.executable, "-m", "pipegate.cli"] + list(words)


def prepare(stand):
    said = subprocess.run(command("token", "-c", "bench"), check=True, text=True,
                          capture_output=True,
                          env=dict(os.environ, **environment()))
    stand.kept["token"] = re.search(r"Bearer:\s*(\S+)", said.stdout)[1]


def start(stand):
    port = bed.free_port()
    stand.spawn("server", command("server", "--host", "127.0.0.1", "--port",
                                  str(port)), environment())
    stand.wait_said("server", "Uvicorn running", ".log")
    stand.spawn("client", command(
        "client", "http://127.0.0.1:%d" % stand.origin,
        "ws://127.0.0.1:%d/?token=%s" % (port, stand.kept["token"])),
        environment())
    return "http://127.0.0.1:%d/bench" % port
