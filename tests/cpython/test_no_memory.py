"""An exception in the middle of a transition's work (no memory, an audit hook that refuses): nothing is left half done,
the next look, or the next try to end it, goes on."""
import types

import pytest

from klpfs.cpython.images import image as images
from klpfs.cpython.images import image_table
from klpfs.cpython.images.image_table import Images
from klpfs.cpython.switch import copies, dispatcher
from klpfs.cpython.switch.switching import Transition
from klpfs.cpython.transition import PythonTransition
from klpfs.engine.patch import Stacks
from tests.cpython.exchange_kit import NEW_PLAIN
from tests.cpython.machine import Held, one
from tests.programs import same, snapshot

INNER = """
def outer(n):
    def inner(): return 'i0', n, b()
    return inner
def b(): return 'b0'
def f(held):
    held.stop()
    made.extend(outer(n) for n in range(3))
made = []
"""
NEW_F = """
def f(held):
    held.stop()
    made.extend(outer(n) for n in range(3))
"""
LATE = """
def f(held): return 'f1'
def g(): return 'g1'
def h(): return 'h1'
patch = Patch([Object(%r, [Func('f', f)]), Object(%r, [Func('g', g), Func('h', h)])])
"""


def no_memory(*args, **named):
    raise MemoryError


def no_memory_at(monkeypatch, owner, name, at):
    """The at-th call of a function ends in MemoryError."""
    wrapped, calls = getattr(owner, name), []

    def counting(*args, **named):
        calls.append(args)
        if len(calls) == at:
            raise MemoryError
        return wrapped(*args, **named)
    monkeypatch.setattr(owner, name, counting)


def look_till_clean(machine):
    for _ in range(3):
        if machine.engine.look() == []:
            return
    raise AssertionError("never clean")


def cut_off(machine, monkeypatch, owner, name, at):
    """A look is cut off, and no other."""
    with monkeypatch.context() as patched:
        no_memory_at(patched, owner, name, at)
        with pytest.raises(MemoryError):
            look_till_clean(machine)


@pytest.mark.parametrize("name, at", [("image", 2), ("image", 4), ("image", 6), ("hold", 2), ("hold", 3)])
def test_functions_that_join(machine, monkeypatch, name, at):
    """Old code has made three closures."""
    module = machine.module(INNER)
    held = Held(module.f)
    machine.enable("def inner(): return 'i1', n\ndef f(held): pass\ndef b(): return 'b1'" + one(
        module, "outer.<locals>.inner=inner", "f", "b"))
    held.let_go()
    cut_off(machine, monkeypatch, Images, name, at)
    look_till_clean(machine)
    assert [inner() for inner in module.made] == [("i1", n) for n in range(3)]
    machine.settle()
    assert [inner() for inner in module.made] == [("i1", n) for n in range(3)]


@pytest.mark.parametrize("at", [1, 2, 3])
def test_functions_that_join_when_a_patch_goes(machine, monkeypatch, at):
    """Patched code has made them."""
    module = machine.module(INNER)
    found = machine.insmod("def inner(): return 'i1', n" + NEW_F + one(module, "outer.<locals>.inner=inner", "f"))
    held = Held(module.f)
    machine.engine.disable(found.patch)
    held.let_go()
    cut_off(machine, monkeypatch, Images, "hold", at)
    look_till_clean(machine)
    assert [inner()[0] for inner in module.made] == ["i0"] * 3
    machine.settle()
    assert [inner()[0] for inner in module.made] == ["i0"] * 3


@pytest.mark.parametrize("owner, name, at", [
    (dispatcher, "make", 1), (dispatcher, "make", 2), (Transition, "_note_codes", 1), (Transition, "_note_callable", 2),
    (Images, "image", 2), (Images, "image", 4), (images, "capture", 2), (images, "put_code", 2)],
    ids=lambda each: getattr(each, "__name__", each))
@pytest.mark.parametrize("reversed_", [False, True], ids=["goes on", "reversed"])
def test_a_module_that_comes_is_refused_and_not_patched(machine, monkeypatch, owner, name, at, reversed_):
    """When the patch is over, too; and a module that comes again is patched."""
    module = machine.module("def f(held): held.stop(); return 'f0'")
    held, late_name = Held(module.f), machine.name("late")
    found = machine.enable(LATE % (module.__name__, late_name))
    late = machine.module("def g(): return 'g0'\ndef h(): return 'h0'", name=late_name)
    with monkeypatch.context() as patched:
        no_memory_at(patched, owner, name, at)
        with pytest.raises(MemoryError):
            machine.engine.coming(late_name)
    if reversed_:
        machine.engine.reverse()
    held.let_go()
    machine.settle()
    assert (late.g(), late.h()) == ("g0", "h0")
    if not reversed_:
        machine.engine.coming(late_name)
        assert (late.g(), late.h()) == ("g1", "h1")
        machine.disable(found)
        assert (late.g(), late.h()) == ("g0", "h0")


