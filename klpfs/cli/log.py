"""dmesg: a service's log, from dev/kmsg, in dmesg's form."""
from __future__ import annotations

import argparse
import contextlib
import os

from klpfs.cli.kmsg import Ended, records
from klpfs.cli.terminal import printable, put
from klpfs.cli.tree import CommandError, find


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser], common: argparse.ArgumentParser) -> None:
    p = commands.add_parser("dmesg", parents=[common], help="print a service's log")
    p.add_argument("-w", "--follow", action="store_true", help="go on and wait for new lines")
    p.add_argument("-C", "--clear", action="store_true",
                   help="print nothing; from now on only later lines are printed, here and by dmesg")
    p.add_argument("--caller", action="store_true",
                   help="say which process has logged the lines of modules and callbacks")
    p.add_argument("--json", action="store_true", help="one object a line")
    p.set_defaults(do=dmesg)


def dmesg(arguments: argparse.Namespace) -> int:
    tree = find(arguments.service, arguments.mount)
    if arguments.clear:
        tree.write("1", "dev/.clear")
        return 0
    path = f"{tree.path}/dev/.kmsg.caller"
    if not os.path.exists(path):        # in an older tree
        if arguments.caller:
            raise CommandError("the daemon is of an earlier klpfs, which does not know who has logged a line")
        path = f"{tree.path}/dev/kmsg"
    fd = os.open(path, os.O_RDONLY | (0 if arguments.follow else os.O_NONBLOCK))
    with contextlib.suppress(OSError):  # what an older tree has not
        os.lseek(fd, 0, os.SEEK_DATA)   # after the last clear
    try:
        for record in records(fd):
            if arguments.json:
                import json

                put(json.dumps({"priority": record.level, "sequence": record.sequence, "usec": record.usec,
                                "text": record.text, **({"caller": record.caller} if record.caller else {})}),
                    flush=arguments.follow)
            else:
                who = f"[{record.caller:>8}] " if arguments.caller and record.caller else ""     # as util-linux has it
                put(printable(f"{record.stamp} {who}{record.text}"), flush=arguments.follow)
    except Ended as e:
        raise CommandError(f"{path}: {e.strerror}; the service, or its mount, has ended") from None
    finally:
        os.close(fd)
    return 0
