"""Services that are not there, and clients that fall silent: a request goes elsewhere, or waits a little."""
import os
import re
import signal
import socket
import sys
import threading
import time

import harness
from harness import Clock, Origin, UNANSWERED, UNREACHED, ask, check, equal, pattern, request_octets
from harness import scenario, wait

AT_ONCE = {"PIPEGATE_SERVICE_WAIT": "0"}


def nobody_listens(t):
    """A port that is somebody's, at whom nobody can connect until he listens."""
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    sock.bind(("127.0.0.1", 0))
    t.defer(sock.close)
    return sock, "http://127.0.0.1:%d" % sock.getsockname()[1]


def listens(t, sock):
    sock.listen(128)
    origin = Origin(sock)
    t.defer(origin.stop)
    return origin


def listens_at(port):
    with socket.socket() as sock:
        return sock.connect_ex(("127.0.0.1", port)) == 0


def waits_for(client):
    """Until a client has been unable to connect."""
    wait(lambda: "cannot connect" in client.out() + client.err(), "a try that fails")


def gives_back(peer, flags=UNREACHED, seconds=10):
    """A scripted client gives back the next request."""
    said = peer.recv_request(seconds)
    peer.send_reset(said["stream"], 504, "cannot connect", flags)
    return said


def answers(peer, *conns):
    """A scripted client answers the next requests, which come from conns."""
    for conn in conns:
        peer.send_response(peer.recv_request()["stream"], 204)
        equal(conn.answer().status, 204, "status")


def passes(clock, server, peers, seconds):
    """The server's time goes on; the clients live."""
    while seconds > 0:
        clock.go(min(seconds, 5))
        seconds -= 5
        for peer in peers:
            peer.ping()


# ------------------------------------------------- a service that is not there


@scenario()
def another_client_is_asked(t):
    """Of two clients of an id one has no service: of 400 requests, of all methods, none fails, and each comes once."""
    origin, server = t.origin(), t.server()
    t.client(server, origin)
    t.client(server, nobody_listens(t)[1])
    failed = []

    def caller(n):
        conn = t.conn(server)
        for i in range(50):
            method = ("GET", "POST", "PUT", "DELETE", "PATCH")[i % 5]
            body = pattern(i * 300, i) if method in ("POST", "PUT", "PATCH") else None
            answer = conn.request(method, "/demo/raw?%d-%d" % (n, i), (), body)
            if answer.status != 200 or (body is not None and answer.body != body):
                failed.append((method, answer.status))
    callers = [t.background(lambda n=n: caller(n)) for n in range(8)]
    for one in callers:
        one.result(60)
    equal(failed, [], "failed")
    equal(sorted(r.target for r in origin.requests), sorted("/raw?%d-%d" % (n, i) for n in range(8) for i in range(50)),
          "requests at the service")


SENT = {
    "nothing": b"DELETE /demo/x HTTP/1.1\r\nHost: h\r\n\r\n",
    "a body": request_octets("POST", "/demo/x", (), b"hello"),
    "more than a message holds": request_octets("POST", "/demo/x", (), pattern(50000)),
    "all that may come at first": request_octets("POST", "/demo/x", (), pattern(400000)),
    "chunks": b"PUT /demo/x HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nX-T: 1\r\n\r\n",
}
BODIES = {"a body": b"hello", "more than a message holds": pattern(50000), "all that may come at first": pattern(400000)}


@scenario()
def the_other_gets_it_whole(t):
    """What one client gives back goes whole to the other: head, body, trailers; and a protocol switch."""
    server = t.server()
    other = t.tunnel(server, window=1 << 20)
    for name, octets in SENT.items():
        broken = t.tunnel(server, window=1 << 20)
        conn = t.conn(server).send(octets)
        gives_back(broken)
        said = other.recv_request()
        equal(said["method"].encode(), octets.split()[0], name)
        if name in BODIES:
            check(other.recv_body(said["stream"]) == (BODIES[name], "end"), name)
        if name == "chunks":
            equal(other.recv_body(said["stream"])[1]["headers"], [["X-T", "1"]], "trailers")
        other.send_response(said["stream"], 204)
        equal(conn.answer().status, 204, name)
        broken.close()
    broken = t.tunnel(server)
    conn = ask(t, server, fields=[("Upgrade", "raw"), ("Connection", "upgrade")])
    gives_back(broken)
    said = other.recv_request()
    other.send_response(said["stream"], 101, [("Upgrade", "raw")], flags=harness.UPGRADE)
    equal(conn.head().status, 101, "a protocol switch")