def test_a_module_that_comes_again_while_the_transition_runs(machine, monkeypatch):
    """Its functions have had dispatchers of this transition."""
    module = machine.module("def f(held): held.stop(); return 'f0'")
    held, late_name = Held(module.f), machine.name("late")
    found = machine.enable(LATE % (module.__name__, late_name))
    late = machine.module("def g(): return 'g0'\ndef h(): return 'h0'", name=late_name)
    with monkeypatch.context() as patched:
        no_memory_at(patched, dispatcher, "make", 2)
        with pytest.raises(MemoryError):
            machine.engine.coming(late_name)
    machine.engine.coming(late_name)
    assert (late.g(), late.h()) == ("g1", "h1")
    held.let_go()
    machine.settle()
    assert (late.g(), late.h()) == ("g1", "h1")
    machine.disable(found)
    assert (late.g(), late.h()) == ("g0", "h0")


@pytest.mark.parametrize("clean", [False, True])
@pytest.mark.parametrize("owner, name", [(PythonTransition, "_add_codes"), (PythonTransition, "_take_in_copies"),
                                         (dispatcher, "make")], ids=["sides", "copies", "dispatchers"])
def test_what_joins_with_a_module_that_is_refused_stays(machine, monkeypatch, owner, name, clean):
    """Closures of another module, which new code has made meanwhile; where they have joined, they have joined."""
    module, late_name = machine.module(INNER + "def call(n): return 'c0' + made[n]()"), machine.name("late")
    held = Held(module.f)
    machine.enable(f"""
def inner(): return 'i1' + b()
def f(held): pass
def b(): return 'b1'
def call(n): return 'c1' + made[n]()
def g(): return 'g1'
patch = Patch([Object({module.__name__!r}, [Func('outer.<locals>.inner', inner), Func('f', f), Func('b', b),
                                            Func('call', call)]), Object({late_name!r}, [Func('g', g)])])
""")
    if clean:
        held.let_go()
        look_till_clean(machine)
    module.made += [module.outer(n) for n in range(3)]
    late = machine.module("def g(): return 'g0'", name=late_name)
    make = dispatcher.make

    def no_memory_for_g(switch):
        return no_memory() if switch.function is late.g else make(switch)
    with monkeypatch.context() as patched:
        patched.setattr(owner, name, no_memory_for_g if owner is dispatcher else no_memory)
        with pytest.raises(MemoryError):
            machine.engine.coming(late_name)
    assert [module.call(n) for n in range(3)] == ["c1i1b1"] * 3, "this thread runs new code"
    held.let_go()
    look_till_clean(machine)
    assert [module.call(n) for n in range(3)] == ["c1i1b1"] * 3 and late.g() == "g0"
    machine.settle()
    assert [module.call(n) for n in range(3)] == ["c1i1b1"] * 3 and late.g() == "g0"


def test_copies_of_dispatchers_at_the_end(machine, plain, monkeypatch):
    """They are searched for when all functions have the goal's code."""
    machine.enable(NEW_PLAIN + one(plain, "g", "b"))
    other = types.FunctionType(plain.g.__code__, plain.__dict__)
    assert machine.engine.look() == []
    with monkeypatch.context() as patched:
        patched.setattr(copies, "give_back", no_memory)
        with pytest.raises(MemoryError):
            machine.engine.finish()
    machine.engine.finish()
    assert other() == "g1b1" and other.__code__ is plain.g.__code__
    assert len([text for text in machine.log.texts() if "was given code that the transition had made" in text]) == 1


def test_what_was_left_alone_is_named_once(machine, plain, monkeypatch):
    machine.enable(NEW_PLAIN + one(plain, "f", "g", "b"))
    assert machine.engine.look() == []
    plain.f.__code__ = (lambda held: "foreign").__code__
    with monkeypatch.context() as patched:
        no_memory_at(patched, images, "put", 2)
        with pytest.raises(MemoryError):
            machine.engine.finish()
    machine.engine.finish()
    assert len([text for text in machine.log.texts() if "left alone" in text]) == 1
    assert plain.g() == "g1b1"


PAIR_1 = "def f(x='f1'): return x\ndef g(x='g1'): return x"


@pytest.mark.parametrize("running", [False, True])
@pytest.mark.parametrize("owner, name, at", [
    (Images, "concerned_functions", 1), (Images, "hold", 1), (Images, "hold", 2), (Images, "image", 2),
    (images, "_set_code", 1), (images, "_set_code", 2), (image_table, "put", 2), (Images, "become", 1),
    (Stacks, "take", 1), (Stacks, "take", 2)], ids=lambda each: getattr(each, "__name__", each))
