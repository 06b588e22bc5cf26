"""The klpfs command's front: the parser, and what an error becomes (a line on stderr and an exit code).

Exit codes: 0 done; 1 failed, stderr says why; 2 the command line was wrong; `wait` has two more (wait.py).

A command imports its own module alone, and that module imports what the command needs when it runs: `klpfs lsmod` in a
script must cost little more than the start of Python.
"""
from __future__ import annotations

import argparse
import os
import sys
from importlib import import_module

import klpfs
from klpfs.cli import streams
from klpfs.cli.terminal import printable, put
from klpfs.cli.tree import CommandError

MODULES = {  # command -> the module klpfs.cli.NAME that has it, in the order of --help
    "build": "build", "run": "service", "mount": "service", "umount": "service", "exec": "exec", "insmod": "modules",
    "rmmod": "modules", "lsmod": "modules", "check": "check", "diff": "diff", "modinfo": "modinfo", "dmesg": "log",
    "status": "status", "blockers": "status", "wait": "wait",
}


def parser(command: str = "") -> argparse.ArgumentParser:
    """The command line of one command, or of all of them when `command` is none of MODULES.

    Each command sets `do`: a function that takes the parsed arguments and returns the exit code.
    """
    top = argparse.ArgumentParser(prog="klpfs",
                                  description="Live patching of running Python programs, through a file system.")
    top.add_argument("--version", action="version", version=f"klpfs {klpfs.__version__}")
    commands = top.add_subparsers(metavar="COMMAND", required=True, dest="command")
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("-s", "--service", help="the service (default: the only one)")
    common.add_argument("-m", "--mount", metavar="MOUNTPOINT", help="the tree (default: any that is mounted)")
    for name in [MODULES[command]] if command in MODULES else dict.fromkeys(MODULES.values()):
        import_module(f"klpfs.cli.{name}").add(commands, common)
    return top


def main(argv: list[str] | None = None) -> int:
    """Run one command (argv: its words, by default those of the process) and return the exit code."""
    streams.prepare()
    if argv is None:
        argv = sys.argv[1:]
    arguments = parser(argv[0] if argv else "").parse_args(argv)
    try:
        code: int | None = arguments.do(arguments)
        sys.stdout.flush()
        return code or 0
    except CommandError as e:
        put(printable(str(e) if str(e).startswith(f"{arguments.command}: ") else f"klpfs {arguments.command}: {e}"),
            file=sys.stderr)
        return e.code
    except BrokenPipeError:  # the reader of a pipe has seen enough: no more writes, not at exit either
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return 0
    except OSError as e:
        where = "" if e.filename is None else f"{e.filename or repr(e.filename)}: "
        put(printable(f"klpfs {arguments.command}: {where}{e.strerror or e}"), file=sys.stderr)
        return 1
    except KeyboardInterrupt as e:
        return 128 + getattr(e, "number", 2)   # SIGINT, or the signal of ending.Ended
