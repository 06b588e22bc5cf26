"""The text of one new function: NEW's, without decorators, with defaults that the file can evaluate."""
from __future__ import annotations

import ast
import copy
import re
from typing import TypeVar

from klpfs.builder.plan.class_statement import uses_of
from klpfs.builder.plan.plans import FuncPlan, ModulePlan
from klpfs.builder.read.source_text import Edit, Source, replace, unparsed
from klpfs.builder.syntax import FunctionNode, body_without_doc, default_nodes, end_column, end_line

Node = TypeVar("Node", bound=ast.AST)


def function_text(plan: ModulePlan, func: FuncPlan, name: str, indent: int) -> str:
    """The definition of a function of a module's plan as `def name`, at a column, below a line that says where it comes
    from."""
    return f"{' ' * indent}# line {func.node.lineno}: {func.reason}\n" + _definition(plan, func, name, indent)


def _definition(plan: ModulePlan, func: FuncPlan, name: str, indent: int) -> str:
    node, source, renamed = func.node, plan.new.source, plan.at_import.renamed_attributes
    one_line = func.prelude and body_without_doc(node.body)[0].lineno == node.lineno
    renames = None if func.generated or one_line or not source.has_own_lines(node) else rename_edits(
        source, node, renamed)
    if renames is None:
        return unparsed(_rewritten(func, name, renamed), indent)
    edits = _default_edits(func) + renames
    if name != node.name:
        edits.append(_name_edit(source, node, name))
    text = source.block(node.lineno, end_line(node), indent, edits)
    return _with_prelude(source, func, text, indent) if func.prelude else text


def _with_prelude(source: Source, func: FuncPlan, text: str, indent: int) -> str:
    """The function's text with statements of the function around it before its own."""
    body = body_without_doc(func.node.body)
    rest = end_line(func.node) - body[0].lineno + 1
    lines = text.splitlines(keepends=True)
    column = indent + body[0].col_offset - func.node.col_offset
    first = [f"{' ' * column}# what functions made before lack, from what they hold\n"]
    first += [_statement(source, statement, column) for statement in func.prelude]
    return "".join(lines[:-rest] + first + lines[-rest:])


def _statement(source: Source, statement: ast.stmt, column: int) -> str:
    return source.statement(statement, column) if statement.lineno else unparsed(statement, column)


def _default_text(func: FuncPlan, parameter: str, node: ast.expr) -> str | None:
    """The text that the file has for a default; None: the default as it stands."""
    if parameter in func.kept_defaults:
        return "unchanged"
    return f"later(lambda: {ast.unparse(node)})" if parameter in func.later_defaults else None


def _default_edits(func: FuncPlan) -> list[Edit]:
    found = []
    for parameter, node in default_nodes(func.node.args).items():
        text = _default_text(func, parameter, node)
        if text is not None:
            found.append(replace(node, text))
    return found


def rename_edits(source: Source, node: ast.stmt, renamed: dict[str, str]) -> list[Edit] | None:
    """Edits that give attributes in a statement their new names; None: the place of one can't be told (in an f-string,
    before 3.12)."""
    found = []
    for attribute in uses_of(renamed, node):
        line, end, name = end_line(attribute), end_column(attribute), attribute.attr.encode()
        if not node.lineno <= line <= end_line(node) or source.lines[line - 1].encode()[end - len(name):end] != name:
            return None
        found.append(Edit((line, end - len(name)), (line, end), renamed[attribute.attr]))
    return found


def with_renamed(node: Node, renamed: dict[str, str]) -> Node:
    """A copy of syntax in which attributes have their new names."""
    node = copy.deepcopy(node)
    for attribute in uses_of(renamed, node):
        attribute.attr = renamed[attribute.attr]
    return node


def _name_edit(source: Source, node: FunctionNode, name: str) -> Edit:
    line = source.lines[node.lineno - 1].encode()
    found = re.compile(rb"(async\s+)?def\s+").match(line, node.col_offset)
    assert found is not None
    start = found.end()
    return Edit((node.lineno, start), (node.lineno, start + len(node.name.encode())), name)


def _rewritten(func: FuncPlan, name: str, renamed: dict[str, str]) -> FunctionNode:
    """The function's definition as syntax, for text that its source has not."""
    node = with_renamed(func.node, renamed)
    node.name, node.decorator_list = name, []
    for parameter, default in default_nodes(node.args).items():
        text = _default_text(func, parameter, default)
        if text is not None:
            new = ast.parse(text, mode="eval").body
            default.__class__, default.__dict__ = new.__class__, new.__dict__
    node.body[len(node.body) - len(body_without_doc(node.body)):0] = copy.deepcopy(func.prelude)
    return node