def test_a_patch_that_is_dropped(machine, monkeypatch, owner, name, at, running):
    """The process takes an outcome over: nothing of the patch stays in force, though it has left the tree."""
    module = machine.module("def f(x='f0'): return x\ndef g(x='g0'): return x")
    before = snapshot(module.f, module.g)
    found = machine.insmod(PAIR_1 + one(module, "f", "g"))
    with monkeypatch.context() as patched:
        no_memory_at(patched, owner, name, at)
        with pytest.raises(MemoryError):
            machine.engine.drop(found.patch, running)
    machine.engine.recover()
    assert machine.engine.patches == [] and same(before, snapshot(module.f, module.g))
    machine.insmod("def f(x='f2'): return x" + one(module, "f"))
    assert (module.f(), module.g()) == ("f2", "g0")


@pytest.mark.parametrize("name, at", [(name, at) for name in ("put_state", "_put", "image", "become") for at in (1, 2, 3)
                                      if (name, at) != ("put_state", 3)])
def test_a_module_that_goes_in_a_transition(machine, monkeypatch, name, at):
    """It goes again, as the agent sees to, and leaves nothing of the patch in its functions, which something keeps."""
    module, late_name = machine.module("def f(held): held.stop(); return 'f0'"), machine.name("late")
    held = Held(module.f)
    late = machine.module("def g(): return 'g0'\ndef h(): return 'h0'", name=late_name)
    found = machine.enable(LATE % (module.__name__, late_name))
    with monkeypatch.context() as patched:
        no_memory_at(patched, Images, name, at)
        with pytest.raises(MemoryError):
            machine.engine.going(late_name)
    machine.engine.recover()
    machine.engine.going(late_name)
    assert (late.g(), late.h()) == ("g0", "h0")
    held.let_go()
    machine.settle()
    assert (late.g(), late.h()) == ("g0", "h0")
    machine.disable(found)
    assert (late.g(), late.h()) == ("g0", "h0")


@pytest.mark.parametrize("name, at", [("_set", 2), ("_set", 3), ("_set_code", 1), ("_set_code", 2)])
def test_no_memory_for_taking_back_either(machine, monkeypatch, name, at):
    """A module that comes has new code in some of its functions, or but a part of what belongs to it: that is said, and
    the next that is done takes it back."""
    module, late_name = machine.module("def f(): return 'f0'"), machine.name("late")
    found = machine.insmod(f"def f(): return 'f1'\ndef g(x='g1', *, y='y1'): return x + y\ndef h(x='h1'): return x\n"
                           f"patch = Patch([Object({module.__name__!r}, [Func('f', f)]), "
                           f"Object({late_name!r}, [Func('g', g), Func('h', h)])])")
    late = machine.module("def g(x='g0', *, y='y0'): return x + y\ndef h(x='h0'): return x", name=late_name)
    before, calls, real = snapshot(late.g, late.h), [], getattr(images, name)

    def none_from_there_on(*args):
        calls.append(args)
        return real(*args) if len(calls) < at else no_memory()
    for _ in range(2):
        with monkeypatch.context() as patched:
            patched.setattr(images, name, none_from_there_on)
            with pytest.raises(MemoryError):
                machine.engine.coming(late_name)
    assert [text for text in machine.log.texts() if "could not be taken back" in text]
    machine.engine.recover()
    assert same(before, snapshot(late.g, late.h))
    machine.engine.coming(late_name)
    assert (late.g(), late.h()) == ("g1y1", "h1")
    machine.disable(found)
    assert same(before, snapshot(late.g, late.h))


def test_what_could_not_be_taken_back_is_when_a_patch_is_disabled(machine, monkeypatch):
    """Which resolves nothing. (Rule: PythonTarget.begin mends.)"""
    module, late_name = machine.module("def f(): return 'f0'"), machine.name("late")
    found = machine.insmod(f"def f(): return 'f1'\ndef g(): return 'g1'\ndef h(): return 'h1'\n"
                           f"patch = Patch([Object({module.__name__!r}, [Func('f', f)]), "
                           f"Object({late_name!r}, [Func('g', g), Func('h', h)])])")
    late = machine.module("def g(): return 'g0'\ndef h(): return 'h0'", name=late_name)
    before, calls, real = snapshot(late.g, late.h), [], images._set_code

    def none_from_there_on(*args):
        calls.append(args)
        return real(*args) if len(calls) < 2 else no_memory()
    with monkeypatch.context() as patched:
        patched.setattr(images, "_set_code", none_from_there_on)
        with pytest.raises(MemoryError):
            machine.engine.coming(late_name)
    assert machine.target.images.unsettled
    machine.engine.disable(found.patch)
    assert not machine.target.images.unsettled and same(before, snapshot(late.g, late.h))
    machine.settle()
    assert module.f() == "f0"
