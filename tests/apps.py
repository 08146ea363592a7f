"""The table of README: which frameworks work behind the tunnel, in a browser,
by path and by host.  T=vite chooses; DOMAIN=tunnel.example.com takes a name
that an app does not know in place of localhost."""
import concurrent.futures
import importlib.metadata
import json
import os
import sys
import time

import harness
from interop_apps import APPS, CELLS, FORMS, rewrites


def version(package):
    """Of what is called npm:... or py:..., as far as it is here."""
    where, name = package.split(":")
    try:
        if where == "py":
            return importlib.metadata.version(name)
        with open(os.path.join(harness.NODE_MODULES, name, "package.json")) as f:
            return json.load(f)["version"]
    except (OSError, importlib.metadata.PackageNotFoundError):
        return ""


def works(name, form):
    """What the table says of a cell that is well."""
    word = "works" + (" (a)" if rewrites(APPS[name], form) else "")
    return word + (" (b)" if (name, form) == ("express", "path") else "")


def tried(key):
    """(What the table says, what there is to say below it)."""
    start = time.monotonic()
    kind, note = harness.run_one(CELLS[key])
    print("%s %s by %s (%.1f s)" % (kind, *key, time.monotonic() - start), file=sys.stderr, flush=True)
    word = {"ok": works(*key), "skip": "left out", "not ok": "does not"}[kind]
    return word, note and "%s by %s: %s" % (*key, note)


def show(got):
    """The table, with the legend of those signs that are in it."""
    print("%-22s %-16s %s" % ("", *("by " + form for form in FORMS)))
    for name in dict.fromkeys(name for name, form in got):
        words = [got.get((name, form), ("", ""))[0] for form in FORMS]
        print(("%-22s %-16s %s" % (APPS[name].called + " " + version(APPS[name].package), *words)).rstrip())
    words = " ".join(word for word, note in got.values())
    for sign, text in (("(a)", "the client with --host-header rewrite"),
                       ("(b)", "but for a service worker, which would be that of all ids: it is refused")):
        if sign in words:
            print("%s %s" % (sign, text))


def main():
    wanted = os.environ.get("T", "")
    chosen = [key for key, function in CELLS.items() if harness.matches(function, wanted)]
    with concurrent.futures.ThreadPoolExecutor(int(os.environ.get("JOBS", "2"))) as pool:
        got = dict(zip(chosen, pool.map(tried, chosen)))
    show(got)
    for word, note in got.values():
        if note:
            print("\n" + note)
    return 1 if any(word == "does not" for word, note in got.values()) else 0


sys.exit(main())
