"""Differences that can be put right in place: the value that NEW has, written as a literal or by its name, for
ImportTime's `carried`.

What a value was is written beside it, so that a value which the program has changed since stays the program's. Nothing
is carried into what an object with a life of its own was made from, for that has read it (a validator, its schema).
"""
from __future__ import annotations

import ast
import keyword
from collections.abc import Collection, Iterable
from typing import Callable

from attrs import define

from klpfs.builder.plan.plans import Carried
from klpfs.builder.verify.compare import Difference, Trail
from klpfs.builder.verify.graphs import Graph

_LONGEST = 4000         # characters of a value in the livepatch's file
_DEEPEST = 8
_ABSENT = "ABSENT"
_OWN_DICT = ".__dict__"
_MOST_STEPS = 100       # of a path, which the livepatch's file has to be parsed with
_AFTER = ("", ".", "[", "!", "<")       # what may follow the path of a place that something is in
_IN_PLACE = frozenset(("builtins.list", "builtins.set"))
_WITH_KEYS = frozenset(("builtins.dict", "builtins.tuple", "collections.OrderedDict", "collections.defaultdict"))
_WITH_ATTRIBUTES = frozenset(("instance", "class", "function", "dict", "list", "set"))


@define(eq=False)
class Carrier:
    """mine: OLD with the livepatch. wanted: NEW. unsteady: paths of what two runs of NEW have otherwise: what it is on
    this machine is wrong on another."""

    mine: Graph
    wanted: Graph
    unsteady: Collection[str] = ()

    def carried(self, differences: Iterable[Difference]) -> list[Carried]:
        """What puts right those of the differences that can be put right, each place once."""
        found: dict[Carried, None] = {}
        for difference in differences:
            if difference.trail is not None and difference.what in ("value", "missing", "extra", "kind", "order",
                                                                    "length") and not _is_a_name(difference):
                found.update(dict.fromkeys(self._of(difference.what, difference.trail)))
        return list(found)

    def _of(self, what: str, trail: Trail) -> list[Carried]:
        code = self._code_of(trail) if what == "missing" else None
        if code is not None:
            assert trail.up is not None
            return [Carried(module, path, _ABSENT, code) for module, path in self._paths(trail.up)]
        if what == "order":
            sign = "." if trail.label == _OWN_DICT else "["
            was, becomes = self._keys(self.mine, trail.mine, sign), self._keys(self.wanted, trail.wanted, sign)
        else:
            trail = self._whole(trail, what == "length")
            node = trail.mine
            if self._is_place(trail):           # what the class has for it is not the object's own
                assert trail.up is not None and trail.up.mine is not None
                node = self.mine.edges(trail.up.mine).get(trail.label)
            was, becomes = self._text(self.mine, node), self._text(self.wanted, trail.wanted)
        if was is None or becomes is None or was == becomes or any(
                path.startswith(trail.path) and path[len(trail.path):][:1] in _AFTER for path in self.unsteady):
            return []
        return [Carried(module, path, was, becomes) for module, path in self._paths(trail)]

    def _code_of(self, trail: Trail) -> str | None:
        """Words for a function's code that a set has; None: it is none, or the function has no name."""
        up = trail.up
        if up is None or up.mine is None or self.mine.label(up.mine) != "builtins.set" or trail.wanted is None:
            return None
        for function in self.wanted.functions_with(trail.wanted):
            name = _name_of(self.wanted, function)
            if name is not None:
                return f"CodeOf({name!r})"
        return None

    def _whole(self, trail: Trail, is_container: bool) -> Trail:
        """The trail to what is put right: a list or set in place, as a whole; else the nearest place that can be
        set."""
        while True:
            if is_container and trail.mine is not None and self.mine.label(trail.mine) in _IN_PLACE:
                return trail
            if self._is_place(trail):
                return trail
            assert trail.up is not None
            trail, is_container = trail.up, True

    def _is_place(self, trail: Trail) -> bool:
        """Whether the trail's end is a value that can be set: an attribute, an item of a dict, a name of a module."""
        if trail.up is None or trail.up.mine is None:
            return True                         # a module itself: no path leads to it
        return trail.label[0] == "." or self.mine.kind(trail.up.mine) not in ("list", "set")

    @staticmethod
    def _keys(graph: Graph, node: int | None, sign: str) -> str | None:
        labels = [label for label in graph.edges(node) if label[0] == sign] if node is not None else []
        keys = [repr(label[1:]) if sign == "." else _literal(label[1:-1]) for label in labels]
        return None if None in keys else f"Keys({', '.join(map(str, keys))})"

    # -- paths

    def _paths(self, trail: Trail) -> list[tuple[str, str]]:
        """[(module, path)]: by all names of modules that the trail's first object has, for a service may have imported
        any of these; [] where the trail can't be followed."""
        steps: list[Trail] = []
        step = trail
        while step.up is not None:
            steps.append(step)
            step = step.up
        if not steps or len(steps) > _MOST_STEPS:
            return []
        text = ""
        for each in reversed(steps[:-1]):
            word = self._word(each)
            if word is None:
                return []
            text += word
        first = steps[-1]
        if self._has_a_life_of_its_own(steps):
            return []
        found = {(step.label, first.label): None}
        if len(steps) > 1:
            found.update(dict.fromkeys(self._names_of(first)))
        return [(module, name + text) for module, name in found if _is_name(name)]

    def _word(self, step: Trail) -> str | None:
        """A step in Python's words; None: no step that klpfs follows."""
        assert step.up is not None and step.up.mine is not None
        kind, label = self.mine.kind(step.up.mine), step.label
        if label[0] == "." and kind in _WITH_ATTRIBUTES and not self._is_fixed(step.up.mine, label):
            if _is_name(label[1:]):
                return label
            return f".__dict__[{label[1:]!r}]" if kind not in ("class", "function") else None
        if label[0] == "[" and self._has_plain_items(step.up.mine):
            key = _literal(label[1:-1])
            return None if key is None else f"[{key}]"
        return None

    def _is_fixed(self, node: int, label: str) -> bool:
        """Whether an attribute is a member that a C type shows: not all of them can be set."""
        names = self.mine.edges(node).get("of C")
        return names is not None and f"[{label[1:]}]" in self.mine.edges(names)

    def _has_plain_items(self, node: int) -> bool:
        """Whether a step by a key or an index leads to the same object in a service: what a list has at a place may be
        the program's own."""
        return self.mine.label(node) in _WITH_KEYS

    def _names_of(self, first: Trail) -> list[tuple[str, str]]:
        return [(module, name) for module, node in self.mine.roots.items() if module in self.wanted.roots
                for name, to in self.mine.edges(node).items()
                if to == first.mine and self.wanted.edges(self.wanted.roots[module]).get(name) == first.wanted]

    def _has_a_life_of_its_own(self, steps: list[Trail]) -> bool:
        """Whether an object on the way holds something that nobody can see into, is of another package's class, which
        may share it or keep what it has made of its values, or may be in a table by its hash."""
        for step in steps:
            node = step.up.mine if step.up is not None else None
            if node is None or self.mine.kind(node) == "module":
                continue
            edges = self.mine.edges(node)
            if any(self.mine.kind(to) == "opaque" for to in edges.values()):
                return True
            if self.mine.kind(node) == "instance" and ("class" not in edges or self._has_a_hash(edges["class"])):
                return True
        return False

    def _has_a_hash(self, cls: int) -> bool:
        """Whether a class of the package's says what its objects' hash is."""
        method = self.mine.attribute(cls, ".__hash__")
        return method is not None and self.mine.label(method) != "None"

    # -- values

    def _text(self, graph: Graph, node: int | None, depth: int = _DEEPEST) -> str | None:
        """A value in Python's words; None: there are none for it."""
        if node is None:
            return _ABSENT
        text = self._text_of(graph, node, depth)
        return text if text is not None and len(text) <= _LONGEST else None

    def _text_of(self, graph: Graph, node: int, depth: int) -> str | None:
        kind, label = graph.kind(node), graph.label(node)
        if kind == "plain":
            return _literal(graph.nodes[node][3] or label)
        if kind in ("class", "function"):
            name = _name_of(graph, node)
            if name is None or graph is self.wanted and _at(self.mine, name) is None:
                return None         # a name that OLD lacks leads to nothing
            return f"Named({name!r})"
        form = _FORMS.get(label)
        if form is None or not depth:
            return None
        parts = []
        for edge, to in graph.nodes[node][2]:
            value = self._text_of(graph, to, depth - 1) if edge[0] == "[" else None
            key = _literal(edge[1:-1]) if kind == "dict" else ""
            if value is None or value.startswith("Named") or key is None:       # a name stands for itself alone
                return None
            parts.append(f"{key}: {value}" if kind == "dict" else value)
        return form(parts)


