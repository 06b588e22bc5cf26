"""The rewrite of global names in new code that leads some of them elsewhere than to the patched module.

New code runs in the patched module's globals (docs/FACTS-python.md#4). A name of the livepatch file becomes an
attribute of a constant in the code, `CONSTANT.name`, where the constant is the livepatch module: always its live value,
no new free variables, nothing put into the patched module. The compiler takes only plain constants, so a marker string
goes in and is exchanged in the finished code object.

In a class body a name is the class's own if that is bound by then, else global; so a read of one that leads elsewhere
asks the class's namespace first, by a call of a function that new code holds (resolve/linker.py).
"""
from __future__ import annotations

import ast
import sys
from types import CodeType

from klpfs.cpython.load.scopes import Scope, Scopes, arguments, bindings, imported_name, mangle, name_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any, Callable, Optional

    from klpfs.cpython.load.scopes import Comprehension, Function

    Used = dict[str, Optional[ast.AST]]
    Choose = Callable[[str, Optional[ast.AST]], Optional[str]]

OWN, UNBINDABLE, OBJECT, HELPERS, CLASS, SUPER, SETTER, TYPES, TYPES_AROUND, LOCALS, READER, INPLACE = (
    "\0klpfs:" + each for each in ("own", "unbindable", "object", "helpers", "class", "super", "setter", "types",
                                   "types around", "locals", "reader", "inplace "))
# The names in a class's namespace that its block binds without any statement.
_IMPLICIT = frozenset(("__module__", "__qualname__", "__annotations__", "__firstlineno__"))
_CLASS_DICT = "__classdict__"               # what annotations know the namespace of the class around them by (3.12)
# Comprehensions in a class's block have their variables in its code. code.replace() makes them variables of the block,
# and locals() drops the names of those from the namespace as long as they are unbound.
_INLINED = sys.version_info[:2] == (3, 12)
_DEFERRED = sys.version_info >= (3, 14)     # annotations are evaluated when somebody asks (PEP 649)


class Unrewritable(Exception):
    """A statement that binds a global in a way that has no counterpart. node: where; text: what."""

    def __init__(self, node: Any, text: str) -> None:
        Exception.__init__(self, text)
        self.node, self.text = node, text


def copied(node: Any) -> Any:
    """A copy of a node and all below it. What the program's libraries hang on nodes stays behind: CPython has each of
    Load(), Store() and so on once for all trees, and a `parent` there leads into another tree."""
    if isinstance(node, ast.AST):
        new, has = node.__class__.__new__(node.__class__), node.__dict__
        for field in (*node._fields, *node._attributes):
            if field in has:
                value = has[field]
                new.__dict__[field] = copied(value) if isinstance(value, (ast.AST, list)) else value
        return new
    return [copied(each) if isinstance(each, (ast.AST, list)) else each for each in node]


