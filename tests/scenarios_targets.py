"""Targets of the client beyond http://: a service through TLS, and one at a
socket of the file system."""
import os
import signal
import socket
import ssl
import threading

import harness
from harness import scenario, equal, check, contains, ask, authority, certificate, Conn, Failed

TLS = ("openssl",)
HELPERS = 16
UNTIL_CLOSE = b"HTTP/1.1 200 OK\r\nX-Kind: close\r\n\r\n"


class TlsConn(Conn):
    """The service's side of a TLS connection."""

    def goodbye(self):
        """Ends it as TLS has it, with close_notify."""
        try:
            self.sock.settimeout(5)
            self.sock.unwrap()
        except (OSError, ValueError):
            pass

    half_close = goodbye

    def close(self):
        self.goodbye()
        self.sock.close()


def stands(sock):
    """Whether a connection is established, and neither end has closed it."""
    try:
        return sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1) == b"\1"
    except OSError:
        return False


class TlsOrigin(harness.Origin):
    """The same service through TLS.  .most is how many connections it had at once."""

    def __init__(self, files, version=None):
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.load_cert_chain(*files)
        if version is not None:
            self.context.minimum_version = self.context.maximum_version = version
        self.most = 0
        harness.Origin.__init__(self)
        self.url = "https://localhost:%d" % self.port

    def converse(self, conn):
        try:
            tls = TlsConn(self.context.wrap_socket(conn.sock, server_side=True))
        except (OSError, ValueError) as error:
            self.faults.append(str(error))
            conn.close()
            return
        # All of these began before now, so those that still stand have stood at once.
        self.conns.append(tls)
        self.most = max(self.most, sum(stands(c.sock) for c in list(self.conns)))
        harness.Origin.converse(self, tls)


def tls_origin(t, name="localhost", alternatives="DNS:localhost,IP:127.0.0.1", version=None):
    """A service through TLS and the file of the authority that has signed its certificate."""
    ca = authority(t, "ca")
    origin = TlsOrigin(certificate(t, ca, name, alternatives), version)
    t.defer(origin.stop)
    return origin, ca


def setting(t, origin, ca=None, args=(), path="", env=None, wait="3"):
    """A server, and a client whose target is origin."""
    server = t.server(env={"PIPEGATE_SERVICE_WAIT": wait})
    changes = dict(env or {}, **({"SSL_CERT_FILE": ca} if ca else {}))
    client = t.client(server, getattr(origin, "url", origin) + path, env=changes, args=args)
    return server, client


def helpers(client):
    """The processes that the client has started and that have not ended."""
    found = []
    for pid in client.children():
        try:
            with open("/proc/%d/stat" % pid) as f:
                if f.read().rpartition(")")[2].split()[0] != "Z":
                    found.append(pid)
        except OSError:
            pass
    return found


def refuse(t, origin, ca, status, words, said, args=(), url=None):
    """A request gets status, with words in its body; the person at the client reads what is said.  The service is not
    asked.  502: it is there, and nobody waits for it."""
    server, client = setting(t, url or origin, ca, args, wait="60" if status == 502 else "1")
    answer = t.get(server, "/demo/echo")
    equal(answer.status, status, "status")
    contains(answer.json()["detail"], words, "body")
    client.wait_out(said)
    client.wait_out("%d GET" % status)
    equal(len(origin.requests), 0, "requests at the service")
    return client


# ---------------------------------------------------------------------- TLS


