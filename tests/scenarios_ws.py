"""The frames, links and loop as plain WebSocket: tests/echo.c, an echo peer on
either side, against cases written from RFC 6455; and against those of Autobahn
where they are there."""
import json
import os
import re
import subprocess
import threading

import harness
from harness import scenario, equal, check, pattern, TEXT, CLOSE, PING, PONG
from harness import BINARY_FRAME as BINARY

CONTINUATION = 0
LIMIT = 16 << 20    # of a message to the echo peer
AUTOBAHN = os.path.join(os.environ.get("VECTORS", ""), "autobahn-1-5.json")


def echo(t, *args):
    return t.spawn([harness.built("echo")] + list(args))


def echo_server(t):
    server = echo(t, "server")
    server.wait_out("listening on ")
    return int(re.search(r"listening on (\d+)", server.out()).group(1))


def connected(port):
    conn = harness.Conn.to(port)
    conn.send(harness.upgrade_octets("/"))
    equal(conn.head().status, 101, "handshake")
    return harness.WebSocket(conn, masks=True)


def events_of(peer, most=None):
    """What the peer says until it closes, or up to so many events: messages
    and pongs, and its close code; None where it said none."""
    events, kind, parts, code = [], None, [], None
    try:
        while most is None or len(events) < most:
            fin, opcode, payload = peer.recv_frame()
            if opcode == PONG:
                events.append((PONG, payload))
            elif opcode == CLOSE:
                code = int.from_bytes(payload[:2], "big") if payload else 1005
                break
            elif opcode != PING:
                kind = kind or opcode
                parts.append(payload)
                if fin:
                    events.append((kind, b"".join(parts)))
                    kind, parts = None, []
    except harness.Failed:
        pass
    return events, code


def play(port, pieces, first=None):
    """Sends the pieces, each in a segment of its own if it can be; returns
    what came back up to the end.  first: so many events must come before we
    close, and then none."""
    peer = connected(port)
    for piece in pieces:
        peer.conn.send_quietly(piece)
    heard = events_of(peer, first)
    if first is not None and heard[1] is None:
        peer.conn.send_quietly(closing(1000))
        more, code = events_of(peer)
        heard = heard[0] + more, code
    peer.close()
    return heard


def chopped(octets, size):
    return [octets[at:at + size] for at in range(0, len(octets), size)]


# ------------------------------------------------- cases from RFC 6455

FRAMES = harness.WebSocket(None, masks=True)
frame = FRAMES.frame


def said(*messages):
    """Frames of whole messages: (opcode, payload), ..."""
    return b"".join(frame(opcode, payload) for opcode, payload in messages)


def fragments(opcode, *parts, between=b""):
    """A message in fragments, with octets between each two of them."""
    frames = [frame(opcode if i == 0 else CONTINUATION, part, fin=int(i == len(parts) - 1))
              for i, part in enumerate(parts)]
    return between.join(frames)


def closing(code=None, reason=b""):
    return frame(CLOSE, b"" if code is None else code.to_bytes(2, "big") + reason)


def right(t, cases, sizes=(1 << 30, 1, 7)):
    """cases: name -> (octets, what must come back, the code of the close).
    Where that is 1000 we close, once all has come back.  Each case is sent
    whole, octet by octet, and in sevens."""
    port = echo_server(t)
    for name, (octets, wanted, code) in cases.items():
        for size in sizes:
            if len(octets) // size > 3000:
                continue
            events, got = play(port, chopped(octets, size), len(wanted) if code == 1000 else None)
            check(events == wanted, "%s, by %d: %s" % (name, size, harness.brief(events)))
            equal(got, code, "%s, by %d: close" % (name, size))


def broken(t, cases, **how):
    """cases: name -> (octets, code).  A good message before is echoed, one
    behind is not, and the close has the code."""
    before, after = (TEXT, b"before"), (TEXT, b"after")
    right(t, {name: (said(before) + octets + said(after), [before], code)
              for name, (octets, code) in cases.items()}, **how)


