"""A collection under way, for the tests of looks."""
import gc
import threading

import pytest


@pytest.fixture
def collecting():
    """A thread that is in the middle of a garbage collection; the fixture's value ends it."""
    at, go = threading.Event(), threading.Event()

    class Slow:
        def __del__(self):
            at.set()
            go.wait(10)
    gc.disable()
    gc.collect()
    s = Slow()
    s.me = s
    del s
    thread = threading.Thread(target=gc.collect)
    thread.start()
    assert at.wait(10)

    def end():
        go.set()
        thread.join()
    yield end
    end()
    gc.enable()
