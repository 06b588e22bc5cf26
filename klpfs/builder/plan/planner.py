"""How each change of a module is carried: by a Func, by what runs when the patch goes in, or not at all, with the reason."""
import ast
import re
import typing

from attrs import define, field

from klpfs.builder.plan.caches import Cache, computed_by
from klpfs.builder.compare.changes import (compare_modules, default_nodes, function_differences, FunctionChange,
                                           ScopeChange)
from klpfs.builder.plan.object_layout import described
from klpfs.builder.plan.class_statement import Head, head_of, renamed
from klpfs.builder.read.modules import Module, Pair
from klpfs.builder.plan.closures import changed_pairs, escapes, only_inner, prelude
from klpfs.builder.read.old_definitions import Definition, free_variables, made_function
from klpfs.builder.compare.equivalence import dump, flavour, FUNCTIONS
from klpfs.builder.compare.statements import depends, first_line, Leaf, parse_scope, reads_of
from klpfs.builder.plan.dependents import acted_on, attributes_read, built_in_steps, derived, rebound

# What a version says of itself: the program goes on being the version that was started, with a fix.
OF_RELEASE = frozenset("""__version__ __version_info__ version version_info VERSION __date__ __build__ __copyright__ __author__ __license__
    __credits__ __email__ __releasedate__ version_tuple __version_tuple__ RELEASE vernum __commit_id__ commit_id""".split())


@define(eq=False)
class FuncPlan:
    """A Func to be: NEW's function in the place of OLD's. kept: parameters whose default stays the old object. later: those
    whose default is evaluated in the module. why: for the comment. prelude: statements that come first, for closures that
    lack what they compute. forms: {attribute: what it is called in new code}. written: the node is no part of NEW's text.
    optional: OLD defines it under a condition."""

    name: str
    node: ast.AST
    definition: Definition
    kept: "set[str]" = field(factory=set)
    later: "set[str]" = field(factory=set)
    why: str = ""
    prelude: list = field(factory=list)
    forms: "dict[str, str]" = field(factory=dict)
    written: bool = False
    optional: bool = False


@define
class Refusal:
    """A change that is not carried. place: file:line. what, why: for people."""

    place: str
    what: str
    why: str


@define(eq=False)
class ModulePlan:
    """One object of the patch. run: leaves of NEW that run when it goes in; parts: {id of a class's node: its change},
    classes in which something runs. removed, everywhere, watch, removes: as ImportTime's. modules: those that
    only NEW has, to be importable with this object. caches: with the modules that they are in. stars: names that
    `from x import *` brings, by its node's id. heads: {id of a class's node: Head}, of those of parts that change in more
    than their bodies. forms: as FuncPlan's. reasons: why a leaf of run is one, by its id. then:
    leaves whose values functions of the patch compute. notes: what is left as it is."""

    name: str
    old: Module
    new: Module
    change: ScopeChange
    funcs: "list[FuncPlan]" = field(factory=list)
    run: "list[Leaf]" = field(factory=list)
    parts: "dict[int, ScopeChange]" = field(factory=dict)
    everywhere: "list[str]" = field(factory=list)
    removed: "list[str]" = field(factory=list)
    watch: "list[str]" = field(factory=list)
    removes: "dict[str, list]" = field(factory=dict)
    modules: "list[Module]" = field(factory=list)
    caches: "list[tuple[Cache, Module]]" = field(factory=list)
    stars: "dict[int, list[str]]" = field(factory=dict)
    reasons: "dict[int, str]" = field(factory=dict)
    then: "list[Leaf]" = field(factory=list)
    heads: "dict[int, Head]" = field(factory=dict)
    forms: "dict[str, str]" = field(factory=dict)
    refused: "list[Refusal]" = field(factory=list)
    notes: "list[str]" = field(factory=list)

    def refuse(self, node, what: str, why: str, old: bool = False) -> None:
        path = (self.old if old else self.new).path
        self.refused.append(Refusal(f"{path}:{getattr(node, 'lineno', 1)}", what, why))

    @property
    def others(self) -> "set[str]":
        """Names of the module that hold other values now: who has imported them has the old ones."""
        return {name for leaf in self.run if leaf in self.change.new_scope.leaves and leaf.kind != "class"
                for name in leaf.binds if name in self.change.old_scope.bound}

    @property
    def attributes(self) -> "set[str]":
        """Class attributes that hold other values now, without their classes."""
        return {name for change in self.parts.values() for leaf in self.run if leaf in change.new_scope.leaves
                and leaf.kind == "statement" for name in leaf.binds if name in change.old_scope.bound}

    @property
    def empty(self) -> bool:
        return not (self.funcs or self.run or self.removed or self.refused or self.parts or self.modules)


