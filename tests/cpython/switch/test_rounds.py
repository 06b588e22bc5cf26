"""Rounds of looks: what each looks at, in which slices, and what it says of threads and greenlets."""
import asyncio
import gc
import sys
import threading
import time

import pytest

from klpfs.cpython.looks import collection, greenlets, names_for_people, suspended
from klpfs.cpython.looks import threads as thread_looks
from klpfs.cpython.switch import rounds
from klpfs.cpython.switch.switching import Transition
from tests.cpython.programs import done, entry, make, transition, try_clean

SOURCE = "def A(x=1):\n return ({v}, B(), x)\ndef B(): return {v}\ndef G():\n yield {v}\n yield B()"


@pytest.fixture
def d():
    return make(SOURCE)


def test_many_threads_are_looked_at_in_slices(monkeypatch):
    """Not more than about FRAMES frames in one C call, with a breath between; each thread once since the last flip."""
    for name in ("greenlet", "greenlet._greenlet"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    d = make("def B(): return {v}")
    go, ready = threading.Event(), threading.Semaphore(0)

    def down(n):
        if n:
            return down(n - 1)
        ready.release()
        go.wait(10)
    threads = [threading.Thread(target=down, args=(60,)) for i in range(60)]
    for thread in threads:
        thread.start()
    for thread in threads:
        ready.acquire()
    calls, breaths, real = [], [], thread_looks.stacks

    def stacks(wanted):
        taken = real(wanted)
        calls.append((len(wanted), sum(len(s) for i, s in taken)))
        return taken
    monkeypatch.setattr(thread_looks, "stacks", stacks)
    t = Transition([entry(d[0]["B"], d[1]["B"])], breathe=lambda: breaths.append(1))
    t.install()
    t.start()
    del breaths[:]
    blockers = t.look()
    go.set()
    for thread in threads:
        thread.join()
    assert blockers == []
    assert max(frames for n, frames in calls) <= 2 * rounds.FRAMES and len(calls) > 2
    assert sum(n for n, frames in calls) >= 61 and len(breaths) >= len(calls) - 1
    t.finish()


def test_a_collection_under_way_is_a_blocker_where_it_matters(d, monkeypatch):
    """Up to 3.11 in any case; from 3.12 on when something can be suspended."""
    t = transition(d[0], d[1])
    monkeypatch.setattr(collection, "quiet", lambda: False)
    monkeypatch.setattr(suspended, "find", lambda codes, kind=None, counted=None, running=None: (
        collection.COLLECTING, [], greenlets.stacks_and_greenlets(kind)[1] if kind else []))
    t.install()
    t.start()
    assert [b.kind for b in t.look()] == ["collection"] and not t.clean
    monkeypatch.undo()
    assert done(t)


def test_greenlets_that_come_during_a_look_make_another_necessary(monkeypatch):
    """The package was imported between the look at the threads and its end."""
    pytest.importorskip("greenlet")
    came = sys.modules["greenlet._greenlet"]
    for name in ("greenlet", "greenlet._greenlet"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    d = make("def B(): return {v}")
    t = transition(d[0], d[1])
    t.install()
    t.start()
    real = thread_looks.idents

    def idents():
        found = real()
        monkeypatch.setitem(sys.modules, "greenlet._greenlet", came)
        return found
    monkeypatch.setattr(thread_looks, "idents", idents)
    assert [b.kind for b in t.look()] == ["greenlet"] and not t.clean
    monkeypatch.undo()
    assert done(t)


def test_with_greenlets_about_the_heap_is_searched_only_when_nothing_else_is_in_the_way(d, stopped, monkeypatch):
    """A search keeps the program from running: as long as a thread, or what an earlier one found, is dirty, none is
    made."""
    pytest.importorskip("greenlet")
    searches, real = [], suspended.find
    monkeypatch.setattr(suspended, "find", lambda *args: searches.append(1) or real(*args))
    d = make(SOURCE + "\ndef S():\n stop()\n return {v}", stop=stopped.stop)
    stopped(d[0]["S"])
    waiting = d[0]["G"]()
    next(waiting)
    t = transition(d[0], d[1])
    t.install()
    t.start()
    assert [b.kind for b in t.look()] == ["thread"] and searches == []
    stopped.go()
    assert [b.kind for b in t.look()] == ["generator"] and searches == [1]
    assert [b.kind for b in t.look()] == ["generator"] and searches == [1]
    waiting.close()
    assert done(t) and len(searches) > 1


@pytest.mark.skipif(not thread_looks.CUTS, reason="throw() does not cut the stack, from 3.10 on")
def test_a_thread_that_chose_the_other_side_for_want_of_a_caller_is_not_settled():
    """Who called throw() can't be told: an undecided dispatcher there may not have chosen the goal."""
    pytest.importorskip("greenlet")
    d = make(SOURCE)

    def inner():
        try:
            yield
        except KeyError:
            yield d[0]["B"]()

    def outer():
        yield from inner()
    waiting, thrown_into = d[0]["G"](), outer()
    next(waiting), next(thrown_into)
    t, ident = transition(d[0], d[1]), threading.get_ident()
    t.install()
    t.start()
    assert t.look() and rounds._is_settled(t.state, ident)
    assert thrown_into.throw(KeyError()) == 0
    assert not rounds._is_settled(t.state, ident)
    waiting.close()
    assert done(t)


def test_many_dirty_greenlets_are_named_by_one_search(monkeypatch):
    """The names come with frames; a search for each would keep the program waiting far longer than the look."""
    greenlet = pytest.importorskip("greenlet")
    monkeypatch.setattr(rounds, "AGAIN_US", 10 ** 12)
    searches, real = [], greenlets.greenlet_lines
    monkeypatch.setattr(greenlets, "greenlet_lines", lambda kind, keys: searches.append(len(keys)) or real(kind, keys))
    d = make("def A(sw):\n sw()\n return {v}")
    lets = [greenlet.greenlet(lambda: d[0]["A"](greenlet.getcurrent().parent.switch)) for _ in range(7)]
    for each in lets:
        each.switch()
    t = transition(d[0], d[1])
    t.install()
    t.start()
    blockers = t.look()
    assert searches == [7] and {b.task for b in blockers} == set(map(id, lets))
    assert all(b.kind == "greenlet" and "app0.py:2 A" in b.frames[0] for b in blockers)
    t.look()
    assert searches == [7], "named already"
    for each in lets:
        each.switch()
    assert t.look() == []


def test_task_states_are_the_versions_that_threads_are_bound_to(stopped):
    """0 in PREPARE; in a started transition the goal once seen clean, else the other; none when it is over."""
    d = make("def A():\n stop()\n return {v}", stop=stopped.stop)
    thread, me = stopped(d[0]["A"]), threading.get_ident()
    t = transition(d[0], d[1])
    t.install()
    assert set(rounds.task_states(t).values()) == {0}
    t.start()
    assert not try_clean(t)
    states = rounds.task_states(t)
    assert states[thread.ident] == 0
    if len(t.state.clean_threads):       # with greenlets about nobody is put down as seen
        assert states[me] == 1
    t.force()
    assert set(rounds.task_states(t).values()) == {1}
    t.finish()
    assert rounds.task_states(t) == {}


def test_tasks_are_named_with_collection_on_and_not_at_each_look(monkeypatch):
    """A breath in the middle of that is the program's; and it looks through all tasks of asyncio."""
    d, on, asked, real = make("def g():\n yield {v}\nasync def A(e):\n await e.wait()\n return {v}"), [], [], \
        names_for_people.owners
    monkeypatch.setattr(rounds, "AGAIN_US", 10 ** 12)
    monkeypatch.setattr(names_for_people, "owners", lambda *args: asked.append(1) or real(*args))

    async def main():
        event, waits = asyncio.Event(), d[0]["g"]()
        next(waits)
        tasks = [asyncio.ensure_future(d[0]["A"](event)) for _ in range(60)]
        await asyncio.sleep(0)
        t = transition(d[0], d[1])
        t.breathe = lambda: on.append(gc.isenabled())
        t.install()
        t.start()
        del on[:]
        found = [sorted(b.name for b in t.look()) for _ in range(3)]
        waits.close()
        event.set()
        await asyncio.gather(*tasks)
        t.force()
        t.finish()
        return found
    found = asyncio.run(main())
    assert found[0] == found[1] == found[2] and len(found[0]) == 61
    assert on and all(on) and len(asked) == 1


def suspended_greenlet_of_an_ended_thread(call):
    """[a greenlet that is suspended in call(switch)]; its thread has ended."""
    greenlet = pytest.importorskip("greenlet")
    found, mains = [], []

    def work():
        mains.append(greenlet.getcurrent())
        found.append(greenlet.greenlet(lambda: call(mains[0].switch)))
        found[0].switch()
    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    while not mains[0].dead:        # greenlet hears of it a little later
        time.sleep(0.001)
    return found


@pytest.mark.parametrize("meanwhile", [False, True])
def test_a_greenlet_of_an_ended_thread_is_no_task(meanwhile):
    """Nothing can make it go on: neither its frames are in the way, nor what refers to their codes. meanwhile: it was
    suspended above a dispatcher."""
    d = make("def A(switch):\n switch(); return {v}, B()\ndef B(): return {v}")
    t = transition(d[0], d[1])
    if meanwhile:
        t.install()
    found = suspended_greenlet_of_an_ended_thread(d[0]["A"])
    if not meanwhile:
        t.install()
    t.start()
    assert [b.kind for b in t.look()] == ["greenlet"]       # and is known by the next look
    assert t.look() == [] and found[0].gr_frame
    t.finish()
    back = transition(d[0], d[2])
    back.install()
    back.start()
    assert done(back, 3) and d[0]["B"]() == 2 and found[0]
    found.clear()


def test_another_greenlet_beside_it_is_in_the_way():
    greenlet = pytest.importorskip("greenlet")
    d = make("def A(switch):\n switch(); return {v}, B()\ndef B(): return {v}")
    gone = suspended_greenlet_of_an_ended_thread(d[0]["A"])
    g = greenlet.greenlet(lambda: d[0]["A"](greenlet.getcurrent().parent.switch))
    g.switch()
    t = transition(d[0], d[1])
    t.install()
    t.start()
    for _ in range(3):
        blockers = t.look()
    assert [(b.kind, b.task) for b in blockers] == [("greenlet", id(g))] and gone
    assert g.switch() == (0, 0) and done(t, 3)


def test_what_it_leaves_when_it_is_dropped_has_a_name():
    """greenlet leaks its frames, surely from 3.12 to 3.14: there are references to their codes that nobody accounts
    for."""
    d = make("def A(switch):\n switch(); return {v}, B()\ndef B(): return {v}")
    suspended_greenlet_of_an_ended_thread(d[0]["A"]).clear()
    gc.collect()
    t = transition(d[0], d[1])
    t.install()
    t.start()
    names = [blocker.name for blocker in t.look()]
    assert names == ["A: something that is in no list may run it, or a greenlet that was dropped after its thread had "
                     "ended has left it"] or not names and not (3, 12) <= sys.version_info < (3, 15)
    t.force()
    t.finish()


def test_names_of_tasks_that_are_gone_are_forgotten(d):
    """A program may make and drop them for hours while a transition is pending. (Rule: Rounds.look.)"""
    now, old = [0], [d[0]["G"]() for _ in range(3)]
    for each in old:
        next(each)
    t = Transition([entry(d[0][name], d[1][name]) for name in "ABG"], clock=lambda: now[0])
    t.install()
    t.start()
    assert len(t.look()) == 3 == len(t.rounds._known)
    old.pop().close(), old.pop().close()
    now[0] += rounds.AGAIN_US
    assert any(len(t.look()) == 1 for _ in range(9))        # something has just ended
    assert len(t.rounds._known) == 1
    old.pop().close()
    assert any(not t.look() for _ in range(9))
    t.finish()
