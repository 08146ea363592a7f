"""The v2 wire, each end of it met by a peer written by hand."""
import json
import re
import signal
import struct
import time
import uuid

import harness
from harness import (scenario, equal, contains, check, ask, ended, pattern, token, Closed, Failed,
                     TEXT, BINARY_FRAME, CLOSE, PING, PONG)

GOOD = {"type": "window", "correlation_id": str(uuid.UUID(int=1)), "bytes": 1}


def exchange(t, server, peer, answer=b"answer"):
    """One whole request and answer, to see that the link is alive."""
    conn = ask(t, server)
    stream = peer.recv_request()["correlation_id"]
    peer.send_response(stream, end=False)
    peer.send_body(stream, answer)
    equal(conn.answer().body, answer, "answer")
    conn.close()
    return stream


# ------------------------------------------------------------- the handshake


@scenario(quick=True)
def server_selects_v2(t):
    """v2 is selected where it is offered, with X-PipeGate in the 101; without the offer neither is there."""
    server = t.server()
    peer = t.tunnel(server)
    check(peer.v2, "not selected")
    hello = json.loads(peer.answer.get("x-pipegate"))
    equal(hello["received"], 0, "received")
    peer = t.tunnel(server, sub="other", v2=False)
    equal(peer.answer.all("sec-websocket-protocol") + peer.answer.all("x-pipegate"), [], "without the offer")


@scenario(quick=True)
def bad_tokens(t):
    """A bad token completes the handshake and is then closed with 1008 and a reason that says which fault."""
    server = t.server()
    now = int(time.time())
    none = {"alg": "none", "typ": "JWT"}
    cases = {
        "missing": ("", ""), "rubbish": ("x", ""), "expired": (token(exp=now - 1), "expired"),
        "not yet": (token(nbf=now + 60), "not"), "issued later": (token(iat=now + 60), ""),
        "issuer": (token(iss="other"), "issuer"), "audience": (token(aud="other"), "audience"),
        "signature": (token(secret="another secret, also of 32 octets"), "signature"),
        "alg none": (token(header=none), "alg"), "alg HS512": (token(header={"alg": "HS512"}), "alg"),
        "alg in lower case": (token(header={"alg": "hs256"}), "alg"),
        "alg none, no MAC": (token(header=none).rpartition(".")[0] + ".", ""),
        "crit": (token(header={"alg": "HS256", "crit": ["x"]}), "header"),
        "no exp": (token(exp=None), "exp"), "no sub": (token(sub=None), "connection id"), "no jti": (token(jti=None), "jti"),
        "exp as text": (token(exp=str(now + 60)), "exp"), "exp a fraction": (token(exp=now + 60.5), ""),
        "sub healthz": (token("healthz"), "connection id"), "sub with slash": (token("a/b"), "connection id"),
        "aud a list without us": (token(aud=["x", "y"]), "audience"),
        "four parts": (token() + ".x", ""), "padded": (token() + "=", ""),
        "two subs": (harness.token_of(json.dumps(harness.claims())[:-1] + ', "sub": "other"}'), ""),
    }
    for name, (text, part) in cases.items():
        peer = t.tunnel(server, target="/?token=" + text if text else "/")
        try:
            closed = peer.wait_close(1008)
        except Failed as failed:
            raise Failed("%s: %s" % (name, failed))
        check(closed.reason, name + ": no reason")
        contains(closed.reason.lower(), part, name)
        check(text == "" or len(text) < 5 or text not in server.err(), name + ": token in the log")


@scenario()
def good_tokens(t):
    """Integral floats, nbf within 5 s, an audience list and a Bearer header are taken."""
    server = t.server()
    now = int(time.time())
    for text in (token(exp=now + 60.0), token(nbf=now + 3, iat=now + 3), token(aud=["x", "pipegate"])):
        peer = t.tunnel(server, bearer=text)
        peer.ping()
        peer.close()
    peer = t.tunnel(server, target="/", fields=[("Authorization", "Bearer " + token())])
    exchange(t, server, peer)


@scenario()
def token_that_runs_out(t):
    """When a token expires, its v2 link gets leave, and 1008 once its last stream has ended."""
    server = t.server(env={"PIPEGATE_OFFLINE_WAIT": "0"})
    peer = t.tunnel(server, bearer=token(exp=int(time.time()) + 3))
    conn = ask(t, server)
    stream = peer.recv_request()["correlation_id"]
    peer.recv_type("leave", 10)
    peer.send_response(stream)
    equal(conn.answer().status, 200, "the stream that was open")
    peer.wait_close(1008)
    equal(t.get(server, "/demo/x").status, 503, "a new request")


@scenario()
def frames_with_the_handshake(t):
    """Frames that come in one segment with the handshake are read."""
    server = t.server()
    conn = t.conn(server)
    ws = harness.WebSocket(conn, masks=True)
    conn.send(harness.upgrade_octets("/?token=" + token()) + ws.frame(PING, b"early"))
    equal(conn.head().status, 101, "status")
    ws.pong(b"early")


# -------------------------------------------------------- WebSocket strictness

