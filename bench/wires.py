"""How streams fare beside one another and through wires that are long and
narrow: small requests beside downloads, a long wire filled, the rhythm of
events, breaks seen.  Of pipegate alone; the wire is build/relay, the loads are
tests/traffic.py, in processes of their own."""
import json
import os
import queue
import re
import socket
import struct
import subprocess
import sys
import threading
import time

import bed
import report
from contenders import pipegate

TRAFFIC = os.path.join(bed.ROOT, "tests", "traffic.py")
RELAY = os.path.join(bed.ROOT, "build", "relay")
NARROW = (200, 10, 256 * 1024)      # Mbit/s, ms each way, octets of queue
LONG = (200, 50, 2500000)
THIN = (100, 0, 256 * 1024)
THIN_BAR = 13       # ms: what it was before windows followed the path


def argv_of(what, *args):
    return [sys.executable, TRAFFIC, what] + [str(a) for a in args]


def result(child):
    """What a load prints at its end."""
    out, _ = child.communicate(timeout=120)
    if child.returncode != 0:
        raise bed.Trouble("a load ended with %d" % child.returncode)
    return out.split("\n")[-2]


def run(what, *args):
    return subprocess.Popen(argv_of(what, *args), stdout=subprocess.PIPE, text=True)


def port_said(stand, label):
    bed.wait(lambda: re.search(r"\d+\n", stand.said(label)), "the port of " + label)
    return int(re.search(r"(\d+)\s*$", stand.said(label), re.M)[1])


def service(stand):
    stand.spawn("service", argv_of("origin"))
    return port_said(stand, "service")


def relay(stand, label, port, wire):
    if not os.path.exists(RELAY):
        raise bed.Absent("build/relay is not built")
    stand.spawn(label, [RELAY, str(port), str(wire[0] * 1000000), str(wire[1]), str(wire[2])])
    return port_said(stand, label)


def tunnel(stand, target, wire=None):
    """Server and client, the link through a wire; the server's port."""
    pipegate.prepare(stand)
    path, token = stand.kept["path"], stand.kept["token"]
    env = dict(pipegate.ENV, PIPEGATE_TOKEN=token)
    stand.spawn("server", [path, "server", "--host", "127.0.0.1", "--port", "0"], env)
    stand.wait_said("server", "listening on http")
    port = port_said(stand, "server")
    link = relay(stand, "relay", port, wire) if wire else port
    stand.spawn("client", [path, "client", "http://127.0.0.1:%d" % target,
                           "ws://127.0.0.1:%d/" % link], env)
    stand.wait_said("client", "/bench/")
    return port


def probe(port, seconds, path="/bench/ok"):
    """10 small requests a second beside whatever runs: sorted times in ms."""
    return json.loads(result(run("probe", port, path, 10, seconds)))


def p99(times):
    return times[min(len(times) - 1, int(len(times) * 0.99))]


def beside(b, seconds, wire, path, trickles, downloads=8, small="/bench/ok"):
    """p99 of small requests, quiet and beside downloads."""
    stand = b.stand("beside")
    port = tunnel(stand, service(stand), wire)
    quiet = p99(probe(port, seconds, small))
    if trickles:
        stand.spawn("trickle", argv_of("trickle", port, "/bench/endless", trickles, 1024))
        stand.wait_said("trickle", "asked")
    bulk = run("download", port, path, downloads, 1, seconds + 4)
    time.sleep(1)
    loaded = p99(probe(port, seconds, small))
    rate = int(result(bulk)) / (seconds + 3) / 1e6
    b.stop(stand)
    return {"quiet": quiet, "beside": loaded, "MB/s": rate}


def long_wire(b, seconds):
    """A download's share of what plain TCP carries, small requests beside."""
    stand = b.stand("long")
    origin = service(stand)
    plain = int(result(run("download", relay(stand, "plain", origin, LONG), "/endless", 1, 5, seconds + 5)))
    port = tunnel(stand, origin, LONG)
    bulk = run("download", port, "/bench/endless", 1, 5, seconds + 5)
    times = probe(port, seconds + 3)
    ours = int(result(bulk))
    b.stop(stand)
    return {"share": ours / plain, "p99": p99(times)}


