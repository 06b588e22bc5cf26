"""When the worker looks for dirty tasks, and what it makes of foreign code."""
import sys
import pathlib
import subprocess
import sys
from types import SimpleNamespace

import pytest

from klpfs.agent import agent_thread as module
from klpfs.agent.agent_thread import Worker
from klpfs.engine.error import KlpError


class World:
    """A worker of nobody's thread, with a clock that the test moves. took: how long each look takes, in seconds, of which it
    ran for `ran`."""

    def __init__(self, monkeypatch, took=0.0, ran=None):
        self.now, self.looks, self.signals, self.said = 100.0, [], [], []
        self.took, self.ran, self.own = took, took if ran is None else ran, 0.0
        monkeypatch.setattr(module, "monotonic", lambda: self.now)
        monkeypatch.setattr(module, "thread_time", lambda: self.own)
        self.turn = 1
        self.follower = SimpleNamespace(look_key=lambda: (1, self.turn), look=self.look, step=lambda: False, in_step=lambda: None)
        self.worker = Worker(SimpleNamespace(follower=self.follower, looked=lambda b: None, signaling=lambda: self.signals.append(self.now),
                                             say=lambda text, priority: self.said.append(text), ours=set()))

    def look(self):
        self.looks.append(self.now)
        self.now += self.took
        self.own += self.ran
        return ["somebody"]

    def run(self, seconds):
        end = self.now + seconds
        while self.now < end:
            self.now += self.worker._turn()
        return self

    def pauses(self):
        return [b - a - self.took for a, b in zip(self.looks, self.looks[1:])]


def test_looks_begin_within_a_millisecond_and_grow_to_a_tenth_of_a_second(monkeypatch):
    pauses = World(monkeypatch).run(5).pauses()
    assert pauses[0] < 0.001 and pauses == sorted(pauses) and abs(pauses[-1] - 0.1) < 1e-9
    assert all(b <= a * 1.6 for a, b in zip(pauses, pauses[1:]))


@pytest.mark.parametrize("took", [0.0005, 0.005, 0.05])
def test_looks_take_a_thirtieth_of_the_time_at_most(monkeypatch, took):
    """A heap of a million objects is not looked through ten times a second."""
    w = World(monkeypatch, took).run(20)
    assert len(w.looks) > 3 and sum([took for _ in w.looks]) / (w.now - 100) < 0.04


def test_a_long_look_is_soon_followed_by_another(monkeypatch):
    """Coroutines of a busy server end in a few milliseconds: the second search of the heap finds none."""
    pauses = World(monkeypatch, 0.007).run(20).pauses()
    assert pauses[0] < 0.03 and pauses == sorted(pauses) and pauses[-1] == pytest.approx(33 * 0.007)


def test_a_busy_machine_makes_no_longer_pauses(monkeypatch):
    """A look that waits for the processor or for the GIL keeps nobody from running."""
    assert max(World(monkeypatch, 0.2, 0.0005).run(20).pauses()) < 0.11


@pytest.fixture
def interval():
    was = sys.getswitchinterval()
    yield was
    sys.setswitchinterval(was)


def run_a_turn(monkeypatch, meanwhile):
    """The worker's thread does one turn, in which meanwhile(worker) is called, and ends."""
    w = World(monkeypatch)

    def step():
        w.worker.stopping = True
        meanwhile(w.worker)
        return True
    w.follower.step = step
    w.worker.start()
    assert w.worker.running.acquire(True, 10)


def test_the_program_gets_the_interpreter_at_once_while_we_work(monkeypatch, interval):
    seen = []
    run_a_turn(monkeypatch, lambda worker: seen.append(sys.getswitchinterval()))
    assert seen == [pytest.approx(module.HANDOVER)] and sys.getswitchinterval() == interval > module.HANDOVER


def test_a_switch_interval_that_the_program_sets_meanwhile_stays(monkeypatch, interval):
    run_a_turn(monkeypatch, lambda worker: sys.setswitchinterval(0.02))
    assert sys.getswitchinterval() == 0.02


