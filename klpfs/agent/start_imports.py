"""The imports of a start: while a thread makes them no other thread forks.

A child has no thread but the one that has forked. What another thread was importing is half imported there, its lock
taken for good: an import of it in the child, by a start of its own, would never end. So a fork waits for the end of
these imports, for a bounded time. klpfs.agent imports this file, so the hooks are there before the first start.
"""
from __future__ import annotations

from _thread import RLock, get_ident
from posix import register_at_fork

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from klpfs.agent.agent import Agent

WAIT_S = 10.0           # a fork, until another thread has made its imports

_lock: Any = RLock()    # held while a thread imports, and while a thread forks
_importer = 0           # ident of the thread that imports


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


def _before() -> None:
    """The imports of other threads are over, and none begins. Counterparts: _in_parent, _in_child."""
    if not _lock._is_owned():
        _lock.acquire(True, WAIT_S)


def _in_parent() -> None:
    if _lock._is_owned() and _importer != get_ident():      # else the fork is by what it imports: a hook of imports
        _lock.release()


def _in_child() -> None:
    global _lock, _importer
    _in_parent()
    if _lock._is_owned():
        return
    if _lock.acquire(False):
        _lock.release()
    else:                   # the fork has waited too long: the thread that has it is not here
        _lock, _importer = RLock(), 0


for _ in range(2):      # a signal handler may raise before a hook's first instruction (fork.py, Forks.hooks)
    register_at_fork(before=_before, after_in_parent=_in_parent, after_in_child=_in_child)
