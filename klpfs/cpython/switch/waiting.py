"""The generator-like objects of a transition's sides that may hand something on to what they wait for (delegation.py),
known without a search of the heap in the program's calls.

What dispatchers make they note. What was there before is searched for by the agent's thread, before the transition
begins. Objects that run just then are not noted: a weak reference to an object that is dying is not cleared any more
when it is gone (gen_dealloc in Objects/genobject.c clears before the `finally` blocks). Until a search meets none, the
list is not complete, and the heap is searched instead; so it is where objects are made that no dispatcher sees.

An object that dies hands a close() on while it has no weak references any more. Objects that dispatchers have made are
closed by those first; for the others the end of the reference says in which thread that may be.
"""
from __future__ import annotations

from weakref import ref

from .. import c_api
from ..images.image import INNER
from ..looks import reads, suspended
from ..raw import NESTED
from .choice import get_ident

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import CodeType
    from typing import Any

_set, _list, _id, _map, _filter, _getattr, _address = set, list, id, map, filter, getattr, c_api.address
_len = len

MANY = 200


class _Reference(ref):
    """A weak reference to an object. address: the object's, 0 until it is set."""

    __slots__ = ("address",)
    address: int


class Waiting:
    """ids: of the codes of sides that can wait. known: address -> weak reference, of their objects. complete: all are
    known. unnoted: some are made by no dispatcher. dying: idents of the threads in which an object from before the
    transition dies, or has died since the last search. most: with more known, those that have ended are removed."""

    __slots__ = ("ids", "known", "most", "complete", "unnoted", "dying")

    def __init__(self) -> None:
        self.ids: set[int] = _set()
        self.known: dict[int, _Reference] = {}
        self.most = MANY
        self.complete = self.unnoted = False
        self.dying: set[int] = _set()

    def add(self, code: CodeType) -> None:
        """A code of a side, which can wait."""
        self.ids.add(_id(code))
        self.complete = False
        if code.co_flags & NESTED or code.co_name in INNER:     # an old frame makes functions, and calls comprehensions
            self.unnoted = True

    def note(self, made: Any) -> Any:
        """What a dispatcher has made of a side, just now; returned as it is."""
        reference = _Reference(made, self._forget)
        reference.address = _address(made)
        self.known[reference.address] = reference
        return made

    def find(self, codes: Sequence[CodeType]) -> None:
        """Note the objects that there are. The agent's thread, when calls meet dispatchers. codes: those of `ids`."""
        references, running = suspended.resting(codes, _Reference, self._ends)
        for reference in references:
            for address in _list(reads.ids(_filter(None, _map(ref.__call__, (reference,))))):
                reference.address = address
                self.known.setdefault(address, reference)
        self.complete = not [address for address in running if address not in self.known]

    def _forget(self, reference: _Reference) -> None:
        """An object ends, in this thread."""
        self.known.pop(reference.address, None)

    def _ends(self, reference: _Reference) -> None:
        """An object from before the transition ends: in this thread its `finally` blocks run next, if it has not run to
        its end."""
        address = _getattr(reference, "address", 0)     # it may end before that is set
        self.known.pop(address, None)
        if not reads.has_ended_at(address):
            self.dying.add(get_ident())

    def running(self) -> list[Any]:
        """The known objects that run, or that hand on. In the program's calls: it holds them a while."""
        objects = _list(_filter(None, _map(ref.__call__, _list(self.known.values()))))
        if _len(objects) > self.most:       # ended ones may be garbage for long, with their tasks
            for made in _list(reads.that_have_ended(objects)):
                self.known.pop(_address(made), None)
            self.most = 2 * _len(self.known) + MANY
        return _list(reads.that_run(objects))

    def must_search(self, ident: int) -> bool:
        """Whether objects may hand on that are not known, in the thread."""
        return not self.complete or self.unnoted or ident in self.dying

    def forget(self) -> None:
        """The transition is over."""
        self.ids, self.known, self.complete = _set(), {}, False
