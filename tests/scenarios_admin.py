"""The admin listener: PIPEGATE_ADMIN, and its /ask."""
import os
import re
import socket

import harness
from harness import scenario, equal, check, contains

DOMAIN = "tunnel.example.com"
OWN = "app.example.org"


def setting(t, wait="60", domain=DOMAIN, at="127.0.0.1:0"):
    """A server with an admin listener, and the port of that."""
    server = t.server(env={"PIPEGATE_DOMAIN": domain + ",h", "PIPEGATE_ADMIN": at, "PIPEGATE_OFFLINE_WAIT": wait})
    server.wait_out("(admin)\n")
    return server, int(re.search(r":(\d+) \(admin\)", server.out()).group(1))


def asked(t, port, target, host="127.0.0.1:9100", method="GET", fields=()):
    conn = t.conn(port).send(harness.request_octets(method, target, fields, host=host))
    answer = conn.answer(method)
    check(conn.closed(), "the connection stays")
    return answer


def ask(t, port, name):
    return asked(t, port, "/ask?domain=" + name).status


@scenario(quick=True)
def asks_for_certificates(t):
    """/ask says 200 for the domains, for the host of an id that is served, and for own domains that are, as routing
    reads names; 404 for all else, though the server is young."""
    server, port = setting(t)
    t.tunnel(server, bearer=harness.token("demo", domains=[OWN]))
    for name in (DOMAIN, "h", "demo." + DOMAIN, "Demo.TUNNEL.example.com", "demo.%s." % DOMAIN, OWN, "APP.example.org.",
                 "demo%2etunnel%2Eexample.com", "%64emo." + DOMAIN):
        equal(ask(t, port, name), 200, name)
        equal(asked(t, port, "/ask?domain=" + name, method="HEAD").status, 200, "HEAD for " + name)
    for name in ("other." + DOMAIN, "x.demo." + DOMAIN, "healthz." + DOMAIN, "x." + OWN, "example.org", "example.com",
                 "demotunnel.example.com", "demo", "demo..tunnel.example.com", ".%s" % DOMAIN, "demo.%s.." % DOMAIN,
                 "demo.%s:443" % DOMAIN, "127.0.0.1", "[::1]", "localhost", "demo.localhost", "", "%00", "demo%00." + DOMAIN,
                 "demo.%s%%00" % DOMAIN, "*." + DOMAIN, "demo.%s/x" % DOMAIN, "demo+." + DOMAIN, "%2564emo." + DOMAIN,
                 "d" * 300 + "." + DOMAIN, "%C3%A9." + DOMAIN):
        equal(ask(t, port, name), 404, name)
        equal(asked(t, port, "/ask?domain=" + name, method="HEAD").status, 404, "HEAD for " + name)


@scenario(quick=True)
def pages_elsewhere_may_not_ask(t):
    """A browser that asks for a page of another site is told nothing, whatever the Host."""
    server, port = setting(t)
    t.tunnel(server)
    for site, want in (("cross-site", 403), ("same-site", 403), ("same-origin", 200), ("none", 200)):
        fields = [("Sec-Fetch-Site", site)]
        equal(asked(t, port, "/ask?domain=demo." + DOMAIN, fields=fields).status, want, site)


@scenario(quick=True)
def questions_that_are_none(t):
    """No domain, two of them, or one that cannot be decoded is 400; other paths are 404 and other methods 405."""
    server, port = setting(t)
    t.tunnel(server)
    good = "demo." + DOMAIN
    for query in ("", "?", "?domain", "?name=" + good, "?domains=" + good, "?domain=%s&domain=%s" % (good, good),
                  "?domain=%", "?domain=%4", "?domain=%zz" + good, "?domain=" + good + "%2", "?domain=" + "a" * 2000):
        equal(asked(t, port, "/ask" + query).status, 400, query)
    equal(asked(t, port, "/ask?x=1&domain=%s&y" % good).status, 200, "among others")
    for target in ("/", "/ask/", "/ask/x", "//ask", "/Ask", "/healthz", "/metrics", "/demo/", "/ask%3fdomain=" + good, "/demo/ask"):
        equal(asked(t, port, target).status, 404, target)
    for method in ("POST", "PUT", "OPTIONS", "DELETE", "get"):
        answer = asked(t, port, "/ask?domain=" + good, method=method)
        equal((answer.status, answer.get("allow")), (405, "GET, HEAD"), method)
    equal(asked(t, port, "*", method="OPTIONS").status, 404, "OPTIONS *")


@scenario(quick=True)
def hosts_from_afar(t):
    """A browser that was led here by somebody's DNS asks under a name with a dot: 421. Nothing of a tunnel is here."""
    server, port = setting(t)
    peer = t.tunnel(server, bearer=harness.token("demo", domains=[OWN]))
    target = "/ask?domain=demo." + DOMAIN
    for host in ("evil.example", "demo." + DOMAIN, DOMAIN, OWN, "127.0.0.1.evil.example", "a.localhost", "localhost.evil.example:9100"):
        for what in (target, "/", "/demo/"):
            answer = asked(t, port, what, host)
            equal(answer.status, 421, host + what)
            check(b"address" in answer.body, "words: %r" % answer.body)
    for host in ("127.0.0.1", "127.0.0.1:9100", "[::1]:9100", "localhost", "LOCALHOST:1", "localhost.", "pipegate", "pipegate:9100"):
        equal(asked(t, port, target, host).status, 200, host)
    answer = t.conn(port).send(b"GET %s HTTP/1.0\r\n\r\n" % target.encode()).answer()
    equal(answer.status, 200, "without a Host")
    equal(peer.said(), [], "what reached the client")


