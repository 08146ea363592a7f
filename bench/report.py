"""Medians, ratios to nginx's figure of the same round, and how far those
spread."""
import statistics

BASE = "nginx"
FLOOR = "relay"
FLOOR_BAR = 0.9     # of the floor's rate
RATIOS = (("req/s", "rate"), ("p50", "p50"), ("p99", "p99"), ("CPU", "cpu"))


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
    print("  %-16s %10s %9s %9s %8s   %s" % (
        "", "req/s", "p50 ms", "p99 ms", "CPU us", "  ".join(
            "%-18s" % (title + " : nginx") for title, _ in RATIOS)))
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
             for _, f in RATIOS}
    print("  ".join("%-18s" % (found[f].text() if found[f] else "-")
                    for _, f in RATIOS))
    if name == judged and cell.bar and found["rate"]:
        print("  %-16s rate: %s" % ("", verdict(found["rate"], cell.bar)))
    if name == judged and FLOOR in rounds[0]:
        share = ratios(column(rounds, name, "rate"), column(rounds, FLOOR, "rate"))
        print("  %-16s rate : %s %s %s" % ("", FLOOR, share.text(), verdict(share, FLOOR_BAR)))
    if name == judged and cell.p99_bar and found["p99"]:
        print("  %-16s p99: %s" % ("", verdict(found["p99"], cell.p99_bar, False)))


def short(value):
    if value >= 1000:
        return "%.0f" % value
    return "%.3g" % value


def line(what, value, note=""):
    print("  %-52s %-26s %s" % (what, value, note))


def figure(what, values, base, form="%d", note=""):
    """A line for a figure, with its ratio to nginx's where that is another's."""
    ratio = ratios(values, base) if base and base != values else None
    print("  %-26s %-26s %-20s %s" % (
        what, Spread(values).text(form), ratio.text() if ratio else "", note))