def test_a_child_has_the_programs_switch_interval(monkeypatch, interval):
    """It was forked in the middle of foreign code; reset() is what a child begins with."""
    w = World(monkeypatch)
    w.worker._set_interval()
    w.worker.reset()
    assert sys.getswitchinterval() == interval


def test_a_new_turn_is_looked_at_at_once(monkeypatch):
    w = World(monkeypatch).run(5)
    w.turn = 2
    before = len(w.looks)
    w.worker._turn()
    assert len(w.looks) == before + 1


def test_signaling_once_a_turn_after_15_seconds(monkeypatch):
    """klp_signals_cnt begins anew with each start; the line is written when it reaches 15."""
    w = World(monkeypatch).run(60)
    assert len(w.signals) == 1 and 15 <= w.signals[0] - 100 < 15.2
    w.turn = 2
    at = w.now
    w.run(40)
    assert len(w.signals) == 2 and 15 <= w.signals[1] - at < 15.2


def run_foreign(w, function):
    w.worker.lock.acquire()
    try:
        return w.worker.foreign("f", 1, function)
    finally:
        assert w.worker.lock.locked() and w.worker.working is None
        w.worker.lock.release()


def test_no_lock_is_held_while_foreign_code_runs(monkeypatch):
    w = World(monkeypatch)
    seen = run_foreign(w, lambda: (w.worker.lock.locked(), w.worker.inside, w.worker.working["what"]))
    assert seen == (False, True, "f") and not w.worker.inside


def test_an_error_that_was_logged_is_not_logged_again(monkeypatch):
    w = World(monkeypatch)
    def told():
        raise KlpError(17, "said already")
    with pytest.raises(KlpError) as e:
        run_foreign(w, told)
    assert e.value.errno == 17 and not w.said
    def untold():
        raise ValueError("two\nlines")
    with pytest.raises(KlpError) as e:
        run_foreign(w, untold)
    assert e.value.errno == 22 and len(w.said) == 1 and "\n" not in w.said[0] and "test_agent_thread.py:" in w.said[0]


def test_klpfs_own_code_in_foreign_code_has_the_lock(monkeypatch):
    """enable_patch() within init(): the lock, and nothing that could interrupt it."""
    w = World(monkeypatch)
    seen = run_foreign(w, lambda: w.worker.own(lambda: (w.worker.lock.locked(), w.worker.inside, w.worker.working)))
    assert seen == (True, False, None)


def test_a_stop_that_comes_too_late_is_taken_back(monkeypatch):
    """Asked for while foreign code ends: it never reaches klpfs's own code, nor the next foreign code."""
    w = World(monkeypatch)
    w.worker.ident = module.get_ident()
    def ends():
        w.worker.interrupt(1)
    with pytest.raises(KlpError):
        run_foreign(w, lambda: (ends(), sum(range(10 ** 6))))
    for _ in range(1000):
        pass
    assert run_foreign(w, lambda: 5) == 5


STOPPED = """
import sys
from types import SimpleNamespace
from klpfs.agent import agent_thread as worker
from klpfs.engine.error import KlpError
made = worker.Worker(SimpleNamespace(say=lambda text, priority: None))
made.ident = worker.get_ident()
made.lock.acquire()
try:
    made.foreign("f", 1, lambda: (made.interrupt(1), sum(range(10 ** 6))))
except KlpError:
    print("stopped")
def traced(n):
    return sum(range(n))
sys.settrace(lambda *args: None)
print(traced(3))
"""


def test_a_stop_leaves_nothing_pending_in_the_interpreter():
    """On CPython 3.11 a traced function would never get past its first instruction, on others calls would be slower for good."""
    said = subprocess.run([sys.executable, "-c", STOPPED], capture_output=True, text=True, timeout=30,
                          cwd=pathlib.Path(module.__file__).parents[2])
    assert said.stdout.split() == ["stopped", "3"], said.stderr
