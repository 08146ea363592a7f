"""Apps that know nothing of their prefix, behind a path: where requests go that left it."""
import os
import time

import harness
from harness import scenario, equal, check


def asked(t, server, target, referer=None, method="GET", host="h:1", fields=(), body=None):
    fields = list(fields) + ([("Referer", referer)] if referer else [])
    return t.conn(server).send(harness.request_octets(method, target, fields, body, host=host)).answer(method)


@scenario(quick=True)
def strays_are_sent_back(t):
    """A request that names no tunnel but comes from a page of one is sent back there, whatever its method."""
    origin, server, _ = t.trio()
    for target in ("/style.css", "/a/b?c=%2F", "/", "/?q", "/@vite/client", "//x", "/demo2/x", "/api", "/%2e%2e/x",
                   "/./x"):
        for method in ("GET", "HEAD", "POST", "DELETE", "OPTIONS", "PROPFIND"):
            answer = asked(t, server, target, "http://h:1/demo/page?x", method)
            equal((answer.status, answer.get("location")), (307, "/demo" + target), method + " " + target)
            equal((answer.get("cache-control"), answer.get("vary")), ("no-store", "Referer, Cookie"), "fields")
    answer = asked(t, server, "/login", "HTTPS://H:1/demo/", "POST", body=b"user=x")
    equal((answer.status, answer.get("location")), (307, "/demo/login"), "a form, by https")
    equal(origin.requests, [], "what passed")
    equal(asked(t, server, answer.get("location"), "http://h:1/demo/").status, 200, "where it leads")


@scenario(quick=True)
def who_is_no_stray(t):
    """Nothing is sent back that names a tunnel, the server's own, or comes from no page of a tunnel of this host."""
    origin, server, _ = t.trio()
    t.client(server, origin, "other")
    home = "http://h:1/demo/"
    equal(asked(t, server, "/other/x", home).status, 200, "another tunnel")
    equal(asked(t, server, "/healthz", home).body, b'{"status":"ok"}', "health")
    equal(asked(t, server, "/other", home).get("location"), "/other/", "another tunnel without its slash")
    equal(asked(t, server, "*", home, "OPTIONS").status, 204, "OPTIONS *")
    equal(asked(t, server, "/x/y", home, "OPTIONS", fields=[("Max-Forwards", "0")]).status, 204, "Max-Forwards: 0")
    check(asked(t, server, "/", home, fields=[("Upgrade", "websocket"), ("Connection", "upgrade")]).status in (101, 400, 426),
          "an Upgrade on /")
    for referer in ("http://h/demo/", "http://h:2/demo/", "http://h:1.example/demo/", "http://x/demo/", "ftp://h:1/demo/",
                    "http://h:1/demo", "http://h:1/", "http://h:1/nobody/", "http://h:1", "//h:1/demo/", "/demo/", "",
                    "http://h:1@x/demo/", "http://user@h:1/demo/", "http:/h:1/demo/", "about:blank"):
        answer = asked(t, server, "/style.css", referer)
        check(answer.status == 503, "from %r: %d" % (referer, answer.status))
    equal(asked(t, server, "/", "http://h:2/demo/").status, 426, "/ from elsewhere")


@scenario(quick=True)
def no_strays_at_a_host(t):
    """A tunnel's host has all its paths: nothing is sent back there."""
    origin, server, _ = t.trio(server_env={"PIPEGATE_DOMAIN": "example.com"})
    host = "demo.example.com"
    equal(asked(t, server, "/style.css", "http://%s/demo/" % host, host=host).status, 200, "status")
    equal(origin.requests[-1].target, "/style.css", "target")


@scenario(quick=True)
def files_are_not_waited_for(t):
    """Also while the server is young, a request for what has a dot and nobody serves is answered at once; and what
    has no slash is redirected only where it may be a tunnel."""
    server = t.server()
    for target in ("/style.css", "/favicon.ico", "/robots.txt", "/a.b/c", "/.well-known/x"):
        began = time.monotonic()
        equal(asked(t, server, target).status, 503, target)
        check(time.monotonic() - began < 5 * harness.SLOW, "it waited: " + target)
    equal(asked(t, server, "/some").get("location"), "/some/", "while its client may come")
    old = t.server(env={"PIPEGATE_OFFLINE_WAIT": "0"})
    equal(asked(t, old, "/some").status, 503, "once it may not")
    origin = t.origin()
    t.client(old, origin, "a.b")
    equal(asked(t, old, "/a.b").get("location"), "/a.b/", "a dot that is served")
    equal(asked(t, old, "/a.b/").status, 200, "a dot that is served")