@scenario()
def no_more_than_is_kept(t):
    """A request of which the client has taken something goes to nobody else, whatever its reset says."""
    server = t.server()
    other, broken = t.tunnel(server), t.tunnel(server, window=10)
    for take in (lambda s: broken.send_window(s, 5), lambda s: broken.send_response(s, 103)):
        conn = ask(t, server, method="POST", body=b"x" * 100)
        stream = broken.recv_request()["stream"]
        take(stream)
        broken.send_reset(stream, 504, "cannot connect", UNREACHED)
        equal(conn.answer().status, 504, "status")
        equal([m for m in other.said() if m["type"] == "request"], [], "requests for the other")
        broken = t.tunnel(server, window=10)


@scenario()
def what_others_hold_takes_it_from_nobody(t):
    """Where the requests of one id hold more than half of the memory, what another gives back goes elsewhere all the
    same, as long as it is small."""
    server = t.server(env={"PIPEGATE_MAX_MEMORY": "1048576"})
    crowd = t.tunnel(server, sub="crowd")
    for n in range(36):         # each promises 16 KiB of its answer
        ask(t, server, "/crowd/%d" % n)
        crowd.recv_request()
    other, broken = t.tunnel(server), t.tunnel(server)
    conn = ask(t, server, method="POST", body=b"hello")
    gives_back(broken)
    answers(other, conn)


@scenario()
def what_came_back_keeps_its_place(t):
    """A request that was given back waits for the other client though none may wait, and counts once for
    PIPEGATE_MAX_RATE."""
    server = t.server(env={"PIPEGATE_MAX_QUEUE_DEPTH": "0", "PIPEGATE_MAX_RATE": "1"})
    full, broken = t.tunnel(server, streams=1), t.tunnel(server)
    first, second = [ask(t, server, "/demo/%d" % n) for n in range(2)]
    came = {}
    for peer in (broken, full):
        said = peer.recv_request()
        came[said["target"]] = peer, said["stream"]
    broken.send_reset(came["/0"][1], 504, "cannot connect", UNREACHED)
    equal(broken.said(), [], "while the other is full")
    full.send_response(came["/1"][1], 204)
    answers(full, first)
    equal(second.answer().status, 204, "the other request")


@scenario(quick=True)
def a_service_that_comes_up(t):
    """Requests wait for a service that is being started, whatever their method and however many; each comes once."""
    server = t.server(env={"PIPEGATE_MAX_QUEUE_DEPTH": "2", "PIPEGATE_SERVICE_WAIT": "60"})
    sock, url = nobody_listens(t)
    client = t.client(server, url)
    asked = [ask(t, server, "/demo/raw?%d" % n, "POST", (), b"x" * n) for n in range(20)]
    waits_for(client)
    origin = listens(t, sock)
    equal([conn.answer().body for conn in asked], [b"x" * n for n in range(20)], "answers")
    equal(len(origin.requests), 20, "requests at the service")


@scenario()
def a_service_that_stays_away(t):
    """Where no client can reach its service, all are asked again and again until the wait is over: then the caller gets
    504 and the client's words.  The next one has its own wait."""
    clock = Clock(t)
    server = t.server(env=clock.env)
    peers = [t.tunnel(server) for _ in range(2)]
    for _ in range(2):
        conn = ask(t, server)
        seen = set()
        while not harness.came(conn):
            for peer in peers:
                for said in peer.said():
                    if said["type"] == "request":
                        seen.add(peer)
                        peer.send_reset(said["stream"], 504, "cannot connect: refused", UNREACHED)
            clock.go(0.2)
            server.settle()
        answer = conn.answer()
        equal((answer.status, answer.json()["detail"], len(seen)), (504, "cannot connect: refused", 2), "answer")


