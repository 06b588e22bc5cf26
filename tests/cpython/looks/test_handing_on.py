"""What hands on is found, and nothing else is held."""
import contextlib
import gc
import sys
import threading
import weakref

import pytest

from klpfs.cpython.looks.handing_on import handing_on, that_have_ended


class Closes:
    def __init__(self, close):
        self.close = close

    def __iter__(self):
        return self

    def __next__(self):
        return 1


def waits(inner):
    yield from inner


def found(made, addresses=(), codes=()):
    return handing_on([weakref.ref(each) for each in made], list(addresses), {id(waits.__code__)}, codes)


def test_what_runs_with_no_frame_below_hands_on():
    seen = []
    first, resting, fresh, ended = (waits(Closes(lambda: seen.append(
        [each is first for each in found(made)] + [each is first for each in found([], [id(first)])]
        + [each is first for each in found([], (), (waits.__code__,))]))) for _ in range(4))
    made = [resting, first, fresh, ended]
    next(first), next(resting), ended.close()
    del seen[:]
    first.close()
    assert seen == [[True] * 3] and found(made) == []
    resting.close(), fresh.close()
    del made[:]


def test_what_runs_on_a_stack_does_not():
    def calls():
        yield found([made])
    made = waits(calls())
    assert next(made) == []


def test_this_thread_never_has_the_last_reference():
    """What other threads drop meanwhile ends there, not here."""
    here, wrong, stop = threading.get_ident(), [], threading.Event()

    def ends():
        try:
            yield
        finally:
            if threading.get_ident() == here:
                wrong.append(1)
    dropped = [ends() for _ in range(2000)]
    for each in dropped:
        next(each)
    each = None
    references = [weakref.ref(each) for each in dropped]

    def drop():
        while dropped and not stop.is_set():
            dropped.pop()
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    thread = threading.Thread(target=drop)
    try:
        thread.start()
        while thread.is_alive():
            handing_on(references, [], set(), ())
    finally:
        stop.set()
        thread.join()
        sys.setswitchinterval(interval)
    assert not wrong and not dropped


def test_what_has_ended_is_told_by_its_id():
    made = [waits([1]), waits([1]), waits([1])]
    next(made[0]), list(made[1])
    assert that_have_ended([weakref.ref(each) for each in made]) == [id(made[1])]
    gc.collect()


@pytest.mark.skipif(sys.version_info >= (3, 11), reason="such an object does not say so from 3.11 on")
def test_what_has_ended_and_says_that_it_runs_does_not_hand_on():
    """An asynchronous generator that an exception ends in the middle of its aclose()."""
    class Pause:
        def __await__(self):
            yield

    async def asynchronous():
        try:
            yield
        finally:
            await Pause()

    def step(awaitable, *error):
        with contextlib.suppress(StopIteration, KeyError):
            awaitable.throw(*error) if error else awaitable.send(None)
    made = asynchronous()
    step(made.asend(None))
    closing = made.aclose()
    step(closing)
    step(closing, KeyError)
    assert made.ag_running and made.ag_frame is None
    assert found([made]) == []