FRAMES = {
    "unmasked": (lambda p: p.frame(PING, b"", masked=False), 1002),
    "reserved bit 1": (lambda p: p.frame(TEXT, b"{}", rsv=4), 1002),
    "reserved bit 3": (lambda p: p.frame(TEXT, b"{}", rsv=1), 1002),
    "opcode 3": (lambda p: p.frame(3, b""), 1002),
    "opcode 11": (lambda p: p.frame(11, b""), 1002),
    "ping over 125": (lambda p: p.frame(PING, b"x" * 126), 1002),
    "ping in pieces": (lambda p: p.frame(PING, b"x", fin=0), 1002),
    "continuation of nothing": (lambda p: p.frame(0, b"x"), 1002),
    "length not minimal": (lambda p: bytes([0x81, 0xFE, 0, 5]) + b"\0" * 9, 1002),
    "length over 63 bits": (lambda p: bytes([0x81, 0xFF]) + b"\xff" * 8 + b"\0" * 4, 1002),
    "close of one octet": (lambda p: p.frame(CLOSE, b"x"), 1002),
    "close with 1005": (lambda p: p.frame(CLOSE, struct.pack(">H", 1005)), 1002),
    "close with 999": (lambda p: p.frame(CLOSE, struct.pack(">H", 999)), 1002),
    "close not UTF-8": (lambda p: p.frame(CLOSE, struct.pack(">H", 1000) + b"\xff"), 1007),
    "text not UTF-8": (lambda p: p.frame(TEXT, b'{"type":"\xff"}'), 1007),
    "text too long": (lambda p: p.frame(TEXT, b"", length=131073), 1009),
    "text of 2^62": (lambda p: p.frame(TEXT, b"", length=1 << 62), 1009),
    "binary too long": (lambda p: p.frame(BINARY_FRAME, b"", length=17 + 16385), 1009),
}
MESSAGES = {
    "not JSON": b"{",
    "a list": b"[]",
    "a number": b"1",
    "empty": b"",
    "byte order mark": b"\xef\xbb\xbf{}",
    "lone surrogate": b'{"type":"\\ud800"}',
    "two values": b"{}{}",
    "type a number": b'{"type":1}',
    "response without id": b'{"type":"response","status_code":200,"reason":"","headers":[],"end":true}',
    "window without bytes": json.dumps({"type": "window", "correlation_id": str(uuid.uuid4())}).encode(),
    "window below zero": json.dumps(dict(GOOD, bytes=-1)).encode(),
    "window as text": json.dumps(dict(GOOD, bytes="1")).encode(),
    "window of a fraction": json.dumps(dict(GOOD, bytes=1.5)).encode(),
    "id not a uuid": json.dumps(dict(GOOD, correlation_id="x")).encode(),
    "id a number": json.dumps(dict(GOOD, correlation_id=1)).encode(),
    "deep": b'{"type":' + b"[" * 60000 + b"]" * 60000 + b"}",
    "wide": b'{"type":"x","a":[' + b"1," * 60000 + b"1]}",
    "a request from the client": json.dumps({
        "type": "request", "correlation_id": str(uuid.uuid4()), "method": "GET", "target": "/",
        "headers": [], "window": 1, "end": True}).encode(),
}
BODIES = {
    "binary too short": b"\x01" + b"x" * 15,
    "first octet 2": b"\x02" + uuid.uuid4().bytes + b"x",
    "empty binary": b"",
}


def refused(peer, name, octets, code):
    peer.conn.send_quietly(octets)
    try:
        peer.wait_close(code)
    except Failed as failed:
        raise Failed("%s: %s" % (name, failed))
    peer.close()


@scenario(quick=True)
def server_refuses_bad_frames(t):
    """Each breach of RFC 6455 closes the link with its code, and harms nobody else."""
    server = t.server()
    other = t.tunnel(server, sub="other")
    for name, (make, code) in FRAMES.items():
        peer = t.tunnel(server)
        refused(peer, name, make(peer), code)
    conn = ask(t, server, "/other/x")
    other.send_response(other.recv_request()["correlation_id"])
    equal(conn.answer().status, 200, "another tunnel")


@scenario(quick=True)
def server_refuses_bad_messages(t):
    """Malformed messages close the link with 1002."""
    server = t.server()
    cases = [(n, TEXT, m) for n, m in MESSAGES.items()]
    cases += [(n, BINARY_FRAME, b) for n, b in BODIES.items()]
    for name, opcode, payload in cases:
        peer = t.tunnel(server)
        refused(peer, name, peer.frame(opcode, payload), 1002)


@scenario()
def server_ignores_what_it_does_not_know(t):
    """Unknown types and fields, late messages and unknown ids change nothing."""
    server = t.server()
    peer = t.tunnel(server)
    peer.send_json({"type": "weather", "rain": True, "deep": {"er": [1, None]}})
    peer.send_json({"type": "ack", "received": 3, "more": 1})
    peer.send_window(str(uuid.uuid4()), 5)
    peer.send_reset(str(uuid.uuid4()))
    peer.send_response(str(uuid.uuid4()))
    peer.send_body(str(uuid.uuid4()), b"late")
    stream = exchange(t, server, peer)
    peer.send_body(stream, b"later still")
    peer.send_response(stream)
    exchange(t, server, peer)


@scenario()
def pings_are_echoed(t):
    """A ping's payload comes back, also between the frames of messages, one octet at a time."""
    server = t.server()
    peer = t.tunnel(server)
    for octet in peer.frame(PING, b"p" * 125):
        peer.conn.send(bytes([octet]))
    peer.pong(b"p" * 125)
    peer.send(harness.PONG, b"unasked")
    exchange(t, server, peer)


