"""Signals between threads, and pauses, without threading and time."""
import time

from klpfs.agent.waiting import Signal, pause


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
