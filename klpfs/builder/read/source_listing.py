"""The functions of source files, with fingerprints. Runs in any CPython that a patch is built for: standard library
alone."""
from __future__ import annotations

import sys
from typing import Any

from klpfs.cpython.resolve.codes import tree
from klpfs.cpython.resolve.fingerprint import fingerprint


def python_version() -> str:
    """The version of this Python, as fingerprints name it: '3.11'."""
    return f"{sys.version_info[0]}.{sys.version_info[1]}"


def listing(paths: dict[str, str]) -> dict[str, list[Any]]:
    """{module: [[qualified name, first line, free variables, fingerprint]]} of files, in source order. paths: {module:
    file}."""
    found = {}
    for module, path in paths.items():
        with open(path, "rb") as file:
            code = compile(file.read(), path, "exec", dont_inherit=True)
        found[module] = [[name, inner.co_firstlineno, list(inner.co_freevars), fingerprint(inner)]
                         for inner, name, _ in tree(code)]
    return found
