"""Definitions: the functions of the program that Funcs are for, and the code objects and function objects of each.

A definition is one `def` or lambda in a module's source. All function objects with its code belong to it, wherever they
are kept: behind decorators, in properties, registries, closures, variables. A definition that lies in another function
may have many, or none yet; its code is a constant of the function around it.
"""
from __future__ import annotations

from errno import EINVAL
from types import CodeType, FunctionType

from klpfs.cpython.raw import MARK, class_at
from klpfs.cpython.resolve.fingerprint import fingerprint
from klpfs.cpython.resolve.live_functions import functions_of
from klpfs.engine.error import KlpError
from klpfs.engine.log import pr_err
from klpfs.engine.names import VMLINUX

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import Any

    from klpfs.engine.log import Log


def _place(code: CodeType) -> tuple[str, int, str]:
    return code.co_filename, code.co_firstlineno, code.co_name


def _is_equal(code: CodeType, wanted: str) -> bool:
    try:
        return fingerprint(code) == wanted
    except TypeError:           # a tool has put an object among its constants
        return False


class Definition:
    """A function of the program, as a Func's `definition`. Equal only to itself; Registry makes one for each.

    object: name of its module, None for the main program. name: qualified. line: its first. code: the original's.
    originals: the original's code objects, more than one after a reload (id -> code). outer: the Definition of the
    function that it lies in, or None. inners: Definitions that lie in it, as far as known. made: code that klpfs made
    for it (id -> code). exchanged: code that its functions had before a tool of the program gave them an equal one.
    namespaces: dicts of the modules that it is alive in. key, users: the Registry's.
    """

    __slots__ = ("object", "name", "line", "code", "originals", "outer", "inners", "made", "exchanged", "namespaces",
                 "key", "users", "_fingerprint", "__weakref__")

    def __init__(self, object: str | None, name: str, code: CodeType, outer: Definition | None,
                 namespace: dict[str, Any]) -> None:
        self.object, self.name, self.code, self.outer = object, name, code, outer
        self.line = code.co_firstlineno
        self.originals = {id(code): code}
        self.made: dict[int, CodeType] = {}
        self.exchanged: dict[int, CodeType] = {}
        self.inners: list[Definition] = []
        if outer is not None:
            outer.inners.append(self)
        self.namespaces = [namespace]
        self.key: tuple[Any, ...] | None = None
        self.users = 0
        self._fingerprint: str | None = None

    @property
    def fingerprint(self) -> str:
        if self._fingerprint is None:
            self._fingerprint = fingerprint(self.code)
        return self._fingerprint

    @property
    def chain(self) -> list[Definition]:
        """The definitions around this one, innermost first."""
        chain, outer = [], self.outer
        while outer is not None:
            chain.append(outer)
            outer = outer.outer
        return chain

    @property
    def shown(self) -> str:
        """The name of the definition's object in the log: 'vmlinux' for the main program."""
        return VMLINUX if self.object is None else self.object

    @property
    def title(self) -> str:
        """The definition's name in the log."""
        return f"function '{self.name}' in object '{self.shown}'"

    def __repr__(self) -> str:
        return f"<{self.name} of {self.shown}, line {self.line}>"


class Unit:
    """A candidate for a definition: one code object that is alive in a module, and the function objects that have
    it."""

    __slots__ = ("code", "name", "outer", "functions")

    def __init__(self, code: CodeType, name: str | None, outer: Unit | None) -> None:
        self.code, self.name, self.outer = code, name, outer
        self.functions: list[FunctionType] = []


