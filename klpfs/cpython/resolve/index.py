"""The index of a loaded module's definitions: what a Func's old_name and old_sympos mean in it.

Found by what is alive, without running any of the program's code; the source, where it is that of what is running,
gives definitions their order.
"""
from __future__ import annotations

import sys
from errno import EINVAL
from types import CodeType, FunctionType, ModuleType

from klpfs.cpython.raw import is_compiled, isinstance_of, type_dict, type_qualname, value_at
from klpfs.cpython.resolve.code_copies import content, place
from klpfs.cpython.resolve.codes import nested
from klpfs.cpython.resolve.definitions import Definition, Registry, Unit, is_ours
from klpfs.cpython.resolve.live_functions import functions_of
from klpfs.cpython.resolve.original_source import SourceTree
from klpfs.cpython.resolve.owners import FOREIGN, Owners
from klpfs.engine.error import KlpError
from klpfs.engine.log import pr_err
from klpfs.engine.names import NULL, VMLINUX

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    from klpfs.cpython.resolve.code_copies import Place
    from klpfs.engine.log import Log


class Index:
    """The definitions of one loaded module, as they were alive when the Index was made.

    object: the module's name, None for the main program. namespace: its dict. units: id(original code) -> Unit.
    by_name: qualified name -> [Unit].
    """

    __slots__ = ("object", "shown", "namespace", "registry", "units", "by_name", "_tree")

    def __init__(self, registry: Registry, object: str | None, namespace: dict[str, Any]) -> None:
        self.registry, self.object, self.namespace = registry, object, namespace
        self.shown = VMLINUX if object is None else object
        self._tree: SourceTree | None = None
        self.units: dict[int, Unit] = {}
        self.by_name: dict[str, list[Unit]] = {}
        owners = Owners(registry, registry.definitions_in(namespace))
        for fn in functions_of([namespace]):
            if is_ours(fn):
                continue
            code = self._original(fn, owners)
            unit = self.units.get(id(code))
            if unit is None:
                unit = self.units[id(code)] = Unit(code, None, None)
            unit.functions.append(fn)
        for unit in list(self.units.values()):
            self._add_nested(unit)
        for unit in self.units.values():
            if unit.name is None:
                unit.name = self._name(unit)
        self._drop_stubs()
        self._drop_twins()
        self._join_copies()
        for unit in self.units.values():
            self.by_name.setdefault(unit.name or "", []).append(unit)

    def _original(self, fn: FunctionType, owners: Owners) -> CodeType:
        definition, kind = owners.judge(fn)
        code = self.registry.in_force(fn.__code__)
        return code if definition is None or kind is FOREIGN or id(code) in definition.originals else definition.code

    def _add_nested(self, unit: Unit) -> None:
        for code, name in nested(unit.code):
            known = self.units.get(id(code))
            if known is None:
                known = self.units[id(code)] = Unit(code, name, unit)
                self._add_nested(known)
            elif known.outer is None and known is not unit:
                known.name, known.outer = name, unit
                # What is nested in it is added by its own turn.

    def _name(self, unit: Unit) -> str:
        """The qualified name of a unit around which nothing alive lies. The function's own attribute may be a
        decorator's work."""
        code = unit.code
        made = code.co_filename[:1] == "<"  # by exec, as dataclasses do: the code's name tells of its making
        if hasattr(code, "co_qualname") and not (made and "<locals>" in code.co_qualname):
            return code.co_qualname
        for fn in unit.functions:
            name = made and self._in_class(fn) or fn.__qualname__
            if name.rpartition(".")[2] == code.co_name:
                return name
        return getattr(code, "co_qualname", None) or self.tree.name(code) or "?." + code.co_name

    def _in_class(self, fn: FunctionType) -> str | None:
        """'C.m' of a function in the dict of a class of the module; 3.9's dataclasses give it no such name."""
        name = fn.__code__.co_name
        for value in list(self.namespace.values()):
            if isinstance_of(value, (type,)) and type_dict(value).get(name) is fn:
                return f"{type_qualname(value)}.{name}"
        return None

    def _drop_stubs(self) -> None:
        """Drops the functions that typing.overload keeps (3.11): nobody can call them."""
        stubs: set[int] = set()
        for name in ("typing", "typing_extensions"):
            registry = getattr(sys.modules.get(name), "_overload_registry", None)
            for by_line in list(dict.get(registry, self.namespace.get("__name__"), {}).values()) if registry else ():
                stubs.update(id(fn) for fn in list(by_line.values()))
        for key, unit in list(self.units.items()) if stubs else ():
            if unit.functions and all(id(fn) in stubs for fn in unit.functions):
                del self.units[key]

    def _drop_twins(self) -> None:
        """Drops what a tool has made of a definition and given its name: a checker that beartype executes, a trampoline
        that ddtrace writes. The definition of the source, which they call, is the one that is meant."""
        by_name: dict[str | None, list[Unit]] = {}
        for unit in self.units.values():
            if unit.outer is None:
                by_name.setdefault(unit.name, []).append(unit)
        twins: set[Unit] = set()
        for units in by_name.values():
            made = [unit for unit in units if len(units) > 1 and _is_made(unit.code)]
            if len(made) < len(units):
                twins.update(made)
        for key, unit in list(self.units.items()) if twins else ():
            if not twins.isdisjoint(_chain(unit)):
                del self.units[key]

    def _join_copies(self) -> None:
        """Function objects whose code is like what lies in another function, and at its place, are of that unit."""
        places: dict[Place, list[Unit]] = {}
        for unit in self.units.values():
            if unit.outer is not None:
                places.setdefault(place(unit.code), []).append(unit)
        joined: dict[Unit, Unit] = {}
        for key, unit in list(self.units.items()) if places else ():
            there = places.get(place(unit.code), ()) if unit.outer is None and not _is_generated(unit.code) else ()
            alike = [other for other in there if unit.name == other.name and content(unit.code) == content(other.code)]
            # the module may have been loaded again; of two in one function nobody knows which it is
            if alike and len({_around(other) for other in alike}) == 1 and len({other.outer for other in alike}) == len(
                    alike):
                joined[unit] = alike[0]
                alike[0].functions += unit.functions
                alike[0].copies.append(unit.code)
                del self.units[key]
        for unit in self.units.values():
            if unit.outer in joined:
                unit.outer = joined[unit.outer]

    @property
    def tree(self) -> SourceTree:
        """The module's source as a tree of definitions; empty when it is not what is running."""
        if self._tree is None:
            self._tree = SourceTree(self.namespace, [unit.code for unit in self.units.values()])
        return self._tree

    def functions(self, definition: Definition) -> list[FunctionType]:
        """The function objects of a Definition of this module, as they were alive when this Index was made: a search of
        the heap for each function of a large patch would take minutes."""
        if any(space is not self.namespace for space in definition.namespaces):       # imported anew: elsewhere, too
            return self.registry.functions([definition])[definition]
        return [fn for key in definition.originals if key in self.units for fn in self.units[key].functions]

    def all(self, name: str) -> list[Definition]:
        """The Definitions of a qualified name that are alive."""
        groups = self._groups(self.by_name.get(name, []))
        return [self._adopt(group, groups) for group in groups]

    def has(self, name: str, position: int) -> bool:
        """Whether find() has anything to find, be it ambiguous."""
        units = self.by_name.get(name)
        if not units or not position:
            return bool(units)
        ordered = self._ordered(name, self._groups(units))
        return ordered is None or position <= len(ordered) and ordered[position - 1] is not None

    def find(self, name: str, position: int, log: Log) -> Definition:
        """The Definition called `name`, the position-th of that name in source order (0: the name must be unique).

        KlpError EINVAL with the kernel's line: not found, ambiguous, no such position; what is found cannot be patched.
        """
        units = self.by_name.get(name)
        if not units:
            raise KlpError(EINVAL, pr_err(log, self._why_not(name)))
        groups = self._groups(units)
        if position == 0:
            if len(groups) > 1:
                raise self._ambiguous(name, log)
            return self._found(groups[0], groups, log)
        ordered = self._ordered(name, groups)
        if ordered is None:
            raise self._ambiguous(name, log, f": the source of its definitions, all of line "
                                             f"{units[0].code.co_firstlineno}, is not to be had")
        group = ordered[position - 1] if position <= len(ordered) else None
        if group is None:
            raise KlpError(EINVAL, pr_err(
                log, f"symbol position {position} for symbol '{name}' in object '{self.shown}' not found"))
        return self._found(group, groups, log)

    def _found(self, group: list[Unit], groups: list[list[Unit]], log: Log) -> Definition:
        if len({_around(unit) for unit in group}) > 1:
            raise self._ambiguous(group[0].name or "", log, ": it lies in more than one text, the module was loaded "
                                                            "again")
        return self._adopt(group, groups)

    def _ambiguous(self, name: str, log: Log, why: str = "") -> KlpError:
        """The error, already logged, for a name that more than one definition has."""
        return KlpError(EINVAL, pr_err(
            log, f"unresolvable ambiguity for symbol '{name}' in object '{self.object or NULL}'{why}"))

    def _adopt(self, group: list[Unit], groups: list[list[Unit]]) -> Definition:
        first = group[0].code
        alike = [] if len(groups) == 1 else [
            units for units in groups if units[0].code.co_firstlineno == first.co_firstlineno
            and content(units[0].code) == content(first)]
        position = self.tree.place(first) if len(alike) > 1 else None
        return [self.registry.adopt(self.object, unit, self.namespace, position) for unit in group][-1]

    def _groups(self, units: list[Unit]) -> list[list[Unit]]:
        """Units by definition: those of one definition are more than one where its module was loaded again (reload)."""
        groups: list[list[Unit]] = []
        lines: dict[int, list[Unit]] = {}
        for unit in units:
            lines.setdefault(unit.code.co_firstlineno, []).append(unit)
        for line in sorted(lines):
            same = lines[line]
            if len(same) == 1:
                groups.append(same)
                continue
            by_content: dict[tuple[str, int | None], list[Unit]] = {}
            for unit in same:
                by_content.setdefault((content(unit.code), self.tree.place(unit.code)), []).append(unit)
            if len(by_content) == len(same) or not any(self.tree.several(unit.code) for unit in same):
                groups += by_content.values()
            else:  # several of one line, of one content, and more objects than that: reloaded or not, who knows
                groups += [[unit] for unit in same]
        return groups

    def _ordered(self, name: str, groups: list[list[Unit]]) -> Sequence[list[Unit] | None] | None:
        """The groups in source order, None in the place of a definition that is not alive; None if that cannot be
        told."""
        if self.tree:
            by_place = {self.tree.place(group[0].code): group for group in groups}
            if None not in by_place and len(by_place) == len(groups):
                return [by_place.get(place) for place in self.tree.places(name)]
        lines = [group[0].code.co_firstlineno for group in groups]
        if len(set(lines)) < len(lines):
            return None
        return sorted(groups, key=lambda group: group[0].code.co_firstlineno)

    def _why_not(self, name: str) -> str:
        value = value_at(self.namespace, name)
        if ("." in name and type(value) is FunctionType and value.__globals__ is not self.namespace
                and _is_generated(value.__code__)):
            return (f"function '{name}' in object '{self.shown}' has globals of its own "
                    f"({value.__code__.co_filename}), it cannot be patched")
        if value is not None and not isinstance_of(value, (type, ModuleType, FunctionType)) and is_compiled(value):
            return f"symbol '{name}' in object '{self.shown}' is compiled, it cannot be patched"
        return f"symbol '{name}' not found in symbol table"


def _around(unit: Unit) -> tuple[Any, ...]:
    """What tells apart the code around a unit, outermost last."""
    outer = unit.outer
    return () if outer is None else (outer.name, outer.code.co_firstlineno, content(outer.code), *_around(outer))


def _chain(unit: Unit) -> list[Unit]:
    """A unit and the units around it."""
    found = [unit]
    while unit.outer is not None:
        unit = unit.outer
        found.append(unit)
    return found


_COMPILED = (str, bytes, int, float, complex, bool, type(None), type(Ellipsis), tuple, frozenset, slice, CodeType)


def _is_made(code: CodeType) -> bool:
    """Whether no compiler has made a code out of the module's source: a text was executed, or bytecode written, with
    objects of the program's among its constants."""
    return _is_generated(code) or any(type(const) not in _COMPILED for const in code.co_consts)


def _is_generated(code: CodeType) -> bool:
    """Whether exec made a code out of a text, as attrs does it."""
    return code.co_filename[:1] == "<" and code.co_filename[:8] != "<frozen "
