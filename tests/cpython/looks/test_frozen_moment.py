"""A look leaves the program's garbage to the collector, which goes on as if there had been none."""
import gc
import pathlib
import subprocess
import sys

import pytest

from klpfs.cpython.looks import collection, frozen_moment, suspended

ROOT = pathlib.Path(__file__).parents[3]


class Knot:
    """An object that only the collector can free."""

    def __init__(self):
        self.me = self


@pytest.fixture
def automatic():
    """Collection as every program has it, with limits that all versions share."""
    limits = gc.get_threshold()
    gc.collect()
    gc.set_threshold(700, 10, 10)
    yield
    gc.set_threshold(*limits)
    frozen_moment.forget()
    gc.collect()


def find():
    return suspended.find([])


def test_the_counts_are_as_they_were(automatic):
    """The second and the third exactly; the first has what the test itself makes in between, too."""
    gc.disable()
    try:
        find()
        kept = [[Knot()] for _ in range(300)]
        for generation in (1, 1, 0, 0, 0):
            gc.collect(generation)
        kept += [[Knot()] for _ in range(100)]
        before = gc.get_count()
        find()
        after = gc.get_count()
        assert before[1:] == after[1:] == (3, before[2]) and before[2] >= 2
        assert 0 <= after[0] - before[0] < 100
    finally:
        gc.enable()


PROGRAM = """
import gc, sys
from klpfs.cpython.looks import suspended
class Knot:
    def __init__(self): self.me = self
def generator(): yield
gc.set_threshold(int(sys.argv[1]), 10, int(sys.argv[2]))
def most(look):
    before, alive = gc.get_stats()[2]["collections"], []
    for n in range(400):
        for _ in range(400):
            Knot()
        if look:
            suspended.find([generator.__code__])
        if n % 50 == 49:
            alive.append(sum(type(each) is Knot for each in gc.get_objects()))
    return max(alive), gc.get_stats()[2]["collections"] - before
print(*most(False), *most(True))
"""


@pytest.mark.parametrize("first, third, bound", [(700, 10, 50000), (30000, 2, 110000)])
def test_garbage_does_not_grow_while_looks_come_often(first, third, bound):
    """Without looks there are at most some thousand knots at any time; with a look for each four hundred, 160,000, if
    what looks take from the collector is not given back. A program of its own: how many objects may lie among the
    oldest depends on how many there are. A first limit of 30,000 is more than a look
    makes up for at once."""
    done = subprocess.run([sys.executable, "-c", PROGRAM, str(first), str(third)], stdout=subprocess.PIPE,
                          text=True, check=True, cwd=ROOT)
    without, _, with_looks, collections = map(int, done.stdout.split())
    assert without < bound and collections > 0 and with_looks < bound, done.stdout


def test_nothing_is_owed_where_the_program_collects_by_itself(automatic):
    gc.set_threshold(0)
    for _ in range(50):
        kept = [[] for _ in range(1000)]
        find()
    assert kept and frozen_moment._reckon()[3] == 0


def test_what_cuts_a_moment_off_leaves_no_frozen_heap_and_no_callback_of_ours():
    def callback(phase, info):
        pass

    def work():
        assert gc.callbacks != before
        raise MemoryError
        yield

    @frozen_moment.putting_back
    def run():
        return list(frozen_moment.with_callback(frozen_moment.frozen(work()), {}.__setitem__))
    gc.callbacks.append(callback)
    try:
        before, frozen = list(gc.callbacks), gc.get_freeze_count()
        with pytest.raises(MemoryError):
            run()
        assert gc.callbacks == before and gc.get_freeze_count() <= frozen
        assert suspended.find([])[0] is None and (not collection.NEEDS_QUIET or collection.quiet())
    finally:
        gc.callbacks.remove(callback)
