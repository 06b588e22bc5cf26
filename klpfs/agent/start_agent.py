"""Starts the one agent of this process, and carries it over forks and to the exit."""
from __future__ import annotations

import atexit
import sys
from _thread import RLock
from errno import EBUSY, ENOSYS
from posix import getpid, register_at_fork

from klpfs.agent import api
from klpfs.agent.fork import Forks
from klpfs.agent.python_path import keep_first
from klpfs.agent.supported import remark, unsupported
from klpfs.engine.log import WARNING
from klpfs.protocol.folder_layout import absolute, environment, group_number, make_folder, runtime_dir
from klpfs.protocol.names import check_service

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from klpfs.agent.agent import Agent

_hooked = False
_starting = RLock()         # held by the thread that starts the agent: several may try to at once


def import_needed() -> None:
    """Import what `start` will use, where this Python can be patched (start_imports.py)."""
    if unsupported():
        return
    import klpfs.agent.agent
    import klpfs.cpython.program.import_hooks  # noqa: F401
    if "KLPFS_WATCHDOG" in environment():
        import klpfs.agent.waits  # noqa: F401


def default_service() -> str:
    """The base name of the script, or what `-m` was given."""
    words = list(getattr(sys, "orig_argv", ()))
    if "-m" in words[1:-1]:
        return words[words.index("-m") + 1]
    name = (sys.argv[0] if getattr(sys, "argv", None) else "").rpartition("/")[2]
    return name if name not in ("", "-", "-c") else "python"


def start(service: str | None = None, keep: bool = False, environ: Mapping[str, str] | None = None,
          group: str | int | None = None, running: bool = False) -> Agent:
    """Start the agent, as klpfs.agent.start does, and return it. running: the program's own code may be on stacks
    already."""
    with _starting:
        return _start(service, keep, environ, group, running)


def _start(service: str | None, keep: bool, environ: Mapping[str, str] | None, group: str | int | None,
           running: bool) -> Agent:
    global _hooked
    env = environment()
    env.update(environ or {})
    name = check_service(service or env.get("KLPFS_SERVICE") or default_service())
    agent = api.agent()
    if agent is not None:
        agent.register_if_forked()
        if not service or agent.service == name:
            return agent
        raise OSError(EBUSY, f"this process is part of the service '{agent.service}' already")
    why = unsupported()
    if why:
        raise OSError(ENOSYS, why)
    from klpfs.agent.agent import Agent
    number = group_number(env.get("KLPFS_GROUP") if group is None else group)
    folder = make_folder(absolute(runtime_dir(env)) + "/" + name, number)
    agent = Agent(name, folder, bool(keep or env.get("KLPFS_KEEP")), number)
    if env.get("KLPFS_WATCHDOG"):
        from klpfs.agent.waits import Waits  # by need: for tests
        agent.waits = Waits(agent, env["KLPFS_WATCHDOG"])
    if not _hooked:
        _hooked = True
        Forks().hooks(register_at_fork)
        if env.get("KLPFS_MAIN_PID"):           # `klpfs run` has started the service
            keep_first()
        atexit.register(_end)
    agent.joining.register()
    api.set_agent(agent)
    words = remark()
    if words:
        agent.outbox.say(words, WARNING)
    try:
        agent.joining.start(running)
    except BaseException:
        api.set_agent(None)
        agent.server.remove()
        raise
    return agent


def _after_fork() -> None:
    """In a child: the thread that was in the middle of a start stayed in the parent."""
    global _starting
    _starting = RLock()


register_at_fork(after_in_child=_after_fork)


def _end() -> None:
    """At exit: threads end, and nobody finds the socket any more."""
    agent = api.agent()
    if agent is not None and agent.pid == getpid():
        agent.server.remove()
        agent.server.stop(0.2)
        agent.server.remove()       # again: the thread may just have seen that the name is lost, and bound a new socket
        if agent.foreign.working is None:
            agent.thread.stop(0.2)
    if agent is not None:
        agent.parts.let_go_of_imports()     # in a child that has no agent of its own, too
