"""Who the caller is behind what stands in front of the server: the PROXY protocol, its scheme, a socket in the file
system.  The proxy is at 127.0.0.2 here, and nobody else is trusted."""
import os
import shlex
import socket
import struct
import sys

import harness
from harness import Conn, check, contains, equal, scenario

PROXY = "127.0.0.2"
ON = {"PIPEGATE_PROXY_PROTOCOL": "1", "PIPEGATE_TRUSTED_PROXIES": PROXY + ",192.0.2.77"}
LINE4 = b"PROXY TCP4 192.0.2.1 198.51.100.1 56324 443\r\n"
LINE6 = b"PROXY TCP6 2001:DB8::1 ::1 1 443\r\n"
LIES = [("X-Forwarded-For", "9.9.9.9"), ("X-Forwarded-Proto", "https"), ("X-Forwarded-Host", "evil"),
        ("X-Forwarded-Prefix", "/evil"), ("X-Real-IP", "9.9.9.9"), ("Forwarded", "for=9.9.9.9"),
        ("True-Client-IP", "9.9.9.9"), ("X-Forwarded-Port", "9")]
SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"
V4 = socket.inet_aton("192.0.2.2") + socket.inet_aton("198.51.100.1") + b"\1\2\3\4"
V6 = socket.inet_pton(socket.AF_INET6, "2001:db8::2") * 2 + b"\1\2\3\4"


def block(rest=V4, family=0x11, command=0x21, length=None):
    return SIGNATURE + struct.pack(">BBH", command, family, len(rest) if length is None else length) + rest


def tls(client):
    return b"\x20\0\5" + bytes([client]) + b"\0\0\0\0"


def proxy_to(t, server, octets=b""):
    """A connection of the proxy."""
    sock = socket.create_connection(("127.0.0.1", server.port), 10 * harness.SLOW, (PROXY, 0))
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    conn = Conn(sock)
    t.defer(conn.close)
    return conn.send(octets)


def told(request):
    """What the service is told: For, Real, Proto, Host, Prefix; and nothing of the lies."""
    for name in ("forwarded", "true-client-ip", "x-forwarded-port"):
        equal(request.all(name), [], name)
    return [",".join(request.all(name)) for name in (
        "x-forwarded-for", "x-real-ip", "x-forwarded-proto", "x-forwarded-host", "x-forwarded-prefix")]


def said(address, scheme="http"):
    return [address, address, scheme, "h", "/demo"]


def over(command, *args):
    """A --connect COMMAND: octets, and then stdin and stdout, over the socket that command makes."""
    return ("--connect", " ".join(shlex.quote(a) for a in (
        sys.executable, "-c", "import os, socket, sys, threading\n" + command + "\n"
        "def up():\n"
        "    while True:\n"
        "        b = os.read(0, 65536)\n"
        "        if not b: os._exit(0)\n"
        "        s.sendall(b)\n"
        "threading.Thread(target=up, daemon=True).start()\n"
        "while True:\n"
        "    b = s.recv(65536)\n"
        "    if not b: break\n"
        "    os.write(1, b)\n") + args))


def trio(t, **more):
    """Origin, server and a client that is not trusted, and so needs no header."""
    return t.trio(server_env=dict(ON, **more))


