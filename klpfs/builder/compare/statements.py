"""The statements of a module's or a class's body one by one: conditions around them looked through, each with its names."""
import ast
import re
import typing

from attrs import define, field

from klpfs.builder.compare.equivalence import decorator_name, dump, for_checkers, FUNCTIONS, without_doc

Guard = typing.Tuple[ast.stmt, str]  # a compound statement, and which of its blocks

ACCESSORS = ("setter", "deleter", "getter")


@define(eq=False)
class Leaf:
    """One statement that runs when the body runs; of an import, one name of it.

    kind: function, class, import, statement. key: equal for leaves of two versions that mean the same. guards: the
    conditions around it, outermost first. binds: names that it gives a value. reads: names that it uses while it runs.
    alias: of an import.
    """

    node: ast.stmt
    kind: str
    guards: typing.Tuple[Guard, ...]
    key: str
    binds: typing.FrozenSet[str]
    reads: typing.FrozenSet[str]
    alias: typing.Optional[ast.alias] = None

    @property
    def line(self) -> int:
        return first_line(self.node)


@define(eq=False)
class Scope:
    """A body. functions, classes: {pairing key: Leaf}, in order; a function's key is its name, with '.setter' and the
    like, and with a number where a name is defined more than once."""

    leaves: "list[Leaf]" = field(factory=list)
    functions: "dict[str, Leaf]" = field(factory=dict)
    classes: "dict[str, Leaf]" = field(factory=dict)

    @property
    def bound(self) -> "set[str]":
        return {name for each in self.leaves for name in each.binds}


def parse_scope(body: list, fields: bool = False) -> Scope:
    """fields: annotated names of this body mean something when it runs (a dataclass, a NamedTuple)."""
    scope = Scope()
    _flatten(without_doc(body), (), scope, fields)
    for leaf in scope.leaves:
        if leaf.kind in ("function", "class"):
            table = scope.functions if leaf.kind == "function" else scope.classes
            name = key = _name(leaf.node)
            number = 1
            while key in table:
                number += 1
                key = f"{name}#{number}"
            table[key] = leaf
    return scope


def first_line(node) -> int:
    return min([node.lineno] + [each.lineno for each in getattr(node, "decorator_list", ())])


def _name(node) -> str:
    for each in getattr(node, "decorator_list", ()):
        if isinstance(each, ast.Attribute) and each.attr in ACCESSORS:
            return f"{node.name}.{each.attr}"
    return node.name


def _flatten(body: list, guards: "tuple[Guard, ...]", scope: Scope, fields: bool) -> None:
    around = "".join(_guard_key(*each) for each in guards)
    for node in body:
        if isinstance(node, ast.If) and for_checkers(node):
            _flatten(node.orelse, guards, scope, fields)
        elif isinstance(node, ast.If) and _is_script(node):
            continue
        elif isinstance(node, (ast.Pass, ast.Global)) or for_checkers(node) and not fields:
            continue
        elif isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            continue
        elif isinstance(node, FUNCTIONS):
            if any(decorator_name(each).rpartition(".")[2] == "overload" for each in node.decorator_list):
                continue
            scope.leaves.append(Leaf(node, "function", guards, around + dump(node), frozenset((node.name,)), _evaluated(node)))
        elif isinstance(node, ast.ClassDef):
            scope.leaves.append(Leaf(node, "class", guards, around + dump(node, True), frozenset((node.name,)), _evaluated(node)))
        elif isinstance(node, (ast.Import, ast.ImportFrom)):
            _imports(node, guards, around, scope)
        elif isinstance(node, (ast.If, ast.Try, ast.With)) and _has_definitions(node):
            for name in ("body", "handlers", "orelse", "finalbody"):
                for each in getattr(node, name, ()):
                    inner, block = ([each], name)
                    if isinstance(each, ast.ExceptHandler):
                        inner, block = each.body, f"{name}:{ast.dump(each.type) if each.type else ''}"
                    _flatten(inner, guards + ((node, block),), scope, fields)
        else:
            scope.leaves.append(Leaf(node, "statement", guards, around + dump(node, fields), frozenset(bound_by(node)),
                                     frozenset(reads_of(node))))


def _is_script(node: ast.If) -> bool:
    """if __name__ == "__main__": what runs there is no part of the module as others import it."""
    test = node.test
    return isinstance(test, ast.Compare) and getattr(test.left, "id", None) == "__name__" and (
        isinstance(test.comparators[0], ast.Constant) and test.comparators[0].value == "__main__")


