"""Modules that are imported under two names (os.path and posixpath): a function is the same by either."""
import errno
import sys

import pytest

from klpfs.engine.error import KlpError

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
