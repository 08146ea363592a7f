"""The v1 wire with Python's own libraries at the other end: the two peers
beside this file, or the package in the folder PIPEGATE_REFERENCE."""
import os
import re
import signal
import sys
from urllib.parse import parse_qs

import harness
from harness import scenario, equal, check, ask, pattern, token

REFERENCE = os.environ.get("PIPEGATE_REFERENCE")
CLIENT = ("py:websockets", "py:httpx")
SERVER = ("py:fastapi", "py:uvicorn", "py:jwt", "py:websockets")
METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "HEAD")


def peer(t, kind, *args, older=None):
    env = {"PYTHONUNBUFFERED": "1", "PIPEGATE_JWT_ALGORITHMS": '["HS256"]'}
    if older:
        env["PEER_OLDER"] = older
    if REFERENCE and not older:
        env["PYTHONPATH"] = REFERENCE
        argv = [sys.executable, "-m", "pipegate.cli", kind]
    else:
        argv = [sys.executable, os.path.join(harness.ROOT, "tests", "peer_v1_%s.py" % kind), kind]
    return t.spawn(argv + list(args), env, "python-" + kind)


def python_client(t, server, origin, bearer=None):
    client = peer(t, "client", origin.url, server.url.split("?")[0] + "?token=" + (bearer or token()))
    client.wait_out("Connected to server", 20)
    return client


def python_server(t, port=0, older=None):
    server = peer(t, "server", "--host", "127.0.0.1", "--port", str(port), older=older)
    found = re.compile(r"Uvicorn running on http://127\.0\.0\.1:(\d+)")
    t.wait(lambda: found.search(server.err() + server.out()), "the port of uvicorn", 20)
    server.port = int(found.search(server.err() + server.out()).group(1))
    server.url = "ws://127.0.0.1:%d/?token=%s" % (server.port, token())
    return server


def our_client(t, server, origin, ready=True, url=None):
    """It is given its token in the URL, where alone the reference looks."""
    client = t.client(url or server.url, origin, ready=False, env={"PIPEGATE_TOKEN": None})
    if ready:
        client.wait_out("http://127.0.0.1:%d/demo/" % server.port)
    return client


def with_python_client(t):
    origin, server = t.origin(), t.server()
    return origin, server, python_client(t, server, origin)


def with_python_server(t):
    origin, server = t.origin(), python_server(t)
    return origin, server, our_client(t, server, origin)


def fifty_at_once(t, port):
    conns = [ask(t, port, "/demo/raw", "POST", body=pattern(2000 + i, i)) for i in range(50)]
    for i, conn in enumerate(conns):
        check(conn.answer(seconds=30).body == pattern(2000 + i, i), "request %d" % i)


def all_methods(t, port, origin):
    for method in METHODS:
        answer = t.conn(port).request(method, "/demo/echo", body=b"\0\xff" if method == "POST" else None)
        equal(answer.status, 200, method)
        equal(origin.requests[-1].method, method, "method at the origin")


def queries(t, port, origin):
    for query in ("a=1&a=2&b=", "x=%20%26%3D%2B&y=a+b", "%C3%A4=%E2%82%AC", "a=1&b=2&a=3"):
        equal(t.get(port, "/demo/echo?" + query).status, 200, query)
        # httpx keeps the order of equal keys alone.
        equal(parse_qs(origin.requests[-1].query, keep_blank_values=True),
              parse_qs(query, keep_blank_values=True), "query")


def answers(t, port, origin):
    answer = t.get(port, "/demo/status/404")
    equal((answer.status, answer.body, answer.get("x-kind")), (404, b"as asked", "status"), "404")
    equal(t.get(port, "/demo/204").status, 204, "204")
    equal(t.get(port, "/demo/304").status, 304, "304")
    equal(t.conn(port).request("HEAD", "/demo/head").get("content-length"), "4711", "HEAD")
    check(t.get(port, "/demo/chunked/40000").body == pattern(40000), "chunked")


def large(t, port, request=780000, answer=12500000):
    body = pattern(request)
    got = t.conn(port).request("POST", "/demo/raw", body=body, seconds=60)
    check(got.status == 200 and got.body == body, "request of %d: %d" % (request, got.status))
    got = t.get(port, "/demo/size/%d" % answer, seconds=60)
    check(got.status == 200 and got.body == pattern(answer), "answer of %d: %d" % (answer, got.status))


@scenario(needs=CLIENT)
def client_everyday(t):
    """A Python client serves our callers: methods, queries, bodies, statuses, 50 at once."""
    origin, server, _ = with_python_client(t)
    fifty_at_once(t, server)
    all_methods(t, server, origin)
    queries(t, server, origin)
    answers(t, server, origin)


@scenario(needs=CLIENT)
def client_limits(t):
    """Bodies up to the limits pass; one past its limit is 413, and the link lives."""
    origin, server, client = with_python_client(t)
    large(t, server)
    for n in (787000, 900000, 10485760):
        conn = t.conn(server).send("POST /demo/raw HTTP/1.1\r\nHost: h\r\nContent-Length: %d\r\n\r\n" % n)
        equal(conn.answer().status, 413, "%d octets" % n)
    equal(t.get(server, "/demo/echo").status, 200, "afterwards")
    check(client.running(), "the link was closed")


