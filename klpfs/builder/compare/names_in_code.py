"""The names that a piece of code binds and reads while it runs, and those whose objects it changes. Nothing is run."""
from __future__ import annotations

import ast
import re
from collections.abc import Sequence

from klpfs.builder.syntax import DEFINITIONS, FunctionNode, ImportNode, walk_outside

NAMESPACES = frozenset(("locals", "globals", "vars"))
ANY = "*"       # a name that stands for whatever name
_IN_TEXT = re.compile(r"%\((\w+)\)|\{(\w+)")


class _Names(ast.NodeVisitor):
    """Names that the code of one scope binds and reads while it runs. Bodies of functions are not run."""

    def __init__(self) -> None:
        self.bound: set[str] = set()
        self.read: set[str] = set()
        self.inner: list[set[str]] = []     # names bound in the classes and comprehensions around a node

    def visit_all(self, nodes: Sequence[ast.expr | None]) -> None:
        for node in nodes:
            if node is not None:
                self.visit(node)

    def bind(self, *names: str) -> None:
        if not self.inner:
            self.bound.update(names)

    def visit_Name(self, node: ast.Name) -> None:
        if isinstance(node.ctx, ast.Load):
            if not any(node.id in names for names in self.inner):
                self.read.add(node.id)
        elif not self.inner:
            self.bound.add(node.id)
        else:
            self.inner[-1].add(node.id)

    def visit_Attribute(self, node: ast.Attribute) -> None:
        if isinstance(node.value, ast.Name) and isinstance(node.ctx, ast.Load) and not any(
                node.value.id in names for names in self.inner):
            self.read.add(f"{node.value.id}.{node.attr}")
        self.visit(node.value)

    def visit_NamedExpr(self, node: ast.NamedExpr) -> None:
        self.bound.add(node.target.id)
        self.visit(node.value)

    def visit_FunctionDef(self, node: FunctionNode) -> None:
        self.bind(node.name)
        self.visit_all(node.decorator_list + node.args.defaults)
        self.visit_all(node.args.kw_defaults)

    visit_AsyncFunctionDef = visit_FunctionDef

    def visit_Lambda(self, node: ast.Lambda) -> None:
        self.visit_all(node.args.defaults)
        self.visit_all(node.args.kw_defaults)

    def visit_ClassDef(self, node: ast.ClassDef) -> None:
        self.bind(node.name)
        self.visit_all(node.decorator_list + node.bases + [keyword.value for keyword in node.keywords])
        self.inner.append(set())
        for statement in node.body:
            self.visit(statement)
        self.inner.pop()

    def _comprehension(self, node: ast.ListComp | ast.SetComp | ast.DictComp | ast.GeneratorExp) -> None:
        self.inner.append(set())
        for generator in node.generators:
            self.visit_all([generator.iter, generator.target] + generator.ifs)
        self.visit_all([getattr(node, name, None) for name in ("elt", "key", "value")])
        self.inner.pop()

    visit_ListComp = visit_SetComp = visit_DictComp = visit_GeneratorExp = _comprehension

    def visit_Import(self, node: ImportNode) -> None:
        self.bind(*(alias.asname or alias.name.partition(".")[0] for alias in node.names))

    visit_ImportFrom = visit_Import

    def visit_ExceptHandler(self, node: ast.ExceptHandler) -> None:
        if node.name:
            self.bind(node.name)
        self.generic_visit(node)

    def visit_AnnAssign(self, node: ast.AnnAssign) -> None:
        if node.value is not None:
            self.visit(node.target)
            self.visit(node.value)

    def visit_AugAssign(self, node: ast.AugAssign) -> None:
        self.generic_visit(node)
        if isinstance(node.target, ast.Name):
            self.read.add(node.target.id)


def names_bound(node: ast.AST) -> set[str]:
    """Names that a statement binds in the scope that it stands in."""
    names = _Names()
    names.visit(node)
    return names.bound


def names_read(node: ast.AST) -> set[str]:
    """Names that a statement uses when it runs: of a function its decorators and defaults, of a class its body, too;
    and attributes of names: "c.LIMIT".
    {ANY}: it looks names up that are not in its text."""
    names = _Names()
    names.visit(node)
    return names.read | _names_in_text(node) if names.read & NAMESPACES else names.read


def _names_in_text(node: ast.AST) -> set[str]:
    """Names that a statement looks up in its namespace by their text: '%(port)s' % locals()."""
    if not any(isinstance(call, ast.Call) and not call.args and getattr(call.func, "id", "") in NAMESPACES
               for call in ast.walk(node)):
        return set()
    found = {percent or brace for inner in ast.walk(node)
             if isinstance(inner, ast.Constant) and isinstance(inner.value, str)
             for percent, brace in _IN_TEXT.findall(inner.value)}
    return found or {ANY}


def names_changed_in_place(node: ast.AST) -> set[str]:
    """Plain names whose objects a statement changes: NAME.append(...), NAME[key] = ..., NAME.attribute = ..., NAME +=
    ..."""
    found = set()
    for inner in walk_outside(DEFINITIONS + (ast.Lambda,), node):
        if isinstance(inner, ast.Expr) and isinstance(inner.value, ast.Call):
            if isinstance(inner.value.func, ast.Attribute):
                found |= _root(inner.value.func.value)
        elif isinstance(inner, ast.AugAssign):
            found |= _root(inner.target)
        elif isinstance(inner, (ast.Assign, ast.Delete)):
            for target in inner.targets:
                if isinstance(target, (ast.Subscript, ast.Attribute)):
                    found |= _root(target.value)
    return found


def _root(node: ast.expr) -> set[str]:
    """{NAME} of NAME.attribute[key]."""
    while isinstance(node, (ast.Attribute, ast.Subscript)):
        node = node.value
    return {node.id} if isinstance(node, ast.Name) else set()
