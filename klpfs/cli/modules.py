"""insmod, rmmod, lsmod: kmod's commands, words and exit codes, on a service."""
import argparse
import errno
import json
import os
import shlex
import sys

from attrs import asdict

from klpfs.cli.tree import CommandError, find

# kmod's mod_strerror(): what init_module's errno means for a module
MEANING = {
    errno.ENOEXEC: "Invalid module format",
    errno.ENOENT: "Unknown symbol in module, or unknown parameter (see dmesg)",
    errno.ESRCH: "Module has wrong symbol version",
    errno.EINVAL: "Invalid parameters",
}


def add(commands, common: argparse.ArgumentParser) -> None:
    p = commands.add_parser("insmod", parents=[common], help="load a module into a service; a livepatch starts its transition")
    p.add_argument("file")
    p.add_argument("parameters", nargs="*", metavar="NAME[=VALUE]")
    p.set_defaults(do=insmod)
    p = commands.add_parser("rmmod", parents=[common], help="take modules out of a service")
    p.add_argument("modules", nargs="+", metavar="MODULE")
    p.set_defaults(do=rmmod)
    p = commands.add_parser("lsmod", parents=[common], help="list a service's modules")
    p.add_argument("--json", action="store_true")
    p.set_defaults(do=lsmod)


def insmod(arguments) -> int:
    tree = find(arguments.service, arguments.mount)
    try:
        os.close(os.open(arguments.file, os.O_RDONLY))
    except OSError as e:
        raise CommandError(f"insmod: ERROR: could not load module {arguments.file}: {e.strerror}") from None
    try:
        tree.write(" ".join(map(shlex.quote, [arguments.file, *arguments.parameters])), "insmod")
    except OSError as e:
        raise CommandError(f"insmod: ERROR: could not insert module {arguments.file}: {MEANING.get(e.errno, e.strerror)}") from None
    return 0


def rmmod(arguments) -> int:
    tree, code = find(arguments.service, arguments.mount), 0
    for name in arguments.modules:
        stem = module_name(name)
        try:
            tree.write(stem, "rmmod")
        except OSError as e:
            print(refusal(tree, stem, e), file=sys.stderr)
            code = 1
    return code


def module_name(text: str) -> str:
    """rmmod takes a file's name as well, as kmod's does."""
    name = text.rpartition("/")[2]
    return (name[:-3] if name.endswith(".py") else name).replace("-", "_")


def refusal(tree, name: str, e: OSError) -> str:
    """What kmod's rmmod says, from what the module list shows."""
    if e.errno == errno.ENOENT:
        return f"rmmod: ERROR: Module {name} is not currently loaded"
    if e.errno == errno.EBUSY:
        holders = [holder for module in tree.modules() if module.name == name for holder in module.holders]
        return f"rmmod: ERROR: Module {name} is in use" + (f" by: {' '.join(holders)}" if holders else "")
    return f"rmmod: ERROR: could not remove module {name}: {e.strerror}"


def lsmod(arguments) -> int:
    found = find(arguments.service, arguments.mount).modules()
    if arguments.json:
        print(json.dumps([asdict(module) for module in found]))
        return 0
    print("Module                  Size  Used by")
    for m in found:
        print(f"{m.name:<19} {m.size:>8}  {m.refcnt}" + (f" {','.join(m.holders)}" if m.holders else ""))
    return 0
