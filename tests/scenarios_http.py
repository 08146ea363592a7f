"""What callers see: routes, error answers, framing, strictness, limits."""
import re
import socket

from harness import (scenario, equal, contains, check, pattern, request_octets, reply,
                     upgrade_octets, Failed)

ID = re.compile(r"[0-9a-f]{32}")


def post(fields, body=b"", line="POST /demo/echo HTTP/1.1", host="Host: h\r\n"):
    return ("%s\r\n%s%s\r\n" % (line, host, "".join(f + "\r\n" for f in fields))
            ).encode("latin-1") + body


def get(*fields, line="GET /demo/echo HTTP/1.1", host="Host: h\r\n"):
    return post(fields, line=line, host=host)


SMUGGLED = b"GET /demo/smuggled HTTP/1.1\r\nHost: h\r\n\r\n"
CHUNKED = "Transfer-Encoding: chunked"

# Each must be refused with one of the statuses and the connection be closed;
# the origin must see nothing.
FRAMING = {
    "CL and TE": (post(["Content-Length: 6", CHUNKED], b"0\r\n\r\nX"), 400),
    "TE and CL": (post([CHUNKED, "Content-Length: 4"], b"2b\r\n" + SMUGGLED), 400),
    "CL twice, different": (post(["Content-Length: 0", "Content-Length: 43"], SMUGGLED), 400),
    "CL twice, equal": (post(["Content-Length: 1", "Content-Length: 1"], b"x"), 400),
    "CL list": (post(["Content-Length: 1, 1"], b"x"), 400),
    "CL signed": (post(["Content-Length: +1"], b"x"), 400),
    "CL negative": (post(["Content-Length: -1"], b"x"), 400),
    "CL hex": (post(["Content-Length: 0x1"], b"x"), 400),
    "CL underscore": (post(["Content-Length: 1_0"], b"x" * 10), 400),
    "CL inner space": (post(["Content-Length: 1 0"], b"x" * 10), 400),
    "CL empty": (post(["Content-Length:"], SMUGGLED), 400),
    "CL past 2^64": (post(["Content-Length: 18446744073709551617"], b"x"), (400, 413)),
    "CL fraction": (post(["Content-Length: 1.0"], b"x"), 400),
    "TE identity": (post(["Transfer-Encoding: identity"], b""), (400, 501)),
    "TE unknown": (post(["Transfer-Encoding: xchunked"], b"0\r\n\r\n"), (400, 501)),
    "TE two codings": (post(["Transfer-Encoding: gzip, chunked"], b"0\r\n\r\n"), (400, 501)),
    "TE chunked twice": (post([CHUNKED, CHUNKED], b"0\r\n\r\n"), (400, 501)),
    "TE chunked, chunked": (post(["Transfer-Encoding: chunked, chunked"], b"0\r\n\r\n"), (400, 501)),
    "TE empty": (post(["Transfer-Encoding:"], b""), (400, 501)),
    "TE quoted": (post(['Transfer-Encoding: "chunked"'], b"0\r\n\r\n"), (400, 501)),
    "TE vertical tab": (post(["Transfer-Encoding: \x0bchunked"], b"0\r\n\r\n"), (400, 501)),
    "TE with parameter": (post(["Transfer-Encoding: chunked;x"], b"0\r\n\r\n"), (400, 501)),
    "TE space before colon": (post(["Transfer-Encoding : chunked"], b"0\r\n\r\n"), 400),
    "TE in 1.0": (post([CHUNKED], b"0\r\n\r\n", line="POST /demo/echo HTTP/1.0"), 400),
    "TE folded": (post(["Transfer-Encoding:\r\n chunked"], b"0\r\n\r\n"), 400),
}
# The head of these is good: the break is met after it was passed on.
CHUNKS = {
    "size not hex": b"g\r\n",
    "size empty": b"\r\n",
    "size with 0x": b"0x1\r\nx\r\n0\r\n\r\n",
    "size signed": b"+1\r\nx\r\n0\r\n\r\n",
    "size past 2^64": b"10000000000000001\r\nx\r\n",
    "size of 2^63": b"8000000000000000\r\nx\r\n",
    "leading space": b" 1\r\nx\r\n0\r\n\r\n",
    "bare LF after size": b"1\nx\r\n0\r\n\r\n",
    "bare CR after size": b"1\rx\r\n0\r\n\r\n",
    "no CRLF after data": b"1\r\nxy\r\n0\r\n\r\n",
    "bare LF after data": b"1\r\nx\n0\r\n\r\n",
    "control in extension": b"1;a=\x01\r\nx\r\n0\r\n\r\n",
    "LF in extension": b"1;a\nb\r\nx\r\n0\r\n\r\n",
    "bad trailer": b"0\r\nbad trailer\r\n\r\n",
    "folded trailer": b"0\r\nA: b\r\n c\r\n\r\n",
    "extensions without end": (b"1;" + b"a" * 5000 + b"\r\nx\r\n") * 10,
}
LINES = {
    "bare LF": (b"GET /demo/echo HTTP/1.1\nHost: h\n\n", 400),
    "bare LF in fields": (b"GET /demo/echo HTTP/1.1\r\nHost: h\nA: b\r\n\r\n", 400),
    "bare CR in a field": (get("A: b\rc"), 400),
    "NUL in a value": (get("A: b\0c"), 400),
    "control in a value": (get("A: b\x01c"), 400),
    "DEL in a value": (get("A: b\x7fc"), 400),
    "two spaces": (get(line="GET  /demo/echo HTTP/1.1"), 400),
    "tab for space": (get(line="GET\t/demo/echo HTTP/1.1"), 400),
    "space at the end": (get(line="GET /demo/echo HTTP/1.1 "), 400),
    "HTTP/0.9": (b"GET /demo/echo\r\n\r\n", 400),
    "HTTP/2.0": (get(line="GET /demo/echo HTTP/2.0"), 505),
    "http/1.1": (get(line="GET /demo/echo http/1.1"), 400),
    "HTTP/1.": (get(line="GET /demo/echo HTTP/1."), 400),
    "HTTP/1.10": (get(line="GET /demo/echo HTTP/1.10"), (400, 505)),
    "HTTP/01.1": (get(line="GET /demo/echo HTTP/01.1"), 400),
    "method not a token": (get(line="G(T /demo/echo HTTP/1.1"), 400),
    "no method": (get(line=" /demo/echo HTTP/1.1"), 400),
    "control in target": (get(line="GET /demo/e\x01 HTTP/1.1"), 400),
    "raw octets in target": (get(line="GET /demo/\xe4 HTTP/1.1"), 400),
    "fragment in target": (get(line="GET /demo/echo#x HTTP/1.1"), 400),
    "target without slash": (get(line="GET demo/echo HTTP/1.1"), 400),
    "star with GET": (get(line="GET * HTTP/1.1"), 400),
    "space before colon": (get("A : b"), 400),
    "folded field": (get("A: b\r\n c"), 400),
    "first field folded": (b"GET /demo/echo HTTP/1.1\r\n Host: h\r\n\r\n", 400),
    "empty name": (get(": b"), 400),
    "no colon": (get("Ab"), 400),
    "name not a token": (get("A(b: c"), 400),
    "name with raw octets": (get("\xe4: c"), 400),
    "no Host": (get(host=""), 400),
    "two Hosts": (get("Host: h"), 400),
    "two Hosts, different": (get("Host: i"), 400),
    "Host with path": (get(host="Host: h/x\r\n"), 400),
    "Host with userinfo": (get(host="Host: a@h\r\n"), 400),
    "Host with comma": (get(host="Host: h,i\r\n"), 400),
    "Host with space": (get(host="Host: h i\r\n"), 400),
    "Host with bad port": (get(host="Host: h:x\r\n"), 400),
    "absolute form, other Host": (get(line="GET http://i/demo/echo HTTP/1.1"), 400),
    "CONNECT": (get(line="CONNECT h:80 HTTP/1.1"), (400, 405, 501)),
    "expectation unknown": (get("Expect: the-unexpected"), 417),
    "target over its limit": (get(line="GET /demo/%s HTTP/1.1" % ("a" * 17000)), 414),
    "head over its limit": (get("A: " + "a" * 33000), 431),
    "too many fields": (get(*["A: b"] * 129), 431),
}


