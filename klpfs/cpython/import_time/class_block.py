"""`class C(metaclass=klp.part): ...` puts what the block holds into the class of that name that the module has.

The block runs as it would in the whole class: its names see the attributes that the class has, private names are
mangled, super() and __class__ mean the class that the module has, and so do its type parameters, if the statement names
them: `class C[T](metaclass=klp.part): ...`. The result of the statement is that class.
"""
from __future__ import annotations

import sys

from klpfs.cpython.import_time.attributes import Default, FirstUse, Slot
from klpfs.cpython.import_time.enum_members import add_member, is_member_name, unwrapped
from klpfs.cpython.import_time.overlays import Attribute, known
from klpfs.cpython.raw import class_at, inner, type_dict, type_mro

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from klpfs.cpython.import_time.import_time import Run

_NOT_PUT = frozenset(("__module__", "__qualname__", "__classcell__", "__firstlineno__", "__static_attributes__",
                      "__annotations__", "__annotate__", "__annotate_func__", "__conditional_annotations__",
                      "__type_params__", "__orig_bases__"))


class _Block(dict):
    """The block's names; names that it has not bound itself are the class's. namespace: the module's dict."""

    __slots__ = ("namespace",)
    namespace: dict[str, Any]

    def __missing__(self, name: str) -> Any:
        cls = class_at(self.namespace, dict.get(self, "__qualname__", ""))
        if cls is None or name == "__annotations__":  # what the block annotates is not put into the class
            raise KeyError(name)
        return type_dict(cls)[name]


class Part:
    """A metaclass, as far as the class statement asks an object to be a metaclass. run: import_time.Run."""

    __slots__ = ("run",)

    def __init__(self, run: Run) -> None:
        self.run = run

    def __prepare__(self, name: str, bases: tuple[type, ...], **keywords: Any) -> _Block:
        block = _Block()
        block.namespace = self.run.namespace
        scope = sys._getframe(1)
        if scope.f_code.co_name.startswith("<generic parameters of "):
            self._use_type_params(scope, name)
        return block

    def _use_type_params(self, scope: Any, name: str) -> None:
        """`class C[T](metaclass=klp.part)`: T is the type parameter of the class that the module has, in the block and
        in its functions. scope: the frame of the statement's own type parameters. Raises LookupError: the class has
        none of that name."""
        qualified = next(code.co_qualname for code in inner(scope.f_code) if code.co_name == name)
        cls = class_at(self.run.namespace, qualified)
        there = {parameter.__name__: parameter for parameter in type_dict(cls or object).get("__type_params__", ())}
        values = scope.f_locals
        for own in values[".type_params"]:
            if own.__name__ not in there:
                raise LookupError(f"class '{qualified}' has no type parameter '{own.__name__}'")
            for variable in [variable for variable, value in values.items() if value is own]:   # or its mangled name
                values[variable] = there[own.__name__]
        if sys.version_info < (3, 13):      # where a frame's f_locals are a copy
            import ctypes
            ctypes.pythonapi.PyFrame_LocalsToFast(ctypes.py_object(scope), 0)

    def __call__(self, name: str, bases: tuple[type, ...], block: _Block, **keywords: Any) -> type:
        """Raises LookupError: the module has no class of that name."""
        qualified = block["__qualname__"]
        cls = class_at(self.run.namespace, qualified)
        if cls is None:
            raise LookupError(f"class '{qualified}' is not there")
        cell = block.get("__classcell__")
        if cell is not None:
            cell.cell_contents = cls
        for key, value in dict.items(block):
            if key not in _NOT_PUT and not (key == "__doc__" and value is None):
                self.put(cls, key, value, f"{qualified}.{key}", block)
        return cls

    def put(self, cls: type, key: str, value: Any, name: str, block: dict[str, Any] | None = None) -> None:
        """Puts one attribute into the class. name: as ImportTime.everywhere has it. block: what is put with it."""
        if is_member_name(cls, key, value):
            add_member(self.run.owner, cls, key, value, dict.items(block or {}))
            return
        value = unwrapped(cls, value)
        place = Attribute(cls, key)
        old = place.get()
        if old is value:
            return
        if type(value) in (Default, FirstUse, Slot) and not known(place) and \
                any(key in type_dict(base) for base in type_mro(cls)):
            return
        if type(value) is Default:
            value = value.value
        if "__set_name__" in dir(type(value)):
            type(value).__set_name__(value, cls, key)
        by_version = self.run.by_version(name, old, value)
        place.set(value if by_version is None else by_version)
        try:
            self.run.bound(place, old, name)
        except BaseException:
            place.set(old)
            raise
