"""The source of a loaded module as a tree of definitions, if it is the source of what is running.

The file may have been replaced since it was loaded, so nothing of it is believed: each function that is alive and comes
from the file must be found in it with the same code. Else the tree is empty and first lines decide.
"""
from __future__ import annotations

from types import CodeType

from klpfs.cpython.load.compiler_warnings import Unheard
from klpfs.cpython.load.parse import parse
from klpfs.cpython.raw import first_line
from klpfs.cpython.resolve.code_copies import content
from klpfs.cpython.resolve.codes import positions, tree

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any


class SourceTree:
    """The definitions of a module's source, each with a place: a number in source order. False when there are none.

    code: the module's code object, compiled anew, or None. entries: [(code, qualified name, code around it)] by place.
    """

    __slots__ = ("code", "entries", "_by_line")

    def __init__(self, namespace: dict[str, Any], live: list[CodeType]) -> None:
        """live: code objects that are alive in the module, of this file or others."""
        code = module_code(namespace)
        self.entries = tree(code) if code is not None else []
        self._by_line: dict[tuple[str, int], list[int]] = {}
        self.code = code
        for place, (definition, _name, _around) in enumerate(self.entries):
            self._by_line.setdefault((definition.co_name, definition.co_firstlineno), []).append(place)
        if code is None:
            return
        names = _file_names(namespace)
        if any(alive.co_filename.rpartition("/")[2] in names and not self._candidates(alive) for alive in live):
            self.entries, self._by_line, self.code = [], {}, None

    def __bool__(self) -> bool:
        return bool(self.entries)

    def _candidates(self, code: CodeType) -> Sequence[int]:
        """The places at which a code object may lie."""
        places = self._by_line.get((code.co_name, code.co_firstlineno), ())
        if not places:
            return ()
        wanted = content(code)
        candidates = [place for place in places if content(self.entries[place][0]) == wanted]
        if len(candidates) > 1:
            where = positions(code)
            exact = [place for place in candidates if where and positions(self.entries[place][0]) == where]
            candidates = exact or candidates
        return candidates

    def several(self, code: CodeType) -> bool:
        """Whether more than one definition of the source looks like this code."""
        return len(self._candidates(code)) > 1

    def place(self, code: CodeType) -> int | None:
        """The place of a code object that is alive; None if it is not in the source, or at several places."""
        candidates = self._candidates(code)
        return candidates[0] if len(candidates) == 1 else None

    def name(self, code: CodeType) -> str | None:
        """The qualified name of a code object that is alive; None if the source does not tell."""
        names = {self.entries[place][1] for place in self._candidates(code)}
        return names.pop() if len(names) == 1 else None

    def places(self, name: str) -> list[int]:
        """The places of all definitions of a qualified name, alive or not, in order."""
        return [place for place, entry in enumerate(self.entries) if entry[1] == name]


def defaults_of(namespace: dict[str, Any], code: CodeType) -> tuple[int, set[str]] | None:
    """(number of positional defaults, names of keyword-only parameters with a default) of a function's code, by its
    source.

    None: the source is not to be had, or the function not to be told apart from another of its line. Only for a tree
    that is believed.
    """
    import ast
    path: Any = dict.get(namespace, "__file__")
    try:
        module = parse(_text(namespace, path), path)
    except (OSError, SyntaxError, ValueError, TypeError):
        return None
    found = []
    for node in ast.walk(module):
        name = "<lambda>" if isinstance(node, ast.Lambda) else getattr(node, "name", None)
        if (isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)) and name == code.co_name
                and first_line(node) == code.co_firstlineno):
            args = node.args
            found.append((len(args.defaults),
                          {arg.arg for arg, value in zip(args.kwonlyargs, args.kw_defaults) if value is not None}))
    return found[0] if len(found) == 1 else None


def _file_names(namespace: dict[str, Any]) -> set[str]:
    """Base names of a module's file: what a script's code calls its file may be relative."""
    paths = [dict.get(namespace, key) for key in ("__file__", "__cached__")]
    return {path.rpartition("/")[2] for path in paths if type(path) is str}


def module_code(namespace: dict[str, Any]) -> CodeType | None:
    """The code object of a module's file, compiled anew, or read from its .pyc; None if the file has none."""
    path = dict.get(namespace, "__file__")
    if type(path) is not str:
        return None
    try:
        if path.endswith(".pyc"):
            import marshal
            with open(path, "rb") as file:
                found = marshal.loads(file.read()[16:])
            return found if type(found) is CodeType else None
        with Unheard():
            return compile(_text(namespace, path), path, "exec", dont_inherit=True)
    except (OSError, SyntaxError, ValueError, EOFError, TypeError):
        return None


def _text(namespace: dict[str, Any], path: Any) -> bytes:
    import zipimport
    loader = dict.get(namespace, "__loader__")
    if type(loader) is zipimport.zipimporter:
        return loader.get_data(path)
    with open(path, "rb") as file:
        return file.read()
