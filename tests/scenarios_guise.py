"""--host-header: the host under which a service sees itself asked."""
import harness
from harness import scenario, equal, check

HOST = "demo.tunnel.example.com"


def setting(t, option, path="", domain="tunnel.example.com"):
    """A service, and a server with a client that has --host-header option."""
    origin, server = t.origin(), t.server(env={"PIPEGATE_DOMAIN": domain})
    args = ("--host-header", option) if option else ()
    client = t.client(server, origin.url + path, args=args, ready=False)
    client.wait_out("->")
    return origin, server, client


def asked(t, server, host, target="/", fields=(), method="GET"):
    return t.conn(server).send(harness.request_octets(method, target, fields, host=host)).answer(method)


def seen(origin, *names):
    fields = [(n.lower(), v) for n, v in origin.requests[-1].fields]
    return [[v for n, v in fields if n == name] for name in names]


@scenario(quick=True)
def rewritten(t):
    """With rewrite the service sees its own Host, Origin and Referer, and no public host or scheme; other hosts' stay."""
    origin, server, _ = setting(t, "rewrite")
    here = origin.url.split("//")[1]
    for public, came, prefix in ((HOST, "/a?b", ""), ("tunnel.example.com", "/demo/a?b", "/demo")):
        fields = [("Origin", "https://" + public), ("Referer", "https://%s%s/page?x=/demo/" % (public, prefix)),
                  ("X-Forwarded-Proto", "https"), ("X-Other", "https://" + public)]
        equal(asked(t, server, public, came, fields).status, 200, "status")
        equal(origin.requests[-1].target, "/a?b", "target")
        equal(seen(origin, "host", "origin", "referer", "x-forwarded-host", "x-forwarded-proto", "x-other"),
              [[here], [origin.url], [origin.url + "/page?x=/demo/"], [], [], ["https://" + public]], public)
        equal(len(seen(origin, "x-forwarded-for")[0]), 1, "who asks stays")
        fields = [("Origin", "https://elsewhere.example"), ("Referer", "https://elsewhere.example/demo/")]
        asked(t, server, public, came, fields)
        equal(seen(origin, "origin", "referer"), [["https://elsewhere.example"], ["https://elsewhere.example/demo/"]],
              "of another host")
        asked(t, server, public, came, [("Origin", "null")])
        equal(seen(origin, "origin"), [["null"]], "of none")


@scenario(quick=True)
def rewritten_with_a_base(t):
    """The base path of the target stands in Referer, and is taken off a Location."""
    origin, server, _ = setting(t, "rewrite", "/base")
    for path, location in (("/in", "/base/next?a"), ("/top", "/base"), ("/out", "/other"), ("/like", "/basement")):
        origin.on("/base" + path, b"HTTP/1.1 302 Found\r\nContent-Length: 0\r\nLocation: %s\r\n\r\n" %
                  (origin.url + location).encode())
    asked(t, server, HOST, "/x", [("Referer", "http://%s/page" % HOST)])
    equal((origin.requests[-1].target, seen(origin, "referer")), ("/base/x", [[origin.url + "/base/page"]]), "referer")
    for path, want in (("/in", "http://%s/next?a" % HOST), ("/top", "http://%s/" % HOST), ("/out", origin.url + "/other"),
                       ("/like", origin.url + "/basement")):
        equal(asked(t, server, HOST, path).get("location"), want, path)