def refused(t, server, origin, name, octets, statuses):
    conn = t.conn(server).send_quietly(octets)
    try:
        answer = conn.answer()
        statuses = (statuses,) if isinstance(statuses, int) else statuses
        check(answer.status in statuses, "%s: %d, not %s" % (name, answer.status, statuses))
        error_is_sound(answer, name)
        equal(conn.rest(), b"", "%s: after the answer" % name)
    except Failed as failed:
        raise Failed("%s: %s" % (name, failed))


def error_is_sound(answer, name):
    contains(answer.get("content-type", ""), "application/json", name + ": type")
    equal(int(answer.get("content-length")), len(answer.body), name + ": length")
    check(answer.json()["detail"], name + ": no detail")
    check(answer.get("date"), name + ": no Date")


def refuse_all(t, table):
    origin, server, _ = t.trio()
    for name, (octets, statuses) in table.items():
        refused(t, server, origin, name, octets, statuses)
    equal(t.get(server, "/demo/echo").status, 200, "a good request after all of them")
    equal([r.line for r in origin.requests], ["GET /echo HTTP/1.1"], "what the origin saw")
    equal(origin.faults, [], "faults that the origin saw")


@scenario(quick=True)
def framing_faults(t):
    """Doubtful framing is refused and the connection closed; the origin sees none of it."""
    refuse_all(t, FRAMING)


@scenario()
def line_faults(t):
    """Broken request lines and fields are refused and the connection closed."""
    refuse_all(t, LINES)


