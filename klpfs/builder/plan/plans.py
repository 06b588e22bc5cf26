"""Plans: what the builder decides about a release, module by module, as records that the writing step puts into
text."""
from __future__ import annotations

import ast
from typing import Any

from attrs import define, evolve, field

from klpfs.builder.compare.changes import ClassChange, ScopeChange
from klpfs.builder.compare.statements import Scope, Statement
from klpfs.builder.read.modules import Module
from klpfs.builder.read.old_definitions import Definition
from klpfs.builder.syntax import FunctionNode


@define(frozen=True)
class Refusal:
    """A change that is not carried. what, why: for people. path, line: where it stands; line 0: all of the file."""

    what: str
    why: str
    line: int = 0
    path: str = ""

    @property
    def place(self) -> str:
        """FILE:LINE, or FILE."""
        return f"{self.path}:{self.line}" if self.line else self.path

    def in_file(self, path: str) -> Refusal:
        """The refusal, of a file."""
        return evolve(self, path=path)


@define(frozen=True)
class Carried:
    """A value of a live object to be put in, in the words of the livepatch's file: ImportTime's `carried`. module:
    whose name the path begins at."""

    module: str
    path: str
    was: str
    becomes: str

    @property
    def is_by_name(self) -> bool:
        """Whether no literal is put in that might be of the machine that builds: but names of the program's, an order,
        or a text that stands in the source."""
        return self.becomes.startswith(("Named(", "CodeOf(", "Keys(")) or self.path.endswith("__doc__")

    @property
    def text(self) -> str:
        return f"({self.path!r}, {self.was}, {self.becomes})"


@define(eq=False)
class FuncPlan:
    """A Func to be written: NEW's function in the place of OLD's. name: qualified. reason: for the comment.

    kept_defaults: parameters whose default stays the old object. later_defaults: parameters whose default is evaluated
    in the module. prelude: statements that come first, for closures that lack what these compute. generated: the node
    is no part of NEW's text. optional: OLD defines the function under a condition. """

    name: str
    node: FunctionNode
    definition: Definition
    reason: str = ""
    kept_defaults: set[str] = field(factory=set)
    later_defaults: set[str] = field(factory=set)
    prelude: list[ast.stmt] = field(factory=list)
    generated: bool = False
    optional: bool = False


@define(eq=False)
class ClassPlan:
    """The amendments of a class that is loaded, beside the statements of its body that run.

    lines_inside: lines of the class's block. blocks_after: texts that follow the block. renamed_attributes: {attribute:
    the name that new code uses}. constructor: a definition to be put in the place of the constructor that is loaded, or
    None. generated_names: names that the class's decorators make, which are therefore not removed. names_after,
    removed: names of the module that blocks_after bind, and that go. notes: what is left as it is. """

    change: ClassChange
    lines_inside: list[str] = field(factory=list)
    blocks_after: list[str] = field(factory=list)
    renamed_attributes: dict[str, str] = field(factory=dict)
    constructor: ast.FunctionDef | None = None
    generated_names: set[str] = field(factory=set)
    names_after: set[str] = field(factory=set)
    removed: list[str] = field(factory=list)
    refused: list[Refusal] = field(factory=list)
    notes: list[str] = field(factory=list)

    def refuse(self, what: str, why: str) -> None:
        """Adds a change of the class statement that is not carried."""
        self.refused.append(Refusal(what, why, self.change.new.lineno))


@define(eq=False)
class ImportWork:
    """The work of a function for ImportTime, as if at a module's top level. scope: the module's body in NEW.

    statements_to_run: {statement: why it runs, or ''}. classes_to_amend: {class statement of NEW: its plan}, classes in
    whose block something runs or that change themselves. removed_keys: {table: keys that NEW's table has no more}, as
    klp.removes. star_names: {from-import of '*': the names that it brings; [] where the source does not say}.
    renamed_attributes: {attribute: the name that new code uses}. moved_classes: OLD's classes that NEW has from another
    module. fields_of_bases: {class whose bases the text does not say all of: its annotated names that differ}.
    if_absent: {function that the program may have: its qualified name}. """

    scope: Scope
    statements_to_run: dict[Statement, str] = field(factory=dict)
    classes_to_amend: dict[ast.ClassDef, ClassPlan] = field(factory=dict)
    removed_keys: dict[str, list[Any]] = field(factory=dict)
    star_names: dict[ast.stmt, list[str]] = field(factory=dict)
    renamed_attributes: dict[str, str] = field(factory=dict)
    moved_classes: set[str] = field(factory=set)
    fields_of_bases: dict[str, str] = field(factory=dict)
    if_absent: dict[Statement, str] = field(factory=dict)

    def __bool__(self) -> bool:
        return bool(self.statements_to_run or self.classes_to_amend or self.fields_of_bases)

    def amend(self, change: ClassChange) -> ClassPlan:
        """The plan of a class, made if the work has none of it."""
        return self.classes_to_amend.setdefault(change.new, ClassPlan(change))

    @property
    def own_statements(self) -> list[Statement]:
        """The statements to run that stand in the module's body, not in a class."""
        own = set(self.scope.statements)
        return [statement for statement in self.statements_to_run if statement in own]

    @property
    def bound_names(self) -> set[str]:
        """Names of the module that the work binds."""
        found: set[str] = set()
        for statement in self.own_statements:
            found |= statement.binds - {"*"}
            for node in ast.walk(statement.node) if statement.kind in ("import", "statement") else ():
                if isinstance(node, ast.ImportFrom):
                    found.update(self.star_names.get(node, ()))
        for plan in self.classes_to_amend.values():
            found |= {plan.change.name.partition(".")[0]} | plan.names_after
        return found


