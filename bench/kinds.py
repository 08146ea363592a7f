"""The kinds of measurement.  Each starts its contenders anew in each round,
and turns their order round by round."""
import os
import statistics
import sys
import time

import bed
import load
import report
import shares
import wires

# What speaks for memory is the program that is released.
SHIPPED = "pipegate_static"
JUDGED = ("pipegate", SHIPPED)
IDLE = 5000
SETTLE = 2.5        # seconds until caches and free lists have been trimmed


def turned(names, i):
    return names[i % len(names):] + names[:i % len(names)]


def by_rounds(names, opt, what, measure):
    """What measure(name) finds, by name, for each round."""
    rounds = []
    for i in range(opt.rounds):
        found = {}
        for name in turned(names, i):
            tell("%s %d, %s" % (what, i + 1, name))
            found[name] = measure(name)
        rounds.append(found)
    tell("")
    return rounds


def tell(text):
    sys.stderr.write("\r\033[K%s" % text if sys.stderr.isatty() else "")
    sys.stderr.flush()


def shipped(names):
    """pipegate stands aside for its static build, where that is there."""
    if "pipegate" not in names or bed.absent(SHIPPED):
        return names
    return [n for n in names if n not in JUDGED] + [SHIPPED]


def of(rounds, *path):
    values = []
    for r in rounds:
        for step in path:
            r = r[step]
        values.append(r)
    return values


# ----------------------------------------------------- rates, and the start


def rates(b, names, cells, opt):
    rounds = []
    for i in range(opt.rounds):
        rounds.append(rates_round(b, turned(names, i), cells, opt, i))
    tell("")
    for cell in cells:
        report.print_cell(cell, of(rounds, cell.key), names, "pipegate")
    growth(rounds, names)
    print("\nresident memory at its peak, under all of these loads, KiB; "
          "its ratio to nginx's")
    base = of(rounds, "peak", report.BASE) if report.BASE in names else None
    for name in names:
        report.figure(name, of(rounds, "peak", name), base)
    return rounds


def rates_round(b, names, cells, opt, i):
    stands = {name: b.start(name)[0] for name in names}
    found = {}
    for k, cell in enumerate(cells):
        found[cell.key] = {}
        for name in turned(names, k):
            tell("round %d, %s, %s" % (i + 1, cell.title(), name))
            found[cell.key][name] = load.measure(stands[name], cell, opt.seconds)
    found["peak"] = {n: s.kib("VmHWM") for n, s in stands.items()}
    for stand in stands.values():
        b.stop(stand)
    return found


def growth(rounds, names):
    """Whether many connections cost more than they cost nginx."""
    few, many = "13@64", "13@1000"
    if few not in rounds[0] or many not in rounds[0] or "nginx" not in names:
        return
    print("\nratio to nginx at 1000 connections : that at 64 (13 B)")
    for name in names:
        if name == "nginx":
            continue
        pairs = [[r[key][name]["rate"] / r[key]["nginx"]["rate"]
                  for key in (many, few)] for r in rounds]
        kept = report.Spread([a / c for a, c in pairs])
        report.line(name, kept.text(),
                    report.verdict(kept, 0.8) if name in JUDGED else "")


def start(b, names, cells, opt):
    rounds = by_rounds(names, opt, "start", lambda name: start_of(b, name))
    print("\nfrom start to the first answer, ms; its ratio to nginx's")
    base = of(rounds, report.BASE) if report.BASE in names else None
    for name in names:
        report.figure(name, of(rounds, name), base, "%.1f")
    print("\nsize of the programs, KiB; its ratio to nginx's")
    base = [size_of(report.BASE)] if report.BASE in names else None
    for name in shipped(names):
        if bed.contender(name).files():
            report.figure(name, [size_of(name)], base)
    return rounds


def start_of(b, name):
    stand, seconds = b.start(name)
    b.stop(stand)
    return seconds * 1000


def size_of(name):
    """What a contender runs, each program counted once, in KiB."""
    return sum({path: os.path.getsize(os.path.realpath(path))
                for path in bed.contender(name).files()}.values()) / 1024


# ------------------------------------------------------------------- memory


def memory(b, names, cells, opt):
    """Resident after one answer, and with callers that keep theirs open."""
    names = [n for n in shipped(names) if n != "direct"]
    rounds = by_rounds(names, opt, "memory", lambda name: memory_of(b, name))
    print("\nresident memory, KiB: idle; its ratio to nginx's")
    memory_lines(rounds, names, "idle", 1536, ("server", "client"))
    print("\nbytes per idle caller, of %d; their ratio to nginx's" % IDLE)
    memory_lines(rounds, names, "each", 400, ("server",))
    return rounds


def memory_lines(rounds, names, figure, bar, barred):
    base = None
    if report.BASE in names:
        base = of(rounds, report.BASE, next(iter(rounds[0][report.BASE])), figure)
    for name in names:
        for label in rounds[0][name]:
            values = of(rounds, name, label, figure)
            judged = name in JUDGED and label in barred
            report.figure("%s %s" % (name, label), values, base, note=report.verdict(
                report.Spread(values), bar, False) if judged else "")


def memory_of(b, name):
    stand, _ = b.start(name)
    labels = stand.labels()
    time.sleep(SETTLE)
    before = {label: stand.kib("VmRSS", label) for label in labels}
    callers = load.idle_callers(stand.url, IDLE)
    time.sleep(SETTLE)
    found = {label: {"idle": before[label], "each":
                     (stand.kib("VmRSS", label) - before[label]) * 1024 / IDLE}
             for label in labels}
    load.close_all(callers)
    b.stop(stand)
    return found


# ----------------------------------------------- idle callers beside busy ones


