"""Activations that are in no list: told by the references to their code and their function."""
import gc
import sys
import weakref

import pytest

from klpfs.cpython.load import loader as loading
from klpfs.cpython.looks import hidden, reads, suspended
from klpfs.cpython.switch import out_of_sight
from tests.cpython.machine import one


def generator_function():
    space = {}
    exec(compile("def g():\n try: yield\n finally: pass", "app", "exec"), space)
    gc.collect()        # the constants around
    return space


def not_accounted_for(codes, holders=()):
    found = suspended.References()
    suspended.find(codes, None, found)
    return found, hidden.not_accounted_for(found, [id(code) for code in codes], holders)


def test_a_generator_that_dies_is_told_by_its_references():
    """While the callback of its weak reference runs; neither before nor afterwards."""
    space = generator_function()
    code, functions, told = space["g"].__code__, [space["g"]], []
    held = [code]
    del code, space

    def look(reference=None):
        found, left = not_accounted_for(held)
        told.append((len(left), hidden.may_run(found, functions)))
    look()
    generator = functions[0]()
    next(generator)
    look()
    kept = weakref.ref(generator, look)
    del generator
    look()
    assert kept() is None and [n for n, _ in told] == [0, 0, 1, 0] and told[2][1] and not told[0][1]


def test_a_reference_outside_is_counted_unless_a_holder_says_so():
    held = [generator_function()["g"].__code__]
    table = {"code": held[0]}
    gc.collect()
    if gc.is_tracked(table):
        pytest.skip("this Python's collector knows of the table")
    assert not_accounted_for(held)[1] == [id(held[0])] and not_accounted_for(held, [table])[1] == []


def test_a_variable_of_a_running_function_is_outside():
    space = generator_function()
    assert hidden.outside([space["g"]], 0) == 0
    variable = space["g"]
    assert hidden.outside([variable], 0) == 1


def test_a_frame_that_is_over_is_known_and_a_frame_that_runs_is_not():
    """So a kept traceback of a plain function's does not count as a call, and a call whose frame was being made does
    when it goes on."""
    left, kept = [], []

    def looks(space):
        kept.append(sys._getframe(1))
        gc.collect()
        held = [space["f"].__code__]
        left.append(not_accounted_for(held)[1] == [id(held[0])])
    space = {"looks": looks}
    exec(compile("def f(): looks(space)", "app", "exec"), space)
    gc.collect()        # the constants around
    space["space"] = space
    space["f"]()
    looks(space)        # with the frame of before
    assert left == [True, False] and kept[0].f_code is space["f"].__code__


def test_constants_of_running_code_are_known():
    constants = [id(each) for each in hidden.constants_on_stacks()]
    assert id(sys._getframe().f_code.co_consts) in constants


NESTED = """
    def b(): return 'b0'
    def g(): yield 'g0' + b()
    def outer():
        class C:
            def m(self): yield 'm0' + b()
        def n(): yield 'n0' + b()
        return n, C
    made = outer()
"""
NEW = """def b(): return 'b1'
def g(): yield 'g1' + b()
def outer():
    class C:
        def m(self): yield 'm1' + b()
    def n(): yield 'n1' + b()
    return n, C
"""


def test_klpfs_accounts_for_what_it_holds(machine):
    """Of both sides, of functions that lie in others too, and in patches on top of others: of three, that of
    the first is neither what was nor what comes to be in force."""
    module = machine.module(NESTED)
    for name in ("lp1", "lp2", "lp3"):
        machine.enable(NEW.replace("1'", name[-1] + "'") + one(module, "b", "g", "outer"), name)
        gc.collect()
        switching = machine.target.transition.switching
        for goal in (1, 0):
            codes = switching.rounds._codes_of_other_side(goal)
            holders = {id(each): each for each in [switching.codes, *switching.holders(), *(
                held for switch in switching.switches
                for held in (*switch.codes_by_side, switch.entry.older, switch.entry.newer, switch.record.older_codes,
                                 switch.record.forced_over))]}
            left = not_accounted_for(codes, holders.values())[1]
            assert codes and [switching.codes[key] for key in left] == []
            # nor is there need to search for anything
            codes.clear()
            holders.clear()
            assert out_of_sight.more_than_ours(switching, goal)[0] == []
        machine.settle()


@pytest.mark.parametrize("audited", [False, True], ids=["", "with an audit hook"])
def test_a_frame_that_is_over_blocks_nothing(machine, monkeypatch, audited):
    """An exception that the program keeps has it in its traceback; so its code has a reference more."""
    monkeypatch.setattr(reads, "_hooks", [audited])
    module = machine.module("def f(): raise ValueError('f0')\ndef g(): yield f()")
    kept = []
    for call in (module.f, lambda: next(module.g())):
        try:
            call()
        except ValueError as error:
            kept.append(error)
    found = machine.insmod("def f(): return 'f1'\ndef g(): yield 'g1'" + one(module, "f", "g"))
    assert module.f() == "f1" and len(kept) == 2
    machine.disable(found)


def test_a_forgotten_definition_accounts_for_its_codes(machine):
    """Patches that are gone leave garbage, which holds codes of the program in dicts that the collector does not
    know."""
    module = machine.module("def f(): return 'f0'")
    kept = set()
    for name in ("lp1", "lp2", "lp3"):
        found = machine.enable("def f(): return 'f1'" + one(module, "f"), name)
        assert out_of_sight.more_than_ours(machine.target.transition.switching, 1)[0] == []
        kept |= machine.target.registry.definitions()
        machine.settle()
        machine.disable(found)
        loading.unload(found)
    assert len(kept) == 3 and [list(definition.originals) for definition in kept] == [[id(module.f.__code__)]] * 3
