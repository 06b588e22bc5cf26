"""check: what a livepatch would do to a service, before it is loaded.

Exit codes: 0 would be loaded; 1 would be refused, would not do what NEW does, or it could not be asked; 2 the command
line was wrong; 3 could not tell: a process did not look at it to the end, none has answered, or there is no proof.
"""
from __future__ import annotations

import argparse
import os

from klpfs.cli.terminal import printable, put
from klpfs.cli.tree import CommandError, find

CODES = (("would be loaded", 0), ("could not tell", 3))        # by the verdict's first words; others: 1
MOST_CHARS = 1 << 20        # of a file, for its head


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser], common: argparse.ArgumentParser) -> None:
    p = commands.add_parser("check", parents=[common],
                            help="what a livepatch would do to a service, before it is loaded")
    p.add_argument("file")
    p.add_argument("parameters", nargs="*", metavar="NAME[=VALUE]")
    p.add_argument("--against", metavar="NEW",
                   help="the release that the livepatch stands for (as for build): shows by the service's own "
                        "interpreter and modules that the livepatch does what NEW does")
    p.set_defaults(do=check)


def check(arguments: argparse.Namespace) -> int:
    """Print what the tree's file `check` says of the livepatch. The exit code is of its verdict."""
    import shlex

    tree = find(arguments.service, arguments.mount)
    question = " ".join(map(shlex.quote, [arguments.file, *arguments.parameters]))
    try:
        text = tree.ask(question, "check")
    except OSError as e:
        raise CommandError(f"{arguments.file}: {e.strerror}; klpfs dmesg says more") from None
    lines = text.split("\n")
    at = min(1, len(lines) - 1)             # the verdict is the last line
    lines[at:at] = [printable(f" note: {note}") for note in _notes(arguments.file)]
    verdict = lines[-1]
    if arguments.against and verdict == CODES[0][0]:
        from klpfs.cli.check_against import held_against
        said, other = held_against(text, arguments.file, arguments.against)
        lines[-1:] = [*map(printable, said), printable(other or verdict)]
    verdict = lines[-1]
    put("\n".join(lines))
    return next((code for words, code in CODES if verdict == words or verdict.startswith(f"{words}: ")), 1)


def _notes(path: str) -> list[str]:
    """What `klpfs build` says in the head of a file that it has written: what the livepatch leaves as it is."""
    if not os.path.isfile(path):
        return []
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            head = file.read(MOST_CHARS).split('"""')
    except OSError:
        return []
    if len(head) < 3 or head[0].strip() or ", by klpfs build." not in head[1].split("\n")[0]:
        return []
    notes: list[str] = []
    for line in head[1].split("\n"):
        if line.startswith("- "):
            notes.append(line[2:])
        elif notes and line.startswith("  "):
            notes[-1] += f" {line[2:]}"
    return notes
