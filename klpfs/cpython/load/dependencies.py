"""Dependencies: which names the code of a livepatch file uses, and which of its statements new functions need.

A helper is a statement of the file's top level (a function, a class, an assignment) that new functions use by name, or
that another helper uses. Found by the text; nothing here runs the file.
"""
from __future__ import annotations

import ast
import re

from klpfs.cpython.code_names import globals_of
from klpfs.cpython.load.name_rewriter import references
from klpfs.cpython.load.scopes import arguments, bindings
from klpfs.cpython.load.source_file import ANNOTATIONS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from klpfs.cpython.load.loader import LoadedModule
    from klpfs.cpython.load.name_rewriter import Used

_NAME = re.compile(r"[^\W\d]\w*")


class Statement:
    """A statement of the top level. bound: the names that it binds.

    used: {global name that its functions use: node of the first use, or None: see references}. stored: names of their
    global statements. evaluated: names that the statement itself uses when it runs. `used`, `stored` and `evaluated`
    are found when they are asked for: those of most statements never are.
    """

    __slots__ = ("node", "bound", "_future", "_references")

    def __init__(self, node: ast.stmt, future: bool) -> None:
        self.node = node
        self.bound = bindings([node])[0]
        self._future = future
        self._references: tuple[Used, set[str], set[str]] | None = None

    def _found(self) -> tuple[Used, set[str], set[str]]:
        if self._references is None:
            self._references = references(self.node, self._future)
        return self._references

    @property
    def used(self) -> Used:
        return self._found()[0]

    @property
    def stored(self) -> set[str]:
        return self._found()[1]

    @property
    def evaluated(self) -> set[str]:
        return self._found()[2]


class Dependencies:
    """The dependencies of one loaded livepatch. They hold nodes of its file's tree until `forget`."""

    __slots__ = ("_loaded", "_statements", "_binders", "_helpers")

    def __init__(self, loaded: LoadedModule) -> None:
        self._loaded = loaded
        self.forget()

    def forget(self) -> None:
        """Lets go of all that was found; it is found again when it is asked for."""
        self._statements: list[Statement] | None = None
        self._binders: dict[str, list[Statement]] | None = None
        self._helpers: dict[str | None, list[Statement]] = {}

    @property
    def statements(self) -> list[Statement]:
        if self._statements is None:
            file = self._loaded.file
            future = bool(file.flags & ANNOTATIONS)
            self._statements = [Statement(node, future) for node in file.tree.body]
        return self._statements

    def binders(self, name: str) -> list[Statement]:
        """The statements that bind a name."""
        if self._binders is None:
            self._binders = {}
            for statement in self.statements:
                for bound in statement.bound:
                    self._binders.setdefault(bound, []).append(statement)
        return self._binders.get(name, [])

    def stored(self, but: set[str]) -> set[str]:
        """Names that global statements in functions of the file name. but: names of functions to be left out, whose
        globals are other modules'."""
        if "global" not in self._loaded.file.text:
            return set()
        statements = [statement for statement in self.statements if not (statement.bound and statement.bound <= but)]
        return set().union(*(statement.stored for statement in statements))

    def unbindable(self, bound: set[str]) -> set[str]:
        """Names of global statements in functions that may be unbound when a function reads them: all but those of
        bound, what the file's top level has bound, and those of them that something in the functions unbinds."""
        if "global" not in self._loaded.file.text:
            return set()
        names: set[str] = set()
        for statement in self.statements:
            if statement.stored:
                names |= statement.stored - bound
                unbound = tuple(filter(None, map(_unbound, ast.walk(statement.node))))
                names.update(name for name in statement.stored if name.endswith(unbound))   # private ones are mangled
        return names

    def helpers(self, object: str | None) -> list[Statement]:
        """The helpers that new functions of an object need."""
        helpers = self._helpers.get(object)
        if helpers is None:
            helpers = self._helpers[object] = self._needed(object)
        return helpers

    def _needed(self, object: str | None) -> list[Statement]:
        loaded = self._loaded
        todo: set[str] = set()
        for new in loaded.new_functions(object):
            place = loaded.node_of(new)
            if place is not None:
                todo |= globals_of(new.__code__) | _evaluated_later(place[0])
        needed: dict[int, Statement] = {}
        while todo:
            name = todo.pop()
            if name not in loaded.own:
                continue
            for statement in self.binders(name):
                if id(statement) not in needed:
                    needed[id(statement)] = statement
                    todo |= statement.used.keys() | statement.evaluated
        return list(needed.values())


def _unbound(node: Any) -> str | None:
    """The name that a node unbinds: a deletion, or what an exception was caught as."""
    if isinstance(node, ast.Name):
        return node.id if isinstance(node.ctx, ast.Del) else None
    return node.name if isinstance(node, ast.ExceptHandler) else None


def _evaluated_later(node: Any) -> set[str]:
    """Names in a new function's annotations, which are texts, and in what belongs to its type parameters."""
    texts = [argument.annotation for argument in arguments(node)] + [getattr(node, "returns", None)]
    names = {name for text in texts if isinstance(text, ast.Constant) and isinstance(text.value, str)
             for name in _NAME.findall(text.value)}
    parameters = [part for parameter in getattr(node, "type_params", ()) for part in ast.walk(parameter)]
    return names.union(part.id for part in parameters if isinstance(part, ast.Name))
