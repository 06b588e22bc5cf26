"""Definitions: what a Func's old_name and old_sympos mean in a loaded module, and which function objects are one.

A definition is one `def` or lambda in a module's source. All function objects with its code belong to it, wherever they
are kept: behind decorators, in properties, registries, closures, variables. A definition that lies in another function
may have many, or none yet; its code is a constant of the function around it. Found by what is alive, without running
any of the program's code.
"""
from errno import EINVAL
from types import FunctionType, ModuleType

from klpfs.engine.error import KlpError
from klpfs.engine.log import pr_err
from klpfs.cpython.resolve.codes import nested
from klpfs.cpython.resolve.fingerprint import fingerprint
from klpfs.cpython.images.image import MARK
from klpfs.cpython.resolve.live_functions import functions_of
from klpfs.cpython.resolve.original_source import SourceTree


class Definition:
    """One function of the program, as a Func's `definition`. Equal only to itself; Registry makes one for each.

    object: name of its module, None for the main program. name: qualified. line: its first. code: the original's.
    originals: code objects of it, more than one after a reload (id -> code). outer: the Definition of the function it
    lies in, or None. inners: Definitions that lie in it, as far as known. made: code that klpfs made for it (id -> code). namespaces: dicts of the modules it is alive in.
    """

    __slots__ = ("object", "name", "line", "code", "originals", "outer", "inners", "made", "namespaces", "key",
                 "users", "_fingerprint", "__weakref__")

    def __init__(self, object, name, code, outer, namespace):
        self.object, self.name, self.code, self.outer = object, name, code, outer
        self.line = code.co_firstlineno
        self.originals, self.made = {id(code): code}, {}
        self.inners = []
        if outer is not None:
            outer.inners.append(self)
        self.namespaces = [namespace]
        self.key, self.users = None, 0  # the Registry's
        self._fingerprint = None

    @property
    def fingerprint(self):
        if self._fingerprint is None:
            self._fingerprint = fingerprint(self.code)
        return self._fingerprint

    @property
    def chain(self):
        """The definitions around it, innermost first."""
        found, at = [], self.outer
        while at is not None:
            found.append(at)
            at = at.outer
        return found

    @property
    def shown(self):
        return "vmlinux" if self.object is None else self.object

    def __repr__(self):
        return "<%s of %s, line %d>" % (self.name, self.shown, self.line)


class Unit:
    """A candidate: one code object that is alive in a module."""

    __slots__ = ("code", "name", "outer", "functions")

    def __init__(self, code, name, outer):
        self.code, self.name, self.outer, self.functions = code, name, outer, []


class Registry:
    """All definitions that a Func was ever found for, by the code objects that belong to them.

    holders: id(function) -> Definition, of functions that hold a dispatcher now.
    """

    __slots__ = ("by_code", "by_key", "holders")

    def __init__(self):
        self.by_code, self.by_key, self.holders = {}, {}, {}

    def definition_of(self, fn):
        """The Definition that a function object belongs to, or None."""
        return self.holders.get(id(fn)) or self.by_code.get(id(fn.__code__))

    def adopt(self, object, unit, namespace, place=None):
        """The Definition of a unit: the known one, the one of an earlier load of the same code, or a new one.

        place: tells apart those of one name, line and content; else None.
        """
        definition = self.by_code.get(id(unit.code))
        if definition is None:
            outer = self.adopt(object, unit.outer, namespace) if unit.outer is not None else None
            key = (object, unit.name, unit.code.co_firstlineno, fingerprint(unit.code), place, outer)
            definition = self.by_key.get(key)
            if definition is None:
                definition = self.by_key[key] = Definition(object, unit.name, unit.code, outer, namespace)
                definition.key = key
            definition.originals[id(unit.code)] = unit.code
            self.by_code[id(unit.code)] = definition
        if not any(each is namespace for each in definition.namespaces):
            definition.namespaces.append(namespace)
        return definition

    def use(self, definition):
        """A Func was found to be for it."""
        definition.users += 1

    def unuse(self, definition):
        """That Func is over. A definition that is of no use any more is forgotten: found again, it is a new one."""
        definition.users -= 1
        while definition is not None and definition.users <= 0 and not definition.inners and (
                self.by_key.get(definition.key) is definition):
            del self.by_key[definition.key]
            for key in list(definition.originals) + list(definition.made):
                if self.by_code.get(key) is definition:
                    del self.by_code[key]
            outer = definition.outer
            if outer is not None:
                outer.inners.remove(definition)
            definition = outer

    def made(self, definition, code):
        """`code` was made by klpfs to run for `definition`."""
        definition.made[id(code)] = code
        self.by_code[id(code)] = definition

    def unmade(self, definition, code):
        """`code` runs nowhere any more."""
        definition.made.pop(id(code), None)
        self.by_code.pop(id(code), None)

    def functions(self, definitions):
        """{Definition: [its live function objects]} of these and of what they lie in."""
        found = {}
        for each in definitions:
            for one in [each] + each.chain:
                found[one] = []
        namespaces = {id(space): space for each in found for space in each.namespaces}
        for fn in functions_of(namespaces.values()):
            definition = self.definition_of(fn)
            if definition in found and not _is_ours(fn):
                found[definition].append(fn)
        return found


