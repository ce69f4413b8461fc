"""`./dev bench` begins here: puts tests/, not this directory, on the path, and runs `bench.main`."""

import runpy
import sys
from pathlib import Path

sys.path[0] = str(Path(__file__).parents[1])
runpy.run_module("bench.main", run_name="__main__", alter_sys=True)
