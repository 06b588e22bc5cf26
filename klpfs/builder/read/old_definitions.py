"""The definitions of OLD's source, as each CPython sees them: places and fingerprints.

A fingerprint is one of bytecode, so each version of Python has its own, and -O and -OO have theirs where they make a
difference: a patch fits the Pythons that it was built for, however the program is run.
"""
from __future__ import annotations

import json
import os
import sys
from collections.abc import Sequence
from typing import Any

from attrs import define

import klpfs
from klpfs.builder.error import BuildError
from klpfs.builder.read.modules import Module
from klpfs.builder.read.other_pythons import NoAnswer, ask
from klpfs.builder.read.source_listing import listing, python_version
from klpfs.cpython.resolve.codes import tree

_ROOT = os.path.dirname(os.path.dirname(os.path.abspath(klpfs.__file__)))
_LIMIT = 600.0          # seconds, for all files of a package
_CHILD = f"""
import json, sys
sys.path.insert(0, {_ROOT!r})
from klpfs.builder.read.source_listing import listing, python_version
print(json.dumps([python_version(), listing(json.loads(sys.stdin.read()))]))
"""


@define(frozen=True)
class Definition:
    """A function of OLD's code. name: qualified. sympos: its position among the `count` functions of that name, from 1.
    prints: {version of Python, and -O or -OO: fingerprint}. free: its free variables."""

    name: str
    line: int
    sympos: int
    count: int
    free: tuple[str, ...]
    prints: dict[str, str]

    @property
    def fingerprint(self) -> str:
        """All fingerprints, as Func has them: '3.9:... 3.11:... 3.11-OO:...'."""
        return " ".join(f"{version}:{code}" for version, code in self.prints.items())


def made_function(name: str, line: int) -> Definition:
    """The definition of a function that no source has: a decorator made it when the module was imported."""
    return Definition(name, line, 1, 1, (), {})


def definitions(paths: dict[str, str], pythons: Sequence[str]) -> dict[str, list[Definition]]:
    """{module: its functions, in source order} as all the pythons see them. paths: {module: file}.

    BuildError: an interpreter can't read a file, or is no CPython from 3.9 on, or sees other functions than the rest.
    """
    listings: dict[str, dict[str, Any]] = {}
    for python in pythons:
        if python == sys.executable:
            listings[python_version()] = listing(paths)
        else:
            version, found = _listing_of(python, paths)
            listings[version] = found
    return {module: _definitions(module, {version: found[module] for version, found in listings.items()})
            for module in paths}


def _definitions(module: str, listings: dict[str, list[Any]]) -> list[Definition]:
    """A module's functions. listings: {version of Python: source_listing.listing of the module}."""
    first = next(iter(listings.values()))
    names = [name for name, _, _, _ in first]
    for functions in listings.values():
        if [name for name, _, _, _ in functions] != names:
            raise BuildError(f"{module}: the Pythons {', '.join(listings)} do not see the same functions in it")
    seen: dict[str, int] = {}
    result = []
    for at, (name, line, free, _) in enumerate(first):
        seen[name] = seen.get(name, 0) + 1
        prints = {version + level: code for version, functions in listings.items()
                  for level, code in functions[at][3].items()}
        result.append(Definition(name, line, seen[name], names.count(name), tuple(free), prints))
    return result


def _listing_of(python: str, paths: dict[str, str]) -> tuple[str, dict[str, Any]]:
    """(version, listing) of another interpreter."""
    try:
        version, found = json.loads(ask(python, _CHILD, input=json.dumps(paths).encode(), limit=_LIMIT))
    except NoAnswer as error:
        raise BuildError(f"--python {python}: {error}") from None
    except ValueError:
        raise BuildError(f"--python {python}: what it prints is no list of functions") from None
    return version, found


def free_variables(module: Module) -> dict[tuple[int, str], set[str]]:
    """{(first line, name): free variables} of all functions of a module."""
    found: dict[tuple[int, str], set[str]] = {}
    for code, _, _ in tree(compile(module.tree, module.path, "exec", dont_inherit=True, optimize=0)):
        found.setdefault((code.co_firstlineno, code.co_name), set()).update(code.co_freevars)
    return found
