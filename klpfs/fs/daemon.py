"""The daemon: what `klpfs mount` runs. One thread: Loop, Manager, the tree, a FUSE session.

It may be killed and started again at any moment: programs run on, and it finds them.
"""
from __future__ import annotations

import errno
import gc
import os
import signal
import socket
import sys
from typing import Any, Callable

from klpfs.engine.error import mistake_of
from klpfs.fs import mount as mounting
from klpfs.fs.fuse import Session
from klpfs.fs.log_lines import to_stderr, to_syslog
from klpfs.fs.nodes import Table
from klpfs.fs.tree import NEWEST, Tree
from klpfs.protocol.folder_layout import runtime_dir as default_runtime_dir
from klpfs.service.loop import FIRST, Loop
from klpfs.service.manager import Manager

SETTLE = 2.0                                   # seconds that processes already there have to tell what they are
ENDINGS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)

Log = Callable[[str], None]


def mount(mountpoint: str, foreground: bool = False, runtime_dir: str | None = None,
          kernel: tuple[int, int] = NEWEST) -> int:
    """Mount the tree of all services of `runtime_dir` (default: as for agents) on the directory `mountpoint`.

    kernel: (major, minor) of the Linux whose attributes patches have: those that came later are left out.

    In the foreground: serves until SIGTERM, SIGINT, SIGHUP or an unmount, then returns 0. Else: a daemon of its own
    does, this returns 0 when the mount answers. OSError with a text for the user: it can't be mounted; nothing is left
    behind.
    """
    if not mountpoint:                         # abspath() would make the working directory of it
        raise OSError(errno.ENOENT, os.strerror(errno.ENOENT), mountpoint)
    folder = runtime_dir or default_runtime_dir()
    point = os.path.abspath(mountpoint)
    if foreground:
        return serve(point, folder, lambda: None, to_stderr, kernel=kernel, watchdog=os.environ.get("KLPFS_WATCHDOG"))
    return _in_background(point, folder, kernel)


def _in_background(point: str, folder: str, kernel: tuple[int, int]) -> int:
    sys.stdout.flush()
    sys.stderr.flush()
    ours, its = os.pipe()
    child = os.fork()                          # before there are threads or locks
    if child == 0:
        code = 1
        try:
            os.close(ours)
            os.setsid()
            if os.fork():
                os._exit(0)
            code = _detached(point, folder, its, kernel)
        finally:
            os._exit(code)
    os.close(its)
    os.waitpid(child, 0)
    with os.fdopen(ours, "rb") as pipe:
        said = pipe.read()                     # until the daemon closes it: it is ready, has failed, or died
    if said == b"ready":
        answer = mounting.answers(point)
        if answer == 0:
            return 0
        raise OSError(answer or errno.ETIMEDOUT, f"mounted on {point}, but it does not answer")
    number, _, text = said.decode(errors="replace").partition(" ")
    raise OSError(int(number) if number.isdigit() else errno.EIO, text or "the daemon died before the mount was there")


def _detached(point: str, folder: str, pipe: int, kernel: tuple[int, int]) -> int:
    """The daemon's process: says on `pipe` how it went, then serves."""
    def ready() -> None:
        nothing = os.open(os.devnull, os.O_RDWR)
        for fd in (0, 1, 2):
            os.dup2(nothing, fd)
        os.close(nothing)
        os.write(pipe, b"ready")
        os.close(pipe)
    try:
        os.chdir("/")
        return serve(point, folder, ready, to_syslog, kernel=kernel, watchdog=os.environ.get("KLPFS_WATCHDOG"))
    except BaseException as e:
        if isinstance(e, OSError):             # with its file, as the commands say it
            text = f"{e.errno or errno.EIO} {f'{e.filename}: ' if e.filename else ''}{e.strerror}"
        else:
            text = f"{errno.EIO} {type(e).__name__}: {e}"
        try:
            os.write(pipe, text.encode(errors="replace"))
        except OSError:                        # it was ready before
            to_syslog(f"klpfs: {text}")
        return 1


def serve(point: str, folder: str, ready: Callable[[], None], log: Log, make_manager: Any = Manager,
          kernel: tuple[int, int] = NEWEST, watchdog: str | None = None) -> int:
    """Serve a mount until a signal or an unmount; 0.

    `ready()` is called when it answers. watchdog: the folder for the stacks of what waits too long (waits.py). OSError
    as mounting.mount().
    """
    loop = Loop()
    manager = make_manager(loop, folder, log)
    stopped = _Stop(loop)
    session: Session | None = None
    watch = None
    try:
        manager.start()
        table = Table(os.geteuid(), os.getegid())
        Tree(table, manager, kernel)
        manager.settle(SETTLE)
        place = mounting.mount(point)
        try:
            def answering() -> None:
                _notify_ready()
                ready()
            gc.freeze()  # a large tree is not looked through again and again; it makes no cycles that go
            session = Session(place.fd, table, loop, stopped.now, answering, log)
            if watchdog:
                from klpfs.fs.waits import Watch  # by need: for tests
                from klpfs.protocol.long_waits import Stacks
                watch = Watch(loop, manager, session, Stacks(watchdog))
                watch.start()
            while not stopped.wanted:
                try:
                    loop.run()
                except Exception as e:         # a mistake of ours must not end the mount
                    log(f"klpfs: {mistake_of(e)}")
            return 0
        finally:
            if watch is not None:
                watch.close()
            place.close(session is not None and session.close())
    finally:
        gc.unfreeze()
        stopped.close()
        manager.close()
        loop.close()


class _Stop:
    """`wanted` once a signal has asked for the end; a signal also ends the wait of the loop."""

    def __init__(self, loop: Loop) -> None:
        self.loop, self.wanted = loop, False
        self._read, self._write = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self._wakeup = signal.set_wakeup_fd(self._write, warn_on_full_buffer=False)
        self._before = {number: signal.signal(number, self._signal) for number in ENDINGS}
        loop.add(self._read, self._woken, FIRST)

    def _signal(self, number: int, frame: object) -> None:
        self.wanted = True

    def _woken(self, events: int) -> None:
        os.read(self._read, 64)
        if self.wanted:
            self.loop.stop()

    def now(self) -> None:
        self.wanted = True
        self.loop.stop()

    def close(self) -> None:
        for number, before in self._before.items():
            signal.signal(number, before)
        signal.set_wakeup_fd(self._wakeup)
        self.loop.remove(self._read)
        os.close(self._read)
        os.close(self._write)


def _notify_ready() -> None:
    """READY=1 to systemd, where it asks for it. Source: sd_notify(3)."""
    address = os.environ.get("NOTIFY_SOCKET")
    if not address:
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as end:
        try:
            end.sendto(b"READY=1", "\0" + address[1:] if address[0] == "@" else address)
        except OSError as e:
            to_stderr(f"klpfs: can't tell {address} that the mount is ready: {e.strerror}")
