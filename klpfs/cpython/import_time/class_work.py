"""Changes of a class besides its attributes that a livepatch can make: part of what ImportTime's `run` is given.

    klp.plain("Key", "size, rest")                  # refused if its metaclass or a base reads fields
    klp.moves("Lock")                               # refused if objects of it, or subclasses, are alive
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
from __future__ import annotations

import gc
from types import FunctionType, GetSetDescriptorType, MemberDescriptorType

from klpfs.cpython.import_time import overlays
from klpfs.cpython.import_time.attributes import Default, FirstUse, Form, Slot
from klpfs.cpython.import_time.class_makers import maker_of
from klpfs.cpython.import_time.overlays import ABSENT, Attribute, Field
from klpfs.cpython.raw import MARK, class_at, type_dict

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable

    from klpfs.cpython.import_time.class_block import Part
    from klpfs.cpython.import_time.import_time import ImportTime
    from klpfs.cpython.import_time.overlays import Place

_OF_THE_STATEMENT = frozenset(("__module__", "__qualname__", "__doc__", "__dict__", "__weakref__", "__slots__",
                               "__firstlineno__", "__static_attributes__", "__getstate__", "__setstate__",
                               "__classcell__"))


class NoBase:
    """Stands for object where a class loses its bases: CPython gives it no object itself."""


class ClassWork:
    """Methods of import_time.Run; owner, namespace, import_time, part and bound are that class's."""

    __slots__ = ()

    if TYPE_CHECKING:
        owner: object
        namespace: dict[str, Any]
        import_time: ImportTime
        part: Part

        def bound(self, place: Place, old: Any, name: str) -> None: ...

    default, first_use, slot, form = Default, FirstUse, Slot, Form

    def plain(self, name: str, fields: str) -> None:
        """Annotated names of a class differ. TypeError: what made the class has read them, and would not again."""
        cls = class_at(self.namespace, name)
        maker = maker_of(cls) if cls is not None else ""
        if maker:
            raise TypeError(f"class {name}: {fields}: {maker} reads it only when a class is made")

    def moves(self, name: str) -> None:
        """The new version has a class from another module: it is another class, and what was made of the one that is
        loaded stays with that. TypeError: such objects are alive, or classes below it. (The collector knows all objects
        of classes that a statement has made, without slots or attributes too.)"""
        cls = class_at(self.namespace, name)
        if cls is None:
            return
        subclasses: list[type] = type.__subclasses__(cls)
        below = [f"class {each.__qualname__}" for each in subclasses]
        alive = sum(type(each) is cls for each in gc.get_objects())
        if alive:
            below.append(f"{alive} objects of it")
        if below and not issubclass(cls, BaseException):        # what is raised is soon gone
            raise TypeError(f"class {name} comes from another module in the new version, and what is alive would stay "
                            f"with the old one: {', '.join(below[:3])}")

    def bases(self, cls: type, *bases: type) -> None:
        """The class gets these bases in the place of those that it has. TypeError: CPython can't give them to it."""
        overlays.put(self.owner, Field(cls, "__bases__"), (NoBase,) if bases == (object,) else bases)

    def decorated(self, cls: type, decorator: Callable[[type], Any]) -> None:
        """A class gets one decorator more. TypeError: that makes another class of it."""
        before = dict(type_dict(cls))
        if decorator(cls) is not cls:
            raise TypeError(f"the decorator of class '{cls.__qualname__}' does not change the class, but makes another")
        for key, value in list(type_dict(cls).items()):
            if before.get(key, ABSENT) is not value:
                self.bound(Attribute(cls, key), before.get(key, ABSENT), f"{cls.__qualname__}.{key}")

    def generated(self, made: type | None = None, init: bool = True) -> Any:
        """Decorates a class that is written down once more, with its decorators and fields: what those have made of it
        (`__repr__`, `__dataclass_fields__` ...) goes into the class that the module has, which is the result. init: its
        __init__ too. LookupError: the module has no class of that name."""
        if made is None:
            return lambda made: self.generated(made, init)
        cls = class_at(self.namespace, made.__qualname__)
        if cls is None:
            raise LookupError(f"class '{made.__qualname__}' is not there")
        livepatch = self.import_time.run.__code__.co_filename       # type: ignore[union-attr]
        for key, value in list(type_dict(made).items()):
            if type(value) is FunctionType and (_file(value) == livepatch or key == "__init__" and not init):
                setattr(value, MARK, True)  # so that it is not taken for a method of the class that the module has
            if not (key[:2] == key[-2:] == "__") or key in _OF_THE_STATEMENT or key == "__init__" and not init:
                continue
            if isinstance(value, (GetSetDescriptorType, MemberDescriptorType)) or _file(value) == livepatch:
                continue
            if key == "__hash__" and value is None:
                continue    # objects of it may be in sets and dicts
            self.part.put(cls, key, value, f"{made.__qualname__}.{key}")
        return cls


def _file(value: Any) -> str | None:
    value = getattr(value, "__func__", value)
    return value.__code__.co_filename if type(value) is FunctionType else None


def free_slots(owner: object) -> None:
    """Forgets what objects hold of the slots that an owner has put into classes."""
    for _, _, value in overlays.pairs(owner):
        if type(value) is Slot:
            value.free()
