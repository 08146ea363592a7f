"""Medians, ratios to nginx's figure of the same round, and how far those
spread."""
import statistics

BASE = "nginx"


class Spread:
    """A figure over the rounds."""

    def __init__(self, values):
        self.low, self.high = min(values), max(values)
        self.median = statistics.median(values)

    def text(self, form="%.2f"):
        return "%s (%s..%s)" % (form % self.median, form % self.low,
                                form % self.high)


def ratios(values, base):
    """Of rounds that have both."""
    found = [v / b for v, b in zip(values, base) if v is not None and b]
    return Spread(found) if found else None


def verdict(spread, bar, at_least=True):
    """What misses its bar by less than the spread is "not shown"."""
    short = bar - spread.median if at_least else spread.median - bar
    sign = ">=" if at_least else "<="
    if short <= 0:
        word = "met"
    elif short < spread.high - spread.low:
        word = "not shown"
    else:
        word = "MISSED"
    return "bar %s %g: %s" % (sign, bar, word)


def column(rounds, name, figure):
    return [r[name][figure] for r in rounds]


def print_cell(cell, rounds, names, judged):
    """rounds: one dictionary per round, of what load.measure() gave by name."""
    print("\n%s" % cell.title())
    print("  %-16s %10s %9s %9s %8s   %-20s %-20s %s" % (
        "", "req/s", "p50 ms", "p99 ms", "CPU us", "req/s : nginx",
        "p99 : nginx", "CPU : nginx"))
    for name in names:
        middle = {f: statistics.median(column(rounds, name, f))
                  for f in ("rate", "p50", "p99", "cpu", "faults")}
        print("  %-16s %10s %9s %9s %8s" % (
            name, short(middle["rate"]), short(middle["p50"]),
            short(middle["p99"]), short(middle["cpu"])), end="   ")
        print_ratios(cell, rounds, name, judged)
        if middle["faults"]:
            print("  %-16s %d faults in a run: refused, broken off or late" % (
                "", middle["faults"]))


def print_ratios(cell, rounds, name, judged):
    if name == BASE or BASE not in rounds[0]:
        print()
        return
    found = {f: ratios(column(rounds, name, f), column(rounds, BASE, f))
             for f in ("rate", "p99", "cpu")}
    print("%-20s %-20s %s" % tuple(
        found[f].text() if found[f] else "-" for f in ("rate", "p99", "cpu")))
    if name == judged and cell.bar and found["rate"]:
        print("  %-16s rate: %s" % ("", verdict(found["rate"], cell.bar)))
    if name == judged and cell.p99_bar and found["p99"]:
        print("  %-16s p99: %s" % ("", verdict(found["p99"], cell.p99_bar, False)))


def short(value):
    if value >= 1000:
        return "%.0f" % value
    return "%.3g" % value


def line(what, value, note=""):
    print("  %-52s %-26s %s" % (what, value, note))
