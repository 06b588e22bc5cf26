"""What statements change without binding a name: entries in registries, made by calls, metaclasses, decorators.

The tables that such code may reach are compared before and after it has run: those of the module itself, of the modules and
classes of its package that its names lead to, and what the objects that the livepatch names hold. What another thread puts
into one of them in that moment is taken for its work, too.
"""
import sys
from types import CodeType, FunctionType, ModuleType

from klpfs.cpython.import_time import overlays
from klpfs.cpython.import_time.overlays import ABSENT, Item

_CLASS_DICT = type.__dict__["__dict__"].__get__
_MODULE_DICT = ModuleType.__dict__["__dict__"].__get__
_MRO = type.__dict__["__mro__"].__get__
_KINDS = (dict, list, set)
_NEVER = frozenset(("sys", "builtins", "os", "gc", "klpfs"))
_LARGE = 20000  # entries of a table that nobody fills by statements at import


class Watch:
    """namespace: of the module. code: what is going to run. names: of objects whose attributes count as well."""

    __slots__ = ("taken",)

    def __init__(self, namespace, code, names):
        found = {}

        def add(value):
            if issubclass(type(value), _KINDS) and value is not namespace and len(value) < _LARGE:
                found[id(value)] = value
        for space in _spaces(namespace, code, names):
            for name, value in list(space.items()):
                if name[:2] != "__":
                    add(value)
        for name in names:
            value = namespace.get(name)
            add(value)
            own = _own_dict(value)
            for each in list(own.values()):
                add(each)
            if own and type(own) is dict:
                add(own)
        self.taken = [(each, _copy(each)) for each in found.values()]

    def note(self, owner):
        """Notes as an owner's what has changed."""
        for holder, was in self.taken:
            if isinstance(holder, dict):
                for key in list(holder):
                    if key not in was or was[key] is not holder[key]:
                        overlays.note(owner, Item(holder, key), was.get(key, ABSENT))
                for key in was:
                    if key not in holder:
                        overlays.note(owner, Item(holder, key), was[key])
            elif isinstance(holder, set):
                for key in holder ^ was:
                    overlays.note(owner, overlays.Member(holder, key), True if key in was else ABSENT)
            elif len(holder) != len(was) or any(a is not b for a, b in zip(holder, was)):
                overlays.note(owner, overlays.Contents(holder), tuple(was))


def _spaces(namespace, code, names):
    """Dicts of modules and classes in which there may be such tables."""
    package = str(namespace.get("__name__")).partition(".")[0]
    found = {id(namespace): namespace}

    def module(name, everybody=False):
        space = sys.modules.get(name)
        if space is not None and issubclass(type(space), ModuleType) and name.partition(".")[0] not in _NEVER and (
                everybody or name.partition(".")[0] == package):
            found[id(_MODULE_DICT(space))] = _MODULE_DICT(space)
    for name in _names(code):
        value = namespace.get(name)
        if issubclass(type(value), ModuleType):
            module(str(_MODULE_DICT(value).get("__name__")), name in names)
        elif issubclass(type(value), type):
            for each in _MRO(value) + _MRO(type(value)):
                if str(_CLASS_DICT(each).get("__module__")).partition(".")[0] == package:
                    found[id(each)] = _CLASS_DICT(each)
                    module(_CLASS_DICT(each)["__module__"])
        elif type(value) is FunctionType:
            module(str(value.__module__))
    return list(found.values())


def _names(code):
    found = set(code.co_names)
    for each in code.co_consts:
        if type(each) is CodeType:
            found |= _names(each)
    return found


def _own_dict(value):
    """An object's own dict; a class's, in a proxy; {} where it has none."""
    if issubclass(type(value), ModuleType):
        return {}
    if issubclass(type(value), type):
        return _CLASS_DICT(value)
    try:
        own = object.__getattribute__(value, "__dict__")
    except AttributeError:
        return {}
    return own if type(own) is dict else {}


def _copy(value):
    return dict(value) if isinstance(value, dict) else list(value) if isinstance(value, list) else set(value)
