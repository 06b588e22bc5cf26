"""Uses of a table by code: whether it is only read where it stands, or may be changed or kept."""
from __future__ import annotations

import ast
from collections import OrderedDict, defaultdict
from collections.abc import Collection
from typing import Callable

from klpfs.builder.syntax import last_name

_TABLES = (dict, list, set, OrderedDict, defaultdict)
_READING = frozenset(("get", "items", "keys", "values", "copy", "index", "count", "union", "difference", "intersection",
                      "issubset", "issuperset", "isdisjoint", "symmetric_difference"))
_BUILT_IN = frozenset("""len sorted set list dict tuple frozenset any all isinstance issubclass iter enumerate min max
    sum zip map filter reversed repr str bool next range""".split())
_TEXT = frozenset(("join", "startswith", "endswith", "format", "update", "extend"))    # of others, which copy it
_NO_TABLES = (ast.Constant, ast.JoinedStr, ast.Compare, ast.UnaryOp, ast.Lambda, ast.Tuple)
_MAKERS = frozenset(("compile", "frozenset", "tuple", "str", "int", "float", "bytes", "object", "namedtuple",
                     "getLogger",
                     "escape", "join", "lower", "upper", "encode", "format", "Struct", "TypeVar", "MappingProxyType"))


# (name, 'a.b' too, whether it is called) -> whether that is plainly no table
Known = Callable[[str, bool], bool]


def is_no_table(node: ast.stmt, known: Known) -> bool:
    """Whether a statement binds names to what is plainly no dict, list or set. known: says so of other names."""
    if not isinstance(node, (ast.Assign, ast.AnnAssign)) or node.value is None:
        return False
    targets = node.targets if isinstance(node, ast.Assign) else [node.target]
    return all(isinstance(target, ast.Name) for target in targets) and _plain(node.value, known)


def _plain(value: ast.expr, known: Known) -> bool:
    if isinstance(value, ast.BinOp):
        sides = _plain(value.left, known), _plain(value.right, known)
        if isinstance(value.op, ast.Mod):
            return sides[0]
        return all(sides) or any(sides) and isinstance(value.op, ast.Add)
    if isinstance(value, ast.IfExp):
        return _plain(value.body, known) and _plain(value.orelse, known)
    if isinstance(value, ast.Call):
        return last_name(value.func) in _MAKERS or isinstance(value.func, (ast.Name, ast.Attribute)) and known(
            ast.unparse(value.func), True)
    return isinstance(value, _NO_TABLES) or isinstance(value, ast.Name) and known(value.id, False)


def used_as_no_table(function: ast.AST, name: str) -> bool:
    """Whether code does with a name's value what no table can: it calls it, or has an attribute of it."""
    for node in ast.walk(function):
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") == name:
            return True
        if isinstance(node, ast.Attribute) and getattr(node.value, "id", "") == name and not any(
                hasattr(kind, node.attr) for kind in _TABLES):
            return True
    return False


def changes_or_keeps(function: ast.AST, name: str, nodes: Collection[ast.AST] = ()) -> bool:
    """Whether a function does more with a table than to read what is in it. nodes: those that are the table, where it
    is an attribute; else it is the name."""
    parents = {child: node for node in ast.walk(function) for child in ast.iter_child_nodes(node)}
    for node in ast.walk(function):
        if node in nodes if nodes else isinstance(node, ast.Name) and node.id == name:
            if not _only_reads(node, parents):
                return True
    return False


def _only_reads(node: ast.AST, parents: dict[ast.AST, ast.AST]) -> bool:
    around = parents.get(node)
    if isinstance(around, ast.Subscript) and around.value is node:
        return isinstance(around.ctx, ast.Load) and not isinstance(parents.get(around), ast.AugAssign)
    if isinstance(around, ast.Attribute):
        call = parents.get(around)
        return around.attr in _READING and isinstance(call, ast.Call) and call.func is around
    if isinstance(around, ast.Call) and node in around.args:
        func = around.func
        return getattr(func, "id", "") in _BUILT_IN or isinstance(func, ast.Attribute) and func.attr in _TEXT
    if isinstance(around, (ast.For, ast.AsyncFor, ast.comprehension)):
        return around.iter is node
    if isinstance(around, ast.Starred):
        return isinstance(parents.get(around), (ast.Call, ast.List, ast.Tuple, ast.Set))
    if isinstance(around, ast.Dict):        # {**TABLE}
        return any(key is None and value is node for key, value in zip(around.keys, around.values))
    if isinstance(around, ast.IfExp):
        return around.test is node
    return isinstance(around, (ast.Compare, ast.If, ast.While, ast.UnaryOp, ast.Assert, ast.FormattedValue))
