"""Foreign code that is cut off between any two instructions: where that does no harm, and what it has left taken.

An exception that another thread sets (agent/foreign_code.py, Stopped) may come between the call that takes a lock and
the `try` behind it, and then nobody lets go of the lock: the program's next import, fork or log record waits for ever.
So a stop is asked for where the thread is in no code of the standard library, if that can be had (`is_in_library`), and
whatever ends foreign code, locks that its thread still has are let go (`give_back`):

    the import lock, locks of modules (importlib's _ModuleLock), with what waits for them; a module whose import was cut
    off leaves sys.modules, as importlib does with a module whose import fails
    after a stop, every RLock of the process that the thread has: logging's, its handlers', threading's, the program's
    (on 3.9 of modules and of logging's handlers alone)

A plain lock does not say whose it is, and stays taken if a stop comes in the few instructions of the library around it:
tempfile's, those of a Condition, an Event, a Queue; on 3.9 also at the end of a `with` (concurrent.futures,
multiprocessing), from 3.14 on also at its beginning. For them it is only the place that a stop is asked for which
helps.
"""
from __future__ import annotations

import _frozen_importlib as _bootstrap
import _imp
import _thread
import gc
import sys

from klpfs.cpython import interpreters
from klpfs.cpython.c_originals import original
from klpfs.cpython.no_collection import thread_frames
from klpfs.engine.error import code_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    Taken = dict[Any, int]      # a module's lock -> how often this thread has taken it

LONG_S = 0.3            # what lasts longer is nobody's short work inside a lock of importlib's
PAUSE_S = 0.005
MOST_ERRORS = 100       # of a chain of exceptions
allocate_lock, get_ident, RLock = [original(_thread, each) for each in ("allocate_lock", "get_ident", "RLock")]
_release = _imp.release_lock
_IMPORTS = _bootstrap._find_and_load_unlocked.__code__      # type: ignore[attr-defined]
_LIBRARY = (getattr(sys.modules.get("os"), "__file__", None) or "/").rpartition("/")[0] + "/"
_TRACKED = gc.is_tracked(RLock())               # by the collector, as what refers to its type: not on 3.9


def is_in_library(ident: int) -> bool:
    """Whether a thread's innermost frame is of the standard library, importlib's own included. It may be, where asking
    for frames is not safe."""
    try:
        frame = thread_frames().get(ident)
    except interpreters.Apart:
        return True
    return frame is not None and is_library(frame.f_code.co_filename)


def is_library(path: str) -> bool:
    """Whether a code object's file is of the standard library, importlib's own included."""
    return path.startswith(("<frozen ", _LIBRARY)) and not path.startswith(_LIBRARY + "site-packages/")


def taken() -> Taken:
    """The locks of modules that this thread has."""
    return {lock: _count(lock) for lock in _locks() if lock.owner == get_ident()}


def give_back(before: Taken, error: BaseException | None, stopped: bool) -> str:
    """Let go of what this thread has taken beyond `before`. error: what has ended the foreign code. stopped: it was
    asked to stop, and nothing below it on the stack has an RLock. Returns words for what was let go; "": nothing."""
    said = ["the import lock"] * bool(_let_go_of_import_lock())
    _forget_waits()
    said += [f"the lock of module '{lock.name}'" for lock in _locks() if _put_right(lock, before.get(lock, 0))]
    said += [f"half of module '{name}'" for name in _cut_imports(error) if sys.modules.pop(name, None) is not None]
    many = _let_go_of_rlocks() if stopped else 0
    return ", ".join(said + [f"{many} RLock{'s' * (many > 1)}"] * bool(many))


# ---- importlib's

def _let_go_of_import_lock() -> int:
    """Lets go of the interpreter's import lock. How often this thread had it."""
    many = 0
    try:
        while True:
            _release()
            many += 1
    except RuntimeError:        # it is another thread's, or nobody's
        return many


