"""Code that is another definition's own, though it is equal or lies at the same place: two lambdas of a line, methods
that a library has written, functions of a text before a reload. It is neither patched with the one nor in its way."""
import importlib
import sys

import pytest

from tests.cpython.exchange_kit import NEW_PLAIN, OUTER, PLAIN, alone, awaited
from tests.cpython.machine import Held, one

TWINS = """
from dataclasses import dataclass
fs = [lambda: b(), lambda: b()]
@dataclass
class A:
    x: int
@dataclass
class B:
    x: int
def b(): return 'b0'
hs = [lambda held: held.stop(), lambda held: held.stop()]
"""
apart = pytest.mark.skipif(sys.version_info < (3, 11), reason="equal lambdas of one line have one code object")


def test_a_module_that_was_loaded_again_with_another_text_is_no_tools_work(machine, plain):
    found = machine.insmod(NEW_PLAIN + one(plain, "g", "b"))
    with open(plain.__file__, "w") as file:
        file.write(PLAIN.replace("'g0'", "'another'"))
    spec = importlib.util.spec_from_file_location(plain.__name__, plain.__file__)
    spec.loader.get_code = lambda name: compile(PLAIN.replace("'g0'", "'another'"), plain.__file__, "exec")
    exec(spec.loader.get_code(None), plain.__dict__)
    machine.engine.disable(found.patch)
    assert machine.engine.look() == []
    machine.engine.finish()
    assert plain.g() == "anotherb0"


@apart
def test_lambdas_with_equal_codes_of_one_line_are_not_each_others(machine):
    module = machine.module(TWINS)
    machine.insmod("def n(): return 'new'" + (
        f"\npatch = Patch([Object({module.__name__!r}, [Func('<lambda>', n, old_sympos=1)])])"))
    assert [fn() for fn in module.fs] == ["new", "b0"]


def test_methods_of_dataclasses_with_equal_fields_are_not_each_others(machine):
    module = machine.module(TWINS)
    machine.insmod("def n(self, x): self.x = 'new', x" + one(module, "A.__init__=n"))
    assert (module.A(1).x, module.B(1).x) == (("new", 1), 1)


@apart
def test_what_runs_anothers_equal_code_is_not_in_the_way(machine):
    module = machine.module(TWINS)
    held = Held(module.hs[1])
    machine.insmod("def n(held): return 'new'" + (
        f"\npatch = Patch([Object({module.__name__!r}, [Func('<lambda>', n, old_sympos=3)])])"))
    assert module.hs[0](None) == "new"
    held.let_go()


def test_a_function_of_the_text_before_a_reload_is_left_alone(machine, plain):
    found = machine.insmod(NEW_PLAIN + one(plain, "g", "b"))
    texts = [PLAIN.replace("'g0'", f"'{name}'") for name in ("second", "third")]
    kept = []
    for text in texts:
        exec(compile(text, plain.__file__, "exec"), plain.__dict__)
        kept.append(plain.g)
    machine.disable(found)
    assert [fn() for fn in kept] == ["secondb0", "thirdb0"]


def test_an_inner_function_of_two_texts_is_refused(machine):
    text = "def outer(n):\n def inner(): return 'i0', n\n return {}\n"
    module = machine.module(text.format("inner"))
    before = module.outer
    exec(compile(text.format("[inner][0]"), module.__file__, "exec"), module.__dict__)
    assert machine.refuses("def inner(): return 'i1'" + one(module, "outer.<locals>.inner=inner")) == "EINVAL"
    assert machine.log.texts()[-1].endswith(": it lies in more than one text, the module was loaded again")
    assert before(1)() == module.outer(1)() == ("i0", 1)


def test_code_of_another_function_that_comes_in_a_transition(machine, plain):
    saved = plain.gen.__code__, plain.g.__code__
    machine.enable(NEW_PLAIN + one(plain, "g", "b", "f"))
    plain.f.__code__ = saved[1]
    machine.settle()
    assert plain.f() == plain.g() == "g1b1"
    assert machine.log.texts()[-2].endswith("was given code that the transition had made, it has code of its own again")


@apart
def test_an_equal_lambda_of_its_line_is_no_copy(machine):
    module = machine.module("""
import types
def make(): return types.coroutine(lambda: (yield b())), types.coroutine(lambda: (yield b()))
def b(): return 'b0'
def f(inner): return 'f0', next(inner())
""")
    name = "make.<locals>.<lambda>"
    machine.enable("def n(): yield 'new'\ndef f(inner): return 'f1', next(inner())\ndef b(): return 'b1'" + (
        f"\npatch = Patch([Object({module.__name__!r}, [Func({name!r}, n, old_sympos=1), Func('f', f), Func('b', b)])])"))
    assert module.f(module.make()[1]) == ("f1", "b1")
    machine.settle()


def test_marked_closures_of_a_module_that_was_loaded_again(machine, nested):
    """With the same text; somebody has the outer function of before."""
    before, closures = nested.outer, [nested.outer(n) for n in range(2)]
    exec(compile(OUTER, nested.__file__, "exec"), nested.__dict__)
    closures += [before(2), nested.outer(3)]
    found = machine.insmod(alone(nested, 1))
    closures += [before(4), nested.outer(5)]
    assert [awaited(nested, inner) for inner in closures] == 6 * ["i1"]
    machine.disable(found)
    assert [awaited(nested, inner) for inner in closures] == [("i0", n, "b0") for n in range(6)]
