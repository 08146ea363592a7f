"""Other people's frameworks behind the tunnel, each started as its own quick
start says and used in Chromium, by path and by host.  The sources of the apps
are in tests/apps/, what is done with them in the browser in tests/browser.js."""
import json
import os
import re
import shutil
import signal
import socket
import sys
import tempfile
import typing

import harness
from harness import scenario, check, wait, free_port

HERE = os.path.dirname(os.path.abspath(__file__))
BUILD = os.path.join(harness.ROOT, "build")
STEP_SECONDS = 60
DOMAIN = os.environ.get("DOMAIN", "localhost")
BROWSER = ("chromium", "node", "npm:playwright-core")


def listening(port):
    try:
        socket.create_connection(("localhost", port), 1).close()
        return True
    except OSError:
        return False


def end_group(process):
    """Ends process with all that it has started."""
    process.ended_by_us = True

    def gone(number):
        process.running()
        try:
            os.killpg(process.pid, number)
        except ProcessLookupError:
            return True
        return False
    try:
        gone(signal.SIGTERM)
        wait(lambda: gone(0), "the end of " + process.name)
    except harness.Failed:
        gone(signal.SIGKILL)
        raise


def copied(t, name):
    """A copy of an app's sources, below what npm has installed."""
    folder = tempfile.mkdtemp(prefix="app-", dir=BUILD)
    t.defer(lambda: shutil.rmtree(folder))
    source = os.path.join(HERE, "apps", name)
    if os.path.isdir(source):
        shutil.copytree(source, folder, dirs_exist_ok=True)
    return folder


def started(t, name, app):
    """Starts an app: (its folder, its port)."""
    folder, port = copied(t, name), free_port()
    script = 'cd "$1" && shift && exec "$@"'
    argv = [str(port) if part == "PORT" else part for part in app.command]
    process = t.spawn(["sh", "-c", script, "sh", folder] + argv, dict(app.env, HOME=t.folder, PORT=str(port)), name)
    t.defer(lambda: end_group(process))

    def up():
        check(process.running(), "%s ended: %s" % (name, process.err()[-2000:]))
        return listening(port)
    wait(up, name, 60)
    return folder, port


def walked(t, name, form, url, folder):
    """Goes through the app in the browser."""
    env = {"NODE_PATH": harness.NODE_MODULES, "HOME": t.folder, "TMPDIR": t.folder,
           "STEP_SECONDS": str(STEP_SECONDS * harness.SLOW)}
    browser = t.spawn(["node", os.path.join(HERE, "browser.js"), shutil.which("chromium"), name, form, url, folder], env)
    browser.wait_exit(6 * STEP_SECONDS)
    check(browser.out().startswith("{"), "the browser's side: " + browser.err()[-2000:])
    said = json.loads(browser.out())
    check(said["error"] is None, "step %r: %s\n    %s" % (said["step"], said["error"], "\n    ".join(said["heard"])))


class App(typing.NamedTuple):
    called: str             # as people call it
    package: str            # what it is, as scenario() has it in needs
    command: tuple          # what its quick start says, but for PORT
    needs: tuple = ()       # what that takes besides
    knows: str = ".*"       # the hosts that it answers to; for others the client is to rewrite
    heavy: bool = False     # it takes long to install: LONG=1 alone runs it
    page: str = ""          # what its quick start opens
    env: dict = {}


PYTHON = sys.executable
DEV = ("npm", "run", "dev", "--", "--port", "PORT")
REACT = ("npm", "npm:react", "npm:react-dom")
LOCAL = r"(.*\.)?localhost"
APPS = {
    "vite": App("Vite", "npm:vite", DEV, REACT + ("npm:@vitejs/plugin-react",), knows=LOCAL),
    "next": App("Next.js", "npm:next", DEV, REACT, knows=LOCAL, heavy=True, env={"NEXT_TELEMETRY_DISABLED": "1"}),
    "flask": App("Flask", "py:flask", (PYTHON, "-m", "flask", "--app", "app", "run", "--port", "PORT")),
    "express": App("Express", "npm:express", ("node", "app.js"), ("npm:multer",)),
    "jupyter": App("Jupyter", "py:notebook",
                   (PYTHON, "-m", "notebook", "--no-browser", "--allow-root", "--port", "PORT"), knows="localhost",
                   heavy=True, page="?token=a-token", env={"JUPYTER_TOKEN": "a-token"}),
    "streamlit": App("Streamlit", "py:streamlit", (PYTHON, "-m", "streamlit", "run", "app.py", "--server.headless",
                                                   "true", "--server.port", "PORT"), heavy=True),
}


def rewrites(app, form):
    """Whether its client is to rewrite Host."""
    return not re.fullmatch(app.knows, DOMAIN if form == "path" else "demo." + DOMAIN)


def through(t, name, form):
    app = APPS[name]
    folder, port = started(t, name, app)
    server = t.server(env={"PIPEGATE_DOMAIN": DOMAIN if form == "host" else None})
    t.client(server, "http://localhost:%d" % port, args=("--host-header", "rewrite") if rewrites(app, form) else ())
    url = "http://%s:%d/demo/" if form == "path" else "http://demo.%s:%d/"
    walked(t, name, form, url % (DOMAIN, server.port) + app.page, folder)


def cell(name, form):
    """The scenario of one app in one form."""
    def run(t):
        through(t, name, form)
    run.__name__ = "%s_by_%s" % (name, form)
    run.__doc__ = "%s works in a browser by %s." % (APPS[name].called, form)
    return scenario(needs=BROWSER + (APPS[name].package,) + APPS[name].needs, long=APPS[name].heavy)(run)


FORMS = ("path", "host")
CELLS = {(name, form): cell(name, form) for name in APPS for form in FORMS}