@scenario(quick=True)
def headers_name_the_caller(t):
    """The address is that of the PROXY header, of either version, whatever the caller says in fields; for UNKNOWN,
    LOCAL and families without an address it is the proxy's own."""
    origin, server, _ = trio(t, PIPEGATE_TRUSTED_FIELDS="True-Client-IP,X-Forwarded-Port")
    for octets, address in (
            (LINE4, "192.0.2.1"), (LINE6, "2001:db8::1"), (b"PROXY TCP6 ::ffff:192.0.2.3 ::1 1 2\r\n", "192.0.2.3"),
            (b"PROXY UNKNOWN\r\n", PROXY), (b"PROXY UNKNOWN 192.0.2.1 192.0.2.1 1 2\r\n", PROXY),
            (block(), "192.0.2.2"), (block(V6, 0x21), "2001:db8::2"), (block(V4 + b"\4\0\3\1\2\3"), "192.0.2.2"),
            (block(V4 + b"\4" + struct.pack(">H", 1009) + b"x" * 1009), "192.0.2.2"),
            (block(b"", 0, 0x20), PROXY), (block(V4 + tls(1), 0x11, 0x20), PROXY), (block(b"", 0), PROXY),
            (block(bytes(216), 0x31), PROXY), (block(b"x", 0xff, 0x20), PROXY),
            (LINE4.replace(b"192.0.2.1", b"192.0.2.77"), "192.0.2.77")):
        conn = proxy_to(t, server, octets)
        for _ in range(2):
            equal(conn.get("/demo/echo", LIES).status, 200, repr(octets))
            equal(told(origin.requests[-1]), said(address), repr(octets))
        conn.close()
    t.get(server, "/demo/echo", fields=LIES)
    equal(told(origin.requests[-1]), said("127.0.0.1"), "of who needs no header")


@scenario(quick=True)
def headers_in_pieces(t):
    """A header may come octet by octet, and with as many requests behind it as one likes."""
    origin, server, _ = trio(t)
    for octets, address in ((LINE4, "192.0.2.1"), (block(V6 + tls(0), 0x21), "2001:db8::2")):
        conn = proxy_to(t, server)
        request = harness.request_octets("GET", "/demo/echo")
        for octet in octets + request:
            turns = server.turns()
            conn.send(bytes([octet]))
            t.wait(lambda: server.turns() > turns, "a turn for it")
        equal(conn.answer().status, 200, "octet by octet")
        equal(told(origin.requests[-1]), said(address), "octet by octet")
        before = len(origin.requests)
        conn = proxy_to(t, server, octets + request * 5 + request[:9])
        for _ in range(5):
            equal(conn.answer().status, 200, "pipelined")
        equal(conn.send(request[9:]).answer().status, 200, "the one that was cut")
        equal([told(r) for r in origin.requests[before:]], [said(address)] * 6, "pipelined")
        body = harness.pattern(100000)
        conn = proxy_to(t, server, octets + harness.request_octets("POST", "/demo/raw", body=body))
        equal(conn.answer("POST").body, body, "a body behind it")


@scenario(quick=True)
def schemes(t):
    """X-Forwarded-Proto is PIPEGATE_SCHEME, unless version 2 says whether the caller spoke TLS."""
    for env, usual in (({}, "http"), ({"PIPEGATE_SCHEME": "http"}, "http"), ({"PIPEGATE_SCHEME": "https"}, "https")):
        origin, server, _ = trio(t, **env)
        for octets, scheme in (
                (LINE4, usual), (block(), usual), (block(V4 + tls(1)), "https"), (block(V4 + tls(7)), "https"),
                (block(V4 + tls(0)), "http"), (block(V4 + tls(6)), "http"), (block(V4 + tls(1), command=0x20), usual)):
            proxy_to(t, server, octets).get("/demo/echo", LIES)
            equal(told(origin.requests[-1])[2], scheme, "%r with %r" % (octets, env))
        t.get(server, "/demo/echo", fields=[("X-Forwarded-Proto", "gopher")])
        equal(told(origin.requests[-1])[2], usual, "of who needs no header")


