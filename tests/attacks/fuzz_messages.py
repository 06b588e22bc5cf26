"""Random messages: a hostile worker of the group says anything (hostile.fuzz), while root loads and looks.

A worker may refuse a load, and may hold it up (README.md, "Processes that change their user"): then the writer can be
interrupted. Nothing else is disturbed by it, and without it all is as before.
"""
import random
import re
import signal
import time

from tests import harness
from tests.attacks.table import Failed
from tests.attacks.timing import BOUND, PATIENCE, Operation


def run(world, seed, count):
    """`count` tries, of the seeds from `seed` on: SEED=n COUNT=1 is the n-th alone."""
    for number in range(seed, seed + count):
        world.tried = number - seed + 1
        said = []
        try:
            one(world, number, said)
        except AssertionError as e:
            raise Failed(f"SEED={number} COUNT=1: {e} [{', '.join(said[:6])}]") from None


def one(world, seed, said):
    rng = random.Random(seed)
    evil = world.evil()
    said += evil.do(f"fuzz({seed})")
    evil.send("time.sleep(.3)")         # it says what it has to say, or waits to be met
    tree, path = world.tree(), world.patch("lp1", extra="level = module_param('level', int, 3, 0o644)\n")
    held(world, "insmod", tree.insmod, path)
    for what in rng.sample(("views", "param", "kmsg", "check", "disable", "log"), 3):
        if what == "views":
            for name in "proc/modules", "blockers":
                found = world.timed(f"cat {name}", lambda name=name: len(harness.read(tree.path / name)))
                world.expect(found.startswith("ok"), f"cat {name}: {found}")
        elif what == "log":
            world.log()
        elif what == "param":
            held(world, "echo > level", harness.write, tree.path / "sys/module/lp1/parameters/level", "5")
        elif what == "kmsg":
            held(world, "echo > kmsg", harness.write, tree.path / "dev/kmsg", "a line")
        elif what == "disable":
            held(world, "echo 0 > enabled", harness.write, tree.livepatch / "lp1/enabled", "0")
        else:
            held(world, "echo > check", harness.write, tree.path / "check", str(path))
    world.others()
    evil.process.kill()
    evil.end()
    world.evils.remove(evil)
    world.clear()
    world.cycle_in_process()


def held(world, what, do, *arguments):
    """A write that a worker may refuse or hold up, and a signal ends."""
    operation = Operation(do, *arguments)
    # whatever the machine: at 5 s klpfs's watchdog says that it waits
    if not operation.wait(BOUND + PATIENCE):
        operation.kill(signal.SIGUSR1)
        operation.begun = time.monotonic()
        found = world.over(f"{what}, interrupted", operation, BOUND + PATIENCE)     # so long all may take back
    else:
        found = operation.end()
    world.expect(found.startswith("ok") or re.fullmatch("E[A-Z0-9]+", found), f"{what}: {found}")
