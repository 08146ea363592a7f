"""System calls that fail, one at a time: what must be so at each."""
import resource
import signal

import harness
import inject
from harness import scenario, check, equal, wait, ask, Conn, Failed
from inject import Injection

WRITE_ERRORS = ("ECONNRESET", "EPIPE", "ETIMEDOUT", "ENOBUFS", "ENOMEM", "EIO")


def injected(t, point=None, hold=True):
    inject.library()
    return Injection(t, point, hold)


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
