"""The module commands as `klpfs exec` gives them: kmod's and util-linux's, on a service. Their words and exit codes.

Each runs in a process of its own, many times in a script: the standard library alone, and nothing imported but what one
command needs. Source: kmod 30, util-linux 2.38.
"""
from __future__ import annotations

import errno
import os
import sys

from klpfs.cli import streams
from klpfs.cli.terminal import printable, put

PLACE = "/proc/.klpfs"     # as exec.py arranges it: the service's tree, the machine's own commands
TREE, REAL = PLACE + "/tree", PLACE + "/real"
NAMES = ("insmod", "rmmod", "modprobe", "lsmod", "modinfo", "dmesg", "sysctl", "readelf", "kmod")
OWN = ("kmod",)            # a program of this name may serve for any of kmod's
ELSEWHERE = ("sysctl",)    # the machine's own does as well, where it has one
BY_KMOD = {"list": "lsmod", "insert": "modprobe", "remove": "rmmod"}


class Failed(Exception):
    """The command ends with this exit code; what there is to say has been said."""

    def __init__(self, code: int = 1) -> None:
        super().__init__(code)
        self.code = code


def main(first: list[str], last: list[str]) -> None:
    """Be the command that sys.argv names. first, last: where modules are looked for, before and after
    $KLPFS_MODULE_PATH."""
    argv = sys.argv[1:]
    name = argv[0].rpartition("/")[2]
    if name == "kmod":
        argv = argv[1:] or ["help"]
        name = BY_KMOD.get(argv[0], argv[0])
    sys.exit(run(name, argv[1:], first, last))


def run(name: str, words: list[str], first: list[str], last: list[str]) -> int:
    """Run one command; its exit code."""
    from importlib import import_module

    from klpfs.cli.standin.options import Wrong
    streams.prepare()
    if name not in NAMES or name == "kmod":
        say(f"kmod: ERROR: no command {name} here: {', '.join(each for each in NAMES if each != 'kmod')}")
        return 1
    command = import_module(f"klpfs.cli.standin.{name}")
    try:
        code = command.run(words, search_path(first, last))
        sys.stdout.flush()
        return int(code or 0)
    except Wrong as e:
        say(f"{name}: {e}")
        if name in ("dmesg", "sysctl", "readelf"):
            say(f"Try '{name} --help' for more information.")
        return 1
    except Failed as e:
        sys.stdout.flush()
        return e.code
    except BrokenPipeError:  # the reader of a pipe has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return 1
    except OSError as e:
        ended = ": the mount has ended; mount it again, and start klpfs exec again" if e.errno == errno.ENOTCONN else ""
        say(f"{name}: ERROR: {e.filename or 'the service'}: {e.strerror}{ended}")
        return 1
    except KeyboardInterrupt:
        return 130


def search_path(first: list[str], last: list[str]) -> list[str]:
    """The folders where modprobe looks, with those of $KLPFS_MODULE_PATH in their place."""
    given = [os.path.abspath(each) for each in os.environ.get("KLPFS_MODULE_PATH", "").split(":") if each]
    return list(dict.fromkeys([*first, *given, *last]))


def say(text: str) -> None:
    """A line on the standard error."""
    sys.stdout.flush()
    put(printable(text), file=sys.stderr, flush=True)
