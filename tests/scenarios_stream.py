"""Streams: pieces at once, any size, small beside large, long wires, breaks
seen as breaks, several clients, draining.  How fast it all is, the bench
says."""
import json
import os
import queue
import signal
import subprocess
import sys
import threading

import harness
from harness import scenario, equal, check, ask, wait, pattern, request_octets, Failed

SANITIZED = "san" in os.path.basename(harness.BINARY)
MIB = 1 << 20
RSS_MAX_KB = 24 * 1024
TRAFFIC = os.path.join(harness.ROOT, "tests", "traffic.py")


# ------------------------------------------------------------------ helpers


def relay(t, port, mbit, delay_ms, room):
    """A wire of so many Mbit/s, with a delay each way and a queue, to port."""
    wire = t.spawn([harness.built("relay"), str(port), str(int(mbit * 1000000)),
                    str(delay_ms), str(room)], name="relay")
    wire.ended_by_us = True
    wire.port = int(wire.wait_out("\n").split()[1])
    return wire


def traffic(t, what, *args):
    process = t.spawn([sys.executable, TRAFFIC, what] + [str(a) for a in args], name=what)
    process.ended_by_us = True
    return process


def result(process, seconds=60):
    """What a load printed at its end."""
    equal(process.wait_exit(seconds), 0, "%s: %s" % (process.name, process.err()[-800:]))
    return process.out().split("\n")[-2]


def service(t):
    process = traffic(t, "origin")
    process.port = int(process.wait_out("\n").split()[1])
    process.url = "http://127.0.0.1:%d" % process.port
    return process


def loaded(t, wire=None, env=None):
    """An origin of its own process, server and client; the link goes through
    a relay of wire = (Mbit/s, ms each way, queue)."""
    origin = service(t)
    server = t.server(env=env)
    if wire is None:
        return origin, server, t.client(server, origin, env=env)
    link = relay(t, server.port, *wire)
    client = t.client("ws://127.0.0.1:%d/" % link.port, origin, env=env, ready=False)
    client.wait_out("/demo/")
    return origin, server, client


def probe(t, server, seconds):
    """10 small requests a second beside whatever runs: their times in ms."""
    return json.loads(result(traffic(t, "probe", server.port, "/demo/ok", 10, seconds), seconds + 60))


def within(processes, kb):
    if SANITIZED:
        return
    for process in processes:
        peak = process.status_kb("VmHWM")
        check(peak < kb, "%s had %d KiB resident" % (process.name, peak))


def hand_over(origin, path, head):
    """Requests for path get head, and their connections come to the scenario."""
    conns = queue.Queue()

    def answer(request, conn, origin):
        conn.send(head)
        conns.put(conn)
        origin.gate("over").wait(1200)
        return True
    answer.reads_body = False
    origin.on(path, answer)
    return conns


def receive(conns):
    try:
        return conns.get(timeout=10 * harness.SLOW)
    except queue.Empty:
        raise Failed("the request never reached the origin")


CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
SWITCH = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: raw\r\nConnection: Upgrade\r\n\r\n"
UPGRADE = [("Upgrade", "raw"), ("Connection", "Upgrade")]


def upgraded(t, server, conns):
    """A raw stream: (caller's connection, origin's connection)."""
    caller = ask(t, server, "/demo/raw-stream", fields=UPGRADE)
    far = receive(conns)
    equal(caller.head().status, 101, "status")
    return caller, far


def echo_check(near, far):
    """Both ways of a raw stream work."""
    near.send(b"there")
    equal(far.take(5), b"there", "upwards")
    far.send(b"back!")
    equal(near.take(5), b"back!", "downwards")


def seen_broken(conn, what, seconds=10):
    """conn must end in an RST, whatever octets come before."""
    conn.rest(seconds)
    check(conn.reset, "%s saw a clean end where there was a break" % what)


# ------------------------------------------------------- 2: pieces, at once

HEADS = {
    "chunked": CHUNKED,
    "until close": b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n",
    "length": b"HTTP/1.1 200 OK\r\nContent-Length: 1100\r\n\r\n",
}


def event_of(framing, k):
    data = b"data: %014d\n\n" % k
    return b"%x\r\n%s\r\n" % (len(data), data) if framing == "chunked" else data


EVENT = len(event_of("plain", 0))


