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
from klpfs.agent.foreign_code import Stopped
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

    __slots__ = ("gate", "depth", "bound", "locked", "made", "most", "door")

    def __init__(self) -> None:
        self.made: list[str] = []       # names of sockets made for children
        self.most = SWEEP               # how many of them may lie there unswept
        self.gate = RLock()             # a single fork at a time; a signal handler may fork in the middle of a fork
        self.depth = 0                  # of forks within a fork
        self.bound: Bound | None = None     # the child's socket
        self.locked = False             # the lock of the agent's thread is held
        self.door: int | None = None    # foreign code forks, which is not to be stopped meanwhile: for ForeignCode.open

    def before(self) -> None:
        """Both threads stop, the lock is taken, the child's socket is bound. Counterparts: in_parent, in_child."""
        try:
            self._before()
        except Stopped:                 # it came before the door was shut, so nothing was done
            self._before()

    def _before(self) -> None:
        agent = api.agent()
        if agent is None or agent.pid != getpid():
            return
        by_thread = get_ident() == agent.thread.ident
        door = agent.foreign.shut() if by_thread else None
        self.gate.acquire()
        self.depth += 1
        if self.depth > 1:              # a signal handler forks within a fork; it runs in no thread of ours
            return
        self.door, self.bound, self.locked = door, None, False
        try:
            if not by_thread:
                self._stop_thread(agent)
            try:
                self.bound = bind(agent.folder)
            except OSError as error:    # the child binds its own; a short time nobody knows of it
                agent.server.no_socket(error, "no socket for a child")
            agent.server.stop(agent.limits.stop)
            self._wait_until_gone(agent)
        except Exception as error:      # no memory: the program forks all the same
            self._say(agent, error)

    def _stop_thread(self, agent: Agent) -> None:
        """The agent's thread has done a whole step, and does no other."""
        thread, limits = agent.thread, agent.limits
        if agent.foreign.working is None and not agent.follower.undecided():    # else its stack holds foreign code
            # prepared False: Messages.prepare may be importing
            thread.stop(limits.stop_imports if agent.prepared is False else limits.stop)
        thread.lock.acquire()           # the end of the step, if a step is under way: see AgentThread.run
        self.locked = True

    def _say(self, agent: Agent, error: Exception) -> None:
        try:
            agent.outbox.defect(error)
        except Exception:
            pass

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
        try:
            self._forget_child(agent)
            agent.own_tids.clear()
            agent.server.start()
        except Exception as error:
            self._say(agent, error)
        try:
            if self.locked:
                agent.thread.start()
        except Exception as error:
            self._say(agent, error)
        finally:
            door, self.door = self.door, None
            if self.locked:
                agent.thread.lock.release()
            self.depth = 0
            self.gate.release()
        if door is not None:
            agent.foreign.open(door)    # a stop that was asked for meanwhile is asked for again by the server's thread

    def _forget_child(self, agent: Agent) -> None:
        """The child's socket is the child's."""
        if self.bound:
            self.bound[0].close()       # if the fork failed it refuses, and the process that sees that unlinks it
            self.made.append(self.bound[1])
            self.bound = None
            if len(self.made) >= self.most:
                self.made = living(agent.folder, self.made)
                self.most = 2 * len(self.made) + SWEEP

    def in_child(self) -> None:
        """The child is a process of its own from here on."""
        agent = api.agent()
        if agent is None or agent.pid == getpid():
            return
        by_thread = get_ident() == agent.thread.ident
        if not self.depth:              # `before` was cut off, or the parent had not registered itself
            self.bound = None
        bound, self.bound, self.depth, self.door = self.bound, None, 0, None
        self.gate = RLock()
        self.made, self.most = [], SWEEP
        try:
            agent.after_fork(bound, agent.engine.callbacks_running if by_thread else 0, by_thread)
        except Exception as error:      # no thread, no memory: a process that nobody reaches
            self._say(agent, error)
