"""The budget of a foreign user: what it pays, when it is spent, how it fills up, and what a round of the loop gives."""
import pytest

from klpfs.service import budget as module
from klpfs.service.budget import Budget


class World:
    def __init__(self):
        self.time = 100.0
        self.budget = Budget(lambda: self.time, lambda: 0.0)


@pytest.fixture
def world():
    return World()


def test_who_says_little_never_waits(world):
    for number in range(1000):
        world.time += 0.01
        world.budget.pay(1000, 0.0001)
        assert world.budget.wait(number) == 0


def test_a_spent_budget_fills_up_with_time(world):
    """More than is left can be taken once; then nothing until it is there again, and no sooner."""
    world.budget.pay(module.BYTES + 2 * module.BYTES_PER_SECOND)
    assert world.budget.is_spent and world.budget.wait(1) == pytest.approx(2)
    world.time += 1.9
    assert world.budget.is_spent and world.budget.wait(2) == pytest.approx(0.1)
    world.time += 0.2
    assert not world.budget.is_spent and world.budget.wait(3) == 0
    world.time += 1e6
    assert world.budget.wait(4) == 0 and world.budget.size == module.BYTES      # never more than at first


def test_processor_time_is_paid_for_as_bytes_are(world):
    world.budget.pay(0, module.SECONDS + 1)
    assert world.budget.wait(1) == pytest.approx(1 / module.SECONDS_PER_SECOND)
    world.time += 1 / module.SECONDS_PER_SECOND + 0.01
    assert world.budget.wait(2) == 0


@pytest.mark.parametrize("size, seconds", [(module.ROUND_BYTES, 0), (0, module.ROUND_SECONDS), (0, 0.5)])
def test_a_round_gives_a_part(world, size, seconds):
    """However much is left: the others wait for so much, then they are served for as long, whatever connection of this
    user's has something to say in later rounds."""
    rest = max(seconds, module.SHORTLY)
    assert world.budget.wait(1) == 0
    world.budget.pay(size, seconds)
    assert world.budget.wait(1) == pytest.approx(rest) and not world.budget.is_spent
    assert world.budget.wait(2) == pytest.approx(rest)
    world.time += rest / 2
    assert world.budget.wait(3) == pytest.approx(rest / 2)
    world.time += rest / 2 + 1e-6
    assert world.budget.wait(3) == 0


def test_a_round_gives_a_part_once_however_long_it_takes(world):
    assert world.budget.wait(1) == 0
    world.budget.pay(module.ROUND_BYTES)
    assert world.budget.wait(1) > 0
    world.time += 10
    assert world.budget.wait(1) > 0
    world.time += 10
    assert world.budget.wait(2) == 0


def test_small_parts_of_many_rounds_need_no_rest(world):
    for number in range(100):
        assert world.budget.wait(number) == 0
        world.budget.pay(100, module.ROUND_SECONDS / 2)


def test_the_log_names_a_user_once_a_minute(world):
    assert world.budget.may_be_named() and not world.budget.may_be_named()
    world.time += module.LINE_SECONDS
    assert world.budget.may_be_named()


def test_a_clock_that_goes_back_gives_nothing(world):
    world.budget.pay(module.BYTES + 1)
    world.time -= 50
    assert world.budget.is_spent
