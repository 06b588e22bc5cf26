"""modinfo: what a module says of itself, by its file (read, never run), or by its name in a service."""
import argparse
import ast
import json
import os
import pathlib
import typing

from klpfs.cli.modules import module_name
from klpfs.cli.tree import CommandError, Tree, find
from klpfs.cpython.load import source_file as files

Fields = typing.List[typing.Tuple[str, str]]
DUNDER = {"__version__": "version", "__license__": "license", "__author__": "author"}


def add(commands, common: argparse.ArgumentParser) -> None:
    p = commands.add_parser("modinfo", parents=[common], help="what a module says of itself")
    p.add_argument("modules", nargs="+", metavar="FILE|MODULE")
    p.add_argument("-F", "--field", help="this field's value only (parm, description, ...)")
    p.add_argument("--json", action="store_true")
    p.set_defaults(do=modinfo)


def modinfo(arguments) -> int:
    found = []
    for each in arguments.modules:
        is_file = "/" in each or each.endswith(".py")
        found.append(of_file(each) if is_file else of_service(find(arguments.service, arguments.mount), each))
    if arguments.field:
        found = [[each for each in fields if each[0] == arguments.field] for fields in found]
    if arguments.json:
        print(json.dumps([[{"field": name, "value": value} for name, value in fields] for fields in found]))
        return 0
    for fields in found:
        for name, value in fields:
            print(value if arguments.field else f"{name + ':':<16}{value}")
    return 0


def of_file(path: str) -> Fields:
    """The fields of a module's file, read as text. CommandError when it can't be read or does not parse."""
    try:
        source = pathlib.Path(path).read_bytes()
        module = ast.parse(source, path)
    except OSError as e:
        raise CommandError(f"modinfo: ERROR: could not get modinfo from '{path}': {e.strerror}") from None
    except (SyntaxError, ValueError) as e:
        raise CommandError(f"modinfo: ERROR: could not get modinfo from '{path}': {e}") from None
    fields = [("filename", os.path.abspath(path))]
    values = {}
    for node in module.body:
        for target, value in files.assignments(node):
            values[target] = value
    fields += [(DUNDER[name], text(values[name])) for name in DUNDER if name in values]
    description = ast.get_docstring(module)
    if description:
        fields.append(("description", description.replace("\n", " ")))
    fields += [("depends", ""), ("name", module_name(path))]
    if files.is_livepatch(module):
        fields.append(("livepatch", "Y"))
    for value in values.values():
        if files.called(value) == "module_param" and value.args:
            fields.append(("parm", parameter(value)))
    return fields


def text(value: ast.expr) -> str:
    """A constant as it prints, anything else as its source."""
    return str(value.value) if isinstance(value, ast.Constant) else ast.unparse(value)


def parameter(call: ast.Call) -> str:
    """'name:default (type)', as near to kmod's 'name:description (type)' as a module_param says."""
    given = {keyword.arg: keyword.value for keyword in call.keywords}
    kind = call.args[1] if len(call.args) > 1 else given.get("type")
    default = call.args[2] if len(call.args) > 2 else given.get("default", given.get("value"))
    said = (f"default {text(default)} " if default is not None else "") + (f"({text(kind)})" if kind is not None else "")
    return f"{text(call.args[0])}:{said}"


def of_service(tree: Tree, name: str) -> Fields:
    """What the tree shows of a loaded module. CommandError when it is not loaded."""
    for module in tree.modules():
        if module.name == name:
            break
    else:
        raise CommandError(f"modinfo: ERROR: Module {name} not found.")
    fields = [("name", name)]
    if "K" in module.taints or name in tree.list("sys/kernel/livepatch"):
        fields.append(("livepatch", "Y"))
    for each in tree.list("sys/module", name, "parameters"):
        fields.append(("parm", f"{each}={tree.read('sys/module', name, 'parameters', each)}"))
    return fields