class Planner:
    """Plans one module of both versions. definitions: prints.definitions of OLD's module. imported: names that it imports
    from modules in which they are others now; attributes: (name of a module in it, name in that module), likewise.
    readers(name): NEW's trees, of the whole package, that mention an attribute."""

    def __init__(self, pair: Pair, definitions: "list[Definition]", imported: "typing.Iterable[str]" = (),
                 attributes: "typing.Iterable[tuple[str, str]]" = (), readers: "typing.Callable[[str], list]" = lambda name: []):
        self.pair = pair
        self.by_place = {}
        for each in definitions:
            self.by_place.setdefault((each.line, each.name.rpartition(".")[2]), []).append(each)
        self.free = free_variables(pair.new)
        self.forms: "dict[str, str]" = {}
        self.conditional = conditional(pair.old.tree.body)
        self.imported, self.attributes, self.readers = set(imported), set(attributes), readers
        self.plan = ModulePlan(pair.name, pair.old, pair.new, compare_modules(pair.old.tree, pair.new.tree))

    def make(self) -> ModulePlan:
        self._scope(self.plan.change, set())
        self._forms()
        self._then()
        return self.plan

    def _then(self) -> None:
        """Unchanged statements whose values are computed by functions that change."""
        plan = self.plan
        functions = {each.name for each in plan.funcs if "." not in each.name}
        for leaf in plan.change.new_scope.leaves if functions else ():
            if leaf.kind == "statement" and leaf not in plan.run and isinstance(leaf.node, (ast.Assign, ast.AnnAssign)) and leaf.binds and (
                    computed_by(plan.new.tree, leaf.node, functions)) and not self._of_release(leaf, plan.change):
                plan.then.append(leaf)
                plan.reasons[id(leaf)] = "computed by what changed"

    # -- a scope

    def _scope(self, change: ScopeChange, outer: "set[str]") -> None:
        plan = self.plan
        own = [leaf for leaf in change.run if not self._of_release(leaf, change)]
        if plan.name.endswith("__main__") or plan.name == "__main__":  # running it again would start the program again
            own = [leaf for leaf in own if leaf.kind != "statement" or leaf.binds]
            change.gone = [leaf for leaf in change.gone if leaf.kind != "statement" or leaf.binds]
        for leaf in own:
            known = leaf.binds & change.old_scope.bound
            plan.reasons[id(leaf)] = "changed" if known else "new"
        names, steps = built_in_steps(change)
        change.gone = [leaf for leaf in change.gone if not acted_on(leaf) or acted_on(leaf) - names]
        own += [leaf for leaf in steps if leaf not in own]
        for each in change.functions:
            if each.what & {"decorators", "flavour"}:
                own.append(each.new)
                plan.reasons[id(each.new)] = f"its {' and '.join(sorted(each.what & {'decorators', 'flavour'}))} changed"
        change.run = own
        changed = rebound(change) | {name for name in outer if name not in change.new_scope.bound}
        if not change.name:
            changed |= self._reimported(change, own)
        again, defaults = derived(change.new_scope, own, changed)
        own += [each for each in again if not self._of_release(each, change)]
        for leaf in own:
            plan.reasons.setdefault(id(leaf), "made anew of what changed")
        self._take(change, own)
        for each in change.functions:
            self._function(each, changed)
        known = {id(each.new) for each in change.functions}
        for leaf in defaults:
            if id(leaf) not in known:
                self._defaults_only(change, leaf, changed)
        self._classes(change, changed)
        self._gone(change)

    def _reimported(self, change, own) -> "set[str]":
        """Unchanged imports of names that are others now run again."""
        found = set()
        for leaf in change.new_scope.leaves:
            if leaf in own:
                continue
            if leaf.kind == "import" and leaf.binds & self.imported or leaf.kind == "statement" and (
                    self.attributes & attributes_read(leaf.node)):
                own.append(leaf)
                found |= leaf.binds
        return found

    def _of_release(self, leaf: Leaf, change: ScopeChange) -> bool:
        if leaf.kind != "statement" or change.name or not leaf.binds or not leaf.binds <= OF_RELEASE:
            return False
        self.plan.notes.append(f"{', '.join(sorted(leaf.binds))} of {self.plan.name} stays what was loaded")
        return True

    def _take(self, change: ScopeChange, own: "list[Leaf]") -> None:
        plan = self.plan
        before = {name: each for each in change.old_scope.leaves for name in each.binds}
        for leaf in own:
            if leaf not in plan.run:
                plan.run.append(leaf)
            if leaf.kind == "statement" and not isinstance(leaf.node, (ast.Assign, ast.AnnAssign)) or acted_on(leaf):
                self._acting(change, leaf)
            for name in sorted(leaf.binds):
                old = before.get(name)
                whole = change.qualified(name)
                named = not change.name or old is not None and old.kind != "statement"  # others hold a class's values by no name
                if old is not None and named and makes_value(old) and whole not in plan.everywhere:
                    plan.everywhere.append(whole)
                if old is not None:
                    keys = removed_keys(old.node, leaf.node, name)
                    if keys is not None:
                        plan.removes[whole] = keys
        if change.name and own:
            plan.parts[id(change.new)] = change

    def _acting(self, change: ScopeChange, leaf: Leaf) -> None:
        """A statement that does more than bind names acts on objects: on those that it names."""
        for name in sorted(leaf.reads):
            if name not in self.plan.watch and (change.name or name in change.new_scope.bound):
                self.plan.watch.append(name)

    def _gone(self, change: ScopeChange) -> None:
        plan = self.plan
        bound = change.new_scope.bound
        for leaf in change.gone:
            if isinstance(leaf.node, ast.Delete):
                plan.notes.append(f"`{short(leaf.node)}` of {plan.name} is no more: what it had deleted does not come back")
            if not leaf.binds and not harmless(leaf.node):
                plan.refuse(leaf.node, f"the statement `{short(leaf.node)}` is no more",
                            "what it did when it ran can't be taken back automatically", old=True)
        for name in change.removed:
            leaves = [each for each in change.old_scope.leaves if name in each.binds]
            if name in OF_RELEASE and not change.name or name in bound:
                continue
            if all(each.kind == "import" for each in leaves):
                plan.notes.append(f"{plan.name} still holds the import '{name}'")
            else:
                plan.removed.append(change.qualified(name))

    def _classes(self, change: ScopeChange, changed: "set[str]") -> None:
        known = {}
        for each in change.classes:
            known[id(each.leaf)] = each
        for key, leaf in change.new_scope.classes.items():
            old = change.old_scope.classes.get(key)
            if old is None or leaf in self.plan.run:
                continue
            inner = known.get(id(leaf))
            if inner is None:
                if not depends(leaf, changed):
                    continue
                inner = unchanged_class(change, old.node, leaf)
            else:
                self._head(inner)
                self._hash(inner)
            self._scope(inner, changed)

    def _head(self, change: ScopeChange) -> None:
        plan = self.plan
        head = head_of(change, self.readers)
        for each in head.refused:
            plan.refuse(*each)
        plan.notes += head.notes
        if head.made:
            change.run = [leaf for leaf in change.run if not is_field(leaf.node)]
            change.removed = [name for name in change.removed if name not in head.made]
        if head.inside or head.after:
            plan.heads[id(change.new)] = head
            plan.parts[id(change.new)] = change
        if head.init is not None:
            old = next((each.node for each in change.old_scope.functions.values() if each.node.name == "__init__"), None)
            name = change.qualified("__init__")
            definition = made_function(name, change.new.lineno) if old is None else self.definition_of(name, old)
            plan.funcs.append(FuncPlan(name, head.init, definition, why="made of the fields", written=True))
        self.forms.update(head.forms)

    def _hash(self, change: ScopeChange) -> None:
        """A class statement that has __eq__ and no __hash__ makes its objects unhashable."""
        was, now = ({"__eq__", "__hash__"} & scope.bound for scope in (change.old_scope, change.new_scope))
        if now == {"__eq__"} and was != now:
            head = self.plan.heads.setdefault(id(change.new), Head())
            head.inside.append("__hash__ = None")
            self.plan.parts[id(change.new)] = change
        elif was == {"__eq__"} and not now:
            self.plan.removed.append(change.qualified("__hash__"))

    def _forms(self) -> None:
        """All code of NEW that uses an attribute of another form uses it by another name."""
        if not self.forms:
            return
        plan = self.plan
        for name in self.forms:
            if len(self.readers(name)) > 1:
                plan.refuse(plan.new.tree, f"attribute {name}", "it has another form now, and other modules use it, too")
        known = {id(each.node) for each in plan.funcs}
        for change in plan.change.walk():
            for key, leaf in change.new_scope.functions.items():
                old = change.old_scope.functions.get(key)
                if id(leaf.node) in known or leaf in plan.run or old is None or not renamed(leaf.node, self.forms):
                    continue
                name = change.qualified(leaf.node.name)
                plan.funcs.append(self._func(name, old.node, leaf.node, self.definition_of(name, old.node), set(), "uses another form"))
        for each in plan.funcs:
            each.forms = self.forms
        plan.forms = self.forms

    # -- functions

    def _function(self, change: FunctionChange, changed: "set[str]") -> None:
        plan = self.plan
        if "flavour" in change.what:
            return  # the new function is an object of its own
        if change.what == {"decorators"}:
            return
        definition = self.definition_of(change.name, change.old.node)
        if definition is None:
            plan.refuse(change.new.node, f"function {change.name}", "its old definition is not found in OLD's code")
            return
        if loops_for_ever(change.old.node):
            plan.notes.append(f"{change.name} of {plan.name} has a loop without an end: who is inside keeps the transition pending")
        inner = self._inner(change, changed)
        if not inner or not only_inner(change.old.node, change.new.node, change.name) or change.what != {"body"}:
            plan.funcs.append(self._func(change.name, change.old.node, change.new.node, definition, changed,
                                         ", ".join(sorted(change.what))))

    def _inner(self, change: FunctionChange, changed: "set[str]") -> bool:
        """Live closures: Funcs for the functions in a function. Whether they carry all that changed in them."""
        plan, complete = self.plan, True
        for old, new in changed_pairs(change.old.node, change.new.node, change.name):
            definition = self.definition_of(old.name, old.node)
            if definition is None:
                plan.refuse(new.node, f"function {new.name}", "its old definition is not found in OLD's code")
                continue
            held = set(definition.free)
            missing = self.free[(first_line(new.node), new.node.name)] - held - {"__class__"}
            alive = escapes(old)
            if missing or flavour(old.node) != flavour(new.node):
                complete = False
            if not alive and not complete:
                continue
            statements = []
            if flavour(old.node) != flavour(new.node):
                plan.refuse(new.node, f"function {new.name}", f"it was a {flavour(old.node)} and is a {flavour(new.node)}: what "
                            "was made before can't become one")
                continue
            if missing:
                statements = prelude(new, missing, held)
                if statements is None:
                    plan.refuse(new.node, f"function {new.name}", f"functions made before have no variable "
                                f"'{sorted(missing)[0]}', and it can't be computed from what they have")
                    continue
            func = self._func(new.name, old.node, new.node, definition, changed, "live closures")
            func.prelude = statements
            plan.funcs.append(func)
        return complete

    def _func(self, name, old, new, definition, changed, why) -> FuncPlan:
        found = FuncPlan(name, new, definition, why=why, optional=first_line(old) in self.conditional)
        was, now = default_nodes(old.args), default_nodes(new.args)
        for parameter, node in now.items():
            if reads_of(node) & changed:
                found.later.add(parameter)
            elif literal(node):
                continue
            elif parameter in was and dump(was[parameter]) == dump(node):
                found.kept.add(parameter)
            elif not fresh(node):
                found.later.add(parameter)
        return found

    def _defaults_only(self, change: ScopeChange, leaf: Leaf, changed: "set[str]") -> None:
        key = next(key for key, each in change.new_scope.functions.items() if each is leaf)
        old = change.old_scope.functions.get(key)
        if old is None or function_differences(old.node, leaf.node):
            return
        definition = self.definition_of(change.qualified(leaf.node.name), old.node)
        if definition is not None:
            self.plan.funcs.append(self._func(change.qualified(leaf.node.name), old.node, leaf.node, definition, changed,
                                              "its defaults are others now"))

    def definition_of(self, name: str, old) -> typing.Optional[Definition]:
        line = min([old.lineno] + [each.lineno for each in getattr(old, "decorator_list", ())])
        short_name = "<lambda>" if isinstance(old, ast.Lambda) else old.name
        found = [each for each in self.by_place.get((line, short_name), ()) if each.name == name]
        return found[0] if len(found) == 1 else None


