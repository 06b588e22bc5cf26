"""The constructors of a class, followed without running them: what they set on an object, as expressions of their
parameters."""
from __future__ import annotations

import ast
import copy
from typing import Any, Callable, Optional

from klpfs.builder.syntax import parameter_names
from klpfs.cpython.load.scopes import mangle

CONSTRUCTORS = ("__new__", "__init__", "__post_init__", "__attrs_post_init__")
_MOST_NODES = 60        # of an expression, above which nobody could review it
_MOST_CALLS = 3         # how deep methods that a constructor calls are followed
_SETTERS = ("setattr", "object.__setattr__")

# attribute -> (expression, or None where it can't be told; line)
Attributes = dict[str, tuple[Optional[ast.expr], int]]


class Unknown(Exception):
    """An expression that depends on what can't be told."""


def constructed(node: ast.ClassDef) -> Attributes:
    """The attributes that a class's own constructors set on `self`."""
    methods = {method.name: method for method in node.body if isinstance(method, ast.FunctionDef)}
    found: Attributes = {}
    for name in CONSTRUCTORS:
        if name in methods:
            _Run(methods, found, node.name).call(methods[name])
    return found


class _Run:
    """A method followed through assignments and branches; what loops, handlers and calls may do is unknown.

    methods: of the class. attributes: what was set so far; grows. owner: the class's name. depth: how many calls of
    methods lie between the constructor and this one. names: {local name: its expression; None: unknown}. self_name:
    what the method calls its object. """

    def __init__(self, methods: dict[str, ast.FunctionDef], attributes: Attributes, owner: str, depth: int = 0) -> None:
        self.methods, self.attributes, self.owner, self.depth = methods, attributes, owner, depth
        self.names: dict[str, ast.expr | None] = {}
        self.self_name: str | None = None

    def call(self, method: ast.FunctionDef) -> None:
        positional = method.args.posonlyargs + method.args.args
        self.self_name = positional[0].arg if positional else None
        if method.name == "__new__":
            self.self_name = _made_by_new(method)
        known = positional[1:] + method.args.kwonlyargs if self.depth == 0 and method.name == "__init__" else []
        self.names = dict.fromkeys(parameter_names(method.args))
        self.names.update((arg.arg, ast.Name(arg.arg, ast.Load())) for arg in known)
        for rest in (method.args.vararg, method.args.kwarg) if known else ():
            if rest is not None:    # can be compared, but nobody keeps it
                self.names[rest.arg] = ast.Name("*" + rest.arg, ast.Load())
        if self.self_name is not None:
            self.names.pop(self.self_name, None)
        self.block(method.body)

    def block(self, statements: list[ast.stmt]) -> None:
        for statement in statements:
            _FOLLOWED.get(type(statement), _Run.forget)(self, statement)

    def assign(self, node: ast.Assign) -> None:
        value = self.value(node.value)
        for target in node.targets:
            self.store(target, value)

    def annotated(self, node: ast.AnnAssign) -> None:
        if node.value is not None:
            self.store(node.target, self.value(node.value))

    def expression(self, node: ast.Expr) -> None:
        """self.reset(): a method of the class that sets attributes; setattr() and its like. Other calls set nothing
        that is known."""
        call = node.value
        if isinstance(call, ast.Call):
            for name, value in self.set_by(call):
                self.attributes[name] = self.value(value), call.lineno
        if isinstance(call, ast.Call) and isinstance(call.func, ast.Attribute) and self.is_self(call.func.value) and (
                call.func.attr in self.methods) and self.depth < _MOST_CALLS:
            _Run(self.methods, self.attributes, self.owner, self.depth + 1).call(self.methods[call.func.attr])

    def set_by(self, call: ast.Call) -> list[tuple[str, ast.expr]]:
        """The attributes that a call sets by their names as text, with their values: setattr(), an update of the
        object's dict."""
        arguments = call.args
        if ast.unparse(call.func) in _SETTERS and len(arguments) == 3 and self.is_self(arguments[0]):
            return self.named([(arguments[1], arguments[2])])
        if ast.unparse(call.func) == "super().__setattr__" and len(arguments) == 2:
            return self.named([(arguments[0], arguments[1])])
        if not isinstance(call.func, ast.Attribute) or not self.is_dict(call.func.value):
            return []
        if call.func.attr == "setdefault" and arguments:
            return self.named([(arguments[0], arguments[1] if len(arguments) == 2 else ast.Constant(None))])
        if call.func.attr != "update":
            return []
        pairs = [(key, value) for each in arguments[:1] if isinstance(each, ast.Dict)
                 for key, value in zip(each.keys, each.values) if key is not None]
        return self.named(pairs) + [(each.arg, each.value) for each in call.keywords if each.arg is not None]

    def named(self, pairs: list[tuple[ast.expr, ast.expr]]) -> list[tuple[str, ast.expr]]:
        """Of (name, value) those whose name is known."""
        found = [(self.value(name), value) for name, value in pairs]
        return [(name.value, value) for name, value in found
                if isinstance(name, ast.Constant) and isinstance(name.value, str)]

    def is_dict(self, node: ast.expr) -> bool:
        return self.self_name is not None and is_dict_of(node, self.self_name)

    def loop(self, node: ast.For) -> None:
        """A loop over names that are written there, once for each; of others nothing is known."""
        names = node.iter.elts if isinstance(node.iter, (ast.Tuple, ast.List)) else []
        if not isinstance(node.target, ast.Name) or not names or node.orelse or any(
                isinstance(inner, (ast.Break, ast.Continue, ast.Return)) for inner in ast.walk(node)):
            self.forget(node)
            return
        for each in names:
            self.names[node.target.id] = self.value(each)
            self.block(node.body)

    def nothing(self, node: ast.stmt) -> None:
        """A statement that sets nothing."""

    def import_(self, node: ast.Import | ast.ImportFrom) -> None:
        for alias in node.names:
            self.names[alias.asname or alias.name.partition(".")[0]] = None

    def is_self(self, node: ast.expr) -> bool:
        return isinstance(node, ast.Name) and node.id == self.self_name

    def branch(self, node: ast.If) -> None:
        """Both blocks from the same start, and then what they differ in, by the condition."""
        test, names, attributes = self.value(node.test), dict(self.names), dict(self.attributes)
        self.block(node.body)
        then_names, then_attributes = self.names, dict(self.attributes)
        self.names = names
        self.attributes.clear()
        self.attributes.update(attributes)
        self.block(node.orelse)
        then_leaves, else_leaves = (bool(block) and isinstance(block[-1], (ast.Raise, ast.Return))
                                    for block in (node.body, node.orelse))
        for name in {**self.names, **then_names}:
            then, other = then_names.get(name), self.names.get(name)
            self.names[name] = other if then_leaves else then if else_leaves else _either(test, then, other)
        for name in {**self.attributes, **then_attributes}:
            self.attributes[name] = _joined(test, then_attributes.get(name), self.attributes.get(name),
                                            then_leaves, else_leaves)

    def forget(self, node: ast.AST) -> None:
        """Whatever a statement may set is unknown from here on."""
        for inner in ast.walk(node):
            if isinstance(inner, ast.Name) and isinstance(inner.ctx, ast.Store):
                self.names[inner.id] = None
            elif isinstance(inner, ast.Attribute) and isinstance(inner.ctx, ast.Store) and self.is_self(inner.value):
                self.attributes[self.mangled(inner.attr)] = None, inner.lineno
            elif isinstance(inner, ast.Call):
                self.attributes.update((name, (None, inner.lineno)) for name, _ in self.set_by(inner))

    def store(self, target: ast.expr, value: ast.expr | None) -> None:
        if isinstance(target, ast.Name):
            if target.id != self.self_name:     # __new__ makes it
                self.names[target.id] = value
        elif isinstance(target, ast.Subscript) and self.is_dict(target.value):
            self.attributes.update((name, (value, target.lineno)) for name, _ in self.named([(target.slice, target)]))
        elif isinstance(target, ast.Attribute) and self.is_self(target.value):
            self.attributes[self.mangled(target.attr)] = value, target.lineno
        elif isinstance(target, ast.Tuple) and isinstance(value, ast.Tuple) and len(target.elts) == len(value.elts):
            for inner, its_value in zip(target.elts, value.elts):
                self.store(inner, its_value)
        else:
            self.forget(target)

    def mangled(self, name: str) -> str:
        return mangle(name, self.owner)

    def value(self, node: ast.expr) -> ast.expr | None:
        """An expression with the locals put in; None: it depends on what is unknown."""
        try:
            made = _Substitute(self, node).visit(copy.deepcopy(node))
        except Unknown:
            return None
        return None if sum(1 for _ in ast.walk(made)) > _MOST_NODES else made


