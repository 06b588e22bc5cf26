"""The functions of source files, with fingerprints. Runs in any CPython that a patch is built for: standard library
alone."""
from __future__ import annotations

from collections import Counter
from types import CodeType
from typing import Any

from klpfs.cpython.raw import LEVELS
from klpfs.cpython.resolve.codes import tree
from klpfs.cpython.resolve.fingerprint import OTHERS, fingerprint, python_version

__all__ = ["listing", "python_version"]


def listing(paths: dict[str, str]) -> dict[str, list[Any]]:
    """{module: [[qualified name, first line, free variables, {level: fingerprint}]]} of files, in source order, of the
    functions that a program without -O has. Levels as in raw.LEVELS, those whose fingerprint is another than
    without -O. paths: {module: file}."""
    found: dict[str, list[Any]] = {}
    for module, path in paths.items():
        with open(path, "rb") as file:
            text = file.read()
        plain, *others = [_functions(text, path, level) for level in range(len(LEVELS))]
        found[module] = rows = []
        for key, code in plain.items():
            prints = {"": fingerprint(code)}
            for level, functions in zip(LEVELS[1:], others):
                print_ = fingerprint(functions[key]) if key in functions else OTHERS
                if print_ != prints[""]:
                    prints[level] = print_
            rows.append([key[0], code.co_firstlineno, list(code.co_freevars), prints])
    return found


def _functions(text: bytes, path: str, level: int) -> dict[tuple[object, ...], CodeType]:
    """{(qualified name, position among those of that name, lines of them all): code} of a file's functions, compiled as
    a program's are that is run at this level."""
    found = [(name, code) for code, name, _ in tree(compile(text, path, "exec", dont_inherit=True, optimize=level))]
    lines: dict[str, tuple[int, ...]] = {}
    for name, code in found:
        lines[name] = (*lines.get(name, ()), code.co_firstlineno)
    seen: Counter[str] = Counter()
    keys: dict[tuple[object, ...], CodeType] = {}
    for name, code in found:
        seen[name] += 1
        keys[name, seen[name], lines[name]] = code
    return keys