@scenario(quick=True)
def chunk_faults(t):
    """A broken chunk ends the connection; the origin never takes the request as whole."""
    origin, server, _ = t.trio()
    for name, octets in CHUNKS.items():
        conn = t.conn(server).send_quietly(post([CHUNKED], octets + SMUGGLED))
        left = conn.rest()
        check(left == b"" or left.startswith(b"HTTP/1.1 400 ") or
              left.startswith(b"HTTP/1.1 431 "), "%s: %r" % (name, left[:80]))
        equal(left.count(b"HTTP/1.1"), left.startswith(b"HTTP/1.1"), name + ": answers")
    equal(t.get(server, "/demo/echo").status, 200, "a good request after all of them")
    equal([r.path for r in origin.requests], ["/echo"], "whole requests at the origin")


@scenario()
def refused_requests_are_not_read_on(t):
    """What follows a request that was refused is not a second request."""
    origin, server, _ = t.trio()
    conn = t.conn(server).send_quietly(
        post(["Content-Length: 1", "Content-Length: 2"], b"x" + SMUGGLED + SMUGGLED))
    equal(conn.rest().count(b"HTTP/1.1 "), 1, "answers")
    equal(origin.requests, [], "what the origin saw")


@scenario()
def good_but_odd_requests(t):
    """What is unusual and lawful passes."""
    origin, server, _ = t.trio()
    odd = {
        "empty line first": b"\r\n" + get(),
        "obs-text": get("A: \xe4\xff"),
        "tab in a value": get("A: b\tc"),
        "no space after colon": get("A:b"),
        "empty value": get("A:"),
        "1.0 without Host": get(line="GET /demo/echo HTTP/1.0", host=""),
        "1.2": get(line="GET /demo/echo HTTP/1.2"),
        "absolute form": get(line="GET http://h/demo/echo HTTP/1.1"),
        "IPv6 Host": get(host="Host: [::1]:80\r\n"),
        "long target": get(line="GET /demo/echo?%s HTTP/1.1" % ("a" * 8000)),
        "100 fields": get(*["A: b"] * 100),
        "underscore name": get("A_b: c"),
        "chunk extension": post([CHUNKED], b"1;a=b;c\r\nx\r\n0\r\n\r\n"),
        "upper-case hex": post([CHUNKED], b"A\r\n0123456789\r\n0\r\n\r\n"),
        "zeros before size": post([CHUNKED], b"0001\r\nx\r\n000\r\n\r\n"),
        "TE in other case": post(["transfer-ENCODING: CHUNKED"], b"0\r\n\r\n"),
        "CL with zeros": post(["Content-Length: 0001"], b"x"),
        "own method": get(line="BREW /demo/echo HTTP/1.1"),
    }
    for name, octets in odd.items():
        answer = t.conn(server).send(octets).answer()
        check(answer.status in (200, 505 if name == "1.2" else 200),
              "%s: %r" % (name, answer))


@scenario(quick=True)
def octet_by_octet(t):
    """A request that comes one octet at a time is the same request."""
    origin, server, _ = t.trio()
    conn = t.conn(server)
    for octet in post([CHUNKED], b"3\r\nabc\r\n0\r\nX-T: 1\r\n\r\n"):
        conn.send(bytes([octet]))
    equal(conn.answer().status, 200, "status")
    equal(origin.requests[0].body, b"abc", "body")


@scenario(quick=True)
def health(t):
    """GET and HEAD /healthz are 200 {"status":"ok"}, other methods 405 with Allow; no token is needed."""
    server = t.server()
    conn = t.conn(server)
    answer = conn.get("/healthz")
    equal((answer.status, answer.json()), (200, {"status": "ok"}), "GET")
    contains(answer.get("content-type"), "application/json", "type")
    head = conn.request("HEAD", "/healthz")
    equal((head.status, head.get("content-length")), (200, answer.get("content-length")), "HEAD")
    answer = t.conn(server).request("POST", "/healthz", body=b"x")
    equal(answer.status, 405, "POST")
    contains(answer.get("allow"), "GET", "Allow")


@scenario(quick=True)
def root_and_paths_without_id(t):
    """GET / is 426, other methods and paths that hold no id are 404."""
    server = t.server()
    answer = t.get(server, "/")
    equal(answer.status, 426, "GET /")
    contains(answer.get("upgrade", "").lower(), "websocket", "Upgrade")
    for method, target in (("POST", "/"), ("GET", "//x"), ("GET", "/a%2Fb/"), ("GET", "/./x"),
                           ("GET", "/../x"), ("GET", "/%s/x" % ("a" * 129))):
        equal(t.conn(server).request(method, target).status, 404, "%s %s" % (method, target))


@scenario()
def id_without_slash(t):
    """/{id} is redirected with 307 to /{id}/, relative, query kept."""
    server = t.server()
    for target, want in (("/demo", "/demo/"), ("/demo?a=1&b=%2F", "/demo/?a=1&b=%2F")):
        answer = t.get(server, target)
        equal((answer.status, answer.get("location")), (307, want), target)


@scenario()
def options_star(t):
    """OPTIONS * is answered by the server itself."""
    origin, server, _ = t.trio()
    answer = t.conn(server).request("OPTIONS", "*")
    check(answer.status in (200, 204), "status %d" % answer.status)
    contains(answer.get("allow"), "GET", "Allow")
    equal(origin.requests, [], "what the origin saw")


