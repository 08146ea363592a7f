"""What goes wrong around a tunnel: origins, links, callers, limits, signals."""
import os
import resource
import signal
import socket
import threading
import time

import harness
from harness import scenario, equal, contains, check, ask, ended, pattern, reply, wait, Conn, Failed

# An origin that is not one: (what it answers, whether it resets).  A caller
# must get 502, or no whole answer.
GARBAGE = {
    "not HTTP": b"hello world\r\n\r\n",
    "bare LF": b"HTTP/1.1 200 OK\nContent-Length: 0\n\n",
    "folded": b"HTTP/1.1 200 OK\r\nA: b\r\n c\r\nContent-Length: 0\r\n\r\n",
    "space before colon": b"HTTP/1.1 200 OK\r\nContent-Length : 0\r\n\r\n",
    "status of two digits": b"HTTP/1.1 20 OK\r\nContent-Length: 0\r\n\r\n",
    "status 999": b"HTTP/1.1 999 OK\r\nContent-Length: 0\r\n\r\n",
    "HTTP/2": b"HTTP/2.0 200 OK\r\nContent-Length: 0\r\n\r\n",
    "CL and TE": b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "two lengths": b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nxx",
    "length not a number": b"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n",
    "unknown coding": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n",
    "101 unasked": b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n",
    "head over its limit": b"HTTP/1.1 200 OK\r\nA: " + b"a" * 40000 + b"\r\n\r\n",
    "too many fields": b"HTTP/1.1 200 OK\r\n" + b"A: b\r\n" * 129 + b"\r\n",
    "NUL in a value": b"HTTP/1.1 200 OK\r\nA: b\0c\r\nContent-Length: 0\r\n\r\n",
    "end in the head": b"HTTP/1.1 200 OK\r\nContent-Le",
    "nothing": b"",
    "interim for ever": b"HTTP/1.1 103 Early Hints\r\n\r\n" * 100,
}


@scenario(quick=True)
def origins_that_break_http(t):
    """An origin that breaks HTTP gives 502, and the tunnel lives."""
    origin, server, _ = t.trio()
    for i, (name, octets) in enumerate(GARBAGE.items()):
        def answer(request, conn, origin, octets=octets):
            conn.send(octets)
            return True
        origin.on("/bad/%d/" % i, answer)
        answer = t.get(server, "/demo/bad/%d/" % i)
        equal(answer.status, 502, name)
        check(answer.json()["detail"], name)
    equal(t.get(server, "/demo/echo").status, 200, "afterwards")


@scenario(quick=True)
def origins_that_break_off(t):
    """An answer that breaks off mid-body is never ended as if it were whole."""
    origin, server, _ = t.trio()
    origin.gate("rst").set()
    for path in ("rst", "short", "short-chunked"):
        left = ask(t, server, "/demo/" + path, fields=[("Connection", "close")]).rest()
        if b" 502 " in left.split(b"\r\n")[0]:
            continue
        head, _, body = left.partition(b"\r\n\r\n")
        if b"content-length: 1000" in head.lower():
            check(len(body) < 1000, path)
        else:
            check(not body.endswith(b"0\r\n\r\n"), path + ": ended as if whole")
    equal(t.get(server, "/demo/rst-early").status, 502, "before the head")


@scenario()
def break_of_an_answer_without_length(t):
    """Where only the close ends an answer, to a 1.0 caller, a break is an RST."""
    origin, server, _ = t.trio()
    conn = t.conn(server).send("GET /demo/close-rst HTTP/1.0\r\nHost: h\r\n\r\n")
    conn.until(b"half of it")
    origin.gate("rst").set()
    conn.rest()
    check(conn.reset, "ended with a FIN, as a whole answer does")


@scenario()
def answers_that_only_the_close_ends(t):
    """An answer until close, ended by FIN, is whole for callers of both versions."""
    origin, server, _ = t.trio()
    answer = t.get(server, "/demo/close/50000")
    check(answer.body == pattern(50000), "1.1")
    conn = t.conn(server).send("GET /demo/close/50000 HTTP/1.0\r\nHost: h\r\n\r\n")
    conn.head()
    check(conn.rest() == pattern(50000) and not conn.reset, "1.0")


