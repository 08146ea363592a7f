"""System calls that fail, one at a time: what must be so at each."""
import fcntl
import resource
import signal
import struct
import termios

import harness
import inject
from harness import scenario, check, equal, wait, ask, Conn, Failed
from inject import Injection

WRITE_ERRORS = ("ECONNRESET", "EPIPE", "ETIMEDOUT", "ENOBUFS", "ENOMEM", "EIO")


def injected(t, point=None, hold=True):
    inject.library()
    return Injection(t, point, hold)


@scenario()
def server_outlives_poll(t):
    """A poll() of the server that fails with ENOMEM or EINVAL ends nothing: requests are served on."""
    for error in ("ENOMEM", "EINVAL"):
        injection = injected(t, ("poll", 2, error))
        server = t.server(env=injection.environment())
        injection.go()
        for _ in range(3):
            equal(t.get(server, "/healthz").status, 200, error)
        equal(injection.fired, 1, "polls that failed")


@scenario()
def client_outlives_poll(t):
    """Nor does one of the client."""
    for error in ("ENOMEM", "EINVAL"):
        injection = injected(t, ("poll", 2, error))
        origin, server, client = t.trio(client_env=injection.environment())
        injection.go()
        for _ in range(3):
            equal(t.get(server, "/demo/echo").status, 200, error)
        equal(injection.fired, 1, "polls that failed")
        check(client.running(), "the client ended")


@scenario()
def limit_lowered_below_what_is_open(t):
    """When the limit of open files falls below what is open, callers are evicted and the server serves on."""
    injection = injected(t, hold=False)
    server = t.server(env=injection.environment())
    conns = [t.conn(server) for _ in range(40)]
    equal(t.get(server, "/healthz").status, 200, "before")
    resource.prlimit(server.pid, resource.RLIMIT_NOFILE, (20, 20))
    for conn in conns[:5]:
        conn.close()
    # Of those that are open a few are not in the set that poll() is given.
    wait(lambda: not server.running() or server.descriptors() <= 28, "callers that are evicted", 5)
    check(server.running(), "the server ended: %s" % server.err()[-200:])
    check(injection.seen()["poll"] < 1000, "it spins: %d turns" % injection.seen()["poll"])
    for conn in conns:
        conn.close()
    t.wait_healthy(server.port)


@scenario()
def evicted_callers(t):
    """A caller that has sent a byte of its request and must go gets 503; an idle one is closed without a word."""
    injection = injected(t, hold=False)
    server = t.server(env=dict(injection.environment(), PIPEGATE_MAX_CONNECTIONS="10"))
    def reads():
        return injection.seen().get("readv", 0) + injection.seen().get("read", 0)
    begun = [t.conn(server) for _ in range(10)]
    for conn in begun:
        before = reads()
        conn.send(b"G")
        wait(lambda: reads() > before, "a byte that is read")
    idle = t.conn(server)
    equal(begun[0].answer().status, 503, "who had begun")
    begun[0].closed()
    t.conn(server)
    idle.closed()


@scenario()
def listener_that_blocks(t):
    """Where fcntl() fails as the server starts, it says so and ends with 1, or answers callers and SIGTERM."""
    injection = injected(t, hold=False)
    server = t.server(env=injection.environment())
    calls = injection.seen()["fcntl"]
    server.terminate()
    for n in range(1, calls + 1):
        injection = injected(t, ("fcntl", n, "EIO"), hold=False)
        server = t.server(env=injection.environment(), ready=False)
        wait(lambda: "\n" in server.out() or not server.running(), "a word of the server")
        if not server.running():
            equal(server.child.returncode, 1, "exit")
            check(server.err().startswith("pipegate: "), "it ended without a word")
            continue
        port = int(server.out().split("\n")[0].rsplit(":", 1)[1])
        conn = Conn.to(port)
        t.defer(conn.close)
        equal(conn.get("/healthz", seconds=5).status, 200, "fcntl %d" % n)
        equal(server.terminate(), 0, "exit")


@scenario()
def ends_without_a_sleep(t):
    """A server told to end does not wait in poll() once its last connection is freed."""
    injection = injected(t, hold=False)
    server = t.server(env=injection.environment())
    peer = t.tunnel(server)
    conn = ask(t, server)
    peer.send_response(peer.recv_request()["stream"], 204)
    equal(conn.answer().status, 204, "status")
    conn.close()
    server.send_signal(signal.SIGTERM)
    peer.wait_close(1001)
    peer.send_close(1001)
    peer.conn.rest()
    peer.close()
    equal(server.wait_exit(5), 0, "exit")
    head = injection.head()
    equal(head["slept"] - head["slept_at_close"], 0, "polls after the last close")