@scenario()
def closing_is_answered_once(t):
    """A close frame is answered with its code, then the server ends the connection."""
    server = t.server()
    for code in (1000, 1001, 3000, 4999):
        peer = t.tunnel(server)
        peer.send_close(code, "bye")
        peer.wait_close(code)
        equal(peer.conn.rest(), b"", "after the close")
    peer = t.tunnel(server)
    peer.send(CLOSE)
    peer.wait_close()


@scenario()
def server_pings_and_gives_up(t):
    """A link that says nothing is pinged after 10 s and dropped after 20 s; its callers get 502."""
    server = t.server(env={"PIPEGATE_OFFLINE_WAIT": "0"})
    peer = t.tunnel(server)
    conn = ask(t, server)
    peer.recv_request()
    peer.answers_pings = False
    conn.silent(17)
    equal(conn.answer(seconds=30).status, 502, "status")
    try:
        peer.recv(5)
    except Failed:
        pass
    check(peer.pings >= 1, "no ping came")


@scenario()
def answered_pings_keep_a_link(t):
    """A peer that answers pings and sends nothing else stays."""
    server = t.server()
    peer = t.tunnel(server)
    try:
        peer.recv(25)
    except Closed:
        raise
    except Failed:
        pass
    check(peer.pings >= 2, "%d pings" % peer.pings)
    exchange(t, server, peer)


@scenario()
def ping_floods(t):
    """A flood of pings does not grow the server: it is dropped, or answered for the newest alone."""
    server = t.server()
    peer = t.tunnel(server)
    before = server.status_kb("VmRSS")
    ping = peer.frame(PING, b"x" * 125)
    peer.conn.sock.settimeout(5)
    try:
        for _ in range(200):
            peer.conn.sock.sendall(ping * 100)
    except OSError:
        pass
    check(server.status_kb("VmRSS") - before < 4096, "it grew")
    equal(t.get(server, "/healthz").status, 200, "health")


# -------------------------------------------------- requests, server's side


@scenario(quick=True)
def request_message(t):
    """A request message has exactly what the wire description says."""
    server = t.server()
    peer = t.tunnel(server)
    ask(t, server, "/demo/a%2Fb?x=1&x=2", method="POST", body=b"hello", fields=[("X-\x7eA", "\xe4\xff"), ("x-b", "1")])
    message = peer.recv_request()
    uuid.UUID(message["correlation_id"])
    equal((message["method"], message["target"], message["end"]), ("POST", "/a%2Fb?x=1&x=2", False), "message")
    check(16384 <= message["window"] <= 262144, "window %d" % message["window"])
    contains([[n.lower(), v] for n, v in message["headers"]], ["x-~a", "\u00e4\u00ff"], "headers")
    equal(peer.recv_body(message["correlation_id"]), (b"hello", "end"), "body")


@scenario(quick=True)
def request_credit(t):
    """No more of a body comes than the credit that was given, and the rest as it is given."""
    server = t.server()
    peer = t.tunnel(server, window=1000)
    conn = ask(t, server, method="POST", body=pattern(5000))
    stream = peer.recv_request()["correlation_id"]
    got = b""
    while len(got) < 1000:
        got += peer.recv()[1][17:]
    equal(len(got), 1000, "octets on the first credit")
    peer.conn.silent(0.5)
    peer.send_window(stream, 4000)
    rest, how = peer.recv_body(stream, grant=False)
    equal((got + rest == pattern(5000), how), (True, "end"), "the rest")
    peer.send_response(stream)
    equal(conn.answer().status, 200, "status")


@scenario()
def no_credit_at_all(t):
    """A window of 0 holds the body back, not the head."""
    server = t.server()
    peer = t.tunnel(server, window=0)
    ask(t, server, method="POST", body=b"x")
    stream = peer.recv_request()["correlation_id"]
    peer.conn.silent(0.3)
    peer.send_window(stream, 1)
    equal(peer.recv_body(stream), (b"x", "end"), "body")


@scenario()
def body_past_the_credit(t):
    """A client that sends more than its credit is closed with 1002; the caller is not given a whole answer."""
    server = t.server()
    peer = t.tunnel(server)
    conn = ask(t, server)
    message = peer.recv_request()
    stream = message["correlation_id"]
    peer.send_response(stream, end=False, fields=[("content-length", "99999999")])
    conn.head()
    conn.sock.setsockopt(harness.socket.SOL_SOCKET, harness.socket.SO_RCVBUF, 4096)
    try:
        for _ in range(3000):
            peer.send_body(stream, b"x" * 16384, end=False)
    except OSError:
        pass
    try:
        peer.wait_close(1002)
    except Closed:
        raise
    except Failed:
        check(peer.conn.reset, "the link stands")
    check(len(conn.rest()) < 99999999, "whole")


@scenario(quick=True)
def credit_is_given_back(t):
    """An answer far larger than its window passes whole to a caller that reads."""
    server = t.server()
    peer = t.tunnel(server)
    conn = ask(t, server)
    message = peer.recv_request()
    stream, credit = message["correlation_id"], message["window"]
    body, at = pattern(3000000), 0
    peer.send_response(stream, end=False)
    reader = t.background(lambda: conn.answer(seconds=30))
    while at < len(body):
        while credit == 0:
            credit += peer.recv_type("window")["bytes"]
        n = min(credit, 16384, len(body) - at)
        peer.send_body(stream, body[at:at + n], end=at + n == len(body))
        at, credit = at + n, credit - n
    check(reader.result().body == body, "body")


def granted(peer):
    """The credit that the server grants before it has answered two pings."""
    return sum(m["bytes"] for m in peer.said() if m["type"] == "window")


