"""The imports of a start: while a thread makes them no other thread forks.

A child has no thread but the one that has forked. What another thread was importing is half imported there, its lock
taken for good: an import of it in the child, by a start of its own, would never end. So a fork waits for the end of
these imports, for a bounded time. klpfs.agent imports this file, so the hooks are there before the first start.

What the hooks call is in lists, which are empty when the imports are made: from then on nothing of Python's runs here
at a fork that a signal handler could interrupt, whose exception would be lost (fork.py).
"""
from __future__ import annotations

import _thread
from _functools import partial
from _operator import methodcaller
from posix import register_at_fork

from klpfs.cpython.c_originals import original

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from klpfs.agent.agent import Agent

WAIT_S = 10.0           # a fork, until another thread has made its imports

RLock, get_ident = original(_thread, "RLock"), original(_thread, "get_ident")
_lock: Any = RLock()    # held while a thread imports, and while a thread forks meanwhile
_importer = 0           # ident of the thread that imports
_in_parent_last: list[Callable[[], int]] = []
_in_child_last: list[Callable[[], int]] = []


def import_start() -> Callable[..., Agent]:
    """The function klpfs.agent.start_agent.start, imported with what it will use. No other thread forks meanwhile."""
    global _importer
    with _lock:
        before = _importer
        _importer = get_ident()
        try:
            from klpfs.agent.start_agent import import_needed, start
            import_needed()
            return start
        finally:
            _importer = before


def are_made() -> None:
    """A start imports nothing more: forks need not wait. Called when fork.py registers its own hooks."""
    del _first[:]


def _before() -> int:
    """The imports of other threads are over, and none begins. Counterparts: _in_parent, _in_child."""
    if not _lock._is_owned():
        _lock.acquire(True, WAIT_S)
    _in_parent_last[:], _in_child_last[:] = [_in_parent], [_in_child]
    return 0


def _in_parent() -> int:
    del _in_parent_last[:], _in_child_last[:]
    if _lock._is_owned() and _importer != get_ident():      # else the fork is by what it imports: a hook of imports
        _lock.release()
    return 0


def _in_child() -> int:
    global _lock, _importer
    _in_parent()
    if _lock._is_owned():
        return 0
    if _lock.acquire(False):
        _lock.release()
    else:                   # the fork has waited too long: the thread that has it is not here
        _lock, _importer = RLock(), 0
    return 0


_first: list[Callable[[], int]] = [_before]         # what is called before a fork
_call_all = partial(sorted, key=methodcaller("__call__"))
register_at_fork(before=partial(_call_all, _first), after_in_parent=partial(_call_all, _in_parent_last),
                 after_in_child=partial(_call_all, _in_child_last))
