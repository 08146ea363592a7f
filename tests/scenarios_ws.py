"""The frames, links and loop as plain WebSocket: tests/echo.c, an echo peer on
either side, against Autobahn's published cases and against messages of ours."""
import json
import os
import re
import subprocess
import threading

import harness
from harness import scenario, equal, check, pattern, TEXT, CLOSE, PING, PONG
from harness import BINARY_FRAME as BINARY

VECTORS = os.environ.get("VECTORS", os.path.join(harness.ROOT, "..", "shared", "vectors"))
CASES = os.path.join(VECTORS, "autobahn-1-5.json")
building = threading.Lock()


def echo(t, *args):
    with building:
        done = subprocess.run([os.environ.get("MAKE", "make"), "-s", "build/echo"], cwd=harness.ROOT,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    equal(done.returncode, 0, "make build/echo: %r" % done.stdout)
    return t.spawn([os.path.join(harness.ROOT, "build", "echo")] + list(args))


def echo_server(t):
    server = echo(t, "server")
    server.wait_out("listening on ")
    return int(re.search(r"listening on (\d+)", server.out()).group(1))


def connected(port):
    conn = harness.Conn.to(port)
    conn.send(harness.upgrade_octets("/"))
    equal(conn.head().status, 101, "handshake")
    return harness.WebSocket(conn, masks=True)


def events_of(peer):
    """What the peer says until it closes: messages, pongs, and its close code."""
    events, kind, parts, code = [], None, b"", None
    try:
        while True:
            fin, opcode, payload = peer.recv_frame()
            if opcode == PONG:
                events.append(["pong", payload.hex()])
            elif opcode == CLOSE:
                code = int.from_bytes(payload[:2], "big") if payload else 1005
                break
            elif opcode != PING:
                kind, parts = kind or opcode, parts + payload
                if fin:
                    events.append(["message", parts.hex(), kind == BINARY])
                    kind, parts = None, b""
    except harness.Failed:
        pass
    return events, code


def play(port, case):
    """Sends a case's octets as it chops them; returns what came back."""
    peer = connected(port)
    for step in case["steps"]:
        octets = bytes.fromhex(step["hex"])
        chop = step["chop"] or len(octets) or 1
        for at in range(0, len(octets), chop):
            peer.conn.send_quietly(octets[at:at + chop])
    heard = events_of(peer)
    peer.close()
    return heard


@scenario(needs=() if os.path.exists(CASES) else ("file:" + CASES,))
def autobahn_groups_1_to_5(t):
    """Each of the 64 cases gives one of its allowed lists of events, and its close."""
    port = echo_server(t)
    with open(CASES) as f:
        cases = json.load(f)["cases"]
    for case in cases:
        events, code = play(port, case)
        check(events in list(case["expected"].values()), "%s: %r" % (case["id"], events))
        check(code in case["close"]["closeCode"] or (code is None and not case["close"]["requireClean"]),
              "%s: close %r" % (case["id"], code))


@scenario()
def echo_server_echoes(t):
    """Text, binary, fragments with a ping between them, and a large message come back as they were."""
    peer = connected(echo_server(t))
    for opcode, payload in ((TEXT, b""), (TEXT, "h\u00e9".encode()), (BINARY, pattern(70000)), (BINARY, pattern(5000000))):
        peer.send(opcode, payload)
        equal(peer.recv(30) == (opcode, payload), True, "%d octets" % len(payload))
    peer.send(TEXT, b"a", fin=0)
    peer.ping(b"between")
    peer.send(0, b"b")
    equal(peer.recv(), (TEXT, b"ab"), "fragments")
    peer.send_close(1000)
    equal(peer.wait_close().code, 1000, "close")


@scenario()
def echo_server_refuses(t):
    """Wrong UTF-8 is 1007, a message past 16 MiB 1009, an unmasked frame 1002."""
    port = echo_server(t)
    for send, code in ((lambda p: p.send(TEXT, b"\xff"), 1007), (lambda p: p.send(TEXT, b"x", masked=False), 1002)):
        peer = connected(port)
        send(peer)
        equal(peer.wait_close().code, code, "close")
        peer.close()


@scenario()
def echo_client_echoes(t):
    """The same on the client's side: it masks, answers, and ends after the close."""
    server = t.tunnel_server()
    client = echo(t, "client", "127.0.0.1", str(server.port), "/chat?x=1")
    peer = server.accept(v2=False)
    equal(peer.handshake.target, "/chat?x=1", "target")
    for opcode, payload in ((TEXT, b"hello"), (BINARY, pattern(1 << 20))):
        peer.send(opcode, payload)
        equal(peer.recv(30) == (opcode, payload), True, "%d octets" % len(payload))
    peer.ping(b"there?")
    peer.send_close(1001)
    equal(peer.wait_close().code, 1001, "close")
    peer.close()
    equal(client.wait_exit(), 0, "exit")
