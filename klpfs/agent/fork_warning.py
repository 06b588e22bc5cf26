"""The warning of a fork in a process of several threads, from 3.12 on, where all but the forking thread are klpfs's.

The program would see it on its standard error, or, where it takes warnings for errors, find its os.fork() failing in
the parent while the child lives (3.15, gh-135427), for a thread that it does not know of. It goes into the log. Where
the program has threads of its own the warning is the program's.
"""
from __future__ import annotations

import sys
from _operator import methodcaller
from posix import getpid, listdir

from klpfs.cpython.warning_filters import Words, filters, withdraw
from klpfs.engine.log import INFO

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from klpfs.agent.agent import Agent

_WARNS = sys.version_info >= (3, 12)
# Python counts threads when the hooks are over (gh-137109): those that klpfs has started again in them, too
_COUNTS_LATE = sys.version_info < (3, 14, 1)

_words = Words()
_FILTER = ("ignore", _words, DeprecationWarning, None, 0)
_is_it = methodcaller("__contains__", "is multi-threaded, use of ")
_list: list[Any] = []           # those filters among which it is
_said: list[int] = []           # the process that has said so in the log


def threads() -> set[int]:
    """The ids of this process's threads; none where /proc does not tell."""
    try:
        return {int(tid) for tid in listdir("/proc/self/task")}
    except OSError:
        return set()


def comes(agent: Agent, alone: bool) -> bool:
    """Whether a fork is over of which Python may warn for klpfs's threads alone. To be asked before they start again.
    alone: none of them was there."""
    if not _WARNS or alone and not _COUNTS_LATE:
        return False
    tids = threads()
    # a thread that has just been started may not have said its tid yet
    unsaid = [thread for thread in (agent.server, agent.thread) if thread.running.locked() and not thread.running.begun]
    return 1 <= len(tids - agent.own_tids) <= 1 + len(unsaid)


def expect(agent: Agent, alone: bool) -> None:
    """Such warnings in this thread are not the program's. Counterpart: forget, before the next fork. The filter is C's:
    a stop, or a signal handler, that raised in one of Python's would be lost, as up to 3.14 all is that a warning of a
    fork raises. alone: as for `comes`."""
    forget()
    found = filters()
    found[:0] = [_FILTER]
    _list[:] = [found]
    _words.match = _is_it
    if not alone and getpid() not in _said:
        _said[:] = [getpid()]
        agent.outbox.say("klpfs: this process forks beside threads of klpfs's, which the child does not have", INFO)


def forget() -> None:
    """It is expected no more."""
    for found in _list:
        withdraw(_words, found, _FILTER)
    del _list[:]