@scenario(quick=True)
def scheme_alone(t):
    """Without the PROXY protocol PIPEGATE_SCHEME is what counts where no believed peer says otherwise."""
    for proxies, says, scheme in ((None, "http", "http"), (None, "x", "https"), ("", "http", "https")):
        origin, server, _ = t.trio(server_env={"PIPEGATE_SCHEME": "https", "PIPEGATE_TRUSTED_PROXIES": proxies})
        t.get(server, "/demo/echo", fields=[("X-Forwarded-Proto", says)])
        equal(told(origin.requests[-1])[2], scheme, "trusted %r, says %s" % (proxies, says))
    for text in ("", "HTTPS", "wss", "https "):
        server = t.server(env={"PIPEGATE_SCHEME": text}, ready=False)
        equal(server.wait_exit(), 1, "exit with " + text)
        contains(server.err(), "PIPEGATE_SCHEME", "what was said")


def closed_at_once(t, server, octets):
    """The proxy that sends octets is closed without an answer, and others go on."""
    conn = proxy_to(t, server).send_quietly(octets)
    equal(conn.rest(5), b"", "to %s" % harness.brief(octets))
    equal(t.get(server, "/healthz").status, 200, "after %s" % harness.brief(octets))


@scenario(quick=True)
def headers_that_are_none(t):
    """A trusted peer that does not begin with a sound header is closed without an answer, and the log says so."""
    server = t.server(env=ON)
    bad = [b"GET /healthz HTTP/1.1\r\nHost: h\r\n\r\n", b"\r\nGET /", b"\0" * 300, bytes(range(256)) * 200, b"\n",
           b"\x16\x03\1\2\0\1\0\1\xfc\3\3", b"PROXY TCP4 192.0.2.1 198.51.100.1 56324 443\n", b"PROXY TCP4 1.2.3.4\r\n",
           b"PROXY TCP4 192.0.2.1\0 198.51.100.1 1 2\r\n", b"PROXY UNKNOWN\0\r\n", b"PROXY " + b"x" * 101, b"PROXY " * 30000,
           b"PROXY TCP4 ::1 ::1 1 2\r\n", b"PROXY TCP4 192.0.2.1 198.51.100.1 65536 2\r\n",
           block(command=0x22), block(command=0x11), block(family=0x41), block(family=0x13), block(b""), block(V4[:-1]),
           block(V4, 0x21), block(V4 + b"\4"), block(V4 + b"\4\0\2x"), block(V4 + b"\x20\0\4\1\0\0\0"),
           block(V4 + b"\4\xff\xffx"), block(b"", length=1025), block(b"x" * 65535),
           SIGNATURE[:-1] + b"\r" + bytes(20)]
    for octets in bad:
        closed_at_once(t, server, octets)
    t.wait(lambda: server.err().count("event=proxy-refused peer=%s " % PROXY) == len(bad), "a word of each")


@scenario(quick=True)
def one_header_is_enough(t):
    """A second header is a malformed request; so is the first of a peer that is not trusted, and where the PROXY
    protocol is off."""
    server, off = t.server(env=ON), t.server()
    for octets in (LINE4, LINE6, block(), block(V6, 0x21)):
        equal(proxy_to(t, server, LINE4 + octets).answer().status, 400, "a second one")
        equal(proxy_to(t, server, block() + octets).answer().status, 400, "a second one")
        equal(t.conn(server).send(octets).answer().status, 400, "of a stranger")
        equal(t.conn(off).send(octets).answer().status, 400, "where it is off")
    contains(server.err(), "status=400 peer=192.0.2.1 ", "the log")


@scenario(quick=True)
def headers_have_a_deadline(t):
    """Who does not end its header within 10 s is closed, also one that trickles; the head of the first request has no
    time of its own."""
    clock = harness.Clock(t)
    server = t.server(env=dict(ON, **clock.env))
    conns = [proxy_to(t, server, octets) for octets in (b"", b"PROXY TCP4 1", block()[:20], block(V4, length=1024))]
    begun = proxy_to(t, server)
    server.settle()
    for octets in (LINE4, b"GET /healthz HT"):
        clock.go(3)
        conns[1].send(b"9")
        begun.send(octets)
        server.settle()
    t.check(not any(harness.came(c) for c in conns + [begun]), "nobody is closed too early")
    clock.go(5)
    for conn in conns:
        equal(conn.rest(2), b"", "what it got")
    equal(begun.answer().status, 408, "a head behind a header")
    t.wait(lambda: server.err().count("event=proxy-refused") == len(conns), "a word of each")