@scenario(needs=CLIENT)
def client_keeps_no_cookies(t):
    """Its one cookie jar does not carry one caller's cookie to another."""
    origin, server, _ = with_python_client(t)
    t.get(server, "/demo/cookies")
    t.get(server, "/demo/echo")
    equal([v for v in origin.requests[-1].all("cookie") if v], [], "cookies at the origin")


@scenario(needs=CLIENT)
def client_meets_gzip(t):
    """An origin that compresses whatever it is asked gives a whole and readable answer."""
    import gzip
    origin, server, _ = with_python_client(t)
    body = b"hello " * 1000
    packed = gzip.compress(body)
    origin.on("/gz", lambda request, conn, origin: harness.reply(conn, 200, [("Content-Encoding", "gzip")], packed))
    answer = t.get(server, "/demo/gz", fields=[("Accept-Encoding", "gzip")])
    got = gzip.decompress(answer.body) if answer.get("content-encoding") == "gzip" else answer.body
    equal(got, body, "body")
    equal(origin.requests[-1].get("accept-encoding"), "identity", "accept-encoding at the origin")


@scenario(needs=CLIENT)
def client_killed(t):
    """A Python client that is killed leaves 502; the next one serves."""
    origin, server, client = with_python_client(t)
    conn = ask(t, server, "/demo/never")
    origin.wait_seen("/never")
    client.kill()
    equal(conn.answer().status, 502, "in flight")
    waiting = ask(t, server, "/demo/echo")
    python_client(t, server, origin)
    equal(waiting.answer(seconds=20).status, 200, "after the restart")


@scenario(needs=CLIENT)
def client_and_a_bad_token(t):
    """A bad token ends a Python client's link with 1008."""
    if REFERENCE:
        raise harness.Skipped("the reference does not end when its link is closed")
    origin, server = t.origin(), t.server()
    client = peer(t, "client", origin.url, server.url + "?token=" + token(exp=1))
    equal(client.wait_exit(20), 3, "exit")
    harness.contains(client.out(), "1008", "output")


@scenario(needs=CLIENT)
def server_killed_under_a_client(t):
    """Our server, killed and started again on its port, takes a new Python client at once."""
    origin, server, client = with_python_client(t)
    server.kill()
    client.kill()
    again = t.server(port=server.port)
    python_client(t, again, origin)
    equal(t.get(again, "/demo/echo").status, 200, "status")


@scenario(needs=SERVER)
def server_everyday(t):
    """Our client serves a Python server's callers: methods, queries, bodies, statuses, 50 at once."""
    origin, server, _ = with_python_server(t)
    fifty_at_once(t, server)
    all_methods(t, server, origin)
    queries(t, server, origin)
    answers(t, server, origin)


@scenario(needs=SERVER)
def server_limits(t):
    """Bodies up to the limits pass; an answer past its limit is 502, and the link lives."""
    origin, server, client = with_python_server(t)
    large(t, server)
    body = pattern(5000000)
    check(t.conn(server).request("POST", "/demo/raw", body=body, seconds=60).body == body, "5 MB")
    for path in ("/demo/size/12600000", "/demo/chunked/12600000", "/demo/size/20000000"):
        equal(t.get(server, path, seconds=60).status, 502, path)
    equal(t.get(server, "/demo/echo").status, 200, "afterwards")
    equal(client.count("http://127.0.0.1:%d/demo/" % server.port), 1, "connections made")


@scenario(needs=SERVER)
def server_gets_two_cookies(t):
    """Two Set-Cookie reach the Python server's caller as two."""
    _, server, _ = with_python_server(t)
    equal(sorted(t.get(server, "/demo/cookies").all("set-cookie")), ["a=1; Path=/", "b=2; Path=/"], "cookies")


@scenario(needs=SERVER)
def server_given_a_token_of_the_environment(t):
    """PIPEGATE_TOKEN works with a Python server too, which looks in the URL alone."""
    origin, server = t.origin(), python_server(t)
    client = t.client("ws://127.0.0.1:%d/" % server.port, origin, ready=False, env={"PIPEGATE_TOKEN": token()})
    client.wait_out("http://127.0.0.1:%d/demo/" % server.port)
    equal(t.get(server, "/demo/204").status, 204, "status")


@scenario(needs=SERVER)
def server_restarted(t):
    """Our client finds a Python server again that was killed."""
    origin, server, client = with_python_server(t)
    server.kill()
    again = python_server(t, server.port)
    equal(ask(t, again, "/demo/echo").answer(seconds=30).status, 200, "status")
    check(client.running(), "the client ended")


