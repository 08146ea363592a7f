"""This program as `make static` builds it: with musl where it is there."""
import os

import bed
from contenders import pipegate

PROGRAM = os.environ.get("PIPEGATE_STATIC",
                         os.path.join(bed.ROOT, "pipegate-static"))


def files():
    return pipegate.there(PROGRAM)


def prepare(stand):
    pipegate.prepare(stand, PROGRAM)


start = pipegate.start
