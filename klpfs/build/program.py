"""All modules of a release together: what changes in one concerns those that import it."""
import ast
import typing

from klpfs.build.modules import Pair, Pairs, module_name, parse, read
from klpfs.build.order import imported_from
from klpfs.build.plan import ModulePlan, Planner
from klpfs.build.prints import Definition, definitions
from klpfs.build.scope import Scope, parse_scope


class Program:
    """pairs: of both versions. pythons: as prints.definitions has them."""

    def __init__(self, pairs: Pairs, pythons: "typing.Sequence[str]"):
        self.pairs, self.pythons = pairs, pythons
        self.by_name = {each.name: each for each in pairs.changed if each.old is not None and each.new is not None}
        self.definitions: "dict[str, list[Definition]]" = {}
        self._texts: "typing.Optional[dict[str, bytes]]" = None
        self._scopes: "dict[str, Scope]" = {}

    def plans(self) -> "list[ModulePlan]":
        """One for each module in which something is to be done, until no name that one imports changes any more."""
        found: "dict[str, ModulePlan]" = {}
        concerned: "dict[str, tuple[set, set]]" = {name: (set(), set()) for name in self.by_name}
        todo = list(self.by_name)
        self._define(todo)
        while todo:
            name = todo.pop(0)
            was = found[name].others if name in found else set()
            plan = found[name] = Planner(self.by_name[name], self.definitions[name], *concerned[name]).make()
            for other, names, attributes in self._importers(name, plan.others - was):
                known = concerned.setdefault(other, (set(), set()))
                if names <= known[0] and attributes <= known[1]:
                    continue
                known[0].update(names)
                known[1].update(attributes)
                if other not in todo:
                    todo.append(other)
                self._define([other])
        return [plan for plan in found.values() if not plan.empty]

    def _define(self, names: "typing.Iterable[str]") -> None:
        new = {name: self.pairs.old.files[self._path(name)] for name in names if name not in self.definitions}
        if new:
            self.definitions.update(definitions(new, self.pythons))

    def _path(self, name: str) -> str:
        pair = self.by_name[name]
        return pair.old.path.rpartition(": ")[2]

    def _importers(self, name: str, others: "set[str]") -> "list[tuple[str, set, set]]":
        """(module, names that it imports from `name`, (name of the module, attribute) that it may use) of who does."""
        if not others:
            return []
        words = [each.encode() for each in others]
        found = []
        for path, text in self.texts.items():
            if not any(word in text for word in words):
                continue
            other = module_name(path)
            pair = self._pair(other, path)
            if pair is None or other == name:
                continue
            imported, attributes = set(), set()
            for leaf in self._scope(pair).leaves:
                if leaf.kind != "import":
                    continue
                bound = next(iter(leaf.binds))
                if isinstance(leaf.node, ast.ImportFrom):
                    source = imported_from(pair.new, leaf.node)
                    if source == name and leaf.alias.name in others:
                        imported.add(bound)
                    elif f"{source}.{leaf.alias.name}" == name:
                        attributes.update((bound, each) for each in others)
                elif leaf.alias.name == name and leaf.alias.asname:
                    attributes.update((bound, each) for each in others)
            if imported or attributes:
                found.append((other, imported, attributes))
        return found

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

    def _scope(self, pair: Pair) -> Scope:
        if pair.name not in self._scopes:
            self._scopes[pair.name] = parse_scope(pair.new.tree.body)
        return self._scopes[pair.name]