@scenario()
def a_try_that_took_long(t):
    """The time that it took a client to find nobody there counts: after the wait the caller gets 504."""
    clock = Clock(t)
    server = t.server(env=clock.env)
    peer = t.tunnel(server)
    conn = ask(t, server)
    said = peer.recv_request()
    passes(clock, server, [peer], 4)
    peer.send_reset(said["stream"], 504, "no answer in 5 s", UNREACHED)
    equal(conn.answer().status, 504, "status")


@scenario()
def it_is_asked_by_itself(t):
    """A client whose service is away is asked again though nothing else happens at the server."""
    server = t.server(env={"PIPEGATE_SERVICE_WAIT": "4"})
    peer = t.tunnel(server)
    conn = ask(t, server)
    n = 0
    while not harness.came(conn):
        if harness.readable([peer.conn.sock], 0.05):
            gives_back(peer)
            n += 1
    equal(conn.answer().status, 504, "status")
    check(8 <= n <= 41, "asked %d times in 4 s" % n)


@scenario()
def it_is_asked_now_and_again(t):
    """A client whose service is away is asked every 100 ms, not over and over, and its caller may leave."""
    clock = Clock(t)
    server = t.server(env=dict(clock.env, PIPEGATE_SERVICE_WAIT="60"))
    peer = t.tunnel(server)
    conn = ask(t, server)
    for _ in range(5):
        gives_back(peer)
        peer.ping()
        peer.ping()
        clock.go(0.11)
    gives_back(peer)
    conn.abort()
    server.wait_err("by=caller")
    ms = re.search(r"status=499 .* ms=(\d+)", server.err())
    check(int(ms.group(1)) >= 500, "the log has the time of the last try alone: " + ms.group(0))
    clock.go(1)
    equal([m for m in peer.said() if m["type"] == "request"], [], "requests after that")


@scenario(quick=True)
def no_wait_at_all(t):
    """With PIPEGATE_SERVICE_WAIT=0 the caller gets 504 once each client was asked, and what was unanswered is 502."""
    server = t.server(env=AT_ONCE)
    peers = [t.tunnel(server) for _ in range(2)]
    conn = ask(t, server, method="DELETE")
    for peer in reversed(peers):
        gives_back(peer)
    equal(conn.answer().status, 504, "status")
    conn = ask(t, server)
    stream = peers[1].recv_request()["stream"]
    peers[1].send_reset(stream, 502, "no answer", UNANSWERED)
    equal(conn.answer().status, 502, "status")
    equal([m for p in peers for m in p.said() if m["type"] == "request"], [], "requests after that")


@scenario()
def it_is_left_alone(t):
    """While another stands a client whose service is away gets no request for 1, 2, 4 ... 60 s; once it has been
    reached that begins anew."""
    clock = Clock(t)
    server = t.server(env=clock.env)
    good, bad = t.tunnel(server), t.tunnel(server)
    for pause in (1, 2, 4, 8, 16, 32, 60, 60):
        conn = ask(t, server)
        gives_back(bad)
        answers(good, conn)
        passes(clock, server, (good, bad), pause - 0.5)
        answers(good, ask(t, server))
        equal([m for m in bad.said() if m["type"] == "request"], [], "requests within %d s" % pause)
        passes(clock, server, (good, bad), 0.6)
    answers(bad, ask(t, server))
    begins_anew(t, clock, server, good, bad)
    answers(bad, ask(t, server))
    begins_anew(t, clock, server, good, bad)
    conn = ask(t, server, method="POST", fields=[("Content-Length", "9")])
    stream = bad.recv_request()["stream"]
    bad.send_window(stream, 9)
    bad.send_reset(stream, 502, "broken off")
    equal(conn.answer().status, 502, "of which the service took something")
    begins_anew(t, clock, server, good, bad)
    answers(bad, ask(t, server))


