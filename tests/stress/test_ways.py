"""The ways of the stress: each gets where it wants to, and stands in the design's table."""
import os
import re
import sys

import pytest

from tests.stress import ways

DESIGN = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "docs", "DESIGN.md")
HERE_ONLY = {"monitoring", "cffi_callback", "greenlet_switch", "greenlet_thrown_into", "greenlet_trace", "frame_cleared",
             "trace_opcodes", "sub_interpreter", "generator_thrown_into_through_others", "coroutine_driven_by_hand",
             "eager_step", "elsewhere", "in_tasks"}


@pytest.mark.parametrize("name", sorted(set(ways.WAYS) - {"at_exit", "fork", "at_fork"}))
@pytest.mark.filterwarnings("ignore")
def test_a_way_calls_back_before_it_returns(name):
    """In this thread, with the caller's frame below."""
    found = []

    def caller():
        def callback():
            frame = sys._getframe()
            while frame is not None and frame.f_code is not caller.__code__:
                frame = frame.f_back
            found.append(frame is not None)
        ways.WAYS[name](callback)
    caller()
    assert found and (all(found) or name.startswith("greenlet"))     # a greenlet has no frame below its bottom


def test_each_way_stands_in_the_design():
    """And nothing does that is no way, but for what this Python or this environment lacks."""
    with open(DESIGN, encoding="utf-8") as file:
        table = file.read().partition("### Where Python code begins")[2].partition("### Manners")[0]
    firsts = [line.split("|")[1] for line in table.splitlines() if line.startswith("| ")]
    told = set(re.findall(r"`(\w+)`", "\n".join(firsts) + table)) - {"finally", "__eq__", "__hash__"}
    assert set(ways.WAYS) <= told and told - set(ways.WAYS) <= HERE_ONLY
