"""Attacks on what is chosen and remembered, over transitions and forces that follow each other."""
import _thread
import gc
import sys
import threading
import types

import pytest

from klpfs.cpython.switch.dispatcher import Switch
from klpfs.cpython.switch.switching import Transition
from tests.cpython.attacks.attack_kit import attack, no_greenlets, wait
from tests.cpython.programs import (
    back,
    done,
    entry,
    functions,
    looked,
    make,
    switch,
    transition,
    try_clean,
    watch_choices,
    window,
)

# -------------------------------------------------------------------------------------------- choosing and remembering

@attack("skip")
def handler_in_the_window_of_a_seen_thread():
    """A handler between choice and entry, in a thread already seen clean, calls g: g must not run as side 0, for
    nobody looks at this thread again."""
    got = []
    d = make("def g():\n t = clean()\n return ({v}, h(), t)\ndef h(): return {v}\ndef B(): return {v}",
             clean=lambda: t.look() == [])
    t = transition(d[0], d[1])
    t.install()
    t.start()
    t.look()
    if t.clean:         # the thread was alone: as if another one still blocked
        t.state.mode = 1
    window(switch(t, "B"), lambda: got.append(d[0]["g"]()))
    d[0]["B"]()
    if not t.clean:
        done(t)
    return got[0][0] == got[0][1] == 1


@attack("loose")
def remembered_above_an_undecided_dispatcher():
    """0 is chosen in PREPARE, the transition starts in the window, a handler there decides for 1: that is no decision
    for the thread, which goes on into side 0."""
    d = make("def g(): return {v}\ndef h(): return {v}\ndef B(): return ({v}, h())")
    t = transition(d[0], d[1])
    t.install()
    assert t.quiet()
    with no_greenlets():
        window(switch(t, "B"), lambda: (t.start(), d[0]["g"](), d[0]["h"]()))
        got = d[0]["B"]()
    return got[0] == got[1] and done(t)


@attack("own", "ambig")
def function_is_its_own_handler():
    """B is called, and is a trace function as well: B's dispatcher directly above B's undecided dispatcher decides
    nothing."""
    at, go, picked, got = threading.Event(), threading.Event(), [], []

    def hook(event):
        if event == "opcode" and picked and not at.is_set():
            at.set()
            go.wait(10)
    d = make("def B(frame, ev, arg):\n hook(ev)\n if ev == 'x': return ({v}, h())\ndef h(): return {v}", hook=hook)
    t = transition(d[0], d[1])
    t.install()
    b, code = d[0]["B"], d[0]["B"].__code__
    s = switch(t, "B")

    def choose(function):
        if not picked and sys._getframe(3).f_code is run.__code__:
            picked.append(1)
            t.start()
        return function
    watch_choices(s, choose)

    def tracer(frame, event, arg):
        if frame.f_code is code and not picked:
            frame.f_trace, frame.f_trace_lines, frame.f_trace_opcodes = b, False, True
            return b

    def run():
        sys.settrace(tracer)
        try:
            got.append(b(None, "x", None))
        finally:
            sys.settrace(None)
    thread = threading.Thread(target=run)
    thread.start()
    in_time = at.wait(3)
    s.__class__ = Switch
    if not in_time:
        go.set()
        thread.join()
        return None
    first = try_clean(t)
    go.set()
    thread.join()
    return got[0][0] == got[0][1] and not first and done(t)


def stopped_between_choice_and_entry(looks):
    """Whether a thread that chose side 0 before the transition began, and is not there yet, is in the way of so many
    looks."""
    d = make("def A(): return ({v}, B())\ndef B(): return {v}")
    t = transition(d[0], d[1])
    at, go, got = threading.Event(), threading.Event(), []
    t.install()
    window(switch(t, "A"), lambda: (at.set(), go.wait(10)))
    thread = threading.Thread(target=lambda: got.append(d[0]["A"]()))
    thread.start()
    wait(at)
    t.start()
    first = done(t, looks)
    go.set()
    thread.join()
    return got == [(0, 0)] and not first and done(t)


@attack("ambig")
def chosen_and_not_entered():
    """A thread stopped between the choice of side 0 and its frame blocks: nobody can see what it chose."""
    return stopped_between_choice_and_entry(1)