GOOD_UTF8 = {
    "ASCII": b"Hello", "NUL": b"\0", "last of one": b"\x7f", "first of two": b"\xc2\x80",
    "last of two": b"\xdf\xbf", "first of three": b"\xe0\xa0\x80", "before the surrogates": b"\xed\x9f\xbf",
    "behind them": b"\xee\x80\x80", "U+FFFE": b"\xef\xbf\xbe", "last of three": b"\xef\xbf\xbf",
    "first of four": b"\xf0\x90\x80\x80", "last of four": b"\xf4\x8f\xbf\xbf",
    "mixed": "a\u00e9\u20ac\U0001f600z".encode() * 3,
}
BAD_UTF8 = {
    "tail alone": b"\x80", "two tails": b"\xbf\xbf", "C0": b"\xc0\x80", "C1": b"\xc1\xbf", "F5": b"\xf5\x80\x80\x80",
    "FE": b"\xfe", "FF": b"\xff", "overlong of three": b"\xe0\x9f\xbf", "overlong of four": b"\xf0\x8f\xbf\xbf",
    "first surrogate": b"\xed\xa0\x80", "last surrogate": b"\xed\xbf\xbf", "a pair of them": b"\xed\xa0\x80\xed\xb0\x80",
    "past U+10FFFF": b"\xf4\x90\x80\x80", "head after head": b"\xc3\xc3\xa9", "ASCII within": b"\xe2\x82a",
    "half of two": b"\xc3", "two thirds of three": b"\xe2\x82", "three of four": b"\xf0\x9f\x98",
    "four octets of five": b"\xf8\x88\x80\x80\x80",
}


@scenario()
def frames_of_all_sizes(t):
    """Text and binary of each size at which a length changes its form come back as they were (5.2)."""
    sizes = (0, 1, 124, 125, 126, 127, 128, 255, 256, 65534, 65535, 65536, 65537, 1 << 20)
    messages = [(opcode, (pattern(n) if opcode == BINARY else b"x" * n)) for n in sizes for opcode in (TEXT, BINARY)]
    right(t, {"%d octets, opcode %d" % (len(m[1]), m[0]): (said(m), [m], 1000) for m in messages},
          sizes=(1 << 30, 1, 997, 65536))
    right(t, {"all of them": (said(*messages), messages, 1000)}, sizes=(1 << 30, 65537))


@scenario(quick=True)
def pings_of_all_kinds(t):
    """A ping is answered with its payload; a pong is not answered at all (5.5.2, 5.5.3)."""
    payloads = (b"", b"Hello", b"\0\xff\xfe", pattern(124), pattern(125))
    cases = {"of %d" % len(p): (frame(PING, p), [(PONG, p)], 1000) for p in payloads}
    cases["one after the other"] = (b"".join(frame(PING, b"%d" % i) for i in range(10)),
                                    [(PONG, b"%d" % i) for i in range(10)], 1000)
    cases["pongs unasked"] = (frame(PONG) + frame(PONG, b"x") + frame(PING, b"y"), [(PONG, b"y")], 1000)
    cases["between messages"] = (said((TEXT, b"a"), (PING, b"b"), (BINARY, b"c"), (PING, b"d")),
                                 [(TEXT, b"a"), (PONG, b"b"), (BINARY, b"c"), (PONG, b"d")], 1000)
    right(t, cases)
    broken(t, {"ping of 126": (frame(PING, b"x" * 126), 1002), "pong of 126": (frame(PONG, b"x" * 126), 1002),
               "ping of 65536": (frame(PING, b"x" * 65536), 1002)})


@scenario()
def reserved_bits_and_opcodes(t):
    """A reserved bit, a reserved opcode and a frame without a mask are 1002, alone and within a message (5.1, 5.2)."""
    cases = {"bits %d of %d" % (rsv, opcode): (frame(opcode, b"x", rsv=rsv), 1002)
             for rsv in range(1, 8) for opcode in (TEXT, BINARY, CLOSE, PING, PONG)}
    cases.update({"opcode %d of %d" % (opcode, n): (frame(opcode, b"x" * n), 1002)
                  for opcode in (3, 4, 5, 6, 7, 11, 12, 13, 14, 15) for n in (0, 1, 300)})
    cases.update({"unmasked %d" % opcode: (frame(opcode, b"x", masked=False), 1002)
                  for opcode in (TEXT, BINARY, CLOSE, PING)})
    start = frame(TEXT, b"a", fin=0)
    cases["bits of a continuation"] = (start + frame(CONTINUATION, b"b", rsv=4), 1002)
    cases["opcode within a message"] = (start + frame(3), 1002)
    cases["unmasked continuation"] = (start + frame(CONTINUATION, b"b", masked=False), 1002)
    broken(t, cases)


