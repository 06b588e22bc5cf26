"""The waits of an agent, looked at by its server thread while a watchdog is on (protocol/long_waits.py).

A wait is meant to end by a rule (docs/DESIGN.md#11); what is looked for here is a thread that does not move, and a
change that nobody was told of. Foreign code may take as long as it likes: it is named elsewhere.
"""
from __future__ import annotations

from klpfs.agent.c_functions import monotonic
from klpfs.protocol.long_waits import LOOK_S, LongWaits, Stacks

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Hashable

    from klpfs.agent.agent import Agent


class Waits:
    """agent: its thread, follower, outbox, joining and foreign code are read. folder: of the stacks."""

    __slots__ = ("agent", "stacks", "_long", "_next")

    def __init__(self, agent: Agent, folder: str) -> None:
        self.agent, self.stacks = agent, Stacks(folder)
        self._fresh()

    def _fresh(self) -> None:
        self._long, self._next = LongWaits(), 0.0

    def after_fork(self) -> None:
        """A child has a file of its own."""
        self.stacks.end()
        self.stacks.begin()
        self._fresh()

    def tick(self) -> None:
        """Look, about once a second. The server's thread."""
        now = monotonic()
        if now < self._next:
            return
        self._next = now + LOOK_S
        self.stacks.begin()         # again, where the program has closed its file
        try:
            waits = self.now_waiting()
        except Exception:           # what is read has just changed under our eyes: so it moves
            waits = {}
        long = self._long.look(waits, now)
        if long:
            try:
                self.stacks.say(long, "agent of " + self.agent.service)
            except OSError:         # no folder any more, or no descriptors
                pass

    def now_waiting(self) -> dict[Hashable, str]:
        """What waits now, by keys for LongWaits.look. Changes nothing, and waits for no lock (whether the thread's is
        taken is found out by a try): what changes meanwhile is another key the next time."""
        agent = self.agent
        waits: dict[Hashable, str] = {}
        thread, follower = agent.thread, agent.follower
        moves, idle = thread.moves, thread.idle
        if not thread.running.locked():
            if not thread.stopping:     # by a fork, or the exit
                waits["dead", moves] = "the agent's thread has ended"
            return waits
        if agent.foreign.working is not None or agent.prepared is False:
            return waits
        if agent.joining.joins:
            waits["join", agent.joining.joins] = "the program waits until its service's journal is followed"
        if not idle:
            waits["step", moves] = "the agent's thread is in a step"
            return waits
        if thread.lock.locked():
            waits["lock", moves] = "the lock of the agent's thread is taken, and not by the thread"
            return waits
        goal = follower.goal
        if thread.requests:
            waits["request", moves] = "the agent's thread sleeps over a request"
        if goal is not None and follower.seen < goal["seq"] and agent.engine.arrival is None:
            waits["behind", moves, goal["seq"]] = f"the agent's thread sleeps over the record {goal['seq']}"
        if follower.look_key() is not None and thread.look_is_late(monotonic()):
            waits["look", moves] = "the agent's thread sleeps over a look"
        if not agent.outbox.has_said(follower.report()):
            waits["report", moves] = "the last report is not what this process has come to"
        return waits