def read_event(conn, seconds=10):
    """The next event of a chunked body; chunks may hold several."""
    octets = conn.__dict__.setdefault("events", bytearray())
    while len(octets) < EVENT:
        size = int(conn.until(b"\r\n", seconds), 16)
        octets += conn.take(size, seconds)
        equal(conn.take(2, seconds), b"\r\n", "end of a chunk")
    number = int(octets[6:EVENT - 2])
    del octets[:EVENT]
    return number


@scenario(quick=True)
def each_event_is_there_before_the_next(t):
    """Event k is at the caller before the origin sends k + 1, in each framing."""
    origin, server, _ = t.trio()
    for framing, head in HEADS.items():
        conns = hand_over(origin, "/" + framing[:5], head)
        caller = ask(t, server, "/demo/" + framing[:5])
        far = receive(conns)
        answer = caller.head()
        chunked = answer.get("transfer-encoding") == "chunked"
        for k in range(50):
            far.send(event_of(framing, k))
            if chunked:
                equal(read_event(caller), k, "event, " + framing)
            else:
                equal(caller.take(EVENT), event_of("plain", k), "event, " + framing)


@scenario()
def each_chunk_of_an_upload_is_there_before_the_next(t):
    """The origin has chunk k of a request before the caller sends k + 1; the answer's head may be out or not."""
    origin, server, _ = t.trio()
    for path, head in (("/early", CHUNKED), ("/later", b"")):
        conns = hand_over(origin, path, head)
        caller = t.conn(server).send(request_octets("POST", "/demo" + path, [("Transfer-Encoding", "chunked")]))
        far = receive(conns)
        for k in range(50):
            caller.send(event_of("chunked", k))
            equal(read_event(far), k, "chunk of the upload")
        caller.send(b"0\r\n\r\n")
        equal(far.until(b"0\r\n\r\n"), b"0\r\n\r\n", "end of the upload")


@scenario(quick=True)
def both_halves_live_at_once(t):
    """Request and answer of one stream pass in turn, piece by piece."""
    origin, server, _ = t.trio()
    conns = hand_over(origin, "/duplex", CHUNKED)
    caller = t.conn(server).send(request_octets("POST", "/demo/duplex", [("Transfer-Encoding", "chunked")]))
    far = receive(conns)
    equal(caller.head().status, 200, "status")
    for k in range(30):
        caller.send(event_of("chunked", k))
        equal(read_event(far), k, "upwards")
        far.send(event_of("chunked", k))
        equal(read_event(caller), k, "downwards")


def silence(t, seconds):
    """An answer, an upload whose answer has begun, and a raw stream, none of
    which says anything for so long, go on where they were."""
    origin, server, _ = t.trio()
    conns = hand_over(origin, "/quiet", CHUNKED)
    raws = hand_over(origin, "/raw-stream", SWITCH)
    down = ask(t, server, "/demo/quiet")
    far_down = receive(conns)
    up = t.conn(server).send(request_octets("POST", "/demo/quiet", [("Transfer-Encoding", "chunked")]))
    far_up = receive(conns)
    near, far = upgraded(t, server, raws)
    equal(down.head().status, up.head().status, "status")
    for conn in (down, far_down, up, far_up, near, far):
        conn.silent(seconds / 6)
    far_down.send(event_of("chunked", 1))
    equal(read_event(down), 1, "event after silence")
    up.send(event_of("chunked", 2))
    equal(read_event(far_up), 2, "upload after silence")
    echo_check(near, far)
    data = pattern(5 * MIB)
    both = t.background(lambda: far.send(data))
    check(near.take(len(data), 60) == data, "load after silence")
    both.result()


@scenario()
def a_stream_may_be_silent(t):
    """A stream that says nothing for a while goes on where it was."""
    silence(t, 3)


@scenario(long=True)
def a_stream_may_be_silent_for_10_minutes(t):
    """A stream that says nothing for 10 minutes goes on where it was."""
    silence(t, 630)


# --------------------------------------------------------------- 3: any size


def any_size(t, size):
    origin, server, client = loaded(t, env={"PIPEGATE_MAX_BODY_BYTES": "0"})
    for what, path in (("pull", "/bulk/%d" % size), ("pull", "/chunked/%d" % size), ("upload", "/sink")):
        args = [size] if what == "upload" else [0]
        equal(result(traffic(t, what, server.port, "/demo" + path, *args), 30 + size / (10 * MIB)),
              "200 %d" % size, what)
    within((server, client), RSS_MAX_KB)