@scenario()
def signal_between_fork_and_exec(t):
    """A SIGINT that reaches a child before it has its own handlers is not taken for one to its parent."""
    injection = injected(t, ("fork", 1, "SIGINT"), hold=False)
    origin, server = t.origin(), t.server()
    client = t.client("ws://localhost:%d/" % server.port, "http://localhost:%d" % origin.port,
                      env=injection.environment(), ready=False)
    wait(lambda: injection.fired == 1 or not client.running(), "a fork")
    wait(lambda: "/demo/" in client.out() or not client.running(), "the link", 15)
    check(client.running(), "the client ended with %s" % client.child.poll())
    # The child that it ended was looking up the service's name: that is done again.
    wait(lambda: t.get(server, "/demo/echo").status == 200, "a request to be served")


@scenario()
def one_failed_write_to_the_service(t):
    """A write to the service that fails, whatever the error, leaves no request without an answer, nor the next one."""
    for error in WRITE_ERRORS:
        injection = injected(t, ("writev", 1, error))
        origin, server, client = t.trio(client_env=injection.environment())
        injection.go()
        answer = t.get(server, "/demo/echo", seconds=5)
        check(answer.status in (200, 502, 503, 504), "%s: %d" % (error, answer.status))
        equal(injection.fired, 1, "writes that failed")
        injection.stop()
        equal(t.get(server, "/demo/echo").status, 200, "the next after " + error)


@scenario()
def accept_errors_are_named(t):
    """An accept() that fails for want of something is logged with what it wants, and callers are taken again."""
    for error, why in (("EMFILE", "Too many open files"), ("ENFILE", "Too many open files in system"),
                       ("ENOBUFS", "No buffer space available"), ("ENOMEM", "Cannot allocate memory")):
        injection = injected(t, ("accept", 1, error))
        server = t.server(env=injection.environment())
        injection.go()
        t.conn(server)
        harness.contains(server.wait_err("event=accept-paused"), 'event=accept-paused why="%s"' % why, "log")
        equal(t.get(server, "/healthz").status, 200, "afterwards")


@scenario()
def no_tunnel_is_left_of_a_failed_join(t):
    """A client that cannot be taken in for want of memory leaves nothing for which requests would wait."""
    points = 0
    for n in range(1, 40):
        injection = injected(t, ("alloc", n, "ENOMEM"))
        server = t.server(env=dict(injection.environment(), PIPEGATE_OFFLINE_WAIT="0"))
        injection.go()
        try:
            t.tunnel(server).close()
        except (Failed, OSError):
            pass
        injection.stop()
        server.settle()     # else it may not have said yet that the client has joined
        wait(lambda: server.count("event=client-connected") <= server.count("event=client-gone"),
             "the server to see that a client which could join has gone")
        equal(t.get(server, "/demo/x", seconds=3).status, 503, "after allocation %d" % n)
        equal(server.terminate(), 0, "exit")
        if injection.fired == 0:
            break
        points += 1
    check(points >= 3, "only %d allocations were seen" % points)


def in_two_parts(request, conn, origin):
    """Answers with a head and its body apart, the second when the first has been read."""
    conn.send(b"HTTP/1.1 200 OK\r\nContent-Length: 13\r\n\r\n")
    wait(lambda: unread(conn.sock) == 0, "the head to be taken", 5)
    conn.send(b"hello, world\n")


def unread(sock):
    """Octets that the peer's kernel has not acknowledged."""
    return struct.unpack("i", fcntl.ioctl(sock, termios.TIOCOUTQ, b"\0\0\0\0"))[0]


@scenario()
def parts_are_acknowledged(t):
    """A service that writes its head and its body apart is not kept waiting for an acknowledgement; one that writes both at
    once costs no system call for that."""
    injection = injected(t, hold=False)
    origin, server, _ = t.trio(client_env=injection.environment())
    origin.on("/parts", in_two_parts)
    conn = t.conn(server)

    def asks(target, times=20):
        equal(conn.get(target).status, 200, "the first")
        before = injection.seen().get("setsockopt", 0)
        for _ in range(times):
            equal(conn.get(target).status, 200, "status")
        return injection.seen().get("setsockopt", 0) - before
    equal(asks("/demo/size/13"), 0, "calls for whole answers")
    calls = asks("/demo/parts")
    check(20 <= calls <= 60, "%d calls for 20 answers in two parts" % calls)
