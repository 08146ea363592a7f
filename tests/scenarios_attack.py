"""Tricks: framing that two parsers could read differently, fields that try to
cross a hop, ends in the wrong place, and peers that keep to no agreement."""
import os
import queue
import signal
import socket
import struct

import harness
from harness import (scenario, equal, contains, check, ask, ended, pattern, reply,
                     request_octets, token, Conn, Failed, Skipped,
                     TEXT, BINARY_FRAME, CLOSE, PING, PONG)

GET = b"GET /demo/echo HTTP/1.1\r\nHost: h\r\n"
POST = b"POST /demo/echo HTTP/1.1\r\nHost: h\r\n"


# ------------------------------------------------------------ two parsers

SMUGGLED = b"GET /demo/smuggled HTTP/1.1\r\nHost: h\r\n\r\n"
SMUGGLES = {
    "CL.TE": POST + b"Content-Length: %d\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" % (5 + len(SMUGGLED)) + SMUGGLED,
    "TE.CL": POST + b"Transfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n2b\r\n" + SMUGGLED + b"\r\n0\r\n\r\n",
    "TE.TE": POST + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: x\r\n\r\n0\r\n\r\n" + SMUGGLED,
    "TE with a tab": POST + b"Transfer-Encoding:\tchunked\r\nContent-Length: 4\r\n\r\n0\r\n\r\n" + SMUGGLED,
    "TE with vertical tab": POST + b"Transfer-Encoding: \x0bchunked\r\n\r\n0\r\n\r\n" + SMUGGLED,
    "TE in quotes": POST + b'Transfer-Encoding: "chunked"\r\n\r\n0\r\n\r\n' + SMUGGLED,
    "TE twice chunked": POST + b"Transfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n" + SMUGGLED,
    "TE identity": POST + b"Transfer-Encoding: identity\r\nContent-Length: 0\r\n\r\n" + SMUGGLED,
    "TE folded": POST + b"Transfer-Encoding:\r\n chunked\r\n\r\n0\r\n\r\n" + SMUGGLED,
    "TE with a parameter": POST + b"Transfer-Encoding: chunked;a=b\r\n\r\n0\r\n\r\n" + SMUGGLED,
    "TE with a space before the colon": POST + b"Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n" + SMUGGLED,
    "TE with a trailing comma": POST + b"Transfer-Encoding: chunked,\r\n\r\n0\r\n\r\n" + SMUGGLED,
    "CL in hex": POST + b"Content-Length: 0x0\r\n\r\n" + SMUGGLED,
    "CL past 64 bits": POST + b"Content-Length: 18446744073709551616\r\n\r\n" + SMUGGLED,
    "CL twice": POST + b"Content-Length: 0\r\nContent-Length: 43\r\n\r\n" + SMUGGLED,
    "CL as a list": POST + b"Content-Length: 0, 0\r\n\r\n" + SMUGGLED,
    "CL below zero": POST + b"Content-Length: -1\r\n\r\n" + SMUGGLED,
    "CL with a plus": POST + b"Content-Length: +0\r\n\r\n" + SMUGGLED,
    "CL with an underscore": POST + b"Content-Length: 1_0\r\n\r\n" + SMUGGLED,
    "CL folded": POST + b"Content-Length:\r\n 0\r\n\r\n" + SMUGGLED,
    "chunk size past 64 bits": POST + b"Transfer-Encoding: chunked\r\n\r\n10000000000000000\r\n" + SMUGGLED,
    "chunk size with 0x": POST + b"Transfer-Encoding: chunked\r\n\r\n0x2b\r\n" + SMUGGLED,
    "chunk size with a space": POST + b"Transfer-Encoding: chunked\r\n\r\n 0\r\n\r\n" + SMUGGLED,
    "chunk size below zero": POST + b"Transfer-Encoding: chunked\r\n\r\n-1\r\n" + SMUGGLED,
    "chunk end with LF": POST + b"Transfer-Encoding: chunked\r\n\r\n1\r\nx\n0\r\n\r\n" + SMUGGLED,
    "chunk size with LF": POST + b"Transfer-Encoding: chunked\r\n\r\n0\n\r\n" + SMUGGLED,
    "chunk extension with LF": POST + b"Transfer-Encoding: chunked\r\n\r\n2;\nxx\r\n4c\r\n0\r\n\r\n" + SMUGGLED,
    "chunk extension with CR": POST + b"Transfer-Encoding: chunked\r\n\r\n0;a\r=b\r\n\r\n" + SMUGGLED,
    "chunk longer than its size": POST + b"Transfer-Encoding: chunked\r\n\r\n1\r\nxy\r\n0\r\n\r\n" + SMUGGLED,
    "trailer without colon": POST + b"Transfer-Encoding: chunked\r\n\r\n0\r\nx\r\n\r\n" + SMUGGLED,
    "trailer folded": POST + b"Transfer-Encoding: chunked\r\n\r\n0\r\nA: b\r\n c\r\n\r\n" + SMUGGLED,
    "CR in a value": GET + b"A: b\rGET /demo/smuggled HTTP/1.1\r\n\r\n" + SMUGGLED,
    "LF in a value": GET + b"A: b\nContent-Length: 5\r\n\r\n" + SMUGGLED,
    "NUL in a name": GET + b"Content-Length\0: 0\r\n\r\n" + SMUGGLED,
    "field before any": b"GET /demo/echo HTTP/1.1\r\n Host: h\r\n\r\n" + SMUGGLED,
    "two spaces": b"GET  /demo/echo HTTP/1.1\r\nHost: h\r\n\r\n" + SMUGGLED,
    "tab in the line": b"GET\t/demo/echo HTTP/1.1\r\nHost: h\r\n\r\n" + SMUGGLED,
    "no version": b"GET /demo/echo\r\nHost: h\r\n\r\n" + SMUGGLED,
    "HTTP/1.10": b"GET /demo/echo HTTP/1.10\r\nHost: h\r\n\r\n" + SMUGGLED,
    "HTTP/2 preface": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + SMUGGLED,
    "chunked in 1.0": POST.replace(b"1.1", b"1.0") + b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + SMUGGLED,
    "two Hosts": GET + b"Host: i\r\n\r\n" + SMUGGLED,
    "Host with a path": b"GET /demo/echo HTTP/1.1\r\nHost: h/x\r\n\r\n" + SMUGGLED,
    "Host with userinfo": b"GET /demo/echo HTTP/1.1\r\nHost: u@h\r\n\r\n" + SMUGGLED,
    "Host as a list": b"GET /demo/echo HTTP/1.1\r\nHost: h, i\r\n\r\n" + SMUGGLED,
    "CR before the line": b"\rGET /demo/echo HTTP/1.1\r\nHost: h\r\n\r\n" + SMUGGLED,
    "CONNECT": b"CONNECT h:80 HTTP/1.1\r\nHost: h:80\r\n\r\n" + SMUGGLED,
}


