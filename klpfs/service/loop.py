"""An epoll loop for the whole daemon: descriptors, timers, and work for the end of the round; no threads.

All that has arrived is taken in before a request is answered (docs/PROTOCOL.md#7): a round runs the callbacks
of what is ready in the order given to `add`: FIRST (inotify: the journal), AGENTS, then LAST (the FUSE descriptor,
which must take one request a call). What is appended by `call_soon` runs before the next order begins.
"""
from __future__ import annotations

import heapq
import itertools
import select
import time
from collections import deque
from typing import Callable

from attrs import define, field

FIRST, AGENTS, LAST = 0, 1, 2
IN, OUT = select.EPOLLIN, select.EPOLLOUT


@define(eq=False)
class Timer:
    """A call that is due at `when` (the loop's seconds); `cancel()` takes it back, any number of times."""

    when: float
    call: Callable[[], None] | None

    def cancel(self) -> None:
        self.call = None


@define(eq=False)
class Loop:
    """`run_once()` waits for what is ready and calls it back; `run()` until `stop()`. rounds: how many there were; in
    each of them a request is answered, if one waits.

    A callback that raises ends `run_once` with its exception: the rest of the round is kept for the next one.
    """

    clock: Callable[[], float] = time.monotonic
    rounds: int = field(init=False, default=0)
    _epoll: select.epoll = field(init=False, factory=lambda: select.epoll(flags=select.EPOLL_CLOEXEC))
    _fds: dict[int, tuple[int, Callable[[int], None]]] = field(init=False, factory=dict)
    _timers: list[tuple[float, int, Timer]] = field(init=False, factory=list)
    _count: itertools.count[int] = field(init=False, factory=itertools.count)
    _soon: deque[Callable[[], None]] = field(init=False, factory=deque)
    _ready: deque[tuple[int, int, Callable[[int], None], int]] = field(init=False, factory=deque)
    _running: bool = field(init=False, default=False)

    def add(self, fd: int, callback: Callable[[int], None], order: int = AGENTS, events: int = IN) -> None:
        """Call `callback(events)` whenever `fd` is ready (level triggered). ValueError when it was added before."""
        if fd in self._fds:
            raise ValueError(f"descriptor {fd} is in the loop already")
        self._epoll.register(fd, events)
        self._fds[fd] = (order, callback)

    def modify(self, fd: int, events: int) -> None:
        """Wait for these events of `fd` from now on."""
        self._epoll.modify(fd, events)

    def remove(self, fd: int) -> None:
        """Forget `fd`; before it is closed. One that was not added is ignored."""
        if self._fds.pop(fd, None) is not None:
            try:
                self._epoll.unregister(fd)
            except OSError:                    # closed already, and so forgotten by the kernel
                pass

    def now(self) -> float:
        """Seconds, monotonic."""
        return self.clock()

    def call_later(self, seconds: float, call: Callable[[], None]) -> Timer:
        """Call `call()` once, in `seconds`."""
        timer = Timer(self.now() + seconds, call)
        heapq.heappush(self._timers, (timer.when, next(self._count), timer))
        return timer

    def call_soon(self, call: Callable[[], None]) -> None:
        """Call `call()` in this round, before callbacks of a later order; outside a round: in the next one."""
        self._soon.append(call)

    def run_once(self, timeout: float | None = None) -> None:
        """Run a round: wait at most `timeout` seconds (None: for ever), then call back all that is ready."""
        if not self._ready:
            self._sort(self._epoll.poll(self._wait(timeout), 4096))
        self.rounds += 1
        self._run_soon()
        order = FIRST
        while self._ready:
            if self._ready[0][0] != order:
                self._between(self._ready[0][0])
                order = self._ready[0][0]
            _, fd, callback, events = self._ready.popleft()
            now_there = self._fds.get(fd)
            if now_there is not None and now_there[1] is callback:     # else an earlier callback has removed it
                callback(events)
        self._between(LAST)

    def _between(self, order: int) -> None:
        """Before callbacks of `order`: timers only once all that has arrived is taken in, or a time limit that ran out
        while this process was stopped would hit answers that are here."""
        self._run_soon()
        if order == LAST:
            self._run_timers()
            self._run_soon()

    def run(self) -> None:
        """Rounds until `stop()` was called.

        One in which a single descriptor is ready, as in nearly all, takes a short way.
        """
        self._running = True
        poll, fds, timers = self._epoll.poll, self._fds, self._timers
        while self._running:
            left = timers[0][0] - self.clock() if timers else 0
            if self._soon or self._ready or (timers and left <= 0):
                self.run_once()
                continue
            pairs = poll(left if timers else -1, 64)         # a small array is quicker
            if len(pairs) == 1:
                self.rounds += 1
                fd, events = pairs[0]
                fds[fd][1](events)
                if self._soon:
                    self._run_soon()
            else:
                self._sort(pairs if len(pairs) < 64 else poll(0, 4096))

    def stop(self) -> None:
        """`run()` returns after this round."""
        self._running = False
        self.call_soon(lambda: None)           # a round that has not begun must not wait

    def close(self) -> None:
        """Close the epoll descriptor; the descriptors in it are their owners'."""
        self._fds.clear()
        self._epoll.close()

    def _sort(self, pairs: list[tuple[int, int]]) -> None:
        ready = [(*self._fds[fd], fd, events) for fd, events in pairs]
        self._ready = deque((order, fd, callback, events)
                            for order, callback, fd, events in sorted(ready, key=lambda r: r[0]))

    def _wait(self, timeout: float | None) -> float:
        if self._soon:
            return 0
        while self._timers and self._timers[0][2].call is None:
            heapq.heappop(self._timers)
        if self._timers:
            due = max(0.0, self._timers[0][0] - self.now())
            timeout = due if timeout is None else min(timeout, due)
        return -1 if timeout is None else timeout

    def _run_timers(self) -> None:
        now = self.now()
        while self._timers and self._timers[0][0] <= now:
            timer = heapq.heappop(self._timers)[2]
            call, timer.call = timer.call, None
            if call is not None:
                self._soon.append(call)

    def _run_soon(self) -> None:
        while self._soon:
            self._soon.popleft()()
