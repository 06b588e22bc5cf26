"""Two graphs side by side: where the objects of one process are otherwise than those of another, by the shortest path
from a module.

A pair of nodes is taken for equal while it is looked at, so circles end; breadth first, so each cause is found by its
shortest path, once. Plain values count for each place: 1 and 2 are a node each, wherever they are.
"""
from __future__ import annotations

import collections
import difflib
from typing import Callable

from attrs import define, field, frozen

from klpfs.builder.verify.graphs import ADDRESS, CodeLabel, Graph

_MOST = 4000            # differences, then the search ends
_MOST_PAIRS = 4_000_000  # of members of two lists that are held against each other
_HAVE_IDENTITY = frozenset(("function", "class", "dict", "set", "instance"))
_HAVE_ORDER = frozenset(("builtins.dict", "collections.OrderedDict", "collections.defaultdict"))
_LEAVES = frozenset(("plain", "value", "code", "opaque"))
_END_THERE = frozenset(("plain", "value", "module", "builtin", "descriptor", "opaque", "class", "function"))


@frozen
class Difference:
    """path: how the place is reached: `module:name.attribute['key']`. what: value, missing, extra, order, code,
    identity, length or kind. mine, wanted: words for what is there in both processes."""

    path: str
    what: str
    mine: str
    wanted: str

    @property
    def module(self) -> str:
        """The module that the path begins at."""
        return self.path.partition(":")[0]


