"""Livepatches that change nothing: the functions of a standard module, with the text that they have.

    PYTHON identity.py FOLDER MODULE ...

PYTHON is the interpreter whose modules they are. For each MODULE that it has there are two files, `same_MODULE.py` and
`only_MODULE.py`, the second with replace=True: a cumulative patch. Standard output is JSON: {MODULE: the number of its
functions}. A function is in the files where its text alone says what it is: a definition of the module's top level or
of a class there, the only one of its name, made by no decorator but those of the language, and in place at run time.
"""
from __future__ import annotations

import ast
import importlib
import json
import sys
import types
from pathlib import Path

LANGUAGE = ("classmethod", "staticmethod", "property")
DEFINITIONS = (ast.FunctionDef, ast.AsyncFunctionDef)


def mangled(qualname: str) -> str:
    """The expression that is a method of a livepatch's class block: names with two underscores are written out."""
    owner, _, name = qualname.rpartition(".")
    private = owner and name.startswith("__") and not name.endswith("__")
    return f"{owner}._{owner.lstrip('_')}{name}" if private else qualname


def in_place(node: ast.AST, found: object, module: str) -> bool:
    """Whether an attribute's value is the function that this definition has made."""
    if isinstance(found, (classmethod, staticmethod)):
        found = found.__func__
    elif isinstance(found, property):
        found = found.fget
    first = min([node.lineno, *(each.lineno for each in node.decorator_list)])
    return (isinstance(found, types.FunctionType) and found.__module__ == module
            and found.__code__.co_name == node.name and found.__code__.co_firstlineno == first)


def plain(body: list[ast.stmt], namespace: dict[str, object], module: str, owner: str = "") -> list[ast.stmt]:
    """The definitions of a body that can be in a livepatch, made ready for it: no decorators, the defaults that are
    there. owner: the name of the class whose body it is."""
    names = [node.name for node in ast.walk(ast.Module(body=body, type_ignores=[]))
             if isinstance(node, (*DEFINITIONS, ast.ClassDef))]
    found = []
    for node in body:
        if (not isinstance(node, DEFINITIONS) or names.count(node.name) > 1
                or not in_place(node, namespace.get(mangled(f"{owner}.{node.name}").rpartition(".")[2]), module)
                or any(not isinstance(each, ast.Name) or each.id not in LANGUAGE for each in node.decorator_list)):
            continue
        for defaults in (node.args.defaults, node.args.kw_defaults):
            defaults[:] = [each if each is None or isinstance(each, ast.Constant)
                           else ast.Name("unchanged") for each in defaults]
        node.decorator_list = []
        found.append(node)
    return found


def livepatch(module: str) -> tuple[str, list[str]]:
    """The text of a livepatch without its last line, which makes the Patch, and the qualified names of its
    functions."""
    live = importlib.import_module(module)
    tree = ast.parse(Path(live.__file__).read_text(encoding="utf-8"))
    blocks = plain(tree.body, vars(live), module)
    names = [node.name for node in blocks]
    top = [node.name for node in tree.body if isinstance(node, ast.ClassDef)]
    for node in tree.body:
        cls = isinstance(node, ast.ClassDef) and vars(live).get(node.name)
        if not isinstance(cls, type) or cls.__module__ != module or top.count(node.name) > 1:
            continue
        methods = plain(node.body, dict(vars(cls)), module, node.name)
        if methods:
            names += [f"{node.name}.{each.name}" for each in methods]
            node.body, node.bases, node.keywords, node.decorator_list = methods, [], [], []
            blocks.append(node)
    future = [node for node in tree.body if isinstance(node, ast.ImportFrom) and node.module == "__future__"]
    head = [*map(ast.unparse, future), "from klpfs import Func, Object, Patch, unchanged"]
    return "\n".join([*head, *(ast.unparse(ast.fix_missing_locations(node)) for node in blocks)]), names


def write(folder: Path, module: str) -> int:
    """The two files of a module in a folder; how many functions they have."""
    text, names = livepatch(module)
    funcs = ", ".join(f"Func({name!r}, {mangled(name)})" for name in names)
    for prefix, replace in (("same", False), ("only", True)):
        patch = f"patch = Patch(objects=[Object({module!r}, funcs=[{funcs}])], replace={replace})\n"
        (folder / f"{file_name(prefix, module)}.py").write_text(f"{text}\n{patch}", encoding="utf-8")
    return len(names)


def file_name(prefix: str, module: str) -> str:
    """The name of a livepatch, which is its file's, too."""
    return f"{prefix}_{module.replace('.', '_')}"


def main(folder: str, *modules: str) -> None:
    counts = {}
    for module in modules:
        try:
            counts[module] = write(Path(folder), module)
        except ModuleNotFoundError:
            continue
    print(json.dumps(counts))


if __name__ == "__main__":
    sys.path.pop(0)     # this folder
    main(*sys.argv[1:])
