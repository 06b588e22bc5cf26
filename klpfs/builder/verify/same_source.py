"""Functions whose text means the same in both releases, though their code is another: casts and what type checkers
alone look at, as the builder reads them (compare/equivalence.py)."""
from __future__ import annotations

import ast
import copy

from attrs import define, field

from klpfs.builder.compare.equivalence import same
from klpfs.builder.error import BuildError
from klpfs.builder.read.modules import parse
from klpfs.builder.read.sources import Release
from klpfs.builder.syntax import FUNCTIONS, FunctionNode
from klpfs.builder.verify.graphs import CodeLabel
from klpfs.cpython.raw import first_line

_TREE = "<tree>/"


@define(eq=False)
class SameSource:
    """old, new: the releases whose codes are compared. renamed: attributes that the livepatch's code has under another
    name, for objects that are alive hold another form of them."""

    old: Release
    new: Release
    renamed: frozenset[str] = frozenset()
    _nodes: dict[tuple[int, str], dict[tuple[int, str], list[ast.AST]]] = field(init=False, factory=dict)

    def __call__(self, mine: CodeLabel, wanted: CodeLabel, apart: bool) -> bool:
        """Whether the functions of two codes, the first of OLD's and the second of NEW's, mean the same. apart: the
        bodies of functions in them do not count."""
        one, other = self._node(self.old, mine), self._node(self.new, wanted)
        if other is not None and not mine.file.startswith(_TREE) and any(map(self._is_rewritten, ast.walk(other))):
            return True
        if one is None or other is None:
            return False
        if apart:
            one, other = _without_inner(one), _without_inner(other)
        return same(one, other)

    def _is_rewritten(self, node: ast.AST) -> bool:
        """Whether the livepatch has another text for it, or klpfs another code: super() whose function had no cell for
        its class."""
        if isinstance(node, ast.Attribute):
            return node.attr in self.renamed
        return isinstance(node, ast.Call) and getattr(node.func, "id", "") == "super" and not node.args

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
        nodes: dict[tuple[int, str], list[ast.AST]] = {}
        try:
            tree = parse(release, path).tree
        except BuildError:
            return nodes
        for node in ast.walk(tree):
            if isinstance(node, FUNCTIONS):
                nodes.setdefault((first_line(node), node.name), []).append(node)
            elif isinstance(node, ast.Lambda):
                nodes.setdefault((node.lineno, "<lambda>"), []).append(node)
        return nodes


class _Emptied(ast.NodeTransformer):
    def visit_FunctionDef(self, node: FunctionNode) -> ast.AST:
        node.body = [ast.Pass()]
        return node

    visit_AsyncFunctionDef = visit_FunctionDef


def _without_inner(node: ast.AST) -> ast.AST:
    """A copy of a function, whose inner functions do nothing."""
    copied = copy.deepcopy(node)
    return _Emptied().generic_visit(copied)
