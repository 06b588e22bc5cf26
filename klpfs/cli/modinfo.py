"""modinfo: what a module says of itself, by its file (read, never run), or by its name in a service."""
from __future__ import annotations

import argparse
import os

from klpfs.cli.kmod import file_of
from klpfs.cli.terminal import printable, put
from klpfs.cli.tree import CommandError, Tree, find


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser], common: argparse.ArgumentParser) -> None:
    p = commands.add_parser("modinfo", parents=[common], help="what a module says of itself")
    p.add_argument("modules", nargs="+", metavar="FILE|MODULE")
    p.add_argument("-F", "--field", help="this field's value only (parm, description, ...)")
    p.add_argument("--json", action="store_true")
    p.set_defaults(do=modinfo)


def modinfo(arguments: argparse.Namespace) -> int:
    found = []
    for name in arguments.modules:
        is_file = "/" in name or name.endswith((".py", ".ko"))
        found.append(of_file(file_of(name)) if is_file else of_service(find(arguments.service, arguments.mount), name))
    if arguments.field:
        found = [[field for field in fields if field[0] == arguments.field] for fields in found]
    if arguments.json:
        import json

        put(json.dumps([[{"field": name, "value": value} for name, value in fields] for fields in found]))
        return 0
    for fields in found:
        for name, value in fields:
            put(printable(value if arguments.field else f"{name + ':':<16}{value}"))
    return 0


def of_file(path: str) -> list[tuple[str, str]]:
    """The fields (name, value) of a module's file, read as text. CommandError: it can't be read, or does not parse."""
    from klpfs.cpython.load.modinfo import modinfo as of_text

    try:
        with open(path, "rb") as file:
            return list(of_text(os.path.abspath(path), file.read()))
    except OSError as e:                # a KlpError, too
        raise CommandError(f"modinfo: ERROR: could not get modinfo from '{path}': {e.strerror}") from None


def of_service(tree: Tree, name: str) -> list[tuple[str, str]]:
    """The fields that the tree shows of a loaded module. CommandError: the module is not loaded."""
    module = next((module for module in tree.modules() if module.name == name), None)
    if module is None:
        raise CommandError(f"modinfo: ERROR: Module {name} not found.")
    fields = [("name", name)]
    if module.livepatch:
        fields.append(("livepatch", "Y"))
    for parameter in tree.names("sys/module", name, "parameters"):
        fields.append(("parm", f"{parameter}={tree.read('sys/module', name, 'parameters', parameter)}"))
    return fields
