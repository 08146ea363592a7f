"""What one id takes is at no other's cost.  The callers of a calm tunnel are
answered while another, with as many clients as it may have, takes all that it
can get of memory, of connections and of room to wait in."""
import json
import os
import signal
import socket
import sys
import time

import harness
from harness import scenario, equal, check, ask, request_octets
from siege import Siege, plain, reading, sizes, MIB, SANITIZED

CLIENTS = 8
GREEDY = b"GET /greedy/x HTTP/1.1\r\nHost: h\r\n\r\n"
HUNDRED_KB = b"g" * 100000


class Greedy:
    """All the clients that an id may have.  Each answers every request at
    once, with as much body as it has credit for, without an end."""

    def __init__(self, t, server, answers=True):
        self.t, self.answers, self.requests = t, answers, 0
        self.peers = [t.tunnel(server, sub="greedy", streams=1024) for _ in range(CLIENTS)]
        for peer in self.peers:
            t.background(lambda peer=peer: self.serve(peer))

    def serve(self, peer):
        try:
            while True:
                self.hear(peer, peer.recv_message(600))
        except (harness.Failed, OSError):
            return

    def hear(self, peer, message):
        if message["type"] == "request":
            self.requests += 1
            if self.answers:
                peer.send_response(message["stream"], end=False)
                self.feed(peer, message["stream"], message["window"])
        elif message["type"] == "window" and self.answers and message["stream"]:
            self.feed(peer, message["stream"], message["bytes"])

    @staticmethod
    def feed(peer, stream, credit):
        while credit:
            n = min(credit, 16384)
            peer.send_body(stream, bytes(n), end=False)
            credit -= n


def refusals(siege):
    """How many of the crowd have been answered 503."""
    count = 0
    for sock in siege.crowd:
        try:
            count += sock.recv(12) == b"HTTP/1.1 503"
        except OSError:
            pass
    return count


def holds_out(siege, seconds=2):
    """The calm callers are answered for so long."""
    before = siege.calm.rounds
    time.sleep(seconds)
    siege.t.wait(lambda: siege.calm.rounds > before + 2 or siege.calm.work.done(), "calm rounds", 20)
    siege.calm.stop()
    siege.within_memory()


def a_while(siege):
    """The server has handled what it was sent: the calm callers have had some turns since."""
    before = siege.calm.rounds
    siege.t.wait(lambda: siege.calm.rounds > before + 8 or siege.calm.work.done(), "calm rounds", 20)


@scenario()
def answers_that_nobody_reads(t):
    """Stalled readers of one id come to most of the memory, and no further."""
    siege = Siege(t, budget=8 * MIB, calm=10)
    Greedy(t, siege.server)
    siege.gather(1500, GREEDY, rcvbuf=4096)
    holds_out(siege)
    check(refusals(siege) > 0, "none of the greedy was refused")


@scenario()
def requests_that_nobody_answers(t):
    """A thousand requests at once of one id, none of which is answered."""
    siege = Siege(t, budget=8 * MIB, calm=10)
    greedy = Greedy(t, siege.server, answers=False)
    siege.gather(1000, GREEDY)
    holds_out(siege)
    check(greedy.requests > 100, "only %d came through" % greedy.requests)


@scenario()
def bodies_that_dribble(t):
    """Fifteen hundred bodies that come an octet at a time."""
    siege = Siege(t, budget=8 * MIB, calm=10)
    Greedy(t, siege.server, answers=False)
    siege.gather(1500, b"POST /greedy/x HTTP/1.1\r\nHost: h\r\nContent-Length: 1000\r\n\r\n")
    for _ in range(4):
        siege.say(b"a")
        time.sleep(0.25)
    holds_out(siege)


@scenario()
def whole_bodies_that_stop(t):
    """Bodies that are held whole for clients of v1, and stop before their last octet."""
    siege = Siege(t, budget=8 * MIB, calm=10)
    for _ in range(CLIENTS):
        reading(t, t.tunnel(siege.server, sub="greedy", v2=False))
    siege.gather(300, b"POST /greedy/x HTTP/1.1\r\nHost: h\r\nContent-Length: 100001\r\n\r\n" + HUNDRED_KB)
    for _ in range(4):
        siege.say(HUNDRED_KB)
        time.sleep(0.25)
    holds_out(siege)


