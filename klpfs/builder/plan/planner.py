"""How every change of a module is carried: by a Func, by what runs when the patch goes in, or not at all, with the
reason."""
from __future__ import annotations

import ast
from typing import Callable

from attrs import define, field

from klpfs.builder.compare.annotations import uncarried
from klpfs.builder.compare.changes import ClassChange, ScopeChange, compare_modules, same_class
from klpfs.builder.compare.statements import Statement
from klpfs.builder.plan import class_makers
from klpfs.builder.plan.attribute_uses import shown
from klpfs.builder.plan.caches import computed_by
from klpfs.builder.plan.class_statement import plan_class, uses_of
from klpfs.builder.plan.dataclass_fields import is_described
from klpfs.builder.plan.dependents import built_in_steps, dependent_statements, rebound_names
from klpfs.builder.plan.dynamic_attributes import names_set_by
from klpfs.builder.plan.function_plans import FunctionPlanner
from klpfs.builder.plan.plans import ImportWork, ModulePlan, Refusal
from klpfs.builder.plan.statement_effects import acts_outside, is_harmless, keys_removed, makes_value, short_text
from klpfs.builder.read.modules import CommonPair
from klpfs.builder.read.old_definitions import Definition

# What a version says of itself: the program goes on being the version that was started, with a fix.
OF_RELEASE = frozenset("""__version__ __version_info__ version version_info VERSION __date__ __build__ __copyright__
    __author__ __license__ __credits__ __email__ __releasedate__ version_tuple __version_tuple__ RELEASE vernum
    __commit_id__ commit_id""".split())
_MADE_ANEW = "made anew of what changed"

Readers = Callable[[str], "list[ast.Module]"]       # attribute -> NEW's modules that mention it


@define
class ChangedImports:
    """Imports of a module whose values other modules have changed. names: those that the module binds by imports.
    attributes: (name of an imported module, attribute of that module) that the module may use."""

    names: set[str] = field(factory=set)
    attributes: set[tuple[str, str]] = field(factory=set)

    def add(self, other: ChangedImports) -> bool:
        """Adds names and attributes of `other`. Returns whether any was new."""
        if other.names <= self.names and other.attributes <= self.attributes:
            return False
        self.names |= other.names
        self.attributes |= other.attributes
        return True


