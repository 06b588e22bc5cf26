"""The text of one new function: NEW's, without decorators, with defaults that the file can evaluate."""
import ast
import copy
import re

from klpfs.build.changes import default_nodes
from klpfs.build.plan import FuncPlan
from klpfs.build.text import Edit, Source, replace, unparsed


def function_text(source: Source, func: FuncPlan, name: str, indent: int) -> str:
    """func's definition as `def name`, at a column."""
    node = func.node
    if not source.alone(node):
        return unparsed(_rewritten(func, name), indent)
    edits = _default_edits(source, func)
    if name != node.name:
        edits.append(_name_edit(source, node, name))
    return source.block(node.lineno, node.end_lineno, indent, edits)


def _default_edits(source: Source, func: FuncPlan) -> "list[Edit]":
    found = []
    for parameter, node in default_nodes(func.node.args).items():
        if parameter in func.kept:
            found.append(replace(node, "unchanged"))
        elif parameter in func.later:
            found.append(replace(node, f"later(lambda: {ast.unparse(node)})"))
    return found


def _name_edit(source: Source, node, name: str) -> Edit:
    line = source.lines[node.lineno - 1].encode()
    found = re.compile(rb"(async\s+)?def\s+").match(line, node.col_offset)
    start = found.end()
    return Edit((node.lineno, start), (node.lineno, start + len(node.name.encode())), name)


def _rewritten(func: FuncPlan, name: str):
    node = copy.deepcopy(func.node)
    node.name, node.decorator_list = name, []
    for parameter, default in default_nodes(node.args).items():
        if parameter in func.kept | func.later:
            text = "unchanged" if parameter in func.kept else f"later(lambda: {ast.unparse(default)})"
            new = ast.parse(text, mode="eval").body
            default.__class__, default.__dict__ = new.__class__, new.__dict__
    return node
