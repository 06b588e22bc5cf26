"""What differs between two versions of a module, scope by scope: typed, not yet judged."""
import ast
import typing

from attrs import define, field

from klpfs.builder.compare.equivalence import decorator_name, dump, flavour, same, without_doc
from klpfs.builder.compare.statements import Leaf, parse_scope, Scope

FIELDS = ("dataclass", "attrs", "attr.s", "define", "frozen", "mutable", "attributes", "NamedTuple", "TypedDict", "BaseModel", "Struct")


@define(eq=False)
class FunctionChange:
    """A function that both versions have. what: body, signature, defaults, decorators, flavour.

    name: qualified. own_name: as the pairing has it ('x.setter'). old, new: Leaf.
    """

    name: str
    old: Leaf
    new: Leaf
    what: "set[str]"


@define(eq=False)
class ScopeChange:
    """A module's or a class's body. name: '' for the module, else qualified. old, new: its node.

    functions: changed ones. run: leaves of NEW that are new or other (statements, imports, functions, classes). gone:
    leaves of OLD that NEW has not. removed: names that NEW does not bind any more. classes: those with changes in them.
    head: what of a class's statement itself differs: bases, keywords, decorators, fields.
    """

    name: str
    old: ast.AST
    new: ast.AST
    old_scope: Scope
    new_scope: Scope
    functions: "list[FunctionChange]" = field(factory=list)
    run: "list[Leaf]" = field(factory=list)
    gone: "list[Leaf]" = field(factory=list)
    removed: "list[str]" = field(factory=list)
    classes: "list[ScopeChange]" = field(factory=list)
    head: "set[str]" = field(factory=set)
    leaf: typing.Optional[Leaf] = None

    def __bool__(self):
        return bool(self.functions or self.run or self.gone or self.removed or self.classes or self.head)

    def qualified(self, name: str) -> str:
        return f"{self.name}.{name}" if self.name else name

    def walk(self):
        """It and all changes of classes in it."""
        yield self
        for each in self.classes:
            yield from each.walk()


def compare_modules(old: ast.Module, new: ast.Module) -> ScopeChange:
    return _compare("", old, new)


def _compare(name: str, old, new, leaf: typing.Optional[Leaf] = None) -> ScopeChange:
    fields = isinstance(new, ast.ClassDef) and (has_fields(old) or has_fields(new))
    change = ScopeChange(name, old, new, parse_scope(old.body, fields), parse_scope(new.body, fields), leaf=leaf)
    if isinstance(new, ast.ClassDef):
        change.head = _heads(old, new)
    was, now = change.old_scope, change.new_scope
    _pair_functions(change)
    for key, each in now.classes.items():
        if key not in was.classes:
            change.run.append(each)
        elif each.key != was.classes[key].key:
            inner = _compare(change.qualified(each.node.name), was.classes[key].node, each.node, each)
            if inner:
                change.classes.append(inner)
    change.gone += [each for key, each in was.classes.items() if key not in now.classes]
    _pair_statements(change)
    bound = now.bound
    for each in was.leaves:
        change.removed += [one for one in sorted(each.binds) if one not in bound and one not in change.removed]
    change.run.sort(key=now.leaves.index)
    return change


def has_fields(node) -> bool:
    """A class whose annotated names become fields."""
    names = [decorator_name(each) for each in node.decorator_list]
    names += [ast.unparse(each).partition("[")[0] for each in node.bases]
    return any(each in FIELDS or each.rpartition(".")[2] in FIELDS for each in names)


def _heads(old, new) -> "set[str]":
    found = set()
    if not same(*([each for each in node.bases if not (isinstance(each, ast.Name) and each.id == "object")] for node in (old, new))):
        found.add("bases")
    if not same([each.value for each in old.keywords], [each.value for each in new.keywords]):
        found.add("keywords")
    if not same(old.decorator_list, new.decorator_list):
        found.add("decorators")
    return found


def _pair_functions(change: ScopeChange) -> None:
    was, now = change.old_scope, change.new_scope
    for key, each in now.functions.items():
        old = was.functions.get(key)
        if old is None:
            change.run.append(each)
            continue
        what = function_differences(old.node, each.node)
        if what:
            change.functions.append(FunctionChange(change.qualified(each.node.name), old, each, what))
    change.gone += [each for key, each in was.functions.items() if key not in now.functions]


def function_differences(old, new) -> "set[str]":
    """body, signature, defaults, decorators, flavour."""
    what = set()
    if dump(without_doc(old.body)) != dump(without_doc(new.body)):
        what.add("body")
    if signature(old.args) != signature(new.args):
        what.add("signature")
    if defaults(old.args) != defaults(new.args):
        what.add("defaults")
    if not same(old.decorator_list, new.decorator_list):
        what.add("decorators")
    if flavour(old) != flavour(new):
        what.add("flavour")
    return what


def signature(args: ast.arguments) -> tuple:
    return ([each.arg for each in args.posonlyargs], [each.arg for each in args.args], args.vararg and args.vararg.arg,
            [each.arg for each in args.kwonlyargs], args.kwarg and args.kwarg.arg)


def defaults(args: ast.arguments) -> "dict[str, ast.expr]":
    """{parameter: text of its default}."""
    return {name: dump(node) for name, node in default_nodes(args).items()}


def default_nodes(args: ast.arguments) -> "dict[str, ast.expr]":
    names = [each.arg for each in args.posonlyargs + args.args]
    found = dict(zip(names[len(names) - len(args.defaults):], args.defaults))
    found.update((each.arg, value) for each, value in zip(args.kwonlyargs, args.kw_defaults) if value is not None)
    return found


def _pair_statements(change: ScopeChange) -> None:
    left: "dict[str, list[Leaf]]" = {}
    for each in change.old_scope.leaves:
        if each.kind not in ("function", "class"):
            left.setdefault(each.key, []).append(each)
    for each in change.new_scope.leaves:
        if each.kind in ("function", "class"):
            continue
        if left.get(each.key):
            left[each.key].pop(0)
        else:
            change.run.append(each)
    change.gone += [each for leaves in left.values() for each in leaves]
