"""What a request costs apart from time: system calls, by strace -c, and
instructions by function, by callgrind, on each side."""
import os
import re
import signal
import subprocess

import bed
import load

CELLS = [load.Cell("13", 1), load.Cell("13", 64), load.Cell("100k", 16),
         load.Cell("10m", 4), load.Cell("post", 8)]
SIDES = ("server", "client")
SHOWN = 20


def profile(b, cells, seconds):
    for cell in cells or CELLS:
        calls(b, cell, seconds)
        instructions(b, cell, seconds)


def under(b, before, cell, seconds):
    """Runs pipegate under a tool, with load.  Returns its ended stand, and how
    many requests it served."""
    module = bed.contender("pipegate")
    stand = b.stand("profile")
    module.prepare(stand)
    stand.kept["before"] = before
    stand.url = module.start(stand)
    bed.first_answer(stand.url, stand, 60)
    count = load.requests(load.wrk(stand.url, cell, seconds), cell)
    for _, child in reversed(stand.parts):
        os.kill(bed.tree(child.pid)[-1], signal.SIGTERM)
        child.wait(20)
    stand.stop()
    return stand, count


def calls(b, cell, seconds):
    stand, count = under(b, [bed.program("strace"), "-c", "-f", "-o",
                             "LABEL.strace"], cell, seconds)
    for side in SIDES:
        found = counted(bed.read_text(stand.path(side + ".strace")))
        total = sum(n for _, n in found)
        print("\n%s, system calls per request in the %s: %.2f" % (
            cell.title(), side, total / count))
        print("  " + "  ".join("%s %.2f" % (name, n / count) for name, n in found
                               if n / count >= 0.005))


def counted(text):
    """(name, calls) of each line of strace -c, most first."""
    found = []
    for line in text.splitlines():
        words = line.split()
        if len(words) >= 5 and words[3].isdigit() and words[-1] != "total":
            found.append((words[-1], int(words[3])))
    return sorted(found, key=lambda pair: -pair[1])


def instructions(b, cell, seconds):
    stand, count = under(b, [bed.program("valgrind"), "--tool=callgrind",
                             "--callgrind-out-file=LABEL.callgrind", "-q"],
                         cell, 3 * seconds)
    for side in SIDES:
        found = by_function(stand.path(side + ".callgrind"))
        total = sum(n for _, n in found)
        print("\n%s, instructions per request in the %s: %.0f" % (
            cell.title(), side, total / count))
        for name, n in found[:SHOWN]:
            print("  %8.0f  %5.1f %%  %s" % (n / count, 100 * n / total, name))


def by_function(path):
    """(name, instructions of its own) from callgrind_annotate."""
    said = subprocess.run([bed.program("callgrind_annotate"), "--threshold=100",
                           path], capture_output=True, text=True).stdout
    found = []
    for line in said.splitlines():
        got = re.match(r"\s*([\d,]+)\s+\([ \d.]+%\)\s+\S*?:(\S+)", line)
        if got:
            found.append((got[2], int(got[1].replace(",", ""))))
    return sorted(found, key=lambda pair: -pair[1])
