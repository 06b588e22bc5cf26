"""Signals between threads, and pauses, without threading and time."""
import threading
import time

from klpfs.agent.waiting import OwnedLock, Signal, pause


def test_a_signal_between_threads():
    """Set twice is set once; cleared, it is waited for."""
    found = Signal()
    found.set()
    found.set()
    assert found.wait(0) and not found.wait(0)
    found.set()
    found.clear()
    assert not found.wait(0.001)


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
