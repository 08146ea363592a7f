"""A host name for each tunnel: PIPEGATE_DOMAIN."""
import re
import subprocess

import harness
from harness import scenario, equal, check

DOMAIN = "tunnel.example.com"


def asked(t, server, host, target="/", method="GET", fields=()):
    return t.conn(server).send(harness.request_octets(method, target, fields, host=host)).answer(method)


def told(origin, name):
    return [value for n, value in origin.requests[-1].fields if n.lower() == name.lower()]


@scenario(quick=True)
def ids_have_hosts(t):
    """ID.DOMAIN leads to ID with its target as it came and no prefix, also in capitals, with a port, with a dot at
    the end, and with labels of the app's own before it; the host passes as it came."""
    origin, server, _ = t.trio(server_env={"PIPEGATE_DOMAIN": DOMAIN})
    for host in ("demo.tunnel.example.com", "DEMO.Tunnel.example.COM", "demo.tunnel.example.com:8443",
                 "demo.tunnel.example.com.", "shop.demo.tunnel.example.com", "a.b.xn--bcher-kva.demo.tunnel.example.com"):
        for target in ("/", "/echo?a/../b=%2e", "/healthz", "/demo/x", "//demo/..;/", "/other"):
            equal(asked(t, server, host, target).status, 200, host + target)
            equal(origin.requests[-1].target, target, "target of " + host)
            equal(told(origin, "host"), [host], "host")
            equal(told(origin, "x-forwarded-host"), [host], "forwarded host")
            equal(told(origin, "x-forwarded-prefix"), [], "prefix")


@scenario(quick=True)
def prefix_before_a_host(t):
    """What a trusted proxy took off the path before a tunnel's host stays its X-Forwarded-Prefix."""
    origin, server, _ = t.trio(server_env={"PIPEGATE_DOMAIN": DOMAIN})
    equal(asked(t, server, "demo." + DOMAIN, fields=[("X-Forwarded-Prefix", "/before")]).status, 200, "status")
    equal(told(origin, "x-forwarded-prefix"), ["/before"], "prefix")


@scenario(quick=True)
def domains_have_the_paths(t):
    """On the domains, address literals, localhost and without a Host there are paths, /healthz and the clients'
    WebSocket."""
    origin, server, _ = t.trio(server_env={"PIPEGATE_DOMAIN": "x.example, Tunnel.Example.com"})
    for host in ("x.example", DOMAIN, "TUNNEL.example.com.:80", "127.0.0.1:8000", "[::1]:8000", "[2001:db8::1]",
                 "localhost", "localhost.:3000", "192.0.2.1"):
        equal(asked(t, server, host, "/demo/echo").status, 200, host)
        equal((origin.requests[-1].target, told(origin, "x-forwarded-prefix")), ("/echo", ["/demo"]), host)
        equal(asked(t, server, host, "/healthz").body, b'{"status":"ok"}', "health of " + host)
        equal(asked(t, server, host, "/").status, 426, "root of " + host)
    conn = t.conn(server).send(b"GET /demo/echo HTTP/1.0\r\n\r\n")
    equal(conn.answer().status, 200, "without a Host")


@scenario(quick=True)
def foreign_hosts_have_nothing(t):
    """Where there is a domain, any other host is 404, whatever its path: /demo/ there is not the tunnel demo."""
    origin, server, _ = t.trio(server_env={"PIPEGATE_DOMAIN": DOMAIN})
    for host in ("example.com", "demo.example.com", "demotunnel.example.com", "demo.tunnel.example.com.evil.example",
                 ".tunnel.example.com", "demo..tunnel.example.com", "-demo.tunnel.example.com",
                 "de_mo.tunnel.example.com", "demo.localhost", "d" * 64 + "." + DOMAIN, "com", "127.0.0.1.example",
                 "demo.tunnel.example.com..", "healthz.tunnel.example.com"):
        for target in ("/demo/echo", "/healthz", "/", "/demo"):
            answer = asked(t, server, host, target)
            equal(answer.status, 404, "%s%s" % (host, target))
            check(b"host" in answer.body, "a reason: %r" % answer.body)
    equal(asked(t, server, "example.com", "/demo/echo",
                fields=[("X-Forwarded-Host", "demo." + DOMAIN)]).status, 404, "by X-Forwarded-Host")
    equal(origin.requests, [], "requests that passed")


@scenario(quick=True)
def longest_domain_wins(t):
    """Of two domains that a host is under, the longer one says what its id is."""
    origin, server, _ = t.trio(server_env={"PIPEGATE_DOMAIN": "example.com,a.example.com"})
    for host, status in (("demo.a.example.com", 200), ("demo.example.com", 200), ("a.demo.example.com", 200),
                         ("a.example.com", 426)):
        equal(asked(t, server, host).status, status, host)
    equal(len(origin.requests), 3, "requests that passed")


@scenario(quick=True)
def hosts_of_absolute_targets(t):
    """A target in absolute form leads where its own authority says."""
    origin, server, _ = t.trio(server_env={"PIPEGATE_DOMAIN": DOMAIN})
    host = "demo." + DOMAIN
    equal(asked(t, server, host, "http://%s/echo?x" % host).status, 200, "status")
    equal(origin.requests[-1].target, "/echo?x", "target")
    equal(asked(t, server, host, "http://other.%s/echo" % DOMAIN).status, 400, "where they differ")


