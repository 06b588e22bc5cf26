"""Caches of what the program has computed from values that a patch changes: emptied, so that it is computed anew.

A cache is named by text:
    "pkg.mod:function()"            what functools.lru_cache keeps for it, under whatever decorators
    "pkg.mod:make.<locals>.name()"  the same for all functions that were made under that name
    "pkg.mod:Class.name@"           what a cached property keeps in the dicts of instances
    "pkg.mod:TABLE{}"               a dict of the module
    "pkg.mod:Class.name{}"          a dict that instances of the class, or it and its subclasses, have under that name
    "pkg.mod:Class.name"            an attribute that is made when it is not there
    "pkg.mod:Class.name=None"       an attribute that is made when it is None
    "pkg.mod:Class!"                what an abstract class and those above it remember of their subclass hooks' answers

With a function it is made anew, by that function, in the module's globals: function(object that has it).
"""
from __future__ import annotations

import functools
import gc
import sys
from types import FunctionType, ModuleType

from klpfs.cpython.import_time import abstract_classes
from klpfs.cpython.raw import class_at, module_dict, type_dict, type_mro

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any

_ACTIONS = (("{}", "clear"), ("=None", "none"), ("@", "forget"), ("", "delete"))     # how a name ends -> what is done
_WITH_A_CACHE = type(functools.lru_cache(None)(len))
_MOST_DECORATORS = 20       # that are looked through


def empty(names: Iterable[str | tuple[str, FunctionType]]) -> None:
    """Empties caches. names: texts, or (text, function). A name that leads nowhere is passed over."""
    objects: list[Any] | None = None
    for text in names:
        text, make = (text, None) if isinstance(text, str) else text
        module, _, path = text.partition(":")
        space = _namespace(module)
        if space is None:
            continue
        if path.endswith("()") and "<locals>" not in path:
            _clear_function(space, path[:-2])
            continue
        if path.endswith("!"):
            abstract_classes.forget(class_at(space, path[:-1]))
            continue
        if objects is None:
            objects = gc.get_objects()
        if path.endswith("()"):
            _clear_made(objects, module, path[:-2])
            continue
        ending, action = next(pair for pair in _ACTIONS if path.endswith(pair[0]))
        owner, _, name = path[:len(path) - len(ending)].rpartition(".")
        if not owner:
            _clear(space.get(name))
            continue
        cls = class_at(space, owner)
        if cls is None:
            continue
        of_cls: dict[int, bool] = {}        # id of an object's class -> whether it derives from cls
        for obj in objects:
            kind = type(obj)
            if id(kind) not in of_cls:
                of_cls[id(kind)] = _derives(kind, cls)
            if of_cls[id(kind)] or issubclass(kind, type) and _derives(obj, cls):
                if make is None:
                    _empty_in(obj, name, action)
                elif _has(obj, name):
                    FunctionType(make.__code__, space)(obj)
    del objects


def _derives(cls: type, base: type) -> bool:
    """issubclass(), which asks no metaclass: that is the program's code, and some of Python's warn (3.14)."""
    return any(each is base for each in type_mro(cls))


def _namespace(name: str) -> dict[str, Any] | None:
    module = sys.modules.get(name)
    return module_dict(module) if module is not None and issubclass(type(module), ModuleType) else None


def _clear_function(space: dict[str, Any], path: str) -> None:
    owner, _, name = path.rpartition(".")
    if owner:
        cls = class_at(space, owner)
        function = type_dict(cls).get(name) if cls is not None else None
    else:
        function = space.get(name)
    _clear_under(function)


def _clear_under(function: Any) -> None:
    """Empties the caches of a function and of those that its decorators have kept as what they wrap."""
    for _ in range(_MOST_DECORATORS):
        if issubclass(type(function), (staticmethod, classmethod)):
            function = function.__func__
        elif issubclass(type(function), property):
            function = function.fget
        elif type(function) is FunctionType:
            function = function.__dict__.get("__wrapped__")
        else:
            break
    clear = getattr(function, "cache_clear", None)
    if clear is not None:
        clear()


def _clear_made(objects: Iterable[Any], module: str, name: str) -> None:
    """Empties the caches of all functions of a qualified name that were made by others."""
    for each in objects:
        if type(each) is _WITH_A_CACHE and each.__dict__.get("__module__") == module and (
                each.__dict__.get("__qualname__") == name):
            each.cache_clear()


def _clear(value: Any) -> None:
    if isinstance(value, dict):
        value.clear()


def _has(obj: Any, name: str) -> bool:
    if issubclass(type(obj), type):
        return name in type_dict(obj)
    try:
        return name in object.__getattribute__(obj, "__dict__")
    except AttributeError:
        return False


def _empty_in(obj: Any, name: str, action: str) -> None:
    """action: 'clear', 'none' or 'delete', what is done to the attribute of that name; of a class, to its own.
    'forget': 'delete', of no class, for that has what makes the attribute."""
    if issubclass(type(obj), type):
        if action == "forget":
            return
        own = type_dict(obj)
        if name in own:
            if action == "clear":
                _clear(own[name])
            elif action == "none":
                type.__setattr__(obj, name, None)
            else:
                type.__delattr__(obj, name)
        return
    try:
        if action == "clear":
            _clear(object.__getattribute__(obj, name))
        elif name in object.__getattribute__(obj, "__dict__"):
            if action == "none":
                object.__getattribute__(obj, "__dict__")[name] = None
            else:
                object.__getattribute__(obj, "__dict__").pop(name, None)
    except AttributeError:
        pass
