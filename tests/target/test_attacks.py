"""Attacks on the rules of consistency: each finds all old or all new, and mixed code when its rule is switched off.

An attack is a function that returns None where its window can't be reached here (with the reason in skip()), else whether
everything was consistent. RULES names what each proves to be necessary.
"""
import asyncio
import contextlib
import ctypes
import functools
import gc
import os
import signal
import subprocess
import sys
import threading
import types

import pytest

from klpfs.target.python import image, look, rules
from klpfs.target.python.choose import PREPARE
from klpfs.target.python.transition import Entry, Transition
from target.programs import (back, done, entry, functions, make, switch, transition, try_clean, version, window, without)

ATTACKS = []
PARTS = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


def attack(*needed):
    def note(function):
        ATTACKS.append((function, needed))
        return function
    return note


def wait(event):
    assert event.wait(10), "the other thread did not get there"


# ---------------------------------------------------------------------------------------------- choosing and remembering

@attack("skip")
def handler_in_the_window_of_a_seen_thread():
    """A handler between choice and entry, in a thread already seen clean, calls g: g must not run as version 0, for nobody
    looks at this thread again."""
    got = []
    d = make("def g():\n t = clean()\n return ({v}, h(), t)\ndef h(): return {v}\ndef B(): return {v}", clean=lambda: t.look() == [])
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
    """0 is chosen in PREPARE, the transition starts in the window, a handler there decides for 1: that is no decision for
    the thread, which goes on into version 0."""
    d = make("def g(): return {v}\ndef h(): return {v}\ndef B(): return ({v}, h())")
    t = transition(d[0], d[1])
    t.install()
    assert t.quiet()
    with no_greenlets():
        window(switch(t, "B"), lambda: (t.start(), d[0]["g"](), d[0]["h"]()))
        got = d[0]["B"]()
    return got[0] == got[1] and done(t)


@contextlib.contextmanager
def no_greenlets():
    """As in a program that has none: with greenlets about nothing is remembered."""
    gone = {name: sys.modules.pop(name) for name in ("greenlet", "greenlet._greenlet") if name in sys.modules}
    try:
        yield
    finally:
        sys.modules.update(gone)


@attack("own", "ambig")
def function_is_its_own_handler():
    """B is called, and is a trace function as well: B's dispatcher directly above B's undecided dispatcher decides nothing."""
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
    real = s.pick

    def pick():
        version = real()
        if not picked and sys._getframe(2).f_code is run.__code__:
            picked.append(1)
            t.start()
        return version
    s.pick = pick

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
    if not at.wait(3):
        go.set()
        thread.join()
        return None
    s.pick = real
    first = try_clean(t)
    go.set()
    thread.join()
    return got[0][0] == got[0][1] and not first and done(t)


@attack("ambig")
def chosen_and_not_entered():
    """A thread stopped between the choice of version 0 and its frame blocks: nobody can see what it chose."""
    d = make("def A(): return ({v}, B())\ndef B(): return {v}")
    t = transition(d[0], d[1])
    at, go, got = threading.Event(), threading.Event(), []
    t.install()
    window(switch(t, "A"), lambda: (at.set(), go.wait(10)))
    thread = threading.Thread(target=lambda: got.append(d[0]["A"]()))
    thread.start()
    wait(at)
    t.start()
    first = try_clean(t)
    if first:
        t.finish()
    go.set()
    thread.join()
    return got == [(0, 0)] and not first and done(t)


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
    """A frame of version 0 keeps the transition pending until it is gone."""
    d = make("def A(stop):\n r = [{v}, B()]\n stop()\n r.append(B())\n return r\ndef B(): return {v}")
    t = transition(d[0], d[1])
    pending = []

    def stop():
        t.install()
        t.start()
        blockers = t.look()
        pending.append([b.kind for b in blockers] == ["thread"])
        if not blockers:
            t.finish()
    return d[0]["A"](stop) == [0, 0, 0] and pending == [True] and done(t)


# ------------------------------------------------------------------------------------------- earlier transitions, forces