def begins_anew(t, clock, server, good, bad):
    """However many requests find at once that the service is away, it is left alone for 1 s."""
    conns = [ask(t, server, "/demo/%d" % n) for n in range(6)]
    for said in [bad.recv_request() for _ in range(3)]:
        bad.send_reset(said["stream"], 504, "cannot connect", UNREACHED)
    for _ in conns:
        good.send_response(good.recv_request()["stream"], 204)
    equal([conn.answer().status for conn in conns], [204] * 6, "statuses")
    passes(clock, server, (good, bad), 1.1)


# ------------------------------------------------------- nothing of an answer


def closes(origin, path, times, octets=b""):
    """The service ends so many connections upon requests for path, with so much of an answer, before it answers."""
    left = [times]

    def answer(request, conn, origin):
        left[0] -= 1
        if left[0] >= 0:
            conn.send_quietly(octets)
        else:
            harness.reply(conn, 200, [("Connection", "close")], b"ok")
        return True
    origin.on(path, answer)


@scenario(quick=True)
def unanswered_ones_go_once_more(t):
    """A GET or HEAD whose connection ended before an octet of the answer is sent once more; what has a body or another
    method, or of which a part has come, is not."""
    origin, server, _ = t.trio()
    kept = t.conn(server)
    cases = [("GET", None, b"", 1, 200), ("HEAD", None, b"", 1, 200), ("GET", None, b"", 2, 502),
             ("GET", b"x", b"", 1, 502), ("POST", b"x", b"", 1, 502), ("POST", None, b"", 1, 502),
             ("PUT", b"", b"", 1, 502), ("DELETE", None, b"", 1, 502), ("OPTIONS", None, b"", 1, 502),
             ("GET", None, b"HTTP/1.1 2", 1, 502), ("GET", None, b"HTTP/1.1 103 Early Hints\r\n\r\n", 1, 502)]
    for i, (method, body, octets, times, status) in enumerate(cases):
        closes(origin, "/%d" % i, times, octets)
        conn = kept if i < 2 else t.conn(server)
        conn.send(request_octets(method, "/demo/%d" % i, (), body))
        if b"103" in octets:
            conn.head()
        equal(conn.answer(method).status, status, "%s %r after %r" % (method, body, octets))
        equal(len(origin.seen("/%d" % i)), 2 if method in ("GET", "HEAD") and not body and not octets else 1, "times")


@scenario()
def a_third_try_that_fails_is_the_last(t):
    """A GET that the client itself has sent once more, since a kept connection turned out to be closed, and that was
    unanswered again, goes out for a last time: a service that is killed may take connections to its end."""
    origin, server, _ = t.trio()
    for n in range(3):
        equal(t.get(server, "/demo/kept").status, 200, "so that a connection is kept")
        closes(origin, "/%d" % n, 4)
        equal(t.get(server, "/demo/%d" % n).status, 502, "status")
        equal(len(origin.seen("/%d" % n)), 3, "times")


@scenario()
def an_unanswered_one_waits_too(t):
    """A service that ends upon a GET and is gone: the GET waits until it is there again, and goes once more."""
    sock, url = nobody_listens(t)
    server = t.server(env={"PIPEGATE_SERVICE_WAIT": "60"})
    origin = listens(t, sock)
    origin.on("/last", lambda request, conn, origin: origin.stop() or conn.abort())
    client = t.client(server, url)
    equal(t.get(server, "/demo/first").status, 200, "so that a connection is kept")
    conn = ask(t, server, "/demo/last")
    waits_for(client)
    again = Origin(socket.create_server(("127.0.0.1", origin.port)))
    t.defer(again.stop)
    equal(conn.answer().status, 200, "status")
    equal((len(origin.seen("/last")), len(again.seen("/last"))), (1, 1), "times")


SERVICE = r"""
import http.server, os, sys, time
class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def answer(self):
        body = self.rfile.read(int(self.headers.get("content-length", 0)))
        if self.command == "POST":
            os.write(seen, self.path.encode() + b"\n")
        self.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
    do_GET = do_POST = answer
    def log_message(self, *args):
        pass
seen = os.open(sys.argv[2], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
class Server(http.server.ThreadingHTTPServer):
    request_queue_size = 128
Server(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
"""


