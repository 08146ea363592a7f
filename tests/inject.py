"""build/inject.so (tests/inject.c) from Python: which call of a program is to
fail, what it has counted, and where the call was made."""
import mmap
import os
import shutil
import struct
import subprocess
import threading

import harness
from harness import check, Skipped

LIBRARY = os.path.join(harness.ROOT, "build", "inject.so")
HOLD, COUNT_AND_FAIL, COUNT = range(3)


lock = threading.Lock()
built = []


def library():
    """Builds it, or skips the scenario where it cannot work."""
    with lock:
        if not built:
            built.append(subprocess.run([os.environ.get("MAKE", "make"), "-s", "build/inject.so"], cwd=harness.ROOT,
                                        stdout=subprocess.PIPE, stderr=subprocess.STDOUT))
    if built[0].returncode != 0:
        raise Skipped("build/inject.so does not build (it needs glibc): %r" % built[0].stdout[-300:])
    with open(harness.BINARY, "rb") as f:
        if b"ld-linux" not in f.read(4096):
            raise Skipped("nothing can be loaded into a static program")


class Injection:
    """One process, and the call that fails in it.

    point: None, or (kind, n, error): the n-th call of that kind.  hold: calls
    count from go() on, not from the start."""

    HEAD = struct.Struct("=IIIIQQ")
    NAME = 16

    def __init__(self, t, point=None, hold=True):
        self.t, self.point, self.hold = t, point, hold
        t.numbers["page"] = t.numbers.get("page", 0) + 1
        self.path = os.path.join(t.folder, "page-%d" % t.numbers["page"])
        with open(self.path, "wb") as f:
            f.truncate(mmap.PAGESIZE)
        with open(self.path, "r+b") as f:
            self.map = mmap.mmap(f.fileno(), mmap.PAGESIZE)

    def environment(self):
        return {"LD_PRELOAD": LIBRARY, "INJECT_PAGE": self.path,
                "INJECT": "%s:%s:%s" % self.point if self.point else None,
                "INJECT_HOLD": "1" if self.hold else None,
                "ASAN_OPTIONS": self.t.environment({})["ASAN_OPTIONS"] + ":verify_asan_link_order=0"}

    def head(self):
        names = "go fired kinds stack_max slept slept_at_close".split()
        return dict(zip(names, self.HEAD.unpack_from(self.map)))

    def set(self, go):
        struct.pack_into("=I", self.map, 0, go)

    def go(self):
        self.set(COUNT_AND_FAIL)

    def stop(self):
        """Nothing counts or fails any more."""
        self.set(HOLD)

    def seen(self):
        """How many calls of each kind were counted."""
        kinds = self.head()["kinds"]
        check(kinds > 0, "build/inject.so is not loaded")
        at = self.HEAD.size + self.NAME * kinds
        counts = struct.unpack_from("=%dQ" % kinds, self.map, at)
        names = [self.map[self.HEAD.size + self.NAME * i:][:self.NAME].rstrip(b"\0").decode() for i in range(kinds)]
        return dict(zip(names, counts))

    def forget(self):
        """Holds, and counts from the beginning again."""
        self.set(HOLD)
        kinds = self.head()["kinds"]
        struct.pack_into("=%dQ" % kinds, self.map, self.HEAD.size + self.NAME * kinds, *[0] * kinds)

    @property
    def fired(self):
        return self.head()["fired"]

    def stack(self):
        """Where the call that failed was made: offsets in the program."""
        head = self.head()
        at = self.HEAD.size + (self.NAME + 8) * head["kinds"]
        return [x for x in struct.unpack_from("=%dQ" % head["stack_max"], self.map, at) if x]


def names_of(stack):
    """The functions of a call stack, innermost first."""
    if not stack or not shutil.which("addr2line"):
        return " ".join("+0x%x" % x for x in stack)
    done = subprocess.run(["addr2line", "-f", "-i", "-s", "-e", harness.BINARY] + ["%x" % (x - 1) for x in stack],
                          stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    lines = done.stdout.decode().split("\n")
    named = ["%s:%s" % (f, at.rpartition(":")[2].split(" ")[0]) if ":?" not in at and at else f
             for f, at in zip(lines[0::2], lines[1::2])]
    return " < ".join([n for n in named if not n.startswith(("_start", "??"))][:12]) or "?"
