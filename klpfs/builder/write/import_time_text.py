"""The text of what importing NEW does differently: a function for ImportTime, of NEW's own statements."""
from __future__ import annotations

import ast
import copy
import re
import textwrap
from collections.abc import Iterator
from typing import Any, Callable

from klpfs.builder.compare.statements import Compound, Statement, parse_scope
from klpfs.builder.plan.plans import ImportWork, ModulePlan
from klpfs.builder.read.modules import Module
from klpfs.builder.read.source_text import Edit, Source, replace, unparsed
from klpfs.builder.syntax import (
    DEFINITIONS,
    IMPORTS,
    ImportNode,
    end_column,
    end_line,
    type_params,
    walk_outside,
)
from klpfs.builder.write.changed_calls import ChangedCalls
from klpfs.builder.write.function_text import rename_edits, with_renamed
from klpfs.cpython.load.scopes import imported_name
from klpfs.cpython.raw import first_line

_PARAMETER = "klp"
_STARS = {"TypeVarTuple": "*", "ParamSpec": "**"}


def at_import_text(plan: ModulePlan, name: str) -> str:
    """`def name(klp):` with everything that runs when the patch goes in."""
    return _function_text(plan.new, plan.at_import, name,
                          "what importing it does otherwise; old code sees it, too, from the moment the patch goes in"
                          + _together(plan), calls=ChangedCalls(plan))


def _together(plan: ModulePlan) -> str:
    """Words on the values that old code does not see."""
    names = sorted(name for name in plan.together if ":" not in name)
    return f",\n    # but for {', '.join(names)}: together with the functions" if names else ""


def when_complete_text(plan: ModulePlan, name: str) -> str:
    """`def name(klp):` with everything that runs when the transition is complete."""
    return _function_text(plan.new, plan.when_complete, name,
                          "values that changed functions compute, made anew when the transition is complete")


def new_module_text(module: Module, name: str, star_names: dict[ast.stmt, list[str]]) -> str:
    """`def name(klp):` with the whole of a module that only NEW has."""
    scope = parse_scope(module.tree.body)
    work = ImportWork(scope, dict.fromkeys(scope.statements, ""), star_names=star_names)
    return _function_text(module, work, name, doc=ast.get_docstring(module.tree, clean=False))


def _function_text(module: Module, work: ImportWork, name: str, comment: str = "", doc: str | None = None,
                   calls: ChangedCalls | None = None) -> str:
    lines = [f"def {name}({_PARAMETER}):\n"]
    if comment:
        lines.append(f"    # {module.file}: {comment}\n")
    names = sorted(work.bound_names | ({"__doc__"} if doc else set()))
    if names:
        lines.append(textwrap.fill("global " + ", ".join(names), 116, initial_indent="    ",
                                   subsequent_indent="    ").replace(",\n    ", "\n    global ") + "\n")
        if doc is not None:
            lines.append(f"    __doc__ = {doc!r}\n")
        lines.append("\n")
    for cls, fields in sorted(work.fields_of_bases.items()):
        lines.append(f"    {_PARAMETER}.plain({cls!r}, {fields!r})  # refused if what made the class has read these\n")
    for cls in sorted(work.moved_classes):
        lines.append(f"    {_PARAMETER}.moves({cls!r})  # refused if objects of it are alive: they stay as they are\n")
    for table, keys in sorted(work.removed_keys.items()):
        lines.append(f"    {_PARAMETER}.removes({', '.join(map(repr, [table, *keys]))})\n")
    if calls is not None and calls.needed:
        lines.append(calls.text(4))
    body = _Writer(module, work, calls).body(module.tree.body, 4)
    return "".join(lines) + (body or "    pass\n" * (not work.fields_of_bases))


