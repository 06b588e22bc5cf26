"""The program's audit hooks: one that refuses what klpfs asks, and one that lets other threads run while it is asked.

Each in a process of its own: an audit hook stays for good."""
import os
import subprocess
import sys

import pytest

from klpfs.cpython.looks import at_address

START = """
import faulthandler, gc, sys, threading, weakref
faulthandler.enable()
from klpfs.cpython.switch import audit_hooks, switching
from klpfs.cpython.switch.choice import CLEAN, RUN
from klpfs.cpython.switch.rounds import task_states
from klpfs.cpython.switch.waiting import Waiting
from tests.cpython.programs import back, done, entry, make, transition
def waits(x): yield from x
def other(): return 0
def library():
    try: yield
    finally: last()
"""

REFUSED = """
kind, about, refuses = sys.argv[1], sys.argv[2:], [False]
def hook(event, args):
    if refuses[0] and event == kind and about == [each for each in args if each in about]:
        raise BaseException(event)
def last(): return program["last"]()
for can_wait in False, True:
    d = make('''
def last(): return {v}
def plain(): return {v}, last()
def waits(x):
 yield {v}, last()
 yield from x
''')
    program = d[0]
    old = program["waits"](iter(())) if can_wait else library()
    next(old)
    def calls(version):
        assert program["plain"]() == (version, version)
        assert list(program["waits"]("ab")) == [(version if can_wait else 0, version), "a", "b"]
        made = library()
        next(made), made.close()
    t = transition(d[0], d[1], None if can_wait else ["plain", "last"])
    t.install()
    if not can_wait:
        sys.addaudithook(hook)
    refuses[0] = True
    calls(0)
    t.start()
    assert audit_hooks.refuse() and t.mode == RUN
    for _ in range(2):
        calls(0)
        assert [b.name for b in t.look()] == ["audit hook"] and task_states(t) == {}
        t.reverse()
    refuses[0] = False
    t.reverse()
    refuses[0] = True
    t.reverse()
    assert t.look() and not t.clean
    calls(0)
    refuses[0] = False
    assert not audit_hooks.refuse()
    old = None
    assert done(t), t.look()
    refuses[0] = True
    calls(1)
    refuses[0] = False
"""

FREED = """
# An audit hook that lets a generator end in another thread, which klpfs knows by its address alone
d = make('''
def G(x, gate):
 yield {v}
 gate()
 yield from x
def last(): return {v}''')
on, main, addresses = [False], threading.get_ident(), set()
resume, gone = threading.Event(), threading.Event()
def hook(event, args):
    if on[0] and event == "ctypes.call_function" and threading.get_ident() == main and \
            len(args[1]) == 1 and args[1][0] in addresses:     # memory was asked, a reference is about to be taken
        on[0] = False
        resume.set(), gone.wait(5)
sys.addaudithook(hook)
def last(): return d[0]["last"]()
for i in range(20):
    resume.clear(), gone.clear()
    running = threading.Event()
    def gate():
        running.set(), resume.wait(10)
    def ends():
        made = d[0]["G"](iter(()), gate)
        addresses.add(id(made))
        for _ in made: pass
        del made
        gone.set()
    thread = threading.Thread(target=ends)
    thread.start(), running.wait(5)
    t = transition(d[0], d[1])
    t.install(), t.start()
    closed = library()
    next(closed)
    on[0] = True
    closed.close()
    on[0] = False
    blockers = [b.name for b in t.look()]
    assert blockers == ["audit hook"] if HEARD else blockers, blockers
    resume.set(), thread.join(), addresses.clear()
    assert done(t)
    t = back(t)
    t.install(), t.start()
    assert done(t)
"""

DYING = """
# What dies is known in its `finally` blocks, where a hook is about
sys.addaudithook(lambda event, args: None)
seen = []
class Closes:
    def __iter__(self): return self
    def __next__(self): return 1
    def close(self): seen.append([each.gi_code for each in waiting.handing_on(searched())])
def searched(): return (waits.__code__,) if waiting.must_search() else ()
waiting = Waiting()
waiting.add(waits.__code__)
waiting.complete = True
def found(cycle):
    del seen[:]
    made = waiting.note(waits(Closes()))
    next(made)
    if cycle:
        made.gi_frame.f_locals["x"].cycle = made
        del made
        gc.collect()
    else:
        del made
    return seen == [[waits.__code__]]
assert waiting.handing_on(searched()) == [] and found(False)
assert waiting.handing_on(searched()) == [] and not waiting.must_search() and not waiting.loose
if sys.version_info[:2] != (3, 14):         # README, Limits
    assert found(True)
assert waiting.handing_on(searched()) == [] and not waiting.must_search() and not waiting.loose and not waiting.dying
"""

HELD = """
# The search of the heap is an event: nothing is held then
from klpfs.cpython.looks import handing_on
made, counts = waits(iter("ab")), []
next(made)
def hook(event, args):
    if event.startswith("gc."):
        counts.append(sys.getrefcount(made))
sys.addaudithook(hook)
reference, count = weakref.ref(made), sys.getrefcount(made)
assert handing_on.handing_on([reference], [], {id(waits.__code__)}, (waits.__code__,)) == []
assert counts == [count], (counts, count)
"""


def run(text, *args):
    ran = subprocess.run([sys.executable, "-c", START + text, *args], stderr=subprocess.PIPE, text=True, timeout=300,
                         env=dict(os.environ, PYTHONPATH=os.pathsep.join(path for path in sys.path if path)))
    assert ran.returncode == 0, ran.stderr[-1500:]


@pytest.mark.parametrize("event", ["sys._getframe", "object.__getattr__", "object.__getattr__ f_code", "builtins.id",
                                   "sys._current_frames", "gc.get_objects", "gc.get_referrers", "gc.get_referents"])
def test_a_hook_that_refuses_what_klpfs_asks_keeps_a_transition_from_beginning(event):
    """And raises nothing in the program's calls, nor out of start(), look() and the like."""
    run(REFUSED, *event.split())


def test_nothing_is_taken_from_an_address_while_a_hook_hears_that():
    run(f"HEARD = {sys.version_info >= (3, 14) and at_address._code_at >= 0}" + FREED)


@pytest.mark.skipif(at_address._code_at < 0, reason="this CPython shows no functions of C")
def test_what_dies_is_known_where_a_hook_is_about():
    run(DYING)


def test_nothing_is_held_while_a_hook_hears_the_search_of_the_heap():
    run(HELD)
