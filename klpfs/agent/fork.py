"""A fork: whole steps, no thread of ours while it happens, threads on both sides afterwards, and a child that is known
before its parent can report clean (docs/PROTOCOL.md#6).

The agent's thread, inside foreign code, can't stop; then the fork goes on beside it, and the child drops or goes on
with what was being done, from its marks (Engine.resume).

A signal handler of the program's may raise at any instruction of a hook, and Python drops what a hook raises. So each
hook is done again from its state until it has come to its end (`_surely`), is called twice, for what comes before its
first instruction (`hooks`), holds the main thread's signals back meanwhile (`_hold_signals`), and has the exception
raised behind the fork (`_hand_on`).
"""
from __future__ import annotations

from _functools import partial
from _operator import methodcaller
from _signal import SIG_BLOCK, SIG_SETMASK, SIGABRT, SIGBUS, SIGFPE, SIGILL, SIGSEGV, pthread_sigmask, valid_signals
from posix import getpid
from sys import _getframe

from klpfs.agent import api, fork_warning, start_imports
from klpfs.agent.c_functions import get_ident, monotonic
from klpfs.agent.foreign_code import Stopped
from klpfs.agent.quiet_thread import BEGIN_S
from klpfs.agent.server import bind
from klpfs.agent.service_folder import living
from klpfs.agent.waiting import OwnedLock, pause
from klpfs.cpython import left_behind
from klpfs.cpython.load.cut_off import is_library
from klpfs.engine.error import is_own_mistake

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from types import FrameType
    from typing import Any

    from klpfs.agent.agent import Agent
    from klpfs.agent.server import Bound

SWEEP = 16              # sockets made for children, beyond twice those alive, before dead ones are looked for
TRIES = 100             # how often a hook is done again, at most
OWN_TRIES = 3           # the same, for exceptions of klpfs's own
HELD = frozenset(valid_signals()) - {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT}     # those are a crash, not news


class Fork:
    """A fork under way. caller: the frame that forks. owner: its thread had the lock of the agent's thread already.
    ready: nothing is left to be done before it. bound: the child's socket. door: foreign code forks, which is not to be
    stopped meanwhile: for ForeignCode.open. leaves: it leaves frames of other threads behind in the child. alone: no
    thread of klpfs's is there, not even on its way out."""

    __slots__ = ("caller", "owner", "ready", "bound", "door", "leaves", "alone")

    def __init__(self, caller: FrameType | None, owner: bool) -> None:
        self.caller, self.owner = caller, owner
        self.ready, self.leaves, self.alone = False, True, False
        self.bound: Bound | None = None
        self.door: int | None = None

    def encloses(self, caller: FrameType | None) -> bool:
        """Whether a fork by `caller` is one within this fork: by a signal handler, say."""
        if caller is self.caller:
            return False
        while caller is not None and caller is not self.caller:
            caller = caller.f_back
        return caller is self.caller


def _class_for(error: BaseException) -> type[BaseException]:
    """A class whose instance is `error`: what is sent to a thread is a class."""
    kind: Any = type(error)
    metaclass: Any = type(kind)
    return metaclass(kind.__name__, (kind,), {"__new__": lambda cls, *args: error, "__module__": kind.__module__})