class Planner:
    """Plans a module that both versions have. definitions: old_definitions.definitions of OLD's module.
    readers(attribute): NEW's trees, of the whole package, that mention an attribute."""

    def __init__(self, pair: CommonPair, definitions: list[Definition], imports: ChangedImports,
                 readers: Readers) -> None:
        change = compare_modules(pair.old.tree, pair.new.tree)
        work, later = ImportWork(change.new_scope), ImportWork(change.new_scope)
        self.plan = ModulePlan(pair.name, pair.old, pair.new, change, work, later)
        self.functions = FunctionPlanner(self.plan, definitions)
        self.imports, self.readers = imports, readers

    def make(self) -> ModulePlan:
        """The plan, with all that follows from one change in the module."""
        self._scope(self.plan.change, set())
        self._class_makers()
        self._rename_attributes()
        self._run_when_complete()
        self.plan.annotations = uncarried(self.plan.old.tree, self.plan.new.tree)
        return self.plan

    def _run_when_complete(self) -> None:
        """Unchanged statements whose values are computed by functions that change."""
        plan = self.plan
        functions = {func.name for func in plan.funcs if "." not in func.name}
        for statement in plan.change.new_scope.statements if functions else ():
            if statement.assigns and statement.binds and statement not in plan.at_import.statements_to_run and (
                    computed_by(plan.new.tree, statement.node, functions)
                    and not self._says_version(statement, plan.change)):
                plan.when_complete.statements_to_run[statement] = "computed by what changed"

    # -- a scope

    def _scope(self, change: ScopeChange, changed_outside: set[str]) -> None:
        """Plans a scope and the classes in it. changed_outside: names of the scopes around it that have other values in
        NEW."""
        to_run = self._differences(change)
        change.to_run = list(to_run)
        changed = rebound_names(change) | {name for name in changed_outside if name not in change.new_scope.bound}
        if not isinstance(change, ClassChange):
            changed |= self._import_again(change, to_run)
            changed |= {f"{name}.{attribute}" for name, attribute in self.imports.attributes}
        again, new_defaults = dependent_statements(change.new_scope, to_run, changed)
        to_run.update((statement, _MADE_ANEW) for statement in again if not self._says_version(statement, change))
        self._where_absent(change, to_run)
        self._run(change, to_run)
        for function in change.functions:
            self.functions.changed(function, changed)
        differing = {function.new for function in change.functions}
        for statement in new_defaults:
            if statement not in differing:
                self.functions.new_defaults(change, statement, changed)
        self._classes(change, changed)
        self._gone(change)

    def _where_absent(self, change: ScopeChange, to_run: dict[Statement, str]) -> None:
        """Functions that OLD defines under other conditions are defined where the program does not have them."""
        for function in change.functions:
            if "conditions" in function.what and function.new not in to_run:
                to_run[function.new] = "its conditions changed"
                self.plan.at_import.if_absent[function.new] = function.name

    def _differences(self, change: ScopeChange) -> dict[Statement, str]:
        """{statement: why it runs} of what differs in a scope itself."""
        bound = change.old_scope.bound
        to_run = {statement: "changed" if statement.binds & bound else "new" for statement in change.to_run
                  if not self._says_version(statement, change)}
        if self.plan.name.endswith("__main__"):  # a statement that only acts would start the program again
            to_run = {statement: why for statement, why in to_run.items()
                      if statement.kind != "statement" or statement.binds}
            change.gone = [statement for statement in change.gone if statement.kind != "statement" or statement.binds]
        names, steps = built_in_steps(change)
        change.gone = [statement for statement in change.gone
                       if not statement.changes_in_place() or statement.changes_in_place() - names]
        for statement in steps:
            to_run.setdefault(statement, _MADE_ANEW)
        for function in change.functions:
            made_by_statement = function.what & {"decorators", "flavour"}
            if made_by_statement:
                to_run[function.new] = f"its {' and '.join(sorted(made_by_statement))} changed"
        return to_run

    def _import_again(self, change: ScopeChange, to_run: dict[Statement, str]) -> set[str]:
        """Makes unchanged imports run again that take names with other values. Returns the names that they bind."""
        found: set[str] = set()
        for statement in change.new_scope.statements:
            if statement in to_run:
                continue
            if statement.kind == "import" and statement.binds & self.imports.names:
                to_run[statement] = _MADE_ANEW
                found |= statement.binds
                if "*" in statement.binds:
                    self.plan.rebound_by_star |= self.imports.names - change.new_scope.bound_behind(statement.line)
                    found |= self.plan.rebound_by_star
        return found

    def _says_version(self, statement: Statement, change: ScopeChange) -> bool:
        """Whether a statement of a module binds only what the release says of itself; if so, a note says that it is
        left out."""
        if statement.kind != "statement" or isinstance(change, ClassChange) or not (
                statement.binds and statement.binds <= OF_RELEASE):
            return False
        self.plan.notes.append(f"{', '.join(sorted(statement.binds))} of {self.plan.name} stays what was loaded")
        return True

    def _run(self, change: ScopeChange, to_run: dict[Statement, str]) -> None:
        """Makes statements run when the patch goes in, with what ImportTime has to know of them."""
        work = self.plan.at_import
        in_class = isinstance(change, ClassChange)
        old_by_name = {name: statement for statement in change.old_scope.statements for name in statement.binds}
        for statement, why in to_run.items():
            work.statements_to_run.setdefault(statement, why)
            if statement.kind == "statement" and not statement.assigns or statement.changes_in_place():
                self._watch(change, statement)
            for name in sorted(statement.binds):
                old = old_by_name.get(name)
                if old is None:
                    continue
                whole = change.qualified(name)
                if old.kind == "class" and statement.kind == "import" and not in_class:
                    work.moved_classes.add(name)
                # a class's plain values are known elsewhere by no name
                if (not in_class or old.kind != "statement") and makes_value(old) and (
                        whole not in self.plan.rebind_copies_of):
                    self.plan.rebind_copies_of.append(whole)
                keys = keys_removed(old.node, statement.node, name)
                if keys is not None:
                    work.removed_keys[whole] = keys
        if isinstance(change, ClassChange) and to_run:
            work.amend(change)

    def _watch(self, change: ScopeChange, statement: Statement) -> None:
        """A statement that does more than bind names acts on objects: on those that it names."""
        for name in sorted(statement.reads):
            if name not in self.plan.watched_names and (
                    isinstance(change, ClassChange) or name in change.new_scope.bound):
                self.plan.watched_names.append(name)

    def _gone(self, change: ScopeChange) -> None:
        """Plans what NEW has no more: statements and names."""
        plan = self.plan
        for statement in change.gone:
            if isinstance(statement.node, ast.Delete):
                plan.notes.append(f"`{short_text(statement.node)}` of {plan.name} is no more: "
                                  "what it had deleted does not come back")
            if not statement.binds and not is_harmless(statement.node):
                keep = plan.refuse_old if acts_outside(statement.node, plan.old.tree) else plan.leave_to_proof
                keep(statement.node, f"the statement `{short_text(statement.node)}` is no more",
                     "what it did when it ran can't be taken back automatically")
        bound = change.new_scope.bound
        for name in change.removed_names:
            if name in OF_RELEASE and not isinstance(change, ClassChange) or name in bound:
                continue
            if all(statement.kind == "import" for statement in change.old_scope.statements if name in statement.binds):
                plan.notes.append(f"{plan.name} still holds the import '{name}'")
            else:
                plan.removed_names.append(change.qualified(name))

    # -- classes

    def _classes(self, change: ScopeChange, changed: set[str]) -> None:
        """Plans the classes of a scope that both versions have. changed: names with other values in NEW."""
        differing = {inner.statement: inner for inner in change.classes}
        for key, statement in change.new_scope.classes.items():
            old = change.old_scope.classes.get(key)
            if old is None or statement in self.plan.at_import.statements_to_run:
                continue
            decided = names_set_by(statement.node, changed)
            if decided is not None:
                self.plan.refused.append(Refusal(
                    f"class {change.qualified(statement.node.name)}", f"its constructor sets attributes whose names "
                    f"'{decided[0]}' decides, which is another: objects made before have those that it named",
                    decided[1], self.plan.new.path))
            inner = differing.get(statement)
            if inner is not None:
                self._class_statement(inner)
                self._unhashable(inner)
                self._scope(inner, changed)
            elif statement.used_any(changed):
                self._scope(same_class(change.qualified(statement.node.name), old.node, statement), changed)

    def _class_statement(self, change: ClassChange) -> None:
        """Plans what changes of a class beside the statements of its body."""
        plan, found = self.plan, plan_class(change, self.readers)
        plan.refused += [refusal.in_file(plan.new.path) for refusal in found.refused]
        plan.notes += found.notes
        plan.removed_names += found.removed
        if found.generated_names:
            change.to_run = [statement for statement in change.to_run if not _is_field(statement.node)]
            change.removed_names = [name for name in change.removed_names if name not in found.generated_names]
        if found.lines_inside or found.blocks_after:
            plan.at_import.classes_to_amend[change.new] = found
        if found.constructor is not None:
            old = [each.node for each in change.old_scope.functions.values() if each.node.name == "__init__"]
            self.functions.constructor(change.qualified("__init__"), old[0] if old else None, found.constructor)
        plan.at_import.renamed_attributes.update(found.renamed_attributes)

    def _class_makers(self) -> None:
        """Refuses what changes of classes whose makers read it; has the program asked where the text does not say who
        they are."""
        plan = self.plan
        run = {statement.node for statement in plan.at_import.statements_to_run}
        trees = plan.old.tree, plan.new.tree
        known = {node.name: node for tree in trees for node in tree.body if isinstance(node, ast.ClassDef)}
        for change in class_makers.pairs(plan.old.tree.body, plan.new.tree.body):
            if change.new in run:
                continue
            makers = {class_makers.maker(node, known) for node in (change.old, change.new)} - {""}
            maker = min(makers - {class_makers.UNKNOWN}, default="")
            if maker:
                fields = class_makers.differing_members(change.old, change.new, maker)
            else:
                fields = class_makers.differing_fields(change.old, change.new) if makers else {}
            names = ", ".join(sorted(fields))
            if fields and maker:
                plan.refused.append(Refusal(f"class {change.name}: {names}", f"{maker} reads it only when a class is "
                                            "made", min(fields.values()), plan.new.path))
            elif fields:
                plan.at_import.fields_of_bases[change.name] = names

    def _unhashable(self, change: ClassChange) -> None:
        """A class statement that has __eq__ and no __hash__ makes its objects unhashable."""
        before, after = ({"__eq__", "__hash__"} & scope.bound for scope in (change.old_scope, change.new_scope))
        if after == {"__eq__"} and before != after:
            self.plan.at_import.amend(change).lines_inside.append("__hash__ = None")
        elif before == {"__eq__"} and not after:
            self.plan.removed_names.append(change.qualified("__hash__"))

    def _rename_attributes(self) -> None:
        """Plans the functions of the module that use an attribute which has another name in new code."""
        plan, renamed = self.plan, self.plan.at_import.renamed_attributes
        for name in renamed:
            if len(self.readers(name)) > 1:
                plan.refuse(plan.new.tree, f"attribute {name}",
                            "it has another form now, and other modules use it, too")
            string = shown(plan.new.tree, name)
            if string is not None:
                plan.refuse(string, f"attribute {name}",
                            "it has another form now, new code uses another attribute, and this string shows its name")
        planned = {func.node for func in plan.funcs}
        for change in plan.change.walk() if renamed else ():
            for key, statement in change.new_scope.functions.items():
                old = change.old_scope.functions.get(key)
                if old is not None and statement.node not in planned and uses_of(renamed, statement.node) and (
                        statement not in plan.at_import.statements_to_run):
                    name = change.qualified(statement.node.name)
                    self.functions.uses_renamed_attribute(name, old.node, statement.node)


def _is_field(node: ast.stmt) -> bool:
    """An annotated name that a decorator makes something of, and that is no attribute of the class."""
    return isinstance(node, ast.AnnAssign) and (node.value is None or is_described(node.value))
