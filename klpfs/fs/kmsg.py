"""dev/kmsg: a file that gives one record of a service's log with each read. Source: kernel/printk/printk.c,
devkmsg_*().

It is a regular file here (a character device would open the kernel's). What a seek did is seen by what follows it:
SEEK_END asks for the size with the file's handle; after SEEK_SET the next read is at 0. (Lost: SEEK_SET right after
SEEK_END.)
"""
from __future__ import annotations

import errno
import os
import re
from concurrent.futures import Future
from typing import Any, Callable

from attrs import define, field

from klpfs.fs.nodes import File, Later, Open, fail
from klpfs.service.shown_text import shown_bytes

LONGEST = 1024                                 # bytes of a record written (PRINTKRB_RECORD_MAX)
MAX_LINE = 8192                                # bytes of a record read; what is longer is cut (CONSOLE_EXT_LOG_MAX)


def record_line(record: Any, caller: bool = False) -> bytes:
    """A record as /dev/kmsg shows it: `<priority>,<sequence>,<microseconds>,-;<text>` and a newline. What is not
    printable ASCII, and the backslash, is shown as \\xNN of each byte; what is longer than MAX_LINE is cut. caller:
    with `,caller=T<process>` before the semicolon where a process's module or callback has logged it. Source:
    info_print_ext_header(), msg_add_ext_text(), CONFIG_PRINTK_CALLER."""
    text = record.text if isinstance(record.text, bytes) else shown_bytes(record.text)
    if not text.isascii() or not text.decode("ascii").isprintable() or b"\\" in text:
        text = b"".join(b"%c" % c if 32 <= c < 127 and c != 0x5c else b"\\x%02x" % c for c in text)
    by = b",caller=T%d" % record.pid if caller and record.pid else b""
    line = b"%d,%d,%d,-%s;%s" % (record.prio, record.seq, record.usec, by, text)
    if len(line) >= MAX_LINE:
        line = re.sub(rb"\\(x[0-9a-f]?)?$", b"", line[:MAX_LINE - 1])      # no half of an escape
    return line + b"\n"


@define(eq=False)
class Kmsg(File):
    """`log`: a LogView; `write(data)`: adds a record, may give a Future. `wake()` when there are new records. caller:
    records say which process has logged them. voice(): the number of the one process whose modules and callbacks this
    file lets speak, or None: all."""

    attr_valid = 0                             # so that SEEK_END is asked for
    log: Any = None
    write: Callable[[bytes], Future[Any] | None] | None = None
    caller: bool = field(default=False, kw_only=True)
    voice: Callable[[], int | None] = field(default=lambda: None, kw_only=True)

    def clear(self) -> None:
        """Hide what is there: a reader that seeks to the data (dmesg) finds only what comes from now on, as after
        syslog(2)'s SYSLOG_ACTION_CLEAR; who opens the file still finds all."""
        self.log.first_seq  # noqa: B018   a LogView puts in order what has arrived when this is asked for
        self.log.cleared = self.log.next_seq

    def open(self, flags: int) -> OpenKmsg:
        self.check(flags, True, self.write is not None)
        file = OpenKmsg(self, flags & os.O_ACCMODE != os.O_WRONLY)
        self.add(file)
        return file

    def wake(self) -> None:
        """Answer those that wait in a read or a poll: new records have come."""
        for file in tuple(self.opened):
            file.wake()                        # type: ignore[attr-defined]
        self.notify()

    def _die(self) -> None:
        File._die(self)
        for file in tuple(self.opened):
            file.wake()                        # type: ignore[attr-defined]


@define(eq=False)
class OpenKmsg(Open):
    """A reader: `seq`, the record that it gets next. readable: it was not opened for writing alone."""

    node: Kmsg
    readable: bool = True
    seq: int = field(init=False)
    at: int = field(init=False, default=0)     # where the kernel's file position is, unless somebody moved it
    waiting: list[Future[None]] = field(init=False, factory=list)

    def __attrs_post_init__(self) -> None:
        self.seq = self.node.log.first_seq

    def read(self, size: int, offset: int, flags: int = 0) -> bytes | Later:
        """The next record. EPIPE: it was overrun (the next read goes on with the oldest); EAGAIN: none yet, and
        O_NONBLOCK; EINVAL: `size` is too small (the record counts as read); ENODEV: the service has gone."""
        if not self.readable:                  # read-ahead (posix_fadvise) asks for it, and would wait
            raise fail(errno.EBADF)
        if offset == 0 and self.at:
            self.seq = self.node.log.first_seq
        self.at = offset
        return self._next(size, offset, bool(flags & os.O_NONBLOCK))

    def _next(self, size: int, offset: int, nonblock: bool) -> bytes | Later:
        self.alive()
        try:
            record = self._record()
        except IndexError:
            self.seq = self.node.log.first_seq
            raise fail(errno.EPIPE) from None
        if record is None:
            if nonblock:
                raise fail(errno.EAGAIN)
            future: Future[None] = Future()
            self.waiting.append(future)
            return Later(future, lambda _: self._next(size, offset, False))
        self.seq += 1
        line = record_line(record, self.node.caller)
        if len(line) > size:
            raise fail(errno.EINVAL)
        self.at = offset + len(line)
        return line

    def _record(self) -> Any:
        """The next record that this file shows; None when there is none yet; IndexError when it has been overrun."""
        log = self.node.log
        record = log.get(self.seq)
        while record is not None and record.pid and self.node.voice() not in (None, record.pid):
            self.seq += 1
            record = log.get(self.seq)
        return record

    def wake(self) -> None:
        waiting, self.waiting = self.waiting, []
        for future in waiting:
            if not future.done():              # else its reader was interrupted
                future.set_result(None)

    def close(self) -> None:
        Open.close(self)
        self.wake()

    def write(self, data: bytes, caller: Any) -> int | Later:
        """Add a record. EINVAL: longer than 1,024 bytes."""
        self.alive()
        if len(data) > LONGEST:
            raise fail(errno.EINVAL)
        future = self.node.write(data)         # type: ignore[misc]
        return len(data) if future is None else Later(future, lambda _: len(data))

    def seek(self, offset: int, whence: int) -> int:
        """SEEK_DATA: the oldest record since the last clear(). ESPIPE: an offset; EINVAL: SEEK_HOLE."""
        self.alive()
        if offset:
            raise fail(errno.ESPIPE)
        if whence != os.SEEK_DATA:
            raise fail(errno.EINVAL)
        self.seq, self.at = max(self.node.log.first_seq, self.node.log.cleared), 0
        return 0

    def seek_end(self) -> None:
        self.alive()
        self.node.log.first_seq  # noqa: B018   a LogView puts in order what has arrived when this is asked for
        self.seq, self.at = self.node.log.next_seq, 0

    def poll(self) -> int:
        """IN and RDNORM when there is a record, ERR and PRI too when some were overrun. Source: devkmsg_poll()."""
        if self.node.removed:
            return 0x1 | 0x8 | 0x10            # IN ERR HUP
        log = self.node.log
        if self.seq < log.first_seq:
            return 0x1 | 0x40 | 0x2 | 0x8
        return 0x1 | 0x40 if self._record() is not None else 0