@scenario()
def lengths_in_a_longer_form(t):
    """A length that is not in its shortest form, or of 64 bits, is 1002 (5.2)."""
    key = b"\0\0\0\0"
    broken(t, {
        "0 in 16 bits": (b"\x82\xfe\0\0" + key, 1002), "125 in 16 bits": (b"\x82\xfe\0\x7d" + key + b"x" * 125, 1002),
        "125 in 64 bits": (b"\x82\xff" + bytes(7) + b"\x7d" + key + b"x" * 125, 1002),
        "65535 in 64 bits": (b"\x82\xff" + bytes(6) + b"\xff\xff" + key, 1002),
        "64 bits": (b"\x82\xff\x80" + bytes(7) + key, 1002), "all bits": (b"\x82\xff" + b"\xff" * 8 + key, 1002),
    })


@scenario(quick=True)
def fragments_of_all_kinds(t):
    """Fragments come back as one message, whatever comes between; their order may not be broken (5.4)."""
    ping, pong = frame(PING, b"p"), (PONG, b"p")
    long = [pattern(1 + i % 5, i) for i in range(300)]
    cases = {
        "two": (fragments(TEXT, b"Hel", b"lo"), [(TEXT, b"Hello")], 1000),
        "binary": (fragments(BINARY, b"\xff", b"\xfe\0"), [(BINARY, b"\xff\xfe\0")], 1000),
        "of one octet": (fragments(TEXT, *[b"x"] * 50), [(TEXT, b"x" * 50)], 1000),
        "many": (fragments(BINARY, *long), [(BINARY, b"".join(long))], 1000),
        "nothing in the first": (fragments(TEXT, b"", b"a"), [(TEXT, b"a")], 1000),
        "nothing in the last": (fragments(TEXT, b"a", b""), [(TEXT, b"a")], 1000),
        "nothing between": (fragments(TEXT, b"a", b"", b"", b"b"), [(TEXT, b"ab")], 1000),
        "nothing at all": (fragments(TEXT, b"", b"", b""), [(TEXT, b"")], 1000),
        "pings between": (fragments(TEXT, b"a", b"b", b"c", between=ping), [pong, pong, (TEXT, b"abc")], 1000),
        "a pong between": (fragments(TEXT, b"a", b"b", between=frame(PONG, b"x")), [(TEXT, b"ab")], 1000),
        "one after the other": (fragments(TEXT, b"a", b"b") + fragments(BINARY, b"c", b"d"),
                                [(TEXT, b"ab"), (BINARY, b"cd")], 1000),
        "a close between": (frame(TEXT, b"a", fin=0) + closing(1001) + frame(CONTINUATION, b"b"), [], 1001),
        "large": (fragments(BINARY, *[pattern(40000, i) for i in range(5)]),
                  [(BINARY, b"".join(pattern(40000, i) for i in range(5)))], 1000),
    }
    right(t, cases)
    start = frame(TEXT, b"a", fin=0)
    broken(t, {
        "continuation of nothing": (frame(CONTINUATION, b"x"), 1002),
        "one that goes on": (frame(CONTINUATION, b"x", fin=0), 1002),
        "text within text": (start + frame(TEXT, b"b"), 1002), "binary within text": (start + frame(BINARY, b"b"), 1002),
        "a start within text": (start + frame(TEXT, b"b", fin=0), 1002),
        "text within binary": (frame(BINARY, b"a", fin=0) + frame(CONTINUATION, b"", fin=0) + frame(TEXT, b"b"), 1002),
        "ping in pieces": (frame(PING, b"x", fin=0), 1002), "pong in pieces": (frame(PONG, b"x", fin=0), 1002),
        "close in pieces": (frame(CLOSE, b"\x03\xe8", fin=0), 1002),
        "ping in pieces within text": (start + frame(PING, b"", fin=0), 1002),
    })


@scenario()
def utf8_of_all_kinds(t):
    """Text that is UTF-8 comes back however it is cut; text that is not is 1007 (8.1), also before its end."""
    cases = {name: (said((TEXT, text)), [(TEXT, text)], 1000) for name, text in GOOD_UTF8.items()}
    for name, text in GOOD_UTF8.items():
        for cut in range(1, len(text)):
            cases["%s cut at %d" % (name, cut)] = (
                fragments(TEXT, text[:cut], text[cut:], between=frame(PING)), [(PONG, b""), (TEXT, text)], 1000)
    for name, text in BAD_UTF8.items():
        cases[name + " as binary"] = (said((BINARY, text)), [(BINARY, text)], 1000)
    right(t, cases, sizes=(1 << 30, 1))
    cases = {}
    for name, text in BAD_UTF8.items():
        cases[name] = (said((TEXT, text)), 1007)
        cases[name + " behind good text"] = (said((TEXT, b"good \xc3\xa9 " + text)), 1007)
        cases[name + " in fragments"] = (fragments(TEXT, *[bytes([x]) for x in text], b""), 1007)
        cases[name + " with more to come"] = (frame(TEXT, text + b"a", fin=0), 1007)
    broken(t, cases, sizes=(1 << 30, 1))