@scenario()
def uploads_to_a_service_that_does_not_read(t):
    """A service that reads nothing, behind a real client, with both sides' memory small."""
    siege = Siege(t, budget=8 * MIB, calm=10)
    service = socket.socket()
    t.defer(service.close)
    service.bind(("127.0.0.1", 0))
    service.listen(1024)
    for _ in range(CLIENTS):
        siege.processes.append(t.client(siege.server, "http://127.0.0.1:%d" % service.getsockname()[1], "greedy",
                                        env={"PIPEGATE_MAX_MEMORY": str(8 * MIB)}))
    siege.gather(600, b"POST /greedy/x HTTP/1.1\r\nHost: h\r\nContent-Length: 1000000\r\n\r\n" + HUNDRED_KB)
    for _ in range(4):
        siege.say(HUNDRED_KB)
        time.sleep(0.25)
    holds_out(siege)


@scenario()
def as_many_connections_as_there_are(t):
    """One id comes to four fifths of the connections; who comes later finds one."""
    siege = Siege(t, PIPEGATE_MAX_CONNECTIONS="300")
    greedy = Greedy(t, siege.server, answers=False)
    siege.gather(400, GREEDY)
    holds_out(siege)
    # 300 less those that are not its own: 20 callers and 9 clients; idle ones yield.
    check(150 <= greedy.requests <= 245, "%d requests came through" % greedy.requests)


@scenario()
def ids_made_up(t):
    """Thousands of ids that nobody serves, in the server's first minute, are one account: they leave half of the room to
    wait in, and a client that comes back finds its callers there."""
    siege = Siege(t, PIPEGATE_MAX_CONNECTIONS="2000")
    peer = t.tunnel(siege.server, sub="late")
    peer.close()
    siege.gather(4096 if not SANITIZED else 1024,
                 lambda i: request_octets("GET", "/made-up-%d/x" % i))
    waiting = [ask(t, siege.server, "/late/x") for _ in range(90)]
    holds_out(siege, 1)
    for conn in waiting:
        check(not harness.came(conn), "a caller of the id that was served did not wait")
    peer = t.tunnel(siege.server, sub="late")
    for _ in waiting:
        peer.send_response(peer.recv_request()["stream"])
    for conn in waiting:
        equal(conn.answer().status, 200, "the client has come back")


@scenario()
def all_of_it_together(t):
    """Stalled readers, dribbled bodies, made-up ids and heads that never end, at once."""
    siege = Siege(t, budget=32 * MIB, calm=10, PIPEGATE_MAX_CONNECTIONS="2500")
    Greedy(t, siege.server)
    siege.gather(700, GREEDY, rcvbuf=4096)
    siege.gather(700, b"POST /greedy/x HTTP/1.1\r\nHost: h\r\nContent-Length: 1000\r\n\r\n")
    siege.gather(700, lambda i: request_octets("GET", "/made-up-%d/x" % i))
    siege.gather(700, b"GET /greedy/x HTTP/1.1\r\nHost: h\r\nX-A: " + b"a" * 30000)
    for _ in range(4):
        siege.say(b"a")
        time.sleep(0.25)
    holds_out(siege)


@scenario()
def the_greedy_one_is_served_again(t):
    """What held its memory goes, and the greedy id is served at once."""
    siege = Siege(t, budget=8 * MIB, calm=10)
    Greedy(t, siege.server)
    siege.gather(1000, GREEDY, rcvbuf=4096)
    holds_out(siege, 1)
    siege.disperse()

    def served():
        conn = t.conn(siege.server)
        status = conn.send(GREEDY).head().status
        conn.close()
        return status == 200
    t.wait(served, "the greedy id to be served again", 10)


@sizes((200, 1000), (1000, 5000))
def a_crowd_of_tunnels(t, counts):
    """Many tunnels with a request a second each, beside many more idle ones: none is refused, and each costs little."""
    active, idle = counts
    server = t.server()
    before = server.status_kb("VmRSS")
    crowd = t.spawn([sys.executable, os.path.join(os.path.dirname(__file__), "crowd.py"), str(server.port),
                     str(active), str(idle), "3"], name="crowd")
    crowd.wait_out("times", 90)
    equal(json.loads(crowd.out().splitlines()[1])["statuses"], {"200": 3 * active}, "answers by status")
    check(SANITIZED or server.status_kb("VmHWM") - before <= 8 * (active + idle),
          "%d KiB for %d tunnels" % (server.status_kb("VmHWM") - before, active + idle))


def places(t, server, greedy, small):
    """Which of the refusals the small ones got, 505, where the greedy ask for others: all had come before the server
    looked.  Both are pairs (conn, octets)."""
    os.kill(server.pid, signal.SIGSTOP)
    for conn, octets in greedy + small:
        conn.send(octets)
    os.kill(server.pid, signal.SIGCONT)
    t.wait(lambda: server.count("status=505") == len(small), "the answers to the small ones")
    order = [line.split("status=")[1][:3] for line in server.err().splitlines() if "event=refused" in line]
    return [i for i, status in enumerate(order) if status == "505"]


