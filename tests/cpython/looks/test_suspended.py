"""Looks: each one moment of all the stacks it takes, holding nothing of the program's."""
import gc
import sys
import threading

import pytest

from klpfs.cpython.looks import suspended as look
from tests.cpython.attacks import attack_kit
from tests.cpython.programs import without


@pytest.fixture
def deep():
    """deep(n, ...): starts a thread that stands n frames of `down` deep; all end with the test."""
    go, threads = threading.Event(), []

    def start(n):
        at = threading.Event()

        def down(left):
            if left:
                return down(left - 1)
            at.set()
            go.wait(10)
        threads.append(threading.Thread(target=down, args=(n - 1,)))
        threads[-1].start()
        at.wait(10)
        return threads[-1].ident, id(down.__code__)
    yield start
    go.set()
    for thread in threads:
        thread.join()


def suspended(code, **more):
    """(why, number) of what is suspended with a frame."""
    why, found, stacks = look.suspended([code], **more)
    return why, len([r for r in found if look.has_frame(r)])


def test_stacks_of_some_threads_innermost_first(deep):
    a, b, c = deep(3), deep(5), deep(7)
    taken = look.stacks((a[0], c[0]))
    assert [ident for ident, stack in taken] == [a[0], c[0]]
    assert [stack.count(code) for (ident, stack), (_, code) in zip(taken, (a, c))] == [3, 7]
    assert taken[0][1].index(a[1]) > 0, "what `down` waits in comes first"
    assert {a[0], b[0], c[0], threading.get_ident()} <= set(look.idents())


def test_a_thread_that_has_ended_has_no_stack():
    thread = threading.Thread(target=len, args=((),))
    thread.start()
    thread.join()
    assert look.stacks((12345,)) == [(12345, ())]
    assert look.lines((12345,)) == [(12345, ())]


def test_a_look_of_a_stack_is_one_moment():
    """Frames that are always one above the other are seen so, while eight threads call and return."""
    stop, begun = [], threading.Semaphore(0)

    def c(n):
        return n + 1

    def b(n):
        return c(n) + c(n)

    def a(n):
        return b(n) + b(n)

    def generator():
        while True:
            yield a(1)

    def work():
        g = generator()
        begun.release()
        while not stop:
            next(g)
    parent = {id(c.__code__): (id(b.__code__),), id(b.__code__): (id(a.__code__),),
              id(a.__code__): (id(generator.__code__),), id(generator.__code__): (id(work.__code__),)}
    threads = [threading.Thread(target=work) for i in range(8)]
    was = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        for thread in threads:
            thread.start()
            begun.acquire()
        idents, seen = tuple(t.ident for t in threads), 0
        for turn in range(400):
            for ident, stack in look.stacks(idents):
                for above, below in zip(stack, stack[1:]):
                    assert above not in parent or below in parent[above]
                seen += len(stack)
    finally:
        stop.append(1)
        for thread in threads:
            thread.join()
        sys.setswitchinterval(was)
    assert seen > 5000


@pytest.mark.parametrize("few", [0, 12], ids=["by type", "by referrers"])
def test_suspended_objects_of_a_code_are_found(monkeypatch, few):
    """Generators, coroutines, asynchronous generators; not started ones too; not those of another code, nor ended ones."""
    monkeypatch.setattr(look, "FEW", few)

    def g():
        yield 1

    async def c():
        pass

    async def ag():
        yield 1

    def other():
        yield 1
    kept = [g(), g(), c(), ag(), other(), g()]
    next(kept[0])
    list(kept[5])
    codes = [g.__code__, c.__code__, ag.__code__]
    why, found, stacks = look.suspended(codes)
    alive = [r() for r in found if look.has_frame(r)]
    assert why is None and len(alive) == 4 and all(any(a is k for k in kept[:4]) for a in alive)
    kept[2].close()
    assert not [r for r in found if r() is kept[2] and look.has_frame(r)]


