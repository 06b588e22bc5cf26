"""The klpfs command's front: the parser, and what an error becomes (a line on stderr and an exit code).

Exit codes: 0 done; 1 failed, stderr says why; 2 the command line was wrong; `wait` has two more (wait.py).
"""
import argparse
import os
import sys
import typing

from klpfs.cli import build, check, diff, exec, log, modinfo, modules, service, status, wait
from klpfs.cli.tree import CommandError

GROUPS = (build, service, exec, modules, check, diff, modinfo, log, status, wait)


def parser() -> argparse.ArgumentParser:
    """The whole command line. Each command sets `do`: a function that takes the parsed arguments and returns the exit code."""
    top = argparse.ArgumentParser(prog="klpfs", description="Live patching of running Python programs, through a file system.")
    commands = top.add_subparsers(metavar="COMMAND", required=True, dest="command")
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("-s", "--service", help="the service (default: the only one)")
    common.add_argument("-m", "--mount", metavar="MOUNTPOINT", help="the tree (default: any that is mounted)")
    for group in GROUPS:
        group.add(commands, common)
    return top


def main(argv: "typing.Optional[list[str]]" = None) -> int:
    """Run one command; the exit code."""
    arguments = parser().parse_args(argv)
    try:
        code = arguments.do(arguments)
        sys.stdout.flush()
        return code or 0
    except CommandError as e:
        print(str(e) if str(e).startswith(f"{arguments.command}: ") else f"klpfs {arguments.command}: {e}", file=sys.stderr)
        return e.code
    except BrokenPipeError:  # the reader of a pipe has seen enough: no more writes, not at exit either
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return 0
    except OSError as e:
        where = f"{e.filename}: " if e.filename else ""
        print(f"klpfs {arguments.command}: {where}{e.strerror or e}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
