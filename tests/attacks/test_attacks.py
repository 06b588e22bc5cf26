"""The attacks that `make test` runs: those marked quick, and some random ones of seed 1, on the CPython of the tests.

`make attacks` runs all, on every CPython that is here. The oracle itself is tested at the end.
"""
import os
import time

import pytest

from klpfs.protocol import long_waits
from tests import harness
from tests.attacks.__main__ import FUZZERS, chosen
from tests.attacks.table import Failed, Skipped, all_attacks
from tests.attacks.timing import Control, Operation
from tests.attacks.world import World

needs_root = [pytest.mark.fuse, pytest.mark.skipif(os.geteuid() != 0, reason="root attacks as nobody")]
COUNTS = {"messages": 3, "files": 2, "tree": 3, "interrupts": 6}


@pytest.fixture(scope="module")
def control():
    found = Control()
    yield found
    found.close()


@pytest.fixture(scope="module")
def worlds(control):
    """worlds(): the world of the tests, or a new one where a test has spoilt it."""
    made = []

    def world():
        if not made or made[-1].spoilt:
            made.append(World(control=control, few=True))
            made[-1].spoilt = True      # until the test has gone through
        return made[-1]
    yield world
    for each in made:
        each.close()


def attacked(worlds, do):
    world = worlds()
    world.watchdog.watch()      # a world lives longer than a test, and so than the folder of the test's watchdog
    world.spoilt = True
    try:
        do(world)
        world.check()
    except Skipped as e:
        world.spoilt = False
        pytest.skip(str(e))
    except BaseException:
        world.close()
        raise
    world.spoilt = False


def quick():
    return [pytest.param(each, id=each.name, marks=needs_root) for each in all_attacks() if each.quick]


@pytest.mark.parametrize("each", quick())
def test_attack(each, worlds):
    attacked(worlds, each.do)


@pytest.mark.parametrize("kind", [pytest.param(kind, marks=needs_root) for kind in FUZZERS])
def test_fuzz(kind, worlds):
    fuzzer = __import__(f"tests.attacks.fuzz_{kind}", fromlist=["run"])
    attacked(worlds, lambda world: fuzzer.run(world, 1, COUNTS[kind]))


# ---- the table and the oracle

def test_every_item_of_the_report_has_an_attack():
    items = {each.item for each in all_attacks()}
    assert items == {f"{part}{number}" for part, most in (("A", 7), ("B", 7), ("C", 9)) for number in range(1, most + 1)}
    assert all(each.holds for each in all_attacks())


def test_pythons_are_chosen_by_their_version():
    assert set(chosen(["3.9", "3.99"])) <= {9}


def test_a_hang_is_seen_and_ended(control):
    """An operation that does not come back is killed; what it answers comes back as text."""
    world = World.__new__(World)        # nothing of a world but its clock
    world.control = control
    assert world.timed("an answer", lambda: 5) == "ok 5"
    assert world.timed("an errno", os.stat, "/nowhere") == "ENOENT"
    assert "ZeroDivisionError" in world.timed("an error", lambda: 1 / 0)
    with pytest.raises(Failed, match="sleeps: HANG"):
        world.timed("sleeps", time.sleep, 60, bound=0.01)


def test_a_signal_interrupts_an_operation():
    operation = Operation(time.sleep, 60)
    while not operation.wait(0.1):
        operation.kill(10)
    assert operation.end() == "EINTR"


@pytest.mark.fuse
@pytest.mark.skipif(os.geteuid() != 0, reason="root attacks as nobody")
def test_a_report_of_the_watchdog_fails_an_attack(worlds):
    """Daemon and programs take part; a line is said once, and may be allowed."""
    def do(world):
        pids = {world.mount.process.pid, world.shop.pid, world.bank.pid}
        harness.until(lambda: pids <= {int(each) for each in os.listdir(world.watchdog.folder)}, "all to take part")
        for number in range(2):
            with open(world.watchdog.folder / "1", "a") as file:
                print(f"{long_waits.BEGINS}process 1 (x): a thing {number}", file=file)
            if not number:
                with pytest.raises(AssertionError, match="a thing 0"):
                    world.check()
        world.allow_waits("a thing 1")
    attacked(worlds, do)


def test_slowness_is_measured(control):
    assert control.slowness(time.monotonic()) >= 1.0
