"""Garbage collection: whether one is under way and whether the heap is frozen, found without running anything of the
program's."""
import gc
import pathlib
import subprocess
import sys
import threading

import pytest

from klpfs.cpython.looks import collection, suspended
from klpfs.cpython.looks import threads as thread_looks

ROOT = pathlib.Path(__file__).parents[3]


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
        assert collection.quiet() and suspended.find([])[0] is None
        assert (ran, called, gc.callbacks) == ([], [], before) and not gc.isenabled()
        if sys.version_info < (3, 12):
            assert gc.get_freeze_count() == 0
    finally:
        gc.callbacks.remove(callback)
        gc.enable()
    thread_looks.stacks(tuple(thread_looks.idents()))
    assert gc.isenabled()


@pytest.mark.skipif(not collection.NEEDS_QUIET, reason="from 3.12 on there is no need to ask")
def test_quiet_sees_a_collection_of_another_thread(collecting):
    assert not collection.quiet()
    collecting()
    assert collection.quiet()


def test_a_heap_that_was_frozen_before_we_came_is_told(monkeypatch):
    """The canary is not frozen then; sys.modules, which is older than klpfs, is."""
    monkeypatch.setattr(collection, "_before_import", [True])
    monkeypatch.setattr(collection, "_frozen_before_import", lambda: True)
    assert suspended.find([])[0] == collection.FROZEN
    monkeypatch.setattr(collection, "_frozen_before_import", lambda: False)
    assert suspended.find([])[0] is None


PROGRAM = """
import gc, weakref
gc.freeze()
from klpfs.cpython.looks import collection, suspended
before = gc.get_freeze_count()
def generator(): yield
print([suspended.find([generator.__code__] * n)[0] for n in (1, 20)],
      suspended.resting([generator.__code__], weakref.ref, print)[0], collection.quiet(),
      gc.get_freeze_count() == before > 0)
gc.unfreeze()
print(suspended.find([])[0], suspended.resting([], weakref.ref, print)[0])
"""


def test_a_look_does_not_end_the_programs_freeze():
    """A freeze from before klpfs came, which does not hide klpfs's own canaries."""
    done = subprocess.run([sys.executable, "-c", PROGRAM], stdout=subprocess.PIPE, text=True, check=True, cwd=ROOT)
    assert done.stdout.splitlines() == ["['frozen heap', 'frozen heap'] frozen heap True True", "None None"]


@pytest.mark.skipif(not collection.NEEDS_QUIET, reason="a collection never runs inside a call here")
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
        assert not collection.exchange_code(function, other.__code__) and function.__code__ is was
    finally:
        go.set()
        thread.join()
    callbacks, enabled = list(gc.callbacks), gc.isenabled()
    assert collection.exchange_code(function, other.__code__) and function() == ([1, 2, 3], {"a": 1, "b": 2})
    assert (list(gc.callbacks), gc.isenabled()) == (callbacks, enabled)
