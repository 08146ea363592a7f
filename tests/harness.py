"""What the scenario tests stand on: a runner, processes, raw sockets, a
programmable origin, and WebSocket peers written by hand.  Python's standard
library alone.

A scenario is a function with a docstring that says what must be true:

    @scenario()
    def health_is_open(t):
        \"\"\"GET /healthz is answered without a token.\"\"\"

`t` starts things and ends them all when the scenario is over.  Nothing here
sleeps to synchronise: t.wait() looks at a condition until a deadline.

Environment: PIPEGATE names the program to test (./pipegate), SLOW multiplies
all deadlines (for sanitizers and valgrind), LONG=1 adds the long scenarios,
QUICK=1 leaves one of each kind, JOBS is how many run at once (4).  LEFT_OUT
names a file that gets a line for each scenario that could not run here: its
name, a tab, and why.
"""
import base64
import concurrent.futures
import functools
import hashlib
import hmac
import json
import mmap
import os
import random
import re
import select
import shutil
import signal
import socket
import ssl
import struct
import subprocess
import sys
import tempfile
import threading
import time
import traceback
import uuid

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
BINARY = os.path.abspath(os.environ.get("PIPEGATE", os.path.join(ROOT, "pipegate")))
NODE_MODULES = os.path.join(ROOT, "build", "node_modules")
SLOW = float(os.environ.get("SLOW", "1"))
SECRET = "a secret of the tests, longer than 32 octets"
GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
SANITIZER = re.compile(r"ERROR: \w+Sanitizer|runtime error:|Assertion .* failed")

TEXT, BINARY_FRAME, CLOSE, PING, PONG = 1, 2, 8, 9, 10


class Failed(AssertionError):
    """What a scenario says is not so."""


class Skipped(Exception):
    """A scenario cannot run here; the text says why."""


# ---------------------------------------------------------------- assertions


def check(ok, note):
    if not ok:
        raise Failed(note)


def equal(got, want, what="value"):
    if got != want:
        raise Failed("%s: got %s, want %s" % (what, brief(got), brief(want)))


def contains(text, part, what="text"):
    if part not in text:
        raise Failed("%s: no %s in %s" % (what, brief(part), brief(text)))


def brief(value):
    text = repr(value)
    return text if len(text) <= 600 else text[:400] + "..." + text[-150:]


# ------------------------------------------------------------------- waiting


def deadline(seconds):
    return time.monotonic() + seconds * SLOW


def wait(condition, what, seconds=10):
    """Looks at condition() until it is true, and returns what it returned."""
    end = deadline(seconds)
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise Failed("waited %g s in vain for %s" % (seconds * SLOW, what))
        time.sleep(0.01)


