"""What a run found, for people: a table as text and as markdown, and a chart.
Each figure is the median over the rounds of a rate's ratio to nginx's."""
import datetime
import os
import platform
import re
import subprocess

import bed
import report
from load import Cell

# How each is called, and what tells its version; the first number of that counts.
NAMES = {"nginx": "nginx, one hop", "haproxy": "haproxy, one hop", "direct": "no hop", "relay": "bare relay",
         "pipegate": "PipeGate", "pipegate_static": "PipeGate, static", "python": "Python PipeGate",
         "ssh": "ssh -R", "haproxy_reverse": "haproxy rhttp", "frp": "frp tcp"}
VERSIONS = {"nginx": ("nginx", "-v"), "haproxy": ("haproxy", "-v"), "ssh": ("ssh", "-V"), "frp": ("frps", "--version"),
            "rathole": ("rathole", "--version"), "bore": ("bore", "--version"), "chisel": ("chisel", "--version")}


def cells(rounds):
    return [Cell(key.split("@")[0], int(key.split("@")[1])) for key in rounds[0] if "@" in key]


def table(rounds):
    """Rows of (a load's title, {contender: ratio})."""
    found = []
    for cell in cells(rounds):
        column = {name: [r[cell.key][name]["rate"] for r in rounds] for name in rounds[0][cell.key]}
        ratios = {name: report.ratios(rates, column[report.BASE]) for name, rates in column.items()}
        found.append((cell.title(), {name: r.median for name, r in ratios.items() if r}))
    return found


def by_speed(rows):
    """The contenders, the fastest first by the mean of their ratios; nginx is 1 and stands aside."""
    means = {name: sum(row[name] for _, row in rows) / len(rows) for name in rows[0][1] if name != report.BASE}
    return sorted(means, key=means.get, reverse=True)


def version(name):
    if name not in VERSIONS:
        return ""
    program, flag = VERSIONS[name]
    said = subprocess.run([bed.program(program), flag], capture_output=True, text=True)
    words = said.stdout + said.stderr
    number = re.search(r"(?i)version\W+v?(\d+\.\d+[\w.]*)", words) or re.search(r"(\d+\.\d+[\w.]*)", words)
    return " " + number[1] if number else ""


def conditions(names, count):
    with open("/proc/cpuinfo") as f:
        model = re.search(r"model name\s*: (.*)", f.read())
    return "%s, %d processors (%s), %s; %s; median of %d rounds" % (
        datetime.date.today(), os.cpu_count(), model[1].strip() if model else platform.machine(),
        platform.platform(terse=True),
        "; ".join(title(n) + version(n) for n in sorted([report.BASE] + names)), count)


def title(name):
    return NAMES.get(name, name)


def text(rows, names):
    width = max(len(title(n)) for n in names) + 2
    lines = [" " * 28 + "".join(title(n).rjust(width) for n in names)]
    for load, row in rows:
        lines.append("  " + load.ljust(26) + "".join(("%.2f" % row[n]).rjust(width) for n in names))
    return "\n".join(lines)


def markdown(rows, names):
    lines = ["| load | " + " | ".join(title(n) for n in names) + " |",
             "|:--|" + "--:|" * len(names)]
    for load, row in rows:
        lines.append("| %s | " % load + " | ".join("%.2f" % row[n] for n in names) + " |")
    return "\n".join(lines)


def can_say(rounds):
    """Whether nginx was there, and another."""
    found = rounds[0][cells(rounds)[0].key]
    return report.BASE in found and len(found) > 1


def say(rounds):
    rows = table(rounds)
    names = by_speed(rows)
    print("\nrequests a second, where nginx as a plain reverse proxy makes 1\n%s\n\n%s\n\n%s\n" % (
        conditions(names, len(rounds)), text(rows, names), markdown(rows, names)))


# ------------------------------------------------------------- the chart

BAR, GAP, LEFT, WIDTH = 12, 22, 130, 640


def bar(x, y, length, name):
    ours = name.startswith("pipegate")
    return '<rect x="%d" y="%d" width="%.1f" height="%d" fill="%s"/>' % (
        x, y, length, BAR - 2, "#2b6cb0" if ours else "#b8c2cc")


def words(x, y, said, anchor="start", weight="normal"):
    return '<text x="%d" y="%d" text-anchor="%s" font-weight="%s">%s</text>' % (x, y, anchor, weight, said)


def chart(rounds):
    """An SVG: for each load a group of bars, nginx's 1 as a line through all."""
    rows = table(rounds)
    names = by_speed(rows)
    most = max(max(row[n] for n in names) for _, row in rows)
    scale = (WIDTH - LEFT - 60) / max(most, 1)
    parts, y = [], 40
    for load, row in rows:
        parts.append(words(8, y, load, weight="bold"))
        y += 6
        for name in names:
            parts += [words(LEFT - 6, y + BAR - 3, title(name), "end"), bar(LEFT, y, row[name] * scale, name),
                      words(LEFT + int(row[name] * scale) + 4, y + BAR - 3, "%.2f" % row[name])]
            y += BAR
        y += GAP
    line = '<line x1="%.1f" y1="28" x2="%.1f" y2="%d" stroke="#444" stroke-dasharray="3 3"/>' % (
        LEFT + scale, LEFT + scale, y - GAP)
    head = words(8, 16, "Requests a second; the dashed line is nginx as a plain reverse proxy")
    return ('<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" font-family="sans-serif" font-size="10">\n'
            '<rect width="100%%" height="100%%" fill="white"/>\n%s\n</svg>\n' % (
                WIDTH, y - GAP + 10, "\n".join([head] + parts + [line])))
