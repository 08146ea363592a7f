"""A server under attack: what the scenarios of attacks share.  Meanwhile
callers of another tunnel on the same server must see no fault, and the server
must keep to its memory; and afterwards everything comes back."""
import os
import resource
import socket
import struct
import threading
import time

import harness
from harness import scenario, equal, check, pattern, request_octets, Failed

MIB = 1 << 20
SANITIZED = "san" in os.path.basename(harness.BINARY)

_, FD_LIMIT = resource.getrlimit(resource.RLIMIT_NOFILE)
resource.setrlimit(resource.RLIMIT_NOFILE, (FD_LIMIT, FD_LIMIT))


def sizes(short, full):
    """Makes two scenarios of a function(t, size)."""
    def mark(function):
        def small(t):
            function(t, short)

        def large(t):
            function(t, full)
        for made, name, long in ((small, function.__name__, False),
                                 (large, function.__name__ + "_in_full", True)):
            made.__name__, made.__doc__ = name, function.__doc__
            made.__module__ = function.__module__
            scenario(long=long, alone=long)(made)
        return function
    return mark


# ---------------------------------------------------------------- the besieged


class Calm:
    """Twenty callers of a tunnel that is not attacked.  Each answer of theirs
    must be right, and none may be given up for lost."""

    def __init__(self, t, server, callers=20, seconds=8):
        self.origin = t.origin()
        self.client = t.client(server, self.origin, "calm")
        self.conns = [t.conn(server) for _ in range(callers)]
        self.seconds, self.rounds = seconds, 0
        self.over = threading.Event()
        self.round()
        self.work = t.background(self.run)
        t.defer(self.over.set)

    def run(self):
        while not self.over.is_set():
            self.round()
            self.over.wait(0.03)

    def round(self):
        want = pattern(1000 + self.rounds % 50)
        for conn in self.conns:
            conn.send(request_octets("GET", "/calm/size/%d" % len(want)))
        for conn in self.conns:
            answer = conn.answer(seconds=self.seconds)
            equal((answer.status, answer.body == want), (200, True),
                  "answer to a calm caller, %s" % answer.body[:200])
        self.rounds += 1

    def stop(self):
        self.over.set()
        self.work.result(40)
        check(self.rounds > 1, "the calm callers had no turn")


class Siege:
    """A server under attack, its calm callers, and what it was like before."""

    def __init__(self, t, budget=64 * MIB, calm=20, **env):
        self.t, self.budget = t, budget
        env = dict({"PIPEGATE_MAX_MEMORY": str(budget)}, **env)
        self.server = t.server(env=env)
        self.calm = Calm(t, self.server, calm) if calm else None
        self.processes = [self.server] + ([self.calm.client] if calm else [])
        self.fds = self.server.descriptors()
        self.kb = self.server.status_kb("VmRSS")
        self.crowd = []

    def gather(self, n, octets=b"", rcvbuf=None):
        """n connections, each of which sends octets (or octets(i))."""
        for i in range(n):
            sock = socket.socket()
            if rcvbuf:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, rcvbuf)
            sock.settimeout(20 * harness.SLOW)
            sock.connect(("127.0.0.1", self.server.port))
            self.crowd.append(sock)
            self.t.defer(sock.close)
            sock.setblocking(False)
            try:
                sock.send(octets(i) if callable(octets) else octets)
            except OSError:
                pass
        return self.crowd

    def say(self, octets):
        """One more word of each of the crowd."""
        for sock in self.crowd:
            try:
                sock.send(octets)
            except OSError:
                pass

    def disperse(self):
        for sock in self.crowd:
            sock.close()
        self.crowd = []

    def within_memory(self):
        peak = self.server.status_kb("VmHWM")
        check(SANITIZED or peak * 1024 < self.budget + 16 * MIB,
              "%d KiB at the peak, with a budget of %d KiB" % (peak, self.budget // 1024))

    def end(self, slack_kb=6144):
        """Ends the attack, and sees everything come back."""
        self.disperse()
        self.within_memory()
        self.t.wait(lambda: self.server.descriptors() <= self.fds + 2,
                    "the descriptors to come back to %d (%d)" % (self.fds, self.server.descriptors()), 20)
        if self.calm:
            self.calm.stop()
        if not SANITIZED:
            self.t.wait(lambda: self.server.status_kb("VmRSS") <= self.kb + slack_kb,
                        "memory to come back to %d KiB (%d)" % (self.kb, self.server.status_kb("VmRSS")))
        self.within_memory()
        for process in self.processes:
            idle(self.t, process)
        if self.calm:
            self.calm.round()


def idle(t, process, seconds=1, turns=100):
    """The process soon does nothing to speak of: in some seconds its loop
    turns as often as is said, for its timers."""
    spent = []

    def at_rest():
        before = process.turns()
        t.holds(process.running, "%s ended" % process.name, seconds)
        spent.append(process.turns() - before)
        return spent[-1] <= turns
    end = harness.deadline(10)
    while not at_rest():
        check(time.monotonic() < end, "%s: turns of its loop, each %g s: %s" % (process.name, seconds, spent))


def reading(t, peer):
    """Reads all that comes to a raw peer, and throws it away.  It answers
    pings, since each of its reads does."""
    def loop():
        try:
            while True:
                peer.recv(600)
        except (Failed, OSError):
            return
    return t.background(loop)


def cut(peer):
    """Ends a raw peer's connection, also where a thread is reading it."""
    try:
        peer.conn.sock.shutdown(socket.SHUT_RDWR)
    except OSError:
        pass
    peer.close()


def plain(opcode, payload=b"", fin=1):
    """A client's frame under the mask 0, quick to make."""
    n = len(payload)
    size = (bytes([0x80 | n]) if n < 126 else
            b"\xfe" + struct.pack(">H", n) if n < 65536 else
            b"\xff" + struct.pack(">Q", n))
    return bytes([fin << 7 | opcode]) + size + b"\0\0\0\0" + payload


def flood(peer, octets, seconds):
    """Sends octets over and over, as long as the peer lets us, without ever
    reading.  Returns how many were taken."""
    end, sent = time.monotonic() + seconds, 0
    peer.conn.sock.settimeout(0.2)
    while time.monotonic() < end:
        try:
            sent += peer.conn.sock.send(octets[sent % len(octets):])
        except socket.timeout:
            pass
        except OSError:
            break
    return sent
