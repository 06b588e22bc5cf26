"""The effort of property tests: as many examples as there is time for.

The target's tests search the whole heap in each look. In a process that has run thousands of tests, on a busy machine,
the examples of a property took longer than the time after which a test counts as hanging (setup.cfg:
faulthandler_timeout). Examples that come too late pass without being run, and the test's summary says so.
"""
import functools
import time

import pytest

EFFORT_S = 90


class Effort:
    """The examples of the test that runs. left_out: those for which there was no time."""

    def __init__(self, clock=time.monotonic):
        self.clock = clock
        self.begin()

    def begin(self):
        """A test begins."""
        self.until, self.left_out, self.failed = self.clock() + EFFORT_S, 0, False

    def bound(self, function):
        """Let the examples of a Hypothesis test pass when its time is over. Not when one has failed: then others are
        run to find a small one."""
        handle = getattr(function, "hypothesis", None)
        if handle is None or hasattr(handle.inner_test, "is_bound"):
            return
        inner = handle.inner_test

        @functools.wraps(inner)
        def example(*args, **more):
            if self.clock() >= self.until and not self.failed:
                self.left_out += 1
                return None
            try:
                return inner(*args, **more)
            except BaseException as error:
                self.failed = self.failed or not type(error).__module__.startswith("hypothesis")
                raise
        example.is_bound = True
        handle.inner_test = example


effort = Effort()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item):
    effort.bound(getattr(item, "obj", None))
    effort.begin()
    try:
        return (yield)
    finally:
        if effort.left_out:
            item.warn(pytest.PytestWarning(f"{effort.left_out} examples were left out after {EFFORT_S} s"))
