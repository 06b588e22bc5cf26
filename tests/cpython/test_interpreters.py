"""Sub-interpreters: counted, and told apart by whether they have an interpreter lock of their own."""
import errno
import importlib
import marshal
import subprocess
import sys
import types
from threading import get_ident
from types import SimpleNamespace

import pytest

from klpfs.cpython import interpreters, left_behind, no_collection
from klpfs.cpython.load import cut_off
from klpfs.cpython.looks import codes_in_use, dry_run, names_for_people, threads
from klpfs.cpython.transition import PythonTransition
from klpfs.engine.error import KlpError
from tests.cpython.machine import Held, one
from tests.cpython.programs import done, make, transition


@pytest.fixture
def others(monkeypatch):
    """others(configs): the process has these interpreters besides; a config is what CPython says of one's lock."""
    def set_others(*configs):
        said = {number: SimpleNamespace(gil="shared" if found == "being made" else found)
                for number, found in enumerate(configs, 1) if found != "gone"}
        monkeypatch.setattr(interpreters, "_list_all", lambda require_ready=False: [
            (n, 0) for n in range(len(configs) + 1) if not (n and require_ready and configs[n - 1] == "being made")])
        monkeypatch.setattr(interpreters, "_current", lambda: (0, 0))
        monkeypatch.setattr(interpreters, "_config", said.__getitem__)
        monkeypatch.setattr(interpreters, "_MAY_RUN_APART", True)
    return set_others


@pytest.fixture
def untold(monkeypatch):
    """untold(newest): a CPython that does not list them (before 3.13); newest: the address of the one that was made last,
    or None, where the C API can't be asked."""
    def set_newest(newest):
        monkeypatch.setattr(interpreters, "_list_all", None)
        monkeypatch.setattr(interpreters, "_MAIN", 16)
        monkeypatch.setattr(interpreters, "_newest", None if newest is None else lambda: newest)
        monkeypatch.setattr(interpreters, "_MAY_RUN_APART", True)
    return set_newest


def test_a_process_has_none_unless_it_makes_some():
    assert not interpreters.are_there() and not interpreters.apart()


def test_before_3_13_the_c_api_tells_that_there_are_some(untold):
    """Which of them has a lock of its own it does not tell: any counts."""
    untold(16)
    assert not interpreters.are_there() and not interpreters.apart()
    asked = interpreters.in_one_moment(sys._current_frames)
    assert get_ident() in next(asked)
    untold(32)
    assert interpreters.are_there() and interpreters.apart()
    with pytest.raises(interpreters.Apart):
        interpreters.in_one_moment(sys._current_frames)


def test_before_3_13_the_c_api_sees_what_comes_meanwhile(untold, monkeypatch):
    newest = [16]
    untold(16)
    monkeypatch.setattr(interpreters, "_newest", lambda: newest[0])
    asked = interpreters.in_one_moment(sys._current_frames)
    newest[0] = 32
    with pytest.raises(KeyError):
        next(asked)


def test_where_nobody_can_ask_a_program_that_could_make_some_counts(untold, monkeypatch):
    """Without _ctypes on 3.12."""
    untold(None)
    monkeypatch.setattr(interpreters, "_modules", {})
    assert not interpreters.are_there() and not interpreters.apart()
    assert get_ident() in next(interpreters.in_one_moment(sys._current_frames))
    monkeypatch.setattr(interpreters, "_modules", {"_xxsubinterpreters": None})
    assert interpreters.apart()


@pytest.mark.skipif(sys.version_info >= (3, 13), reason="its answers are numbers from 3.13 on")
def test_what_ends_interpreters_with_its_answers_is_not_asked():
    """Nor imported, in a process of its own."""
    code = ("import sys; from klpfs.cpython import interpreters; from klpfs.cpython.looks import threads; "
            "assert not interpreters.are_there(); threads.idents(); print('_xxsubinterpreters' in sys.modules)")
    assert subprocess.run([sys.executable, "-c", code], stdout=subprocess.PIPE, check=True).stdout == b"False\n"


