"""A built livepatch beside the upstream change that it carries, function by function, for a reviewer.

Of every module that differs: its functions in the patch, with upstream's change of each and what the patch has
otherwise than NEW; then the rest of upstream's change, and the part of the patch that runs when it goes in. """
from __future__ import annotations

import ast
import difflib
import re
import textwrap
from collections.abc import Iterable, Iterator

from attrs import define, field, frozen

from klpfs.builder.error import BuildError
from klpfs.builder.read.modules import Module, Pair, pair
from klpfs.builder.read.sources import Release
from klpfs.builder.syntax import DEFINITIONS, DefinitionNode, end_line
from klpfs.cpython.raw import first_line

_TITLE = re.compile(r"(?P<old>.+?) -> (?P<new>.+), by klpfs build\.?$")
_DEFINED_NAME = re.compile(r"^((?:async )?def )\w+")
_PRIVATE_PREFIX = re.compile(r"\._[A-Za-z0-9]\w*?__")      # the class's own private name


@frozen
class PatchedFunction:
    """A Func of the file. position: among functions of its name. reference: the dotted name of its new function
    there."""

    name: str
    position: int
    reference: str


@define
class PatchedObject:
    """An Object of the file. at_import: the name of what runs when it goes in, or ''."""

    name: str
    functions: list[PatchedFunction] = field(factory=list)
    at_import: str = ""


@define
class Patch:
    """A livepatch's file as text. old, new: the releases that its title names, or ''."""

    text: str
    tree: ast.Module
    objects: list[PatchedObject]
    old: str
    new: str

    @classmethod
    def read(cls, path: str) -> Patch:
        """Reads a file. BuildError: it can't be read, or does not parse."""
        try:
            with open(path, encoding="utf-8") as file:
                text = file.read()
            tree = ast.parse(text, path)
        except OSError as e:
            raise BuildError(f"{path}: {e.strerror}") from None
        except (SyntaxError, ValueError) as e:
            raise BuildError(f"{path}:{getattr(e, 'lineno', None) or 1}: {getattr(e, 'msg', None) or e}") from None
        title = _TITLE.match((ast.get_docstring(tree) or "").split("\n")[0])
        return cls(text, tree, [_object(call) for call in _calls(tree, "Object")], title["old"] if title else "",
                   title["new"] if title else "")

    def lines_of(self, reference: str) -> list[str]:
        """The lines of the definition that a dotted name of the file means."""
        wanted = _PRIVATE_PREFIX.sub(".__", reference)
        for name, node in _definitions(self.tree.body):
            if name in (reference, wanted):
                return _dedented(self.text.split("\n"), node)
        return []


def _calls(tree: ast.AST, name: str) -> list[ast.Call]:
    return [call for call in ast.walk(tree) if isinstance(call, ast.Call) and getattr(call.func, "id", "") == name]


def _object(call: ast.Call) -> PatchedObject:
    given = {keyword.arg: keyword.value for keyword in call.keywords}
    name = call.args[0] if call.args else given.get("name")
    found = PatchedObject(str(getattr(name, "value", None)))
    for func in _calls(call, "Func"):
        if len(func.args) > 1 and isinstance(func.args[0], ast.Constant):
            position = func.args[2] if len(func.args) > 2 else None
            number = position.value if isinstance(position, ast.Constant) and isinstance(position.value, int) else 1
            found.functions.append(PatchedFunction(str(func.args[0].value), number, ast.unparse(func.args[1])))
    for import_time in _calls(call, "ImportTime"):
        if import_time.args:
            found.at_import = ast.unparse(import_time.args[0])
    return found


