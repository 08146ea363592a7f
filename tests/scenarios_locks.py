"""Locks on the door: --auth and --allow."""
import base64
import json
import os
import subprocess
import time

import harness
from harness import scenario, equal, check, contains, pattern, request_octets

KEY = "me:s3cret:\u00e4!"
DOMAIN = "tunnel.example.com"
UPGRADE = [("Upgrade", "raw"), ("Connection", "upgrade")]


def basic(key, scheme="Basic"):
    return ("Authorization", "%s %s" % (scheme, base64.b64encode(key.encode()).decode()))


def locked(t, *args, server=None, env=None, ready=True, sub="demo"):
    """A service, and a server with a client that has args."""
    origin, server = t.origin(), server or t.server()
    return origin, server, t.client(server, origin, sub, args=args, env=env, ready=ready)


def with_password(t):
    return locked(t, "--auth", KEY)


def asked(t, server, fields=(), method="GET", body=None, target="/demo/x"):
    return t.conn(server).send(request_octets(method, target, fields, body)).answer(method)


# ------------------------------------------------------------ a password


@scenario(quick=True)
def password_opens(t):
    """Who knows the password comes in, with any method, and the service sees nothing of it; who does not gets 401,
    and the service is not asked."""
    origin, server, _ = with_password(t)
    for method in ("GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PROPFIND"):
        answer = asked(t, server, method=method)
        equal((answer.status, answer.all("www-authenticate"), answer.all("cache-control")),
              (401, ['Basic realm="demo", charset="UTF-8"'], ["no-store"]), method)
        equal(origin.requests, [], "asked of the service")
        fields = [("X-A", "1"), basic(KEY), ("x-a", "2"), ("Proxy-Authorization", "Basic eDp5")]
        equal(asked(t, server, fields, method).status, 200, method + " with the password")
        seen = origin.requests.pop()
        equal((seen.all("authorization"), seen.all("x-a"), seen.all("host")), ([], ["1", "2"], ["h"]), "seen")
        equal([n for n, _ in seen.fields if n.lower() == "x-a"], ["X-A", "x-a"], "names")


@scenario(quick=True)
def words_of_a_refusal(t):
    """A refusal says in words what is wanted: in a page for browsers, in JSON for others; none to HEAD."""
    origin, server, _ = with_password(t)
    contains(asked(t, server).json()["detail"], "password", "JSON")
    page = asked(t, server, [("Accept", "text/html")])
    contains(page.get("content-type"), "text/html", "type")
    contains(page.body, b"password", "page")
    head = asked(t, server, method="HEAD")
    equal((head.body, head.get("content-length")), (b"", asked(t, server).get("content-length")), "to HEAD")
    equal(origin.requests, [], "asked of the service")


@scenario(quick=True)
def keys_that_do_not_fit(t):
    """Whatever is not the password, once, in its one form, is 401."""
    origin, server, _ = with_password(t)
    right = basic(KEY)[1].split()[1]
    wrong = [basic(k)[1] for k in (KEY[:-1], KEY + "x", KEY + "\0", KEY.title(), KEY[3:], KEY[2:], "me:", "me", "", ":")]
    wrong += ["", "Basic", "Basic ", right, "Basic" + right, "Bearer " + right, "Digest " + right, "Basic, " + right,
              "Basic =" + right, "Basic " + right + "=", "Basic " + right[:-1], "Basic " + right + " x", "Basic a b",
              "Basic " + right.rstrip("="), "Basic !!!!", "Basic %", "Basic " + "A" * 8000, "Basic \t" + right,
              'Basic "' + right + '"', "Basic " + KEY.encode().decode("latin-1"), "Basic " + right.lower()]
    for value in wrong:
        equal(asked(t, server, [("Authorization", value)]).status, 401, repr(value[:60]))
    equal(asked(t, server, [basic(KEY), basic(KEY)]).status, 401, "twice")
    equal(asked(t, server, [basic(KEY), basic("x:y")]).status, 401, "with another")
    equal(asked(t, server, [("X-Authorization", basic(KEY)[1])]).status, 401, "another name")
    equal(origin.requests, [], "asked of the service")
    for scheme in ("Basic", "basic", "BASIC", "Basic  "):
        equal(asked(t, server, [basic(KEY, scheme)]).status, 200, scheme)
    equal(asked(t, server, [("AUTHORIZATION", basic(KEY)[1])]).status, 200, "in capitals")