def conditional(body: list, inside: bool = False) -> "set[int]":
    """First lines of the functions that stand under a condition, themselves or with what they lie in."""
    found = set()
    for node in body:
        if isinstance(node, FUNCTIONS):
            found |= ({first_line(node)} if inside else set()) | conditional(node.body, inside)
        elif isinstance(node, ast.ClassDef):
            found |= conditional(node.body, inside)
        elif isinstance(node, (ast.If, ast.Try, ast.With, ast.For, ast.While)):
            for name in ("body", "orelse", "finalbody"):
                found |= conditional(getattr(node, name, []), inside or not isinstance(node, ast.With))
            for handler in getattr(node, "handlers", []):
                found |= conditional(handler.body, True)
    return found


def is_field(node: ast.stmt) -> bool:
    """An annotated name that a decorator makes something of, and that is no attribute of the class."""
    return isinstance(node, ast.AnnAssign) and (node.value is None or described(node.value))


def unchanged_class(change: ScopeChange, old, leaf: Leaf) -> ScopeChange:
    return ScopeChange(change.qualified(leaf.node.name), old, leaf.node, parse_scope(old.body), parse_scope(leaf.node.body), leaf=leaf)


def makes_value(leaf: Leaf) -> bool:
    """The statement made the value that it bound: it did not take one that others own."""
    if leaf.kind == "import":
        return False
    if leaf.kind in ("function", "class"):
        return True
    value = getattr(leaf.node, "value", None)
    return not isinstance(value, (ast.Name, ast.Attribute, ast.Constant))


