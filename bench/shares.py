"""What tunnels cost each other: a crowd of them on one server, and the callers
of one beside another that takes all it can get."""
import json
import os
import re
import subprocess
import sys
import threading

import bed
import load
import report
import wires
from contenders import pipegate

CROWD = os.path.join(bed.ROOT, "tests", "crowd.py")
ACTIVE, IDLE = 1000, 5000
GREEDY = (64, 1000)     # callers of the one that asks for more than its share


def server(stand):
    pipegate.prepare(stand)
    stand.spawn("server", [stand.kept["path"], "server", "--host", "127.0.0.1", "--port", "0"], pipegate.ENV)
    stand.wait_said("server", "listening on http")
    return int(re.search(r":(\d+)\s*$", stand.said("server"), re.M)[1])


def client(stand, port, tunnel, target):
    """The URL of a tunnel."""
    said = subprocess.run([stand.kept["path"], "token", "-c", tunnel], check=True, text=True, capture_output=True,
                          env=dict(os.environ, **pipegate.ENV))
    stand.spawn("client " + tunnel, [stand.kept["path"], "client", "http://127.0.0.1:%d" % target,
                                     "ws://127.0.0.1:%d/" % port],
                dict(pipegate.ENV, PIPEGATE_TOKEN=said.stdout.split()[-1]))
    url = "http://127.0.0.1:%d/%s" % (port, tunnel)
    stand.wait_said("client " + tunnel, url)
    return url


def crowd(b, active, idle, seconds):
    """Answers by status, KiB a tunnel at the peak, and us of processor a request."""
    stand = b.stand("crowd")
    port = server(stand)
    before = stand.kib("VmRSS", "server")
    child = subprocess.Popen([sys.executable, CROWD, str(port), str(active), str(idle), str(seconds)],
                             stdout=subprocess.PIPE, text=True, env=dict(os.environ, **pipegate.ENV))
    child.stdout.readline()
    spent = stand.cpu("server")
    found = json.loads(child.stdout.readline())
    spent = stand.cpu("server") - spent
    child.wait()
    kib = (stand.kib("VmHWM", "server") - before) / (active + idle)
    b.stop(stand)
    return {"statuses": found["statuses"], "KiB": kib, "us": spent * 1e6 / max(1, len(found["times"]))}


def beside(b, seconds, callers):
    """p99 in ms of ten small requests a second of one id, while another's callers ask a server of their own, which
    takes as much of the machine, and while they ask the same one; and how long one turn over them takes."""
    stands = [b.stand("apart"), b.stand("beside")]
    ports = [server(stand) for stand in stands]
    greedy = [client(stand, port, "greedy", b.origin) for stand, port in zip(stands, ports)]
    client(stands[1], ports[1], "small", wires.service(stands[1]))
    found, cell = {}, load.Cell("13", callers)
    for stand, url in zip(stands, greedy):
        got = {}
        before = stand.cpu("server")
        work = threading.Thread(target=lambda: got.update(load.wrk(url, cell, seconds + 2)))
        work.start()
        probe = wires.run("probe", ports[1], "/small/ok", 10, seconds)
        found[stand.name] = wires.p99(json.loads(wires.result(probe)))
        work.join()
        found["turn"] = callers * 1000 * (stand.cpu("server") - before) / load.requests(got, cell)
    for stand in stands:
        b.stop(stand)
    return found


def shares(b, names, cells, opt):
    """names and cells do not matter here."""
    rounds = []
    for _ in range(opt.rounds):
        rounds.append({"crowd": crowd(b, ACTIVE, IDLE, 3 * opt.seconds), "one": crowd(b, 1, 0, 3 * opt.seconds),
                       "beside": {str(n): beside(b, 3 * opt.seconds, n) for n in GREEDY}})
    say(rounds)
    return rounds


def spread(rounds, *path):
    return wires.spread(rounds, *path)


def say(rounds):
    print("\n%d tunnels with a request a second each, and %d idle ones" % (ACTIVE, IDLE))
    refused = sum(n for found in rounds for status, n in found["crowd"]["statuses"].items() if status != "200")
    report.line("requests that were not answered 200", str(refused), "ok" if refused == 0 else "MISSED")
    kib = spread(rounds, "crowd", "KiB")
    report.line("KiB resident a tunnel", kib.text(), report.verdict(kib, 8, False))
    report.line("processor, us a request", spread(rounds, "crowd", "us").text("%.0f"))
    print("\np99 of one id's small requests, ms, while another's callers ask without a pause: at a server of their own; "
          "at the same (bar: the former and one turn over these)")
    for n in rounds[0]["beside"]:
        apart, busy, turn = (spread(rounds, "beside", n, what) for what in ("apart", "beside", "turn"))
        report.line("apart from %s" % n, apart.text("%.1f"))
        report.line("beside %s, a turn of %.1f ms" % (n, turn.median), busy.text("%.1f"),
                    report.verdict(busy, apart.median + turn.median, False))
