"""What is refused although much software lets it pass, and what is believed of
whom: hosts, chunk extensions, long methods, forwarding fields, answers of v1
clients that are not quite JSON."""
import base64
import json

import harness
from harness import scenario, equal, check, ask, Failed, TEXT


def refused(t, server, octets, status, name):
    """octets get an error answer of that status, and the connection ends."""
    conn = t.conn(server).send_quietly(octets)
    try:
        answer = conn.answer()
        equal(answer.status, status, "status")
        equal(conn.rest(), b"", "octets after the answer")
    except Failed as failed:
        raise Failed("%s: %s" % (name, failed))


# ------------------------------------------------------------------- heads


BAD_HOSTS = ("", ":80", "h:65536", "h:99999999999999999999", "[::1]:65536", "a%41", "%61", "[fe80::1%25lo]",
             "[:::]", "[1::2::3]", "[127.0.0.1]", "[v1.a]")
GOOD_HOSTS = ("h:65535", "h:0", "h:", "h:0080", "[::1]:65535", "[::ffff:127.0.0.1]", "127.0.0.1", "a_b.c~d")


@scenario()
def hosts(t):
    """A Host that is empty, holds a '%', or has a port over 65535 is 400, in each form and version; others pass."""
    origin, server, _ = t.trio()
    for host in BAD_HOSTS:
        for line in ("GET /demo/echo HTTP/1.1", "GET /demo/echo HTTP/1.0", "GET http://%s/demo/echo HTTP/1.1" % host):
            refused(t, server, "%s\r\nHost: %s\r\n\r\n" % (line, host), 400, "%s, %s" % (line, host))
    for host in GOOD_HOSTS:
        equal(t.conn(server).request("GET", "/demo/echo", host=host).status, 200, host)
    equal([r.get("host") for r in origin.requests], list(GOOD_HOSTS), "what the service saw")


@scenario()
def long_methods(t):
    """A method over 64 octets is 501 as soon as that is seen, however it goes on; one of 64 passes."""
    origin, server, _ = t.trio()
    over = "M" * 65
    for name, octets in {
            "whole": "%s /demo/echo HTTP/1.1\r\nHost: h\r\n\r\n" % over, "not yet whole": over, "endless": "M" * 20000,
            "and a bad target": over + " /#\r\n", "not HTTP": over + "\n"}.items():
        refused(t, server, octets, 501, name)
    equal(t.conn(server).request("M" * 64, "/demo/echo").status, 200, "64 octets")
    equal([r.method for r in origin.requests], ["M" * 64], "what the service saw")


@scenario()
def requests_without_host(t):
    """A request that has no Host on the link reaches the service with an empty one; so does one of HTTP/1.0."""
    origin, server, _ = t.trio()
    t.conn(server).send("GET /demo/echo HTTP/1.0\r\n\r\n").answer()
    wire = t.tunnel_server()
    t.client(wire, origin, ready=False)
    peer = wire.accept(v2=False)
    for fields in ({}, {"Host": "pub.test"}):
        peer.send_request_v1("echo", fields=fields)
        equal(peer.recv_json()["status_code"], 200, "status")
    equal([r.all("host") for r in origin.requests], [[""], [""], ["pub.test"]], "Host")


LINKED = {
    "CONNECT": dict(method="CONNECT"), "TRACE": dict(method="TRACE"), "a star": dict(target="*"),
    "a long method": dict(method="M" * 65), "two Hosts": dict(fields=[["Host", "h"], ["host", "h"]]),
    "an empty Host": dict(host=""), "a Host with a space": dict(host="a b"), "a Host with a path": dict(host="a/b"),
    "a Host that is a list": dict(host="a,b"), "a Host with a port over 65535": dict(host="a:65536"),
    "a Host with an escape": dict(host="a%41"), "two Hosts, one empty": dict(fields=[["Host", "h"], ["Host", ""]]),
}


@scenario()
def requests_of_a_hostile_server(t):
    """Over the link goes nothing to the service that no caller could send: 400; Host may be missing, as from HTTP/1.0."""
    origin, wire = t.origin(), t.tunnel_server()
    t.client(wire, origin, ready=False)
    peer = wire.accept()
    for name, how in LINKED.items():
        peer.send_request(**how)
        message = peer.recv_message()
        equal((message["type"], message["status_code"]), ("reset", 400), name)
    equal(origin.requests, [], "what the service saw")
    for how in (dict(host=None), dict(method="OPTIONS", target="*"), dict(host="[::1]:65535")):
        stream = peer.send_request(**how)
        equal(peer.recv_type("answer")["status_code"], 200, repr(how))
        peer.recv_body(stream)
    equal([r.line for r in origin.requests], ["GET / HTTP/1.1", "OPTIONS * HTTP/1.1", "GET / HTTP/1.1"], "what passes")
    equal([r.all("host") for r in origin.requests], [[""], ["h"], ["[::1]:65535"]], "Host")


