"""Property tests end before they would count as hanging, and say what they have left out."""
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.effort import EFFORT_S, Effort


def property_of(effort, wrong=lambda n: False):
    """(a Hypothesis test whose examples take 1 s each, what it was run with)."""
    seen = []

    @settings(max_examples=1000, deadline=None, database=None)
    @given(st.integers())
    def test(number):
        seen.append(number)
        effort.now += 1
        assert not wrong(number)
    effort.bound(test)
    effort.bound(test)          # once
    return test, seen


@pytest.fixture
def effort():
    made = Effort(lambda: 0)
    made.now = 0
    made.clock = lambda: made.now
    made.begin()
    return made


def test_examples_that_come_too_late_are_left_out_and_counted(effort):
    test, seen = property_of(effort)
    test()
    assert len(seen) == EFFORT_S and effort.left_out == 1000 - EFFORT_S


def test_each_test_has_its_time(effort):
    test, seen = property_of(effort)
    for _ in range(2):
        effort.begin()
        test()
    assert len(seen) == 2 * EFFORT_S


def test_when_one_has_failed_all_that_is_needed_to_make_it_small_are_run(effort):
    test, seen = property_of(effort, lambda number: number > 100)
    with pytest.raises(AssertionError):
        test()
    assert 101 in seen
