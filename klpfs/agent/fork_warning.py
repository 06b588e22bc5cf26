"""The warning of a fork in a process of several threads, from 3.12 on, where all but the forking thread are klpfs's.

The program would see it on its standard error, or, where it takes warnings for errors, find its os.fork() failing in
the parent while the child lives (3.15, gh-135427), for a thread that it does not know of. It goes into the log. Where
the program has threads of its own the warning is the program's.
"""
from __future__ import annotations

import sys
from _functools import partial, reduce
from _operator import methodcaller, sub
from posix import getpid, listdir

from klpfs.cpython.warning_filters import Words, filters, withdraw
from klpfs.engine.log import INFO

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from klpfs.agent.agent import Agent

_WARNS = sys.version_info >= (3, 12)
EARLY = sys.version_info < (3, 13)      # it warns, and counts threads, before the hooks behind the fork
# CPython counts threads when the hooks are over (gh-137109): those that klpfs has started again in them, too
_COUNTS_LATE = (3, 13) <= sys.version_info < (3, 14, 1)

_words = Words()
_FILTER = ("ignore", _words, DeprecationWarning, None, 0)
_list: list[Any] = []           # the list of filters that _FILTER is in
_said: list[int] = []           # the process that has said so in the log


def _in_turn(*functions: Callable[..., object]) -> Callable[[Any], Any]:
    """A function of C alone that calls functions of C in turn: the first with its argument, the others with what the
    function before has returned. No signal handler and no stop can come in between."""
    return partial(reduce, sub, [type("Step", (), {"__rsub__": staticmethod(each)})() for each in functions])


# Whether a warning's words are a fork's; then _FILTER is taken out of the list, as no second warning comes.
_is_it = _in_turn(methodcaller("count", "is multi-threaded, use of "), [_FILTER].__mul__,
                  partial(map, list.remove, _list), list)


def threads() -> set[int]:
    """The ids of this process's threads; none where /proc does not tell."""
    try:
        return {int(tid) for tid in listdir("/proc/self/task")}
    except OSError:
        return set()


def comes(agent: Agent, alone: bool) -> bool:
    """Whether CPython may warn of a fork for klpfs's threads alone. To be asked when they have stopped. alone: none of
    them was there."""
    if not _WARNS or alone and not _COUNTS_LATE:
        return False
    tids = threads()
    # a thread that has just been started may not have said its tid yet
    unsaid = [thread for thread in (agent.server, agent.thread) if thread.running.locked() and not thread.running.begun]
    return 1 <= len(tids - agent.own_tids) <= 1 + len(unsaid)


def expect(agent: Agent, alone: bool) -> None:
    """Has the warning of this thread's fork ignored. The filter is gone when the warning has come; where none comes,
    after a fork that failed, `forget`, the counterpart, takes it out before the next fork. The filter is C's: if a stop
    or a signal handler raised in Python code of the filter, up to 3.14 CPython would drop the exception with the
    warning. alone: as for `comes`."""
    forget()
    found = filters()
    found[:0] = [_FILTER]
    _list[:] = [found]
    _words.match = _is_it
    if not alone and getpid() not in _said:
        _said[:] = [getpid()]
        agent.outbox.say("klpfs: this process forks beside threads of klpfs's, which the child does not have", INFO)


def forget() -> None:
    """The warning is not ignored any more."""
    for found in _list:
        withdraw(_words, found, _FILTER)
    del _list[:]
