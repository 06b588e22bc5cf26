"""Changed values of modules that change together with the functions (ImportTime's `together`), and those that can't.

A value is together where all code of the package that reads it becomes code of the patch, and no code of the package
changes it: then old code reads the old value and new code the new one, as long as a transition pends. Functions that
read it and do not differ become functions of the patch, with the body that they have. All other changed values are
there at once, as soon as the patch goes in; each has a note with its reason.
"""
from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

from attrs import define, field

from klpfs.builder.compare.changes import ClassChange
from klpfs.builder.compare.names_in_code import NAMESPACES, names_bound
from klpfs.builder.compare.statements import Statement, parse_scope
from klpfs.builder.plan.class_values import (
    class_values,
    in_text,
    loads,
    of_itself,
    reads_what_classes_hold,
    stores_in_class,
)
from klpfs.builder.plan.order import imported_from, ordered
from klpfs.builder.plan.plans import ModulePlan
from klpfs.builder.plan.table_uses import Known, changes_or_keeps, is_no_table, used_as_no_table
from klpfs.builder.plan.value_readers import (
    Reader,
    attribute_base,
    functions_of,
    global_stores,
    keeps_answers,
    looked_up,
    reads_global,
)
from klpfs.builder.read.modules import CommonPair, module_name
from klpfs.builder.syntax import DEFINITIONS, FUNCTIONS, IMPORTS, walk_outside

if TYPE_CHECKING:
    from klpfs.builder.plan.package_plan import ImportedName, PackagePlanner

_OF_THE_INTERPRETER = frozenset("""__doc__ __name__ __file__ __path__ __spec__ __loader__ __package__ __builtins__
    __annotations__ __annotate__ __getattr__ __dir__ __class__ __dict__""".split())
_REFUSED = "with the functions that read such values the livepatch is refused"
_BY_TEXT = "its name is in a text, by which code may look it up"
_HOLDINGS = re.compile(rb"__dict__|\bvars\b")
_MANGLED = re.compile(r"_+[A-Za-z]\w*?__\w*(?<!__)$")
_DEPTH = 4          # of names that stand for each other
_MOST_READERS = 200     # functions that one name may add to the patch
AT_ONCE = "at once, not together with the functions: "      # how such a note begins


@define(frozen=True)
class ChangedValue:
    """A value of OLD that NEW has otherwise. early: why old code sees it at once; '' where it changes together with
    the functions."""

    module: str
    name: str
    early: str = ""


@define(eq=False)
class _Candidate:
    """A global name of a module whose value changes. readers: functions that have to be of the patch, with their
    modules. elsewhere: other modules whose new code reads it."""

    plan: ModulePlan
    name: str
    statements: list[Statement]
    readers: list[tuple[str, Reader]] = field(factory=list)
    elsewhere: set[str] = field(factory=set)
    why: str = ""


