"""Own domains: names that a token claims for its id."""
import subprocess

import harness
from harness import scenario, equal, check, contains

DOMAIN = "tunnel.example.com"
ENV = {"PIPEGATE_DOMAIN": DOMAIN + ",h"}        # h is the host that raw peers ask for
OWN = "app.example.org"


def asked(t, server, host, target="/", method="GET", fields=()):
    return t.conn(server).send(harness.request_octets(method, target, fields, host=host)).answer(method)


def told(origin, name):
    return [value for n, value in origin.requests[-1].fields if n.lower() == name.lower()]


def claiming(t, server, origin, domains, sub="demo"):
    """A client whose token claims these."""
    client = t.client(server, origin, sub, env={"PIPEGATE_TOKEN": harness.token(sub, domains=domains)}, ready=False)
    client.wait_out("token")
    return client


def joins(t, server, domains, sub="demo", **how):
    """A raw client whose token claims these; its close code is 0 while it stands."""
    return t.tunnel(server, bearer=harness.token(sub, domains=domains), **how)


def refused(t, server, domains, sub="demo"):
    """Why the server closes such a client."""
    return joins(t, server, domains, sub).wait_close(1008).reason


def leads(t, server, host, stream_of):
    """Whether a request at host reaches that raw client."""
    conn = t.conn(server).send(harness.request_octets("GET", "/x", host=host))
    stream = stream_of.recv_request()["stream"]
    stream_of.send_response(stream, 204)
    return conn.answer().status == 204


def nobody(t, server, host):
    answer = asked(t, server, host)
    equal(answer.status, 404, host)
    check(b"host name" in answer.body, "a reason: %r" % answer.body)


@scenario(quick=True)
def own_domains_lead(t):
    """A name in the token leads to its id with the target as it came and no prefix, in any case, with a port and with a
    dot at the end; what lies under it, or above, does not; the id's host and path stay."""
    origin, server = t.origin(), t.server(env=ENV)
    claiming(t, server, origin, [OWN, "b.example"])
    for host in (OWN, "APP.Example.ORG", OWN + ":8443", OWN + ".", "b.example"):
        for target in ("/", "/echo?a/../b=%2e", "/healthz", "/demo/x", "//demo/..;/"):
            equal(asked(t, server, host, target).status, 200, host + target)
            equal(origin.requests[-1].target, target, "target of " + host)
            equal((told(origin, "host"), told(origin, "x-forwarded-prefix")), ([host], []), host)
    passed = len(origin.requests)
    for host in ("x." + OWN, "example.org", "xapp.example.org", OWN + "..", OWN + ".evil.example", "a" * 300):
        nobody(t, server, host)
    equal(len(origin.requests), passed, "requests that passed")
    equal(asked(t, server, "demo." + DOMAIN).status, 200, "by the id's host")
    equal(asked(t, server, DOMAIN, "/demo/echo").status, 200, "by path")


