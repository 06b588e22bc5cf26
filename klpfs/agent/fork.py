"""A fork: whole steps, no thread of ours while it happens, threads on both sides afterwards, and a child that is known
before its parent can report clean (docs/PROTOCOL.md#6).

The agent's thread, inside foreign code, can't stop; then the fork goes on beside it, and the child drops or goes on
with what was being done, from its marks (Engine.resume_after_fork).
"""
from __future__ import annotations

from _thread import RLock
from posix import getpid, listdir

from klpfs.agent import api
from klpfs.agent.c_functions import get_ident, monotonic
from klpfs.agent.server import bind
from klpfs.agent.service_folder import living
from klpfs.agent.waiting import pause

TYPE_CHECKING = False
if TYPE_CHECKING:
    from klpfs.agent.agent import Agent
    from klpfs.agent.server import Bound

SWEEP = 16              # sockets made for children, beyond twice those alive, before dead ones are looked for


class Forks:
    """The hooks for os.register_at_fork. They must not fail: what goes wrong is logged."""

    __slots__ = ("gate", "depth", "bound", "locked", "made", "most")

    def __init__(self) -> None:
        self.made: list[str] = []       # names of sockets made for children
        self.most = SWEEP               # how many of them may lie there unswept
        self.gate = RLock()             # a single fork at a time; a signal handler may fork in the middle of a fork
        self.depth = 0                  # of forks within a fork
        self.bound: Bound | None = None     # the child's socket
        self.locked = False             # the lock of the agent's thread is held

    def before(self) -> None:
        """Both threads stop, the lock is taken, the child's socket is bound. Counterparts: in_parent, in_child."""
        agent = api.agent()
        if agent is None or agent.pid != getpid():
            return
        self.gate.acquire()
        self.depth += 1
        if self.depth > 1:              # a signal handler forks within a fork
            return
        thread, limits = agent.thread, agent.limits
        by_thread = get_ident() == thread.ident
        if not by_thread:
            if agent.foreign.working is None and not agent.follower.undecided():    # else its stack holds foreign code
                # prepared False: Messages.prepare may be importing
                thread.stop(limits.stop_imports if agent.prepared is False else limits.stop)
            thread.lock.acquire()       # the end of the step, if a step is under way: see AgentThread.run
        self.locked = not by_thread
        try:
            self.bound = bind(agent.folder)
        except OSError as error:
            self.bound = None           # the child binds its own; a short time nobody knows of it
            agent.server.no_socket(error, "no socket for a child")
        agent.server.stop(limits.stop)
        self._wait_until_gone(agent)

    def _wait_until_gone(self, agent: Agent) -> None:
        """Threads that have ended leave the process a moment later; a fork with them is warned of from 3.12 on."""
        end = monotonic() + agent.limits.gone
        ended = set(agent.own_tids)
        if agent.thread.running.locked():
            ended.discard(agent.thread.tid)
        while monotonic() < end:
            try:
                alive = {int(tid) for tid in listdir("/proc/self/task")}
            except OSError:
                return
            if not alive & ended:
                return
            pause(0.0002)

    def in_parent(self) -> None:
        """Both threads start again, the lock is let go, the child's socket is the child's."""
        agent = api.agent()
        if agent is None or agent.pid != getpid() or not self.depth:
            return
        if self.depth > 1:
            self.depth -= 1
            self.gate.release()
            return
        if self.bound:
            self.bound[0].close()       # if the fork failed it refuses, and the process that sees that unlinks it
            self.made.append(self.bound[1])
            self.bound = None
            if len(self.made) >= self.most:
                self.made = living(agent.folder, self.made)
                self.most = 2 * len(self.made) + SWEEP
        agent.own_tids.clear()
        agent.server.start()
        if self.locked:
            agent.thread.start()
            agent.thread.lock.release()
        self.depth = 0
        self.gate.release()

    def in_child(self) -> None:
        """The child is a process of its own from here on."""
        agent = api.agent()
        if agent is None or not self.depth:
            return
        bound, self.bound, self.depth = self.bound, None, 0
        self.gate = RLock()
        self.made, self.most = [], SWEEP
        inside = agent.engine.callbacks_running if not self.locked else 0
        agent.after_fork(bound, inside, not self.locked)