@scenario()
def credit_counts_what_waits(t):
    """What was granted and what waits in the server for its caller exceed the window at no time: all credit that was
    ever given is no more than a window and what the caller's sockets have taken."""
    clock = harness.Clock(t)
    server = t.server(env=dict(clock.env, PIPEGATE_MAX_MEMORY=str(8 << 20)))
    peer = t.tunnel(server)
    peer.answers_pings = False      # no round trip is known
    conn = t.reluctant(server).send(harness.request_octets("GET", "/demo/x"))
    near = conn.sock.getsockname()[1]
    message = peer.recv_request()
    stream, window = message["correlation_id"], message["window"]
    equal(window, 16384, "the first window, which is the smallest")
    peer.send_response(stream, end=False, fields=[("content-length", "99999999")])
    conn.head()

    def spend(credit):
        """Uses credit up, and all that is granted meanwhile.  Returns how much that was."""
        more = 0
        while True:
            new = granted(peer)
            if not credit + new:
                server.settle()
                new = granted(peer)
            credit, more = credit + new, more + new
            if not credit:
                return more
            n = min(credit, 16384)
            clock.go(0.1)       # too slow a stream for a window that grows
            peer.send_body(stream, bytes(n), end=False)
            credit -= n
    given = first = window + spend(window)
    for n in range(0, 60000, 10000):
        taken = n + len(conn.buf) + sum(harness.queued(near, server.port))
        check(given - taken <= window, "%d octets wait in the server at a window of %d" % (given - taken, window))
        conn.take(10000)
        given += spend(0)
    check(given > first, "no credit came back for what was read")


@scenario()
def a_tight_window_grows(t):
    """A window of which half is used up in one and a quarter round trips is not yet wide enough."""
    server = t.server()
    peer = t.tunnel(server)
    trip = 0.2
    _, opcode, payload = peer.recv_frame()
    equal(opcode, PING, "what comes first")
    time.sleep(trip)    # a long wire
    peer.send(PONG, payload)
    conn = ask(t, server)
    message = peer.recv_request()
    stream, half = message["correlation_id"], message["window"] // 2
    peer.send_response(stream, end=False)
    t.background(lambda: conn.rest())
    for _ in range(20):
        time.sleep(1.25 * trip)
        for at in range(0, half, 16384):
            peer.send_body(stream, bytes(min(16384, half - at)), end=False)
        if peer.recv_type("window")["bytes"] > half:
            return
    raise Failed("it stays at %d" % (2 * half))


@scenario()
def slow_caller_stalls_nobody(t):
    """A caller that does not read holds up neither its link nor the other callers."""
    origin, server, _ = t.trio()
    stuck = [ask(t, server, "/demo/size/20000000") for _ in range(4)]
    for conn in stuck:
        conn.head(20)
    for _ in range(20):
        equal(t.get(server, "/demo/size/100", seconds=5).status, 200, "another caller")


def breaks(t, tell, note, before_head=(502, 504)):
    """tell(peer, stream) is a break: an error status before the head, a cut after it."""
    server = t.server(env={"PIPEGATE_OFFLINE_WAIT": "0"})
    peer = t.tunnel(server)
    conn = ask(t, server)
    tell(peer, peer.recv_request()["correlation_id"])
    check(conn.answer().status in before_head, note + " before the head")
    for fields in ((), [("content-length", "100")]):
        peer = t.tunnel(server)
        conn = ask(t, server)
        stream = peer.recv_request()["correlation_id"]
        peer.send_response(stream, end=False, fields=fields)
        peer.send_body(stream, b"half", end=False)
        conn.head()
        conn.until(b"half")
        tell(peer, stream)
        left = conn.rest()
        check(b"0\r\n\r\n" not in left, "%s after the head: ended as if whole" % note)
        peer.close()


@scenario(quick=True)
def reset_by_the_client(t):
    """A reset before the head gives its status to the caller; after it, the caller is broken off."""
    breaks(t, lambda peer, stream: peer.send_reset(stream, 504, "broken"), "reset", (504,))


@scenario()
def link_dropped(t):
    """A link that ends mid-request gives 502, or breaks the caller off."""
    breaks(t, lambda peer, stream: peer.conn.abort(), "drop", (502,))


@scenario()
def link_closed_politely(t):
    """So does a link that is closed with a close frame."""
    breaks(t, lambda peer, stream: peer.send_close(1001), "close", (502,))


@scenario()
def length_that_is_not_kept(t):
    """An answer shorter or longer than its Content-Length is broken off."""
    server = t.server()
    peer = t.tunnel(server)
    for body in (b"short", b"x" * 11):
        conn = ask(t, server, fields=[("Connection", "close")])
        stream = peer.recv_request()["correlation_id"]
        peer.send_response(stream, end=False, fields=[("content-length", "10")])
        peer.send_body(stream, body)
        left = conn.rest()
        check(left == b"" or left.startswith(b"HTTP/1.1 502") or
              len(left.partition(b"\r\n\r\n")[2]) < 10 or conn.reset, "taken for whole: %r" % left)
    exchange(t, server, peer)


