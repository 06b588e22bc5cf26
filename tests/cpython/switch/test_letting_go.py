"""Function objects that the program has dropped while a transition runs: it lets go of them, if nothing can run them."""
import functools
import gc
import sys
import threading
import time
import types
import weakref

import pytest

from klpfs.cpython.switch import letting_go, live_dispatchers
from klpfs.cpython.switch.switching import Transition
from tests.cpython.programs import done, entry, make, switch, transition, try_clean, window

CLOSURES = """
def outer():
 def A(): return g and ({v}, B(), g.gi_running)
 g = G(); next(g)
 return A
def B(): return {v}
def G():
 try: yield {v}
 finally: done.append(B())
"""


class Once:
    """Waits for one step."""

    def __await__(self):
        yield


def begun(*pairs):
    """A Transition of (function, its new one), in RUN."""
    t = Transition([entry(function, new) for function, new in pairs])
    t.install()
    t.start()
    return t


def closures(finished, *names):
    """(a closure of version 0's, a transition in RUN of it and of the functions with these names)."""
    d = make(CLOSURES, done=finished)
    f, new = d[0]["outer"](), d[1]["outer"]()
    t = begun((f, new), *[(d[0][name], d[1][name]) for name in names])
    del new
    finished.clear()        # of its generator
    return f, t


@pytest.mark.parametrize("called", [False, True])
def test_a_closure_that_is_dropped_does_not_keep_what_the_transition_waits_for(called):
    """Its cell leads to an old suspended generator, for which the transition would wait for ever."""
    finished = []
    f, t = closures(finished, "B", "G")
    if called:
        assert f() == (0, 0, False) or f() == (1, 1, False)
    assert not try_clean(t) and not finished
    codes = weakref.ref(f.__code__)
    del f
    assert done(t, 3) and finished == [0] and codes() is None


def test_what_is_alone_is_forgotten():
    """Neither Switch, nor Record, nor the dispatcher's id are left."""
    finished = []
    f, t = closures(finished)
    record, key = live_dispatchers.record_of(f), id(f)
    told = []
    t.dropped = told.extend
    dispatcher = id(f.__code__)
    assert dispatcher in t.side_of_code and dispatcher in t.dispatcher_ids
    del f
    assert try_clean(t)
    assert t.switches == [] and [e.key for e in told] == [key] and not hasattr(told[0], "fn")
    assert dispatcher not in t.side_of_code and dispatcher not in t.dispatcher_ids
    assert record.reference() is None and not record.dispatchers and key not in live_dispatchers._registry
    t.finish()


def test_what_is_watched_only_is_let_go_too():
    d = make(CLOSURES, done=[])
    f = d[0]["outer"]()
    gone = weakref.ref(f)
    t = transition(d[0], d[1], only=["B"])
    watched = entry(f, f)
    watched.after = watched.before
    t.add([watched])
    t.install()
    t.start()
    assert switch(t, "A").only_watched
    del f, watched
    assert try_clean(t) and gone() is None
    t.finish()


HOLDERS = {"list": lambda f: [f], "partial": functools.partial, "its dispatcher": lambda f: f.__code__,
           "a cycle": lambda f: setattr(f, "own", f)}


@pytest.mark.parametrize("how", sorted(HOLDERS))
def test_what_is_held_is_kept(how):
    """A function in a cycle, too: a finalizer of what is garbage with it may call it still."""
    f, t = closures([])
    kept = [HOLDERS[how](f)]
    gone = weakref.ref(f)
    del f
    assert try_clean(t) and gone() is not None and len(t.switches) == 1
    kept.clear()
    t.finish()
    t.forget()
    gc.collect()
    assert gone() is None


def test_a_call_of_what_nothing_else_holds():
    """The closure is on its caller's stack alone, while its dispatcher chooses and while its side runs."""
    d = make("def outer():\n x = [{v}]\n def A(look): return (x[0], look(), {v}, x[0])\n return A")
    f = d[0]["outer"]()
    t = begun((f, d[1]["outer"]()))
    gone = weakref.ref(f)
    window(switch(t, "A"), lambda: t.look())
    box = [f]
    del f

    def look():
        t.look()
        return len(t.switches)
    assert box.pop()(look) in ((0, 1, 1, 0), (0, 1, 0, 0))
    gc.collect()        # what watched the Switch
    t.reverse()
    assert t.look() == [] and gone() is None


