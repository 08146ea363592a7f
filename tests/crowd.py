"""python3 tests/crowd.py PORT ACTIVE IDLE SECONDS: a crowd of tunnels in one
process, so that it and the measuring do not share an interpreter.

ACTIVE tunnels get a request a second each, over a connection that is kept, and
answer it with 13 octets; IDLE ones say nothing but pongs.  Prints "joined" when
all have joined, begins a second later, and after SECONDS prints as JSON how many
answers there were by status, and the times of those with 200, in ms, sorted.
"""
import collections
import heapq
import json
import os
import selectors
import socket
import struct
import sys
import time
import uuid

import harness

BODY = b"hello, world\n"
SECRET = os.environ.get("PIPEGATE_JWT_SECRET", harness.SECRET)


def joined(port, sub):
    """The socket of a tunnel client of sub."""
    sock = socket.create_connection(("127.0.0.1", port), timeout=60)
    sock.sendall(harness.upgrade_octets("/?token=" + harness.token(sub, SECRET), [
        ("Sec-WebSocket-Protocol", harness.V2),
        ("X-PipeGate", json.dumps({"instance": str(uuid.uuid4()), "streams": 64, "window": 65536}))]))
    head = b""
    while b"\r\n\r\n" not in head:
        head += sock.recv(1)
    assert head.startswith(b"HTTP/1.1 101"), head
    sock.setblocking(False)
    return sock


def frame(opcode, payload):
    """A client's frame, under the mask 0."""
    return struct.pack(">BB", 0x80 | opcode, 0x80 | len(payload)) + b"\0\0\0\0" + payload


class Tunnel:
    def __init__(self, sock):
        self.sock, self.rest = sock, b""

    def ready(self):
        self.rest += self.sock.recv(65536)
        while len(self.rest) >= 2:
            size, at = self.rest[1], 2
            if size == 126:
                size, at = struct.unpack(">H", self.rest[2:4].ljust(2, b"\0"))[0], 4
            if len(self.rest) < at + size:
                return
            self.take(self.rest[0] & 15, self.rest[at:at + size])
            self.rest = self.rest[at + size:]

    def take(self, opcode, payload):
        if opcode == harness.PING:
            self.sock.send(frame(harness.PONG, payload))
        elif opcode == harness.BINARY_FRAME and payload[0] == harness.REQUEST:
            stream, = struct.unpack(">I", payload[2:6])
            self.sock.send(frame(harness.BINARY_FRAME, harness.answer_message(
                stream, fields=[("Content-Length", str(len(BODY)))], body=BODY)))


class Caller:
    def __init__(self, port, sub):
        self.request = harness.request_octets("GET", "/%s/x" % sub)
        self.got, self.asked = b"", 0
        self.sock = socket.create_connection(("127.0.0.1", port), timeout=60)
        self.sock.setblocking(False)

    def ask(self):
        self.asked = time.monotonic()
        self.got = b""
        self.sock.send(self.request)

    def ready(self):
        """The status of the answer that is whole now, or None."""
        self.got += self.sock.recv(65536)
        head, end, body = self.got.partition(b"\r\n\r\n")
        if not end or (head[9:12] == b"200" and len(body) < len(BODY)):
            return None
        return head[9:12].decode()


def converse(chosen, callers, seconds):
    """Each caller asks once a second.  Returns answers by status, and times."""
    statuses, times, asked = collections.Counter(), [], 0
    start = time.monotonic() + 1
    end = start + seconds
    due = [(start + i / max(1, len(callers)), i) for i in range(len(callers))]
    while (due or sum(statuses.values()) < asked or time.monotonic() < end) and time.monotonic() < end + 10:
        while due and due[0][0] <= time.monotonic():
            at, i = heapq.heappop(due)
            callers[i].ask()
            asked += 1
            if at + 1 < end:
                heapq.heappush(due, (at + 1, i))
        for key, _ in chosen.select(max(0, due[0][0] - time.monotonic()) if due else 0.5):
            status = key.data.ready()
            if status is not None:
                statuses[status] += 1
            if status == "200":
                times.append((time.monotonic() - key.data.asked) * 1000)
    return statuses, sorted(times)


def run(port, active, idle, seconds):
    chosen = selectors.DefaultSelector()
    for i in range(active + idle):
        tunnel = Tunnel(joined(port, "crowd-%d" % i))
        chosen.register(tunnel.sock, selectors.EVENT_READ, tunnel)
    callers = [Caller(port, "crowd-%d" % i) for i in range(active)]
    for caller in callers:
        chosen.register(caller.sock, selectors.EVENT_READ, caller)
    print("joined", flush=True)
    statuses, times = converse(chosen, callers, seconds)
    print(json.dumps({"statuses": dict(statuses), "times": times}), flush=True)


if __name__ == "__main__":
    run(*map(int, sys.argv[1:]))
