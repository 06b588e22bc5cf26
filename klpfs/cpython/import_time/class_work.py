"""What a livepatch can do to a class that is there beside putting attributes into it: part of what ImportTime's `run` is given.

    class Key(metaclass=klp.part):
        limit = klp.default(100)                    # for objects made before: unless they have one anyhow
        lock = klp.first_use(lambda self: Lock())
        factor = klp.slot(lambda self: -1)          # the objects have no place for it
        klp_rest = klp.form("rest", [(0, b"")])     # they hold it in another form
    klp.bases(Key, Base, Mixin)
    klp.decorated(Key, total_ordering)
    @klp.generated                                  # what the decorator makes of the fields
    @dataclass
    class Part: ...
"""
from types import FunctionType, GetSetDescriptorType, MemberDescriptorType

from klpfs.cpython.import_time import overlays
from klpfs.cpython.import_time.attributes import Default, FirstUse, Form, Slot
from klpfs.cpython.images.image import MARK
from klpfs.cpython.import_time.overlays import ABSENT, Attribute, Field
from klpfs.cpython.import_time.class_block import owner_of

_DICT = type.__dict__["__dict__"].__get__
_OF_THE_STATEMENT = frozenset(("__module__", "__qualname__", "__doc__", "__dict__", "__weakref__", "__slots__", "__firstlineno__",
                               "__static_attributes__", "__getstate__", "__setstate__", "__classcell__"))


class NoBase:
    """Stands for object where a class loses its bases: CPython gives it no object itself."""


class ClassWork:
    """Methods of importtime.Run; owner and namespace are its."""

    __slots__ = ()

    default, first_use, slot, form = Default, FirstUse, Slot, Form

    def bases(self, cls, *bases):
        """The class gets these bases in the place of those that it has. TypeError: CPython can't give them to it."""
        overlays.put(self.owner, Field(cls, "__bases__"), (NoBase,) if bases == (object,) else bases)

    def decorated(self, cls, decorator):
        """A class gets one decorator more. TypeError: that makes another class of it."""
        before = dict(_DICT(cls))
        if decorator(cls) is not cls:
            raise TypeError("the decorator of class '%s' does not change the class, but makes another" % cls.__qualname__)
        for key, value in list(_DICT(cls).items()):
            if before.get(key, ABSENT) is not value:
                self.bound(Attribute(cls, key), before.get(key, ABSENT), "%s.%s" % (cls.__qualname__, key))

    def generated(self, made=None, init=True):
        """Decorates a class that is written down once more, with its decorators and fields: what those have made of it
        (`__repr__`, `__dataclass_fields__` ...) goes into the class that is there, which is the result. init: its __init__ too."""
        if made is None:
            return lambda made: self.generated(made, init)
        cls = owner_of(self.namespace, made.__qualname__)
        if cls is None:
            raise LookupError("class '%s' is not there" % made.__qualname__)
        written = self.import_time.run.__code__.co_filename
        for key, value in list(_DICT(made).items()):
            if type(value) is FunctionType and (_file(value) == written or key == "__init__" and not init):
                setattr(value, MARK, True)  # nobody takes it for a method of the class that is there
            if not (key[:2] == key[-2:] == "__") or key in _OF_THE_STATEMENT or key == "__init__" and not init:
                continue
            if isinstance(value, (GetSetDescriptorType, MemberDescriptorType)) or _file(value) == written:
                continue
            if key == "__hash__" and value is None:
                continue    # objects of it may be in sets and dicts
            self.part.put(cls, key, value, "%s.%s" % (made.__qualname__, key))
        return cls


def _file(value):
    value = getattr(value, "__func__", value)
    return value.__code__.co_filename if type(value) is FunctionType else None


def free_slots(owner):
    """What objects hold of the slots that an owner has put there is forgotten."""
    for _, _, value in overlays.pairs(owner):
        if type(value) is Slot:
            value.free()
