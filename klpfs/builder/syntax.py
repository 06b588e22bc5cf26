"""Questions that every step of the builder asks of a piece of syntax."""
from __future__ import annotations

import ast
from collections.abc import Iterator
from typing import Any, Union

FunctionNode = Union[ast.FunctionDef, ast.AsyncFunctionDef]
DefinitionNode = Union[ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef]
ImportNode = Union[ast.Import, ast.ImportFrom]

FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)
DEFINITIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
IMPORTS = (ast.Import, ast.ImportFrom)


def end_line(node: ast.stmt | ast.expr) -> int:
    """The last line of a piece of parsed source."""
    assert node.end_lineno is not None
    return node.end_lineno


def end_column(node: ast.stmt | ast.expr) -> int:
    """The column, in bytes, behind a piece of parsed source."""
    assert node.end_col_offset is not None
    return node.end_col_offset


def last_name(node: ast.AST | None) -> str:
    """'field' of `field` and of `attr.field`, '' of anything else."""
    return getattr(node, "id", getattr(node, "attr", ""))


def is_for_types(node: ast.AST) -> bool:
    """Whether a node is `if TYPE_CHECKING:`, whose block never runs."""
    return isinstance(node, ast.If) and last_name(node.test) == "TYPE_CHECKING"


def decorator_name(node: ast.expr) -> str:
    """'property' of @property, 'app.route' of @app.route(...)."""
    return ast.unparse(node.func if isinstance(node, ast.Call) else node)


def walk_outside(kinds: tuple[type, ...], *nodes: ast.AST) -> Iterator[ast.AST]:
    """Nodes and all that is in them, save what is inside of nodes of these kinds (those themselves are given)."""
    todo = list(nodes)
    while todo:
        node = todo.pop()
        yield node
        if not isinstance(node, kinds):
            todo += ast.iter_child_nodes(node)


def is_generator(node: FunctionNode) -> bool:
    """A function with a yield of its own."""
    inside = walk_outside(DEFINITIONS + (ast.Lambda,), *node.body)
    return any(isinstance(inner, (ast.Yield, ast.YieldFrom)) for inner in inside)


def flavour(node: FunctionNode) -> str:
    """The kind of a function by what its call makes: function (a value), generator, coroutine, async generator."""
    if isinstance(node, ast.AsyncFunctionDef):
        return "async generator" if is_generator(node) else "coroutine"
    return "generator" if is_generator(node) else "function"


def parameter_names(args: ast.arguments) -> set[str]:
    """All names that a function's parameters give, those of lambdas in its defaults too."""
    return {arg.arg for arg in ast.walk(args) if isinstance(arg, ast.arg)}


def type_params(node: ast.AST) -> list[Any]:
    """A definition's type parameters, as nodes (3.12)."""
    return getattr(node, "type_params", [])


def default_nodes(args: ast.arguments) -> dict[str, ast.expr]:
    """{parameter: its default}."""
    names = [arg.arg for arg in args.posonlyargs + args.args]
    found = dict(zip(names[len(names) - len(args.defaults):], args.defaults))
    found.update((arg.arg, value) for arg, value in zip(args.kwonlyargs, args.kw_defaults) if value is not None)
    return found


def body_without_doc(body: list[ast.stmt]) -> list[ast.stmt]:
    """The statements of a body, without its docstring."""
    first = body[0] if body else None
    value = first.value if isinstance(first, ast.Expr) else None
    return body[1:] if isinstance(value, ast.Constant) and isinstance(value.value, str) else body
