"""Tests that a release ships beside its code: no service runs them, so they are no part of a livepatch.

What is in a folder called `tests` is a test, and what is in one called `test` if any file there has a test's name (it
begins with test_, or ends with _test); a folder `test` without such files is code that other people's tests use
(django/test), as is `testing`. What other code of the release imports when it is imported is code, wherever it lies.
"""
from __future__ import annotations

import ast
import re
from collections.abc import Iterator

from klpfs.builder.syntax import is_for_types

_FOLDER = re.compile(r"(?:^|/)(tests?)(?=/)")
_NAME = re.compile(r"(^|/)(test_[^/]*|[^/]*_tests?|conftest)\.py$")
_CONFTEST = re.compile(r"(^|/)conftest\.py$")
_MENTION = re.compile(rb"^[ \t]*(from|import)\b[^\n#]*\btests?\b", re.M)


def shipped_tests(files: dict[str, str]) -> set[str]:
    """The paths that are tests, and what lies beside them. files: {path as on the import path: path on disk}."""
    named = {path[:found.end(1)] for path in files if _NAME.search(path) for found in _FOLDER.finditer(path)}
    tests = {path for path in files if _CONFTEST.search(path) or any(
        found[1] == "tests" or path[:found.end(1)] in named for found in _FOLDER.finditer(path))}
    by_module = {_module(path): path for path in tests if path.endswith(".py")}
    todo = [path for path in files.keys() - tests if path.endswith(".py")] if by_module else []
    while todo:
        path = todo.pop()
        for name in _imported(path, files[path]):
            for module in _with_parents(name):
                used = by_module.pop(module, None)
                if used is not None:
                    tests.discard(used)
                    todo.append(used)
    return tests


def _module(path: str) -> str:
    name = path[:-len(".py")].replace("/", ".")
    return name[:-len(".__init__")] if name.endswith(".__init__") else name


def _with_parents(name: str) -> Iterator[str]:
    """A module's name, and those of the packages that are imported before it."""
    while name:
        yield name
        name = name.rpartition(".")[0]


def _imported(path: str, where: str) -> Iterator[str]:
    """Names of what a file imports when it is imported, which may be modules; none of a file that can't be read."""
    try:
        with open(where, "rb") as file:
            text = file.read()
        tree = ast.parse(text) if _MENTION.search(text) or _FOLDER.search(path) else ast.Module([], [])
    except (OSError, SyntaxError, ValueError):
        return
    package = _module(path) if path.endswith("/__init__.py") else _module(path).rpartition(".")[0]
    todo: list[ast.AST] = [tree]
    while todo:
        node = todo.pop()
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            words = package.split(".")[:len(package.split(".")) + 1 - node.level] if node.level else []
            base = ".".join([*words, *([node.module] if node.module else [])])
            yield base
            yield from (f"{base}.{alias.name}" for alias in node.names)
        elif not isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.expr)) and not is_for_types(node):
            todo += ast.iter_child_nodes(node)
