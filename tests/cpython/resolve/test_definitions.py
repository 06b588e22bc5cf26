"""Definitions: one object for each function of the program, found again by the code that belongs to it."""
import importlib

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
