"""Tables changed in place: others hold them, and the program may have put entries of its own into them."""
from collections import OrderedDict, defaultdict

from klpfs.cpython.import_time.overlays import ABSENT, Contents, Item, known, Member

_DICTS = (dict, OrderedDict, defaultdict)
_VALUES = (bool, int, float, complex, str, bytes, type(None), type(Ellipsis))


def merged(old, new, gone=None):
    """[(place, value)] that make a table `old` like `new` in place. None: it is to be rebound.

    gone: keys that the new version has no more; None: all that `new` lacks. Values that are equal (only of types whose
    comparison runs no foreign code) give an empty list.
    """
    if type(old) is not type(new):
        return None
    if type(old) in _DICTS:
        keys = [key for key in old if key not in new] if gone is None else [key for key in gone if key in old and key not in new]
        changes = [(Item(old, key), ABSENT) for key in keys]
        return changes + [(Item(old, key), value) for key, value in new.items()
                          if key not in old or not equal(old[key], value) or known(Item(old, key))]
    if type(old) is set:
        keys = old - new if gone is None else old & set(gone) - new
        return [(Member(old, key), ABSENT) for key in keys] + [(Member(old, key), True) for key in new - old]
    if type(old) is list:
        if len(old) == len(new) and all(map(equal, old, new)):
            return []
        return [(Contents(old), new)]
    return [] if equal(old, new) else None


def equal(one, other):
    """The same value, as far as can be told without running foreign code."""
    if one is other:
        return True
    kind = type(one)
    if kind is not type(other):
        return False
    if kind in _VALUES:
        return one == other and (kind is not float and kind is not complex or repr(one) == repr(other))
    if kind in (tuple, list):
        return len(one) == len(other) and all(map(equal, one, other))
    if kind is dict:
        return list(one) == list(other) and all(equal(one[key], other[key]) for key in one) if all(
            type(key) in _VALUES for key in list(one) + list(other)) else False
    if kind in (set, frozenset):
        return all(type(key) in _VALUES for key in one) and one == other
    if kind.__module__ == "re" and kind.__name__ == "Pattern":
        return one.pattern == other.pattern and one.flags == other.flags and type(one.pattern) is type(other.pattern)
    return False


def is_data(value):
    """A value that says all about itself: numbers, text, tables, compiled patterns."""
    kind = type(value)
    return kind in _VALUES + _DICTS + (tuple, list, set, frozenset) or kind.__module__ == "re" and kind.__name__ == "Pattern"
