"""The files of two versions, paired: Python modules by their dotted names, and what is no Python."""
from __future__ import annotations

import ast
import io
import os
import re
import tokenize
from collections.abc import Iterable, Sequence

from attrs import define, field

from klpfs.builder.error import BuildError
from klpfs.builder.read.elf import same_code
from klpfs.builder.read.other_pythons import NoAnswer, ask, version_of
from klpfs.builder.read.source_listing import python_version
from klpfs.builder.read.source_text import Source
from klpfs.builder.read.sources import Release
from klpfs.cpython.load.known_syntax import unknown_in

EXTENSIONS = (".so", ".pyd", ".dylib")
_EXTENSION_SUFFIX = re.compile(r"(\.cpython-[^./]*|\.abi3|\.cp\d+-[^./]*)?\.(so|pyd|dylib)$")


@define(eq=False)
class Module:
    """A parsed module of one version. path: for messages, 'LABEL: FILE'."""

    name: str
    path: str
    source: Source
    tree: ast.Module
    is_package: bool

    @property
    def file(self) -> str:
        """The module's path in its release."""
        return self.path.rpartition(": ")[2]


@define(eq=False)
class Pair:
    """A module of both versions, of OLD alone or of NEW alone."""

    name: str
    old: Module | None
    new: Module | None


@define(eq=False)
class CommonPair:
    """A module that both versions have."""

    name: str
    old: Module
    new: Module


@define
class Pairs:
    """All that differs between two releases.

    changed: modules whose files differ, or that one release alone has. data: files that are no Python. compiled: Python
    files that nobody runs, since a compiled module of the same name hides them. rebuilt: compiled modules. """

    old: Release
    new: Release
    changed: list[Pair] = field(factory=list)
    data: list[str] = field(factory=list)
    compiled: list[str] = field(factory=list)
    rebuilt: list[str] = field(factory=list)

    @property
    def common(self) -> dict[str, CommonPair]:
        """{name: pair} of the changed modules that both versions have."""
        return {each.name: CommonPair(each.name, each.old, each.new) for each in self.changed if each.old and each.new}


def pair(old: Release, new: Release, pythons: Sequence[str] = ()) -> Pairs:
    """Compares the files of two releases. pythons: interpreters that the patch is to fit. BuildError: a file does not
    parse; there is no Python file in common."""
    found = Pairs(old, new)
    if not any(path.endswith(".py") for path in old.files.keys() & new.files.keys()):
        raise BuildError(f"{old.label} and {new.label} have no Python file in common: "
                         "are they versions of one package?")
    hidden = {_EXTENSION_SUFFIX.sub("", path) for release in (old, new)
              for path in release.files if path.endswith(EXTENSIONS)}
    for path in sorted(old.files.keys() | new.files.keys()):
        before, after = (read(release.files[path]) if path in release.files else None for release in (old, new))
        if before == after:
            continue
        if path.endswith(EXTENSIONS):
            if before is None or after is None or not same_code(before, after):
                found.rebuilt.append(path)
        elif not path.endswith(".py"):
            found.data.append(path + (" (added)" if before is None else " (removed)" if after is None else ""))
        elif path[:-3] in hidden:
            found.compiled.append(path)
        else:
            found.changed.append(Pair(module_name(path), None if before is None else parse(old, path, before, pythons),
                                      None if after is None else parse(new, path, after, pythons)))
    return found


def module_name(path: str) -> str:
    """The dotted name of a Python file on the import path."""
    name = path[:-3].replace(os.sep, ".")
    return name[:-len(".__init__")] if name.endswith(".__init__") else name


def path_of(name: str, paths: Iterable[str]) -> str | None:
    """The path of a module's file, of these paths on the import path; None: it is not among them."""
    return next((path for path in paths if path.endswith(".py") and module_name(path) == name), None)


def read(path: str) -> bytes:
    """A file's content. BuildError: it can't be read."""
    try:
        with open(path, "rb") as file:
            return file.read()
    except OSError as e:
        raise BuildError(f"{path}: {e.strerror}") from None


def parse(release: Release, path: str, content: bytes | None = None, pythons: Sequence[str] = ()) -> Module:
    """A module of a release, parsed. content: of its file, read already. pythons: as for pair(). BuildError: it does
    not parse, or is of syntax that klpfs does not know."""
    content = read(release.files[path]) if content is None else content
    shown = f"{release.label}: {path}"
    try:
        text = decoded(content)
        tree = ast.parse(content, path)
    except (SyntaxError, ValueError) as e:
        raise BuildError(f"{shown}:{getattr(e, 'lineno', None) or 1}: {getattr(e, 'msg', None) or e}: "
                         f"{_who_reads(content, pythons)}") from None
    unknown = unknown_in(tree)
    if unknown is not None:
        raise BuildError(f"{shown}:{unknown[0]}: {unknown[1]}")
    return Module(module_name(path), shown, Source(text), tree, path.endswith("__init__.py"))


_READS = "import ast, sys; ast.parse(sys.stdin.buffer.read())"


def _who_reads(content: bytes, pythons: Sequence[str]) -> str:
    """Words that say with which klpfs to build, about a file that this Python can't read."""
    here = f"klpfs runs on {python_version()}"
    for python in pythons:
        try:
            ask(python, _READS, input=content)
        except NoAnswer:
            continue            # it can't read the file either; what can't be run is named with its definitions
        version = version_of(python)
        if version is not None and "{}.{}".format(*version) != python_version():
            return f"{here}; build with a klpfs on {version[0]}.{version[1]}"
    return f"{here}; what is syntax of a later Python takes a klpfs on that one"


def decoded(content: bytes) -> str:
    """A Python file's text, by the encoding that the file declares, with line ends as ast counts them."""
    encoding, _ = tokenize.detect_encoding(io.BytesIO(content).readline)
    return io.TextIOWrapper(io.BytesIO(content), encoding, newline=None).read()
