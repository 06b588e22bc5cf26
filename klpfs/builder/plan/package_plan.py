"""All modules of a release together: what changes in one concerns those that import it."""
import ast
import re
import typing

from klpfs.builder.plan.caches import caches_of, concerned, SIGNS
from klpfs.builder.read.modules import module_name, Pair, Pairs, parse, read
from klpfs.builder.plan.order import imported_from
from klpfs.builder.plan.planner import ModulePlan, Planner
from klpfs.builder.read.old_definitions import Definition, definitions
from klpfs.builder.compare.equivalence import FUNCTIONS
from klpfs.builder.compare.statements import bound_by


class Program:
    """pairs: of both versions. pythons: as prints.definitions has them."""

    def __init__(self, pairs: Pairs, pythons: "typing.Sequence[str]"):
        self.pairs, self.pythons = pairs, pythons
        self.by_name = {each.name: each for each in pairs.changed if each.old is not None and each.new is not None}
        self.definitions: "dict[str, list[Definition]]" = {}
        self._texts: "typing.Optional[dict[str, bytes]]" = None
        self._imported: "dict[str, list]" = {}

    def plans(self) -> "list[ModulePlan]":
        """One for each module in which something is to be done, until no name that one imports changes any more."""
        found: "dict[str, ModulePlan]" = {}
        concerned: "dict[str, tuple[set, set]]" = {name: (set(), set()) for name in self.by_name}
        todo = list(self.by_name)
        self._define(todo)
        while todo:
            name = todo.pop(0)
            was = found[name].others if name in found else set()
            plan = found[name] = Planner(self.by_name[name], self.definitions[name], *concerned[name], self.readers).make()
            for other, names, attributes in self._importers(name, plan.others - was):
                known = concerned.setdefault(other, (set(), set()))
                if names <= known[0] and attributes <= known[1]:
                    continue
                known[0].update(names)
                known[1].update(attributes)
                if other not in todo:
                    todo.append(other)
                self._define([other])
        self._place_new(found)
        for plan in found.values():
            for module in [plan.new] + plan.modules:
                for node in statements(module.tree):
                    if isinstance(node, ast.ImportFrom) and node.names[0].name == "*":
                        plan.stars[id(node)] = self._public(imported_from(module, node))
        plans = [plan for plan in found.values() if not plan.empty]
        self._find_caches(plans)
        return plans

    def _find_caches(self, plans: "list[ModulePlan]") -> None:
        """The first object's ImportTime empties what the package has computed from anything that changes."""
        data = {name for plan in plans for name in plan.others | plan.attributes}
        functions = {func.node.name for plan in plans for func in plan.funcs}
        attributes = any(plan.attributes for plan in plans)
        near = {source for plan in plans for source, _, _ in self._imports(plan.name, plan.new.file)}
        words = [each.encode() for each in data if len(each) > 1]
        for path, text in self.texts.items():
            name = module_name(path)
            if b"lru_cache" not in text and b"functools.cache" not in text and not any(word in text for word in words) and not (
                    attributes and name in near and b"getattr" in text):
                continue
            if not any(sign in text for sign in SIGNS):
                continue
            module = self.by_name[name].new if name in self.by_name else parse(self.pairs.new, path)
            for each in concerned(caches_of(name, module.tree), data, functions, attributes and name in near):
                owner = next((plan for plan in plans if plan.name == name), plans[0])
                owner.caches.append((each, module))

    def _place_new(self, found: "dict[str, ModulePlan]") -> None:
        """A module that only NEW has comes with the package it lies in: that is loaded before it can be imported."""
        new = {each.name: each.new for each in self.pairs.changed if each.old is None}
        for name, module in new.items():
            parent = name.rpartition(".")[0]
            while parent in new:
                parent = parent.rpartition(".")[0]
            if not parent:  # a new package of its own: it comes with whoever may import it
                parent = next(iter(found), "")
            path = next((each for each in self.texts if module_name(each) == parent), None)
            if parent not in found and path is not None:
                self._pair(parent, path)
                self._define([parent])
                found[parent] = Planner(self.by_name[parent], self.definitions[parent], readers=self.readers).make()
            if parent in found:
                found[parent].modules.append(module)

    def _public(self, name: str) -> "list[str]":
        """The names that `from name import *` takes of a module of NEW; [] where its source does not say."""
        path = next((each for each in self.pairs.new.files if each.endswith(".py") and module_name(each) == name), None)
        if path is None:
            return []
        module = parse(self.pairs.new, path)
        names: "set[str]" = set()
        for node in statements(module.tree):
            if isinstance(node, ast.ImportFrom) and node.names[0].name == "*":
                names.update(self._public(imported_from(module, node)))
            elif isinstance(node, ast.Assign) and any(getattr(each, "id", None) == "__all__" for each in node.targets):
                try:
                    return sorted(ast.literal_eval(node.value))
                except ValueError:
                    return []
            elif not isinstance(node, (ast.If, ast.Try, ast.With, ast.For, ast.While, ast.ExceptHandler)):
                names |= bound_by(node)
        return sorted(each for each in names if not each.startswith("_"))

    def readers(self, attribute: str) -> "list[ast.Module]":
        """NEW's modules, of those that both versions have, that mention an attribute."""
        found = []
        for path, text in self.texts.items():
            if re.search(rb"\.%s\b" % attribute.encode(), text):
                found.append(parse(self.pairs.new, path, text).tree)
        return found

    def _define(self, names: "typing.Iterable[str]") -> None:
        new = {name: self.pairs.old.files[self._path(name)] for name in names if name not in self.definitions}
        if new:
            self.definitions.update(definitions(new, self.pythons))

    def _path(self, name: str) -> str:
        pair = self.by_name[name]
        return pair.old.file

    def _importers(self, name: str, others: "set[str]") -> "list[tuple[str, set, set]]":
        """(module, names that it imports from `name`, (name of the module, attribute) that it may use) of who does."""
        if not others:
            return []
        words, module = [each.encode() for each in others], name.rpartition(".")[2].encode()
        found = []
        for path, text in self.texts.items():
            if module not in text and b"from ." not in text or not any(word in text for word in words):
                continue
            other = module_name(path)
            if other == name:
                continue
            imported, attributes = set(), set()
            for source, alias, bound in self._imports(other, path):
                if source == name and alias in others:
                    imported.add(bound)
                elif f"{source}.{alias}" == name or source is None and alias == name and bound != alias.partition(".")[0]:
                    attributes.update((bound, each) for each in others)
                elif source is None and alias == name and "." not in name:
                    attributes.update((bound, each) for each in others)
            if imported or attributes:
                found.append((other, imported, attributes))
        return found

    def _imports(self, name: str, path: str) -> "list[tuple[typing.Optional[str], str, str]]":
        """(module that names are taken from or None, what is imported, name that it is bound to) at a module's top level."""
        if name not in self._imported:
            pair = self._pair(name, path)
            found = self._imported[name] = []
            for node in statements(pair.new.tree):
                if isinstance(node, (ast.Import, ast.ImportFrom)):
                    source = imported_from(pair.new, node) if isinstance(node, ast.ImportFrom) else None
                    for alias in node.names:
                        bound = alias.asname or (alias.name if source is not None else alias.name.partition(".")[0])
                        found.append((source, alias.name, bound))
        return self._imported[name]

    @property
    def texts(self) -> "dict[str, bytes]":
        """The Python files that both versions have, as NEW has them."""
        if self._texts is None:
            self._texts = {path: read(where) for path, where in self.pairs.new.files.items()
                           if path.endswith(".py") and path in self.pairs.old.files}
        return self._texts

    def _pair(self, name: str, path: str) -> typing.Optional[Pair]:
        if name not in self.by_name:
            self.by_name[name] = Pair(name, parse(self.pairs.old, path), parse(self.pairs.new, path))
        return self.by_name[name]


def statements(tree: ast.Module) -> "typing.Iterator[ast.stmt]":
    """All statements of the top level, conditions looked through."""
    todo = list(reversed(tree.body))
    while todo:
        node = todo.pop()
        yield node
        if not isinstance(node, FUNCTIONS + (ast.ClassDef,)):
            todo += [each for each in ast.iter_child_nodes(node) if isinstance(each, (ast.stmt, ast.excepthandler))]
