"""Definitions: the functions of the program that Funcs are for, and the code objects and function objects of each.

A definition is one `def` or lambda in a module's source. All function objects with its code belong to it, wherever they
are kept: behind decorators, in properties, registries, closures, variables. A definition that lies in another function
may have many, or none yet; its code is a constant of the function around it.
"""
from __future__ import annotations

import itertools
import weakref
from errno import EINVAL
from types import CodeType, FunctionType

from klpfs.cpython.raw import ITERABLE_COROUTINE, MARK, class_at
from klpfs.cpython.resolve.code_copies import content, is_copy, place
from klpfs.cpython.resolve.live_functions import functions_of
from klpfs.cpython.resolve.owners import OWN, Owners
from klpfs.engine.error import KlpError
from klpfs.engine.log import pr_err
from klpfs.engine.names import VMLINUX

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from typing import Any

    from klpfs.cpython.resolve.code_copies import Place
    from klpfs.engine.data import Func
    from klpfs.engine.log import Log


class Definition:
    """A function of the program, as a Func's `definition`. Equal only to itself; Registry makes one for each.

    object: name of its module, None for the main program. name: qualified. line: its first. code: the original's.
    originals: the original's code objects, more than one after a reload (id -> code). outer: the Definition of the
    function that it lies in, or None. inners: Definitions that lie in it, as far as known. made: code that klpfs made
    for it (id -> code). copies: copies of either kind that the program's tools have made (id -> code); models: id of a
    copy -> id of what it is a copy of. altered: code in its place that does something else: a tool has written it, or
    it is of the text before a reload; what runs it counts as old (id -> code). namespaces: dicts of the modules that it
    is alive in. users: the Funcs that were found to be for it. key, members (ids of function objects): the Registry's.
    """

    __slots__ = ("object", "name", "line", "code", "originals", "outer", "inners", "made", "copies", "models",
                 "altered", "members", "namespaces", "key", "users", "_fingerprint", "_marked", "__weakref__")

    def __init__(self, object: str | None, name: str, code: CodeType, outer: Definition | None,
                 namespace: dict[str, Any]) -> None:
        self.object, self.name, self.code, self.outer = object, name, code, outer
        self.line = code.co_firstlineno
        self.originals = {id(code): code}
        self.made: dict[int, CodeType] = {}
        self.copies: dict[int, CodeType] = {}
        self.models: dict[int, int] = {}
        self.altered: dict[int, CodeType] = {}
        self.members: set[int] = set()
        self.inners: list[Definition] = []
        if outer is not None:
            outer.inners.append(self)
        self.namespaces = [namespace]
        self.key: tuple[Any, ...] | None = None
        self.users: set[Func] = set()
        self._fingerprint: str | None = None
        self._marked = 0            # id of the last answer of `marked`
        _alive.add(weakref.ref(self, _alive.discard))

    @property
    def fingerprint(self) -> str:
        if self._fingerprint is None:
            self._fingerprint = content(self.code)
        return self._fingerprint

    def codes(self) -> Iterator[CodeType]:
        """All codes of the definition that are known, of whatever time."""
        return itertools.chain(self.originals.values(), self.made.values(), self.copies.values(),
                               self.altered.values())

    def is_original(self, code: CodeType) -> bool:
        """Whether a code is the original's, or a copy of that."""
        return self.models.get(id(code), id(code)) in self.originals

    def alike(self, code: CodeType | None) -> dict[int, CodeType]:
        """{id: code} of the codes that are one of the definition's (None: its original) or copies of that."""
        alike = dict(self.originals) if code is None else {id(code): code}
        alike.update((key, copy) for key, copy in self.copies.items() if self.models[key] in alike)
        return alike

    def marked(self) -> CodeType | None:
        """A copy of the original on which types.coroutine's mark is, or None."""
        copy = self.copies.get(self._marked)
        if copy is None or not copy.co_flags & ITERABLE_COROUTINE or self.models[self._marked] not in self.originals:
            # a program may make a copy for each request: so the search is not made for each
            found = [key for key, copy in self.copies.items()
                     if copy.co_flags & ITERABLE_COROUTINE and self.models[key] in self.originals]
            self._marked = found[0] if found else 0
            copy = self.copies.get(self._marked)
        return copy

    def model_of(self, code: CodeType, anywhere: bool = False) -> CodeType | None:
        """The code of the definition's that a code is a copy of, or None. anywhere: also one with another name, file or
        line."""
        its_content = ""
        for model in [*self.made.values(), *self.originals.values()]:
            if is_copy(code, model) and (anywhere or place(code) == place(model)):
                return model
            if place(code) == place(model):
                its_content = its_content or content(code)
                if its_content == content(model):       # made anew, constants too: by marshal, by a rewriter
                    return model
        return None

    def places(self) -> set[Place]:
        """The places of the definition's codes."""
        return {place(code) for table in (self.originals, self.made) for code in table.values()}

    def is_alive_in(self, namespace: int) -> bool:
        """Whether the definition is alive in the dict with that id."""
        return any(id(known) == namespace for known in self.namespaces)

    @property
    def chain(self) -> list[Definition]:
        """The definitions around this one, innermost first."""
        around, outer = [], self.outer
        while outer is not None:
            around.append(outer)
            outer = outer.outer
        return around

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


