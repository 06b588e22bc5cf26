"""What reads the annotations of a class when the class is made, and would not again: pydantic, NamedTuple.

A metaclass, or a base's __init_subclass__, reads them if its code, or any code that it may call, has a name of theirs,
or if it is C. What only registers classes, or is there for their calls, reads none. A TypedDict is a dict: what it has
read are words for type checkers, as other classes' annotations.
"""
from __future__ import annotations

from types import CodeType, FunctionType, ModuleType

from klpfs.cpython.raw import object_dict, type_dict, type_mro

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

# what these make of fields is looked at here
_OF_PYTHON = frozenset(("abc", "_py_abc", "enum", "typing", "typing_extensions"))
_HOLDERS = (classmethod, staticmethod)
_MAKING = ("__new__", "__init__", "__prepare__")
_READING = frozenset(("__annotations__", "__annotate__", "__annotate_func__", "get_type_hints", "get_annotations",
                      "annotationlib"))
_MOST = 5000            # functions that are looked at; who may call more counts as a reader


def maker_of(cls: type) -> str:
    """The name of what reads the annotations of a class when it is made; '' if nothing does."""
    for meta in type_mro(type(cls)):
        space = type_dict(meta)
        if meta is not type and meta is not object and space.get("__module__") not in _OF_PYTHON and any(
                _reads(space[name]) for name in _MAKING if name in space):
            return f"its metaclass {meta.__name__}"
    for base in type_mro(cls)[1:]:
        space = type_dict(base)
        if base is not object and space.get("__module__") not in _OF_PYTHON and "__init_subclass__" in space and (
                _reads(space["__init_subclass__"])):
            return f"{base.__name__}.__init_subclass__"
    own = type_dict(cls)
    if "_fields" in own and "_field_defaults" in own and any(base is tuple for base in type_mro(cls)):
        return "NamedTuple"
    return "runtime_checkable" if own.get("_is_protocol") is True and own.get("_is_runtime_protocol") is True else ""


def _reads(maker: Any) -> bool:
    """Whether a function, or any that it may call, reads annotations, as far as names tell."""
    function = maker.__func__ if type(maker) in _HOLDERS else maker
    if type(function) is not FunctionType:
        return True                         # C: nothing tells
    todo: list[Any] = [function]
    seen: set[int] = set()
    while todo:
        value = todo.pop()
        value = value.__func__ if type(value) in _HOLDERS else value
        if type(value) is not FunctionType or id(value) in seen:
            continue
        seen.add(id(value))
        codes = [value.__code__]
        while codes:
            code = codes.pop()
            words = {*code.co_names, *(const for const in code.co_consts if type(const) is str)}
            if not words.isdisjoint(_READING) or len(seen) > _MOST:
                return True
            codes += [const for const in code.co_consts if type(const) is CodeType]
            todo += _used(value, code)
    return False


def _used(function: FunctionType, code: CodeType) -> list[Any]:
    """Functions that code may call: of its closure, of its globals, and of the modules and classes among these."""
    found: list[Any] = []
    for cell in function.__closure__ or ():
        try:
            found.append(cell.cell_contents)
        except ValueError:
            continue                        # empty
    for name in code.co_names:
        value = dict.get(function.__globals__, name)
        if isinstance(value, type):
            found += [inner for inner in type_dict(value).values()
                      if type(inner) is FunctionType or type(inner) in _HOLDERS]
        elif type(value) is ModuleType:
            space = object_dict(value)
            found += [space[each] for each in code.co_names if each in space]
        else:
            found.append(value)
    return found
