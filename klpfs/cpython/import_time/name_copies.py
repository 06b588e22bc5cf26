"""Copies of a value by name: in modules that imported it, in classes that took it as an attribute."""
from __future__ import annotations

import ast
import gc
import sys
from types import FunctionType, ModuleType

from klpfs.cpython.import_time.overlays import Attribute, Item, known
from klpfs.cpython.load.parse import parse
from klpfs.cpython.raw import module_dict, type_dict

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from klpfs.cpython.import_time.overlays import Place

_flags = vars(type)["__flags__"].__get__      # the metaclass is not asked
_HEAP_TYPE = 1 << 9     # Py_TPFLAGS_HEAPTYPE
_NO_IDENTITY = (type(None), bool, int, float, complex, str, bytes, type(Ellipsis), type(NotImplemented), ModuleType)
_UNIQUE = (FunctionType, type, classmethod, staticmethod, property)


def is_of(value: Any, space: dict[str, Any]) -> bool:
    """Whether a function or class was made by the code of the module that has these globals, or says so; True of all
    others."""
    name = space.get("__name__")
    if type(value) is FunctionType:
        return value.__globals__ is space or bool(value.__module__ == name)
    return not issubclass(type(value), type) or bool(type_dict(value).get("__module__", name) == name)


def copies_of(value: Any, name: str, owner: str, by_name: bool = False) -> list[Place]:
    """Places in the dicts of modules and classes where this very object is held, the module's own name for it among
    them.

    name: what it is called in the module `owner`. Only functions and classes are one object for one definition; other
    values may be shared by chance (constants of a module's code, compiled patterns, what a registry hands out), so
    those are looked for under their name alone, in modules that import it by name as far as their source can be read.
    by_name: so are functions and classes.
    """
    if issubclass(type(value), _NO_IDENTITY):
        return []
    unique = not by_name and (issubclass(type(value), _UNIQUE) or hasattr(type(value), "cache_clear"))
    places: list[Place] = []
    for key, module in list(sys.modules.items()):
        if not issubclass(type(module), ModuleType):  # its __class__ is not asked: some pretend
            continue
        space = module_dict(module)
        if str(space.get("__name__")).partition(".")[0] == "klpfs":
            continue
        if unique:
            places += [Item(space, name_there) for name_there, held in list(space.items()) if held is value]
        elif key != owner and "." not in name and space.get(name) is value and _imports(space, owner, name):
            places.append(Item(space, name))
    for cls in _classes() if unique else ():
        places += [Attribute(cls, attribute) for attribute, held in list(type_dict(cls).items()) if held is value]
    return places


def made_copies(value: Any, space: dict[str, Any]) -> list[Place]:
    """Global names of other modules than the one with these globals that patches have bound to this very table."""
    if type(value) not in (dict, list, set):
        return []
    spaces = [module_dict(module) for module in list(sys.modules.values()) if issubclass(type(module), ModuleType)]
    places = [Item(other, name) for other in spaces if other is not space
              for name, held in list(other.items()) if held is value]
    return [place for place in places if known(place)]


def _imports(space: dict[str, Any], owner: str, name: str) -> bool:
    """Whether a module's source takes a name from `owner`; a module that has no source is taken to do so."""
    path = space.get("__file__")
    if not isinstance(path, str) or not path.endswith(".py"):
        return path is None
    try:
        with open(path, "rb") as file:
            tree = parse(file.read())
    except (OSError, SyntaxError, ValueError):
        return False
    last = owner.rpartition(".")[2]
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and any(alias.name in (name, "*") for alias in node.names):
            source = (node.module or "").rpartition(".")[2]
            if source == last or not source or owner.startswith((node.module or "") + "."):
                return True
    return False


def _classes() -> list[type]:
    """All classes of the program, built-in ones left out."""
    return [obj for obj in gc.get_objects() if issubclass(type(obj), type) and _flags(obj) & _HEAP_TYPE]
