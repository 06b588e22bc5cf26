"""Starts the one agent of this process, and carries it over forks and to the exit."""
import atexit
import posix
import sys
from _thread import RLock
from errno import EBUSY, ENOSYS
from posix import getpid, register_at_fork

from klpfs.agent import api
from klpfs.agent.fork import Forks
from klpfs.protocol.folder_layout import absolute, group_number, make_folder, runtime_dir
from klpfs.protocol.names import check_service

_hooked = False
_one = RLock()           # starts in several threads at once


def unsupported():
    """Why this Python can't be patched, None if it can."""
    if sys.implementation.name != "cpython":
        return "klpfs patches CPython, this is %s" % sys.implementation.name
    if sys.version_info < (3, 9):
        return "klpfs needs CPython 3.9 or later, this is %d.%d" % sys.version_info[:2]
    if not getattr(sys, "_is_gil_enabled", lambda: True)():
        return "klpfs does not patch free-threaded builds: a stack can't be seen as a whole there"
    return None


def default_service():
    """The base name of the script, or what `-m` was given."""
    words = list(getattr(sys, "orig_argv", ()))
    if "-m" in words[1:-1]:
        return words[words.index("-m") + 1]
    name = (sys.argv[0] if getattr(sys, "argv", None) else "").rpartition("/")[2]
    return name if name not in ("", "-", "-c") else "python"


def start(service=None, keep=False, environ=None, group=None, running=False):
    """As klpfs.agent.start. Returns the Agent. running: the program's own code may be on stacks already."""
    with _one:
        return _start(service, keep, environ, group, running)


def _start(service, keep, environ, group, running):
    global _hooked
    env = {k.decode("utf-8", "surrogateescape"): v.decode("utf-8", "surrogateescape") for k, v in posix.environ.items()}
    env.update(environ or {})
    name = check_service(service or env.get("KLPFS_SERVICE") or default_service())
    agent = api._agent
    if agent is not None:
        if agent.pid != getpid():
            agent.child(None, 0)        # C forked behind our back: this process registers now
        if not service or agent.service == name:
            return agent
        raise OSError(EBUSY, "this process is part of the service '%s' already" % agent.service)
    why = unsupported()
    if why:
        raise OSError(ENOSYS, why)
    from klpfs.agent.agent import Agent
    from klpfs.agent.bridge import Bridge
    group = group_number(env.get("KLPFS_GROUP") if group is None else group)
    folder = make_folder(absolute(runtime_dir(env)) + "/" + name, group)
    agent = Agent(name, folder, bool(keep or env.get("KLPFS_KEEP")), Bridge, group)
    if not _hooked:
        _hooked = True
        forks = Forks()
        register_at_fork(before=forks.before, after_in_parent=forks.in_parent, after_in_child=forks.in_child)
        atexit.register(_end)
    agent.register()
    api._agent = agent
    try:
        agent.start(running)
    except BaseException:
        api._agent = None
        agent.server.remove()
        raise
    return agent


def _after_fork():
    """In a child: the thread that was in the middle of a start stayed in the parent."""
    global _one
    _one = RLock()


register_at_fork(after_in_child=_after_fork)


def _end():
    """At exit: threads end, and nobody finds the socket any more."""
    agent = api._agent
    if agent is not None and agent.pid == getpid():
        agent.server.remove()
        agent.server.stop(0.2)
        if agent.worker.working is None:
            agent.worker.stop(0.2)
