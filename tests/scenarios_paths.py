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