def test_those_with_a_lock_of_their_own_are_apart(others):
    """And those that are being made: CPython says "shared" of them until their lock is."""
    for own in "own", "being made":
        others("shared", own, "shared")
        assert interpreters.are_there() and interpreters.apart()
    others("shared", "shared")
    assert interpreters.are_there() and not interpreters.apart()


def test_what_can_not_be_told_counts(others):
    """An interpreter that is gone or is not ours to ask."""
    others("shared", "gone")
    assert interpreters.apart()


def test_what_a_signal_handler_raises_is_no_answer(others, monkeypatch):
    def config(number):
        raise TimeoutError
    others("shared")
    monkeypatch.setattr(interpreters, "_config", config)
    with pytest.raises(TimeoutError):
        interpreters.apart()


def test_before_3_12_all_share_the_lock(others, monkeypatch):
    others("own")
    monkeypatch.setattr(interpreters, "_MAY_RUN_APART", False)
    assert not interpreters.apart()


def test_looks_at_frames_are_not_taken_beside_them(others):
    others("own")
    assert names_for_people.stacks() == {}


@pytest.fixture
def no_frames(monkeypatch):
    """Asking for frames fails the test, as long as there is an interpreter apart; [how often it was asked]."""
    asked = []

    def guarded(*args):
        asked.append(1)
        assert not interpreters.apart(), "sys._current_frames() beside an interpreter with a lock of its own"
        return sys._current_frames()
    monkeypatch.setattr(threads, "FRAMES", guarded)
    monkeypatch.setattr(no_collection, "_frames", guarded)
    return asked


def test_nobody_asks_for_frames_beside_them(machine, others, no_frames):
    """On 3.12 and 3.13 that crashes the program. From before the load to its end, and back: it waits, by name, and all
    calls are old; when they are gone the transition goes on."""
    module = machine.module("def f(): return 0\ndef g():\n while 1: yield f()\n")
    text = "def f(): return 1\ndef g():\n while 1: yield f()\n" + one(module, "f", "g")
    old = module.g()
    assert next(old) == 0
    others("own")
    found = machine.enable(text)
    for _ in range(2):
        blocker, = machine.engine.look()
        assert (blocker.kind, blocker.name) == ("interpreter", "sub-interpreters with a lock of their own")
        assert module.f() == 0 == next(module.g()) and next(old) == 0
    assert names_for_people.stacks() == {}
    assert cut_off.is_in_library(1) is True and left_behind.would_be()
    with pytest.raises(KlpError) as refused:
        dry_run.survey(machine.target, machine.load("def f(): return 2\n" + one(module, "f")))
    assert refused.value.errno == errno.EBUSY
    machine.engine.reverse()
    assert machine.engine.look()[0].kind == "interpreter"
    machine.engine.reverse()
    assert machine.engine.look()[0].kind == "interpreter" and not no_frames
    others()
    assert machine.engine.look()[0].kind == "generator" and no_frames
    others("own")
    old.close()
    assert machine.engine.look()[0].kind == "interpreter"
    others()
    assert any(not machine.engine.look() for _ in range(9))     # "something suspended has just ended" needs another look
    machine.engine.finish()
    assert module.f() == 1
    others("own")
    machine.engine.disable(found.patch)
    assert machine.engine.look()[0].kind == "interpreter" and module.f() == 1
    machine.engine.force()
    assert module.f() == 0
    machine.engine.look()
    machine.engine.finish()
    assert module.f() == 0