@scenario(quick=True)
def origin_refuses(t):
    """An origin that cannot be reached gives 504, one request after the other."""
    server = t.server()
    t.client(server, "http://127.0.0.1:%d" % harness.free_port())
    conn = t.conn(server).send(harness.request_octets("GET", "/demo/x") * 5)
    got = t.background(lambda: [conn.answer(seconds=30).status for _ in range(5)])
    equal(got.result(20), [504] * 5, "statuses")


@scenario()
def origin_name_unknown(t):
    """So does a name that does not resolve, and the client stays."""
    server = t.server()
    client = t.client(server, "http://name.invalid:80")
    equal(t.get(server, "/demo/x", seconds=20).status, 504, "status")
    check(client.running(), "the client ended")


@scenario()
def origin_never_accepts(t):
    """An origin whose host answers nothing gives 504, to all that wait for it at once."""
    full = socket.socket()
    full.bind(("127.0.0.1", 0))
    full.listen(0)
    t.defer(full.close)
    fillers = []
    for _ in range(4):
        filler = socket.socket()
        filler.setblocking(False)
        filler.connect_ex(full.getsockname())
        fillers.append(filler)
        t.defer(filler.close)
    server = t.server()
    t.client(server, "http://127.0.0.1:%d" % full.getsockname()[1])
    conns = [ask(t, server, "/demo/x") for _ in range(5)]
    equal([conn.answer(seconds=15).status for conn in conns], [504] * 5, "statuses")


@scenario(quick=True)
def localhost_of_either_family(t):
    """http://localhost is reached on 127.0.0.1 although it may name ::1 first."""
    origin, server = t.origin(), t.server()
    t.client(server, "http://localhost:%d" % origin.port)
    equal(t.get(server, "/demo/echo").status, 200, "status")


@scenario()
def slow_origins(t):
    """An origin that takes more than 5 s to answer is waited for."""
    origin, server, _ = t.trio()
    equal(t.get(server, "/demo/slow/6", seconds=15).body, b"at last", "answer")


@scenario()
def response_timeout(t):
    """No head within PIPEGATE_RESPONSE_TIMEOUT after the request is 504; a head in time may have a slow body."""
    origin, server, _ = t.trio(server_env={"PIPEGATE_RESPONSE_TIMEOUT": "2"})
    conn = ask(t, server, "/demo/never")
    conn.silent(1.8)
    equal(conn.answer().status, 504, "status")
    conn = ask(t, server, "/demo/events")
    conn.head()
    conn.silent(3)
    origin.gate("one").set()
    origin.gate("two").set()
    contains(conn.chunks(harness.Answer(b"HTTP/1.1 200 OK\r\n\r\n")), b"data: two", "body")


@scenario()
def events_arrive_at_once(t):
    """An event stream arrives event by event."""
    origin, server, _ = t.trio()
    conn = ask(t, server, "/demo/events")
    conn.head()
    for name in ("one", "two"):
        conn.silent(0.2)
        origin.gate(name).set()
        conn.until(("data: %s\n\n" % name).encode(), 3)


@scenario()
def caller_leaves_the_origin(t):
    """When a caller leaves, the connection to the origin is dropped."""
    origin, server, _ = t.trio()
    for leave in ("close", "abort"):
        conn = ask(t, server, "/demo/never")
        seen = origin.wait_seen("/never", 1 if leave == "close" else 2)
        getattr(conn, leave)()
        t.wait(lambda: ended(seen.conn), "the end of the origin connection after " + leave)
    equal(t.get(server, "/demo/echo").status, 200, "afterwards")