class AtomicPlanner:
    """Decides for all changed values of a package. package: the PackagePlanner, whose plans are complete but for this.
    found: {module: plan}."""

    def __init__(self, package: PackagePlanner, found: dict[str, ModulePlan]) -> None:
        self.package, self.found = package, found
        self.texts = {module_name(path): text for path, text in package.texts.items()}
        self._readers: dict[str, list[Reader]] = {}
        self._added: set[tuple[str, str, int]] = set()
        order = [plan.name for plan in ordered([plan for plan in found.values() if not plan.is_empty])]
        self.place = {name: at for at, name in enumerate(order)}

    def decide(self) -> list[ChangedValue]:
        """Adds to the plans what makes values change together with the functions. Returns all changed values."""
        values = []
        candidates = [candidate for plan in list(self.found.values()) for candidate in _candidates(plan)]
        for candidate in candidates:
            candidate.why = self._judged(candidate) if self.package.together else _REFUSED
        for candidate in candidates:
            candidate.why = candidate.why or self._add_readers(candidate)
            plan, name = candidate.plan, candidate.name
            if not candidate.why:
                plan.together.append(name)
                for module in sorted(candidate.elsewhere):
                    self.found[module].together.append(f"{plan.name}:{name}")
                plan.notes += [f"{reader.name} of {module} keeps its answers: as long as the transition pends, old and "
                               f"new code may get those that the other has made with {name}"
                               for module, reader in candidate.readers if keeps_answers(reader.new)]
            values.append(ChangedValue(plan.name, name, candidate.why))
        for plan in list(self.found.values()):
            values += [self._of_class(plan, *value) for value in list(class_values(plan))]
        early: dict[tuple[str, str], list[str]] = {}
        for value in values:
            if value.early:
                early.setdefault((value.module, value.early), []).append(value.name)
        for (module, why), names in early.items():
            self.found[module].notes.append(f"{AT_ONCE}{', '.join(names)} of {module}: {why}")
        for plan in self.found.values():
            plan.notes += [f"at once, and the interpreter acts on it: {name} of {plan.name} is new"
                           for name in _new_special_methods(plan)]
        return values

    # -- one name

    def _judged(self, candidate: _Candidate) -> str:
        """Why a value can't change together with the functions, or ''. Fills in who reads it."""
        plan, name = candidate.plan, candidate.name
        pair = self.package.pairs_by_name[plan.name]
        table = not self._is_no_table(plan.name, name) and not used_as_no_table(pair.new.tree, name)
        why = _of_itself(plan, candidate, table)
        if why:
            return why
        readers = self._functions(plan.name)
        if any(global_stores(module.tree, name) for module in (pair.old, pair.new)):
            return "a function binds it anew"
        if any(looked_up(self._pair(module).new.tree, name) for module, text in self.texts.items()
               if in_text({module: text}, name) or module == plan.name):
            return _BY_TEXT
        if _read_outside_functions(plan, name):
            return "a lambda or generator of the module's body reads it"
        for reader in readers:
            ways = reads_global(reader.new, name)
            if ways:
                if ways == "twice":
                    return f"{reader.name} has the name for something else, too"
                if table and changes_or_keeps(reader.new, name):
                    return f"{reader.name} may change or keep the table"
                candidate.readers.append((plan.name, reader))
        why = self._judged_elsewhere(candidate, table)
        if why:
            return why
        if len(candidate.readers) > _MOST_READERS:
            return f"{len(candidate.readers)} functions read it"
        return ""

    def _is_no_table(self, module: str, name: str, depth: int = 0) -> bool:
        """Whether a global name of NEW's module has plainly no dict, list or set."""
        pair = self._pair(module)
        nodes = [node for statement in parse_scope(pair.new.tree.body).statements if name in statement.binds
                 for node in _binding(statement.node, name)]
        return bool(nodes) and all(self._makes_no_table(module, node, name, depth) for node in nodes)

    def _makes_no_table(self, module: str, node: ast.stmt, name: str, depth: int) -> bool:
        if isinstance(node, ast.ImportFrom):
            source = imported_from(self._pair(module).new, node)
            names = [each.name for each in node.names if (each.asname or each.name) == name]
            return depth < _DEPTH and source in self.texts and all(
                self._is_no_table(source, each, depth + 1) for each in names)
        return isinstance(node, (*DEFINITIONS, ast.Import)) or is_no_table(node, self._known(module, depth))

    def _known(self, module: str, depth: int = 0) -> Known:
        """What says of names of a module's code whether their values are plainly no tables."""
        def known(name: str, called: bool) -> bool:
            base, _, last = name.rpartition(".")
            if depth >= _DEPTH:
                return False
            if not base:
                return (self._is_class if called else self._is_no_table)(module, last, depth + 1)
            homes = [f"{each.source}.{each.name}" if each.source is not None else each.name
                     for each in self.package.imports_of(module) if each.bound == base]
            return len(homes) == 1 and homes[0] in self.texts and called and self._is_class(homes[0], last, depth + 1)
        return known

    def _is_class(self, module: str, name: str, depth: int) -> bool:
        """Whether a global name of NEW's module is that of a class in it: its objects are no plain tables."""
        found = [statement for statement in parse_scope(self._pair(module).new.tree.body).statements
                 if name in statement.binds]
        return bool(found) and depth <= _DEPTH and all(
            statement.kind == "class" or statement.assigns and self._is_class(
                module, getattr(getattr(statement.node, "value", None), "id", ""), depth + 1) for statement in found)

    def _judged_elsewhere(self, candidate: _Candidate, table: bool) -> str:
        """As _judged, for all other modules of the package."""
        plan, name = candidate.plan, candidate.name
        word = re.compile(rb"\b%s\b" % name.encode())
        for new in (module for other in self.found.values() for module in other.new_modules):
            if word.search("".join(new.source.lines).encode()):
                return f"the new module {new.name} may read it"
        for module, text in self.texts.items():
            if module == plan.name or not word.search(text):
                continue
            why = self._judged_in(candidate, module, table)
            if why:
                return why
        return ""

    def _judged_in(self, candidate: _Candidate, module: str, table: bool) -> str:
        plan, name = candidate.plan, candidate.name
        pair = self._pair(module)
        uses = _Uses(pair, plan.name, name, self.package.imports_of(module))
        if uses.star:
            return f"{module} has it by `import *`"
        if uses.stores:
            return f"{module} binds it anew"
        if not uses.imports and not uses.in_functions and not uses.at_top:
            return ""
        if uses.unclear:
            return f"{module} has the name for something else, too"
        if self.place.get(module, len(self.place)) < self.place.get(plan.name, 0):
            return f"{module} comes before {plan.name}, and has it from there"
        for reader in self._functions(module) if uses.in_functions else ():
            if any(inner in uses.in_functions for inner in ast.walk(reader.new)):
                if table and changes_or_keeps(reader.new, name, uses.in_functions):
                    return f"{reader.name} of {module} may change or keep the table"
                candidate.readers.append((module, reader))
        if uses.in_body:
            return f"the body of {module} reads it in a lambda"
        candidate.elsewhere.add(module)
        return ""

    # -- values of classes

    def _of_class(self, plan: ModulePlan, change: ClassChange, name: str, statement: Statement) -> ChangedValue:
        """A class's value, put together with the functions where it can be."""
        candidate = _Candidate(plan, name, [statement])
        why = "" if self.package.together else _REFUSED
        why = why or of_itself(plan, change, name, statement, self._known(plan.name)) or self._class_readers(candidate)
        why = why or self._add_readers(candidate)
        if not why:
            plan.together.append(change.qualified(name))
        return ChangedValue(plan.name, change.qualified(name), why)

    def _class_readers(self, candidate: _Candidate) -> str:
        """Finds all functions of the package that read an attribute. Why they can't be of the patch, or ''."""
        name = candidate.name
        if in_text(self.texts, name):
            return _BY_TEXT
        word = re.compile(rb"\b%s\b" % name.encode())
        for module, text in self.texts.items():
            if _HOLDINGS.search(text) and reads_what_classes_hold(self._pair(module).new.tree):
                return f"{module} reads what classes hold by `__dict__` or vars()"
            if not word.search(text):
                continue
            pair = self._pair(module)
            if any(stores_in_class(tree, name) for tree in (pair.old.tree, pair.new.tree)):
                return f"{module} may bind it in a class"
            found = set(loads(pair.new.tree, name))
            for reader in self._functions(module):
                inside = found & {inner for part in reader.new.body for inner in ast.walk(part)}
                if inside:
                    candidate.readers.append((module, reader))
                    found -= inside
            if found:
                return f"the body of {module} reads it"
        if len(candidate.readers) > _MOST_READERS:
            return f"{len(candidate.readers)} functions have an attribute of that name"
        return ""

    # -- who reads

    def _pair(self, module: str) -> CommonPair:
        self.package.imports_of(module)
        return self.package.pairs_by_name[module]

    def _functions(self, module: str) -> list[Reader]:
        """The functions of NEW's module, those in functions counted as parts of them."""
        if module not in self._readers:
            pair = self._pair(module)
            self._readers[module] = list(functions_of(parse_scope(pair.old.tree.body), parse_scope(pair.new.tree.body)))
        return self._readers[module]

    def _add_readers(self, candidate: _Candidate) -> str:
        """Makes functions of the patch of all that read a name. Why that can't be, or ''; then nothing was added."""
        wanted = []
        for module, reader in candidate.readers:
            plan = self.found.get(module)
            if plan is None:
                plan = self.found[module] = self.package.plan_of(module)
            run = {statement.node for statement in plan.at_import.statements_to_run}
            if reader.old is None or any(node in run for node in reader.around):
                continue        # it is made when the patch goes in: new code as it stands
            for name, old, new in reader.parts(candidate.name):
                if any(func.node is new for func in plan.funcs) or (module, name, new.lineno) in self._added:
                    continue
                planner = self.package.function_planner(plan)
                definition = planner.definition_of(name, old)
                if definition is None:
                    return f"{name} of {module} reads it and is not found in OLD's code"
                wanted.append((planner, name, old, new, definition))
        for module in candidate.elsewhere - self.found.keys():
            self.found[module] = self.package.plan_of(module)
        for planner, name, old, new, definition in wanted:
            planner.reads_together(name, old, new, definition, candidate.name)
            self._added.add((planner.plan.name, name, new.lineno))
        return ""


