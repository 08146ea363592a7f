"""The floor for two hops: bench/relay.c, which knows no HTTP and keeps no log."""
import os
import re

import bed
from contenders import pipegate

PROGRAM = os.path.join(bed.ROOT, "build", "floor")


def files():
    return pipegate.there(PROGRAM)


def start(stand):
    stand.spawn("server", [PROGRAM])
    bed.wait(lambda: re.fullmatch(r"\d+\n\d+\n", stand.said("server")), "the ports of the relay")
    callers, link = stand.said("server").split()
    stand.spawn("client", [PROGRAM, link, str(stand.origin)])
    return "http://127.0.0.1:%s" % callers
