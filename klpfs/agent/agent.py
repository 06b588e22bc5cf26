"""The agent of a process: its components put together, carried over forks, and what livepatch files ask of it (api.py).

    engine, target, modules     what is patched
    follower (load.py)          works towards the journal's record
    thread, foreign             do the follower's steps; run livepatches' code
    server, messages, outbox    speak with the coordinators
    joining, imports, tasks     the process's start; modules that come; who is in the way
    alone                       the end of a forked child

Each component is given the agent, and reaches the others by their names here.
"""
from __future__ import annotations

from errno import EINVAL
from posix import getpid

from klpfs.agent import borrowed, load
from klpfs.agent.agent_thread import AgentThread
from klpfs.agent.alone import Alone
from klpfs.agent.c_functions import clock_us, get_ident, modules
from klpfs.agent.follower import Follower
from klpfs.agent.foreign_code import ForeignCode
from klpfs.agent.imports import Imports
from klpfs.agent.joining import Joining
from klpfs.agent.lazy_target import CPython
from klpfs.agent.limits import Limits
from klpfs.agent.messages import Messages
from klpfs.agent.modules import Modules
from klpfs.agent.outbox import Outbox
from klpfs.agent.server import Server
from klpfs.agent.tasks import Tasks
from klpfs.engine.core import Engine
from klpfs.engine.error import KlpError, is_ours
from klpfs.engine.log import INFO, MODULE, Log
from klpfs.engine.plain import plain_str

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from klpfs.agent.server import Bound
    from klpfs.agent.waits import Waits
    from klpfs.engine.data import Patch


class Agent:
    """Made, registered and started once in a process, by klpfs.agent.start.

    service, folder: its name and its folder's path. keep: the journal outlives the service. group: the number of the
    group whose users may live in the folder, or None. parts: what it takes of klpfs/cpython (lazy_target.CPython).
    started: usec, CLOCK_MONOTONIC. pid: of the process that it belongs to; a C program may fork without our hooks.
    main_ident: the main thread's. own_tids: native ids of klpfs's threads. prepared: False: what a load needs was asked
    for; True: it is there. waits: the watchdog, where one is on."""

    __slots__ = ("service", "folder", "keep", "parts", "limits", "started", "pid", "main_ident", "own_tids", "prepared",
                 "log", "target", "engine", "modules", "follower", "thread", "foreign", "server", "outbox", "messages",
                 "joining", "imports", "tasks", "alone", "waits")

    def __init__(self, service: str, folder: str, keep: bool, group: int | None = None, parts: Any = CPython) -> None:
        self.service, self.folder, self.keep, self.parts = service, folder, keep, parts
        self.limits = Limits()
        self.started, self.pid = clock_us(), getpid()
        main = getattr(modules.get("threading"), "_main_thread", None)
        self.main_ident: int = getattr(main, "ident", None) or get_ident()
        self.own_tids: set[int] = set()
        self.prepared: bool | None = None
        self.outbox = Outbox(self)
        self.log = Log(clock_us, 4096, self.outbox.sink)
        self.target = parts.target(self)
        self.engine = Engine(self.target, self.log)
        self.modules = Modules(self)
        self.follower = Follower(self.engine, self.modules, self)
        self.thread = AgentThread(self)
        self.foreign = ForeignCode(self.thread, self.outbox.say)
        self.server = Server(self, folder, group)
        self.messages, self.joining = Messages(self), Joining(self)
        self.imports, self.tasks, self.alone = Imports(self), Tasks(self), Alone(self)
        self.waits: Waits | None = None

    # -- forks

    def become_child(self, bound: Bound | None, inside: int, by_thread: bool = False) -> None:
        """In a forked child: nothing is its parent's any more. Before begin_child, whose arguments are the first two;
        it may be done again until then. by_thread: the surviving thread is the agent's. `pid` is the caller's to
        set."""
        borrowed.give_back(self)
        self.alone.after_fork(get_ident() == self.main_ident)
        self.main_ident, self.started = get_ident(), clock_us()
        self.own_tids.clear()
        self.prepared = None
        self.server.after_fork(bound)       # early: its parent's connections are not to get anything of ours
        self.thread.after_fork()
        self.foreign.after_fork()
        self.outbox.after_fork()
        if self.waits is not None:
            self.waits.after_fork()
        self.messages.after_fork()
        self.joining.after_fork()
        self.imports.after_fork()
        self.tasks.after_fork()
        self.log.after_fork()
        self.engine.after_fork(inside)
        self.follower.after_fork(by_thread)

    def begin_child(self, bound: Bound | None, inside: int) -> None:
        """In a forked child: a process of its own from here on; what was begun may be done again. bound: the socket
        that its parent made for it (fork.py); inside: how many callbacks of the engine the surviving thread is in."""
        self.outbox.begin_with(self.follower.report())
        if not self.server.name:
            try:
                self.server.listen(bound)
            except OSError as error:
                if not is_ours(error):      # a signal handler's
                    raise
                self.server.no_socket(error)
        self.joining.run()
        if not inside:
            self.joining.join()
            return
        record = self.joining.journal()     # followed when the callback is over, which waits for us here
        if record is not None:
            self.follower.set_goal(record)

    def register_if_forked(self) -> None:
        """C has forked behind our back: this process registers now."""
        if getpid() != self.pid:
            self.become_child(None, 0)
            self.pid = getpid()
            self.begin_child(None, 0)

    # -- what livepatch files ask (api.py)

    def enable_patch(self, patch: Patch) -> int:
        """klp_enable_patch(), called by a livepatch's init(). KlpError as load.enable_patch, EINVAL in any other
        thread."""
        if get_ident() != self.thread.ident:
            raise KlpError(EINVAL, "enable_patch() outside of a module's init()")
        return self.foreign.own(self._enable_patch, patch)

    def _enable_patch(self, patch: Patch) -> int:
        self.imports.apply(self.target.loaded_again(), self.imports.put_by_hand())
        if self.follower.main and any(obj.name is None for obj in patch.objects):
            self.target.main_waits = False      # or it may wait for ever: it finds what has come, or is refused
        return load.enable_patch(self.follower, patch)

    def pr_info(self, text: str) -> None:
        """A line in the service's log, of a livepatch."""
        self.foreign.shield(self.log.add, plain_str(text), INFO, MODULE)
