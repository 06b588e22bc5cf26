"""Names that new code reads elsewhere as long as a transition pends: what lets constants change with the functions.

Old code reads a module's LIMIT as ever. New code has the name `_klpfs:LIMIT` in its place, a global of the same module
that has the new value; so each version has its own, and a read costs what it always does. When the transition is
complete, LIMIT has the new value, the names in the code are exchanged for LIMIT, and the other global goes: between
transitions new code is what its text says, and sees what anybody puts into the module.

The names of a code object are put in place, also while frames run it: its co_names is a tuple of its own, which only
clones of the code share, and an item of it is set by a descriptor of C's, in one step that raises no audit event and
keeps count of references. What is cut off between two steps is done again from the beginning. The interpreter's caches
of global names go by the version of the module's dict, which is made anew by a key that comes and goes. Where items of
tuples can't be set (available), there is no Diversion.

The hash of a code object goes by its names (from 3.14 on by those that it had when it was first asked). Until a
transition is complete, nobody is to put new code into a set or dict.
"""
from __future__ import annotations

import sys
from opcode import EXTENDED_ARG, opmap
from types import CodeType

from klpfs.cpython import c_api

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from typing import Any, Callable

PREFIX = "_klpfs:"      # no identifier: no program's own name; `import *` leaves it out
_ITEMS = tuple.__basicsize__        # bytes in a tuple before its items
_SHIFTS = {"LOAD_GLOBAL": int(sys.version_info >= (3, 11)), "LOAD_ATTR": int(sys.version_info >= (3, 12)),
           "LOAD_SUPER_ATTR": 2,
           "IMPORT_NAME": 2 * int(sys.version_info >= (3, 15))}     # bits of an argument below the number of a name
_GLOBALS = {opmap[name] for name in ("LOAD_GLOBAL", "STORE_GLOBAL", "DELETE_GLOBAL")
            if name in opmap}
_BY_BLOCK = {opmap[name] for name in ("STORE_NAME", "DELETE_NAME") if name in opmap}
_ATTRIBUTES = {opmap[name] for name in ("LOAD_ATTR", "LOAD_METHOD", "IMPORT_FROM") if name in opmap}
_OTHERS = {opmap[name] for name in (
    "STORE_ATTR", "DELETE_ATTR", "IMPORT_NAME", "LOAD_SUPER_ATTR", "LOAD_FROM_DICT_OR_GLOBALS") if name in opmap}
_LOAD_NAME, _BY_CLASS = opmap["LOAD_NAME"], opmap.get("LOAD_FROM_DICT_OR_GLOBALS")      # the second: from 3.12 on
_NAMING = _GLOBALS | _BY_BLOCK | _ATTRIBUTES | _OTHERS | {_LOAD_NAME}
_SHIFT = {opmap[name]: shift for name, shift in _SHIFTS.items() if name in opmap}


_found: list[bool] = []     # what available() has found
_setters: dict[int, Callable[[Any, Any], None]] = {}    # index of an item of a tuple -> what sets it


class Undivided(Exception):
    """A code object that uses a name in two ways, of which new code may have one elsewhere."""


def private(name: str) -> str:
    """The global in which new code has a name's value as long as a transition pends."""
    return sys.intern(PREFIX + name)


class Diversion:
    """The names of one module that new code has elsewhere as long as a transition pends. names: theirs. in_force: new
    code has them elsewhere now."""

    __slots__ = ("names", "in_force", "_slots")

    def __init__(self, names: Iterable[str] = ()) -> None:
        self.names = frozenset(names)
        self.in_force = False
        # (co_names, what sets the item, its name, the private one), by co_names' id and the index
        self._slots: dict[tuple[int, int], tuple[tuple[str, ...], Callable[[Any, Any], None], str, str]] = {}

    def begin(self, namespace: dict[str, Any], values: Mapping[str, Any]) -> None:
        """New code has these values from now on. Counterpart: end, also where an exception has cut it off."""
        self.in_force = True
        for name, value in values.items():
            namespace[private(name)] = value
        for names, put, _, other in self._slots.values():
            put(names, other)
        _new_version(namespace)

    def end(self, namespace: dict[str, Any]) -> None:
        """New code has what the module has. Counterpart: begin."""
        if self.in_force:
            for names, put, name, _ in self._slots.values():
                put(names, name)
            _new_version(namespace)
            for name in self.names:
                namespace.pop(private(name), None)
            self.in_force = False

    def add(self, names: tuple[str, ...], at: int) -> None:
        """Takes in a name of a code object: names, its co_names, with the module's name at an index."""
        put, name = _setter(at), names[at]
        self._slots[id(names), at] = names, put, name, private(name)
        if self.in_force:
            put(names, private(name))


