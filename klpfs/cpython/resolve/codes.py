"""Code objects and what lies in them: definitions nested in a function's code, their qualified names, their order.

A module's code is a tree: functions and class bodies lie in the constants of what encloses them, in source order.
Comprehensions, generator expressions and the scopes of type parameters are parts of what encloses them.
"""
import sys
from opcode import EXTENDED_ARG, opmap
from types import CodeType

_HAS_QUALNAME = sys.version_info >= (3, 11)
_LOAD_CONST = opmap["LOAD_CONST"]
CO_OPTIMIZED = 0x1        # functions have it, class bodies and modules have not
GENLIKE = 0x20 | 0x80 | 0x200   # CO_GENERATOR, CO_COROUTINE, CO_ASYNC_GENERATOR
CO_ITERABLE_COROUTINE = 0x100
CO_NESTED = 0x10          # defined in another function
FLAVOURS = {0: "function", 0x20: "generator", 0x80: "coroutine", 0x200: "async generator"}


def flavour(code):
    return FLAVOURS[code.co_flags & GENLIKE]


def inner(code):
    """The code objects among the constants, in order."""
    return [each for each in code.co_consts if type(each) is CodeType]


def is_definition(code):
    """A function or lambda; not a class body, a comprehension, a scope of type parameters."""
    return bool(code.co_flags & CO_OPTIMIZED) and (code.co_name[:1] != "<" or code.co_name == "<lambda>")


def is_part(code):
    """A comprehension or generator expression: it belongs to the version of the function that it lies in."""
    return bool(code.co_flags & CO_OPTIMIZED) and not is_definition(code)


def nested(code):
    """[(code, qualified name)] of the definitions that lie directly in `code`, in source order.

    Directly: through class bodies and comprehensions, but not through another definition.
    """
    found = []
    names = None
    for each in inner(code):
        if is_definition(each):
            if _HAS_QUALNAME:
                name = each.co_qualname
            else:
                names = _qualnames(code) if names is None else names
                name = names.get(id(each), each.co_name)
            found.append((each, name))
        else:
            found += nested(each)
    return found


def _qualnames(code):
    """Before 3.11 the qualified name is the constant that is loaded just behind the code: id(code) -> name."""
    found, last, argument, raw = {}, None, 0, code.co_code
    for at in range(0, len(raw), 2):
        op, argument = raw[at], argument << 8 | raw[at + 1]
        if op == EXTENDED_ARG:
            continue
        value = code.co_consts[argument] if op == _LOAD_CONST else None
        if type(last) is CodeType and type(value) is str:
            found[id(last)] = value
        last, argument = value, 0
    return found


def tree(code):
    """[(code, qualified name, code it lies in)] of all definitions in a module's code, in source order."""
    found = []
    for each, name in nested(code):
        found.append((each, name, code))
        found += tree(each)
    return found


def stores(code):
    """Names that the code, or code nested in it, stores as globals; for a module's code: as its names."""
    found = _stored(code, _STORES if not code.co_flags & CO_OPTIMIZED else _STORES_GLOBAL)
    for each in inner(code):
        found |= stores(each) if each.co_flags & CO_OPTIMIZED else _stores_of_class(each)
    return found


def _stores_of_class(code):
    found = _stored(code, _STORES_GLOBAL)
    for each in inner(code):
        found |= stores(each) if each.co_flags & CO_OPTIMIZED else _stores_of_class(each)
    return found


def _operations(*names):
    """opcode -> by how many bits its argument is shifted before it counts names."""
    return {opmap[each]: int(_HAS_QUALNAME and each == "LOAD_GLOBAL") for each in names if each in opmap}


_STORES_GLOBAL = _operations("STORE_GLOBAL", "DELETE_GLOBAL")
_STORES_NAME = _operations("STORE_NAME", "DELETE_NAME")
_LOADS_NAME = _operations("LOAD_NAME", "LOAD_FROM_DICT_OR_GLOBALS")
_GLOBALS = {**_STORES_GLOBAL, **_LOADS_NAME, **_operations("LOAD_GLOBAL")}
_STORES = {**_STORES_GLOBAL, **_operations("STORE_NAME")}


def _stored(code, operations):
    """The names that the code itself gives to these operations. (dis takes a hundred times as long.)"""
    raw = code.co_code
    if not operations.keys() & set(raw[::2]):
        return set()
    found, argument = set(), 0
    for op, low in zip(raw[::2], raw[1::2]):
        argument |= low
        if op == EXTENDED_ARG:
            argument <<= 8
            continue
        shift = operations.get(op)
        if shift is not None:
            found.add(code.co_names[argument >> shift])
        argument = 0
    return found


def globals_of(code):
    """Names that a function's code, or code nested in it, loads, stores or deletes as globals."""
    found = _stored(code, _GLOBALS)
    if not code.co_flags & CO_OPTIMIZED:
        found -= _stored(code, _STORES_NAME)    # a class body's own
    for each in inner(code):
        found |= globals_of(each)
    return found


def mentions(code, name):
    """Code, or code nested in it, uses `name` as a global."""
    return name in code.co_names and name in _stored(code, _GLOBALS) or any(mentions(each, name) for each in inner(code))


def positions(code):
    """Where the code lies, finer than its first line; () before 3.11."""
    get = getattr(code, "co_positions", None)
    return tuple(get()) if get is not None else ()
