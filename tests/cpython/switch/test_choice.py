"""The choice: the nearest frame of a side decides, else the goal; and when it may be remembered."""
import asyncio
import importlib.util
import sys
import threading
import types

import pytest

from klpfs.cpython.switch import choice, event_loops
from klpfs.cpython.switch.choice import RUN
from tests.cpython.programs import done, make, transition

SOURCE = "def A(f):\n return ({v}, f(), B())\ndef B(): return {v}"


@pytest.fixture(autouse=True)
def no_greenlets(monkeypatch):
    """The program has no greenlets."""
    for name in ("greenlet", "greenlet._greenlet"):
        monkeypatch.delitem(sys.modules, name, raising=False)


@pytest.fixture
def d():
    return make(SOURCE)


def run(d, goal=1, only=None):
    t = transition(d[0], d[1], only)
    t.install()
    assert t.quiet()
    t.start(goal)
    return t


def remembered(t):
    return t.choices.get(threading.get_ident())


def test_nobody_on_the_stack_the_goal(d):
    assert run(d) and d[0]["B"]() == 1


def test_the_goal_may_be_0(d):
    """A process that begins late in a reversed transition."""
    run(d, 0)
    assert d[0]["B"]() == 0


def test_an_old_frame_makes_all_old(d):
    t = []
    assert d[0]["A"](lambda: t.append(run(d))) == (0, None, 0)
    assert done(t[0])


def test_a_new_frame_makes_all_new_when_the_goal_turns(d):
    """The new frame was there before the reversal: what it calls stays new."""
    t = run(d)
    assert d[0]["A"](t.reverse) == (1, None, 1)
    assert d[0]["B"]() == 0


def test_frames_of_functions_that_are_not_in_it_decide_nothing(d):
    t = []
    assert d[0]["A"](lambda: t.append(run(d, only="B"))) == (0, None, 1)


def test_prepare_answers_0_and_clean_the_goal(d):
    t = transition(d[0], d[1])
    t.install()
    assert d[0]["B"]() == 0
    t.start()
    t.force()
    assert d[0]["B"]() == 1
    t.reverse()
    t.force()
    assert d[0]["B"]() == 0


def test_a_clean_thread_is_remembered(d):
    t = run(d)
    assert remembered(t) is None
    d[0]["B"]()
    assert remembered(t) == 1


def test_a_reversal_forgets(d):
    t = run(d)
    d[0]["B"]()
    t.reverse()
    assert remembered(t) is None
    assert d[0]["B"]() == 0 and remembered(t) == 0


def test_an_old_frame_is_not_remembered(d):
    t = []
    d[0]["A"](lambda: t.append(run(d)))
    assert remembered(t[0]) is None


def test_nothing_is_remembered_where_an_event_loop_runs(d):
    t = run(d)

    async def main():
        return d[0]["B"]()
    loop = asyncio.new_event_loop()
    assert loop.run_until_complete(main()) == 1
    loop.close()
    assert remembered(t) is None


def test_nothing_is_remembered_with_greenlets_about(d, monkeypatch):
    greenlet = pytest.importorskip("greenlet")
    assert greenlet
    t = run(d)
    assert d[0]["B"]() == 1 and remembered(t) is None


@pytest.mark.parametrize("more", ["def G(): yield {v}", "async def G(): return {v}", "def G(): return (x for x in ())"])
def test_nothing_is_remembered_when_something_can_be_suspended(more):
    """A generator expression counts, too."""
    d = make(SOURCE + "\n" + more)
    t = run(d)
    assert d[0]["B"]() == 1 and remembered(t) is None


def test_work_for_another_thread_has_that_threads_version(d):
    """Work that an old frame hands to another thread runs as that thread chooses, as with the kernel's work queues."""
    got = []

    def hand_over():
        run(d)
        thread = threading.Thread(target=lambda: got.append(d[0]["B"]()))
        thread.start()
        thread.join()
    assert d[0]["A"](hand_over) == (0, None, 0)
    assert got == [1]


def test_a_task_that_is_not_a_c_task_is_walked_to_the_threads_end(d):
    """The root of such a task is not known: the walk goes on below the task, which is sound."""
    class PurePython(asyncio.tasks._PyTask):
        pass
    t, loop = [], asyncio.new_event_loop()
    loop.set_task_factory(lambda loop, coroutine, **more: PurePython(coroutine, loop=loop, **more))

    async def inside():
        return d[0]["B"]()

    def below():
        t.append(run(d))
        return loop.run_until_complete(inside())
    assert d[0]["A"](below) == (0, 0, 0)
    loop.close()


def test_a_lazy_module_stays_as_it_is(monkeypatch, tmp_path):
    """Reading an attribute of what importlib.util.LazyLoader has made runs the module's body."""
    (tmp_path / "lazily.py").write_text("x = 1\n")
    spec = importlib.util.spec_from_file_location("lazily", tmp_path / "lazily.py")
    spec.loader = importlib.util.LazyLoader(spec.loader)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    monkeypatch.setitem(sys.modules, "lazily", module)
    assert choice.module_value("lazily", "x") is None
    assert module.x == 1 and choice.module_value("lazily", "x") == 1


def test_imports_nothing_and_takes_half_imported_modules_for_none(d, monkeypatch):
    """asyncio and greenlet are looked for in sys.modules; a module without its parts yet is as good as none."""
    monkeypatch.setitem(sys.modules, "greenlet", types.ModuleType("greenlet"))
    assert choice.greenlet_api() is None
    for name in ("asyncio.events", "asyncio.runners"):
        monkeypatch.setitem(sys.modules, name, types.ModuleType(name))
    assert event_loops.stepping_codes(()) == {}
    t = run(d)
    assert t.mode == RUN and d[0]["B"]() == 1


def test_a_module_of_the_programs_that_is_called_greenlet_has_no_greenlets(monkeypatch):
    shim = types.ModuleType("greenlet")
    shim.greenlet, shim.getcurrent = type("greenlet", (), {"gr_frame": None, "parent": None}), lambda: 1 / 0
    monkeypatch.setitem(sys.modules, "greenlet", shim)
    monkeypatch.delitem(sys.modules, "greenlet._greenlet", raising=False)
    d = make("def f(): return {v}")
    t = transition(d[0], d[1])
    t.install()
    t.start()
    assert d[0]["f"]() == 1 and done(t)
