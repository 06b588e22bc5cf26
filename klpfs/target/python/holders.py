"""Who holds a value by name: modules that imported it, classes that took it as an attribute."""
import gc
import sys
from types import ModuleType

from klpfs.target.python.layers import Attribute, Item

_DICT = type.__dict__["__dict__"].__get__
_MODULE_DICT = ModuleType.__dict__["__dict__"].__get__
_NO_IDENTITY = (type(None), bool, int, float, complex, str, bytes, type(Ellipsis), type(NotImplemented), ModuleType)


def copies_of(value):
    """Places in the dicts of modules and classes where this very object is held.

    None of a value without an identity of its own (numbers, strings, the empty tuple): who holds it cannot be told.
    """
    if issubclass(type(value), _NO_IDENTITY) or type(value) in (tuple, frozenset) and not value:
        return []
    found = []
    for module in list(sys.modules.values()):
        if issubclass(type(module), ModuleType):  # its __class__ is not asked: some pretend
            space = _MODULE_DICT(module)
            if str(space.get("__name__")).partition(".")[0] == "klpfs":
                continue
            found += [Item(space, name) for name, each in list(space.items()) if each is value]
    for cls in classes():
        found += [Attribute(cls, name) for name, each in list(_DICT(cls).items()) if each is value]
    return found


def classes():
    """All classes of the program, built-in ones left out."""
    return [each for each in gc.get_objects() if issubclass(type(each), type) and each.__flags__ & 1 << 9]  # Py_TPFLAGS_HEAPTYPE