@scenario()
def idle_origin_connections(t):
    """A kept origin connection that was closed meanwhile costs nobody an answer."""
    origin, server, _ = t.trio()
    for _ in range(20):
        equal(t.get(server, "/demo/echo").status, 200, "status")
        for conn in list(origin.conns):
            try:
                conn.sock.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
    equal(t.conn(server).request("POST", "/demo/raw", body=b"x").status, 200, "POST")


@scenario(quick=True)
def reused_origin_connection_that_dies(t):
    """GET is sent once more when a reused connection ends before a byte; POST never is."""
    origin, server, _ = t.trio()
    counts = {"GET": 0, "POST": 0}

    def answer(request, conn, origin):
        counts[request.method] += 1
        if getattr(conn, "used", False):
            return True
        conn.used = True
        reply(conn, 200, [], b"ok")
    origin.on("/once", answer)
    for _ in range(6):
        equal(t.get(server, "/demo/once").status, 200, "GET")
    t.conn(server).request("POST", "/demo/once", body=b"x")
    posts = [t.conn(server).request("POST", "/demo/once", body=b"x").status for _ in range(4)]
    check(set(posts) <= {200, 502}, "POST: %s" % posts)
    equal(counts["POST"], 5, "times that a POST reached the origin")


# ---------------------------------------------------------------- the queue


@scenario()
def requests_wait_for_a_client(t):
    """After a start a request waits for a client that may be coming back."""
    origin, server = t.origin(), t.server()
    conn = ask(t, server, "/demo/echo")
    conn.silent(0.5)
    t.client(server, origin)
    equal(conn.answer().status, 200, "status")


@scenario(quick=True)
def offline_wait_ends(t):
    """Past PIPEGATE_OFFLINE_WAIT it is 503 with Retry-After: for those that wait, and at once for new ones."""
    server = t.server(env={"PIPEGATE_OFFLINE_WAIT": "2"})
    conn = ask(t, server, "/demo/x")
    conn.silent(0.5)
    answer = conn.answer()
    equal(answer.status, 503, "status")
    check(answer.get("retry-after"), "no Retry-After")
    conn.send(harness.request_octets("GET", "/demo/x") * 20)
    got = t.background(lambda: [conn.answer().status for _ in range(20)])
    equal(got.result(10), [503] * 20, "statuses of new ones, which would wait 40 s in all")


@scenario()
def client_that_said_goodbye(t):
    """After close 1000 nobody is waited for; after 1001 or a drop, one is."""
    server = t.server()
    for end, waits in ((lambda p: p.send_close(1000), False), (lambda p: p.send_close(1001), True), (lambda p: p.conn.abort(), True)):
        gone = server.count("event=client-gone")
        peer = t.tunnel(server)
        end(peer)
        try:
            peer.wait_close(seconds=2)
        except (Failed, OSError):
            pass
        t.wait(lambda: server.count("event=client-gone") > gone, "the end of the client")
        if not waits:
            equal(t.get(server, "/demo/x", seconds=3).status, 503, "after 1000")
            continue
        conn = ask(t, server)
        conn.silent(0.5)
        peer = t.tunnel(server)
        peer.send_response(peer.recv_request()["stream"], 204)
        equal(conn.answer().status, 204, "after the return")
        conn.close()
        peer.close()
        t.wait(lambda: server.count("event=client-gone") > gone + 1, "the end of the other")


@scenario(quick=True)
def queue_full(t):
    """A request past PIPEGATE_MAX_QUEUE_DEPTH is 503 at once; those that wait are served."""
    server = t.server(env={"PIPEGATE_MAX_QUEUE_DEPTH": "3"})
    conns = [ask(t, server) for _ in range(3)]
    t.get(server, "/healthz")
    for _ in range(2):
        answer = t.get(server, "/demo/x", seconds=3)
        equal(answer.status, 503, "the fourth")
        check(answer.get("retry-after"), "no Retry-After")
    peer = t.tunnel(server)
    for _ in conns:
        peer.send_response(peer.recv_request()["stream"])
    equal([c.answer().status for c in conns], [200] * 3, "those that waited")