@define(eq=False)
class Comparison:
    """mine, wanted: the graphs. text: of the livepatch that is in force, or ''. same_source: whether two codes are of
    functions that mean the same. exact: both graphs are of one process, so that objects can be told by their
    identity."""

    mine: Graph
    wanted: Graph
    text: str = ""
    same_source: Callable[[CodeLabel, CodeLabel, bool], bool] = lambda mine, wanted, apart: False
    exact: bool = False
    found: list[Difference] = field(init=False, factory=list)
    _seen: set[tuple[int, int]] = field(init=False, factory=set)
    _to: dict[int, int] = field(init=False, factory=dict)
    _fro: dict[int, int] = field(init=False, factory=dict)
    _todo: collections.deque[tuple[int, int, str]] = field(init=False, factory=collections.deque)

    def run(self) -> list[Difference]:
        """All differences, those of the package first."""
        for mine, wanted in ((self.mine.roots, self.wanted.roots), (self.mine.elsewhere, self.wanted.elsewhere)):
            self._todo.extend((mine[name], wanted[name], f"{name}:") for name in sorted(wanted) if name in mine)
            for name in sorted(mine.keys() ^ wanted.keys()) if self.exact else ():
                self._say(f"sys.modules['{name}']", "missing" if name in wanted else "extra", mine.get(name),
                          wanted.get(name))
            while self._todo and len(self.found) < _MOST:
                self._pair(*self._todo.popleft())
        return self.found

    def _say(self, path: str, what: str, mine: int | str | None, wanted: int | str | None) -> None:
        self.found.append(Difference(path, what, mine if isinstance(mine, str) else self.mine.show(mine),
                                     wanted if isinstance(wanted, str) else self.wanted.show(wanted)))

    def _pair(self, mine: int, wanted: int, path: str) -> None:
        kind = self.mine.kind(mine)
        if kind not in _LEAVES:
            if (mine, wanted) in self._seen:
                return
            self._seen.add((mine, wanted))
        if kind != self.wanted.kind(wanted):
            if not self.mine.is_stand_in(mine):         # of those the objects are asked
                self._say(path, "kind", mine, wanted)
            return
        if kind == "module" and not path.endswith(":"):
            self._seen.discard((mine, wanted))          # it has its own turn
            if self.mine.label(mine) != self.wanted.label(wanted):
                self._say(path, "value", mine, wanted)
            return
        if kind == "code":
            return self._code(mine, wanted, path)
        if not self._same_label(mine, wanted):
            self._say(path, "value" if kind in ("plain", "value", "instance") else "kind", mine, wanted)
            if kind in _END_THERE:
                return
        if kind in _HAVE_IDENTITY:
            self._identity(mine, wanted, path)
        if kind == "list":
            self._list(mine, wanted, path)
        else:
            self._edges(mine, wanted, path, kind)

    def _same_label(self, mine: int, wanted: int) -> bool:
        one, other = self.mine.label(mine), self.wanted.label(wanted)
        return one == other or ADDRESS.sub("#", one) == ADDRESS.sub("#", other)

    def _identity(self, mine: int, wanted: int, path: str) -> None:
        """One object there is one here."""
        if self.exact:
            if self.mine.nodes[mine][3] != self.wanted.nodes[wanted][3]:
                self._say(path, "identity", mine, wanted)
        elif self._to.setdefault(mine, wanted) != wanted or self._fro.setdefault(wanted, mine) != mine:
            self._say(path, "identity", mine, wanted)

    def _edges(self, mine: int, wanted: int, path: str, kind: str) -> None:
        has, wants = self.mine.edges(mine), self.wanted.edges(wanted)
        if kind == "dict" and self.mine.label(mine) in _HAVE_ORDER:
            self._order(has, wants, path)
        for label, to in wants.items():
            where = path + _step(label, kind)
            if label in has:
                self._todo.append((has[label], to, where))
                continue
            stands = self.mine.attribute(has["class"], label) if kind == "instance" and "class" in has else None
            if stands is None:
                self._say(where, "missing", None, to)
            elif not self.mine.is_stand_in(stands):
                self._todo.append((stands, to, where))  # an attribute of the class, for what the object lacks
        for label, to in has.items():
            if label not in wants and not self.mine.is_stand_in(to):
                self._say(path + _step(label, kind), "extra", to, None)

    def _order(self, has: dict[str, int], wants: dict[str, int], path: str) -> None:
        one = [label for label in has if label in wants and label[0] == "["]
        other = [label for label in wants if label in has and label[0] == "["]
        if one != other:
            at = next(at for at, (mine, wanted) in enumerate(zip(one, other)) if mine != wanted)
            self._say(path, "order", f"{one[at]} at {at}", f"{other[at]} at {at}")

    def _code(self, mine: int, wanted: int, path: str) -> None:
        one, other = CodeLabel.of(self.mine.label(mine)), CodeLabel.of(self.wanted.label(wanted))
        if one.exact == other.exact or one.loose and one.loose == other.loose:
            return      # loose: compiled alone, or a docstring that comes or goes moves all constants
        apart = f"{other.name}.<locals>." in self.text      # a function in it is patched as itself
        if not (apart and one.own and one.own == other.own) and not self.same_source(one, other, apart):
            self._say(path, "code", mine, wanted)

    # -- lists

    def _list(self, mine: int, wanted: int, path: str) -> None:
        one, other = ([(label, to) for label, to in graph.nodes[node][2] if label[0] == "["]
                      for graph, node in ((self.mine, mine), (self.wanted, wanted)))
        rest, rest_wanted = ({label: to for label, to in graph.nodes[node][2] if label[0] != "["}
                             for graph, node in ((self.mine, mine), (self.wanted, wanted)))
        for label in [*rest, *(each for each in rest_wanted if each not in rest)]:
            where = path + _step(label, "list")
            if label in rest and label in rest_wanted:
                self._todo.append((rest[label], rest_wanted[label], where))
            else:
                self._say(where, "extra" if label in rest else "missing", rest.get(label), rest_wanted.get(label))
        if len(one) == len(other):
            self._todo.extend((to, to_wanted, path + label) for (label, to), (_, to_wanted) in zip(one, other))
        elif len(one) * len(other) > _MOST_PAIRS:
            self._say(path, "length", mine, wanted)
        else:
            self._align(one, other, path, 4)

    def _align(self, one: list[tuple[str, int]], other: list[tuple[str, int]], path: str, depth: int) -> None:
        """Tells which members of two lists of different lengths are the same: by what they hold, then by less of it."""
        signs = [self.mine.sign(to, depth) for _, to in one]
        wanted = [self.wanted.sign(to, depth) for _, to in other]
        matcher = difflib.SequenceMatcher(None, signs, wanted, False)
        for what, start, end, start_wanted, end_wanted in matcher.get_opcodes():
            here, there = one[start:end], other[start_wanted:end_wanted]
            if what == "equal" or depth == 0 and len(here) == len(there):
                self._todo.extend((to, to_wanted, path + label) for (_, to), (label, to_wanted) in zip(here, there))
            elif what == "replace" and depth:
                self._align(here, there, path, depth - 2)
            else:
                for label, to in here:
                    self._say(path + label, "extra", to, None)
                for label, to in there:
                    self._say(path + label, "missing", None, to)


def _step(label: str, kind: str) -> str:
    """A label as it is written behind a path."""
    return label if label[0] in "[.<" or kind == "module" else f"!{label}"