class Index:
    """The definitions of one loaded module, as they are alive now."""

    __slots__ = ("object", "shown", "namespace", "registry", "units", "by_name", "_tree")

    def __init__(self, registry, object, namespace):
        self.registry, self.object, self.namespace = registry, object, namespace
        self.shown = "vmlinux" if object is None else object
        self._tree = None
        self.units = {}       # id(original code) -> Unit
        self.by_name = {}     # qualified name -> [Unit]
        live = [fn for fn in functions_of([namespace]) if not _is_ours(fn)]
        for fn in live:
            code = self._original(fn)
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
        for unit in self.units.values():
            self.by_name.setdefault(unit.name, []).append(unit)

    def _original(self, fn):
        definition = self.registry.definition_of(fn)
        if definition is None:
            return fn.__code__
        return fn.__code__ if id(fn.__code__) in definition.originals else definition.code

    def _add_nested(self, unit):
        for code, name in nested(unit.code):
            other = self.units.get(id(code))
            if other is None:
                other = self.units[id(code)] = Unit(code, name, unit)
                self._add_nested(other)
            elif other.outer is None and other is not unit:
                other.name, other.outer = name, unit
                # Its own nested ones are added by its own turn.

    def _name(self, unit):
        """Where nothing alive lies around it. The function's own attribute may be a decorator's work."""
        code = unit.code
        made = code.co_filename[:1] == "<"  # by exec, as dataclasses do: the code's name tells of its making
        if hasattr(code, "co_qualname") and not (made and "<locals>" in code.co_qualname):
            return code.co_qualname
        for fn in unit.functions:
            name = made and self._in_class(fn) or fn.__qualname__
            if name.rpartition(".")[2] == code.co_name:
                return name
        return getattr(code, "co_qualname", None) or self.tree.name(code) or "?." + code.co_name

    def _in_class(self, fn):
        """'C.m' of a function in the dict of a class of the module; 3.9's dataclasses give it no such name."""
        name = fn.__code__.co_name
        for value in list(self.namespace.values()):
            if isinstance_of(value, (type,)) and _TYPE_DICT(value).get(name) is fn:
                return "%s.%s" % (_TYPE_QUALNAME(value), name)
        return None

    def _drop_stubs(self):
        """What typing.overload keeps (3.11) is not part of the program: nobody can call it."""
        import sys
        stubs = set()
        for name in ("typing", "typing_extensions"):
            registry = getattr(sys.modules.get(name), "_overload_registry", None)
            for by_line in list(dict.get(registry, self.namespace.get("__name__"), {}).values()) if registry else ():
                stubs.update(id(fn) for fn in list(by_line.values()))
        for key, unit in list(self.units.items()) if stubs else ():
            if unit.functions and all(id(fn) in stubs for fn in unit.functions):
                del self.units[key]

    @property
    def tree(self):
        """The module's source as a tree of definitions; empty when it is not what is running."""
        if self._tree is None:
            self._tree = SourceTree(self.namespace, [unit.code for unit in self.units.values()])
        return self._tree

    def functions(self, definition):
        """The function objects of a Definition of this module, as they were alive when this Index was made: a search of
        the heap for each function of a large patch would take minutes."""
        if any(each is not self.namespace for each in definition.namespaces):       # imported anew: elsewhere, too
            return self.registry.functions([definition])[definition]
        return [fn for key in definition.originals if key in self.units for fn in self.units[key].functions]

    def all(self, name):
        """The Definitions of a qualified name that are alive."""
        units = self.by_name.get(name, [])
        groups = self._groups(units)
        return [self._adopt(group, groups) for group in groups]

    def has(self, name, position):
        """Whether there is anything for find() to find, be it ambiguous."""
        units = self.by_name.get(name)
        if not units or not position:
            return bool(units)
        ordered = self._ordered(name, self._groups(units))
        return ordered is None or position <= len(ordered) and ordered[position - 1] is not None

    def find(self, name, position, log):
        """The Definition called `name`, the position-th of that name in source order (0: there must be one only).

        KlpError EINVAL with the kernel's line: not found, ambiguous, no such position; what is there cannot be patched.
        """
        units = self.by_name.get(name)
        if not units:
            raise KlpError(EINVAL, pr_err(log, self._why_not(name)))
        groups = self._groups(units)
        if position == 0:
            if len(groups) > 1:
                raise KlpError(EINVAL, pr_err(log, "unresolvable ambiguity for symbol '%s' in object '%s'" % (name, self.shown)))
            return self._adopt(groups[0], groups)
        ordered = self._ordered(name, groups)
        if ordered is None:
            raise KlpError(EINVAL, pr_err(log, "unresolvable ambiguity for symbol '%s' in object '%s': the source of its "
                                               "definitions, all of line %d, is not to be had"
                                               % (name, self.shown, units[0].code.co_firstlineno)))
        group = ordered[position - 1] if position <= len(ordered) else None
        if group is None:
            raise KlpError(EINVAL, pr_err(log, "symbol position %d for symbol '%s' in object '%s' not found"
                                          % (position, name, self.shown)))
        return self._adopt(group, groups)

    def _adopt(self, group, groups):
        first = group[0].code
        alike = [] if len(groups) == 1 else [
            each for each in groups if each[0].code.co_firstlineno == first.co_firstlineno
            and fingerprint(each[0].code) == fingerprint(first)]
        place = self.tree.place(first) if len(alike) > 1 else None
        for unit in group:
            definition = self.registry.adopt(self.object, unit, self.namespace, place)
        return definition

    def _groups(self, units):
        """Units that are one definition of which the module was loaded more than once (reload): [[unit, ...]]."""
        groups, lines = [], {}
        for unit in units:
            lines.setdefault(unit.code.co_firstlineno, []).append(unit)
        for line in sorted(lines):
            same = lines[line]
            if len(same) == 1:
                groups.append(same)
                continue
            prints = {}
            for unit in same:
                prints.setdefault((fingerprint(unit.code), self.tree.place(unit.code)), []).append(unit)
            if len(prints) == len(same) or not any(self.tree.several(unit.code) for unit in same):
                groups += prints.values()
            else:  # several of one line, of one content, and more objects than that: reloaded or not, who knows
                groups += [[unit] for unit in same]
        return groups

    def _ordered(self, name, groups):
        """[group or None if it is not alive] in source order; None if that cannot be told."""
        if self.tree:
            places = self.tree.places(name)
            by_place = {self.tree.place(group[0].code): group for group in groups}
            if None not in by_place and len(by_place) == len(groups):
                return [by_place.get(place) for place in places]
        lines = [group[0].code.co_firstlineno for group in groups]
        if len(set(lines)) < len(lines):
            return None
        return sorted(groups, key=lambda group: group[0].code.co_firstlineno)

    def _why_not(self, name):
        found = lookup(self.namespace, name)
        if "." in name and type(found) is FunctionType and found.__globals__ is not self.namespace and _is_generated(found.__code__):
            return "function '%s' in object '%s' has globals of its own (%s), it cannot be patched" % (
                name, self.shown, found.__code__.co_filename)
        if found is not None and not isinstance_of(found, (type, ModuleType, FunctionType)) and callable_in_c(found):
            return "symbol '%s' in object '%s' is compiled, it cannot be patched" % (name, self.shown)
        return "symbol '%s' not found in symbol table" % name


