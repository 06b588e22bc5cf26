"""All modules of a release together: what changes in one concerns those that import it."""
from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property

from attrs import define, frozen

from klpfs.builder.compare.names_in_code import names_bound
from klpfs.builder.plan.annotation_readers import decorators_of, may_read, reads_annotations
from klpfs.builder.plan.atomic import AtomicPlanner, ChangedValue
from klpfs.builder.plan.caches import caches_of, concerned
from klpfs.builder.plan.class_statement import global_members
from klpfs.builder.plan.flag_complements import any_inverts, changed_by_others
from klpfs.builder.plan.function_plans import FunctionPlanner
from klpfs.builder.plan.order import imported_from
from klpfs.builder.plan.planner import ChangedImports, Planner
from klpfs.builder.plan.plans import ModulePlan, Refusal
from klpfs.builder.read.modules import CommonPair, Module, Pairs, module_name, parse, path_of, read
from klpfs.builder.read.old_definitions import Definition, definitions
from klpfs.builder.syntax import DEFINITIONS, IMPORTS, is_for_types


@frozen
class ImportedName:
    """A name that an import at a module's top level binds. source: the module of a from-import, None of a plain import.
    name: what is imported. bound: the name in the importing module."""

    source: str | None
    name: str
    bound: str

    def is_module(self, module: str) -> bool:
        """Whether the bound name is that module itself, by whose attributes its names are used."""
        if self.source is not None:
            return f"{self.source}.{self.name}" == module
        return self.name == module and (self.bound != self.name.partition(".")[0] or "." not in module)


@define
class _Changes:
    """The names of a package whose values change. data: names of globals and class attributes, words: those that are
    worth a search. functions: their own names. attributes: class attributes are among the data. near: modules that the
    changed modules import from."""

    data: set[str]
    words: list[bytes]
    functions: set[str]
    attributes: bool
    near: set[str | None]

    @classmethod
    def of(cls, plans: list[ModulePlan], imports: Iterable[ImportedName]) -> _Changes:
        data = {name for plan in plans for name in plan.rebound_names | plan.rebound_attributes}
        return cls(data, [name.encode() for name in data if len(name) > 1],
                   {func.node.name for plan in plans for func in plan.funcs},
                   any(plan.rebound_attributes for plan in plans), {each.source for each in imports})

    def may_concern(self, module: str, text: bytes) -> bool:
        """Whether a module's text mentions what changes, or caches of functions, or, near by, attributes by whatever
        name."""
        return any(word in text for word in [b"lru_cache", b"functools.cache", b"cached_property", b"__subclasshook__",
                                               *self.words]) or (
            self.attributes and module in self.near and b"getattr" in text)