_FOLLOWED: dict[type, Callable[[_Run, Any], None]] = {
    ast.Assign: _Run.assign, ast.AnnAssign: _Run.annotated, ast.If: _Run.branch, ast.Expr: _Run.expression,
    ast.Import: _Run.import_, ast.ImportFrom: _Run.import_, ast.For: _Run.loop,
    **dict.fromkeys((ast.Return, ast.Raise, ast.Assert, ast.Pass), _Run.nothing)}


def is_dict_of(node: ast.expr, name: str) -> bool:
    """Whether an expression is the dict of the object of a name: `self.__dict__`, `vars(self)`."""
    return ast.unparse(node) in (f"{name}.__dict__", f"vars({name})")


def _made_by_new(method: ast.FunctionDef) -> str | None:
    """What `__new__` calls the object that it has made; None: it can't be told."""
    for node in method.body:
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name) and isinstance(
                node.value, ast.Call) and ast.unparse(node.value.func) in ("super().__new__", "object.__new__"):
            return node.targets[0].id
    return None


class _Substitute(ast.NodeTransformer):
    """Puts the expressions of local names in their place. own_names: those of lambdas and comprehensions of the
    expression."""

    def __init__(self, run: _Run, node: ast.expr) -> None:
        self.run = run
        self.own_names = {inner.arg for inner in ast.walk(node) if isinstance(inner, ast.arg)}
        self.own_names |= {inner.id for inner in ast.walk(node)
                           if isinstance(inner, ast.Name) and isinstance(inner.ctx, ast.Store)}

    def unknown(self, node: ast.AST) -> ast.expr:
        """An expression that does more than give a value."""
        raise Unknown

    visit_Await = visit_Yield = visit_YieldFrom = visit_NamedExpr = unknown

    def visit_Name(self, node: ast.Name) -> ast.expr:
        if node.id == self.run.self_name and node.id not in self.own_names:
            return ast.copy_location(ast.Name("self", ast.Load()), node)
        if node.id in self.own_names or node.id not in self.run.names:
            return node
        value = self.run.names[node.id]
        if value is None:
            raise Unknown
        return copy.deepcopy(value)

    def visit_Attribute(self, node: ast.Attribute) -> ast.expr:
        self.generic_visit(node)
        node.attr = self.run.mangled(node.attr)
        return node


def _either(test: ast.expr | None, then: ast.expr | None, other: ast.expr | None) -> ast.expr | None:
    """The value of a name after a branch."""
    if then is None or other is None:
        return None
    if ast.dump(then) == ast.dump(other):
        return then
    return None if test is None else ast.IfExp(test, then, other)


def _joined(test: ast.expr | None, then: tuple[ast.expr | None, int] | None, other: tuple[ast.expr | None, int] | None,
            then_leaves: bool, else_leaves: bool) -> tuple[ast.expr | None, int]:
    """The value and line of an attribute after a branch. Only a block that is not left early says what it is."""
    if then_leaves and other or not then:
        chosen = other[0] if then_leaves and other else None
    elif else_leaves or not other:
        chosen = then[0] if else_leaves else None
    else:
        chosen = _either(test, then[0], other[0])
    line = (then or other or (None, 0))[1]
    return chosen, line