@scenario(needs=TLS, quick=True)
def https_target(t):
    """Requests pass through TLS to a service whose certificate SSL_CERT_FILE vouches for, by name and by address, with a
    base path; several use one connection; bodies of every framing are whole."""
    origin, ca = tls_origin(t)
    server, client = setting(t, origin, ca, path="/base")
    conn = t.conn(server)
    origin.on("/base/raw", harness.answer_raw)
    for i in range(5):
        equal(conn.get("/demo/echo/%d" % i).json()["target"], "/base/echo/%d" % i, "target")
    equal((origin.accepted, len(client.children())), (1, 1), "connections and helpers")
    body = harness.pattern(700000)
    for fields in ((), [("Expect", "100-continue")]):
        check(conn.request("POST", "/demo/raw", fields, body, seconds=30).body == body, "an upload and its echo")
    for path in ("/size/3000000", "/chunked/300000"):
        origin.on("/base" + path, origin.routes[path[:path.rindex("/") + 1]])
        size = int(path.rsplit("/", 1)[1])
        check(conn.get("/demo" + path, seconds=30).body == harness.pattern(size), path)
    equal(origin.faults, [], "faults")
    by_address, _ = setting(t, "https://127.0.0.1:%d" % origin.port, ca)
    equal(t.get(by_address, "/demo/echo").status, 200, "by address")


@scenario(needs=TLS)
def not_trusted(t):
    """A certificate that nobody vouches for is 502, and the person reads of --insecure-target, which takes it; the link
    to the server is verified all the same."""
    origin, _ = tls_origin(t)
    refuse(t, origin, None, 502, "certificate is not trusted", "--insecure-target")
    server, client = setting(t, origin, None, ["--insecure-target"])
    equal(t.get(server, "/demo/echo").status, 200, "status with --insecure-target")
    uplink = t.client("wss://localhost:%d/" % origin.port, origin, args=["--insecure-target"], ready=False)
    uplink.wait_out("its certificate is not trusted")


@scenario(needs=TLS)
def wrong_name(t):
    """A certificate for another name, or of an address for another, is 502; --insecure-target takes it."""
    origin, ca = tls_origin(t, "elsewhere", "DNS:elsewhere.test")
    refuse(t, origin, ca, 502, "for another name", "certificate is for another name")
    refuse(t, origin, ca, 502, "for another name", "--insecure-target", url="https://127.0.0.1:%d" % origin.port)
    server, _ = setting(t, origin, ca, ["--insecure-target"])
    equal(t.get(server, "/demo/echo").status, 200, "status with --insecure-target")


@scenario(needs=TLS)
def expired(t):
    """An expired certificate is 502."""
    ca = authority(t, "ca")
    files = certificate(t, ca, "localhost", "DNS:localhost", days=-1)
    origin = TlsOrigin(files)
    t.defer(origin.stop)
    refuse(t, origin, ca, 502, "has expired", "has expired")


@scenario(needs=TLS)
def not_reached(t):
    """Nobody at the port, no name, and a service without TLS are 504, each with its reason."""
    plain = t.origin()
    refuse(t, plain, None, 504, "connection refused", "connection refused", url="https://localhost:%d" % harness.free_port())
    refuse(t, plain, None, 504, "no TLS is spoken there", "is it http://?", url="https://localhost:%d" % t.server().port)
    refuse(t, plain, None, 504, "cannot look up", "cannot look up", url="https://nobody.invalid:1")


@scenario()
def no_openssl(t):
    """Without openssl a request is 504 that says so, and the person reads what to install."""
    plain = t.origin()
    server = t.server()
    client = t.client(server, "https://localhost:%d" % plain.port, env={"PATH": t.folder})
    answer = t.get(server, "/demo/echo")
    equal(answer.status, 504, "status")
    contains(answer.json()["detail"], "no openssl", "body")
    client.wait_out("install it")


# In place of openssl: says that TLS stands, answers one request, and takes nothing more until it may end.
FAKE = """#!/usr/bin/env python3
import os, sys, time
sys.stderr.write("CONNECTION ESTABLISHED\\nPeer certificate: CN=a errno=b :error:\\n")
sys.stderr.flush()
got = b""
while b"\\r\\n\\r\\n" not in got:
    got += os.read(0, 65536)
with open("asked", "ab") as f:
    f.write(got.split(b" ")[1] + b"\\n")
os.write(1, b"HTTP/1.1 200 OK\\r\\n" + (b"\\r\\nto the end" if b"/end" in got else b"Content-Length: 2\\r\\n\\r\\nok"))
while b"/end" not in got and not os.path.exists("end"):
    time.sleep(0.01)
"""