@pytest.mark.parametrize("gone_before", ["start", "reverse"])
def test_one_that_is_gone_when_the_transition_is_started(machine, others, no_frames, gone_before):
    """What runs on stacks is asked for then, before anybody has new code: copies of old code are there, too."""
    module = machine.module("def f(): return 0\ndef g(held):\n held.stop()\n return f()\n")
    copy = types.FunctionType(module.g.__code__.replace(), module.__dict__)
    held = Held(copy)
    found = machine.load("def f(): return 1\ndef g(held): return f()\n" + one(module, "f", "g"))
    others("own")
    machine.engine.enable(found.patch, found.name)
    if gone_before == "reverse":
        machine.engine.start()
        machine.engine.reverse()
    assert not no_frames
    others()
    if gone_before == "reverse":
        machine.engine.reverse()
    else:
        machine.engine.start()
    assert no_frames and module.f() == 1
    assert held.let_go() == 0
    machine.settle()
    assert module.f() == 1


def with_a_copy_in_use(module):
    """A thread in module.g under code that a tool has put there for a while and taken out again, as tracers do."""
    code = module.g.__code__
    module.g.__code__ = marshal.loads(marshal.dumps(code))
    held = Held(module.g)
    module.g.__code__ = code
    return held


OLD = "def f(): return 0\ndef g(held):\n held.stop()\n return f()\n"
NEW = "def f(): return 1\ndef g(held): return f()\n"


def test_one_that_goes_in_the_middle_of_a_look(machine, others, monkeypatch):
    """Behind the question for what runs on stacks: nobody has new code before that is known."""
    module = machine.module(OLD)
    held = with_a_copy_in_use(module)
    others("own")
    machine.enable(NEW + one(module, "f", "g"))
    real = PythonTransition._note_unasked

    def note_unasked(self):
        found = real(self)
        others()
        return found
    with monkeypatch.context() as patched:
        patched.setattr(PythonTransition, "_note_unasked", note_unasked)
        assert machine.engine.look()[0].kind == "interpreter"
    assert module.f() == 0
    assert machine.engine.look()[0].kind == "thread" and module.f() == 1
    assert held.let_go() == 0
    machine.settle()


def test_one_that_comes_and_goes_in_the_middle_of_a_look(machine, others, monkeypatch):
    """When no task was found in the way, and what else runs is asked for: the transition is not complete."""
    module = machine.module(OLD)
    code = marshal.loads(marshal.dumps(module.g.__code__))
    found = machine.load(NEW + one(module, "f", "g"))
    machine.engine.enable(found.patch, found.name)
    copy = types.FunctionType(code, module.__dict__)
    held = Held(copy)
    copy.__code__ = (lambda: None).__code__
    del copy, code
    machine.engine.start()
    asked = []

    def on_stacks():
        asked.append(1)
        raise interpreters.Apart
    with monkeypatch.context() as patched:
        patched.setattr(codes_in_use, "on_stacks", on_stacks)
        assert machine.engine.look()[0].kind == "interpreter" and asked
    assert machine.engine.look()[0].kind == "thread"
    held.let_go()
    machine.settle()


LATE = "import marshal\n" + OLD + """
code = g.__code__
g.__code__ = marshal.loads(marshal.dumps(code))
held = Held(g)
g.__code__ = code
"""


@pytest.mark.parametrize("began_beside", [False, True])
def test_a_module_that_comes_beside_one(machine, others, no_frames, began_beside):
    """Nobody knows what its body has left on stacks: it is refused, by name, where calls choose; else it waits with the
    others."""
    module, late = machine.module("def h(held): held.stop(); return 0\n"), machine.name("late")
    blocker = Held(module.h)
    if began_beside:
        others("own")
    machine.enable(f"def h(held): return 1\n{NEW}patch = Patch([Object({module.__name__!r}, [Func('h', h)]), "
                   f"Object({late!r}, [Func('f', f), Func('g', g)])])")
    others("own")
    machine.write("from tests.cpython.machine import Held\n" + LATE, late)
    machine.imported.append(late)
    came = importlib.import_module(late)
    machine.engine.coming(late, False)
    said = [text for text in machine.log.texts() if "stays unpatched" in text]
    assert bool(said) != began_beside
    others()
    machine.engine.look()
    assert came.f() == began_beside and came.held.let_go() == 0
    assert came.f() == began_beside
    blocker.let_go()
    machine.settle()
    assert came.f() == began_beside


