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

from klpfs.builder.verify.c_state import is_stateless
from klpfs.builder.verify.graphs import CodeLabel, Graph

_MOST = 4000            # differences, then the search ends
_MOST_PAIRS = 4_000_000  # of members of two lists that are held against each other
_HAVE_IDENTITY = frozenset(("function", "class", "dict", "set", "instance"))
_LISTS = frozenset(("builtins.list", "collections.deque"))     # a tuple may be shared by chance
_LEAVES = frozenset(("plain", "value", "code", "opaque"))
_END_THERE = frozenset(("plain", "value", "module", "builtin", "descriptor", "opaque", "class", "function"))


@frozen
class Trail:
    """How a pair of nodes is reached: from which pair (None: it is of a module), by which edge. path: in words."""

    up: Trail | None
    label: str
    mine: int | None
    wanted: int | None
    path: str

    def to(self, label: str, mine: int | None, wanted: int | None, path: str) -> Trail:
        """The trail on from here."""
        return Trail(self, label, mine, wanted, path)


@frozen
class Difference:
    """path: how the place is reached: `module:name.attribute['key']`. what: value, missing, extra, order, code,
    identity, length, kind, or unseen: nobody can compare it. mine, wanted: words for what is there in both processes.
    trail: to that place."""

    path: str
    what: str
    mine: str
    wanted: str
    trail: Trail | None = field(default=None, eq=False, repr=False)

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
    unseen: list[Difference] = field(init=False, factory=list)     # places that nobody can compare
    _seen: set[tuple[int, int]] = field(init=False, factory=set)
    _to: dict[int, int] = field(init=False, factory=dict)
    _fro: dict[int, int] = field(init=False, factory=dict)
    _todo: collections.deque[Trail] = field(init=False, factory=collections.deque)

    def run(self) -> list[Difference]:
        """All differences, those of the package first."""
        for mine, wanted in ((self.mine.roots, self.wanted.roots), (self.mine.elsewhere, self.wanted.elsewhere)):
            self._todo.extend(Trail(None, name, mine[name], wanted[name], f"{name}:")
                              for name in sorted(wanted) if name in mine)
            for name in sorted(mine.keys() ^ wanted.keys()) if self.exact else ():
                self._say(Trail(None, name, mine.get(name), wanted.get(name), f"sys.modules['{name}']"),
                          "missing" if name in wanted else "extra")
            while self._todo and len(self.found) < _MOST:
                trail = self._todo.popleft()
                assert trail.mine is not None and trail.wanted is not None
                self._pair(trail, trail.mine, trail.wanted)
        return self.found

    def _say(self, trail: Trail, what: str, mine: str = "", wanted: str = "") -> None:
        self.found.append(Difference(trail.path, what, mine or self.mine.show(trail.mine),
                                     wanted or self.wanted.show(trail.wanted), trail))

    def _pair(self, trail: Trail, mine: int, wanted: int) -> None:
        kind = self.mine.kind(mine)
        if kind not in _LEAVES:
            if (mine, wanted) in self._seen:
                return
            self._seen.add((mine, wanted))
        if kind != self.wanted.kind(wanted):
            if not self.mine.is_stand_in(mine):         # of those the objects are asked
                self._say(trail, "kind")
            return
        if kind == "module" and trail.up is not None:
            self._seen.discard((mine, wanted))          # it has its own turn
            if self.mine.label(mine) != self.wanted.label(wanted):
                self._say(trail, "value")
            return
        if kind == "code":
            return self._code(trail, mine, wanted)
        if self._is_hidden(mine, kind):
            self.unseen.append(Difference(trail.path, "unseen", self.mine.show(mine), self.wanted.show(wanted), trail))
        if not self._same_label(mine, wanted):
            self._say(trail, "value" if kind in ("plain", "value", "instance") else "kind")
            if kind in _END_THERE:
                return
        if kind in _HAVE_IDENTITY or kind == "list" and self.mine.label(mine) in _LISTS:
            self._identity(trail, mine, wanted)
        if kind == "list":
            self._list(trail, mine, wanted)
        else:
            self._edges(trail, mine, wanted, kind)

    def _is_hidden(self, mine: int, kind: str) -> bool:
        """Whether a node is of an object that holds more than can be seen."""
        if kind == "opaque":
            return not is_stateless(self.mine.label(mine))
        return kind == "instance" and "more than is seen" in self.mine.edges(mine)

    def _same_label(self, mine: int, wanted: int) -> bool:
        return (self.mine.label(mine) == self.wanted.label(wanted)
                or self.mine.plain_label(mine) == self.wanted.plain_label(wanted))

    def _identity(self, trail: Trail, mine: int, wanted: int) -> None:
        """One object there is one here."""
        if self.exact:
            if self.mine.nodes[mine][3] != self.wanted.nodes[wanted][3]:
                self._say(trail, "identity")
        elif self._to.setdefault(mine, wanted) != wanted or self._fro.setdefault(wanted, mine) != mine:
            self._say(trail, "identity")

    def _edges(self, trail: Trail, mine: int, wanted: int, kind: str) -> None:
        has, wants = self.mine.edges(mine), self.wanted.edges(wanted)
        if kind == "dict":
            self._order(trail, has, wants, "[")
        elif kind == "instance" and "class" in has:
            self._order(trail.to(".__dict__", mine, wanted, f"{trail.path}.__dict__"), has, wants, ".")
        for label, to in wants.items():
            where = trail.path + _step(label, kind)
            if label in has:
                self._todo.append(trail.to(label, has[label], to, where))
                continue
            stands = self.mine.attribute(has["class"], label) if kind == "instance" and "class" in has else None
            if stands is None:
                self._say(trail.to(label, None, to, where), "missing")
            elif not self.mine.is_stand_in(stands):     # an attribute of the class, for what the object lacks
                self._todo.append(trail.to(label, stands, to, where))
        for label, to in has.items():
            if label not in wants and not self.mine.is_stand_in(to):
                self._say(trail.to(label, to, None, trail.path + _step(label, kind)), "extra")

    def _order(self, trail: Trail, has: dict[str, int], wants: dict[str, int], sign: str) -> None:
        """The order of those keys that both have, or of attributes, by the sign that their labels begin with. What
        klpfs's stand-ins give for an object is in no order."""
        cls = has.get("class") if sign == "." else None
        one = [label for label in has if label in wants and label[0] == sign and not (
            cls is not None and self._is_asked(cls, label))]
        known = set(one)
        other = [label for label in wants if label in known]
        if one != other:
            at = next(at for at, (mine, wanted) in enumerate(zip(one, other)) if mine != wanted)
            self._say(trail, "order", f"{one[at]} at {at}", f"{other[at]} at {at}")

    def _is_asked(self, cls: int, label: str) -> bool:
        stands = self.mine.attribute(cls, label)
        return stands is not None and self.mine.is_stand_in(stands)

    def _code(self, trail: Trail, mine: int, wanted: int) -> None:
        one, other = CodeLabel.of(self.mine.label(mine)), CodeLabel.of(self.wanted.label(wanted))
        if one.exact == other.exact or one.loose and one.loose == other.loose:
            return      # loose: compiled alone, or a docstring that comes or goes moves all constants
        apart = f"{other.name}.<locals>." in self.text      # a function in it is patched as itself
        if not (apart and one.own and one.own == other.own) and not self.same_source(one, other, apart):
            self._say(trail, "code")

    # -- lists

    def _list(self, trail: Trail, mine: int, wanted: int) -> None:
        one, other = ([(label, to) for label, to in graph.nodes[node][2] if label[0] == "["]
                      for graph, node in ((self.mine, mine), (self.wanted, wanted)))
        rest, rest_wanted = ({label: to for label, to in graph.nodes[node][2] if label[0] != "["}
                             for graph, node in ((self.mine, mine), (self.wanted, wanted)))
        for label in [*rest, *(each for each in rest_wanted if each not in rest)]:
            there = trail.to(label, rest.get(label), rest_wanted.get(label), trail.path + _step(label, "list"))
            if label in rest and label in rest_wanted:
                self._todo.append(there)
            else:
                self._say(there, "extra" if label in rest else "missing")
        if len(one) == len(other):
            self._todo.extend(trail.to(label, to, to_wanted, trail.path + label)
                              for (label, to), (_, to_wanted) in zip(one, other))
        elif len(one) * len(other) > _MOST_PAIRS:
            self._say(trail, "length")
        else:
            self._align(trail, one, other, 4)

    def _align(self, trail: Trail, one: list[tuple[str, int]], other: list[tuple[str, int]], depth: int) -> None:
        """Tells which members of two lists of different lengths are the same: by what they hold, then by less of it."""
        signs = [self.mine.sign(to, depth) for _, to in one]
        wanted = [self.wanted.sign(to, depth) for _, to in other]
        matcher = difflib.SequenceMatcher(None, signs, wanted, False)
        for what, start, end, start_wanted, end_wanted in matcher.get_opcodes():
            here, there = one[start:end], other[start_wanted:end_wanted]
            if what == "equal" or depth == 0 and len(here) == len(there):
                self._todo.extend(trail.to(label, to, to_wanted, trail.path + label)
                                  for (_, to), (label, to_wanted) in zip(here, there))
            elif what == "replace" and depth:
                self._align(trail, here, there, depth - 2)
            else:
                for label, to in here:
                    if not self.mine.is_stand_in(to):
                        self._say(trail.to(label, to, None, trail.path + label), "extra")
                for label, to in there:
                    self._say(trail.to(label, None, to, trail.path + label), "missing")


def _step(label: str, kind: str) -> str:
    """A label as it is written behind a path."""
    return label if label[0] in "[.<" or kind == "module" else f"!{label}"