@scenario()
def large_bodies_in_little_memory(t):
    """200 MiB down, with length and chunked, and up in chunks pass bit-true; no process grows past 24 MiB."""
    any_size(t, (20 if SANITIZED else 200) * MIB)


@scenario(long=True)
def huge_bodies_in_little_memory(t):
    """The same with 5 GiB."""
    any_size(t, 5 << 30)


# ---------------------------------------------------------------- 4: upgrade


@scenario(quick=True)
def an_upgrade_may_half_close(t):
    """After a 101 either side may end its half first; what the other still sends arrives whole."""
    origin, server, _ = t.trio()
    conns = hand_over(origin, "/raw-stream", SWITCH)
    data = pattern(3 * MIB)
    for first in ("caller", "origin"):
        caller, far = upgraded(t, server, conns)
        ender, other = (caller, far) if first == "caller" else (far, caller)
        echo_check(caller, far)
        ender.send(b"last words").half_close()
        equal(other.rest(), b"last words", "what came before the end of the %s" % first)
        check(other.eof and not other.reset, "a half-close arrived as a break")
        sending = t.background(lambda: (other.send(data), other.half_close()))
        check(ender.rest(30) == data, "what came after the end of the %s" % first)
        check(ender.eof and not ender.reset, "the second end arrived as a break")
        sending.result()


@scenario()
def an_upgrade_carries_load_both_ways(t):
    """Both halves of a raw stream carry megabytes at once."""
    origin, server, _ = t.trio()
    conns = hand_over(origin, "/raw-stream", SWITCH)
    caller, far = upgraded(t, server, conns)
    up, down = pattern(8 * MIB, 1), pattern(8 * MIB, 2)
    jobs = [t.background(lambda: caller.send(up)), t.background(lambda: far.send(down)),
            t.background(lambda: far.take(len(up), 60) == up)]
    check(caller.take(len(down), 60) == down, "downwards")
    check(jobs[2].result(60), "upwards")


# ------------------------------------------------- 5 and 6: fairness, wires

SHORT_WIRE = (200, 10, 256 * 1024)
LONG_WIRE = (200, 50, 2500000)


@scenario()
def small_requests_pass_beside_large_ones(t):
    """Through a narrow wire, small requests are answered while 8 callers download and 100 trickle."""
    _, server, _ = loaded(t, SHORT_WIRE)
    traffic(t, "trickle", server.port, "/demo/bulk/100000000", 100, 1024).wait_out("asked")
    bulk = traffic(t, "download", server.port, "/demo/endless", 8, 0, 4)
    equal(len(probe(t, server, 3)), 30, "answers")
    check(int(result(bulk)) > MIB, "the downloads stand still")