def test_a_transition_is_blind_where_stacks_could_not_be_asked_for():
    """Also where they could be since."""
    d = make("def f(): return {v}")
    t = transition(d[0], d[1])
    t.install()
    t.start(1, unasked=True)
    assert d[0]["f"]() == 0
    t.reverse(unasked=True)
    t.reverse(unasked=True)
    assert d[0]["f"]() == 0
    assert done(t) and d[0]["f"]() == 1


@pytest.mark.parametrize("ask", [
    threads.idents, lambda: threads.stacks((get_ident(),)), lambda: threads.lines((get_ident(),)),
    lambda: threads.places((get_ident(),)),
    codes_in_use.on_stacks, no_collection.thread_frames])
def test_one_that_comes_behind_the_check_is_seen_when_frames_are_asked_for(others, monkeypatch, ask):
    """In one C call with that, in which no other thread can make one."""
    others("shared")
    real, seen = interpreters.need_one_lock, []

    def need_one_lock():
        real()
        others("shared", "own")

    def guarded():
        seen.append(1)
        return sys._current_frames()
    monkeypatch.setattr(interpreters, "need_one_lock", need_one_lock)
    monkeypatch.setattr(threads, "FRAMES", guarded)
    monkeypatch.setattr(no_collection, "_frames", guarded)
    with pytest.raises(interpreters.Apart):
        ask()
    monkeypatch.setattr(interpreters, "need_one_lock", real)
    others("shared")
    assert ask() is not None and len(seen) == 1


def test_one_in_the_place_of_another_is_seen(others, monkeypatch):
    others("shared")
    ids = [(0, 0), (1, 0)]
    monkeypatch.setattr(interpreters, "_list_all", lambda require_ready=False: list(ids))
    found = interpreters.in_one_moment(sys._current_frames)
    ids[1] = (2, 0)
    with pytest.raises(KeyError):
        next(found)


def test_one_that_comes_in_the_middle_of_a_look_ends_the_look(machine, others, no_frames, monkeypatch):
    module = machine.module("def f(): return 0\n")
    machine.enable("def f(): return 1\n" + one(module, "f"))
    real = threads.stacks

    def stacks(wanted):
        others("own")
        return real(wanted)
    with monkeypatch.context() as patched:
        patched.setattr(threads, "stacks", stacks)
        assert machine.engine.look()[0].kind == "interpreter"
    others()
    machine.settle()
    assert module.f() == 1


def test_a_real_one():
    maker = pytest.importorskip("_interpreters" if sys.version_info >= (3, 13) else "_xxsubinterpreters")
    made = maker.create()
    try:
        assert interpreters.are_there()
        assert interpreters.apart() == (sys.version_info >= (3, 12))
    finally:
        maker.destroy(made)
    assert not interpreters.are_there() and not interpreters.apart()


@pytest.mark.skipif(sys.version_info < (3, 14), reason="no concurrent.interpreters")
def test_those_of_the_standard_library_are_apart():
    """concurrent.interpreters and InterpreterPoolExecutor make interpreters with locks of their own: a transition waits,
    by name, until they are gone."""
    from concurrent import interpreters as concurrent_interpreters
    from concurrent.futures import InterpreterPoolExecutor
    d = make("def f(): return {v}")
    t = transition(d[0], d[1])
    t.install()
    t.start()
    made = concurrent_interpreters.create()
    try:
        made.exec("x = 1")
        assert interpreters.apart()
        blocker, = t.look()
        assert "sub-interpreters with a lock of their own" in blocker.name
    finally:
        made.close()
    with InterpreterPoolExecutor(2) as pool:
        assert set(pool.map(int, range(4))) == set(range(4))
        assert interpreters.apart() and t.look() != []
    assert not interpreters.apart() and done(t) and d[0]["f"]() == 1
