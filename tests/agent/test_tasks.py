"""Tasks: who is in the way and since when, and which threads are the program's."""
import os
import threading
from types import SimpleNamespace

from klpfs.agent import tasks
from klpfs.agent.limits import Limits
from klpfs.agent.tasks import Tasks
from klpfs.engine.target import Blocker


def test_the_agents_threads_are_no_tasks_of_the_program(agent, c):
    """Named threads by their Python name."""
    ready, go = threading.Event(), threading.Event()
    def run():
        ready.set()
        go.wait()
    t = threading.Thread(target=run, name="klp_tgt_busy")
    t.start()
    ready.wait()
    tasks = c.ask("tasks")
    assert tasks[0][0] == os.getpid() and (t.native_id, "klp_tgt_busy") in tasks
    c.until(lambda c: len(agent.own_tids) == 2)
    assert {tid for tid, _ in c.ask("tasks")}.isdisjoint(agent.own_tids)
    go.set()
    t.join()


class Stacks(Tasks):
    """Of a thread 7, which is the agent's."""

    def stack_of_ident(self, ident):
        return [f"lp.py:1 init of {ident}"] if ident == 7 else []


def made(clock, monkeypatch):
    """Tasks of an agent that notes its reports; clock: a list of one number, microseconds."""
    monkeypatch.setattr(tasks, "clock_us", lambda: clock[0])
    agent = SimpleNamespace(reports=[], limits=Limits(), foreign=SimpleNamespace(working=None), thread=SimpleNamespace(ident=7, stuck=None))
    agent.outbox = SimpleNamespace(post_report=lambda: agent.reports.append(1))
    return Stacks(agent)


def test_a_blocker_is_known_since_the_first_look_that_saw_it(monkeypatch):
    """Over looks and turns, until nothing is looked for any more; a report goes out when others are in the way."""
    clock = [100]
    found = made(clock, monkeypatch)
    found.looked([Blocker("thread", 5, "worker")])
    clock[0] = 200
    found.looked([Blocker("thread", 5, "worker"), Blocker("generator", 6, "g", ["a.py:1 g"])])
    assert found.blockers_now() == [{"kind": "thread", "task": 5, "name": "worker", "frames": [], "since": 100},
                                    {"kind": "generator", "task": 6, "name": "g", "frames": ["a.py:1 g"], "since": 200}]
    found.looked([])
    clock[0] = 300
    found.looked([Blocker("thread", 5, "worker")])
    assert found.blockers[0]["since"] == 100 and len(found.agent.reports) == 3
    found.looked([Blocker("thread", 5, "worker")])
    assert len(found.agent.reports) == 3
    found.forget()
    found.looked([Blocker("thread", 5, "worker")])
    assert found.blockers[0]["since"] == 300


def test_foreign_code_that_takes_long_is_in_the_way(monkeypatch):
    clock = [5_000_000]
    found = made(clock, monkeypatch)
    found.agent.foreign.working = {"what": "init of 'lp'", "since": 4_500_000, "n": 1}
    assert found.blockers_now() == []
    clock[0] = 5_500_001
    assert found.blockers_now() == [{"kind": "working", "task": 7, "name": "working: init of 'lp'", "since": 4_500_000,
                                     "frames": ["lp.py:1 init of 7"]}]


def test_stacks_and_states_of_this_process(agent):
    """Of the main thread, of one that threading knows, and of none."""
    agent.tasks = Tasks(agent)
    ready, go = threading.Event(), threading.Event()

    def waits_here():
        ready.set()
        go.wait()
    thread = threading.Thread(target=waits_here)
    thread.start()
    ready.wait()
    assert any("test_stacks_and_states_of_this_process" in line for line in agent.tasks.stack(os.getpid()))
    assert any("waits_here" in line for line in agent.tasks.stack(thread.native_id))
    assert agent.tasks.stack(1 << 30) is None and agent.tasks.patch_state(None, None) == -1
    go.set()
    thread.join()


def test_a_defect_that_the_agents_thread_is_stuck_after_is_in_the_way(monkeypatch):
    found = made([100], monkeypatch)
    found.agent.thread.stuck = {"kind": "defect", "task": 7, "name": "klpfs: defect at core.py:1 f", "frames": [], "since": 1}
    assert found.blockers_now() == [found.agent.thread.stuck]