def literal(node: ast.expr) -> bool:
    """An immutable value, as it stands."""
    if isinstance(node, ast.Constant):
        return True
    if isinstance(node, ast.UnaryOp):
        return literal(node.operand)
    if isinstance(node, ast.BinOp):
        return literal(node.left) and literal(node.right)
    return isinstance(node, ast.Tuple) and all(map(literal, node.elts))


def fresh(node: ast.expr) -> bool:
    """A value that can be made anywhere: it uses no names."""
    return not any(isinstance(each, (ast.Name, ast.Lambda)) for each in ast.walk(node))


def removed_keys(old: ast.stmt, new: ast.stmt, name: str) -> typing.Optional[list]:
    """Constant keys or members that OLD's table has and NEW's has not; None: the statements are no tables in plain sight."""
    was, now = _keys(old, name), _keys(new, name)
    return None if was is None or now is None else [each for each in was if each not in now]


def _keys(node: ast.stmt, name: str) -> typing.Optional[list]:
    if not isinstance(node, (ast.Assign, ast.AnnAssign)):
        return None
    targets = node.targets if isinstance(node, ast.Assign) else [node.target]
    if not any(isinstance(each, ast.Name) and each.id == name for each in targets):
        return None
    value = node.value
    if isinstance(value, ast.Dict):
        found = value.keys
    elif isinstance(value, ast.Set):
        found = value.elts
    else:
        return None
    if not all(isinstance(each, ast.Constant) for each in found):
        return None
    return [each.value for each in found]


