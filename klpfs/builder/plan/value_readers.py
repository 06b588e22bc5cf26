"""The functions of a module that read a global name, as far as their text says."""
from __future__ import annotations

import ast
import re
from collections.abc import Iterator

from attrs import define

from klpfs.builder.compare.names_in_code import NAMESPACES
from klpfs.builder.compare.statements import Scope, parse_scope
from klpfs.builder.plan.closures import may_outlive_its_call, pairs
from klpfs.builder.syntax import FUNCTIONS, FunctionNode, last_name, parameter_names

_BY_TEXT = frozenset(("getattr", "attrgetter", "eval", "exec"))     # they read names by texts


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
        inner.attr == name) or isinstance(inner, ast.alias) and inner.name == name
        or name in getattr(inner, "kwd_attrs", ()) for inner in ast.walk(node))


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


def looked_up(tree: ast.AST, name: str) -> bool:
    """Whether code has a name in a text by which it reads a module's globals: `globals()["LIMIT"]`,
    `getattr(module, "LIMIT")`, `eval("LIMIT + 1")`."""
    word = re.compile(rf"\b{re.escape(name)}\b")
    for node in ast.walk(tree):
        texts: list[ast.AST] = []
        if isinstance(node, ast.Subscript) and _are_globals(node.value):
            texts = [node.slice]
        elif isinstance(node, ast.Call):
            if last_name(node.func) in _BY_TEXT or isinstance(node.func, ast.Attribute) and _are_globals(
                    node.func.value):
                texts = list(node.args)
        if any(isinstance(each, ast.Constant) and type(each.value) is str and word.search(each.value)
               for text in texts for each in ast.walk(text)):
            return True
    return False


def _are_globals(node: ast.AST) -> bool:
    """`globals()`, `vars(module)`, `module.__dict__`."""
    return isinstance(node, ast.Attribute) and node.attr == "__dict__" or (
        isinstance(node, ast.Call) and last_name(node.func) in NAMESPACES)


def keeps_answers(function: FunctionNode) -> bool:
    """Whether a function has a decorator that keeps what it has answered."""
    return any("cache" in last_name(each.func if isinstance(each, ast.Call) else each)
               for each in function.decorator_list)


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
