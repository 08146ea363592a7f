"""What systemd hands over and is told: a socket that listens already, and READY and STOPPING."""
import os
import re
import shutil
import signal
import socket
import sys

import harness
from harness import Conn, check, contains, equal, free_port, scenario

# Starts argv[5:] with the socket that argv[1:3] says as descriptor 3, LISTEN_FDS argv[3] and LISTEN_PID argv[4].
STARTER = """
import os, socket, sys
kind, where, count, pid = sys.argv[1:5]
family, type = {"tcp": (socket.AF_INET, socket.SOCK_STREAM), "tcp6": (socket.AF_INET6, socket.SOCK_STREAM),
                "udp": (socket.AF_INET, socket.SOCK_DGRAM), "mute": (socket.AF_INET, socket.SOCK_STREAM),
                "unix": (socket.AF_UNIX, socket.SOCK_STREAM)}.get(kind, (0, 0))
if family == 0:
    fd = os.open(os.devnull, os.O_RDWR)
else:
    s = socket.socket(family, type)
    s.bind(where.replace("@", chr(0)) if kind == "unix" else ("::1" if kind == "tcp6" else "127.0.0.1", int(where)))
    if kind in ("tcp", "tcp6", "unix"):
        s.listen(16)
    fd = s.fileno()
if kind == "none":
    os.closerange(3, 64)
elif fd == 3:
    os.set_inheritable(3, True)
else:
    os.dup2(fd, 3, inheritable=True)
os.environ.update(LISTEN_FDS=count, LISTEN_PID=str(os.getpid()) if pid == "own" else pid)
os.execv(sys.argv[5], sys.argv[5:])
"""


def started(t, kind, where, count="1", pid="own", args=("--port", "0", "--host", "127.0.0.1"), env=None):
    return t.spawn([sys.executable, "-c", STARTER, kind, str(where), count, pid, harness.BINARY, "server"] + list(args),
                   harness.counted(env), "handed")


def conn_to(t, family, where):
    sock = socket.socket(family)
    sock.connect(where)
    conn = Conn(sock)
    t.defer(conn.close)
    return conn


@scenario(quick=True)
def a_socket_is_handed_over(t):
    """The server listens on the socket that is handed over, of any family, in place of --host and --port; a tunnel
    works there, and what stands in the file system stays when it ends."""
    origin = t.origin()
    path = os.path.join(t.folder, "handed")
    abstract = "@pipegate-test-%d" % free_port()
    port, port6 = free_port(), free_port()
    for kind, where, says, family, to in (
            ("tcp", port, "http://127.0.0.1:%d" % port, socket.AF_INET, ("127.0.0.1", port)),
            ("tcp6", port6, "http://[::1]:%d" % port6, socket.AF_INET6, ("::1", port6)),
            ("unix", path, "unix:" + path, socket.AF_UNIX, path),
            ("unix", abstract, "unix:" + abstract, socket.AF_UNIX, abstract.replace("@", "\0"))):
        server = started(t, kind, where)
        equal(server.wait_out("\n"), "listening on %s\n" % says, "first line")
        equal(conn_to(t, family, to).get("/healthz").status, 200, "status at " + says)
        if kind == "tcp":
            server.url, server.port = "ws://127.0.0.1:%d/" % port, port
            t.client(server, origin)
            equal(conn_to(t, family, to).get("/demo/echo").status, 200, "through a tunnel")
        server.send_signal(signal.SIGTERM)
        equal(server.wait_exit(), 0, "exit")
    check(os.path.exists(path), "the socket in the file system stays")


@scenario(quick=True)
def sockets_for_others(t):
    """Variables that are another process's, or hand nothing over, mean nothing."""
    for count, pid in (("1", "1"), ("1", "x"), ("1", ""), ("1", "99999999999999999999"), ("0", "own")):
        server = started(t, "tcp", free_port(), count, pid)
        line = server.wait_out("\n")
        port = int(re.fullmatch(r"listening on http://127.0.0.1:(\d+)\n", line).group(1))
        equal(t.get(port, "/healthz").status, 200, "status with %r" % ((count, pid),))
        server.terminate()