@scenario()
def queue_of_a_slow_client(t):
    """The same bound holds for a client whose streams are all taken."""
    server = t.server(env={"PIPEGATE_MAX_QUEUE_DEPTH": "2"})
    peer = t.tunnel(server, streams=1)
    conns = [ask(t, server) for _ in range(3)]
    stream = peer.recv_request()["stream"]
    t.get(server, "/healthz")
    equal(t.get(server, "/demo/x", seconds=3).status, 503, "past the queue")
    for _ in range(2):
        peer.send_response(stream)
        stream = peer.recv_request()["stream"]
    peer.send_response(stream)
    equal([c.answer().status for c in conns], [200] * 3, "those that waited")


@scenario()
def ids_that_nobody_serves(t):
    """Invented ids leave nothing behind."""
    server = t.server(env={"PIPEGATE_OFFLINE_WAIT": "0"})
    conn = t.conn(server)
    for i in range(200):
        equal(conn.get("/id-%d/x" % i).status, 503, "status")
    before = server.status_kb("VmRSS")
    for i in range(3000):
        conn.get("/other-%d/x" % i)
    check(server.status_kb("VmRSS") - before < 512, "it grew by %d KiB" % (server.status_kb("VmRSS") - before))


@scenario()
def waiting_bodies_stay_outside(t):
    """A waiting request's body is not taken into memory."""
    server = t.server()
    before = server.status_kb("VmRSS")
    conns = [t.conn(server) for _ in range(20)]
    for conn in conns:
        conn.send("POST /demo/x HTTP/1.1\r\nHost: h\r\nContent-Length: 9000000\r\n\r\n")
        conn.sock.setblocking(False)
        try:
            while True:
                conn.sock.send(b"x" * 65536)
        except BlockingIOError:
            pass
    t.get(server, "/healthz")
    check(server.status_kb("VmRSS") - before < 4096, "it grew by %d KiB" % (server.status_kb("VmRSS") - before))


# ------------------------------------------------------- ends and restarts


@scenario(quick=True)
def server_restarts(t):
    """A client finds its server again after a kill, and requests made before that wait for it."""
    origin, server, client = t.trio()
    server.kill()
    again = t.server(port=server.port)
    conn = ask(t, again, "/demo/echo")
    equal(conn.answer(seconds=20).status, 200, "status")
    check(client.running(), "the client ended")


@scenario(quick=True)
def client_restarts(t):
    """A request in flight at a killed client gets 502; the next is served by the one that comes."""
    origin, server, client = t.trio()
    conn = ask(t, server, "/demo/never")
    origin.wait_seen("/never")
    client.kill()
    equal(conn.answer().status, 502, "in flight")
    waiting = ask(t, server, "/demo/echo")
    t.client(server, origin)
    equal(waiting.answer().status, 200, "after the restart")


@scenario()
def client_dials_before_the_server_is_there(t):
    """A client that is started first connects when the server comes."""
    port = harness.free_port()
    client = t.client("ws://127.0.0.1:%d/" % port, t.origin(), ready=False)
    t.wait(lambda: client.out() + client.err(), "a word about the failure")
    t.server(port=port)
    client.wait_out("http://127.0.0.1:%d/demo/" % port)


@scenario(quick=True)
def server_ends_with_requests(t):
    """SIGTERM and SIGINT: pending requests get 504 at once, queued ones too, links close with 1001, exit 0."""
    for number in (signal.SIGTERM, signal.SIGINT):
        server = t.server()
        peer = t.tunnel(server)
        pending, begun, queued = ask(t, server), ask(t, server), ask(t, server, "/nobody/x")
        streams = [peer.recv_request()["stream"] for _ in range(2)]
        which = {s: c for s, c in zip(streams, (pending, begun))}
        peer.send_response(streams[1], end=False, fields=[("content-length", "100")])
        which[streams[1]].head()
        t.get(server, "/healthz")
        server.send_signal(number)
        equal(pending.answer(seconds=3).status, 504, "pending")
        equal(queued.answer(seconds=3).status, 504, "queued")
        equal(begun.rest(3), b"", "the one with its head out")
        peer.wait_close(1001)
        peer.close()
        equal(server.wait_exit(5), 0, "exit")