@attack("stale")
def stale_dispatchers_of_two_transitions():
    """Coroutines that dispatchers of one transition made take their first steps in the next."""
    d = make("async def f(): return {v}\ndef A(c):\n try: c.send(None)\n except StopIteration as e: return ({v}, e.value)")
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
    t1.install()
    t1.start()
    stale = made()
    assert done(t1)
    functions_now = [f for f in gc.get_objects() if type(f) is types.FunctionType and f.__code__ is made.__code__
                     and f is not t1.switches[0].v.get(1)]
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
    """What a force leaves running counts as version 0 of the next: it blocks the way there and never the way back."""
    go, at, out = threading.Semaphore(0), threading.Semaphore(0), []

    def stop():
        at.release()
        assert go.acquire(timeout=10)
    d = make("def A():\n r = [{v}]\n for i in range(3):\n  stop(); r.append(B())\n return r\ndef B(): return {v}", stop=stop)
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
    d = make("def A():\n r = [{v}, B()]\n at.set(); go.wait(10)\n r.append(B()); return r\ndef B(): return {v}", at=at, go=go)
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
    first = try_clean(t)
    if first:
        t.finish()
    go.set()
    thread.join()
    return not first and done(t) and out[0][0] == out[0][1] and d[0]["B"]() == 0


@attack()
def overlapping_patches():
    """Disjoint and overlapping sets one after another, with a frame of the first below."""
    go, at, out = threading.Semaphore(0), threading.Semaphore(0), []
    d = make("def A():\n r = [({v}, B(), C())]\n stop(); r.append(({v}, B(), C())); return r\ndef B(): return {v}\ndef C(): return {v}",
             stop=lambda: (at.release(), go.acquire(timeout=10)))
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


# ----------------------------------------------------------------------------------------------------- suspended objects

@attack("comps")
def generator_expression_escapes():
    """A generator expression of old code runs on when the function has returned: it belongs to that function's version."""
    d = make("def A(): return (B() for i in range(3))\ndef B(): return {v}")
    g = d[0]["A"]()
    got = [next(g)]
    t = transition(d[0], d[1])
    t.install()
    t.start()
    first = done(t, 1)
    got += [next(g), next(g)] + list(g)
    return len(set(got)) == 1 and not first and done(t)


@attack("gens")
def suspended_everywhere():
    """Asynchronous generators half consumed (asend, athrow, aclose), generators with finally closed, coroutines thrown into."""
    d = make("async def AG():\n r = [{v}]\n try:\n  while True:\n   try: x = yield B()\n   except KeyError: x = None\n   r.append(B())\n"
             " finally: r.append(B()); out.append(r)\n"
             "def G():\n r = [{v}]\n try:\n  while True: yield r.append(B())\n finally: r.append(B()); out.append(r)\n"
             "async def C():\n r = [{v}, B()]\n try: await asyncio.sleep(3600)\n"
             " except BaseException: r.append(B()); out.append(r); raise\ndef B(): return {v}", out=[])
    n, blocked = d[0], []
    out = n["out"]

    async def step(ag, how, *args):
        try:
            return await getattr(ag, how)(*args)
        except StopAsyncIteration:
            return None

    def drive(coroutine):
        try:
            coroutine.send(None)
        except StopIteration as e:
            return e.value

    for phase in range(2):
        ags = [n["AG"]() for i in range(3)]
        for a in ags:
            drive(step(a, "asend", None))
        gs = [n["G"](), n["G"]()]
        for g in gs:
            next(g)
        loop = asyncio.new_event_loop()
        task = loop.create_task(n["C"]())
        loop.call_soon(loop.stop)
        loop.run_forever()
        t = transition(n, d[1 + phase])
        t.install()
        t.start()
        blocked.append(not try_clean(t))
        drive(step(ags[0], "asend", 1))
        drive(step(ags[0], "athrow", KeyError()))
        t.reverse()
        t.look()
        t.reverse()
        for a in ags:
            drive(step(a, "aclose"))
        gs[0].close()
        del gs[:]
        g = a = None
        gc.collect()
        blocked.append(not try_clean(t))
        task.cancel()
        loop.call_soon(loop.call_soon, loop.stop)
        loop.run_forever()
        if not task.done():
            loop.run_until_complete(asyncio.sleep(0))
        loop.close()
        del ags, gs, task
        assert done(t), t.look()
    return all(blocked) and len(out) == 12 and not [r for r in out if len(set(r)) != 1]


@attack("gcscan")
def old_generator_in_a_collection():
    """Unreachable objects are in no list while their finalizers run; an old generator among them has a finally block left."""
    at, go, out = threading.Event(), threading.Event(), []

    class Slow:
        def __del__(self):
            at.set()
            go.wait(10)
    d = make("def G(me):\n r = [{v}, B()]\n try: yield\n finally: r.append(B()); out.append(r)\ndef B(): return {v}", out=out)

    def garbage():
        s = Slow()
        s.me = s
        s.l = held = [s]
        g = d[0]["G"](held)
        held.append(g)
        next(g)
    gc.disable()
    try:
        gc.collect()
        garbage()
        with without(*(rules.BREAK | {"quiet"})):       # that rule would wait for the collection as well
            t = transition(d[0], d[1])
        t.install()
        t.start()
        if "gcscan" in NAMES:
            rules.BREAK.add("gcscan")
        thread = threading.Thread(target=gc.collect)
        thread.start()
        wait(at)
        first = done(t, 1)
        go.set()
        thread.join()
    finally:
        gc.enable()
    return not first and len(set(out[0])) == 1 and done(t)