@scenario(quick=True)
def nothing_is_smuggled(t):
    """What two parsers could read differently is refused and closed; what stands behind it is no request."""
    origin, server, _ = t.trio()
    for name, octets in SMUGGLES.items():
        conn = t.conn(server).send_quietly(octets)
        conn.reset = False
        left = conn.rest(20)
        check(left.startswith(b"HTTP/1.1 4") or left.startswith(b"HTTP/1.1 5"), "%s: %r" % (name, left[:200]))
        equal(left.count(b"\r\n\r\n"), 1, name + ": answers")
        conn.close()
    equal([r.target for r in origin.requests if "smuggled" in r.target], [], "smuggled requests")
    equal(origin.faults, [], "faults at the origin")


@scenario()
def connection_strips_nothing_that_matters(t):
    """Connection names no field away that routes, frames, authenticates or tells where a request came from."""
    origin, server, _ = t.trio()
    kept = ("Host", "Content-Length", "Authorization", "Cookie", "X-Forwarded-For", "X-Forwarded-Proto",
            "X-Forwarded-Host", "X-Forwarded-Prefix", "x-pipegate-correlation-id")
    fields = [("Connection", ", ".join(kept) + ", x-mine"), ("Authorization", "a"), ("Cookie", "c=d"), ("X-Mine", "1")]
    answer = t.conn(server).request("POST", "/demo/echo", fields, b"body")
    seen = answer.json()
    names = {n.lower() for n, _ in seen["fields"]}
    for name in kept:
        check(name.lower() in names, "%s was stripped" % name)
    check("x-mine" not in names, "x-mine passed")
    equal(seen["body"], "Ym9keQ==", "body")


@scenario()
def connection_of_answers(t):
    """Nor does the origin's Connection strip the framing of its answer."""
    origin, server, _ = t.trio()
    origin.on("/names", lambda request, conn, origin: reply(
        conn, 200, [("Connection", "content-length, x-mine, set-cookie, keep-alive"), ("X-Mine", "1"),
                    ("Keep-Alive", "timeout=5"), ("Set-Cookie", "a=b")], b"five!"))
    conn = t.conn(server)
    for _ in range(2):
        answer = conn.get("/demo/names")
        equal(answer.body, b"five!", "body")
        equal((answer.get("x-mine"), answer.get("keep-alive")), (None, None), "hop-by-hop fields")


ODD_TARGETS = ("/demo/%2e%2e/%2e%2e/etc", "/demo/..", "/demo/../calm/x", "/demo//", "/demo/;a=b", "/demo/%00",
               "/demo/%zz", "/demo/%", "/demo/?", "/demo/??", "/demo/a?b?c", "/demo/%0d%0aX:%20y", "/demo/a:b@c",
               "/demo/http://x/y", "/demo/" + "a" * 15000, "/demo/*", "/demo/\"<>\\^`{|}")


@scenario()
def odd_targets(t):
    """Targets pass as they are or are refused; none is mended on the way."""
    origin, server, _ = t.trio()
    for target in ODD_TARGETS:
        answer = t.get(server, target)
        if answer.status == 200:
            equal(answer.json()["target"], target[5:], "target")
        else:
            equal(answer.status, 400, target[:50])