@frozen
class _Version:
    """A module of one version, or of none."""

    module: Module | None

    @property
    def lines(self) -> list[str]:
        return [line.rstrip("\n") for line in self.module.source.lines] if self.module is not None else []

    def definition(self, function: PatchedFunction) -> DefinitionNode | None:
        """The function's definition in this version."""
        body = self.module.tree.body if self.module is not None else []
        found = [node for name, node in _definitions(body) if name == function.name]
        return found[function.position - 1] if len(found) >= function.position else None

    def without(self, functions: Iterable[PatchedFunction]) -> list[str]:
        """The lines, with the functions that were shown already as one line each."""
        lines: list[str | None] = list(self.lines)
        for function in functions:
            node = self.definition(function)
            if node is not None:
                first, last = first_line(node), end_line(node)
                lines[first - 1:last] = [f"... {function.name}"] + [None] * (last - first)
        return [line for line in lines if line is not None]


def review(patch: Patch, old: Release, new: Release) -> Iterator[str]:
    """The lines for the reviewer."""
    objects = {each.name: each for each in patch.objects}
    pairs = pair(old, new)
    for module in pairs.changed:
        yield f"=== {module.name}"
        yield from _module(patch, objects.pop(module.name, None), module)
    for name, patched in objects.items():
        yield f"=== {name}"
        yield "in the patch, though its own file is as it was: it uses what has changed"
        for function in patched.functions:
            yield f"--- function {function.name}"
        if patched.at_import:
            yield from patch.lines_of(patched.at_import)
    for path in pairs.data + pairs.compiled:
        yield f"=== {path}: not carried"


def _module(patch: Patch, patched: PatchedObject | None, module: Pair) -> Iterator[str]:
    old, new = _Version(module.old), _Version(module.new)
    if patched is None:
        yield "not in the patch; upstream's change:"
        yield from _unified(old.lines, new.lines)
        return
    for function in patched.functions:
        number = f", number {function.position} of that name" if function.position > 1 else ""
        yield f"--- function {function.name}{number}"
        yield from _function(patch, function, old, new) or ["as it was, for what it uses"]
    rest = list(_unified(old.without(patched.functions), new.without(patched.functions)))
    if rest:
        yield "--- the rest of upstream's change"
        yield from rest
    if patched.at_import:
        yield "--- runs when the patch goes in"
        yield from patch.lines_of(patched.at_import)


def _function(patch: Patch, function: PatchedFunction, old: _Version, new: _Version) -> list[str]:
    """Upstream's change of a function, and what the patch has otherwise."""
    before, after = old.definition(function), new.definition(function)
    old_lines = _dedented(old.lines, before) if before is not None else []
    new_lines = _dedented(new.lines, after) if after is not None else []
    # a new function has no decorators
    wanted = new_lines[after.lineno - first_line(after):] if after is not None else []
    otherwise = list(_unified(_unnamed(wanted), _unnamed(patch.lines_of(function.reference))))
    if otherwise:
        otherwise.insert(0, "the patch has otherwise than upstream:")
    return list(_unified(old_lines, new_lines)) + otherwise


def _unified(old: list[str], new: list[str]) -> Iterator[str]:
    """A unified diff, without the lines that name the files."""
    return (line for at, line in enumerate(difflib.unified_diff(old, new, lineterm="", n=3)) if at > 1)


def _definitions(body: Iterable[ast.AST], prefix: str = "") -> Iterator[tuple[str, DefinitionNode]]:
    """(qualified name, node) of all functions and classes below, in source order."""
    for node in body:
        if isinstance(node, DEFINITIONS):
            name = prefix + node.name
            yield name, node
            yield from _definitions(node.body, name + (".<locals>." if not isinstance(node, ast.ClassDef) else "."))
        else:
            yield from _definitions(ast.iter_child_nodes(node), prefix)


def _dedented(lines: list[str], node: DefinitionNode) -> list[str]:
    """The lines of a definition, at column 0."""
    return textwrap.dedent("\n".join(lines[first_line(node) - 1:end_line(node)])).split("\n")


def _unnamed(lines: list[str]) -> list[str]:
    """A function's lines, without its name in the first: the patch's file may need another."""
    return [_DEFINED_NAME.sub(r"\1_", line, count=1) for line in lines[:1]] + lines[1:]