NAMES = set()       # the rules that the running attack goes without


@attack("finished")
def one_ends_and_makes_another_behind_the_look():
    """Up to the end of an old generator during the look it makes another one, which the look has not seen."""
    d = make("def G(more=False):\n yield {v}, B()\n if more:\n  keep.append(G())\n  next(keep[-1])\n yield {v}, B()\ndef B(): return {v}",
             keep=[])
    first = d[0]["G"](True)
    next(first)
    t = transition(d[0], d[1])
    t.install()
    t.start()
    real, turned = look.has_frame, []

    def has_frame(reference):           # between the look's one moment and what is made of it the program goes on
        if not turned and reference() is first:
            turned.append(1)
            list(first)
        return real(reference)
    look.has_frame = has_frame
    try:
        clean = done(t, 1)
    finally:
        look.has_frame = real
    return not clean and list(d[0]["keep"][0]) == [(0, 0)] and done(t)


@attack()
def frozen_heap_is_a_named_blocker():
    d = make("def G():\n yield {v}, B()\n yield {v}, B()\ndef B(): return {v}")
    g = d[0]["G"]()
    next(g)
    gc.freeze()
    try:
        t = transition(d[0], d[1])
        t.install()
        t.start()
        frozen = [b.kind for b in t.look()]
        still = gc.get_freeze_count() > 1000
    finally:
        gc.unfreeze()
    suspended = [b.kind for b in t.look()]
    return frozen == ["frozen heap"] and still and suspended == ["generator"] and list(g) == [(0, 0)] and done(t)


# ---------------------------------------------------------------------------------------------------------- audit hooks

def outside(program):
    """Runs a program in a process of its own: an audit hook can't be taken away again."""
    env = dict(os.environ, PYTHONPATH=os.pathsep.join((PARTS, os.path.join(PARTS, "tests"))))
    done = subprocess.run([sys.executable, "-c", program % (sorted(rules.BREAK),)], stdout=-1, stderr=-2, timeout=60, env=env)
    return done.stdout.decode().strip()


@attack("busy")
def audit_hook_calls_a_patched_function():
    return outside(r'''
import sys
from klpfs.target.python import rules
rules.BREAK.update(%r)
from target.programs import *
d = make("def log(): return {v}\ndef A(): return ({v}, B())\ndef B(): return {v}")
on = [0]
def hook(event, args):
    if on[0] and event in ("sys._getframe", "object.__getattr__"): d[0]["log"]()
sys.addaudithook(hook)
t = transition(d[0], d[1])
t.install()
on[0] = 1
t.start()
try: r = d[0]["A"]()
except RecursionError: print("RecursionError"); sys.exit()
on[0] = 0
print(r[0] == r[1] and done(t))
''') == "True"


@attack("gather")
def audit_hook_tears_the_look():
    """A hook that lets other threads run when a code is read can't make a stack that never was."""
    return outside(r'''
import sys, threading, time
from klpfs.target.python import look, rules
rules.BREAK.update(%r)
stop = []
def c(n): return n + 1
def b(n): return c(n) + c(n)
def a(n): return b(n) + b(n)
def gen():
    while 1: yield a(1)
def work():
    g = gen()
    begun.append(1)
    while not stop: next(g)
begun = []
threads = [threading.Thread(target=work, daemon=True) for i in range(4)]
sys.setswitchinterval(1e-6)
sys.addaudithook(lambda event, args: time.sleep(0) if event == "object.__getattr__" else None)
for t in threads: t.start()
while len(begun) < 4: time.sleep(.001)
ids = tuple(t.ident for t in threads)
names = {id(f.__code__): f.__name__ for f in (a, b, c, work)}
bad = 0
end = time.time() + 2
while time.time() < end and not bad:
    for i, stack in look.stacks(ids):
        if stack: bad += "work" not in [names.get(x) for x in stack]
stop.append(1)
print("torn" if bad else "whole")
''') == "whole"


# ------------------------------------------------------------------------------------ everything that enters a function

