"""Log lines of the daemon itself, for whoever runs it: to syslog or standard error. Whoever does not read them holds up
nobody: what can't be taken at once is dropped, and counted in the next line that is."""
from __future__ import annotations

import os
import select
import socket
import sys
import time
from typing import Callable

from attrs import define

from klpfs.service.shown_text import printable

SYSLOG = "/dev/log"
DAEMON_WARNING = 3 << 3 | 4                    # facility and severity. Source: syslog(3)
LONGEST = select.PIPE_BUF                      # bytes: a pipe or terminal that can be written to takes as many at once


@define(eq=False)
class Lines:
    """send(text): whether a line was taken, at once."""

    send: Callable[[str], bool]
    dropped: int = 0

    def __call__(self, text: str) -> None:
        if self.dropped and self.send(f"klpfs: {self.dropped} lines were dropped: nobody read them"):
            self.dropped = 0
        if self.dropped or not self.send(printable(text)):
            self.dropped += 1


def send_to_stderr(text: str) -> bool:
    """Write a line to standard error. False: its reader takes nothing now (a full pipe, say), or is gone."""
    stream = sys.stderr
    if stream is None:                         # closed: nobody is to read anything
        return True
    try:
        stream.flush()
        fd = stream.fileno()
        poll = select.poll()
        poll.register(fd, select.POLLOUT)
        if not poll.poll(0):
            return False
        os.write(fd, text.encode(stream.encoding or "utf-8", "backslashreplace")[:LONGEST - 1] + b"\n")
    except (OSError, ValueError):
        return False
    return True


def send_to_syslog(text: str) -> bool:
    """Send a line to syslogd, as syslog(3) does, but never wait for it. False: it is stopped, or not there."""
    stamp = time.strftime("%b %e %H:%M:%S")
    line = f"<{DAEMON_WARNING}>{stamp} klpfs: {text}".encode("utf-8", "backslashreplace")[:LONGEST]
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC) as sock:
            sock.sendto(line, SYSLOG)
    except OSError:
        return False
    return True


to_stderr, to_syslog = Lines(send_to_stderr), Lines(send_to_syslog)
