"""When the agent's thread looks for tasks that are not clean, and when it asks for the main program's definitions."""
import pytest

from klpfs.agent.look_pacing import LONGEST_ASK_S, LookPacing
from tests.agent.clocked import Clocked


def test_looks_begin_within_a_millisecond_and_grow_to_a_tenth_of_a_second(monkeypatch):
    pauses = Clocked(monkeypatch).run(5).pauses()
    assert pauses[0] < 0.001 and pauses == sorted(pauses) and abs(pauses[-1] - 0.1) < 1e-9
    assert all(b <= a * 1.6 for a, b in zip(pauses, pauses[1:]))


@pytest.mark.parametrize("took", [0.0005, 0.005, 0.05])
def test_looks_take_a_thirtieth_of_the_time_at_most(monkeypatch, took):
    """A heap of a million objects is not looked through ten times a second."""
    w = Clocked(monkeypatch, took).run(20)
    assert len(w.looks) > 3 and sum([took for _ in w.looks]) / (w.now - 100) < 0.04


def test_a_long_look_is_soon_followed_by_another(monkeypatch):
    """Coroutines of a busy server end in a few milliseconds: the second search of the heap finds none."""
    pauses = Clocked(monkeypatch, 0.007).run(20).pauses()
    assert pauses[0] < 0.03 and pauses == sorted(pauses) and pauses[-1] == pytest.approx(33 * 0.007)


def test_a_busy_machine_makes_no_longer_pauses(monkeypatch):
    """A look that waits for the processor or for the GIL keeps nobody from running."""
    assert max(Clocked(monkeypatch, 0.2, 0.0005).run(20).pauses()) < 0.11


def test_a_new_turn_is_looked_at_at_once(monkeypatch):
    w = Clocked(monkeypatch).run(5)
    w.turn = 2
    before = len(w.looks)
    w.thread._turn()
    assert len(w.looks) == before + 1


def test_signaling_once_a_turn_after_15_seconds(monkeypatch):
    """klp_signals_cnt begins anew with each start; the line is written when it reaches 15."""
    w = Clocked(monkeypatch).run(60)
    assert len(w.signals) == 1 and 15 <= w.signals[0] - 100 < 15.2
    w.turn = 2
    at = w.now
    w.run(40)
    assert len(w.signals) == 2 and 15 <= w.signals[1] - at < 15.2


def test_nothing_to_look_for():
    """A long wait; and the same key is looked at at once when it comes again, as what was seen does not count any
    more."""
    pacing = LookPacing()
    assert pacing.wait("key", 5.0) == 0 and pacing.looked(0.0, 5.0) > 0 and pacing.wait("key", 5.0) > 0
    assert pacing.wait(None, 5.0) > 1000
    assert pacing.wait("key", 5.0) == 0
    pacing.looked(0.0, 5.0)
    pacing.forget()
    assert pacing.wait("key", 5.0) == 0


def test_the_main_program_is_asked_for_at_growing_intervals(monkeypatch):
    """At once, then a tenth later each time, half a second at most; and no more when it is there."""
    w = Clocked(monkeypatch)
    w.follower.look_key = lambda: None
    w.run(20)
    assert not w.asked
    begun = w.now
    w.thread.ask_for_main()
    w.run(20)
    pauses = [b - a for a, b in zip(w.asked, w.asked[1:])]
    assert w.asked[0] == begun and pauses == sorted(pauses) and pauses[-1] == pytest.approx(LONGEST_ASK_S)
    w.main_is_there = True
    w.run(2)
    assert w.came == [w.asked[-1]] and len(w.asked) == len(pauses) + 2
