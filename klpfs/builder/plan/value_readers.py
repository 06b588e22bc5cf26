"""The functions of a module that read a global name, as far as their text says."""
from __future__ import annotations

import ast
from collections.abc import Iterator

from attrs import define

from klpfs.builder.compare.statements import Scope, parse_scope
from klpfs.builder.plan.closures import may_outlive_its_call, pairs
from klpfs.builder.syntax import FUNCTIONS, FunctionNode, parameter_names


@define(eq=False)
class Reader:
    """A function of NEW that lies in no other. name: qualified. old: OLD's, or None. around: the function and the
    classes around it."""

    name: str
    old: FunctionNode | None
    new: FunctionNode
    around: list[ast.stmt]

    def parts(self, name: str) -> Iterator[tuple[str, FunctionNode, FunctionNode]]:
        """(qualified name, OLD's, NEW's) of the function, and of those in it that read a name and whose closures may
        be alive."""
        assert self.old is not None
        yield self.name, self.old, self.new
        for old, new in pairs(self.old, self.new, self.name):
            if may_outlive_its_call(old) and any(mentions(node, name) for node in (old.node, new.node)):
                yield old.name, old.node, new.node


def functions_of(old: Scope, new: Scope, prefix: str = "", around: tuple[ast.stmt, ...] = ()) -> Iterator[Reader]:
    """The functions of a scope of NEW and of the classes in it, each with OLD's of its name."""
    for key, function in new.functions.items():
        before = old.functions.get(key)
        yield Reader(prefix + function.node.name, before.node if before else None, function.node,
                     [*around, function.node])
    for key, cls in new.classes.items():
        outer = old.classes.get(key)
        inner = parse_scope(outer.node.body) if outer else Scope()
        yield from functions_of(inner, parse_scope(cls.node.body), f"{prefix}{cls.node.name}.",
                                (*around, cls.node))


def mentions(node: ast.AST, name: str) -> bool:
    """Whether code reads a name, or imports it, or has an attribute of it."""
    return any(isinstance(inner, ast.Name) and inner.id == name or isinstance(inner, ast.Attribute) and (
        inner.attr == name) or isinstance(inner, ast.alias) and inner.name == name for inner in ast.walk(node))


def reads_global(function: FunctionNode, name: str) -> str:
    """'once': the body of a function, or a function in it, reads a global name. 'twice': a class or a function in it
    binds the name as well. '': it does not read it."""
    found = [inner for part in function.body for inner in ast.walk(part)]
    reads = [inner for inner in found if isinstance(inner, ast.Name) and inner.id == name]
    if not reads:
        return ""
    bound = name in parameter_names(function.args) or any(
        isinstance(inner, ast.Name) and not isinstance(inner.ctx, ast.Load) or isinstance(inner, FUNCTIONS) and (
            inner.name == name or name in parameter_names(inner.args)) for inner in [*reads, *found]
        if isinstance(inner, FUNCTIONS) or inner in reads)
    own = name in parameter_names(function.args) or any(
        isinstance(inner, ast.Name) and inner.id == name and not isinstance(inner.ctx, ast.Load)
        for inner in _own(function))
    if own:
        return ""       # its own variable
    return "twice" if bound else "once"


def _own(function: FunctionNode) -> Iterator[ast.AST]:
    """All of a function's own code, that of functions and classes in it left out."""
    todo: list[ast.AST] = list(function.body)
    while todo:
        node = todo.pop()
        yield node
        if not isinstance(node, (*FUNCTIONS, ast.ClassDef, ast.Lambda)):
            todo += ast.iter_child_nodes(node)


def global_stores(tree: ast.AST, name: str) -> bool:
    """Whether a function declares a name global: it may bind it."""
    return any(isinstance(node, ast.Global) and name in node.names for node in ast.walk(tree))


def attribute_base(node: ast.Attribute) -> str:
    """'a.b' of a.b.NAME; '' where it is no plain chain of names."""
    parts: list[str] = []
    value: ast.expr = node.value
    while isinstance(value, ast.Attribute):
        parts.append(value.attr)
        value = value.value
    return ".".join([value.id, *reversed(parts)]) if isinstance(value, ast.Name) else ""
