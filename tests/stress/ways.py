"""The ways in which Python code can begin on a stack that is not its caller's doing: each a function that has a callback
called in that way, in the calling thread, before it returns.

A patched function calls way(callback), and its callback checks that what it calls is of the function's version: so it
is all one stack. WAYS: name -> Way. docs/DESIGN.md#6 has the table of ways and rules; tests/stress/test_ways.py
compares the two.
"""
from tests.stress import ways_from_c, ways_hooks, ways_interrupts, ways_suspended  # noqa: F401  # they fill WAYS
from tests.stress.way import FAULTS, WAYS  # noqa: F401
from tests.stress.ways_suspended import elsewhere, greenlet, in_tasks  # noqa: F401