class _Uses:
    """The uses of a module's global name in another module. imports: it has it by name at its top level. in_functions:
    nodes in functions that read it by the module's attribute, or import it. at_top: the body does so. in_body: lambdas
    of the body do. stores: it is bound there from outside. unclear: an attribute of that name may be something else's.
    star: `import *` brings it."""

    def __init__(self, pair: CommonPair, home: str, name: str, imports: list[ImportedName]) -> None:
        self.star = any(each.source == home and each.name == "*" for each in imports)
        self.imports = any(each.source == home and each.name == name for each in imports)
        modules = {each.bound for each in imports if each.is_module(home)}
        self.in_functions: set[ast.AST] = set()
        self.at_top = self.in_body = self.stores = self.unclear = False
        for tree in (pair.old.tree, pair.new.tree):
            others = False
            found: set[ast.AST] = set()
            in_function = {inner for node in ast.walk(tree) if isinstance(node, FUNCTIONS) for inner in ast.walk(node)}
            for node in ast.walk(tree):
                if isinstance(node, ast.Attribute) and node.attr == name:
                    base = attribute_base(node)
                    its = base in modules or base == home
                    maybe = not its and base.rpartition(".")[2] == home.rpartition(".")[2]
                    if its and not isinstance(node.ctx, ast.Load) or maybe:
                        self.stores = True
                    elif its and node in in_function:
                        found.add(node)
                    elif its:
                        self.at_top = True
                        self.in_body |= _in_lambda(tree, node)
                    else:
                        others = True
                elif isinstance(node, ast.ImportFrom) and node in in_function and (
                        imported_from(pair.new, node) == home) and any(each.name == name for each in node.names):
                    found.add(node)
            self.unclear |= others and bool(found or self.imports or self.at_top)
            self.in_functions |= found


