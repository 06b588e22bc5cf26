"""Scopes of a text: which names a scope binds, and which scope a name belongs to, by Python's rules."""
from __future__ import annotations

import ast

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any, Union

    Function = Union[ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda]
    Comprehension = Union[ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp]
    Names = Union[set[str], frozenset[str]]


def mangle(name: str, class_name: str | None) -> str:
    """The name that Python makes of a private name in a class body."""
    if class_name is None or not name.startswith("__") or name.endswith("__") or "." in name:
        return name
    bare = class_name.lstrip("_")
    return f"_{bare}{name}" if bare else name


class _Bindings(ast.NodeVisitor):
    """The names that one scope binds, and those of its global and nonlocal statements."""

    def __init__(self) -> None:
        self.bound: set[str] = set()
        self.globals: set[str] = set()
        self.nonlocals: set[str] = set()

    def visit_Name(self, node: ast.Name) -> None:
        if not isinstance(node.ctx, ast.Load):
            self.bound.add(node.id)

    def visit_Global(self, node: ast.Global) -> None:
        self.globals.update(node.names)

    def visit_Nonlocal(self, node: ast.Nonlocal) -> None:
        self.nonlocals.update(node.names)

    def visit_FunctionDef(self, node: Any) -> None:
        self.bound.add(node.name)
        for part in node.decorator_list + _defaults(node):
            self.visit(part)

    visit_AsyncFunctionDef = visit_FunctionDef

    def visit_Lambda(self, node: ast.Lambda) -> None:
        for default in _defaults(node):
            self.visit(default)

    def visit_ClassDef(self, node: ast.ClassDef) -> None:
        self.bound.add(node.name)
        for part in node.decorator_list + node.bases + [keyword.value for keyword in node.keywords]:
            self.visit(part)

    def _comprehension(self, node: Comprehension) -> None:
        self.visit(node.generators[0].iter)
        todo: list[ast.AST] = [node]    # an assignment expression binds in the function around it, or in a lambda
        while todo:
            part = todo.pop()
            if isinstance(part, ast.NamedExpr):
                self.bound.add(part.target.id)
            todo += _defaults(part) if isinstance(part, ast.Lambda) else ast.iter_child_nodes(part)

    visit_ListComp = visit_SetComp = visit_DictComp = visit_GeneratorExp = _comprehension

    def _import(self, node: ast.Import | ast.ImportFrom) -> None:
        self.bound.update(imported_name(alias) for alias in node.names)

    visit_Import = visit_ImportFrom = _import

    def _named(self, node: ast.AST) -> None:
        name = name_of(node)
        if name is not None:
            self.bound.add(name)
        self.generic_visit(node)

    visit_ExceptHandler = visit_MatchAs = visit_MatchStar = visit_MatchMapping = _named


def imported_name(alias: ast.alias) -> str:
    """The name that one part of an import statement binds."""
    return alias.asname or alias.name.partition(".")[0]


def name_of(node: ast.AST) -> str | None:
    """The name that `except ... as name` binds, or a pattern: `case ... as name`, `*name`, `**name`."""
    name = getattr(node, "name", None) or getattr(node, "rest", None)
    return name if isinstance(name, str) else None


def _defaults(node: Any) -> list[ast.expr]:
    return [default for default in node.args.defaults + node.args.kw_defaults if default is not None]


def arguments(node: Function) -> list[ast.arg]:
    """The parameters of a function or lambda, in order."""
    args = node.args
    found = args.posonlyargs + args.args + ([args.vararg] if args.vararg else []) + args.kwonlyargs
    return found + ([args.kwarg] if args.kwarg else [])


def bindings(nodes: Iterable[ast.AST], parameters: Iterable[str] = ()) -> tuple[set[str], set[str]]:
    """The (bound, global) names of a scope, from its statements and its parameters."""
    found = _Bindings()
    found.bound.update(parameters)
    for node in nodes:
        found.visit(node)
    return found.bound - found.globals - found.nonlocals, found.globals


def nonlocals(function: Function) -> set[str]:
    """Names that a function itself declares nonlocal."""
    found = _Bindings()
    for node in function.body if isinstance(function.body, list) else []:
        found.visit(node)
    return found.nonlocals


class Scope:
    """A scope: kind is 'function', 'class', 'comprehension', or 'annotation': that of type parameters, or of what is
    evaluated only if somebody asks, which sees the names of a class right around it (PEP 695, PEP 649).

    bound, globals: names that it binds, and those of its global statements. first: a function's first parameter, or
    None. name: a class's. runs: its code is a function's: the names in it are looked up when that is called.
    comprehends: a class's block has comprehensions.
    """

    __slots__ = ("kind", "bound", "globals", "first", "name", "runs", "comprehends")

    def __init__(self, kind: str, bound: Names, globals: Names = frozenset(), first: str | None = None,
                 name: str | None = None, runs: bool = True) -> None:
        self.kind, self.bound, self.globals, self.first, self.name = kind, bound, globals, first, name
        self.runs, self.comprehends = runs, False


class Scopes:
    """The scopes around a place in a text, outermost first.

    inside: how many of them run as functions; at the top level and in class bodies outside functions it is 0.
    own: the scopes from this number on are the text's own; those before it are what its code will lie in.
    """

    __slots__ = ("stack", "inside", "own")

    def __init__(self, enclosing: Iterable[str] = ()) -> None:
        """enclosing: names of variables in a function around the text."""
        free = frozenset(enclosing)
        self.stack = [Scope("function", free, runs=False)] if free else []
        self.own = len(self.stack)
        self.inside = 0

    def push(self, scope: Scope) -> None:
        self.stack.append(scope)
        self.inside += scope.runs

    def pop(self) -> None:
        self.inside -= self.stack.pop().runs

    def push_block(self, class_name: str) -> None:
        """The scope of the class in whose block the text was written: it is none of the text's own scopes."""
        self.stack.append(Scope("class", frozenset(), name=class_name, runs=False))
        self.own = len(self.stack)

    def in_own_class(self) -> bool:
        """Whether the place lies in a class that is made where the code runs: super() and __class__ are that
        class's."""
        return any(scope.kind == "class" for scope in self.stack[self.own:])

    def is_global(self, name: str) -> bool:
        return not (name == "__class__" and self.in_own_class()) and self.binder(name) is None

    def binder(self, name: str) -> Scope | None:
        """The scope that binds a name as it is used here; None: it is global."""
        block = self.block()
        for scope in reversed(self.stack):
            if scope.kind == "class" and scope is not block:
                continue
            if name in scope.globals:
                return None
            if name in scope.bound:
                return scope
        return None

    def block(self) -> Scope | None:
        """The class in whose namespace names that are read here are looked up first; None: in no class's. What a class
        block has evaluated later sees its names, a comprehension in that does not."""
        inner = ""
        for scope in reversed(self.stack):
            if scope.kind == "class":
                return scope if inner in ("", "annotation") else None
            if scope.kind == "function" or scope.kind == "comprehension":
                return None
            inner = scope.kind
        return None

    def in_annotation(self) -> bool:
        """Whether the place lies in a scope of its own inside the block of which block() tells."""
        return self.stack[-1].kind != "class"

    def class_name(self) -> str | None:
        """The name of the innermost class, which mangles private names."""
        return next((scope.name for scope in reversed(self.stack) if scope.kind == "class"), None)

    def first_parameter(self) -> str | None:
        """The first parameter of the innermost function; None if it has none."""
        return next((scope.first for scope in reversed(self.stack) if scope.kind == "function"), None)