@attack()
def interpreter_calls():
    """Methods called by the interpreter, key functions, descriptors, metaclasses, contextmanager, singledispatch, ctypes."""
    bad = []
    d = make('''
import functools, contextlib
class M(type):
    def __call__(cls, *a): r = type.__call__(cls, *a); r.made = ({v}, B()); return r
class X(metaclass=M):
    def __init__(self, n=0): self.n = n; self.i = ({v}, B())
    def __hash__(self): log({v}, B()); return 1
    def __eq__(self, o): log({v}, B()); return hash(self) == hash(o)
    def __lt__(self, o): log({v}, B()); return self.n < o.n
    def __getattr__(self, k): log({v}, B()); return B()
    def __iter__(self): log({v}, B()); return iter([1])
    def __get__(self, *a): log({v}, B()); return B()
    def __init_subclass__(cls): log({v}, B())
    def __del__(self): log({v}, B())
    def __len__(self): log({v}, B()); return 1
    def __call__(self, x): log({v}, B()); return x
    def __enter__(self): log({v}, B())
    def __exit__(self, *a): log({v}, B())
def B(): return {v}
@contextlib.contextmanager
def cm(): x = B(); yield ({v}, x); log({v}, B()); log({v}, x)
@functools.singledispatch
def sd(x): return ({v}, B())
''', log=lambda a, b: bad.append((a, b)) if a != b else None)

    def all_of(n):
        return {**functions(n), **{k: f for k, f in vars(n["X"]).items() if type(f) is types.FunctionType},
                "M": n["M"].__call__, "is": n["X"].__dict__["__init_subclass__"].__func__,
                "cm": n["cm"].__wrapped__, "sd": n["sd"].__wrapped__}
    a, b = all_of(d[0]), all_of(d[1])
    t = Transition([entry(a[k], b[k]) for k in sorted(a)])
    X, from_c = d[0]["X"], ctypes.CFUNCTYPE(ctypes.c_int)(d[0]["B"])

    def everything():
        x, y = X(1), X(2)
        {x: 1, y: 2}
        x == y, sorted([y, x]), x.foo, list(x), bool(x), list(map(x, [1, 2])), type("S", (X,), {})

        class H:
            p = X(3)
        H().p
        with x:
            pass
        with d[0]["cm"]() as r:
            bad.extend([r] if r[0] != r[1] else [])
        for r in (x.i, x.made, d[0]["sd"](1)):
            bad.extend([r] if r[0] != r[1] else [])
        return from_c()
    stop = []

    def work():
        while not stop:
            everything()
    threads = [threading.Thread(target=work) for i in range(2)]
    for thread in threads:
        thread.start()
    t.install()
    everything()
    t.start()
    everything()
    t.reverse()
    everything()
    t.reverse()
    everything()
    ok = done(t, 100000)
    last = everything()
    stop.append(1)
    for thread in threads:
        thread.join()
    return ok and not bad and last == 1


@attack("root")
def task_above_an_old_main():
    """An old plain function runs the loop: its tasks are bound to nothing, but the thread blocks."""
    d = make("""
def main(loop, mid): return {v}, loop.run_until_complete(mid()), B()
async def root(): r = [{v}, B()]; await asyncio.sleep(0); r.append(B()); return r
def B(): return {v}
""")
    t, loop = transition(d[0], d[1]), asyncio.new_event_loop()

    async def mid():
        t.install()
        t.start()
        return await asyncio.ensure_future(d[0]["root"]()), d[0]["B"](), [b.kind for b in t.look()]
    main, (root, here, blockers), last = d[0]["main"](loop, mid)
    loop.close()
    return (main, root, here, last) == (0, [1, 1, 1], 1, 0) and blockers == ["thread"] and done(t)