def holds(condition, what, seconds):
    """The opposite: condition() must stay true for so long."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        check(condition(), what)
        time.sleep(0.02)


# ----------------------------------------------------------------- processes

building = threading.Lock()
BUILT = set()


def built(name):
    """The path of a program of the tests in build/, made if need be."""
    with building:
        if name not in BUILT:
            done = subprocess.run([os.environ.get("MAKE", "make"), "-s", "build/" + name], cwd=ROOT,
                                  stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
            equal(done.returncode, 0, "make build/%s: %r" % (name, done.stdout))
            BUILT.add(name)
    return os.path.join(ROOT, "build", name)


class Process:
    """A child with its output in files, so that no pipe ever fills up."""

    def __init__(self, argv, env, folder, name):
        self.name = name
        self.argv = argv
        self.paths = [os.path.join(folder, name + end) for end in (".out", ".err")]
        if "LD_PRELOAD" in env:
            env["POLL_COUNT"] = self.paths[0] + ".turns"
        with open(self.paths[0], "wb") as out, open(self.paths[1], "wb") as err:
            with FORKS:
                self.child = subprocess.Popen(
                    argv, env=env, cwd=folder, stdin=subprocess.DEVNULL,
                    stdout=out, stderr=err, start_new_session=True)
        self.pid = self.child.pid
        self.ended_by_us = False

    def out(self):
        return self.read(0)

    def err(self):
        return self.read(1)

    def read(self, which):
        with open(self.paths[which], "rb") as f:
            return f.read().decode("utf-8", "replace")

    def running(self):
        return self.child.poll() is None

    def wait_out(self, text, seconds=10):
        return self.wait_text(self.out, text, seconds)

    def wait_err(self, text, seconds=10):
        return self.wait_text(self.err, text, seconds)

    def wait_text(self, read, text, seconds):
        def there():
            if text in read():
                return True
            if not self.running() and text not in read():
                raise Failed("%s ended (%s) before it said %r; stderr: %s" % (
                    self.name, self.child.returncode, text, brief(self.err())))
            return False
        wait(there, "%r from %s" % (text, self.name), seconds)
        return read()

    def count(self, text):
        return self.out().count(text) + self.err().count(text)

    def send_signal(self, number):
        self.ended_by_us = True
        self.child.send_signal(number)

    def kill(self):
        """As if the machine had been switched off."""
        self.send_signal(signal.SIGKILL)
        self.child.wait()

    def wait_exit(self, seconds=10):
        """Returns the exit status."""
        try:
            return self.child.wait(seconds * SLOW)
        except subprocess.TimeoutExpired:
            raise Failed("%s has not ended after %g s" % (self.name, seconds * SLOW))

    def terminate(self, number=signal.SIGTERM, seconds=10):
        self.send_signal(number)
        return self.wait_exit(seconds)

    def finish(self):
        """Ends it whatever it does.  Returns what is wrong with its end."""
        faults = []
        if self.running():
            self.send_signal(signal.SIGTERM)
            try:
                self.child.wait(8 * SLOW)
            except subprocess.TimeoutExpired:
                self.kill()
                faults.append("%s outlived SIGTERM" % self.name)
        status = self.child.returncode
        if status < 0 and not self.ended_by_us:
            faults.append("%s died of signal %d" % (self.name, -status))
        report = SANITIZER.search(self.err())
        if report:
            faults.append("%s: %s" % (self.name, self.err()[report.start():][:3000]))
        return faults

    def status_kb(self, field):
        """A size of /proc/PID/status, such as VmRSS, in KiB."""
        with open("/proc/%d/status" % self.pid) as f:
            for line in f:
                if line.startswith(field + ":"):
                    return int(line.split()[1])
        raise Failed("no %s of %s" % (field, self.name))

    def descriptors(self):
        return len(os.listdir("/proc/%d/fd" % self.pid))

    def turns(self):
        """How often it has called poll(), of what t.server() and t.client()
        started."""
        with open(self.paths[0] + ".turns", "rb") as f:
            return struct.unpack("L", f.read())[0]

    def settle(self):
        """Waits until its loop has nothing more to do for now."""
        def still():
            before = self.turns()
            time.sleep(0.25)
            return self.turns() == before
        wait(still, "%s to come to rest" % self.name, 20)

    def children(self):
        found = []
        for pid in filter(str.isdigit, os.listdir("/proc")):
            try:
                with open("/proc/%s/stat" % pid) as f:
                    fields = f.read().rpartition(")")[2].split()
            except OSError:
                continue
            if int(fields[1]) == self.pid:
                found.append(int(pid))
        return found


# ---------------------------------------------------------------- HTTP, raw


class Head:
    """Start line and fields of a message, in their order."""

    def __init__(self, raw):
        self.raw = raw
        lines = raw[:-4].split(b"\r\n")
        self.line = lines[0].decode("latin-1")
        self.fields = []
        for line in lines[1:]:
            name, _, value = line.partition(b":")
            self.fields.append((name.decode("latin-1"),
                                value.strip(b" \t").decode("latin-1")))

    def all(self, name):
        return [v for n, v in self.fields if n.lower() == name.lower()]

    def get(self, name, default=None):
        values = self.all(name)
        return values[0] if values else default

    def __repr__(self):
        return "<%s %r>" % (self.line, self.fields)


class Answer(Head):
    def __init__(self, raw):
        Head.__init__(self, raw)
        parts = self.line.split(" ", 2)
        self.version = parts[0]
        self.status = int(parts[1])
        self.reason = parts[2] if len(parts) > 2 else ""
        self.body = b""
        self.trailers = []
        self.interim = []

    def json(self):
        return json.loads(self.body)


class Request(Head):
    def __init__(self, raw):
        Head.__init__(self, raw)
        self.method, self.target, self.version = self.line.split(" ", 2)
        self.path, _, self.query = self.target.partition("?")
        self.body = b""
        self.trailers = []


# A child of another scenario has all of our descriptors from its fork to its exec: what is closed meanwhile does not end
# until then.
FORKS = threading.Lock()


class Conn:
    """One TCP connection of ours, with what has come and is not yet read."""

    def __init__(self, sock):
        self.sock = sock
        self.buf = bytearray()
        self.eof = False
        self.reset = False

    @classmethod
    def to(cls, port, host="127.0.0.1", seconds=10):
        sock = socket.create_connection((host, port), timeout=seconds * SLOW)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return cls(sock)

    def send(self, data):
        self.sock.settimeout(30 * SLOW)
        self.sock.sendall(data.encode("latin-1") if isinstance(data, str) else data)
        return self

    def send_quietly(self, data):
        """Sends what the peer may refuse to read."""
        try:
            self.send(data)
        except OSError:
            self.reset = True
        return self

    def more(self, seconds=10):
        """Takes what has come.  False at the end of the connection."""
        if self.eof or self.reset:
            return False
        self.sock.settimeout(seconds)
        try:
            data = self.sock.recv(262144)
        except socket.timeout:
            raise Failed("nothing came for %.1f s; so far %s" % (seconds, brief(bytes(self.buf[:1000]))))
        except OSError:
            self.reset = True
            return False
        self.eof = data == b""
        self.buf += data
        return not self.eof

    def fill(self, enough, what, seconds=10):
        end = deadline(seconds)
        while not enough():
            if not self.more(max(0.01, end - time.monotonic())):
                raise Failed("connection %s while waiting for %s; so far %s" % (
                    "reset" if self.reset else "closed", what, brief(bytes(self.buf[:1000]))))

    def take(self, n, seconds=10):
        self.fill(lambda: len(self.buf) >= n, "%d octets" % n, seconds)
        return self.cut(n)

    def until(self, mark, seconds=10):
        self.fill(lambda: mark in self.buf, repr(mark), seconds)
        return self.cut(self.buf.index(mark) + len(mark))

    def cut(self, n):
        data = bytes(memoryview(self.buf)[:n])
        del self.buf[:n]
        return data

    def rest(self, seconds=10):
        """All up to the end, whichever it is."""
        end = deadline(seconds)
        while self.more(max(0.01, end - time.monotonic())):
            pass
        return self.cut(len(self.buf))

    def closed(self, seconds=10):
        """Waits for the end of the connection; nothing may come before it."""
        equal(self.rest(seconds), b"", "octets before the end")
        return True

    def silent(self, seconds):
        """Nothing comes, and the connection stands, for so long."""
        self.sock.settimeout(seconds)
        try:
            data = self.sock.recv(65536)
        except socket.timeout:
            return True
        raise Failed("expected silence, got %s" % brief(data or "the end"))

    def body(self, message, seconds=10):
        coding = message.get("transfer-encoding", "")
        if coding.lower() == "chunked":
            return self.chunks(message, seconds)
        length = message.get("content-length")
        if length is not None:
            return self.take(int(length), seconds)
        return None

    def chunks(self, message, seconds=10):
        parts = []
        while True:
            size = int(self.until(b"\r\n", seconds).split(b";")[0], 16)
            if size == 0:
                break
            parts.append(self.take(size, seconds))
            equal(self.take(2, seconds), b"\r\n", "end of a chunk")
        while True:
            line = self.until(b"\r\n", seconds)
            if line == b"\r\n":
                return b"".join(parts)
            name, _, value = line.decode("latin-1").partition(":")
            message.trailers.append((name, value.strip()))

    def head(self, seconds=10):
        return Answer(self.until(b"\r\n\r\n", seconds))

    def answer(self, method="GET", seconds=10):
        """Reads one whole answer, with the interim ones before it."""
        interim = []
        answer = self.head(seconds)
        while answer.status < 200 and answer.status != 101:
            interim.append(answer)
            answer = self.head(seconds)
        answer.interim = interim
        if method == "HEAD" or answer.status in (101, 204, 304):
            return answer
        body = self.body(answer, seconds)
        answer.body = self.rest(seconds) if body is None else body
        return answer

    def request(self, method, target, fields=(), body=None, seconds=10, host="h"):
        self.send(request_octets(method, target, fields, body, host))
        return self.answer(method, seconds)

    def get(self, target, fields=(), seconds=10):
        return self.request("GET", target, fields, seconds=seconds)

    def half_close(self):
        self.sock.shutdown(socket.SHUT_WR)

    def abort(self):
        """Ends the connection with an RST."""
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        with FORKS:
            self.sock.close()

    def close(self):
        with FORKS:
            self.sock.close()


def request_octets(method, target, fields=(), body=None, host="h"):
    lines = ["%s %s HTTP/1.1" % (method, target)]
    if host is not None:
        lines.append("Host: " + host)
    lines += ["%s: %s" % f for f in fields]
    if body is not None:
        lines.append("Content-Length: %d" % len(body))
    return "\r\n".join(lines + ["", ""]).encode("latin-1") + (body or b"")


def openssl(folder, *args):
    done = subprocess.run(("openssl",) + args, cwd=folder, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, check=False)
    equal(done.returncode, 0, "openssl %s: %s" % (args[0], done.stdout.decode()))


def authority(t, name):
    """A certificate authority of its own: the file of its certificate."""
    openssl(t.folder, "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=" + name,
            "-addext", "basicConstraints=critical,CA:TRUE", "-keyout", name + ".key", "-out", name + ".pem")
    return os.path.join(t.folder, name + ".pem")


def certificate(t, ca, name, alternatives, days=2):
    """A certificate for names, signed: the files of it and of its key."""
    base = os.path.splitext(ca)[0]
    with open(os.path.join(t.folder, name + ".ext"), "w") as f:
        f.write("subjectAltName=%s\n" % alternatives)
    openssl(t.folder, "req", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=" + name,
            "-keyout", name + ".key", "-out", name + ".csr")
    openssl(t.folder, "x509", "-req", "-in", name + ".csr", "-CA", ca, "-CAkey", base + ".key", "-CAcreateserial",
            "-days", str(days), "-extfile", name + ".ext", "-out", name + ".pem")
    return [os.path.join(t.folder, name + end) for end in (".pem", ".key")]


def tls_works(port, authority):
    """Whether localhost has, at this port, a certificate of an authority."""
    try:
        # The file may be there before its certificate is.
        context = ssl.create_default_context(cafile=authority)
        with socket.create_connection(("127.0.0.1", port), 1) as sock:
            context.wrap_socket(sock, server_hostname="localhost").close()
        return True
    except OSError:
        return False


def contrib_caddy(t, server, admin=None):
    """Caddy before the server as contrib/Caddyfile has it, but for its ports, the name localhost and an authority of
    its own: (port, CA file).  admin: the port of the admin listener."""
    port = free_port()
    with open(os.path.join(ROOT, "contrib", "Caddyfile")) as f:
        text = f.read()
    for old, new in (("tunnel.example.com {", "https://localhost:%d {\n\tbind 127.0.0.1\n\ttls internal" % port),
                     ("https:// {", "https://:%d {\n\tbind 127.0.0.1" % port),
                     ("\ttls {\n", "\ttls {\n\t\tissuer internal\n"),
                     ("127.0.0.1:8000", "127.0.0.1:%d" % server.port),
                     ("http://127.0.0.1:9100", "http://127.0.0.1:%d" % (admin or free_port())),
                     ("\n{\n", "\n{\n\tadmin off\n\tskip_install_trust\n\tauto_https disable_redirects\n"
                      "\tstorage file_system %s/caddy\n" % t.folder)):
        equal(text.count(old), 1, "places of %r in contrib/Caddyfile" % old)
        text = text.replace(old, new)
    path = os.path.join(t.folder, "Caddyfile")
    with open(path, "w") as f:
        f.write(text)
    t.spawn(["caddy", "run", "--config", path, "--adapter", "caddyfile"], {"HOME": t.folder})
    root = os.path.join(t.folder, "caddy/pki/authorities/local/root.crt")
    t.wait(lambda: tls_works(port, root), "Caddy", 20)
    return port, root


def queued(near, far):
    """Octets on their way from port far to port near that lie in the sockets of both ends: (at far, at near)."""
    found = {}
    with open("/proc/net/tcp") as f:
        for line in f.readlines()[1:]:
            _, local, remote, _, queues = line.split()[:5]
            ports = int(local.split(":")[1], 16), int(remote.split(":")[1], 16)
            found[ports] = [int(n, 16) for n in queues.split(":")]
    return found.get((far, near), [0, 0])[0], found.get((near, far), [0, 0])[1]


def free_port():
    """A port for programs that cannot be told to take any, and for nobody: one
    that the kernel gives to no one who does not name it."""
    try:
        with open("/proc/sys/net/ipv4/ip_local_port_range") as f:
            first = int(f.read().split()[0])
    except OSError:
        first = 32768
    while True:
        port = random.randrange(1024 + first // 2, first)
        try:
            socket.create_server(("127.0.0.1", port)).close()
            return port
        except OSError:
            pass


def pattern(n, seed=1):
    """n octets that betray any loss, repetition or change of place."""
    block = b"".join(hashlib.sha256(struct.pack(">II", seed, i)).digest()
                     for i in range(min(n // 32 + 1, 2048)))
    return (block * (n // len(block) + 1))[:n]


# ------------------------------------------------------------------- origin


class Origin:
    """A local HTTP service that answers by path (see the routes below), and
    keeps every request with its raw octets in .requests."""

    def __init__(self, listener=None):
        self.listener = listener or socket.create_server(("127.0.0.1", 0), backlog=1024)
        if self.listener.family == socket.AF_UNIX:
            self.url = "unix:" + self.listener.getsockname()
        else:
            self.port = self.listener.getsockname()[1]
            self.url = "http://127.0.0.1:%d" % self.port
        self.requests = []
        self.faults = []
        self.conns = []
        self.accepted = 0
        self.gone = []
        self.gates = {}
        self.routes = dict(ROUTES)
        self.stopped = False
        threading.Thread(target=self.serve, daemon=True).start()

    def on(self, path, answer):
        """answer(request, conn, origin) for paths that begin so; it returns
        true to end the connection.  Octets instead are sent as they are."""
        if isinstance(answer, bytes):
            octets = answer
            answer = lambda request, conn, origin: conn.send(octets) and None
        self.routes[path] = answer
        return self

    def gate(self, name):
        """An event on which a route may wait, and which a scenario sets."""
        return self.gates.setdefault(name, threading.Event())

    def serve(self):
        while not self.stopped:
            try:
                sock, _ = self.listener.accept()
            except OSError:
                return
            self.accepted += 1
            conn = Conn(sock)
            self.conns.append(conn)
            threading.Thread(target=self.converse, args=(conn,), daemon=True).start()

    def converse(self, conn):
        try:
            while self.one(conn):
                pass
        except (Failed, OSError, ValueError):
            pass
        finally:
            self.gone.append(conn)
            conn.close()

    def one(self, conn):
        while b"\r\n\r\n" not in conn.buf:
            if not conn.more(600):
                if conn.buf:
                    self.faults.append("stray octets: %s" % brief(bytes(conn.buf)))
                return False
        raw = conn.until(b"\r\n\r\n")
        try:
            request = Request(raw)
        except ValueError:
            self.faults.append("no request: %s" % brief(raw))
            return False
        request.conn = conn
        answer = self.route(request.path)
        if getattr(answer, "reads_body", True):
            request.body = conn.body(request, 60) or b""
        self.requests.append(request)
        return not answer(request, conn, self)

    def route(self, path):
        fitting = [p for p in self.routes if path.startswith(p)]
        return self.routes[max(fitting, key=len)] if fitting else answer_echo

    def seen(self, path):
        return [r for r in self.requests if r.path.startswith(path)]

    def wait_seen(self, path, n=1, seconds=10):
        wait(lambda: len(self.seen(path)) >= n, "request %d for %s" % (n, path), seconds)
        return self.seen(path)[n - 1]

    def stop(self):
        self.stopped = True
        for gate in self.gates.values():
            gate.set()
        # A thread in accept() keeps the socket alive until it is shut down.
        try:
            self.listener.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        self.listener.close()
        for conn in self.conns:
            try:
                conn.sock.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
            conn.close()


def reply(conn, status, fields=(), body=b"", reason="OK"):
    lines = ["HTTP/1.1 %d %s" % (status, reason)]
    lines += ["%s: %s" % f for f in fields]
    lines.append("Content-Length: %d" % len(body))
    conn.send("\r\n".join(lines + ["", ""]).encode("latin-1") + body)


def number_in(path):
    return int(path.rsplit("/", 1)[1])


def answer_echo(request, conn, origin):
    body = json.dumps({
        "method": request.method, "target": request.target,
        "fields": request.fields, "trailers": request.trailers,
        "body": base64.b64encode(request.body).decode()}).encode()
    if request.method == "HEAD":
        conn.send(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
                  b"Content-Length: %d\r\n\r\n" % len(body))
    else:
        reply(conn, 200, [("Content-Type", "application/json")], body)


def answer_raw(request, conn, origin):
    reply(conn, 200, [("Content-Type", "application/octet-stream")], request.body)


def answer_size(request, conn, origin):
    reply(conn, 200, [], pattern(number_in(request.path)))


def answer_status(request, conn, origin):
    reply(conn, number_in(request.path), [("X-Kind", "status")], b"as asked")


def answer_chunked(request, conn, origin):
    body = pattern(number_in(request.path))
    out = [b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"]
    for at in range(0, len(body), 5000):
        piece = body[at:at + 5000]
        out.append(b"%x\r\n%s\r\n" % (len(piece), piece))
    conn.send(b"".join(out) + b"0\r\nX-Sum: 42\r\n\r\n")


def answer_until_close(request, conn, origin):
    conn.send(b"HTTP/1.1 200 OK\r\nX-Kind: close\r\n\r\n" + pattern(number_in(request.path)))
    conn.half_close()
    return True


def answer_no_length_rst(request, conn, origin):
    conn.send(b"HTTP/1.1 200 OK\r\n\r\nhalf of it")
    origin.gate("rst").wait(30)
    conn.abort()
    return True


def answer_slow(request, conn, origin):
    origin.gate("slow").wait(float(request.path.rsplit("/", 1)[1]))
    reply(conn, 200, [], b"at last")


def answer_gated(request, conn, origin):
    """Waits for the scenario: origin.gate(last part of the path).set()."""
    origin.gate(request.path.rsplit("/", 1)[1]).wait(60)
    reply(conn, 200, [], b"let go")


def answer_rst(request, conn, origin):
    conn.send(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nhalf of it")
    origin.gate("rst").wait(30)
    conn.abort()
    return True


def answer_rst_early(request, conn, origin):
    conn.abort()
    return True


def answer_short(request, conn, origin):
    conn.send(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nhalf of it")
    return True


def answer_short_chunked(request, conn, origin):
    conn.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n")
    return True


def answer_1xx(request, conn, origin):
    conn.send(b"HTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\n\r\n")
    reply(conn, 200, [], b"final")


def answer_cookies(request, conn, origin):
    reply(conn, 200, [("Set-Cookie", "a=1; Path=/"), ("Set-Cookie", "b=2; Path=/"),
                      ("X-Twice", "one"), ("x-twice", "two")], b"cookies")


def answer_204(request, conn, origin):
    conn.send(b"HTTP/1.1 204 No Content\r\nX-Kind: empty\r\n\r\n")


def answer_304(request, conn, origin):
    conn.send(b"HTTP/1.1 304 Not Modified\r\nETag: \"x\"\r\nContent-Length: 77\r\n\r\n")


def answer_head(request, conn, origin):
    conn.send(b"HTTP/1.1 200 OK\r\nContent-Length: 4711\r\n\r\n" +
              (b"" if request.method == "HEAD" else pattern(4711)))


def answer_never(request, conn, origin):
    origin.gate("never").wait(300)
    return True


def answer_events(request, conn, origin):
    """An event stream: each event waits for the gate of its name."""
    conn.send(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n")
    for name in ("one", "two"):
        origin.gate(name).wait(60)
        conn.send("data: %s\n\n" % name)
    return True


def answer_upgrade(request, conn, origin):
    if request.get("upgrade") is None:
        reply(conn, 200, [], b"plain")
        return False
    conn.send("HTTP/1.1 101 Switching Protocols\r\nUpgrade: %s\r\n"
              "Connection: Upgrade\r\n\r\n" % request.get("upgrade"))
    while conn.more(60):
        conn.send(conn.cut(len(conn.buf)).upper())
    return True


def answer_expect(request, conn, origin):
    if request.get("expect"):
        conn.send(b"HTTP/1.1 100 Continue\r\n\r\n")
    reply(conn, 200, [], conn.body(request, 60) or b"")


def answer_refuse_body(request, conn, origin):
    reply(conn, 413, [("Connection", "close")], b"too much for me", "Too Large")
    origin.gate("refused").wait(10)
    return True


answer_expect.reads_body = False
answer_refuse_body.reads_body = False

ROUTES = {
    "/echo": answer_echo, "/raw": answer_raw, "/size/": answer_size,
    "/status/": answer_status, "/chunked/": answer_chunked,
    "/close/": answer_until_close, "/close-rst": answer_no_length_rst,
    "/slow/": answer_slow, "/gate/": answer_gated, "/rst": answer_rst,
    "/rst-early": answer_rst_early, "/short": answer_short,
    "/short-chunked": answer_short_chunked, "/1xx": answer_1xx,
    "/cookies": answer_cookies, "/204": answer_204, "/304": answer_304,
    "/head": answer_head, "/never": answer_never, "/events": answer_events,
    "/upgrade": answer_upgrade, "/expect": answer_expect,
    "/refuse": answer_refuse_body,
}


# ---------------------------------------------------------------------- JWT


def b64url(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def claims(sub="demo", **changes):
    """The claims of a good token; a change to None leaves one out."""
    now = int(time.time())
    out = {"sub": sub, "exp": now + 3600, "nbf": now, "iat": now,
           "iss": "pipegate", "aud": "pipegate", "jti": uuid.uuid4().hex}
    out.update(changes)
    return {k: v for k, v in out.items() if v is not None}


def token_of(payload, secret=SECRET, header=None):
    """Signs any payload: a dict, or text put in as it stands."""
    header = {"alg": "HS256", "typ": "JWT"} if header is None else header
    parts = [b64url((x if isinstance(x, str) else json.dumps(x)).encode())
             for x in (header, payload)]
    signed = ".".join(parts).encode()
    mac = hmac.new(secret.encode(), signed, hashlib.sha256).digest()
    return signed.decode() + "." + b64url(mac)


def token(sub="demo", secret=SECRET, header=None, **changes):
    return token_of(claims(sub, **changes), secret, header)


def token_read(text):
    """The claims in a token, its MAC checked."""
    head, body, mac = text.split(".")
    want = hmac.new(SECRET.encode(), (head + "." + body).encode(), hashlib.sha256).digest()
    equal(mac, b64url(want), "MAC of the token")
    return json.loads(base64.urlsafe_b64decode(body + "=" * (-len(body) % 4)))


# ---------------------------------------------------------------- WebSocket


class Closed(Failed):
    """The peer closed the WebSocket, with .code and .reason."""

    def __init__(self, code, reason):
        Failed.__init__(self, "closed with %s %r" % (code, reason))
        self.code = code
        self.reason = reason


class WebSocket:
    """A raw WebSocket on a Conn.  masks: we are its client."""

    def __init__(self, conn, masks):
        self.conn = conn
        self.masks = masks
        self.answers_pings = True
        self.one_frame = False
        self.pings = 0

    def frame(self, opcode, payload=b"", fin=1, rsv=0, masked=None, length=None):
        """The octets of a frame, lawful or not."""
        if isinstance(payload, str):
            payload = payload.encode()
        masked = self.masks if masked is None else masked
        n = len(payload) if length is None else length
        head = bytes([fin << 7 | rsv << 4 | opcode])
        bit = 0x80 if masked else 0
        if n < 126:
            head += bytes([bit | n])
        elif n < 65536:
            head += bytes([bit | 126]) + struct.pack(">H", n)
        else:
            head += bytes([bit | 127]) + struct.pack(">Q", n)
        if masked:
            key = os.urandom(4)
            head += key
            payload = xor(payload, key)
        return head + payload

    def send(self, opcode, payload=b"", **how):
        self.conn.send(self.frame(opcode, payload, **how))

    def send_json(self, message):
        self.send(TEXT, json.dumps(message, separators=(",", ":")))

    def send_close(self, code=1000, reason=""):
        self.send(CLOSE, struct.pack(">H", code) + reason.encode())

    def recv_frame(self, seconds=10):
        a, b = self.conn.take(2, seconds)
        check(a & 0x70 == 0, "reserved bits are set")
        n = b & 0x7F
        if n == 126:
            n, = struct.unpack(">H", self.conn.take(2, seconds))
            check(n > 125, "length not in its shortest form")
        elif n == 127:
            n, = struct.unpack(">Q", self.conn.take(8, seconds))
            check(n > 65535, "length not in its shortest form")
        equal(bool(b & 0x80), not self.masks, "mask bit of the peer")
        key = self.conn.take(4, seconds) if b & 0x80 else None
        payload = self.conn.take(n, seconds)
        return a >> 7, a & 15, xor(payload, key) if key else payload

    def recv_any(self, seconds=10):
        """The next frame that is no ping.  Answers pings."""
        end = deadline(seconds)
        while True:
            fin, opcode, payload = self.recv_frame(max(0.01, end - time.monotonic()) / SLOW)
            if opcode == CLOSE:
                code = struct.unpack(">H", payload[:2])[0] if payload else 1005
                raise Closed(code, payload[2:].decode())
            if opcode != PING:
                return fin, opcode, payload
            self.pings += 1
            if self.answers_pings:
                self.conn.send_quietly(self.frame(PONG, payload))

    def recv(self, seconds=10):
        """The next data message as (opcode, payload)."""
        end = deadline(seconds)
        kind, parts, fin = None, [], 0
        while not fin or kind is None:
            last, opcode, payload = self.recv_any(max(0.01, end - time.monotonic()) / SLOW)
            if opcode == PONG:
                continue
            check((opcode == 0) == (kind is not None), "opcode %d out of order" % opcode)
            kind, fin = kind or opcode, last
            check(fin or not self.one_frame, "a v2 message in pieces")
            parts.append(payload)
        return kind, b"".join(parts)

    def ping(self, payload=b"x"):
        """Pings, and waits for the pong; nothing else may come between."""
        self.send(PING, payload)
        self.pong(payload)

    def pong(self, payload):
        equal(self.recv_any()[1:], (PONG, payload), "pong")

    def recv_json(self, seconds=10):
        opcode, payload = self.recv(seconds)
        equal(opcode, TEXT, "opcode")
        return json.loads(payload)

    def wait_close(self, code=None, seconds=10):
        """Reads up to the peer's close frame; returns it."""
        end = deadline(seconds)
        while True:
            try:
                self.recv(max(0.01, end - time.monotonic()) / SLOW)
            except Closed as closed:
                if code is not None:
                    equal(closed.code, code, "close code (%s)" % closed.reason)
                return closed

    def close(self):
        self.conn.close()