@scenario(quick=True)
def upgrades_of_own_domains(t):
    """An Upgrade on / of an own domain is the app's."""
    origin, server = t.origin(), t.server(env=ENV)
    claiming(t, server, origin, [OWN])
    origin.on("/", b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: raw\r\nConnection: upgrade\r\n\r\nhello")
    conn = t.conn(server).send(harness.request_octets(
        "GET", "/", [("Upgrade", "raw"), ("Connection", "upgrade")], host=OWN))
    equal((conn.head().status, conn.take(5)), (101, b"hello"), "the app's upgrade")


@scenario(quick=True)
def clients_say_them_first(t):
    """The client prints its first own domain, then the host of its id, then the path."""
    server = t.server(env=ENV)
    client = claiming(t, server, "3000", [OWN, "b.example"])
    urls = ["http://%s:%d/" % (host, server.port) for host in (OWN, "demo." + DOMAIN)]
    urls.append("http://127.0.0.1:%d/demo/" % server.port)
    lines = client.out().split("\n")
    equal([line.split("  ->")[0] for line in lines if line.startswith("http")], urls, "what is said")


@scenario(quick=True)
def requests_wait_at_own_domains(t):
    """A request for an own domain waits for its client to come back, and is then passed on; when nobody came back, the
    name leads nowhere."""
    server = t.server(env=dict(ENV, PIPEGATE_OFFLINE_WAIT="3"))
    joins(t, server, [OWN]).conn.abort()
    t.wait(lambda: "event=client-gone" in server.err(), "the client's end")
    conn = t.conn(server).send(harness.request_octets("GET", "/late", host=OWN))
    server.settle()
    peer = joins(t, server, [OWN])
    stream = peer.recv_request()["stream"]
    peer.send_response(stream, 204)
    equal(conn.answer().status, 204, "after its return")
    peer.conn.abort()
    equal(asked(t, server, OWN).status, 503, "when nobody came back")
    nobody(t, server, OWN)


@scenario(quick=True)
def a_name_that_its_client_comes_without(t):
    """A request that waits at a name is passed on also where its client comes back without that name, which then leads
    nowhere."""
    server = t.server(env=ENV)
    joins(t, server, [OWN]).conn.abort()
    t.wait(lambda: "event=client-gone" in server.err(), "the client's end")
    conn = t.conn(server).send(harness.request_octets("GET", "/late", host=OWN))
    server.settle()
    peer = joins(t, server, ["b.example"])
    request = peer.recv_request()
    check(b"GET /late " in request["head"], "the request: %s" % request)
    peer.send_response(request["stream"], 204)
    equal(conn.answer().status, 204, "status")
    nobody(t, server, OWN)


@scenario(quick=True)
def names_end_with_their_token(t):
    """A name goes with the client whose token claims it, also where another of that id stays: another id may have it."""
    server = t.server(env=ENV)
    first = joins(t, server, [OWN])
    stays = joins(t, server, [])
    check(leads(t, server, OWN, stays), "the newest of both")
    first.conn.abort()
    t.wait(lambda: "event=client-gone" in server.err(), "the first one's end")
    nobody(t, server, OWN)
    other = joins(t, server, [OWN], "other")
    check(leads(t, server, OWN, other), "another id")


@scenario(quick=True)
def names_of_another(t):
    """A name that another id holds closes a client with 1008, says so, and leaves the other alone; it takes no further
    name of that token. Once the holder has said goodbye, the name is free."""
    server = t.server(env=ENV)
    first = joins(t, server, [OWN], "first")
    reason = refused(t, server, ["b.example", OWN.upper().lower()], "second")
    contains(reason, OWN, "reason")
    contains(reason, "another id", "reason")
    nobody(t, server, "b.example")
    check(leads(t, server, OWN, first), "it leads to the first still")
    first.send_close(1000)
    t.wait(lambda: "event=client-gone" in server.err(), "the first one's end")
    second = joins(t, server, [OWN], "second")
    check(leads(t, server, OWN, second), "it leads to the second")


@scenario(quick=True)
def names_are_kept_while_waited_for(t):
    """While a lost client is waited for, no other id gets its name; after that one does, and the first is refused."""
    server = t.server(env=dict(ENV, PIPEGATE_OFFLINE_WAIT="2"))
    joins(t, server, [OWN], "first").conn.abort()
    t.wait(lambda: "event=client-gone" in server.err(), "the client's end")
    contains(refused(t, server, [OWN], "second"), "another id", "reason")
    equal(asked(t, server, OWN).status, 503, "until the wait is over")
    second = joins(t, server, [OWN], "second")
    check(leads(t, server, OWN, second), "it leads to the second")
    contains(refused(t, server, [OWN], "first"), "another id", "reason")


@scenario(quick=True)
def clients_of_one_id_share(t):
    """The clients of an id hold what any of those that are there claims; what the last one claims, until another comes."""
    server = t.server(env=ENV)
    first = joins(t, server, ["a.example", OWN])
    second = joins(t, server, ["b.example", OWN], streams=1)
    first.send_close(1000)
    t.wait(lambda: "event=client-gone" in server.err(), "the first one's end")
    for host in ("b.example", OWN):
        check(leads(t, server, host, second), host)
    nobody(t, server, "a.example")
    joins(t, server, ["a.example"], "other").send_close(1000)
    second.conn.abort()
    t.wait(lambda: server.err().count("event=client-gone id=demo") == 2, "the second one's end")
    third = joins(t, server, ["c.example"])
    check(leads(t, server, "c.example", third), "what it claims")
    for host in ("a.example", "b.example", OWN):
        nobody(t, server, host)


@scenario(quick=True)
def claims_that_are_none(t):
    """What is no list of up to 16 names of two labels, none under the server's own, closes the client with 1008 and a
    reason; the server holds none of it, and serves on."""
    server = t.server(env=ENV)
    names = ["n%d.example" % i for i in range(17)]
    for domains in (names, "a.example", {"a.example": 1}, [1], ["a.example", None], 5, [["a.example"]], ["a" * 254]):
        contains(refused(t, server, domains), "16", "reason for %r" % (domains,))
    for name in ("App.example.org", "", ".", "example", "a.example.", ".a.example", "a..example", "*.example.org",
                 "a_b.example", "127.0.0.1", "1.2.3", "a.0x7f", "[::1]", "::1", "a.localhost", "localhost", "a.example:80",
                 "-a.example", "a.example/x", "b\xfccher.example", "a b.example", 'a"\r\n.example', "a" * 64 + ".example"):
        contains(refused(t, server, ["good.example", name]), "no DNS name", "reason for %r" % name)
    for name in (DOMAIN, "demo." + DOMAIN, "a.b." + DOMAIN, "x" * 40 + "." + DOMAIN):
        contains(refused(t, server, ["good.example", name]), "the server's own", "reason for " + name)
    nobody(t, server, "good.example")
    peer = joins(t, server, names[:16] + [])
    check(leads(t, server, names[15], peer), "the sixteenth")
    peer = joins(t, server, [OWN] * 16, "other")
    check(leads(t, server, OWN, peer), "one that stands there sixteen times")
    peer = joins(t, server, [], "third")
    equal(peer.answer.status, 101, "an empty list")


@scenario()
def the_public_host_is_nobodys(t):
    """The host of PIPEGATE_PUBLIC_URL cannot be claimed: clients dial there."""
    server = t.server(env=dict(ENV, PIPEGATE_PUBLIC_URL="https://gate.example.net:8443/"))
    contains(refused(t, server, ["gate.example.net"]), "the server's own", "reason")


@scenario(quick=True)
def servers_without_a_domain(t):
    """A server without PIPEGATE_DOMAIN closes such a client with 1008 and says what it lacks; the client ends."""
    server = t.server()
    client = t.client(server, "3000", env={"PIPEGATE_TOKEN": harness.token(domains=[OWN])}, ready=False)
    equal(client.wait_exit(), 1, "exit")
    contains(client.err(), "PIPEGATE_DOMAIN", "what it says")


@scenario(quick=True)
def clients_that_are_too_late(t):
    """A client whose name another id holds says what to do, and does not dial again."""
    server = t.server(env=ENV)
    joins(t, server, [OWN], "first")
    client = t.client(server, "3000", env={"PIPEGATE_TOKEN": harness.token(domains=[OWN])}, ready=False)
    equal(client.wait_exit(), 1, "exit")
    for part in (OWN, "another id", "end its client", "mint a token"):
        contains(client.err(), part, "what it says")
    equal(server.err().count("event=client-refused"), 1, "dials")


@scenario(quick=True)
def many_names(t):
    """Names of many ids, as long as they may be, are all told apart, count as memory, and are given back."""
    server = t.server(env=dict(ENV, PIPEGATE_OFFLINE_WAIT="1"))
    tail = ".".join(["x" * 60] * 4)
    names = {"id%d" % i: ["n%d-%d.%s" % (i, k, tail[:253 - len("n%d-%d." % (i, k))]) for k in range(16)] for i in range(20)}
    peers = {sub: joins(t, server, of, sub) for sub, of in names.items()}
    for sub in ("id0", "id11", "id19"):
        for host in (names[sub][0], names[sub][15]):
            check(leads(t, server, host, peers[sub]), host)
    for peer in peers.values():
        peer.send_close(1000)
    t.wait(lambda: server.err().count("event=client-gone") == 20, "their end")
    again = joins(t, server, [names["id%d" % i][0] for i in range(16)], "again")
    check(leads(t, server, names["id3"][0], again), "a name that is free again")


@scenario(quick=True)
def names_count_as_memory(t):
    """Names take an eighth of the memory at most: then clients with more are refused, and all others go on."""
    server = t.server(env=dict(ENV, PIPEGATE_MAX_MEMORY="1048576"))
    tail = ".".join(["x" * 60] * 4)
    first = joins(t, server, [OWN], "first")
    for i in range(40):
        joins(t, server, ["n%d-%d.%s" % (i, k, tail[:235]) for k in range(16)], "id%d" % i)
    server.wait_err("code=1013")
    contains(server.err(), "the server is short of memory", "why")
    check(leads(t, server, OWN, first), "the first goes on")
    last = t.tunnel(server, sub="last")
    check(leads(t, server, "last." + DOMAIN, last), "one without names")


@scenario(quick=True)
def tokens_with_domains(t):
    """`pipegate token --domain` puts names in lower case into the token, and refuses what is none or one too many."""
    def made(*args):
        return subprocess.run([harness.BINARY, "token", "-c", "demo"] + list(args), text=True, stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE, env={"PIPEGATE_JWT_SECRET": harness.SECRET}, check=False)

    done = made("--domain", "App.Example.org", "--domain=b.example")
    equal(done.returncode, 0, "exit")
    equal(harness.token_read(done.stdout.split()[-1])["domains"], ["app.example.org", "b.example"], "claim")
    check("domains" not in harness.token_read(made().stdout.split()[-1]), "a token without any has no claim")
    tail = ".".join(["x" * 60] * 4)
    most = [v for k in range(16) for v in ("--domain", "n%02d.%s" % (k, tail[:249]))]
    equal(made(*most).returncode, 0, "sixteen of the longest")
    equal(made(*most, "--domain", "a.example").returncode, 2, "seventeen")
    for name in ("localhost", "a.localhost", "127.0.0.1", "example", "*.example.org", "a.example:80", "http://a.example",
                 "b\xfccher.example", "", "a" * 250 + ".example"):
        done = made("--domain", name)
        equal(done.returncode, 1, "exit for %r" % name)
        contains(done.stderr, "--domain", "what is said of %r" % name)