def fake_openssl(t):
    path = os.path.join(t.folder, "openssl")
    with open(path, "w") as f:
        f.write(FAKE)
    os.chmod(path, 0o755)
    return {"PATH": t.folder + ":" + os.environ["PATH"]}


def asked_of_fakes(t):
    with open(os.path.join(t.folder, "asked")) as f:
        return f.read().split()


@scenario()
def what_nobody_has_heard(t):
    """A request of any method that stands whole in a kept connection when its helper ends without having taken it goes to
    another, and the service hears it once; one of which a part was missing does not."""
    server = t.server()
    client = t.client(server, "https://localhost:1", env=fake_openssl(t))
    for method, body in (("GET", None), ("POST", b"x" * 3000)):
        conn = t.conn(server)
        equal(conn.get("/demo/first").body, b"ok", "the first")
        conn.send(harness.request_octets(method, "/demo/second", (), body))
        server.settle()
        client.settle()
        open(os.path.join(t.folder, "end"), "w").close()
        equal(conn.answer(method).body, b"ok", method)
        t.wait(lambda: not helpers(client), "the end of all helpers")
        os.unlink(os.path.join(t.folder, "end"))
    equal(asked_of_fakes(t), ["/first", "/second"] * 2, "requests that were taken")


@scenario()
def names_in_certificates(t):
    """What a certificate is called is no word of openssl's: an answer that the end ends is whole all the same."""
    server = t.server()
    t.client(server, "https://localhost:1", env=fake_openssl(t))
    equal(t.get(server, "/demo/end").body, b"to the end", "answer")


@scenario(needs=TLS)
def connections_that_end(t):
    """Of 20 requests to a service that ends each connection with its answer all are answered, 16 at a time."""
    origin, ca = tls_origin(t)
    origin.on("/", lambda request, conn, origin: (origin.gate("a").wait(20), harness.reply(
        conn, 200, [("Connection", "close")], b"ok"), True)[2])
    server, _ = setting(t, origin, ca)
    conns = [ask(t, server, "/demo/%d" % i) for i in range(20)]
    t.wait(lambda: len(origin.requests) == HELPERS, "16 requests at the service", 20)
    origin.gate("a").set()
    equal([conn.answer(seconds=20).status for conn in conns], [200] * 20, "statuses")
    equal(origin.most, HELPERS, "connections at once")


@scenario(needs=TLS)
def few_helpers(t):
    """Of 20 slow requests 16 are at work at once, and the others wait for their connections; all are answered."""
    origin, ca = tls_origin(t)
    server, client = setting(t, origin, ca)
    conns = [ask(t, server, "/demo/gate/%d" % (i % 2), "POST" if i % 3 == 0 else "GET", body=b"x" * 3000 if i % 3 == 0 else None)
             for i in range(20)]
    t.wait(lambda: len(origin.requests) == HELPERS, "16 requests at the service", 20)
    t.holds(lambda: len(origin.requests) == HELPERS and len(helpers(client)) == HELPERS, "no more come", 0.5)
    for gate in ("0", "1"):
        origin.gate(gate).set()
    for conn in conns:
        equal(conn.answer(seconds=20).body, b"let go", "answer")
    equal((origin.most, len(origin.requests)), (HELPERS, 20), "connections at once, requests")
    equal([r.body for r in origin.requests if r.method == "POST"], [b"x" * 3000] * 7, "bodies")
    check(origin.accepted <= 20, "connections in all: %d" % origin.accepted)
    t.wait(lambda: not client.children(), "the end of idle helpers", 10)