def xor(data, key):
    n = len(data)
    long_key = (key * (n // 4 + 1))[:n]
    return (int.from_bytes(data, "big") ^ int.from_bytes(long_key, "big")).to_bytes(n, "big")


def accept_of(key):
    return base64.b64encode(hashlib.sha1(key.encode() + GUID).digest()).decode()


def upgrade_octets(target, fields=(), key=None, leave_out=()):
    lines = [("Host", "h"), ("Upgrade", "websocket"), ("Connection", "Upgrade"),
             ("Sec-WebSocket-Key", key or base64.b64encode(os.urandom(16)).decode()),
             ("Sec-WebSocket-Version", "13")]
    given = {n.lower() for n, _ in fields} | {n.lower() for n in leave_out}
    lines = [f for f in lines if f[0].lower() not in given] + list(fields)
    return ("GET %s HTTP/1.1\r\n" % target +
            "".join("%s: %s\r\n" % f for f in lines) + "\r\n").encode("latin-1")


# ------------------------------------------------------- messages of v2
# As doc/wire has them.

V2 = "pipegate.2"       # its name among WebSocket's protocols
REQUEST, ANSWER, BODY, TRAILERS, WINDOW, RESET, LEAVE, NOTE, ACK = 1, 2, 3, 4, 5, 6, 7, 8, 128
END, HAS_BODY, UPGRADE, INTERIM = 1, 2, 4, 8    # flags of a request or an answer
UNREACHED, REFUSED, UNANSWERED = 1, 2, 4        # flags of a reset
NAMES = {REQUEST: "request", ANSWER: "answer", BODY: "body", TRAILERS: "trailers", WINDOW: "window",
         RESET: "reset", LEAVE: "leave", NOTE: "note", ACK: "ack"}
PREFIX = 6      # octets: type, flags, stream
BODY_MAX = 16384


def message(kind, stream=0, payload=b"", flags=0):
    return struct.pack(">BBI", kind, flags, stream) + payload


def lines(fields):
    return "".join("%s: %s\r\n" % tuple(f) for f in fields) + "\r\n"


def body_flags(end, body):
    """Flags of a head: with end and no body, none follows; else there is one."""
    return END if end and not body else HAS_BODY | END if end else HAS_BODY


def request_message(stream, target="/", method="GET", fields=(), end=True, window=65536, took=65536, host="h",
                    body=b"", flags=None, head=None):
    fields = [list(f) for f in fields]
    if host is not None and not any(str(f[0]).lower() == "host" for f in fields):
        fields.insert(0, ["Host", host])
    head = ("%s %s HTTP/1.1\r\n" % (method, target) + lines(fields)).encode("latin-1") if head is None else head
    flags = body_flags(end, body) if flags is None else flags
    return message(REQUEST, stream, struct.pack(">IIH", took, window, len(head)) + head + body, flags)


def answer_message(stream, status=200, fields=(), end=True, reason="OK", body=b"", flags=None, head=None):
    head = ("HTTP/1.1 %s %s\r\n" % (status, reason) + lines(fields)).encode("latin-1") if head is None else head
    if flags is None:
        flags = UPGRADE if status == 101 else INTERIM if 100 <= status < 200 else body_flags(end, body)
    return message(ANSWER, stream, struct.pack(">H", len(head)) + head + body, flags)


def read_fields(text):
    check(text.endswith("\r\n\r\n") or text == "\r\n", "no empty line ends %r" % text)
    return [line.split(": ", 1) for line in text.split("\r\n") if line]


def read_head(said, octets):
    first, _, rest = octets.decode("latin-1").partition("\r\n")
    words = first.split(" ", 2)
    if said["type"] == "request":
        said["method"], said["target"] = words[:2]
        equal(words[2:], ["HTTP/1.1"], "version in " + first)
    else:
        equal(words[0], "HTTP/1.1", "version in " + first)
        said["status_code"], said["reason"] = int(words[1]), words[2]
    said["headers"] = read_fields(rest)
    said["head"] = octets


def read_message(payload):
    """A message as a dict: "type", "stream" and "flags", and what its type has."""
    kind, flags, stream = struct.unpack(">BBI", payload[:PREFIX])
    said = {"type": NAMES[kind], "stream": stream, "flags": flags}
    rest = payload[PREFIX:]
    if kind == REQUEST:
        said["took"], said["window"], n = struct.unpack(">IIH", rest[:10])
        read_head(said, rest[10:10 + n])
        said["body"] = rest[10 + n:]
    elif kind == ANSWER:
        n, = struct.unpack(">H", rest[:2])
        read_head(said, rest[2:2 + n])
        said["body"] = rest[2 + n:]
    elif kind == BODY:
        said["body"] = rest
    elif kind == TRAILERS:
        said["headers"] = read_fields(rest.decode("latin-1"))
    elif kind == WINDOW:
        said["bytes"], = struct.unpack(">I", rest)
    elif kind == RESET:
        said["status_code"], = struct.unpack(">H", rest[:2])
        said["reason"] = rest[2:].decode()
    elif kind == NOTE:
        said["note"] = json.loads(rest)
    check(len(said.get("body", b"")) <= BODY_MAX, "more than 16 KiB of body in a message")
    said["end"] = bool(flags & END) if kind in (REQUEST, ANSWER, BODY) else kind == TRAILERS
    return said


class Peer(WebSocket):
    """What both raw tunnel ends share: messages of either protocol."""

    def __init__(self, conn, masks):
        WebSocket.__init__(self, conn, masks)
        self.waiting = []       # bodies that came with a head, as messages of their own
        self.last = 0           # number of the last request that we sent

    def send_message(self, kind, stream=0, payload=b"", flags=0):
        self.send(BINARY_FRAME, message(kind, stream, payload, flags))

    def send_request(self, *args, stream=None, **how):
        """Returns the request's number."""
        if stream is None:
            self.last += 1
        stream = self.last if stream is None else stream
        self.send(BINARY_FRAME, request_message(stream, *args, **how))
        return stream

    def send_response(self, stream, *args, **how):
        self.send(BINARY_FRAME, answer_message(stream, *args, **how))

    def send_body(self, stream, data=b"", end=True):
        self.send_message(BODY, stream, data, END if end else 0)

    def send_trailers(self, stream, fields):
        self.send_message(TRAILERS, stream, lines(fields).encode("latin-1"))

    def send_window(self, stream, n):
        self.send_message(WINDOW, stream, struct.pack(">I", n))

    def send_reset(self, stream, status=504, reason="broken", flags=0):
        self.send_message(RESET, stream, struct.pack(">H", status) + reason.encode(), flags)

    def recv_whole(self, seconds=10):
        """The next message, as read_message() has it."""
        opcode, payload = self.recv(seconds)
        equal(opcode, BINARY_FRAME, "opcode")
        return read_message(payload)

    def split(self, said):
        """A head, and what came of its body with it as a message that waits to be received."""
        if said["flags"] & HAS_BODY and said["type"] in ("request", "answer"):
            if said["body"] or said["end"]:
                self.waiting.append({"type": "body", "stream": said["stream"], "flags": said["flags"] & END,
                                     "body": said["body"], "end": said["end"]})
            said.update(flags=said["flags"] & ~END, end=False, body=b"")
        return said

    def recv_message(self, seconds=10):
        """The next message; a body that comes with a head counts as one of its own."""
        if self.waiting:
            return self.waiting.pop(0)
        return self.split(self.recv_whole(seconds))

    def send_answer_v1(self, stream, status=200, fields=None, body=b""):
        self.send_json({"correlation_id": stream, "headers": json.dumps(fields or {}),
                        "body": base64.b64encode(body).decode(), "status_code": status})

    def send_request_v1(self, path="", query=(), method="GET", fields=None, body=b"", stream=None):
        stream = stream or str(uuid.uuid4())
        self.send_json({"correlation_id": stream, "url_path": path,
                        "url_query": json.dumps(query), "method": method,
                        "headers": json.dumps(fields or {}),
                        "body": base64.b64encode(body).decode()})
        return stream

    def recv_type(self, kind, seconds=10):
        """The next message of a type; windows and the like are passed over,
        bodies where an answer may go on meanwhile."""
        while True:
            said = self.recv_message(seconds)
            if said["type"] == kind:
                return said
            passed = ("ack", "window", "leave", "reset", "note")
            check(said["type"] in passed or (said["type"] == "body" and kind in passed),
                  "expected %s, got %s" % (kind, brief(said)))

    def said(self):
        """The messages other than bodies that come before the peer has answered two pings."""
        messages = []
        for word in (b"one", b"two"):
            self.send(PING, word)
            opcode = None
            while opcode != PONG:
                _, opcode, payload = self.recv_any()
                if opcode == BINARY_FRAME:
                    messages.append(read_message(payload))
        return [m for m in messages if m["type"] != "body"]

    def recv_request(self, seconds=10):
        return self.recv_type("request", seconds)

    def recv_body(self, stream, seconds=10, grant=True):
        """The rest of a half: (octets, how it ended), granting as it comes."""
        got = []
        while True:
            said = self.recv_message(seconds)
            if said["type"] == "body":
                equal(said["stream"], stream, "stream")
                got.append(said["body"])
                if said["end"]:
                    return b"".join(got), "end"
                if grant and said["body"]:
                    self.send_window(stream, len(said["body"]))
            elif said["stream"] == stream and said["type"] in ("trailers", "reset"):
                return b"".join(got), said


class TunnelClient(Peer):
    """A raw tunnel client, at a server's WebSocket endpoint."""

    def __init__(self, port, sub="demo", v2=True, streams=64, window=65536,
                 fields=(), instance=None, bearer=None, target=None):
        key = base64.b64encode(os.urandom(16)).decode()
        more = list(fields)
        self.instance = instance or str(uuid.uuid4())
        if v2:
            more += [("Sec-WebSocket-Protocol", V2),
                     ("X-PipeGate", json.dumps({
                         "instance": self.instance, "received": 0,
                         "streams": streams, "window": window}))]
        bearer = token(sub) if bearer is None else bearer
        target = "/?token=" + bearer if target is None else target
        conn = Conn.to(port)
        conn.send(upgrade_octets(target, more, key))
        self.answer = conn.head()
        equal(self.answer.status, 101, "handshake")
        equal(self.answer.get("sec-websocket-accept"), accept_of(key), "accept key")
        self.v2 = self.answer.get("sec-websocket-protocol") == V2
        Peer.__init__(self, conn, masks=True)
        self.one_frame = self.v2


class TunnelServer:
    """A raw tunnel server: accept() waits for the client and gives a Peer."""

    def __init__(self):
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=16)
        self.port = self.listener.getsockname()[1]
        self.url = "ws://127.0.0.1:%d/" % self.port

    def dialled(self, seconds=10):
        """A connection with the handshake read, not answered."""
        self.listener.settimeout(seconds * SLOW)
        try:
            sock, _ = self.listener.accept()
        except socket.timeout:
            raise Failed("the client has not dialled in %g s" % (seconds * SLOW))
        conn = Conn(sock)
        conn.handshake = Request(conn.until(b"\r\n\r\n"))
        return conn

    def undialled(self, seconds):
        """Whether nobody dials for so long."""
        return not readable([self.listener], seconds)

    def accept(self, v2=True, seconds=10, fields=()):
        conn = self.dialled(seconds)
        more = list(fields)
        if v2:
            more += [("Sec-WebSocket-Protocol", V2),
                     ("X-PipeGate", '{"received":0}')]
        conn.send(switch_octets(conn.handshake, more))
        peer = Peer(conn, masks=False)
        peer.one_frame = v2
        peer.handshake = conn.handshake
        return peer

    def stop(self):
        self.listener.close()


def switch_octets(handshake, fields=(), accept=None):
    accept = accept or accept_of(handshake.get("sec-websocket-key"))
    lines = [("Upgrade", "websocket"), ("Connection", "Upgrade"),
             ("Sec-WebSocket-Accept", accept)] + list(fields)
    return ("HTTP/1.1 101 Switching Protocols\r\n" +
            "".join("%s: %s\r\n" % f for f in lines) + "\r\n").encode("latin-1")


def ask(t, server, target="/demo/x", method="GET", fields=(), body=None):
    """A caller's connection with a request under way."""
    return t.conn(server).send(request_octets(method, target, fields, body))


def counted(env):
    """An environment in which a program's turns are counted."""
    env = env or {}
    return dict(env, LD_PRELOAD=" ".join([built("calls.so")] + [env[n] for n in ("LD_PRELOAD",) if n in env]))


def came(conn):
    """Whether anything has come, or the end."""
    return bool(conn.buf or readable([conn.sock]))


class Clock:
    """The monotonic clock of the programs that are started with .env, which go() puts ahead."""

    def __init__(self, t):
        path = os.path.join(t.folder, "ahead")
        with open(path, "w+b") as f:
            f.truncate(8)
            self.ahead = mmap.mmap(f.fileno(), 8)
        self.env = {"LD_PRELOAD": built("clock.so"), "CLOCK_AHEAD": path}

    def go(self, seconds):
        before, = struct.unpack("q", self.ahead[:])
        self.ahead[:] = struct.pack("q", before + int(seconds * 1000))


def readable(socks, seconds=0):
    """Whether one of them can be read, or becomes so in that time.  Their descriptors may be of any number."""
    poll = select.poll()
    for sock in socks:
        poll.register(sock, select.POLLIN)
    return bool(poll.poll(seconds * 1000))


def ended(conn):
    """Whether the peer has ended conn."""
    conn.sock.settimeout(0.05)
    try:
        return conn.sock.recv(1, socket.MSG_PEEK) == b""
    except socket.timeout:
        return False
    except OSError:
        return True


# ----------------------------------------------------- a scenario's workshop


class Scenario:
    """What a scenario is handed as t."""

    def __init__(self, name):
        self.name = name
        self.folder = tempfile.mkdtemp(prefix="pipegate-test-")
        self.processes = []
        self.ends = []
        self.numbers = {}

    # Conditions, so that a scenario needs no imports for them.
    check, equal, contains = staticmethod(check), staticmethod(equal), staticmethod(contains)
    wait, holds = staticmethod(wait), staticmethod(holds)

    def defer(self, end):
        self.ends.append(end)
        return end

    def environment(self, changes):
        env = {"PATH": os.environ["PATH"], "PIPEGATE_JWT_SECRET": SECRET,
               "ASAN_OPTIONS": "abort_on_error=0:detect_stack_use_after_return=0:verify_asan_link_order=0",
               "UBSAN_OPTIONS": "print_stacktrace=1"}
        env.update(changes or {})
        return {k: v for k, v in env.items() if v is not None}

    def spawn(self, argv, env=None, name=None, nofile=None):
        """Starts any program; ended with the scenario."""
        name = name or os.path.basename(argv[0])
        self.numbers[name] = self.numbers.get(name, 0) + 1
        if nofile is not None:
            argv = ["/bin/sh", "-c", 'ulimit -n %d; exec "$@"' % nofile, "sh"] + argv
        process = Process(argv, self.environment(env), self.folder,
                          "%s-%d" % (name, self.numbers[name]))
        self.processes.append(process)
        return process

    def run(self, *args, env=None, seconds=10):
        """Runs the program to its end: a Process with .status."""
        process = self.spawn([BINARY] + list(args), env, "run")
        process.status = process.wait_exit(seconds)
        return process

    def server(self, *args, env=None, nofile=None, port=0, ready=True, under=(), program=BINARY):
        """under: a program before ours, such as valgrind with its options."""
        argv = list(under) + [program, "server", "--port", str(port)] + list(args)
        if "--host" not in args:
            argv += ["--host", "127.0.0.1"]
        server = self.spawn(argv, counted(env), "server", nofile)
        if ready:
            server.wait_out("\n")
            line = server.out().split("\n")[0]
            found = re.fullmatch(r"listening on http://(.*):(\d+)", line)
            check(found, "first line of the server: %r" % line)
            server.port = int(found.group(2))
            server.url = "ws://127.0.0.1:%d/" % server.port
        return server

    def client(self, server, target, sub="demo", env=None, ready=True, args=(), nofile=None, under=(), program=BINARY):
        """server: what t.server() gave, a TunnelServer, or a URL."""
        url = server if isinstance(server, str) else server.url
        changes = {"PIPEGATE_TOKEN": token(sub)}
        changes.update(env or {})
        argv = list(under) + [program, "client"] + list(args) + [getattr(target, "url", target), url]
        client = self.spawn(argv, counted(changes), "client", nofile)
        if ready:
            client.wait_out("http://127.0.0.1:%d/%s/" % (server.port, sub))
        return client

    def origin(self):
        origin = Origin()
        self.defer(origin.stop)
        return origin

    def trio(self, sub="demo", server_env=None, client_env=None):
        """Origin, server and client, connected."""
        origin = self.origin()
        server = self.server(env=server_env)
        client = self.client(server, origin, sub, env=client_env)
        return origin, server, client

    def conn(self, server):
        """A raw connection to a server process, or to a port."""
        conn = Conn.to(getattr(server, "port", server))
        self.defer(conn.close)
        return conn

    def reluctant(self, server):
        """A raw connection of which the sockets at both ends take little."""
        sock = socket.socket()
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG, 536)
        sock.connect(("127.0.0.1", server.port))
        conn = Conn(sock)
        self.defer(conn.close)
        return conn

    def tunnel(self, server, **how):
        """A raw tunnel client at a server process."""
        peer = TunnelClient(server.port, **how)
        self.defer(peer.close)
        return peer

    def tunnel_server(self):
        server = TunnelServer()
        self.defer(server.stop)
        return server

    def get(self, server, target, **how):
        """One request on a connection of its own."""
        conn = self.conn(server)
        try:
            return conn.get(target, **how)
        finally:
            conn.close()

    def wait_healthy(self, port):
        """Until the server there answers for its health."""
        def healthy():
            try:
                conn = Conn.to(port)
            except OSError:
                return False
            try:
                return conn.get("/healthz", seconds=2).status == 200
            except (Failed, OSError):
                return False
            finally:
                conn.close()
        wait(healthy, "an answer from port %d" % port)

    def background(self, work):
        """Runs work() in a thread; .result() has a deadline."""
        future = concurrent.futures.Future()

        def body():
            try:
                future.set_result(work())
            except BaseException as error:
                future.set_exception(error)
        threading.Thread(target=body, daemon=True).start()
        waiting = future.result
        future.result = lambda seconds=30: waiting(seconds * SLOW)
        return future

    def finish(self):
        faults = []
        for end in reversed(self.ends):
            try:
                end()
            except (OSError, Failed):
                pass
        for process in reversed(self.processes):
            faults += process.finish()
        return faults

    def logs(self):
        out = []
        for process in self.processes:
            for which, label in enumerate(("stdout", "stderr")):
                text = process.read(which)
                if text:
                    out.append("    | %s %s (status %s):\n%s" % (
                        process.name, label, process.child.returncode,
                        "\n".join("    |   " + line for line in text.splitlines()[-25:])))
        return "\n".join(out)

    def tidy(self):
        shutil.rmtree(self.folder, ignore_errors=True)


