"""The agent's own threads: started once, stopped, let go on, and gone in a child."""
import os
import signal
import sys
import threading

import pytest

from klpfs.agent import quiet_thread as module
from klpfs.agent.quiet_thread import Orphan, QuietThread, Run
from klpfs.agent.waiting import Signal
from tests.harness import until


class Rounds(QuietThread):
    """Each round waits to be poked. rounds: how many there were; hold: a Signal that a round waits for, or None."""

    def __init__(self):
        self.poked, self.begun, self.rounds, self.raises = Signal(), Signal(), 0, None
        self.signals = None
        QuietThread.__init__(self, set())

    def poke(self):
        self.poked.set()

    def run(self):
        self.signals = signal.pthread_sigmask(signal.SIG_BLOCK, [])
        while not self.ends():
            self.rounds += 1
            self.begun.set()
            self.poked.wait(10)
            if self.raises:
                raise self.raises


@pytest.fixture
def thread():
    made = Rounds()
    made.start()
    assert made.begun.wait(10)
    yield made
    made.stop(10)


def test_it_is_known_and_takes_no_signals(thread):
    """The program's handlers run in the program's threads."""
    assert thread._own_tids == {thread.tid} and thread.ident and signal.SIGTERM in thread.signals
    assert thread.tid in {int(each) for each in os.listdir("/proc/self/task")}


def test_it_is_stopped_and_started_again(thread):
    first = thread.tid
    assert thread.stop(10) and not thread.running.locked()
    thread.start()
    assert thread.begun.wait(10) and thread.running.locked() and thread.rounds == 2 and first in thread._own_tids


def test_it_is_started_only_once(thread):
    thread.start()
    assert thread.rounds == 1


def test_a_stop_that_it_has_not_got_to_is_taken_back(thread):
    """A fork could not wait: it goes on, and no other is started."""
    thread.stopping = True
    thread.start()
    thread.poke()
    assert thread.begun.wait(10) and thread.rounds == 2 and thread.running.locked() and len(thread._own_tids) == 1


def test_a_stop_waits_no_longer_than_it_may(thread):
    thread.poke = lambda: None
    assert thread.stop(0.01) is False and thread.running.locked()
    thread.start()          # it goes on
    del thread.poke


def test_an_orphan_lets_go_of_nothing(thread):
    """A thread that was the agent's in the parent ends in the child without a word; the child's own lock stays as it
    is."""
    run = thread.running
    thread.raises = Orphan()
    thread._fresh_thread()
    fresh = thread.running = Run()
    thread.poke()
    assert run.wait(10) and fresh.locked() and thread.generation == 2
    fresh.end()
    thread.raises = None


def test_a_start_that_was_cut_off_before_its_thread_is_done_again(monkeypatch):
    """By a signal handler, in a fork's hook: no thread is there, and the next start makes one."""
    thread = Rounds()

    def cut_off(function):
        raise KeyboardInterrupt
    with monkeypatch.context() as patched:
        patched.setattr(module, "start_quiet_thread", cut_off)
        with pytest.raises(KeyboardInterrupt):
            thread.start()
    assert not thread.running.locked() and thread.stop(0)
    thread.start()
    assert thread.begun.wait(10) and thread.stop(10)


def test_a_start_that_was_cut_off_behind_its_thread_has_no_second(monkeypatch):
    """The thread that was started before is not the run's any more, and goes."""
    thread, started = Rounds(), []

    def cut_off(function):
        started.append(function)        # it is there, but has done nothing yet
        raise KeyboardInterrupt
    with monkeypatch.context() as patched:
        patched.setattr(module, "start_quiet_thread", cut_off)
        with pytest.raises(KeyboardInterrupt):
            thread.start()
    thread.start()
    assert thread.begun.wait(10)
    started[0]()
    assert thread.rounds == 1 and thread.stop(10)


def test_a_wait_for_the_end_leaves_nothing_taken(thread):
    """Whoever waits next sees the end at once, wherever a wait was cut off."""
    assert thread.stop(10)
    thread.running._news.acquire(False)         # a wait was cut off with it
    assert thread.stop(0) and not thread.running.locked()
    thread.start()
    assert thread.begun.wait(10)


def test_what_leaves_run_does_not_end_the_thread(monkeypatch):
    """It begins anew, and is told, since it may have been anywhere."""
    said = []
    monkeypatch.setattr(module, "CUT_OFF_S", 0.01)
    monkeypatch.setattr(sys, "unraisablehook", lambda hook: said.append(hook.exc_value))
    thread = Rounds()
    thread.raises, thread.was_cut_off = ZeroDivisionError("a tool's"), lambda: setattr(thread, "raises", None)
    thread.start()
    assert thread.begun.wait(10)
    first = thread.tid
    thread.poke()
    until(lambda: thread.rounds >= 2, "run() to begin anew")
    assert thread.rounds == 2 and (thread.tid, thread.running.locked()) == (first, True)
    assert [type(each) for each in said] == [ZeroDivisionError] and thread.stop(10)


@pytest.mark.skipif(not hasattr(sys, "monitoring"), reason="sys.monitoring is new in 3.12")
def test_a_tool_that_raises_in_every_call_of_every_thread_does_not_end_the_thread(monkeypatch):
    """Handlers of ours raise as well, as long as it is on."""
    monkeypatch.setattr(module, "CUT_OFF_S", 0.01)
    cut = []
    monkeypatch.setattr(sys, "unraisablehook", cut.append)
    thread, mine, events = Rounds(), threading.get_ident(), sys.monitoring.events

    def raises(*_):
        if threading.get_ident() != mine:
            raise ZeroDivisionError
    thread.start()
    assert thread.begun.wait(10)
    sys.monitoring.use_tool_id(3, "raises")
    try:
        for event in events.PY_START, events.LINE:
            sys.monitoring.register_callback(3, event, raises)
        sys.monitoring.set_events(3, events.PY_START | events.LINE)
        thread.poke()
        until(lambda: len(cut) >= 3, "the thread to be cut off again and again")
    finally:
        sys.monitoring.set_events(3, 0)
        sys.monitoring.free_tool_id(3)
    assert len(cut) >= 3
    rounds = thread.rounds
    until(lambda: thread.poke() or thread.rounds > rounds, "the thread to go on")
    assert thread.rounds > rounds and thread.stop(10)