def test_a_code_that_a_generator_only_holds_is_not_its_own():
    """A generator with the code in a local variable refers to it, and does not run it."""
    def g():
        yield 1

    def holder(code):
        yield code
    held = holder(g.__code__)
    next(held)
    assert suspended(g.__code__) == (None, 0)
    del held


def test_a_frozen_heap_is_told():
    def g():
        yield 1
    x = g()
    next(x)
    gc.freeze()
    try:
        assert look.suspended([g.__code__])[0] == look.FROZEN
        assert gc.get_freeze_count(), "and it stays frozen: that is the program's business"
    finally:
        gc.unfreeze()
    assert suspended(g.__code__) == (None, 1)


def test_a_heap_that_was_frozen_before_we_came_is_told(monkeypatch):
    """Then our canary is not frozen: our oldest acquaintance, sys.modules, is."""
    monkeypatch.setattr(look, "_before_us", [True])
    monkeypatch.setattr(look, "_hidden", lambda: True)
    assert look.suspended([])[0] == look.FROZEN
    monkeypatch.setattr(look, "_hidden", lambda: False)
    assert look.suspended([])[0] is None


@pytest.fixture
def collecting():
    """A thread that is in the middle of a garbage collection; the fixture's value ends it."""
    at, go = threading.Event(), threading.Event()

    class Slow:
        def __del__(self):
            at.set()
            go.wait(10)
    gc.disable()
    gc.collect()
    s = Slow()
    s.me = s
    del s
    thread = threading.Thread(target=gc.collect)
    thread.start()
    assert at.wait(10)

    def end():
        go.set()
        thread.join()
    yield end
    end()
    gc.enable()


def test_a_collection_under_way_makes_the_look_void(collecting):
    assert look.suspended([])[0] == look.COLLECTING
    with without("gcscan"):
        assert look.suspended([])[0] is None
    collecting()
    assert look.suspended([])[0] is None


def test_the_probe_collects_and_calls_nothing_of_the_programs():
    """Neither finalizers nor gc.callbacks run; the callbacks, the heap and gc's being on are as they were."""
    ran, called = [], []

    class Garbage:
        def __init__(self):
            self.me = self

        def __del__(self):
            ran.append(1)

    def callback(phase, info):
        called.append(phase)
    gc.disable()
    gc.collect()
    gc.callbacks.append(callback)
    before = list(gc.callbacks)
    try:
        Garbage()
        assert look.quiet() and look.suspended([])[0] is None
        assert (ran, called, gc.callbacks) == ([], [], before) and not gc.isenabled()
        if sys.version_info < (3, 12):
            assert gc.get_freeze_count() == 0
    finally:
        gc.callbacks.remove(callback)
        gc.enable()
    look.stacks(tuple(look.idents()))
    assert gc.isenabled()


@pytest.mark.skipif(not look.NEEDS_QUIET, reason="from 3.12 on there is no need to ask")
def test_quiet_sees_a_collection_of_another_thread(collecting):
    assert not look.quiet()
    collecting()
    assert look.quiet()


def test_garbage_collection_is_on_again_when_a_look_raises(monkeypatch):
    """As when an audit hook of the program's forbids it."""
    def forbidden():
        raise RuntimeError("forbidden")
    monkeypatch.setattr(look, "_frames", forbidden)
    with pytest.raises(RuntimeError):
        look.idents()
    assert gc.isenabled()


def test_suspended_greenlets_have_stacks():
    greenlet = pytest.importorskip("greenlet")

    def body():
        greenlet.getcurrent().parent.switch()
    g = greenlet.greenlet(body)
    g.switch()
    stacks = dict(look.stacks_and_greenlets(greenlet.greenlet)[1])
    assert stacks[id(g)] == (id(body.__code__),)
    assert threading.get_ident() in stacks
    (key, lines), = look.greenlet_lines(greenlet.greenlet, frozenset((id(g),)))
    assert key == id(g) and lines[0][0] is body.__code__
    why, found, stacks = look.suspended([], greenlet.greenlet)
    assert why is None and (id(g), (id(body.__code__),)) in stacks
    g.switch()
    assert dict(look.stacks_and_greenlets(greenlet.greenlet)[1]).get(id(g), ()) == ()


