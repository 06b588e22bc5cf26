"""The agent's thread: the interpreter is the program's while it works, and it does what other threads ask of it."""
import sys

import pytest

from klpfs.agent import agent_thread as module
from klpfs.agent.agent_thread import AgentThread
from tests.agent.clocked import Clocked


@pytest.fixture
def interval():
    was = sys.getswitchinterval()
    yield was
    sys.setswitchinterval(was)


def run_a_turn(monkeypatch, meanwhile):
    """The thread does one turn, in which meanwhile() is called, and ends."""
    w = Clocked(monkeypatch)

    def step():
        w.thread.stopping = True
        meanwhile()
        return True
    w.follower.step = step
    w.thread.start()
    assert w.thread.running.wait(10)


def test_the_program_gets_the_interpreter_at_once_while_we_work(monkeypatch, interval):
    seen = []
    run_a_turn(monkeypatch, lambda: seen.append(sys.getswitchinterval()))
    assert seen == [pytest.approx(module.HANDOVER_S)] and sys.getswitchinterval() == interval > module.HANDOVER_S


def test_a_switch_interval_that_the_program_sets_meanwhile_stays(monkeypatch, interval):
    run_a_turn(monkeypatch, lambda: sys.setswitchinterval(0.02))
    assert sys.getswitchinterval() == 0.02


def test_a_child_has_the_programs_switch_interval(monkeypatch, interval):
    """It was forked in the middle of foreign code; after_fork() is what a child begins with."""
    w = Clocked(monkeypatch)
    w.thread._set_interval()
    w.thread.after_fork()
    assert sys.getswitchinterval() == interval


def test_a_defect_is_said_and_does_not_spin(monkeypatch):
    """An exception of klpfs's own: a line, then a pause."""
    w = Clocked(monkeypatch)
    w.follower.step = lambda: 1 / 0
    assert w.thread._turn() == 0 and w.thread._turn() >= 1 and w.said == ["ZeroDivisionError('division by zero')"]


def test_a_request_is_done_in_the_thread(monkeypatch):
    """have_done() waits for its end."""
    w = Clocked(monkeypatch)
    done = []
    w.thread.start()
    assert w.thread.have_done(lambda: done.append(module.QuietThread), 10) and done
    assert w.thread.stop(10)


def test_a_request_for_which_there_is_no_time_is_not_done_later(monkeypatch):
    """The thread does not run: whoever asked goes on as if it had not."""
    w = Clocked(monkeypatch)
    assert w.thread.have_done(lambda: 1 / 0, 0.01) is False and w.thread.requests == []


def test_a_request_that_has_begun_and_takes_too_long_is_not_said_to_be_done(monkeypatch):
    """An import waits twice its time, and then goes on; that its module is patched, nobody says."""
    w = Clocked(monkeypatch)
    poked = [lambda: w.thread.requests.clear(), lambda: w.thread.requests.pop()(), lambda: None]
    monkeypatch.setattr(AgentThread, "poke", lambda thread: poked.pop(0)())
    assert w.thread.have_done(lambda: None, 0.01) is False      # it has begun
    assert w.thread.have_done(lambda: None, 0.01) is True
    assert w.thread.have_done(lambda: None, 0.01) is False and not w.thread.requests


def test_nothing_that_a_turn_raises_ends_the_thread_or_keeps_its_lock(monkeypatch):
    """Also where it is no Exception, and where the taking back raises: it is tried again."""
    w = Clocked(monkeypatch)
    raised = [SystemExit(), MemoryError()]
    def step():
        if raised:
            raise raised[0]
        return False
    def recover(error):
        if len(raised) > 1:
            raise raised.pop()
        raised.clear()
        return True
    w.follower.step, w.follower.recover = step, recover
    assert w.thread._turn() == 0                    # at once
    assert w.thread._turn() >= 1                    # the taking back was cut off
    assert w.thread._turn() == 0 and not raised
    assert w.thread._turn() > 0 and not w.said


def test_a_taking_back_that_fails_again_and_again_is_said_once_and_named(monkeypatch):
    """Among the blockers, and whoever asks is refused in every turn; until it comes to its end."""
    w = Clocked(monkeypatch)
    broken, refused = [True], {"n": 5, "errno": 5, "text": "stuck"}
    def recover(error):
        if broken:
            raise ZeroDivisionError("again")
        return True
    w.follower.step, w.follower.recover, w.follower.refuse_stuck = lambda: 1 / 0, recover, lambda: refused
    assert w.thread._turn() == 0
    assert w.thread._turn() >= 1 and w.thread.stuck is None         # once: no memory for a moment, maybe
    for turn in range(3):
        assert w.thread._turn() >= 1
        assert w.said == ["ZeroDivisionError('again')"] and w.stuck_reports == [refused] * (turn + 1)
    assert w.thread.stuck["kind"] == "defect" and w.thread.stuck["name"].endswith(": ZeroDivisionError")
    broken.clear()
    assert w.thread._turn() == 0 and w.thread.stuck is None and len(w.said) == 1
