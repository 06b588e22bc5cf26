"""Graphs as a subject has described them (describe.py), with what a comparison asks of their nodes."""
from __future__ import annotations

import re
from typing import Any

from attrs import define, field

ADDRESS = re.compile(r"\bat 0x[0-9a-f]{6,}")
# where the livepatch defines what a module's top level does: a lambda's qualified name says so
_IN_LIVEPATCH = re.compile(r"\b(klp_new|then_of|of)_\w+\.<locals>\.")
_SHOWN = 6              # members of a container that a message shows
_SIGNED = 40


@define
class CodeLabel:
    """A code node's label, as describe.py writes it."""

    file: str
    exact: str
    loose: str
    own: str
    line: int
    name: str

    @classmethod
    def of(cls, label: str) -> CodeLabel:
        """The parts of a label."""
        file, exact, loose, own, line, name = label.rsplit("|", 5)
        return cls(file, exact, loose, own, int(line), name)


@define(eq=False)
class Graph:
    """nodes: [kind, label, edges, id]. roots, elsewhere: {module: node}."""

    nodes: list[list[Any]]
    roots: dict[str, int]
    elsewhere: dict[str, int]
    _edges: dict[int, dict[str, int]] = field(init=False, factory=dict)
    _signs: dict[tuple[int, int], int] = field(init=False, factory=dict)

    def kind(self, node: int) -> str:
        return str(self.nodes[node][0])

    def label(self, node: int) -> str:
        return str(self.nodes[node][1])

    def plain_label(self, node: int) -> str:
        """A node's label without what differs from process to process: addresses, the livepatch's functions. A plain
        value is what it is."""
        if self.kind(node) in ("plain", "value"):
            return self.label(node)
        return _IN_LIVEPATCH.sub("", ADDRESS.sub("#", self.label(node)))

    def edges(self, node: int) -> dict[str, int]:
        """{label: node} of what a node holds, in its order."""
        found = self._edges.get(node)
        if found is None:
            found = self._edges[node] = {label: to for label, to in self.nodes[node][2]}
        return found

    def functions_with(self, code: int) -> list[int]:
        """The functions that have a code."""
        return [node for node, (kind, _, edges, _) in enumerate(self.nodes) if kind == "function"
                and ["code", code] in [list(each) for each in edges[:1]]]

    def held_elsewhere(self) -> set[int]:
        """The objects of other packages' classes that their modules have by name."""
        return {to for module in self.elsewhere.values() for to in self.edges(module).values()
                if self.kind(to) == "instance" and "class" not in self.edges(to)}

    def is_stand_in(self, node: int) -> bool:
        """Whether a node is of an object of klpfs's own."""
        return self.kind(node) == "klpfs" or self.label(node).startswith("klpfs.")

    def show(self, node: int | None, depth: int = 1) -> str:
        """Words for people about a node."""
        if node is None:
            return "nothing"
        kind, label, edges, _ = self.nodes[node]
        if kind == "plain":
            return str(label)
        if kind == "code":
            return f"code of {CodeLabel.of(label).file}"
        if kind in ("dict", "list", "set") and depth:
            inner = [f"{name if kind == 'dict' else ''}{self.show(to, depth - 1)}" for name, to in edges[:_SHOWN]]
            rest = [f"... {len(edges)}"] if len(edges) > _SHOWN else []
            return f"{label}({', '.join(inner + rest)})"
        return f"{kind} {label}"

    def sign(self, node: int, depth: int = 4) -> int:
        """A number by which members of two lists are told to be the same."""
        found = self._signs.get((node, depth))
        if found is None:
            kind, label, edges, _ = self.nodes[node]
            parts: tuple[Any, ...] = (kind, CodeLabel.of(label).loose if kind == "code" else ADDRESS.sub("#", label))
            if depth and kind not in ("class", "module", "plain"):
                parts += tuple((name, self.sign(to, depth - 1)) for name, to in edges[:_SIGNED])
            found = self._signs[node, depth] = hash(parts)
        return found

    def attribute(self, cls: int, name: str, seen: tuple[int, ...] = ()) -> int | None:
        """The node that a class's attribute leads to, by its bases."""
        edges = self.edges(cls)
        if name in edges:
            return edges[name]
        for base in self.edges(edges["bases"]).values() if "bases" in edges else ():
            if base not in seen:
                found = self.attribute(base, name, (*seen, cls))
                if found is not None:
                    return found
        return None