def endless(request, conn, origin):
    conn.send(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n")
    while True:
        conn.send(bytes(MIB))


@scenario()
def a_small_answer_goes_first(t):
    """Where twenty large answers wait for room in the link, a small one that comes last goes in next: before it come only
    pieces that lay in the link already, which are those of a few."""
    origin = t.origin().on("/endless", endless)
    tunnel = t.tunnel_server()
    client = t.client(tunnel, origin, ready=False)
    peer = tunnel.accept()
    t.defer(peer.close)
    large = [peer.send_request("/endless", window=1 << 30) for _ in range(20)]
    got = dict.fromkeys(large, 0)

    def message():
        """The next one: (its stream, its octets of body)."""
        said = peer.recv_whole()
        return said["stream"], len(said.get("body", b""))
    while min(got.values()) < 65536:
        stream, n = message()
        got[stream] += n
        check(sum(got.values()) < 40 * MIB, "a large answer has no turn")
    client.settle()
    small = peer.send_request("/size/10")
    origin.wait_seen("/size/10")
    client.settle()
    far, near = peer.conn.sock.getpeername()[1], peer.conn.sock.getsockname()[1]
    left = len(peer.conn.buf) + sum(harness.queued(near, far))
    ahead = set()
    stream, n = message()
    while stream != small:
        left -= n
        if left < 0:
            ahead.add(stream)
        stream, n = message()
    check(len(ahead) < 10, "%d of the large answers went first" % len(ahead))


@scenario()
def callers_that_stop_reading(t):
    """300 callers that take nothing cost no more than the budget; small requests still pass."""
    callers = 100 if SANITIZED else 300
    _, server, client = loaded(t)
    before = server.status_kb("VmRSS")
    traffic(t, "trickle", server.port, "/demo/endless", callers, 0).wait_out("asked")
    equal(len(probe(t, server, 3)), 30, "answers")
    if SANITIZED:
        return
    grown = server.status_kb("VmRSS") - before
    check(grown < 64 * 1024, "the server grew by %d KiB" % grown)
    check(grown / callers < 256, "each stalled caller costs %d KiB" % (grown / callers))
    within((server, client), 64 * 1024 + 8192)


@scenario()
def a_long_wire_is_filled(t):
    """A download through 100 ms of round trip passes whole, beside small requests."""
    _, server, client = loaded(t, LONG_WIRE)
    size = 20 * MIB
    pulling = traffic(t, "pull", server.port, "/demo/bulk/%d" % size, 0)
    equal(len(probe(t, server, 2)), 20, "answers")
    equal(result(pulling), "200 %d" % size, "download")
    within((server, client), RSS_MAX_KB + 8192)


@scenario(long=True)
def a_long_wire_gives_its_memory_back(t):
    """What a download through 100 ms of round trip took of memory is given back after it."""
    _, server, client = loaded(t, LONG_WIRE)
    probe(t, server, 2)
    before = [p.status_kb("VmRSS") for p in (server, client)]
    bulk = traffic(t, "download", server.port, "/demo/endless", 1, 0, 10)
    equal(len(probe(t, server, 8)), 80, "answers")
    result(bulk)
    for process, kb in zip((server, client), before):
        wait(lambda: process.status_kb("VmRSS") <= kb + 1024, "the memory of " + process.name, 20)


@scenario(long=True)
def a_throttled_link_is_alive(t):
    """1 Mbit/s filled for 2 minutes by a download, then by an upload, is never taken for dead."""
    _, server, client = loaded(t, (1, 10, 65536), {"PIPEGATE_MAX_BODY_BYTES": "0"})
    size = 15000000
    for what, path, args in (("pull", "/bulk/%d" % size, [0]), ("upload", "/sink", [size])):
        equal(result(traffic(t, what, server.port, "/demo" + path, *args), 200), "200 %d" % size, what)
    equal(client.out().count("/demo/"), 1, "times that the client connected")


# ------------------------------------------------------ 7: breaks are breaks


@scenario(quick=True)
def a_broken_raw_stream_is_an_rst(t):
    """After a 101, a break at either end is an RST at the other, and no other stream of the link notices."""
    origin, server, _ = t.trio()
    conns = hand_over(origin, "/raw-stream", SWITCH)
    bystander = upgraded(t, server, conns)
    for breaker in ("caller", "origin"):
        near, far = upgraded(t, server, conns)
        echo_check(near, far)
        ender, other = (near, far) if breaker == "caller" else (far, near)
        ender.abort()
        seen_broken(other, "the other side of the " + breaker)
        echo_check(*bystander)


@scenario()
def a_raw_stream_breaks_with_its_link(t):
    """When the wire, the client or the server is gone, a raw stream ends in an RST at both ends."""
    origin = t.origin()
    conns = hand_over(origin, "/raw-stream", SWITCH)
    for victim in ("wire", "client", "server"):
        server = t.server()
        wire = relay(t, server.port, 1000, 0, MIB)
        client = t.client("ws://127.0.0.1:%d/" % wire.port, origin, ready=False)
        client.wait_out("/demo/")
        near, far = upgraded(t, server, conns)
        echo_check(near, far)
        {"wire": wire, "client": client, "server": server}[victim].kill()
        seen_broken(near, "the caller of a killed " + victim)
        seen_broken(far, "the origin of a killed " + victim)


ANSWERS = {
    "length": (b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nhalf of it", "1.1"),
    "chunked": (CHUNKED + b"5\r\nhello\r\n", "1.1"),
    "until close": (b"HTTP/1.1 200 OK\r\n\r\nhalf of it", "1.1"),
    "until close, 1.0": (b"HTTP/1.1 200 OK\r\n\r\nhalf of it", "1.0"),
}


def is_whole(conn, head, octets):
    """Whether a caller would take what it got for a whole answer."""
    if head.get("transfer-encoding") == "chunked":
        return octets.endswith(b"0\r\n\r\n")
    length = head.get("content-length")
    if length is not None:
        return len(octets) >= int(length)
    return not conn.reset


@scenario(quick=True)
def no_break_ends_an_answer_well(t):
    """Origin, client, server or wire gone mid-answer: the caller never sees a whole answer, in any framing."""
    for victim in ("origin", "wire", "client", "server"):
        origin, server = t.origin(), t.server()
        wire = relay(t, server.port, 1000, 0, MIB)
        client = t.client("ws://127.0.0.1:%d/" % wire.port, origin, ready=False)
        client.wait_out("/demo/")
        open_ones = []
        for k, (name, (head, version)) in enumerate(ANSWERS.items()):
            conns = hand_over(origin, "/answer%d" % k, head)
            octets = request_octets("GET", "/demo/answer%d" % k).replace(b"HTTP/1.1", b"HTTP/" + version.encode())
            caller = t.conn(server).send(octets)
            far = receive(conns)
            open_ones.append((name, caller, far, caller.head(), caller.take(5)))
        if victim == "origin":
            for _, _, far, _, _ in open_ones:
                far.abort()
        else:
            {"wire": wire, "client": client, "server": server}[victim].kill()
        for name, caller, far, head, start in open_ones:
            octets = start + caller.rest()
            check(not is_whole(caller, head, octets), "%s gone: a whole answer (%s)" % (victim, name))


@scenario()
def no_break_ends_an_upload_well(t):
    """Caller, server, wire or client gone mid-upload: the origin never sees a whole request; others go on."""
    for victim in ("caller's end", "caller's RST", "wire", "client", "server"):
        origin, server = t.origin(), t.server()
        conns = hand_over(origin, "/up", b"")
        raws = hand_over(origin, "/raw-stream", SWITCH)
        wire = relay(t, server.port, 1000, 0, MIB)
        client = t.client("ws://127.0.0.1:%d/" % wire.port, origin, ready=False)
        client.wait_out("/demo/")
        bystander = upgraded(t, server, raws)
        uploads = []
        for fields, body in (([("Content-Length", "1000")], b"half of it"),
                             ([("Transfer-Encoding", "chunked")], b"a\r\nhalf of it\r\n")):
            caller = t.conn(server).send(request_octets("POST", "/demo/up", fields) + body)
            far = receive(conns)
            uploads.append((caller, far, far.take(len(body))))
        for caller, _, _ in uploads:
            if victim == "caller's end":
                caller.half_close()
            elif victim == "caller's RST":
                caller.abort()
        if not victim.startswith("caller"):
            {"wire": wire, "client": client, "server": server}[victim].kill()
        for _, far, start in uploads:
            octets = far.rest()
            check(b"0\r\n\r\n" not in octets and len(start + octets) < 1000, "%s gone: a whole request" % victim)
        if victim.startswith("caller"):
            echo_check(*bystander)


@scenario()
def other_streams_never_notice(t):
    """While streams break in all ways, downloads on the same link pass bit-true."""
    origin, server, _ = t.trio()
    raws = hand_over(origin, "/raw-stream", SWITCH)
    data = pattern(3 * MIB)
    over = threading.Event()

    def pull():
        while not over.is_set():
            check(t.get(server, "/demo/size/%d" % len(data), seconds=60).body == data, "a download was harmed")
        return True
    pulls = [t.background(pull) for _ in range(3)]
    for k in range(10):
        near, far = upgraded(t, server, raws)
        (near if k % 2 else far).abort()
        for path in ("/rst-early", "/short", "/short-chunked"):
            t.conn(server).send(request_octets("GET", "/demo" + path, [("Connection", "close")])).rest()
        gone = ask(t, server, "/demo/size/3000000")
        gone.head()
        gone.abort()
    over.set()
    for pull in pulls:
        check(pull.result(60), "pull")


# ------------------------------------------------- 8 and 9: several clients


@scenario(quick=True)
def fewest_streams_first_newest_among_equals(t):
    """Requests go round the clients of an id, the newest first; one that is free again is next."""
    server = t.server()
    peers = [t.tunnel(server) for _ in range(3)]
    taken = {}
    for k in (2, 1, 0, 2, 1, 0):
        caller = ask(t, server)
        request = peers[k].recv_request()
        taken.setdefault(k, []).append((caller, request["stream"]))
    caller, stream = taken[0].pop()
    peers[0].send_response(stream, 204)
    equal(caller.answer().status, 204, "status")
    ask(t, server)
    peers[0].recv_request()


@scenario()
def a_client_that_leaves_loses_only_its_own(t):
    """Of two clients with requests under way, one is killed: its callers get 502, the others their answers."""
    origins = [t.origin(), t.origin()]
    server = t.server()
    clients = [t.client(server, origin) for origin in origins]
    callers = [ask(t, server, "/demo/gate/open") for _ in range(8)]
    for origin in origins:
        origin.wait_seen("/gate/open", 4)
    clients[0].kill()
    wait(lambda: sum(harness.ended(c) or bool(peek(c)) for c in callers) == 4, "four answers")
    origins[1].gate("open").set()
    statuses = sorted(c.answer().status for c in callers)
    equal(statuses, [200] * 4 + [502] * 4, "statuses")


def peek(conn):
    """Whether something has come that nobody has read."""
    conn.sock.settimeout(0.01)
    try:
        return len(conn.sock.recv(1, harness.socket.MSG_PEEK)) > 0
    except OSError:
        return False


class Load:
    """Callers that ask one thing after the other, some of which take a while;
    .faults are the answers that were not as they must be."""

    def __init__(self, server, n=8):
        self.faults, self.count, self.over = [], 0, False
        self.server = server
        self.threads = [threading.Thread(target=self.run, args=(k,), daemon=True) for k in range(n)]
        for thread in self.threads:
            thread.start()

    def run(self, k):
        octets = pattern(10000 * k, k)
        line, sent, wanted = (("GET", "/demo/slow/0.1"), None, b"at last") if k % 2 else (
            ("PUT" if k % 4 else "POST", "/demo/raw"), octets, octets)
        conn = harness.Conn.to(self.server.port)
        while not self.over:
            try:
                answer = conn.request(*line, body=sent, seconds=30)
                if answer.status != 200 or answer.body != wanted:
                    self.faults.append("%s %s" % (answer.line, answer.body[:80]))
                self.count += 1
                if answer.get("connection") == "close":
                    conn = harness.Conn.to(self.server.port)
            except (Failed, OSError, ValueError) as error:
                self.faults.append(str(error))
                conn = harness.Conn.to(self.server.port)

    def stop(self):
        self.over = True
        for thread in self.threads:
            thread.join(60 * harness.SLOW)


def restarts(t, n):
    origin = t.origin()
    server = t.server()
    older = t.client(server, origin)
    load = Load(server)
    for _ in range(n):
        count = load.count
        newer = t.client(server, origin)
        wait(lambda: load.count > count + 20, "answers beside the second client")
        equal(older.terminate(seconds=15), 0, "exit of a client")
        older = newer
    load.stop()
    equal(load.faults, [], "requests that failed over %d restarts (%d in all)" % (n, load.count))


@scenario()
def restarts_lose_nothing(t):
    """Under load a new client of the same id comes and the older one goes, 5 times: no request fails."""
    restarts(t, 5)


@scenario(long=True)
def fifty_restarts_lose_nothing(t):
    """The same 50 times."""
    restarts(t, 50)


@scenario(quick=True)
def a_drain_finishes_streams(t):
    """SIGTERM: an answer, an upload and a raw stream that are under way end well before the client does."""
    origin, server, client = t.trio()
    conns = hand_over(origin, "/quiet", CHUNKED)
    raws = hand_over(origin, "/raw-stream", SWITCH)
    down = ask(t, server, "/demo/quiet")
    far_down = receive(conns)
    up = t.conn(server).send(request_octets("POST", "/demo/raw", [("Content-Length", "10")]) + b"half ")
    near, far = upgraded(t, server, raws)
    equal(down.head().status, 200, "status")
    wait(lambda: len(origin.conns) == 3, "the upload at the origin")
    client.send_signal(signal.SIGTERM)
    echo_check(near, far)
    up.send(b"of it")
    equal(up.answer().body, b"half of it", "upload")
    far_down.send(event_of("chunked", 1) + b"0\r\n\r\n")
    equal(read_event(down), 1, "event")
    equal(down.until(b"0\r\n\r\n"), b"0\r\n\r\n", "end of the answer")
    check(client.running(), "the client ended before its last stream")
    near.half_close()
    equal(far.rest(), b"", "end of the raw stream")
    far.half_close()
    equal(near.rest(), b"", "end of the raw stream")
    equal(client.wait_exit(5), 0, "exit status")


@scenario(long=True)
def a_drain_ends_after_10_s(t):
    """What has not ended 10 s after SIGTERM is broken off."""
    origin, server, client = t.trio()
    raws = hand_over(origin, "/raw-stream", SWITCH)
    near, far = upgraded(t, server, raws)
    client.send_signal(signal.SIGTERM)
    near.silent(9)
    seen_broken(near, "the caller")
    seen_broken(far, "the origin")
    client.wait_exit(3)