@scenario(quick=True)
def proxies_that_leave(t):
    """A proxy that connects and leaves, inside its header or before it, leaves nothing behind."""
    server = t.server(env=ON)
    before = server.descriptors()
    conns = [(proxy_to(t, server, octets), end) for octets in (b"", LINE4[:20], block()[:14], LINE4, LINE4[:-1])
             for end in ("close", "abort", "half_close")]
    server.settle()
    for conn, end in conns:
        getattr(conn, end)()
        if end == "half_close":
            equal(conn.rest(), b"", "what it got")
    t.wait(lambda: server.descriptors() == before, "the end of all of them")
    equal(proxy_to(t, server, LINE4).get("/healthz").status, 200, "after that")


@scenario(quick=True)
def arrivals_yield(t):
    """Connections inside their PROXY header count against PIPEGATE_MAX_CONNECTIONS, and yield to newcomers."""
    server = t.server(env=dict(ON, PIPEGATE_MAX_CONNECTIONS="10"))
    for octets, word in ((b"", b""), (LINE4[:20], b" 503 "), (block()[:14], b" 503 ")):
        empty = server.descriptors()
        old = [proxy_to(t, server, octets) for _ in range(10)]
        server.settle()
        new = [proxy_to(t, server, LINE4) for _ in range(4)]
        equal([conn.get("/healthz").status for conn in new], [200] * 4, "newcomers")
        gone = [conn for conn in old if harness.came(conn)]
        equal([word in conn.rest() for conn in gone], [True] * 4, "what those get that yield")
        for conn in old + new:
            conn.close()
        t.wait(lambda: server.descriptors() == empty, "the end of all")


@scenario(quick=True)
def arrivals_over_the_cap(t):
    """Where all connections are at work a proxy's caller gets 503, and its tunnel client gets through."""
    server = t.server(env=dict(ON, PIPEGATE_MAX_CONNECTIONS="5"))
    peer = t.tunnel(server)
    for _ in range(4):
        harness.ask(t, server)
        peer.recv_request()
    equal(proxy_to(t, server, LINE4).get("/healthz").status, 503, "status of a caller")
    conn = proxy_to(t, server, block() + harness.upgrade_octets("/?token=" + harness.token("other")))
    equal(conn.head().status, 101, "status of a client")


@scenario()
def arrivals_have_little_memory(t):
    """Thousands of headers that are not whole hold no more memory than they may, and others get theirs."""
    server = t.server(env=dict(ON, PIPEGATE_MAX_MEMORY="1048576"), nofile=4096)
    conns = [proxy_to(t, server, block(V4 + b"\4\3\xff" + b"x" * 900, length=1024)) for _ in range(1500)]
    server.settle()
    equal(proxy_to(t, server, LINE4).get("/healthz").status, 200, "beside them")
    check(server.status_kb("VmRSS") < 40000 * harness.SLOW, "resident: %d kB" % server.status_kb("VmRSS"))
    del conns


@scenario(quick=True)
def clients_come_through_proxies(t):
    """A tunnel's client comes through the proxy as any caller does."""
    origin, server = t.origin(), t.server(env=dict(ON, PIPEGATE_TRUSTED_PROXIES="127.0.0.0/8"))
    for header, address in ((LINE4, "192.0.2.1"), (block(V6, 0x21), "2001:db8::2")):
        client = t.client(server, origin, ready=False, args=over(
            "s = socket.create_connection((sys.argv[1], int(sys.argv[2])))\ns.sendall(bytes.fromhex(sys.argv[3]))",
            "%h", "%p", header.hex()))
        client.wait_out("/demo/")
        equal(proxy_to(t, server, LINE6).get("/demo/echo").status, 200, "through it")
        equal(told(origin.requests[-1]), said("2001:db8::1"), "what the service is told")
        t.wait(lambda: "event=client-connected id=demo peer=%s " % address in server.err(), "its address in the log")
        client.terminate()


