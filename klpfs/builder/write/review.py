"""A built livepatch beside the upstream change that it carries, function by function, for who reviews it.

Of each module that differs: its functions in the patch, with upstream's change of each and what the patch has otherwise than NEW;
then the rest of upstream's change, and the part of the patch that runs when it goes in.
"""
import ast
import difflib
import re
import textwrap
import typing

from attrs import define, field

from klpfs.builder.error import BuildError
from klpfs.builder.read.modules import Module, pair
from klpfs.builder.read.sources import Release

_TITLE = re.compile(r"(?P<old>.+?) -> (?P<new>.+), by klpfs build\.?$")
_SCOPES = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)


@define
class PatchedFunction:
    """A Func of the file. reference: the dotted name of its new function there."""

    name: str
    position: int
    reference: str


@define
class PatchedObject:
    """An Object of the file. at_import: the name of what runs when it goes in, or ''."""

    name: str
    functions: "list[PatchedFunction]" = field(factory=list)
    at_import: str = ""


@define
class Patch:
    """A livepatch's file as text. old, new: the releases that its title names, or ''."""

    text: str
    tree: ast.Module
    objects: "list[PatchedObject]"
    old: str
    new: str

    @classmethod
    def read(cls, path: str) -> "Patch":
        """BuildError: it can't be read, or does not parse."""
        try:
            with open(path, encoding="utf-8") as file:
                text = file.read()
            tree = ast.parse(text, path)
        except OSError as e:
            raise BuildError(f"{path}: {e.strerror}") from None
        except (SyntaxError, ValueError) as e:
            raise BuildError(f"{path}:{getattr(e, 'lineno', None) or 1}: {getattr(e, 'msg', None) or e}") from None
        found = _TITLE.match((ast.get_docstring(tree) or "").split("\n")[0])
        return cls(text, tree, [_object(each) for each in _calls(tree, "Object")], found["old"] if found else "", found["new"] if found else "")


def _calls(tree: ast.AST, name: str) -> "list[ast.Call]":
    return [each for each in ast.walk(tree) if isinstance(each, ast.Call) and isinstance(each.func, ast.Name) and each.func.id == name]


def _object(call: ast.Call) -> PatchedObject:
    given = {each.arg: each.value for each in call.keywords}
    name = call.args[0] if call.args else given.get("name")
    found = PatchedObject(str(getattr(name, "value", None)))
    for each in _calls(call, "Func"):
        position = [value.value for value in each.args[2:3] if isinstance(value, ast.Constant)]
        if len(each.args) > 1 and isinstance(each.args[0], ast.Constant):
            found.functions.append(PatchedFunction(each.args[0].value, position[0] if position else 1, ast.unparse(each.args[1])))
    for each in _calls(call, "ImportTime"):
        if each.args:
            found.at_import = ast.unparse(each.args[0])
    return found


def review(patch: Patch, old: Release, new: Release) -> "typing.Iterator[str]":
    """The lines to be shown."""
    objects = {each.name: each for each in patch.objects}
    pairs = pair(old, new)
    for module in pairs.changed:
        was, now, mine = module.old, module.new, objects.pop(module.name, None)
        yield f"=== {module.name}"
        if mine is None:
            yield "not in the patch; upstream's change:"
            yield from _unified(_lines(was), _lines(now))
            continue
        covered = []
        for function in mine.functions:
            before, after = (_definition(each, function.name, function.position) for each in (was, now))
            yield f"--- function {function.name}" + (f", number {function.position} of that name" if function.position > 1 else "")
            yield from _function(patch, function, was, now, before, after) or ["as it was, for what it uses"]
            covered.append((before, after, function.name))
        rest = list(_unified(_without(was, [(b, n) for b, _, n in covered]), _without(now, [(a, n) for _, a, n in covered])))
        if rest:
            yield "--- the rest of upstream's change"
            yield from rest
        if mine.at_import:
            yield "--- runs when the patch goes in"
            yield from _source(patch, mine.at_import)
    for name in objects:
        yield f"=== {name}"
        yield "in the patch, though its own file is as it was: it uses what has changed"
        for function in objects[name].functions:
            yield f"--- function {function.name}"
        if objects[name].at_import:
            yield from _source(patch, objects[name].at_import)
    for path in pairs.data + pairs.compiled:
        yield f"=== {path}: not carried"


def _function(patch: Patch, function: PatchedFunction, was, now, before, after) -> "list[str]":
    one, two = _cut(was, before), _cut(now, after)
    lines = list(_unified(one, two))
    carried = _source(patch, function.reference)
    wanted = two[after.lineno - _first(after):] if after is not None else []         # a new function has no decorators
    other = list(_unified(_named(wanted), _named(carried)))
    return lines + (["the patch has otherwise than upstream:"] + other if other else [])


def _lines(module: typing.Optional[Module]) -> "list[str]":
    return [line.rstrip("\n") for line in module.source.lines] if module is not None else []


def _unified(one: "list[str]", two: "list[str]") -> "typing.Iterator[str]":
    return (line for at, line in enumerate(difflib.unified_diff(one, two, lineterm="", n=3)) if at > 1)


def _definitions(body, prefix: str = "") -> "typing.Iterator[tuple[str, ast.AST]]":
    """(qualified name, node) of all functions and classes below, in source order."""
    for node in body:
        if isinstance(node, _SCOPES):
            name = prefix + node.name
            yield name, node
            yield from _definitions(node.body, name + (".<locals>." if not isinstance(node, ast.ClassDef) else "."))
        else:
            yield from _definitions(ast.iter_child_nodes(node), prefix)


def _definition(module: typing.Optional[Module], name: str, position: int) -> typing.Optional[ast.AST]:
    found = [node for each, node in _definitions(module.tree.body) if each == name] if module is not None else []
    return found[position - 1] if len(found) >= position else None


def _first(node: ast.AST) -> int:
    return min([node.lineno] + [each.lineno for each in getattr(node, "decorator_list", ())])


def _cut(module: typing.Optional[Module], node: typing.Optional[ast.AST]) -> "list[str]":
    """The lines of a definition, at column 0."""
    if node is None:
        return []
    return textwrap.dedent("\n".join(_lines(module)[_first(node) - 1:node.end_lineno])).split("\n")


def _without(module: typing.Optional[Module], covered) -> "list[str]":
    """A module's lines with the functions that were shown already as one line each."""
    lines: "list[str | None]" = list(_lines(module))
    for node, name in covered:
        if node is not None:
            lines[_first(node) - 1:node.end_lineno] = [f"... {name}"] + [None] * (node.end_lineno - _first(node))
    return [line for line in lines if line is not None]


def _source(patch: Patch, reference: str) -> "list[str]":
    """The lines of what a dotted name of the patch's file is there."""
    lines = patch.text.split("\n")
    wanted = re.sub(r"\._[A-Za-z0-9]\w*?__", ".__", reference)      # the class's own private name
    for name, node in _definitions(patch.tree.body):
        if name in (reference, wanted):
            return textwrap.dedent("\n".join(lines[_first(node) - 1:node.end_lineno])).split("\n")
    return []


def _named(lines: "list[str]") -> "list[str]":
    """Without the function's name in its first line: the patch's file may need another."""
    return [re.sub(r"^((?:async )?def )\w+", r"\1_", line, 1) for line in lines[:1]] + lines[1:]