class Rewriter(ast.NodeTransformer):
    """Rewrites the global names of functions in place.

    choose(name, node): called with each (mangled) name that is global in a function, however it is used; returns the
    marker of the constant that it is an attribute of, or None to leave it alone. node: None in what is evaluated only
    when somebody asks (annotations from 3.14 on, bounds of type parameters, aliases of types): a name that is nowhere
    is no fault there. future: annotations are not evaluated. cell: False: the functions' class has no __class__ cell,
    so super() and __class__ use the constant CLASS. enclosing: names of free variables that the outermost function has.
    """

    def __init__(self, choose: Choose, future: bool = False, cell: bool = True, enclosing: Iterable[str] = ()) -> None:
        self.choose, self.future, self.cell = choose, future, cell
        self.scopes = Scopes(enclosing)
        self._deferred = 0
        self._types: list[tuple[Scope, str | None]] = []
        self._matched: set[str] = set()         # markers that the patterns of a match statement need as variables

    def enclose(self, names: Iterable[str], marker: str | None) -> None:
        """The functions lie in a scope of type parameters, whose names become attributes of a marker's constant. None:
        they are the original's, which its new function does not have: Unrewritable where it uses them."""
        scope = Scope("function", frozenset(names), runs=False)
        if scope.bound:
            self._types.append((scope, marker))
            self.scopes.push(scope)

    # -- scopes

    def _in(self, scope: Scope, nodes: list[Any]) -> list[Any]:
        """The nodes, rewritten as parts of a scope."""
        self.scopes.push(scope)
        try:
            rewritten: list[Any] = []
            for node in nodes:
                new = self.visit(node)
                if isinstance(new, list):
                    rewritten += new
                elif new is not None:
                    rewritten.append(new)
            return rewritten
        finally:
            self.scopes.pop()

    def _outside(self, node: Function) -> None:
        """Rewrites the parts of a function that are evaluated around it, but for annotations."""
        node.args.defaults = [self.visit(default) for default in node.args.defaults]
        node.args.kw_defaults = [default and self.visit(default) for default in node.args.kw_defaults]
        if not isinstance(node, ast.Lambda):
            node.decorator_list = [self.visit(decorator) for decorator in node.decorator_list]

    def _annotations(self, node: Any) -> None:
        """Rewrites those of a function, in the scope of its type parameters."""
        if self.future:
            return
        for argument in arguments(node):
            argument.annotation = self._later(argument.annotation, _DEFERRED)
        node.returns = self._later(node.returns, _DEFERRED)

    def _later(self, node: Any, deferred: bool = True) -> Any:
        """An expression or None, rewritten. deferred: it is evaluated only when somebody asks."""
        if not deferred:
            return node and self.visit(node)
        self._deferred += 1
        self.scopes.push(Scope("annotation", frozenset(), runs=False))
        try:
            return node and self.visit(node)
        finally:
            self.scopes.pop()
            self._deferred -= 1

    def type_params(self, node: Any) -> bool:
        """Whether a definition has type parameters (3.12). Then their scope, in which their own bounds and defaults are
        evaluated, is on the stack, to be popped."""
        type_params = getattr(node, "type_params", ())
        if not type_params:
            return False
        self.scopes.push(Scope("annotation", frozenset(param.name for param in type_params), runs=False))
        for param in type_params:
            for field in ("bound", "default_value"):
                part = getattr(param, field, None)
                if part is not None:
                    setattr(param, field, self._later(part))
        return True

    def _function(self, node: Any) -> Any:
        self._bound_here(node, node.name)
        self._outside(node)
        type_params = self.type_params(node)
        try:
            self._annotations(node)
            return self.function(node)
        finally:
            if type_params:
                self.scopes.pop()

    visit_FunctionDef = visit_AsyncFunctionDef = _function

    def function(self, node: Function) -> Any:
        """A function or lambda, of which the body alone is rewritten."""
        body: list[Any] = node.body if isinstance(node.body, list) else [node.body]
        class_name = self.scopes.class_name()
        bound, globals = bindings(body, [argument.arg for argument in arguments(node)])
        first = (node.args.posonlyargs + node.args.args)[:1]
        scope = Scope("function", bound, globals, first[0].arg if first else None)
        if class_name is not None:  # names are mangled where they are bound as well as where they are used
            scope.bound = bound | {mangle(name, class_name) for name in bound}
            scope.globals = globals | {mangle(name, class_name) for name in globals}
        new = self._in(scope, body)
        if isinstance(node, ast.Lambda):
            node.body = new[0]
        else:
            node.body = new or [ast.copy_location(ast.Pass(), body[0])]
        return node

    def visit_Lambda(self, node: ast.Lambda) -> Any:
        self._outside(node)
        return self.function(node)

    def visit_ClassDef(self, node: ast.ClassDef) -> Any:
        self._bound_here(node, node.name)
        node.decorator_list = [self.visit(decorator) for decorator in node.decorator_list]
        type_params = self.type_params(node)
        try:
            node.bases = [self.visit(base) for base in node.bases]
            for keyword in node.keywords:
                keyword.value = self.visit(keyword.value)
            bound, globals = ({mangle(name, node.name) for name in names} for names in bindings(node.body))
            scope = Scope("class", bound | _IMPLICIT, globals, name=node.name, runs=False)
            scope.comprehends = any(isinstance(part, (ast.ListComp, ast.SetComp, ast.DictComp))
                                    for statement in node.body for part in ast.walk(statement))
            node.body = self._in(scope, node.body) or [ast.copy_location(ast.Pass(), node)]
        finally:
            if type_params:
                self.scopes.pop()
        return node

    def visit_TypeAlias(self, node: Any) -> Any:
        self._bound_here(node, node.name.id)
        type_params = self.type_params(node)
        try:
            node.value = self._later(node.value)
        finally:
            if type_params:
                self.scopes.pop()
        return node

    def _comprehension(self, node: Comprehension) -> Any:
        first = node.generators[0]
        first.iter = self.visit(first.iter)
        bound: set[str] = set()
        for generator in node.generators:
            bound |= {mangle(name, self.scopes.class_name()) for name in bindings([generator.target])[0]}
        self.scopes.push(Scope("comprehension", bound))
        try:
            for generator in node.generators:
                generator.target = self.visit(generator.target)
                generator.ifs = [self.visit(test) for test in generator.ifs]
                if generator is not first:
                    generator.iter = self.visit(generator.iter)
            for field in ("elt", "key", "value"):
                part = getattr(node, field, None)
                if part is not None:        # {**part for ...} (3.15) has a key alone
                    setattr(node, field, self.visit(part))
        finally:
            self.scopes.pop()
        return node

    visit_ListComp = visit_SetComp = visit_DictComp = visit_GeneratorExp = _comprehension

    def visit_AnnAssign(self, node: ast.AnnAssign) -> Any:
        node.target = self.visit(node.target)
        node.value = node.value and self.visit(node.value)
        if not self.future and self.scopes.stack and self.scopes.stack[-1].kind == "class":
            # those of a function's own variables are never evaluated
            node.annotation = self._later(node.annotation, _DEFERRED)
        return node

    # -- names

    def _marker(self, name: str, node: ast.AST) -> str | None:
        """The marker of the constant that a name becomes an attribute of, or None."""
        name = mangle(name, self.scopes.class_name())
        if not self.scopes.inside:
            return None
        if self.scopes.is_global(name):
            return self.choose(name, None if self._deferred else node)
        return self.choose(name, None) if self._maybe_global(name, node) else None

    def _maybe_global(self, name: str, node: ast.AST) -> bool:
        """Whether a name that a class's block binds is read there: it is global as long as it is not bound."""
        binder = self.scopes.binder(name)
        return binder is not None and binder is self.scopes.block() and isinstance(getattr(node, "ctx", None), ast.Load)

    def _read(self, marker: str, name: str, node: ast.expr) -> ast.expr:
        """The expression that reads a name that leads elsewhere."""
        value = _attribute(marker, name, node, ast.Load())
        block = self.scopes.block()
        if block is None or name in block.globals:
            return value
        by_cell = ast.copy_location(ast.Name(_CLASS_DICT, ast.Load()), node)
        if self.scopes.in_annotation():
            namespace: ast.expr = by_cell
        elif _INLINED and block.comprehends:
            none = ast.arguments(posonlyargs=[], args=[], vararg=None, kwonlyargs=[], kw_defaults=[], kwarg=None,
                                 defaults=[])
            namespace = ast.Call(ast.copy_location(ast.Lambda(none, by_cell), node), [], [])
        else:
            namespace = ast.Call(_object(LOCALS, node), [], [])
        args = [ast.copy_location(namespace, node), _constant(name, node), _constant(marker, node)]
        return ast.copy_location(ast.Call(_object(READER, node), args, []), node)

    def _type_marker(self, name: str, node: ast.AST) -> str | None:
        """The marker for a name of a scope of type parameters around the functions, or None."""
        binder = self.scopes.binder(name) if self._types else None
        for scope, marker in self._types:
            if binder is scope:
                if marker is None:
                    raise Unrewritable(node, f"'{name}' was a type parameter of what it replaces, it has none of that "
                                             "name")
                return marker
        return None

    def _without_cell(self, name: str) -> bool:
        """Whether `super` or `__class__` here means the class of the new functions, for which there is no cell."""
        scopes = self.scopes
        return bool(not self.cell and scopes.inside and scopes.is_global(name) and not scopes.in_own_class())

    def visit_Name(self, node: ast.Name) -> Any:
        if node.id in ("__class__", "super") and isinstance(node.ctx, ast.Load) and self._without_cell(node.id):
            return _object(CLASS if node.id == "__class__" else SUPER, node)
        name = mangle(node.id, self.scopes.class_name())
        marker = self._type_marker(name, node) or self._marker(node.id, node)
        if marker is None:
            return node
        return (self._read(marker, name, node) if isinstance(node.ctx, ast.Load)
                else _attribute(marker, name, node, node.ctx))

    def visit_AugAssign(self, node: ast.AugAssign) -> Any:
        """One in a class's block reads a name that may be global, and binds the class's own."""
        target = node.target
        if isinstance(target, ast.Name) and self.scopes.block() is not None:
            read = ast.copy_location(ast.Name(target.id, ast.Load()), target)
            if self._maybe_global(mangle(target.id, self.scopes.class_name()), read):
                old = self.visit_Name(read)
                if old is not read:
                    inplace = _object(INPLACE + type(node.op).__name__, node)
                    value = ast.copy_location(ast.Call(inplace, [old, self.visit(node.value)], []), node)
                    return ast.copy_location(ast.Assign([target], value), node)
        return self.generic_visit(node)

    def visit_Call(self, node: ast.Call) -> Any:
        bare = (isinstance(node.func, ast.Name) and node.func.id == "super" and not node.args and not node.keywords
                and self._without_cell("super"))
        self.generic_visit(node)
        if bare:
            first = self.scopes.first_parameter()
            if first is None:
                raise Unrewritable(node, "super() without arguments in a function without any")
            node.args = [_object(CLASS, node), ast.copy_location(ast.Name(first, ast.Load()), node)]
        return node

    def visit_Global(self, node: ast.Global) -> Any:
        node.names = [name for name in node.names if self._marker(name, node) is None]
        return node if node.names else ast.copy_location(ast.Pass(), node)

    def visit_NamedExpr(self, node: ast.NamedExpr) -> Any:
        name, marker = node.target.id, self._marker(node.target.id, node)
        if marker is None:
            node.value = self.visit(node.value)
            return node
        name = mangle(name, self.scopes.class_name())
        args = [_constant(marker, node), _constant(name, node), self.visit(node.value)]
        return ast.copy_location(ast.Call(_object(SETTER, node), args, []), node)

    def visit_Match(self, node: Any) -> Any:
        """A class in a pattern has to begin with a plain name. What it is an attribute of is put into a variable while
        the cases are tried, one that no program can have; it is gone before the body of a case begins."""
        around, self._matched = self._matched, set()
        self.generic_visit(node)
        matched, self._matched = sorted(self._matched), around
        if not matched:
            return node
        for case in node.cases:
            case.body.insert(0, _dropped(matched, case.body[0]))
        last = node.cases[-1]
        if last.guard is not None or not _matches_all(last.pattern):
            at = last.pattern
            every = ast.copy_location(ast.MatchAs(None, None), at)  # type: ignore[attr-defined, unused-ignore]
            case = ast.match_case(every, None, [_dropped(matched, at)])  # type: ignore[attr-defined, unused-ignore]
            node.cases.append(case)
        return [*(ast.copy_location(ast.Assign([_variable(marker, node, ast.Store())], _constant(marker, node)), node)
                  for marker in matched), node]

    def visit_MatchClass(self, node: Any) -> Any:
        first, around = node.cls, node
        while isinstance(first, ast.Attribute):
            first, around = first.value, first
        node.patterns = [self.visit(pattern) for pattern in node.patterns]
        node.kwd_patterns = [self.visit(pattern) for pattern in node.kwd_patterns]
        read = self.visit(first)
        if read is first:
            return node
        if self.scopes.block() is not None or not isinstance(read, ast.Attribute):
            where = ", in the block of a class" if first.id != "__class__" else ""
            raise Unrewritable(node, f"'{first.id}' in a pattern{where}")
        constant: Any = read.value
        self._matched.add(constant.value)
        read.value = _variable(constant.value, read, ast.Load())
        setattr(around, "cls" if around is node else "value", read)
        return node

    def _bound_here(self, node: ast.AST, name: str) -> None:
        """Refuses a statement that binds a name in a way that cannot bind an attribute."""
        if self._marker(name, node) is not None:
            raise Unrewritable(node, f"'global {name}' is bound by a statement other than an assignment")

    def _import(self, node: ast.Import | ast.ImportFrom) -> Any:
        for alias in node.names:
            self._bound_here(node, imported_name(alias))
        return node

    visit_Import = visit_ImportFrom = _import

    def _named(self, node: ast.AST) -> Any:
        name = name_of(node)
        if name is not None:
            self._bound_here(node, name)
        return self.generic_visit(node)

    visit_ExceptHandler = visit_MatchAs = visit_MatchStar = visit_MatchMapping = _named


