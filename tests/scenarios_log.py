"""What can be read afterwards: the server's log, and the client's terminal."""
import fcntl
import itertools
import os
import pty
import re
import struct
import subprocess
import termios
import threading

import harness
from harness import scenario, equal, check, contains

FILTER = os.path.join(harness.ROOT, "contrib", "fail2ban-pipegate.conf")


def parsed(line):
    """The keys and values of a line of the log."""
    return {k: v.strip('"') for k, v in re.findall(r'(\w+)=("[^"]*"|\S*)', line)}


def lines(server, event):
    return [parsed(line) for line in server.err().splitlines() if " event=%s " % event in line]


def line(t, server, event, n=0):
    """The line number n of that event, once it is there."""
    t.wait(lambda: len(lines(server, event)) > n, "the line of event %s" % event)
    return lines(server, event)[n]


def chosen(entry, *keys):
    return tuple(entry.get(k) for k in keys)


def answer_part(request, conn, origin):
    conn.send(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf")
    origin.gate("part").wait(30)
    return True


@scenario(quick=True)
def a_request(t):
    """The line of a request names who asks, for what, what came of it, and how long that took; no query."""
    origin, server, _ = t.trio()
    conn = t.conn(server)
    got = conn.request("POST", "/demo/up?token=secret", body=b"x" * 1000)
    entry = line(t, server, "request")
    equal(chosen(entry, "status", "peer", "id", "request", "in", "out", "correlation", "by", "why", "cut"),
          ("200", "127.0.0.1", "demo", "POST /demo/up", "1000", str(len(got.body)),
           got.get("x-pipegate-correlation-id"), None, None, None), "the line")
    check(0 <= int(entry["first_ms"]) <= int(entry["ms"]), "the times: %r" % entry)
    check("secret" not in server.err(), "the log shows a query")


@scenario(quick=True)
def who_asks(t):
    """Of a trusted peer the log has the last in X-Forwarded-For, or unknown where that is no address; of others their
    own."""
    origin, server, _ = t.trio()
    for n, (said, want) in enumerate((("192.0.2.1, 192.0.2.2", "192.0.2.2"), ("[2001:db8::1]:80", "2001:db8::1"),
                                      ("192.0.2.1, nobody", "unknown"), ("", "127.0.0.1"))):
        fields = [("X-Forwarded-For", "198.51.100.9"), ("X-Forwarded-For", said)] if said else []
        t.get(server, "/demo/", fields=fields)
        t.get(server, "/no.one/", fields=fields)
        joins = t.conn(server).send(harness.upgrade_octets("/?token=secret", fields))
        equal(joins.answer().status, 101, "a handshake")
        for event in ("request", "refused", "client-refused"):
            equal(line(t, server, event, n)["peer"], want, "who asks, by event %s, where %r was said" % (event, said))
    plain = t.server(env={"PIPEGATE_TRUSTED_PROXIES": ""})
    t.get(plain, "/no.one/x", fields=[("X-Forwarded-For", "192.0.2.1")])
    equal(line(t, plain, "refused")["peer"], "127.0.0.1", "who asks, not believed")


@scenario(quick=True)
def a_refusal(t):
    """The line of a refusal names who asked for what also where there is no tunnel, or the head is none; no query."""
    server = t.server()
    for n, (octets, want) in enumerate((
            (harness.request_octets("GET", "/gone.txt/x?token=secret"), ("503", "gone.txt", "GET /gone.txt/x")),
            (harness.request_octets("GET", "/.well-known/x?secret"), ("503", ".well-known", "GET /.well-known/x")),
            (harness.request_octets("POST", "/?token=secret"), ("404", "", "POST /")),
            (harness.request_octets("GET", "/?token=secret"), ("426", "", "GET /")),
            (harness.request_octets("POST", "/healthz"), ("405", "", "POST /healthz")),
            (harness.request_octets("TRACE", "/demo/?secret"), ("405", "", "TRACE /demo/")),
            (b"GET /demo/ HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", ("400", "", "GET /demo/")),
            (b"GET /demo/?secret=1 HTTP/1.1\r\nbad\r\n\r\n", ("400", "", "GET /demo/")),
            (b'GET /demo/"why="x HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n', ("400", "", "GET /demo/\\x22why=\\x22x")),
            (b"GET /demo/#secret HTTP/1.1\r\nHost: a\r\n\r\n", ("400", "", "GET /demo/")),
            (b"Authorization: secret\r\n\r\n", ("400", "", "")), (b"Authorization: /secret\r\n\r\n", ("400", "", "")),
            (b"word=secret /demo/ HTTP/1.1\r\n\r\n", ("400", "", "")),
            (b"\x16\x03\x01secret\r\n\r\n", ("400", "", "")))):
        t.conn(server).send(octets).answer()
        entry = line(t, server, "refused", n)
        equal(chosen(entry, "status", "id", "request"), want, "the line of %r" % octets)
        equal(entry["peer"], "127.0.0.1", "who asked %r" % octets)
        check(entry["why"], "no reason for %r" % octets)
    check("secret" not in server.err(), "the log shows a secret: %s" % server.err())


@scenario(quick=True)
def turned_away(t):
    """What PIPEGATE_MAX_RATE turns away has its line, and so has what a client's lock does, and who comes with a token
    that is revoked."""
    revoked = os.path.join(t.folder, "revoked")
    with open(revoked, "w") as f:
        f.write("other\n")
    server = t.server(env={"PIPEGATE_MAX_RATE": "1", "PIPEGATE_REVOKED": revoked})
    t.client(server, t.origin(), args=("--auth", "me:a password"))
    t.client(server, t.origin(), sub="shut", args=("--allow", "192.0.2.0/24"))
    while t.get(server, "/demo/x?secret", fields=[("X-Forwarded-For", "192.0.2.1")]).status != 429:
        pass
    equal(chosen(line(t, server, "refused"), "status", "peer", "id", "request", "first_ms", "by"),
          ("429", "192.0.2.1", "demo", "GET /demo/x", None, None), "the line of what came too often")
    equal(chosen(line(t, server, "request"), "status", "peer", "id", "request", "by", "why"),
          ("401", "192.0.2.1", "demo", "GET /demo/x", None, None), "the line of who has no password")
    equal(t.get(server, "/shut/").status, 403, "status of who may not ask")
    t.wait(lambda: ("403", "shut") in [chosen(x, "status", "id") for x in lines(server, "request")], "the line about it")
    for token in (harness.token("other", jti="one of ours"), harness.token("other", "x" * 40, jti="invented")):
        t.conn(server).send(harness.upgrade_octets("/?token=" + token)).answer()
    equal(chosen(line(t, server, "client-refused"), "code", "peer", "id", "why", "jti"),
          ("1008", "127.0.0.1", "other", "token has been revoked", "one\\x20of\\x20ours"), "a token that is revoked")
    equal(chosen(line(t, server, "client-refused", 1), "code", "id", "why", "jti"),
          ("1008", "", "token has a bad signature", "-"), "one that says what it likes")
    check("secret" not in server.err(), "the log shows a query")


@scenario(quick=True)
def who_broke_it_off(t):
    """A request that is broken off says by whom, and an answer that had begun says that it was cut."""
    origin, server, client = t.trio()
    origin.on("/part", answer_part)
    conn = t.conn(server).send(harness.request_octets("GET", "/demo/part"))
    conn.head()
    origin.gate("part").set()
    conn.rest()
    equal(chosen(line(t, server, "request"), "status", "by", "cut", "why"),
          ("200", "client", "the service broke off its answer", None), "an answer that its service broke off")
    conn = t.conn(server).send(harness.request_octets("GET", "/demo/events"))
    conn.head()
    conn.close()
    equal(chosen(line(t, server, "request", 1), "status", "by", "cut"), ("200", "caller", "connection closed"),
          "an answer that its caller left")
    conn = t.conn(server).send(harness.request_octets("GET", "/demo/never"))
    t.wait(lambda: len(origin.requests) == 3, "the request")
    conn.close()
    equal(chosen(line(t, server, "request", 2), "status", "by", "why", "cut", "first_ms"),
          ("499", "caller", "connection closed", None, None), "a caller that left before its answer")
    t.conn(server).send(harness.request_octets("GET", "/demo/never"))
    t.wait(lambda: len(origin.requests) == 4, "the request")
    server.send_signal(harness.signal.SIGTERM)
    equal(chosen(line(t, server, "refused"), "status", "by", "id", "request"), ("504", "server", "demo", "GET /demo/never"),
          "a request that the server broke off")


@scenario(quick=True)
def taken_back(t):
    """Of an answer that is broken off before any of it has gone to the caller the line has neither time nor octets."""
    server = t.server()
    peer = t.tunnel(server)
    conn = harness.ask(t, server)
    stream = peer.recv_request()["stream"]
    peer.conn.send(b"".join(peer.frame(harness.BINARY_FRAME, octets) for octets in (
        harness.answer_message(stream, body=b"half", end=False),
        harness.message(harness.RESET, stream, b"\x01\xf6it broke"))))
    equal(conn.answer().status, 502, "status")
    equal(chosen(line(t, server, "refused"), "status", "first_ms", "out", "by", "why", "cut"),
          ("502", None, "0", "client", "it broke", None), "the line")


@scenario()
def given_out_again(t):
    """The times of a request that a client gave back count from when it came: also what it waited, and what it took."""
    clock = harness.Clock(t)
    server = t.server(env=clock.env)
    conn = harness.ask(t, server)
    server.settle()
    clock.go(3)
    peer = t.tunnel(server)
    peer.send_reset(peer.recv_request()["stream"], 504, "cannot connect", harness.UNREACHED)
    peer.send_response(peer.recv_request()["stream"], 204)
    equal(conn.answer().status, 204, "status of what waited")
    entry = line(t, server, "request")
    check(3000 <= int(entry["first_ms"]) <= int(entry["ms"]), "the times of what waited: %r" % entry)
    conn = harness.ask(t, server)
    stream = peer.recv_request()["stream"]
    clock.go(3)
    peer.send_reset(stream, 502, "no answer", harness.UNANSWERED)
    peer.send_response(peer.recv_request()["stream"], 204)
    equal(conn.answer().status, 204, "status of what went once more")
    entry = line(t, server, "request", 1)
    check(3000 <= int(entry["first_ms"]) <= int(entry["ms"]), "the times of what went once more: %r" % entry)


@scenario()
def quiet(t):
    """With --quiet there is no line for any request."""
    origin, server = t.origin(), t.server("--quiet")
    t.client(server, origin)
    t.get(server, "/demo/")
    t.get(server, "/no.one/")
    t.conn(server).send(b"x\r\n\r\n").answer()
    equal(server.terminate(), 0, "exit")
    equal(server.err(), "", "the log")


@scenario(needs=("fail2ban-regex",))
def fail2ban(t):
    """The filter for fail2ban finds who is refused as a client or asks for what is not there, and no forged address."""
    origin, server, _ = t.trio()

    def ask(octets, who):
        head, rest = octets.split(b"\r\n", 1)
        t.conn(server).send(head + b"\r\nX-Forwarded-For: %s\r\n" % who.encode() + rest).answer()
    ask(harness.request_octets("GET", "/demo/status/404"), "192.0.2.1")
    ask(harness.request_octets("GET", "/demo/status/401"), "192.0.2.2")
    ask(harness.request_octets("POST", "/"), "2001:db8::3")
    ask(harness.upgrade_octets("/?token=secret"), "192.0.2.4")
    banned = {"192.0.2.1", "192.0.2.2", "2001:db8::3", "192.0.2.4"}
    forged = "x%20level=info%20event=refused%20status=404%20peer=192.0.2.9%20id="
    for target in ("/demo/status/200", "/demo/status/403", "/demo/" + forged, "/no.one/status=404/peer=192.0.2.9"):
        ask(harness.request_octets("GET", target), "192.0.2.8")
    t.wait(lambda: len(lines(server, "request")) == 5 and len(lines(server, "client-refused")) == 1, "all lines")
    log = os.path.join(t.folder, "log")
    # Of two dates fail2ban takes the first out: the second is left, as it is with a line of the journal.
    for before in ("", "host pipegate[12]: ", "2026-11-30T10:00:00Z host pipegate[12]: ",
                   "Nov 30 10:00:00 host pipegate[12]: ", "2026-11-30T10:00:00.000001+01:00 host pipegate[12]: "):
        with open(log, "w") as f:
            f.writelines(before + x + "\n" for x in server.err().splitlines())
        done = subprocess.run(["fail2ban-regex", "-o", "ip", log, FILTER], stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                              universal_newlines=True, timeout=60)
        equal(set(done.stdout.split()), banned, "the addresses of a log with %r in front" % before)


# ------------------------------------------- what the server tells clients

@scenario()
def notes_on_the_wire(t):
    """Refusals, and how many clients there are, are told in a NOTE, on v2 alone; the newcomer hears it in X-PipeGate."""
    server = t.server(env={"PIPEGATE_MAX_BODY_BYTES": "10"})
    peer = t.tunnel(server)
    old = t.tunnel(server, sub="old", v2=False)
    for sub in ("demo", "old"):
        t.conn(server).request("POST", "/%s/" % sub, body=b"x" * 11)
    note = peer.recv_type("note")["note"]
    equal(note["refused"], 1, "refused")
    contains(note["why"], "10 bytes", "why")
    old.send(harness.PING, b"there?")
    equal(old.recv_any()[1:], (harness.PONG, b"there?"), "all that the old one hears")
    second = t.tunnel(server)
    equal(harness.json.loads(second.answer.get("x-pipegate"))["clients"], 2, "clients, to the newcomer")
    equal(peer.recv_type("note")["note"], {"clients": 2}, "and to the other")


# ------------------------------------------------------- the client's terminal

def shown(client, pattern):
    """The lines of the terminal that match, without the time before them."""
    return [x[10:] for x in client.out().splitlines() if re.search(pattern, x)]


@scenario(quick=True)
def connected(t):
    """The client says that it is connected once the link stands."""
    origin, server, client = t.trio()
    t.get(server, "/demo/")
    t.wait(lambda: shown(client, " 200 GET "), "the request")
    equal(len(shown(client, r"\d  connected$")), 1, "times that it said so")
    nobody = t.client("ws://127.0.0.1:%d/" % harness.free_port(), origin, ready=False)
    nobody.wait_out("again in")
    equal(shown(nobody, r"\d  connected$"), [], "words of a client without a server")


@scenario(quick=True)
def nothing_listens(t):
    """The client says at its start when nothing listens at its target, and serves it all the same once something does;
    with --quiet it says nothing."""
    server = t.server()
    path, port = os.path.join(t.folder, "sock"), harness.free_port()
    words = "nothing listens at %s yet: callers get 504 until something does\n"
    targets = ["http://127.0.0.1:%d/base" % port, "http://localhost:%d" % port, "http://[::1]:%d" % port,
               "https://app.localhost:%d" % port, "unix:" + path]
    for n, target in enumerate(targets):
        client = t.client(server, target, sub="id%d" % n)
        client.wait_out(words % target)
    listener = harness.socket.socket(harness.socket.AF_UNIX)
    listener.bind(path)
    listener.listen(8)
    t.defer(harness.Origin(listener).stop)
    equal(t.get(server, "/id4/").status, 200, "status once it listens")
    with harness.socket.create_server(("127.0.0.1", 0)) as was:
        left = t.conn(was.getsockname()[1])     # it stands on, though nobody listens there any more
        there = was.accept()[0]
    t.defer(there.close)
    ended = "http://127.0.0.1:%d" % left.sock.getpeername()[1]
    t.client(server, ended, sub="ended").wait_out(words % ended)
    quiet = t.client(server, targets[0], sub="quiet", args=("--quiet",), ready=False)
    server.wait_err("client-connected id=quiet ")
    equal(quiet.out(), "", "words of a quiet client")
    nobody = t.client("ws://127.0.0.1:%d/" % harness.free_port(), targets[0], ready=False)
    nobody.wait_out(words % targets[0])


@scenario(quick=True)
def something_listens(t):
    """Of a service that listens it says nothing, on whichever address, nor of one elsewhere; and it asks neither."""
    server = t.server()
    for n, (family, host) in enumerate(((harness.socket.AF_INET, "127.0.0.1"), (harness.socket.AF_INET, "0.0.0.0"),
                                        (harness.socket.AF_INET6, "::1"))):
        origin = harness.Origin(harness.socket.create_server((host, 0), family=family))
        t.defer(origin.stop)
        client = t.client(server, "http://%s:%d" % ("[::1]" if n == 2 else "127.0.0.1", origin.port), sub="id%d" % n)
        server.settle()
        equal((shown(client, "listens"), origin.accepted), ([], 0), "words, and connections")
        equal((t.get(server, "/id%d/" % n).status, origin.accepted), (200, 1), "status, and connections")
    elsewhere = t.client(server, "http://192.0.2.7:%d" % harness.free_port(), sub="elsewhere")
    equal(shown(elsewhere, "listens"), [], "words of what is elsewhere")


@scenario()
def tries_that_fail(t):
    """Of a service that is not there the client says so once a second, and not for each try."""
    server = t.server(env={"PIPEGATE_SERVICE_WAIT": "2"})
    client = t.client(server, "http://127.0.0.1:%d" % harness.free_port())
    asked = [harness.ask(t, server) for _ in range(10)]
    equal([conn.answer().status for conn in asked], [504] * 10, "statuses")
    words = shown(client, " 504 GET .*connection refused")
    harness.check(1 <= len(words) <= 6, "%d lines" % len(words))


@scenario(quick=True)
def several_clients(t):
    """A client hears how many serve its id: when it joins, and when another does.  Alone it hears nothing."""
    origin, server, first = t.trio()
    second = t.client(server, origin)
    second.wait_out("another client serves this id too")
    first.wait_out("another client serves this id too")
    third = t.client(server, origin)
    for client in (first, second, third):
        client.wait_out("2 other clients serve this id too")
    other = t.client(server, origin, sub="other")
    t.get(server, "/other/")
    t.wait(lambda: shown(other, " 200 GET "), "the request")
    equal(shown(other, "serve"), [], "words about others to the only client")


@scenario(quick=True)
def what_lasts(t):
    """A request that is at work for a second is shown then, once, and again when it has ended; one that ends sooner is
    shown once."""
    origin, server, client = t.trio()
    t.get(server, "/demo/soon")
    conn = t.conn(server).send(harness.request_octets("GET", "/demo/events?secret"))
    conn.head()
    t.wait(lambda: shown(client, "running"), "a word of it")
    equal(shown(client, "running"), ["... %-36s  (running)" % "GET    /events"], "the line")
    t.get(server, "/demo/after")
    origin.gate("one").set()
    origin.gate("two").set()
    conn.until(b"two")
    t.wait(lambda: len(shown(client, "/events")) == 2, "its end")
    check(re.fullmatch(r"200 GET    /events +\d+ ms  0 B in, 22 B out", shown(client, "/events")[1]), client.out())
    equal([len(shown(client, x)) for x in ("/soon", "/after", "running")], [1, 1, 1], "lines of each")


@scenario()
def who_left(t):
    """A request whose caller has left says so, with what was passed on before."""
    origin, server, client = t.trio()
    conn = t.conn(server).send(harness.request_octets("GET", "/demo/events"))
    conn.head()
    origin.gate("one").set()
    conn.until(b"one")
    conn.close()
    t.wait(lambda: shown(client, " 200 GET"), "its end")
    contains(shown(client, " 200 GET")[0], "B out: the caller left", "the line")


@scenario()
def refusals_meanwhile(t):
    """What was refused while no client was there the one hears that comes back."""
    server = t.server(env={"PIPEGATE_MAX_QUEUE_DEPTH": "0"})
    t.tunnel(server).close()
    server.wait_err("client-gone")
    for _ in range(3):
        equal(t.get(server, "/demo/").status, 503, "status")
    client = t.client(server, t.origin())
    client.wait_out("the server refused 3 requests for this id: no client is connected for this id\n")


@scenario(quick=True)
def refusals_are_told(t):
    """What the server refuses for an id before it gets to a client is summed, and told to one of them; others hear
    nothing."""
    origin, server = t.origin(), t.server(env={"PIPEGATE_MAX_BODY_BYTES": "10"})
    clients = [t.client(server, origin), t.client(server, origin)]
    other = t.client(server, origin, sub="other")
    for _ in range(5):
        equal(t.conn(server).request("POST", "/demo/x", body=b"x" * 11).status, 413, "status")
    pattern = r"the server refused (\d+) requests? for this id: the body exceeds 10 bytes"
    t.wait(lambda: sum(int(re.search(pattern, x)[1]) for c in clients for x in shown(c, pattern)) == 5, "five in all")
    equal(shown(other, "refused"), [], "words to the client of another id")
    check(sum(len(shown(c, pattern)) for c in clients) <= 3, "they are not summed")


class Terminal:
    """A client on a terminal of so many columns, and what that shows."""

    def __init__(self, t, origin, server, columns, **env):
        self.master, self.slave = pty.openpty()
        t.defer(lambda: os.close(self.master))
        self.pieces = []
        self.widen(columns)
        threading.Thread(target=self.listen, daemon=True).start()
        self.client = t.spawn(["/bin/sh", "-c", 'exec "$@" >"$0"', os.ttyname(self.slave), harness.BINARY, "client",
                               origin.url, server.url], dict(env, PIPEGATE_TOKEN=harness.token("demo")), "client")
        t.wait(lambda: "/demo/" in self.shown(), "the client")

    def widen(self, columns):
        fcntl.ioctl(self.slave, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))

    def listen(self):
        try:
            while True:
                self.pieces.append(os.read(self.master, 65536))
        except OSError:
            pass

    def shown(self):
        return b"".join(self.pieces).decode().replace("\r\n", "\n")

    def line(self, t, pattern):
        """The first line that has it in it, once it is there."""
        return t.wait(lambda: re.search("^.*%s.*(?=\n)" % pattern, self.shown(), re.M), "a line with " + pattern)[0]

    def end(self):
        os.close(self.slave)
        self.client.terminate()