def _in_lambda(tree: ast.AST, node: ast.AST) -> bool:
    return any(isinstance(each, (ast.Lambda, ast.GeneratorExp)) and any(inner is node for inner in ast.walk(each))
               for each in ast.walk(tree))


def _candidates(plan: ModulePlan) -> Iterator[_Candidate]:
    """The global names of a module with a value that is no definition's, which the patch binds anew."""
    by_name: dict[str, list[Statement]] = {}
    bound = plan.change.old_scope.bound
    for statement in plan.at_import.own_statements:
        if statement.kind in ("statement", "import"):
            for name in sorted(statement.binds & bound - {"*"}):
                by_name.setdefault(name, []).append(statement)
    for name, statements in by_name.items():
        yield _Candidate(plan, name, statements)


def _binding(node: ast.stmt, name: str) -> Iterator[ast.stmt]:
    """The simple statements and definitions in a statement that bind a name; the statement, where none is in sight."""
    if not isinstance(node, (ast.If, ast.Try, ast.With)):
        yield node
        return
    found: list[ast.stmt] = [
        inner for inner in walk_outside((*DEFINITIONS, ast.Lambda), node)
        if isinstance(inner, (*IMPORTS, *DEFINITIONS, ast.Assign, ast.AnnAssign, ast.AugAssign, ast.For))
        and name in names_bound(inner)]
    yield from found or [node]


def _of_itself(plan: ModulePlan, candidate: _Candidate, table: bool) -> str:
    """Why a value can't change together with the functions, by the statements that make it; or ''. table: it may be
    a table."""
    name, run = candidate.name, plan.at_import.own_statements
    if name in _OF_THE_INTERPRETER:
        return "the interpreter reads it"
    if _MANGLED.match(name):
        return "code of a class may have it under a private name"
    if any(name in statement.binds and statement.kind in ("function", "class")
           for statement in run):
        return "it is a definition's, too"
    if table and name in plan.watched_names or any(name in statement.changes_in_place() for statement in run):
        return "statements change what it holds"
    if any(isinstance(inner, ast.Delete) for statement in candidate.statements for inner in ast.walk(statement.node)):
        return "a statement deletes it"
    for statement in plan.at_import.statements_to_run:
        for inner in ast.walk(statement.node):
            if isinstance(inner, ast.Name) and inner.id in NAMESPACES and statement.kind == "statement":
                return "statements read names by their text"
    return ""


def _read_outside_functions(plan: ModulePlan, name: str) -> bool:
    """Whether a lambda or a generator that the body of the module, or of a class in it, has made reads a name."""
    run = {inner for statement in plan.at_import.statements_to_run for inner in ast.walk(statement.node)}
    for tree in (plan.old.tree, plan.new.tree):
        inside = {inner for node in ast.walk(tree) if isinstance(node, FUNCTIONS)
                  for part in node.body for inner in ast.walk(part)}
        for node in ast.walk(tree):
            if isinstance(node, (ast.Lambda, ast.GeneratorExp)) and node not in inside and node not in run and any(
                    isinstance(inner, ast.Name) and inner.id == name for inner in ast.walk(node)):
                return True
    return False


def _new_special_methods(plan: ModulePlan) -> Iterator[str]:
    """Qualified names of methods that classes get and that the interpreter calls by itself."""
    for change in plan.change.walk():
        if isinstance(change, ClassChange):
            old = change.old_scope.bound
            yield from sorted(change.qualified(name) for name in change.new_scope.bound - old
                              if name[:2] == name[-2:] == "__" and name not in ("__slots__", "__doc__", "__init__"))