HEADS = {
    "CR LF in a value": dict(fields=[["x-a", "b\r\nSet-Cookie: evil=1"]]),
    "LF in a value": dict(fields=[["x-a", "b\nSet-Cookie: evil=1"]]),
    "NUL in a value": dict(fields=[["x-a", "b\0"]]),
    "CR LF in a name": dict(fields=[["x-a: b\r\nSet-Cookie", "evil=1"]]),
    "empty name": dict(fields=[["", "evil"]]),
    "space in a name": dict(fields=[["Set-Cookie ", "evil=1"]]),
    "CR LF in the reason": dict(reason="OK\r\nSet-Cookie: evil=1"),
    "two lengths": dict(fields=[["content-length", "1"], ["content-length", "2"]]),
    "length not a number": dict(fields=[["content-length", "x"]]),
    "status 99": dict(status=99), "status 600": dict(status=600), "status 0": dict(status=0),
    "101 unasked": dict(status=101), "headers an object": dict(headers={}),
    "value above Latin-1": dict(fields=[["x-a", "\u20ac"]]),
    "a triple": dict(headers=[["a", "b", "c"]]),
    "too many": dict(fields=[["a", "b"]] * 400),
    "a huge one": dict(fields=[["a", "b" * 60000]]),
}


@scenario(quick=True)
def hostile_answer_heads(t):
    """A head that is not fit for HTTP never reaches the caller: 502, or the link is closed."""
    server = t.server(env={"PIPEGATE_OFFLINE_WAIT": "0"})
    for name, how in HEADS.items():
        peer = t.tunnel(server)
        conn = ask(t, server)
        peer.send_response(peer.recv_request()["correlation_id"], **how)
        answer = conn.answer()
        check(answer.status == 502 or "reason" in name, "%s: %d" % (name, answer.status))
        equal(answer.all("set-cookie"), [], name)
        peer.close()


@scenario()
def hop_by_hop_of_a_hostile_answer(t):
    """Framing fields in an answer message are not written to the caller."""
    server = t.server()
    peer = t.tunnel(server)
    conn = ask(t, server)
    stream = peer.recv_request()["correlation_id"]
    peer.send_response(stream, end=False, fields=[["Transfer-Encoding", "identity"], ["Connection", "x-a"], ["X-A", "1"]])
    peer.send_body(stream, b"hello")
    answer = conn.answer()
    equal((answer.status, answer.body), (200, b"hello"), "answer")
    check(answer.get("transfer-encoding") != "identity", "passed on")


@scenario()
def too_many_interim_answers(t):
    """16 interim answers pass; more are a fault."""
    server = t.server()
    peer = t.tunnel(server)
    conn = ask(t, server)
    stream = peer.recv_request()["correlation_id"]
    for _ in range(16):
        peer.send_response(stream, 103, end=False)
    peer.send_response(stream)
    equal(len(conn.answer().interim), 16, "interim answers")
    conn = ask(t, server, fields=[("Connection", "close")])
    stream = peer.recv_request()["correlation_id"]
    for _ in range(17):
        peer.send_response(stream, 103, end=False)
    check(b"HTTP/1.1 200" not in conn.rest(), "passed on")


@scenario()
def answers_for_others(t):
    """A client cannot answer, feed or reset a request of another tunnel, nor of another link."""
    server = t.server()
    victim, thief = t.tunnel(server), t.tunnel(server, sub="thief")
    conn = ask(t, server)
    stream = victim.recv_request()["correlation_id"]
    thief.send_response(stream, end=False)
    thief.send_body(stream, b"evil")
    thief.send_reset(stream)
    thief.ping()
    victim.send_response(stream, end=False)
    victim.send_body(stream, b"good")
    equal(conn.answer().body, b"good", "answer")


@scenario()
def two_answers(t):
    """A second answer to a request reaches nobody."""
    server = t.server()
    peer = t.tunnel(server)
    conn = ask(t, server)
    stream = peer.recv_request()["correlation_id"]
    peer.send_response(stream)
    equal(conn.answer().status, 200, "first")
    conn.send(harness.request_octets("GET", "/demo/second"))
    peer.send_response(stream, 500)
    second = peer.recv_request()["correlation_id"]
    peer.send_response(second, 204)
    equal(conn.answer().status, 204, "second request on that connection")


@scenario()
def caller_leaves(t):
    """The client is told with a reset when its caller goes away."""
    server = t.server()
    peer = t.tunnel(server)
    for leave in ("abort", "close"):
        conn = ask(t, server)
        stream = peer.recv_request()["correlation_id"]
        getattr(conn, leave)()
        equal(peer.recv_type("reset")["correlation_id"], stream, leave)
    exchange(t, server, peer)


@scenario(quick=True)
def caller_leaves_the_body(t):
    """EOF inside a request body is a break: a reset, never an end."""
    server = t.server()
    peer = t.tunnel(server)
    conn = t.conn(server).send("POST /demo/x HTTP/1.1\r\nHost: h\r\nContent-Length: 10\r\n\r\nhalf")
    stream = peer.recv_request()["correlation_id"]
    conn.half_close()
    body, how = peer.recv_body(stream)
    check(how != "end" and how["type"] == "reset", "ended with %r" % (how,))


@scenario()
def half_close_after_the_request(t):
    """EOF after a whole request with Connection: close, or of 1.0, still gets its answer."""
    origin, server, _ = t.trio()
    for line, fields in (("GET /demo/echo HTTP/1.1", "Connection: close\r\n"), ("GET /demo/echo HTTP/1.0", "")):
        conn = t.conn(server).send("%s\r\nHost: h\r\n%s\r\n" % (line, fields))
        conn.half_close()
        equal(conn.answer().status, 200, line)