def test_an_audit_hook_cannot_hide_a_greenlet():
    """At each audit event of a look another thread enters, or leaves, a greenlet: it is seen running or suspended, or the
    look says that nothing can be said."""
    pytest.importorskip("greenlet")
    program = r"""
import sys, threading, greenlet
from klpfs.cpython.looks import suspended as look
moves, moved, at, seen = threading.Semaphore(0), threading.Semaphore(0), [-1], []
def held():
    while 1:
        moved.release(); moves.acquire()
        main.switch()
def body():
    global main
    main, g = greenlet.getcurrent(), greenlet.greenlet(held)
    while 1:
        g.switch()
        moved.release(); moves.acquire()
def move():
    moves.release(); moved.acquire()
events = ("sys._current_frames", "gc.get_objects", "gc.get_referrers")
def hook(event, args):
    if event in events and at[0] >= 0:
        if at[0] == 0: move()
        at[0] -= 1
threading.Thread(target=body, daemon=True).start()
moved.acquire()
sys.addaudithook(hook)
for turn in range(20):
    for suspends in (False, True):
        at[0] = turn // 2
        if suspends: why, found, stacks = look.suspended([held.__code__], greenlet.greenlet)
        else: why, stacks = look.stacks_and_greenlets(greenlet.greenlet)
        reached = at[0] < 0
        at[0] = -1
        if reached: seen.append(why is not None or any(id(held.__code__) in stack for key, stack in stacks))
        if turn % 2: move()
print(len(seen) > 8 and all(seen))
"""
    assert attack_kit.outside(program.replace("%", "%%") + "#%r") == "True"


def test_greenlets_on_a_frozen_heap_are_told():
    """None of them is in any list."""
    greenlet = pytest.importorskip("greenlet")
    assert look.stacks_and_greenlets(greenlet.greenlet)[0] is None
    gc.freeze()
    try:
        assert look.stacks_and_greenlets(greenlet.greenlet)[0] == look.FROZEN
    finally:
        gc.unfreeze()


def test_who_waits_in_whom():
    """The chain of awaits, down through an asynchronous generator's asend()."""
    import types

    @types.coroutine
    def leaf():
        yield

    async def ag():
        await leaf()
        yield 1

    async def middle():
        async for x in ag():
            pass

    async def top():
        await middle()
    import weakref
    c = top()
    c.send(None)
    at, names = weakref.ref(c), []
    while at is not None:
        names.append([n for n in look.of(at, "cr_code.co_name", "gi_code.co_name", "ag_code.co_name") if n][0])
        at = look.awaited(at)
    assert names == ["top", "middle", "ag", "leaf"]
    c.close()


@pytest.mark.skipif(not look.NEEDS_QUIET, reason="a collection never runs inside a call here")
def test_a_code_is_exchanged_only_while_nobody_collects_garbage():
    """In one C call; while a finalizer runs in another thread's collection it is not done."""
    def function():
        return 1

    def other():
        return [1, 2, 3], {"a": 1, "b": 2}
    inside, go = threading.Event(), threading.Event()

    class Loop:
        def __init__(self):
            self.me = self

        def __del__(self):
            inside.set()
            go.wait()
    was = function.__code__
    Loop()
    thread = threading.Thread(target=gc.collect)
    thread.start()
    try:
        inside.wait()
        assert not look.exchange_code(function, other.__code__) and function.__code__ is was
    finally:
        go.set()
        thread.join()
    callbacks, enabled = list(gc.callbacks), gc.isenabled()
    assert look.exchange_code(function, other.__code__) and function() == ([1, 2, 3], {"a": 1, "b": 2})
    assert (list(gc.callbacks), gc.isenabled()) == (callbacks, enabled)
