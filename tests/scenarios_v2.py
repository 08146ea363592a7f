"""The v2 wire, each end of it met by a peer written by hand."""
import json
import os
import re
import signal
import struct
import time

import harness
from harness import (scenario, equal, contains, check, ask, ended, pattern, token, Closed, Failed,
                     TEXT, BINARY_FRAME, CLOSE, PING, PONG, message, request_message, answer_message)


def exchange(t, server, peer, answer=b"answer", target="/demo/x"):
    """One whole request and answer, to see that the link is alive."""
    conn = ask(t, server, target)
    stream = peer.recv_request()["stream"]
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
    for fields in ((), [("Sec-WebSocket-Protocol", "pipegate.v2"), ("X-PipeGate", "{}")]):
        peer = t.tunnel(server, sub="other", v2=False, fields=fields)
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
        "no exp": (token(exp=None), "exp"), "no sub": (token(sub=None), "connection id"), "jti a number": (token(jti=1), "jti"),
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
    """Integral floats, nbf within 5 s, an audience list, sub and exp alone, and a Bearer header are taken."""
    server = t.server()
    now = int(time.time())
    for text in (token(exp=now + 60.0), token(nbf=now + 3, iat=now + 3), token(aud=["x", "pipegate"]),
                 harness.token_of({"sub": "demo", "exp": now + 60})):
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
    stream = peer.recv_request()["stream"]
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
    "text": (lambda p: p.frame(TEXT, b"{}"), 1003),
    "text not UTF-8": (lambda p: p.frame(TEXT, b"\xff"), 1003),
    "too long": (lambda p: p.frame(BINARY_FRAME, b"", length=16 + 36864 + 16385), 1009),
    "2^62 octets": (lambda p: p.frame(BINARY_FRAME, b"", length=1 << 62), 1009),
    "in fragments": (lambda p: p.frame(BINARY_FRAME, message(harness.NOTE, 0, b"{}"), fin=0), 1002),
}
MESSAGES = {
    "empty": b"",
    "too short": message(harness.LEAVE)[:5],
    "a window without octets": message(harness.WINDOW, 0, b"\0\0\0"),
    "a reset without a status": message(harness.RESET, 0, b"\1"),
    "an answer that is cut off": message(harness.ANSWER, 0, b"\0"),
    "a head longer than the message": message(harness.ANSWER, 0, b"\0\5abcd"),
    "a note that is no JSON": message(harness.NOTE, 0, b"{"),
    "a note that is no object": message(harness.NOTE, 0, b"[]"),
    "a note too deep": message(harness.NOTE, 0, b'{"a":' + b"[" * 8000 + b"]" * 8000 + b"}"),
    "a body for no stream": message(harness.BODY, 0, b"x"),
    "a window for a stream that is not open yet": message(harness.WINDOW, 1, b"\0\0\0\1"),
    "a reset for a stream that is not open yet": message(harness.RESET, 1 << 31, b"\1\xf8"),
    "an answer for the last number": answer_message((1 << 32) - 1),
    "a request from the client": request_message(1),
}
TOO_LONG = {
    "a body": message(harness.BODY, 0, bytes(16385)),
    "a reason": message(harness.RESET, 0, b"\1\xf8" + b"x" * 1025),
    "a note": message(harness.NOTE, 0, b"{" + b" " * 16384 + b"}"),
    "a leave": message(harness.LEAVE, 0, b"x"),
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
    other.send_response(other.recv_request()["stream"])
    equal(conn.answer().status, 200, "another tunnel")


@scenario(quick=True)
def server_refuses_bad_messages(t):
    """Malformed messages close the link with 1002, those longer than their type may be with 1009."""
    server = t.server()
    for cases, code in ((MESSAGES, 1002), (TOO_LONG, 1009)):
        for name, payload in cases.items():
            peer = t.tunnel(server)
            refused(peer, name, peer.frame(BINARY_FRAME, payload), code)


@scenario()
def server_ignores_what_it_does_not_know(t):
    """Unknown types, flags and members, and late messages change nothing."""
    server = t.server()
    peer = t.tunnel(server)
    peer.send_message(harness.ACK, 0, b"\0\0\0\3")
    peer.send_message(9, 5, b"weather")
    peer.send_message(255)
    peer.send_message(harness.NOTE, 0, b'{"rain":true,"deep":{"er":[1,null]}}')
    peer.send_message(harness.WINDOW, 0, b"\0\0\1\0", flags=0xff)
    stream = exchange(t, server, peer)
    peer.send_window(stream, 5)
    peer.send_reset(stream)
    peer.send_body(stream, b"late")
    peer.send_response(stream)
    peer.send_trailers(stream, [])
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
def a_request(t):
    """A request message has exactly what the wire description says."""
    server = t.server()
    peer = t.tunnel(server)
    ask(t, server, "/demo/a%2Fb?x=1&x=2", method="POST", body=b"hello", fields=[("X-\x7eA", "\xe4\xff"), ("x-b", "1")])
    said = peer.recv_whole()
    equal((said["type"], said["stream"], said["flags"]), ("request", 1, harness.HAS_BODY | harness.END), "message")
    equal((said["method"], said["target"], said["body"]), ("POST", "/a%2Fb?x=1&x=2", b"hello"), "request")
    equal(said["took"], 65536, "credit of its body")
    check(16384 <= said["window"] <= 1 << 20, "window %d" % said["window"])
    fields = {n.lower(): v for n, v in said["headers"]}
    equal((fields["x-~a"], fields["x-b"], fields["content-length"]), ("\u00e4\u00ff", "1", "5"), "fields")
    check(re.fullmatch("[0-9a-f]{32}", fields["x-pipegate-correlation-id"]), "correlation id")
    equal({"connection", "keep-alive", "transfer-encoding", "upgrade"} & set(fields), set(), "what concerns a connection")


@scenario(quick=True)
def request_credit(t):
    """No more of a body comes than the credit that was given, and the rest as it is given."""
    server = t.server()
    peer = t.tunnel(server, window=1000)
    conn = ask(t, server, method="POST", body=pattern(5000))
    stream = peer.recv_request()["stream"]
    got = b""
    while len(got) < 1000:
        got += peer.recv_message()["body"]
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
    stream = peer.recv_request()["stream"]
    peer.conn.silent(0.3)
    peer.send_window(stream, 1)
    equal(peer.recv_body(stream), (b"x", "end"), "body")


@scenario()
def body_past_the_credit(t):
    """A client that sends more than its credit is closed with 1002; the caller is not given a whole answer."""
    server = t.server()
    peer = t.tunnel(server)
    conn = ask(t, server)
    said = peer.recv_request()
    stream = said["stream"]
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
    said = peer.recv_request()
    stream, credit = said["stream"], said["window"]
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
    server = t.server(env=dict(clock.env, PIPEGATE_MAX_MEMORY=str(1 << 20)))
    peer = t.tunnel(server)
    peer.answers_pings = False      # the path is not known
    conn = t.reluctant(server).send(harness.request_octets("GET", "/demo/x"))
    near = conn.sock.getsockname()[1]
    said = peer.recv_request()
    stream, window = said["stream"], said["window"]
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


def widest(t, answer):
    """The most credit that the server ever has out for a body which uses all of it at once.  answer(peer, payload, spend)
    is told of each ping; spend() uses up what there is."""
    server = t.server()
    peer = t.tunnel(server)
    conn = ask(t, server)
    said = peer.recv_request()
    stream, credit = said["stream"], said["window"]
    most = first = credit
    peer.send_response(stream, end=False)
    t.background(lambda: conn.rest())

    def spend():
        nonlocal credit
        while credit:
            n = min(credit, 16384)
            peer.send_body(stream, bytes(n), end=False)
            credit -= n
    end = time.monotonic() + 1.5 * harness.SLOW
    while time.monotonic() < end and most < 8 << 20:
        spend()
        try:
            _, opcode, payload = peer.recv_frame(0.05)
        except Closed:
            raise
        except Failed:
            continue
        if opcode == PING:
            answer(peer, payload, spend)
        elif opcode == BINARY_FRAME:
            credit += harness.read_message(payload).get("bytes", 0)
            while harness.readable([peer.conn.sock], 0.02) or peer.conn.buf:
                _, opcode, payload = peer.recv_frame()      # what else has come meanwhile
                if opcode == PING:
                    answer(peer, payload, lambda: None)
                else:
                    credit += harness.read_message(payload).get("bytes", 0)
            most = max(most, credit)
    return first, most


@scenario()
def windows_follow_the_path(t):
    """Where all credit is used before a ping is answered, as on a long wire, the window grows; where each ping is
    answered before any octet comes, or with a pong that is none of its own, it does not."""
    def late(peer, payload, spend):
        spend()
        peer.send(PONG, payload)

    def wrong(peer, payload, spend):
        peer.send(PONG, bytes(8))
        peer.send(PONG, payload[:7])
    first, most = widest(t, late)
    check(most >= 2 * first, "a window of %d became %d" % (first, most))
    first, most = widest(t, wrong)
    check(most <= first, "a window of %d became %d with pongs for no ping" % (first, most))


def switch_and_hold(request, conn, origin):
    conn.send(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: raw\r\nConnection: upgrade\r\n\r\n")
    conn.rest(60)
    return True


@scenario()
def many_that_may_send(t):
    """Hundreds of open upgrades, or of uploads that begin at once, find room in what the client's budget allows."""
    origin, server, _ = t.trio(server_env={"PIPEGATE_MAX_QUEUE_DEPTH": "1000"})
    origin.on("/switch", switch_and_hold)
    held = [ask(t, server, "/demo/switch", fields=[("Upgrade", "raw"), ("Connection", "upgrade")]) for _ in range(200)]
    equal({conn.head(20).status for conn in held}, {101}, "upgrades")
    uploads = [t.conn(server).send("POST /demo/raw HTTP/1.1\r\nHost: h\r\nContent-Length: 20000\r\n\r\n") for _ in range(150)]
    server.settle()
    for conn in uploads:
        conn.send(pattern(20000))
    equal({conn.answer(seconds=20).status for conn in uploads}, {200}, "uploads")


@scenario()
def measuring_pongs_may_be_lost(t):
    """Who answers only the newest ping, as RFC 6455 5.5.3 lets one, is measured on after a silence: the ping of a link
    that rests is the one that is out."""
    server = t.server()
    peer = t.tunnel(server)
    conn = ask(t, server)
    stream = peer.recv_request()["stream"]
    t.background(lambda: conn.rest(seconds=60))

    def next_ping(seconds):
        while True:
            _, opcode, payload = peer.recv_frame(seconds)
            if opcode == PING:
                return payload
    peer.send_response(stream, end=False)
    peer.send_body(stream, pattern(16384), end=False)
    first = next_ping(10)
    last = next_ping(20)
    peer.send(PONG, last)
    equal((len(first), last), (8, first), "the ping of a link that rests")
    for _ in range(8):
        peer.send_body(stream, pattern(16384), end=False)
    check(next_ping(8) != first, "a new ping")


@scenario(quick=True)
def measuring_is_no_flood(t):
    """As fast as bodies may come and go, the pings that measure the path are far from what a link takes for a flood."""
    origin, server, _ = t.trio()
    conn = t.conn(server)
    body = pattern(100000)
    for _ in range(600):
        equal(len(conn.get("/demo/size/100000").body), 100000, "an answer")
    for _ in range(200):
        equal(conn.request("POST", "/demo/raw", body=body).status, 200, "an upload")
    equal(server.count("link-fault"), 0, "faults on the link")


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
    tell(peer, peer.recv_request()["stream"])
    check(conn.answer().status in before_head, note + " before the head")
    for fields in ((), [("content-length", "100")]):
        peer = t.tunnel(server)
        conn = ask(t, server)
        stream = peer.recv_request()["stream"]
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
        stream = peer.recv_request()["stream"]
        peer.send_response(stream, end=False, fields=[("content-length", "10")])
        peer.send_body(stream, body)
        left = conn.rest()
        check(left == b"" or left.startswith(b"HTTP/1.1 502") or
              len(left.partition(b"\r\n\r\n")[2]) < 10 or conn.reset, "taken for whole: %r" % left)
    exchange(t, server, peer)


OK = b"HTTP/1.1 200 OK\r\n"
HEADS = {
    "CR in a value": dict(fields=[["x-a", "b\rSet-Cookie: evil=1"]]),
    "LF in a value": dict(fields=[["x-a", "b\nSet-Cookie: evil=1"]]),
    "NUL in a value": dict(fields=[["x-a", "b\0"]]),
    "empty name": dict(fields=[["", "evil"]]),
    "space in a name": dict(fields=[["Set-Cookie ", "evil=1"]]),
    "a folded line": dict(head=OK + b"X-A: b\r\n Set-Cookie: evil=1\r\n\r\n"),
    "LF in the reason": dict(reason="OK\nSet-Cookie: evil=1"),
    "two lengths": dict(fields=[["content-length", "1"], ["content-length", "2"]]),
    "length not a number": dict(fields=[["content-length", "x"]]),
    "status 99": dict(status=99), "status 600": dict(status=600), "status 0": dict(status=0),
    "101 unasked": dict(status=101), "too many": dict(fields=[["a", "b"]] * 137),
    "HTTP/2": dict(head=b"HTTP/2.0 200 OK\r\n\r\n"), "nothing": dict(head=b""), "half of one": dict(head=OK),
    "octets behind it": dict(head=OK + b"\r\nHTTP/1.1 200 OK\r\n\r\n"),
    "Connection": dict(fields=[["Connection", "x-a"]]), "Keep-Alive": dict(fields=[["Keep-Alive", "timeout=5"]]),
    "Transfer-Encoding": dict(fields=[["Transfer-Encoding", "chunked"]], end=False),
    "Upgrade": dict(fields=[["Upgrade", "raw"]]),
    "an interim that is final": dict(flags=harness.INTERIM), "a final that is interim": dict(status=103, flags=harness.END),
    "neither a body nor an end": dict(flags=0), "a switch that is none": dict(flags=harness.UPGRADE),
    "a body without its flag": dict(flags=harness.END, body=b"x"),
    "an end before its length": dict(fields=[["content-length", "5"]], flags=harness.END),
    "an end within its length": dict(fields=[["content-length", "5"]], body=b"four"),
    "an end past its length": dict(fields=[["content-length", "5"]], body=b"six..."),
    "more than its length": dict(fields=[["content-length", "5"]], body=b"six...", end=False),
}


@scenario(quick=True)
def hostile_answer_heads(t):
    """A head that is not fit for HTTP, or not what its flags say, never reaches the caller, who gets 502; the client
    gets a reset, and its link stands."""
    server = t.server()
    peer = t.tunnel(server)
    for name, how in HEADS.items():
        conn = ask(t, server)
        stream = peer.recv_request()["stream"]
        peer.send_response(stream, **how)
        answer = conn.answer()
        equal((answer.status, answer.all("set-cookie")), (502, []), name)
        equal(peer.recv_type("reset")["stream"], stream, name)
        conn.close()
    exchange(t, server, peer)


@scenario()
def the_largest_head(t):
    """A head of 136 fields and near 36 KiB crosses the link both ways."""
    origin, server, _ = t.trio()
    fields = [("x-%d" % i, "y" * 240) for i in range(124)]
    answer = t.get(server, "/demo/echo", fields=fields)
    equal(answer.status, 200, "status")
    equal(len([n for n, _ in origin.requests[0].fields if n.lower().startswith("x-")]), 124 + 6, "fields at the service")
    peer = t.tunnel(server, sub="other")
    conn = ask(t, server, "/other/x")
    peer.send_response(peer.recv_request()["stream"], fields=[("x-%d" % i, "y" * 260) for i in range(136)])
    equal(len([n for n, _ in conn.answer().fields if n.lower().startswith("x-")]), 136 + 1, "fields at the caller")


@scenario(quick=True)
def body_with_the_head(t):
    """What there is of a body comes in one message with its head, both ways: at most 16 KiB and the credit of it."""
    server = t.server()
    peer = t.tunnel(server, window=1000)
    for n, first in ((0, 0), (5, 5), (1000, 1000), (5000, 1000)):
        conn = ask(t, server, method="POST", body=pattern(n))
        said = peer.recv_whole()
        equal((said["took"], said["body"]), (1000, pattern(n)[:first]), "%d octets" % n)
        equal(said["end"], n == first, "end of %d octets" % n)
        peer.send_response(said["stream"], body=b"x" * n)
        if n != first:
            equal(peer.recv_type("reset")["stream"], said["stream"], "what is left of the request")
        equal(conn.answer().body, b"x" * n, "answer of %d octets" % n)
        conn.close()
    origin = t.origin()
    raw, _, origin, _ = link(t, origin)
    for n, first in ((0, 0), (10, 10), (16384, 16384), (20000, 16384)):
        raw.send_request("/size/%d" % n, window=100000)
        said = raw.recv_whole()
        check(len(said["body"]) <= first, "%d octets in one message" % len(said["body"]))
        body, how = (said["body"], "end") if said["end"] else raw.recv_body(said["stream"])
        equal((said["body"] * (not said["end"]) + body, how), (pattern(n), "end"), "answer of %d octets" % n)
        raw.send_request("/echo", method="POST", body=pattern(n)[:16384], fields=[["content-length", str(min(n, 16384))]])
        raw.recv_body(raw.recv_type("answer")["stream"])
        equal(origin.requests[-1].body, pattern(n)[:16384], "request of %d octets" % n)


@scenario()
def too_many_interim_answers(t):
    """16 interim answers pass; more are a fault."""
    server = t.server()
    peer = t.tunnel(server)
    conn = ask(t, server)
    stream = peer.recv_request()["stream"]
    for _ in range(16):
        peer.send_response(stream, 103)
    peer.send_response(stream)
    equal(len(conn.answer().interim), 16, "interim answers")
    conn = ask(t, server, fields=[("Connection", "close")])
    stream = peer.recv_request()["stream"]
    for _ in range(17):
        peer.send_response(stream, 103)
    check(b"HTTP/1.1 200" not in conn.rest(), "passed on")


@scenario()
def answers_for_others(t):
    """A client cannot answer, feed or reset a request of another tunnel, nor of another link: numbers are a link's own."""
    server = t.server()
    victim, thief = t.tunnel(server), t.tunnel(server, sub="thief")
    exchange(t, server, thief, target="/thief/x")
    conn = ask(t, server)
    stream = victim.recv_request()["stream"]
    equal(stream, 1, "number")
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
    stream = peer.recv_request()["stream"]
    peer.send_response(stream)
    equal(conn.answer().status, 200, "first")
    conn.send(harness.request_octets("GET", "/demo/second"))
    peer.send_response(stream, 500)
    second = peer.recv_request()["stream"]
    peer.send_response(second, 204)
    equal(conn.answer().status, 204, "second request on that connection")


@scenario()
def caller_leaves(t):
    """The client is told with a reset when its caller goes away."""
    server = t.server()
    peer = t.tunnel(server)
    for leave in ("abort", "close"):
        conn = ask(t, server)
        stream = peer.recv_request()["stream"]
        getattr(conn, leave)()
        equal(peer.recv_type("reset")["stream"], stream, leave)
    exchange(t, server, peer)


@scenario(quick=True)
def caller_leaves_the_body(t):
    """EOF inside a request body is a break: a reset, never an end."""
    server = t.server()
    peer = t.tunnel(server)
    conn = t.conn(server).send("POST /demo/x HTTP/1.1\r\nHost: h\r\nContent-Length: 10\r\n\r\nhalf")
    stream = peer.recv_request()["stream"]
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
    peer.send_response(first[0]["stream"])
    third = peer.recv_request()
    equal({m["target"] for m in first + [third]}, {"/0", "/1", "/2"}, "requests")
    for said in (first[1], third):
        peer.send_response(said["stream"])
    equal([c.answer().status for c in conns], [200] * 3, "answers")


UPLOADS = {
    "none": (dict(), b""), "a short one": (dict(method="POST", body=b"hello"), b"hello"),
    "past the first message": (dict(method="POST", body=pattern(50000)), pattern(50000)),
}


@scenario(quick=True)
def refused_requests_are_given_out_again(t):
    """A request that a client refuses without having looked at it goes, whole, to another client of the id; the one
    that refused gets no new one until a stream of it has ended, or a second has passed."""
    server = t.server()
    other, full = t.tunnel(server), t.tunnel(server)
    for name, (how, body) in UPLOADS.items():
        conn = ask(t, server, "/demo/x?" + name.replace(" ", "-"), **how)
        said = full.recv_whole()
        while said["type"] != "request":
            said = full.recv_whole()    # the rest of a body that it has refused
        equal(said["body"], body[:16384], "what came with the head")
        server.settle()
        full.send_reset(said["stream"], 503, "full", harness.REFUSED)
        again = other.recv_request()
        equal((again["method"], again["target"]), (said["method"], said["target"]), name)
        if body:
            equal(other.recv_body(again["stream"]), (body, "end"), "its body")
        next_one = ask(t, server, "/demo/next")
        also = other.recv_request()
        equal(also["target"], "/next", "the next request goes to the other too")
        for stream in (also["stream"], again["stream"]):
            other.send_response(stream, 204)
        equal([c.answer().status for c in (conn, next_one)], [204, 204], "answers")
        check(all(m["type"] != "request" for m in full.said()), "a request for the one that refused")
        time.sleep(1.1 * harness.SLOW)


@scenario()
def a_chunked_request_is_given_out_again(t):
    """So does one whose body is in chunks, with trailers, and what its caller has sent behind it."""
    server = t.server()
    peer = t.tunnel(server)
    octets = (b"POST /demo/x HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n"
              b"4;a=b\r\nbody\r\n0\r\nX-T: 1\r\n\r\nGET /demo/behind HTTP/1.1\r\nHost: h\r\n\r\n")
    conn = t.conn(server).send(octets)
    stream = peer.recv_request()["stream"]
    for i in range(2):
        equal(peer.recv_message()["body"], b"body", "its body")
        said = peer.recv_message()
        equal((said["type"], said["headers"]), ("trailers", [["X-T", "1"]]), "its trailers")
        if i == 0:
            peer.send_reset(stream, 503, "full", harness.REFUSED)
            stream = peer.recv_request()["stream"]
    peer.send_response(stream, body=b"first")
    equal(conn.answer().body, b"first", "answer")
    said = peer.recv_request()
    equal(said["target"], "/behind", "the one behind it")
    peer.send_response(said["stream"], body=b"second")
    equal(conn.answer().body, b"second", "its answer")


@scenario()
def given_out_again_inside_its_trailers(t):
    """A request that is refused while its trailers are half there is read from its beginning."""
    server = t.server()
    peer = t.tunnel(server)
    for n in (1, 300, 301):
        value = "1" * n
        conn = t.conn(server).send("POST /demo/x HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n"
                                   "4\r\nbody\r\n0\r\nX-T: %s\r\n" % value)
        stream = peer.recv_request()["stream"]
        equal(peer.recv_message()["body"], b"body", "its body")
        server.settle()
        peer.send_reset(stream, 503, "full", harness.REFUSED)
        stream = peer.recv_request()["stream"]
        equal(peer.recv_message()["body"], b"body", "its body again")
        conn.send(b"\r\n")
        equal(peer.recv_type("trailers")["headers"], [["X-T", value]], "its trailers")
        peer.send_response(stream, 204)
        equal(conn.answer().status, 204, "status")


@scenario()
def copies_of_uploads_leave_room(t):
    """What is kept of requests that could be given out again takes no memory from others: bodies to a client that
    grants nothing leave another id alone."""
    server = t.server(env={"PIPEGATE_MAX_MEMORY": str(16 << 20)})
    origin = t.origin()
    t.client(server, origin, "other")
    peer = t.tunnel(server, sub="deaf", streams=1024, window=8 << 20)
    t.background(lambda: [peer.recv(20) for _ in range(5000)])
    uploads = [ask(t, server, "/deaf/x", "POST", [("Content-Length", "100000")]) for _ in range(150)]
    server.settle()
    for conn in uploads:
        conn.send(pattern(100000))
    server.settle()
    equal([t.get(server, "/other/size/100").status for _ in range(20)], [200] * 20, "another id")
    for conn in uploads:
        conn.close()


@scenario()
def refused_too_late(t):
    """A request of which the client has taken something is not given out again: 503."""
    server = t.server()
    peer = t.tunnel(server, window=10)
    for take in (lambda s: peer.send_window(s, 5), lambda s: peer.send_response(s, 103)):
        conn = ask(t, server, method="POST", body=b"x" * 100)
        said = peer.recv_whole()
        while said["type"] != "request":
            said = peer.recv_whole()
        stream = said["stream"]
        take(stream)
        peer.send_reset(stream, 503, "full after all", harness.REFUSED)
        equal(conn.answer().status, 503, "status")
        conn.close()
    peer.ping()


@scenario()
def a_client_that_refuses_for_ever(t):
    """A client that refuses all that it gets is asked once a second, not over and over; its caller may leave."""
    server = t.server()
    peer = t.tunnel(server)
    conn = ask(t, server)
    end, n = time.monotonic() + 2.5, 0
    while time.monotonic() < end:
        try:
            said = peer.recv_message(0.1)
        except Closed:
            raise
        except Failed:
            continue
        n += said["type"] == "request"
        peer.send_reset(said["stream"], 503, "no", harness.REFUSED)
    check(2 <= n <= 4, "asked %d times in 2.5 s" % n)
    conn.abort()
    exchange(t, server, peer)


@scenario()
def a_caller_waits_not_for_ever(t):
    """A request that is refused for longer than 10 s is 503; the next one of that caller is asked for anew."""
    clock = harness.Clock(t)
    server = t.server(env=clock.env)
    peer = t.tunnel(server)
    for _ in range(2):
        conn = t.conn(server)
        conn.send(harness.request_octets("GET", "/demo/x"))
        n = 0
        while not harness.came(conn):
            for said in peer.said():
                if said["type"] == "request":
                    n += 1
                    peer.send_reset(said["stream"], 503, "no", harness.REFUSED)
            clock.go(1.1)
            server.settle()
        equal(conn.answer().status, 503, "status")
        check(2 <= n <= 14, "asked %d times" % n)


@scenario()
def resets_cross_at_the_cap(t):
    """A client with as many streams as it takes, of which one waits to say that it is broken off, has room as soon as
    the server resets that one: nothing that two honest ends can do breaks the protocol."""
    peer, client, origin, _ = link(t, nofile=60)
    cap = json.loads(peer.handshake.get("x-pipegate"))["streams"]
    equal(cap, 30, "streams")
    peer.conn.sock.setsockopt(harness.socket.SOL_SOCKET, harness.socket.SO_RCVBUF, 4096)
    large = peer.send_request("/size/80000000", window=1 << 31)
    for _ in range(cap - 2):
        peer.send_request("/gate/open")
    origin.wait_seen("/gate/open", cap - 2)
    origin.listener.shutdown(harness.socket.SHUT_RDWR)
    origin.listener.close()
    client.settle()     # the link is full of the large one
    broken = peer.send_request("/broken")
    client.settle()     # it cannot be connected, and there is no room to say so
    peer.send_reset(broken)
    last = peer.send_request("/last")
    client.settle()
    peer.send_reset(large)
    said = {}
    while said.get("stream") != last:
        said = peer.recv_message()
        check(said["stream"] != broken, "a word about the one that was reset")
    equal((said["type"], said["status_code"], said["flags"]), ("reset", 504, harness.UNREACHED), "the one that took its place")
    origin.gate("open").set()


@scenario()
def callers_that_come_and_go_at_the_cap(t):
    """Callers that leave while the client is at its cap break no link, and those that stay are all answered."""
    origin, server = t.origin(), t.server(env={"PIPEGATE_MAX_QUEUE_DEPTH": "1000"})
    t.client(server, origin, nofile=48)
    stay = [ask(t, server, "/demo/gate/stay") for _ in range(5)]
    origin.wait_seen("/gate/stay", 5)
    for _ in range(5):
        slow = [t.conn(server).send("POST /demo/raw HTTP/1.1\r\nHost: h\r\nContent-Length: 100000\r\n\r\nhalf")
                for _ in range(60)]
        server.settle()
        for conn in slow[::2]:
            conn.abort()
        stay.append(ask(t, server, "/demo/size/10"))
        for conn in slow[1::2]:
            conn.abort()
    origin.gate("stay").set()
    equal([c.answer(seconds=20).status for c in stay], [200] * len(stay), "answers")
    equal(server.count("link-fault"), 0, "faults on the link")


@scenario(quick=True)
def a_breach_right_behind_the_head(t):
    """Where nothing of an answer has been written yet when its client breaks the protocol, or breaks off, the caller
    gets 502, not half of an answer."""
    server = t.server(env={"PIPEGATE_OFFLINE_WAIT": "0"})
    behind = {
        "a body past its length": lambda s: message(harness.BODY, s, b"x" * 6, harness.END),
        "a body before its length": lambda s: message(harness.BODY, s, b"x" * 4, harness.END),
        "bad trailers": lambda s: message(harness.TRAILERS, s, b"a b\r\n\r\n"),
        "trailers without their end": lambda s: message(harness.TRAILERS, s, b"a: b\r\n"),
        "trailers of nothing": lambda s: message(harness.TRAILERS, s),
        "a reset": lambda s: message(harness.RESET, s, b"\1\xf6broken"),
        "a second head": lambda s: answer_message(s),
        "half of a message": lambda s: b"",
        "a request": lambda s: request_message(s + 1),
    }
    for name, make in behind.items():
        for fields in ([["content-length", "5"]], []):
            if not fields and name.endswith("length"):
                continue
            peer = t.tunnel(server)
            conn = t.conn(server)
            conn.send(harness.request_octets("GET", "/demo/first"))
            first = peer.recv_request()["stream"]
            conn.send(harness.request_octets("GET", "/demo/x"))
            stream = first + 1
            peer.conn.send(peer.frame(BINARY_FRAME, answer_message(first, body=b"whole")))
            equal(conn.answer().body, b"whole", "the answer before it")
            equal(peer.recv_request()["stream"], stream, "the next request")
            peer.conn.send(b"".join(peer.frame(BINARY_FRAME, m) for m in (
                answer_message(stream, fields=fields, end=False), make(stream))))
            answer = conn.answer()
            equal(answer.status, 502, name)
            peer.close()


@scenario()
def nothing_needs_no_credit(t):
    """A body of no octets ends with its head, where there is no credit at all."""
    server = t.server()
    peer = t.tunnel(server, window=0)
    ask(t, server, method="POST", fields=[("Content-Length", "0")])
    said = peer.recv_whole()
    equal((said["flags"], dict(said["headers"])["Content-Length"]), (harness.END, "0"), "request")


@scenario()
def a_full_link_takes_heads_alone(t):
    """Where the link has no room for octets of a body, a head goes without what there is of its own."""
    server = t.server()
    peer = t.tunnel(server, window=8 << 20)
    peer.conn.sock.setsockopt(harness.socket.SOL_SOCKET, harness.socket.SO_RCVBUF, 4096)
    upload = t.conn(server).send("POST /demo/large HTTP/1.1\r\nHost: h\r\nContent-Length: 8000000\r\n\r\n")
    t.background(lambda: upload.send_quietly(bytes(8000000)))
    server.settle()
    ask(t, server, "/demo/small", method="POST", body=b"x" * 10000)
    server.settle()
    said, large = peer.recv_whole(), 0
    while said.get("target") != "/small":
        large += len(said["body"])
        said = peer.recv_whole()
    equal((said["flags"], said["body"]), (harness.HAS_BODY, b""), "the head")
    check(large < 8000000, "the large one was through")


@scenario()
def later_requests_start_with(t):
    """A window on stream 0 is the credit with which later requests start, and each says what it took."""
    server = t.server()
    peer = t.tunnel(server, window=10)
    for window in (10, 0, 3, 100000):
        peer.send_window(0, window)
        peer.ping()
        conn = ask(t, server, method="POST", body=b"x" * 20)
        said = peer.recv_whole()
        equal((said["took"], len(said["body"])), (window, min(window, 20)), "a request")
        peer.send_response(said["stream"])
        conn.close()
        while said["type"] != "reset" and window < 20:
            said = peer.recv_message()
    peer.send_window(0, (1 << 32) - 1)
    peer.ping()
    ask(t, server)
    equal(peer.recv_request()["took"], 8 << 20, "at most 8 MiB")


@scenario()
def numbers_run_out(t):
    """A link whose numbers are used up takes no more requests, the client dials anew, and what is open there ends
    well: no request fails."""
    few = harness.built("pipegate-few")
    origin, server = t.origin(), t.server(program=few)
    client = t.client(server, origin, program=few)
    for i in range(3):
        slow = ask(t, server, "/demo/gate/%d" % i)
        origin.wait_seen("/gate/%d" % i)
        equal([t.get(server, "/demo/size/5").status for _ in range(3)], [200] * 3, "answers")
        origin.gate(str(i)).set()
        equal(slow.answer().status, 200, "the slow one")
    equal(server.count("client-connected"), 1 + 12 // 5, "links")
    equal(server.count("link-fault"), 0, "faults on the link")
    check("asks for a new connection" in client.out(), "no word about it")


@scenario()
def waiting_caller_may_leave(t):
    """A caller that leaves while it waits in the queue is never sent to a client."""
    server = t.server()
    peer = t.tunnel(server, streams=1)
    first = ask(t, server, "/demo/1")
    stream = peer.recv_request()["stream"]
    gone = ask(t, server, "/demo/gone")
    t.get(server, "/healthz")
    gone.abort()
    t.wait(lambda: 'request="GET /demo/gone"' in server.err(), "the line about who left")
    last = ask(t, server, "/demo/3")
    peer.send_response(stream)
    equal(first.answer().status, 200, "first")
    said = peer.recv_request()
    equal(said["target"], "/3", "next request")
    peer.send_response(said["stream"])
    equal(last.answer().status, 200, "last")


@scenario(quick=True)
def leave(t):
    """leave is answered with leave, no new request comes, and open ones end well."""
    server = t.server(env={"PIPEGATE_OFFLINE_WAIT": "0"})
    peer = t.tunnel(server)
    conn = ask(t, server)
    stream = peer.recv_request()["stream"]
    peer.send_message(harness.LEAVE)
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
    conns = [ask(t, server, "/demo/%d" % i) for i in range(6)]
    requests = [[p.recv_request() for _ in range(2)] for p in peers]
    streams = [[r["stream"] for r in own] for own in requests]
    equal({r["target"] for r in sum(requests, [])}, {"/%d" % i for i in range(6)}, "requests")
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
    stream = old.recv_request()["stream"]
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
        peer.said()


@scenario(quick=True)
def a_service_that_speaks_first(t):
    """Octets that come right behind a 101 pass at once, both ways."""
    origin, server = t.origin(), t.server()

    def switch(request, conn, origin):
        conn.send(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: raw\r\nConnection: upgrade\r\n\r\nhello")
        conn.until(b"bye", 20)
        return True
    origin.on("/switch", switch)
    t.client(server, origin)
    conn = ask(t, server, "/demo/switch", fields=[("Upgrade", "raw"), ("Connection", "upgrade")])
    equal(conn.head().status, 101, "status")
    equal(conn.take(5), b"hello", "what the service says first")
    conn.send(b"bye")
    equal(conn.rest(), b"", "the end")


@scenario()
def upgrade_streams(t):
    """After 101 both halves carry raw octets and end one by one."""
    server = t.server()
    peer = t.tunnel(server)
    conn = ask(t, server, fields=[("Connection", "Upgrade"), ("Upgrade", "raw")])
    said = peer.recv_request()
    stream = said["stream"]
    equal(said["flags"], harness.UPGRADE, "flags")
    peer.send_response(stream, 101, [["Upgrade", "raw"]], reason="Switching Protocols")
    equal(conn.head().status, 101, "status")
    conn.send(b"to the origin")
    got = b""
    while len(got) < 13:
        got += peer.recv_message()["body"]
    equal(got, b"to the origin", "up")
    conn.half_close()
    body, how = peer.recv_body(stream)
    equal((body, how), (b"", "end"), "its end")
    peer.send_body(stream, b"to the caller", end=True)
    equal(conn.rest(), b"to the caller", "down")


# ---------------------------------------------------- the client's side


def link(t, origin=None, nofile=None, **env):
    """A raw server with our client at it: (peer, client, origin, server)."""
    origin = origin or t.origin()
    server = t.tunnel_server()
    client = t.client(server, origin, ready=False, env=env, nofile=nofile)
    return server.accept(), client, origin, server


@scenario(quick=True)
def client_serves_requests(t):
    """A request message becomes a request, its answer a response message."""
    peer, _, origin, _ = link(t)
    stream = peer.send_request("/echo?a=1&a=2", "POST", [["Host", "pub.test"], ["X-A", "1"], ["x-a", "\u00e4"]], end=False)
    peer.send_body(stream, b"hello")
    head = peer.recv_type("answer")
    equal((head["status_code"], head["reason"], head["flags"]), (200, "OK", harness.HAS_BODY), "head")
    body, how = peer.recv_body(stream)
    equal((json.loads(body)["target"], how), ("/echo?a=1&a=2", "end"), "body")
    got = origin.requests[0]
    equal((got.method, got.body, got.get("host"), got.all("x-a")), ("POST", b"hello", "pub.test", ["1", "\xe4"]), "request")


@scenario(quick=True)
def client_keeps_to_the_window(t):
    """No more of an answer comes than the credit that was given."""
    peer, _, _, _ = link(t)
    stream = peer.send_request("/size/5000", window=1000)
    peer.recv_type("answer")
    got = b""
    while len(got) < 1000:
        got += peer.recv_message()["body"]
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
    equal(peer.recv_type("answer")["stream"], quick, "first answer")
    origin.gate("a").set()
    equal(peer.recv_type("answer")["stream"], slow, "second answer")


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
    for name in ("empty", "a head longer than the message", "a note too deep", "a body for no stream",
                 "a reset for a stream that is not open yet"):
        client = t.client(server, origin, ready=False)
        peer = server.accept()
        peer.send(BINARY_FRAME, MESSAGES[name])
        peer.wait_close(1002)
        client.terminate()


@scenario()
def numbers_out_of_turn(t):
    """A request whose number is not the next one, or that took more credit than was offered, closes the link: 1002."""
    origin, server = t.origin(), t.tunnel_server()
    for name, how in (("not the first", dict(stream=2)), ("none", dict(stream=0)), ("an old one", dict(stream=1)),
                      ("the last one", dict(stream=(1 << 31) - 1)), ("past it", dict(stream=1 << 31)),
                      ("more credit", dict(took=(1 << 20) + 1)), ("an answer", None)):
        client = t.client(server, origin, ready=False)
        peer = server.accept()
        if name == "an old one":
            peer.send_request("/204")
            peer.recv_type("answer")
        if how is None:
            peer.send_request("/never")
            peer.send_response(1)
        else:
            peer.send_request("/204", **how)
        try:
            peer.wait_close(1002)
        except Failed as failed:
            raise Failed("%s: %s" % (name, failed))
        client.terminate()


def evil(first, fields="Host: h\r\n"):
    return dict(head=("%s\r\n%s\r\n" % (first, fields)).encode())


HOSTILE_REQUESTS = {
    "LF in the target": dict(target="/x HTTP/1.1\nEvil: 1\n\nGET /evil"),
    "space in the target": dict(target="/x /evil"),
    "no slash": dict(target="evil"), "absolute": dict(target="http://evil/"), "empty target": dict(target=""),
    "absolute, of its own host": dict(target="http://h/"), "a star": dict(target="*"),
    "LF in the method": dict(method="GET /evil HTTP/1.1\n\nGET"), "empty method": dict(method=""),
    "CONNECT": dict(method="CONNECT", target="h:80"), "TRACE": dict(method="TRACE"),
    "LF in a value": dict(fields=[["a", "b\nEvil: 1"]]), "CR in a name": dict(fields=[["a\rEvil", "1"]]),
    "two lengths": dict(fields=[["content-length", "1"], ["content-length", "2"]], end=False),
    "bare LF": dict(fields=[["a", "b\n\nGET /evil HTTP/1.1"]]),
    "a second request": evil("GET /x HTTP/1.1", "Host: h\r\n\r\nGET /evil HTTP/1.1\r\nHost: h\r\n"),
    "two Hosts": evil("GET / HTTP/1.1", "Host: a\r\nHost: a\r\n"), "a bad Host": evil("GET / HTTP/1.1", "Host: a b\r\n"),
    "an empty Host": evil("GET / HTTP/1.1", "Host:\r\n"), "HTTP/0.9": dict(head=b"GET /\r\n\r\n"),
    "an empty line first": dict(head=b"\r\nGET / HTTP/1.1\r\nHost: h\r\n\r\n"), "nothing": dict(head=b""),
    "too many": dict(fields=[["a", "b"]] * 136),
    "Transfer-Encoding": dict(fields=[["Transfer-Encoding", "chunked"]], method="POST", end=False),
    "Connection": dict(fields=[["Connection", "close"]]), "Proxy-Connection": dict(fields=[["Proxy-Connection", "close"]]),
    "Upgrade without its flag": dict(fields=[["Upgrade", "raw"]]), "its flag without Upgrade": dict(flags=harness.UPGRADE),
    "Upgrade with a length": dict(fields=[["Upgrade", "raw"], ["content-length", "5"]], flags=harness.UPGRADE),
    "TE": dict(fields=[["TE", "gzip"]]), "an interim request": dict(flags=harness.INTERIM),
    "neither a body nor an end": dict(flags=0), "a body without its flag": dict(flags=harness.END, body=b"x"),
    "an end before its length": dict(method="POST", fields=[["content-length", "5"]], flags=harness.END),
    "an end within its length": dict(method="POST", fields=[["content-length", "5"]], body=b"four"),
}


@scenario()
def hostile_requests(t):
    """A request that is not fit for HTTP, or not what its flags say, never reaches the origin: it is reset, and the
    link stands."""
    peer, _, origin, _ = link(t)
    for name, how in HOSTILE_REQUESTS.items():
        stream = peer.send_request(**how)
        said = peer.recv_message()
        equal((said["type"], said.get("stream"), said.get("status_code")), ("reset", stream, 400), name)
    equal([r.line for r in origin.requests], [], "what the origin saw")
    peer.send_request("/204")
    equal(peer.recv_type("answer")["status_code"], 204, "a good one")


@scenario()
def a_body_that_is_not_its_length(t):
    """A request's body that goes past its Content-Length, or ends before it, is broken off at the origin."""
    peer, _, origin, _ = link(t)
    for octets in (b"four", b"six..."):
        stream = peer.send_request("/raw", "POST", [["content-length", "5"]], end=False)
        peer.send_body(stream, octets)
        equal(peer.recv_type("reset")["stream"], stream, "%d octets" % len(octets))
    peer.send_request("/204")
    equal(peer.recv_type("answer")["status_code"], 204, "a good one")
    equal([r.line for r in origin.requests if len(r.body or b"") != 0 and r.line.startswith("POST")], [], "whole requests")


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
    """401 and 403 to the dial, and close 1008, end it with exit 1 and the reason: the two are Python's, where an older
    one wants another token."""
    origin = t.origin()
    for octets in (b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n", b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n"):
        server = t.tunnel_server()
        client = t.client(server, origin, ready=False)
        server.dialled().send(octets)
        equal(client.wait_exit(), 1, "exit")
        contains(client.err(), "refused", "stderr")
        contains(client.err(), "--bare", "stderr")
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
    conn.send(harness.switch_octets(conn.handshake, [("Sec-WebSocket-Protocol", harness.V2), ("X-PipeGate", "{}")]) +
              peer.frame(BINARY_FRAME, request_message(1, "/204")))
    equal(peer.recv_type("answer")["status_code"], 204, "status")


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
    equal(peer.recv_type("answer")["status_code"], 204, "another request")


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
    equal(fresh.recv_type("answer")["status_code"], 204, "a request on the new link")


@scenario(quick=True)
def client_refuses_an_open_number(t):
    """A request with the number of an open one closes the link with 1002."""
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
    peer.send_message(harness.LEAVE)
    peer.recv_type("leave")
    origin.gate("a").set()
    equal(peer.recv_type("answer")["stream"], stream, "answer")


@scenario(quick=True)
def client_dials_anew_when_asked_to_leave(t):
    """After the server's leave the client dials another link at once, finishes on the old one, and closes that."""
    peer, client, origin, server = link(t)
    stream = peer.send_request("/gate/a")
    origin.wait_seen("/gate/a")
    peer.send_message(harness.LEAVE)
    peer.recv_type("leave")
    fresh = server.accept(seconds=5)
    fresh.send_request("/204")
    equal(fresh.recv_type("answer")["status_code"], 204, "a request on the new link")
    late = peer.send_request("/204")
    equal(peer.recv_type("answer")["stream"], late, "one that was on its way on the old link")
    origin.gate("a").set()
    equal(peer.recv_type("answer")["stream"], stream, "the one that was open")
    peer.recv_body(stream)
    peer.wait_close(1001)
    fresh.send_message(harness.LEAVE)
    server.accept(seconds=5).ping()
    client.terminate()


RELAY = """
import os, select, socket, sys, time
sock = socket.create_connection((sys.argv[1], int(sys.argv[2])))
while True:
    for f in select.select([0, sock], [], [])[0]:
        data = os.read(0, 4096) if f == 0 else sock.recv(65536)
        if not data:
            sys.exit()
        if f == 0:
            time.sleep(0.01)        # a wire of its own
            sock.sendall(data)
        else:
            os.write(1, data)
"""


@scenario()
def leaving_over_a_helper_loses_nothing(t):
    """The helper of a link that leaves carries what is under way to its end, before it is ended itself."""
    path = os.path.join(t.folder, "relay.py")
    with open(path, "w") as f:
        f.write(RELAY)
    origin, server = t.origin(), t.tunnel_server()
    client = t.client(server, origin, ready=False, args=("--connect", "%s %s %%h %%p" % (harness.sys.executable, path)))
    peer = server.accept()
    stream = peer.send_request("/size/150000", window=200000)
    origin.wait_seen("/size/150000")
    peer.send_message(harness.LEAVE)
    fresh = server.accept()
    equal(peer.recv_type("answer")["stream"], stream, "answer")
    check(peer.recv_body(stream, grant=False) == (pattern(150000), "end"), "its body")
    peer.wait_close(1001)
    peer.send_close(1001)
    fresh.send_request("/204")
    equal(fresh.recv_type("answer")["status_code"], 204, "a request on the new link")
    t.wait(lambda: len(client.children()) == 1, "the end of the older helper")


@scenario()
def a_server_that_asks_to_leave_over_and_over(t):
    """It is dialled at once, and then with a back-off."""
    server = t.tunnel_server()
    client = t.client(server, t.origin(), ready=False)
    peers = []
    end = time.monotonic() + 3
    while time.monotonic() < end:
        if not server.undialled(0.1):
            peers.append(server.accept())
            peers[-1].send_message(harness.LEAVE)
    check(2 <= len(peers) <= 5, "%d dials in 3 s" % len(peers))
    check(client.running(), "it gave up")


@scenario()
def told_to_end_while_it_dials_anew(t):
    """A client that gets SIGTERM after the server's leave finishes what is under way, takes no new link, and ends."""
    peer, client, origin, server = link(t)
    stream = peer.send_request("/gate/a")
    origin.wait_seen("/gate/a")
    peer.send_message(harness.LEAVE)
    conn = server.dialled()
    client.send_signal(signal.SIGTERM)
    equal(conn.rest(), b"", "what is said on the new connection")
    origin.gate("a").set()
    while True:
        said = peer.recv_message()
        if said["type"] == "body" and said["end"]:
            break
    equal(said["stream"], stream, "the one under way")
    peer.wait_close(1001)
    peer.send_close(1001)
    peer.close()
    equal(client.wait_exit(), 0, "exit")


@scenario()
def resets_say_what_was_reached(t):
    """A reset says whether nothing of the request reached the service: where no connection was made, and only there;
    or whether nothing of its answer came."""
    origin = t.origin()
    origin.on("/broken", lambda request, conn, origin: conn.abort())
    peer, _, _, _ = link(t, origin)
    peer.send_request("/broken", "POST", body=b"x")
    said = peer.recv_type("reset")
    equal((said["flags"], said["status_code"]), (harness.UNANSWERED, 502), "a service that breaks off")
    origin.on("/early", lambda request, conn, origin: conn.send(b"HTTP/1.1 103 Early Hints\r\n\r\n") and conn.abort())
    peer.send_request("/early")
    peer.recv_type("answer")
    equal(peer.recv_type("reset")["flags"], 0, "one that breaks off behind an interim answer")

    def last(request, conn, origin):
        origin.stop()
        conn.abort()
    origin.on("/last", last)
    peer.send_request("/204")
    equal(peer.recv_type("answer")["status_code"], 204, "so that a connection is kept")
    peer.send_request("/last")
    said = peer.recv_type("reset")
    equal((said["flags"], said["status_code"]), (harness.UNANSWERED, 504), "a service that got it, and is not there for the second try")
    dead = harness.free_port()
    server = t.tunnel_server()
    t.client(server, "http://127.0.0.1:%d" % dead, ready=False)
    peer = server.accept()
    for how in (dict(), dict(method="POST", body=b"x" * 100), dict(method="POST", end=False)):
        peer.send_request("/x", **how)
        said = peer.recv_type("reset")
        equal((said["flags"], said["status_code"]), (harness.UNREACHED, 504), "a service that is not there")


def described():
    """The exchanges in doc/wire: (who, octets) in their order."""
    with open(os.path.join(harness.ROOT, "doc", "wire")) as f:
        text = f.read().split("v2: two exchanges", 1)[1].split("\nv1\n", 1)[0]
    said = []
    for who, octets in re.findall(r"^  (server|client|      )  ((?:[0-9a-f]{2} ?)+)(?:  |$)", text, re.M):
        if who.strip():
            said.append((who, b""))
        said[-1] = (said[-1][0], said[-1][1] + bytes.fromhex(octets))
    return said


@scenario()
def exchanges_of_the_description(t):
    """The exchanges that doc/wire shows in hex are those that this program has."""
    shown = described()
    equal([who for who, _ in shown].count("client"), 5, "messages of the client")
    bare = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi"
    origin = t.origin().on("/x", bare).on("/up", b"HTTP/1.1 204 No Content\r\n\r\n")
    peer, _, _, _ = link(t, origin)
    for who, octets in shown[:-2]:
        if who == "server":
            peer.send(BINARY_FRAME, octets)
        elif octets[:6] == message(harness.WINDOW, 0):
            continue                        # ours offers more
        elif octets[0] == harness.WINDOW:
            peer.recv_type("window")        # it gives more at once
        else:
            said = peer.recv()[1]
            while said[0] == harness.WINDOW:
                said = peer.recv()[1]
            equal(said, octets, "what the client says")
    server = t.server()
    raw = t.tunnel(server, window=4)
    requests = [harness.read_message(octets) for _, octets in shown if octets[0] == harness.REQUEST]
    for target, want in zip(("/demo/x?a=1", "/demo/up", "/demo/y"), requests):
        ask(t, server, target, want["method"], body=b"abcdef" if want["method"] == "POST" else None)
        got = raw.recv_whole()
        for part in ("stream", "flags", "method", "target", "body"):
            equal(got[part], want[part], "%s of %s" % (part, target))


@scenario()
def client_ignores_what_it_does_not_know(t):
    """Unknown types and notes from a server change nothing."""
    peer, _, _, _ = link(t)
    for kind, octets in ((harness.NOTE, b'{"urls":["https://x.test/demo/"],"more":1}'), (harness.ACK, b"\0\0\0\1"), (77, b"x"),
                         (200, b""), (harness.WINDOW, b"\0\0\0\1")):
        peer.send_message(kind, 0, octets)
    peer.send_request("/204")
    equal(peer.recv_type("answer")["status_code"], 204, "status")


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
