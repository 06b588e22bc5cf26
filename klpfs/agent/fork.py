"""A fork: whole steps, no thread of ours while it happens, threads on both sides afterwards, and a child that is known
before its parent can report clean (docs/PROTOCOL.md#6).

A worker inside foreign code can't stop; then the fork goes on beside it, and the child drops or goes on with what was
being done, from its marks.
"""
from _thread import RLock
from posix import getpid, listdir

from klpfs.agent import api
from klpfs.agent.c_functions import allocate_lock, get_ident, monotonic
from klpfs.agent.server import bind
from klpfs.agent.service_folder import living

SWEEP = 16              # sockets made for children, beyond twice those alive, after which those of the dead are looked for
STOP = 0.5              # seconds: how long a thread of ours is waited for, beyond the step that it is in
IMPORTS = 10.0          # seconds: the same while the worker imports (Agent._prepare): a child with half a module could never import it
GONE = 0.02             # seconds: how long the system may take to remove a thread that has ended


class Forks:
    """The hooks for os.register_at_fork. They must not fail: what goes wrong is logged."""

    __slots__ = ("gate", "depth", "bound", "locked", "made", "most")

    def __init__(self):
        self.made, self.most = [], SWEEP        # names of sockets made for children; how many may be there unswept
        self.gate = RLock()             # one fork at a time; a signal handler may fork in the middle of one
        self.depth, self.bound, self.locked = 0, None, False

    def before(self):
        agent = api._agent
        if agent is None or agent.pid != getpid():
            return
        self.gate.acquire()
        self.depth += 1
        if self.depth > 1:              # a signal handler forks within a fork
            return
        worker = agent.worker
        mine = get_ident() == worker.ident
        if not mine:
            if not self._undecided(agent):
                worker.stop(IMPORTS if agent.prepared is False else STOP)
            worker.lock.acquire()       # the end of the step, if one is under way
        self.locked = not mine
        try:
            self.bound = bind(agent.folder)
        except OSError as e:
            self.bound = None           # the child binds its own; a short time nobody knows of it
            agent.server.no_socket(e, "no socket for a child")
        agent.server.stop(STOP)
        self._wait_until_gone(agent)

    def _undecided(self, agent):
        """The worker's stack holds foreign code, which can't be left."""
        op = agent.follower.op
        return agent.worker.working is not None or op is not None and op.phase == "prepared"

    def _wait_until_gone(self, agent):
        """Threads that have ended leave the process a moment later; a fork with them is warned of from 3.12 on."""
        waiting = allocate_lock()
        waiting.acquire()
        end = monotonic() + GONE
        ours = set(agent.ours)
        if agent.worker.running.locked():
            ours.discard(agent.worker.tid)
        while monotonic() < end:
            try:
                alive = {int(d) for d in listdir("/proc/self/task")}
            except OSError:
                return
            if not alive & ours:
                return
            waiting.acquire(True, 0.0002)

    def in_parent(self):
        agent = api._agent
        if agent is None or agent.pid != getpid() or not self.depth:
            return
        if self.depth > 1:
            self.depth -= 1
            self.gate.release()
            return
        if self.bound:
            self.bound[0].close()       # the child's; if the fork failed it refuses, and whoever sees that unlinks it
            self.made.append(self.bound[1])
            self.bound = None
            if len(self.made) >= self.most:
                self.made = living(agent.folder, self.made)
                self.most = 2 * len(self.made) + SWEEP
        agent.ours.clear()
        agent.server.start()
        if self.locked:
            agent.worker.start()
            agent.worker.lock.release()
        self.depth = 0
        self.gate.release()

    def in_child(self):
        agent = api._agent
        if agent is None or not self.depth:
            return
        bound, self.bound, self.depth = self.bound, None, 0
        self.gate = RLock()
        self.made, self.most = [], SWEEP
        inside = agent.engine.foreign if not self.locked else 0
        agent.child(bound, inside, not self.locked)