@scenario()
def trace_is_refused(t):
    """TRACE is 405 with Allow, and reaches no origin."""
    origin, server, _ = t.trio()
    answer = t.conn(server).request("TRACE", "/demo/echo")
    equal(answer.status, 405, "status")
    contains(answer.get("allow"), "GET", "Allow")
    equal(origin.requests, [], "what the origin saw")


@scenario()
def methods_pass(t):
    """All methods but CONNECT and TRACE pass as they are."""
    origin, server, _ = t.trio()
    for method in ("GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "HEAD", "PROPFIND", "M-SEARCH", "get"):
        equal(t.conn(server).request(method, "/demo/echo").status, 200, method)
        equal(origin.requests[-1].method, method, "method")


@scenario(quick=True)
def targets_pass_octet_for_octet(t):
    """Path and query reach the origin as they were sent."""
    origin, server, _ = t.trio()
    for target in ("/", "/?", "//", "/a//b/", "/a%2Fb", "/%3f%23%25", "/./a/../b", "/%2e%2e/x", "/a+b?c+d=%20&c+d",
                   "/?a=1&a=2&&=&b", "/a;b=c,d", "/~'()*!$@:", "/?x=/?://y", "/echo?%C3%A4=%zz", "/a\\b|c"):
        answer = t.get(server, "/demo" + target)
        equal(answer.status, 200, target)
        equal(origin.requests[-1].target, target, "target")


@scenario()
def base_path_of_the_target(t):
    """A base path of TARGET_URL goes before the path; what climbs above it is 400."""
    origin, server = t.origin(), t.server()
    t.client(server, origin.url + "/base/", args=())
    for target, want in (("/demo/x?y", "/base/x?y"), ("/demo/", "/base/"), ("/demo/a/../b", "/base/a/../b")):
        equal(t.get(server, target).status, 200, target)
        equal(origin.requests[-1].target, want, target)
    for target in ("/demo/..", "/demo/../x", "/demo/%2e%2E/x", "/demo/a/../../x", "/demo/.%2e/x"):
        equal(t.get(server, target).status, 400, target)
    equal(len(origin.requests), 3, "requests at the origin")


@scenario(quick=True)
def request_fields_pass_in_order(t):
    """Duplicate fields keep number, order, case and octets."""
    origin, server, _ = t.trio()
    fields = [("X-A", "1"), ("x-b", "2"), ("X-a", "3"), ("Cookie", "a=1"), ("Cookie", "b=2"),
              ("Accept-Encoding", "gzip, br"), ("X-Octets", "\xe4\xff\t."), ("X-Empty", "")]
    t.get(server, "/demo/echo", fields=fields)
    names = {n.lower() for n, _ in fields}
    got = [f for f in origin.requests[0].fields if f[0].lower() in names]
    equal([(n.lower(), v) for n, v in got], [(n.lower(), v) for n, v in fields], "fields")


@scenario()
def answer_fields_pass_in_order(t):
    """Two Set-Cookie stay two, in order, and so does any other field."""
    origin, server, _ = t.trio()
    answer = t.get(server, "/demo/cookies")
    equal(answer.all("set-cookie"), ["a=1; Path=/demo/", "b=2; Path=/demo/"], "cookies")
    equal(answer.all("x-twice"), ["one", "two"], "twice")


@scenario()
def nothing_is_remembered(t):
    """A cookie that one caller was given is not sent with another's request."""
    origin, server, _ = t.trio()
    t.get(server, "/demo/cookies")
    t.get(server, "/demo/echo")
    equal([v for v in origin.requests[1].all("cookie") if v], [], "cookies at the origin")


@scenario()
def host_passes(t):
    """The origin receives Host as the caller sent it, once."""
    origin, server, _ = t.trio()
    t.conn(server).request("GET", "/demo/echo", host="example.test:8080")
    equal(origin.requests[0].all("host"), ["example.test:8080"], "Host")
    t.conn(server).send(get(line="GET http://h/demo/echo HTTP/1.1")).answer()
    equal(origin.requests[1].all("host"), ["h"], "Host of the absolute form")


@scenario()
def correlation_id(t):
    """Request and answer carry the same fresh 32 hex digits; one from outside is dropped."""
    origin, server, _ = t.trio()
    seen = set()
    for _ in range(2):
        answer = t.get(server, "/demo/echo", fields=[("X-PipeGate-Correlation-ID", "f" * 32)])
        name = "x-pipegate-correlation-id"
        equal(answer.all(name), origin.requests[-1].all(name), "ids")
        equal(len(answer.all(name)), 1, "number of ids")
        check(ID.fullmatch(answer.get(name)), answer.get(name))
        seen.add(answer.get(name))
    equal(len(seen), 2, "different ids")
    check("f" * 32 not in seen, "an id from outside")


@scenario()
def forwarding_fields(t):
    """X-Forwarded-* say who asked; a trusted peer's are kept and appended to."""
    origin, server, _ = t.trio()
    t.get(server, "/demo/echo", fields=[("X-Forwarded-For", "9.9.9.9"), ("X-Forwarded-Proto", "https"),
                                        ("X-Forwarded-Host", "pub"), ("Forwarded", "for=9.9.9.9")])
    got = origin.requests[0]
    equal(got.get("x-forwarded-for"), "9.9.9.9, 127.0.0.1", "For")
    equal(got.get("x-forwarded-proto"), "https", "Proto")
    equal(got.get("x-forwarded-host"), "pub", "Host")
    equal(got.get("x-forwarded-prefix"), "/demo", "Prefix")
    equal(got.get("forwarded"), "for=9.9.9.9", "Forwarded")
    t.get(server, "/demo/echo")
    got = origin.requests[1]
    equal([got.all("x-forwarded-" + n) for n in ("for", "proto", "host", "prefix")],
          [["127.0.0.1"], ["http"], ["h"], ["/demo"]], "made by the server")


@scenario(quick=True)
def forwarding_fields_of_strangers(t):
    """Those of a peer that is not trusted are replaced, Forwarded dropped, Connection cannot strip them."""
    origin, server, _ = t.trio(server_env={"PIPEGATE_TRUSTED_PROXIES": "192.0.2.0/24"})
    t.get(server, "/demo/echo", fields=[
        ("X-Forwarded-For", "9.9.9.9"), ("x-forwarded-for", "8.8.8.8"), ("X-Forwarded-Proto", "https"),
        ("X-Forwarded-Host", "pub"), ("X-Forwarded-Prefix", "/x"), ("Forwarded", "for=9.9.9.9"),
        ("Connection", "x-forwarded-for, x-pipegate-correlation-id, host, cookie, authorization"),
        ("Cookie", "a=b"), ("Authorization", "Basic eDp5")])
    got = origin.requests[0]
    equal([got.all("x-forwarded-" + n) for n in ("for", "proto", "host", "prefix")],
          [["127.0.0.1"], ["http"], ["h"], ["/demo"]], "X-Forwarded-*")
    equal(got.all("forwarded"), [], "Forwarded")
    equal((got.get("cookie"), got.get("authorization"), got.get("host")),
          ("a=b", "Basic eDp5", "h"), "what Connection may not strip")


@scenario(quick=True)
def hop_by_hop_fields_stay(t):
    """Connection and what it names, Keep-Alive, TE and Proxy-Connection go no further, either way."""
    origin, server, _ = t.trio()
    origin.on("/hop", lambda request, conn, origin: reply(conn, 200, [
        ("Connection", "x-drop, keep-alive"), ("X-Drop", "1"), ("Keep-Alive", "timeout=5"),
        ("Proxy-Connection", "close"), ("X-Stay", "1")], b"ok"))
    answer = t.get(server, "/demo/hop", fields=[
        ("Connection", "keep-alive, X-Hop"), ("X-Hop", "1"), ("Keep-Alive", "300"),
        ("Proxy-Connection", "keep-alive"), ("TE", "trailers"), ("X-Stay", "1")])
    equal((answer.get("x-stay"), origin.requests[0].get("x-stay")), ("1", "1"), "X-Stay")
    for name in ("x-hop", "keep-alive", "proxy-connection", "te"):
        equal(origin.requests[0].all(name), [], name + " at the origin")
    for name in ("x-drop", "keep-alive", "proxy-connection"):
        equal(answer.all(name), [], name + " at the caller")


@scenario(quick=True)
def keep_alive_and_pipelining(t):
    """One connection serves many requests; pipelined ones are answered in order."""
    origin, server, _ = t.trio()
    conn = t.conn(server)
    conn.send(b"".join(request_octets("GET", "/demo/size/%d" % n) for n in (1, 20000, 0, 7)))
    equal([len(conn.answer().body) for _ in range(4)], [1, 20000, 0, 7], "sizes")
    equal(conn.request("POST", "/demo/raw", body=b"five").body, b"five", "a fifth request")


@scenario()
def after_close_nothing_is_read(t):
    """After Connection: close the answer says close, the connection ends, and what follows is ignored."""
    origin, server, _ = t.trio()
    conn = t.conn(server).send(get("Connection: close") + SMUGGLED)
    answer = conn.answer()
    equal(answer.status, 200, "status")
    contains(answer.get("connection", "").lower(), "close", "Connection")
    conn.closed()
    equal(len(origin.requests), 1, "requests at the origin")


@scenario()
def old_callers(t):
    """HTTP/1.0: no chunked answer; the connection closes unless keep-alive was asked for."""
    origin, server, _ = t.trio()
    conn = t.conn(server).send("GET /demo/chunked/30000 HTTP/1.0\r\nHost: h\r\n\r\n")
    answer = conn.head()
    equal(answer.get("transfer-encoding"), None, "Transfer-Encoding")
    equal(conn.rest(), pattern(30000), "body")
    conn = t.conn(server)
    for _ in range(2):
        conn.send("GET /demo/size/10 HTTP/1.0\r\nHost: h\r\nConnection: keep-alive\r\n\r\n")
        answer = conn.answer()
        equal((len(answer.body), answer.get("connection", "").lower()), (10, "keep-alive"), "1.0")


@scenario(quick=True)
def heads_alone(t):
    """HEAD, 204 and 304 have no body and keep the length that the origin gave."""
    origin, server, _ = t.trio()
    conn = t.conn(server)
    equal(conn.request("HEAD", "/demo/head").get("content-length"), "4711", "HEAD")
    answer = conn.get("/demo/204")
    equal((answer.status, answer.get("content-length"), answer.get("transfer-encoding")), (204, None, None), "204")
    answer = conn.get("/demo/304")
    equal((answer.status, answer.get("etag")), (304, '"x"'), "304")
    equal(conn.get("/demo/head").body, pattern(4711), "GET after them")


@scenario()
def statuses_pass(t):
    """Any status from 200 to 599 passes with its reason."""
    origin, server, _ = t.trio()
    for status in (200, 201, 299, 301, 404, 418, 500, 503, 599):
        answer = t.get(server, "/demo/status/%d" % status)
        equal((answer.status, answer.body), (status, b"as asked"), "answer")


@scenario(quick=True)
def bodies_pass(t):
    """Bodies of all sizes and framings pass unchanged both ways."""
    origin, server, _ = t.trio()
    for n in (0, 1, 125, 126, 16383, 16384, 16385, 65535, 65536, 65537, 300000):
        body = pattern(n)
        answer = t.conn(server).request("POST", "/demo/raw", body=body)
        check(answer.body == body, "%d octets with a length" % n)
        chunks = b"".join(b"%x\r\n%s\r\n" % (len(body[i:i + 7000]), body[i:i + 7000]) for i in range(0, n, 7000))
        answer = t.conn(server).send(post([CHUNKED], chunks + b"0\r\n\r\n", line="POST /demo/raw HTTP/1.1")).answer()
        check(answer.body == body, "%d octets in chunks" % n)
    for path in ("/size/", "/chunked/", "/close/"):
        for n in (0, 1, 65536, 1000000):
            check(t.get(server, "/demo%s%d" % (path, n)).body == pattern(n), "%s%d" % (path, n))


@scenario()
def bodies_are_not_decompressed(t):
    """A gzip body passes as it is, with its Content-Encoding and length."""
    import gzip
    origin, server, _ = t.trio()
    body = gzip.compress(b"hello " * 1000)
    origin.on("/gz", lambda request, conn, origin: reply(conn, 200, [("Content-Encoding", "gzip")], body))
    answer = t.get(server, "/demo/gz")
    equal((answer.body, answer.get("content-encoding")), (body, "gzip"), "answer")


@scenario()
def chunked_request_reaches_the_origin_framed_once(t):
    """A chunked request has exactly one framing at the origin."""
    origin, server, _ = t.trio()
    t.conn(server).send(post([CHUNKED], b"3\r\nabc\r\n0\r\n\r\n")).answer()
    got = origin.requests[0]
    equal(len(got.all("transfer-encoding")) + len(got.all("content-length")), 1, "framings")
    equal(got.body, b"abc", "body")


@scenario(quick=True)
def trailers_pass(t):
    """Trailers pass both ways, without those that may not stand there."""
    origin, server, _ = t.trio()
    answer = t.conn(server).send(post(
        [CHUNKED, "TE: trailers", "Connection: TE", "Trailer: X-T"],
        b"1\r\nx\r\n0\r\nX-T: 1\r\nHost: evil\r\nContent-Length: 5\r\nAuthorization: x\r\n\r\n")).answer()
    equal(answer.status, 200, "status")
    equal([n.lower() for n, _ in origin.requests[0].trailers], ["x-t"], "trailers at the origin")
    answer = t.get(server, "/demo/chunked/10", fields=[("TE", "trailers"), ("Connection", "TE")])
    equal(answer.trailers, [("X-Sum", "42")], "trailers at the caller")


@scenario()
def interim_answers_pass(t):
    """103 crosses, before the final answer."""
    origin, server, _ = t.trio()
    answer = t.get(server, "/demo/1xx")
    equal([(i.status, i.get("link")) for i in answer.interim], [(103, "</a.css>")], "interim")
    equal(answer.body, b"final", "final")
    conn = t.conn(server).send("GET /demo/1xx HTTP/1.0\r\nHost: h\r\n\r\n")
    equal(conn.head().status, 200, "first to a 1.0 caller")


@scenario(quick=True)
def expect_100(t):
    """Expect: 100-continue is passed on; the origin's 100 comes before the body is sent."""
    origin, server, _ = t.trio()
    conn = t.conn(server).send(post(["Content-Length: 5", "Expect: 100-continue"], line="POST /demo/expect HTTP/1.1"))
    equal(conn.head().status, 100, "interim")
    conn.send(b"hello")
    equal(conn.answer().body, b"hello", "final")


@scenario()
def expect_100_and_a_refusal(t):
    """Where the origin answers at once instead, that answer comes and no 100."""
    origin, server, _ = t.trio()
    conn = t.conn(server).send(post(["Content-Length: 5", "Expect: 100-continue"], line="POST /demo/refuse HTTP/1.1"))
    answer = conn.answer()
    equal((answer.status, answer.interim), (413, []), "answer")


@scenario()
def early_answer(t):
    """An answer that comes before the request's body has ended reaches the caller, then the connection ends."""
    origin, server, _ = t.trio()
    conn = t.conn(server).send(post(["Content-Length: 9000000"], pattern(30000), line="POST /demo/refuse HTTP/1.1"))
    answer = conn.answer()
    equal((answer.status, answer.body), (413, b"too much for me"), "answer")
    conn.rest()


@scenario(quick=True)
def upgrades_pass(t):
    """An Upgrade of the application passes, and both ways are raw after its 101."""
    origin, server, _ = t.trio()
    conn = t.conn(server).send(get("Connection: Upgrade", "Upgrade: shout", line="GET /demo/upgrade HTTP/1.1") + b"early")
    answer = conn.head()
    equal((answer.status, answer.get("upgrade")), (101, "shout"), "answer")
    equal(conn.take(5), b"EARLY", "what was sent with the head")
    conn.send(b"abc")
    equal(conn.take(3), b"ABC", "what was sent later")
    conn.half_close()
    equal(conn.rest(), b"", "the end")


@scenario()
def websockets_of_the_application_pass(t):
    """A WebSocket on /{id}/ is the application's, not a tunnel."""
    origin, server, _ = t.trio()
    conn = t.conn(server).send(upgrade_octets("/demo/upgrade"))
    equal(conn.head().status, 101, "status")
    contains(origin.requests[0].get("connection", "").lower(), "upgrade", "Connection at the origin")
    check(origin.requests[0].get("sec-websocket-key"), "no key at the origin")


@scenario()
def refused_upgrade(t):
    """Where the origin answers an Upgrade plainly, the connection goes on as HTTP."""
    origin, server, _ = t.trio()
    conn = t.conn(server)
    answer = conn.get("/demo/echo", fields=[("Connection", "Upgrade"), ("Upgrade", "shout")])
    equal(answer.status, 200, "answer")


@scenario()
def body_limit_from_the_length(t):
    """A Content-Length over the limit is 413 at once, naming the variable; one at the limit passes."""
    origin, server, _ = t.trio(server_env={"PIPEGATE_MAX_BODY_BYTES": "1000"})
    equal(t.conn(server).request("POST", "/demo/raw", body=pattern(1000)).status, 200, "at the limit")
    conn = t.conn(server).send(post(["Content-Length: 1001"]))
    answer = conn.answer()
    equal(answer.status, 413, "over it")
    contains(answer.json()["detail"], "PIPEGATE_MAX_BODY_BYTES", "detail")
    equal(len(origin.requests), 1, "requests at the origin")


@scenario(quick=True)
def body_limit_in_chunks(t):
    """A chunked body is 413 at the octet that passes the limit."""
    origin, server, _ = t.trio(server_env={"PIPEGATE_MAX_BODY_BYTES": "1000"})
    whole = b"3e8\r\n" + pattern(1000) + b"\r\n"
    equal(t.conn(server).send(post([CHUNKED], whole + b"0\r\n\r\n")).answer().status, 200, "at the limit")
    answer = t.conn(server).send_quietly(post([CHUNKED], whole + b"1\r\nx\r\n0\r\n\r\n")).answer()
    equal(answer.status, 413, "over it")
    contains(answer.json()["detail"], "PIPEGATE_MAX_BODY_BYTES", "detail")


@scenario()
def no_body_limit(t):
    """0 lifts the limit; the default is 10485760."""
    origin, server, _ = t.trio(server_env={"PIPEGATE_MAX_BODY_BYTES": "0"})
    answer = t.conn(server).request("POST", "/demo/raw", body=pattern(12000000), seconds=60)
    check(answer.body == pattern(12000000), "12 MB")
    other = t.server()
    conn = t.conn(other).send(post(["Content-Length: 10485761"]))
    equal(conn.answer().status, 413, "over the default")


@scenario()
def answers_have_no_limit(t):
    """An answer larger than PIPEGATE_MAX_BODY_BYTES passes whole."""
    origin, server, _ = t.trio(server_env={"PIPEGATE_MAX_BODY_BYTES": "1000"})
    check(t.get(server, "/demo/size/3000000", seconds=30).body == pattern(3000000), "3 MB")


@scenario(quick=True)
def errors_in_html(t):
    """An error is a page where Accept prefers text/html, JSON otherwise."""
    server = t.server()
    browser = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"
    for accept, kind in ((browser, "text/html"), ("*/*", "application/json"), ("application/json", "application/json"),
                         ("text/html;q=0.1, application/json", "application/json")):
        answer = t.get(server, "/healthz/", fields=[("Accept", accept)])
        contains(answer.get("content-type"), kind, accept)
        equal(int(answer.get("content-length")), len(answer.body), "length")


@scenario()
def errors_to_head(t):
    """An error to HEAD is a head alone, and the connection goes on."""
    server = t.server()
    conn = t.conn(server)
    answer = conn.request("HEAD", "//")
    equal(answer.status, 404, "status")
    check(int(answer.get("content-length")) > 0, "no length")
    equal(conn.get("/healthz").status, 200, "next")


@scenario()
def slow_heads(t):
    """A head not whole within 10 s is 408 and the end, however it trickles; a silent connection gets no word."""
    server = t.server()
    silent, slow = t.conn(server), t.conn(server).send("GET /healthz HT")
    trickled = []
    trickle = t.background(lambda: [trickled.append(slow.send_quietly(b"x"))
                                    for _ in iter(lambda: wait_or_end(slow, 0.5), True)])
    silent.silent(9)
    equal(silent.rest(20), b"", "to the silent one")
    trickle.result()
    check(len(trickled) > 10, "the slow one was cut off after %d octets" % len(trickled))
    contains(slow.rest(5), b" 408 ", "to the slow one")


def wait_or_end(conn, seconds):
    """True once something came on conn; False after so long a silence."""
    conn.sock.settimeout(seconds)
    try:
        conn.sock.recv(1, socket.MSG_PEEK)
        return True
    except socket.timeout:
        return False
    except OSError:
        return True


@scenario(long=True)
def silent_bodies(t):
    """A request body silent for 60 s is 408."""
    origin, server, _ = t.trio()
    conn = t.conn(server).send(post(["Content-Length: 10"], b"x"))
    equal(conn.answer(seconds=75).status, 408, "status")


@scenario(long=True)
def idle_connections(t):
    """An idle keep-alive connection is closed after 75 s."""
    server = t.server()
    conn = t.conn(server)
    conn.get("/healthz")
    conn.silent(70)
    conn.closed(20)


@scenario(quick=True)
def handshake_rules(t):
    """A WebSocket handshake that is not one is refused with its status."""
    server = t.server()
    cases = {
        "version 12": (upgrade_octets("/", [("Sec-WebSocket-Version", "12")]), 426),
        "no version": (upgrade_octets("/", leave_out=["Sec-WebSocket-Version"]), (400, 426)),
        "no key": (upgrade_octets("/", leave_out=["Sec-WebSocket-Key"]), 400),
        "short key": (upgrade_octets("/", [("Sec-WebSocket-Key", "YWJj")]), 400),
        "key not base64": (upgrade_octets("/", [("Sec-WebSocket-Key", "?" * 24)]), 400),
        "two keys": (upgrade_octets("/", [("Sec-WebSocket-Key", "A" * 22 + "==")] * 2), 400),
        "two tokens": (upgrade_octets("/?token=a&token=b"), 400),
        "other protocol": (upgrade_octets("/", [("Upgrade", "h2c")]), (400, 426)),
        "no Upgrade": (upgrade_octets("/", leave_out=["Upgrade"]), (400, 426)),
        "POST": (upgrade_octets("/").replace(b"GET", b"POST", 1), (400, 404, 405, 426)),
        "HTTP/1.0": (upgrade_octets("/").replace(b"HTTP/1.1", b"HTTP/1.0", 1), (400, 426)),
    }
    for name, (octets, statuses) in cases.items():
        answer = t.conn(server).send(octets).answer()
        statuses = (statuses,) if isinstance(statuses, int) else statuses
        check(answer.status in statuses, "%s: %d, not %s" % (name, answer.status, statuses))
        if answer.status == 426:
            equal(answer.get("sec-websocket-version"), "13", name + ": version")


@scenario()
def handshake_in_other_words(t):
    """Token lists and names of the handshake are read without regard to case and order; nothing is selected unasked."""
    from harness import token
    server = t.server()
    conn = t.conn(server).send(upgrade_octets("/?x=1&token=" + token(), [
        ("upgrade", "foo, WebSocket"), ("CONNECTION", "keep-alive, UPGRADE"),
        ("Sec-WebSocket-Extensions", "permessage-deflate; client_max_window_bits"),
        ("Sec-WebSocket-Protocol", "chat, superchat")]))
    answer = conn.head()
    equal(answer.status, 101, "status")
    for name in ("sec-websocket-extensions", "sec-websocket-protocol", "content-length", "transfer-encoding"):
        equal(answer.all(name), [], name)


@scenario()
def loop(t):
    """A tunnel whose target is its own public URL answers 508 instead of going round for ever."""
    server = t.server()
    t.client(server, "http://127.0.0.1:%d/demo" % server.port)
    equal(t.get(server, "/demo/x", seconds=20).status, 508, "status")


@scenario()
def tunnel_to_the_server_itself(t):
    """The server's own root may be a target."""
    server = t.server()
    t.client(server, "http://127.0.0.1:%d" % server.port)
    equal(t.get(server, "/demo/healthz").json(), {"status": "ok"}, "answer")


@scenario()
def unknown_and_offline_ids_look_alike(t):
    """An id that never existed gets the same words as one that is gone."""
    server = t.server(env={"PIPEGATE_OFFLINE_WAIT": "0"})
    peer = t.tunnel(server)
    peer.send_close(1000)
    peer.wait_close()
    answers = [t.get(server, "/%s/x" % name) for name in ("demo", "omed")]
    equal([a.status for a in answers], [503, 503], "status")
    equal(answers[0].body, answers[1].body, "words")
    check(all(a.get("retry-after") for a in answers), "no Retry-After")
