"""The owners of function objects, and of codes that something runs: which definition each belongs to, where a tool of
the program may have put another code object in the place of its own (code_copies.py).

What is sure comes first: the code object itself, then a function object that was the definition's before. Else a code
counts by its place and content, and only where no other definition can have that place: lambdas of one line, or the
methods of two dataclasses, have equal codes. A module that was loaded again has other text at a known place, too; so a
function object that klpfs never saw, with a code that does something else, belongs to nobody.
"""
from __future__ import annotations

from operator import eq

from klpfs.cpython.raw import SUSPENDS, body_codes, inner
from klpfs.cpython.resolve.code_copies import is_alone_there, place

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from types import CodeType, FunctionType

    from klpfs.cpython.resolve.code_copies import Place
    from klpfs.cpython.resolve.definitions import Definition, Registry

# what a function object has: a code of its definition's, or a copy; code that a tool has written in its place; code
# from elsewhere
OWN, ALTERED, FOREIGN = "own", "altered", "foreign"


class Owners:
    """The owners of codes and function objects among some Definitions, as they are known now.

    suspends: flags (raw.SUSPENDS) of what can be suspended of theirs, a generator expression for example.
    """

    __slots__ = ("registry", "suspends", "_places", "_bodies", "_parts")

    def __init__(self, registry: Registry, definitions: Iterable[Definition]) -> None:
        self.registry = registry
        self.suspends = 0
        self._places: dict[Place, list[Definition]] = {}
        self._bodies: dict[Place, list[Definition]] = {}    # of comprehensions and generator expressions
        self._parts: set[int] = set()                       # ids of all codes that lie in codes of the definitions
        for definition in definitions:
            for code in [*definition.originals.values(), *definition.made.values()]:
                self._enter(definition, code)

    def _enter(self, definition: Definition, code: CodeType) -> None:
        _note_parts(code, self._parts)
        for body in body_codes(code):
            self.suspends |= body.co_flags & SUSPENDS
            if is_alone_there(code):
                there = (self._places if body is code else self._bodies).setdefault(place(body), [])
                if definition not in there:
                    there.append(definition)

    def judge(self, fn: FunctionType) -> tuple[Definition | None, str]:
        """(the Definition that a function object belongs to, or None; OWN, ALTERED or FOREIGN). Copies and altered
        codes are noted."""
        registry = self.registry
        owner = registry.holders.get(id(fn))
        if owner is not None:           # the transition sees to it
            return owner, OWN
        code = registry.in_force(fn.__code__)
        owner = registry.by_code.get(id(code))
        if owner is not None:
            return owner, OWN
        owner = registry.member(fn)
        if owner is not None:
            return owner, kind_of(registry, owner, code)
        owner = self._note_copy(code, id(fn.__globals__))
        return owner, OWN if owner is not None else FOREIGN

    def note_in_use(self, suspended: Mapping[int, CodeType], on_stacks: Iterable[tuple[CodeType, int]],
                    with_globals: Callable[[frozenset[int], int], list[tuple[CodeType, int]]]) -> None:
        """Copies that something runs or may go on with are noted, and codes of a definition's place that do something
        else: a tool's that was taken out again, or the text before a reload.

        suspended: {id: code} of the codes of generators and the like; with_globals: gives those of such ids, for each
        object the code with the id of its globals; on_stacks: other codes, each with the id of its globals."""
        asked_for = frozenset(key for key, code in suspended.items() if self._is_unknown(code))
        for code, namespace in (*on_stacks, *(with_globals(asked_for, self.suspends) if asked_for else ())):
            if self._is_unknown(code):
                self._note_frame(code, namespace)

    def _is_unknown(self, code: CodeType) -> bool:
        """Whether a code is at a definition's place, and not known."""
        at = place(code)
        return id(code) not in self.registry.by_code and id(code) not in self._parts and (
            at in self._places or at in self._bodies)

    def _note_frame(self, code: CodeType, namespace: int) -> None:
        if self._note_copy(code, namespace) is None:
            at = place(code)
            for definition in [*self._places.get(at, ()), *self._bodies.get(at, ())]:
                if definition.is_alive_in(namespace):
                    definition.altered[id(code)] = code

    def _note_copy(self, code: CodeType, namespace: int) -> Definition | None:
        """The Definition that has a code of that place and content, with globals of that id, noted; or None."""
        there = [each for each in self._places.get(place(code), ()) if each.is_alive_in(namespace)]
        found = [(each, model) for each in there for model in [each.model_of(code)] if model is not None]
        if len(found) != 1:
            return None
        definition, model = found[0]
        self.registry.copied(definition, model, code)
        return definition


def kind_of(registry: Registry, definition: Definition, code: CodeType) -> str:
    """What a code is that a function object of the Definition has: OWN, ALTERED, FOREIGN. A copy, or an altered code,
    is noted."""
    if id(code) in definition.altered:
        return ALTERED
    owner = registry.by_code.get(id(code))
    if owner is not None:
        return OWN if owner is definition else FOREIGN
    model = definition.model_of(code, anywhere=True)
    if model is not None:
        registry.copied(definition, model, code)
        return OWN
    # a rewriter may set one of file, line and name, too
    if any(sum(map(eq, place(code), there)) > 1 for there in definition.places()):
        definition.altered[id(code)] = code
        return ALTERED
    return FOREIGN


def _note_parts(code: CodeType, ids: set[int]) -> None:
    for part in inner(code):
        ids.add(id(part))
        _note_parts(part, ids)
