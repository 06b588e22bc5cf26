"""What may run old code and is in no list: what counts as such, and what does not."""
import threading

import pytest

from tests.cpython.programs import done, make, transition


@pytest.fixture
def threads_inside():
    """threads_inside(function): a thread that stands in what function(stop) calls as stop(), until the test's end."""
    go, threads = threading.Event(), []

    def run(function):
        at = threading.Event()

        def stop():
            at.set()
            assert go.wait(10)
        threads.append(threading.Thread(target=function, args=(stop,)))
        threads[-1].start()
        assert at.wait(10)
    yield run
    go.set()
    for thread in threads:
        thread.join()


def test_a_kept_traceback_does_not_block_a_function_that_is_always_in_use(threads_inside):
    """Its frame holds old code, and the function has a caller whose reference nobody accounts for: in new code."""
    d = make("def A(call):\n call()\n return {v}")
    kept = []
    try:
        d[0]["A"](None)
    except TypeError as error:
        kept.append(error)
    t = transition(d[0], d[1])
    t.install()
    t.start()
    threads_inside(d[0]["A"])
    assert t.look() == [] and done(t)
