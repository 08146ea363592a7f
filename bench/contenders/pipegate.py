"""This program: server and client, as `make` builds it."""
import os
import re
import subprocess

import bed

PROGRAM = os.environ.get("PIPEGATE", os.path.join(bed.ROOT, "pipegate"))
ENV = {"PIPEGATE_JWT_SECRET": "a secret of the bench, longer than 32 octets",
       "PIPEGATE_MAX_BODY_BYTES": "0"}


def there(path):
    if not os.access(path, os.X_OK):
        raise bed.Absent("%s is not built" % os.path.relpath(path))
    return [os.path.abspath(path)]


def files():
    return there(PROGRAM)


def prepare(stand, path=None):
    path = there(path or PROGRAM)[0]
    said = subprocess.run([path, "token", "-c", "bench"], check=True, text=True,
                          capture_output=True, env=dict(os.environ, **ENV))
    stand.kept.update(path=path, token=said.stdout.split()[-1], before=[])


def start(stand):
    kept = stand.kept
    env = dict(ENV, PIPEGATE_TOKEN=kept["token"])
    before = kept["before"]     # strace or valgrind, with their options
    stand.spawn("server", around(before, "server") + [
        kept["path"], "server", "--host", "127.0.0.1", "--port", "0"], env)
    stand.wait_said("server", "listening on http")
    port = int(re.search(r":(\d+)\s*$", stand.said("server"), re.M)[1])
    stand.spawn("client", around(before, "client") + [
        kept["path"], "client", "http://127.0.0.1:%d" % stand.origin,
        "ws://127.0.0.1:%d/" % port], env)
    return "http://127.0.0.1:%d/bench" % port


def around(before, label):
    return [word.replace("LABEL", label) for word in before]
