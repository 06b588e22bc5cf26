"""The C functions that the agent runs on, captured when it is imported, and the clock.

After the start nothing else of the standard library runs in the agent's threads: a patch that breaks json, socket or
threading must be possible to take back. Where gevent has replaced functions of _thread already, the originals are used.
"""
from __future__ import annotations

import _signal
import _socket
import _thread
import select as _select
import sys
import time as _time
from _collections import deque as _deque
from _functools import partial as _partial
from _weakref import ref as _ref
from itertools import chain as _chain
from itertools import repeat as _repeat
from itertools import starmap as _starmap

from klpfs.cpython.c_originals import clock as _clock
from klpfs.cpython.c_originals import original as _original
from klpfs.protocol.descriptors import FIRST, above_streams

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

modules = sys.modules

STACK_BYTES = 8 << 20       # of klpfs's threads where the program has set a size: Python compiles a file in less

start_thread = _original(_thread, "start_new_thread")
allocate_lock = _original(_thread, "allocate_lock")
local = _original(_thread, "_local")
RLock = _original(_thread, "RLock")
_stack_size = _original(_thread, "stack_size")
get_ident = _original(_thread, "get_ident")
get_native_id = getattr(_thread, "get_native_id", get_ident)
poll = _original(_select, "poll")
socket = _socket.socket
monotonic_ns = _clock(_time, "monotonic_ns")
monotonic = _clock(_time, "monotonic")
thread_time = _clock(_time, "thread_time")
_map = map
_sigmask, _valid = _signal.pthread_sigmask, _signal.valid_signals
_size: list[int] = []       # what the program has set, while ours is set in its place
_BLOCK, _SETMASK = _signal.SIG_BLOCK, _signal.SIG_SETMASK


def clock_us() -> int:
    """CLOCK_MONOTONIC in microseconds: the time of log records and blockers."""
    return monotonic_ns() // 1000


def own_socket() -> _socket.socket:
    """A new Unix socket that does not block, and no standard stream's descriptor."""
    kind = _socket.SOCK_STREAM | _socket.SOCK_NONBLOCK | _socket.SOCK_CLOEXEC
    sock = socket(_socket.AF_UNIX, kind)
    return sock if sock.fileno() >= FIRST else socket(_socket.AF_UNIX, kind, 0, above_streams(sock.detach()))


def start_quiet_thread(function: Callable[[], object]) -> int:
    """Starts a raw thread in which all signals are blocked from its first instruction: the program's handlers and
    sigwait stay the program's. Its stack has a size of its own (STACK_BYTES), whatever the program has set for its
    threads. Returns its ident. RuntimeError: the system has no thread, or no memory for its stack, left."""
    old = _sigmask(_BLOCK, ())      # first: the next line may raise what a signal handler raises, and have blocked all
    try:
        _sigmask(_BLOCK, _valid())
        if not _size:
            _size.extend(map(_stack_size, (0,)))        # in one call, since reading is setting: what is read is kept
        # From here to the end a thread that the program starts gets the default, or STACK_BYTES: no harm is done.
        if _size[-1]:
            _stack_size(STACK_BYTES)
        return start_thread(function, ())
    finally:
        restore_stack_size()
        _sigmask(_SETMASK, old)


def until_it_returns(function: Callable[[object], object], done: Any, pause_s: float) -> Callable[[], object]:
    """A callable that calls function(something) until that has returned, and again after a pause where it has raised.
    done: a lock that is taken, and that `function` releases as the last it does.

    Nothing of it is Python code: a tool's trace function or monitoring callback may raise in each call and line of any
    thread, as long as the tool is on, and no `except` of ours would be reached. What C calls when a weak reference's
    object goes may raise what it likes; sys.unraisablehook gets that."""
    turns = _chain(((),), _map(_repeat, iter(_partial(done.acquire, True, pause_s), True), _repeat(0)))
    # an object a turn, which goes when its reference is made
    return _partial(_deque, _map(_ref, _starmap(allocate_lock, turns), _repeat(function)), 0)


def restore_stack_size() -> None:
    """The size of stacks is the program's again, unless it is already; also in a forked child, where a thread of the
    parent was in start_quiet_thread. A size that the program sets between the reading and
    here is in force when we come, and stays."""
    if _size:
        size = _size[-1]
        now = _stack_size(size)
        if now and not (size and now == STACK_BYTES):
            _stack_size(now)
        del _size[:]