@scenario(needs=TLS)
def who_waits_may_leave(t):
    """A caller that leaves while its request waits for a connection is forgotten: the service never sees it, and the next
    in line is served."""
    origin, ca = tls_origin(t)
    server, client = setting(t, origin, ca)
    busy = [ask(t, server, "/demo/gate/a") for _ in range(HELPERS)]
    t.wait(lambda: len(origin.requests) == HELPERS, "16 requests at the service", 20)
    before = client.descriptors()
    leaver = ask(t, server, "/demo/echo/leaver")
    t.wait(lambda: client.descriptors() > before, "its request at the client")
    waiter = ask(t, server, "/demo/echo/waiter")
    leaver.close()
    client.wait_out("/echo/leaver")
    origin.gate("a").set()
    equal(waiter.answer(seconds=20).status, 200, "the next")
    equal([conn.answer().status for conn in busy], [200] * HELPERS, "the others")
    equal(len(origin.seen("/echo/leaver")), 0, "requests of who left")


@scenario(needs=TLS)
def who_waits_too_long(t):
    """A request that gets no connection in 30 s is 503; those at work go on."""
    origin, ca = tls_origin(t)
    clock = harness.Clock(t)
    server, client = setting(t, origin, ca, env=clock.env)
    busy = [ask(t, server, "/demo/gate/a") for _ in range(HELPERS)]
    t.wait(lambda: len(origin.requests) == HELPERS, "16 requests at the service", 20)
    before = client.descriptors()
    waiter = ask(t, server, "/demo/echo")
    t.wait(lambda: client.descriptors() > before, "its request at the client")

    def passes():
        """In steps, between which the link is heard of."""
        turns = server.turns()
        clock.go(2)
        t.wait(lambda: server.turns() > turns or harness.came(waiter), "a ping of the link")
        return harness.came(waiter)
    t.wait(passes, "the answer", 30)
    answer = waiter.answer()
    equal(answer.status, 503, "status")
    contains(answer.json()["detail"], "are at work", "body")
    origin.gate("a").set()
    equal([conn.answer().status for conn in busy], [200] * HELPERS, "the others")
    equal(len(origin.seen("/echo")), 0, "requests of the waiter")


@scenario(needs=TLS)
def silent_service(t):
    """A service that takes the connection and speaks no TLS is 504 after 5 s."""
    listener = socket.create_server(("127.0.0.1", 0))
    t.defer(listener.close)
    clock = harness.Clock(t)
    server, client = setting(t, "https://127.0.0.1:%d" % listener.getsockname()[1], env=clock.env)
    conn = ask(t, server, "/demo/echo")
    sock, _ = listener.accept()
    t.defer(sock.close)
    check(sock.recv(1) == b"\x16", "a TLS hello")
    clock.go(6)
    answer = conn.answer()
    equal(answer.status, 504, "status")
    contains(answer.json()["detail"], "no answer in 5 s", "body")
    t.wait(lambda: not client.children(), "the end of its helper")


@scenario(needs=TLS, quick=True)
def streams_and_upgrades(t):
    """An event stream comes event by event, and after an upgrade octets go both ways; when its caller ends, which TLS does
    not pass on, the connection goes soon."""
    origin, ca = tls_origin(t)
    server, client = setting(t, origin, ca)
    events = ask(t, server, "/demo/events")
    equal(events.head().status, 200, "head")
    origin.gate("one").set()
    contains(events.until(b"\n\n"), b"data: one", "the first event")
    conn = t.conn(server).send(harness.request_octets(
        "GET", "/demo/upgrade", [("Upgrade", "websocket"), ("Connection", "Upgrade"), ("Sec-WebSocket-Key", "x" * 22 + "==")]))
    equal(conn.head().status, 101, "upgrade")
    # A line that begins so would be a command to openssl, were it not told to take none.
    for line in (b"Quit\n", b"Renegotiate\n", b"k\n", harness.pattern(200000)):
        conn.send(line)
        check(conn.take(len(line), 20) == line.upper(), "echo of %r" % line[:20])
    equal(len(client.children()), 2, "helpers")
    conn.close()
    t.wait(lambda: len(client.children()) == 1, "the end of its helper")
    origin.gate("two").set()
    contains(events.until(b"\n\n"), b"data: two", "the second event")


