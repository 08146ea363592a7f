"""Attacks by many and by the hostile.  Meanwhile callers of another tunnel on
the same server must see no fault, and the server must keep to its memory; and
afterwards everything comes back.  Most come in two sizes: a short one, and
one "in full" for LONG=1."""
import json
import os
import random
import signal
import socket
import struct
import time
import uuid

import harness
from harness import (scenario, equal, check, ask, pattern,
                     request_octets, token, Conn, Failed,
                     TEXT, BINARY_FRAME, PING)
from siege import (Calm, Siege, idle, reading, cut, plain, flood, sizes,
                   MIB, SANITIZED)

# --------------------------------------------------------------- many callers


@sizes(800, 5000)
def slow_heads(t, n):
    """Heads that come an octet at a time are cut off after 10 s, and harm nobody before."""
    siege = Siege(t)
    siege.gather(n, b"GET /calm/echo HTTP/1.1\r\nHost: h\r\nX-A: ")
    for _ in range(4 if n < 5000 else 14):
        siege.say(b"a")
        time.sleep(0.25 if n < 5000 else 1)
    if n == 5000:
        open_ones = [s for s in siege.crowd if not gone(s)]
        equal(len(open_ones), 0, "heads that are still awaited")
    siege.end()


def gone(sock):
    """Whether the peer has ended this connection; what it said is dropped."""
    sock.setblocking(False)
    try:
        while sock.recv(4096):
            pass
        return True
    except BlockingIOError:
        return False
    except OSError:
        return True


@sizes(800, 5000)
def slow_bodies(t, n):
    """Bodies that come an octet at a time hold up nobody else."""
    siege = Siege(t)
    peer = t.tunnel(siege.server, sub="slow", streams=1024)
    reading(t, peer)
    siege.fds += 1
    siege.gather(n, b"POST /slow/x HTTP/1.1\r\nHost: h\r\nContent-Length: 1000\r\n\r\n")
    for _ in range(4 if n < 5000 else 10):
        siege.say(b"a")
        time.sleep(0.25 if n < 5000 else 1)
    siege.end()


@sizes(1000, 5000)
def idle_callers(t, n):
    """Connections that say nothing cost little, and no CPU."""
    siege = Siege(t)
    siege.gather(n)
    siege.calm.stop()
    time.sleep(1)
    idle(t, siege.server, 2)
    for sock in siege.crowd[::100]:
        check(not gone(sock), "closed at once")
    siege.end()