@scenario()
def second_signal(t):
    """A second signal ends the server at once although a peer does not answer the close."""
    server = t.server()
    peer = t.tunnel(server)
    server.send_signal(signal.SIGTERM)
    peer.wait_close(1001)
    server.send_signal(signal.SIGTERM)
    server.wait_exit(1)


@scenario()
def peers_that_do_not_close(t):
    """Without a second signal it ends within the 2 s of a close handshake."""
    server = t.server()
    t.tunnel(server)
    equal(server.terminate(), 0, "exit")


@scenario(quick=True)
def client_finishes_its_requests(t):
    """A client that is told to end serves what it has begun, then ends with exit 0."""
    origin, server, client = t.trio()
    conn = ask(t, server, "/demo/gate/a")
    origin.wait_seen("/gate/a")
    client.send_signal(signal.SIGTERM)
    conn.silent(0.5)
    origin.gate("a").set()
    equal(conn.answer().body, b"let go", "answer")
    equal(client.wait_exit(5), 0, "exit")


@scenario()
def client_told_twice(t):
    """A second signal ends it at once; what it was serving is 502."""
    origin, server, client = t.trio()
    conn = ask(t, server, "/demo/never")
    origin.wait_seen("/never")
    client.send_signal(signal.SIGTERM)
    conn.silent(0.5)
    client.send_signal(signal.SIGTERM)
    client.wait_exit(3)
    equal(conn.answer().status, 502, "status")


@scenario()
def no_children_left(t):
    """Names are looked up in children that do not stay."""
    origin, server = t.origin(), t.server()
    client = t.client("ws://localhost:%d/" % server.port, "http://localhost:%d" % origin.port, ready=False)
    client.wait_out("/demo/")
    for _ in range(5):
        equal(t.get(server, "/demo/echo").status, 200, "status")
    t.wait(lambda: client.children() == [], "no children")
    equal(server.children(), [], "children of the server")


@scenario()
def stopped_client(t):
    """A client that is stopped for a while (SIGSTOP) goes on where it was."""
    origin, server, client = t.trio()
    os.kill(client.pid, signal.SIGSTOP)
    conn = ask(t, server, "/demo/echo")
    conn.silent(2)
    os.kill(client.pid, signal.SIGCONT)
    equal(conn.answer().status, 200, "status")


@scenario()
def half_open_link(t):
    """A client whose machine is gone (SIGSTOP for good) is found within 21 s: 502."""
    origin, server, client = t.trio(server_env={"PIPEGATE_OFFLINE_WAIT": "0"})
    t.get(server, "/demo/echo")
    os.kill(client.pid, signal.SIGSTOP)
    try:
        equal(t.get(server, "/demo/echo", seconds=30).status, 502, "status")
    finally:
        os.kill(client.pid, signal.SIGCONT)


# ------------------------------------------------------------------- limits


@scenario()
def few_descriptors(t):
    """With 64 descriptors and 200 callers the server neither dies nor spins, and serves again afterwards."""
    server = t.server(nofile=64)
    conns = []
    for _ in range(200):
        try:
            conns.append(Conn.to(server.port))
        except OSError:
            break
    for conn in conns:
        t.defer(conn.close)
    before = server.turns()
    t.holds(server.running, "the server died", 2)
    turns = server.turns() - before
    check(turns < 10 * len(conns), "it spins: %d turns of its loop" % turns)
    for conn in conns:
        conn.close()
    t.wait_healthy(server.port)


@scenario()
def few_descriptors_still_take_tunnels(t):
    """A crowd of idle callers does not keep a tunnel client out."""
    server = t.server(env={"PIPEGATE_MAX_CONNECTIONS": "30"})
    for _ in range(60):
        t.conn(server)
    t.get(server, "/healthz")
    peer = t.tunnel(server)
    conn = ask(t, server)
    peer.send_response(peer.recv_request()["stream"], 204)
    equal(conn.answer().status, 204, "status")