def _imports(node, guards, around, scope) -> None:
    if isinstance(node, ast.ImportFrom) and node.module == "__future__":
        return
    source = "." * node.level + (node.module or "") if isinstance(node, ast.ImportFrom) else None
    for alias in node.names:
        name = alias.asname or (alias.name if source is not None else alias.name.partition(".")[0])
        key = f"{around}import {source} {alias.name} {alias.asname}"
        scope.leaves.append(Leaf(node, "import", guards, key, frozenset((name,)), frozenset(), alias))


def _guard_key(node, block: str) -> str:
    if isinstance(node, ast.If):
        return f"if {ast.dump(node.test)} {block}: "
    if isinstance(node, ast.With):
        return f"with {dump([each.context_expr for each in node.items])}: "
    return f"try {block}: "


def _has_definitions(node) -> bool:
    return any(isinstance(each, FUNCTIONS + (ast.ClassDef,)) for each in _same_scope(node))


def _same_scope(node):
    """A statement and the statements in it, not those in functions and classes."""
    yield node
    if not isinstance(node, FUNCTIONS + (ast.ClassDef,)):
        for each in ast.iter_child_nodes(node):
            if isinstance(each, (ast.stmt, ast.excepthandler)):
                yield from _same_scope(each)


class _Names(ast.NodeVisitor):
    """Names that code of one scope binds and reads while it runs; bodies of functions are not run."""

    def __init__(self):
        self.bound, self.read = set(), set()
        self.locals: "list[set]" = []

    def visit_Name(self, node):
        if isinstance(node.ctx, ast.Load):
            if not any(node.id in each for each in self.locals):
                self.read.add(node.id)
        elif not self.locals:
            self.bound.add(node.id)
        else:
            self.locals[-1].add(node.id)

    def visit_NamedExpr(self, node):
        self.bound.add(node.target.id)
        self.visit(node.value)

    def visit_FunctionDef(self, node):
        if not self.locals:
            self.bound.add(node.name)
        for each in node.decorator_list + node.args.defaults + [one for one in node.args.kw_defaults if one]:
            self.visit(each)

    visit_AsyncFunctionDef = visit_FunctionDef

    def visit_Lambda(self, node):
        for each in node.args.defaults + [one for one in node.args.kw_defaults if one]:
            self.visit(each)

    def visit_ClassDef(self, node):
        if not self.locals:
            self.bound.add(node.name)
        for each in node.decorator_list + node.bases + [one.value for one in node.keywords]:
            self.visit(each)
        self.locals.append(set())
        for each in node.body:
            self.visit(each)
        self.locals.pop()

    def _comprehension(self, node):
        self.locals.append(set())
        for each in node.generators:
            self.visit(each.iter)
            self.visit(each.target)
            for one in each.ifs:
                self.visit(one)
        for name in ("elt", "key", "value"):
            if hasattr(node, name):
                self.visit(getattr(node, name))
        self.locals.pop()

    visit_ListComp = visit_SetComp = visit_DictComp = visit_GeneratorExp = _comprehension

    def visit_Import(self, node):
        if not self.locals:
            self.bound.update(alias.asname or alias.name.partition(".")[0] for alias in node.names)

    visit_ImportFrom = visit_Import

    def visit_ExceptHandler(self, node):
        if node.name and not self.locals:
            self.bound.add(node.name)
        self.generic_visit(node)

    def visit_AnnAssign(self, node):
        if node.value is not None:
            self.visit(node.target)
            self.visit(node.value)

    def visit_AugAssign(self, node):
        self.generic_visit(node)
        if isinstance(node.target, ast.Name):
            self.read.add(node.target.id)


def bound_by(node) -> "set[str]":
    """Names that a statement binds in the scope it is in."""
    names = _Names()
    names.visit(node)
    return names.bound


def reads_of(node) -> "set[str]":
    """Names that a statement uses when it runs: of a function or class, its decorators, defaults, bases, body."""
    names = _Names()
    names.visit(node)
    return names.read | _by_text(node) if names.read & NAMESPACES else names.read


NAMESPACES = frozenset(("locals", "globals", "vars"))
_IN_TEXT = re.compile(r"%\((\w+)\)|\{(\w+)")


def _by_text(node) -> "set[str]":
    """Names that a statement looks up in its namespace by their text: '%(port)s' % locals(). {'*'}: any."""
    if not any(isinstance(each, ast.Call) and not each.args and getattr(each.func, "id", "") in NAMESPACES for each in ast.walk(node)):
        return set()
    found = {one or other for each in ast.walk(node) if isinstance(each, ast.Constant) and isinstance(each.value, str)
             for one, other in _IN_TEXT.findall(each.value)}
    return found or {"*"}


def depends(leaf: Leaf, names: "set[str]") -> bool:
    """Whether a statement used any of these names when it ran."""
    return bool(leaf.reads & names or names and "*" in leaf.reads)


def _evaluated(node) -> "frozenset[str]":
    return frozenset(reads_of(node))
