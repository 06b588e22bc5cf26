"""Frames that a fork leaves behind: such a child is not blocked for ever by what no thread of it runs."""
import os
import sys
import threading

from klpfs.cpython import left_behind, unfound
from tests.cpython.programs import make, transition


def in_a_child(function):
    """What the function answers there: True or False."""
    pid = os.fork()
    if pid == 0:
        code = 2
        try:
            code = not function()
        finally:
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0


def test_a_thread_with_frames_would_leave_them(monkeypatch):
    monkeypatch.setattr(left_behind, "thread_frames", lambda: {1: sys._getframe()})
    assert not left_behind.would_be()
    monkeypatch.undo()
    go = threading.Event()
    thread = threading.Thread(target=go.wait)
    thread.start()
    try:
        assert left_behind.would_be()
    finally:
        go.set()
        thread.join()


def test_a_child_of_such_a_child_has_them_too():
    def child():
        left_behind.note(True)
        return left_behind.are_here() and left_behind.would_be()
    assert in_a_child(child) and not left_behind.are_here()


def test_nothing_is_counted_there(monkeypatch):
    """A table that holds old code is one reference too many, as a dead thread's frame has it."""
    for here, counted in ((False, ["F"]), (True, [])):
        monkeypatch.setattr(left_behind, "_here", here)
        d = make("def F(): return {v}")
        held = d[0]["F"].__code__
        t = transition(d[0], d[1])
        t.install()
        t.start()
        assert t.look() == [] and [code.co_name for code in unfound.codes(t)] == counted
        assert held.co_name == "F" and t.finish() is None and d[0]["F"]() == 1
