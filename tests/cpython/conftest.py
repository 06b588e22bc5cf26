"""Programs to be patched, taken back when their test is over; a collection under way."""
import gc
import threading

import pytest

from tests.cpython.exchange_kit import OUTER, PLAIN
from tests.cpython.machine import Machine
from tests.programs import Program


@pytest.fixture
def program(tmp_path):
    made = Program(tmp_path)
    yield made
    made.close()


@pytest.fixture
def machine(tmp_path):
    made = Machine(tmp_path)
    yield made
    made.close()


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


@pytest.fixture
def nested(machine):
    """A module with marked inner functions (exchange_kit.py)."""
    return machine.module(OUTER)


@pytest.fixture
def plain(machine):
    """A module with functions of all simple kinds (exchange_kit.py)."""
    return machine.module(PLAIN)
