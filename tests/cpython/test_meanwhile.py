"""What a tool of the program does to functions between the search that finds them and their dispatchers: other threads
run there."""
import types

import pytest

from klpfs.cpython.looks import codes_in_use
from klpfs.cpython.switch import switching
from tests.cpython.exchange_kit import NEW_PLAIN, OUTER, alone, exchange, first
from tests.cpython.machine import one


def before_dispatchers(monkeypatch, action, after=lambda: None):
    """action() runs just before functions get dispatchers for the first time, and after() just behind."""
    give = switching.Transition.give_dispatchers

    def meanwhile(self, switches):
        monkeypatch.setattr(switching.Transition, "give_dispatchers", give)
        action()
        give(self, switches)
        after()
    monkeypatch.setattr(switching.Transition, "give_dispatchers", meanwhile)


@pytest.mark.parametrize("clean", [False, True], ids=["running", "clean"])
def test_a_copy_of_its_code(machine, plain, monkeypatch, clean):
    before_dispatchers(monkeypatch, lambda: exchange(plain.g))
    machine.enable(NEW_PLAIN + one(plain, "g", "b"))
    if clean:
        assert machine.engine.look() == []
    assert plain.g() == "g1b1"
    machine.settle()
    assert plain.g() == "g1b1" and not [text for text in machine.log.texts() if "left alone" in text]


def test_code_from_elsewhere_that_goes_again(machine, plain, monkeypatch):
    """The tool has its code in for a moment only."""
    own = plain.g.__code__
    before_dispatchers(monkeypatch, lambda: setattr(plain.g, "__code__", (lambda: "foreign").__code__),
                       lambda: setattr(plain.g, "__code__", own))
    machine.enable(NEW_PLAIN + one(plain, "g", "b"))
    machine.settle()
    assert plain.g() == "g1b1" and not [text for text in machine.log.texts() if "left alone" in text]


def test_code_that_the_tool_has_written(machine, plain, monkeypatch):
    """It counts as old, and blocks, until it goes."""
    own = plain.g.__code__
    before_dispatchers(monkeypatch, lambda: exchange(plain.g, other=True))
    machine.enable(NEW_PLAIN + one(plain, "g", "b"))
    assert {blocker.kind for blocker in machine.engine.look()} == {"code"}
    plain.g.__code__ = own
    machine.settle()
    assert plain.g() == "g1b1"


def test_code_from_elsewhere_that_stays(machine, plain, monkeypatch):
    before_dispatchers(monkeypatch, lambda: setattr(plain.g, "__code__", (lambda: "foreign").__code__))
    found = machine.insmod(NEW_PLAIN + one(plain, "g", "b"))
    assert plain.g() == "foreign" and plain.b() == "b1"
    assert [text for text in machine.log.texts() if "left alone" in text] == [
        f"livepatch: function 'g' in object '{plain.__name__}' was given other code by the program meanwhile, it is "
        "left alone"]
    machine.disable(found)
    assert plain.g() == "foreign" and plain.b() == "b0"


def test_a_copy_for_a_function_that_joins(machine, monkeypatch):
    """A closure that is made while the transition runs, and marked in the same moment."""
    nested = machine.module(OUTER.replace("    @types.coroutine\n", ""))
    code = nested.old[0].__code__
    machine.enable(alone(nested, 1))
    late = types.FunctionType(code, nested.__dict__, "inner", None, (types.CellType(7),))
    before_dispatchers(monkeypatch, lambda: exchange(late))
    machine.settle()
    assert first(late()) == "i1"


def test_closures_that_are_made_meanwhile_hold_up_nothing(machine, monkeypatch):
    """Not beside a function that was left alone either: what joins with the goal's code is no reason to look again."""
    nested = machine.module(OUTER.replace("    @types.coroutine\n", "") + "\ndef g(): pass")
    before_dispatchers(monkeypatch, lambda: setattr(nested.g, "__code__", (lambda: "foreign").__code__))
    machine.enable("def g(): return 'g1'\n" + alone(nested, 1).replace("Func('b', b)", "Func('b', b), Func('g', g)"))
    made, search = [], codes_in_use.on_stacks

    def meanwhile():
        made.append(nested.outer(7))
        return search()
    monkeypatch.setattr(codes_in_use, "on_stacks", meanwhile)
    for _ in range(3):
        made.append(nested.outer(7))
        if machine.engine.look() == []:
            break
    machine.engine.finish()
    assert {first(inner()) for inner in made} == {"i1"} and len(made) < 5


def test_code_that_is_put_back_in_the_middle_of_the_last_look(machine, plain, monkeypatch):
    """A tool ends while function objects are searched for: all tasks are looked at again."""
    own, search = plain.g.__code__, codes_in_use.on_stacks
    machine.enable(NEW_PLAIN + one(plain, "g", "b"))

    def meanwhile():
        monkeypatch.setattr(codes_in_use, "on_stacks", search)
        plain.g.__code__ = own
        return search()
    monkeypatch.setattr(codes_in_use, "on_stacks", meanwhile)
    assert machine.engine.look() == [] and plain.g() == "g1b1"
    machine.settle()
    assert not [text for text in machine.log.texts() if "was given code" in text]


@pytest.mark.parametrize("reversed_", [False, True], ids=["forward", "reversed"])
def test_a_copy_of_its_code_behind_the_last_look(machine, plain, monkeypatch, reversed_):
    """A decorator of another thread's; the function gets what is in force all the same."""
    finish = switching.Transition.finish

    def meanwhile(self):
        plain.g.__code__ = own.replace(co_name="g")
        return finish(self)
    own = plain.g.__code__
    machine.enable(NEW_PLAIN + one(plain, "g", "b"))
    if reversed_:
        machine.engine.reverse()
    assert machine.engine.look() == []
    monkeypatch.setattr(switching.Transition, "finish", meanwhile)
    machine.engine.finish()
    assert plain.g() == ("g0b0" if reversed_ else "g1b1")
    assert not [text for text in machine.log.texts() if "left alone" in text]
