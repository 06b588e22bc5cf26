"""Data files that differ, by who reads them: a livepatch leaves files as they are, so code of NEW may find OLD's."""
from __future__ import annotations

import ast
import os
import re
from collections.abc import Iterable, Iterator

from klpfs.builder.read.modules import Pairs, read
from klpfs.builder.read.sources import Release

_SUFFIX = re.compile(r" \((added|removed)\)$")     # of an entry of Pairs.data


def readers_of_data(pairs: Pairs) -> dict[str, str]:
    """{entry of pairs.data: 'FILE:LINE' of the code that names the file}: of NEW's first, else of OLD's. Code names a
    file by a text that is its name, or ends with that behind a slash."""
    names = {entry: os.path.basename(_SUFFIX.sub("", entry)) for entry in pairs.data}
    places: dict[str, list[tuple[str, str]]] = {}      # by the file's name: (the reader's path, its line)
    for release in (pairs.new, pairs.old):
        for name, path, line in _mentions(release, set(names.values())):
            places.setdefault(name, []).append((path, f"{path}:{line}"))
    found: dict[str, str] = {}
    for entry, name in names.items():
        near = [shown for path, shown in places.get(name, ()) if _package(path) == _package(entry)]
        if near:
            found[entry] = near[0]
    return found


def _package(path: str) -> str:
    return path.partition("/")[0] if "/" in path else ""


def _mentions(release: Release, names: set[str]) -> Iterator[tuple[str, str, int]]:
    """(file name, path of the code, line) where a release's code has a text that ends with a file's name."""
    if not names:
        return
    wanted = re.compile(b"|".join(re.escape(name.encode()) for name in sorted(names)))
    for path in sorted(release.files):
        if not path.endswith(".py"):
            continue
        text = read(release.files[path])
        if not wanted.search(text):
            continue
        try:
            tree = ast.parse(text)
        except (SyntaxError, ValueError):
            continue
        said = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}        # to people: docstrings
        for node in _texts(tree):
            name = os.path.basename(str(node.value))
            if name in names and id(node) not in said:
                yield name, path, node.lineno


def _texts(tree: ast.AST) -> Iterable[ast.Constant]:
    found = [node for node in ast.walk(tree) if isinstance(node, ast.Constant) and isinstance(node.value, str)]
    return sorted(found, key=lambda node: node.lineno)