@scenario(needs=TLS)
def websocket_messages(t):
    """A WebSocket passes with its frames and its close."""
    origin, ca = tls_origin(t)

    def answer(request, conn, at):
        conn.send(harness.switch_octets(request))
        peer = harness.WebSocket(conn, masks=False)
        fin, opcode, payload = peer.recv_frame()
        peer.send(opcode, payload[::-1])
        equal(peer.recv_frame()[1], harness.CLOSE, "close")
        peer.send_close()
        conn.half_close()
        return True
    origin.on("/ws", answer)
    server, _ = setting(t, origin, ca)
    conn = t.conn(server).send(harness.upgrade_octets("/demo/ws"))
    equal(conn.head().status, 101, "upgrade")
    peer = harness.WebSocket(conn, masks=True)
    peer.send(harness.TEXT, b"hello")
    equal(peer.recv_frame()[1:], (harness.TEXT, b"olleh"), "message")
    peer.send_close()
    equal(peer.recv_frame()[1], harness.CLOSE, "close")
    check(conn.closed(), "the end")


def closes_at_second(seen):
    """A service that ends a kept connection when a second request comes on it."""
    def answer(request, conn, origin):
        seen.append((request.method, request.path, conn))
        if [c for _, _, c in seen].count(conn) > 1:
            return True
        harness.reply(conn, 200, [], b"once")
    return answer


@scenario(needs=TLS)
def never_sent_again(t):
    """A kept connection that ends upon its second request: a POST is 502, and the service saw it once; a GET goes once
    more."""
    for method, status, more in (("GET", 200, ["/second"]), ("POST", 502, [])):
        origin, ca = tls_origin(t)
        seen = []
        origin.on("/", closes_at_second(seen))
        server, _ = setting(t, origin, ca)
        conn = t.conn(server)
        equal(conn.get("/demo/first").status, 200, "the first")
        equal(conn.request(method, "/demo/second", body=b"x" if method == "POST" else None).status, status, method)
        equal([path for _, path, _ in seen], ["/first", "/second"] + more, "requests at the service")
        equal(conn.get("/demo/third").status, 200, "the third")


def whole(conn, then=lambda: None):
    """The body of an answer that comes in chunks, or None where it is cut.  then() is called once its head is there."""
    try:
        head = conn.head()
        then()
        return conn.body(head)
    except Failed:
        return None


@scenario(needs=TLS, quick=True)
def answers_until_the_end(t):
    """An answer that the end of the connection ends is whole after close_notify, and cut after an end without it or an RST,
    with TLS 1.2 and 1.3; one with a length is whole whatever follows it."""
    def begin(request, conn, origin, length=False):
        octets = harness.pattern(50000)
        conn.send((b"HTTP/1.1 200 OK\r\nContent-Length: 50000\r\nConnection: close\r\n\r\n" if length else UNTIL_CLOSE) + octets)

    def fin(request, conn, origin):
        begin(request, conn, origin, request.path.endswith("length"))
        socket.socket.shutdown(conn.sock, socket.SHUT_RDWR)
        return True

    def rst(request, conn, origin):
        begin(request, conn, origin)
        origin.gate("rst").wait(20)
        conn.abort()
        return True
    for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
        origin, ca = tls_origin(t, version=version)
        origin.on("/fin", fin).on("/rst", rst)
        server, _ = setting(t, origin, ca)
        check(whole(ask(t, server, "/demo/close/50000")) == harness.pattern(50000), "a whole one, %s" % version)
        equal(whole(ask(t, server, "/demo/fin")), None, "one without close_notify, %s" % version)
        equal(whole(ask(t, server, "/demo/rst"), origin.gate("rst").set), None, "one that an RST ends, %s" % version)
        check(t.get(server, "/demo/fin/length").body == harness.pattern(50000), "one with a length, %s" % version)