class _Writer:
    """Writes the statements that a function for ImportTime runs. chosen: {syntax: the statements of it that run}.
    calls: where their calls lead; None: to the module's own functions."""

    def __init__(self, module: Module, work: ImportWork, calls: ChangedCalls | None = None) -> None:
        self.work, self.source, self.calls = work, module.source, calls
        self.chosen: dict[ast.stmt, list[Statement]] = {}
        for statement in work.statements_to_run:
            self.chosen.setdefault(statement.node, []).append(statement)

    def wants(self, node: ast.AST) -> bool:
        """Whether anything in a piece of syntax runs."""
        return any(inner in self.chosen or inner in self.work.classes_to_amend for inner in ast.walk(node))

    def amends(self, node: ast.ClassDef) -> bool:
        """Whether a class, or a class in it, is amended."""
        return any(inner in self.work.classes_to_amend for inner in ast.walk(node))

    def body(self, nodes: list[ast.stmt], indent: int, in_class: bool = False, in_try: bool = False) -> str:
        """The text of statements. in_try: imports are repeated, for they may raise what the handlers are for."""
        text, after_definition = "", False
        for node in nodes:
            written = self.statement(node, indent, in_class, in_try)
            if written:
                is_definition = isinstance(node, DEFINITIONS)
                text += "\n" * bool(text and (is_definition or after_definition)) + self.comment(node, indent) + written
                after_definition = is_definition
        return text

    def comment(self, node: ast.stmt, indent: int) -> str:
        """The line that says where a statement comes from, and why it runs."""
        reasons = {self.work.statements_to_run[statement] for statement in self.chosen.get(node, ())} - {""}
        return f"{' ' * indent}# line {first_line(node)}: {', '.join(sorted(reasons))}\n" if reasons else ""

    def statement(self, node: ast.stmt, indent: int, in_class: bool, in_try: bool) -> str:
        if node in self.chosen:
            return self.whole(node, indent, in_class)
        if isinstance(node, ast.ClassDef):
            return self.class_block(node, indent) if self.amends(node) else ""
        if in_try and isinstance(node, IMPORTS):
            if node.names[0].name == "*":   # a function can have no more of it than whether the import succeeds
                node = _with_names(node, [ast.alias("__name__", "klp_name")])
            return unparsed(node, indent)
        if isinstance(node, (ast.If, ast.Try, ast.With)) and self.wants(node):
            return self.compound(node, indent, in_class)
        return ""

    def whole(self, node: ast.stmt, indent: int, in_class: bool) -> str:
        """A statement that runs."""
        name = next((self.work.if_absent[each] for each in self.chosen[node] if each in self.work.if_absent), None)
        if name is not None:
            return f"{' ' * indent}if {_PARAMETER}.lacks({name!r}):\n" + self.always(node, indent + 4, in_class)
        return self.always(node, indent, in_class)

    def always(self, node: ast.stmt, indent: int, in_class: bool) -> str:
        if isinstance(node, IMPORTS) and _lazy_imports(node):
            aliases = [statement.alias for statement in self.chosen[node] if statement.alias is not None]
            return "".join(f"{' ' * indent}{line}\n" for line in _lazily(node, aliases))
        if isinstance(node, IMPORTS):
            kept = self.import_of(node)
            if kept is None:
                return self.star_import(node, indent)
            if kept is not node:
                return unparsed(kept, indent)
        edits: list[Edit] = []
        if not in_class:
            edits = [] if isinstance(node, DEFINITIONS) else _namespaces(node)
            if isinstance(node, ast.AnnAssign):
                if node.value is None:
                    return ""
                edits.append(_without_annotation(self.source, node, node.value))
            edits += self.inner_edits(node)
        if self.calls is not None and not isinstance(node, (*DEFINITIONS, *IMPORTS)):
            edits += self.calls.edits(node)
        as_in_function = None if in_class else _AsInFunction(self, node)
        if not self.source.has_own_lines(node):
            return _unparsed(as_in_function, self.led(node), indent)
        renames = rename_edits(self.source, node, self.work.renamed_attributes)
        if renames is None:
            return _unparsed(as_in_function, with_renamed(self.led(node), self.work.renamed_attributes), indent)
        return self.source.block(first_line(node), end_line(node), indent, edits + renames)

    def led(self, node: ast.stmt) -> ast.stmt:
        """A copy of a statement, whose calls lead to NEW's functions."""
        return copy.deepcopy(node) if self.calls is None else self.calls.led(node)

    def inner_edits(self, node: ast.stmt) -> list[Edit]:
        """The edits that put what a function may have into the place of what a module alone may have in a compound
        statement: `import *`, lazy imports, annotations of names that are global there."""
        edits = []
        for inner in _at_top_level(node):
            if isinstance(inner, IMPORTS):
                text = self.in_function(inner)
                edits += [] if text is None else [replace(inner, text)]
            elif isinstance(inner, ast.AnnAssign) and inner is not node:
                edits.append(replace(inner, "pass") if inner.value is None
                             else _without_annotation(self.source, inner, inner.value))
        return edits

    def in_function(self, node: ImportNode) -> str | None:
        """What a function has in the place of an import; None: the import itself."""
        if getattr(node, "is_lazy", False):
            return "; ".join(_lazily(node, node.names))
        if node.names[0].name != "*":
            return None
        kept = self.import_of(node)
        return ast.unparse(kept) if kept is not None else self.star_import(node, 0).rstrip()

    def import_of(self, node: ImportNode) -> ImportNode | None:
        """An import with those of its names that run; None: it is one of '*' whose names are not known."""
        if isinstance(node, ast.ImportFrom) and node.names[0].name == "*":
            names = self.work.star_names.get(node)
            return _with_names(node, [ast.alias(name) for name in names]) if names else None
        chosen = [statement.alias for statement in self.chosen[node]]
        if len(chosen) == len(node.names):
            return node
        return _with_names(node, [alias for alias in node.names if alias in chosen])

    def star_import(self, node: ImportNode, indent: int) -> str:
        assert isinstance(node, ast.ImportFrom)
        return f"{' ' * indent}{_PARAMETER}.star({'.' * node.level + (node.module or '')!r})\n"

    def class_block(self, node: ast.ClassDef, indent: int) -> str:
        """The block with all that is new in a class that is loaded."""
        body, after = self.body(node.body, indent + 4, in_class=True), ""
        plan = self.work.classes_to_amend.get(node)
        if plan is not None:
            body = "".join(f"{' ' * (indent + 4)}{line}\n" for line in plan.lines_inside) + body
            after = "".join(textwrap.indent(block, " " * indent) for block in plan.blocks_after)
        head = f"{node.name}{_type_params_text(node, body)}(metaclass={_PARAMETER}.part)"
        return (f"{' ' * indent}class {head}:\n{body}" if body else "") + after

    def compound(self, node: Compound, indent: int, in_class: bool) -> str:
        """A compound statement with what runs in its blocks."""
        return _COMPOUND[type(node)](self, node, indent, in_class)

    def if_(self, node: ast.If, indent: int, in_class: bool) -> str:
        space = " " * indent
        text = f"{space}if {ast.unparse(node.test)}:\n" + self.block(node.body, indent, in_class)
        return text + (f"{space}else:\n" + self.block(node.orelse, indent, in_class) if node.orelse else "")

    def with_(self, node: ast.With, indent: int, in_class: bool) -> str:
        items = ", ".join(ast.unparse(item) for item in node.items)
        return f"{' ' * indent}with {items}:\n" + self.block(node.body, indent, in_class)

    def try_(self, node: ast.Try, indent: int, in_class: bool) -> str:
        space = " " * indent
        text = f"{space}try:\n" + self.block(node.body, indent, in_class, in_try=True)
        for handler in node.handlers:
            kind = f" {ast.unparse(handler.type)}" if handler.type else ""
            name = f" as {handler.name}" if handler.name else ""
            text += f"{space}except{kind}{name}:\n" + self.block(handler.body, indent, in_class)
        for word, block in (("else", node.orelse), ("finally", node.finalbody)):
            if block:
                text += f"{space}{word}:\n" + self.block(block, indent, in_class)
        return text

    def block(self, nodes: list[ast.stmt], indent: int, in_class: bool, in_try: bool = False) -> str:
        return self.body(nodes, indent + 4, in_class, in_try) or f"{' ' * indent}    pass\n"