@scenario()
def a_service_that_restarts(t):
    """A service that is killed and started again, over and over, under load: no GET fails, no POST comes twice."""
    port, seen = harness.free_port(), os.path.join(t.folder, "seen")
    start = lambda: t.spawn([sys.executable, "-c", SERVICE, str(port), seen], name="service")
    server = t.server(env={"PIPEGATE_SERVICE_WAIT": "60"})
    service = start()
    wait(lambda: listens_at(port), "the service")
    t.client(server, "http://127.0.0.1:%d" % port)
    over, failed, done = threading.Event(), [], [0]

    def caller(n):
        conn, i = t.conn(server), 0
        while not over.is_set():
            i += 1
            method = "POST" if i % 5 == 0 else "GET"
            status = conn.request(method, "/demo/%d-%d" % (n, i), (), b"x" if method == "POST" else None, 60).status
            done[0] += 1
            if method == "GET" and status != 200:
                failed.append(status)
            over.wait(0.05)
    callers = [t.background(lambda n=n: caller(n)) for n in range(8)]
    for _ in range(5):
        before = done[0]
        wait(lambda: done[0] >= before + 100, "100 requests", 60)
        service.kill()
        service = start()
    over.set()
    for one in callers:
        one.result(60)
    equal(failed, [], "GETs that failed")
    with open(seen) as f:
        posts = f.read().split()
    check(len(posts) > 20 and len(set(posts)) == len(posts), "%d POSTs, %d of them different" % (len(posts), len(set(posts))))


# ------------------------------------------------------------ a silent client


@scenario()
def silent_clients_are_passed_over(t):
    """A client of two that says nothing for a second, with a request at work, is pinged, and new requests go to the
    other even where that has more to do; until it is heard again."""
    clock = Clock(t)
    server = t.server(env=clock.env)
    busy, silent = t.tunnel(server), t.tunnel(server)
    asked = [ask(t, server, "/demo/%d" % n) for n in range(5)]
    held = [silent.recv_request() for _ in range(3)]
    for _ in range(2):
        busy.recv_request()
    for said in held[1:]:       # so that it has the least to do
        silent.send_response(said["stream"], 204)
        equal(asked[int(said["target"][1:])].answer().status, 204, "status")
    clock.go(1.1)
    busy.ping()
    equal(silent.recv_frame()[1], harness.PING, "what comes to the silent one")
    answers(busy, ask(t, server, "/demo/new"))
    silent.ping()
    answers(silent, ask(t, server, "/demo/heard"))


@scenario()
def the_only_client_is_not_asked_for_a_word(t):
    """One that serves its id alone is pinged as any idle one: none could take its place."""
    clock = Clock(t)
    server = t.server(env=clock.env)
    peer = t.tunnel(server)
    ask(t, server)
    peer.recv_request()
    clock.go(5)
    t.tunnel(server, sub="other").ping()
    equal((peer.said(), peer.pings), ([], 0), "what comes to it")


@scenario()
def a_frozen_client(t):
    """A client that is stopped keeps what it has; what comes a second later goes to the other."""
    clock = Clock(t)
    origin, server = t.origin(), t.server(env=clock.env)
    t.client(server, origin)
    frozen = t.client(server, origin)
    frozen.send_signal(signal.SIGSTOP)
    t.defer(lambda: frozen.send_signal(signal.SIGCONT))
    lost = ask(t, server, "/demo/lost")
    server.settle()
    clock.go(1.1)
    for i in range(20):
        conns = [ask(t, server, "/demo/%d-%d" % (i, n)) for n in range(5)]
        equal([conn.answer().status for conn in conns], [200] * 5, "those that come later")
    check(not harness.came(lost), "an answer to the first")
    frozen.send_signal(signal.SIGCONT)
    equal(lost.answer().status, 200, "the first, once it goes on")
