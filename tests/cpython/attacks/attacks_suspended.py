"""Attacks with what is on no stack: suspended objects, greenlets, tasks; and with audit hooks."""
import asyncio
import gc
import threading

import pytest

from klpfs.cpython.looks import suspended
from klpfs.cpython.switch import rules
from tests.cpython.attacks.attack_kit import NAMES, attack, outside, wait
from tests.cpython.attacks.attacks_choosing import stopped_between_choice_and_entry
from tests.cpython.programs import done, make, switch, transition, try_clean, window, without

# --------------------------------------------------------------------------------------------------- suspended objects

@attack("comps")
def generator_expression_escapes():
    """A generator expression of old code runs on when the function has returned: it belongs to that function's
    version."""
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
    """Asynchronous generators half consumed (asend, athrow, aclose), generators with finally closed, coroutines thrown
    into."""
    d = make(
        "async def AG():\n r = [{v}]\n try:\n  while True:\n   try: x = yield B()\n"
        "   except KeyError: x = None\n   r.append(B())\n"
        " finally: r.append(B()); out.append(r)\n"
        "def G():\n r = [{v}]\n try:\n  while True: yield r.append(B())\n finally: r.append(B()); out.append(r)\n"
        "async def C():\n r = [{v}, B()]\n try: await asyncio.sleep(3600)\n"
        " except BaseException: r.append(B()); out.append(r); raise\ndef B(): return {v}",
        out=[],
    )
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
    """Unreachable objects are in no list while their finalizers run; an old generator among them has a finally block
    left."""
    at, go, out = threading.Event(), threading.Event(), []

    class Slow:
        def __del__(self):
            at.set()
            go.wait(10)
    d = make("def G(me):\n r = [{v}, B()]\n try: yield\n finally: r.append(B()); out.append(r)\ndef B(): return {v}",
             out=out)

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
            rules.BREAK.update(("gcscan", "hidden"))    # references that nobody accounts for tell of it, too
        thread = threading.Thread(target=gc.collect)
        thread.start()
        wait(at)
        first = done(t, 1)
        go.set()
        thread.join()
    finally:
        gc.enable()
    return not first and len(set(out[0])) == 1 and done(t)


@attack("finished")
def one_ends_and_makes_another_behind_the_look():
    """Up to the end of an old generator during the look it makes another one, which the look has not seen."""
    d = make(
        "def G(more=False):\n yield {v}, B()\n if more:\n  keep.append(G())\n  next(keep[-1])\n"
        " yield {v}, B()\ndef B(): return {v}",
        keep=[],
    )
    first = d[0]["G"](True)
    next(first)
    t = transition(d[0], d[1])
    t.install()
    t.start()
    real, turned = suspended.has_frame, []

    def has_frame(reference):           # between the look's one moment and what is made of it the program goes on
        if not turned and reference() is first:
            turned.append(1)
            list(first)
        return real(reference)
    suspended.has_frame = has_frame
    try:
        clean = done(t, 1)
    finally:
        suspended.has_frame = real
    return not clean and list(d[0]["keep"][0]) == [(0, 0)] and done(t)


WAITS = """
def G(inner):
 row = [{v}]
 out.append(row)
 try: yield from inner(row)
 finally: row.append(B())
async def C(inner):
 row = [{v}]
 out.append(row)
 try: await inner(row)
 finally: row.append(B())
def closes(made): made.close(); return {v}
def B(): return {v}
"""


def handed_on(close, name="G"):
    """Between an old object and its `finally` a library's own runs, on whose stack the old one is not."""
    d = make(WAITS, out=[])
    space = d[0]

    def generator(row):
        try:
            yield
        finally:
            row.append(space["B"]())

    async def coroutine(row):
        try:
            await Pause()
        finally:
            row.append(space["B"]())
    made = space[name](generator if name == "G" else coroutine)
    made.send(None)
    t = transition(d[0], d[1])
    t.install()
    t.start()
    clean = done(t, 1)
    close(made, space)
    del made
    return not clean and space["out"] == [[0, 0, 0]] and done(t)


class Pause:
    def __await__(self):
        yield


@attack("delegation")
def old_generator_closed_through_a_library():
    return handed_on(lambda made, space: made.close())


@attack("delegation")
def old_coroutine_closed_through_a_library():
    return handed_on(lambda made, space: made.close(), "C")