@scenario()
def a_link_takes_as_many_as_agreed(t):
    """Past the agreed number of streams a request waits until one has ended."""
    server = t.server()
    peer = t.tunnel(server, streams=2)
    conns = [ask(t, server, "/demo/%d" % i) for i in range(3)]
    first = [peer.recv_request() for _ in range(2)]
    server.settle()
    peer.conn.silent(0.3)
    peer.send_response(first[0]["correlation_id"])
    third = peer.recv_request()
    equal({m["target"] for m in first + [third]}, {"/0", "/1", "/2"}, "requests")
    for message in (first[1], third):
        peer.send_response(message["correlation_id"])
    equal([c.answer().status for c in conns], [200] * 3, "answers")


@scenario()
def waiting_caller_may_leave(t):
    """A caller that leaves while it waits in the queue is never sent to a client."""
    server = t.server()
    peer = t.tunnel(server, streams=1)
    first = ask(t, server, "/demo/1")
    stream = peer.recv_request()["correlation_id"]
    gone = ask(t, server, "/demo/gone")
    t.get(server, "/healthz")
    gone.abort()
    t.get(server, "/healthz")
    last = ask(t, server, "/demo/3")
    peer.send_response(stream)
    equal(first.answer().status, 200, "first")
    message = peer.recv_request()
    equal(message["target"], "/3", "next request")
    peer.send_response(message["correlation_id"])
    equal(last.answer().status, 200, "last")


@scenario(quick=True)
def leave(t):
    """leave is answered with leave, no new request comes, and open ones end well."""
    server = t.server(env={"PIPEGATE_OFFLINE_WAIT": "0"})
    peer = t.tunnel(server)
    conn = ask(t, server)
    stream = peer.recv_request()["correlation_id"]
    peer.send_json({"type": "leave"})
    peer.recv_type("leave")
    other = t.tunnel(server)
    late = ask(t, server, "/demo/late")
    equal(other.recv_request()["target"], "/late", "the other link's request")
    peer.send_response(stream)
    equal(conn.answer().status, 200, "the open one")
    late.close()


@scenario(quick=True)
def several_clients_share(t):
    """Of several clients of one id, each request goes to the one with the fewest streams; one's end is not another's."""
    server = t.server()
    peers = [t.tunnel(server) for _ in range(3)]
    conns = [ask(t, server) for _ in range(6)]
    streams = [[p.recv_request()["correlation_id"] for _ in range(2)] for p in peers]
    equal(len(set(sum(streams, []))), 6, "different requests")
    peers[0].conn.abort()
    for peer, own in zip(peers[1:], streams[1:]):
        for stream in own:
            peer.send_response(stream)
    equal(sorted(c.answer().status for c in conns), [200] * 4 + [502] * 2, "answers")


@scenario()
def a_client_that_comes_back(t):
    """A link with the instance of an older one takes its place at once; the older one's callers get 502."""
    server = t.server()
    old = t.tunnel(server)
    conn = ask(t, server)
    stream = old.recv_request()["correlation_id"]
    new = t.tunnel(server, instance=old.instance)
    equal(conn.answer().status, 502, "the old one's caller")
    try:
        old.send_response(stream)
    except OSError:
        pass
    exchange(t, server, new)
    exchange(t, server, new)


@scenario()
def eight_links_of_an_id(t):
    """The ninth link of an id is closed with 1013; the eight stay."""
    server = t.server()
    peers = [t.tunnel(server) for _ in range(8)]
    t.tunnel(server).wait_close(1013)
    for peer in peers:
        peer.ping()


@scenario()
def upgrade_streams(t):
    """After 101 both halves carry raw octets and end one by one."""
    server = t.server()
    peer = t.tunnel(server)
    conn = ask(t, server, fields=[("Connection", "Upgrade"), ("Upgrade", "raw")])
    message = peer.recv_request()
    stream = message["correlation_id"]
    equal(message["end"], False, "end")
    peer.send_response(stream, 101, [["Upgrade", "raw"]], end=False, reason="Switching Protocols")
    equal(conn.head().status, 101, "status")
    conn.send(b"to the origin")
    got = b""
    while len(got) < 13:
        opcode, payload = peer.recv()
        got += payload[17:]
    equal(got, b"to the origin", "up")
    conn.half_close()
    body, how = peer.recv_body(stream)
    equal((body, how), (b"", "end"), "its end")
    peer.send_body(stream, b"to the caller", end=True)
    equal(conn.rest(), b"to the caller", "down")


# ---------------------------------------------------- the client's side


def link(t, origin=None, **env):
    """A raw server with our client at it: (peer, client, origin, server)."""
    origin = origin or t.origin()
    server = t.tunnel_server()
    client = t.client(server, origin, ready=False, env=env)
    return server.accept(), client, origin, server


@scenario(quick=True)
def client_serves_requests(t):
    """A request message becomes a request, its answer a response message."""
    peer, _, origin, _ = link(t)
    stream = peer.send_request("/echo?a=1&a=2", "POST", [["Host", "pub.test"], ["X-A", "1"], ["x-a", "\u00e4"]], end=False)
    peer.send_body(stream, b"hello")
    head = peer.recv_type("response")
    equal((head["status_code"], head["reason"], head["end"]), (200, "OK", False), "head")
    body, how = peer.recv_body(stream)
    equal((json.loads(body)["target"], how), ("/echo?a=1&a=2", "end"), "body")
    got = origin.requests[0]
    equal((got.method, got.body, got.get("host"), got.all("x-a")), ("POST", b"hello", "pub.test", ["1", "\xe4"]), "request")


