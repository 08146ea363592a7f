"""python3 tests/run.py [scenarios_http ...]: runs the scenarios of these
files, or of all scenarios_*.py.  T=regex chooses by name ("http.head")."""
import glob
import importlib
import os
import sys

import harness

here = os.path.dirname(os.path.abspath(__file__))
names = sys.argv[1:] or sorted(
    os.path.basename(p)[:-3] for p in glob.glob(os.path.join(here, "scenarios_*.py")))
for name in names:
    importlib.import_module(name)
sys.exit(harness.main())