@scenario(quick=True)
def names_that_were_served(t):
    """A tunnel whose client is waited for is known; one that said goodbye, or was not back in time, is not."""
    server, port = setting(t, wait="2")
    names = ["%s." + DOMAIN, "%s.example.org"]
    for sub in ("lost", "ended"):
        peer = t.tunnel(server, bearer=harness.token(sub, domains=[sub + ".example.org"]))
        equal([ask(t, port, name % sub) for name in names], [200, 200], sub + " while it is served")
        if sub == "lost":
            peer.conn.abort()
        else:
            peer.send_close(1000)
        t.wait(lambda: "event=client-gone id=" + sub in server.err(), "its end")
        t.wait(lambda: [ask(t, port, name % sub) for name in names] == ([200, 200] if sub == "lost" else [404, 404]), sub)
    t.wait(lambda: [ask(t, port, name % "lost") for name in names] == [404, 404], "the end of the wait")


@scenario()
def heads_that_are_bad(t):
    """A head that is too large, or none, gets an error and an end; one that does not come is cut off."""
    server, port = setting(t)
    long = b"GET /ask?domain=x HTTP/1.1\r\nHost: localhost\r\nX: " + b"x" * 8000
    for octets, status in ((long, 431), (long + b"\r\n\r\n", 431), (b"nonsense\r\n\r\n", 400), (b"GET / HTTP/1.1\r\n\r\n", 400),
                           (b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400), (b"\x16\x03\x01\x02\x00\x01\x00\r\n", 400),
                           (b"CONNECT a:1 HTTP/1.1\r\nHost: localhost\r\n\r\n", 405), (b"GET / HTTP/2.0\r\n\r\n", 505)):
        conn = t.conn(port)
        conn.send_quietly(octets)
        equal(conn.answer().status, status, repr(octets[:40]))
    silent, slow = t.conn(port), t.conn(port)
    slow.send(b"GET /ask?")
    for conn in (silent, slow):
        check(conn.closed(15), "a connection that sends no head stays")


@scenario(quick=True)
def many_that_ask(t):
    """Of many connections the oldest make room: those that only stand there keep nobody out, nor do they take from the
    callers."""
    server, port = setting(t)
    t.tunnel(server)
    before = server.descriptors()
    idle = [t.conn(port).send(b"GET /ask?dom") for _ in range(100)]
    equal(ask(t, port, "demo." + DOMAIN), 200, "one that asks")
    check(idle[0].closed(), "the oldest stays")
    t.wait(lambda: server.descriptors() - before <= 32, "room")
    equal(t.get(server, "/healthz").status, 200, "a caller")
    idle[-1].send(b"ain=demo.%s HTTP/1.1\r\nHost: localhost\r\n\r\n" % DOMAIN.encode())
    equal(idle[-1].answer().status, 200, "the youngest")


@scenario(quick=True)
def pipelined_questions(t):
    """What comes behind a request is not read: one answer, and the end."""
    _, port = setting(t)
    conn = t.conn(port).send(harness.request_octets("GET", "/ask?domain=" + DOMAIN, host="localhost") * 5)
    equal(conn.rest().count(b"HTTP/1.1 "), 1, "answers")
    conn = t.conn(port).send(b"POST /ask HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100000\r\n\r\n" + b"x" * 50000)
    equal(conn.answer().status, 405, "one with a body")


@scenario(quick=True)
def at_a_path(t):
    """PIPEGATE_ADMIN=unix:/path listens there, and removes the socket at the end."""
    path = os.path.join(t.folder, "admin")
    server = t.server(env={"PIPEGATE_DOMAIN": DOMAIN, "PIPEGATE_ADMIN": "unix:" + path})
    contains(server.wait_out("(admin)\n"), "listening on unix:%s (admin)\n" % path, "what is said")
    sock = socket.socket(socket.AF_UNIX)
    sock.connect(path)
    conn = harness.Conn(sock)
    t.defer(conn.close)
    equal(conn.send(harness.request_octets("GET", "/ask?domain=" + DOMAIN, host="localhost")).answer().status, 200, "status")
    server.terminate()
    check(not os.path.exists(path), "the socket is still there")


@scenario(quick=True)
def without_a_domain(t):
    """Without PIPEGATE_ADMIN there is none; without PIPEGATE_DOMAIN there is no name to ask for."""
    server = t.server(env={"PIPEGATE_ADMIN": "127.0.0.1:0"})
    server.wait_out("(admin)\n")
    port = int(re.search(r":(\d+) \(admin\)", server.out()).group(1))
    t.tunnel(server)
    equal(ask(t, port, "demo." + DOMAIN), 404, "a name")
    server = t.server()
    server.settle()
    equal(server.out().count("listening"), 1, "listeners")
    equal(t.get(server, "/ask?domain=x").get("location"), "/ask/?domain=x", "on the public side it is an id")


@scenario(quick=True)
def addresses_that_are_none(t):
    """A PIPEGATE_ADMIN that is none ends the program with a message that names it."""
    for text in ("9100", "127.0.0.1", "127.0.0.1:", ":9100", "127.0.0.1:99999", "http://127.0.0.1:9100", "127.0.0.1:9100/",
                 "::1:9100", "a b:1", "127.0.0.1:9100#x", "127.0.0.1:9100?x", "x" * 600 + ":1", "u@127.0.0.1:9100"):
        server = t.server(env={"PIPEGATE_ADMIN": text}, ready=False)
        equal(server.wait_exit(), 1, "exit with " + text)
        contains(server.err(), "PIPEGATE_ADMIN", "what was said")
