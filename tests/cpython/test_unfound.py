"""Function objects that a search by globals can't find: waited for by name, or named in the log."""
import ctypes
import gc
import sys
import threading
import types

import pytest

from tests.cpython.machine import one


@pytest.fixture(autouse=True)
def without_greenlets(monkeypatch):
    """With greenlets about, a frozen heap blocks any patch."""
    for name in ("greenlet", "greenlet._greenlet"):
        monkeypatch.delitem(sys.modules, name, raising=False)


MAKER = """
    def g(): return 0
    def make():
        def h(): return 0, g()
        return h
"""
H1 = "def g(): return 1\ndef h(): return 1, g()"


def patch(module):
    return H1 + one(module, "g", "make.<locals>.h=h")


def test_a_closure_in_the_garbage_of_a_collection_is_waited_for(machine):
    """A finalizer may bring it back."""
    module = machine.module(MAKER)
    began, go, kept = threading.Event(), threading.Event(), []

    class Session:
        def __init__(self):
            self.h, self.me = module.make(), self

        def __del__(self):
            began.set()
            go.wait(30)
            kept.append(self.h)
    gc.disable()
    try:
        Session()
        thread = threading.Thread(target=gc.collect)
        thread.start()
        assert began.wait(30)
        machine.enable(patch(module))
        assert "collection" in {blocker.kind for blocker in machine.engine.look()}
        go.set()
        thread.join(30)
        machine.settle()
    finally:
        go.set()
        gc.enable()
    assert kept[0]() == (1, 1) == module.make()()


def test_a_closure_that_a_frozen_heap_hides_blocks_until_it_can_be_found(machine):
    module = machine.module(MAKER)
    function = module.make()
    ctypes.pythonapi.Py_IncRef(ctypes.py_object(function))      # held by what only C knows
    address = id(function)
    del function
    gc.collect()
    gc.freeze()
    try:
        machine.enable(patch(module))
        for _ in range(2):
            blockers = machine.engine.look()
            assert [blocker.kind for blocker in blockers] == ["frozen heap"] and "gc.unfreeze()" in blockers[0].name
    finally:
        gc.unfreeze()
    machine.settle()
    function = ctypes.cast(address, ctypes.py_object).value
    ctypes.pythonapi.Py_DecRef(ctypes.py_object(function))
    assert function() == (1, 1)


def test_a_frozen_heap_without_unknown_closures_blocks_nothing(machine):
    module = machine.module(MAKER)
    module.kept = module.make()
    gc.collect()
    gc.freeze()
    try:
        machine.insmod(patch(module))
        assert module.kept() == (1, 1) == module.make()()
    finally:
        gc.unfreeze()


def test_a_function_of_the_same_code_with_other_globals_is_named(machine):
    """New code's names would lead elsewhere there."""
    module = machine.module("def f(): return 0")
    copy = types.FunctionType(module.f.__code__, {"__name__": "elsewhere"})
    machine.insmod("def f(): return 1" + one(module, "f"))
    assert (module.f(), copy()) == (1, 0)
    assert [line for line in machine.log.texts() if "globals of another module, too ('elsewhere')" in line] != []


def test_counting_leaves_garbage_collection_as_it_is(machine):
    """The program's collection was off for good after a look that counted, since that breathes between slices."""
    module = machine.module("def f(): return 0")
    breaths, code = [], module.f.__code__
    machine.target.breathe = lambda: breaths.append(gc.isenabled())
    machine.insmod("def f(): return 1" + one(module, "f"))
    assert module.f() == 1 and code.co_name == "f"
    assert set(breaths) == {True} and gc.isenabled()
