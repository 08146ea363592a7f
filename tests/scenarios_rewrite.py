"""What a service says of its own addresses, as its callers get to know it: Location, Content-Location, Refresh and
Set-Cookie."""
import harness
from harness import scenario, equal

DOMAIN = "tunnel.example.com"
HOST = "demo." + DOMAIN


def setting(t, base="", args=(), domain=DOMAIN):
    origin, server = t.origin(), t.server(env={"PIPEGATE_DOMAIN": domain})
    client = t.client(server, origin.url + base, args=args, ready=False)
    client.wait_out("->")
    return origin, server


def said(t, server, origin, base, fields, host=DOMAIN, path="/demo/x", more=()):
    """The values with which these fields of the service's arrive at a caller who asks host for path."""
    head = "HTTP/1.1 302 Found\r\nContent-Length: 0\r\n" + "".join("%s: %s\r\n" % f for f in fields)
    origin.on(base + "/x", head.encode() + b"\r\n")
    answer = t.conn(server).send(harness.request_octets("GET", path, list(more), host=host)).answer()
    names = {name.lower() for name, _ in fields}
    return [value for name, value in answer.fields if name.lower() in names]


def rewritten(t, name, rows, base="", args=(), **asked):
    """rows: (what the service says, what the caller hears), in which OWN is the service's origin."""
    origin, server = setting(t, base, args)
    rows = [[text.replace("OWN", origin.url) for text in row] for row in rows]
    heard = said(t, server, origin, base, [(name, row[0]) for row in rows], **asked)
    equal(heard, [row[1] for row in rows], name)


URLS = [
    ("/next?a#b", "/demo/next?a#b"), ("/", "/demo/"), ("/demo/x", "/demo/x"), ("/demo", "/demo"),
    ("/demo?a", "/demo?a"), ("/demonstration", "/demo/demonstration"), ("/a//b", "/demo/a//b"),
    ("OWN/next", "http://tunnel.example.com/demo/next"), ("OWN", "http://tunnel.example.com/demo/"),
    ("OWN?a", "http://tunnel.example.com/demo/?a"), ("OWN/demo/x", "http://tunnel.example.com/demo/x"),
    ("OWN0/x", "OWN0/x"), ("OWN@evil.example/x", "OWN@evil.example/x"),
    ("//evil.example/x", "//evil.example/x"), ("/\\evil.example/x", "/\\evil.example/x"),
    ("/\t/evil.example", "/\t/evil.example"), ("next", "next"), ("../next", "../next"), ("?a", "?a"), ("#a", "#a"),
    ("https://elsewhere.example/x", "https://elsewhere.example/x"), ("http://tunnel.example.com/x",
                                                                      "http://tunnel.example.com/x"),
    ("javascript:alert(1)", "javascript:alert(1)"), ("", ""),
]


@scenario(quick=True)
def urls_get_the_prefix(t):
    """In the path form Location and Content-Location that are a path, or of the service's own origin, lead into the
    tunnel, once; all others stay."""
    for name in ("Location", "Content-Location"):
        rewritten(t, name, URLS)


@scenario()
def other_fields_stay(t):
    """No other field is looked at."""
    for name in ("Link", "X-Location", "Locations", "Set-Cookie2", "X-Refreshed"):
        rewritten(t, name, [("/next; Path=/", "/next; Path=/")])


@scenario(quick=True)
def refresh_leads_into_the_tunnel(t):
    """The URL of Refresh is found as browsers find it."""
    rewritten(t, "Refresh", [
        ("5; url=/next", "5; url=/demo/next"), ("0;URL='/next' x", "0;URL='/demo/next' x"), ("5", "5"), ("", ""),
        ('1.5, url = "/a b"', '1.5, url = "/demo/a b"'), ("5; /next", "5; /demo/next"), ("5 url=/next", "5 url=/demo/next"),
        ("5; url=OWN/next", "5; url=http://tunnel.example.com/demo/next"), ("5; url=//evil.example/", "5; url=//evil.example/"),
        ("5; url=next", "5; url=next"), ("5; url/next", "5; url/next"), ("5; URL = /next", "5; URL = /demo/next"), ("5; url=", "5; url="), ("5;", "5;"), ("5; url='", "5; url='")])