@attack("delegation")
def old_generator_closed_by_a_patched_function():
    """The nearest frame of a side on the stack is new."""
    return handed_on(lambda made, space: space["closes"](made))


@attack("delegation")
def old_generator_dies_through_a_library():
    return handed_on(lambda made, space: None)


@attack("delegation")
def audit_hook_calls_while_an_old_generator_is_closed():
    """At every event, those of the search for what has handed on among them."""
    return outside(r'''
import sys
from klpfs.cpython.switch import rules
rules.BREAK.update(%r)
from tests.cpython.programs import *
d = make("""
def G(inner):
 row = [{v}]
 out.append(row)
 try: yield from inner(row)
 finally: row.append(B())
def B(): return {v}
def log(): return {v}, B()""", out=[])
on, mixed, calls = [0], [], [0]
def hook(event, args):
    if on[0]:
        calls[0] += 1
        found = d[0]["log"]()
        if len(set(found)) > 1: mixed.append((event, found))
sys.addaudithook(hook)
def inner(row):
    try: yield
    finally: row.append(d[0]["B"]())
made = d[0]["G"](inner)
next(made)
t = transition(d[0], d[1])
t.install()
t.start()
on[0] = 1
try: made.close()
except RecursionError: print("RecursionError"); sys.exit()
on[0] = 0
del made
print(d[0]["out"] == [[0, 0, 0]] and not mixed and calls[0] > 0 and done(t))
''') == "True"


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


# --------------------------------------------------------------------------------------------------------- audit hooks