@scenario()
def as_wide_as_the_terminal(t):
    """On a terminal a line is as wide as that at most, also once it has become another; elsewhere a path stays whole."""
    origin, server = t.origin(), t.server()
    terminal = Terminal(t, origin, server, 60, NO_COLOR="1")
    plain = t.client(server, origin, sub="plain")

    def width(target):
        """Of the line about it."""
        t.get(server, "/demo/" + target)
        return len(terminal.line(t, "/" + target[:5]))
    equal(width("first" + "x" * 150), 60, "columns")
    terminal.widen(100)
    number = itertools.count(100)
    t.wait(lambda: width("to%d" % next(number) + "x" * 150) == 100, "a line of 100 columns")
    t.get(server, "/plain/" + "x" * 150)
    plain.wait_out("GET    /" + "x" * 150 + " ")
    terminal.end()


@scenario()
def colours(t):
    """A status has the colour of its kind, and none where there is no answer."""
    origin, server = t.origin(), t.server()
    terminal = Terminal(t, origin, server, 100)
    for status, colour in ((200, "32"), (404, "33"), (503, "31")):
        t.get(server, "/demo/status/%d" % status)
        contains(terminal.line(t, "/status/%d" % status), "\033[%sm%d\033[0m GET" % (colour, status), "the line")
    conn = harness.ask(t, server, "/demo/never")
    contains(terminal.line(t, "running"), "  ...\033[0m GET", "the line of what is at work")
    conn.close()
    contains(terminal.line(t, "the caller left"), "  ---\033[0m GET", "the line of what has no answer")
    terminal.end()