@scenario(quick=True)
def a_base_is_taken_off(t):
    """What the target's URL has as its path is not said to callers, in neither form; what lies outside of it stays, and
    nothing becomes the URL of another host."""
    rows = [("/base/next", "%s/next"), ("/base", "%s/"), ("/base?a", "%s/?a"), ("/based", "/based"), ("/other", "/other")]
    for prefix, asked in (("/demo", {}), ("", {"host": HOST, "path": "/x"})):
        rewritten(t, "Location", [(a, b.replace("%s", prefix)) for a, b in rows] +
                  [("OWN/base/next", "http://%s%s/next" % (asked.get("host", DOMAIN), prefix)),
                   ("OWN/other", "OWN/other"),
                   ("/base//evil.example", "/demo//evil.example" if prefix else "/base//evil.example"),
                   ("/base/\\evil.example", "/demo/\\evil.example" if prefix else "/base/\\evil.example")],
                  base="/base", **asked)


COOKIES = [
    ("a=1", "a=1"), ("a=1; Path=/", "a=1; Path=/demo/"), ("a=1; path=/in; Secure", "a=1; path=/demo/in; Secure"),
    ("a=1;Path = /in ;HttpOnly", "a=1;Path = /demo/in ;HttpOnly"), ("a=1; Path=/demo/in", "a=1; Path=/demo/in"),
    ("a=1; Path=", "a=1; Path="), ("a=1; Path", "a=1; Path"), ("a=1; Path=in", "a=1; Path=in"),
    ("a=\"Path=/\"; b; Path=/", "a=\"Path=/\"; b; Path=/demo/"), ("a=1; Path=/a; Path=/b", "a=1; Path=/demo/a; Path=/demo/b"),
    ("__Host-a=1; Path=/; Secure", "__Host-a=1; Path=/; Secure"), ("__host-a=1; path=/", "__host-a=1; path=/"),
    ("__Secure-a=1; Path=/; Secure", "__Secure-a=1; Path=/demo/; Secure"),
    ("a=1; Expires=Wed, 21 Oct 2026 07:28:00 GMT; Max-Age=1; SameSite=Lax",
     "a=1; Expires=Wed, 21 Oct 2026 07:28:00 GMT; Max-Age=1; SameSite=Lax"),
    ("a=1; Domain=127.0.0.1; Secure", "a=1; Secure"), ("a=1; domain=.127.0.0.1", "a=1"),
    ("a=1; Domain=tunnel.example.com; Path=/", "a=1; Path=/demo/"), ("a=1; Domain=.com", "a=1"),
    ("a=1; Domain=x.tunnel.example.com", "a=1; Domain=x.tunnel.example.com"),
]


@scenario(quick=True)
def cookies_stay_in_the_tunnel(t):
    """In the path form the Path of a cookie gets the prefix, but for __Host- cookies; a Domain that names the service,
    or has the hosts of tunnels under it, is dropped."""
    rewritten(t, "Set-Cookie", COOKIES)


@scenario()
def domains_without_hosts(t):
    """Where tunnels have no hosts a Domain stays, unless it names the service."""
    origin, server = setting(t, domain="")
    heard = said(t, server, origin, "", [("Set-Cookie", "a=1; Domain=" + d) for d in ("example.com", "127.0.0.1")])
    equal(heard, ["a=1; Domain=example.com", "a=1"], "cookies")


@scenario(quick=True)
def cookies_of_a_host(t):
    """By host a cookie keeps its Path, and its Domain where that reaches no further than the tunnel's own host, also
    where an app has hosts below that."""
    for host in (HOST, "shop." + HOST, "Demo.Tunnel.Example.Com:8443"):
        rewritten(t, "Set-Cookie", [
            ("a=1; path=/ ;Secure", "a=1; path=/ ;Secure"), ("a=1; Domain=demo.tunnel.example.com", "a=1; Domain=demo.tunnel.example.com"),
            ("a=1; Domain=.DEMO.tunnel.example.com", "a=1; Domain=.DEMO.tunnel.example.com"),
            ("a=1; Domain=shop.demo.tunnel.example.com", "a=1; Domain=shop.demo.tunnel.example.com"),
            ("a=1; Domain=tunnel.example.com; Path=/in", "a=1; Path=/in"), ("a=1; Domain=.example.com", "a=1"),
            ("a=1; Domain=com", "a=1"), ("a=1; Domain=127.0.0.1", "a=1"), ("a=1; Domain=other.tunnel.example.com", "a=1"),
            ("a=1; Domain=xdemo.tunnel.example.com", "a=1"), ("a=1; Domain=", "a=1; Domain=")], host=host, path="/x")