@scenario(quick=True)
def what_cannot_be_listened_on(t):
    """Anything but one socket that listens for streams ends the server with a message."""
    for kind, count in (("udp", "1"), ("mute", "1"), ("file", "1"), ("none", "1"), ("tcp", "2"), ("tcp", "-1"),
                        ("tcp", "1x"), ("tcp", ""), ("tcp", "4294967297"), ("tcp", "99999999999999999999")):
        server = started(t, kind, free_port(), count)
        equal(server.wait_exit(), 1, "exit with %s, %s" % (kind, count))
        contains(server.err(), "LISTEN_FDS", "what was said")


def notified(t, where):
    """A socket to be told at."""
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    sock.bind(where.replace("@", "\0"))
    sock.settimeout(10 * harness.SLOW)
    t.defer(sock.close)
    return sock


@scenario(quick=True)
def the_supervisor_is_told(t):
    """READY=1 goes to NOTIFY_SOCKET, a path or an abstract name, once the server listens, and STOPPING=1 when it is
    told to end."""
    for where in (os.path.join(t.folder, "notify"), "@pipegate-test-%d" % free_port()):
        sock = notified(t, where)
        port = free_port()
        server = t.server(env={"NOTIFY_SOCKET": where}, port=port, ready=False)
        equal(sock.recv(100), b"READY=1", "first word")
        equal(t.get(port, "/healthz").status, 200, "status")
        server.send_signal(signal.SIGTERM)
        equal(sock.recv(100), b"STOPPING=1", "last word")
        equal(server.wait_exit(), 0, "exit")


@scenario(quick=True)
def a_supervisor_that_does_not_listen(t):
    """A NOTIFY_SOCKET where nobody listens is a line in the log; one that is no address at all is nothing."""
    server = t.server(env={"NOTIFY_SOCKET": os.path.join(t.folder, "nobody")})
    equal(t.get(server, "/healthz").status, 200, "status")
    server.wait_err("event=notify-failed what=READY=1 ")
    for where in ("", "vsock:2:1", "/" + "x" * 200):
        server = t.server(env={"NOTIFY_SOCKET": where})
        equal(t.get(server, "/healthz").status, 200, "status")
        check("notify" not in server.err(), "the log")


@scenario(quick=True)
def a_supervisor_that_is_full(t):
    """One that reads nothing of what it is told holds nobody up."""
    where = os.path.join(t.folder, "notify")
    notified(t, where)
    full = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    full.setblocking(False)
    try:
        while True:
            full.sendto(b"x", where)
    except BlockingIOError:
        pass
    server = t.server(env={"NOTIFY_SOCKET": where})
    equal(t.get(server, "/healthz").status, 200, "status")
    server.wait_err("event=notify-failed what=READY=1 ")


@scenario(needs=("systemd-socket-activate",))
def systemd_hands_over(t):
    """The real systemd-socket-activate hands over a socket on which the first caller waits already."""
    port = free_port()
    where = os.path.join(t.folder, "notify")
    sock = notified(t, where)
    server = t.spawn(["systemd-socket-activate", "-l", "127.0.0.1:%d" % port, "-E", "PIPEGATE_JWT_SECRET=" + harness.SECRET,
                      "-E", "NOTIFY_SOCKET=" + where, harness.BINARY, "server"])
    server.wait_err("Listening on")
    equal(t.get(port, "/healthz").status, 200, "status")
    equal(server.wait_out("\n"), "listening on http://127.0.0.1:%d\n" % port, "first line")
    equal(sock.recv(100), b"READY=1", "what it is told")


@scenario(needs=("systemd-analyze",))
def units_are_sound(t):
    """systemd finds no fault with the units in contrib."""
    for name in ("pipegate-server.service", "pipegate-server.socket", "pipegate-client.service"):
        shutil.copy(os.path.join(harness.ROOT, "contrib", name), t.folder)
        path = os.path.join(t.folder, name)
        with open(path) as f:
            text = f.read().replace("/usr/local/bin/pipegate", harness.BINARY)
        with open(path, "w") as f:
            f.write(text)
    for name in os.listdir(t.folder):
        if not name.startswith("pipegate-"):
            continue
        if name.endswith((".service", ".socket")):
            done = t.spawn(["systemd-analyze", "verify", "--man=no", os.path.join(t.folder, name)],
                           {"SYSTEMD_UNIT_PATH": t.folder + ":"})
            equal((done.wait_exit(), done.err()), (0, ""), name)
