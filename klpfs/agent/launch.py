"""Starts the one agent of this process, and carries it over forks and to the exit."""
import atexit
import sys
from errno import EBUSY, ENOSYS
from posix import getpid, register_at_fork

from klpfs.agent import api
from klpfs.agent.fork import Forks
from klpfs.agent.places import check_service, make_folder, runtime_dir

_hooked = False


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


def start(service, keep, environ=None):
    """As klpfs.agent.start. Returns the Agent."""
    import posix
    global _hooked
    env = {k.decode("utf-8", "surrogateescape"): v.decode("utf-8", "surrogateescape") for k, v in posix.environ.items()}
    env.update(environ or {})
    name = check_service(service or env.get("KLPFS_SERVICE") or default_service())
    agent = api._agent
    if agent is not None and agent.pid == getpid():
        if agent.service == name:
            return agent
        raise OSError(EBUSY, "this process is part of the service '%s' already" % agent.service)
    why = unsupported()
    if why:
        raise OSError(ENOSYS, why)
    from klpfs.agent.agent import Agent
    from klpfs.agent.bridge import Bridge
    folder = make_folder(runtime_dir(env) + "/" + name)
    agent = Agent(name, folder, bool(keep or env.get("KLPFS_KEEP")), Bridge)
    api._agent = agent
    try:
        agent.start()
    except BaseException:
        api._agent = None
        raise
    if not _hooked:
        _hooked = True
        forks = Forks()
        register_at_fork(before=forks.before, after_in_parent=forks.in_parent, after_in_child=forks.in_child)
        atexit.register(_end)
    return agent


def _end():
    """At exit: threads end, and nobody finds the socket any more."""
    agent = api._agent
    if agent is not None and agent.pid == getpid():
        agent.server.remove()
        agent.server.stop(0.2)
        if agent.worker.working is None:
            agent.worker.stop(0.2)
