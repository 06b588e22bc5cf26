"""Pairs of modules: an older and a newer version of one program, made of items, for the tests of `klpfs build`.

tests/strategies.py makes random pairs. A pair knows what may be asked of each version (`probes`), and of objects that
were made while the old version ran (`held`): what a patched old module has to answer as the new one does, and as the
old one does when the patch is out again.
"""
from attrs import define, frozen

KINDS = ("number", "text", "tuple", "list", "table", "pattern")     # of a Constant


class Item:
    """A part of a module: its text, and what may be asked of it."""

    @property
    def used_names(self):
        """Names of the items that this one needs."""
        used = {*getattr(self, "uses", ()), *getattr(self, "called", ()), getattr(self, "base", "")} - {""}
        return used.union(*(method.uses for method in getattr(self, "methods", ())))


@frozen
class Constant(Item):
    """NAME = (kind, number)."""

    name: str
    kind: str
    number: int

    def source(self):
        n = self.number
        values = {"number": f"{n}", "text": f"'text {n}'", "tuple": f"({n}, 'x')", "list": f"[{n}, {n + 1}]",
                  "table": f"{{'a': {n}, {n}: 'b'}}", "pattern": f"re.compile('[a-z]{{{n % 3 + 1}}}')"}
        return f"{self.name} = {values[self.kind]}\n"

    def probes(self):
        return [f"show({self.name})"]


@frozen
class Function(Item):
    """def name(x, more=default). uses: names of constants, called: names of functions, all defined before it."""

    name: str
    number: int
    uses: tuple = ()
    called: tuple = ()
    default: "int | None" = None
    generator: bool = False
    doc: str = ""
    cached: bool = False

    def source(self):
        head = "@functools.lru_cache(None)\n" if self.cached else ""
        head += f"def {self.name}(x{'' if self.default is None else f', more={self.default}'}):\n"
        head += f'    """{self.doc}"""\n' if self.doc else ""
        parts = [str(self.number), "x"] + ([] if self.default is None else ["more"])
        parts += [f"show({name})" for name in self.uses] + [f"answer({name}, x)" for name in self.called]
        if self.generator:
            return head + f"    for each in ({', '.join(parts)},):\n        yield each\n"
        return head + f"    return ({', '.join(parts)},)\n"

    def probes(self):
        more = [] if self.default is None else [f"answer({self.name}, 3, more=4)"]
        return [f"answer({self.name}, 2)"] + more


@frozen
class Method:
    """A method of a class: kind '' (plain), 'property', 'staticmethod' or 'classmethod'."""

    name: str
    number: int
    kind: str = ""
    uses: tuple = ()

    def source(self):
        decorator = f"    @{self.kind}\n" if self.kind else ""
        first = {"": "self, x", "property": "self", "staticmethod": "x", "classmethod": "cls, x"}[self.kind]
        parts = [str(self.number)] + (["x"] if "x" in first else []) + [f"show({name})" for name in self.uses]
        parts += ["self.made"] if self.kind in ("", "property") else []
        return f"{decorator}    def {self.name}({first}):\n        return ({', '.join(parts)},)\n"

    def of(self, thing):
        return f"{thing}.{self.name}" + ("" if self.kind == "property" else "(5)")


@frozen
class Class(Item):
    """A class with attributes (name, number) and methods; each object has `made`."""

    name: str
    attributes: tuple = ()
    methods: tuple = ()
    base: str = ""

    def source(self):
        body = "".join(f"    {name} = {number}\n" for name, number in self.attributes)
        if not self.base:
            body += "    def __init__(self):\n        self.made = 'made'\n"
        body += "".join(method.source() for method in self.methods) or "    pass"
        return f"class {self.name}{f'({self.base})' if self.base else ''}:\n{body}\n"

    def _of(self, thing):
        return [f"{thing}.{name}" for name, _ in self.attributes] + [method.of(thing) for method in self.methods]

    def probes(self):
        return self._of(f"{self.name}()")

    def held(self):
        return f"{self.name}()", self._of("HELD")


@frozen
class Factory(Item):
    """A function that makes closures."""

    name: str
    number: int
    uses: tuple = ()

    def source(self):
        parts = [str(self.number), "x", "y"] + [f"show({name})" for name in self.uses]
        return f"def {self.name}(x):\n    def inner(y):\n        return ({', '.join(parts)},)\n    return inner\n"

    def probes(self):
        return [f"{self.name}(1)(2)"]

    def held(self):
        return f"{self.name}(7)", ["HELD(8)"]


HEAD = '''import collections
import dataclasses
import enum
import functools
import re


def show(value):
    return value.pattern if isinstance(value, re.Pattern) else repr(value)


def answer(function, *args, **more):
    found = function(*args, **more)
    return found if isinstance(found, tuple) else tuple(found)


'''


@define
class Pair:
    """old, new: tuples of items, in order."""

    old: tuple
    new: tuple

    def source(self, items):
        return HEAD + "\n\n".join(item.source() for item in items)

    @property
    def old_source(self):
        return self.source(self.old)

    @property
    def new_source(self):
        return self.source(self.new)

    @property
    def exotic(self):
        """Whether it may be refused, for an item that is changed, removed or added is of such a kind."""
        return any(getattr(item, "exotic", False) for item in {*self.old} ^ {*self.new})

    def probes(self, items):
        """Expressions to be evaluated in the module."""
        return [probe for item in items for probe in item.probes()]

    def held(self):
        """[(expression that makes an object while the old one runs, probes of it in the old, probes of it in the new)].
        HELD is the object."""
        new = {item.name: item for item in self.new if hasattr(item, "held")}
        return [(*item.held(), new[item.name].held()[1]) for item in self.old
                if hasattr(item, "held") and type(new.get(item.name)) is type(item)]
