"""Reads that no audit hook hears: they give what Python's own ways give, and looks made of them raise no event while
they hold the program's objects."""
import subprocess
import sys

import pytest

from klpfs.cpython.looks import reads

# each in a process of its own: an audit hook stays for good
START = """
import functools, gc, sys, threading, weakref
import klpfs.cpython.switch.switching
from klpfs.cpython.looks import awaits, greenlets, hidden, names_for_people, reads, suspended, threads
def G():
    try: yield
    finally: pass
def Plain(): yield
def Y(): yield from G()
async def C(): pass
async def A(): yield
heard, at = [], threading.get_ident()
def hook(event, args):
    if threading.get_ident() == at:
        heard.append(event)
assert not reads.audited()
sys.addaudithook(hook)
assert reads.audited() and heard.pop() == "klpfs.look" and reads.audited()
"""

VALUES = """
suspended_, new, ended, other = G(), G(), G(), Y()
next(suspended_), list(ended), next(other)
generators = [suspended_, new, ended, other]
coroutine, asynchronous = C(), A()
objects = [sys._getframe(), int, 5, None, sys, "x", G.__code__]
ids, codes = [id(x) for x in objects], [id(G.__code__)] * 3 + [id(Y.__code__)]
frame, code = sys._getframe(), sys._getframe().f_code
c, a = id(C.__code__), id(A.__code__)
heard.clear()
assert list(reads.ids(objects)) == ids and [list(x) for x in reads.ids_of_each([objects, []])] == [ids, []]
assert [list(x) for x in reads.codes([[frame, frame], []])] == [[code, code], []]
assert list(reads.generator_codes(generators, "gi")) == codes
assert list(reads.generator_codes([coroutine], "cr")) == [c] and list(reads.generator_codes([asynchronous], "ag")) == [a]
assert list(reads.have_frames(generators, "gi")) == [True, True, False, True]
assert list(reads.have_frames([coroutine], "cr")) == [True] == list(reads.have_frames([asynchronous], "ag"))
assert True not in list(reads.have_frames([None], "gi"))
assert not heard, heard
for ends in (lambda g: g.close(), lambda g: (next(g), g.close()), list, lambda g: (next(g), list(g))):
    for kind in G, Plain:
        over = kind()
        ends(over)
        assert over.gi_frame is None and list(reads.have_frames([over], "gi")) == [False]
        assert list(reads.that_have_ended(lambda: iter([over]))) == [over]
heard.clear()
suspended.has_frame(weakref.ref(coroutine)) and suspended.has_frame(weakref.ref(asynchronous)) or 1 / 0    # of any kind
coroutine.close()
"""

LOOKS = """
made, few, many = [G(), Y()], [G.__code__, Y.__code__], [G.__code__] * 20
for x in made: next(x)
reference = weakref.ref(made[0])
def events(function, *args):
    del heard[:]
    function(*args)
    return list(heard)
ALL = threads.idents()
assert events(threads.stacks, tuple(ALL)) == ["sys._current_frames"] == events(threads.lines, tuple(ALL))
found = events(suspended.find, many)
assert found == ["gc.get_objects"], found
found = events(suspended.find, few, None, suspended.References())
assert found == ["gc.get_referrers"], found
functions = [G]
found = events(hidden.outside, functions, 0)        # the control's, and the function's
assert found[-2:] == ["builtins.id", "gc.get_referrers"] and len(found) in (2, 4), found     # of its own id, first
assert events(suspended.has_frame, reference) == []
assert events(names_for_people.suspended, reference, None, {id(G.__code__): G.__code__}) == []
assert events(awaits.awaited, weakref.ref(made[1])) == []
"""

# What the program lets go of while a hook runs in a look ends in the program's thread
ENDS = """
class Ends:
    def __del__(self): where.append(threading.get_ident())
where, kept = [], []
def H(ends):
    yield
    del ends
for n in range(30):
    kept.append(H(Ends()))
    next(kept[-1])
def letting_go(event, args):
    if busy and threading.get_ident() == looker[0]:
        for _ in range(3):
            if kept:
                go.release(); done.acquire()
def drop():
    while kept:
        go.acquire()
        kept.pop()
        done.release()
busy, looker, go, done = [], [0], threading.Semaphore(0), threading.Semaphore(0)
program = threading.Thread(target=drop)
program.start()
sys.addaudithook(letting_go)
looker[0] = at
busy.append(1)
for _ in range(20):
    suspended.find([H.__code__] * 20)
busy.clear()
while kept:
    go.release(); done.acquire()
program.join()
assert len(where) == 30 and at not in where, where
"""


