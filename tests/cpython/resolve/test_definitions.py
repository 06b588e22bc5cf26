"""Definitions: one object for each function of the program, found again by the code that belongs to it."""
import importlib

import pytest

from klpfs.cpython.resolve.definitions import class_of
from klpfs.cpython.resolve.owners import Owners
from klpfs.engine.data import Func
from tests.cpython.resolve.index_kit import functions, index


def test_a_reload_adds_function_objects_to_the_definition(program):
    module = program.module("def f(): return 1")
    old = module.f
    importlib.reload(module)
    assert module.f is not old
    assert sorted(map(id, functions(program, module, "f"))) == sorted(map(id, (old, module.f)))


def test_one_definition_is_one_object(program):
    """Hashable, and equal for all Funcs that mean it, by whatever position and in whatever order it was found."""
    module = program.module("def f(): pass\ndef make():\n  def h(): pass\n  return h")
    one = index(program, module).find("f", 0, program.log)
    assert index(program, module).find("f", 1, program.log) is one
    inner = index(program, module).find("make.<locals>.h", 0, program.log)
    assert inner.outer is index(program, module).find("make", 0, program.log)
    assert len({one, inner, inner.outer}) == 3


def find(program, module, name):
    return index(program, module).find(name, 0, program.log)


def test_a_definition_that_no_func_uses_any_more_is_forgotten(program):
    """With what it lies in, unless that is used itself; found again, it is a new one."""
    module = program.module("def make():\n  def h(): pass\n  return h")
    registry = program.target.registry
    inner = find(program, module, "make.<locals>.h")
    outer = inner.outer
    of_inner, of_outer, of_again = (Func("h", lambda: None) for _ in range(3))
    registry.use(inner, of_inner)
    registry.use(outer, of_outer)
    registry.unuse(inner, of_inner)
    assert find(program, module, "make") is outer and find(program, module, "make.<locals>.h") is not inner
    again = find(program, module, "make.<locals>.h")
    registry.use(again, of_again)
    registry.unuse(outer, of_outer)
    assert find(program, module, "make") is outer       # `again` lies in it
    registry.unuse(again, of_again)
    assert find(program, module, "make") is not outer


def test_code_that_klpfs_makes_belongs_to_its_definition(program):
    module = program.module("def f(): return 1")
    registry, definition = program.target.registry, find(program, module, "f")
    original, code = module.f.__code__, module.f.__code__.replace()
    registry.made(definition, code)
    module.f.__code__ = code
    assert Owners(registry, []).judge(module.f)[0] is definition
    assert registry.functions([definition]) == {definition: [module.f]}
    registry.unmade(definition, code)
    assert id(code) not in registry.by_code and code not in definition.made.values()
    module.f.__code__ = original
    assert Owners(registry, []).judge(module.f)[0] is definition


def test_what_a_definition_is_called(program):
    module = program.module("def make():\n  def h(): pass\n  return h")
    inner = find(program, module, "make.<locals>.h")
    assert inner.title == f"function 'make.<locals>.h' in object '{module.__name__}'"
    assert repr(inner) == f"<make.<locals>.h of {module.__name__}, line 2>"
    assert inner.chain == [find(program, module, "make")] and inner.chain[0].chain == []


@pytest.mark.parametrize("name, found", [
    ("C.m", "C"), ("C.D.m", "C.D"), ("f", None), ("f.x", None), ("C.m.<locals>.h", None), ("no.m", None)])
def test_the_class_that_a_definition_lies_in(name, found):
    space = {}
    exec("class C:\n  class D: pass\n  def m(self): pass\ndef f(): pass", space)
    assert getattr(class_of(space, name), "__qualname__", None) == found