@attack()
def asyncio_shapes():
    """A task whose root is a dispatcher, tasks beside an old main(), executors, call_soon, __await__ objects, eager tasks."""
    d = make('''
async def main(mid):
    r = [{v}, B()]; x = await mid(); r.append(B()); return r, x
async def root(): r = [{v}, B()]; await asyncio.sleep(0); r.append(B()); r.append(await sub()); return r
async def sub(): await asyncio.sleep(0); return B()
def B(): return {v}
''')
    n = d[0]
    t = transition(n, d[1])

    class Awaited:
        def __await__(self):
            r = n["B"]()
            yield from asyncio.sleep(0).__await__()
            return [r, n["B"]()]

    async def wrap():
        return await n["root"]()

    async def mid():
        t.install()
        t.start()
        got = [await asyncio.ensure_future(n["root"]()), await asyncio.ensure_future(wrap())]
        loop = asyncio.get_running_loop()
        soon = loop.create_future()
        loop.call_soon(lambda: soon.set_result(n["B"]()))
        soon = await soon
        beside = await loop.run_in_executor(None, n["B"])
        inner, awaited, other, eager = n["B"](), await n["sub"](), await Awaited(), 0
        if hasattr(asyncio, "eager_task_factory"):
            eager = await asyncio.eager_task_factory(loop, n["root"]())
        return got, soon, beside, inner, awaited, other, eager, try_clean(t)
    loop = asyncio.new_event_loop()
    main, (got, soon, beside, inner, awaited, other, eager, clean) = loop.run_until_complete(n["main"](mid))
    loop.close()
    ok = set(main) == {0} and inner == awaited == 0 and set(other) == {0} and got == [[1] * 4] * 2 and beside == 1
    return ok and eager in (0, [1] * 4) and not clean and done(t)


@attack()
def fork_at_every_step():
    """A child goes on with the transition from where its parent was."""
    d = make("def A(): return ({v}, B())\ndef B(): return {v}")
    t, results = transition(d[0], d[1]), []

    def child():
        pid = os.fork()
        if not pid:
            try:
                if t.mode == PREPARE:
                    t.start()
                ok = done(t) and d[0]["A"]() == (1, 1)
            except BaseException:
                ok = False
            os._exit(0 if ok else 1)
        results.append(os.waitpid(pid, 0)[1])
    t.install()
    child()
    t.start()
    child()
    t.look()
    child()
    t.reverse()
    t.reverse()
    child()
    return done(t) and not any(results) and d[0]["A"]() == (1, 1)


@attack()
def signals_between_all_opcodes():
    """A real signal handler calls patched functions at random points of dispatchers and of the choice."""
    d = make("def A(n=2):\n r = [{v}, B()]\n if n: r += A(n - 1)\n r.append(B()); return r\ndef B(): return {v}\n"
             "def H(s, f):\n r = [{v}, B(), B()]; out.append(r)", out=[])
    n, bad, turns = d[0], [], 0
    images = [[image.capture(f) for k, f in sorted(functions(n).items())],
              [image.new_version(f) for k, f in sorted(functions(d[1]).items())]]
    was = signal.signal(signal.SIGALRM, n["H"])
    signal.setitimer(signal.ITIMER_REAL, .0003, .0003)
    try:
        for turns in range(150):
            old, new = turns & 1, 1 - (turns & 1)
            t = Transition([Entry(f, images[old][i], images[new][i]) for i, (k, f) in enumerate(sorted(functions(n).items()))])
            t.install()
            got = [n["A"]()]
            t.start()
            got.append(n["A"]())
            if turns % 3 == 0:
                t.reverse()
                got.append(n["A"]())
                t.reverse()
            assert done(t)
            got.append(n["A"]())
            bad += [x for x in got if len(set(x)) != 1] + ([got[-1]] if got[-1][0] != new else [])
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, was)
    return not bad and not [x for x in n["out"] if len(set(x)) != 1]


# ------------------------------------------------------------------------------------------------------------- greenlets

@attack("parent")
def greenlet_spawned_by_old_code():
    """A greenlet that old code starts runs old code: its stack goes on in its parent."""
    greenlet = pytest.importorskip("greenlet")
    d = make("def A(spawn):\n r = [{v}, B()]\n r.append(spawn(B)); r.append(B()); return r\ndef B(): return {v}")
    t = transition(d[0], d[1])

    def spawn(function):
        t.install()
        t.start()
        t.look()
        return greenlet.greenlet(lambda: greenlet.greenlet(function).switch()).switch()
    return len(set(d[0]["A"](spawn))) == 1 and done(t)


@attack("greenlets")
def greenlet_on_a_seen_thread():
    """A suspended greenlet is on no thread's stack; its class lies about itself."""
    greenlet = pytest.importorskip("greenlet")
    out = []

    class Other(greenlet.greenlet):
        @property
        def __class__(self):
            1 / 0
    d = make("def A(sw):\n r = [{v}, B()]\n sw(); r.append(B()); sw(); r.append(B()); out.append(r)\ndef B(): return {v}", out=out)
    g = Other(lambda: d[0]["A"](greenlet.getcurrent().parent.switch))
    g.switch()
    t = transition(d[0], d[1])
    t.install()
    t.start()
    clean = [done(t, 1)]
    g.switch()
    clean.append(not clean[0] and done(t, 1))
    g.switch()
    return len(set(out[0])) == 1 and not any(clean) and done(t)


