"""The generator-like objects of a transition's sides that may hand something on to what they wait for (delegation.py),
known without a search of the heap in the program's calls.

What dispatchers make they note. What was there before is searched for by the agent's thread, before the transition
begins. Where old frames make objects that no dispatcher sees, the heap is searched in the program's calls after all.

Objects are known by weak references, or by their address alone (`loose`): those that run when they are found, and those
whose weak reference has been cleared. Both may be dying. A weak reference to what is dying already is never cleared
(gen_dealloc in Objects/genobject.c clears them before the `finally` blocks); and what a collection has found to be
garbage is in no list while its `finally` blocks run. There whoever asks runs inside the object's end: so it is at its
address still (c_api.object_at).
"""
from __future__ import annotations

from functools import partial
from weakref import ref

from .. import c_api, control_flow
from ..images.image import INNER
from ..looks import reads, suspended
from ..raw import NESTED

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import CodeType
    from typing import Any

_set, _list, _id, _map, _filter, _frozenset = set, list, id, map, filter, frozenset
_len, _partial, _type, _getattr = len, partial, type, getattr

MANY = 200
_SIZE = reads.KINDS[0][0].__basicsize__
_CODES = {kind: prefix + "_code" for kind, prefix in reads.KINDS}
_TYPES = _frozenset(_id(kind) for kind, _ in reads.KINDS)


class Waiting:
    """The generator-like objects of a transition's sides that may wait for something.

    ids: ids of the codes of sides that can wait. known: {address: weak reference} of objects of these codes. loose:
    addresses of such objects to which there is no weak reference. complete: True once the objects that were there
    before the transition began have been searched for, and none can have been missed. unnoted: objects may be made
    without a dispatcher, which would have noted them. most: when `known` has more entries, objects that have ended are
    removed from it. entries: {id of a code of no side: (weak reference to the code, its control_flow.after_throw)}.
    """

    __slots__ = ("ids", "known", "loose", "most", "complete", "unnoted", "entries")

    def __init__(self) -> None:
        self.ids: set[int] = _set()
        self.known: dict[int, ref[Any]] = {}
        self.loose: set[int] = _set()
        self.most = MANY
        self.complete = self.unnoted = False
        self.entries: dict[int, tuple[ref[CodeType], tuple[set[int] | None, set[int] | None]]] = {}

    def add(self, code: CodeType) -> None:
        """A code of a side, which can wait."""
        self.ids.add(_id(code))
        self.complete = False
        if code.co_flags & NESTED or code.co_name in INNER:     # an old frame makes functions, and calls comprehensions
            self.unnoted = True

    def note(self, made: Any) -> Any:
        """What a dispatcher has made of a side, just now; returned as it is."""
        address = reads.id_of(made)
        self.known[address] = ref(made, _partial(self._ends, address))
        return made

    def find(self, codes: Sequence[CodeType]) -> None:
        """Note the objects that there are. The agent's thread, when calls meet dispatchers. codes: those of `ids`."""
        unseen, resting, running = suspended.resting(codes, _partial(_partial, self._ends))
        for address, reference in resting.items():
            if reference.__callback__ is not None:      # else it has ended meanwhile, and is loose
                self.known.setdefault(address, reference)
        self.loose.update([address for address in running if address not in self.known])
        self.complete = unseen is None

    def _ends(self, address: int, reference: ref[Any]) -> None:
        """An object ends, in this thread: its `finally` blocks run next, if it has not run to its end."""
        self.known.pop(address, None)
        if not reads.has_ended_at(address):
            self.loose.add(address)

    def candidates(self) -> list[Any]:
        """The known objects that run, or that hand on, or, up to 3.10, are asynchronous generators that wait. In the
        program's calls: it holds them a while."""
        objects = _list(_filter(None, _map(ref.__call__, _list(self.known.values()))))
        if _len(objects) > self.most:       # ended ones may be garbage for long, with their tasks
            for made in _list(reads.that_have_ended(objects)):
                self.known.pop(reads.id_of(made), None)
            self.most = 2 * _len(self.known) + MANY
        if self.loose:
            for address in _list(self.loose):
                count = c_api.references_at(address, _TYPES, _SIZE)
                if count > 0:           # CPython runs `finally` blocks of what dies with a reference to it
                    found = c_api.object_at(address)
                    objects.append(found)
                    if not _list(reads.that_run((found,))):     # it does not die, or another has taken its place
                        self.loose.discard(address)
                        if _id(_getattr(found, _CODES[_type(found)])) in self.ids:
                            self.note(found)
                elif count < 0 or reads.has_ended_at(address):
                    self.loose.discard(address)
        return _list(reads.that_run(objects))

    def entered(self, code: CodeType, key: int) -> tuple[set[int] | None, set[int] | None]:
        """control_flow.after_throw of a code that is of no side and has the id `key`, worked out once."""
        known = self.entries.get(key)
        if known is None or known[0]() is not code:
            # a weak reference: looks count the references to codes, and this one may come to be of a side
            known = self.entries[key] = ref(code), control_flow.after_throw(code)
        return known[1]

    def forget(self) -> None:
        """The transition is over."""
        self.ids, self.known, self.loose, self.entries, self.complete = _set(), {}, _set(), {}, False
