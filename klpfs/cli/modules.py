"""insmod, rmmod, lsmod: kmod's commands, words and exit codes, on a service."""
from __future__ import annotations

import argparse
import errno
import os
import sys

from klpfs.cli.kmod import HEADER, MEANING, quoted
from klpfs.cli.terminal import printable, put
from klpfs.cli.tree import CommandError, Tree, find
from klpfs.protocol.names import module_name


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser], common: argparse.ArgumentParser) -> None:
    p = commands.add_parser("insmod", parents=[common],
                            help="load a module into a service; a livepatch starts its transition")
    p.add_argument("file")
    p.add_argument("parameters", nargs="*", metavar="NAME[=VALUE]")
    p.set_defaults(do=insmod)
    p = commands.add_parser("rmmod", parents=[common], help="take modules out of a service")
    p.add_argument("modules", nargs="+", metavar="MODULE")
    p.set_defaults(do=rmmod)
    p = commands.add_parser("lsmod", parents=[common], help="list a service's modules")
    p.add_argument("--json", action="store_true")
    p.set_defaults(do=lsmod)


def insmod(arguments: argparse.Namespace) -> int:
    import shlex

    tree = find(arguments.service, arguments.mount)
    try:
        os.close(os.open(arguments.file, os.O_RDONLY))
    except OSError as e:
        raise CommandError(f"insmod: ERROR: could not load module {arguments.file}: {e.strerror}") from None
    try:
        tree.write(" ".join(map(shlex.quote, [arguments.file, *arguments.parameters])), "insmod")
    except OSError as e:
        raise CommandError(
            f"insmod: ERROR: could not insert module {arguments.file}: {MEANING.get(e.errno or 0, e.strerror)}"
        ) from None
    return 0


def rmmod(arguments: argparse.Namespace) -> int:
    tree, code = find(arguments.service, arguments.mount), 0
    for name in map(module_name, arguments.modules):       # a file's name will do, as kmod's rmmod takes it
        try:
            tree.write(quoted(name), "rmmod")
        except OSError as e:
            put(printable(refusal(tree, name, e)), file=sys.stderr)
            code = 1
    return code


def refusal(tree: Tree, name: str, e: OSError) -> str:
    """The text of a refused rmmod, as kmod says it, from what the module list shows."""
    if e.errno == errno.ENOENT:
        return f"rmmod: ERROR: Module {name} is not currently loaded"
    if e.errno == errno.EBUSY:
        holders = [holder for module in tree.modules() if module.name == name for holder in module.holders]
        return f"rmmod: ERROR: Module {name} is in use" + (f" by: {' '.join(holders)}" if holders else "")
    return f"rmmod: ERROR: could not remove module {name}: {e.strerror}"


def lsmod(arguments: argparse.Namespace) -> int:
    found = find(arguments.service, arguments.mount).modules()
    if arguments.json:
        import json

        put(json.dumps([module._asdict() for module in found]))
        return 0
    put(HEADER, *[printable(str(module)) for module in found], sep="\n")
    return 0
