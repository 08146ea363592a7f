"""What is refused although much software lets it pass, and what is believed of
whom: hosts, chunk extensions, long methods, forwarding fields, answers of v1
clients that are not quite JSON."""
import base64

from harness import scenario, equal, check, Failed


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
