"""The client towards its local service: connections that are kept, names that
are looked up, uploads that nobody wants any more."""
import os
import socket
import time

import harness
from harness import scenario, equal, check, wait, built, ask


def held_names(t):
    """An environment in which *.test is 127.0.0.1, but not while the returned file is there."""
    path = os.path.join(t.folder, "held")
    return {"LD_PRELOAD": built("names.so"), "NAMES_HELD": path}, path


def children(process):
    return [p for p in process.children() if p != process.pid]


@scenario()
def bodiless_answers_keep_the_connection(t):
    """An answer without a body (HEAD, 204, 304, Content-Length: 0) leaves its connection to the service for the next
    request: many of them need one."""
    origin, server, _ = t.trio()
    for path, octets in {"204": b"HTTP/1.1 204 No Content\r\n\r\n",
                         "304": b"HTTP/1.1 304 Not Modified\r\nContent-Length: 9\r\n\r\n",
                         "empty": b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"}.items():
        origin.on("/" + path, octets)
    caller = t.conn(server)
    for _ in range(3):
        for method, path, status in (("GET", "204", 204), ("GET", "304", 304), ("GET", "empty", 200),
                                     ("HEAD", "echo", 200)):
            caller.send(harness.request_octets(method, "/demo/" + path))
            equal(caller.answer(method).status, status, "%s %s" % (method, path))
    equal(origin.accepted, 1, "connections to the service for 12 requests")


@scenario()
def bodies_keep_the_connection(t):
    """Requests and answers with bodies, of a known length or in chunks, one after the other, need one connection to
    the service."""
    origin, server, _ = t.trio()
    caller = t.conn(server)
    for n in (1, 3000, 100000):
        body = harness.pattern(n)
        for method, path, sent in (("GET", "/size/%d" % n, None), ("GET", "/chunked/%d" % n, None),
                                   ("POST", "/raw", body), ("PUT", "/raw", body)):
            answer = caller.request(method, "/demo" + path, body=sent)
            equal((answer.status, answer.body == body), (200, True), "%s %s" % (method, path))
    equal(origin.accepted, 1, "connections to the service for 12 requests")


@scenario()
def a_post_takes_no_stale_connection(t):
    """A connection to the service that was idle for more than a second takes no POST, which could not be sent twice:
    that gets a new one.  A GET takes the idle one, and a POST one that is fresh."""
    clock = harness.Clock(t)
    origin, server, client = t.trio(client_env=clock.env)
    caller = t.conn(server)
    for idle, method, conns in ((0, "GET", 1), (0, "POST", 1), (2, "GET", 1), (2, "POST", 2), (0, "POST", 2)):
        clock.go(idle)
        answer = caller.request(method, "/demo/raw", body=b"x" if method == "POST" else None)
        equal(answer.status, 200, "status of a %s" % method)
        equal(origin.accepted, conns, "connections to the service after a %s that came %d s later" % (method, idle))


@scenario()
def a_long_target(t):
    """A base path of some thousand octets in TARGET_URL is kept whole."""
    origin = t.origin()
    server = t.server()
    base = "/" + "b" * 3000
    t.client(server, origin.url + base)
    equal(t.get(server, "/demo/echo").status, 200, "status")
    equal([r.path for r in origin.requests], [base + "/echo"], "path at the service")


def unread(server, caller):
    """Octets that caller has sent and the server has not read, though it is at rest."""
    near = "%04X" % caller.sock.getsockname()[1]
    with open("/proc/net/tcp") as f:
        for line in f.readlines()[1:]:
            words = line.split()
            if words[1].endswith(":%04X" % server.port) and words[2].endswith(":" + near):
                return int(words[4].split(":")[1], 16)
    return 0


@scenario()
def an_abandoned_upload_ends(t):
    """A caller that leaves in the midst of an upload which the service does not read is seen to leave: the service's
    connection ends, and so do the caller's and the client's."""
    origin, server, client = t.trio(server_env={"PIPEGATE_MAX_BODY_BYTES": "0"})
    gate = origin.gate("deaf")

    def deaf(request, conn, _):
        return gate.wait(60)
    deaf.reads_body = False
    origin.on("/deaf", deaf)
    before = server.descriptors(), client.descriptors()
    callers = []
    for i, framing in enumerate(("Content-Length: 1000000000", "Transfer-Encoding: chunked",
                                 "Connection: close\r\nContent-Length: 1000000000")):
        caller = t.conn(server)
        caller.send("POST /demo/deaf HTTP/1.1\r\nHost: h\r\n%s\r\n\r\n" % framing)
        chunk = b"40000\r\n" + b"x" * 262144 + b"\r\n" if "chunked" in framing else b"x" * 262144
        origin.wait_seen("/deaf", i + 1)
        while not (unread(server, caller) and unread(server.settle() or server, caller)):
            caller.send(chunk)
        callers.append(caller)
    for caller in callers:
        caller.close()
    wait(lambda: (server.descriptors(), client.descriptors()) == before,
         "the descriptors of three uploads to be closed")
    gate.set()


@scenario()
def an_early_answer_says_close(t):
    """An answer that begins before its request is whole says Connection: close, since what is left of the body will
    not be read: nobody sends a next request into a connection that ends."""
    origin, server, _ = t.trio()

    def early(request, conn, _):
        harness.reply(conn, 200, body=b"early")
        return conn.rest(10)
    early.reads_body = False
    origin.on("/early", early)
    caller = t.conn(server)
    caller.send("POST /demo/early HTTP/1.1\r\nHost: h\r\nContent-Length: 100\r\n\r\nsome")
    answer = caller.answer()
    equal((answer.status, answer.body, answer.get("connection")), (200, b"early", "close"), "answer")


@scenario()
def a_busy_look_up_is_no_failed_dial(t):
    """While the service's name is being looked up, and takes long, a link that is gone is dialled again: what is looked
    up for the service does not count as a failed dial."""
    env, held = held_names(t)
    origin = t.origin()
    server = t.server()
    client = t.client(server, "http://app.test:%d" % origin.port, env=env)
    equal(t.get(server, "/demo/echo").status, 200, "status")
    origin.stop()
    open(held, "w").close()
    equal(t.get(server, "/demo/echo").status, 504, "status without a service")
    wait(lambda: len(children(client)) == 1, "the look-up's process")
    server.terminate()
    again = t.server(port=server.port)
    wait(lambda: "connected again" in client.out(), "the client to be back", 8)
    equal(client.out().count("trying again"), 1, "dials that had to wait")
    equal(len(children(client)), 1, "look-ups still under way")
    os.unlink(held)
    again.terminate()


@scenario()
def parked_ones_leave_during_a_look_up(t):
    """Connections that are put aside, many of them, are let go of when the service ends them, also while a look-up is
    under way: its process has copies of them for a moment, of which the loop must not hear for ever."""
    env, held = held_names(t)
    origin = t.origin()
    server = t.server(env={"PIPEGATE_SERVICE_WAIT": "0"})
    client = t.client(server, "http://app.test:%d" % origin.port, env=env)
    before = client.descriptors()

    def at_once(n, statuses):
        """n requests, of which all that the service can get are there together."""
        gate = origin.gate("kept %d" % n)
        origin.on("/kept/%d" % n, lambda request, conn, _: gate.wait(20) and conn.send(
            b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n") and None)
        asked = [ask(t, server, "/demo/kept/%d" % n) for _ in range(n)]
        wait(lambda: len(origin.seen("/kept/%d" % n)) == 150, "all requests at once")
        gate.set()
        equal(sorted(conn.answer().status for conn in asked), statuses, "statuses")
    at_once(150, [200] * 150)
    origin.listener.shutdown(socket.SHUT_RDWR)
    origin.listener.close()
    open(held, "w").close()
    at_once(151, [200] * 150 + [504])
    wait(lambda: len(children(client)) == 1, "the look-up's process")
    origin.stop()
    wait(lambda: client.descriptors() <= before + 4, "the connections to be let go of")
    turns = client.turns()
    time.sleep(2)
    check(client.turns() - turns < 20, "%d turns in 2 s" % (client.turns() - turns))
    equal(len(children(client)), 1, "look-ups still under way")
    os.unlink(held)


@scenario()
def a_look_up_holds_no_connection(t):
    """A look-up that takes long keeps none of the client's connections open: a request that its caller abandons ends
    at the service at once."""
    env, held = held_names(t)
    origin = t.origin()
    server = t.server()
    client = t.client(server, "http://app.test:%d" % origin.port, env=env)
    gate = origin.gate("hang")
    ended = []

    def hang(request, conn, _):
        try:
            conn.sock.recv(1)
        except OSError:
            pass
        ended.append(1)
        return True
    origin.on("/hang", hang)
    caller = t.conn(server).send("GET /demo/hang HTTP/1.1\r\nHost: h\r\n\r\n")
    origin.wait_seen("/hang")
    origin.listener.shutdown(socket.SHUT_RDWR)
    origin.listener.close()
    open(held, "w").close()
    equal(t.get(server, "/demo/echo").status, 504, "status when nobody listens any more")
    wait(lambda: len(children(client)) == 1, "the look-up's process")
    caller.close()
    wait(lambda: ended, "the abandoned request to end at the service", 4)
    equal(len(children(client)), 1, "look-ups still under way")
    os.unlink(held)
    gate.set()


@scenario()
def secrets_that_are_not_used(t):
    """A client that was given PIPEGATE_JWT_SECRET, which it does not use, drops it: neither its own environment nor
    that of a program which it runs has it."""
    origin = t.origin()
    server = t.server()
    seen = os.path.join(t.folder, "seen")
    client = t.client(server, origin, ready=False, args=(
        "--connect", "sh -c 'env >%s.part; mv %s.part %s; exec sleep 1000'" % (seen, seen, seen)))
    wait(lambda: os.path.exists(seen), "the helper to run")
    with open(seen) as f:
        check("PIPEGATE_JWT_SECRET" not in f.read(), "the helper has the secret in its environment")
    with open("/proc/%d/environ" % client.pid, "rb") as f:
        check(harness.SECRET.encode() not in f.read(), "the client has the secret in its environment")


@scenario()
def a_host_is_no_command(t):
    """A SERVER_URL whose host holds what a shell would take for a command is refused, and nothing of it is run."""
    mark = os.path.join(t.folder, "mark")
    for host in ("$(touch %s)" % mark, "`touch %s`" % mark, "a;touch%sx" % chr(9), "a b", "a|b", "a&b", "a'b", "a\nb"):
        process = t.run("client", "3000", "ws://%s/?token=a" % host, "--connect", "echo %h %p")
        equal(process.status, 2, "exit status for %r" % host)
    check(not os.path.exists(mark), "a part of SERVER_URL was run")
