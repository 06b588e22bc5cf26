"""Notices: what the kernel is told without having asked, written to the mount's descriptor by a thread.

INVAL_ENTRY waits for the lock of the parent directory, which a program may hold that waits for an answer of this
daemon: so a thread that does nothing else writes these messages, and the loop goes on.
"""
from __future__ import annotations

import os
import queue
import threading

from attrs import define, field

from klpfs.fs.fuse_messages import OUT

ENDING_LIMIT = 2.0                             # seconds that the end of a mount waits for notices at most


@define(eq=False)
class Notices:
    """The messages for the kernel, written in order. `posts`, `writes`: how many were posted, and written, so far.

    `wake_fd` is readable when all were written. The thread is started with the first message.
    Order: the thread counts a message in `writes` after the kernel has taken it in, and wakes the loop after that;
    the loop reads the wake away (`acknowledge`) before it reads `writes`. The other way round the last wake could be
    lost.
    """

    fd: int
    posts: int = field(init=False, default=0)
    writes: int = field(init=False, default=0)
    wake_fd: int = field(init=False)
    _wake: int = field(init=False)
    _queue: queue.SimpleQueue[bytes | None] = field(init=False, factory=queue.SimpleQueue)
    _thread: threading.Thread | None = field(init=False, default=None)

    def __attrs_post_init__(self) -> None:
        self.wake_fd, self._wake = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)

    @property
    def pending(self) -> bool:
        """Whether a message was posted that is not written yet."""
        return self.writes != self.posts

    def post(self, code: int, body: bytes) -> None:
        """Have the thread write a message; returns at once."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="klpfs-notices", daemon=True)
            self._thread.start()
        self.posts += 1
        self._queue.put(OUT.pack(16 + len(body), code, 0) + body)

    def _run(self) -> None:
        while True:
            message = self._queue.get()
            if message is None:
                return
            try:
                os.write(self.fd, message)
            except OSError:                    # ENOENT: the kernel has nothing of it; ENODEV: unmounted
                pass
            self.writes += 1                   # by this thread only, and before the wake: see the class
            if self._queue.empty():
                try:
                    os.write(self._wake, b"\0")
                except BlockingIOError:        # wakes already
                    pass

    def acknowledge(self) -> None:
        """Make `wake_fd` unreadable until the next wake; before `writes` is read: see the class."""
        try:
            os.read(self.wake_fd, 4096)
        except BlockingIOError:
            pass

    def close(self) -> None:
        """End the thread; when the kernel holds it up, it is left to end with the descriptor."""
        if self._thread is not None:
            self._queue.put(None)
            self._thread.join(ENDING_LIMIT)
            if self._thread.is_alive():
                return                         # it still needs the pipe
        os.close(self.wake_fd)
        os.close(self._wake)