class Registry:
    """All definitions that a Func was ever found for, by the code objects that belong to them.

    by_code: id(code) -> Definition. holders: id(function) -> Definition, of functions that hold a dispatcher now.
    """

    __slots__ = ("by_code", "_by_key", "holders")

    def __init__(self) -> None:
        self.by_code: dict[int, Definition] = {}
        self._by_key: dict[tuple[Any, ...], Definition] = {}
        self.holders: dict[int, Definition] = {}

    def definition_of(self, fn: FunctionType) -> Definition | None:
        """The Definition that a function object belongs to, or None."""
        return self.holders.get(id(fn)) or self.by_code.get(id(fn.__code__))

    def adopt(self, object: str | None, unit: Unit, namespace: dict[str, Any], place: int | None = None) -> Definition:
        """The Definition of a unit: the known one, the one of an earlier load of the same code, or a new one.

        place: tells apart those of one name, line and content; else None.
        """
        definition = self.by_code.get(id(unit.code))
        if definition is None:
            outer = self.adopt(object, unit.outer, namespace) if unit.outer is not None else None
            key = (object, unit.name, unit.code.co_firstlineno, fingerprint(unit.code), place, outer)
            definition = self._by_key.get(key)
            if definition is None:
                assert unit.name is not None
                definition = self._by_key[key] = Definition(object, unit.name, unit.code, outer, namespace)
                definition.key = key
            definition.originals[id(unit.code)] = unit.code
            self.by_code[id(unit.code)] = definition
        if not any(known is namespace for known in definition.namespaces):
            definition.namespaces.append(namespace)
        return definition

    def note_exchanged(self, definitions: Iterable[Definition], suspended: Iterable[CodeType],
                       on_stacks: Iterable[tuple[CodeType, int]], globals_of: Callable[[CodeType], set[int]]) -> None:
        """Codes in use that functions of these definitions had before a tool of the program exchanged them with equal
        ones (`f.__code__ = f.__code__.replace(...)`) are noted. suspended: the codes of generators and the like;
        globals_of: gives the ids of those objects' globals; on_stacks: other codes, each with the id of its globals."""
        places: dict[tuple[str, int, str], list[Definition]] = {}
        for definition in definitions:
            for place in {_place(code) for code in definition.originals.values()}:
                places.setdefault(place, []).append(definition)
        for code in suspended:
            if id(code) not in self.by_code and _place(code) in places:
                self._note_exchanged(code, places[_place(code)], globals_of(code))
        for code, namespace in on_stacks:
            if id(code) not in self.by_code and _place(code) in places:
                self._note_exchanged(code, places[_place(code)], {namespace})

    def _note_exchanged(self, code: CodeType, definitions: list[Definition], namespaces: set[int]) -> None:
        found = [definition for definition in definitions
                 if any(id(known) in namespaces for known in definition.namespaces)
                 and _is_equal(code, definition.fingerprint)]
        if len(found) == 1:             # more: functions of one line that can't be told apart by their codes
            found[0].exchanged[id(code)] = code
            self.by_code[id(code)] = found[0]

    def use(self, definition: Definition) -> None:
        """A Func was found to be for a definition. Counterpart: unuse."""
        definition.users += 1

    def unuse(self, definition: Definition) -> None:
        """A Func of a definition is over. A definition that has none left is forgotten: found again, it is a new
        one."""
        definition.users -= 1
        unused: Definition | None = definition
        while unused is not None and unused.users <= 0 and not unused.inners and (
                unused.key is not None and self._by_key.get(unused.key) is unused):
            del self._by_key[unused.key]
            for key in [*unused.originals, *unused.made, *unused.exchanged]:
                if self.by_code.get(key) is unused:
                    del self.by_code[key]
            outer = unused.outer
            if outer is not None:
                outer.inners.remove(unused)
            unused = outer

    def made(self, definition: Definition, code: CodeType) -> None:
        """A code object was made by klpfs to run for a definition. Counterpart: unmade."""
        definition.made[id(code)] = code
        self.by_code[id(code)] = definition

    def unmade(self, definition: Definition, code: CodeType) -> None:
        """A code object that klpfs made for a definition runs nowhere any more."""
        definition.made.pop(id(code), None)
        self.by_code.pop(id(code), None)

    def functions(self, definitions: Iterable[Definition], doubts: set[str] | None = None) -> \
            dict[Definition, list[FunctionType]]:
        """{Definition: [its live function objects]} of definitions and of what they lie in. doubts: see
        functions_of."""
        found: dict[Definition, list[FunctionType]] = {}
        for wanted in definitions:
            for definition in [wanted] + wanted.chain:
                found[definition] = []
        namespaces = {id(space): space for definition in found for space in definition.namespaces}
        for fn in functions_of(namespaces.values(), doubts):
            owner = self.definition_of(fn)
            if owner is not None and owner in found and not is_ours(fn):
                found[owner].append(fn)
        return found


def class_of(namespace: dict[str, Any], name: str) -> type | None:
    """The class that the definition of a qualified name lies in, or None: its name leads there, and not to a
    function."""
    path = name.rpartition(".")[0]
    return class_at(namespace, path) if path and "<locals>" not in path else None


def is_ours(fn: FunctionType) -> bool:
    """Whether klpfs made a function object, which then is no part of the program: sides' functions, stand-ins for
    functions that nobody has made yet."""
    return hasattr(fn, MARK)


def not_replaceable(log: Log, definition: Definition, why: str) -> KlpError:
    """The error, already logged, for a definition that a new function cannot replace."""
    return KlpError(EINVAL, pr_err(log, f"{definition.title} cannot be replaced: {why}"))