class Nonlocals(ast.NodeTransformer):
    """Makes names global that a new function declares nonlocal for variables of the closures that it is for.

    Such a declaration in a flat function is no Python for a file as a whole. functions: the outermost functions in
    which one was.
    """

    def __init__(self) -> None:
        self.functions: list[Any] = []
        self._bound: list[set[str]] = []        # by the scopes around: of a class, methods see __class__ alone
        self._outermost: Any = None

    def _scope(self, node: Any, bound: set[str]) -> Any:
        self._bound.append(bound)
        self.generic_visit(node)
        self._bound.pop()
        return node

    def visit_FunctionDef(self, node: Any) -> Any:
        outermost, self._outermost = self._outermost, self._outermost or node
        self._scope(node, bindings(node.body, [argument.arg for argument in arguments(node)])[0])
        self._outermost = outermost
        return node

    visit_AsyncFunctionDef = visit_FunctionDef

    def visit_ClassDef(self, node: ast.ClassDef) -> Any:
        return self._scope(node, {"__class__"})

    def visit_Nonlocal(self, node: ast.Nonlocal) -> Any:
        free = [name for name in node.names if not any(name in bound for bound in self._bound[:-1])]
        if not free:
            return node
        self.functions.append(self._outermost)
        own = [name for name in node.names if name not in free]
        statements = (ast.Nonlocal(own), ast.Global(free))
        return [ast.copy_location(statement, node) for statement in statements if statement.names]


