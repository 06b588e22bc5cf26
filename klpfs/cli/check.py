"""check: what a livepatch would do to a service, before it is loaded."""
from __future__ import annotations

import argparse

from klpfs.cli.terminal import put
from klpfs.cli.tree import CommandError, find

LOADED = "would be loaded"


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser], common: argparse.ArgumentParser) -> None:
    p = commands.add_parser("check", parents=[common],
                            help="what a livepatch would do to a service, before it is loaded")
    p.add_argument("file")
    p.add_argument("parameters", nargs="*", metavar="NAME[=VALUE]")
    p.set_defaults(do=check)


def check(arguments: argparse.Namespace) -> int:
    """Print what the tree's file `check` says of the livepatch. Exit code 1 when it would be refused, or no process has
    answered."""
    import shlex

    tree = find(arguments.service, arguments.mount)
    question = " ".join(map(shlex.quote, [arguments.file, *arguments.parameters]))
    try:
        text = tree.ask(question, "check")
    except OSError as e:
        raise CommandError(f"{arguments.file}: {e.strerror}; klpfs dmesg says more") from None
    put(text)
    return int(text.rpartition("\n")[2] != LOADED)