@scenario(needs=SERVER)
def client_restarted_under_a_server(t):
    """Our client, killed and started again, serves on."""
    origin, server, client = with_python_server(t)
    client.kill()
    our_client(t, server, origin)
    equal(t.get(server, "/demo/echo", seconds=20).status, 200, "status")


@scenario(needs=SERVER)
def refused_by_a_server(t):
    """A token that the Python server refuses (403) ends our client with exit 1."""
    origin, server = t.origin(), python_server(t)
    url = server.url.split("=")[0] + "=" + token(exp=1)
    client = our_client(t, server, origin, ready=False, url=url)
    equal(client.wait_exit(), 1, "exit")
    harness.contains(client.err(), "refused", "stderr")


def bare(t):
    return t.run("token", "--bare", "-c", "demo").out().split()[-1]


@scenario(needs=CLIENT)
def client_with_an_older_token(t):
    """A Python client with a token of sub and exp alone serves our callers, and is closed when its id is revoked."""
    path = os.path.join(t.folder, "revoked")
    open(path, "w").close()
    origin, server = t.origin(), t.server(env={"PIPEGATE_REVOKED": path})
    client = python_client(t, server, origin, bare(t))
    fifty_at_once(t, server)
    answers(t, server, origin)
    with open(path, "w") as f:
        f.write("demo\n")
    server.send_signal(signal.SIGHUP)
    client.wait_out("token has been revoked", 20)
    client.kill()


@scenario(needs=SERVER)
def server_of_older_tokens(t):
    """Our client serves an older Python server, which wants of its callers a token of sub and exp alone: --bare makes
    it, and one of all claims is refused."""
    origin, server, bearer = t.origin(), python_server(t, older="callers"), bare(t)
    url = "ws://127.0.0.1:%d/demo?token=%s" % (server.port, bearer)
    client = our_client(t, server, origin, ready=False, url=url)
    client.wait_out("->", 20)
    for text, status in ((bearer, 200), (token(), 401), ("x", 401),
                         (harness.token_of({"sub": "other", "exp": 1 << 40}), 403)):
        answer = t.get(server, "/demo/echo", fields=[("Authorization", "Bearer " + text)])
        equal(answer.status, status, "status with %s" % text)
    equal(origin.requests[-1].target, "/echo", "target")


def refused_saying_bare(t, origin, url):
    client = our_client(t, None, origin, ready=False, url=url)
    equal(client.wait_exit(), 1, "exit")
    harness.contains(client.err(), "--bare", "stderr")


@scenario(needs=SERVER)
def servers_that_older_clients_dial(t):
    """Two older Python servers want of the client a token of sub and exp alone, at /ID or at /: with one of --bare it
    serves, with any other, or elsewhere, it ends and names --bare."""
    origin, bearer = t.origin(), bare(t)
    for older, path, elsewhere in (("path", "demo", "other"), ("root", "", "demo")):
        server = python_server(t, older=older)
        base = "ws://127.0.0.1:%d/" % server.port
        refused_saying_bare(t, origin, base + path + "?token=" + token())
        refused_saying_bare(t, origin, base + elsewhere + "?token=" + bearer)
        client = our_client(t, server, origin, url=base + path + "?token=" + bearer)
        fifty_at_once(t, server)
        server.kill()
        again = python_server(t, server.port, older)
        equal(ask(t, again, "/demo/204").answer(seconds=30).status, 204, "after a restart, " + older)
        check(client.running(), "the client ended")
        again.kill()


@scenario(needs=CLIENT)
def older_client_at_its_id(t):
    """A Python client that dials /ID?token=, as older ones do, serves our callers."""
    origin, server = t.origin(), t.server()
    client = peer(t, "client", origin.url, server.url + "demo?token=" + bare(t))
    client.wait_out("Connected to server", 20)
    fifty_at_once(t, server)
    answers(t, server, origin)


@scenario(needs=SERVER)
def server_of_a_lock(t):
    """A Python server passes the client's 401 and the caller's password; --allow is refused there."""
    origin, server = t.origin(), python_server(t)
    key = ("Authorization", "Basic bWU6c2VjcmV0")
    client = t.client(server.url, origin, ready=False, env={"PIPEGATE_TOKEN": None}, args=("--auth", "me:secret"))
    client.wait_out("->")
    answer = t.get(server, "/demo/x")
    equal((answer.status, answer.get("www-authenticate")), (401, 'Basic realm="demo", charset="UTF-8"'), "without")
    equal(t.get(server, "/demo/x", fields=[key]).status, 200, "with it")
    equal(origin.requests[-1].all("authorization"), [], "seen")
    refused = t.client(server.url, origin, ready=False, env={"PIPEGATE_TOKEN": None}, args=("--allow", "127.0.0.1"))
    equal(refused.wait_exit(), 1, "exit with --allow")


@scenario(needs=CLIENT + SERVER)
def the_peers_agree(t):
    """The two stand-ins serve each other, so that a failure above is not theirs."""
    origin, server = t.origin(), python_server(t)
    python_client(t, server, origin)
    fifty_at_once(t, server)
    all_methods(t, server, origin)
    large(t, server)