# ------------------------------------------------------------------- runner

SCENARIOS = []


def scenario(long=False, needs=(), alone=False, quick=False):
    """Marks a scenario.  long: runs with LONG=1 alone.  needs: programs,
    Python modules as "py:name" and Node's as "npm:name", without which it is
    left out.  alone: not beside others, because it measures.  quick: stands
    for its kind when there is little time."""
    def mark(function):
        check(function.__doc__, "%s says nothing" % function.__name__)
        function.title = "%s.%s" % (function.__module__.replace("scenarios_", ""), function.__name__)
        function.long, function.needs, function.alone, function.quick = long, needs, alone, quick
        SCENARIOS.append(function)
        return function
    return mark


# What a package is called where it is not called as its program or module.
PACKAGES = {"node": "nodejs", "jwt": "PyJWT"}


@functools.lru_cache(maxsize=None)
def is_here(need):
    where, _, name = need.rpartition(":")
    if where == "npm":
        return os.path.isdir(os.path.join(NODE_MODULES, name))
    if where == "":
        return shutil.which(name) is not None
    done = subprocess.run([sys.executable, "-c", "import " + name],
                          stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return done.returncode == 0


def missing(needs):
    """What to do for the first need that is not here, or None."""
    for need in needs:
        where, _, name = need.rpartition(":")
        if is_here(need):
            continue
        if where == "npm":
            return "npm install --prefix build " + name
        return "install %s%s" % (PACKAGES.get(name, name), " with pip" if where else "")
    return None


def run_one(function):
    """Returns ("ok" | "not ok" | "skip", note)."""
    why = missing(function.needs)
    if why:
        return "skip", why
    t = Scenario(function.title)
    note, kind = "", "ok"
    try:
        try:
            function(t)
        finally:
            faults = t.finish()
        if faults:
            raise Failed("; ".join(faults))
    except Skipped as skipped:
        kind, note = "skip", str(skipped)
    except Failed as failed:
        at = traceback.extract_tb(failed.__traceback__)
        lines = [str(f.lineno) for f in at if "harness" not in f.filename]
        kind = "not ok"
        note = "%s (line %s)\n    %s\n%s" % (
            failed, ", ".join(lines) or "?", function.__doc__.strip(), t.logs())
    except Exception:
        kind, note = "not ok", traceback.format_exc() + t.logs()
    t.tidy()
    return kind, note


def matches(function, wanted):
    return not wanted or re.search(wanted, function.title) is not None


def main():
    wanted, left_out = os.environ.get("T", ""), os.environ.get("LEFT_OUT")
    chosen = [f for f in SCENARIOS if matches(f, wanted)
              and (not f.long or os.environ.get("LONG") or wanted in (f.title, f.__name__))
              and (f.quick or not os.environ.get("QUICK"))]
    counts = {"ok": 0, "not ok": 0, "skip": 0}
    lock = threading.Lock()

    def run(function):
        start = time.monotonic()
        kind, note = run_one(function)
        with lock:
            counts[kind] += 1
            if kind == "skip" and left_out:
                with open(left_out, "a") as f:
                    f.write("%s\t%s\n" % (function.title, note))
                return
            print("%s %s (%.1f s)%s" % (kind, function.title, time.monotonic() - start,
                                        ": " + note if note else ""), flush=True)

    jobs = int(os.environ.get("JOBS", "4"))
    with concurrent.futures.ThreadPoolExecutor(jobs) as pool:
        list(pool.map(run, [f for f in chosen if not f.alone]))
    for function in chosen:
        if function.alone:
            run(function)
    print("%d passed, %d failed, %d skipped" % (
        counts["ok"], counts["not ok"], counts["skip"]), flush=True)
    return 1 if counts["not ok"] else 0
