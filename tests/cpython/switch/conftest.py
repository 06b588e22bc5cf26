"""What the tests of transitions share."""
import threading

import pytest


@pytest.fixture
def stopped():
    """stopped(function): runs it in a thread, which it returns, until it calls stopped.stop; stopped.go() lets it on,
    waits for its end, and gives a list of what it returned."""
    at, go, threads, results = threading.Event(), threading.Event(), [], []

    def stop():
        at.set()
        assert go.wait(10)

    def run(function, *args):
        threads.append(threading.Thread(target=lambda: results.append(function(*args))))
        threads[0].start()
        assert at.wait(10)
        return threads[0]

    def on():
        go.set()
        for thread in threads:
            thread.join()
        return results
    run.stop, run.go = stop, on
    yield run
    on()
