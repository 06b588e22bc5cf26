"""What each CPython makes of OLD's source: definitions with their places and fingerprints.

A fingerprint is one of bytecode, so each version of Python has its own: a patch fits the Pythons that it was built for.
"""
import json
import os
import subprocess
import sys
import typing

from attrs import define

import klpfs
from klpfs.builder.error import BuildError
from klpfs.builder.read.modules import Module
from klpfs.cpython.resolve.codes import tree
from klpfs.cpython.resolve.fingerprint import fingerprint

_ROOT = os.path.dirname(os.path.dirname(os.path.abspath(klpfs.__file__)))
_CHILD = """
import json, sys
sys.path.insert(0, %r)
from klpfs.cpython.resolve.codes import tree
from klpfs.cpython.resolve.fingerprint import fingerprint
found = {}
for module, path in json.loads(sys.stdin.read()).items():
    with open(path, "rb") as file:
        code = compile(file.read(), path, "exec", dont_inherit=True)
    found[module] = [[name, each.co_firstlineno, list(each.co_freevars), fingerprint(each)] for each, name, _ in tree(code)]
print(json.dumps(["%%d.%%d" %% sys.version_info[:2], found]))
"""


@define(frozen=True)
class Definition:
    """One function of OLD's code. name: qualified. sympos: its position among those of that name, from 1; count: of them.
    prints: {version of Python: fingerprint}. free: its free variables."""

    name: str
    line: int
    sympos: int
    count: int
    free: "tuple[str, ...]"
    prints: "dict[str, str]"

    @property
    def fingerprint(self) -> str:
        return " ".join(f"{version}:{code}" for version, code in self.prints.items())


def made_function(name: str, line: int) -> Definition:
    """A function that no source has: a decorator made it when the module was imported."""
    return Definition(name, line, 1, 1, (), {})


def listing(paths: "dict[str, str]") -> "dict[str, list]":
    """{name: [[qualified name, first line, free variables, fingerprint]]} of source files, in source order."""
    found = {}
    for name, path in paths.items():
        with open(path, "rb") as file:
            code = compile(file.read(), path, "exec", dont_inherit=True)
        found[name] = [[name, each.co_firstlineno, list(each.co_freevars), fingerprint(each)] for each, name, _ in tree(code)]
    return found


def definitions(paths: "dict[str, str]", pythons: "typing.Sequence[str]") -> "dict[str, list[Definition]]":
    """Of each source file, as all the pythons see it. paths: {module: file}. BuildError: one can't read it, or is no CPython
    from 3.9 on."""
    by_version = {}
    for python in pythons:
        version, found = _asked(python, paths) if python != sys.executable else ("%d.%d" % sys.version_info[:2], listing(paths))
        by_version[version] = found
    result = {}
    for module in paths:
        lists = {version: found[module] for version, found in by_version.items()}
        first = next(iter(lists.values()))
        names = [each[0] for each in first]
        for each in lists.values():
            if [one[0] for one in each] != names:
                raise BuildError(f"{module}: the Pythons {', '.join(lists)} do not see the same functions in it")
        seen: "dict[str, int]" = {}
        result[module] = []
        for at, (name, line, free, _) in enumerate(first):
            seen[name] = seen.get(name, 0) + 1
            result[module].append(Definition(name, line, seen[name], names.count(name), tuple(free),
                                             {version: each[at][3] for version, each in lists.items()}))
    return result


def _asked(python: str, paths: "dict[str, str]") -> "tuple[str, dict]":
    try:
        done = subprocess.run([python, "-c", _CHILD % _ROOT], input=json.dumps(paths), capture_output=True, text=True)
    except OSError as e:
        raise BuildError(f"--python {python}: {e.strerror}") from None
    if done.returncode:
        raise BuildError(f"--python {python}: {(done.stderr.strip().splitlines() or ['it failed'])[-1]}")
    version, found = json.loads(done.stdout)
    return version, found



def free_variables(module: Module) -> "dict[tuple[int, str], set[str]]":
    """{(first line, name): free variables} of all functions of a module."""
    found: "dict[tuple[int, str], set[str]]" = {}
    for code, _, _ in tree(compile(module.tree, module.path, "exec", dont_inherit=True)):
        found.setdefault((code.co_firstlineno, code.co_name), set()).update(code.co_freevars)
    return found
