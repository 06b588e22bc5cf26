"""Function stacks: what is in force, what a transition changes, whose code may still run."""
import pytest

from klpfs.engine.data import Func, Object, Patch
from klpfs.engine.patch import Stacks, original
from tests.engine.kit import new_code


@pytest.fixture
def funcs():
    """Three patches' funcs for one definition, oldest first."""
    found = []
    for name in ("one", "two", "three"):
        func = Func("f", new_code)
        func.obj = Object("m", [func])
        func.obj.patch = Patch([func.obj])
        func.obj.patch.name, func.definition = name, "m.f"
        found.append(func)
    return found


def put(stacks, funcs, *which):
    patches = [func.obj.patch for func in funcs]
    for number in which:
        stacks.put(funcs[number], patches)


def test_order_is_the_patches_order(funcs):
    """Whenever a func is put on its stack: a joiner's older patch goes below."""
    stacks = Stacks()
    put(stacks, funcs, 2, 0, 1)
    assert stacks.get("m.f").funcs == funcs and stacks.top("m.f") is funcs[2]
    stacks.take(funcs[2])
    assert stacks.top("m.f") is funcs[1] and not funcs[2].patched
    stacks.take(funcs[0])
    stacks.take(funcs[1])
    assert stacks.table == {} and stacks.top("m.f") is None


def test_change_of_the_top(funcs):
    """Towards it, from what lies below; away from it, to that."""
    stacks = Stacks()
    put(stacks, funcs, 0)
    change = stacks.change(funcs[0], True)
    assert (change.before, change.after, change.older) == (None, funcs[0], ())
    put(stacks, funcs, 1)
    change = stacks.change(funcs[1], False)
    assert (change.before, change.after, change.older) == (funcs[1], funcs[0], ())


def test_change_in_the_middle(funcs):
    """Nothing is switched, its own code is watched."""
    stacks = Stacks()
    put(stacks, funcs, 0, 1, 2)
    change = stacks.change(funcs[1], False)
    assert (change.before, change.after, change.older) == (funcs[2], funcs[2], (funcs[1],))


@pytest.mark.parametrize("goal, forced, left", [
    (1, False, []),        # seen clean: nothing but `after` runs
    (0, False, ["zero"]),  # back: what ran before may run still
    (1, True, ["before", "zero"]),
    (0, True, ["after", "zero"]),
])
def test_what_may_still_run(funcs, goal, forced, left):
    """After a transition, from one func to the next, in which `zero` had been left behind by a force."""
    zero, before, after = funcs
    stacks = Stacks()
    put(stacks, funcs, 1, 2)
    stacks.get("m.f").leftover.append(zero)
    change = stacks.change(after, True)
    assert change.older == (zero,)
    gone = stacks.settle(change, goal, forced)
    names = {"zero": zero, "before": before, "after": after}
    assert set(stacks.get("m.f").leftover) == {names[name] for name in left}
    assert gone == ([] if "zero" in left else [zero])
    assert stacks.runs(zero) == ("zero" in left)


def test_stack_with_leftovers_stays(funcs):
    """Also when no func is on it, so that the next transition waits for them; None is the original."""
    stacks = Stacks()
    put(stacks, funcs, 0)
    stacks.settle(stacks.change(funcs[0], False), 1, True)
    stacks.take(funcs[0])
    assert stacks.get("m.f").leftover == [funcs[0]]
    put(stacks, funcs, 1)
    assert stacks.change(funcs[1], True).older == (funcs[0],)
    stacks.settle(stacks.change(funcs[1], True), 1, True)
    assert stacks.get("m.f").leftover == [None, funcs[0]]


def test_leftover_that_is_in_force_again_is_none(funcs):
    """before and after are never among the older ones."""
    stacks = Stacks()
    put(stacks, funcs, 0, 1)
    stacks.get("m.f").leftover.extend([funcs[0], None])
    assert stacks.change(funcs[1], False).older == (None,)


def test_nop_is_the_original(funcs):
    """As far as running code goes."""
    nop = Func.make_nop(funcs[0])
    assert original(nop) is None and original(None) is None and original(funcs[0]) is funcs[0]