NO_IDS = ("/%64emo/x", "/demo%2fx", "/../demo/x", "/./demo/x", "//demo/x", "/" + "a" * 129 + "/x", "/de mo/x",
          "/demo%00/x", "/DEMO/x", "/demo;x/y", "/de%6do/x", "/healthz/x", "/.%2e/x", "/" + "a" * 8000)


@scenario()
def ids_are_compared_as_they_stand(t):
    """No other spelling of an id leads to its tunnel."""
    origin, server, _ = t.trio(server_env={"PIPEGATE_OFFLINE_WAIT": "0"})
    for target in NO_IDS:
        answer = t.get(server, target)
        check(answer.status in (307, 400, 404, 405, 503), "%s: %d" % (target[:40], answer.status))
    equal(origin.requests, [], "requests at the origin")


@scenario()
def absolute_targets(t):
    """An absolute target's authority is the Host that the origin sees; a path that is none is refused."""
    origin, server, _ = t.trio()
    cases = {"http://h/demo/echo": 200, "HTTP://h/demo/echo?a": 200, "http://h": None, "http://h?x": 400,
             "http://u@h/demo/echo": 400, "http:///demo/echo": 400, "ftp://h/demo/echo": None, "http://h:/demo/echo": None,
             "http://h/demo/echo#f": 400, "demo/echo": 400, "http://[::1]/demo/echo": None}
    for target, status in cases.items():
        conn = t.conn(server).send_quietly("GET %s HTTP/1.1\r\nHost: h\r\n\r\n" % target)
        answer = conn.answer()
        if status:
            equal(answer.status, status, target)
        elif answer.status == 200:
            check(answer.json()["target"].startswith("/echo"), target)
    answer = t.conn(server).send("GET http://other/demo/echo HTTP/1.1\r\nHost: h\r\n\r\n").answer()
    if answer.status == 200:
        equal([v for n, v in answer.json()["fields"] if n.lower() == "host"], ["other"], "Host")
    else:
        equal(answer.status, 400, "another authority than Host's")


@scenario()
def a_thousand_pipelined(t):
    """1,000 requests in one go are answered in their order, over one connection."""
    origin, server, _ = t.trio()
    conn = t.conn(server)
    sizes = [(i * 37) % 300 for i in range(1000)]
    octets = b"".join(request_octets("GET", "/demo/size/%d" % n) for n in sizes)
    work = t.background(lambda: conn.sock.sendall(octets))
    for i, n in enumerate(sizes):
        check(conn.answer(seconds=20).body == pattern(n), "answer %d" % i)
    work.result()


@scenario()
def a_thousand_pipelined_and_gone(t):
    """A caller that sends 1,000 requests and ends leaves no stream behind."""
    origin, server, client = t.trio()
    t.get(server, "/demo/echo")
    before = client.descriptors(), server.descriptors()
    octets = request_octets("GET", "/demo/slow/0.01") * 1000
    for how in ("close", "abort"):
        conn = Conn.to(server.port).send_quietly(octets)
        getattr(conn, how)()
    t.wait(lambda: server.descriptors() <= before[1] + 1, "the server's descriptors")
    t.wait(lambda: client.descriptors() <= before[0] + 2, "the client's descriptors")
    equal(t.get(server, "/demo/echo").status, 200, "afterwards")


@scenario()
def mixed_pipeline(t):
    """Answers of our own and those of the tunnel keep their order in a pipeline, up to the one that closes."""
    origin, server, _ = t.trio(server_env={"PIPEGATE_OFFLINE_WAIT": "0"})
    conn = t.conn(server)
    conn.send(request_octets("GET", "/healthz") + request_octets("GET", "/demo/slow/0.1") +
              request_octets("GET", "/none/x") + request_octets("POST", "/demo/raw", body=b"abc") +
              request_octets("HEAD", "/demo/head") + request_octets("OPTIONS", "*") +
              request_octets("GET", "/demo") + request_octets("GET", "/demo/204", [("Connection", "close")]) + SMUGGLED)
    methods = ["GET"] * 4 + ["HEAD", "GET", "GET", "GET"]
    got = [conn.answer(m).status for m in methods]
    equal(got, [200, 200, 503, 200, 200, 204, 307, 204], "statuses")
    equal(conn.rest(), b"", "after the close")


# ------------------------------------------------------- answers of origins

