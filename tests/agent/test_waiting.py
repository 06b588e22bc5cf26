"""Signals between threads, and pauses, without threading and time."""
import sys
import threading
import time

import pytest

from klpfs.agent import waiting
from klpfs.agent.waiting import OwnedLock, Signal, pause
from tests.agent.depth import below, room_for


def test_a_signal_between_threads():
    """Set twice is set once; cleared, it is waited for."""
    found = Signal()
    found.set()
    found.set()
    assert found.wait(0) and not found.wait(0)
    found.set()
    found.clear()
    assert not found.wait(0.001)


def at_each_depth(work):
    """work() at each depth up to the recursion limit, until there is no room for it; how often it went well."""
    done = 0
    with room_for(150):
        for depth in range(200):
            try:
                below(depth, work)
                done += 1
            except RecursionError:
                pass
    return done


def test_a_signal_is_set_or_there_was_no_room_for_it():
    """It can be set again, whatever the depth was."""
    found = Signal()
    results = []

    def set_it():
        found.set()
        results.append(found.wait(0))
    done = in_thread(lambda: at_each_depth(lambda: (found.clear(), set_it())))
    assert 50 < done < 200 and all(results)
    found.set()
    assert found.wait(0)


def test_a_pause():
    """At least so long, while other threads run."""
    begun = time.monotonic()
    pause(0.01)
    assert time.monotonic() - begun >= 0.01


def in_thread(function):
    found = []
    thread = threading.Thread(target=lambda: found.append(function()))
    thread.start()
    thread.join()
    return found[0]


def test_a_lock_that_knows_its_owner():
    """To take it twice is to take it once; to let go of what one has not does nothing."""
    lock = OwnedLock()
    assert not lock.locked()
    lock.release()
    lock.acquire()
    lock.acquire()
    assert lock.locked() and in_thread(lock.locked)
    in_thread(lock.release)
    assert lock.locked()
    lock.release()
    assert not lock.locked() and not in_thread(lock.locked)
    with lock:
        assert in_thread(lock.locked)
    assert not in_thread(lock.locked)


def test_a_signals_lock_is_released_once_for_each_time_that_it_is_taken(monkeypatch):
    """In the middle of a hand-over to a waiting thread, too, a second release of which ends a debug build of 3.14."""
    released = []

    class Lock:
        def __init__(self):
            self.lock = threading.Lock()
            self.acquire, self.locked = self.lock.acquire, lambda: True

        def release(self):
            released.append(1)
            self.lock.release()
    monkeypatch.setattr(waiting, "allocate_lock", Lock)
    found = Signal()
    found.set()
    found.set()
    assert len(released) == 1 and found.wait(0) and not found.wait(0)
    found.set()
    found.clear()
    found.clear()
    found.set()
    assert len(released) == 3 and found.wait(0)


@pytest.mark.parametrize("line", range(1, 13))
def test_a_wait_that_is_cut_off_loses_no_later_set(line):
    """At whatever line of klpfs's an exception of a signal handler's comes."""
    found, events = Signal(), []
    found.set()

    def trace(frame, event, argument):
        if frame.f_globals is not vars(waiting):
            return None
        events.append(event)
        if len(events) == line:
            raise KeyboardInterrupt
        return trace
    before = sys.gettrace()
    sys.settrace(trace)
    try:
        found.wait(0)
    except KeyboardInterrupt:
        pass
    finally:
        sys.settrace(before)
    assert events
    found.set()
    assert found.wait(0)


def test_a_signal_that_is_set_again_and_again_while_a_thread_waits():
    found, over, woken = Signal(), [], []

    def waits():
        while not over:
            woken.append(found.wait(1))
    thread = threading.Thread(target=waits)
    thread.start()
    for _ in range(3000):
        found.set()
        found.set()
    over.append(1)
    found.set()
    thread.join()
    assert woken
