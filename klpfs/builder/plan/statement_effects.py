"""The effects of statements: what a statement made when it ran, what it leaves behind, and what a new version of it
takes away."""
from __future__ import annotations

import ast
import re
from typing import Any

from klpfs.builder.compare.statements import Statement
from klpfs.builder.syntax import FUNCTIONS, IMPORTS, last_name

# what acts where no proof looks: on other processes, files, tables in C
_OUTSIDE = frozenset("""codecs register_at_fork addaudithook setlocale ctypes CDLL faulthandler settrace setprofile
    Popen fork spawn system mkdir makedirs remove unlink rename chdir chmod umask putenv setrlimit nice connect
    bind listen exec eval register_adapter register_converter""".split())
_WARNS = re.compile("warn|deprecat|^__import__$|import_module$", re.I)


def makes_value(statement: Statement) -> bool:
    """The statement made the value that it bound; it did not take a value that others own."""
    if statement.kind == "import":
        return False
    if statement.kind in ("function", "class"):
        return True
    value = getattr(statement.node, "value", None)
    return not isinstance(value, (ast.Name, ast.Attribute, ast.Constant))


def is_harmless(node: ast.stmt) -> bool:
    """The statement left nothing behind when it ran, or only warnings, or imported modules."""
    if isinstance(node, (ast.Pass, ast.Assert, ast.Delete, ast.Raise, ast.Import, ast.ImportFrom)):
        return True
    if isinstance(node, (ast.If, ast.Try, ast.With)):
        blocks = [getattr(node, name, []) for name in ("body", "orelse", "finalbody")]
        blocks += [handler.body for handler in getattr(node, "handlers", [])]
        return all(is_harmless(inner) for block in blocks for inner in block)
    value = node.value if isinstance(node, ast.Expr) else None
    if isinstance(value, ast.Call):
        return bool(_WARNS.search(ast.unparse(value.func)))
    return isinstance(value, (ast.Constant, ast.Name, ast.Attribute))


def acts_outside(node: ast.stmt, tree: ast.Module) -> bool:
    """Whether a statement, or a function of its module that it mentions, mentions what acts where no proof looks."""
    functions = {each.name: each for each in ast.walk(tree) if isinstance(each, FUNCTIONS)}
    todo: list[ast.AST] = [node]
    seen: set[str] = set()
    while todo:
        names = {last_name(inner) for inner in ast.walk(todo.pop())} - seen
        if names & _OUTSIDE:
            return True
        seen |= names
        todo += [functions[name] for name in names & functions.keys()]
    return False


def keys_removed(old: ast.stmt, new: ast.stmt, name: str) -> list[Any] | None:
    """Constant keys or members that OLD's table has and NEW's has not; None: a statement is no table in plain sight.
    Where NEW imports the table, those that the release has put into OLD's: which of them are left is known when it is
    there."""
    before, after = _keys(old, name), [] if isinstance(new, IMPORTS) else _keys(new, name)
    return None if before is None or after is None else [key for key in before if key not in after]


def _keys(node: ast.stmt, name: str) -> list[Any] | None:
    if not isinstance(node, (ast.Assign, ast.AnnAssign)):
        return None
    targets = node.targets if isinstance(node, ast.Assign) else [node.target]
    if not any(isinstance(target, ast.Name) and target.id == name for target in targets):
        return None
    if isinstance(node.value, ast.Dict):
        keys: list[Any] = node.value.keys
    elif isinstance(node.value, ast.Set):
        keys = node.value.elts
    else:
        return None
    return [key.value for key in keys] if all(isinstance(key, ast.Constant) for key in keys) else None


def short_text(node: ast.stmt, limit: int = 60) -> str:
    """The first line of a statement's text, cut to a length, for messages."""
    text = ast.unparse(node).split("\n")[0]
    return text if len(text) <= limit else text[:limit - 3] + "..."