@define(eq=False)
class Cache:
    """A place where a module keeps what it has computed. text: as cpython/import_time/caches.py names it.

    reads: names of globals and attributes that the content may be made of; reads_any: any attribute of the class.
    making: statements that make the content, where a constructor does: nobody else would make it for objects that are
    alive; holder: the name that these statements have for the object. """

    text: str
    module: Module
    reads: set[str]
    reads_any: bool = False
    making: list[ast.stmt] = field(factory=list)
    holder: str = ""


@define(eq=False)
class ModulePlan:
    """An Object of the patch to be written.

    at_import: what runs when the patch goes in. when_complete: what runs when its transition is complete: statements
    whose values functions of the patch compute. rebind_copies_of, removed_names, watched_names: ImportTime's
    `everywhere`, `removed` and `watch`. together: likewise, the names that change together with the functions.
    new_modules: modules that only NEW has, to be importable with this object. closures: [(qualified name, OLD's line)]
    of functions made by calls that can't get NEW's code, of which none may be alive. gone: statements of OLD that NEW
    has not, to be refused unless a proof shows that nothing of them is left.
    notes: what is left as it is. annotations: [(line, words)] of what keeps its annotations. rebound_by_star: names
    that `import *` takes and that have other values in NEW. """

    name: str
    old: Module
    new: Module
    change: ScopeChange
    at_import: ImportWork
    when_complete: ImportWork
    funcs: list[FuncPlan] = field(factory=list)
    rebind_copies_of: list[str] = field(factory=list)
    removed_names: list[str] = field(factory=list)
    watched_names: list[str] = field(factory=list)
    together: list[str] = field(factory=list)
    new_modules: list[Module] = field(factory=list)
    caches: list[Cache] = field(factory=list)
    closures: list[tuple[str, int]] = field(factory=list)
    gone: list[Refusal] = field(factory=list)
    refused: list[Refusal] = field(factory=list)
    notes: list[str] = field(factory=list)
    annotations: list[tuple[int, str]] = field(factory=list)
    rebound_by_star: set[str] = field(factory=set)

    def refuse(self, node: ast.AST, what: str, why: str) -> None:
        """Adds a change of NEW that is not carried."""
        self.refused.append(Refusal(what, why, getattr(node, "lineno", 1), self.new.path))

    def refuse_old(self, node: ast.stmt, what: str, why: str) -> None:
        """Adds a statement of OLD whose end is not carried."""
        self.refused.append(Refusal(what, why, node.lineno, self.old.path))

    def leave_to_proof(self, node: ast.stmt, what: str, why: str) -> None:
        """Adds a statement of OLD whose end is right only where a proof shows that it is."""
        self.gone.append(Refusal(what, why, node.lineno, self.old.path))

    def settle_gone(self, is_proved: bool) -> None:
        """Refuses what is left to a proof where there is none; else notes it."""
        if not is_proved:
            self.refused += self.gone
            self.gone = []
        self.notes += [f"{gone.what} in {self.name}: what it had made is gone, as a proof has shown; what it did "
                       "outside of the process stays" for gone in self.gone]

    @property
    def rebound_names(self) -> set[str]:
        """Names whose value this plan changes. Modules that did `from X import NAME` still hold the old value."""
        return {name for statement in self.at_import.own_statements if statement.kind != "class"
                for name in statement.binds if name in self.change.old_scope.bound} | self.rebound_by_star

    @property
    def rebound_attributes(self) -> set[str]:
        """Class attributes whose value this plan changes, without their classes."""
        return {name for plan in self.at_import.classes_to_amend.values()
                for statement in self.at_import.statements_to_run
                if statement in plan.change.new_scope.statements and statement.kind == "statement"
                for name in statement.binds if name in plan.change.old_scope.bound}

    @property
    def is_empty(self) -> bool:
        """Whether the module needs no Object."""
        return not (self.funcs or self.at_import or self.removed_names or self.refused or self.new_modules or self.gone)
