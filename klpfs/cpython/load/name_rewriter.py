"""Names in new code: which ones are global there, and the rewrite that leads some of them elsewhere.

New code runs in the patched module's globals. A name of the livepatch file becomes an attribute of a constant in the
code, `CONSTANT.name`, where the constant is the livepatch module: always its live value, no new free variables, nothing
put into the patched module (docs/FACTS-python.md#4). The compiler takes only plain constants, so a marker string goes in and is
exchanged in the finished code object.
"""
import ast
from types import CodeType

OWN, OBJECT, HELPERS, CLASS, SUPER, SETTER = ("\0klpfs:" + each for each in
                                              ("own", "object", "helpers", "class", "super", "setter"))
_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)
_COMPREHENSIONS = (ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)


class Unrewritable(Exception):
    """A statement that binds a global in a way that has no counterpart. node: where; text: what."""

    def __init__(self, node, text):
        Exception.__init__(self, text)
        self.node, self.text = node, text


def copied(node):
    """A copy of a node and all below it."""
    if isinstance(node, ast.AST):
        new = node.__class__.__new__(node.__class__)
        for field, value in node.__dict__.items():
            new.__dict__[field] = copied(value) if isinstance(value, (ast.AST, list)) else value
        return new
    return [copied(each) if isinstance(each, (ast.AST, list)) else each for each in node]


def mangle(name, class_name):
    """Python's name mangling in a class body."""
    if class_name is None or not name.startswith("__") or name.endswith("__") or "." in name:
        return name
    bare = class_name.lstrip("_")
    return "_%s%s" % (bare, name) if bare else name


class _Bindings(ast.NodeVisitor):
    """What one scope binds: .bound, and its global and nonlocal statements."""

    def __init__(self):
        self.bound, self.globals, self.nonlocals = set(), set(), set()

    def visit_Name(self, node):
        if not isinstance(node.ctx, ast.Load):
            self.bound.add(node.id)

    def visit_Global(self, node):
        self.globals.update(node.names)

    def visit_Nonlocal(self, node):
        self.nonlocals.update(node.names)

    def visit_FunctionDef(self, node):
        self.bound.add(node.name)
        for each in node.decorator_list + _defaults(node):
            self.visit(each)

    visit_AsyncFunctionDef = visit_FunctionDef

    def visit_Lambda(self, node):
        for each in _defaults(node):
            self.visit(each)

    def visit_ClassDef(self, node):
        self.bound.add(node.name)
        for each in node.decorator_list + node.bases + [keyword.value for keyword in node.keywords]:
            self.visit(each)

    def _comprehension(self, node):
        self.visit(node.generators[0].iter)
        for each in ast.walk(node):  # an assignment expression binds in the function around it
            if isinstance(each, ast.NamedExpr):
                self.bound.add(each.target.id)

    visit_ListComp = visit_SetComp = visit_DictComp = visit_GeneratorExp = _comprehension

    def _import(self, node):
        for alias in node.names:
            self.bound.add(alias.asname or alias.name.partition(".")[0])

    visit_Import = visit_ImportFrom = _import

    def _named(self, node):  # except ... as name, case ... as name, *name, **name
        name = getattr(node, "name", None) or getattr(node, "rest", None)
        if isinstance(name, str):
            self.bound.add(name)
        self.generic_visit(node)

    visit_ExceptHandler = visit_MatchAs = visit_MatchStar = visit_MatchMapping = _named


def _defaults(node):
    return [each for each in node.args.defaults + node.args.kw_defaults if each is not None]


def arguments(node):
    """The ast.arg nodes of a function or lambda, in order."""
    args = node.args
    found = args.posonlyargs + args.args + ([args.vararg] if args.vararg else []) + args.kwonlyargs
    return found + ([args.kwarg] if args.kwarg else [])


def bindings(nodes, given=()):
    """A scope's (bound, global) names, from its statements; given: its parameters."""
    found = _Bindings()
    found.bound.update(given)
    for node in nodes:
        found.visit(node)
    return found.bound - found.globals - found.nonlocals, found.globals


def nonlocals(function):
    """Names that a function itself declares nonlocal."""
    found = _Bindings()
    for node in function.body if isinstance(function.body, list) else []:
        found.visit(node)
    return found.nonlocals


class _Scope:
    __slots__ = ("kind", "bound", "globals", "first", "name")

    def __init__(self, kind, bound, globals=(), first=None, name=None):
        self.kind, self.bound, self.globals, self.first, self.name = kind, bound, globals, first, name


