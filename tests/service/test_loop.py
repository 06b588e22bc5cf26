"""The loop: all that has arrived is taken in before a request is answered."""
import os

import pytest

from klpfs.service.loop import AGENTS, FIRST, LAST, Loop


@pytest.fixture
def loop():
    made = Loop()
    yield made
    made.close()


@pytest.fixture
def pipe():
    ends = []

    def make():
        ends.append(os.pipe())
        return ends[-1]
    yield make
    for pair in ends:
        for fd in pair:
            os.close(fd)


def test_order_of_a_round(loop, pipe):
    """inotify, agents, then timers, then the request; what is put off runs before the next order."""
    called = []
    for name, order in (("request", LAST), ("agent", AGENTS), ("journal", FIRST)):
        reader, writer = pipe()
        os.write(writer, b"x")
        loop.add(reader, lambda events, name=name: (called.append(name),
                                                    loop.call_soon(lambda: called.append(name + " soon"))), order)
    loop.call_later(0, lambda: called.append("timer"))
    loop.run_once(0)
    assert called == ["journal", "journal soon", "agent", "agent soon", "timer", "request", "request soon"]


def test_removed_by_an_earlier_callback(loop, pipe):
    """A descriptor that a callback of this round has removed is not called any more."""
    (first, w1), (second, w2) = pipe(), pipe()
    called = []
    loop.add(first, lambda events: loop.remove(second), FIRST)
    loop.add(second, called.append)
    os.write(w1, b"x")
    os.write(w2, b"x")
    loop.run_once(0)
    assert called == []


def test_timers_and_cancel(loop):
    """In order of their time; a cancelled one is not called, and nobody waits for it."""
    now = [0.0]
    loop.clock = lambda: now[0]
    called = []
    loop.call_later(2, lambda: called.append(2))
    loop.call_later(1, lambda: called.append(1))
    loop.call_later(0.5, lambda: called.append(0)).cancel()
    now[0] = 3.0
    loop.run_once(0)
    assert called == [1, 2]


def test_an_exception_keeps_the_rest_of_the_round(loop, pipe):
    """What was ready and not yet called is called in the next round."""
    (first, w1), (second, w2) = pipe(), pipe()
    called = []

    def fails(events):
        os.read(first, 1)
        raise KeyError
    loop.add(first, fails, FIRST)
    loop.add(second, lambda events: called.append(os.read(second, 1)))
    os.write(w1, b"x")
    os.write(w2, b"x")
    with pytest.raises(KeyError):
        loop.run_once(0)
    loop.run_once(0)
    assert called == [b"x"]


def test_run_until_stop(loop):
    loop.call_later(0, loop.stop)
    loop.run()


def test_added_twice(loop, pipe):
    reader, _ = pipe()
    loop.add(reader, print)
    with pytest.raises(ValueError):
        loop.add(reader, print)
