"""What the program has computed from values that a patch changes, and keeps: emptied, so that it is computed anew.

A cache is named by text:
    "pkg.mod:function()"            what functools.lru_cache keeps for it
    "pkg.mod:TABLE{}"               a dict of the module
    "pkg.mod:Class.name{}"          a dict that instances of the class, or it and its subclasses, have under that name
    "pkg.mod:Class.name"            an attribute that is made when it is not there
    "pkg.mod:Class.name=None"       an attribute that is made when it is None

With a function it is made anew, by that function, in the module's globals: function(object that has it).
"""
import gc
import sys
from types import FunctionType, ModuleType

from klpfs.cpython.import_time.class_block import owner_of

_DICT = type.__dict__["__dict__"].__get__


def empty(names):
    """Empties caches. names: texts, or (text, function). One that is not there is none."""
    objects = None
    for text in names:
        text, make = (text, None) if isinstance(text, str) else text
        module, _, path = text.partition(":")
        space = _namespace(module)
        if space is None:
            continue
        if path.endswith("()"):
            _clear_function(space, path[:-2])
            continue
        action = "clear" if path.endswith("{}") else "none" if path.endswith("=None") else "delete"
        path = path[:-2] if action == "clear" else path[:-5] if action == "none" else path
        owner, _, name = path.rpartition(".")
        if not owner:
            _clear(space.get(name))
            continue
        cls = owner_of(space, owner)
        if cls is None:
            continue
        if objects is None:
            objects = gc.get_objects()
        for each in objects:
            if issubclass(type(each), cls) or issubclass(type(each), type) and cls in type.__dict__["__mro__"].__get__(each):
                if make is None:
                    _empty_in(each, name, action)
                elif _has(each, name):
                    FunctionType(make.__code__, space)(each)
    del objects


def _namespace(name):
    module = sys.modules.get(name)
    return ModuleType.__dict__["__dict__"].__get__(module) if module is not None and issubclass(type(module), ModuleType) else None


def _clear_function(space, path):
    owner, _, name = path.rpartition(".")
    holder = _DICT(owner_of(space, owner)) if owner and owner_of(space, owner) is not None else space if not owner else {}
    found = holder.get(name)
    found = found.__func__ if isinstance(found, (staticmethod, classmethod)) else found
    clear = getattr(found, "cache_clear", None)
    if clear is not None:
        clear()


def _clear(value):
    if isinstance(value, dict):
        value.clear()


def _has(obj, name):
    if issubclass(type(obj), type):
        return name in _DICT(obj)
    try:
        return name in object.__getattribute__(obj, "__dict__")
    except AttributeError:
        return False


def _empty_in(obj, name, action):
    if issubclass(type(obj), type):
        own = _DICT(obj)
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
