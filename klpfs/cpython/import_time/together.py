"""Module values that change together with the functions: old code reads the old value, new code the new one, as long as
a transition pends, in both directions.

    ImportTime(of_filters, together=["LIMIT", "Environment.cache_size", "jinja2.defaults:SIZE"])

LIMIT: a name that `run` binds in this module. SIZE: a name of another module of the patch, which has it in its own
ImportTime's `together`; new code of this module reads it as an attribute of that module, or imports it by name.
cache_size: a plain value of a class, which has a descriptor in its place while a transition pends (ByVersion).

`run` and the new functions have these names elsewhere (diverted_names.py) from pre_patch on; the module's own name gets
the new value in post_patch, when all tasks are new, and loses it in pre_unpatch, before any is old. Who else reads the
name sees the new value when the transition is complete. A table is changed in place then; until then new code reads a
copy, so it is for tables that nobody changes.
"""
from __future__ import annotations

from klpfs.cpython.c_api import callers_frame
from klpfs.cpython.diverted_names import Diversion, available, divided, private
from klpfs.cpython.import_time.overlays import ABSENT
from klpfs.cpython.import_time.tables import equal, merged
from klpfs.cpython.raw import type_dict, type_mro

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from types import CodeType, FrameType
    from typing import Any

    from klpfs.engine.data import Object


class ByVersion:
    """A descriptor: what a class has for a plain value as long as a transition pends. Code of the livepatch's file gets
    the new value, all other code the old one. all_new: what everybody gets from it when that is over, where the program
    has made a copy of the class meanwhile; None: it pends."""

    __slots__ = ("old", "new", "path", "all_new")

    def __init__(self, old: Any, new: Any, path: str) -> None:
        self.old, self.new, self.path = old, new, path
        self.all_new: bool | None = None

    def __get__(self, obj: Any, cls: Any = None) -> Any:
        if self.all_new is not None:
            return self.new if self.all_new else self.old
        frame: FrameType | None = callers_frame()       # a thread that runs a function of C alone has none
        return self.new if frame is not None and frame.f_code.co_filename == self.path else self.old

    def put_over(self, below: Any) -> None:
        """Old code gets what lies below from here on."""
        if type(below) is ByVersion:
            below = below.new if below.all_new else below.old
        if below is not ABSENT:
            self.old = below


class Together:
    """The names of an ImportTime that change together with the functions. names: of its module; of_classes: qualified,
    of its classes. elsewhere: {name: module of the patch whose name it is}. new: {name: its new value}, once `run` has
    run; gone: {table: keys that are to go, as klp.removes has them}. tables: names whose tables are changed in
    place. own: {name: the value that the program itself had at its place}: another one it has put there since."""

    __slots__ = ("names", "of_classes", "elsewhere", "diversion", "new", "gone", "tables", "own", "_versions")

    def __init__(self, names: Iterable[str]) -> None:
        given = tuple(names)
        self.elsewhere: dict[str, str] = {}
        for name in given:
            module, colon, key = name.rpartition(":")
            if colon and self.elsewhere.setdefault(key, module) != module:
                raise TypeError(f"ImportTime: '{key}' is together with two modules")
        self.names = frozenset(name for name in given if ":" not in name and "." not in name)
        self.of_classes = frozenset(name for name in given if ":" not in name and "." in name)
        # where no name can be exchanged in code, all is at once, as without `together`
        self.diversion = Diversion(self.names if self.names and available() else ())
        self.new: dict[str, Any] = {}
        self.gone: dict[str, tuple[Any, ...]] = {}
        self.tables: set[str] = set()
        self.own: dict[str, Any] = {}
        self._versions: list[ByVersion] = []

    def divided(self, obj: Object, code: CodeType) -> CodeType:
        """The code of the object's new version, with names that can be exchanged. diverted_names.Undivided."""
        if not (self.names or self.elsewhere) or not available():
            return code
        homes: dict[str, Diversion] = {}
        for name, module in self.elsewhere.items():
            for other in _of_patch(obj):
                if other[0] == module and name in other[1].names:
                    homes[name] = other[1].diversion
        return divided(code, self.diversion, homes)

    def begin(self, namespace: dict[str, Any]) -> None:
        """New code reads its names elsewhere from now on, where `run` will bind them. Counterpart: end."""
        self.new.clear()
        self.gone.clear()
        self.tables.clear()
        self.own.clear()
        self._versions.clear()
        if self.diversion.names:
            self.diversion.begin(namespace, self._values(namespace))

    def end(self, namespace: dict[str, Any]) -> None:
        """New code reads what the module has."""
        if self.diversion.names and namespace:
            self.diversion.end(namespace)

    def note(self, namespace: dict[str, Any], gone: dict[str, tuple[Any, ...]]) -> None:
        """Notes what `run` has bound. gone: keys of tables, as klp.removes has them."""
        for name in self.diversion.names:
            old, new = dict.get(namespace, name, ABSENT), dict.get(namespace, private(name), ABSENT)
            if new is old or new is ABSENT:
                continue
            self.new[name] = new
            if name in gone:
                self.gone[name] = gone[name]
            if old is not ABSENT and merged(old, new, self.gone.get(name)) is not None:
                self.tables.add(name)
                namespace[private(name)] = _with(old, new, self.gone.get(name))

    def by_version(self, name: str, old: Any, new: Any, path: str) -> ByVersion | None:
        """What a class gets for a value as long as the transition pends, or None: the value itself. name: qualified.
        path: of the livepatch's file. Tables are changed in place, and what has `__get__` is no plain value."""
        if name not in self.of_classes or old is ABSENT or merged(old, new) is not None or any(
                "__get__" in type_dict(base) for value in (old, new) for base in type_mro(type(value))):
            return None
        made = ByVersion(old, new, path)
        self.new[name] = new
        self._versions.append(made)
        return made

    def is_untouched(self, name: str, own: Any) -> bool:
        """Whether the value that the program has at a name's place is the one that it had; one that is equal to it, as
        a reload of the module makes it, passes for it."""
        before = self.own.get(name, ABSENT)
        return own is before or bool(equal(own, before))

    def settle(self, all_new: bool | None) -> None:
        """Copies of classes that the program has made while a transition pended have one value for all; None: by
        version, it pends again."""
        for version in self._versions:
            version.all_new = all_new

    def begin_again(self, namespace: dict[str, Any]) -> None:
        """New code keeps its values on the way back: those that the module has, before it loses them."""
        if self.diversion.names and namespace and not self.diversion.in_force:
            values = self._values(namespace)
            for name in self.tables & values.keys():
                values[name] = _copy(values[name])
            self.diversion.begin(namespace, values)

    def _values(self, namespace: dict[str, Any]) -> dict[str, Any]:
        return {name: namespace[name] for name in self.diversion.names if name in namespace}


def _of_patch(obj: Object) -> Iterator[tuple[str | None, Together]]:
    """(module, its Together) of the objects of a patch; none in a dry run, where an object has no patch."""
    for patched in getattr(obj.patch, "objects", ()):
        together = getattr(patched.callbacks, "together", None)
        if type(together) is Together:
            yield patched.name, together


def _with(old: Any, new: Any, gone: Iterable[Any] | None) -> Any:
    """A copy of a table, changed as the table is going to be; what is no table, as it is."""
    made = _copy(old)
    for place, value in merged(made, new, gone) or ():
        place.set(value)
    return made


def _copy(value: Any) -> Any:
    return value.copy() if isinstance(value, (dict, list, set)) else value