CLIMBING = ("..;/x", "..;a=b/x", "%2e%2e;/x", "..%3b/x", "a/..;/..;/x", ";/../x", "..;", "a/../..;x?y")
LEVEL = ("..a;/x", "a;b/../x", "a/..;/x", "a;..;../x", "a/?/..;/..")


@scenario()
def parameters_hide_no_dots(t):
    """Under a base path a segment "..;x" climbs as ".." does: 400; without a base path all pass as they are."""
    origin, server = t.origin(), t.server()
    client = t.client(server, origin.url + "/base/")
    for path in CLIMBING:
        equal(t.get(server, "/demo/" + path).status, 400, path)
    for path in LEVEL:
        equal(t.get(server, "/demo/" + path).status, 200, path)
    equal([r.target for r in origin.requests], ["/base/" + p for p in LEVEL], "targets at the service")
    client.terminate()
    t.client(server, origin)
    for path in CLIMBING:
        equal(t.get(server, "/demo/" + path).json()["target"], "/" + path, path)


# ------------------------------------------------------- chunk extensions


BAD_EXTENSIONS = (b";", b"; ", b";;a", b";a;", b";a ", b";a b", b";=b", b";a=", b";a==b", b";a=b c", b";a=\"b", b";a=b\"",
                  b";a=\"b\"c", b";a=\"b\\\"", b";\"a\"", b";a,b", b";\xe4", b" ", b" a")
GOOD_EXTENSIONS = (b"", b";a", b" ;a", b"\t; a = b ; c=\"d;=\\\"\\\\\xe4 \"", b";a=\"\"", b";!#$%&'*+-.^_`|~=1")


def chunked(extension, last=b""):
    return b"4%s\r\nbody\r\n0%s\r\n\r\n" % (extension, last)


@scenario()
def extensions_of_callers(t):
    """A chunk extension that RFC 9112 7.1.1 does not know is 400, at any chunk; others are dropped on the way."""
    origin, server, _ = t.trio()
    head = b"POST /demo/raw HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n"
    for extension in BAD_EXTENSIONS:
        refused(t, server, head + chunked(extension), 400, repr(extension))
        refused(t, server, head + chunked(b"", extension), 400, "last chunk, %r" % extension)
    equal(origin.requests, [], "whole requests at the service")
    conn = t.conn(server)
    for extension in GOOD_EXTENSIONS:
        answer = conn.send(head + chunked(extension, extension)).answer()
        equal((answer.status, answer.body), (200, b"body"), repr(extension))
    equal([r.body for r in origin.requests], [b"body"] * len(GOOD_EXTENSIONS), "bodies at the service")
    equal(origin.faults, [], "faults that the service saw")


@scenario()
def extensions_of_services(t):
    """Those of a service are 502, or break the answer off where its head is out; other ones pass."""
    bad = [chunked(e) for e in BAD_EXTENSIONS] + [chunked(b"", e) for e in BAD_EXTENSIONS]
    good = [chunked(e, e) for e in GOOD_EXTENSIONS]
    origin, server, _ = t.trio()
    origin.on("/odd/", lambda request, conn, origin: conn.send(
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + (bad + good)[int(request.path[5:])]))
    wire = t.tunnel_server()
    t.client(wire, origin, ready=False)
    peer = wire.accept(v2=False)
    for i, body in enumerate(bad + good):
        peer.send_request_v1("odd/%d" % i)
        message = peer.recv_json()
        want = (502, None) if body in bad else (200, b"body")
        equal((message["status_code"], want[1] and base64.b64decode(message["body"])), want, "over v1: %r" % body)
        conn = t.conn(server)
        try:
            answer = conn.get("/demo/odd/%d" % i)
            equal((answer.status, want[1] and answer.body), want, "over v2: %r" % body)
        except Failed:
            check(body in bad and (conn.reset or conn.eof), "over v2: %r" % body)


# ------------------------------------------------------- forwarding fields


CLAIMS = ("X-Forwarded-Port", "X-Forwarded-Ssl", "X-Forwarded-Server", "X-Forwarded", "Forwarded-For", "Client-IP",
          "X-Client-IP", "True-Client-IP", "CF-Connecting-IP", "X-Cluster-Client-IP", "Fastly-Client-IP",
          "X-Original-URL", "X-Rewrite-URL", "Front-End-Https", "Script-Name", "X-PipeGate-Other")