BROWSER = [("Accept", "text/html,*/*;q=0.8")]


@scenario(quick=True)
def page_of_who_is_offline(t):
    """A browser that asks for an id nobody serves gets a page that names it and loads again after a GET; others get
    JSON, and no Refresh."""
    server = t.server(env={"PIPEGATE_OFFLINE_WAIT": "0"})
    for target in ("/my-app/x", "/my-app"):
        page = asked(t, server, target, fields=BROWSER)
        equal((page.status, page.get("refresh"), page.get("cache-control")), (503, "5", "no-store"), target)
        check(b'"my-app"' in page.body and b"pipegate client" in page.body, "the page: %r" % page.body)
        head = asked(t, server, target, method="HEAD", fields=BROWSER)
        equal((head.get("content-length"), head.get("refresh")), (page.get("content-length"), "5"), "to HEAD")
        equal(asked(t, server, target, method="POST", fields=BROWSER).get("refresh"), None, "after a POST")
        answer = asked(t, server, target)
        equal((answer.get("refresh"), answer.body), (None, b'{"detail":"no client is connected for this id"}'), "JSON")
    check(b"/{id}/" in asked(t, server, "/", fields=BROWSER).body, "a word for who visits /")


@scenario(quick=True)
def page_after_a_wait(t):
    """The same page comes where the wait for a client was in vain."""
    server = t.server(env={"PIPEGATE_OFFLINE_WAIT": "1"})
    page = asked(t, server, "/my-app/", fields=BROWSER)
    equal((page.status, page.get("refresh")), (503, "5"), "status")
    check(b'"my-app"' in page.body, "the page: %r" % page.body)


@scenario(quick=True)
def page_of_ones_own(t):
    """PIPEGATE_OFFLINE_PAGE is sent in place of the page; a file that cannot be had ends the program."""
    path = os.path.join(t.folder, "offline.html")
    for size in (1, 16384):
        with open(path, "wb") as f:
            f.write(b"x" * size)
        server = t.server(env={"PIPEGATE_OFFLINE_WAIT": "0", "PIPEGATE_OFFLINE_PAGE": path})
        page = asked(t, server, "/my-app/", fields=BROWSER)
        equal((page.status, page.body, page.get("refresh")), (503, b"x" * size, "5"), "the page")
        equal(asked(t, server, "/my-app/", method="HEAD", fields=BROWSER).get("content-length"), str(size), "to HEAD")
        check(b"detail" in asked(t, server, "/my-app/").body, "JSON stays")
    with open(path, "ab") as f:
        f.write(b"x")
    for name in (path, os.path.join(t.folder, "none"), t.folder):
        server = t.server(env={"PIPEGATE_OFFLINE_PAGE": name}, ready=False)
        equal(server.wait_exit(), 1, "exit")
        check("PIPEGATE_OFFLINE_PAGE" in server.err(), "what was said: %r" % server.err())


def pins(t, server, origin, target="/demo/page", host="h:1", fields=(), kind="text/html; charset=utf-8", status="200 OK"):
    """What a tunnel's page of that kind sets as cookies."""
    origin.on("/page", ("HTTP/1.1 %s\r\nContent-Type: %s\r\nContent-Length: 0\r\n\r\n" % (status, kind)).encode())
    answer = asked(t, server, target, host=host, fields=fields)
    return [v for n, v in answer.fields if n.lower() == "set-cookie"]


PIN = ("Cookie", "pipegate-pin=demo")
SAME = ("Sec-Fetch-Site", "same-origin")
HERE = ("Origin", "http://h:1")