class Forks:
    """The hooks for os.register_at_fork. They must not fail: what goes wrong is logged."""

    __slots__ = ("gate", "fork", "door", "child", "made", "most", "masks", "cut_off", "last",
                 "behind")

    def __init__(self) -> None:
        self.gate = OwnedLock()         # a single fork at a time; a signal handler may fork in the middle of a fork
        self.fork: Fork | None = None   # whose thread has the gate
        self.door: int | None = None    # a fork is over, and the agent's thread, which has forked, opens its door again
        self.child: tuple[Bound | None, int] | None = None      # Agent.begin_child is owed, with these
        self.made: list[str] = []       # names of sockets made for children
        self.most = SWEEP               # how many of them may lie there unswept
        self.masks: dict[int, Any] = {}     # by ident: the signals of a thread that holds signals back
        self.cut_off: dict[tuple[int, int], BaseException] = {}     # by pid and ident: what was raised in a hook
        self.last: list[Callable[[], object]] = []      # called when the hooks are over, and then out of date

        self.behind = 0                 # calls of in_parent since the last of `before`: two for each fork

    def hooks(self, register: Callable[..., object]) -> None:
        """Register the hooks, each twice: what comes before the first instruction that it could be caught at is not
        lost with it. register: os.register_at_fork."""
        start_imports.are_made()
        for _ in range(2):
            register(before=self.before, after_in_parent=self.in_parent, after_in_child=self.in_child)
        call_last = partial(sorted, self.last, key=methodcaller("__call__"))    # runs no instruction of Python's
        register(after_in_parent=call_last, after_in_child=call_last)

    # -- whatever is raised meanwhile

    def _surely(self, agent: Agent, step: Callable[..., object], *args: Any) -> None:
        """step(agent, *args), done again until it has come to its end. It goes by what is, so that it may be."""
        own = 0
        for _ in range(TRIES):
            try:
                step(agent, *args)
                return
            except Stopped:             # it came before the door was shut
                agent.foreign.put_off()
            except BaseException as error:
                if not is_own_mistake(error):
                    self.cut_off.setdefault((getpid(), get_ident()), error)
                    continue
                own += 1
                if own == 1:
                    self._say(agent, error)
                elif own == OWN_TRIES:  # no memory: the program forks all the same
                    return

    def _try(self, agent: Agent, function: Callable[[], object]) -> None:
        """function(). An exception of klpfs's own is logged: what comes behind it is to be done all the same."""
        try:
            function()
        except Exception as error:
            if not is_own_mistake(error):
                raise
            self._say(agent, error)

    def _say(self, agent: Agent, error: BaseException) -> None:
        try:
            agent.outbox.defect(error)
        except Exception:
            pass

    def _hold_signals(self, agent: Agent) -> None:
        """Keep the main thread's signals for after the fork. Its handlers may still run, once, for signals that came
        before, or to another thread. Counterpart: _let_signals."""
        ident = get_ident()
        if ident == agent.main_ident:
            if ident not in self.masks:
                self.masks[ident] = pthread_sigmask(SIG_BLOCK, ())
            pthread_sigmask(SIG_BLOCK, HELD)

    def _let_signals(self, agent: Agent) -> None:
        """Signals as before: those that were held back are handled now, in here."""
        ident = get_ident()
        if ident in self.masks:
            pthread_sigmask(SIG_SETMASK, self.masks[ident])
            self.masks.pop(ident, None)

    def _end(self, agent: Agent) -> None:
        """Last: what comes while the hook returns has no other place to go to than Python's standard error."""
        self._let_signals(agent)
        self._hand_on(agent)

    def _hand_on(self, agent: Agent) -> None:
        """Have what the program has raised in the hooks raised behind the fork, at once: a hook in C (`hooks`) sends it
        to the thread, which looks for it when it is in no C function any more. Raised here Python would print and
        forget it, and with it a time limit or a Ctrl-C."""
        ident = get_ident()
        error = self.cut_off.get((getpid(), ident))
        if error is None:
            return
        # Up to 3.11 a thread that is being started has its maker's ident until it runs, and would get this.
        for thread in (agent.server, agent.thread):
            thread.running.begins(BEGIN_S)
        try:
            import ctypes  # by need
        except ImportError:
            self.cut_off.clear()
            return self._say(agent, error)
        self.last[:] = [partial(ctypes.pythonapi.PyThreadState_SetAsyncExc, ctypes.c_ulong(ident),
                                ctypes.py_object(_class_for(error)))]
        self.cut_off.pop((getpid(), ident), None)

    # -- before

    def before(self) -> None:
        """Both threads stop, the lock is taken, the child's socket is bound. Counterparts: in_parent, in_child."""
        agent = api.agent()
        del self.last[:]
        if agent is not None and agent.pid == getpid():
            self._surely(agent, self._before, _getframe().f_back)

    def _before(self, agent: Agent, caller: FrameType | None) -> None:
        by_thread = get_ident() == agent.thread.ident
        door = agent.foreign.shut() if by_thread else None
        self.behind = 0
        self.gate.acquire()
        fork = self.fork
        if fork is not None and fork.encloses(caller):      # it runs in no thread of ours
            return
        if fork is None or fork.caller is not caller:
            fork = self.fork = Fork(caller, agent.thread.lock.is_mine())
            fork.door = door
        if fork.ready:
            return
        fork_warning.forget()           # behind shut(): no stop may come here
        self._hold_signals(agent)
        if not by_thread:
            self._stop_thread(agent)
        if fork.bound is None:
            try:
                fork.bound = bind(agent.folder)
            except OSError as error:    # the child binds its own; a short time nobody knows of it
                if not is_own_mistake(error):
                    raise
                agent.server.no_socket(error, "no socket for a child")
        agent.server.stop(agent.limits.stop)
        fork.alone = self._wait_until_gone(agent) and not agent.thread.running.locked()
        if fork_warning.EARLY:
            self._expect_warning(agent, fork)
        fork.leaves = left_behind.would_be()
        fork.ready = True
        if self.fork is not fork:       # a signal handler has forked meanwhile, and this is its child
            if not fork.owner:
                agent.thread.lock.release()
            self._before(agent, caller)

    def _stop_thread(self, agent: Agent) -> None:
        """The agent's thread has done a whole step, and does no other."""
        thread, limits = agent.thread, agent.limits
        if agent.foreign.working is None and not agent.follower.undecided():    # else its stack holds foreign code
            # prepared False: Messages.prepare may be importing
            thread.stop(limits.stop_imports if agent.prepared is False else limits.stop)
        thread.lock.acquire()           # the end of the step, if a step is under way: see AgentThread.run

    def _wait_until_gone(self, agent: Agent) -> bool:
        """Threads that have ended leave the process a moment later; a fork with them is warned of from 3.12 on. Whether
        they are surely gone."""
        end = monotonic() + agent.limits.gone
        ended = set(agent.own_tids)
        if agent.thread.running.locked():
            ended.discard(agent.thread.tid)
        while monotonic() < end:
            alive = fork_warning.threads()
            if not alive:               # /proc does not tell
                return False
            if not alive & ended:
                agent.own_tids.difference_update(ended)
                return True
            pause(0.0002)
        return False

    # -- behind it

    def in_parent(self) -> None:
        """Both threads start again, the lock is let go, the child's socket is the child's."""
        agent = api.agent()
        if agent is None or agent.pid != getpid():
            return
        caller = _getframe().f_back
        self.behind += 1
        if self.behind % 2:             # the first call, after which threads start
            if fork_warning.EARLY:
                fork_warning.forget()
            else:
                self._surely(agent, self._expect_warning, self.fork if self.gate.is_mine() else None)
        if self.gate.is_mine():
            if self.fork is not None and self.fork.encloses(caller):
                return
        elif self.door is not None and get_ident() == agent.thread.ident:
            # in the hook's second call, so that no stop cuts the first
            self._surely(agent, self._open, caller)
            return
        self._surely(agent, self._in_parent)
        self._surely(agent, self._end)

    def _expect_warning(self, agent: Agent, fork: Fork | None) -> None:
        """The program does not hear of klpfs's threads in the warning of its fork."""
        alone = fork is not None and fork.alone
        self._try(agent, lambda: fork_warning.expect(agent, alone) if fork_warning.comes(agent, alone) else None)

    def _in_parent(self, agent: Agent) -> None:
        fork = self.fork
        if not self.gate.is_mine():     # it is done; or `before` was cut off at its very beginning
            return
        self._try(agent, lambda: self._forget_child(agent))
        self._try(agent, agent.server.start)
        self._try(agent, agent.thread.start)
        if fork is not None:
            self.door = fork.door
            if fork.door is None and not fork.owner:
                agent.thread.lock.release()
        self.fork = None
        self.gate.release()             # last: the hook is done again only as long as the gate is ours

    def _open(self, agent: Agent, caller: FrameType | None) -> None:
        """Foreign code may be stopped again, from behind the hooks on."""
        if self.door is not None:
            # Up to 3.11 a thread that is being started has its maker's ident until it runs, and would get the stop.
            agent.server.running.begins(BEGIN_S)
            library = caller is not None and is_library(caller.f_code.co_filename)
            self.last[:] = [agent.foreign.open_behind(self.door, library)]
            self.door = None

    def _forget_child(self, agent: Agent) -> None:
        """The child's socket is the child's."""
        fork = self.fork
        if fork is None or fork.bound is None:
            return
        fork.bound[0].close()           # if the fork failed it refuses, and the process that sees that unlinks it
        if fork.bound[1] not in self.made[-1:]:
            self.made.append(fork.bound[1])
        fork.bound = None
        if len(self.made) >= self.most:
            self.made = living(agent.folder, self.made)
            self.most = 2 * len(self.made) + SWEEP

    def in_child(self) -> None:
        """The child is a process of its own from here on."""
        agent = api.agent()
        if agent is None:
            return
        caller = _getframe().f_back
        self._surely(agent, self._in_child, caller)
        self._surely(agent, self._begin_child)
        self._surely(agent, self._end)

    def _in_child(self, agent: Agent, caller: FrameType | None) -> None:
        """Nothing is the parent's any more. It has no thread yet, so it may be done again."""
        if agent.pid == getpid():
            return
        fork_warning.forget()
        by_thread = get_ident() == agent.thread.ident
        fork = self.fork if self.gate.is_mine() else None       # None: `before` was cut off
        within = fork is not None and fork.encloses(caller)
        self.child = (fork.bound if fork is not None and not within else None,
                      agent.engine.callbacks_running if by_thread else 0)
        left_behind.note(fork.leaves if fork is not None else True)
        del self.last[:]
        self.masks = {ident: mask for ident, mask in self.masks.items() if ident == get_ident()}
        agent.become_child(*self.child, by_thread)
        self.made, self.most = [], SWEEP
        self.fork, self.door, self.gate = None, None, OwnedLock()
        agent.pid = getpid()

    def _begin_child(self, agent: Agent) -> None:
        """Threads again, and the journal, which may be done again as well."""
        if self.child is not None:
            agent.begin_child(*self.child)
            self.child = None