class Rewriter(ast.NodeTransformer):
    """Rewrites the global names of functions in place.

    choose(name, node): called with each (mangled) name that is global in a function, however it is used; returns the
    marker of the constant that it is an attribute of, or None to leave it alone. future: annotations are not evaluated.
    cell: False: the functions' class has no __class__ cell, so super() and __class__ use the constant CLASS.
    enclosing: names of free variables that the outermost function has.
    """

    def __init__(self, choose, future=False, cell=True, enclosing=()):
        self.choose, self.future, self.cell = choose, future, cell
        self.scopes = [_Scope("function", frozenset(enclosing))] if enclosing else []
        self.block = len(self.scopes)  # scopes from here on are the new code's own; set anew after pushing a class block's
        self.inside = 0  # functions around; at the top level and in class bodies outside functions nothing is rewritten

    # -- scopes

    def _in_local_class(self):
        """In a class that is made where the code runs: super() and __class__ are its own."""
        return any(scope.kind == "class" for scope in self.scopes[self.block:])

    def push_block(self, class_name):
        """The functions to come were written in a class block."""
        self.scopes.append(_Scope("class", frozenset(), name=class_name))
        self.block = len(self.scopes)

    def _is_global(self, name):
        if name == "__class__" and self._in_local_class():
            return False
        innermost = True
        for scope in reversed(self.scopes):
            if scope.kind == "class" and not innermost:
                continue
            if name in scope.globals:
                return True
            if name in scope.bound:
                return False
            innermost = False
        return True

    def _class_name(self):
        for scope in reversed(self.scopes):
            if scope.kind == "class":
                return scope.name
        return None

    def _in(self, scope, nodes):
        self.scopes.append(scope)
        self.inside += scope.kind != "class"
        try:
            found = []
            for node in nodes:
                new = self.visit(node)
                if isinstance(new, list):
                    found += new
                elif new is not None:
                    found.append(new)
            return found
        finally:
            self.inside -= scope.kind != "class"
            self.scopes.pop()

    def _outside(self, node):
        """Parts of a function that are evaluated around it."""
        node.args.defaults = [self.visit(each) for each in node.args.defaults]
        node.args.kw_defaults = [each and self.visit(each) for each in node.args.kw_defaults]
        if isinstance(node, ast.Lambda):
            return
        node.decorator_list = [self.visit(each) for each in node.decorator_list]
        if self.future:
            return
        for each in arguments(node):
            each.annotation = each.annotation and self.visit(each.annotation)
        node.returns = node.returns and self.visit(node.returns)

    def _function(self, node):
        self._bound_here(node, node.name)
        kinds = getattr(node, "type_params", ())
        if kinds:
            self.scopes.append(_Scope("function", frozenset(each.name for each in kinds)))
        try:
            self._outside(node)
            return self.function(node)
        finally:
            if kinds:
                self.scopes.pop()

    visit_FunctionDef = visit_AsyncFunctionDef = _function

    def function(self, node):
        """The body of a function or lambda alone."""
        names = [each.arg for each in arguments(node)]
        body = node.body if isinstance(node.body, list) else [node.body]
        name = self._class_name()
        bound, globals = bindings(body, names)
        first = (node.args.posonlyargs + node.args.args)[:1]
        scope = _Scope("function", bound, globals, first[0].arg if first else None)
        if name is not None:  # names are mangled where they are bound as well as where they are used
            scope.bound = bound | {mangle(each, name) for each in bound}
            scope.globals = globals | {mangle(each, name) for each in globals}
        new = self._in(scope, body)
        node.body = (new or [ast.copy_location(ast.Pass(), body[0])]) if isinstance(node.body, list) else new[0]
        return node

    def visit_Lambda(self, node):
        self._outside(node)
        return self.function(node)

    def visit_ClassDef(self, node):
        self._bound_here(node, node.name)
        node.decorator_list = [self.visit(each) for each in node.decorator_list]
        node.bases = [self.visit(each) for each in node.bases]
        for keyword in node.keywords:
            keyword.value = self.visit(keyword.value)
        bound, globals = bindings(node.body)
        scope = _Scope("class", bound, globals, name=node.name)
        node.body = self._in(scope, node.body) or [ast.copy_location(ast.Pass(), node)]
        return node

    def _comprehension(self, node):
        first = node.generators[0]
        first.iter = self.visit(first.iter)
        bound = set()
        for each in node.generators:
            bound |= bindings([each.target])[0]
        self.scopes.append(_Scope("comprehension", bound))
        self.inside += 1
        try:
            for at, each in enumerate(node.generators):
                each.target = self.visit(each.target)
                each.ifs = [self.visit(one) for one in each.ifs]
                if at:
                    each.iter = self.visit(each.iter)
            for field in ("elt", "key", "value"):
                if hasattr(node, field):
                    setattr(node, field, self.visit(getattr(node, field)))
        finally:
            self.inside -= 1
            self.scopes.pop()
        return node

    visit_ListComp = visit_SetComp = visit_DictComp = visit_GeneratorExp = _comprehension

    def visit_AnnAssign(self, node):
        node.target = self.visit(node.target)
        node.value = node.value and self.visit(node.value)
        if not self.future and self.scopes and self.scopes[-1].kind == "class":
            node.annotation = self.visit(node.annotation)  # those of a function's own variables are never evaluated
        return node

    # -- names

    def _marker(self, name, node):
        name = mangle(name, self._class_name())
        return self.choose(name, node) if self.inside and self._is_global(name) else None

    def visit_Name(self, node):
        if (not self.cell and self.inside and isinstance(node.ctx, ast.Load) and self._is_global(node.id)
                and not self._in_local_class()):
            if node.id == "__class__":
                return _object(CLASS, node)
            if node.id == "super":
                return _object(SUPER, node)
        marker = self._marker(node.id, node)
        return node if marker is None else _attribute(marker, mangle(node.id, self._class_name()), node, node.ctx)

    def visit_Call(self, node):
        bare = (not self.cell and isinstance(node.func, ast.Name) and node.func.id == "super" and not node.args
                and not node.keywords and self.inside and self._is_global("super") and not self._in_local_class())
        self.generic_visit(node)
        if bare:
            first = next((scope.first for scope in reversed(self.scopes) if scope.kind == "function"), None)
            if first is None:
                raise Unrewritable(node, "super() without arguments in a function without any")
            node.args = [_object(CLASS, node), ast.copy_location(ast.Name(first, ast.Load()), node)]
        return node

    def visit_Global(self, node):
        node.names = [each for each in node.names if self._marker(each, node) is None]
        return node if node.names else ast.copy_location(ast.Pass(), node)

    def visit_NamedExpr(self, node):
        name, marker = node.target.id, self._marker(node.target.id, node)
        if marker is None:
            node.value = self.visit(node.value)
            return node
        args = [_constant(marker, node), _constant(mangle(name, self._class_name()), node), self.visit(node.value)]
        return ast.copy_location(ast.Call(_object(SETTER, node), args, []), node)

    def _bound_here(self, node, name):
        """Other statements that bind a name cannot bind an attribute."""
        if self._marker(name, node) is not None:
            raise Unrewritable(node, "'global %s' is bound by a statement other than an assignment" % name)

    def _import(self, node):
        for alias in node.names:
            self._bound_here(node, alias.asname or alias.name.partition(".")[0])
        return node

    visit_Import = visit_ImportFrom = _import

    def _named(self, node):
        name = getattr(node, "name", None) or getattr(node, "rest", None)
        if isinstance(name, str):
            self._bound_here(node, name)
        return self.generic_visit(node)

    visit_ExceptHandler = visit_MatchAs = visit_MatchStar = visit_MatchMapping = _named


