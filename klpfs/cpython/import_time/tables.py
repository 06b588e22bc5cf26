"""Tables changed in place: other code holds them, and the program may have put entries of its own into them."""
from __future__ import annotations

import builtins
from collections import OrderedDict, defaultdict

from klpfs.cpython.import_time.dict_order import can_be_moved, in_order, told_apart
from klpfs.cpython.import_time.overlays import ABSENT, Contents, Item, Member, Order, known

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any

    from klpfs.cpython.import_time.overlays import Place

_DICTS = (dict, OrderedDict, defaultdict)
TABLES = (*_DICTS, set, list)   # what is changed in place
_FROZEN_DICTS: tuple[Any, ...] = tuple(filter(None, [getattr(builtins, "frozendict", None)]))     # 3.15
_VALUES = (bool, int, float, complex, str, bytes, type(None), type(Ellipsis))


def merged(old: Any, new: Any, gone: Iterable[Any] | None = None) -> list[tuple[Place, Any]] | None:
    """[(place, value)] that make a table `old` like `new` in place. None: it is to be rebound.

    gone: keys that the new version has no more; None: all that `new` lacks. Values that are equal (only of types whose
    comparison runs no foreign code) give an empty list.
    """
    if type(old) is not type(new):
        return None
    if type(old) in _DICTS:
        keys = [key for key in (old if gone is None else gone) if key in old and key not in new]
        changes: list[tuple[Place, Any]] = [(Item(old, key), ABSENT) for key in keys]
        return _with_order(old, new, changes + [
            (Item(old, key), value) for key, value in new.items()
            if key not in old or not equal(old[key], value) or known(Item(old, key))])
    if type(old) is set:
        dropped = old - new if gone is None else old & set(gone) - new
        changes = [(Member(old, key), ABSENT) for key in dropped]
        return changes + [(Member(old, key), True) for key in new - old]
    if type(old) is list:
        if len(old) == len(new) and all(map(equal, old, new)):
            return []
        return [(Contents(old), new)]
    return [] if equal(old, new) else None


def _with_order(old: Any, new: Any, changes: list[tuple[Place, Any]]) -> list[tuple[Place, Any]]:
    """The changes of a dict, and around them what puts its keys in the order of the new dict. The order of before is
    the first, so that it is the last to be taken back: when keys that were taken away are there again."""
    if not can_be_moved(old) or not can_be_moved(new):
        return changes
    after = dict.fromkeys(old)
    for place, value in changes:
        if value is ABSENT:
            del after[place.key]
        else:
            after.setdefault(place.key)
    wanted = in_order(after, new)
    if told_apart(wanted) == told_apart(after) and not known(Order(old)) and all(
            value is not ABSENT for _, value in changes):
        return changes
    return [(Order(old), tuple(old)), *changes, (Order(old), tuple(wanted))]


def equal(a: Any, b: Any) -> bool:
    """Whether two values are the same, as far as can be told without running foreign code."""
    if a is b:
        return True
    kind = type(a)
    if kind is not type(b):
        return False
    if kind in _VALUES:
        return a == b and (kind is not float and kind is not complex or repr(a) == repr(b))
    if kind in (tuple, list):
        return len(a) == len(b) and all(map(equal, a, b))
    if kind is dict or kind in _FROZEN_DICTS:
        return all(type(key) in _VALUES for key in list(a) + list(b)) and \
            len(a) == len(b) and all(map(equal, a, b)) and all(equal(a[key], b[key]) for key in a)
    if kind in (set, frozenset):            # a == b would compare bytes with str, of which -b warns
        return all(type(key) in _VALUES for keys in (a, b) for key in keys) and \
            {(type(key), repr(key)) for key in a} == {(type(key), repr(key)) for key in b}
    if _is_pattern(kind):
        return type(a.pattern) is type(b.pattern) and a.pattern == b.pattern and a.flags == b.flags
    return False


def is_data(value: Any) -> bool:
    """Whether a value says all about itself: numbers, text, tables, compiled patterns."""
    kind = type(value)
    return kind in _VALUES + _DICTS + _FROZEN_DICTS + (tuple, list, set, frozenset) or _is_pattern(kind)


def _is_pattern(kind: type) -> bool:
    return kind.__module__ == "re" and kind.__name__ == "Pattern"
