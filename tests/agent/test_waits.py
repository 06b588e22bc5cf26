"""What an agent's watchdog takes for a wait: a thread that does not move, and what nobody was told."""
from types import SimpleNamespace

import pytest

from klpfs.agent import waits as module
from klpfs.agent.waits import Waits


class Stacks:
    def __init__(self, folder):
        self.said, self.calls = [], []

    def say(self, texts, name):
        self.said += texts

    def begin(self):
        self.calls.append("begin")

    def end(self):
        self.calls.append("end")


@pytest.fixture
def waits(monkeypatch):
    """An agent at rest, whose fields a test changes; waits.run(seconds) moves its clock."""
    monkeypatch.setattr(module, "Stacks", Stacks)
    follower = SimpleNamespace(goal={"seq": 7}, seen=7, look_key=lambda: None, report=lambda: {"over": 3})
    locked, free = SimpleNamespace(locked=lambda: True), SimpleNamespace(locked=lambda: False)
    thread = SimpleNamespace(moves=1, idle=True, stopping=False, lock=free, running=locked, requests=[],
                             look_is_late=lambda now: True)
    agent = SimpleNamespace(thread=thread, follower=follower, joining=SimpleNamespace(joins=0), service="shop",
                            foreign=SimpleNamespace(working=None), prepared=True, engine=SimpleNamespace(arrival=None),
                            outbox=SimpleNamespace(has_said=lambda report: report == {"over": 3}))
    made, now = Waits(agent, "/nowhere"), [0.0]
    monkeypatch.setattr(module, "monotonic", lambda: now[0])

    def run(seconds, each=lambda: None):
        for _ in range(int(seconds / 0.05)):        # as often as the server's thread goes round at most
            now[0] += 0.05
            each()
            made.tick()
        return made.stacks.said
    return SimpleNamespace(agent=agent, run=run, made=made, locked=locked, free=free)


def test_at_rest_nothing_waits(waits):
    assert waits.run(60) == [] and waits.made.now_waiting() == {}


def test_a_step_that_does_not_end(waits):
    waits.agent.thread.idle = False
    assert waits.run(5) == []
    assert waits.run(2) == ["the agent's thread is in a step"]


def test_steps_that_follow_each_other_are_none(waits):
    def step():
        waits.agent.thread.moves += 1
    waits.agent.thread.idle = False
    assert waits.run(60, step) == []


@pytest.mark.parametrize("fields", [{"foreign": SimpleNamespace(working={"what": "init of 'x'"})}, {"prepared": False},
                                    {"thread": SimpleNamespace(moves=1, idle=False, stopping=True,
                                                               running=SimpleNamespace(locked=lambda: False))}])
def test_foreign_code_and_imports_may_take_long_and_a_fork_has_no_thread(waits, fields):
    waits.agent.thread.idle = False
    vars(waits.agent).update(fields)
    assert waits.run(60) == []


@pytest.mark.parametrize("change, text", [
    (lambda agent, w: setattr(agent.thread, "running", w.free), "the agent's thread has ended"),
    (lambda agent, w: setattr(agent.thread, "lock", w.locked), "the lock of the agent's thread is taken"),
    (lambda agent, w: agent.thread.requests.append(print), "sleeps over a request"),
    (lambda agent, w: setattr(agent.follower, "goal", {"seq": 8}), "sleeps over the record 8"),
    (lambda agent, w: setattr(agent.follower, "look_key", lambda: (1, 1)), "sleeps over a look"),
    (lambda agent, w: setattr(agent.follower, "report", lambda: {"over": 4}), "not what this process has come to"),
    (lambda agent, w: setattr(agent.joining, "joins", 1), "waits until its service's journal is followed"),
])
def test_what_a_sleeping_thread_should_have_done(waits, change, text):
    """The fifth is how a process once finished a transition, and nobody heard of it (test_follower.py)."""
    change(waits.agent, waits)
    said = waits.run(7)
    assert len(said) == 1 and text in said[0]
    assert len(waits.run(60)) == 1


def test_a_look_that_is_not_due_yet_is_slept_over(waits):
    waits.agent.follower.look_key, waits.agent.thread.look_is_late = lambda: (1, 1), lambda now: False
    assert waits.run(60) == []


def test_while_the_main_program_arrives_no_record_is_followed_to_its_end(waits):
    waits.agent.follower.goal, waits.agent.engine.arrival = {"seq": 8}, object()
    assert waits.run(60) == []


def test_what_changes_while_it_is_read_moves(waits):
    def report():
        raise RuntimeError("dictionary changed size during iteration")
    waits.agent.follower.report = report
    assert waits.run(60) == []


def test_a_child_has_a_file_and_a_time_of_its_own(waits):
    waits.agent.thread.idle = False
    waits.run(4)
    waits.made.after_fork()
    assert waits.made.stacks.calls[-2:] == ["end", "begin"] and waits.run(4) == []