_COMPOUND: dict[type, Callable[[_Writer, Any, int, bool], str]] = {
    ast.If: _Writer.if_, ast.With: _Writer.with_, ast.Try: _Writer.try_}


def _type_params_text(node: ast.ClassDef, body: str) -> str:
    """'[T, *Ts]' of a generic class with a block that uses its type parameters; without bounds: the live class has
    them."""
    names = {name: f"{stars}{name}" for each in type_params(node)
             for name, stars in [(each.name, _STARS.get(type(each).__name__, ""))]}
    return f"[{', '.join(names.values())}]" if names.keys() & set(re.findall(r"\w+", body)) else ""


def _lazy_imports(node: ast.AST) -> list[ImportNode]:
    """The lazy imports (3.15) in a statement, or the statement itself if it is one."""
    return [inner for inner in ast.walk(node) if isinstance(inner, IMPORTS) and getattr(inner, "is_lazy", False)]


def _lazily(node: ImportNode, aliases: list[ast.alias]) -> list[str]:
    """The lines that bind names of a lazy import, which no function may have: to stand-ins, as it does."""
    return [f"{imported_name(alias)} = {_PARAMETER}.lazy({ast.unparse(_with_names(node, [alias]))!r})"
            for alias in aliases]


class _AsInFunction(ast.NodeTransformer):
    """Does in syntax what inner_edits does in text, to a copy of a statement."""

    def __init__(self, writer: _Writer, node: ast.stmt) -> None:
        self.texts = {(inner.lineno, inner.col_offset): writer.in_function(inner)
                      for inner in _at_top_level(node) if isinstance(inner, IMPORTS)}

    def definition(self, node: ast.AST) -> ast.AST:
        return node

    visit_FunctionDef = visit_AsyncFunctionDef = visit_ClassDef = visit_Lambda = definition

    def visit_AnnAssign(self, node: ast.AnnAssign) -> ast.stmt:
        new = ast.Pass() if node.value is None else ast.Assign([node.target], node.value)
        return ast.copy_location(new, node)

    def imported(self, node: ImportNode) -> list[ast.stmt] | ImportNode:
        text = self.texts.get((node.lineno, node.col_offset))
        return node if text is None else ast.parse(text).body

    visit_Import = visit_ImportFrom = imported


