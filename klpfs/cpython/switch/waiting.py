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

from ..images.image import INNER
from ..looks import reads, suspended
from ..raw import NESTED
from .choice import get_ident

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import CodeType
    from typing import Any

_set, _list, _ref, _id, _map, _filter, _getattr = set, list, ref, id, map, filter, getattr


class _Before(ref):
    """A weak reference to an object from before the transition. address: the object's."""

    __slots__ = ("address",)
    address: int


class Waiting:
    """ids: of the codes of sides that can wait. known: weak references to their objects. complete: all are known.
    unnoted: some are made by no dispatcher. dying: idents of the threads in which an object from before the transition
    dies, or has died since the last search."""

    __slots__ = ("ids", "known", "complete", "unnoted", "dying")

    def __init__(self) -> None:
        self.ids: set[int] = _set()
        self.known: set[ref[Any]] = _set()
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
        self.known.add(_ref(made, self.known.discard))
        return made

    def find(self, codes: Sequence[CodeType]) -> None:
        """Note the objects that there are. The agent's thread, when calls meet dispatchers. codes: those of `ids`."""
        references, resting = suspended.resting(codes, _Before, self._ends)
        for reference in references:
            for address in _list(reads.ids(_filter(None, _map(ref.__call__, (reference,))))):
                reference.address = address
                try:
                    self.known.add(reference)
                except TypeError:           # it is gone: there is nothing to be hashed
                    pass
        self.complete = False not in resting

    def _ends(self, reference: Any) -> None:
        """An object from before the transition ends: in this thread its `finally` blocks run next, if it has not run to
        its end."""
        self.known.discard(reference)
        if not reads.has_ended_at(_getattr(reference, "address", 0)):
            self.dying.add(get_ident())

    def must_search(self, ident: int) -> bool:
        """Whether objects may hand on that are not known, in the thread."""
        return not self.complete or self.unnoted or ident in self.dying

    def forget(self) -> None:
        """The transition is over."""
        self.ids, self.known, self.complete = _set(), _set(), False