@scenario(quick=True)
def pages_bring_the_pin(t):
    """In the path form an answer in HTML sets the pin, unless the browser has it; nothing else does."""
    origin, server, _ = t.trio(server_env={"PIPEGATE_DOMAIN": "h"})
    pin = "pipegate-pin=demo; Path=/; HttpOnly; SameSite=Lax"
    equal(pins(t, server, origin), [pin], "a page")
    equal(pins(t, server, origin, kind="TEXT/HTML", status="404 Not Found"), [pin], "one that says 404")
    equal(pins(t, server, origin, fields=[("Cookie", "a=1; pipegate-pin=other; b=2")]), [pin], "with another's pin")
    equal(pins(t, server, origin, fields=[("Cookie", "a=1; pipegate-pin=demo; b=2")]), [], "with the pin")
    equal(pins(t, server, origin, fields=[("X-Forwarded-Proto", "https")]),
          ["__Host-" + pin + "; Secure"], "behind TLS")
    equal(pins(t, server, origin, fields=[PIN, ("X-Forwarded-Proto", "https")]), ["__Host-" + pin + "; Secure"],
          "behind TLS, with the other pin")
    for kind in ("application/json", "text/htmlx", "text/plain; x=text/html", "image/png"):
        equal(pins(t, server, origin, kind=kind), [], kind)
    equal(pins(t, server, origin, "/page", host="demo.h"), [], "by host")
    origin.on("/own", b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nSet-Cookie: a=1\r\nContent-Length: 0\r\n\r\n")
    answer = asked(t, server, "/demo/own")
    equal([v for n, v in answer.fields if n.lower() == "set-cookie"], ["a=1", pin], "with a cookie of its own")


@scenario(quick=True)
def pins_behind_a_scheme(t):
    """Where PIPEGATE_SCHEME is https the pin is secure, unless a trusted peer says http."""
    pin = "pipegate-pin=demo; Path=/; HttpOnly; SameSite=Lax"
    for env, says, secure in (({}, "x", True), ({}, "http", False), ({"PIPEGATE_TRUSTED_PROXIES": ""}, "http", True)):
        origin, server, _ = t.trio(server_env=dict(env, PIPEGATE_SCHEME="https"))
        equal(pins(t, server, origin, fields=[("X-Forwarded-Proto", says)]),
              ["__Host-" + pin + "; Secure" if secure else pin], "%r, says %s" % (env, says))


@scenario(quick=True)
def strays_with_the_pin_are_sent_back(t):
    """Where no Referer tells, the pin does: if the browser says that a page of this host asks."""
    origin, server, _ = t.trio()
    t.client(server, origin, "other")
    for told in (HERE, SAME, ("Origin", "HTTPS://H:1")):
        for method in ("GET", "POST", "HEAD"):
            answer = asked(t, server, "/a?b", None, method, fields=[PIN, told], body=b"x" if method == "POST" else None)
            equal((answer.status, answer.get("location")), (307, "/demo/a?b"), "%s, %s" % (method, told))
            equal((answer.get("cache-control"), answer.get("vary")), ("no-store", "Referer, Cookie"), "fields")
    equal(asked(t, server, "/", fields=[PIN, SAME]).get("location"), "/demo/", "/")
    equal(asked(t, server, "/x", "http://h:1/other/", fields=[PIN, SAME]).get("location"), "/other/x", "a Referer tells more")
    equal(asked(t, server, "/x", "http://h:1/style.css", fields=[PIN, SAME]).get("location"), "/demo/x", "one that names no id")
    equal(asked(t, server, "/other/x", fields=[PIN, SAME]).status, 200, "another tunnel")
    equal(asked(t, server, "/healthz", fields=[PIN, SAME]).status, 200, "health")
    for fields in ([PIN], [SAME], [HERE], [PIN, ("Origin", "http://h:2")], [PIN, ("Origin", "null")],
                   [PIN, ("Origin", "http://h:1/")], [PIN, ("Sec-Fetch-Site", "none")], [PIN, ("Sec-Fetch-Site", "same-site")],
                   [PIN, ("Sec-Fetch-Site", "cross-site")], [("Cookie", "pipegate-pin=nobody"), SAME],
                   [("Cookie", "pipegate-pin="), SAME], [("Cookie", "xpipegate-pin=demo"), SAME],
                   [("Cookie", "__Host-pipegate-pin=demo"), SAME], [PIN, SAME, ("X-Forwarded-Proto", "https")]):
        equal(asked(t, server, "/style.css", fields=fields).status, 503, str(fields))
        equal(asked(t, server, "/", fields=fields).status, 426, str(fields))
    told = asked(t, server, "/x", fields=[("Cookie", "a; __Host-pipegate-pin=demo"), SAME, ("X-Forwarded-Proto", "https")])
    equal(told.get("location"), "/demo/x", "behind TLS")


@scenario(quick=True)
def upgrades_are_led_in_place(t):
    """An Upgrade with the pin, which a page of this host makes, reaches its tunnel as it stands, on / too; without
    these it is a tunnel client on /, and waits or ends anywhere else."""
    origin, server, _ = t.trio()
    upgrade = [("Upgrade", "raw"), ("Connection", "upgrade")]
    switched = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: raw\r\nConnection: upgrade\r\n\r\nhello"
    for target in ("/ws/x?y=/", "/", "/?token=abc", "/_next/hmr", "/api"):
        origin.on(target, switched)
        origin.on(target.split("?")[0], switched)
        conn = t.conn(server).send(harness.request_octets("GET", target, upgrade + [PIN, HERE], host="h:1"))
        equal((conn.head().status, conn.take(5)), (101, b"hello"), target)
        equal(origin.requests[-1].target, target, "target at the service")
        equal(origin.requests[-1].get("x-forwarded-prefix"), "/demo", "prefix")
    websocket = [("Upgrade", "websocket"), ("Connection", "upgrade"), ("Sec-WebSocket-Version", "13"),
                 ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ==")]
    seen = len(origin.requests)
    for fields in ([HERE], [PIN], [PIN, SAME], [PIN, ("Origin", "http://x")]):
        conn = t.conn(server).send(harness.request_octets("GET", "/?token=abc", websocket + fields, host="h:1"))
        equal(conn.head().status, 101, "a client's handshake with %s" % fields)
        check(b"\x03\xf0" in conn.rest(), "is closed with 1008")
    equal(len(origin.requests), seen, "requests that passed")
    conn = t.conn(server).send(harness.request_octets("GET", "/ws", upgrade + [PIN, SAME], host="h:1"))
    origin.on("/ws", switched)
    equal(conn.head().status, 101, "elsewhere Sec-Fetch-Site does too")


@scenario(quick=True)
def services_never_see_the_pin(t):
    """The server's cookies are taken out of a request, and no other; what is led in place has the service's own ones."""
    origin, server, _ = t.trio(server_env={"PIPEGATE_DOMAIN": "h"})

    def seen(cookie, target="/demo/x", host="h:1", fields=()):
        asked(t, server, target, host=host, fields=[("Cookie", c) for c in cookie] + list(fields))
        return [v for n, v in origin.requests[-1].fields if n.lower() == "cookie"]

    for cookie, want in ((["a=1; pipegate-pin=demo; b=2"], ["a=1; b=2"]), (["pipegate-pin=demo"], []),
                         (["__Host-pipegate-pin=demo;a=1"], ["a=1"]), (["a=1;b=2; ;c"], ["a=1;b=2; ;c"]),
                         (["a=pipegate-pin=1; xpipegate-pin=2; pipegate-pinned=3"],
                          ["a=pipegate-pin=1; xpipegate-pin=2; pipegate-pinned=3"]),
                         (["pipegate-pin~sid=demo:1; sid=2"], ["sid=2"]), ([""], [""]),
                         (["pipegate-pin=demo", "a=1; pipegate-pin", "b=2"], ["a=1", "b=2"])):
        equal(seen(cookie), want, str(cookie))
        equal(seen(cookie, "/x", "demo.h"), want, "by host: %s" % cookie)
    upgrade = [("Upgrade", "raw"), ("Connection", "upgrade"), HERE]
    cookie = ["pipegate-pin=demo; sid=root;pipegate-pin~sid=demo:a=\"b\"; pipegate-pin~x=other:1; pipegate-pin~y=demo; "
              "pipegate-pin~=demo:2;  z=3; __Host-pipegate-pin~q=demo:4; pipegate-pin~v=demo~x:5; pipegate-pin~w=demo2:6; "
              "pipegate-pin~pipegate-pin=demo:7; pipegate-pin~__Host-pipegate-pin=demo:8", "pipegate-pin~second=demo:9"]
    equal(seen(cookie, "/ws", fields=upgrade), ["sid=a=\"b\"; sid=root;  z=3", "second=9"], "led in place")
    equal(seen(cookie, "/demo/ws", fields=upgrade), ["sid=root;  z=3"], "under its prefix")
    many = ["pipegate-pin=demo;" + ";".join("a%d=" % i for i in range(4000))]
    equal(seen(many), [many[0].split(";", 1)[1]], "thousands of others")


FIREFOX = ("User-Agent", "Mozilla/5.0 (X11; Linux x86_64)")


@scenario(quick=True)
def cookies_reach_what_is_led_in_place(t):
    """A browser gets a copy of a cookie that a service sets for all of its paths: so its WebSockets, which leave the
    prefix, have that cookie too; and those of another tunnel do not."""
    origin, server, _ = t.trio()
    t.client(server, origin, "other")
    login = ["sid=1; Path=/; SameSite=Lax; HttpOnly", "in=2; Path=/in", "none=3", "__Host-h=4; Path=/; Secure", "bare; Path=/"]
    origin.on("/login", ("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n%s\r\n" %
                         "".join("Set-Cookie: %s\r\n" % c for c in login)).encode())
    got = [v for n, v in asked(t, server, "/demo/login", fields=[FIREFOX]).fields if n.lower() == "set-cookie"]
    copy = "pipegate-pin~sid=demo:1; SameSite=Lax; Path=/; HttpOnly"
    equal(got[5:], [copy], "copies")
    equal(got[0], "sid=1; Path=/demo/; SameSite=Lax; HttpOnly", "the cookie itself")
    got = [v for n, v in asked(t, server, "/demo/login").fields if n.lower() == "set-cookie"]
    equal(len(got), len(login), "cookies for who is no browser")
    for pin, want in (("demo", ["sid=1"]), ("other", [])):
        conn = t.conn(server).send(harness.request_octets("GET", "/ws", [
            ("Upgrade", "raw"), ("Connection", "upgrade"), HERE, ("Cookie", "pipegate-pin=%s; %s" % (pin, copy.split(";")[0]))],
            host="h:1"))
        conn.head()
        equal([v for n, v in origin.requests[-1].fields if n.lower() == "cookie"], want, "as the pin says " + pin)


@scenario(quick=True)
def nothing_back_with_no_rewrite(t):
    """With --no-rewrite a tunnel gets no pin and nothing back; the page for an id that nobody serves says that a link
    left it, at once."""
    origin, server = t.origin(), t.server()
    t.client(server, origin, args=("--no-rewrite",))
    equal(pins(t, server, origin), [], "a page")
    equal(asked(t, server, "/", "http://h:1/demo/").status, 426, "/ from a page")
    upgrade = [("Upgrade", "raw"), ("Connection", "upgrade"), PIN, HERE]
    equal(asked(t, server, "/", fields=upgrade).status, 426, "an Upgrade")
    for target in ("/login", "/login/x"):
        answer = asked(t, server, target, "http://h:1/demo/page", fields=[("Accept", "text/html")])
        equal(answer.status, 503, target)
        for words in (b"login", b'"demo"', b"absolute link", b"--no-rewrite"):
            check(words in answer.body, "the page has %s: %s" % (words, answer.body))
    equal(asked(t, server, "/style.css", fields=[PIN, SAME]).status, 503, "with a pin")


@scenario(quick=True)
def ids_that_apps_use(t):
    """`pipegate token` warns of an id that apps use as the first segment of their paths, and mints it all the same."""
    for sub, warned in (("api", True), ("_next", True), ("static", True), ("apis", False), ("my-app", False)):
        run = t.run("token", "-c", sub)
        equal(run.status, 0, "exit")
        equal("choose another id" in run.err(), warned, sub)
        check("Connection-id: %s\n" % sub in run.out(), "the token")


@scenario(quick=True)
def a_referer_tells_more_than_the_pin(t):
    """A Referer that names an id decides alone: what a page of a tunnel asks for never goes to another, though the pin is
    that one's."""
    origin, server = t.origin(), t.server()
    t.client(server, origin, "other")
    t.client(server, origin, "asis", args=("--no-rewrite",))
    fields = [("Cookie", "pipegate-pin=other"), SAME, HERE]
    equal(asked(t, server, "/login", "http://h:1/asis/", "POST", fields=fields, body=b"secret").status, 503, "of asis")
    equal(asked(t, server, "/", "http://h:1/asis/", fields=fields).status, 426, "/ of asis")
    equal(asked(t, server, "/login", "http://h:1/gone/", "POST", fields=fields, body=b"secret").status, 503, "of who is gone")
    waits = t.conn(server).send(harness.request_octets("POST", "/demo/login", fields + [("Referer", "http://h:1/demo/form")],
                                                       b"secret", host="h:1"))
    server.wait_err("id=other")
    t.client(server, origin)
    equal(waits.answer("POST").status, 200, "of a page whose client comes back")
    equal(origin.requests[-1].target, "/login", "its target")


@scenario(quick=True)
def which_answers_bring_the_pin(t):
    """The pin comes with what a person looks at; not with an image that turns out to be a page, nor an interim answer;
    and as the word of a peer about https that is believed, of several the last."""
    origin, server, _ = t.trio()
    for dest, want in (("document", 1), ("iframe", 1), ("image", 0), ("empty", 0), ("script", 0)):
        equal(len(pins(t, server, origin, fields=[("Sec-Fetch-Dest", dest)])), want, dest)
    equal(pins(t, server, origin, fields=[("Cookie", "a=1"), ("Cookie", "b=2; pipegate-pin=demo")]), [], "in another line")
    proto = [("X-Forwarded-Proto", v) for v in ("http", "https")]
    check("Secure" in pins(t, server, origin, fields=proto)[0], "https, said last")
    check("Secure" not in pins(t, server, origin, fields=proto[::-1])[0], "http, said last")
    origin.on("/early", b"HTTP/1.1 103 Early Hints\r\nContent-Type: text/html\r\n\r\n"
              b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
    conn = t.conn(server).send(harness.request_octets("GET", "/demo/early"))
    for status in (103, 200):
        head = conn.head()
        equal((head.status, head.all("set-cookie")), (status, []), "an interim answer and its final one")
    wary = t.server(env={"PIPEGATE_TRUSTED_PROXIES": ""})
    t.client(wary, origin)
    check("Secure" not in pins(t, wary, origin, fields=proto)[0], "from a stranger")


@scenario(quick=True)
def the_newest_client_says(t):
    """Whether a tunnel wants back what leaves it is said by its newest client."""
    origin, server = t.origin(), t.server()
    for args, want in (((), 307), (("--no-rewrite",), 503), ((), 307)):
        t.client(server, origin, args=args)
        equal(asked(t, server, "/style.css", "http://h:1/demo/").status, want, str(args))


@scenario(quick=True)
def only_upgrades_are_led_in_place(t):
    """What has Upgrade and switches nothing is a stray like any other: h2c, one without Connection, one with a body."""
    origin, server, _ = t.trio()
    for upgrade in ([("Upgrade", "h2c"), ("Connection", "upgrade, HTTP2-Settings"), ("HTTP2-Settings", "")],
                    [("Upgrade", "raw")]):
        for told in ([("Referer", "http://h:1/demo/")], [PIN, HERE], [PIN, SAME]):
            answer = asked(t, server, "/x", fields=upgrade + told)
            equal((answer.status, answer.get("location")), (307, "/demo/x"), str(upgrade + told))
    answer = asked(t, server, "/x", method="POST", fields=[("Upgrade", "raw"), ("Connection", "upgrade"), PIN, HERE], body=b"x")
    equal(answer.status, 307, "with a body")
    equal(origin.requests, [], "what passed")


@scenario(quick=True)
def services_never_set_the_pin(t):
    """A service that sets a cookie of the server's own is not heard; its others pass."""
    origin, server, _ = t.trio()
    cookies = ["a=1", "pipegate-pin=other; Path=/", "__Host-pipegate-pin=other; Path=/; Secure", "pipegate-pin~sid=demo:2; Path=/",
               " pipegate-pin =3", "xpipegate-pin=4", "pipegate-pinned=5"]
    origin.on("/set", ("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n%s\r\n" %
                       "".join("Set-Cookie: %s\r\n" % c for c in cookies)).encode())
    equal(asked(t, server, "/demo/set").all("set-cookie"), ["a=1", "xpipegate-pin=4", "pipegate-pinned=5"], "cookies")


@scenario(quick=True)
def copies_cost_no_answer(t):
    """An answer full of large cookies comes whole for a browser too: of their copies there are as many as find room."""
    origin, server, _ = t.trio()
    cookies = ["c%d=%s; Path=/" % (i, "v" * 4000) for i in range(7)]
    origin.on("/set", ("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n%s\r\n" %
                       "".join("Set-Cookie: %s\r\n" % c for c in cookies)).encode())
    heard = asked(t, server, "/demo/set", fields=[FIREFOX]).all("set-cookie")
    equal(heard[:7], [c + "demo/" for c in cookies], "the cookies")
    equal([c.split("=")[0] for c in heard[7:]], ["pipegate-pin~c0", "pipegate-pin~c1"], "the copies")
    knows = "sid=1; Path=/demo/"
    origin.on("/knows", ("HTTP/1.1 200 OK\r\nContent-Length: 0\r\nSet-Cookie: %s\r\n\r\n" % knows).encode())
    heard = asked(t, server, "/demo/knows", fields=[FIREFOX]).all("set-cookie")
    equal(heard, [knows, "pipegate-pin~sid=demo:1; Path=/; HttpOnly"], "of an app that knows its prefix")