@scenario()
def turns_are_taken_by_id(t):
    """Of requests that all came before the server looked, those of one id stand behind no more than some of another's."""
    origin = t.origin()
    server = t.server()
    callers = {}
    for tunnel, n in (("a", 1), ("greedy", 150), ("b", 1), ("greedy", 150), ("c", 1)):
        if tunnel not in callers:
            t.client(server, origin, tunnel)
        conns = [t.conn(server) for _ in range(n)]
        callers.setdefault(tunnel, []).extend(conns)
        for conn in conns:
            equal(conn.get("/%s/echo" % tunnel).status, 200, "a first request")
    trace = b"TRACE /greedy/x HTTP/1.1\r\nHost: h\r\n\r\n"
    found = places(t, server, [(conn, trace) for conn in callers["greedy"]],
                   [(callers[name][0], b"GET /%s/x HTTP/7.0\r\nHost: h\r\n\r\n" % name.encode()) for name in "abc"])
    check(len(found) == 3 and found[2] < 200, "the small ones were numbers %r" % found)


@scenario()
def pipelined_requests_take_turns(t):
    """Callers with many whole requests have one of them answered in a turn, so that a newcomer is soon heard."""
    server = t.server(env={"PIPEGATE_OFFLINE_WAIT": "0"})
    many = b"GET /no-one/x HTTP/1.1\r\nHost: h\r\n\r\n" * 300
    greedy = [t.conn(server) for _ in range(50)]
    small = t.conn(server)
    found = places(t, server, [(conn, many) for conn in greedy],
                   [(small, b"GET /x/x HTTP/7.0\r\nHost: h\r\n\r\n")])
    check(found[0] <= 200, "the newcomer was number %d" % found[0])
    for conn in greedy:
        for _ in range(300):
            equal(conn.answer().status, 503, "of those that nobody serves")


def probe(t, server, target):
    """The status that a new caller gets."""
    conn = ask(t, server, target)
    status = conn.answer(seconds=5).status
    conn.close()
    return status


@scenario()
def streams_that_fell_silent(t):
    """Bodies that came in a burst and then stay open without an octet leave room for their id's own requests."""
    server = t.server()
    peer = t.tunnel(server, sub="chat", streams=1024)
    left, size = {}, 300000 if SANITIZED else 1000000

    def serve():
        try:
            while True:
                said = peer.recv_message(600)
                stream = said["stream"]
                if said["type"] == "request" and "probe" in said["target"]:
                    peer.send_response(stream, body=b"ok")
                elif said["type"] == "request":
                    peer.send_response(stream, end=False)
                    left[stream] = size
                if stream in left and said["type"] in ("request", "window"):
                    feed(stream, said.get("window") or said.get("bytes"))
        except (harness.Failed, OSError):
            return

    def feed(stream, credit):
        n = min(left[stream], credit)
        left[stream] -= n
        for at in range(0, n, 16384):
            peer.send_body(stream, bytes(min(16384, n - at)), end=False)
    t.background(serve)
    for _ in range(120):
        conn = ask(t, server, "/chat/burst")
        equal(conn.head(10).status, 200, "status of a stream")
        got = len(conn.buf)
        while got < size:
            got += len(conn.sock.recv(1 << 20))
    equal([probe(t, server, "/chat/probe") for _ in range(5)], [200] * 5, "statuses beside streams that are silent")


@scenario()
def kept_callers_are_not_counted(t):
    """Callers that are kept for another request stand in no id's way, their own included."""
    server = t.server(env={"PIPEGATE_MAX_CONNECTIONS": "100"})
    for sub in ("one", "two"):
        t.client(server, t.origin(), sub)
    kept = []
    for sub in ["two"] * 40 + ["one"] * 55 + ["one", "two"] * 10:
        kept.append(ask(t, server, "/%s/size/1" % sub))
        equal(kept[-1].answer().status, 200, "status for " + sub)


CHUNKED = b"POST /greedy/x HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n"
LONG_HEAD = [("x-%d" % i, "a" * 250) for i in range(125)]


class Tricky(Greedy):
    """One that does something of its own with each message: does(peer, message)."""

    def __init__(self, t, server, does):
        self.does = does
        Greedy.__init__(self, t, server)

    def hear(self, peer, message):
        self.does(peer, message)


def reluctant(siege, n, octets):
    """A crowd for which the kernels at both ends keep little."""
    for _ in range(n):
        conn = siege.t.reluctant(siege.server)
        conn.send_quietly(octets).sock.setblocking(False)
        siege.crowd.append(conn.sock)


