"""Load: wrk, callers that do nothing, and callers that ask at a steady rate."""
import json
import os
import select
import socket
import subprocess
import time
import urllib.parse

import bed

MIB = 1024 * 1024


class Cell:
    """One kind of load: what is asked for, and over how many connections."""

    def __init__(self, what, connections, bar=None, p99_bar=None):
        self.what = what            # a name of bed.SIZES, or "post"
        self.connections = connections
        self.bar = bar              # least ratio to nginx's rate
        self.p99_bar = p99_bar      # greatest ratio to nginx's p99
        self.key = "%s@%d" % (what, connections)

    def title(self):
        names = {"13": "13 B", "1k": "1 KiB", "100k": "100 KiB",
                 "10m": "10 MiB", "post": "1 MiB POST"}
        return "%s, %d connection%s" % (names[self.what], self.connections,
                                        "" if self.connections == 1 else "s")


def wrk(url, cell, seconds, pause_ms=0):
    """What wrk.lua prints, as a dictionary.  pause_ms: each connection asks that long after its last answer."""
    argv = [bed.program("wrk"), "-t", "1", "-c", str(cell.connections), "-d",
            "%ds" % seconds, "--timeout", "20s", "-s",
            os.path.join(bed.HERE, "wrk.lua"), "%s/%s" % (url, cell.what)]
    if cell.what == "post":
        argv += ["--", "POST", str(MIB)]
    elif pause_ms:
        argv += ["--", "PAUSE", str(pause_ms)]
    done = subprocess.run(argv, capture_output=True, text=True,
                          timeout=seconds + 60, stdin=subprocess.DEVNULL)
    lines = [x for x in done.stdout.splitlines() if x.startswith("{")]
    if done.returncode != 0 or not lines:
        raise bed.Trouble("wrk: " + (done.stderr or done.stdout)[-600:])
    return json.loads(lines[0])


def requests(got, cell):
    """How many were served.  Big answers are counted by their octets, since
    few of them are whole."""
    if bed.SIZES.get(cell.what, 0) >= MIB:
        return got["bytes"] / bed.SIZES[cell.what]
    return got["requests"]


def measure(stand, cell, seconds, label=None, pause_ms=0):
    """One run: rate, latencies in ms, processor time of the process of that label, or of all, in us per request."""
    before = stand.cpu(label)
    got = wrk(stand.url, cell, seconds, pause_ms)
    spent = stand.cpu(label) - before
    count = requests(got, cell)
    return {"rate": count / (got["us"] / 1e6), "p50": got["p50"] / 1000,
            "p99": got["p99"] / 1000, "faults": got["faults"],
            "cpu": spent * 1e6 / count if count else 0.0}


def connect(url):
    parts = urllib.parse.urlsplit(url)
    s = socket.create_connection((parts.hostname, parts.port), 20)
    s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return s


def request(url, path):
    base = urllib.parse.urlsplit(url).path
    return ("GET %s%s HTTP/1.1\r\nHost: bench\r\n\r\n" % (base, path)).encode()


def take_answer(s):
    """Reads one answer to "/13"."""
    got = b""
    while not got.endswith(b"\r\n\r\nhello, world\n"):
        part = s.recv(4096)
        if not part:
            raise bed.Trouble("a caller's connection ended: %r" % got[:200])
        got += part


def idle_callers(url, count, batch=50):
    """Connections that have had an answer each, and ask for no more."""
    callers, ask = [], request(url, "/13")
    while len(callers) < count:
        some = [connect(url) for _ in range(min(batch, count - len(callers)))]
        for s in some:
            s.sendall(ask)
        for s in some:
            take_answer(s)
        callers += some
    return callers


def held_callers(url, count):
    """Connections each with a request that is never answered."""
    callers = [connect(url) for _ in range(count)]
    for s in callers:
        s.sendall(request(url, "/hold"))
    return callers


def close_all(callers):
    for s in callers:
        s.close()


def steady(url, connections, per_second, seconds):
    """Asks at a rate that leaves the machine idle for most of the time.
    Returns how many were answered."""
    callers = idle_callers(url, connections)
    ask, done = request(url, "/13"), 0
    free, busy = list(callers), {}
    poll = select.poll()
    for s in callers:
        poll.register(s, select.POLLIN)
    began = time.monotonic()
    for i in range(int(per_second * seconds)):
        due = began + i / per_second
        while not free or time.monotonic() < due:
            left = max(due - time.monotonic(), 0) if free else 5
            ready = poll.poll(left * 1000)
            for fd, _ in ready:
                take_answer(busy[fd])
                free.append(busy.pop(fd))
                done += 1
            if not ready and not free:
                raise bed.Trouble("no answer for 5 s")
        s = free.pop(0)
        s.sendall(ask)
        busy[s.fileno()] = s
    for s in busy.values():
        take_answer(s)
        done += 1
    close_all(callers)
    return done