class _Collector(Rewriter):
    """Collects the global names of a statement; nothing is rewritten."""

    def __init__(self, future: bool) -> None:
        Rewriter.__init__(self, lambda name, node: None, future)
        self.used: Used = {}
        self.evaluated: set[str] = set()
        self.stored: set[str] = set()

    def _marker(self, name: str, node: ast.AST) -> None:
        name = mangle(name, self.scopes.class_name())
        maybe = self._maybe_global(name, node)
        if maybe or self.scopes.is_global(name):
            if not self.scopes.inside:
                self.evaluated.add(name)
            elif maybe or self._deferred:
                self.used.setdefault(name, None)
            else:
                self.used[name] = self.used.get(name) or node
                if isinstance(node, ast.Global):
                    self.stored.add(name)


def references(node: ast.AST, future: bool = False) -> tuple[Used, set[str], set[str]]:
    """The global names of one statement of a file's top level: (used, stored, evaluated).

    used: {name: node of its first use} in functions; None for the node where it is evaluated only if somebody asks, as
    Rewriter has it. stored: those of them that a global statement names. evaluated: names that the statement itself
    uses when it runs.
    """
    found = _Collector(future)
    found.visit(node)  # which changes nothing
    return found.used, found.stored, found.evaluated


def exchange(code: CodeType, constants: dict[str, Any]) -> CodeType:
    """`code`, and all code in it, with markers exchanged for their objects; a code object of its own in any case."""
    return code.replace(co_consts=tuple(
        exchange(const, constants) if type(const) is CodeType
        else constants[const] if type(const) is str and const in constants else const for const in code.co_consts))


