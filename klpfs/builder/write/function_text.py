"""The text of one new function: NEW's, without decorators, with defaults that the file can evaluate."""
import ast
import copy
import re
import typing

from klpfs.builder.compare.changes import default_nodes
from klpfs.builder.plan.class_statement import renamed
from klpfs.builder.plan.planner import FuncPlan
from klpfs.builder.compare.equivalence import without_doc
from klpfs.builder.read.source_text import Edit, replace, Source, unparsed


def function_text(source: Source, func: FuncPlan, name: str, indent: int) -> str:
    """func's definition as `def name`, at a column, with a line that says where it comes from."""
    line = f"line {func.node.lineno}: " if hasattr(func.node, "lineno") else ""
    return f"{' ' * indent}# {line}{func.why}\n" + _definition(source, func, name, indent)


def _definition(source: Source, func: FuncPlan, name: str, indent: int) -> str:
    node = func.node
    forms = form_edits(source, node, func.forms)
    if func.written or forms is None or not source.alone(node):
        return unparsed(_rewritten(func, name), indent)
    edits = _default_edits(source, func) + forms
    if name != node.name:
        edits.append(_name_edit(source, node, name))
    text = source.block(node.lineno, node.end_lineno, indent, edits)
    return _with_prelude(source, func, text, indent) if func.prelude else text


def _with_prelude(source: Source, func: FuncPlan, text: str, indent: int) -> str:
    """Statements of the function around it, before its own."""
    body = without_doc(func.node.body)
    rest = func.node.end_lineno - body[0].lineno + 1
    lines = text.splitlines(keepends=True)
    space = " " * (indent + body[0].col_offset - func.node.col_offset)
    first = [f"{space}# what functions made before lack, from what they hold\n"]
    for each in func.prelude:
        first.append(source.block(each.lineno, each.end_lineno, len(space)))
    return "".join(lines[:-rest] + first + lines[-rest:])


def _default_edits(source: Source, func: FuncPlan) -> "list[Edit]":
    found = []
    for parameter, node in default_nodes(func.node.args).items():
        if parameter in func.kept:
            found.append(replace(node, "unchanged"))
        elif parameter in func.later:
            found.append(replace(node, f"later(lambda: {ast.unparse(node)})"))
    return found


def form_edits(source: Source, node: ast.AST, forms: "dict[str, str]") -> "typing.Optional[list[Edit]]":
    """Other names for attributes; None: one stands where its text can't be told (in an f-string, before 3.12)."""
    found = []
    for each in renamed(node, forms):
        end = each.end_col_offset
        start = end - len(each.attr.encode())
        lines = source.lines
        if not node.lineno <= each.end_lineno <= node.end_lineno or lines[each.end_lineno - 1].encode()[start:end] != each.attr.encode():
            return None
        found.append(Edit((each.end_lineno, start), (each.end_lineno, end), forms[each.attr]))
    return found


def with_forms(node: ast.AST, forms: "dict[str, str]") -> ast.AST:
    """A copy that uses attributes by their other names."""
    node = copy.deepcopy(node)
    for each in renamed(node, forms):
        each.attr = forms[each.attr]
    return node


def _name_edit(source: Source, node, name: str) -> Edit:
    line = source.lines[node.lineno - 1].encode()
    found = re.compile(rb"(async\s+)?def\s+").match(line, node.col_offset)
    start = found.end()
    return Edit((node.lineno, start), (node.lineno, start + len(node.name.encode())), name)


def _rewritten(func: FuncPlan, name: str):
    node = copy.deepcopy(func.node)
    node.name, node.decorator_list = name, []
    node = with_forms(node, func.forms)
    for parameter, default in default_nodes(node.args).items():
        if parameter in func.kept | func.later:
            text = "unchanged" if parameter in func.kept else f"later(lambda: {ast.unparse(default)})"
            new = ast.parse(text, mode="eval").body
            default.__class__, default.__dict__ = new.__class__, new.__dict__
    return node