# A call that the program ends while a hook runs in a look, and a generator that it drops: nothing of them is left
HELD = """
import greenlet
from klpfs.cpython.resolve import live_functions
class Ends: pass
def call():
    ends = Ends()
    kept.append(weakref.ref(ends))
    ready.release(); go.acquire()
def suspended_(ends):
    yield
def work():
    while not over:
        generator = suspended_(Ends())
        next(generator)
        kept.append(weakref.ref(generator.gi_frame.f_locals["ends"]))
        call()
        generator = None
        held.extend([now[0] for reference in kept if reference() is not None])
        kept.clear()
        done.release()
def end_calls(event, args):
    if now and threading.get_ident() == at:
        now[1:] = [event]
        times.append(event)
        go.release(); done.acquire(); ready.acquire()
now, held, times, kept, over = [], [], [], [], []
ready, go, done = threading.Semaphore(0), threading.Semaphore(0), threading.Semaphore(0)
program = threading.Thread(target=work)
program.start()
ready.acquire()
sys.addaudithook(end_calls)
kind, few, many, ids = greenlet.greenlet, [suspended_.__code__], [suspended_.__code__] * 20, tuple(threads.idents())
def look(function, *args):
    now[:] = [(function.__name__, args)]
    function(*args)
    now.clear()
for _ in range(3):
    look(threads.stacks, ids), look(threads.lines, ids), look(threads.places, ids)
    look(greenlets.stacks_and_greenlets, kind), look(greenlets.places, kind)
    look(greenlets.greenlet_lines, kind, frozenset(ids))
    for codes in few, many:
        look(suspended.find, codes), look(suspended.find, codes, kind), look(suspended.resting, codes, weakref.ref, print)
        look(suspended.find, codes, kind, suspended.References())
    look(awaits.instances, kind), look(hidden.outside, [suspended_], 0)
    look(live_functions.functions_of, [globals()], set()), look(live_functions.functions_with_code, few)
over.append(1)
go.release()
program.join()
assert len(times) > 40 and not held, (len(times), held)
"""


# Where a hook is about: references in dicts, functions and whatever else has one of them are known, a variable's is not
COUNTS = """
class Has:
    __slots__ = "it"
has, method, table = Has(), Y.__get__(5), {"one": Y, "two": Y, Y: 0}
has.it = Y
counted, codes = suspended.References(), [G.__code__, Y.__code__]
assert suspended.find(codes, None, counted)[0] is None
held, constants = [id(code) for code in codes], sys._getframe().f_code.co_consts
assert hidden.not_accounted_for(counted, held, [constants, codes]) == [], (held, counted.counts, counted.known)
def with_a_variable():
    variable, counted = Y.__code__, suspended.References()
    suspended.find(codes, None, counted)
    return hidden.not_accounted_for(counted, held, [constants, codes])
assert with_a_variable() == held[1:]
functions = [G, Y]
assert [hidden.outside(functions, n) for n in (0, 1)] == [0, 0]
def holds(argument): return hidden.outside(functions, 1)
assert holds(Y) >= 1
"""


def run(*texts):
    ran = subprocess.run([sys.executable, "-c", START + "".join(texts)], stderr=subprocess.PIPE, text=True, timeout=300)
    assert ran.returncode == 0, ran.stderr[-800:]


def test_this_python_is_silent():
    assert reads.SILENT


def test_they_give_what_pythons_own_ways_give():
    run(VALUES)


def test_looks_raise_no_event_while_they_hold_objects():
    run(LOOKS)


def test_references_are_known_without_an_event():
    run(COUNTS)


def test_nothing_of_the_programs_ends_in_a_looks_thread():
    run(ENDS)


def test_nothing_of_the_programs_is_held_while_a_hook_hears_a_look():
    pytest.importorskip("greenlet")
    run(HELD)


def test_within_the_question_for_hooks_the_answer_is_yes(monkeypatch):
    """A hook that hears the question may call patched functions, whose choices ask it again. (Rule: reads._asking.)"""
    calls, failing = [], [False]

    def is_audited():
        calls.append(len(calls) < 5 and reads.audited())
        if failing[0]:
            raise KeyboardInterrupt
        return False
    monkeypatch.setattr(reads, "_hooks", [False])
    monkeypatch.setattr(reads.c_api, "is_audited", is_audited)
    assert reads.audited() is False and calls == [True]
    failing[0] = True
    with pytest.raises(KeyboardInterrupt):
        reads.audited()
    failing[0] = False
    assert reads.audited() is False and calls == [True] * 3 and not reads._asking
