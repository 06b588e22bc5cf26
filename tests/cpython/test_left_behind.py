"""Frames that a fork leaves behind: such a child is not blocked for ever by what no thread of it runs."""
import os
import sys
import threading

from klpfs.cpython import left_behind, unfound
from klpfs.cpython.switch import out_of_sight


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
    monkeypatch.setattr(left_behind, "_frames", lambda: {1: sys._getframe()})
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
    monkeypatch.setattr(left_behind, "_here", True)
    assert out_of_sight.blockers(None) == [] and unfound.codes(None) == []