DOUBLES = ("X-Forwarded-For", "X-Forwarded-Proto", "X-Forwarded-Host", "X-Forwarded-Prefix", "X-Real-IP",
           "X-PipeGate-Correlation-Id", "Content-Length", "Transfer-Encoding")
FORGED = [(n, "9.9.9.9") for n in CLAIMS] + [(n.replace("-", "_"), "9.9.9.9") for n in CLAIMS + DOUBLES] + [
    ("X-Forwarded_For", "9.9.9.9"), ("CF_Connecting-IP", "9.9.9.9"), ("X-Real-IP", "9.9.9.9")]
KEPT = [("X-Request-Id", "9.9.9.9"), ("A_b", "9.9.9.9"), ("X-Original-Filename", "9.9.9.9"), ("Via", "9.9.9.9")]


def told(request):
    """What a request says of how it came: (For, Real-IP, Proto, Host, Prefix), each once."""
    values = [request.all(n) for n in ("x-forwarded-for", "x-real-ip", "x-forwarded-proto", "x-forwarded-host",
                                       "x-forwarded-prefix")]
    check(all(len(v) == 1 for v in values), "not each once: %r" % (values,))
    return tuple(v[0] for v in values)


def forged(request):
    return [f for f in request.fields if "9.9.9.9" in f[1]]


@scenario()
def claims_go_no_further(t):
    """Fields that a service may take for forwarding or framing, doubles with '_' too, pass from nobody, trusted or not."""
    for proxies in (None, "192.0.2.0/24"):
        origin, server, _ = t.trio(server_env={"PIPEGATE_TRUSTED_PROXIES": proxies})
        t.get(server, "/demo/echo", fields=FORGED + KEPT)
        request = origin.requests[0]
        equal(forged(request), KEPT, "what was passed on")
        equal(told(request), ("127.0.0.1", "127.0.0.1", "http", "h", "/demo"), "what the service is told")


@scenario()
def claims_go_no_further_over_v1(t):
    """Nor over v1, to a client that serves a Python application."""
    server = t.server()
    peer = t.tunnel(server, v2=False)
    conn = t.conn(server).send(harness.request_octets("GET", "/demo/x", FORGED + KEPT))
    message = peer.recv_json()
    fields = json.loads(message["headers"])
    equal(sorted((n, v) for n, v in fields.items() if "9.9.9.9" in v), sorted((n.lower(), v) for n, v in KEPT), "passed on")
    equal(fields["x-real-ip"], "127.0.0.1", "X-Real-IP")
    peer.send_answer_v1(message["correlation_id"])
    equal(conn.answer().status, 200, "status")


@scenario()
def what_a_trusted_peer_says(t):
    """A trusted peer is believed for the caller's address, http or https, host and prefix; of several lines the last counts."""
    origin, server, _ = t.trio()
    us = "127.0.0.1"
    cases = (
        ([("X-Forwarded-For", "9.9.9.9, 8.8.8.8"), ("X-Forwarded-Proto", "https"), ("X-Forwarded-Host", "pub"),
          ("X-Forwarded-Prefix", "/out/")], ("9.9.9.9, 8.8.8.8, " + us, "8.8.8.8", "https", "pub", "/out/demo")),
        ([("X-Forwarded-For", "9.9.9.9"), ("X-Forwarded-For", "[2001:db8::1]:99")],
         ("9.9.9.9, [2001:db8::1]:99, " + us, "2001:db8::1", "http", "h", "/demo")),
        ([("X-Forwarded-For", ","), ("X-Forwarded-Proto", "gopher"), ("X-Forwarded-Prefix", "//evil")],
         (",, " + us, us, "http", "h", "/demo")),
        ([("X-Forwarded-Proto", "http"), ("X-Forwarded-Proto", "https"), ("X-Forwarded-Host", "a"),
          ("X-Forwarded-Host", "b"), ("X-Forwarded-Prefix", "/a"), ("X-Forwarded-Prefix", "/b?c")],
         (us, us, "https", "b", "/demo")),
        ([("X-Real-IP", "9.9.9.9"), ("X-Forwarded-Proto", "https"), ("X-Forwarded-Proto", "x")],
         (us, us, "http", "h", "/demo")))
    for fields, want in cases:
        t.get(server, "/demo/echo", fields=fields)
        equal(told(origin.requests[-1]), want, repr(fields))
    t.get(server, "/demo/echo", fields=[("X-Forwarded-For", "9.9.9.9, unknown")])
    equal(origin.requests[-1].all("x-real-ip"), [], "of whom the peer does not name")


