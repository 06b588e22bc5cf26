"""Rounds: until none asks for another, and at the time that was asked for."""
from klpfs.service.rounds import Rounds
from tests.service.puppets import Clock


def test_a_round_that_asks_for_another_is_followed_by_it():
    done = []

    def run():
        done.append(1)
        if len(done) < 3:
            rounds.again()
    rounds = Rounds(Clock(), run)
    rounds.step()
    assert len(done) == 3


def test_no_round_begins_inside_another():
    """Whoever asks inside gets it when the present round is over."""
    done = []

    def run():
        done.append("begun")
        if len(done) == 1:
            rounds.step()
        done.append("over")
    rounds = Rounds(Clock(), run)
    rounds.step()
    assert done == ["begun", "over"] * 2


def test_the_earliest_time_counts():
    clock, done = Clock(), []

    def run():
        done.append(clock.now())
        if len(done) == 1:
            rounds.wake_at(clock.now() + 5)
            rounds.wake_at(clock.now() + 2)
            rounds.wake_at(clock.now() + 9)
    rounds = Rounds(clock, run)
    rounds.step()
    begun = clock.now()
    clock.advance(1.9)
    assert len(done) == 1
    clock.advance(10)
    assert len(done) == 2 and done[1] >= begun + 2


def test_closed_rounds_forget_their_time():
    clock, done = Clock(), []

    def run():
        done.append(1)
        rounds.wake_at(clock.now() + 1)
    rounds = Rounds(clock, run)
    rounds.step()
    rounds.close()
    clock.advance(10)
    assert done == [1]


def test_a_round_that_raises_leaves_the_next_free():
    done = []

    def run():
        done.append(1)
        if len(done) == 1:
            raise KeyboardInterrupt
    rounds = Rounds(Clock(), run)
    try:
        rounds.step()
    except KeyboardInterrupt:
        rounds.step()
    assert len(done) == 2
