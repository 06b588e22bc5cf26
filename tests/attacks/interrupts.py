"""Interrupts: an exception at every instruction of klpfs's own code in a load, and after each of them all is as before.

    python -m tests.attacks.interrupts [--seed N] [--count N] [--python PATH]... [--kinds MemoryError,Stopped]

A program with an agent, and no daemon: the test is the coordinator. First a load is watched, which gives the list of
instructions (code object, offset) of klpfs that it runs in the agent's thread. Then, for each of them (or `count`,
picked by the seed) a load in which the instruction raises when it is reached first. The load has to end, refused with
an errno or prepared; then the next load has to go in and out again, the program to fork, and no lock, descriptor,
thread, module or patch may be left.
"""
from __future__ import annotations

import argparse
import os
import pathlib
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).parents[2]
KINDS = ("MemoryError", "KeyboardInterrupt", "SystemExit", "TypeError", "RecursionError", "Stopped")


def attack(python: str, seed: int, count: int, kinds: str, seconds: int) -> int:
    """One interpreter's loads, in a process of its own. Returns its exit status: 0, nothing was found."""
    with tempfile.TemporaryDirectory(prefix="klpfs-interrupts-") as folder:
        environ = {name: value for name, value in os.environ.items() if not name.startswith(("KLPFS", "PYTHON"))}
        environ.update(PYTHONPATH=str(ROOT), PYTHONDONTWRITEBYTECODE="1")
        argv = [python, str(ROOT / "tests/attacks/interrupted_program.py"), folder, str(seed), str(count), kinds]
        return subprocess.run(argv, env=environ, timeout=seconds, check=False).returncode


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--count", type=int, default=0, help="so many instructions; 0: all")
    parser.add_argument("--python", action="append", help="default: this one")
    parser.add_argument("--kinds", default=",".join(KINDS))
    parser.add_argument("--seconds", type=int, default=7200)
    options = parser.parse_args()
    return max(attack(python, options.seed, options.count, options.kinds, options.seconds)
               for python in options.python or [sys.executable])


if __name__ == "__main__":
    sys.exit(main())