@scenario(needs=("caddy", "curl"))
def through_caddy(t):
    """Behind Caddy, set up as contrib has it, no caller decides what the service is told of it."""
    origin, server, _ = t.trio()
    port, root = harness.contrib_caddy(t, server)
    url = "https://localhost:%d/demo/echo" % port
    claims = FORGED + [(n, "9.9.9.9") for n in ("X-Forwarded-For", "X-Forwarded-Proto", "X-Forwarded-Host")] + [
        ("Forwarded", "for=9.9.9.9"), ("X-Forwarded-Prefix", "/9.9.9.9")]
    argv = ["curl", "-sS", "--cacert", root, url]
    for field in claims + KEPT:
        argv += ["-H", "%s: %s" % field]
    curl = t.spawn(argv)
    equal(curl.wait_exit(40), 0, "curl: " + curl.err())
    request = origin.requests[-1]
    equal(sorted((n.lower(), v) for n, v in forged(request)), sorted((n.lower(), v) for n, v in KEPT), "what was passed on")
    equal(told(request), ("127.0.0.1, 127.0.0.1", "127.0.0.1", "https", "localhost:%d" % port, "/demo"), "what the service is told")


# ---------------------------------------- v1 messages that are not quite JSON


def spoilt(stream, members, other="0" * 32):
    """Texts that are no sound JSON, but of which anybody can tell the id."""
    good = ('"correlation_id":"%s",' % stream) + members
    return {
        "a member twice": "{%s,%s}" % (good, members),
        "the id twice": "{%s,%s}" % (good, good),
        "a lone surrogate": '{%s,"x":"\\ud800"}' % good,
        "a lone surrogate as a name": '{"\\udfff":0,%s}' % good,
        "too deep": '{"x":%s1%s,%s}' % ("[" * 40, "]" * 40, good),
        "far too deep": '{"x":%s%s,%s}' % ('{"a":[' * 5000, "]}" * 5000, good),
        "too many values": '{"x":[%s],%s}' % (",".join("1" * 20000), good),
        "junk behind it": "{%s}junk" % good,
        "another message behind it": '{%s}{"correlation_id":"%s"}' % (good, other),
        "a comma too many": "{%s,}" % good,
        "cut short": "{" + good,
        "another id within": '{"x":{"correlation_id":"%s"},"y":"{\\"correlation_id\\":\\"%s\\"",%s,}' % (other, other, good),
    }


@scenario()
def spoilt_answers_over_v1(t):
    """An answer that is no sound JSON but has its id gives its caller 502 at once, and nobody else; the link lives."""
    server = t.server()
    peer = t.tunnel(server, v2=False)
    calm = ask(t, server, "/demo/calm")
    other = peer.recv_json()["correlation_id"]
    members = '"headers":"{}","body":"","status_code":200'
    for name in spoilt("", members):
        conn = ask(t, server)
        stream = peer.recv_json()["correlation_id"]
        peer.send(TEXT, spoilt(stream, members, other)[name])
        try:
            equal(conn.answer().status, 502, "status")
        except Failed as failed:
            raise Failed("%s: %s" % (name, failed))
    for text in ('{"x":{"correlation_id":"%s"},"y":1,}', '["correlation_id","%s",]', '{"x":"{\\"correlation_id\\":\\"%s\\"}",}',
                 '{"correlation_id":"%s","correlation_id":"' + "0" * 32 + '"}', '{"x":{],"correlation_id":"%s"}'):
        peer.send(TEXT, text % other)
    peer.ping()
    peer.send_answer_v1(other, 204)
    equal(calm.answer().status, 204, "the one that was not meant")


@scenario()
def spoilt_requests_over_v1(t):
    """So is a request to our client: the server is told 400, the service sees nothing, the link lives."""
    origin, wire = t.origin(), t.tunnel_server()
    t.client(wire, origin, ready=False)
    peer = wire.accept(v2=False)
    members = '"url_path":"echo","url_query":"[]","method":"GET","headers":"{}","body":""'
    for i, name in enumerate(spoilt("", members)):
        stream = "%08x-0000-4000-8000-000000000000" % i
        peer.send(TEXT, spoilt(stream, members)[name])
        message = peer.recv_json()
        equal((message["correlation_id"], message["status_code"]), (stream, 400), name)
    equal(origin.requests, [], "what the service saw")
    peer.send_request_v1("echo")
    equal(peer.recv_json()["status_code"], 200, "a good one after them")