@sizes(5000, 100000)
def invented_ids(t, n):
    """Ids that nobody serves get 503, and leave nothing behind."""
    siege = Siege(t, budget=16 * MIB, PIPEGATE_OFFLINE_WAIT="0")
    names = random.Random(1)
    conns = [t.conn(siege.server) for _ in range(10)]
    for _ in range(n // 100):
        for conn in conns:
            conn.send(b"".join(request_octets("GET", "/%x/x" % names.getrandbits(256))
                               for _ in range(10)))
        for conn in conns:
            for _ in range(10):
                equal(conn.answer().status, 503, "status")
    for conn in conns:
        conn.close()
    siege.end(2048)


@sizes(1500, 6000)
def invented_ids_that_may_come(t, n):
    """Nor do ids that somebody could be coming back for after a start: some wait, the others get 503."""
    siege = Siege(t, budget=16 * MIB)
    siege.gather(n, lambda i: request_octets("GET", "/may-come-%d/x" % i, fields=[("X-A", "a" * 5000)]))
    time.sleep(0.5)
    siege.end()


@sizes(300, 1000)
def bad_upgrades(t, n):
    """WebSocket handshakes without a token or with a bad one are soon rid of, though they never close."""
    siege = Siege(t)
    octets = [harness.upgrade_octets("/"), harness.upgrade_octets("/?token=x.y.z"),
              harness.upgrade_octets("/?token=" + token(secret="another secret, of 32 octets and more"))]
    siege.gather(n, lambda i: octets[i % 3])
    t.wait(lambda: all(map(gone, siege.crowd)), "their end", 20)
    siege.end()


@sizes(300, 1000)
def half_done_upgrades(t, n):
    """Handshakes that never come to their end are cut off as slow heads are."""
    siege = Siege(t)
    whole = harness.upgrade_octets("/?token=" + token("calm"))
    siege.gather(n, lambda i: whole[:len(whole) - 1 - i % 40])
    t.wait(lambda: all(map(gone, siege.crowd)), "their end", 20)
    siege.end()


@sizes(700, 3000)
def big_heads(t, n):
    """Heads of 32 KiB that all wait for their last octet stay within the budget, and leave room for others."""
    siege = Siege(t, budget=16 * MIB if n < 3000 else 64 * MIB)
    siege.gather(n, b"GET /calm/x HTTP/1.1\r\nHost: h\r\n" + b"X-A: " + b"a" * 32000 + b"\r\n")
    time.sleep(1)
    siege.end()


@sizes(1500, 6000)
def middling_heads(t, n):
    """So do many more that are smaller."""
    siege = Siege(t, budget=16 * MIB if n < 6000 else 64 * MIB)
    siege.gather(n, b"GET /calm/x HTTP/1.1\r\nHost: h\r\n" + b"X-A: " + b"a" * 2500 + b"\r\n")
    time.sleep(1)
    siege.end()


@sizes(500, 3000)
def answers_that_nobody_reads(t, n):
    """Callers that send request on request and read no answer are not given memory without end."""
    siege = Siege(t, budget=8 * MIB if n < 3000 else 64 * MIB, PIPEGATE_OFFLINE_WAIT="0")
    siege.gather(n, rcvbuf=2048)
    many = b"GET /no-one/x HTTP/1.1\r\nHost: h\r\n\r\n" * 900
    for _ in range(20):
        siege.say(many)
    time.sleep(1)
    siege.say(many)
    siege.end()


@sizes(40, 100)
def large_v1_bodies(t, n):
    """Bodies of 10 MB towards a v1 client are taken while there is room, and refused with 503 when not."""
    siege = Siege(t, budget=32 * MIB if n < 100 else 64 * MIB)
    peer = t.tunnel(siege.server, sub="heavy", v2=False)
    reading(t, peer)
    siege.fds += 1
    body = b"x" * 10000000
    head = b"POST /heavy/x HTTP/1.1\r\nHost: h\r\nContent-Length: 10000000\r\n\r\n"
    siege.gather(n, head)
    left = {s: memoryview(body) for s in siege.crowd}
    end = time.monotonic() + (3 if n < 100 else 10)
    while left and time.monotonic() < end:
        for sock in list(left):
            try:
                left[sock] = left[sock][sock.send(left[sock][:262144]):]
            except BlockingIOError:
                continue
            except OSError:
                del left[sock]
                continue
            if not left[sock]:
                del left[sock]
    siege.within_memory()
    statuses = {said(s)[9:12] for s in siege.crowd}
    check(statuses <= {b"", b"503"} and b"503" in statuses, "answers %r" % statuses)
    cut(peer)
    siege.fds -= 1
    siege.end()


def said(sock):
    """What has come on it so far."""
    sock.setblocking(False)
    try:
        return sock.recv(65536)
    except OSError:
        return b""


def large_download(request, conn, origin):
    conn.send(b"HTTP/1.1 200 OK\r\nContent-Length: 10000000\r\n\r\n")
    for _ in range(100):
        conn.send(HUNDRED_KB)


HUNDRED_KB = b"d" * 100000


@sizes(100, 300)
def callers_that_stop_reading(t, n):
    """Callers that ask for 10 MB each and read none of it hold up nobody, within the budget of both sides."""
    siege = Siege(t, budget=24 * MIB if n < 300 else 64 * MIB)
    origin = t.origin().on("/large", large_download)
    client = t.client(siege.server, origin, "stuck", env={"PIPEGATE_MAX_MEMORY": str(siege.budget)})
    siege.processes.append(client)
    siege.fds += 1
    fds = client.descriptors()
    siege.gather(n, request_octets("GET", "/stuck/large"), rcvbuf=4096)
    time.sleep(2 if n < 300 else 10)
    siege.end()
    t.wait(lambda: client.descriptors() <= fds + 2, "the client's descriptors", 20)
    check(SANITIZED or client.status_kb("VmHWM") * 1024 < siege.budget + 16 * MIB,
          "the client: %d KiB" % client.status_kb("VmHWM"))


@scenario()
def who_stalls_with_the_budget_full(t):
    """With the budget full of answers that nobody reads, those that have stood still for 30 s are broken off one by one,
    until there is room: requests that were refused are served again, and the others stay."""
    clock = harness.Clock(t)
    server = t.server(env=dict(clock.env, PIPEGATE_MAX_MEMORY=str(MIB)))
    peer = t.tunnel(server, streams=1024)
    stuck, broken = {}, []

    def listen(seconds):
        """What comes from the server as its clock goes on; grants are used up."""
        clock.go(seconds)
        messages = peer.said()
        for message in messages:
            stream = message["stream"]
            if message["type"] == "window":
                feed(stream, message["bytes"])
            elif message["type"] == "reset":
                broken.append(stream)
        return messages

    def feed(stream, credit):
        while credit:
            n = min(credit, 16384)
            peer.send_body(stream, bytes(n), end=False)
            credit -= n

    def arrived(conn):
        """The stream of conn's request, or None where the server itself answers."""
        requests = []
        while not requests and not harness.came(conn):
            requests = [m for m in listen(0.01) if m["type"] == "request"]
        for request in requests:
            peer.send_response(request["stream"], end=False)
            feed(request["stream"], request["window"])
            return request["stream"]

    def fill():
        """One more caller takes what there is.  Returns whether there was anything."""
        conn = t.reluctant(server).send(request_octets("GET", "/demo/x"))
        stream = arrived(conn)
        if stream is None:
            equal(conn.answer().status, 503, "status where there is no memory")
            return False
        stuck[stream] = conn
        while any(m["type"] == "window" for m in listen(0.01)):
            pass
        return True
    while fill():
        pass
    for _ in range(3):
        listen(5)
    equal(broken, [], "streams that were broken off before their time")
    for _ in range(40):
        listen(1)
    check(0 < len(broken) < len(stuck) / 2, "%d of %d were broken off" % (len(broken), len(stuck)))
    for stream in broken:
        stuck[stream].rest()
        check(stuck[stream].reset, "a break that looks like an end")
    conn = ask(t, server)
    check(arrived(conn) is not None, "a request afterwards is refused")
    equal(conn.head().status, 200, "status of a request afterwards")


@sizes(60, 300)
def uploads_that_nobody_takes(t, n):
    """Nor do bodies that a client gives no end of credit for and never reads."""
    siege = Siege(t, budget=16 * MIB if n < 300 else 64 * MIB)
    peer = t.tunnel(siege.server, sub="deaf", window=1 << 40, streams=1024)
    siege.fds += 1
    siege.gather(n, b"POST /deaf/x HTTP/1.1\r\nHost: h\r\nContent-Length: 10000000\r\n\r\n")
    end = time.monotonic() + (2 if n < 300 else 8)
    while time.monotonic() < end:
        siege.say(HUNDRED_KB)
        time.sleep(0.01)
    siege.within_memory()
    cut(peer)
    siege.fds -= 1
    siege.end()


@scenario(quick=True)
def absurd_credit(t):
    """Credit past 2^40 closes the link; just under it, it is only a number."""
    server = t.server(env={"PIPEGATE_MAX_BODY_BYTES": "0"})
    peer = t.tunnel(server, window=1 << 40)
    ask(t, server, "/demo/x", method="POST", body=b"x" * 50000)
    equal(peer.recv_body(peer.recv_request()["stream"]), (b"x" * 50000, "end"), "a body within it")
    peer.close()
    for grants, code in ((256, None), (257, 1002)):
        peer = t.tunnel(server, window=0)
        conn = ask(t, server, "/demo/x", method="POST", fields=[("Content-Length", "1" + "0" * 13)])
        stream = peer.recv_request()["stream"]
        grant = harness.message(harness.WINDOW, stream, b"\xff" * 4)
        peer.conn.send_quietly(peer.frame(BINARY_FRAME, grant) * grants)
        if code is None:
            peer.ping()
        else:
            peer.wait_close(code)
            equal(conn.answer().status, 502, "the caller")
        peer.close()
    for window in (-1, 1 << 64, 1 << 63, 1.5, "x", None):
        conn = t.conn(server).send(harness.upgrade_octets("/?token=" + token(), [
            ("Sec-WebSocket-Protocol", harness.V2),
            ("X-PipeGate", json.dumps({"instance": str(uuid.uuid4()), "streams": window, "window": window}))]))
        conn.head()
        conn.close()
    equal(t.get(server, "/healthz").status, 200, "health")


# -------------------------------------------------------------- hostile links


def links_attack(t, octets, seconds, v2=True, links=4, greeting=b"", budget=32 * MIB, reads=False):
    """links tunnel clients, each of which sends octets over and over."""
    siege = Siege(t, budget=budget)
    peers = [t.tunnel(siege.server, sub="hostile-%d" % i, v2=v2) for i in range(links)]

    def attack(peer):
        peer.conn.send_quietly(greeting)
        return flood(peer, octets, seconds)
    works = [t.background(lambda p=p: attack(p)) for p in peers]
    if reads:
        for peer in peers:
            reading(t, peer)
    taken = sum(w.result(seconds + 20) for w in works)
    check(taken > 0, "nothing was taken")
    siege.within_memory()
    for peer in peers:
        cut(peer)
    siege.end()
    return siege


@sizes(1.5, 10)
def ping_flood(t, seconds):
    """Pings as fast as they go starve nobody."""
    links_attack(t, plain(PING, b"p" * 125) * 500, seconds)
    links_attack(t, plain(PING) * 5000, seconds, links=2)


@sizes(1.5, 10)
def fragments_of_one_octet(t, seconds):
    """A message in fragments of one octet, and pings between them, starve nobody."""
    for v2 in (True, False):
        links_attack(t, plain(0, b" ", fin=0) * 5000, seconds, v2=v2, links=2,
                     greeting=plain(BINARY_FRAME if v2 else TEXT, b"{", fin=0))


@sizes(1.5, 10)
def empty_continuations(t, seconds):
    """Nor does a message that goes on for ever with nothing in it."""
    for v2 in (True, False):
        links_attack(t, plain(0, fin=0) * 5000, seconds, v2=v2, links=2, greeting=plain(TEXT, fin=0))


@sizes(1.5, 10)
def message_floods(t, seconds):
    """Small messages that change nothing starve nobody, and are not kept."""
    messages = [harness.message(kind, 0, octets) for kind, octets in (
        (harness.WINDOW, b"\0\0\0\1"), (harness.ACK, b"\0\0\0\1"), (harness.NOTE, b'{"a":[1,2,3]}'), (harness.LEAVE, b""),
        (9, b"x" * 100), (255, b""))]
    links_attack(t, b"".join(plain(BINARY_FRAME, m) for m in messages) * 50, seconds)


def bombs():
    """JSON that is meant to cost time, stack or memory: (name, octets)."""
    many = 30000
    yield "deep lists", b"[" * 100000
    yield "deep and closed", b'{"a":' + b"[" * 60000 + b"]" * 60000 + b"}"
    yield "deep objects", b'{"a":' * 20000 + b"1" + b"}" * 20000
    yield "members", b"{" + b",".join(b'"%x":1' % i for i in range(10000)) + b"}"
    yield "one name", b"{" + b",".join([b'"correlation_id":1'] * 1000) + b"}"
    yield "values", b'{"type":"x","a":[' + b"1," * many + b"1]}"
    yield "escapes", b'{"type":"' + b"\\u0041" * 20000 + b'"}'
    yield "escaped names", b"{" + b",".join([b'"\\u0074ype":"x"'] * 6000) + b"}"
    yield "pairs", b'{"type":"' + b"\\ud83d\\ude00" * 10000 + b'"}'
    yield "quotes", b'{"type":"' + b'\\"' * 60000 + b'"}'
    yield "digits", b'{"type":"ack","received":' + b"9" * 120000 + b"}"
    yield "fraction", b'{"type":"ack","received":1.' + b"0" * 120000 + b"1}"
    yield "exponent", b'{"type":"ack","received":1e' + b"9" * 60 + b"}"
    yield "white space", b" " * 130000 + b"{}"
    yield "open string", b'{"type":"' + b"a" * 130000
    yield "fields", (b'{"type":"response","correlation_id":"%s","status_code":200,"reason":"","end":true,"headers":['
                     % str(uuid.uuid4()).encode() + b",".join([b'["a","b"]'] * 10000) + b"]}")


# A bomb must take so little that this many of them, on links of their own,
# are dealt with before the first wait for one ends.
AT_ONCE = 5


@scenario()
def bombs_over_v2(t):
    """JSON bombs in the notes of v2 close their link, or pass by, at once."""
    siege = Siege(t)
    for name, octets in bombs():
        peers = [t.tunnel(siege.server, sub="hostile-%d" % i) for i in range(AT_ONCE)]
        for peer in peers:
            peer.conn.send_quietly(plain(BINARY_FRAME, harness.message(harness.NOTE, 0, octets)) + plain(PING, b"after"))
        passed_by(name, peers)
    siege.end()


def passed_by(name, peers):
    """Each peer gets the pong for what stands behind its bomb, or a close."""
    end = harness.deadline(10)
    for peer in peers:
        try:
            while peer.recv_any((end - time.monotonic()) / harness.SLOW)[1:] != (harness.PONG, b"after"):
                pass
        except harness.Closed as closed:
            check(closed.code in (1002, 1007, 1009), "%s: %s" % (name, closed))
        except Failed as failed:
            raise Failed("%s: %s" % (name, failed))
        cut(peer)


def v1_answers(stream, size):
    """Bombs in each part of a v1 answer that is size octets or so."""
    start = b'{"correlation_id":"%s",' % stream
    end = b'"body":"","status_code":200}'
    pad = [(n, (b * (size // len(b) + 1))[:size // len(b) * len(b)]) for n, b in (
        ("escapes", b"\\u0041"), ("quotes", b'\\\\\\"'), ("letters", b"a"), ("pairs", b"\\ud83d\\ude00"))]
    for name, text in pad:
        yield "headers of " + name, start + b'"headers":"' + text + b'",' + end
        yield "a header of " + name, start + b'"headers":"{\\"a\\":\\"' + text + b'\\"}",' + end
        yield "unknown of " + name, start + b'"x":"' + text + b'","headers":"{}",' + end
        yield "body of " + name, start + b'"headers":"{}","body":"' + text + b'","status_code":200}'
    many = size // 12
    yield "members", start + b",".join(b'"m%x":1' % i for i in range(many)) + b',"headers":"{}",' + end
    yield "inner members", (start + b'"headers":"{' + b",".join(b'\\"m%x\\":\\"\\"' % i for i in range(many)) +
                            b'}",' + end)
    yield "deep", start + b'"x":' + b"[" * (size // 2) + b"]" * (size // 2) + b',"headers":"{}",' + end
    yield "inner depth", start + b'"headers":"' + b"[" * size + b'",' + end
    yield "status", start + b'"headers":"{}","body":"","status_code":2' + b"0" * size + b"}"


@sizes(300000, 9000000)
def bombs_over_v1(t, size):
    """JSON bombs in v1 answers give 502 or an answer, and take no time and little memory."""
    siege = Siege(t)
    for name, _ in v1_answers(b"", 100):
        peers = [t.tunnel(siege.server, sub="hostile-%d" % i, v2=False)
                 for i in range(AT_ONCE if size < 1000000 else 2)]
        conns = [ask(t, siege.server, "/hostile-%d/x" % i) for i in range(len(peers))]
        works = [t.background(lambda p=peer: bomb_v1(p, name, size)) for peer in peers]
        for work in works:
            work.result()
        passed_by(name, peers)
        for conn in conns:
            check(conn.answer().status in (200, 502, 503), "%s: status" % name)
            conn.close()
    siege.end()


def bomb_v1(peer, name, size):
    """Answers the request that waits at a v1 peer with a bomb."""
    stream = peer.recv_json()["correlation_id"].encode()
    peer.conn.send_quietly(plain(TEXT, dict(v1_answers(stream, size))[name]) + plain(PING, b"after"))


@sizes(4, 16)
def large_v1_answers_at_once(t, n):
    """Answers of 10 MB in v1 messages, from several links at once, stay within the budget and leave room for others."""
    siege = Siege(t, budget=24 * MIB if n < 16 else 64 * MIB)
    conns, peers = [], []
    for i in range(n):
        peers.append(t.tunnel(siege.server, sub="v1-%d" % i, v2=False))
        conns.append(ask(t, siege.server, "/v1-%d/x" % i))
    streams = [p.recv_json()["correlation_id"] for p in peers]
    body = "eHh4" * 3000000

    def answer(peer, stream):
        peer.conn.send_quietly(plain(TEXT, ('{"correlation_id":"%s","headers":"{}","body":"%s","status_code":200}'
                                            % (stream, body)).encode()))
    works = [t.background(lambda p=p, s=s: answer(p, s)) for p, s in zip(peers, streams)]
    for conn in conns:
        status = conn.head(30).status
        check(status in (200, 502, 503), "status %d" % status)
    for work in works:
        work.result(40)
    siege.within_memory()
    for peer in peers:
        cut(peer)
    for conn in conns:
        conn.abort()
    siege.end()


@scenario()
def v1_bodies_behind_a_large_one(t):
    """A body that waits behind another at a v1 client that reads slowly is not said to come too slowly."""
    server = t.server()
    peer = t.tunnel(server, v2=False)
    large = t.conn(server)
    work = t.background(lambda: large.request("POST", "/demo/large", body=b"x" * 10000000, seconds=60))
    time.sleep(1)
    small = t.conn(server).send("POST /demo/small HTTP/1.1\r\nHost: h\r\nContent-Length: 70000\r\n\r\n")
    t.background(lambda: small.send_quietly(b"y" * 70000))
    small.silent(11)
    for _ in range(2):
        peer.send_answer_v1(peer.recv_json(20)["correlation_id"])
    equal((small.answer(seconds=20).status, work.result(60).status), (200, 200), "statuses")


@sizes(32, 64)
def v1_bodies_that_stop(t, mib):
    """Bodies towards a v1 client that stop short of their end do not take the others' memory, however they fit."""
    siege = Siege(t, budget=mib * MIB)
    t.tunnel(siege.server, sub="heavy", v2=False, fields=())
    siege.fds += 1
    head = b"POST /heavy/x HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n100000\r\n"
    for size, n in ((900000, mib), (100000, 12), (10000, 40)):
        conns = siege.gather(n, head)[-n:]
        works = [t.background(lambda s=s: push(s, b"x" * size)) for s in conns]
        for work in works:
            work.result()
    time.sleep(1)
    siege.end()


def push(sock, octets):
    """Sends all of it, as far as it is taken within a few seconds."""
    sock.settimeout(3 * harness.SLOW)
    try:
        sock.sendall(octets)
    except OSError:
        pass


@sizes(4, 8)
def v1_messages_that_stop(t, n):
    """Nor do v1 messages that never come to their end."""
    siege = Siege(t, budget=32 * MIB if n < 8 else 64 * MIB)
    peers = [t.tunnel(siege.server, sub="v1-%d" % i, v2=False) for i in range(n)]
    for peer in peers:
        t.background(lambda p=peer: p.conn.send_quietly(plain(TEXT, b" " * 9000000, fin=0))).result()
    time.sleep(1)
    siege.within_memory()
    for peer in peers:
        cut(peer)
    siege.end()


@sizes(400, 3000)
def links_and_streams_that_collude(t, n):
    """A client with room for any number of streams, and callers of its own, cannot take the others' memory."""
    siege = Siege(t)
    peer = t.tunnel(siege.server, sub="greedy", streams=1000000, window=1 << 40)
    reading(t, peer)
    siege.fds += 1
    siege.gather(n, request_octets("GET", "/greedy/x"))
    time.sleep(1)
    siege.end()


# ------------------------------------------------------------ hostile origins


ENDLESS = {
    "head": (b"HTTP/1.1 200 OK\r\n", b"X-A: " + b"a" * 1000 + b"\r\n"),
    "field": (b"HTTP/1.1 200 OK\r\nX-A: ", b"a" * 1000),
    "status line": (b"HTTP/1.1 200 ", b"O" * 1000),
    "interim": (b"", b"HTTP/1.1 103 Early Hints\r\nLink: <a>\r\n\r\n"),
    "100": (b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
    "chunk extension": (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5;", b"a=b;" * 100),
    "chunks with extensions": (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
                               b"1;" + b"a" * 1000 + b"\r\nx\r\n"),
    "chunk size": (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"0" * 1000),
    "trailers": (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n", b"X-A: " + b"a" * 1000 + b"\r\n"),
    "empty lines": (b"", b"\r\n" * 500),
    "NULs": (b"", b"\0" * 1000),
}


def endless(request, conn, origin):
    start, more = ENDLESS[request.path.rsplit("/", 1)[1].replace("-", " ")]
    conn.sock.settimeout(5)
    conn.sock.sendall(start)
    for _ in range(20000):
        conn.sock.sendall(more)
    origin.endless.append(request.path)
    return True


@scenario()
def endless_answers(t):
    """An origin that never comes to its point is cut off, and its caller gets 502 or a break."""
    siege = Siege(t)
    origin = t.origin().on("/endless", endless)
    origin.endless = []
    client = t.client(siege.server, origin, "endless")
    siege.fds += 1
    for name in ENDLESS:
        conn = ask(t, siege.server, "/endless/endless/" + name.replace(" ", "-"), fields=[("Connection", "close")])
        left = conn.rest(20)
        while left.startswith(b"HTTP/1.1 1"):
            left = left.partition(b"\r\n\r\n")[2]
        head, _, body = left.partition(b"\r\n\r\n")
        check(not left or b" 502 " in head.split(b"\r\n")[0] or not body.endswith(b"0\r\n\r\n"),
              "%s: %r" % (name, left[:300]))
        conn.close()
    equal(origin.endless, [], "answers that were taken to their end")
    equal(t.get(siege.server, "/endless/echo").status, 200, "afterwards")
    siege.processes.append(client)
    siege.end()


# ------------------------------------------------------------ hostile servers


def dialled(t, origin, budget=32 * MIB):
    raw = t.tunnel_server()
    client = t.client(raw, origin, env={"PIPEGATE_MAX_MEMORY": str(budget)}, ready=False)
    return raw, raw.accept(), client


@sizes(300, 1000)
def server_that_asks_much(t, n):
    """As many requests as agreed, each with a large head, stay within the client's memory."""
    origin = t.origin()
    raw, peer, client = dialled(t, origin)
    ask_all(t, client, peer, n)


@sizes(300, 1000)
def server_that_asks_a_dead_origin(t, n):
    """So they do when the origin's host takes no connection."""
    dead = socket.create_server(("127.0.0.1", 0), backlog=0)
    t.defer(dead.close)
    fill = []
    for _ in range(8):
        fill.append(socket.socket())
        fill[-1].setblocking(False)
        fill[-1].connect_ex(dead.getsockname())
        t.defer(fill[-1].close)
    raw, peer, client = dialled(t, "http://127.0.0.1:%d" % dead.getsockname()[1])
    ask_all(t, client, peer, n, 36000)


def ask_all(t, client, peer, n, size=20000):
    reading(t, peer)
    for i in range(n):
        peer.conn.send_quietly(plain_of_server(BINARY_FRAME, harness.request_message(
            i + 1, "/never", "POST", [["x-%d" % k, "a" * 4000] for k in range(size // 4000)], end=False,
            window=(1 << 32) - 1)))
    time.sleep(0.5)
    peak = client.status_kb("VmHWM")
    check(SANITIZED or peak < 48 * 1024, "%d KiB at the peak" % peak)
    check(client.running(), "it ended")
    cut(peer)
    t.wait(lambda: client.descriptors() < 20, "its descriptors", 20)
    idle(t, client)


def plain_of_server(opcode, payload):
    """A server's frame, which has no mask, quick to make."""
    n = len(payload)
    return bytes([0x80 | opcode]) + (b"\x7e" + struct.pack(">H", n) if n < 65536 else
                                     b"\x7f" + struct.pack(">Q", n)) + payload


@scenario()
def server_that_asks_past_the_agreement(t):
    """A request past the agreed number is refused without being looked at; the link stands."""
    origin = t.origin()
    raw, peer, client = dialled(t, origin)
    agreed = json.loads(peer.handshake.get("x-pipegate"))["streams"]
    peer.conn.send_quietly(b"".join(peer.frame(BINARY_FRAME, harness.request_message(i, "/never"))
                                    for i in range(1, agreed + 2)))
    said = peer.recv_message()
    equal((said["type"], said["stream"], said["flags"], said["status_code"]),
          ("reset", agreed + 1, harness.REFUSED, 503), "the one too many")
    peer.send_reset(1)
    peer.last = agreed + 1
    last = peer.send_request("/204")
    equal(peer.recv_type("answer")["stream"], last, "once another has ended")


@sizes(400, 4000)
def v1_server_that_asks_too_much(t, n):
    """A v1 server that sends requests without end does not get all the client's memory, and the client lives on."""
    origin = t.origin()
    raw = t.tunnel_server()
    client = t.client(raw, origin, env={"PIPEGATE_MAX_MEMORY": str(8 * MIB)}, ready=False, nofile=200)
    peer = raw.accept(v2=False)
    reading(t, peer)
    for _ in range(n):
        peer.conn.send_quietly(plain_of_server(TEXT, json.dumps({
            "correlation_id": str(uuid.uuid4()), "url_path": "never", "url_query": "[]", "method": "POST",
            "headers": "{}", "body": "eHh4" * 10000}).encode()))
    time.sleep(0.5)
    peak = client.status_kb("VmHWM")
    check(SANITIZED or peak < 24 * 1024, "%d KiB at the peak" % peak)
    check(client.running(), "it ended")
    cut(peer)
    t.wait(lambda: client.descriptors() < 20, "its descriptors", 20)
    peer = raw.accept(v2=False, seconds=15)
    peer.send_request_v1("size/5")
    equal(peer.recv_json()["status_code"], 200, "afterwards")
    idle(t, client)


@scenario()
def server_that_throws_bombs(t):
    """JSON bombs from a server close the link, or pass by, and the client dials again."""
    origin = t.origin()
    for name, octets in bombs():
        pairs = [dialled(t, origin)[1:] for _ in range(AT_ONCE)]
        for peer, _ in pairs:
            peer.conn.send_quietly(peer.frame(BINARY_FRAME, harness.message(harness.NOTE, 0, octets)) +
                                   peer.frame(PING, b"after"))
        passed_by(name, [peer for peer, _ in pairs])
        for _, client in pairs:
            check(client.running(), name)
            client.terminate()


@sizes(1.5, 10)
def server_that_floods(t, seconds):
    """Floods of pings, of body past all ends and of grants leave the client small."""
    origin = t.origin()
    for opcode, payload in ((PING, b"p" * 125), (BINARY_FRAME, harness.message(harness.WINDOW, 1, b"\0\0\0\1")),
                            (BINARY_FRAME, harness.message(harness.BODY, 1, b"x" * 16384))):
        raw, peer, client = dialled(t, origin)
        peer.send_request("/204")       # so that there was a stream 1
        flood(peer, peer.frame(opcode, payload) * 200, seconds)
        peak = client.status_kb("VmHWM")
        check(SANITIZED or peak < 48 * 1024, "%d KiB at the peak" % peak)
        check(client.running(), "it ended")
        cut(peer)
        raw.accept(seconds=15)
        idle(t, client)
        client.terminate()


# ------------------------------------------------------- descriptors, the log


@scenario()
def sixty_four_descriptors(t):
    """With 64 descriptors and 1,000 connections the server neither ends nor spins, and serves afterwards."""
    server = t.server(nofile=64)
    socks = []
    for _ in range(1000):
        sock = socket.socket()
        sock.setblocking(False)
        sock.connect_ex(("127.0.0.1", server.port))
        socks.append(sock)
        t.defer(sock.close)
    time.sleep(0.5)
    idle(t, server, 2, turns=3 * len(socks))
    for sock in socks:
        sock.close()
    t.wait(lambda: healthy(t, server), "an answer", 20)
    t.wait(lambda: server.descriptors() < 15, "its descriptors", 20)
    idle(t, server)


def healthy(t, server):
    try:
        return t.get(server, "/healthz", seconds=2).status == 200
    except (Failed, OSError):
        return False


@scenario()
def started_with_nothing_open(t):
    """Started with stdin, stdout and stderr closed, server and client serve, and no log gets into a connection."""
    port = harness.free_port()
    shut = ("/bin/sh", "-c", 'exec "$@" <&- >&- 2>&-', "sh")
    server = t.server(port=port, ready=False, under=shut)
    server.port, server.url = port, "ws://127.0.0.1:%d/" % port
    t.wait(lambda: healthy(t, server), "an answer")
    origin = t.origin()
    client = t.client(server, origin, ready=False, under=shut)
    conns = [ask(t, server, "/demo/size/%d" % (5000 * i)) for i in range(20)]
    for i, conn in enumerate(conns):
        check(conn.answer().body == pattern(5000 * i), "answer %d" % i)
    t.conn(server).send_quietly(b"rubbish\r\n\r\n").rest()
    equal(t.get(server, "/demo/echo").status, 200, "afterwards")
    for process in (client, server):
        equal(process.terminate(), 0, "exit status")


@scenario(quick=True)
def log_that_nobody_reads(t):
    """A stderr that is a full pipe blocks nothing, and says afterwards how much it missed."""
    path = os.path.join(t.folder, "full")
    os.mkfifo(path)
    pipe = os.open(path, os.O_RDWR | os.O_NONBLOCK)
    t.defer(lambda: os.close(pipe))
    try:
        while True:
            os.write(pipe, b"." * 4096)
    except BlockingIOError:
        pass
    into = ("/bin/sh", "-c", 'pipe=$1; shift; exec "$@" 2>"$pipe"', "sh", path)
    server = t.server(under=into)
    origin = t.origin()
    client = t.client(server, origin, under=into)
    conn = t.conn(server)
    for _ in range(600):
        equal(conn.get("/demo/size/10").status, 200, "status")
        equal(conn.get("/none%d" % _ + "a" * 100).status, 307, "status")
    for process in (server, client):
        idle(t, process)
    left = b""
    while True:
        try:
            left = os.read(pipe, 1 << 20)[-100:]
        except BlockingIOError:
            break
    conn.get("/demo/size/10")
    t.get(server, "/healthz")

    def noted():
        nonlocal left
        try:
            left += os.read(pipe, 1 << 20)
        except BlockingIOError:
            conn.get("/demo/size/10")
        return b"lines dropped" in left or b"event" in left
    t.wait(noted, "a line in the log")


# ------------------------------------------------------- stopped, and killed


@sizes(1.5, 8)
def stopped_and_continued(t, seconds):
    """SIGSTOP and SIGCONT of either side under load cost nobody an answer."""
    server = t.server()
    calm = Calm(t, server, seconds=seconds + 8)
    for process in (server, calm.client, server):
        os.kill(process.pid, signal.SIGSTOP)
        rounds = calm.rounds
        t.holds(lambda: calm.rounds <= rounds + 1, "answers through a process that is stopped", seconds)
        os.kill(process.pid, signal.SIGCONT)
        t.wait(lambda: calm.rounds > rounds + 1, "answers after it", seconds + 8)
    calm.stop()
    for process in (server, calm.client):
        idle(t, process)


def visible(octets, method, body):
    """Whether what a caller got is the right answer, an error's, or a break
    that shows; the reason if not."""
    head, mark, got = octets.partition(b"\r\n\r\n")
    if not mark:
        return None
    answer = harness.Answer(head + mark)
    if answer.status in (502, 503, 504):
        return None
    if answer.status != 200:
        return "status %d" % answer.status
    if answer.get("content-length") is not None:
        whole = len(got) == int(answer.get("content-length"))
        if len(got) > int(answer.get("content-length")):
            return "more than it said"
        return "wrong" if whole and got != body or body[:len(got)] != got else None
    if got.endswith(b"0\r\n\r\n"):
        conn = Conn(None)
        conn.buf += got
        return None if conn.chunks(answer) == body else "wrong and ended"
    return None


@sizes(8, 30)
def killed_at_any_moment(t, rounds):
    """Whoever is killed whenever: each caller has its right answer or a break that shows, and no POST comes twice."""
    origin = t.origin()
    dice = random.Random(7)
    for n in range(rounds):
        server = t.server(env={"PIPEGATE_OFFLINE_WAIT": "0"})
        client = t.client(server, origin)
        cases = []
        for i in range(12):
            body = pattern(dice.choice((0, 10, 40000, 700000)), i)
            post = i % 3 == 0
            if post:
                octets = request_octets("POST", "/demo/raw/%d/%d" % (n, i), [("Connection", "close")], body)
            else:
                body = pattern(len(body))
                octets = request_octets("GET", "/demo/%s/%d" % (("size", "chunked")[i % 2], len(body)),
                                        [("Connection", "close")])
            conn = t.conn(server)
            cases.append((conn, octets, "POST" if post else "GET", body))

        def whole(case):
            conn, octets, method, body = case
            conn.send_quietly(octets)
            conn.reset = False
            return visible(conn.rest(20), method, body)
        works = [t.background(lambda c=c: whole(c)) for c in cases]
        time.sleep(dice.random() * 0.06 * harness.SLOW)
        (server if n % 2 else client).kill()
        for work, case in zip(works, cases):
            fault = work.result(30)
            check(fault is None, "round %d: %s: %r" % (n, fault, case[1][:60]))
        (client if n % 2 else server).kill()
    paths = [r.path for r in origin.seen("/raw/")]
    equal(len(paths), len(set(paths)), "POSTs, each once")