# ------------------------------------------------- a socket in the file system


def unix_server(t, **env):
    server = t.spawn([harness.BINARY, "server", "--host", "unix:" + os.path.join(t.folder, "s")], harness.counted(env))
    server.wait_out("\n")
    return server


def unix_conn(t, octets=b""):
    sock = socket.socket(socket.AF_UNIX)
    sock.connect(os.path.join(t.folder, "s"))
    conn = Conn(sock)
    t.defer(conn.close)
    return conn.send(octets)


def unix_client(t, origin, octets=b""):
    client = t.client("ws://h/", origin, ready=False, args=over(
        "s = socket.socket(socket.AF_UNIX)\ns.connect(sys.argv[1])\ns.sendall(bytes.fromhex(sys.argv[2]))",
        os.path.join(t.folder, "s"), octets.hex()))
    client.wait_out("/demo/")
    return client


@scenario(quick=True)
def callers_of_a_socket_in_the_file_system(t):
    """Whoever connects there is a trusted peer without an address: what it brings is passed on, and where it brings
    nothing, nothing is made up."""
    origin, server = t.origin(), unix_server(t, PIPEGATE_TRUSTED_PROXIES="")
    unix_client(t, origin)
    for fields, want in (
            ([], ["", "", "http", "h", "/demo"]),
            ([("X-Real-IP", "9.9.9.9")], ["", "", "http", "h", "/demo"]),
            ([("X-Forwarded-For", "9.9.9.9, 192.0.2.1"), ("X-Forwarded-Proto", "https"), ("X-Forwarded-Host", "pub")],
             ["9.9.9.9, 192.0.2.1", "192.0.2.1", "https", "pub", "/demo"]),
            ([("X-Forwarded-For", "9.9.9.9"), ("X-Forwarded-For", ""), ("X-Forwarded-For", "unknown")],
             ["9.9.9.9, unknown", "", "http", "h", "/demo"])):
        equal(unix_conn(t).get("/demo/echo", fields).status, 200, "status")
        equal(told(origin.requests[-1]), want, repr(fields))
    body = harness.pattern(300000)
    check(unix_conn(t).request("POST", "/demo/raw", body=body).body == body, "a body")
    contains(server.err(), "event=client-connected id=demo peer=unknown ", "the log")


@scenario(quick=True)
def proxies_at_a_socket_in_the_file_system(t):
    """With the PROXY protocol the address is that of the header there too, which all must send."""
    origin, server = t.origin(), unix_server(t, PIPEGATE_PROXY_PROTOCOL="1", PIPEGATE_SCHEME="https")
    unix_client(t, origin, block())
    for header, address in ((LINE4, "192.0.2.1"), (block(V6, 0x21), "2001:db8::2"), (b"PROXY UNKNOWN\r\n", "")):
        equal(unix_conn(t, header).get("/demo/echo", LIES).status, 200, "status")
        equal(told(origin.requests[-1]), said(address, "https"), repr(header))
    equal(unix_conn(t, b"GET /healthz HTTP/1.1\r\nHost: h\r\n\r\n").rest(), b"", "without a header")
    server.wait_err("event=proxy-refused peer=unknown ")


@scenario(quick=True)
def real_addresses_are_made_here(t):
    """X-Real-IP cannot be one of PIPEGATE_TRUSTED_FIELDS."""
    for text in ("X-Real-IP", "True-Client-IP, x-real-ip"):
        server = t.server(env={"PIPEGATE_TRUSTED_FIELDS": text}, ready=False)
        equal(server.wait_exit(), 1, "exit with " + text)
        contains(server.err(), "X-Real-IP", "what was said")
