"""Function objects of patched definitions that the search by globals (resolve/live_functions.py) can't find: those on a
frozen heap, and those with other globals than their module's.

They are told by their references, as what runs out of sight is (switch/out_of_sight.py): each refers to its
definition's code, so a code to which there are no more references than klpfs's, and than those in constants of code on
stacks, has no such function object.
"""
from __future__ import annotations

import gc
from itertools import chain, compress, repeat, starmap, tee
from operator import attrgetter, is_
from types import FunctionType

from klpfs.cpython import left_behind
from klpfs.cpython.looks import hidden
from klpfs.cpython.looks.atomic import restoring, silent, still
from klpfs.cpython.raw import MARK
from klpfs.cpython.switch import out_of_sight

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from types import CodeType
    from typing import Any

    from klpfs.cpython.switch.switching import Transition

FEW = 8         # codes asked for in one search
_CODE = attrgetter("__code__")


def codes(transition: Transition) -> list[CodeType]:
    """The codes of the side that is not the goal to which there are references that klpfs does not know. To be asked
    when no task is in the way: then no call that can be seen holds one."""
    if not hidden.COUNTS or left_behind.are_here():
        return []
    left, _ = out_of_sight.more_than_ours(transition, transition.state.goal)
    if left:
        left, _ = out_of_sight.more_than_ours(transition, transition.state.goal, hidden.constants_on_stacks())
    return left


def elsewhere(found: Sequence[CodeType]) -> list[FunctionType]:
    """The program's function objects with one of a few codes: what a search by globals did not give a dispatcher."""
    functions: list[FunctionType] = []
    for at in range(0, len(found), FEW):
        wanted = tuple(found[at:at + FEW])
        functions += _with_code(wanted, frozenset(map(id, wanted)))
    return [fn for fn in functions if not hasattr(fn, MARK)]


@restoring
def _with_code(wanted: tuple[CodeType, ...], ids: frozenset[int]) -> list[FunctionType]:
    return list(still(_search(wanted, ids)))


def _search(wanted: tuple[CodeType, ...], ids: frozenset[int]) -> Iterator[FunctionType]:
    box: list[Any] = []
    a, b = tee(compress(chain.from_iterable(box), map(is_, map(type, chain.from_iterable(box)), repeat(FunctionType))))
    return chain(silent(map(box.append, starmap(gc.get_referrers, (wanted,)))),
                 compress(a, map(ids.__contains__, map(id, map(_CODE, b)))), silent(map(list.clear, box)))
