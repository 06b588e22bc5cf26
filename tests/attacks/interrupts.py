"""Interrupts: an exception at every instruction of klpfs's own code in a load, and after each of them all is as before;
a stop at every instruction of an import that a load does, and after each of them the program imports, logs and forks.

    python -m tests.attacks.interrupts [--seed N] [--count N] [--python PATH]... [--kinds MemoryError,Stopped]

A program with an agent, and no daemon: the test is the coordinator. First a load is watched, which gives the list of
instructions (code object, offset) of klpfs that it runs in the agent's thread. Then, for each of them (or `count`,
picked by the seed) a load in which the instruction raises when it is reached first. The load has to end, refused with
an errno or prepared; then the next load has to go in and out again, the program to fork, and no lock, descriptor,
thread, module or patch may be left. (cut_off_program.py: of importlib and logging, in foreign code alone, without an
agent.) `make attacks` runs both, as `loads` and `imports`.
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
    return run(python, "interrupted_program.py", seconds, seed, count, kinds).returncode


def cut_off(python: str, seed: int, count: int, seconds: int) -> int:
    """One interpreter's imports, in a process of its own. Returns its exit status: 0, nothing was found."""
    return run(python, "cut_off_program.py", seconds, seed, count).returncode


def run(python: str, program: str, seconds: int, *arguments: object, **more: int) -> subprocess.CompletedProcess[bytes]:
    """A program of this folder, in a folder of its own. What subprocess.run gives."""
    with tempfile.TemporaryDirectory(prefix="klpfs-interrupts-") as folder:
        environ = {name: value for name, value in os.environ.items() if not name.startswith(("KLPFS", "PYTHON"))}
        environ.update(PYTHONPATH=str(ROOT), PYTHONDONTWRITEBYTECODE="1", PYTHONWARNINGS="ignore:This process")
        argv = [python, str(ROOT / "tests/attacks" / program), folder, *map(str, arguments)]
        return subprocess.run(argv, env=environ, timeout=seconds, check=False, **more)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--count", type=int, default=0, help="so many instructions; 0: all")
    parser.add_argument("--python", action="append", help="default: this one")
    parser.add_argument("--kinds", default=",".join(KINDS))
    parser.add_argument("--seconds", type=int, default=7200)
    options = parser.parse_args()
    pythons = options.python or [sys.executable]
    return max([attack(python, options.seed, options.count, options.kinds, options.seconds) for python in pythons]
               + [cut_off(python, options.seed, options.count, options.seconds) for python in pythons])


if __name__ == "__main__":
    sys.exit(main())
