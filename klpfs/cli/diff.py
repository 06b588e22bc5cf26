"""diff: a livepatch made by `klpfs build`, beside the upstream change."""
from __future__ import annotations

import argparse
import os
import sys

from klpfs.cli.ending import cleaned_up
from klpfs.cli.terminal import printable
from klpfs.cli.tree import CommandError

COLOURS = {"+": "\033[32m", "-": "\033[31m", "@": "\033[36m", "=": "\033[1m"}


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser], common: argparse.ArgumentParser) -> None:
    p = commands.add_parser("diff", help="a built livepatch beside the upstream change")
    p.add_argument("file", metavar="FIX.py")
    p.add_argument("old", nargs="?", metavar="OLD", help="as for build; default: what the file says it was built of")
    p.add_argument("new", nargs="?", metavar="NEW", help="likewise")
    p.set_defaults(do=diff)


@cleaned_up()
def diff(arguments: argparse.Namespace) -> int:
    """Exit code 0, whatever differs; 1 when something can't be read."""
    import tempfile

    from klpfs.builder.error import BuildError
    from klpfs.builder.read import sources
    from klpfs.builder.write.review import Patch, review

    try:
        patch = Patch.read(arguments.file)
        old, new = arguments.old or patch.old, arguments.new or patch.new
        if not old or not new:
            raise CommandError(
                f"{arguments.file} does not say what it was built of; give both: klpfs diff {arguments.file} OLD NEW"
            )
        with tempfile.TemporaryDirectory(prefix="klpfs-diff-") as scratch:
            found = []
            for at, spec in enumerate((old, new)):
                folder = os.path.join(scratch, str(at))
                os.mkdir(folder)
                found.append(sources.find(spec.replace(" (installed)", ""), folder))
            for line in review(patch, *found):
                print(coloured(printable(line)) if sys.stdout.isatty() else printable(line))
    except BuildError as e:
        raise CommandError(str(e)) from None
    return 0


def coloured(line: str) -> str:
    """For a terminal; headings are whole."""
    colour = COLOURS.get("=" if line[:4] in ("=== ", "--- ") else line[:1])
    return f"{colour}{line}\033[0m" if colour else line
