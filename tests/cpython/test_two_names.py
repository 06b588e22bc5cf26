"""Modules that are imported under two names (os.path and posixpath): a function is the same by either."""
import errno
import sys

import pytest

from klpfs.engine.error import KlpError
from tests.cpython.machine import Held

BOTH = """
def f(): return 'f1'
def other(): return 'other'
patch = Patch([Object(%r, [Func('f', f)]), Object(%r, [Func('f', other)])])
"""
ONE = "def f(): return 'f%s'\npatch = Patch([Object(%r, [Func('f', f)])], replace=%r)"
TWICE = "livepatch: function 'f' of object '%s' is patched twice"


@pytest.fixture
def module(machine):
    module = machine.module("def f(): return 'f0'")
    sys.modules["alias_of_it"] = module
    yield module
    del sys.modules["alias_of_it"]


@pytest.mark.parametrize("turned", [False, True])
def test_one_patch_by_both(machine, module, turned):
    names = [module.__name__, "alias_of_it"]
    if turned:
        names.reverse()
    with pytest.raises(KlpError) as caught:
        machine.insmod(BOTH % tuple(names))
    assert caught.value.errno == errno.EEXIST and TWICE % names[1] in machine.log.texts()
    assert module.f() == "f0" and machine.engine.patches == []


@pytest.mark.parametrize("turned", [False, True])
@pytest.mark.parametrize("more", [False, True], ids=["alone", "with another function"])
def test_a_replacing_patch_by_the_other(machine, module, turned, more):
    """Its function, not the nop for the older patch's, is the last."""
    names = [module.__name__, "alias_of_it"]
    if turned:
        names.reverse()
    machine.insmod(ONE % (1, names[0], False))
    text = ONE % (2, names[1], True)
    if more:        # the nop's object comes before
        text = text.replace("Patch([", f"Patch([Object({names[0]!r}, [Func('g', f, optional=True)]), ")
    second = machine.insmod(text)
    assert module.f() == "f2"
    third = machine.insmod(ONE % (3, names[0], True))
    assert module.f() == "f3" and [patch.name for patch in machine.engine.patches] == [third.name] != [second.name]
    machine.disable(third)
    assert module.f() == "f0"


def test_stacked_by_both(machine, module):
    lower = machine.insmod(ONE % (1, module.__name__, False))
    upper = machine.insmod(ONE % (2, "alias_of_it", False))
    assert module.f() == "f2"
    machine.disable(lower)
    assert module.f() == "f2"
    machine.disable(upper)
    assert module.f() == "f0"


def test_the_other_name_comes_later(machine):
    """The patch leaves what came unpatched: it has patched it already."""
    module = machine.module("def f(): return 'f0'")
    found = machine.insmod(BOTH % (module.__name__, "alias_of_it"))
    assert module.f() == "f1"
    sys.modules["alias_of_it"] = module
    try:
        machine.engine.coming("alias_of_it", refuse=False)
        assert module.f() == "f1"
        assert TWICE % "alias_of_it" in machine.log.texts()
        machine.disable(found)
    finally:
        del sys.modules["alias_of_it"]
    assert module.f() == "f0"


@pytest.mark.parametrize("clean", [False, True])
def test_the_other_name_comes_while_a_replacing_patch_is_in_transition(machine, clean):
    """The nop for the older patch is in force there already: what came is left unpatched, by name."""
    module = machine.module("def f(): return 'f0'\ndef g(held): held.stop()")
    machine.insmod(ONE % (1, module.__name__, False))
    held = Held(module.g)
    second = machine.enable(
        "def f(): return 'f2'\ndef g(held): pass\npatch = Patch([Object('alias_of_it', [Func('f', f)]), "
        f"Object({module.__name__!r}, [Func('g', g)])], replace=True)")
    if clean:
        held.let_go()
        assert machine.engine.look() == []
    sys.modules["alias_of_it"] = module
    try:
        machine.engine.coming("alias_of_it", refuse=False)
        assert TWICE % "alias_of_it" in machine.log.texts()
        held.let_go()
        machine.settle()
        assert module.f() == "f0" and [patch.name for patch in machine.engine.patches] == [second.name]
        machine.disable(second)
        machine.insmod(ONE % (3, "alias_of_it", False))
        assert module.f() == "f3"
    finally:
        del sys.modules["alias_of_it"]


def test_the_first_name_comes_while_a_replacing_patch_by_the_other_is_in_transition(machine):
    """Its nop is left out."""
    name = machine.name("late")
    module = machine.module("def f(): return 'f0'\ndef g(held): held.stop()", name="alias_of_it")
    machine.insmod(ONE % (1, name, False))
    held = Held(module.g)
    second = machine.enable("def f(): return 'f2'\ndef g(held): pass\npatch = Patch([Object('alias_of_it', [Func('f', f), "
                            "Func('g', g)])], replace=True)")
    sys.modules[name] = module
    try:
        machine.engine.coming(name, refuse=False)
        held.let_go()
        machine.settle()
        assert module.f() == "f2" and [patch.name for patch in machine.engine.patches] == [second.name]
        machine.disable(second)
        assert module.f() == "f0"
    finally:
        del sys.modules[name]


@pytest.mark.parametrize("turned", [False, True])
@pytest.mark.parametrize("running", [False, True])
def test_a_process_that_takes_the_outcome_of_a_replacing_patch(machine, module, turned, running):
    """It goes through the objects one by one: the nop may be in force before the function by the other name comes."""
    first = machine.insmod(ONE % (1, module.__name__, False))
    objects = [f"Object({module.__name__!r}, [Func('g', f, optional=True)])", "Object('alias_of_it', [Func('f', f)])"]
    if turned:
        objects.reverse()
    second = machine.load(f"def f(): return 'f2'\npatch = Patch([{', '.join(objects)}], replace=True)")
    machine.engine.join_apply(second.patch, second.name, 1, running)
    machine.engine.drop(first.patch, running)
    assert module.f() == "f2" and [len(stack.funcs) for stack in machine.engine.stacks.table.values()] == [1]
    machine.disable(second)
    assert module.f() == "f0"
    machine.disable(machine.insmod(ONE % (3, module.__name__, False)))
    assert module.f() == "f0"