@scenario(quick=True)
def locations_go_back(t):
    """A Location of the target's own origin leads to the public URL, by host and by path; all others stay."""
    origin, server, _ = setting(t, "rewrite")
    for path, location in (("/own", origin.url + "/next?a"), ("/far", "https://elsewhere.example/x"), ("/rel", "next"),
                           ("/abs", "/next"), ("/near", origin.url + "0/x"),
                           ("/tls", origin.url.replace("http:", "https:") + "/x")):
        origin.on(path, b"HTTP/1.1 302 Found\r\nContent-Length: 0\r\nLocation: %s\r\n\r\n" % location.encode())
    https = [("X-Forwarded-Proto", "https")]
    origin.on("/query", b"HTTP/1.1 302 Found\r\nContent-Length: 0\r\nLocation: %s?a\r\n\r\n" % origin.url.encode())
    equal(asked(t, server, HOST, "/query", https).get("location"), "https://%s/?a" % HOST, "a query alone")
    twice = https + [("X-Forwarded-Host", "a.example, b.example")]
    equal(asked(t, server, HOST, "/own", twice).get("location"), origin.url + "/next?a", "a list of hosts")
    equal(asked(t, server, HOST, "/own", https).get("location"), "https://%s/next?a" % HOST, "by host")
    equal(asked(t, server, "tunnel.example.com", "/demo/own", https).get("location"),
          "https://tunnel.example.com/demo/next?a", "by path")
    for path, want in (("/far", "https://elsewhere.example/x"), ("/rel", "next"), ("/abs", "/next"),
                       ("/near", origin.url + "0/x"), ("/tls", origin.url.replace("http:", "https:") + "/x")):
        equal(asked(t, server, HOST, path, https).get("location"), want, path)


@scenario(quick=True)
def another_name(t):
    """A name takes the place of Host, and nothing else changes; an HTTP/1.0 request without a Host gets it too."""
    origin, server, _ = setting(t, "app.internal:81")
    asked(t, server, HOST, "/x", [("Origin", "https://" + HOST)])
    equal(seen(origin, "host", "origin", "x-forwarded-host"), [["app.internal:81"], ["https://" + HOST], [HOST]], "seen")
    t.conn(server).send(b"GET /demo/x HTTP/1.0\r\n\r\n").answer()
    equal(seen(origin, "host"), [["app.internal:81"]], "without a Host")


@scenario(quick=True)
def upgrades_and_uploads(t):
    """Upgrades and bodies pass as without it."""
    origin, server, _ = setting(t, "rewrite")
    origin.on("/up", b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: raw\r\nConnection: upgrade\r\n\r\nhello")
    conn = t.conn(server).send(harness.request_octets(
        "GET", "/up", [("Upgrade", "raw"), ("Connection", "upgrade"), ("Origin", "https://" + HOST)], host=HOST))
    equal((conn.head().status, conn.take(5)), (101, b"hello"), "an upgrade")
    equal(seen(origin, "origin"), [[origin.url]], "its Origin")
    body = harness.pattern(100000)
    answer = t.conn(server).send(harness.request_octets("POST", "/raw", (), body, host=HOST)).answer()
    check(answer.status == 200 and origin.requests[-1].body == body, "an upload")


@scenario(quick=True)
def hint_of_the_option(t):
    """Without it the client names it at the first 400 or 403 for a public host, once; not for a local one."""
    origin, server, client = setting(t, None, domain="")
    origin.on("/no", b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n")
    asked(t, server, "localhost:1", "/demo/no")
    asked(t, server, "127.0.0.1", "/demo/no")
    asked(t, server, "x.example", "/demo/ok")
    for _ in range(3):
        asked(t, server, "x.example", "/demo/no")
    client.wait_out("--host-header")
    t.get(server, "/demo/end")
    client.wait_out("/end")
    equal(client.out().count("--host-header"), 1, "how often it is said: %s" % client.out())


@scenario(quick=True)
def hosts_that_are_none(t):
    """A --host-header that is no host ends the program with a message that names it."""
    origin = t.origin()
    for text in ("a b", "http://a", "a/b", "", "a:99999", "a\r\nX: y", "u@a", "a#b", "a#b c", "a?b", "a" * 500):
        client = t.client("ws://127.0.0.1:9/", origin, args=("--host-header", text), ready=False)
        equal(client.wait_exit(), 2, "exit with %r" % text)
        check("--host-header" in client.err(), "what was said: %r" % client.err())
