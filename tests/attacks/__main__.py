"""Attacks: python -m tests.attacks [--attacks NAME ...] [--seed N] [--count N] [--pythons VERSION ...] [--list]

    attacks     the table (attacks_*.py): each item of the attackers' report, on every CPython from 3.9 on that is here
    fuzz        messages, files, tree, interrupts (fuzz_*.py): `count` random attacks of each kind, of a seed
    cut off     loads, imports (interrupts.py): exceptions at `count` instructions of each, picked by the seed

After each the oracle looks (world.py): no operation took longer than 2 s on a calm machine (4 s where a hostile worker
is silent, which docs/PROTOCOL.md#3 allows it; a command 2 s more; on a machine that is measured to be n times slower
than calm, n at most 20, 1 + (n - 1) / 4 times that), daemon and programs have no descriptor and not 24 MB more than the
world began with (what one cycle may leave is measured by the attack `cycles`), no watchdog has found a wait of 5 s, the daemon has written nothing, no log has a defect, the other service was undisturbed,
and the good cycle (insmod, enabled 0, rmmod) works. Prints each that failed, with its seed, and the counts; the exit
status is 1 when anything failed.
"""
import argparse
import collections
import re
import signal
import sys
import time
import traceback

from tests.attacks import interrupts
from tests.attacks.table import Failed, Skipped, all_attacks
from tests.attacks.timing import Control
from tests.attacks.world import World
from tests.pythons import MINORS, find

FUZZERS = ("messages", "files", "tree", "interrupts")
CUT_OFF = {"loads": ("interrupted_program.py", ",".join(interrupts.KINDS)), "imports": ("cut_off_program.py",)}
CUT_OFF_S = 3600


class Run:
    """All of a run on one CPython. results: [(kind, name, error text or "")]."""

    def __init__(self, minor, python, control):
        self.minor, self.python, self.control = minor, python, control
        self.world, self.results = None, []

    def attack(self, each):
        """One attack, in the world that is there; a world in which something failed is closed, and another is made."""
        self.guarded("attacks", each.name, each.item, self.one, each)

    def one(self, each):
        self.world = self.world or World(self.python, self.control)
        each.do(self.world)
        self.world.check()

    def fuzz(self, kind, seed, count):
        fuzzer = __import__(f"tests.attacks.fuzz_{kind}", fromlist=["run"])
        self.close()            # memory is compared with a fresh world's
        self.guarded(kind, f"seed {seed} count {count}", "", self.fuzzed, fuzzer, seed, count)

    def fuzzed(self, fuzzer, seed, count):
        self.world = World(self.python, self.control)
        try:
            fuzzer.run(self.world, seed, count)
        finally:
            self.tried = getattr(self.world, "tried", 0)
        self.world.check()

    def cut_off(self, kind, seed, count):
        self.guarded(kind, f"seed {seed} count {count}", "", self.instructions, kind, seed, count)

    def instructions(self, kind, seed, count):
        program, *more = CUT_OFF[kind]
        done = interrupts.run(self.python, program, CUT_OFF_S, seed, count, *more, text=True, capture_output=True)
        self.tried = sum(int(many) for many in re.findall(r"(\d+) (?:raised|instructions cut off)", done.stdout))
        if done.returncode or not self.tried:
            raise Failed((done.stdout + done.stderr)[-2000:] or f"exit status {done.returncode}")

    def guarded(self, kind, name, item, do, *arguments):
        begun, error, self.tried = time.monotonic(), "", 1
        try:
            do(*arguments)
        except Skipped as e:
            print(f"skipped: 3.{self.minor} {kind} {name} {item}: {e}", flush=True)
            return
        except BaseException as e:
            known = isinstance(e, (Failed, AssertionError))
            where = "" if known and not VERBOSE else "".join(traceback.format_tb(e.__traceback__)[-4:])
            error = f"{'' if isinstance(e, Failed) else type(e).__name__ + ': '}{e}\n{where}".rstrip()
            self.close()
            if isinstance(e, KeyboardInterrupt):
                raise
        self.results.append((kind, name, error, self.tried))
        state = "FAILED" if error else "ok"
        if error or VERBOSE:
            print(f"{state}: 3.{self.minor} {kind} {name} {item} ({time.monotonic() - begun:.1f} s)"
                  + (f"\n    {error}" if error else ""), flush=True)

    def close(self):
        if self.world:
            self.world.close()
            self.world = None


VERBOSE = False


def chosen(versions):
    """{minor version: interpreter} of the CPythons to attack; versions: "3.9" and the like, all without."""
    wanted = [int(each.rpartition(".")[2]) for each in versions] or MINORS
    return {minor: python for minor, python in ((minor, find(minor)) for minor in wanted) if python}


def main():
    global VERBOSE
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--attacks", nargs="*", default=(),
                           help="names of attacks, items of the report, kinds of random ones; default: all")
    arguments.add_argument("--seed", type=int, default=1)
    arguments.add_argument("--count", type=int, default=100, help="random attacks of each kind")
    arguments.add_argument("--pythons", nargs="*", default=(), help="3.9 and the like; default: all that are here")
    arguments.add_argument("--list", action="store_true")
    arguments.add_argument("-v", "--verbose", action="store_true", help="say each attack")
    given = arguments.parse_args()
    VERBOSE = given.verbose
    table = [each for each in all_attacks() if not given.attacks or each.name in given.attacks or each.item in given.attacks]
    kinds = [kind for kind in FUZZERS if not given.attacks or kind in given.attacks]
    cut_off = [kind for kind in CUT_OFF if not given.attacks or kind in given.attacks]
    if given.list:
        for each in table:
            print(f"{each.name:32} {each.item:3} {each.holds}")
        return 0
    unknown = set(given.attacks) - {each.name for each in table} - {each.item for each in table} - {*kinds, *cut_off}
    if unknown:
        arguments.error(f"no such attack: {' '.join(sorted(unknown))}")
    pythons = chosen(given.pythons)
    if not pythons:
        arguments.error("no CPython of these versions is here")
    signal.signal(signal.SIGTERM, signal.default_int_handler)       # nothing is left behind
    control, good, bad = Control(), collections.Counter(), []
    try:
        for minor, python in pythons.items():
            run = Run(minor, python, control)
            try:
                for each in table:
                    if each.since <= minor:
                        run.attack(each)
                for kind in kinds:
                    run.fuzz(kind, given.seed, given.count)
                for kind in cut_off:
                    run.cut_off(kind, given.seed, given.count)
            finally:
                run.close()
            for kind, name, error, tried in run.results:
                good[kind] += tried
                if error:
                    bad.append(f"3.{minor} {kind} {name}: {error.splitlines()[0]}")
    finally:
        control.close()
    print(f"on CPython {', '.join(f'3.{minor}' for minor in pythons)}: "
          + ", ".join(f"{count} {'attacks of the table' if kind == 'attacks' else kind}" for kind, count in good.items())
          + f"; {len(bad)} failed")
    for each in bad:
        print(f"  {each}")
    return bool(bad)


if __name__ == "__main__":
    sys.exit(main())