@scenario(quick=True)
def upgrades_of_a_host(t):
    """An Upgrade on / of a tunnel's host is the app's; on / of the domain it is a client's."""
    origin, server, _ = t.trio(server_env={"PIPEGATE_DOMAIN": DOMAIN})
    origin.on("/", b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: raw\r\nConnection: upgrade\r\n\r\nhello")
    conn = t.conn(server).send(harness.request_octets(
        "GET", "/", [("Upgrade", "raw"), ("Connection", "upgrade")], host="demo." + DOMAIN))
    equal((conn.head().status, conn.take(5)), (101, b"hello"), "the app's upgrade")
    answer = asked(t, server, DOMAIN, fields=[("Upgrade", "raw"), ("Connection", "upgrade")])
    check(answer.status in (400, 426), "on the domain itself: %d" % answer.status)


@scenario(quick=True)
def requests_wait_at_a_host(t):
    """A request for a host waits for the client of its id, as it does by path."""
    origin, server = t.origin(), t.server(env={"PIPEGATE_DOMAIN": DOMAIN})
    conn = t.conn(server).send(harness.request_octets("GET", "/echo?late", host="demo." + DOMAIN))
    server.settle()
    t.client(server, origin)
    equal(conn.answer().status, 200, "status")
    equal((origin.requests[-1].target, told(origin, "x-forwarded-prefix")), ("/echo?late", []), "what was asked")


@scenario(quick=True)
def domains_that_are_none(t):
    """A PIPEGATE_DOMAIN that is no list of names ends the program with a message that names it."""
    for text in ("a_b", ", ,", "a..b", "-a.example", "http://a.example", "a.example:80", "*.example.com", "b\xfccher.example", "127.0.0.1", "a." * 95 + "a",
                 ",".join("d%d.example" % i for i in range(17))):
        server = t.server(env={"PIPEGATE_DOMAIN": text}, ready=False)
        equal(server.wait_exit(), 1, "exit with " + text)
        check("PIPEGATE_DOMAIN" in server.err(), "what was said: %r" % server.err())


@scenario(quick=True)
def ids_without_a_host(t):
    """`pipegate token` says of an id that is no DNS label that it is reached by its path alone."""
    for sub, said in (("my-app", False), ("My-App", True), ("a.b", True), ("a_b", True), ("x" * 63, False),
                      ("x" * 64, True), ("-a", True)):
        done = subprocess.run([harness.BINARY, "token", "-c", sub], env={"PIPEGATE_JWT_SECRET": harness.SECRET},
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        equal(done.returncode, 0, "exit for " + sub)
        equal("host name" in done.stderr, said, "what is said of %s: %r" % (sub, done.stderr))
        check(re.search(r"^JWT Bearer: *\S+$", done.stdout, re.M), "a token for " + sub)


def said_of(t, public_env, sub="demo"):
    """What a client says of its addresses: the port of the server is PORT."""
    server = t.server(env=public_env)
    client = t.client(server, "3000", sub, ready=False)
    client.wait_out("the token expires")
    text = client.out().replace(":%d" % server.port, ":PORT")
    return re.findall(r"^(http\S*)  ->  \S+$|^(http\S*)$", text, re.M)


@scenario(quick=True)
def clients_know_their_addresses(t):
    """The client prints what the server says of its addresses: the host of the id first."""
    path = "http://127.0.0.1:PORT/demo/"
    for env, want in (
            ({}, [(path, "")]),
            ({"PIPEGATE_DOMAIN": "localhost,x.example"}, [("http://demo.localhost:PORT/", ""), ("", path)]),
            ({"PIPEGATE_PUBLIC_URL": "https://x.example:8443/base"}, [("https://x.example:8443/base/demo/", "")]),
            ({"PIPEGATE_PUBLIC_URL": "https://X.example/", "PIPEGATE_DOMAIN": "a.example,x.example"},
             [("https://demo.x.example/", ""), ("", "https://X.example/demo/")]),
            ({"PIPEGATE_PUBLIC_URL": "https://b.example:1/", "PIPEGATE_DOMAIN": "a.example"},
             [("https://demo.a.example:1/", ""), ("", "https://b.example:1/demo/")])):
        equal(said_of(t, env), want, "what is said with %s" % env)
    equal(said_of(t, {"PIPEGATE_DOMAIN": "a.example"}, "De_mo"), [("http://127.0.0.1:PORT/De_mo/", "")], "no label")


@scenario(quick=True)
def public_urls_that_are_none(t):
    """A PIPEGATE_PUBLIC_URL that is none ends the program with a message that names it."""
    for text in ("tunnel.example.com", "wss://a.example/", "https://", "https://a.example/?x", "https://u@a.example/",
                 "https://a.example/a b", "https://a.example/#x", "https://a.example:99999/", "https://a.example/" + "x" * 400):
        server = t.server(env={"PIPEGATE_PUBLIC_URL": text}, ready=False)
        equal(server.wait_exit(), 1, "exit with " + text)
        check("PIPEGATE_PUBLIC_URL" in server.err(), "what was said: %r" % server.err())