def reads_namespace(code: CodeType) -> bool:
    """Whether a code object is the function that Rewriter made to read a class's namespace."""
    return _INLINED and code.co_name == "<lambda>" and code.co_freevars == (_CLASS_DICT,)


def _object(marker: str, node: Any) -> ast.expr:
    """A constant that is called or compared; the compiler would warn of a plain string there."""
    return ast.copy_location(ast.IfExp(_constant(True, node), _constant(marker, node), _constant(None, node)), node)


def _variable(marker: str, node: Any, ctx: ast.expr_context) -> ast.Name:
    """The variable of a function for what a marker stands for."""
    return ast.copy_location(ast.Name("." + marker.rpartition(":")[2], ctx), node)


def _dropped(markers: list[str], node: Any) -> ast.stmt:
    return ast.copy_location(ast.Delete([_variable(marker, node, ast.Del()) for marker in markers]), node)


def _matches_all(pattern: Any) -> bool:
    """Whether the compiler lets no case follow one with this pattern."""
    kind = type(pattern).__name__
    if kind == "MatchOr":
        return _matches_all(pattern.patterns[-1])
    return kind == "MatchAs" and (pattern.pattern is None or _matches_all(pattern.pattern))


def _constant(value: Any, node: Any) -> ast.expr:
    return ast.copy_location(ast.Constant(value), node)


def _attribute(marker: str, name: str, node: Any, ctx: ast.expr_context) -> ast.expr:
    return ast.copy_location(ast.Attribute(_constant(marker, node), name, ctx), node)