_alive: set[weakref.ref[Definition]] = set()


def alive() -> list[Definition]:
    """All definitions of the process that are alive, forgotten ones too: those may be garbage that no collection has
    found yet, and their dicts of codes, which the collector does not track, hold codes of the program."""
    return [found for found in [reference() for reference in list(_alive)] if found is not None]


class Unit:
    """A candidate for a definition: one code object that is alive in a module, and the function objects that have it.

    copies: other code objects of the same definition that lies in another function: `code` is what lies there, and
    function objects have copies that a tool has made, or what lay there before the module was loaded again."""

    __slots__ = ("code", "name", "outer", "functions", "copies")

    def __init__(self, code: CodeType, name: str | None, outer: Unit | None) -> None:
        self.code, self.name, self.outer = code, name, outer
        self.functions: list[FunctionType] = []
        self.copies: list[CodeType] = []


class Registry:
    """All definitions that a Func was ever found for, by the code objects that belong to them.

    by_code: id(code) -> Definition. holders: id(function) -> Definition, of functions that hold a dispatcher now.
    in_force: gives, for the code of a dispatcher that stayed in a function when its transition was over, the code that
    is in force there; for other code that itself.
    """

    __slots__ = ("by_code", "holders", "in_force", "_by_key", "_members")

    def __init__(self) -> None:
        self.by_code: dict[int, Definition] = {}
        self.holders: dict[int, Definition] = {}
        self.in_force: Callable[[CodeType], CodeType] = _itself
        self._by_key: dict[tuple[Any, ...], Definition] = {}
        self._members: dict[int, tuple[weakref.ref[FunctionType], Definition]] = {}     # id(function) -> see `member`

    def definitions(self) -> set[Definition]:
        """All definitions that are known."""
        return set(self.by_code.values())

    def definitions_in(self, namespace: dict[str, Any]) -> list[Definition]:
        """The definitions that are known to be alive in a module's dict."""
        return [each for each in self.definitions() if any(space is namespace for space in each.namespaces)]

    def note_member(self, fn: FunctionType, definition: Definition) -> None:
        """A function object is the definition's, whatever code a tool gives it later. Counterparts: unuse,
        forget_copies."""
        before = self._members.get(id(fn))
        if before is not None:
            before[1].members.discard(id(fn))
        self._members[id(fn)] = weakref.ref(fn), definition
        definition.members.add(id(fn))

    def member(self, fn: FunctionType) -> Definition | None:
        """The Definition that a function object was of when it was noted, or None."""
        reference, definition = self._members.get(id(fn), (None, None))
        return definition if reference is not None and reference() is fn else None

    def adopt(self, object: str | None, unit: Unit, namespace: dict[str, Any],
              position: int | None = None) -> Definition:
        """The Definition of a unit: the known one, the one of an earlier load of the same code, or a new one.

        position: tells apart those of one name, line and content; else None.
        """
        definition = self.by_code.get(id(unit.code))
        if definition is None:
            outer = self.adopt(object, unit.outer, namespace) if unit.outer is not None else None
            key = (object, unit.name, unit.code.co_firstlineno, content(unit.code), position, outer)
            definition = self._by_key.get(key)
            if definition is None:
                assert unit.name is not None
                definition = self._by_key[key] = Definition(object, unit.name, unit.code, outer, namespace)
                definition.key = key
        definition.originals[id(unit.code)] = unit.code
        self.by_code[id(unit.code)] = definition
        for code in unit.copies:
            self.copied(definition, unit.code, code)
        for fn in unit.functions:
            self.note_member(fn, definition)
        if not any(known is namespace for known in definition.namespaces):
            definition.namespaces.append(namespace)
        return definition

    def use(self, definition: Definition, func: Func) -> None:
        """A Func was found to be for a definition. Counterpart: unuse."""
        definition.users.add(func)

    def unuse(self, definition: Definition, func: Func) -> None:
        """A Func of a definition is over. A definition that has none left is forgotten: found again, it is a new
        one."""
        definition.users.discard(func)
        unused: Definition | None = definition
        while unused is not None and not unused.users and not unused.inners and (
                unused.key is not None and self._by_key.get(unused.key) is unused):
            del self._by_key[unused.key]
            for key in [*unused.originals, *unused.made, *unused.copies]:
                if self.by_code.get(key) is unused:
                    del self.by_code[key]
            for key in unused.members:
                if self._members.get(key, (None, None))[1] is unused:
                    del self._members[key]
            outer = unused.outer
            if outer is not None:
                outer.inners.remove(unused)
            unused = outer

    def made(self, definition: Definition, code: CodeType) -> None:
        """A code object was made by klpfs to run for a definition. Counterpart: unmade."""
        definition.made[id(code)] = code
        self.by_code[id(code)] = definition

    def copied(self, definition: Definition, code: CodeType, copy: CodeType) -> None:
        """A copy of one of a definition's codes was made. Counterparts: unmade, forget_copies."""
        definition.copies[id(copy)], definition.models[id(copy)] = copy, definition.models.get(id(code), id(code))
        self.by_code[id(copy)] = definition

    def unmade(self, definition: Definition, code: CodeType) -> None:
        """A code object that klpfs made for a definition runs nowhere any more."""
        copies = [copy for copy, model in definition.models.items() if model == id(code)]
        definition.made.pop(id(code), None)
        self.by_code.pop(id(code), None)
        for key in copies:
            self._forget_copy(definition, key)

    def _forget_copy(self, definition: Definition, key: int) -> None:
        del definition.copies[key], definition.models[key]
        self.by_code.pop(key, None)

    def forget_copies(self, alone: Callable[[dict[int, CodeType]], list[int]]) -> None:
        """Copies, and altered codes, that nobody has any more are forgotten: a program may make one for each request.
        So are function objects that are gone. alone: gives the keys of a dict's codes that nothing else refers to."""
        for definition in self.definitions():
            for key in alone(definition.copies) if definition.copies else ():
                self._forget_copy(definition, key)
            for key in alone(definition.altered) if definition.altered else ():
                del definition.altered[key]
        for key, (reference, definition) in list(self._members.items()):
            if reference() is None:
                del self._members[key]
                definition.members.discard(key)

    def functions(self, definitions: Iterable[Definition], doubts: set[str] | None = None,
                  strangers: set[tuple[Definition, str]] | None = None) -> dict[Definition, list[FunctionType]]:
        """{Definition: [its live function objects]} of definitions and of what they lie in. doubts: see functions_of.
        strangers: gets the definitions of which function objects have code from a tool that is not theirs, each with
        ALTERED or FOREIGN (owners.py)."""
        found: dict[Definition, list[FunctionType]] = {}
        for wanted in definitions:
            for definition in [wanted] + wanted.chain:
                found[definition] = []
        namespaces = {id(space): space for definition in found for space in definition.namespaces}
        owners = Owners(self, found)
        for fn in functions_of(namespaces.values(), doubts):
            owner, kind = owners.judge(fn)
            if owner is None or owner not in found or is_ours(fn):
                continue
            if kind is OWN:
                found[owner].append(fn)
            elif strangers is not None:
                strangers.add((owner, kind))
        return found


def _itself(code: CodeType) -> CodeType:
    return code


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
