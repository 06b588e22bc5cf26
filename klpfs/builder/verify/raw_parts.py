"""The parts of an object, read without running anything of the program: by exact types and the descriptors of C types.

A program's object is never asked: no getattr, isinstance, repr, ==, hash of it, for each of these may be the program's
own (a lazy object of Django's would evaluate itself, a metaclass raise).
"""
from __future__ import annotations

import types
from typing import Any

_HEAP = 1 << 9
_dict_of_class = type.__dict__["__dict__"].__get__
_mro = type.__dict__["__mro__"].__get__
_bases = type.__dict__["__bases__"].__get__
_flags = type.__dict__["__flags__"].__get__
_module_of_static = type.__dict__["__module__"].__get__
_qualname = type.__dict__["__qualname__"].__get__
_dict_of_module: Any = vars(types.ModuleType)["__dict__"]
subclasses = type.__subclasses__

_OF_C = (types.GetSetDescriptorType, types.MethodDescriptorType, types.WrapperDescriptorType)
_NO_PARTS = frozenset((object, dict, list, tuple, set, frozenset, str, int, bytes, float))
_NOT_ITS_OWN = frozenset(("__weakref__", "__dict__", "__weaklistoffset__", "__dictoffset__", "__vectorcalloffset__"))


def dict_of_module(module: types.ModuleType) -> dict[Any, Any]:
    """A module's namespace; its keys need not be strings."""
    found: dict[Any, Any] = _dict_of_module.__get__(module)
    return found


def class_dict(cls: type) -> dict[str, Any]:
    """A class's own namespace, as it is; its keys need not be strings. Empty of a C type that nobody has made ready
    (3.9)."""
    return dict(_dict_of_class(cls) or {})


def mro(cls: type) -> tuple[type, ...]:
    """A class's bases in the order of lookup; none of a C type that nobody has made ready (3.9)."""
    return _mro(cls) or ()


def bases(cls: type) -> tuple[type, ...]:
    """A class's direct bases."""
    return _bases(cls) or ()


def is_class(obj: object) -> bool:
    """Whether an object is a class, whatever its metaclass says."""
    return issubclass(type(obj), type)


def is_of_c(cls: type) -> bool:
    """Whether a class is a static one of C, which no program changes."""
    return not _flags(cls) & _HEAP


def is_of_python(cls: type) -> bool:
    """Whether a class is of a `class` statement, or made as one: C has no methods and attributes of its own in it."""
    return bool(_flags(cls) & _HEAP) and not any(
        type(found) in _OF_C and found.__objclass__ is cls and name not in _NOT_ITS_OWN
        for name, found in _dict_of_class(cls).items())


def shows_members(cls: type) -> bool:
    """Whether a C type has members that it shows, which are taken for all that it holds."""
    return cls in _NO_PARTS or any(type(found) is types.MemberDescriptorType for found in _dict_of_class(cls).values())


def of_c(cls: type) -> set[str]:
    """Names of the members that C types among a class's bases show: Python can't set all of them."""
    return {name for base in mro(cls) if base not in _NO_PARTS and not is_of_python(base)
            for name, found in _dict_of_class(base).items()
            if type(found) is types.MemberDescriptorType and name not in _NOT_ITS_OWN}


def module_of(cls: type) -> Any:
    """A class's `__module__`."""
    if is_of_c(cls):
        return _module_of_static(cls)
    return _dict_of_class(cls).get("__module__", "builtins")


def qualname_of(cls: type) -> str:
    """A class's qualified name."""
    return str(_qualname(cls))


def has_dict(obj: object) -> bool:
    """Whether an instance has a dict, which then says all that Python has put into it."""
    line = mro(type(obj))
    return any(type(_dict_of_class(cls).get("__dict__")) is types.GetSetDescriptorType for cls in line)


def attributes(obj: object) -> list[tuple[Any, Any]]:
    """[(name, value)] of an instance: of its dict, by the getset of C's that its class has for it, then of slots and
    members that C types show."""
    found: list[tuple[Any, Any]] = []
    kind = type(obj)
    line = mro(kind)
    for cls in line:
        descriptor = _dict_of_class(cls).get("__dict__")
        if type(descriptor) is types.GetSetDescriptorType:      # a class may define a `__dict__` of its own above it
            try:
                space = descriptor.__get__(obj, kind)
            except Exception:       # an object that C has not made whole
                break
            if type(space) is dict:
                found += list(space.items())
            break
    for cls in line:
        if cls in _NO_PARTS:
            continue
        for name, descriptor in class_dict(cls).items():
            if type(descriptor) is types.MemberDescriptorType and name not in _NOT_ITS_OWN:
                try:
                    found.append((name, descriptor.__get__(obj, kind)))
                except AttributeError:      # a slot without a value
                    continue
    return found