def _is_generated(code):
    """Made by exec out of a text, as attrs does it."""
    return code.co_filename[:1] == "<" and code.co_filename[:8] != "<frozen "


_TYPE_QUALNAME = type.__dict__["__qualname__"].__get__
_TYPE_NAME = type.__dict__["__name__"].__get__
_TYPE_DICT = type.__dict__["__dict__"].__get__


def isinstance_of(value, kinds):
    """isinstance by the real type; the program's __class__ is not asked."""
    return any(issubclass(type(value), kind) for kind in kinds)


def callable_in_c(value):
    from types import BuiltinFunctionType, GetSetDescriptorType, MethodDescriptorType, WrapperDescriptorType
    kinds = (BuiltinFunctionType, MethodDescriptorType, WrapperDescriptorType, GetSetDescriptorType)
    name = _TYPE_NAME(type(value))
    return any(type(value) is kind for kind in kinds) or "cyfunction" in name or "cython" in name


def lookup(namespace, name):
    """What a dotted name leads to, through the module's dict and class dicts; None if nothing."""
    parts = name.split(".")
    found = namespace.get(parts[0])
    for part in parts[1:]:
        if not isinstance_of(found, (type,)):
            return None
        found = _TYPE_DICT(found).get(part)
    return found


def class_of(namespace, name):
    """The class that the definition of a qualified name lies in, or None: its name leads there, and not to a function."""
    path = name.rpartition(".")[0]
    found = lookup(namespace, path) if path and "<locals>" not in path else None
    return found if found is not None and isinstance_of(found, (type,)) else None


def _is_ours(fn):
    """Made by klpfs, and no part of the program: versions' function objects, stand-ins for those nobody has made yet."""
    return hasattr(fn, MARK)


def empty_function(definition):
    """A function object of a nested definition, with empty cells: stands for those that will be made later."""
    from types import CellType
    closure = tuple(CellType() for _ in definition.code.co_freevars) or None
    fn = FunctionType(definition.code, definition.namespaces[-1], definition.code.co_name, None, closure)
    fn.__qualname__ = definition.name
    setattr(fn, MARK, True)
    return fn
