"""One call fails, and then all goes on: each allocation and each system call
of server and client in turn, while requests of every kind are under way.

A play is what happens while the call fails; a point is which call that is, and
with which error.  What must be so at every point:

- the process lives, the sanitizers find nothing, SIGTERM ends it with 0
- a caller gets its own answer, or 502, 503, 504, or a cut: never octets of
  another's, never an end that looks whole and is not
- no POST reaches the service twice
- requests are served again, and nothing spins
- descriptors, streams and (the leak sanitizer tells) memory are given back
- for want of memory one request is lost at most

Each play says how many of its points failed.  LONG=1 takes all points, else
some are taken, spread over the calls, their places and their errors."""
import base64
import concurrent.futures
import hashlib
import json
import os
import re
import select
import signal
import subprocess
import sys
import threading
import traceback
import uuid

import harness
import inject
from harness import scenario, check, equal, wait, Conn, Failed, Scenario
from inject import HOLD, COUNT, Injection

LONG = bool(os.environ.get("LONG"))
POINTS_AT_ONCE = 48
SHORT_MEMORY, SHORT_CALLS = 6, 5     # points of a play, where not all are taken
PATIENCE = 8                        # seconds for whatever is waited for

MEMORY = {"alloc": ["ENOMEM"]}
BROKEN = ["ECONNRESET", "ETIMEDOUT", "ENOBUFS", "ENOMEM", "EIO"]
TRANSFER = {
    "read": ["EINTR", "EAGAIN", "SHORT"] + BROKEN,
    "readv": ["EINTR", "EAGAIN", "SHORT"] + BROKEN,
    "recv": ["EINTR", "EAGAIN"] + BROKEN,
    "write": ["EINTR", "EAGAIN", "SHORT", "EPIPE"] + BROKEN,
    "writev": ["EINTR", "EAGAIN", "SHORT", "EPIPE"] + BROKEN,
    "send": ["EINTR", "EAGAIN", "SHORT", "EPIPE"] + BROKEN,
}
# A connect() that EINTR stops goes on by itself, so that is not among them.
SOCKETS = {
    "accept": ["EINTR", "EAGAIN", "ECONNABORTED", "EMFILE", "ENFILE", "ENOBUFS", "ENOMEM"],
    "socket": ["EMFILE", "ENFILE", "ENOBUFS", "ENOMEM"],
    "connect": ["EAGAIN", "ECONNREFUSED", "ETIMEDOUT", "ENETUNREACH", "EADDRNOTAVAIL"],
    "setsockopt": ["ENOBUFS", "ENOMEM"], "getsockopt": ["ENOBUFS", "ENOMEM"],
    "close": ["EINTR", "EIO"], "shutdown": ["ENOTCONN"],
    "open": ["EINTR", "EMFILE", "ENFILE", "ENOMEM"], "getrandom": ["EINTR", "ENOSYS"],
    "waitpid": ["EINTR", "ECHILD"],
}
POLL = {"poll": ["EINTR", "EAGAIN", "ENOMEM", "EINVAL"], "epoll": ["EINTR", "ENOMEM"]}
STARTING = {
    "pipe": ["EMFILE", "ENFILE"], "socketpair": ["EMFILE", "ENFILE", "ENOMEM"],
    "fcntl": ["EINTR", "EIO"], "fork": ["EAGAIN", "ENOMEM"], "sigaction": ["EINVAL"],
}
CALLS = dict(TRANSFER, **SOCKETS, **POLL, **STARTING)


# ------------------------------------------------------- requests, answers