def idle(b, names, cells, opt):
    names = [n for n in shipped(names) if n != "direct"]
    rounds = by_rounds(names, opt, "idle callers", lambda name: idle_of(b, name, opt.seconds))
    print("\nwith %d idle callers: rate of 64 busy ones : rate without; "
          "processor time for 1000 req/s over 8, %% of one more" % IDLE)
    for name in names:
        kept = report.Spread(of(rounds, name, "kept"))
        more = report.Spread(of(rounds, name, "more"))
        judged = name in JUDGED
        report.line(name, kept.text(),
                    report.verdict(kept, 0.8) if judged else "")
        report.line("", more.text("%.1f"),
                    report.verdict(more, 15, False) if judged else "")
    return rounds


def idle_of(b, name, seconds):
    """The rate without is taken before and after, against slow drift."""
    stand, _ = b.start(name)
    busy = load.Cell("13", 64)
    without = [load.measure(stand, busy, seconds)["rate"]]
    plain = steady_cost(stand, seconds)
    callers = load.idle_callers(stand.url, IDLE)
    time.sleep(SETTLE)
    crowded = steady_cost(stand, seconds)
    beside = load.measure(stand, busy, seconds)["rate"]
    load.close_all(callers)
    time.sleep(SETTLE)
    without.append(load.measure(stand, busy, seconds)["rate"])
    b.stop(stand)
    return {"kept": beside / statistics.mean(without),
            "more": (crowded - plain) * 100}


def steady_cost(stand, seconds):
    """Share of a processor for 1000 req/s, once that is an old custom."""
    load.steady(stand.url, 8, 1000, 1)
    before, began = stand.cpu(), time.monotonic()
    load.steady(stand.url, 8, 1000, seconds)
    return (stand.cpu() - before) / (time.monotonic() - began)


# --------------------------------------------------- who is merely connected

CROWDS = (1000, 10000)      # callers that ask once a second
RESTING, BUSY = 15000, 100
AT_REST = 20                # seconds


def callers(b, names, cells, opt):
    """What those cost who ask seldom, or not at all."""
    names = [n for n in names if n in (report.BASE, "pipegate")]
    rounds = by_rounds(names, opt, "callers", lambda name: callers_of(b, name, opt.seconds))
    print("\nprocessor time of the server, us a request")
    for name in names:
        callers_lines(rounds, name, names)
    return rounds


def callers_lines(rounds, name, names):
    judged = name in JUDGED
    for count in CROWDS:
        each = of(rounds, name, "seldom %d" % count)
        base = of(rounds, report.BASE, "seldom %d" % count) if report.BASE in names else None
        ratio = report.ratios(each, base) if base and judged else None
        report.figure("%s, %d seldom" % (name, count), each, base, "%.1f",
                      report.verdict(ratio, 1.5, False) if ratio else "")
    alone, beside = of(rounds, name, "alone"), of(rounds, name, "beside")
    more = report.ratios([x["cpu"] for x in beside], [x["cpu"] for x in alone])
    later = report.Spread([x["p50"] - y["p50"] for x, y in zip(beside, alone)])
    report.line("%s, %d busy beside %d idle : without" % (name, BUSY, RESTING), more.text(),
                report.verdict(more, 1.2, False) if judged else "")
    report.line("  p50, ms more", later.text("%.2f"), report.verdict(later, 0.3, False) if judged else "")
    rest = report.Spread(of(rounds, name, "rest"))
    report.line("  %d idle, %% of a processor" % IDLE, rest.text("%.3f"),
                report.verdict(rest, 0.1, False) if judged else "")


def callers_of(b, name, seconds):
    stand, _ = b.start(name)
    label, found = stand.labels()[0], {}
    for count in CROWDS:
        found["seldom %d" % count] = load.measure(stand, load.Cell("13", count), seconds + 3, label, 1000)["cpu"]
    found["alone"] = load.measure(stand, load.Cell("13", BUSY), seconds, label)
    idle = load.idle_callers(stand.url, RESTING)
    time.sleep(SETTLE)
    found["beside"] = load.measure(stand, load.Cell("13", BUSY), seconds, label)
    load.close_all(idle[IDLE:])
    time.sleep(SETTLE)
    before, began = stand.cpu(label), time.monotonic()
    time.sleep(AT_REST)
    found["rest"] = (stand.cpu(label) - before) / (time.monotonic() - began) * 100
    load.close_all(idle)
    b.stop(stand)
    return found


# ------------------------------------------------------- many streams, one link


def streams(b, names, cells, opt):
    """A request's cost beside 10 and beside 1000 that wait for an answer."""
    names = [n for n in names if n != "direct"]
    rounds = by_rounds(names, opt, "open streams", lambda name: [streams_of(b, name, count, opt.seconds) for count in (10, 1000)])
    print("\nCPU us of a request over 8 beside 10 and 1000 open ones; "
          "the second : the first")
    for name in names:
        few, many = ([r[name][k] for r in rounds] for k in (0, 1))
        ratio = report.ratios(many, few)
        report.line(name, "%.1f  %.1f  %s" % (
            statistics.median(few), statistics.median(many), ratio.text()),
            report.verdict(ratio, 1.3, False) if name in JUDGED else "")
    return rounds


def streams_of(b, name, count, seconds):
    stand, _ = b.start(name)
    callers = load.held_callers(stand.url, count)
    time.sleep(SETTLE)
    cost = load.measure(stand, load.Cell("13", 8), seconds)["cpu"]
    load.close_all(callers)
    b.stop(stand)
    return cost


QUICK = ("rates", "start", "memory", "idle", "streams")
ALL = {"rates": rates, "start": start, "memory": memory, "idle": idle,
       "callers": callers, "streams": streams, "shares": shares.shares, "wires": wires.wires}