# -------------------------------------------------------------------------------------------------- entries come and go

@attack()
def functions_come_in_a_started_transition():
    """Functions added to a started transition are dispatchers at once, and who runs them is looked at again."""
    go, at, out = threading.Event(), threading.Event(), []
    d = make("def A():\n r = [{v}, B()]\n at.set(); go.wait(10)\n r.append(B()); return r\ndef B(): return {v}", at=at, go=go)
    e = make("def other(): return {v}")
    t = Transition([entry(e[0]["other"], e[1]["other"])])
    t.install()
    t.start()
    thread = threading.Thread(target=lambda: out.append(d[0]["A"]()))
    thread.start()
    wait(at)
    t.look if t.clean else t._look()            # the thread is seen clean: nothing that it runs is in the transition yet
    t.add([entry(d[0][k], d[1][k]) for k in "AB"])
    first = try_clean(t)
    here = d[0]["B"]()
    go.set()
    thread.join()
    return not first and here == 1 and out == [[0, 0, 0]] and done(t) and d[0]["B"]() == 1


@attack()
def generator_comes_when_choices_are_remembered():
    """A function that can be suspended joins: from now on nothing may be remembered, also for threads that were."""
    d = make("def G():\n yield {v}, B()\n yield {v}, B()\ndef B(): return {v}")
    t = transition(d[0], d[1], only="B")
    t.install()
    assert t.quiet()
    t.start()
    with no_greenlets():
        d[0]["B"]()
    remembered = bool(t.sel)
    g = d[0]["G"]()         # made of the old code, not run yet
    t.add([entry(d[0]["G"], d[1]["G"])])
    got = list(g)
    return remembered and got == [(0, 0), (0, 0)] and not t.sel and done(t)


@attack()
def module_goes_in_mid_flight():
    """Functions that are dropped stay dispatchers until the end: an old caller of them stays all old."""
    d = make("def A(stop):\n r = [{v}, B()]\n stop(); r.append(B()); return r\ndef B(): return {v}")
    t = transition(d[0], d[1])
    got = []

    def stop():
        t.install()
        t.start()
        t.drop([d[0]["B"]])
        got.append(try_clean(t))
    old = d[0]["A"](stop)
    return old == [0, 0, 0] and got == [False] and done(t) and d[0]["B"]() == 1


# ------------------------------------------------------------------------------------------------- the program meddles

@attack()
def program_replaces_the_code_meanwhile():
    """The program gives a function other code in mid-transition: that stays, and is reported."""
    d = make("def A(): return ({v}, B())\ndef B(): return {v}")
    t = transition(d[0], d[1])
    t.install()
    t.start()
    d[0]["B"].__code__ = (lambda: 7).__code__
    got = d[0]["A"]()
    return got == (1, 7) and done(t) and d[0]["A"]() == (1, 7) and t.foreign == [d[0]["B"]]


@attack()
def program_replaced_the_code_before():
    """The function does not hold what the transition starts from: it is left alone, and reported."""
    d = make("def A(): return ({v}, B())\ndef B(): return {v}")
    t1 = transition(d[0], d[1])
    t1.install()
    t1.start()
    assert done(t1)
    d[0]["B"].__code__ = (lambda: 7).__code__
    t2 = back(t1)
    t2.install()
    t2.start()
    return t2.foreign == [d[0]["B"]] and done(t2) and d[0]["A"]() == (0, 7)


@attack()
def program_sets_attributes_meanwhile():
    """Attributes that the program sets on a dispatcher work at once, and stay when it goes."""
    d = make("def A(x=1): return ({v}, x)")
    f = d[0]["A"]
    d[1]["A"].__defaults__ = f.__defaults__
    t = transition(d[0], d[1])
    t.install()
    t.start()
    before = f()
    f.__defaults__ = (5,)
    f.mark = 3
    f.__doc__ = "mine"
    middle = f()
    assert done(t)
    return (before, middle, f()) == ((1, 1), (1, 5), (1, 5)) and f.mark == 3 and f.__doc__ == "mine"