class PackagePlanner:
    """Plans all modules of a release. pythons: interpreters that the patch is to fit. together: values change together
    with the functions where they can.

    pairs_by_name: modules that both versions have, as far as they are parsed: those that differ, and those that import
    them. annotations: {file of NEW: ModulePlan.annotations}, values: values that change, once plans() has been called.
    """

    def __init__(self, pairs: Pairs, pythons: Sequence[str], together: bool = True) -> None:
        self.pairs, self.pythons, self.together = pairs, pythons, together
        self.pairs_by_name = pairs.common
        self.definitions: dict[str, list[Definition]] = {}
        self.annotations: dict[str, list[tuple[int, str]]] = {}
        self.values: list[ChangedValue] = []
        self._imported: dict[str, list[ImportedName]] = {}
        self._new_by_star: dict[str, set[str]] = {}     # names that modules get by `import *`

    def plans(self) -> list[ModulePlan]:
        """The plans of all modules in which something is to be done. A module is planned anew until no name that it
        imports changes any more."""
        found: dict[str, ModulePlan] = {}
        imports = {name: ChangedImports() for name in self.pairs_by_name}
        todo = list(self.pairs_by_name)
        self._define(todo)
        while todo:
            name = todo.pop(0)
            before = found[name].rebound_names if name in found else set()
            found[name] = self._plan(name, imports[name])
            rebound = found[name].rebound_names - before
            for importer, changed in [*self._importers(name, rebound), *self._star_importers(found[name])]:
                if imports.setdefault(importer, ChangedImports()).add(changed):
                    if importer not in todo:
                        todo.append(importer)
                    self._define([importer])
        self._place_new_modules(found)
        for plan in found.values():
            self._find_star_names(plan)
        self.values = AtomicPlanner(self, found).decide()
        self.annotations = {plan.new.file: plan.annotations for plan in found.values() if plan.annotations}
        for plan in found.values():
            self._refuse_annotations(plan)
        plans = [plan for plan in found.values() if not plan.is_empty]
        if plans:
            self._find_caches(plans)
        return plans

    def _parse(self, path: str, content: bytes | None = None) -> Module:
        """A module of NEW. content: of its file, read already."""
        return parse(self.pairs.new, path, content, self.pythons)

    def _plan(self, name: str, imports: ChangedImports) -> ModulePlan:
        plan = Planner(self.pairs_by_name[name], self.definitions[name], imports, self.readers).make()
        changed = list(changed_by_others(plan.change))
        for scope, statement in changed if changed and any_inverts(self.pythons) else ():
            plan.refuse(statement.node, f"{scope.qualified(min(statement.binds))} is made of a negative number",
                        "from CPython 3.15 on the new members beside it give it another value")
        return plan

    def plan_of(self, name: str) -> ModulePlan:
        """The plan of a module in which nothing changes by itself."""
        self._define([name])
        return self._plan(name, ChangedImports())

    def function_planner(self, plan: ModulePlan) -> FunctionPlanner:
        """What adds functions to a module's plan."""
        return FunctionPlanner(plan, self.definitions[plan.name])

    def imports_of(self, name: str) -> list[ImportedName]:
        """The names that a module, which both versions have, imports at its top level."""
        path = path_of(name, self.texts)
        return [] if path is None else self._imports(name, path)

    def _refuse_annotations(self, plan: ModulePlan) -> None:
        """Refuses annotations that differ where code near by looks at them."""
        reader = self._reader_of_annotations(plan.name) if plan.annotations else ""
        plan.refused += [Refusal(f"annotations of {words}", f"they are not carried, and {reader} reads annotations",
                                 line, plan.new.path) for line, words in plan.annotations if reader]

    def _reader_of_annotations(self, name: str) -> str:
        """FILE:LINE of the first code that reads annotations, of a module, those that it imports from, and those that
        import it; '': none does."""
        sources = {each for imported in self.imports_of(name)
                   for each in (imported.source, imported.name, f"{imported.source}.{imported.name}")}
        last_name = name.rpartition(".")[2].encode()
        decorators = decorators_of(self.pairs_by_name[name].new.tree)
        for path, text in self.texts.items():
            other = module_name(path)
            if may_read(text) and (other == name or other in sources or last_name in text and any(
                    each.source == name or each.is_module(name) for each in self._imports(other, path))):
                line = reads_annotations(self._pair(other, path).new.tree, decorators)
                if line:
                    return f"{path}:{line}"
        return ""

    def _find_caches(self, plans: list[ModulePlan]) -> None:
        """Gives to plans the caches of what the package has computed from anything that changes: a module's own to its
        plan, those of others to the first, for ImportTime empties the caches of all objects together."""
        changes = _Changes.of(plans, (each for plan in plans for each in self._imports(plan.name, plan.new.file)))
        for path, text in self.texts.items():
            name = module_name(path)
            if not changes.may_concern(name, text):
                continue
            module = self.pairs_by_name[name].new if name in self.pairs_by_name else self._parse(path)
            owner = next((plan for plan in plans if plan.name == name), plans[0])
            owner.caches += concerned(caches_of(module), changes.data, changes.functions,
                                      changes.attributes and name in changes.near)

    def _place_new_modules(self, found: dict[str, ModulePlan]) -> None:
        """A module that only NEW has comes with the package it lies in: that is loaded before the module can be
        imported."""
        new = {pair.name: pair.new for pair in self.pairs.changed if pair.old is None and pair.new is not None}
        for name, module in new.items():
            parent = name.rpartition(".")[0]
            while parent in new:
                parent = parent.rpartition(".")[0]
            if not parent:  # a new package of its own: it comes with whoever may import it
                parent = next(iter(found), "")
            path = path_of(parent, self.texts)
            if parent not in found and path is not None:
                self._pair(parent, path)
                self._define([parent])
                found[parent] = self._plan(parent, ChangedImports())
            if parent in found:
                found[parent].new_modules.append(module)

    def _find_star_names(self, plan: ModulePlan) -> None:
        """Finds what `import *` brings; names that have moved to where it takes them from are not removed."""
        for module in [plan.new] + plan.new_modules:
            for node in top_level(module.tree):
                if isinstance(node, ast.ImportFrom) and node.names[0].name == "*":
                    names = self._public_names(imported_from(module, node))
                    if module is plan.new:      # what is bound behind it is the module's own
                        later = plan.change.new_scope.bound_behind(node.lineno)
                        names = [name for name in names if name not in later]
                    plan.at_import.star_names[node] = names
                    if module is plan.new:
                        plan.removed_names = [name for name in plan.removed_names if name not in names]

    def _public_names(self, name: str) -> list[str]:
        """The names that `from name import *` takes of a module of NEW; [] where its source does not say."""
        path = path_of(name, self.pairs.new.files)
        if path is None:
            return []
        module = self._parse(path)
        every = list(top_level(module.tree))
        never_run = {id(inner) for node in every if isinstance(node, ast.If) and is_for_types(node)
                     for statement in node.body for inner in ast.walk(statement)}
        names = global_members(every)
        for node in every:
            if id(node) in never_run:
                continue
            if isinstance(node, ast.ImportFrom) and node.names[0].name == "*":
                names.update(self._public_names(imported_from(module, node)))
            elif isinstance(node, ast.Assign) and "__all__" in [getattr(target, "id", "") for target in node.targets]:
                try:
                    return sorted(ast.literal_eval(node.value))
                except ValueError:
                    return []
            elif not isinstance(node, (ast.If, ast.Try, ast.With, ast.For, ast.While, ast.ExceptHandler)):
                names |= names_bound(node)
        return sorted(name for name in names if not name.startswith("_"))

    def readers(self, attribute: str) -> list[ast.Module]:
        """The modules of NEW, of those that both versions have, that mention an attribute."""
        mention = re.compile(rb"\.%s\b" % attribute.encode())
        return [self._parse(path, text).tree for path, text in self.texts.items() if mention.search(text)]

    def _define(self, names: Iterable[str]) -> None:
        """Reads OLD's definitions of modules, if that is not done yet."""
        files = {name: self.pairs.old.files[self.pairs_by_name[name].old.file]
                 for name in names if name not in self.definitions}
        if files:
            self.definitions.update(definitions(files, self.pythons))

    def _importers(self, name: str, changed: set[str]) -> Iterator[tuple[str, ChangedImports]]:
        """The modules that import from a module some of its changed names, or the module itself."""
        words, last_name = [word.encode() for word in changed], name.rpartition(".")[2].encode()
        for path, text in self.texts.items() if changed else ():
            importer = module_name(path)
            if importer == name or last_name not in text and b"from ." not in text or not (
                    b"*" in text or any(word in text for word in words)):
                continue
            found = ChangedImports()
            for imported in self._imports(importer, path):
                if imported.source == name and imported.name in changed:
                    found.names.add(imported.bound)
                elif imported.source == name and imported.name == "*":
                    found.names |= changed | {"*"}
                elif imported.is_module(name):
                    found.attributes.update((imported.bound, attribute) for attribute in changed)
            if found.names or found.attributes:
                yield importer, found

    def _star_importers(self, plan: ModulePlan) -> Iterator[tuple[str, ChangedImports]]:
        """The modules that import '*' from a module that has new names."""
        scopes = plan.change.new_scope, plan.change.old_scope
        new = {name for name in scopes[0].bound - scopes[1].bound if name != "*"}
        new |= global_members(top_level(plan.new.tree)) - global_members(top_level(plan.old.tree))
        new |= self._new_by_star.get(plan.name, set())
        for path, text in self.texts.items() if new else ():
            importer = module_name(path)
            if b"*" in text and b"import" in text and importer != plan.name and any(
                    each.source == plan.name and each.name == "*" for each in self._imports(importer, path)):
                self._new_by_star.setdefault(importer, set()).update(new)
                yield importer, ChangedImports(names={"*"})

    def _imports(self, name: str, path: str) -> list[ImportedName]:
        """The names that a module imports at its top level."""
        if name not in self._imported:
            module = self._pair(name, path).new
            self._imported[name] = [imported for node in top_level(module.tree) if isinstance(node, IMPORTS)
                                    for imported in _names_of(module, node)]
        return self._imported[name]

    @cached_property
    def texts(self) -> dict[str, bytes]:
        """The Python files that both versions have, as NEW has them."""
        return {path: read(where) for path, where in self.pairs.new.files.items()
                if path.endswith(".py") and path in self.pairs.old.files}

    def _pair(self, name: str, path: str) -> CommonPair:
        if name not in self.pairs_by_name:
            old = parse(self.pairs.old, path, pythons=self.pythons)
            self.pairs_by_name[name] = CommonPair(name, old, self._parse(path))
        return self.pairs_by_name[name]


def _names_of(module: Module, node: ast.Import | ast.ImportFrom) -> Iterator[ImportedName]:
    source = imported_from(module, node) if isinstance(node, ast.ImportFrom) else None
    for alias in node.names:
        bound = alias.asname or (alias.name if source is not None else alias.name.partition(".")[0])
        yield ImportedName(source, alias.name, bound)


def top_level(tree: ast.Module) -> Iterator[ast.stmt | ast.excepthandler]:
    """All statements of a module's top level, conditions looked through."""
    todo: list[ast.stmt | ast.excepthandler] = list(reversed(tree.body))
    while todo:
        node = todo.pop()
        yield node
        if not isinstance(node, DEFINITIONS):
            todo += [inner for inner in ast.iter_child_nodes(node) if isinstance(inner, (ast.stmt, ast.excepthandler))]