@attack("nostack")
def the_nearest_frame_decides():
    """What an old frame calls is old, what is called beside it is new."""
    d = make("def A(stop):\n r = [{v}, B()]\n stop()\n r.append(B())\n return r\ndef B(): return {v}")
    t = transition(d[0], d[1])
    beside = []

    def stop():
        t.install()
        t.start()
        thread = threading.Thread(target=lambda: beside.append(d[0]["B"]()))
        thread.start()
        thread.join()
    return d[0]["A"](stop) == [0, 0, 0] and beside == [1] and done(t)


@attack("noobserve")
def an_old_frame_blocks():
    """A frame of side 0 keeps the transition pending until it is gone."""
    d = make("def A(stop):\n r = [{v}, B()]\n stop()\n r.append(B())\n return r\ndef B(): return {v}")
    t = transition(d[0], d[1])
    pending = []

    def stop():
        t.install()
        t.start()
        pending.append(looked(t) == ["thread"])
    return d[0]["A"](stop) == [0, 0, 0] and pending == [True] and done(t)


@attack("copy")
def copies_of_old_code_that_a_tool_makes_meanwhile():
    """Equal code objects that no look has seen yet run below what they call."""
    d = make("def A(): return ({v}, B())\ndef B(): return {v}")
    code = d[0]["A"].__code__
    t = transition(d[0], d[1])
    t.install()
    t.start()
    copy = types.FunctionType(code.replace(co_name="wrapper"), d[0])
    first = copy()
    t.state.walks[_thread.get_ident()] = 1      # within another choice, which reads without events
    got = first, copy(), d[0]["A"]()
    t.state.walks.clear()
    assert done(t)
    return got == ((0, 0), (0, 0), (1, 1))


# ----------------------------------------------------------------------------------------- earlier transitions, forces

@attack("stale")
def stale_dispatchers_of_two_transitions():
    """Coroutines that dispatchers of one transition made take their first steps in the next."""
    d = make(
        "async def f(): return {v}\ndef A(c):\n try: c.send(None)\n except StopIteration as e: return ({v}, e.value)"
    )
    f = d[0]["f"]
    t1 = transition(d[0], d[1])
    t1.install()
    t1.start()
    c1, c2, c3, c4 = f(), f(), f(), f()
    assert done(t1)
    t2 = transition(d[0], d[2])
    t2.install()
    first = d[0]["A"](c1)
    t2.start()
    blockers = t2.look()
    assert blockers == []
    got = []
    try:
        c2.send(None)
    except StopIteration as e:
        got.append(e.value)
    t2.reverse()
    got.append(d[0]["A"](c3))
    assert done(t2)
    got.append(d[0]["A"](c4))
    return first == (1, 1) and got == [2, (1, 1), (1, 1)]


@attack("stale")
def stale_dispatcher_on_a_clean_stack():
    """A coroutine made by a dispatcher of an earlier transition gets the goal after everything was seen clean."""
    d = make("async def f():\n return {v}")
    t1 = transition(d[0], d[1])
    t1.install()
    t1.start()
    stale = d[0]["f"]()
    assert done(t1)
    t2 = back(t1)
    t2.install()
    t2.start()
    assert t2.look() == []
    with pytest.raises(StopIteration) as got:
        stale.send(None)
    t2.finish()
    return got.value.value == 0


@attack("stale")
def stale_dispatcher_of_a_function_that_is_gone():
    """The coroutine outlives every other reference to its function: it is still the function's, and takes part."""
    d = make("def outer():\n async def f(): return {v}\n return f")
    made, new = d[0]["outer"](), d[1]["outer"]()
    t1 = Transition([entry(made, new)])
    t1.holders = lambda: [d[0]["outer"].__code__.co_consts]        # which the collector may not know (3.14)
    t1.install()
    t1.start()
    stale = made()
    assert done(t1)
    functions_now = [f for f in gc.get_objects() if type(f) is types.FunctionType and f.__code__ is made.__code__
                     and f is not t1.switches[0].functions[1]]
    assert functions_now == [made]
    t2 = back(t1)
    del made, t1, functions_now
    t2.install()
    t2.start()
    assert t2.look() == []
    try:
        stale.send(None)
    except StopIteration as e:
        got = e.value
    t2.finish()
    return got == 0