@attack()
def functions_share_one_code_object():
    """Closures made by one factory: one version's code for all of them, each with its own cells, and back."""
    d = make("def make():\n out = []\n for i in range(3):\n  def f(i=i):\n   return ({v}, i, B())\n  out.append(f)\n return out\ndef B(): return {v}")
    old, new = d[0]["make"](), d[1]["make"]()[0]
    was = [(f.__code__, f.__defaults__, f.__closure__) for f in old]
    code = image.own_code(new.__code__)
    before = [image.capture(f) for f in old]
    after = [image.Image(code, b.values) for b in before]
    entries = [Entry(f, b, a) for f, b, a in zip(old, before, after)] + [entry(d[0]["B"], d[1]["B"])]
    t = Transition(entries)
    t.install()
    first = [f() for f in old]
    t.start()
    second = [f() for f in old]
    assert done(t)
    third = [f() for f in old]
    t = back(t)
    t.install()
    t.start()
    assert done(t)
    return first == [(0, i, 0) for i in range(3)] and second == third == [(1, i, 1) for i in range(3)] and \
        [f() for f in old] == first and was == [(f.__code__, f.__defaults__, f.__closure__) for f in old]


@attack()
def old_frame_makes_more_functions():
    """An old frame goes on making functions of its own nested code, after that code's functions were switched."""
    d = make("def outer(n, hook):\n out = []\n for i in range(n):\n  def inner(): return ({v}, B())\n  out.append(inner); hook(i, inner)\n"
             " return out\ndef B(): return {v}")
    t, blocked = [None], []
    new = d[1]["outer"](1, lambda i, f: None)[0]

    def hook(i, inner):
        if i == 0:
            t[0] = Transition([entry(d[0][k], d[1][k]) for k in ("outer", "B")] + [entry(inner, new)])
            t[0].install()
            t[0].start()
        else:
            blocked.append(not try_clean(t[0]))
    made = d[0]["outer"](3, hook)
    now = [f() for f in made]           # the later ones hold old code, outside the transition: version 0, and all of it
    return all(blocked) and now == [(1, 1), (0, 0), (0, 0)] and done(t[0])


@attack()
def near_the_recursion_limit():
    """A RecursionError in a dispatcher or in the choice leaves nothing half done."""
    d = make("def A(n):\n if not n: return [{v}]\n r = A(n - 1)\n r.append(B()); return r\ndef B(): return {v}\n"
             "def G(n):\n yield {v}, B()")
    t = transition(d[0], d[1])
    t.install()
    t.start()
    failed, limit = 0, sys.getrecursionlimit()
    for n in list(range(20, limit, 37)) + [10]:
        try:
            got = d[0]["A"](n)
            if set(got) != {1}:
                return False
        except RecursionError:
            failed += 1
    return failed > 0 and not t.state.walks.get(threading.get_ident(), 0) and done(t) and set(d[0]["A"](3)) == {1}


@attack()
def exception_out_of_the_choice():
    """A signal handler's exception that breaks into a choice leaves the thread's next choices right."""
    d = make("def A(): return ({v}, B())\ndef B(): return {v}\ndef G(): yield {v}")
    t = transition(d[0], d[1])
    t.install()
    t.start()
    raised = 0
    for point in range(1, 40):
        left = [point]

        def tracer(frame, event, arg):
            if frame.f_code.co_filename.endswith("choose.py"):
                left[0] -= event == "line"
                if left[0] == 0 and event == "line":
                    raise KeyError
            return tracer
        sys.settrace(tracer)
        try:
            d[0]["A"]()
        except KeyError:
            raised += 1
        finally:
            sys.settrace(None)
        if d[0]["A"]() != (1, 1):
            return False
    return raised > 10 and done(t)


@attack("quiet")
def collection_inside_a_call():
    """Up to 3.11 a collection can run after a function's code was read and before its frame is there: what a finalizer
    does then must not be remembered for the thread."""
    if not look.NEEDS_QUIET:
        return None
    at, t, entered, reached = [], [None], [], False
    d = make("def A(*a, **k):\n return ({v}, B())\ndef B(): return {v}")
    n = d[0]

    class Cycle:
        def __init__(self):
            self.me = self

        def __del__(self):
            frame = sys._getframe(1)
            if frame.f_code is run.__code__ and frame.f_lineno == at[0] and not entered:
                entered.append(1)
                t[0].install()
                t[0].start()
                n["B"]()            # decides for 1: nothing is on this stack yet

    def run(more):
        at[:] = [sys._getframe().f_lineno + 5]
        k, a = {"k": 3}, tuple(range(30))
        Cycle()
        gc.set_threshold(gc.get_count()[0] + more)      # the collection comes with the n-th allocation
        gc.enable()
        got = n["A"](*a, **k)
        gc.disable()
        return got
    threshold = gc.get_threshold()
    gc.disable()
    try:
        for more in range(12):
            gc.set_threshold(700)
            gc.collect()
            t[0] = transition(n, d[1])
            entered.clear()
            with no_greenlets():
                got = run(more)
            if not entered:
                continue
            if got[0] != got[1]:
                return False
            reached = reached or got[0] == 0
            if not done(t[0]):
                return False
            other = back(t[0])
            other.install()
            other.start()
            assert done(other)
    finally:
        gc.set_threshold(*threshold)
        gc.enable()
    return True if reached else None