@scenario(quick=True)
def client_keeps_to_the_window(t):
    """No more of an answer comes than the credit that was given."""
    peer, _, _, _ = link(t)
    stream = peer.send_request("/size/5000", window=1000)
    peer.recv_type("response")
    got = b""
    while len(got) < 1000:
        got += peer.recv()[1][17:]
    equal(len(got), 1000, "octets on the first credit")
    peer.conn.silent(0.5)
    peer.send_window(stream, 4000)
    rest, how = peer.recv_body(stream, grant=False)
    equal((got + rest == pattern(5000), how), (True, "end"), "the rest")


@scenario()
def client_serves_side_by_side(t):
    """A request that waits at the origin holds up no other."""
    peer, _, origin, _ = link(t)
    slow = peer.send_request("/gate/a")
    quick = peer.send_request("/204")
    equal(peer.recv_type("response")["correlation_id"], quick, "first answer")
    origin.gate("a").set()
    equal(peer.recv_type("response")["correlation_id"], slow, "second answer")


@scenario()
def client_refuses_bad_frames(t):
    """Each breach of RFC 6455 by the server closes the link with its code, and the client dials again."""
    origin, server = t.origin(), t.tunnel_server()
    for name, (make, code) in sorted(FRAMES.items())[::4]:
        if name == "unmasked":
            continue
        client = t.client(server, origin, ready=False)
        peer = server.accept()
        frame = make(peer)
        if name.startswith("length"):
            frame = bytes([frame[0], frame[1] & 0x7F]) + frame[2:]
        refused(peer, name, frame, code)
        server.accept(seconds=5).close()
        client.terminate()


@scenario()
def client_refuses_masked_frames(t):
    """A masked frame from the server closes the link with 1002."""
    peer, _, _, _ = link(t)
    peer.send(PING, b"x", masked=True)
    peer.wait_close(1002)


@scenario()
def client_refuses_bad_messages(t):
    """A malformed message from the server closes the link with 1002."""
    origin, server = t.origin(), t.tunnel_server()
    for name in ("not JSON", "deep", "wide", "window below zero", "id not a uuid"):
        client = t.client(server, origin, ready=False)
        peer = server.accept()
        peer.send(TEXT, MESSAGES[name])
        peer.wait_close(1002)
        client.terminate()


HOSTILE_REQUESTS = {
    "CR LF in the target": dict(target="/x HTTP/1.1\r\nEvil: 1\r\n\r\nGET /evil"),
    "space in the target": dict(target="/x /evil"),
    "no slash": dict(target="evil"), "absolute": dict(target="http://evil/"), "empty target": dict(target=""),
    "CR LF in the method": dict(method="GET /evil HTTP/1.1\r\n\r\nGET"), "empty method": dict(method=""),
    "CR LF in a value": dict(fields=[["a", "b\r\nEvil: 1"]]), "CR LF in a name": dict(fields=[["a\r\nEvil", "1"]]),
    "two lengths": dict(fields=[["content-length", "1"], ["content-length", "2"]], end=False),
    "bare LF": dict(fields=[["a", "b\n\nGET /evil HTTP/1.1"]]),
}


@scenario()
def hostile_requests(t):
    """A request that is not fit for HTTP never reaches the origin."""
    origin, server = t.origin(), t.tunnel_server()
    for name, how in HOSTILE_REQUESTS.items():
        client = t.client(server, origin, ready=False)
        peer = server.accept()
        peer.send_request(**how)
        try:
            opcode, payload = peer.recv()
            message = json.loads(payload)
            check(message["type"] == "reset" or message["status_code"] >= 400, "%s: %r" % (name, message))
        except Closed as closed:
            equal(closed.code, 1002, name)
        client.terminate()
    equal([r.line for r in origin.requests], [], "what the origin saw")


@scenario(quick=True)
def framing_fields_of_a_hostile_request(t):
    """Framing in a request's fields does not decide the framing at the origin."""
    peer, _, origin, _ = link(t)
    stream = peer.send_request("/raw", "POST", [["Transfer-Encoding", "identity"], ["Connection", "close"]], end=False)
    peer.send_body(stream, b"GET /evil HTTP/1.1\r\n\r\n")
    equal(peer.recv_type("response")["status_code"], 200, "status")
    got = origin.requests[0]
    equal(len(got.all("transfer-encoding")) + len(got.all("content-length")), 1, "framings")
    equal(len(origin.requests), 1, "requests")


@scenario()
def client_checks_the_101(t):
    """A 101 with a wrong accept key, an extension or a protocol not asked for is not taken; the client dials again."""
    origin, server = t.origin(), t.tunnel_server()
    client = t.client(server, origin, ready=False)
    for how in (dict(accept="x" * 28), dict(fields=[("Sec-WebSocket-Extensions", "permessage-deflate")]),
                dict(fields=[("Sec-WebSocket-Protocol", "chat")])):
        conn = server.dialled()
        conn.send(harness.switch_octets(conn.handshake, **how))
        equal(conn.rest(), b"", "what was sent on that link")
    check(client.running(), "it gave up")


@scenario()
def refusals_that_end_the_client(t):
    """401 and 403 to the dial, and close 1008, end it with exit 1 and the reason."""
    origin = t.origin()
    for octets in (b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n", b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n"):
        server = t.tunnel_server()
        client = t.client(server, origin, ready=False)
        server.dialled().send(octets)
        equal(client.wait_exit(), 1, "exit")
        contains(client.err(), "refused", "stderr")
    server = t.tunnel_server()
    client = t.client(server, origin, ready=False)
    server.accept().send_close(1008, "token has expired")
    equal(client.wait_exit(), 1, "exit")
    contains(client.err(), "token has expired", "stderr")


