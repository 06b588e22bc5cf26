"""Functions whose text means the same in both releases, though their code is another: casts and what type checkers
alone look at, as the builder reads them (compare/equivalence.py)."""
from __future__ import annotations

import ast
import copy
from collections.abc import Mapping
from typing import Any

from attrs import define, field

from klpfs.builder.compare.equivalence import same
from klpfs.builder.error import BuildError
from klpfs.builder.read.modules import parse
from klpfs.builder.read.sources import Release
from klpfs.builder.syntax import FUNCTIONS, FunctionNode, body_without_doc
from klpfs.builder.verify.graphs import CodeLabel
from klpfs.cpython.raw import first_line

_TREE = "<tree>/"


@define(eq=False)
class SameSource:
    """old, new: the releases whose codes are compared. text: of the livepatch. renamed: {attribute: its name in the
    livepatch's code}, where objects that are alive hold another form."""

    old: Release
    new: Release
    text: str = ""
    renamed: Mapping[str, str] = field(factory=dict)
    _nodes: dict[tuple[int, str], dict[tuple[int, str], list[ast.AST]]] = field(init=False, factory=dict)
    _of_livepatch: dict[tuple[int, str], list[ast.AST]] | None = field(init=False, default=None)

    def __call__(self, mine: CodeLabel, wanted: CodeLabel, apart: bool) -> bool:
        """Whether the functions of two codes, the first of OLD's and the second of NEW's, mean the same. apart: the
        bodies of functions in them do not count."""
        one, other = self._node(self.old, mine), self._node(self.new, wanted)
        if other is not None and not mine.file.startswith(_TREE):
            written = self._written().get((mine.line, mine.name), [])
            wished = _Renamed(self.renamed).visit(copy.deepcopy(other))
            return len(written) == 1 and same(_body(written[0]), _body(wished))
        if one is None or other is None:
            return False
        if apart:
            one, other = _without_inner(one), _without_inner(other)
        return same(one, other)

    def _written(self) -> dict[tuple[int, str], list[ast.AST]]:
        """The functions of the livepatch. klpfs compiles some of them otherwise than NEW's are: super() whose function
        had no cell for its class, names of the file."""
        if self._of_livepatch is None:
            self._of_livepatch = _functions_of(ast.parse(self.text))
        return self._of_livepatch

    def _node(self, release: Release, code: CodeLabel) -> ast.AST | None:
        """The only node that a code can be of."""
        path = code.file[len(_TREE):] if code.file.startswith(_TREE) else ""
        if path not in release.files:
            return None
        key = id(release), path
        if key not in self._nodes:
            self._nodes[key] = self._read(release, path)
        found = self._nodes[key].get((code.line, code.name), [])
        return found[0] if len(found) == 1 else None

    @staticmethod
    def _read(release: Release, path: str) -> dict[tuple[int, str], list[ast.AST]]:
        try:
            return _functions_of(parse(release, path).tree)
        except BuildError:
            return {}


def _functions_of(tree: ast.AST) -> dict[tuple[int, str], list[ast.AST]]:
    """{(first line, name): the functions there}."""
    nodes: dict[tuple[int, str], list[ast.AST]] = {}
    for node in ast.walk(tree):
        if isinstance(node, FUNCTIONS):
            nodes.setdefault((first_line(node), node.name), []).append(node)
        elif isinstance(node, ast.Lambda):
            nodes.setdefault((node.lineno, "<lambda>"), []).append(node)
    return nodes


def _body(node: Any) -> Any:
    return [node.body] if isinstance(node, ast.Lambda) else body_without_doc(node.body)


class _Renamed(ast.NodeTransformer):
    """Gives attributes the names that the livepatch has for them."""

    def __init__(self, names: Mapping[str, str]) -> None:
        self.names = names

    def visit_Attribute(self, node: ast.Attribute) -> ast.AST:
        self.generic_visit(node)
        node.attr = self.names.get(node.attr, node.attr)
        return node


class _Emptied(ast.NodeTransformer):
    def visit_FunctionDef(self, node: FunctionNode) -> ast.AST:
        node.body = [ast.Pass()]
        return node

    visit_AsyncFunctionDef = visit_FunctionDef


def _without_inner(node: ast.AST) -> ast.AST:
    """A copy of a function, whose inner functions do nothing."""
    copied = copy.deepcopy(node)
    return _Emptied().generic_visit(copied)