@scenario(needs=TLS)
def uploads_that_nobody_reads(t):
    """An answer that the end ends is whole though the service has read nothing of the upload."""
    def early(request, conn, origin):
        conn.send(UNTIL_CLOSE + harness.pattern(5000))
        conn.goodbye()
        origin.gate("read").wait(20)
        return True
    early.reads_body = False
    origin, ca = tls_origin(t)
    origin.on("/early", early)
    server, _ = setting(t, origin, ca)
    request = harness.request_octets("POST", "/demo/early", (), b"x" * 3000000)
    for _ in range(5):
        conn = t.conn(server)
        upload = threading.Thread(target=conn.send_quietly, args=(request,), daemon=True)
        upload.start()
        check(whole(conn) == harness.pattern(5000), "the answer")
        conn.close()
        upload.join(10)
    origin.gate("read").set()


@scenario(needs=TLS)
def helper_killed(t):
    """A helper that is killed in the midst of an answer cuts that one, and no other."""
    origin, ca = tls_origin(t)
    server, client = setting(t, origin, ca)
    other = ask(t, server, "/demo/gate/other")
    origin.wait_seen("/gate/other")
    first = set(helpers(client))
    conn = ask(t, server, "/demo/events")
    conn.head()
    origin.gate("one").set()
    conn.until(b"\n\n")
    for pid in set(helpers(client)) - first:
        os.kill(pid, signal.SIGKILL)
    check(b"0\r\n\r\n" not in conn.rest(), "it looks whole")
    origin.gate("other").set()
    equal(other.answer().status, 200, "the other")


@scenario(needs=TLS)
def no_helper_outlives_the_client(t):
    """SIGTERM, SIGINT and SIGKILL of the client leave no openssl, idle or at work; descriptors are given back before."""
    origin, ca = tls_origin(t)
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGKILL):
        server, client = setting(t, origin, ca)
        before = client.descriptors()
        t.get(server, "/demo/echo")
        t.wait(lambda: not client.children(), "the end of an idle helper")
        equal(client.descriptors(), before, "descriptors")
        at_work = ask(t, server, "/demo/events")
        at_work.head()
        t.get(server, "/demo/echo")
        pids = helpers(client)
        equal(len(pids), 2, "helpers")
        client.send_signal(number)
        if number == signal.SIGTERM:
            client.wait_out("once more to stop at once")
            client.send_signal(number)
        client.wait_exit()
        t.wait(lambda: not any(os.path.exists("/proc/%d" % p) for p in pids), "the end of the helpers")


@scenario(needs=TLS)
def rewritten_https(t):
    """With --host-header rewrite Origin and Referer are of https, and a Location of that origin leads back."""
    origin, ca = tls_origin(t)
    server, _ = setting(t, origin, ca, ["--host-header", "rewrite"])
    for path, location in (("/own", origin.url + "/next"), ("/plain", origin.url.replace("https:", "http:") + "/next")):
        origin.on(path, b"HTTP/1.1 302 Found\r\nContent-Length: 0\r\nLocation: %s\r\n\r\n" % location.encode())
    conn = t.conn(server)
    conn.send(harness.request_octets("GET", "/demo/echo", [("Origin", "http://pub.test"), ("Referer", "http://pub.test/demo/p")], host="pub.test"))
    conn.answer()
    got = origin.requests[-1]
    equal((got.get("host"), got.get("origin"), got.get("referer")),
          (origin.url.split("//")[1], origin.url, origin.url + "/p"), "what the service sees")
    for path, want in (("/own", "http://pub.test/demo/next"), ("/plain", origin.url.replace("https:", "http:") + "/next")):
        conn.send(harness.request_octets("GET", "/demo" + path, host="pub.test"))
        equal(conn.answer().get("location"), want, path)


# --------------------------------------------------------------------- unix


def unix_origin(t, name="app.sock"):
    """A service at a socket of the file system."""
    path = os.path.join(t.folder, name)
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(path)
    listener.listen(128)
    origin = harness.Origin(listener)
    t.defer(origin.stop)
    return origin, path


