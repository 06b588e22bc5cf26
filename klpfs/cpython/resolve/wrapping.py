"""A function's node in the surroundings that its code is compiled in alone: a function with the free variables, and a
class that mangles its private names."""
from __future__ import annotations

import ast

from klpfs.cpython.load.scopes import arguments

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

OUTER = "klpfs_outer"


def strip(node: Any) -> None:
    """Takes away what is evaluated around a function: decorators, annotations; defaults become None."""
    none = ast.copy_location(ast.Constant(None), node)
    node.args.defaults = [none for _ in node.args.defaults]
    node.args.kw_defaults = [default and none for default in node.args.kw_defaults]
    for argument in arguments(node):
        argument.annotation = None
    if not isinstance(node, ast.Lambda):
        node.decorator_list, node.returns = [], None


def wrapped(node: Any, class_name: str | None, free: tuple[str, ...]) -> ast.Module:
    """A module with a function that has the free variables, with the class if it has one, with the function.

    A name that the wrapping itself binds is declared global there: the function must go on to see the module's.
    """
    name = None if isinstance(node, ast.Lambda) else node.name
    inside: Any = ast.Expr(node) if name is None else node
    cells = list(free)
    if class_name is not None:
        cells = [cell for cell in cells if cell != "__class__"]
        inside = ast.ClassDef(name=class_name, bases=[], keywords=[], body=[inside], decorator_list=[])
        inside.type_params = []
        name = class_name
    body = [inside]
    if name is not None and name not in cells:
        body.insert(0, ast.Global([name]))
    args = ast.arguments(posonlyargs=[], args=[ast.arg(cell) for cell in cells], vararg=None, kwonlyargs=[],
                         kw_defaults=[], kwarg=None, defaults=[])
    outer = ast.FunctionDef(name=OUTER, args=args, body=body, decorator_list=[], returns=None)
    outer.type_params = []  # type: ignore[attr-defined, unused-ignore]
    for part in (outer, inside, *body, *args.args):
        if part is not node:
            ast.copy_location(part, node)
    return ast.Module(body=[outer], type_ignores=[])