@attack("busy")
def audit_hook_calls_a_patched_function():
    return outside(r'''
import sys
from klpfs.cpython.switch import rules
rules.BREAK.update(%r)
from tests.cpython.programs import *
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


@attack("busy")
def audit_hook_that_calls_at_every_event():
    """All of klpfs's own events among them, in every step of a transition, above old code and beside it."""
    return outside(r'''
import sys
from klpfs.cpython.switch import rules
rules.BREAK.update(%r)
from tests.cpython.programs import *
d = make("""def log(): return {v}, B()
def more(x=1, *, y=2): return {v}
def A(stop): now.append({v}); stop(); r = [now.pop(), B(), B()]; return r
def B(): return {v}
def G(): yield""", now=[])
on, calls, mixed = [0], [0], []
def hook(event, args):
    if on[0]:
        calls[0] += 1
        now = d[0]["now"][-1:]
        found = {*now, *d[0]["log"](), d[0]["more"](x=3, y=4)}
        if len(found) > 1 and now: mixed.append((event, now))
sys.addaudithook(hook)
t = transition(d[0], d[1])
on[0] = 1
try:
    def stop():
        t.install()
        d[0]["B"]()
        t.start()
    r = [d[0]["A"](stop), d[0]["A"](lambda: t.reverse()), d[0]["A"](lambda: t.reverse())]
    fine = done(t)
    r.append(d[0]["A"](lambda: None))
except RecursionError: print("RecursionError"); on[0] = 0; sys.exit()
on[0] = 0
print(r == [[0] * 3, [1] * 3, [0] * 3, [1] * 3] and fine and calls[0] > 100 and not mixed)
''') == "True"


@attack("gather")
def audit_hook_tears_the_look():
    """A hook that lets other threads run when a code is read can't make a stack that never was."""
    return outside(r'''
import sys, threading, time
from klpfs.cpython.looks import threads as thread_looks
from klpfs.cpython.switch import rules
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
    for i, stack in thread_looks.stacks(ids):
        if stack: bad += "work" not in [names.get(x) for x in stack]
stop.append(1)
print("torn" if bad else "whole")
''') == "whole"


# ----------------------------------------------------------------------------------------------------------- greenlets

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

    d = make(
        "def A(sw):\n r = [{v}, B()]\n sw(); r.append(B()); sw(); r.append(B()); out.append(r)\ndef B(): return {v}",
        out=out,
    )
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


@attack("settled")
def chosen_before_the_flip_with_greenlets():
    """A thread chose the old side before the transition began, and was never seen without that choice."""
    pytest.importorskip("greenlet")
    return stopped_between_choice_and_entry(3)


@attack("settled")
def chosen_before_the_flip_in_a_suspended_greenlet():
    """As before, but the look that sees the thread without the choice is at a moment at which another greenlet has its
    place."""
    greenlet = pytest.importorskip("greenlet")
    d = make("def A(): return ({v}, B())\ndef B(): return {v}")
    t = transition(d[0], d[1])
    away, on, at, go, got = [threading.Event() for _ in range(4)] + [[]]
    t.install()

    def stop():
        greenlet.getcurrent().parent.switch()
        at.set()
        go.wait(10)
    window(switch(t, "A"), stop)

    def work():
        child = greenlet.greenlet(lambda: got.append(d[0]["A"]()))
        child.switch()
        away.set()
        on.wait(10)
        child.switch()
    thread = threading.Thread(target=work)
    thread.start()
    wait(away)
    t.start()
    first = done(t, 3)
    on.set()
    wait(at)
    first = not first and done(t, 3)
    go.set()
    thread.join()
    return got == [(0, 0)] and not first and done(t)


@attack("elsewhere")
def chosen_by_an_old_parent_that_is_gone():
    """A greenlet chose the old side since its parent ran old code; between that choice and the entry the parent came to
    the end of it. The thread was seen before without a choice."""
    greenlet = pytest.importorskip("greenlet")
    old, seen, at, go, got = [threading.Event() for _ in range(4)] + [[]]

    def stop():
        greenlet.getcurrent().parent.switch()
        child.append(greenlet.greenlet(lambda: got.append(d[0]["B"]())))
        child[0].switch()

    d = make("def A(stop): stop(); return {v}\ndef B(): return ({v}, C())\ndef C(): return {v}")
    t = transition(d[0], d[1])
    child: list = []

    def away():
        greenlet.getcurrent().parent.switch()
        at.set()
        go.wait(10)

    def work():
        parent = greenlet.greenlet(lambda: d[0]["A"](stop))
        parent.switch()
        old.set()
        seen.wait(10)
        parent.switch()
        child[0].switch()
    t.install()
    thread = threading.Thread(target=work)
    thread.start()
    wait(old)
    window(switch(t, "B"), away)
    t.start()
    first = done(t, 3)
    seen.set()
    wait(at)
    first = not first and done(t, 3)
    go.set()
    thread.join()
    return got == [(0, 0)] and not first and done(t)


@attack("torn")
def greenlet_born_in_the_middle_of_a_look():
    """An audit hook runs between the look's search for greenlets and its look at threads: there an old greenlet starts
    another one, and ends. Nobody saw the new one, but that there is one."""
    pytest.importorskip("greenlet")
    return (
        outside(r"""
import sys
from klpfs.cpython.switch import rules
rules.BREAK.update(%r)
if rules.BREAK:
    rules.BREAK.add("again")    # the second moment, in which bodies are asked where they stand, shows new greenlets too
import greenlet
from tests.cpython.programs import make, transition
out, main, todo = [], greenlet.getcurrent(), []
def spawn(function):
    greenlet.greenlet(function).switch(main.switch)
d = make("def A(sw, spawn):\n sw(); spawn(C)\ndef B(): return {v}\n"
         "def C(sw):\n r = [{v}]\n others.append(sw()); r.append(B()); out.append(r)", out=out, others=[])
g = greenlet.greenlet(lambda: d[0]["A"](main.switch, spawn))
g.switch()
born, last = [], []
def hook(event, args):
    if event not in ("gc.get_objects", "sys._current_frames") or sys._getframe(1).f_code.co_name == "refuse":
        return          # nothing is looked at, or hooks are asked alone (switch/audit_hooks.py)
    searched = last == ["gc.get_objects"]
    last[:] = [event]
    if event == "sys._current_frames" and searched and todo:
        todo.pop()
        g.switch()      # starts the other one, in which C waits now
        import gc
        born.extend(x for x in gc.get_objects()
                    if type(x) is greenlet.greenlet and x is not g and x is not main and x.gr_frame)
        g.switch()      # and ends
sys.addaudithook(hook)
t = transition(d[0], d[1])
t.install()
t.start()
assert t.look(), "the first one is in the way"
todo.append(1); last.clear()
clean = not t.look()
assert g.dead and len(born) == 1
if clean: t.finish()
born.pop().switch()
print("mixed" if len(set(out[0])) > 1 else "whole")
""")
        == "whole"
    )