@scenario()
def client_with_few_descriptors(t):
    """A client with 64 descriptors serves 100 requests at once, one after the other."""
    origin, server = t.origin(), t.server()
    t.client(server, origin, nofile=64)
    conns = [ask(t, server, "/demo/slow/0.1") for _ in range(100)]
    equal({c.answer(seconds=30).status for c in conns}, {200}, "answers")


@scenario(quick=True)
def many_at_once(t):
    """200 requests at once, of all sizes, each get their own answer."""
    origin, server, _ = t.trio()
    sizes = [(i * 7919) % 60000 for i in range(200)]
    conns = [ask(t, server, "/demo/size/%d" % n) for n in sizes]
    for conn, n in zip(conns, sizes):
        check(conn.answer(seconds=30).body == pattern(n), "%d octets" % n)


@scenario()
def small_beside_large(t):
    """Small requests are answered one after the other while a large answer passes on the same link."""
    origin, server, _ = t.trio()
    body = pattern(4 << 20)

    def endless(request, conn, origin):
        conn.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % (1 << 50))
        while True:
            conn.send(body)
    origin.on("/endless", endless)
    conn = ask(t, server, "/demo/endless")
    conn.head()
    over = threading.Event()

    def read():
        count = 0
        while not over.is_set():
            count += len(conn.take(1 << 20))
        return count
    large = t.background(read)
    for _ in range(200):
        equal(t.get(server, "/demo/204").status, 204, "a small one")
    over.set()
    check(large.result() >= 1 << 20, "the large one stood still")


@scenario()
def small_behind_a_full_link(t):
    """A small answer comes before what its link has not yet begun to carry of a large one."""
    origin, raw = t.origin(), t.tunnel_server()
    raw.listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
    client = t.client(raw, origin, ready=False)
    peer = raw.accept()
    large = peer.send_request("/size/80000000", window=(1 << 32) - 1)
    peer.recv_type("answer")
    client.settle()
    small = peer.send_request("/204")
    origin.wait_seen("/204")
    client.settle()
    before = 0
    while True:
        message = peer.recv_message()
        if message["type"] == "answer":
            break
        before += len(message.get("body", b""))
    equal((message["stream"], message["status_code"]), (small, 204), "the small one")
    check(before < 1 << 20, "%d octets of the large one came first" % before)
    peer.send_reset(large)


@scenario()
def memory_with_large_bodies(t):
    """Bodies of any size pass in a bounded memory."""
    origin, server, client = t.trio(server_env={"PIPEGATE_MAX_BODY_BYTES": "0"})
    body = pattern(60000000)
    answer = t.conn(server).request("POST", "/demo/raw", body=body, seconds=60)
    check(answer.body == body, "body")
    if "san" not in os.path.basename(harness.BINARY):
        for process in (server, client):
            check(process.status_kb("VmHWM") < 30000, "%s: %d KiB" % (process.name, process.status_kb("VmHWM")))


@scenario(quick=True)
def nothing_leaks(t):
    """Descriptors and memory are given back."""
    origin, server, client = t.trio()

    def round_of():
        conns = [ask(t, server, "/demo/size/100000") for _ in range(50)]
        for conn in conns[:40]:
            conn.answer()
        for conn in conns:
            conn.abort()
        equal(t.get(server, "/demo/echo").status, 200, "status")
    round_of()
    t.wait(lambda: server.descriptors() < 20, "the server's descriptors")
    fds, kb = server.descriptors(), server.status_kb("VmRSS")
    for _ in range(5):
        round_of()
    t.wait(lambda: server.descriptors() <= fds + 2, "the server's descriptors")
    if "san" not in os.path.basename(harness.BINARY):
        check(server.status_kb("VmRSS") < kb + 1024, "it grew by %d KiB" % (server.status_kb("VmRSS") - kb))


