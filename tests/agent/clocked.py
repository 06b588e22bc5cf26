"""An agent's thread that nobody runs, with a clock that the test moves."""
from types import SimpleNamespace

from klpfs.agent import agent_thread
from klpfs.agent.agent_thread import AgentThread
from klpfs.agent.foreign_code import ForeignCode


class Clocked:
    """thread, foreign. took: how long each look takes, in seconds, of which it ran for `ran`. looks, signals: when they
    came;
    said: lines of the log."""

    def __init__(self, monkeypatch, took=0.0, ran=None):
        self.now, self.looks, self.signals, self.said = 100.0, [], [], []
        self.took, self.ran, self.own = took, took if ran is None else ran, 0.0
        monkeypatch.setattr(agent_thread, "monotonic", lambda: self.now)
        monkeypatch.setattr(agent_thread, "thread_time", lambda: self.own)
        self.turn, self.main_is_there = 1, False
        self.asked, self.came = [], []
        self.follower = SimpleNamespace(look_key=lambda: (1, self.turn), look=self.look, step=lambda: False, recover=lambda error: False, refuse_stuck=lambda: None,
                                        mark_followed=lambda: None, main_came=lambda: self.came.append(self.now))
        self.stuck_reports = []
        outbox = SimpleNamespace(report_stuck=self.stuck_reports.append, say=lambda text, priority: self.said.append(text),
                                 defect=lambda error: self.said.append(repr(error)))
        self.thread = AgentThread(SimpleNamespace(
            follower=self.follower, own_tids=set(), outbox=outbox, tasks=SimpleNamespace(looked=lambda blockers: None),
            engine=SimpleNamespace(signal=lambda: self.signals.append(self.now), patches=[]),
            joining=SimpleNamespace(main_is_there=self.ask)))
        self.foreign = self.thread.agent.foreign = ForeignCode(self.thread, outbox.say)

    def look(self):
        self.looks.append(self.now)
        self.now += self.took
        self.own += self.ran
        return ["somebody"]

    def ask(self):
        self.asked.append(self.now)
        return self.main_is_there

    def run(self, seconds):
        end = self.now + seconds
        while self.now < end:
            self.now += self.thread._turn()
        return self

    def pauses(self):
        return [b - a - self.took for a, b in zip(self.looks, self.looks[1:])]