BARE = {
    "204 with a body": (b"HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\nhello", "GET", 204),
    "304 with a body": (b"HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\nhello", "GET", 304),
    "204 chunked": (b"HTTP/1.1 204 No Content\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n", "GET", 204),
    "HEAD with a body": (b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", "HEAD", 200),
    "HEAD chunked": (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n", "HEAD", 200),
    "two answers": (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok" * 2, "GET", 200),
    "an answer too long": (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokHTTP/1.1 500 evil\r\n\r\n", "GET", 200),
    "103 with a length": (b"HTTP/1.1 103 Early\r\nContent-Length: 9\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", "GET", 200),
    "100 unasked": (b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", "GET", 200),
}


@scenario(quick=True)
def bodies_where_none_may_be(t):
    """Octets past an answer's end are cut, and never become the next answer on that connection."""
    origin, server, _ = t.trio()
    for i, (name, (octets, method, status)) in enumerate(BARE.items()):
        origin.on("/bare/%d/" % i, octets)
        conn = t.conn(server)
        for _ in range(2):
            answer = conn.request(method, "/demo/bare/%d/" % i)
            equal(answer.status, status, name)
            check(answer.body in (b"", b"ok"), "%s: %r" % (name, answer.body))
        equal(conn.get("/demo/echo").json()["target"], "/echo", name + ": the next")
        conn.close()


@scenario()
def answers_before_the_request(t):
    """An origin that talks before it is asked is not believed for the next request."""
    listener = socket.create_server(("127.0.0.1", 0))
    t.defer(listener.close)
    taken, spoken = queue.Queue(), queue.Queue()

    def origin():
        while True:
            sock, _ = listener.accept()
            conn = Conn(sock)
            conn.until(b"\r\n\r\n")
            conn.send(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nright")
            taken.get(timeout=30)
            conn.send_quietly(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nwrong")
            spoken.put(conn)
    t.background(origin)
    server = t.server()
    client = t.client(server, "http://127.0.0.1:%d" % listener.getsockname()[1])
    for _ in range(3):
        equal(t.get(server, "/demo/x").body, b"right", "body")
        taken.put(True)
        spoken.get(timeout=10 * harness.SLOW)
        client.settle()


@scenario()
def resets_in_each_state(t):
    """A reset of the origin at each octet of its answer is a right answer or a visible break."""
    origin, server, _ = t.trio()
    whole = (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-T\r\n\r\n"
             b"5\r\nhello\r\n6;a=b\r\n world\r\n0\r\nX-T: 1\r\n\r\n")

    def cut(request, conn, origin):
        _, kind, at = request.path[1:].split("/")
        conn.send(whole[:int(at)])
        if kind == "rst":
            conn.abort()
        return True
    origin.on("/cut/", cut)
    for kind in ("rst", "fin"):
        for at in range(0, len(whole) + 1, 3 if harness.SLOW > 1 else 1):
            conn = ask(t, server, "/demo/cut/%s/%d" % (kind, at), fields=[("Connection", "close")])
            left = conn.rest(20)
            right = left.startswith(b"HTTP/1.1 200") and b"\r\n0\r\n" in left
            check(not right or (at == len(whole) and b"hello" in left and b" world" in left) or kind == "rst" and at == len(whole),
                  "%s at %d: taken for whole: %r" % (kind, at, left))
            check(right or at < len(whole) or kind == "rst", "whole, but broken: %r" % left)
            conn.close()
    equal(t.get(server, "/demo/echo").status, 200, "afterwards")


@scenario()
def resets_of_the_caller_in_each_state(t):
    """A caller's end at each octet of its request leaves nothing behind, and nobody without an answer."""
    origin, server, client = t.trio()
    whole = (b"POST /demo/raw HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n"
             b"5\r\nhello\r\n6;a=b\r\n world\r\n0\r\nX-T: 1\r\n\r\n")
    t.get(server, "/demo/echo")
    before = server.descriptors()
    for how in ("abort", "close", "half_close"):
        for at in range(0, len(whole) + 1, 3 if harness.SLOW > 1 else 1):
            conn = Conn.to(server.port).send(whole[:at])
            getattr(conn, how)()
            if how == "half_close":
                left = conn.rest(20)
                check(at == len(whole) or b"HTTP/1.1 200" not in left, "at %d: %r" % (at, left))
                conn.close()
    t.wait(lambda: server.descriptors() <= before + 1, "the descriptors")
    for request in origin.seen("/raw"):
        equal(request.body, b"hello world", "a body that reached the origin")
    equal(t.get(server, "/demo/echo").status, 200, "afterwards")


@scenario()
def heads_past_the_limit_from_a_client(t):
    """An answer message whose head is over the limits gives 502, not a break, and its link stands."""
    server = t.server(env={"PIPEGATE_OFFLINE_WAIT": "0"})
    peer = t.tunnel(server)
    for fields in ([["x-%d" % i, "a" * 300] for i in range(128)], [["x-%d" % i, "a"] for i in range(137)]):
        for end in (True, False):
            conn = ask(t, server)
            peer.send_response(peer.recv_request()["stream"], fields=fields, end=end)
            equal(conn.answer().status, 502, "status")
            peer.recv_type("reset")
            conn.close()
    peer.ping()


# ------------------------------------------------------ half-close, upgrade


@scenario()
def half_closed_upgrade_is_not_cut(t):
    """After a 101, what a caller sent before its FIN arrives whole, although the other half has ended and credit is scarce."""
    server = t.server()
    peer = t.tunnel(server, window=0)
    conn = ask(t, server, fields=[("Upgrade", "raw"), ("Connection", "upgrade")])
    stream = peer.recv_request()["stream"]
    peer.send_response(stream, 101, [("upgrade", "raw")])
    equal(conn.head().status, 101, "status")
    peer.send_body(stream, b"bye", end=True)
    equal(conn.rest(), b"bye", "the half that came down")
    conn.send(pattern(5000))
    conn.half_close()
    server.settle()
    peer.send_window(stream, 100000)
    equal(peer.recv_body(stream, grant=False) == (pattern(5000), "end"), True, "the half that went up, whole")


@scenario()
def half_closed_upgrade_at_the_origin(t):
    """The same where the origin is slow to be read."""
    origin, raw = t.origin(), t.tunnel_server()
    done = []

    def switch(request, conn, origin):
        conn.send(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: raw\r\nConnection: upgrade\r\n\r\n")
        done.append(conn.rest(20))
        conn.send(pattern(5000))
        return True
    origin.on("/switch", switch)
    client = t.client(raw, origin, ready=False)
    peer = raw.accept()
    stream = peer.send_request("/switch", fields=[("upgrade", "raw")], flags=harness.UPGRADE, window=0)
    equal(peer.recv_type("answer")["status_code"], 101, "status")
    peer.send_body(stream, b"up", end=True)
    t.wait(lambda: done, "the end at the origin")
    equal(done[0], b"up", "what went up")
    client.settle()
    peer.send_window(stream, 100000)
    check(peer.recv_body(stream, grant=False) == (pattern(5000), "end"), "what came down")


@scenario()
def upgrade_tricks(t):
    """An Upgrade with a body, for h2c, of 1.0 or not listed in Connection switches nothing."""
    origin, server, _ = t.trio()
    up = "Upgrade: raw\r\nConnection: upgrade\r\n"
    cases = {
        "with a body": "POST /demo/echo HTTP/1.1\r\nHost: h\r\n" + up + "Content-Length: 2\r\n\r\nhi",
        "chunked": "POST /demo/echo HTTP/1.1\r\nHost: h\r\n" + up + "Transfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n",
        "h2c": "GET /demo/echo HTTP/1.1\r\nHost: h\r\nUpgrade: h2c\r\nConnection: Upgrade, HTTP2-Settings\r\nHTTP2-Settings: x\r\n\r\n",
        "h2c among others": "GET /demo/echo HTTP/1.1\r\nHost: h\r\nUpgrade: raw, h2c\r\nConnection: Upgrade\r\n\r\n",
        "1.0": "GET /demo/echo HTTP/1.0\r\nHost: h\r\n" + up + "\r\n",
        "not listed": "GET /demo/echo HTTP/1.1\r\nHost: h\r\nUpgrade: raw\r\n\r\n",
        "listed alone": "GET /demo/echo HTTP/1.1\r\nHost: h\r\nConnection: upgrade\r\n\r\n",
    }
    for name, octets in cases.items():
        answer = t.conn(server).send(octets).answer()
        equal(answer.status, 200, name)
        names = {n.lower() for n, _ in answer.json()["fields"]}
        check("upgrade" not in names, name + ": Upgrade passed")


def early(peer, stream, kind):
    if kind == "trailers":
        peer.send_trailers(stream, [])
    else:
        peer.send_body(stream, SMUGGLED.replace(b"/demo/", b"/"), end=kind == "end")


@scenario()
def a_server_that_does_not_await_the_switch(t):
    """Body of an upgrade before its answer closes the link with 1002, and reaches no service as a request."""
    origin, raw = t.origin(), t.tunnel_server()
    client = t.client(raw, origin, ready=False)
    for kind in ("body", "end", "trailers"):
        peer = raw.accept(seconds=20)
        stream = peer.send_request("/gate/" + kind, fields=[("upgrade", "raw")], flags=harness.UPGRADE)
        origin.wait_seen("/gate/" + kind)
        early(peer, stream, kind)
        peer.wait_close(1002)
        origin.gate(kind).set()
        peer.close()
    check(client.running(), "the client ended")
    equal(origin.seen("/smuggled") + origin.faults, [], "what the service saw besides")


@scenario()
def refused_upgrade_with_octets_behind(t):
    """What a caller pipelines behind an Upgrade that is refused is read as a request, once."""
    origin, server, _ = t.trio()
    conn = t.conn(server)
    conn.send(request_octets("GET", "/demo/echo", [("Upgrade", "raw"), ("Connection", "upgrade")]) +
              request_octets("GET", "/demo/size/7"))
    equal(conn.answer().status, 200, "the refused one")
    left = conn.answer()
    equal((left.status, left.body), (200, pattern(7)), "the one behind it")
    equal(len(origin.requests), 2, "requests")


@scenario()
def expect_tricks(t):
    """Other expectations are 417; a body that comes without waiting is not lost."""
    origin, server, _ = t.trio()
    for value in ("200-ok", "100-continue, x", "", "100-continued"):
        answer = t.conn(server).send_quietly("POST /demo/raw HTTP/1.1\r\nHost: h\r\nExpect: %s\r\nContent-Length: 2\r\n\r\nhi" % value).answer()
        check(answer.status in (417, 400) or (value == "" and answer.status == 200), "%r: %d" % (value, answer.status))
    conn = t.conn(server)
    for fields in ([("Expect", "100-continue")], [("Expect", "100-Continue"), ("expect", "100-continue")]):
        answer = conn.request("POST", "/demo/raw", fields, b"at once")
        check(answer.status in (417, 400) or answer.body == b"at once", "%d %r" % (answer.status, answer.body))
        if answer.status != 200:
            break
    answer = t.conn(server).send("GET /demo/echo HTTP/1.0\r\nExpect: 100-continue\r\n\r\n").answer()
    equal((answer.status, answer.interim), (200, []), "1.0")


# ---------------------------------------------------------- breaches on links


def stream_at(t, server, peer):
    conn = ask(t, server, "/demo/x", fields=[("Connection", "close")])
    return conn, peer.recv_request()["stream"]


BREACHES = {
    "body before the head": lambda p, s: p.send_body(s, b"x"),
    "trailers before the head": lambda p, s: p.send_trailers(s, []),
    "head twice": lambda p, s: (p.send_response(s, end=False), p.send_response(s, end=False)),
    "interim after the head": lambda p, s: (p.send_response(s, end=False), p.send_response(s, 103)),
    "past the credit": lambda p, s: (p.send_response(s, end=False), pieces_at_once(p, s, 16384, 1)),
}


def pieces_at_once(peer, stream, *sizes):
    """Body messages in one segment, so that none is granted between them."""
    peer.conn.send(b"".join(peer.frame(BINARY_FRAME, harness.message(harness.BODY, stream, b"x" * n)) for n in sizes))


@scenario(quick=True)
def breaches_of_the_order(t):
    """Messages out of their order close the link with 1002, and the caller sees no whole answer."""
    server = t.server(env={"PIPEGATE_OFFLINE_WAIT": "0", "PIPEGATE_MAX_MEMORY": "1048576"})
    for name, breach in BREACHES.items():
        peer = t.tunnel(server)
        conn, stream = stream_at(t, server, peer)
        conn.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        try:
            breach(peer, stream)
        except OSError:
            pass
        try:
            peer.wait_close(1002)
        except harness.Closed:
            raise
        except Failed:
            check(peer.conn.reset, name + ": the link stands")
        left = conn.rest(20)
        check(left.startswith(b"HTTP/1.1 502") or not left.endswith(b"0\r\n\r\n"), "%s: %r" % (name, left[-50:]))
        peer.close()
        conn.close()


LATE = {
    "body after the end": lambda p, s: p.send_body(s, b"late"),
    "second head": lambda p, s: p.send_response(s, 500),
    "reset": lambda p, s: p.send_reset(s),
    "window": lambda p, s: p.send_window(s, (1 << 32) - 1),
    "window again": lambda p, s: p.send_window(s, (1 << 32) - 1),
    "trailers": lambda p, s: p.send_trailers(s, [["a", "b"]]),
}


@scenario()
def late_messages(t):
    """Messages for a stream that has ended change nothing on its caller's next request."""
    server = t.server()
    peer = t.tunnel(server)
    conn = t.conn(server)
    for name, late in LATE.items():
        conn.send(request_octets("GET", "/demo/x"))
        first = peer.recv_request()["stream"]
        peer.send_response(first)
        equal(conn.answer().status, 200, name)
        conn.send(request_octets("GET", "/demo/y"))
        second = peer.recv_request()["stream"]
        late(peer, first)
        peer.send_response(second, end=False)
        peer.send_body(second, b"right")
        equal(conn.answer().body, b"right", name)


@scenario()
def late_messages_while_the_request_goes_on(t):
    """An answer that ends before its request had is whole, whatever comes about the rest of the request."""
    server = t.server()
    peer = t.tunnel(server)
    for name in ("reset", "window"):
        conn = t.conn(server).send("POST /demo/x HTTP/1.1\r\nHost: h\r\nContent-Length: 100\r\n\r\nhalf")
        stream = peer.recv_request()["stream"]
        equal(peer.recv_message()["body"], b"half", "what there is of its body")
        peer.send_response(stream, 413, end=False)
        peer.send_body(stream, b"no")
        LATE[name](peer, stream)
        peer.send_reset(stream)
        answer = conn.answer()
        equal((answer.status, answer.body), (413, b"no"), name)
        conn.rest()
        conn.close()
    conn, stream = stream_at(t, server, peer)
    peer.send_response(stream, 204)
    equal(conn.answer().status, 204, "afterwards")


@scenario()
def a_client_that_gets_a_number_again(t):
    """Late messages change nothing at a client; a number used again is 1002."""
    origin, raw = t.origin(), t.tunnel_server()
    t.client(raw, origin, ready=False)
    peer = raw.accept()
    stream = peer.send_request("/size/5")
    equal(peer.recv_type("answer")["status_code"], 200, "first")
    equal(peer.recv_body(stream), (pattern(5), "end"), "its body")
    peer.send_reset(stream)
    peer.send_window(stream, 5)
    peer.send_body(stream, b"late")
    other = peer.send_request("/size/6")
    equal(peer.recv_type("answer")["stream"], other, "second")
    equal(peer.recv_body(other), (pattern(6), "end"), "its body")
    peer.send_request("/never", stream=stream)
    peer.wait_close(1002)


@scenario()
def client_keeps_its_own_credit(t):
    """A server that sends more body than the client gave credit for is closed with 1002; the origin never sees an end."""
    origin, raw = t.origin(), t.tunnel_server()

    def deaf(request, conn, origin):
        origin.gate("asked").set()
        origin.gate("deaf").wait(20)
        origin.left = conn.rest(20)
        return True
    deaf.reads_body = False
    origin.on("/deaf", deaf)
    t.client(raw, origin, ready=False)
    peer = raw.accept()
    stream = peer.send_request("/deaf", "POST", end=False)
    check(origin.gate("asked").wait(10), "the request came")
    frame = peer.frame(BINARY_FRAME, harness.message(harness.BODY, stream, b"x" * 16384))
    for _ in range(4096):   # more than the largest window and what sockets hold
        peer.conn.send_quietly(frame)
    try:
        peer.wait_close(1002)
    except harness.Closed:
        raise
    except Failed:
        check(peer.conn.reset, "the link stands")
    origin.gate("deaf").set()
    t.wait(lambda: hasattr(origin, "left"), "the end at the origin")
    check(not origin.left.endswith(b"0\r\n\r\n"), "ended as if whole")


@scenario()
def leave_misused(t):
    """leave over and over, and before and after everything, is one leave."""
    server = t.server(env={"PIPEGATE_OFFLINE_WAIT": "0"})
    peer = t.tunnel(server)
    conn, stream = stream_at(t, server, peer)
    for _ in range(50):
        peer.send_message(harness.LEAVE)
    peer.recv_type("leave")
    peer.ping()
    equal(t.get(server, "/demo/x").status, 503, "a request after leave")
    peer.send_response(stream)
    equal(conn.answer().status, 200, "the one from before")
    peer.send_close(1000)
    peer.wait_close(1000)
    equal(t.get(server, "/demo/x").status, 503, "after the close")


@scenario()
def frames_of_all_kinds_with_the_handshake(t):
    """Whatever is glued to the handshake is read as frames once that has passed, also a breach and a close."""
    server = t.server()
    ws = harness.WebSocket(None, masks=True)
    hello = harness.upgrade_octets("/?token=" + token(), [
        ("Sec-WebSocket-Protocol", harness.V2), ("X-PipeGate", '{"streams":5}')])
    for name, octets, code in (("close", ws.frame(CLOSE, struct.pack(">H", 1001)), 1001),
                               ("unmasked", ws.frame(TEXT, b"{}", masked=False), 1002),
                               ("half a frame", ws.frame(TEXT, b"{}")[:3], None),
                               ("much", ws.frame(PING, b"x") * 50 + ws.frame(CLOSE, struct.pack(">H", 1000)), 1000)):
        conn = t.conn(server).send(hello + octets)
        equal(conn.head().status, 101, name)
        peer = harness.WebSocket(conn, masks=True)
        if code:
            peer.wait_close(code)
        else:
            conn.send(ws.frame(TEXT, b"{}")[3:])
    conn = t.conn(server).send(harness.upgrade_octets("/?token=bad") + ws.frame(TEXT, b"{}") * 100)
    equal(conn.head().status, 101, "bad token")
    harness.WebSocket(conn, masks=True).wait_close(1008)


@scenario()
def text_after_text_that_is_no_utf8(t):
    """What follows a v1 message that was closed with 1007 is not looked at, in the same read or a later one."""
    server, raw, origin = t.server(), t.tunnel_server(), t.origin()
    client = t.client(raw, origin, ready=False)
    for make in (lambda: t.tunnel(server, v2=False), lambda: raw.accept(v2=False, seconds=15)):
        peer = make()
        peer.conn.send_quietly(peer.frame(TEXT, b"\xff", fin=0) + peer.frame(0, b"more", fin=0) + peer.frame(0, b"end"))
        peer.conn.send_quietly(peer.frame(TEXT, b"again") + peer.frame(PING, b"x"))
        peer.wait_close(1007)
        peer.conn.send_quietly(peer.frame(TEXT, b"and again"))
        peer.close()
    equal(t.get(server, "/healthz").status, 200, "health")
    check(client.running(), "the client ended")


@scenario()
def a_fault_is_logged_once(t):
    """A link that goes on breaking the protocol after its close writes no line for each breach."""
    server = t.server()
    for octets in (PING, TEXT):
        peer = t.tunnel(server)
        frame = peer.frame(PING, b"") if octets == PING else peer.frame(TEXT, b"{")
        peer.conn.send_quietly(frame * 3000)
        peer.wait_close()
        peer.conn.send_quietly(frame * 3000)
        peer.close()
    t.get(server, "/healthz")
    check(server.count("link-fault") <= 4, "%d lines" % server.count("link-fault"))


@scenario()
def a_server_that_floods_does_not_end_the_client(t):
    """A client that closes a link for a flood of pings dials again; its own 1008 is no refusal."""
    origin, raw = t.origin(), t.tunnel_server()
    client = t.client(raw, origin, ready=False)
    peer = raw.accept()
    peer.conn.send_quietly(peer.frame(PING, b"x") * 2000)
    peer.wait_close(1008)
    peer.send_close(1008)
    peer.close()
    raw.accept(seconds=15)
    check(client.running(), "it ended")


CLOSES = {
    "1000": struct.pack(">H", 1000), "empty": b"", "4000 with a reason": struct.pack(">H", 4000) + b"why",
    "1012": struct.pack(">H", 1012), "long": struct.pack(">H", 1000) + b"r" * 123,
    "1004": struct.pack(">H", 1004), "1006": struct.pack(">H", 1006), "1015": struct.pack(">H", 1015),
    "0": struct.pack(">H", 0), "5000": struct.pack(">H", 5000), "65535": struct.pack(">H", 65535),
    "escapes": struct.pack(">H", 1000) + b"\x1b[31m\r\nlevel=forged",
}


@scenario(quick=True)
def close_frames_of_all_kinds(t):
    """Each close is answered once and the connection ends, on either side; none forges a line in a log."""
    server = t.server()
    for name, body in CLOSES.items():
        peer = t.tunnel(server)
        peer.send(CLOSE, body)
        peer.conn.send_quietly(peer.frame(TEXT, b"{}") + peer.frame(CLOSE, b""))
        peer.wait_close()
        check(len(peer.conn.rest(5)) == 0, name + ": octets after the close")
    check("\x1b" not in server.err() and "\nlevel" not in server.err(), "a forged line")
    raw, origin = t.tunnel_server(), t.origin()
    for name in ("1000", "empty", "1006", "escapes"):
        client = t.client(raw, origin, ready=False)
        peer = raw.accept()
        peer.send(CLOSE, CLOSES[name])
        peer.wait_close()
        peer.close()
        check(client.running(), name)
        check("\x1b" not in client.out() + client.err(), "a forged line")
        client.terminate()


@scenario()
def links_cut_at_each_octet(t):
    """A link that is cut inside a message leaves its callers with 502 or a break."""
    server = t.server(env={"PIPEGATE_OFFLINE_WAIT": "0"})
    sample = harness.WebSocket(None, masks=True)
    head = harness.answer_message(1, fields=[["content-length", "3"]], end=False)
    n = len(sample.frame(BINARY_FRAME, head))
    for at in list(range(0, n, 7)) + [n, n + 1, n + 5, n + 12, n + 14]:
        peer = t.tunnel(server)
        conn, stream = stream_at(t, server, peer)
        octets = peer.frame(BINARY_FRAME, head)
        octets += peer.frame(BINARY_FRAME, harness.message(harness.BODY, stream, b"abc", harness.END))
        peer.conn.send(octets[:at])
        peer.conn.abort()
        left = conn.rest(20)
        check(left.startswith(b"HTTP/1.1 502") or not left.endswith(b"abc"), "at %d: %r" % (at, left))
        conn.close()


@scenario()
def caller_gone_between_two_pieces(t):
    """A caller that is found to be gone while a large piece is written, with a small one behind it, harms nobody."""
    server = t.server()
    peer = t.tunnel(server)
    conn = ask(t, server)
    request = peer.recv_request()
    stream, credit = request["stream"], request["window"]
    peer.send_response(stream, end=False)
    while True:
        if credit > 40000:
            peer.send_body(stream, b"x" * 16384, end=False)
            credit -= 16384
            continue
        try:
            message = peer.recv_message(0.5)
        except harness.Closed:
            raise
        except Failed:
            break
        credit += message.get("bytes", 0) if message["type"] == "window" else 0
    os.kill(server.pid, signal.SIGSTOP)
    conn.abort()
    pieces_at_once(peer, stream, 16384, 100)
    os.kill(server.pid, signal.SIGCONT)
    equal(t.get(server, "/healthz").status, 200, "the server")


def status_within(t, kib):
    """What a server with so much address space answers: None where it does not
    start or takes no client, 200 where the request is passed on, "silence" where
    nothing happens."""
    server = t.server(ready=False, under=("/bin/sh", "-c", 'ulimit -v %d; exec "$@"' % kib, "sh"))
    t.wait(lambda: "\n" in server.out() or not server.running(), "a start or an end")
    if "\n" not in server.out():
        return None
    server.port = int(server.out().split("\n")[0].rsplit(":", 1)[1])
    try:
        peer, conn = t.tunnel(server), None
        peer.ping()
        conn = ask(t, server)
        t.wait(lambda: harness.readable([conn.sock, peer.conn.sock]), "a request or an answer")
        return conn.answer().status if harness.readable([conn.sock]) else 200
    except OSError:
        return None
    except Failed as failed:
        return "silence" if "nothing came" in str(failed) or "in vain" in str(failed) else None
    finally:
        server.kill()


@scenario()
def short_of_memory_is_no_large_head(t):
    """A request that cannot be passed on for want of memory gets 503, not the blame for its size."""
    if "san" in os.path.basename(harness.BINARY):
        return  # It wants terabytes of address space; the sweeps of scenarios_inject say the same of it.
    seen = set()
    for kib in range(2048, 16384, 32):
        seen.add(status_within(t, kib))
        if 200 in seen:
            break
    if 200 not in seen:
        raise Skipped("give it a program that runs in 16 MiB")
    equal(seen - {None, 200, 503}, set(), "other answers")
