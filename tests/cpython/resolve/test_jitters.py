"""Compiled functions: what a compiler of the program's holds is refused; without such a compiler nobody searches."""
import functools
import gc
import sys
import types

import pytest

from tests.cpython.machine import one

TEXT = """
import dispatch
@dispatch.{way}
def f(): return 1
def g(): return 2
"""


@pytest.fixture
def compiler(monkeypatch):
    """A stand-in for a compiler: the module `numba`, and the ways in which such modules hold a function."""
    numba, dispatch = types.ModuleType("numba"), types.ModuleType("dispatch")

    class Dispatcher:
        __module__ = "numba.core.registry"

        def __init__(self, function):
            self.py_func = function

        def __call__(self):
            return 1

    class Slotted(Dispatcher):
        __module__ = "jaxlib._jax"
        __slots__ = ("py_func",)
    space = {"__name__": "torch._dynamo.eval_frame", "wraps": functools.wraps}
    exec("def closed(function):\n @wraps(function)\n def compiled(): return function()\n return compiled\n"
         "def listed(function):\n kept = [function]\n def compiled(): return kept\n return compiled\n", space)
    for name, way in dict(attribute=Dispatcher, slot=Slotted, closure=space["closed"], plain=lambda function: function,
                          own=lambda function: types.SimpleNamespace(function=function)).items():
        setattr(dispatch, name, way)
    monkeypatch.setitem(sys.modules, "numba", numba)
    monkeypatch.setitem(sys.modules, "dispatch", dispatch)


def new(module, *names):
    return "".join(f"def {name}(): return 'new'\n" for name in names) + one(module, *names)


@pytest.mark.parametrize("way, kind", [("attribute", "numba.core.registry.Dispatcher"), ("slot", "jaxlib._jax.Slotted"),
                                       ("closure", "builtins.function")])
def test_what_a_compiler_holds_is_refused(machine, compiler, way, kind):
    module = machine.module(TEXT.format(way=way))
    with pytest.raises(OSError):
        machine.insmod(new(module, "f"))
    assert (f"livepatch: function 'f' in object '{module.__name__}' cannot be replaced: a {kind} compiles it, and what "
            "that has made runs on") in machine.log.texts()
    machine.insmod(new(module, "g"))
    assert module.g() == "new"


@pytest.mark.parametrize("way", ["plain", "own"])
def test_what_others_hold_is_not(machine, compiler, way):
    module = machine.module(TEXT.format(way=way))
    machine.insmod(new(module, "f"))


def test_nobody_searches_where_no_compiler_is(machine, compiler, monkeypatch):
    module = machine.module(TEXT.format(way="attribute"))
    monkeypatch.delitem(sys.modules, "numba")
    searched = []
    monkeypatch.setattr(gc, "get_referrers", lambda *objects: searched.append(objects) or [])
    from klpfs.cpython.resolve.jitters import jitter_of
    assert jitter_of([module.g]) is None and searched == []