@scenario()
def cookies_of_a_base(t):
    """A cookie of the base path, or of a path above it, becomes one of the whole tunnel."""
    rows = [("a=1; Path=/", "a=1; Path=%s/"), ("a=1; Path=/a", "a=1; Path=%s/"), ("a=1; Path=/a/base", "a=1; Path=%s/"),
            ("a=1; Path=/a/base/in", "a=1; Path=%s/in"), ("a=1; Path=/other", "a=1; Path=/other"),
            ("a=1; Path=/a/bas", "a=1; Path=/a/bas")]
    for prefix, asked in (("/demo", {}), ("", {"host": HOST, "path": "/x"})):
        rewritten(t, "Set-Cookie", [(a, b.replace("%s", prefix)) for a, b in rows], base="/a/base", **asked)


@scenario()
def a_proxy_before_it(t):
    """What a trusted proxy took off the path stands before the prefix; its scheme and host are those of callers."""
    came = [("X-Forwarded-Prefix", "/outer"), ("X-Forwarded-Proto", "https"), ("X-Forwarded-Host", "www.example:8443")]
    rewritten(t, "Location", [("/next", "/outer/demo/next"), ("OWN/next", "https://www.example:8443/outer/demo/next"),
                              ("/outer/demo/x", "/outer/demo/x"), ("/demo/x", "/outer/demo/demo/x")], more=came)
    for odd in ([("X-Forwarded-Prefix", "/" + 2000 * "p")], [("X-Forwarded-Prefix", "/o;x")],
                [("X-Forwarded-Host", "good@evil.example")], [("X-Forwarded-Host", "evil.example/x")]):
        rewritten(t, "Location", [("/next", "/next"), ("OWN/next", "OWN/next")], more=odd)


@scenario(quick=True)
def not_rewritten(t):
    """With --no-rewrite all passes as the service says it."""
    for name, rows in (("Location", URLS), ("Set-Cookie", COOKIES), ("Refresh", [("5; url=/next", "")])):
        rewritten(t, name, [(a, a) for a, _ in rows], args=("--no-rewrite",))


@scenario()
def one_connection_for_two_hosts(t):
    """A kept connection to the service is asked for callers of one host after the other: each hears of its own."""
    origin, server = setting(t)
    for _ in range(2):
        for host, path, want in ((DOMAIN, "/demo/x", "http://tunnel.example.com/demo/next"),
                                 (HOST, "/x", "http://demo.tunnel.example.com/next"),
                                 ("localhost", "/demo/x", "http://localhost/demo/next"),
                                 ("localhost", "/demo/x", "https://localhost/demo/next")):
            came = [("X-Forwarded-Proto", want.split(":")[0])]
            equal(said(t, server, origin, "", [("Location", origin.url + "/next")], host, path, came), [want], host)
    equal(origin.accepted, 1, "connections to the service")


@scenario()
def a_head_full_of_cookies(t):
    """As many cookies as a head holds all come, each under its path; what does not fit any more is 502."""
    origin, server = setting(t)
    cookies = [("Set-Cookie", "c%d=%s; Path=/" % (i, "v" * 200)) for i in range(100)]
    heard = said(t, server, origin, "", cookies)
    equal(heard, [v[:-1] + "/demo/" for _, v in cookies], "cookies")
    large = [("Set-Cookie", "c%d=%s%s" % (i, "v" * 100, 5 * "; Path=/")) for i in range(120)]
    prefix = [("X-Forwarded-Prefix", "/" + 300 * "p")]
    head = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n" + "".join("%s: %s\r\n" % f for f in large)
    origin.on("/x", head.encode() + b"\r\n")
    answer = t.conn(server).send(harness.request_octets("GET", "/demo/x", prefix, host=DOMAIN)).answer()
    equal(answer.status, 502, "status where they do not fit")
    equal(t.conn(server).send(harness.request_octets("GET", "/demo/echo", host=DOMAIN)).answer().status, 200, "the next")