@scenario(quick=True)
def upgrades_are_locked(t):
    """An Upgrade needs the password; refused, the caller's connection is good for more."""
    origin, server, _ = with_password(t)
    origin.on("/up", b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: raw\r\nConnection: upgrade\r\n\r\nhello")
    conn = t.conn(server).send(request_octets("GET", "/demo/up", UPGRADE))
    equal(conn.answer().status, 401, "without")
    equal(origin.requests, [], "asked of the service")
    equal(conn.get("/demo/x", [basic(KEY)]).status, 200, "on the same connection")
    conn.send(request_octets("GET", "/demo/up", UPGRADE + [basic(KEY)]))
    equal((conn.head().status, conn.take(5)), (101, b"hello"), "with it")
    equal(origin.requests[-1].all("authorization"), [], "seen")


@scenario(quick=True)
def bodies_of_refused_requests(t):
    """A body is not taken for the next request, whether it came or not: the connection ends, or goes on behind it."""
    origin, server, _ = with_password(t)
    body = pattern(1 << 20)
    conn = t.conn(server).send_quietly(request_octets("POST", "/demo/raw", (), body))
    equal(conn.answer("POST").status, 401, "1 MiB")
    conn = t.conn(server)
    for n in (1, 100, 5000):
        equal(conn.request("POST", "/demo/raw", (), pattern(n)).status, 401, "%d octets" % n)
        answer = conn.request("POST", "/demo/raw", [basic(KEY)], pattern(n))
        check(answer.status == 200 and answer.body == pattern(n), "%d octets with the password" % n)
    conn = t.conn(server)
    conn.send(request_octets("POST", "/demo/raw", [("Transfer-Encoding", "chunked")]) + b"5\r\nhello\r\n0\r\nX-T: 1\r\n\r\n")
    equal(conn.answer("POST").status, 401, "in chunks")
    conn = t.conn(server).send(request_octets("POST", "/demo/raw", [("Content-Length", "5"), ("Expect", "100-continue")]))
    equal(conn.answer("POST").status, 401, "an expectation")
    equal(len(origin.requests), 3, "asked of the service")
    answer = t.conn(server).request("POST", "/demo/raw", [basic(KEY)], body)
    check(answer.status == 200 and answer.body == body, "1 MiB with the password")


@scenario(quick=True)
def pipelined_behind_refusals(t):
    """Requests on one connection are judged one by one, and answered in order."""
    origin, server, _ = with_password(t)
    conn = t.conn(server)
    conn.send(b"".join(request_octets("GET", "/demo/%d" % i, [basic(KEY)] if i % 3 == 0 else []) for i in range(12)))
    equal([conn.answer().status for _ in range(12)], [200, 401, 401] * 4, "statuses")
    equal([r.path for r in origin.requests], ["/0", "/3", "/6", "/9"], "asked of the service")


@scenario(quick=True)
def lock_before_the_rest(t):
    """Nobody without the password learns what is behind the door: no base path, no service that is down."""
    server = t.server()
    client = t.client(server, "http://127.0.0.1:9/base", args=("--auth", KEY), ready=False)
    client.wait_out("->")
    equal(asked(t, server, target="/demo/../..").status, 401, "a path that climbs")
    equal(asked(t, server).status, 401, "a service that is down")
    equal(asked(t, server, [basic(KEY)], target="/demo/../..").status, 400, "with the password")
    equal(asked(t, server, [basic(KEY)]).status, 504, "the same")


@scenario(quick=True)
def lock_and_guise(t):
    """With --host-header the service sees nothing of the password either."""
    origin, server, _ = locked(t, "--auth", KEY, "--host-header", "rewrite")
    equal(asked(t, server, [basic(KEY), ("Origin", "http://h")]).status, 200, "status")
    seen = origin.requests[-1]
    equal((seen.all("authorization"), seen.all("origin"), seen.all("host")),
          ([], [origin.url], [origin.url.split("//")[1]]), "seen")


@scenario(needs=("curl",))
def curl_knows_how(t):
    """curl -u comes in, also with --anyauth, and with a large upload that is refused first."""
    origin, server, _ = with_password(t)
    big = os.path.join(t.folder, "big")
    with open(big, "wb") as f:
        f.write(pattern(1 << 20))

    def curl(*args):
        return subprocess.run(["curl", "-s", "-o", "/dev/null", "-w", "%{http_code}", "-m", "20"] + list(args) +
                              ["http://127.0.0.1:%d/demo/x" % server.port], stdout=subprocess.PIPE, text=True).stdout

    for args, status in (((), "401"), (("-u", KEY), "200"), (("-u", "me:x"), "401"), (("-u", KEY, "--anyauth"), "200"),
                         (("--data-binary", "@" + big), "401"), (("-u", KEY, "--data-binary", "@" + big), "200"),
                         (("-u", KEY, "--anyauth", "-T", big), "200"), (("-I", "-u", KEY), "200")):
        equal(curl(*args), status, " ".join(args))


# --------------------------------------------------------- addresses


@scenario(quick=True)
def addresses_are_let_in(t):
    """--allow lets in who comes from there, as our server says, and 403 goes to all others."""
    origin, server, _ = locked(t, "--allow", "192.0.2.7, 10.1.0.0/16,2001:db8::/32")
    for address, status in (("192.0.2.7", 200), ("192.0.2.8", 403), ("10.1.255.255", 200), ("10.2.0.0", 403),
                            ("2001:db8:1::1", 200), ("2001:db9::1", 403), ("::ffff:10.1.2.3", 200), ("", 403),
                            ("10.1.2.3, 192.0.2.9", 403), ("192.0.2.9, 10.1.2.3", 200), ("10.1.2.3:99", 200)):
        origin.requests.clear()
        answer = asked(t, server, [("X-Forwarded-For", address)])
        equal(answer.status, status, address)
        equal(len(origin.requests), int(status == 200), "asked of the service: " + address)
    contains(asked(t, server).json()["detail"], "address", "words")
    for name in ("X-Real-IP", "x-real-ip", "X-Real_IP", "X_Real_IP", "True-Client-IP"):
        equal(asked(t, server, [(name, "192.0.2.7")]).status, 403, "claimed in " + name)
    equal(asked(t, server, method="POST", body=pattern(1 << 18)).status, 403, "with a body")


@scenario(quick=True)
def proxy_is_not_its_callers(t):
    """Whom a proxy does not name is not taken for the proxy."""
    origin, server, _ = locked(t, "--allow", "127.0.0.1")
    for address in ("unknown", "192.0.2.7, _hidden", "fe80::1%lo", "unix:"):
        equal(asked(t, server, [("X-Forwarded-For", address)]).status, 403, address)
    equal(origin.requests, [], "asked of the service")
    equal([asked(t, server, f).status for f in ((), [("X-Forwarded-For", "127.0.0.1")])], [200, 200], "from here")


@scenario(quick=True)
def callers_without_an_address(t):
    """Who comes by a socket in the file system has no address, and is not let in."""
    path = os.path.join(t.folder, "s")
    origin, server = t.origin(), t.server("--host", "unix:" + path, ready=False)
    server.wait_out("\n")
    client = t.client("ws://h/", origin, ready=False, args=(
        "--allow", "0.0.0.0/0,::/0", "--connect", harness.sys.executable + " -c \"%s\"" % (
            "import socket,sys,threading,os\n"
            "s=socket.socket(socket.AF_UNIX);s.connect('%s')\n"
            "def up():\n"
            "  while True:\n"
            "    b=os.read(0,65536)\n"
            "    if not b: os._exit(0)\n"
            "    s.sendall(b)\n"
            "threading.Thread(target=up,daemon=True).start()\n"
            "while True:\n"
            "  b=s.recv(65536)\n"
            "  if not b: break\n"
            "  os.write(1,b)\n") % path))
    client.wait_out("->")
    sock = harness.socket.socket(harness.socket.AF_UNIX)
    sock.connect(path)
    conn = harness.Conn(sock)
    t.defer(conn.close)
    equal(conn.get("/demo/x").status, 403, "without an address")
    equal(conn.get("/demo/x", [("X-Real-IP", "192.0.2.7")]).status, 403, "with a claim")
    equal(conn.get("/demo/x", [("X-Forwarded-For", "192.0.2.7")]).status, 200, "as its proxy says")
    equal(len(origin.requests), 1, "asked of the service")


@scenario(quick=True)
def both_locks(t):
    """An outsider is not asked for a password."""
    origin, server, _ = locked(t, "--allow", "192.0.2.7", "--auth", KEY)
    inside = ("X-Forwarded-For", "192.0.2.7")
    equal([asked(t, server, f).status for f in ((), (basic(KEY),), (inside,), (inside, basic(KEY)))],
          [403, 403, 401, 200], "statuses")
    equal(len(origin.requests), 1, "asked of the service")


# ------------------------------------------------------------ several clients


def lock_said(t, *args, sub="demo"):
    """What a client with args says of its lock."""
    server = t.tunnel_server()
    client = t.client(server, "3000", sub, args=args, ready=False)
    said = json.loads(server.accept().handshake.get("x-pipegate")).get("locked")
    client.kill()
    return said


@scenario(quick=True)
def digests_of_locks(t):
    """The same lock of the same id has one digest, in whatever order; another one has another; none has none."""
    equal(lock_said(t), None, "no lock")
    auth, allow = ("--auth", KEY), ("--allow", "10.0.0.0/8,192.0.2.7")
    equal(len({lock_said(t, *auth), lock_said(t, *auth)}), 1, "the same password")
    equal(len({lock_said(t, "--allow", text) for text in (
        "10.0.0.0/8,192.0.2.7", "192.0.2.7/32, 10.0.0.0/8", "10.9.9.9/8,192.0.2.7")}), 1, "the same networks")
    said = [lock_said(t, *a) for a in (auth, allow, auth + allow, ("--auth", "me:other"), ("--allow", "10.0.0.0/9"))]
    said.append(lock_said(t, *auth, sub="other"))
    equal(len(set(said)), 6, "different ones: %s" % said)
    for text in said:
        check(text and len(text) <= 8, "too short to try passwords on: %r" % text)


@scenario(quick=True)
def clients_of_one_lock(t):
    """A client of an id that has another lock than the one there is refused, with or without one; with the same it
    joins; when the others are gone, the next one decides."""
    origin, server, first = locked(t, "--auth", KEY)
    for args in ((), ("--auth", "me:other"), ("--auth", KEY, "--allow", "127.0.0.1")):
        client = t.client(server, origin, args=args, ready=False)
        equal(client.wait_exit(), 1, "exit with %s" % (args,))
        contains(client.err(), "another lock", "what was said")
    same = t.client(server, origin, args=("--auth", KEY), ready=False)
    server.wait_err("clients=2")
    first.terminate()
    equal(t.client(server, origin, ready=False).wait_exit(), 1, "while one is left")
    equal(asked(t, server).status, 401, "the lock that is left")
    same.terminate()
    t.client(server, origin)
    equal(asked(t, server).status, 200, "the next one's")
    late = t.client(server, origin, args=("--auth", KEY), ready=False)
    equal(late.wait_exit(), 1, "a lock beside none")
    t.client(server, origin, "other", args=("--auth", KEY))


@scenario(quick=True)
def clients_of_v1_have_no_lock(t):
    """A client of the wire v1 may not serve beside one that has a lock."""
    origin, server, _ = with_password(t)
    peer = t.tunnel(server, v2=False)
    contains(peer.wait_close(1008).reason, "another lock", "reason")
    equal(asked(t, server).status, 401, "the lock")


# ------------------------------------------------------------ other wires


@scenario(quick=True)
def lock_over_v1(t):
    """Over v1 a password works as well; --allow does not, since callers write X-Real-IP there: the client ends."""
    origin, server = t.origin(), t.tunnel_server()
    t.client(server, origin, args=("--auth", KEY), ready=False)
    peer = server.accept(v2=False)
    for method in ("GET", "HEAD", "POST", "OPTIONS"):
        stream = peer.send_request_v1("x", method=method, body=b"abc" if method == "POST" else b"")
        message = peer.recv_json()
        fields = json.loads(message["headers"])
        equal((message["correlation_id"], message["status_code"], fields["www-authenticate"], fields["cache-control"]),
              (stream, 401, 'Basic realm="demo", charset="UTF-8"', "no-store"), method)
        equal(b"password" in base64.b64decode(message["body"]), method != "HEAD", "words")
    equal(origin.requests, [], "asked of the service")
    peer.send_request_v1("x", fields={"authorization": basic(KEY)[1], "host": "h"}, method="POST", body=b"abc")
    equal(peer.recv_json()["status_code"], 200, "with the password")
    equal((origin.requests[-1].all("authorization"), origin.requests[-1].body), ([], b"abc"), "seen")
    client = t.client(server, origin, args=("--allow", "127.0.0.1"), ready=False)
    server.accept(v2=False)
    equal(client.wait_exit(), 1, "exit with --allow")
    contains(client.err(), "--allow", "what was said")


@scenario(quick=True)
def refusals_on_the_wire(t):
    """A refusal is one message with its end. What has not come of a request is broken off behind it; a request that
    is whole, or wants to switch protocols, needs no more."""
    origin, server = t.origin(), t.tunnel_server()
    t.client(server, origin, args=("--auth", KEY), ready=False)
    peer = server.accept()
    for how, want in ((dict(), ["answer"]), (dict(method="POST", body=b"abc"), ["answer", "reset"]),
                      (dict(method="POST", body=b"abc", end=False, flags=harness.HAS_BODY), ["answer", "reset"]),
                      (dict(fields=[("Upgrade", "raw")], flags=harness.UPGRADE), ["answer"])):
        stream = peer.send_request("/x", **how)
        said = [m for m in peer.said() if m["stream"] == stream]
        equal([m["type"] for m in said], want, "messages for %s" % how)
        equal((said[0]["status_code"], said[0]["end"]), (401, True), "the answer to %s" % how)
        check(b"password" in said[0]["body"], "its words")
    equal(origin.requests, [], "asked of the service")


@scenario(quick=True)
def refusals_without_credit(t):
    """Where the server gives no credit for an answer, the refusal is an error without words, and the link lives."""
    origin, server = t.origin(), t.tunnel_server()
    t.client(server, origin, args=("--auth", KEY), ready=False)
    peer = server.accept()
    stream = peer.send_request("/x", window=0)
    said = peer.recv_type("reset")
    equal((said["stream"], said["status_code"]), (stream, 503), "reset")
    peer.send_request("/x")
    equal(peer.recv_type("answer")["status_code"], 401, "the next")
    equal(origin.requests, [], "asked of the service")


# ------------------------------------------------------------ how often


def statuses(t, server, n, target="/demo/x"):
    """Those of n pipelined requests."""
    conn = t.conn(server).send(request_octets("GET", target) * n)
    return [conn.answer() for _ in range(n)]


@scenario(quick=True)
def rate_of_an_id(t):
    """PIPEGATE_MAX_RATE lets in twice as many at once, then so many a second; the rest gets 429. Other ids, and what
    the server answers itself, have nothing to do with it."""
    clock = harness.Clock(t)
    server = t.server(env=dict(clock.env, PIPEGATE_MAX_RATE="5"))
    origin = t.origin()
    t.client(server, origin)
    t.client(server, origin, "other")

    def let_in(target="/demo/x"):
        began = time.monotonic()
        answers = statuses(t, server, 60, target)
        for answer in answers:
            check(answer.status == 200 or (answer.status, answer.get("retry-after")) == (429, "1"), "%r" % answer)
        got = sum(answer.status == 200 for answer in answers)
        most = 10 + 5 * (time.monotonic() - began) + 1
        check(got <= most, "%d were let in, of %.1f at most" % (got, most))
        return got

    check(let_in() >= 10, "at first")
    clock.go(1)
    check(let_in() >= 5, "a second later")
    clock.go(4)
    check(let_in() >= 10, "later")
    check(let_in("/other/x") >= 10, "another id")
    equal({a.status for a in statuses(t, server, 40, "/healthz")}, {200}, "health")
    contains(server.err(), "status=429", "log")
    equal(t.conn(server).request("POST", "/demo/x", (), pattern(100000)).status, 429, "with a body")


@scenario(quick=True)
def rate_of_requests_that_wait(t):
    """Requests that wait for a client count when they come."""
    origin = t.origin()
    server = t.server(env={"PIPEGATE_MAX_RATE": "1"})
    conns = [t.conn(server).send(request_octets("GET", "/demo/x")) for _ in range(20)]
    server.wait_err("status=429")
    equal(len(origin.requests), 0, "asked of the service")
    t.client(server, origin)
    got = [conn.answer().status for conn in conns]
    check(set(got) == {200, 429} and got.count(200) >= 2, "those that waited, and the rest: %s" % got)


@scenario(quick=True)
def no_rate(t):
    """Without it there is no limit."""
    origin, server, _ = locked(t)
    equal({a.status for a in statuses(t, server, 300)}, {200}, "statuses")


# ------------------------------------------------------------ what is said


@scenario(quick=True)
def passwords_are_not_told(t):
    """A password is gone from the arguments and the environment, and neither program ever says it."""
    server = t.server("--verbose")
    for args, env in ((("--auth", KEY), {}), (("--auth=" + KEY,), {}), ((), {"PIPEGATE_AUTH": KEY})):
        origin, _, client = locked(t, "--verbose", *args, env=env, server=server)
        for name in ("cmdline", "environ"):
            with open("/proc/%d/%s" % (client.pid, name), "rb") as f:
                check(b"s3cret" not in f.read(), "it stands in %s with %s %s" % (name, args, env))
        equal([asked(t, server, f).status for f in ((), (basic("me:wr0ng"),), (basic(KEY),))], [401, 401, 200], "statuses")
        client.terminate()
        for text in (client.out(), client.err(), server.out(), server.err()):
            for secret in ("s3cret", "wr0ng", basic(KEY)[1].split()[1], basic("me:wr0ng")[1].split()[1]):
                check(secret not in text, "%s was said: %s" % (secret, text))


@scenario(quick=True)
def option_before_variable(t):
    """--auth wins over PIPEGATE_AUTH."""
    _, server, _ = locked(t, "--auth", KEY, env={"PIPEGATE_AUTH": "you:other"})
    equal([asked(t, server, (basic(k),)).status for k in (KEY, "you:other")], [200, 401], "statuses")


@scenario(quick=True)
def locks_that_are_none(t):
    """What is no USER:PASSWORD, or two of them, or no list of networks, ends the client with a message that does not
    repeat the password; an empty variable is no lock left out."""
    origin = t.origin()
    for text in ("", "me", "me:", "me:s3cret\n", "me:s3\x7fcret", "me:" + "s3cret" * 50, b"me:s3cret\xff"):
        for args, env in ((("--auth", text), {}), ((), {"PIPEGATE_AUTH": text})):
            client = t.client("ws://127.0.0.1:9/", origin, args=args, env=env, ready=False)
            equal(client.wait_exit(), 2, "exit with %r" % (text,))
            contains(client.err(), "--auth", "what was said")
            check("s3" not in client.err(), "it was repeated: %s" % client.err())
    for text in ("", ",", "x", "10.0.0.0/33", "10.0.0.1,,10.0.0.2", ",".join(["10.0.0.1"] * 33)):
        client = t.client("ws://127.0.0.1:9/", origin, args=("--allow", text), ready=False)
        equal(client.wait_exit(), 2, "exit with %r" % text)
        contains(client.err(), "--allow", "what was said")
    for args, said in ((("--aut=me:s3cret",), "--aut"), (("--auth", "me:s3cret", "--auth=you:s3cret"), "--auth")):
        client = t.client("ws://127.0.0.1:9/", origin, args=args, ready=False)
        equal(client.wait_exit(), 2, "exit with %s" % (args,))
        contains(client.err(), said, "what was said")
        check("s3cret" not in client.err(), "it was repeated: %s" % client.err())
    done = t.run("--auth=me:s3cret", "client", origin.url, "ws://127.0.0.1:9/")
    equal(done.status, 2, "exit with an option before the subcommand")
    check("s3cret" not in done.err(), "it was repeated: %s" % done.err())


@scenario(quick=True)
def warned_of_one_origin(t):
    """By path the client says that other tunnels share the browser's passwords; not at a host of its own, nor
    without a password."""
    for env, args, said in (({}, ("--auth", KEY), 1), ({}, (), 0), ({}, ("--allow", "::1"), 0),
                            ({"PIPEGATE_DOMAIN": "localhost," + DOMAIN}, ("--auth", KEY), 0)):
        server = t.server(env=env)
        client = t.client(server, "3000", args=args, ready=False)
        client.wait_out("token")
        equal(client.out().count("--auth by path"), said, "with %s %s: %s" % (env, args, client.out()))