def body_of(nonce, size):
    """What the service answers to a nonce: whose it is shows at any place."""
    unit = ("%s/%d;" % (nonce, size)).encode()
    return (unit * (size // len(unit) + 1))[:size]


def sum_of(octets):
    return hashlib.sha256(octets).hexdigest()


def nonces_in(octets):
    return set(re.findall(rb"n[0-9a-f]{16}", bytes(octets)))


class Service(harness.Origin):
    """Answers /n/NONCE/SIZE, and /c/ the same in chunks.  /w/ waits for the
    gate "first"; /h/ too, and then between the halves of its body for
    "second".  Counts how often each nonce came."""

    def __init__(self):
        self.times = {}
        harness.Origin.__init__(self)
        for kind in "ncwh":
            self.on("/%s/" % kind, self.answer)

    def answer(self, request, conn, origin):
        _, kind, nonce, size = request.path.split("/")
        self.times[nonce] = self.times.get(nonce, 0) + 1
        got = conn.body(request, 60) or b""
        if nonces_in(got) - {nonce.encode()}:
            self.faults.append("a request with the body of another")
        if kind in "wh":
            self.gate("first").wait(60)
        fields = [("X-Nonce", nonce), ("X-Sum", sum_of(got))]
        self.reply(conn, kind, fields, body_of(nonce, int(size)))

    answer.reads_body = False

    def reply(self, conn, kind, fields, body):
        if kind != "c":
            fields.append(("Content-Length", str(len(body))))
            pieces = [body]
        else:
            fields.append(("Transfer-Encoding", "chunked"))
            pieces = [body[i:i + 7000] for i in range(0, len(body), 7000)] + [b""]
            pieces = [b"%x\r\n%s\r\n" % (len(p), p) for p in pieces]
        head = "".join("%s: %s\r\n" % f for f in fields)
        octets = ("HTTP/1.1 200 OK\r\n%s\r\n" % head).encode() + b"".join(pieces)
        half = len(octets) - len(body) // 2
        if kind == "h":
            conn.send(octets[:half])
            self.gate("second").wait(60)
            octets = octets[half:]
        conn.send(octets)

    def part(self):
        """Ends the connections that are kept for further requests."""
        for conn in list(self.conns):
            try:
                conn.sock.shutdown(2)
            except OSError:
                pass


def has_news(conn):
    """Whether octets, or the end, have come."""
    poll = select.poll()
    poll.register(conn.sock, select.POLLIN)
    return bool(poll.poll(0))


class Tapped(Conn):
    """Remembers all that came."""

    def __init__(self, sock):
        Conn.__init__(self, sock)
        self.came = bytearray()

    def more(self, seconds=10):
        before = len(self.buf)
        more = Conn.more(self, seconds)
        self.came += self.buf[before:]
        return more


class Caller:
    """Asks for nonces, one after the other, on a connection that is kept as
    long as the server keeps it."""

    def __init__(self, rig):
        self.rig = rig
        self.conn = None
        self.nonces = set()

    def open(self):
        if self.conn is None:
            try:
                self.conn = self.tap = Tapped.to(self.rig.server.port, seconds=PATIENCE)
            except OSError as error:
                raise Failed("a caller cannot connect: %s" % error)
            self.rig.t.defer(self.conn.close)
            self.nonces = set()
        return self.conn

    def close(self):
        if self.conn is not None:
            self.conn.close()
        self.conn = None

    def ask(self, size=20, method="GET", body=None, chunks=None, kind="n", sent=None):
        """Sends a request.  body: its octets, or how many of them.  sent: how
        many go now, the others with send_rest().  chunks: pieces of the body
        that are sent one by one."""
        self.nonce = "n" + uuid.uuid4().hex[:16]
        if isinstance(body, int):
            body = body_of(self.nonce, body)
        self.asked = (method, size, sum_of(body or b"".join(chunks or [])))
        conn = self.open()
        self.nonces.add(self.nonce)
        target = "/demo/%s/%s/%d" % (kind, self.nonce, size)
        if method == "POST":
            self.rig.posts.append(self.nonce)
        if chunks is None:
            octets = harness.request_octets(method, target, body=body)
            now = len(octets) if sent is None else len(octets) - len(body) + sent
            self.unsent = octets[now:]
            conn.send_quietly(octets[:now])
            return self
        conn.send_quietly(harness.request_octets(method, target, [("Transfer-Encoding", "chunked")]))
        for piece in list(chunks) + [b""]:
            conn.send_quietly(b"%x\r\n%s\r\n" % (len(piece), piece))
        return self

    def send_rest(self):
        self.conn.send_quietly(self.unsent)

    def under_way(self):
        """Whether the service has the request, or the caller an answer or an end."""
        return self.nonce in self.rig.service.times or has_news(self.conn)

    def check_came(self):
        """Nothing of another's is among what came."""
        others = nonces_in(self.tap.came) - {n.encode() for n in self.nonces}
        check(not others, "a caller got octets of another's answer: %r" % others)

    def attempt(self, reading, what):
        """reading()'s result, or None where the connection was cut."""
        self.conn.reset = False     # a send met it: an answer may be there
        try:
            return reading()
        except Failed as failed:
            if not self.conn.eof and not self.conn.reset:
                raise Failed("no %s in %d s: %s" % (what, PATIENCE, failed))
            self.close()
            return None
        finally:
            self.check_came()

    def take(self):
        """The outcome: "served", a status, or "cut"."""
        method, size, total = self.asked
        answer = self.attempt(lambda: self.conn.answer(method, seconds=PATIENCE), "answer to a " + method)
        if answer is None:
            return "cut"
        if answer.get("connection", "").lower() == "close":
            self.close()
        if answer.status in (502, 503, 504):
            check(method == "HEAD" or "detail" in answer.json(), "an error without words")
            return str(answer.status)
        equal(answer.status, 200, "status")
        check(answer.get("x-nonce") == self.nonce, "another answer: %r, %r" % (answer, answer.body[:300]))
        equal(answer.get("x-sum"), total, "sum of what the service got")
        check(answer.body == (body_of(self.nonce, size) if method != "HEAD" else b""), "the body is not the one sent")
        return "served"

    def fetch(self, *args, **how):
        return self.ask(*args, **how).take()


# -------------------------------------------------------------------- rigs

# What carries octets to the host and port of its arguments, or of -connect in those
# of openssl, whose word for it is said then.
HELPER = """
import os, socket, sys, threading
args = sys.argv[1:]
if "-connect" in args:
    args = args[args.index("-connect") + 1].rsplit(":", 1)
    sys.stderr.write("CONNECTION ESTABLISHED\\n")
s = socket.create_connection((args[0], int(args[1])))
def down():
    while True:
        data = s.recv(65536)
        if not data:
            os._exit(0)
        os.write(1, data)
threading.Thread(target=down, daemon=True).start()
while True:
    data = os.read(0, 65536)
    if not data:
        break
    s.sendall(data)
"""


def listening_port(process):
    """Where it listens, or None.  What it says of that may be what fails."""
    try:
        links = [os.readlink("/proc/%d/fd/%s" % (process.pid, fd)) for fd in os.listdir("/proc/%d/fd" % process.pid)]
    except OSError:
        return None
    sockets = {link[8:-1] for link in links if link.startswith("socket:")}
    with open("/proc/net/tcp") as f:
        for line in list(f)[1:]:
            fields = line.split()
            if fields[3] == "0A" and fields[9] in sockets:
                return int(fields[1].split(":")[1], 16)
    return None


class Rig:
    """Service, server and client; a call of one of them fails."""

    def __init__(self, role, point=None, cold=False):
        self.role = role
        self.point = point
        self.cold = cold
        # A client of another test, whose server is gone, may dial our port.
        self.secret = harness.SECRET + uuid.uuid4().hex
        self.token = harness.token(secret=self.secret)
        self.t = Scenario("inject")
        self.injection = Injection(self.t, point)
        self.service = Service()
        self.t.defer(self.service.stop)
        self.callers = []
        self.posts = []
        self.outcomes = []
        self.server = self.client = None

    def environment(self, role, hold):
        if role != self.role:
            return {}
        self.injection.hold = hold
        return self.injection.environment()

    def start_server(self, hold=True):
        env = {"PIPEGATE_JWT_SECRET": self.secret}
        env.update(self.environment("server", hold))
        self.server = self.t.spawn([harness.BINARY, "server", "--host", "127.0.0.1", "--port", "0"], env, "server")
        if self.role == "server" and self.point and self.point[0] == "write" and not hold:
            self.server.port = wait(lambda: listening_port(self.server), "a listening server", PATIENCE)
        else:
            self.server.wait_out("\n", PATIENCE)
            self.server.port = int(self.server.out().split("\n")[0].rsplit(":", 1)[1])

    def start_client(self, hold=True, host="127.0.0.1", options=(), port=None, scheme="http", env=()):
        env = dict(env, PIPEGATE_TOKEN=self.token)
        env.update(self.environment("client", hold))
        self.client = self.t.spawn(
            [harness.BINARY, "client"] + list(options) + ["%s://%s:%d" % (scheme, host, self.service.port),
             "ws://%s:%d/" % (host, port or self.server.port)], env, "client")

    def connected(self):
        """Waits for the link.  Either side may fail to say that it stands."""
        wait(lambda: "/demo/" in self.client.out() or "event=client-connected" in self.server.err()
             or not self.client.running() or not self.server.running(), "the link", PATIENCE)

    def stand(self):
        """Both are there and at rest; nothing counts yet."""
        self.start_server()
        self.start_client()
        self.client.wait_out("/demo/", PATIENCE)

    @property
    def under_test(self):
        return self.server if self.role == "server" else self.client

    def cool(self):
        """Where memory is what fails: lets the program give back what it
        keeps for later, once a second, so that it must allocate again."""
        if not self.cold or self.under_test is None:
            return
        held = self.injection.head()["go"] == HOLD
        if held:
            self.injection.set(COUNT)
        turns = self.injection.seen()["poll"]
        wait(lambda: self.injection.seen()["poll"] >= turns + 3 or not self.under_test.running(), "idle turns", PATIENCE)
        if held:
            self.injection.forget()

    def go(self):
        self.cool()
        self.injection.go()

    def caller(self):
        self.callers.append(Caller(self))
        return self.callers[-1]

    def fetch(self, *args, **how):
        """A request on a connection of its own: its outcome."""
        caller = self.caller()
        outcome = caller.fetch(*args, **how)
        caller.close()
        return outcome

    # What must be so afterwards.

    def recover(self):
        """Requests are served again: the next, which waits for a link that is
        on its way, or one soon behind it where a name is looked up."""
        wait(lambda: self.fetch(500) == "served", "requests that are served again", PATIENCE)

    def hear(self):
        """Nobody got what was not asked for."""
        for caller in self.callers:
            while caller.conn is not None and has_news(caller.conn) and caller.conn.more():
                pass
            if caller.conn is not None:
                caller.check_came()
                check(not caller.conn.buf, "octets behind an answer: %r" % bytes(caller.conn.buf[:200]))

    def settle(self, descriptors):
        """What the play took is given back."""
        for caller in self.callers:
            caller.close()

        def given_back():
            self.service.part()
            return self.under_test.descriptors() <= descriptors
        try:
            wait(given_back, "", PATIENCE)
        except Failed:
            raise Failed("%d descriptors are open, not %d" % (self.under_test.descriptors(), descriptors))

    def rest(self):
        """It does not spin: the turns that three requests take are few."""
        self.injection.set(COUNT)
        before = self.injection.seen()["poll"]
        for _ in range(3):
            equal(self.fetch(100), "served", "a request in peace")
        turns = self.injection.seen()["poll"] - before
        check(turns < 200, "%d turns for three requests" % turns)

    def end(self):
        """Both end in good order, and no stream is left at either."""
        equal(self.client.terminate(), 0, "exit of the client")
        check("finishing" not in self.client.out(), "the client holds a stream of nobody's")
        self.end_server()

    def end_server(self):
        wait(lambda: self.server.err().count("event=client-gone") >= self.server.err().count("event=client-connected"),
             "the end of the link", PATIENCE)
        gone = re.findall(r"event=client-gone .* requests=(\d+)", self.server.err())
        equal(gone[-1:], ["0"], "streams left at the server")
        equal(self.server.terminate(), 0, "exit of the server")

    def check_posts(self):
        for nonce in self.posts:
            check(self.service.times.get(nonce, 0) <= 1, "a POST came %d times" % self.service.times.get(nonce, 0))

    def may_give_up(self):
        """Whether the role had not begun its work."""
        said = self.under_test.out()
        return "listening" not in said if self.role == "server" else "connecting to" not in said

    def death(self, fault):
        """Why a process is no more: None, or a fault; "" where it gave up at
        its start, and said why.  One that is just ending shows as a fault."""
        if fault is not None:
            try:
                self.under_test.child.wait(0.3)
            except subprocess.TimeoutExpired:
                pass
        for process in self.t.processes:
            status = process.child.poll()
            if status is None or process.ended_by_us:
                continue
            last = process.err().strip().split("\n")[-1]
            if process is self.under_test and status == 1 and last.startswith("pipegate: ") and self.may_give_up():
                return ""
            return "the %s ended with %d: %s" % (process.name, status, last)
        return None


class V1ServerRig(Rig):
    """The server with a v1 client that is written here, and is the service."""

    def stand(self):
        self.start_server()
        self.peer = None
        self.stopping = False
        self.t.defer(self.stop)
        self.thread = threading.Thread(target=self.serve, daemon=True)
        self.thread.start()
        wait(lambda: self.peer is not None, "the v1 client's link", PATIENCE)

    def stop(self):
        self.stopping = True
        if self.peer is not None:
            self.peer.conn.sock.shutdown(2)

    def serve(self):
        while not self.stopping and self.server.running():
            try:
                self.peer = harness.TunnelClient(self.server.port, v2=False, bearer=self.token)
                while True:
                    self.answer(self.peer.recv_json(600))
            except (Failed, OSError, ValueError):
                pass

    def answer(self, message):
        _, nonce, size = message["url_path"].split("/")
        self.service.times[nonce] = self.service.times.get(nonce, 0) + 1
        total = sum_of(base64.b64decode(message["body"]))
        self.peer.send_answer_v1(message["correlation_id"], 200, {"x-nonce": nonce, "x-sum": total},
                                 body_of(nonce, int(size)))

    def end(self):
        self.stop()
        self.thread.join(PATIENCE)
        self.end_server()


class V1ClientRig(Rig):
    """The client with a v1 server that is written here, and is the callers."""

    def stand(self):
        self.listener = self.t.tunnel_server()
        self.link = None
        self.start_client(port=self.listener.port)
        self.linked()
        self.client.wait_out("/demo/", PATIENCE)

    def linked(self):
        """The link, made anew where it was cut."""
        while self.link is None:
            try:
                link = self.listener.accept(v2=False, seconds=PATIENCE)
                if link.handshake.get("authorization") == "Bearer " + self.token:
                    self.link = link
            except Failed as failed:
                if "not dialled" in str(failed):
                    raise
        return self.link

    def fetch(self, size=20, method="GET", body=b"", chunks=()):
        link = self.linked()
        nonce = "n" + uuid.uuid4().hex[:16]
        body = body + b"".join(chunks)
        if method == "POST":
            self.posts.append(nonce)
        try:
            asked = link.send_request_v1("n/%s/%d" % (nonce, size), method=method, body=body)
            answer = link.recv_json(PATIENCE)
            while answer["correlation_id"] != asked:
                answer = link.recv_json(PATIENCE)
        except (Failed, OSError) as failed:
            open_still = not isinstance(failed, (harness.Closed, OSError)) and not link.conn.eof and not link.conn.reset
            check(not open_still, "no answer to a %s in %d s: %s" % (method, PATIENCE, failed))
            link.close()
            self.link = None
            return "cut"
        if answer["status_code"] in (502, 503, 504):
            return str(answer["status_code"])
        fields = json.loads(answer["headers"])
        equal((answer["status_code"], fields["x-nonce"], fields["x-sum"]), (200, nonce, sum_of(body)), "answer")
        check(base64.b64decode(answer["body"]) == body_of(nonce, size), "the body is not the one sent")
        return "served"

    def end(self):
        self.client.send_signal(signal.SIGTERM)
        try:
            self.linked().wait_close(seconds=PATIENCE)
            self.link.send_close(1001)
        except (Failed, OSError):
            pass
        equal(self.client.wait_exit(PATIENCE), 0, "exit of the client")
        check("finishing" not in self.client.out(), "the client holds a stream of nobody's")


# ------------------------------------------------------------------- plays
# Each takes a rig that stands (or starts it), and yields its outcomes.


def play_gets(rig):
    """Small requests: on a kept connection, two at once, of three methods."""
    kept, other = rig.caller(), rig.caller()
    for size in (20, 0, 3000):
        yield kept.fetch(size)
    for caller in (kept, other):
        caller.ask(700)
    yield kept.take()
    yield other.take()
    yield other.fetch(10, method="HEAD")
    yield kept.fetch(40, method="POST", body=b"x" * 30)
    yield kept.fetch(50)


def play_upload(rig):
    """Bodies that go up, in chunks, and of a length past the first credit."""
    caller = rig.caller()
    yield caller.fetch(30, method="POST", chunks=[body_of("chunk", 9000 + i) for i in range(5)])
    yield caller.fetch(30, method="POST", body=100000)
    yield caller.fetch(30)


def play_download(rig):
    """Answers of 100 KiB."""
    caller = rig.caller()
    yield caller.fetch(102400)
    yield caller.fetch(102400, kind="c")
    yield caller.fetch(30)


def play_upgrade(rig):
    """A switch of protocols, and octets both ways."""
    caller = rig.caller()
    nonce = uuid.uuid4().hex.encode()
    conn = caller.open()
    conn.send_quietly(harness.request_octets("GET", "/demo/upgrade", [("Upgrade", "echo"), ("Connection", "upgrade")]))
    answer = caller.attempt(lambda: conn.head(PATIENCE), "answer to an Upgrade")
    if answer is None or answer.status != 101:
        check(answer is None or answer.status in (502, 503, 504), "status: %r" % answer)
        caller.close()
        yield "cut" if answer is None else str(answer.status)
        return
    for size in (10, 20000, 10):
        octets = (nonce * size)[:size]
        conn.send_quietly(octets)
        back = caller.attempt(lambda: conn.take(size, PATIENCE), "echo")
        if back is None:
            yield "cut"
            return
        check(back == octets.upper(), "another echo than was sent")
    yield "served"


def play_leave(rig):
    """Callers that leave: before the answer, inside their body, inside the answer."""
    caller = rig.caller().ask(10, kind="w")
    wait(caller.under_way, "the request or its end", PATIENCE)
    caller.conn.abort()
    caller.conn = None
    caller = rig.caller().ask(10, method="POST", body=50000, sent=20000)
    wait(caller.under_way, "the upload or its end", PATIENCE)
    caller.close()
    caller = rig.caller().ask(1000000)
    answer = caller.attempt(lambda: caller.conn.head(PATIENCE), "answer")
    if answer is not None and answer.status == 200:
        caller.attempt(lambda: caller.conn.take(20000, PATIENCE), "part of an answer")
    caller.close()
    yield rig.fetch(30)


def play_crowd(rig):
    """Uploads and answers that stand still in their middle, while others come and go."""
    uploads = [rig.caller().ask(30, method="POST", body=30000, sent=15000) for _ in range(3)]
    halves = [rig.caller().ask(6000 + i, kind="h") for i in range(4)]
    for caller in uploads + halves:
        wait(caller.under_way, "a request or its end", PATIENCE)
    for caller in [rig.caller().ask(30) for _ in range(3)]:
        yield caller.take()
    rig.cool()
    rig.service.gate("first").set()
    for caller in halves:
        wait(lambda: has_news(caller.conn), "half an answer or its end", PATIENCE)
    others = [rig.caller().ask(2500 + i) for i in range(3)]
    for caller in uploads:
        caller.send_rest()
    for caller in others:
        yield caller.take()
    rig.service.gate("second").set()
    for caller in others:
        yield caller.fetch(300)
    for caller in uploads + halves:
        yield caller.take()


def play_many(rig):
    """More at once than the tables hold at first."""
    callers = [rig.caller().ask(n, kind="w") for n in range(70)]
    for caller in callers:
        wait(caller.under_way, "a request or its end", PATIENCE)
    rig.service.gate("first").set()
    for caller in callers:
        yield caller.take()


def start_both(rig, **how):
    rig.start_server(hold=False)
    rig.start_client(hold=False, **how)
    rig.connected()


def play_start(rig):
    """From the start of the program to its first answers."""
    start_both(rig)
    yield rig.fetch(30)
    yield rig.fetch(30, method="POST", body=b"x" * 100)


def play_name(rig):
    """The same, with names to be looked up."""
    start_both(rig, host="localhost")
    yield rig.fetch(30)


def play_helper(rig):
    """The same, with another program that carries the link."""
    path = os.path.join(rig.t.folder, "helper")
    with open(path, "w") as f:
        f.write(HELPER)
    start_both(rig, options=["--connect", "%s %s %%h %%p" % (sys.executable, path)])
    yield rig.fetch(30)
    yield rig.fetch(50000)


def play_carried(rig):
    """The same, with another program that carries each connection to the service, as openssl does."""
    path = os.path.join(rig.t.folder, "openssl")
    with open(path, "w") as f:
        f.write("#!%s\n%s" % (sys.executable, HELPER))
    os.chmod(path, 0o755)
    start_both(rig, scheme="https", env={"PATH": rig.t.folder})
    kept = rig.caller()
    for size in (30, 50000):
        yield kept.fetch(size)
    yield kept.fetch(40, method="POST", body=b"x" * 30)
    yield rig.fetch(30, method="POST", body=100000)


def play_join(rig):
    """A client comes while requests wait for it."""
    rig.start_server()
    callers = [rig.caller().ask(n) for n in (20, 5000, 0)]
    equal(harness.Conn.to(rig.server.port).get("/healthz").status, 200, "health")
    rig.go()
    rig.start_client(hold=False)
    for caller in callers:
        yield caller.take()


for play in (play_start, play_name, play_helper, play_carried, play_join):
    play.starts = True


def play_v1(rig):
    """Over v1: small and large, up and down."""
    yield rig.fetch(20)
    yield rig.fetch(30, method="POST", body=body_of("body", 30000))
    yield rig.fetch(102400)
    yield rig.fetch(30, method="POST", chunks=[b"a" * 5000, b"b" * 7001])
    yield rig.fetch(0)


def play_end(rig):
    """SIGTERM, with requests at work."""
    upload = rig.caller().ask(30, method="POST", body=30000, sent=10000)
    callers = [rig.caller().ask(30, kind="w") for _ in range(2)] + [upload]
    for caller in callers:
        wait(caller.under_way, "a request or its end", PATIENCE)
    rig.under_test.send_signal(signal.SIGTERM)
    if rig.role == "client":
        upload.send_rest()
        rig.service.gate("first").set()
    for caller in callers:
        yield caller.take()
    equal(rig.under_test.wait_exit(PATIENCE), 0, "exit")


play_end.ends = True


# ------------------------------------------------------------------ sweeps


def rig_of(role, play):
    if play is not play_v1:
        return Rig
    return V1ServerRig if role == "server" else V1ClientRig


class Result:
    """fault: None or what is wrong; gave_up: at its start, as it may."""

    def __init__(self, role, play, point):
        self.role, self.play, self.point = role, play, point
        self.fault = None
        self.gave_up = False


def perform(rig, play, descriptors):
    """The play, and what must be so behind it.  Raises what is not."""
    if not hasattr(play, "starts"):
        rig.stand()
        rig.go()
    rig.outcomes = list(play(rig))
    rig.injection.stop()
    if not hasattr(play, "ends"):
        rig.recover()
        lost = [o for o in rig.outcomes if o not in ("served", "101")]
        check(len(lost) < 2 or not rig.cold, "%d requests were lost for want of memory" % len(lost))
        rig.hear()
        rig.settle(descriptors)
        rig.rest()
        rig.end()
    rig.check_posts()
    check(not rig.service.faults, "the service: %s" % rig.service.faults)


def run_point(role, play, point, descriptors, cold):
    rig, result = rig_of(role, play)(role, point, cold), Result(role, play, point)
    try:
        perform(rig, play, descriptors)
    except Failed as failed:
        result.fault = str(failed)
    except Exception:
        result.fault = "; ".join(traceback.format_exc().split("\n")[-4:])
    death = rig.death(result.fault)
    if death is not None:
        result.fault = death or None
        result.gave_up = not death
    faults = rig.t.finish()
    reports = [f for f in faults if "Sanitizer" in f or "runtime error" in f]
    if reports:
        result.fault = reports[0][:1500]
    elif faults and result.fault is None:
        result.fault = "; ".join(faults)
    result.outcomes, result.stack = rig.outcomes, rig.injection.stack()
    if point is None:
        result.seen = rig.injection.seen()
    rig.t.tidy()
    return result


def standing_descriptors(role, play):
    """How many the role has open with its link and nothing else."""
    rig = rig_of(role, play)(role)
    try:
        if play is play_helper:
            list(play(rig))
            rig.service.part()
        else:
            rig.stand()
        least = []
        wait(lambda: least.append(rig.under_test.descriptors()) or len(least) > 10, "", PATIENCE)
        return min(least)
    finally:
        rig.t.finish()
        rig.t.tidy()


once = {}
once_lock = threading.Lock()


def in_peace(role, play, cold):
    """The descriptors to come back to, and the calls that a play makes where
    none fails: found once."""
    with once_lock:
        lock = once.setdefault((role, play, cold), [threading.Lock()])
    with lock[0]:
        if len(lock) == 1:
            descriptors = standing_descriptors(role, play)
            peace = run_point(role, play, None, descriptors, cold)
            check(peace.fault is None, "%s %s in peace: %s" % (role, name_of(play), peace.fault))
            check(set(peace.outcomes) <= {"served", "101"} or hasattr(play, "ends"), "in peace: %s" % peace.outcomes)
            lock += [descriptors, peace]
        return lock[1:]


def name_of(play):
    return play.__name__[5:]


def points_of(seen, errors, short):
    """All points of a play, or some of them."""
    places = [(kind, n) for kind in errors for n in range(1, seen[kind] + 1)]
    if LONG:
        return [(kind, n, error) for kind, n in places for error in errors[kind]]
    step = -(-len(places) // short) or 1
    return [(kind, n, errors[kind][i % len(errors[kind])]) for i, (kind, n) in enumerate(places[::step])]


def told(bad):
    """The faults, each with the points and the places where it showed."""
    groups = {}
    for result in bad:
        kind, n, error = result.point
        fault = re.sub(r"(?<=n)[0-9a-f]{16}|^\d+(?= requests| turns)", "...", result.fault)
        key = (name_of(result.play), kind, fault, inject.names_of(result.stack))
        groups.setdefault(key, []).append("%d %s" % (n, error))
    return "\n".join("      %s, %s %s: %s\n        at %s" % (
        play, kind, ", ".join(points[:12]) + (" and %d more" % (len(points) - 12) if points[12:] else ""), fault, place)
        for (play, kind, fault, place), points in groups.items())


pool = concurrent.futures.ThreadPoolExecutor(POINTS_AT_ONCE)


def sweep(role, plays, errors, short=SHORT_CALLS):
    """Runs each play once in peace, then once for each point."""
    inject.library()
    cold = errors is MEMORY
    bad = []
    peaces = list(pool.map(lambda play: in_peace(role, play, cold), plays))
    runs = []
    for play, (descriptors, peace) in zip(plays, peaces):
        points = points_of(peace.seen, errors, short)
        runs.append([pool.submit(run_point, role, play, point, descriptors, cold) for point in points])
    for play, (_, peace), futures in zip(plays, peaces, runs):
        results = [future.result() for future in futures]
        if not results:
            continue
        faulty = [r for r in results if r.fault]
        gave_up = sum(r.gave_up for r in results)
        print("    %s %s, %s: %d of %d points failed, %d of %d taken%s" % (
            role, name_of(play), "/".join(k for k in errors if peace.seen[k]), len(faulty), len(results), len(results),
            sum(peace.seen[k] * len(errors[k]) for k in errors),
            ", %d ended it at its start" % gave_up if gave_up else ""), flush=True)
        bad += faulty
    check(sum(map(len, runs)), "no such call was seen: does inject.c know all that are made?")
    check(not bad, "%d points failed:\n%s" % (len(bad), told(bad)))


PLAYS = [play_start, play_gets, play_upload, play_download, play_upgrade, play_leave, play_crowd, play_join, play_v1]
CLIENT_PLAYS = PLAYS + [play_name, play_helper, play_carried]


@scenario()
def memory_of_the_server(t):
    """An allocation of the server fails: one request at most is lost, with 502, 503 or a cut."""
    sweep("server", PLAYS + [play_many, play_end], MEMORY, SHORT_MEMORY)


@scenario()
def memory_of_the_client(t):
    """An allocation of the client fails: one request at most is lost, with 502, 503 or a cut."""
    sweep("client", CLIENT_PLAYS + [play_many, play_end], MEMORY, SHORT_MEMORY)


@scenario()
def transfers_of_the_server(t):
    """A read or a write of the server fails, or moves one octet."""
    sweep("server", PLAYS, TRANSFER)


@scenario()
def transfers_of_the_client(t):
    """A read or a write of the client fails, or moves one octet."""
    sweep("client", CLIENT_PLAYS, TRANSFER)


@scenario()
def sockets_of_the_server(t):
    """What the server does with sockets and files fails."""
    sweep("server", PLAYS, SOCKETS)


@scenario()
def sockets_of_the_client(t):
    """What the client does with sockets and files fails."""
    sweep("client", CLIENT_PLAYS, SOCKETS)


@scenario()
def polls_of_the_server(t):
    """A poll() of the server fails: it is asked again."""
    sweep("server", PLAYS, POLL)


@scenario()
def polls_of_the_client(t):
    """A poll() of the client fails: it is asked again."""
    sweep("client", CLIENT_PLAYS, POLL)


@scenario()
def starting_the_server(t):
    """Pipes, flags and signals cannot be had: the server says so, or serves all the same."""
    sweep("server", PLAYS, STARTING)


@scenario()
def starting_the_client(t):
    """Pipes, flags, signals and children cannot be had: the client says so at its start, or tries again."""
    sweep("client", CLIENT_PLAYS, STARTING)


@scenario()
def end_of_the_server(t):
    """Any call of a server that has been told to end fails: it ends, with 0."""
    sweep("server", [play_end], CALLS, 3 * SHORT_CALLS)


@scenario()
def end_of_the_client(t):
    """Any call of a client that has been told to end fails: it ends, with 0."""
    sweep("client", [play_end], CALLS, 3 * SHORT_CALLS)
