"""The generator-like objects of a transition's sides that may hand something on to what they wait for (delegation.py),
known without a search of the heap in the program's calls.

What dispatchers make they note. What was there before is searched for by the agent's thread, before the transition
begins: until then it is blind (switching.State). Where old frames make objects that no dispatcher sees, the heap is
searched in the program's calls after all.

Objects are known by weak references, or by their address alone (`loose`): those that run when they are found, and those
that die. A weak reference to what is dying already is never cleared (gen_dealloc in Objects/genobject.c clears them
before the `finally` blocks); and what a collection has found to be garbage is in no list while its `finally` blocks
run. The callback of a weak reference is of C alone (`ended`): a signal handler's exception would be lost in bytecode
there. What has ended is looked at later, where its memory tells whether it dies still
(looks/at_address.py).

From 3.14 on memory is not looked at where an audit hook would hear that. There the transition is blind while something
runs that no dispatcher has made, and after an object has ended the heap is searched in the program's calls until that
shows that it is gone: what dies by the count of its references is in the collector's lists meanwhile. What a collection
has found is not; from 3.15 on it is known by weak references without a callback, which are cleared behind its `finally`
blocks (gh-135552). On 3.14 it is not known.
"""
from __future__ import annotations

import sys
from _collections import deque
from itertools import chain, compress, islice
from operator import is_
from weakref import ref

from .. import control_flow
from ..looks import at_address, handing_on, reads, suspended
from ..raw import COMPREHENSIONS, NESTED
from .audit_hooks import AUDIT_HOOK

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from types import CodeType
    from typing import Any
    Entered = tuple[set[int] | None, set[int] | None]

_set, _list, _id, _len, _getattr, _range, _map, _popleft = set, list, id, len, getattr, range, map, deque.popleft
_zip, _bool = zip, bool

MANY = 200
AT_ONCE = 400           # bytes of code whose flow is worked out in the program's call: well under a millisecond
_STAY = sys.version_info >= (3, 15)             # weak references without a callback, in a collection
_UNKNOWN: tuple[None, None] = None, None        # anything may be


class _Known(ref):
    """A weak reference, with the address of its object; stays: one without a callback, where such _STAY."""

    __slots__ = ("address", "stays")
    address: int
    stays: ref[Any]