@scenario()
def idle_costs_nothing(t):
    """The loops of an idle server and client turn a few times a second."""
    origin, server, client = t.trio()
    t.get(server, "/demo/echo")
    before = [p.turns() for p in (server, client)]
    t.holds(lambda: server.running() and client.running(), "one ended", 5)
    for process, turns in zip((server, client), before):
        check(process.turns() - turns < 50, "%s: %d turns in 5 s" % (process.name, process.turns() - turns))


@scenario()
def unauthenticated_links(t):
    """Links with a bad token do not pile up."""
    server = t.server()
    before = server.descriptors()
    for _ in range(100):
        conn = t.conn(server).send(harness.upgrade_octets("/?token=x"))
        equal(conn.head().status, 101, "status")
        conn.close()
    t.wait(lambda: server.descriptors() <= before + 2, "their end")


@scenario()
def logs_are_one_line_an_event(t):
    """What strangers send cannot forge a log line, nor put control octets into one."""
    origin, server, _ = t.trio()
    t.conn(server).send_quietly(b"GET /demo/\x1b[31m HTTP/1.1\r\nHost: h\r\n\r\n").rest()
    t.get(server, "/demo/%0aforged")
    text = server.out() + server.err()
    check("\x1b" not in text and "\nforged" not in text, "control octets in the log")


@scenario(long=True)
def slow_takers(t):
    """A caller that takes nothing of its answer for 300 s is broken off."""
    origin, server, _ = t.trio()
    conn = ask(t, server, "/demo/size/50000000")
    conn.head()
    before = server.descriptors()
    t.wait(lambda: server.descriptors() < before, "the end of that caller", 330)


@scenario(long=True)
def a_minute_of_load(t):
    """A minute of mixed load loses nothing."""
    origin, server, _ = t.trio()
    end = time.monotonic() + 60
    n = 0
    while time.monotonic() < end:
        conns = [ask(t, server, "/demo/size/%d" % (n * 31 % 300000)) for _ in range(20)]
        for conn in conns:
            check(conn.answer(seconds=20).body == pattern(n * 31 % 300000), "round %d" % n)
            conn.close()
        n += 1


@scenario()
def idle_callers_make_room_at_once(t):
    """With the cap reached by idle callers, each new one takes the place of one of them, also when many come at once."""
    server = t.server(env={"PIPEGATE_MAX_CONNECTIONS": "10"})
    idle = [t.conn(server) for _ in range(10)]
    for conn in idle:
        equal(conn.get("/healthz").status, 200, "status of one that then idles")
    server.send_signal(signal.SIGSTOP)
    new = [t.conn(server).send("GET /healthz HTTP/1.1\r\nHost: h\r\n\r\n") for _ in range(6)]
    server.send_signal(signal.SIGCONT)
    equal([conn.answer().status for conn in new], [200] * 6, "statuses of six that come at once")
    wait(lambda: sum(ended(conn) for conn in idle) == 6, "six idle ones to go")


@scenario()
def welcome_under_a_lowered_limit(t):
    """`pipegate welcome` outlives a limit of open files that falls below what it has, and serves again after it."""
    welcome = t.spawn([harness.BINARY, "welcome", "--port", "0"], name="welcome")
    welcome.wait_out("\n")
    port = int(welcome.out().split("\n")[0].rsplit(":", 1)[1])
    limits = resource.prlimit(welcome.pid, resource.RLIMIT_NOFILE)
    resource.prlimit(welcome.pid, resource.RLIMIT_NOFILE, (1, limits[1]))
    conn = harness.Conn.to(port).send("GET / HTTP/1.1\r\nHost: h\r\n\r\n")
    t.defer(conn.close)
    t.holds(welcome.running, "it has ended", 0.3)
    resource.prlimit(welcome.pid, resource.RLIMIT_NOFILE, limits)
    wait(lambda: b"It works" in page_of(port), "the page")


def page_of(port):
    conn = harness.Conn.to(port)
    try:
        return conn.send("GET / HTTP/1.1\r\nHost: h\r\n\r\n").rest()
    finally:
        conn.close()
