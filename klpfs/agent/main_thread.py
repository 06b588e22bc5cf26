"""The module `threading`, imported by the agent's thread because a livepatch, or what that imports, asks for it: its
main thread is the program's all the same.

Up to 3.12 `threading` takes the thread that imports it for the main thread (bpo-1596321): the program's own main thread
would be a "dummy", and at its end wait for the agent's thread for ever. From 3.13 on CPython tells which it is, but
for its native id.
"""
from __future__ import annotations

from posix import getpid

from klpfs.agent.c_functions import allocate_lock, get_ident, modules

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def put_right(ident: int) -> None:
    """Called in the agent's thread, when the body of `threading` has run and who imports it is still held up. ident:
    the main thread's."""
    threading: Any = modules["threading"]
    main = threading._main_thread
    if hasattr(main, "_native_id"):
        main._native_id = getpid()      # of the thread that imports, in all versions
    if main._ident == ident:
        return
    with threading._active_limbo_lock:
        threading._active.pop(get_ident(), None)
        threading._active[ident] = main
        main._ident = ident
    # the lock that tells of the thread's end: CPython would let go of it at the end of the agent's thread
    lock = allocate_lock()
    lock.acquire()
    with threading._shutdown_locks_lock:
        threading._shutdown_locks.discard(main._tstate_lock)
        threading._shutdown_locks.add(lock)
        main._tstate_lock = lock