class Waiting:
    """The generator-like objects of a transition's sides that may wait for something.

    ids: ids of the codes of sides that can wait. known: {address: weak reference} of objects of these codes. ended:
    weak references whose objects die, or have died, since `settle`. loose: addresses of objects that ran when they were
    found, or that died then; where memory is not looked at (at_address.heard), of all that have died since a search of
    the heap. dying: there, {id: what stays of one of them}. complete: True once the objects that were there before the
    transition began have been searched for, and none can have been missed. unnoted: objects may be made without a
    dispatcher, which would have noted them. entries: {id of a code of no side: (weak reference to the code, its
    control_flow.after_throw)}. unread: weak references to long codes in `entries`, whose flow is not worked out yet.
    most, most_entries: when `known` or `entries` has more, what is gone is removed. searching: {thread ident: searches
    under way (delegation.side)}.
    """

    __slots__ = ("ids", "known", "ended", "loose", "dying", "most", "complete", "unnoted", "entries", "unread",
                 "most_entries", "searching")

    def __init__(self) -> None:
        self.ids: set[int] = _set()
        self.known: dict[int, _Known] = {}
        self.ended: deque[_Known] = deque()
        self.loose: set[int] = _set()
        self.dying: dict[int, ref[Any]] = {}
        self.most = self.most_entries = MANY
        self.complete = self.unnoted = False
        self.entries: dict[int, tuple[ref[CodeType], Entered]] = {}
        self.unread: list[ref[CodeType]] = []
        self.searching: dict[int, int] = {}

    def add(self, code: CodeType) -> None:
        """A code of a side, which can wait."""
        self.ids.add(_id(code))
        self.complete = False
        # an old frame makes functions, and calls comprehensions
        if code.co_flags & NESTED or code.co_name in COMPREHENSIONS:
            self.unnoted = True

    def note(self, made: Any) -> Any:
        """What a dispatcher has made of a side, just now; returned as it is."""
        if self.ids:
            reference = _Known(made, self.ended.append)
            reference.address = address = reads.id_of(made)
            if _STAY:
                reference.stays = ref(made)
            self.known[address] = reference
            self.loose.discard(address)         # of what was there before
            if _len(self.ended) > MANY:
                self.settle()
        return made

    def find(self, codes: Sequence[CodeType]) -> str | None:
        """Note the objects that there are; why some may be missing, as suspended.resting, or AUDIT_HOOK. The agent's
        thread. codes: those of `ids`."""
        unseen, resting, running = suspended.resting(codes, _Known, self.ended.append)
        for address, reference in resting.items():
            if _STAY:
                for plain in handing_on.references_to(reference):
                    reference.stays = plain
            # in this order: one with an address, which `settle` may find ended by now, is known
            self.known.setdefault(address, reference)
            reference.address = address
        running = [address for address in running if address not in self.known]
        if running and at_address.heard():
            unseen = unseen or AUDIT_HOOK
        else:
            self.loose.update(running)
        self.settle()
        self.complete = unseen is None
        return unseen

    def settle(self) -> None:
        """Forget what has ended; what is still about to is loose. A reference stays in `ended` until that is done: a
        signal handler may raise behind any call here. Several threads may do this at once."""
        ended, heard = self.ended, at_address.heard()
        for _ in _range(_len(ended)):
            try:
                reference = ended[0]
            except IndexError:
                return
            address = _getattr(reference, "address", 0)
            if not address:             # `find` is about to say where it was
                ended.rotate(-1)
                continue
            if self.known.get(address) is reference:        # else another object is there by now
                if heard or at_address.there(address, self.ids):
                    self.loose.add(address)
                stays = _getattr(reference, "stays", None) if heard else None
                if stays is not None:
                    self.dying[_id(stays)] = stays
                self._remove(address, reference)
            # In one C call, and only if no other thread has done so: that would take the next. The deque's own iterator
            # is made within it, for that minds what is appended
            first = islice(chain.from_iterable((ended,)), 1)
            _list(_map(_popleft, compress((ended,), _map(is_, first, (reference,)))))

    def _remove(self, address: int, reference: object) -> None:
        """Forget a reference that `known` has for the address, unless another thread has noted an object there since.
        In one C call, for that may come at any time."""
        same = _map(is_, _map(self.known.get, (address,)), (reference,))
        _list(_map(self.known.pop, compress((address,), same), (None,)))

    def must_search(self) -> bool:
        """Whether the heap is to be searched for what hands on."""
        if self.unnoted or not self.complete:
            return True
        if not at_address.heard():
            return False
        if self.ended:
            self.settle()
        return _bool(self.loose)

    def handing_on(self, codes: tuple[CodeType, ...]) -> list[Any]:
        """The objects that hand on. codes: of objects for which the heap is to be searched besides, all of `ids`."""
        if self.ended:
            self.settle()
        references: list[ref[Any]] = _list(self.known.values())
        if _len(references) > self.most:        # ended ones may be garbage for long, with their tasks
            over = _set(handing_on.that_have_ended(references))
            for reference in references:
                address = _getattr(reference, "address", 0)
                if address in over:
                    self._remove(address, reference)
            self.most = 2 * _len(self.known) + MANY
        seen: set[int] = _set()
        loose = _list(self.loose)
        if at_address.heard():
            references += self._still_dying()
            found = handing_on.handing_on(references, (), self.ids, codes, seen)
            if codes:
                self.loose.difference_update([address for address in loose if address not in seen])
            return found
        for address in loose:
            if at_address.there(address, self.ids) == at_address.GONE:
                self.loose.discard(address)
        return handing_on.handing_on(references, _list(self.loose), self.ids, codes, seen)

    def _still_dying(self) -> list[ref[Any]]:
        """What there is of `dying`."""
        dying = _list(self.dying.values())
        for reference, over in _zip(dying, handing_on.that_are_gone(dying)):
            if over:
                self.dying.pop(_id(reference), None)
        return _list(self.dying.values())

    def entered(self, code: CodeType, key: int) -> Entered:
        """control_flow.after_throw of a code that is of no side and has the id `key`, worked out once: of a long code
        by the agent's thread, later, and until then anything may be."""
        known = self.entries.get(key)
        if known is None or known[0]() is not code:
            # a weak reference: looks count the references to codes, and this one may come to be of a side
            reference = ref(code)
            if _len(code.co_code) <= AT_ONCE:
                known = reference, control_flow.after_throw(code)
            else:
                known = reference, _UNKNOWN
                self.unread.append(reference)
            self.entries[key] = known
        return known[1]

    def read(self, breathe: Callable[[], None]) -> None:
        """Work out the flow of long codes that calls have met since, and forget those that are gone. The agent's
        thread."""
        while self.unread:
            code = self.unread.pop()()
            if code is not None:
                self.entries[_id(code)] = ref(code), control_flow.after_throw(code, breathe)
            del code
        if _len(self.entries) > self.most_entries:
            for key, (reference, _) in _list(self.entries.items()):
                if reference() is None:
                    self.entries.pop(key, None)
            self.most_entries = 2 * _len(self.entries) + MANY

    def forget(self) -> None:
        """The transition is over."""
        self.ids, self.known, self.loose, self.dying, self.entries, self.unread = _set(), {}, _set(), {}, {}, []
        self.complete = False
        self.ended.clear()