def _unparsed(transformer: _AsInFunction | None, node: ast.stmt, indent: int) -> str:
    return unparsed(node if transformer is None else transformer.visit(node), indent)


def _at_top_level(node: ast.stmt) -> Iterator[ast.AST]:
    """The statement and all in it that runs in the scope that the statement stands in."""
    return walk_outside((*DEFINITIONS, ast.Lambda), node)


def _without_annotation(source: Source, node: ast.AnnAssign, value: ast.expr) -> Edit:
    """The edit from NAME: TYPE = VALUE to NAME = VALUE. Parentheses around the value are no part of its node."""
    line, column = end_line(node.annotation), end_column(node.annotation)
    while b"=" not in (text := source.lines[line - 1].encode()[column:]):
        line, column = line + 1, 0
    after = column + text.index(b"=") + 1
    start = end_line(node.target), end_column(node.target)
    if line == value.lineno and not source.lines[line - 1].encode()[after:value.col_offset].strip():
        return Edit(start, (line, value.col_offset), " = ")
    return Edit(start, (line, after), " =")


def _namespaces(node: ast.AST) -> list[Edit]:
    """At a module's top level locals() is what globals() is in the function here."""
    return [replace(call, "globals()") for call in ast.walk(node) if isinstance(call, ast.Call) and not call.args
            and getattr(call.func, "id", "") in ("locals", "vars")]


def _with_names(node: ImportNode, names: list[ast.alias]) -> ImportNode:
    if isinstance(node, ast.Import):
        return ast.Import(names)
    return ast.ImportFrom(node.module, names, node.level)