def changing(b, trips):
    """A download while the wire's round trip changes each 10 s: its share of what plain TCP
    carries in the last 5 s of each time."""
    stand = b.stand("changing")
    origin = service(stand)
    wire = (LONG[0], ",".join("%d@%d" % (trip // 2, 10 * i) for i, trip in enumerate(trips)), LONG[2])
    got = {}
    for name, path in (("plain", "/endless"), ("ours", "/bench/endless")):
        port = relay(stand, "plain", origin, wire) if name == "plain" else tunnel(stand, origin, wire)
        each = json.loads(result(run("rates", port, path, 10 * len(trips))))
        got[name] = [sum(each[10 * i + 5:10 * i + 10]) for i in range(len(trips))]
    b.stop(stand)
    return [ours / plain for ours, plain in zip(got["ours"], got["plain"])]


def timed(*argv):
    began = time.monotonic()
    result(run(*argv))
    return time.monotonic() - began


def first_transfers(b):
    """A link's first download (40 MiB) and upload (20 MiB) through 100 ms, and later ones: plain
    TCP's time as a share of theirs."""
    found = {}
    for name, what in (("down", ("pull", "/bulk/41943040", 41943040)), ("up", ("upload", "/sink", 20971520))):
        stand = b.stand("first")
        origin = service(stand)
        kind, path, size = what
        wire = relay(stand, "plain", origin, LONG)
        plain = [timed(kind, wire, path, size) for _ in range(3)]
        port = tunnel(stand, origin, LONG)
        ours = [timed(kind, port, "/bench" + path, size) for _ in range(3)]
        found[name] = min(plain) / ours[0]
        found["later " + name] = min(plain) / min(ours[1:])
        b.stop(stand)
    return found


def rhythm(b, seconds):
    """Gaps of events that are sent 100 ms apart, down and up, in ms."""
    stand = b.stand("rhythm")
    port = tunnel(stand, service(stand))
    loads = [run("events", port, "/bench/events/%d" % (10 * seconds)),
             run("drip", port, "/bench/drip", 10 * seconds)]
    gaps = [json.loads(result(load)) for load in loads]
    b.stop(stand)
    return dict(zip(("down", "up"), gaps))


SWITCH = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: raw\r\nConnection: Upgrade\r\n\r\n"


class Switch:
    """A service that switches each connection to raw octets: .far has it."""

    def __init__(self):
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.far = queue.Queue()
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self):
        while True:
            try:
                sock, _ = self.listener.accept()
            except OSError:
                return
            sock.recv(4096)
            sock.sendall(SWITCH)
            self.far.put(sock)

    def stream(self, port):
        """A raw stream: both its ends."""
        near = socket.create_connection(("127.0.0.1", port), 20)
        near.sendall(b"GET /bench/raw HTTP/1.1\r\nHost: h\r\nUpgrade: raw\r\nConnection: Upgrade\r\n\r\n")
        far = self.far.get(timeout=20)
        while b"\r\n\r\n" not in near.recv(4096, socket.MSG_PEEK):
            pass
        near.recv(4096)
        return near, far


def abort(sock):
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()


def until_broken(sock):
    """Milliseconds until the end of it is seen."""
    began = time.monotonic()
    sock.settimeout(20)
    try:
        while sock.recv(65536):
            pass
    except OSError:
        pass
    return (time.monotonic() - began) * 1000


def breaks(b):
    """Milliseconds from a break at one place to its being seen at another."""
    found = {}
    for victim in ("caller", "origin", "client", "server"):
        switch, stand = Switch(), b.stand("breaks")
        near, far = switch.stream(tunnel(stand, switch.port))
        watched = near if victim in ("origin", "client") else far
        if victim in ("caller", "origin"):
            abort(near if victim == "caller" else far)
        else:
            dict(stand.parts)[victim].kill()
            stand.parts = [p for p in stand.parts if p[0] != victim]
        found[victim] = until_broken(watched)
        switch.listener.close()
        b.stop(stand)
    return found


def wires(b, names, cells, opt):
    """names and cells do not matter here.  --seconds: of each load, 20 times."""
    rounds, seconds = [], 10 * opt.seconds
    for _ in range(opt.rounds):
        rounds.append({
            "narrow": beside(b, seconds, NARROW, "/bench/endless", 100),
            "thin": beside(b, seconds, THIN, "/bench/endless", 0, 4, "/bench/bulk/1024"),
            "plain": beside(b, seconds, None, "/bench/paced/12500000", 0),
            "long": long_wire(b, seconds), "first": first_transfers(b),
            "20-80-20": changing(b, (20, 80, 20)), "4-100": changing(b, (4, 100)), "rhythm": rhythm(b, seconds), "breaks": breaks(b)})
    say_wires(rounds)
    return rounds


def spread(rounds, *path):
    values = []
    for found in rounds:
        for step in path:
            found = found[step]
        values.append(found)
    return report.Spread(values)


def say_wires(rounds):
    print("\nsmall requests' p99 in ms: quiet, and beside 8 downloads")
    for kind, what in (("narrow", "200 Mbit/s, 20 ms, and 100 that trickle"), ("plain", "100 MB/s in all, no wire")):
        quiet, loaded = spread(rounds, kind, "quiet"), spread(rounds, kind, "beside")
        bar = quiet.median + 25 if kind == "narrow" else 3 * quiet.median
        report.line(what + ", quiet", quiet.text("%.1f"))
        report.line("beside %.0f MB/s" % spread(rounds, kind, "MB/s").median, loaded.text("%.1f"),
                    report.verdict(loaded, bar, False))
    thin = spread(rounds, "thin", "beside")
    report.line("1 KiB beside 4 downloads, 100 Mbit/s", thin.text("%.1f"), report.verdict(thin, THIN_BAR, False))
    print("\na download through 100 ms and 200 Mbit/s")
    share = spread(rounds, "long", "share")
    report.line("share of what plain TCP carries", share.text(), report.verdict(share, 0.8))
    late = spread(rounds, "long", "p99")
    report.line("small requests' p99 beside it, ms", late.text("%.0f"), report.verdict(late, 250, False))
    print("\na download while the round trip changes: share of plain TCP, 5 s after each change")
    for name, trips in (("20-80-20", (20, 80, 20)), ("4-100", (4, 100))):
        for i, trip in enumerate(trips):
            share = spread(rounds, name, i)
            report.line("%s ms: at %d" % (name, trip), share.text(), report.verdict(share, 0.8))
    print("\nthrough 100 ms: plain TCP's time as a share of ours")
    for name, bar in (("down", 0.9), ("up", 0.8), ("later down", 0.95), ("later up", 0.95)):
        share = spread(rounds, "first", name)
        report.line(name, share.text(), report.verdict(share, bar))
    print("\nevents sent 100 ms apart: share of gaps within 20 ms of that; the longest, ms")
    for way in ("down", "up"):
        gaps = [found["rhythm"][way] for found in rounds]
        near = report.Spread([sum(abs(g - 100) <= 20 for g in each) / len(each) for each in gaps])
        longest = report.Spread([max(each) for each in gaps])
        report.line(way, near.text("%.3f"), report.verdict(near, 0.95))
        report.line("", longest.text("%.0f"), report.verdict(longest, 150, False))
    print("\nfrom a break to its being seen at the other end, ms")
    for victim in ("caller", "origin", "client", "server"):
        late = spread(rounds, "breaks", victim)
        report.line("of the " + victim, late.text("%.1f"), report.verdict(late, 100, False))