class Nonlocals(ast.NodeTransformer):
    """A flat new function may say `nonlocal` for a variable of the closures that it is for. That is no Python for a file
    as a whole: here such names become global ones. found: the outermost functions where that was so."""

    def __init__(self):
        self.found, self._bound, self._outermost = [], [], None

    def visit_FunctionDef(self, node):
        outermost, self._outermost = self._outermost, self._outermost or node
        self._bound.append(bindings(node.body, [each.arg for each in arguments(node)])[0])
        self.generic_visit(node)
        self._bound.pop()
        self._outermost = outermost
        return node

    visit_AsyncFunctionDef = visit_FunctionDef

    def visit_Nonlocal(self, node):
        free = [name for name in node.names if not any(name in bound for bound in self._bound[:-1])]
        if not free:
            return node
        self.found.append(self._outermost)
        own = [name for name in node.names if name not in free]
        return [ast.copy_location(kind(names), node) for kind, names in ((ast.Nonlocal, own), (ast.Global, free)) if names]


class _Collector(Rewriter):
    def __init__(self, future):
        Rewriter.__init__(self, None, future)
        self.used, self.evaluated, self.stored = {}, set(), set()

    def _marker(self, name, node):
        name = mangle(name, self._class_name())
        if self._is_global(name):
            if not self.inside:
                self.evaluated.add(name)
            else:
                self.used.setdefault(name, node)
                if isinstance(node, ast.Global):
                    self.stored.add(name)
        return None


def references(node, future=False):
    """The global names of one statement of a file's top level: (used, stored, evaluated).

    used: {name: node of its first use} in functions. stored: those of them that a global statement names. evaluated:
    names that the statement itself uses when it runs.
    """
    found = _Collector(future)
    found.visit(node)  # which changes nothing
    return found.used, found.stored, found.evaluated


def exchange(code, constants):
    """`code`, and all code in it, with markers exchanged for their objects; a code object of its own in any case."""
    consts = tuple(exchange(each, constants) if type(each) is CodeType
                   else constants[each] if type(each) is str and each in constants else each for each in code.co_consts)
    return code.replace(co_consts=consts)


def set_global(holder, name, value):
    """What an assignment expression becomes."""
    holder.__dict__[name] = value
    return value


def _object(marker, node):
    """A constant that is called or compared; the compiler would warn of a plain string there."""
    return ast.copy_location(ast.IfExp(_constant(True, node), _constant(marker, node), _constant(None, node)), node)


def _constant(value, node):
    return ast.copy_location(ast.Constant(value), node)


def _attribute(marker, name, node, ctx):
    return ast.copy_location(ast.Attribute(_constant(marker, node), name, ctx), node)
