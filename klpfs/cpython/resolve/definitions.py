"""Definitions: the functions of the program that Funcs are for, and the code objects and function objects of each.

A definition is one `def` or lambda in a module's source. All function objects with its code belong to it, wherever they
are kept: behind decorators, in properties, registries, closures, variables. A definition that lies in another function
may have many, or none yet; its code is a constant of the function around it.
"""
from __future__ import annotations

from errno import EINVAL
from types import CodeType, FunctionType

from klpfs.cpython.raw import MARK, class_at
from klpfs.cpython.resolve.code_copies import content, is_alone_there, is_copy, place
from klpfs.cpython.resolve.live_functions import functions_of
from klpfs.cpython.resolve.original_source import is_in_source
from klpfs.engine.error import KlpError
from klpfs.engine.log import pr_err
from klpfs.engine.names import VMLINUX

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from typing import Any

    from klpfs.cpython.resolve.code_copies import Place
    from klpfs.engine.log import Log


class Definition:
    """A function of the program, as a Func's `definition`. Equal only to itself; Registry makes one for each.

    object: name of its module, None for the main program. name: qualified. line: its first. code: the original's.
    originals: the original's code objects, more than one after a reload, and the copies that the program's tools have
    made of them (id -> code). outer: the Definition of the function that it lies in, or None. inners: Definitions that
    lie in it, as far as known. made: code that klpfs made for it, and copies (id -> code). copied: id of a copy of
    such code -> id of that. altered: code of its place in the source that does something else: a tool has written it
    (id -> code). namespaces: dicts of the modules that it is alive in. key, users: the Registry's.
    """

    __slots__ = ("object", "name", "line", "code", "originals", "outer", "inners", "made", "copied", "altered",
                 "namespaces", "key", "users", "_fingerprint", "__weakref__")

    def __init__(self, object: str | None, name: str, code: CodeType, outer: Definition | None,
                 namespace: dict[str, Any]) -> None:
        self.object, self.name, self.code, self.outer = object, name, code, outer
        self.line = code.co_firstlineno
        self.originals = {id(code): code}
        self.made: dict[int, CodeType] = {}
        self.copied: dict[int, int] = {}
        self.altered: dict[int, CodeType] = {}
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
            self._fingerprint = content(self.code)
        return self._fingerprint

    def alike(self, code: CodeType | None) -> dict[int, CodeType]:
        """{id: code} of the codes that are one of the definition's (None: its original) or copies of that."""
        if code is None:
            return self.originals
        return {key: made for key, made in self.made.items() if key == id(code) or self.copied.get(key) == id(code)}

    def model_of(self, code: CodeType) -> CodeType | None:
        """The code of the definition's that a code of its place is a copy of, or None."""
        for key, made in self.made.items():
            if key not in self.copied and is_copy(code, made):
                return made
        # a tool's constants have no fingerprint: is_copy knows them
        return self.code if content(code) == self.fingerprint or is_copy(code, self.code) else None

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
    """

    __slots__ = ("by_code", "_by_key", "holders")

    def __init__(self) -> None:
        self.by_code: dict[int, Definition] = {}
        self._by_key: dict[tuple[Any, ...], Definition] = {}
        self.holders: dict[int, Definition] = {}

    def definition_of(self, fn: FunctionType) -> Definition | None:
        """The Definition that a function object belongs to, or None."""
        return self.holders.get(id(fn)) or self.by_code.get(id(fn.__code__))

    def definitions(self) -> set[Definition]:
        """All definitions that are known."""
        return set(self.by_code.values())

    def definitions_in(self, namespace: dict[str, Any]) -> list[Definition]:
        """The definitions that are known to be alive in a module's dict."""
        return [each for each in self.definitions() if any(space is namespace for space in each.namespaces)]

    def owner_of(self, fn: FunctionType, places: dict[Place, list[Definition]]) -> Definition | None:
        """The Definition that a function object belongs to, or None. places: see places_of; of these Definitions copies
        and altered codes are known, too."""
        owner, code = self.definition_of(fn), fn.__code__
        if owner is not None or place(code) not in places:
            return owner
        return self._note(code, id(fn.__globals__), places[place(code)])

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
        for code in [unit.code, *unit.copies]:
            definition.originals[id(code)] = code
            self.by_code[id(code)] = definition
        if not any(known is namespace for known in definition.namespaces):
            definition.namespaces.append(namespace)
        return definition

    def _note(self, code: CodeType, namespace: int, definitions: Iterable[Definition]) -> Definition | None:
        """The one of these Definitions, of the code's place, that a code of no known owner belongs to, if it is alive
        with globals of that id; or None. The code is noted, as a copy or as altered."""
        there, space = [], None
        for each in definitions:
            for known in each.namespaces:
                if id(known) == namespace:
                    there.append(each)
                    space = known
        for each in there:
            if id(code) in each.altered:        # as before: to ask the source takes its time
                return each
        found = [(each, model) for each in there for model in [each.model_of(code)] if model is not None]
        if len(found) == 1:             # more: functions of one line that can't be told apart by their codes
            definition, model = found[0]
            self.copied(definition, model, code)
            return definition
        if found or space is None or not is_alone_there(code) or is_in_source(space, code):
            return None
        there[-1].altered[id(code)] = code
        return there[-1]

    def note_in_use(self, definitions: Iterable[Definition], suspended: Mapping[int, CodeType],
                    on_stacks: Iterable[tuple[CodeType, int]],
                    with_globals: Callable[[frozenset[int]], list[tuple[CodeType, int]]]) -> None:
        """Copies of codes of these definitions, and altered codes, that something runs or may go on with are noted.

        suspended: {id: code} of the codes of generators and the like; with_globals: gives those of such ids, for each
        object the code with the id of its globals; on_stacks: other codes, each with the id of its globals."""
        places = places_of(definitions)

        def is_asked_for(code: CodeType) -> bool:
            return id(code) not in self.by_code and place(code) in places
        asked_for = frozenset(key for key, code in suspended.items() if is_asked_for(code))
        for code, namespace in (*on_stacks, *(with_globals(asked_for) if asked_for else ())):
            if is_asked_for(code):
                self._note(code, namespace, places[place(code)])

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
            for key in [*unused.originals, *unused.made]:
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

    def copied(self, definition: Definition, code: CodeType, copy: CodeType) -> None:
        """A copy of one of a definition's codes was made. Counterparts: unmade, forget_copies."""
        if id(code) in definition.originals:
            definition.originals[id(copy)] = copy
        else:
            definition.made[id(copy)], definition.copied[id(copy)] = copy, id(code)
        self.by_code[id(copy)] = definition

    def unmade(self, definition: Definition, code: CodeType) -> None:
        """A code object that klpfs made for a definition runs nowhere any more."""
        for key in [id(code), *(copy for copy, model in definition.copied.items() if model == id(code))]:
            definition.made.pop(key, None)
            definition.copied.pop(key, None)
            self.by_code.pop(key, None)

    def forget_copies(self, definition: Definition, alone: Callable[[dict[int, CodeType]], list[int]]) -> None:
        """Copies, and altered codes, that nobody has any more are forgotten: a program may make one for each request.
        alone: gives the keys of a dict's codes that nothing else refers to."""
        for table in (definition.originals, definition.made, definition.altered):
            for key in alone(table):
                if key != id(definition.code) and (table is not definition.made or key in definition.copied):
                    del table[key]
                    definition.copied.pop(key, None)
                    self.by_code.pop(key, None)

    def functions(self, definitions: Iterable[Definition], doubts: set[str] | None = None,
                  altered: set[Definition] | None = None) -> dict[Definition, list[FunctionType]]:
        """{Definition: [its live function objects]} of definitions and of what they lie in. doubts: see functions_of.
        altered: gets the definitions of which function objects have an altered code (Definition.altered)."""
        found: dict[Definition, list[FunctionType]] = {}
        for wanted in definitions:
            for definition in [wanted] + wanted.chain:
                found[definition] = []
        namespaces = {id(space): space for definition in found for space in definition.namespaces}
        places = places_of(found)
        for fn in functions_of(namespaces.values(), doubts):
            owner = self.owner_of(fn, places)
            if owner is None or owner not in found or is_ours(fn):
                continue
            if id(fn.__code__) not in owner.altered:
                found[owner].append(fn)
            elif altered is not None:
                altered.add(owner)
        return found


def places_of(definitions: Iterable[Definition]) -> dict[Place, list[Definition]]:
    """{place: Definitions that have a code there}."""
    places: dict[Place, list[Definition]] = {}
    for definition in definitions:
        for there in {place(code) for table in (definition.originals, definition.made) for code in table.values()}:
            places.setdefault(there, []).append(definition)
    return places


def number_of_codes(definition: Definition) -> int:
    """How many codes are known of a definition."""
    return len(definition.originals) + len(definition.made) + len(definition.altered)


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