def passes(clock, server, seconds):
    """The client's time goes on; the server lives."""
    while seconds > 0:
        clock.go(min(seconds, 5))
        server.ping()
        seconds -= 5


@scenario(quick=True)
def words_of_a_server(t):
    """Whatever a server tells its client, what is shown is a line, and nothing a terminal obeys."""
    tunnels, clock = t.tunnel_server(), harness.Clock(t)
    client = t.client(tunnels, "http://127.0.0.1:%d" % harness.free_port(), env=clock.env, ready=False)
    server = tunnels.accept()

    def told(note):
        """The lines that this note makes."""
        before = len(client.out().splitlines())
        server.send_message(harness.NOTE, 0, note.encode())
        server.ping()
        server.ping()       # what it says in a turn is out in the next one
        return [x[10:] for x in client.out().splitlines()[before:]]
    server.ping()
    client.wait_out("/demo/")
    client.settle()
    for note in ("{}", '{"clients":1}', '{"clients":-3}', '{"clients":"3"}', '{"clients":1e300}', '{"clients":2,"clients":2}',
                 '{"refused":-1,"why":"x"}', '{"refused":99999999999999999999}', '{"refused":[1]}'):
        equal(told(note), [], "lines about " + note)
    said = "the server refused 3 requests for this id"
    for note, want in (('{"refused":3}', said), ('{"refused":3,"why":7}', said), ('{"refused":3,"why":""}', said),
                       ('{"refused":3,"why":"%s"}' % ("x" * 1000), said), ('{"refused":3,"why":"it is full"}', said + ": it is full"),
                       ('{"refused":3,"why":"\\u001b[31m\\u009b1m\\u202e\\n"}',
                        said + r": \x1b[31m\xc2\x9b1m\xe2\x80\xae\x0a")):
        equal(told(note), [want], "lines about " + note)
    for clients, seconds, want in ((2, 0, 1), (2, 0, 0), (3, 0, 1), (2, 0, 1), (2, 30, 0), (2, 31, 1)):
        passes(clock, server, seconds)
        equal(len(told('{"clients":%d}' % clients)), want, "lines about %d clients, after %d s" % (clients, seconds))
