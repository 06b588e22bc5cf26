"""Long waits: what of klpfs's own has waited for LONG_S, and the stacks of all its processes at that moment.

On where $KLPFS_WATCHDOG names a folder, as in all tests; else nothing of this is imported. Each process that takes part
(agents, daemons) has a file in the folder, named by its process id. Whoever finds a long wait writes a line that begins
with BEGINS and its stacks to its own file, and sends the signal DUMP to the rest, whose stacks come into theirs.
What waits, and what may: docs/DESIGN.md#11.
"""
from __future__ import annotations

import _signal
import faulthandler
from posix import (
    O_APPEND,
    O_CLOEXEC,
    O_CREAT,
    O_NOFOLLOW,
    O_WRONLY,
    close,
    fstat,
    getpid,
    kill,
    listdir,
    write,
)
from posix import open as _open

from klpfs.protocol.process_identity import status_word

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Hashable

ENVIRON = "KLPFS_WATCHDOG"
BEGINS = "klpfs waits: "
LONG_S = 5.0
LOOK_S = 1.0            # between two looks, about
GAP_S = 3.0             # a longer pause between two looks: this process was stopped, and so its waits say nothing
DUMP = _signal.SIGRTMAX - 2


class LongWaits:
    """The waits of one process, since when they have been seen. Nothing but `look` reads the clock."""

    __slots__ = ("_since", "_looked")

    def __init__(self) -> None:
        self._since: dict[Hashable, float] = {}     # by key; infinity: it was said
        self._looked: float | None = None

    def look(self, waits: dict[Hashable, str], now: float) -> list[str]:
        """What has waited for LONG_S, each once. waits: the text of all that waits now, by a key that is another one as
        soon as something has moved. now: seconds."""
        stopped = self._looked is not None and now - self._looked > GAP_S
        self._looked = now
        was, self._since, long = self._since, {}, []
        for key, text in waits.items():
            since = was.get(key, now)
            if stopped and since <= now:
                since = now
            elif now - since >= LONG_S:
                long.append(text)
                since = float("inf")
            self._since[key] = since
        return long


class Stacks:
    """The file of this process in `folder`: its stacks, on DUMP and on `say`. A forked child makes one of its own. A
    program closes descriptors that it does not know: so it is looked whether this one is still the file's."""

    __slots__ = ("folder", "_fd", "_identity")

    def __init__(self, folder: str) -> None:
        self.folder = folder
        self._fd = -1
        self._identity = (0, 0)
        self.begin()

    def begin(self) -> bool:
        """Make the file, and take DUMP, if it is not so already. False: it can't be done just now. Counterpart:
        end."""
        if self._is_ours():
            return True
        self.end()
        try:
            fd = _open(f"{self.folder}/{getpid()}", O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0o644)
            found = fstat(fd)
            self._fd, self._identity = fd, (found.st_dev, found.st_ino)
            faulthandler.register(DUMP, file=fd, all_threads=True)
        except (OSError, RuntimeError):
            return False
        return True

    def end(self) -> None:
        """Take DUMP no more. Also in a child, of what was its parent's."""
        faulthandler.unregister(DUMP)
        ours, fd, self._fd = self._is_ours(), self._fd, -1
        if ours:
            close(fd)

    def _is_ours(self) -> bool:
        try:
            found = fstat(self._fd)
        except OSError:
            return False
        return (found.st_dev, found.st_ino) == self._identity

    def say(self, texts: list[str], name: str) -> None:
        """Write what waits, with the stacks of all processes that take part. name: this process's, for people."""
        if self.begin():
            for text in texts:
                write(self._fd, f"{BEGINS}process {getpid()} ({name}): {text}\n".encode("utf-8", "backslashreplace"))
            faulthandler.dump_traceback(file=self._fd, all_threads=True)
        for pid in listdir(self.folder):
            if pid.isdigit() and int(pid) != getpid() and takes_dump(int(pid)):
                try:
                    kill(int(pid), DUMP)
                except OSError:         # ended, or another user's
                    pass

    def say_later(self, seconds: float) -> None:
        """Write the stacks of this process unless this is called again within so many seconds."""
        if self.begin():
            faulthandler.dump_traceback_later(seconds, file=self._fd)


def takes_dump(pid: int) -> bool:
    """Whether that process catches DUMP, which would end it otherwise: it may have become another program."""
    try:
        caught = int(status_word(pid, "SigCgt"), 16)
    except OSError:
        return False
    return bool(caught >> (DUMP - 1) & 1)