@pytest.mark.parametrize("kind", ["def", "async def"])
def test_what_was_made_runs_though_its_function_is_dropped(kind):
    """A generator or coroutine that has not begun, or is suspended, of a closure that nothing holds: up to 3.10 it does
    not hold it either, but its dispatcher's code, which needs it at the first step."""
    d = make(f"def outer():\n x = []\n {kind} A():\n  while len(x) < 9:\n   x.append({{v}})\n"
             f"   {'yield' if kind == 'def' else 'await wait()'}\n return A\n", wait=Once)
    f = d[0]["outer"]()
    seen = f.__closure__[0].cell_contents
    t = begun((f, d[1]["outer"]()))
    gone = weakref.ref(f)
    made = [f(), f()]

    def step(n):
        next(made[n]) if kind == "def" else made[n].send(None)
    step(0)
    del f
    t.look()
    assert len(t.switches) == 1
    step(1)
    step(0)
    assert seen == [1, 1, 1]
    made.clear()
    t.reverse()
    assert t.look() == [] and gone() is None


def test_a_side_that_runs_on_alone_keeps_it():
    """The side's generator that the program has got hold of: from 3.11 on it holds the side's function object."""
    d = make("def outer():\n x = [{v}]\n def A():\n  yield x\n  yield x\n return A\n")
    f = d[0]["outer"]()
    t = begun((f, d[1]["outer"]()))
    held = [switch(t, "A").function_of(1)]
    del f
    assert t.look() == [] and len(t.switches) == 1
    held.clear()
    t.reverse()
    t.look()
    assert t.switches == []


def test_a_weak_reference_gives_it_while_it_is_there():
    """Another thread takes it out of a weak reference all the time: it is called, or gone; never without its
    transition."""
    d = make("def outer():\n x = [{v}]\n def A(): return x[0], {v}\n return A")
    new, errors, stop, refs, called = d[1]["outer"](), [], threading.Event(), [], []

    def call():
        while not stop.is_set():
            for reference in list(refs):
                try:
                    f = reference()
                    if f is not None:
                        called.append(f())
                    del f
                except BaseException as e:
                    errors.append(repr(e))
            time.sleep(0.0001)      # not always in a call when somebody looks
    thread = threading.Thread(target=call)
    thread.start()
    try:
        for _ in range(20):
            functions = [d[0]["outer"]() for _ in range(20)]
            refs[:] = [weakref.ref(f) for f in functions]
            t = begun(*[(f, new) for f in functions])
            functions.clear()
            assert done(t)
    finally:
        stop.set()
        thread.join()
    assert not errors and set(called) <= {(0, 0), (0, 1)} and called


def test_what_its_end_runs_may_raise_and_call_patched_functions(monkeypatch):
    """Finalizers of what the closure holds run when it is let go of."""
    out, complained = [], []
    monkeypatch.setattr(sys, "unraisablehook", lambda what: complained.append(what.exc_type))

    class Noisy:
        def __del__(self):
            out.append(n["B"]())
            raise KeyError
    d = make("def outer(x):\n def A(): return x\n return A\ndef B(): return {v}")
    n = d[0]
    f = n["outer"](Noisy())
    t = begun((f, d[1]["outer"](None)), (n["B"], d[1]["B"]))
    del f
    assert done(t)
    assert out == [1] and complained == [KeyError]


def test_collection_is_as_it_was():
    f, t = closures([])
    assert gc.isenabled()
    del f
    assert try_clean(t) and gc.isenabled()
    t.finish()


def test_an_interrupt_leaves_no_switch_without_a_function(monkeypatch):
    """What was let go of before it is forgotten all the same."""
    d = make(CLOSURES, done=[])
    fs = [d[0]["outer"](), d[0]["outer"]()]
    t = begun(*[(f, d[1]["outer"]()) for f in fs])
    real, calls = letting_go._is_dropped, []

    def interrupted(s):
        calls.append(1)
        if len(calls) > 1:
            raise KeyboardInterrupt
        return real(s)
    monkeypatch.setattr(letting_go, "_is_dropped", interrupted)
    fs.clear()
    with pytest.raises(KeyboardInterrupt):
        t.look()
    monkeypatch.undo()
    assert len(t.switches) == 1 and t.switches[0].function
    assert done(t) and not t.switches


@pytest.mark.parametrize("changes", [{"co_name": "copy"}, {"co_consts": ()}])
def test_a_function_of_a_copy_of_the_dispatchers_code_keeps_it(changes):
    """The copy has the constants, or those of them that it needs, in a tuple of its own."""
    d = make("def outer(x):\n def A(): return {v}, x\n return A")
    f = d[0]["outer"](5)
    t = begun((f, d[1]["outer"](6)))
    code = f.__code__
    if "co_consts" in changes:
        changes = {"co_consts": (*code.co_consts, "more")}
    copy = types.FunctionType(code.replace(**changes), d[0], "copy", None, f.__closure__)
    del f, code
    t.reverse()
    t.look()
    assert copy() == (0, 5)
