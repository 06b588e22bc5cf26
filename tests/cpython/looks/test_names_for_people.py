"""Names for people: threads, asyncio tasks, greenlets, suspended objects, and where they stand."""
import asyncio
import threading

import pytest

from klpfs.cpython.looks import names_for_people
from tests.cpython.programs import done, make, transition


def started(d):
    t = transition(d[0], d[1])
    t.install()
    t.start()
    return t


@pytest.fixture
def stopped():
    """A thread called 'worker 7' that stops in A; functions(d, ...) as made by make()."""
    at, go, threads = threading.Event(), threading.Event(), []

    def stop():
        at.set()
        go.wait(10)

    def run(function):
        threads.append(threading.Thread(target=function, name="worker 7"))
        threads[0].start()
        assert at.wait(10)
        return threads[0]
    run.stop = stop
    yield run
    go.set()
    for thread in threads:
        thread.join()


def test_a_thread_is_named_with_its_frames(stopped):
    """The Blocker has its threading name, its native id, and where it stands, innermost frame first; the same Blocker for a while."""
    d = make("def A():\n stop()\n return {v}", stop=stopped.stop)
    thread = stopped(d[0]["A"])
    t = started(d)
    blocker, = t.look()
    assert (blocker.kind, blocker.task, blocker.name) == ("thread", thread.native_id, "worker 7")
    places = [f for f in blocker.frames if f.startswith("app0.py:")]
    assert places == ["app0.py:2 A"]
    assert blocker.frames.index(places[0]) > 0, "what it waits in comes first"
    again, = t.look()
    assert again is blocker


def test_a_thread_that_threading_does_not_know_is_named_by_its_ident(stopped):
    """The ident stands for a name."""
    ident = 12345
    assert names_for_people.thread(ident).name == "thread 12345"


def test_an_asyncio_task_is_named_when_it_waits_in_old_code():
    """The task's name, not the coroutine's: also when the old coroutine is awaited by others, through async
    generators."""
    d = make(
        "async def A():\n await asyncio.sleep(3600)\n return {v}\n"
        "async def AG():\n await asyncio.sleep(3600)\n yield {v}"
    )

    async def through():
        await d[0]["A"]()

    async def each():
        async for x in d[0]["AG"]():
            pass

    async def main():
        tasks = [asyncio.ensure_future(c) for c in (through(), d[0]["A"](), each())]
        for task, name in zip(tasks, ("outer", "direct", "each")):
            task.set_name(name)
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        t = started(d)
        blockers = t.look()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        return t, [(b.kind, b.name, b.frames) for b in blockers]
    loop = asyncio.new_event_loop()
    t, blockers = loop.run_until_complete(main())
    loop.close()
    assert sorted(blockers) == [("task", "direct", ["app0.py:2 A"]), ("task", "each", ["app0.py:5 AG"]),
                                ("task", "outer", ["app0.py:2 A"])]
    assert done(t)


def test_a_generator_is_named_by_its_function():
    d = make("class C:\n def g(self):\n  yield {v}\n  yield {v}")
    for space in d:
        space["g"] = space["C"].g
    g = d[0]["g"](None)
    next(g)
    t = started(d)
    blocker, = t.look()
    assert blocker.kind == "generator" and blocker.name in ("C.g", "g") and blocker.frames[0].startswith("app0.py:3 ")
    del g
    assert done(t)


def test_many_suspended_objects_are_told_by_their_number():
    d = make("def g():\n yield {v}\n yield {v}")
    kept = [d[0]["g"]() for i in range(130)]
    for g in kept:
        next(g)
    t = started(d)
    blockers = t.look()
    assert len(blockers) == 101 and blockers[-1].name == "30 more"
    del g, kept
    assert done(t)


def test_a_suspended_greenlet_is_a_blocker_with_its_frames():
    greenlet = pytest.importorskip("greenlet")
    d = make("def A(switch):\n switch()\n return {v}")
    g = greenlet.greenlet(d[0]["A"])
    g.switch(greenlet.getcurrent().switch)
    t = started(d)
    blocker, = t.look()
    assert blocker.kind == "greenlet" and blocker.task == id(g) and blocker.frames == ["app0.py:2 A"]
    g.switch()
    assert done(t)


def test_stacks_of_all_threads(stopped):
    """For proc/<pid>/task/<tid>/stack: innermost first, by ident."""
    d = make("def A():\n stop()", stop=stopped.stop)
    thread = stopped(d[0]["A"])
    stacks = names_for_people.stacks()
    assert "app0.py:2 A" in stacks[thread.ident]
    assert stacks[threading.get_ident()][-1].count(":") >= 1
