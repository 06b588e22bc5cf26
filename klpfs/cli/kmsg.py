"""Records of dev/kmsg, as a reader gets them, for `klpfs dmesg` and the stand-in.

Source: Documentation/ABI/testing/dev-kmsg of Linux.
"""
from __future__ import annotations

import os
import re
from collections.abc import Iterator
from typing import NamedTuple

MAX_RECORD_BYTES = 8192     # the kernel's longest record, and what dmesg reads with


class Ended(OSError):
    """The log can't be read any more: the service, or its mount, has ended."""


# without annotations, for which typing imports Python's parser from 3.14 on
class Record(NamedTuple("Record", [("facility", int), ("level", int), ("sequence", int), ("usec", int),
                                   ("text", str), ("caller", str)])):
    """A record: `<facility and level>,<sequence>,<microseconds>,-[,caller=T<process>];<text>`. usec: since the
    machine's start. caller: `T<process>`, or ''."""

    __slots__ = ()

    @classmethod
    def parse(cls, data: bytes) -> Record:
        """The record of one read. Its dictionary, the lines after the first, is left out; escapes are undone."""
        head, _, text = data.partition(b"\n")[0].partition(b";")
        priority, sequence, usec, *rest = head.decode("ascii").split(",")
        caller = "".join(word[7:] for word in rest if word.startswith("caller="))
        text = re.sub(rb"\\x([0-9a-fA-F]{2})", lambda m: bytes.fromhex(m[1].decode()), text)
        return cls(int(priority) >> 3, int(priority) & 7, int(sequence), int(usec), text.decode("utf-8", "replace"),
                   caller)

    @property
    def stamp(self) -> str:
        """The time as dmesg prints it: `[ 5123.402117]`."""
        return f"[{self.usec // 1000000:5}.{self.usec % 1000000:06}]"

    def __str__(self) -> str:
        return f"{self.stamp} {self.text}"


def records(fd: int) -> Iterator[Record]:
    """The records of dev/kmsg, opened at `fd`: all that are there, or, when it was opened to wait, without an end.

    Records that were dropped before they were read are passed over. Ended: a read has failed.
    """
    while True:
        try:
            data = os.read(fd, MAX_RECORD_BYTES)
        except BlockingIOError:
            return
        except BrokenPipeError:
            continue
        except OSError as e:
            raise Ended(e.errno, e.strerror) from None
        if not data:
            return
        yield Record.parse(data)