@attack("third")
def frame_left_by_a_force():
    """What a force leaves running counts as side 0 of the next transition: it blocks the way there and never the way
    back."""
    go, at, out = threading.Semaphore(0), threading.Semaphore(0), []

    def stop():
        at.release()
        assert go.acquire(timeout=10)
    d = make("def A():\n r = [{v}]\n for i in range(3):\n  stop(); r.append(B())\n return r\ndef B(): return {v}",
             stop=stop)
    t1 = transition(d[0], d[1])
    thread = threading.Thread(target=lambda: out.append(d[0]["A"]()))
    thread.start()
    at.acquire()
    t1.install()
    t1.start()
    blocked1 = not try_clean(t1)
    t1.force()
    t1.finish()
    t2 = transition(d[0], d[2])
    t2.install()
    t2.start()
    blocked2 = not try_clean(t2)
    go.release()
    at.acquire()
    t2.reverse() if not t2.clean or blocked2 else t2.reverse()
    returned = done(t2, 20)
    t3 = transition(d[0], d[2])
    t3.install()
    t3.start()
    blocked3 = not try_clean(t3)
    go.release()
    at.acquire()
    go.release()
    thread.join()
    return blocked1 and blocked2 and returned and blocked3 and done(t3) and out[0] == [0, 1, 1, 1]


@attack()
def reverse_between_clean_and_finish():
    go, at, out = threading.Event(), threading.Event(), []
    d = make("def A():\n r = [{v}, B()]\n at.set(); go.wait(10)\n r.append(B()); return r\ndef B(): return {v}", at=at,
             go=go)
    t = transition(d[0], d[1])
    t.install()
    t.start()
    assert try_clean(t)
    thread = threading.Thread(target=lambda: out.append(d[0]["A"]()))
    thread.start()
    wait(at)
    t.reverse()
    first = try_clean(t)
    t.reverse()
    assert try_clean(t)
    t.reverse()
    second = try_clean(t)
    here = d[0]["A"]() if go.set() is None else None
    thread.join()
    return done(t) and not first and not second and out == [[1, 1, 1]] and len(set(here)) == 1 and d[0]["B"]() == 0


@attack("ambig")
def window_survives_clean():
    """A choice made in CLEAN, its window held open over the reversal: it blocks that."""
    out = []
    d = make("def A(): return ({v}, B())\ndef B(): return {v}")
    t = transition(d[0], d[1])
    t.install()
    t.start()
    assert try_clean(t)
    go, at = threading.Event(), threading.Event()
    window(switch(t, "A"), lambda: (at.set(), go.wait(10)))
    thread = threading.Thread(target=lambda: out.append(d[0]["A"]()))
    thread.start()
    wait(at)
    t.reverse()
    first = done(t, 1)
    go.set()
    thread.join()
    return not first and done(t) and out[0][0] == out[0][1] and d[0]["B"]() == 0


@attack()
def overlapping_patches():
    """Disjoint and overlapping sets one after another, with a frame of the first below."""
    go, at, out = threading.Semaphore(0), threading.Semaphore(0), []
    d = make(
        "def A():\n r = [({v}, B(), C())]\n stop(); r.append(({v}, B(), C())); return r\n"
        "def B(): return {v}\ndef C(): return {v}",
        stop=lambda: (at.release(), go.acquire(timeout=10)),
    )
    n = d[0]
    f, g, h = functions(n), functions(d[1]), functions(d[2])
    t1 = Transition([entry(f[k], g[k]) for k in "AB"])
    t1.install()
    t1.start()
    thread = threading.Thread(target=lambda: out.append(n["A"]()))
    thread.start()
    at.acquire()
    assert done(t1)
    t2 = Transition([entry(f[k], h[k]) for k in "BC"])      # A is not in it: as in the kernel
    t2.install()
    t2.start()
    second = done(t2)
    more = functions(make("def B(): return 3\ndef C(): return 3")[0])
    t3 = Transition([entry(f["A"], h["A"])] + [entry(f[k], more[k]) for k in "BC"])
    t3.install()
    t3.start()
    third = try_clean(t3)
    go.release()
    thread.join()
    return second and not third and done(t3) and out == [[(1, 1, 0), (1, 2, 2)]]
