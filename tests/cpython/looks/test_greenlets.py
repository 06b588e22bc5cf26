"""Looks at greenlets: of one moment with those at threads, or nothing is said."""
import gc
import threading
import time

import pytest

from klpfs.cpython.looks import collection, greenlets, suspended
from tests.cpython.attacks import attack_kit


def test_suspended_greenlets_have_stacks():
    greenlet = pytest.importorskip("greenlet")

    def body():
        greenlet.getcurrent().parent.switch()
    g = greenlet.greenlet(body)
    g.switch()
    stacks = dict(greenlets.stacks_and_greenlets(greenlet.greenlet)[1])
    assert stacks[id(g)] == (id(body.__code__),)
    assert threading.get_ident() in stacks
    (key, lines), = greenlets.greenlet_lines(greenlet.greenlet, frozenset((id(g),)))
    assert key == id(g) and lines[0][0] is body.__code__
    why, stacks = greenlets.places(greenlet.greenlet)
    (lasti, line, code), = dict(stacks)[id(g)]
    assert why is None and (lasti, line, code) == (g.gr_frame.f_lasti, lines[0][1], body.__code__)
    why, found, stacks = suspended.find([], greenlet.greenlet)
    assert why is None and (id(g), (id(body.__code__),)) in stacks
    g.switch()
    assert dict(greenlets.stacks_and_greenlets(greenlet.greenlet)[1]).get(id(g), ()) == ()


def test_an_audit_hook_cannot_hide_a_greenlet():
    """At each audit event of a look another thread enters, or leaves, a greenlet: it is seen running or suspended, or
    the look says that nothing can be said."""
    pytest.importorskip("greenlet")
    program = r"""
import sys, threading, greenlet
from klpfs.cpython.looks import greenlets, suspended
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
        if suspends: why, found, stacks = suspended.find([held.__code__], greenlet.greenlet)
        else: why, stacks = greenlets.stacks_and_greenlets(greenlet.greenlet)
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
    assert greenlets.stacks_and_greenlets(greenlet.greenlet)[0] is None
    gc.freeze()
    try:
        assert greenlets.stacks_and_greenlets(greenlet.greenlet)[0] == collection.FROZEN
    finally:
        gc.unfreeze()


def suspended_in_a_thread(body, end=lambda: None):
    """[a greenlet that is suspended in body(switch)], of a thread that has ended."""
    greenlet = pytest.importorskip("greenlet")
    found, mains = [], []

    def work():
        found.append(greenlet.greenlet(lambda: body(greenlet.getcurrent().parent.switch)))
        found[0].switch()
        mains.append(greenlet.getcurrent())
        end()
    thread = threading.Thread(target=work)
    thread.start()
    if end.__name__ == "<lambda>":
        thread.join()
        while not mains[0].dead:        # greenlet hears of it a little later
            time.sleep(0.001)
    return found


def test_a_greenlet_of_an_ended_thread_is_told_and_left_as_it_is():
    greenlet = pytest.importorskip("greenlet")
    kind, go, log = greenlet.greenlet, threading.Event(), []

    def body(switch):
        try:
            switch()
        finally:
            log.append("it went on")

    def wait():
        go.wait(10)
    alive, (gone,) = suspended_in_a_thread(body, wait), suspended_in_a_thread(body)
    while not alive or not alive[0]:
        time.sleep(0.001)
    here = greenlet.greenlet(lambda: greenlet.getcurrent().parent.switch())
    here.switch()
    key, ended = id(gone), greenlets.of_ended_threads(kind, frozenset((id(gone), id(alive[0]), id(here), id(log))))
    assert [(each, found() is gone) for each, found, _ in ended] == [(key, True)]
    (again, stack), = greenlets.still_suspended(kind, ended)
    assert again == key and stack[0] == id(body.__code__) and gone and gone.gr_frame.f_code is body.__code__
    with pytest.raises(greenlet.error):
        gone.throw()
    with pytest.raises(ValueError):
        gone.parent = greenlet.getcurrent()
    assert len(greenlets.still_suspended(kind, ended)) == 1 and not log
    assert gone.dead                            # which ends its frames
    assert greenlets.still_suspended(kind, ended) == [] and not log
    gone = None
    assert greenlets.still_suspended(kind, ended) == [] and greenlets.of_ended_threads(kind, frozenset((key,))) == []
    go.set()
    here.switch()
