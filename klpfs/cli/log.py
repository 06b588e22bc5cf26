"""dmesg: a service's log, from dev/kmsg, in dmesg's form."""
from __future__ import annotations

import argparse
import contextlib
import os
import re
from typing import NamedTuple

from klpfs.cli.tree import CommandError, find

RECORD = 8192  # the kernel's longest record, and what dmesg reads with


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser], common: argparse.ArgumentParser) -> None:
    p = commands.add_parser("dmesg", parents=[common], help="print a service's log")
    p.add_argument("-w", "--follow", action="store_true", help="go on and wait for new lines")
    p.add_argument("-C", "--clear", action="store_true", help="print nothing; from now on only later lines are printed, here and by dmesg")
    p.add_argument("--json", action="store_true", help="one object a line")
    p.set_defaults(do=dmesg)


class Record(NamedTuple):
    """A record of dev/kmsg: `<priority>,<sequence>,<microseconds>,-;<text>`."""

    priority: int
    sequence: int
    usec: int
    text: str

    @classmethod
    def parse(cls, data: bytes) -> Record:
        line = data.partition(b"\n")[0]  # what follows is the record's dictionary
        raw = re.sub(rb"\\x([0-9a-fA-F]{2})", lambda m: bytes.fromhex(m[1].decode()), line)
        head, _, text = raw.decode("utf-8", "replace").partition(";")
        priority, sequence, usec = head.split(",")[:3]
        return cls(int(priority) & 7, int(sequence), int(usec), text)

    def __str__(self) -> str:
        return f"[{self.usec // 1000000:5}.{self.usec % 1000000:06}] {self.text}"


def dmesg(arguments: argparse.Namespace) -> int:
    tree = find(arguments.service, arguments.mount)
    if arguments.clear:
        tree.write("1", "dev/.clear")
        return 0
    path = f"{tree.path}/dev/kmsg"
    fd = os.open(path, os.O_RDONLY | (0 if arguments.follow else os.O_NONBLOCK))
    with contextlib.suppress(OSError):  # what an older tree has not
        os.lseek(fd, 0, os.SEEK_DATA)   # after the last clear
    try:
        while True:
            try:
                data = os.read(fd, RECORD)
            except BlockingIOError:
                return 0
            except BrokenPipeError:  # records were dropped before they were read: go on with what there is
                continue
            except OSError as e:
                raise CommandError(f"{path}: {e.strerror}; the service, or its mount, has ended") from None
            if not data:
                return 0
            record = Record.parse(data)
            if arguments.json:
                import json

                print(json.dumps(record._asdict()), flush=arguments.follow)
            else:
                print(record, flush=arguments.follow)
    finally:
        os.close(fd)