@scenario(quick=True)
def unix_target(t):
    """Requests, bodies and upgrades pass to a socket, with the Host that the caller sent; connections are kept."""
    origin, path = unix_origin(t)
    server, client = setting(t, origin)
    contains(client.out(), "->  unix:" + path, "where it leads")
    conn = t.conn(server)
    for _ in range(3):
        got = dict(conn.request("GET", "/demo/echo?a", host="pub.test").json()["fields"])
        equal(got["Host"], "pub.test", "Host")
    equal(origin.accepted, 1, "connections")
    body = harness.pattern(300000)
    check(conn.request("POST", "/demo/raw", body=body, seconds=30).body == body, "an upload and its echo")
    up = t.conn(server).send(harness.request_octets("GET", "/demo/upgrade", [("Upgrade", "x"), ("Connection", "upgrade")]))
    equal(up.head().status, 101, "upgrade")
    equal(up.send(b"abc").take(3), b"ABC", "echo")
    up.half_close()
    check(up.closed(), "its end, which the service hears of")


@scenario(quick=True)
def unix_rewritten(t):
    """With --host-header rewrite a service at a socket is localhost."""
    origin, _ = unix_origin(t)
    server, _ = setting(t, origin, args=["--host-header", "rewrite"])
    origin.on("/own", b"HTTP/1.1 302 Found\r\nContent-Length: 0\r\nLocation: http://localhost/next\r\n\r\n")
    conn = t.conn(server).send(harness.request_octets("GET", "/demo/own", [("Origin", "http://pub.test")], host="pub.test"))
    equal(conn.answer().get("location"), "http://pub.test/demo/next", "location")
    equal((origin.requests[-1].get("host"), origin.requests[-1].get("origin")), ("localhost", "http://localhost"), "seen")


@scenario(quick=True)
def unix_not_reached(t):
    """No socket, and one at which nobody listens, are 504 that names it; once it is there, requests pass."""
    path = os.path.join(t.folder, "app.sock")
    server, client = setting(t, "unix:" + path)
    answer = t.get(server, "/demo/echo")
    equal(answer.status, 504, "without a socket")
    contains(answer.json()["detail"], "there is no socket " + path, "body")
    client.wait_out("there is no socket " + path)
    dead = socket.socket(socket.AF_UNIX)
    dead.bind(path)
    dead.close()
    answer = t.get(server, "/demo/echo")
    equal(answer.status, 504, "without a listener")
    contains(answer.json()["detail"], "nobody listens at the socket " + path, "body")
    os.unlink(path)
    unix_origin(t)
    equal(t.get(server, "/demo/echo").status, 200, "with a service")


@scenario(quick=True)
def targets_that_are_none(t):
    """A TARGET_URL that is none ends the client with a message that says what it may be."""
    for text, words in (("unix:app.sock", "begin with a slash"), ("unix:", "begin with a slash"), ("unix:/" + "x" * 120, "too long"),
                        ("ftp://localhost", "https://localhost:8443"), ("https://localhost/?a", "without a query"),
                        ("https://", "https://localhost:8443"), ("https://a b/", "https://localhost:8443")):
        client = t.client("ws://127.0.0.1:9/", text, ready=False)
        equal(client.wait_exit(), 2, "exit with %r" % text)
        contains(client.err(), words, "what was said of %r" % text)


@scenario()
def unix_without_room(t):
    """Where the socket has no room for a connection the request is given out again, and is served once there is."""
    path = os.path.join(t.folder, "app.sock")
    listener = socket.socket(socket.AF_UNIX)
    t.defer(listener.close)
    listener.bind(path)
    listener.listen(0)
    filling = socket.socket(socket.AF_UNIX)
    t.defer(filling.close)
    filling.connect(path)
    server, client = setting(t, "unix:" + path)
    conn = ask(t, server, "/demo/echo")
    client.wait_out("takes no more connections for now")
    check(not harness.came(conn), "an answer")
    origin = harness.Origin(listener)
    t.defer(origin.stop)
    equal(conn.answer(seconds=20).status, 200, "status")
    equal(len(origin.requests), 1, "requests at the service")
