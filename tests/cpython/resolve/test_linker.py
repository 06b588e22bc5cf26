"""A livepatch linked to an object: where names of new functions and helpers lead, and what is refused.

docs/DESIGN.md#4.
"""
import pytest

from tests.cpython.names_kit import patch, refused


def test_own_names_first_then_the_modules_then_builtins(program):
    module = program.module("X = Y = 'module'\ndef g(): return 'module g'\ndef f(): pass")
    patch(program, module, "X = 'file'\ndef f(): return X, Y, g(), len('abc')\n", "f")
    assert module.f() == ("file", "module", "module g", 3)


def test_an_unresolved_symbol_is_refused_and_named(program):
    module = program.module("def f(): return 1")
    errno, line = refused(program, module, "\n\ndef f():\n  return nowhere(1)", "f")
    assert errno == "ENOENT" and "Unknown symbol 'nowhere' in function 'f'" in line and ".py:5 " in line
    assert module.f() == 1


def test_an_unresolved_symbol_of_a_helper_is_refused_and_named(program):
    module = program.module("def f(): return 1")
    errno, line = refused(program, module, "def helper():\n  return nowhere\ndef f():\n  return helper()", "f")
    assert errno == "ENOENT" and "Unknown symbol 'nowhere' in helper 'helper'" in line


@pytest.mark.parametrize("known", [
    "def set_it():\n  global LATE\n  LATE = 1\ndef f(): pass", "def f(): return LATE",
    "SOMETIMES = False\nif SOMETIMES:\n  LATE = 1\ndef f(): pass", "LATE = 1\ndef f(): pass",
    "class C:\n  def m(self):\n    global LATE\n    import os as LATE\ndef f(): pass"])
def test_names_that_the_module_stores_anywhere_or_the_original_uses_are_known(program, known):
    module = program.module(known)
    patch(program, module, "def f():\n  try: return LATE\n  except NameError: return 'later'", "f")
    assert module.f() in (1, "later")
    module.LATE = 2
    assert module.f() == 2


def test_a_global_that_only_the_files_functions_store_is_the_files(program):
    module = program.module("def f(): pass\ndef g(): pass")
    found = patch(program, module, "def f():\n  global made\n  made = 1\ndef g(): return made", "f", "g")
    module.f()
    assert module.g() == 1 and found.namespace["made"] == 1 and "made" not in module.__dict__


def test_a_helpers_other_names_are_the_objects(program):
    module = program.module("LIMIT = 3\ndef low(): return 'low'\nlen = lambda x: 'own len'\ndef f(): pass")
    patch(program, module, """
import functools
def deep(): return LIMIT, low(), len('')
@functools.lru_cache(None)
def cached(): return deep()
class Helper:
    def get(self): return [LIMIT for _ in range(2)], cached()
table = {'h': lambda: Helper().get()}
def f(): return table['h']()
""", "f")
    assert module.f() == ([3, 3], (3, "low", "own len"))
    module.LIMIT = 4
    assert module.f()[0] == [4, 4]


def test_a_helper_of_several_objects_resolves_in_each(program):
    one = program.module("TAG = 'one'\ndef f(): pass")
    two = program.module("TAG = 'two'\ndef f(): pass")
    found = program.patch("""
COUNT = []
def low(): return TAG
def helper():
    COUNT.append(1)
    return low() + shared()
def shared(): return '!'
def f1(): return helper()
def f2(): return helper()
patch = Patch([Object(%r, [Func("f", f1)]), Object(%r, [Func("f", f2)])])
""" % (one.__name__, two.__name__))
    assert (one.f(), two.f()) == ("one!", "two!")
    assert len(found.namespace["COUNT"]) == 2


def test_a_shared_helper_that_is_no_plain_function_is_refused(program):
    one = program.module("TAG = 'one'\ndef f(): pass")
    two = program.module("TAG = 'two'\ndef f(): pass")
    errno, line = program.refused("""
class Helper:
    def get(self): return TAG
def f1(): return Helper().get()
def f2(): return Helper().get()
patch = Patch([Object(%r, [Func("f", f1)]), Object(%r, [Func("f", f2)])])
""" % (one.__name__, two.__name__))
    assert errno == "EINVAL" and "'Helper'" in line


def test_a_helper_that_nobody_uses_is_not_checked(program):
    module = program.module("def f(): pass")
    patch(program, module, "def unused(): return nowhere\ndef f(): return 1", "f")
    assert module.f() == 1


def test_an_attribute_of_the_originals_is_no_global(program):
    module = program.module("def f(x): return x.nowhere")
    assert refused(program, module, "def f(x): return nowhere", "f")[0] == "ENOENT"