def divided(code: CodeType, own: Diversion, others: Mapping[str, Diversion],
            of_class: frozenset[str] = frozenset()) -> CodeType:
    """The code, and all code in it, with names that diversions can exchange. own: of the module whose globals the code
    has. others: {attribute or imported name: the diversion of the module that it is taken from}. of_class: names that
    the class block around the code binds, where it looks first (annotations, type parameters). Undivided."""
    uses_of = _uses(code)       # code that gets other constants has the same instructions
    bound = of_class | {code.co_names[at] for at, uses in uses_of.items() if any(
        opcode in _BY_BLOCK for opcode, _ in uses)}
    consts = tuple(divided(const, own, others, bound) if type(const) is CodeType else const for const in code.co_consts)
    if any(one is not other for one, other in zip(consts, code.co_consts)):
        code = code.replace(co_consts=consts)
    wanted = own.names | others.keys()
    if wanted.isdisjoint(code.co_names):
        return code
    names, raw = list(code.co_names), bytearray(code.co_code)
    found: list[tuple[int, Diversion]] = []
    for at, uses in uses_of.items():
        name = code.co_names[at]
        if name in wanted:
            homes: dict[Diversion | None, list[tuple[int, int]]] = {}
            for opcode, place in uses:
                homes.setdefault(_home(opcode, name, own, others), []).append((opcode, place))
            if own in homes and any(opcode in _BY_BLOCK or opcode == _BY_CLASS and name in of_class
                                    for opcode, _ in uses):
                raise Undivided(f"a class in '{code.co_name}' has '{name}' as its own and as the module's")
            found += [(new, home) for home, new in _divide(code, names, raw, at, homes) if home is not None]
    if found:
        own_names = tuple(names)
        code = code.replace(co_names=own_names)
        if raw != code.co_code:
            code = code.replace(co_code=bytes(raw))
        if code.co_names is not own_names:
            raise Undivided(f"the names of '{code.co_name}' can't be exchanged")
        for at, home in found:
            home.add(own_names, at)
    return code


def _divide(code: CodeType, names: list[str], raw: bytearray, at: int,
            homes: dict[Diversion | None, list[tuple[int, int]]]) -> Iterator[tuple[Diversion | None, int]]:
    """(home, index of the name) for each home that uses of a name lead to: the first keeps the index, others get
    indexes of their own, which are put into their instructions."""
    for number, (home, uses) in enumerate(homes.items()):
        if number:
            names.append(code.co_names[at])
            for opcode, place in uses:
                shift = _SHIFT.get(opcode, 0)
                argument = (len(names) - 1) << shift | raw[place + 1] & ((1 << shift) - 1)
                if argument > 255 or place > 1 and raw[place - 2] == EXTENDED_ARG:
                    raise Undivided(f"'{code.co_name}' has '{code.co_names[at]}' of the module and of something else, "
                                    "and too many names to tell them apart")
                raw[place + 1] = argument
        yield home, at if not number else len(names) - 1


def _home(opcode: int, name: str, own: Diversion, others: Mapping[str, Diversion]) -> Diversion | None:
    """The diversion that one use of a name by an instruction belongs to."""
    if opcode in _ATTRIBUTES:
        return others.get(name)
    return own if name in own.names and (opcode in _GLOBALS or opcode in (_LOAD_NAME, _BY_CLASS)) else None


def _uses(code: CodeType) -> dict[int, list[tuple[int, int]]]:
    """{index of a name: [(opcode, place in the code) of an instruction that uses it]}."""
    found: dict[int, list[tuple[int, int]]] = {}
    raw, argument = code.co_code, 0
    for place, (opcode, low) in enumerate(zip(raw[::2], raw[1::2])):
        argument |= low
        if opcode == EXTENDED_ARG:
            argument <<= 8
            continue
        if opcode in _NAMING:
            found.setdefault(argument >> _SHIFT.get(opcode, 0), []).append((opcode, 2 * place))
        argument = 0
    return found


def _setter(at: int) -> Callable[[Any, Any], None]:
    """What sets an item of a tuple: called with the tuple and the item."""
    if at not in _setters:
        _setters[at] = c_api.member(tuple, _ITEMS + at * c_api.POINTER, c_api.OBJECT)[1]
    return _setters[at]


def _new_version(namespace: dict[str, Any]) -> None:
    """Lets the interpreter look global names up anew."""
    key = private("")
    namespace[key] = None
    del namespace[key]


def available() -> bool:
    """Whether names can be exchanged here: tried on a tuple of our own, when somebody first asks."""
    if not _found:
        _found.append(c_api.AVAILABLE and _works())
    return _found[0]


def _works() -> bool:
    names = tuple(["a", "b"])
    try:
        if c_api.member(tuple, _ITEMS + c_api.POINTER, c_api.OBJECT)[0](names) is not names[1]:
            return False
        _setter(1)(names, "c")
    except Exception:
        return False
    return names == ("a", "c")