def _forget_waits() -> None:
    """This thread waits for no module's lock: importlib finds deadlocks by that."""
    waits = _bootstrap._blocking_on         # type: ignore[attr-defined]
    if type(waits) is dict:                 # up to 3.11; then lists, held weakly
        waits.pop(get_ident(), None)
    elif waits is not None:
        ref = waits.data.get(get_ident())
        blocked = ref() if ref is not None else None
        if blocked is not None:
            blocked.clear()


def _locks() -> list[Any]:
    """The locks of modules that are there, each an importlib._bootstrap._ModuleLock."""
    refs = list(_bootstrap._module_locks.values())      # type: ignore[attr-defined]
    return [lock for lock in (ref() for ref in refs) if hasattr(lock, "wakeup")]


def _count(lock: Any) -> int:
    """How often the owner of a module's lock has taken it."""
    count: int = lock.count if type(lock.count) is int else len(lock.count)     # from 3.12 on a list
    return count


def _put_right(lock: Any, count: int) -> bool:
    """Lets go of a module's lock where this thread has it more than `count` times, and ends its own half-done work on
    it. Whether there was any."""
    inner = lock.lock
    found = False
    if hasattr(inner, "_is_owned"):         # from 3.12 on
        while inner._is_owned():
            inner.release()
            found = True
    elif _lasts(inner.locked):
        found = _released(inner)
    if not inner.acquire(True, LONG_S):
        return found
    try:
        if lock.owner == get_ident() and (_count(lock) > count or not count):
            lock.count = count if type(lock.count) is int else [True] * count
            if not count:
                lock.owner = None
            found = True
        if not _count(lock) and lock.waiters:           # whoever waits has not been woken
            if type(lock.waiters) is int:
                lock.waiters -= 1
            else:
                lock.waiters.pop()
            found = _released(lock.wakeup) or found
    finally:
        inner.release()
    if _lasts(lambda: lock.wakeup.locked() and not lock.waiters):       # taken, and nobody is to release it
        found = _released(lock.wakeup) or found
    return found


def _lasts(condition: Any) -> bool:
    """Whether a condition lasts: no other thread, in the middle of short work, is about to end it."""
    never = allocate_lock()
    never.acquire()
    for _ in range(int(LONG_S / PAUSE_S)):
        if not condition():
            return False
        never.acquire(True, PAUSE_S)
    return bool(condition())


def _released(lock: Any) -> bool:
    """Releases a plain lock. False: it was free."""
    try:
        lock.release()
    except RuntimeError:
        return False
    return True


def _cut_imports(error: BaseException | None) -> Iterator[str]:
    """Names of the modules whose imports exceptions have cut off, by the tracebacks."""
    for _ in range(MOST_ERRORS):
        if error is None:
            return
        traceback = error.__traceback__
        while traceback is not None:
            frame = traceback.tb_frame
            if code_of(frame) is _IMPORTS:
                yield frame.f_locals["name"]
            traceback = traceback.tb_next
        error = error.__context__


# ---- others

def _let_go_of_rlocks() -> int:
    """Lets go of every RLock that this thread has. How many there were. (A subclass's is its maker's business.)"""
    many = 0
    for lock in _rlocks():
        if type(lock) is RLock and lock._is_owned():
            many += 1
            while lock._is_owned():
                lock.release()
    return many


def _rlocks() -> list[Any]:
    """The RLocks of the process; on 3.9, which can't list them, those of modules and of logging's handlers. Asked for
    as what refers to its type: no list of all the program's objects is made, so none of them dies here."""
    if _TRACKED:
        return [found for found in gc.get_referrers(RLock) if type(found) is RLock]
    found = [value for module in list(sys.modules.values()) for value in list(getattr(module, "__dict__", {}).values())]
    handlers = list(getattr(sys.modules.get("logging"), "_handlerList", ()))       # weak references
    found += [getattr(ref(), "__dict__", {}).get("lock") for ref in handlers]
    return [value for value in found if type(value) is RLock]
