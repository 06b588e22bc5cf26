"""Function objects of patched definitions that the search by globals (resolve/live_functions.py) can't find: those on a
frozen heap, and those with other globals than their module's.

They are told by their references, as what runs out of sight is (switch/out_of_sight.py): each refers to its
definition's code, so a code to which there are no more references than klpfs's, and than those in constants of code on
stacks, has no such function object.
"""
from __future__ import annotations

from klpfs.cpython.looks import hidden
from klpfs.cpython.raw import MARK
from klpfs.cpython.resolve.live_functions import functions_with_code
from klpfs.cpython.switch import out_of_sight

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import CodeType, FunctionType

    from klpfs.cpython.switch.switching import Transition


def codes(transition: Transition) -> list[CodeType]:
    """The codes of the side that is not the goal to which there are references that klpfs does not know. To be asked
    when no task is in the way: then no call that can be seen holds one. Nearly always the look's own count has said
    that there are none."""
    if not transition.unaccounted:
        return []
    left, _, _ = out_of_sight.more_than_ours(transition, transition.state.goal, hidden.constants_on_stacks())
    return left


def elsewhere(found: Sequence[CodeType]) -> list[FunctionType]:
    """The program's function objects with one of a few codes: what a search by globals did not give a dispatcher."""
    return [fn for fn in functions_with_code(found) if not hasattr(fn, MARK)]