@attack()
def specialised_call_sites():
    """Call sites of all kinds that were warmed up see every change at once."""
    d = make('''
import functools
def f(x, y=1): return {v}
def g(x): yield {v}
class C:
    def __init__(s, v): s.v = {v}
    def m(s): return {v}
    def __getattr__(s, n): return {v}
    @property
    def p(s): return {v}
    def __getitem__(s, i): return {v}
    def __call__(s): return {v}
    def __len__(s): return {v}
    def __add__(s, o): return {v}
''')
    n = d[0]
    f, g, C = n["f"], n["g"], n["C"]
    o, cached, partial = C(0), functools.lru_cache(maxsize=0)(f), functools.partial(f, 1)

    def sites():
        bound = o.m
        return {f(1), f(1, 2), f(x=1), f(*(1,)), f(**{"x": 1}), o.m(), bound(), o.p, o[0], o.zz, o(), len(o), o + 1, C(1).v,
                cached(1), partial(), list(map(f, (1,)))[0], next(iter(g(1))), [z for z in g(1)][0],
                functools.reduce(f, (1, 2)), getattr(o, "p")}

    def all_of(space):
        c = vars(space["C"])
        return [space["f"], space["g"], c["p"].fget] + [c[k] for k in sorted(c) if type(c[k]) is types.FunctionType]
    t = Transition([entry(a, b) for a, b in zip(all_of(n), all_of(d[1]))])
    images = {0: [s.before for s in t.switches], 1: [s.after for s in t.switches]}
    for turn in range(8):
        goal = 1 - (turn & 1)
        for _ in range(60):
            if sites() != {1 - goal}:
                return False
        t = Transition([Entry(s, a, b) for s, a, b in zip(all_of(n), images[1 - goal], images[goal])])
        t.install()
        if sites() != {1 - goal}:
            return False
        t.start()
        for _ in range(20):
            if sites() != {goal}:
                return False
        assert done(t)
    return True


@attack()
def finalizers_stay_in_their_threads():
    """A look holds nothing of another thread's when it ends: no finalizer of the program's runs in ours."""
    ran, stop, me = [], [], threading.get_ident()

    class Local:
        def __del__(self):
            ran.append(threading.get_ident() == me)

    def f():
        x = Local()
        return x is None

    def work():
        while not stop:
            f()
    was = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    threads = [threading.Thread(target=work, daemon=True) for i in range(3)]
    for thread in threads:
        thread.start()
    try:
        for i in range(400):
            idents = tuple(look.idents())
            look.stacks(idents)
            look.lines(idents)
            if i % 50 == 0:
                look.suspended([f.__code__])
    finally:
        stop.append(1)
        for thread in threads:
            thread.join()
        sys.setswitchinterval(was)
    return bool(ran) and not any(ran)


# ------------------------------------------------------------------------------------------------------------- the tests

def ids(pairs):
    return [f.__name__ + ("-without-" + rule if rule else "") for f, rule in pairs]


HOLDS = [(f, None) for f, needed in ATTACKS]
FAILS = [(f, rule) for f, needed in ATTACKS for rule in needed]

UNREACHED = "the attack's window can't be reached on %s: %s"
WHY = {"function_is_its_own_handler": "no trace function is called between the choice and the entry",
       "collection_inside_a_call": "garbage collection runs between bytecodes only, from 3.12 on"}


def run(function, rules_off):
    NAMES.clear()
    NAMES.update(rules_off)
    with without(*rules_off):
        try:
            return function()
        except AssertionError:
            if not rules_off:
                raise
            return False


@pytest.mark.parametrize("function, rule", HOLDS, ids=ids(HOLDS))
def test_attack_finds_no_mixed_code(function, rule):
    """With all rules, all old or all new."""
    result = run(function, ())
    if result is None:
        pytest.skip(UNREACHED % (version(), WHY[function.__name__]))
    assert result


@pytest.mark.parametrize("function, rule", FAILS, ids=ids(FAILS))
def test_attack_succeeds_without_its_rule(function, rule):
    """Without the rule that it is about, the attack gets through: so it can."""
    result = run(function, (rule,))
    if result is None:
        pytest.skip(UNREACHED % (version(), WHY[function.__name__]))
    assert not result