@scenario()
def closes_of_all_kinds(t):
    """A good close is answered with its code, a bad one with 1002 or 1007; nothing behind a close counts (5.5.1, 7.4)."""
    behind = said((TEXT, b"late"), (PING, b"late")) + closing(1011)
    cases = {"%d" % code: (closing(code) + behind, [], code)
             for code in (1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014, 3000, 3999, 4000, 4999)}
    cases["1000"] = (b"", [], 1000)
    cases["empty"] = (closing() + behind, [], 1005)
    cases["a reason"] = (closing(1001, "bye \u00e9".encode()), [], 1001)
    cases["a reason of 123"] = (closing(1001, b"r" * 123), [], 1001)
    messages = [(TEXT, b"a"), (BINARY, b"b")]
    cases["behind messages"] = (said(*messages) + closing(1001) + behind, messages, 1001)
    for code in (0, 1, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65535):
        cases["%d" % code] = (closing(code) + behind, [], 1002)
    cases["one octet"] = (frame(CLOSE, b"\x03") + behind, [], 1002)
    cases["a reason of 124"] = (closing(1000, b"r" * 124) + behind, [], 1002)
    for name, text in BAD_UTF8.items():
        cases["reason: " + name] = (closing(1000, b"r" + text) + behind, [], 1007)
    right(t, cases)


@scenario()
def limits_of_messages(t):
    """A message of the limit comes back; one octet more is 1009, in one frame or in many."""
    whole = pattern(LIMIT)
    right(t, {"at the limit": (said((BINARY, whole)), [(BINARY, whole)], 1000)}, sizes=(1 << 30,))
    broken(t, {
        "one past it": (said((BINARY, whole + b"x")), 1009),
        "in fragments": (fragments(BINARY, *chopped(whole, 1 << 20), b"x"), 1009),
        "an end that is too large": (fragments(TEXT, b"a", b"b" * LIMIT), 1009),
    }, sizes=(1 << 30,))


# ------------------------------------------------------------- others' cases


def published(case):
    """A case of Autobahn: the pieces it sends."""
    for step in case["steps"]:
        octets = bytes.fromhex(step["hex"])
        yield from chopped(octets, step["chop"] or len(octets) or 1)


def as_published(event):
    """An event as those cases write it."""
    kind, payload = event
    return ["pong", payload.hex()] if kind == PONG else ["message", payload.hex(), kind == BINARY]


if os.path.exists(AUTOBAHN):
    @scenario()
    def autobahn_groups_1_to_5(t):
        """Each of the 64 cases gives one of its allowed lists of events, and its close."""
        port = echo_server(t)
        with open(AUTOBAHN) as f:
            cases = json.load(f)["cases"]
        for case in cases:
            heard, code = play(port, published(case))
            events = [as_published(e) for e in heard]
            check(events in list(case["expected"].values()), "%s: %r" % (case["id"], events))
            check(code in case["close"]["closeCode"] or (code is None and not case["close"]["requireClean"]),
                  "%s: close %r" % (case["id"], code))


# ------------------------------------------------------- messages, both sides


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


@scenario(quick=True)
def echo_client_echoes(t):
    """The same on the client's side: it masks, answers, and ends after the close."""
    server = t.tunnel_server()
    client = echo(t, "client", "127.0.0.1", str(server.port), "/chat?x=1")
    peer = server.accept(v2=False)
    equal((peer.handshake.target, peer.handshake.get("host")), ("/chat?x=1", "127.0.0.1:%d" % server.port), "target, Host")
    for opcode, payload in ((TEXT, b"hello"), (BINARY, pattern(1 << 20))):
        peer.send(opcode, payload)
        equal(peer.recv(30) == (opcode, payload), True, "%d octets" % len(payload))
    peer.ping(b"there?")
    peer.send_close(1001)
    equal(peer.wait_close().code, 1001, "close")
    peer.close()
    equal(client.wait_exit(), 0, "exit")
