"""The files of two versions, paired: Python modules by their dotted names, and what is no Python."""
import ast
import os
import re
import typing

from attrs import define, field

from klpfs.builder.read.elf import same_code
from klpfs.builder.error import BuildError
from klpfs.builder.read.sources import Release
from klpfs.builder.read.source_text import Source

EXTENSIONS = (".so", ".pyd", ".dylib")
COMPILED_FROM = (".pyx", ".pxd", ".c", ".cc", ".cpp", ".h", ".rs")
_MARK = re.compile(r"(\.cpython-[^./]*|\.abi3|\.cp\d+-[^./]*)?\.(so|pyd|dylib)$")


@define(eq=False)
class Module:
    """A parsed module of one version. path: for messages."""

    name: str
    path: str
    source: Source
    tree: ast.Module
    is_package: bool

    @property
    def file(self) -> str:
        """Its path in the release."""
        return self.path.rpartition(": ")[2]


@define(eq=False)
class Pair:
    """A module of both versions, of OLD alone or of NEW alone."""

    name: str
    old: typing.Optional[Module]
    new: typing.Optional[Module]


@define
class Pairs:
    """changed: Pairs whose files differ. data: files that are no Python and differ. compiled: Python modules that differ, and
    which nobody runs since they are compiled as well. rebuilt: compiled modules that differ. new, old: the releases."""

    old: Release
    new: Release
    changed: "list[Pair]" = field(factory=list)
    data: "list[str]" = field(factory=list)
    compiled: "list[str]" = field(factory=list)
    rebuilt: "list[str]" = field(factory=list)


def pair(old: Release, new: Release) -> Pairs:
    """BuildError: a file that does not parse; no file in common."""
    found = Pairs(old, new)
    if not any(path.endswith(".py") for path in old.files.keys() & new.files.keys()):
        raise BuildError(f"{old.label} and {new.label} have no Python file in common: are they versions of one package?")
    hidden = {_MARK.sub("", path) for release in (old, new) for path in release.files if path.endswith(EXTENSIONS)}
    for path in sorted(old.files.keys() | new.files.keys()):
        one, other = (read(release.files[path]) if path in release.files else None for release in (old, new))
        if one == other:
            continue
        if path.endswith(EXTENSIONS):
            if one is None or other is None or not same_code(one, other):
                found.rebuilt.append(path)
        elif not path.endswith(".py"):
            found.data.append(path + (" (added)" if one is None else " (removed)" if other is None else ""))
        elif path[:-3] in hidden:
            found.compiled.append(path)
        else:
            name = module_name(path)
            found.changed.append(Pair(name, parse(old, path, one), parse(new, path, other)))
    return found


def module_name(path: str) -> str:
    name = path[:-3].replace(os.sep, ".")
    return name[:-len(".__init__")] if name.endswith(".__init__") else name


def read(path: str) -> bytes:
    try:
        with open(path, "rb") as file:
            return file.read()
    except OSError as e:
        raise BuildError(f"{path}: {e.strerror}") from None


def parse(release: Release, path: str, content: typing.Optional[bytes] = None) -> typing.Optional[Module]:
    """One module of a release; None if it has none of that path. BuildError: it does not parse."""
    if path not in release.files:
        return None
    content = read(release.files[path]) if content is None else content
    shown = f"{release.label}: {path}"
    try:
        text = ast_text(content)
        tree = ast.parse(content, path)
    except (SyntaxError, ValueError) as e:
        raise BuildError(f"{shown}:{getattr(e, 'lineno', None) or 1}: {getattr(e, 'msg', None) or e}: this Python can't "
                         "read it (--python takes that of the service)") from None
    return Module(module_name(path), shown, Source(text), tree, path.endswith("__init__.py"))


def ast_text(content: bytes) -> str:
    import io
    import tokenize
    encoding, _ = tokenize.detect_encoding(io.BytesIO(content).readline)
    return io.TextIOWrapper(io.BytesIO(content), encoding, newline=None).read()