@scenario()
def refusals_that_do_not(t):
    """Any other status, a redirect among them, makes it dial again, at the same address."""
    server = t.tunnel_server()
    client = t.client(server, t.origin(), ready=False)
    for line in (b"503 Unavailable", b"302 Found\r\nLocation: http://127.0.0.1:1/"):
        server.dialled().send(b"HTTP/1.1 " + line + b"\r\nContent-Length: 0\r\n\r\n")
    peer = server.accept()
    client.wait_out("/demo/")
    peer.ping()


def spans(client):
    """The seconds after which it said that it would dial again."""
    return [float(x) for x in re.findall(r"trying again in (\d+\.\d+) s", client.out() + client.err())]


@scenario()
def backing_off(t):
    """Dials follow each other after 1, 2, 4 s, each times 0.5 to 1; what it says and what it does are the same."""
    server = t.tunnel_server()
    client = t.client(server, t.origin(), ready=False)
    for i, most in enumerate((1, 2, 4)):
        conn = server.dialled()
        closed = time.monotonic()
        conn.close()
        t.wait(lambda: len(spans(client)) > i, "a word about the next dial")
        span = spans(client)[i]
        check(most / 2 <= span <= most, "span %d is %g s" % (i, span))
        left = closed + span - 0.1 - time.monotonic()
        check(left <= 0 or server.undialled(left), "dialled before %g s were over" % span)
    server.dialled()


@scenario()
def frames_behind_the_101(t):
    """A request glued behind the 101 is served."""
    server = t.tunnel_server()
    t.client(server, t.origin(), ready=False)
    conn = server.dialled()
    peer = harness.Peer(conn, masks=False)
    message = {"type": "request", "correlation_id": str(uuid.uuid4()), "method": "GET", "target": "/204",
               "headers": [["Host", "h"]], "window": 65536, "end": True}
    conn.send(harness.switch_octets(conn.handshake, [("Sec-WebSocket-Protocol", "pipegate.v2"), ("X-PipeGate", "{}")]) +
              peer.frame(TEXT, json.dumps(message)))
    equal(peer.recv_type("response")["status_code"], 204, "status")


@scenario()
def server_that_falls_silent(t):
    """The client pings after 10 s of its own silence and dials anew after 20 s without a word."""
    peer, _, _, server = link(t)
    peer.answers_pings = False
    check(server.undialled(17), "it has given up early")
    server.accept(seconds=30)


@scenario()
def reset_by_the_server(t):
    """A reset drops the origin connection of that stream."""
    peer, _, origin, _ = link(t)
    stream = peer.send_request("/never")
    origin.wait_seen("/never")
    conn = origin.requests[0].conn
    peer.send_reset(stream, 499, "caller left")
    t.wait(lambda: ended(conn), "the end of the origin connection")
    peer.send_request("/204")
    equal(peer.recv_type("response")["status_code"], 204, "another request")


@scenario()
def link_lost_drops_origins(t):
    """When the link is lost, the client drops the origin connections of its streams."""
    peer, _, origin, server = link(t)
    peer.send_request("/never")
    origin.wait_seen("/never")
    conn = origin.requests[0].conn
    peer.conn.abort()
    t.wait(lambda: ended(conn), "the end of the origin connection")
    fresh = server.accept()
    fresh.send_request("/204")
    equal(fresh.recv_type("response")["status_code"], 204, "a request on the new link")


@scenario(quick=True)
def client_refuses_an_open_id(t):
    """A request with the id of an open one closes the link with 1002."""
    peer, _, origin, _ = link(t)
    stream = peer.send_request("/never")
    origin.wait_seen("/never")
    peer.send_request("/never", stream=stream)
    peer.wait_close(1002)


@scenario()
def client_answers_leave(t):
    """The server's leave is answered with leave; open streams end well."""
    peer, _, origin, _ = link(t)
    stream = peer.send_request("/gate/a")
    origin.wait_seen("/gate/a")
    peer.send_json({"type": "leave"})
    peer.recv_type("leave")
    origin.gate("a").set()
    equal(peer.recv_type("response")["correlation_id"], stream, "answer")


@scenario()
def illegal_closes_are_not_waited_for(t):
    """After a close frame that is none, the server says 1002 and ends the connection without waiting for another: a
    goodbye that a client could still send is not asked for."""
    server = t.server()
    for name, how in (("one octet", dict(payload=b"x")), ("a fragment", dict(payload=b"\x03\xe8", fin=0)),
                      ("126 octets", dict(payload=b"\x03\xe8" + b"x" * 124)), ("a code of its own", dict(payload=b"\x03\xed"))):
        peer = t.tunnel(server, sub="demo")
        peer.conn.send(peer.frame(CLOSE, **how))
        peer.wait_close(1002)
        equal(peer.conn.rest(1.5), b"", "octets behind the close frame (%s)" % name)


@scenario()
def a_close_in_two_reads(t):
    """The answer to the server's close counts when it comes in two pieces, as any frame does."""
    server = t.server()
    peer = t.tunnel(server, sub="demo")
    server.send_signal(signal.SIGTERM)
    peer.wait_close(1001)
    octets = peer.frame(CLOSE, b"\x03\xe9")
    peer.conn.send(octets[:1])
    server.settle()
    peer.conn.send(octets[1:])
    equal(peer.conn.rest(1), b"", "octets behind the close frame")