def _is_a_name(difference: Difference) -> bool:
    """Whether what should not be there is a name or an attribute: code of the old version, which runs until the
    transition is complete, would fail without it."""
    return difference.what == "extra" and difference.trail is not None and difference.trail.label[0] != "["


def _tuple(parts: list[str]) -> str:
    return f"({', '.join(parts)}{',' * (len(parts) == 1)})"


_FORMS: dict[str, Callable[[list[str]], str]] = {
    "builtins.dict": lambda parts: f"{{{', '.join(parts)}}}",
    "builtins.list": lambda parts: f"[{', '.join(parts)}]",
    "builtins.tuple": _tuple,
    "builtins.set": lambda parts: f"{{{', '.join(parts)}}}" if parts else "set()",
    "builtins.frozenset": lambda parts: f"frozenset([{', '.join(parts)}])",
}


def _name_of(graph: Graph, node: int) -> str | None:
    """'module:qualified.name' of a class or function that is found under its own name; None of others."""
    words = graph.label(node).split(".")
    for at in range(len(words) - 1, 0, -1):
        name = f"{'.'.join(words[:at])}:{'.'.join(words[at:])}"
        if _at(graph, name) == node:
            return name
    return None


def _at(graph: Graph, name: str) -> int | None:
    """What is found under 'module:qualified.name'."""
    module, _, words = name.partition(":")
    place: int | None = graph.roots.get(module, graph.elsewhere.get(module))
    for number, word in enumerate(words.split(".")):
        place = graph.edges(place).get("." * bool(number) + word) if place is not None else None
    return place


def _literal(text: str) -> str | None:
    """The words of a plain value, or of a tuple of such as a key has them, as a literal; None: they are none."""
    try:
        tree = ast.parse(text, mode="eval").body
        if isinstance(tree, ast.Call) and isinstance(tree.func, ast.Name) and tree.func.id == "tuple":
            inner = [_literal(ast.unparse(each)) or "" for each in tree.args]
            return _tuple(inner) if all(inner) and f"tuple({', '.join(inner)})" == text else None
        value = ast.literal_eval(tree)
    except (SyntaxError, ValueError, RecursionError):
        return None
    return text if repr(value) == text and not any(each in text for each in ("<tree>", "<home>")) else None


def _is_name(text: str) -> bool:
    return text.isidentifier() and not keyword.iskeyword(text)
