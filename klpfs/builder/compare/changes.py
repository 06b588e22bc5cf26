"""The differences between two versions of a module, scope by scope: typed, not yet judged."""
from __future__ import annotations

import ast
from collections.abc import Iterator

from attrs import define, field

from klpfs.builder.compare.equivalence import dump, same
from klpfs.builder.compare.statements import ClassStatement, FunctionStatement, Scope, Statement, parse_scope
from klpfs.builder.syntax import FunctionNode, body_without_doc, decorator_name, default_nodes, flavour, type_params

FIELD_MAKERS = ("dataclass", "attrs", "attr.s", "define", "frozen", "mutable", "attributes", "NamedTuple", "TypedDict",
                "BaseModel", "Struct")


@define(eq=False)
class FunctionChange:
    """A function that both versions have. name: qualified. what: as function_differences gives it, and conditions:
    those under which OLD defines it are no more, so that a program may not have it."""

    name: str
    old: FunctionStatement
    new: FunctionStatement
    what: set[str]


@define(eq=False)
class ScopeChange:
    """The differences in the body of a module or a class. name: '' for the module, else qualified.

    functions: changed functions. to_run: statements of NEW that OLD has not (assignments, imports, functions, classes).
    gone: statements of OLD that NEW has not. removed_names: names that NEW binds no more. classes: those with changes
    in them. """

    name: str
    old_scope: Scope
    new_scope: Scope
    functions: list[FunctionChange] = field(factory=list)
    to_run: list[Statement] = field(factory=list)
    gone: list[Statement] = field(factory=list)
    removed_names: list[str] = field(factory=list)
    classes: list[ClassChange] = field(factory=list)

    def __bool__(self) -> bool:
        return bool(self.functions or self.to_run or self.gone or self.removed_names or self.classes)

    def qualified(self, name: str) -> str:
        """The qualified name of what the scope binds to a name."""
        return f"{self.name}.{name}" if self.name else name

    def walk(self) -> Iterator[ScopeChange]:
        """The change itself, and all changes of classes in it."""
        yield self
        for change in self.classes:
            yield from change.walk()


@define(eq=False)
class ClassChange(ScopeChange):
    """The differences in a class. parts: of the class statement itself: bases, keywords, decorators, type
    parameters."""

    old: ast.ClassDef = field(kw_only=True)
    new: ast.ClassDef = field(kw_only=True)
    statement: ClassStatement = field(kw_only=True)
    parts: set[str] = field(factory=set, kw_only=True)

    def __bool__(self) -> bool:
        return ScopeChange.__bool__(self) or bool(self.parts)


def compare_modules(old: ast.Module, new: ast.Module) -> ScopeChange:
    """All that differs between two versions of a module."""
    change = ScopeChange("", parse_scope(old.body), parse_scope(new.body))
    _compare_scopes(change)
    return change


def compare_classes(name: str, old: ast.ClassDef, statement: ClassStatement) -> ClassChange:
    """All that differs between two versions of a class. name: qualified. statement: NEW's."""
    new = statement.node
    fields = has_fields(old) or has_fields(new)
    change = ClassChange(name, parse_scope(old.body, fields), parse_scope(new.body, fields), old=old, new=new,
                         statement=statement, parts=_changed_parts(old, new))
    _compare_scopes(change)
    return change


def same_class(name: str, old: ast.ClassDef, statement: ClassStatement) -> ClassChange:
    """The change of a class that does not differ: nothing is in it."""
    new = statement.node
    return ClassChange(name, parse_scope(old.body), parse_scope(new.body), old=old, new=new, statement=statement)


def _compare_scopes(change: ScopeChange) -> None:
    """Fills in the differences between the two scopes of a change."""
    old_scope, new_scope = change.old_scope, change.new_scope
    _pair_functions(change)
    for key, statement in new_scope.classes.items():
        if key not in old_scope.classes:
            change.to_run.append(statement)
        elif statement.key != old_scope.classes[key].key:
            inner = compare_classes(change.qualified(statement.node.name), old_scope.classes[key].node, statement)
            if inner:
                change.classes.append(inner)
    change.gone += [statement for key, statement in old_scope.classes.items() if key not in new_scope.classes]
    _pair_statements(change)
    bound = new_scope.bound
    for old_statement in old_scope.statements:
        change.removed_names += [name for name in sorted(old_statement.binds)
                                 if name not in bound and name not in change.removed_names]
    change.to_run.sort(key=new_scope.statements.index)


