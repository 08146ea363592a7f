"""Which lines and branches the unit tests and scenarios run, file by file:

    python3 tests/coverage.py "SOURCE..." "UNIT TEST..." CC FLAG...

All sources are compiled with gcc's --coverage into build/coverage, once, and
linked into the program (with the source that holds its main) and into the
unit tests (without it).  T chooses scenarios as ever.
"""
import json
import os
import shutil
import subprocess
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
FOLDER = os.path.join("build", "coverage")
MAIN = "pipegate.c"


def run(argv, **how):
    return subprocess.run(argv, cwd=ROOT, check=True, **how)


def compiled(sources, command):
    """The object files of these sources, in folders like theirs."""
    objects = []
    for source in sources:
        out = os.path.join(FOLDER, os.path.splitext(source)[0] + ".o")
        os.makedirs(os.path.join(ROOT, os.path.dirname(out)), exist_ok=True)
        run(command + ["-c", "-o", out, source])
        objects.append(out)
    return objects


def built(sources, units, command):
    """Builds both programs: (object files of sources, program, unit tests)."""
    instrumented = command + ["-O0", "-g", "--coverage"]
    objects = compiled(sources, instrumented)
    rooms = [o for s, o in zip(sources, objects) if s != MAIN]
    program, unit = (os.path.join(FOLDER, name) for name in ("pipegate", "unit"))
    run(instrumented + ["-o", program] + objects)
    run(instrumented + ["-o", unit] + compiled(units, command) + rooms)
    return objects, program, unit


def tested(program, unit):
    """Runs all tests.  What fails counts too, and is no fault of the program:
    where memory is made to fail, gcov has none either."""
    env = dict(os.environ, PIPEGATE=os.path.join(ROOT, program), SLOW="2")
    for argv in ([os.path.join(ROOT, unit)], [sys.executable, "tests/run.py"]):
        subprocess.run(argv, cwd=ROOT, env=env, check=False)


def gcov_of(compiler):
    """The gcov that belongs to a gcc, as gcov-12 to gcc-12."""
    name = os.path.basename(compiler).replace("gcc", "gcov")
    return name if "gcov" in name and shutil.which(name) else "gcov"


def counted(objects, gcov):
    """file -> ({line: runs}, {(line, number): runs}) over all objects."""
    files = {}
    for path in objects:
        said = run([gcov, "--json-format", "--stdout", "--branch-probabilities", path],
                   stdout=subprocess.PIPE).stdout
        for text in filter(None, said.splitlines()):
            for entry in json.loads(text)["files"]:
                lines, branches = files.setdefault(os.path.normpath(entry["file"]), ({}, {}))
                for line in entry["lines"]:
                    add(lines, line["line_number"], line["count"])
                    for i, branch in enumerate(line["branches"]):
                        add(branches, (line["line_number"], i), branch["count"])
    return {name: counts for name, counts in files.items() if not os.path.isabs(name)}


def add(counts, key, n):
    counts[key] = counts.get(key, 0) + n


def share(counts):
    ran = sum(1 for n in counts if n > 0)
    return "%6d of %5d %5.1f %%" % (ran, len(counts), 100 * ran / max(1, len(counts)))


def table(files):
    print("%-24s %24s %24s" % ("", "lines", "branches"))
    every = [[], []]
    for name in sorted(files, key=lambda n: (os.path.dirname(n), n)):
        columns = [list(counts.values()) for counts in files[name]]
        print("%-24s %24s %24s" % (name, share(columns[0]), share(columns[1])))
        for total, column in zip(every, columns):
            total += column
    print("%-24s %24s %24s" % ("all", share(every[0]), share(every[1])))


def main(sources, units, *command):
    shutil.rmtree(os.path.join(ROOT, FOLDER), ignore_errors=True)
    objects, program, unit = built(sources.split(), units.split(), list(command))
    tested(program, unit)
    table(counted(objects, gcov_of(command[0])))


if __name__ == "__main__":
    main(*sys.argv[1:])