_WARNS = re.compile("warn|deprecat|^__import__$|import_module$", re.I)


def loops_for_ever(node: ast.AST) -> bool:
    """A function with `while True` from which nothing but an exception leads out."""
    for each in ast.walk(node):
        if isinstance(each, ast.While) and isinstance(each.test, ast.Constant) and each.test.value:
            if not any(isinstance(one, (ast.Break, ast.Return)) for one in ast.walk(each)):
                return True
    return False


def harmless(node: ast.stmt) -> bool:
    """A statement that left nothing behind when it ran, or only warnings, or imported modules."""
    if isinstance(node, (ast.Pass, ast.Assert, ast.Delete, ast.Raise, ast.Import, ast.ImportFrom)):
        return True
    if isinstance(node, (ast.If, ast.Try, ast.With)):
        blocks = [getattr(node, name, []) for name in ("body", "orelse", "finalbody")] + [each.body for each in getattr(node, "handlers", [])]
        return all(harmless(each) for block in blocks for each in block)
    if not isinstance(node, ast.Expr):
        return False
    called = node.value.func if isinstance(node.value, ast.Call) else None
    return isinstance(node.value, (ast.Constant, ast.Name, ast.Attribute)) or called is not None and bool(_WARNS.search(ast.unparse(called)))


def short(node: ast.stmt, limit: int = 60) -> str:
    text = ast.unparse(node).split("\n")[0]
    return text if len(text) <= limit else text[:limit - 3] + "..."


