"""Work of the daemon's that might have to wait, done in a child process: a module's file is read, /proc is looked at.

A path may lie on a mount of this very daemon (opening it here would wait for itself, for ever), on a dead network file
system, or behind a fifo's lock. The child closes everything that it inherited, the journal's lock and the FUSE device
among it, does the work and writes the result into a pipe. What is not there in time is given up.
"""
from __future__ import annotations

import errno
import os
import signal
import struct
from typing import Callable, Optional

from attrs import define, field

from klpfs.service.loop import Loop, Timer

SECONDS = 10.0
REAP = 0.01
_HEAD = struct.Struct("<i")

Done = Callable[[Optional[bytes], Optional[OSError]], None]


@define(eq=False)
class ChildWork:
    """A piece of work in a child. what: the work, in a few words, for what is said of its failure. done(data, None) or
    done(None, error), once; not after `cancel()`."""

    loop: Loop
    what: str
    done: Done | None
    _pid: int = -1
    _fd: int = -1
    _parts: list[bytes] = field(factory=list)
    _timer: Timer | None = None

    def start(self, work: Callable[[], bytes]) -> None:
        """Fork; the child answers with what work() returns, or the OSError that it raises. OSError: no processes or
        descriptors left."""
        reader, writer = os.pipe2(os.O_CLOEXEC)
        try:
            self._pid = os.fork()
        except OSError:
            os.close(reader)
            os.close(writer)
            raise
        if not self._pid:
            _child(writer, work)
        os.close(writer)
        os.set_blocking(reader, False)
        self._fd = reader
        self.loop.add(reader, self._ready)
        self._timer = self.loop.call_later(SECONDS, self._too_long)

    def cancel(self) -> None:
        """End the work; done() will not be called."""
        self.done = None
        self._end()

    def _too_long(self) -> None:
        self._finish(None, OSError(errno.ETIMEDOUT, f"{self.what}: no end in time"))

    def _ready(self, events: int) -> None:
        while True:
            try:
                part = os.read(self._fd, 1 << 20)
            except BlockingIOError:
                return
            if not part:
                break
            self._parts.append(part)
        data = b"".join(self._parts)
        if len(data) < _HEAD.size:
            return self._finish(None, OSError(errno.EIO, f"{self.what}: the process that does it has died"))
        code, = _HEAD.unpack(data[:_HEAD.size])
        if code:
            return self._finish(None, OSError(code, os.fsdecode(data[_HEAD.size:])))
        self._finish(data[_HEAD.size:], None)

    def _finish(self, data: bytes | None, error: OSError | None) -> None:
        done, self.done = self.done, None
        self._end()
        if done is not None:
            done(data, error)

    def _end(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._fd >= 0:
            self.loop.remove(self._fd)
            os.close(self._fd)
            self._fd = -1
        if self._pid > 0:
            os.kill(self._pid, signal.SIGKILL)     # ours and not yet waited for, so the number is still its own
            self._reap()

    def _reap(self) -> None:
        try:
            if os.waitpid(self._pid, os.WNOHANG)[0] == self._pid:
                self._pid = -1
                return
        except ChildProcessError:
            self._pid = -1
            return
        self.loop.call_later(REAP, self._reap)


def _child(writer: int, work: Callable[[], bytes]) -> None:
    """Never returns."""
    try:
        os.dup2(writer, 3)
        for fd in os.listdir("/proc/self/fd"):
            if int(fd) > 3:
                try:
                    os.close(int(fd))
                except OSError:                # the listing's own
                    pass
        try:
            data = _HEAD.pack(0) + work()
        except OSError as error:
            code = error.errno or errno.EIO
            data = _HEAD.pack(code) + os.fsencode(error.strerror or os.strerror(code))
        while data:
            data = data[os.write(3, data):]
    except BaseException:                      # nothing of the daemon's may run here
        pass
    finally:
        os._exit(0)
