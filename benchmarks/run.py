"""``python benchmarks/run.py [name …]``: run the benchmarks, all or some, and keep their tables and numbers in results.

They need the machine for themselves: whatever else runs on it is measured too.
"""

import importlib
import sys

NAMES = ["langevin", "kernel_density", "training", "diffusion", "busy", "frames", "playground", "book"]

if __name__ == "__main__":
    wanted = sys.argv[1:] or NAMES
    if unknown := {*wanted} - {*NAMES}:
        sys.exit(f"there is no benchmark {', '.join(sorted(unknown))}; there are {', '.join(NAMES)}")
    for name in wanted:
        importlib.import_module(name).measure()