def has_fields(node: ast.ClassDef) -> bool:
    """Whether a class's annotated names become fields."""
    names = [decorator_name(decorator) for decorator in node.decorator_list]
    names += [ast.unparse(base).partition("[")[0] for base in node.bases]
    return any(name in FIELD_MAKERS or name.rpartition(".")[2] in FIELD_MAKERS for name in names)


def _changed_parts(old: ast.ClassDef, new: ast.ClassDef) -> set[str]:
    found = set()
    old_bases, new_bases = ([base for base in node.bases if getattr(base, "id", "") != "object"] for node in (old, new))
    if not same(old_bases, new_bases):
        found.add("bases")
    if not same([keyword.value for keyword in old.keywords], [keyword.value for keyword in new.keywords]):
        found.add("keywords")
    if not same(old.decorator_list, new.decorator_list):
        found.add("decorators")
    if type_parameters(old) != type_parameters(new):
        found.add("type parameters")
    return found


def type_parameters(node: ast.ClassDef) -> list[str]:
    """What a class's type parameters (3.12) are to a running program: kinds, names, defaults. Bounds are for type
    checkers."""
    return [f"{type(each).__name__} {each.name} {dump(getattr(each, 'default_value', None))}"
            for each in getattr(node, "type_params", ())]


def _pair_functions(change: ScopeChange) -> None:
    """Finds changed, new and removed functions of a scope."""
    old_functions, new_functions = change.old_scope.functions, change.new_scope.functions
    for key, statement in new_functions.items():
        old = old_functions.get(key)
        if old is None:
            change.to_run.append(statement)
            continue
        what = function_differences(old.node, statement.node)
        if old.conditions and old.conditions != statement.conditions:
            what.add("conditions")
        if what:
            change.functions.append(FunctionChange(change.qualified(statement.node.name), old, statement, what))
    change.gone += [statement for key, statement in old_functions.items() if key not in new_functions]


def function_differences(old: FunctionNode, new: FunctionNode) -> set[str]:
    """The kinds of difference between two functions: body, signature, defaults, type parameters, decorators,
    flavour."""
    what = set()
    if dump(body_without_doc(old.body)) != dump(body_without_doc(new.body)):
        what.add("body")
    if signature(old.args) != signature(new.args):
        what.add("signature")
    if defaults(old.args) != defaults(new.args):
        what.add("defaults")
    if not same(type_params(old), type_params(new)):
        what.add("type parameters")
    if not same(old.decorator_list, new.decorator_list):
        what.add("decorators")
    if flavour(old) != flavour(new):
        what.add("flavour")
    return what


def signature(args: ast.arguments) -> tuple[object, ...]:
    """The names of all parameters, by kind."""
    return ([arg.arg for arg in args.posonlyargs], [arg.arg for arg in args.args], args.vararg and args.vararg.arg,
            [arg.arg for arg in args.kwonlyargs], args.kwarg and args.kwarg.arg)


def defaults(args: ast.arguments) -> dict[str, str]:
    """{parameter: text of its default}."""
    return {name: dump(node) for name, node in default_nodes(args).items()}


def _pair_statements(change: ScopeChange) -> None:
    """Finds the statements that only one of the two scopes has. Definitions are paired by their names."""
    unpaired: dict[str, list[Statement]] = {}
    for statement in change.old_scope.statements:
        if statement.kind not in ("function", "class"):
            unpaired.setdefault(statement.key, []).append(statement)
    for new in change.new_scope.statements:
        if new.kind in ("function", "class"):
            continue
        old = _counterpart(new, unpaired.get(new.key, []))
        if old is None:
            change.to_run.append(new)
        else:
            unpaired[new.key].remove(old)
    change.gone += [statement for statements in unpaired.values() for statement in statements]


def _counterpart(new: Statement, candidates: list[Statement]) -> Statement | None:
    """The statement of OLD, among those with the key, that does what NEW's does. An import that NEW has lazily was done
    where OLD has it at once; the other way round it is still to be done."""
    alike = [old for old in candidates if old.is_lazy == new.is_lazy]
    return next(iter(alike or (candidates if new.is_lazy else [])), None)
