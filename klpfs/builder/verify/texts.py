"""Texts of two releases in which the builder finds no change: whether Python reads them otherwise at all.

What a statement makes may hang on where it stands: the order of a registry, of fields, of members. So any difference of
syntax is one that has to be shown to make none; comments and layout, which no syntax has, and docstrings that nobody
reads are not.
"""
from __future__ import annotations

import ast
import copy
from typing import Any

from klpfs.builder.read.modules import Pairs
from klpfs.builder.syntax import DEFINITIONS, body_without_doc
from klpfs.builder.verify.readers import Readers


def texts_differ(pairs: Pairs) -> bool:
    """Whether modules that both releases have are of another syntax, or data files differ that lie beside modules."""
    common = list(pairs.common.values())
    if any(ast.dump(each.old.tree) != ast.dump(each.new.tree) for each in common):
        readers = Readers(pairs.new)
        return readers.docs or any(each.name in readers.own_docs or _without_docs(each.old.tree) != _without_docs(
            each.new.tree) for each in common)
    return any(_beside_modules(path.partition(" (")[0], pairs) for path in pairs.data)


def _without_docs(tree: ast.Module) -> str:
    tree = copy.deepcopy(tree)
    nodes: list[Any] = [tree, *(node for node in ast.walk(tree) if isinstance(node, DEFINITIONS))]
    for node in nodes:
        node.body = body_without_doc(node.body) or [ast.Pass()]
    return ast.dump(tree)


def _beside_modules(path: str, pairs: Pairs) -> bool:
    """Whether a file lies in a package's folder, where its modules find it."""
    first = path.partition("/")[0]
    return "/" in path and f"{first}/__init__.py" in pairs.new.files