@scenario()
def finished_answers_that_nobody_takes(t):
    """Answers that are whole count for their id until they are taken, also where the connection ends with them."""
    siege = Siege(t, budget=8 * MIB, calm=10)
    streams = []

    def answer(peer, message):
        if message["type"] == "request":
            streams.append((peer, message["stream"]))
            peer.send_response(message["stream"], end=False)
            Greedy.feed(peer, message["stream"], message["window"])
    Tricky(t, siege.server, answer)
    for _ in range(5):
        reluctant(siege, 120, b"GET /greedy/x HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n")
        a_while(siege)
        while streams:
            peer, stream = streams.pop()
            peer.send_body(stream)
    holds_out(siege, 1)


@scenario()
def heads_without_credit(t):
    """Interim answers of 32 KB, sixteen for each request, take memory that no credit paid for."""
    siege = Siege(t, budget=8 * MIB, calm=10)

    def answer(peer, message):
        if message["type"] == "request":
            peer.conn.send(b"".join(peer.frame(harness.BINARY_FRAME, harness.answer_message(
                message["stream"], 103, LONG_HEAD)) for _ in range(16)))
    Tricky(t, siege.server, answer)
    reluctant(siege, 300, GREEDY)
    holds_out(siege, 1)


@scenario()
def bodies_by_the_octet(t):
    """A body in messages of one octet takes six octets of the caller's buffer for each of credit."""
    siege = Siege(t, budget=8 * MIB, calm=10)

    def answer(peer, message):
        if message["type"] == "request":
            octet = plain(harness.BINARY_FRAME, harness.message(harness.BODY, message["stream"], b"x"))
            peer.send_response(message["stream"], end=False)
            peer.conn.send(octet * message["window"])
    Tricky(t, siege.server, answer)
    reluctant(siege, 600, GREEDY)
    holds_out(siege, 1)


@scenario()
def trailers_without_an_end(t):
    """Chunked bodies that stop inside 32 KB of trailers, and such as find no credit: what was read of them and cannot go on
    is within the share of their id."""
    trailers = b"0\r\n" + b"".join(b"x-%d: %s\r\n" % (i, b"a" * 300) for i in range(104))
    for window, octets in ((65536, trailers), (1, b"7000\r\n" + bytes(0x7000))):
        siege = Siege(t, budget=8 * MIB, calm=10)
        for _ in range(CLIENTS):
            reading(t, t.tunnel(siege.server, sub="greedy", streams=1024, window=window))
        siege.gather(600, CHUNKED)
        a_while(siege)
        siege.say(octets)
        holds_out(siege, 1)


@scenario()
def frames_without_an_end(t):
    """All but the last octet of a large frame on each of an id's links leaves room for others in the least memory there is."""
    siege = Siege(t, budget=MIB, calm=4)
    for _ in range(CLIENTS):
        t.tunnel(siege.server, sub="greedy").conn.send(plain(harness.BINARY_FRAME, bytes(53000))[:-1])
    holds_out(siege, 1)


@scenario()
def connections_that_end_slowly(t):
    """Callers that were refused, and clients that were closed, but do not end their connections, yield to others."""
    hello = harness.upgrade_octets("/?token=" + harness.token("greedy"), [
        ("Sec-WebSocket-Protocol", harness.V2), ("X-PipeGate", "{}")])
    for octets in (b"GARBAGE\r\n\r\n", hello + plain(harness.TEXT, b"text")):
        siege = Siege(t, PIPEGATE_MAX_CONNECTIONS="200")
        for _ in range(30):
            siege.gather(20, octets)
            time.sleep(0.05)
        holds_out(siege, 1)


@scenario()
def redirects_that_nobody_reads(t):
    """Callers that do not take what the server itself answers yield to others."""
    siege = Siege(t, PIPEGATE_MAX_CONNECTIONS="100")
    reluctant(siege, 120, b"")
    for _ in range(40):
        siege.say(b"GET /greedy?" + b"a" * 16000 + b" HTTP/1.1\r\nHost: h\r\n\r\n")
        time.sleep(0.02)
    siege.gather(60)
    holds_out(siege, 1)


@scenario()
def who_keeps_most_yields_first(t):
    """With all connections taken, one of the id that keeps most of them idle ends, though another's is idle longer."""
    server = t.server(env={"PIPEGATE_MAX_CONNECTIONS": "60"})
    for sub in ("few", "many"):
        t.client(server, t.origin(), sub)
    few = [ask(t, server, "/few/size/1") for _ in range(4)]
    for conn in few:
        equal(conn.answer().status, 200, "status")
    for _ in range(80):
        equal(ask(t, server, "/many/size/1").answer().status, 200, "status")
    equal([harness.ended(conn) for conn in few], [False] * 4, "whether those of the one with few have ended")
