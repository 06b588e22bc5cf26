"""Items of random modules (pairs.py) that import time makes something of: tables, copies of constants, registries,
objects, caches, records, enums.

An item's `exotic` says that a change of it may be refused, by its place; of all others every change is carried.
"""
from attrs import evolve, frozen

from tests.builder.pairs import Item


@frozen
class Table(Item):
    """A table whose order counts: the first entry that fits. way: what holds it. entries: (key, number)."""

    name: str
    way: str
    entries: tuple

    WAYS = ("dict", "OrderedDict", "class", "pairs", "set")
    exotic = False

    def source(self):
        entries = ", ".join(f"{key!r}: {number}" for key, number in self.entries)
        pairs = ", ".join(f"({key!r}, {number})" for key, number in self.entries)
        return {"dict": f"{self.name} = {{{entries}}}\n",
                "OrderedDict": f"{self.name} = collections.OrderedDict([{pairs}])\n",
                "class": f"class {self.name}:\n    rows = {{{entries}}}\n",
                "pairs": f"{self.name} = [{pairs}]\n",
                "set": f"{self.name} = {{{', '.join(repr(key) for key, _ in self.entries) or 'None'}}}\n"}[self.way]

    def probes(self):
        return {"dict": [f"list({self.name}.items())"], "OrderedDict": [f"list({self.name}.items())"],
                "class": [f"list({self.name}.rows.items())"], "pairs": [self.name],
                "set": [f"sorted({self.name}, key=str)"]}[self.way]

    def changed(self, number, entries):
        return evolve(self, entries=entries)


@frozen
class Copy(Item):
    """A constant of the item's own, and what import time has copied it into. way: where."""

    name: str
    way: str
    number: int
    entries: tuple = ()

    WAYS = ("default", "keyword", "class", "tuple", "partial", "closure", "function", "dataclass")
    exotic_ways = ("keyword", "dataclass")

    @property
    def exotic(self):
        return self.way in self.exotic_ways

    def source(self):
        n = self.name
        return f"{n}_L = {self.number}\n" + {
            "default": f"def {n}(x={n}_L): return x\n",
            "keyword": f"def {n}(*, x={n}_L): return x\n",
            "class": f"class {n}:\n    x = {n}_L\n    y = ({n}_L, 'k')\n",
            "tuple": f"{n} = ({n}_L, {n}_L + 1)\n",
            "partial": f"def {n}_f(x): return x\n{n} = functools.partial({n}_f, {n}_L)\n",
            "closure": f"def {n}_f(x):\n    def inner(): return x\n    return inner\n{n} = {n}_f({n}_L)\n",
            "function": f"def {n}_f(): return [{n}_L]\n{n} = {n}_f()\n",
            "dataclass": f"@dataclasses.dataclass\nclass {n}:\n    x: int = {n}_L\n"}[self.way]

    def probes(self):
        n = self.name
        return [f"{n}_L"] + {"class": [f"{n}.x", f"{n}.y"], "tuple": [n], "function": [n],
                             "dataclass": [f"{n}().x", f"{n}(3).x"]}.get(self.way, [f"{n}()"])

    def changed(self, number, entries):
        return evolve(self, number=number)


@frozen
class Made(Item):
    """A class and objects of it, made at import and by the program. way: how an object gets its attributes.
    more: the constructor gives it another one."""

    name: str
    way: str
    number: int
    more: bool = False
    entries: tuple = ()

    WAYS = ("assigned", "setattr", "update", "item", "slots", "new", "super", "setdefault")
    exotic = True

    def source(self):
        n, names = self.name, ("a", "b")[:1 + self.more]
        lines = {"assigned": [f"self.{a} = {self.number}" for a in names],
                 "setattr": [f"setattr(self, '{a}', {self.number})" for a in names],
                 "update": [f"self.__dict__.update({', '.join(f'{a}={self.number}' for a in names)})"],
                 "item": [f"self.__dict__['{a}'] = {self.number}" for a in names],
                 "slots": [f"self.{a} = {self.number}" for a in names],
                 "new": [f"self.{a} = {self.number}" for a in names],
                 "super": [f"super().__init__({', '.join(f'{a}={self.number}' for a in names)})"],
                 "setdefault": [f"kw.setdefault('{a}', {self.number})" for a in names] + ["super().__init__(**kw)"],
                 }[self.way]
        base = f"class {n}_B:\n    def __init__(self, a=None, b=None): self.a, self.b = a, b\n" if self.way in (
            "super", "setdefault") else ""
        head = f"class {n}({n}_B):\n" if base else f"class {n}:\n"
        if self.way == "slots":
            head += f"    __slots__ = {names!r}\n"
        if self.way == "new":
            lines = ["self = super().__new__(cls)", *lines, "return self"]
        head += {"new": "    def __new__(cls):\n", "setdefault": "    def __init__(self, **kw):\n"}.get(
            self.way, "    def __init__(self):\n")
        body = "".join(f"        {line}\n" for line in lines)
        asks = f"    def total(self): return {' , '.join(f'self.{a}' for a in names)}\n"
        return f"{base}{head}{body}{asks}{n}_D = {n}()\n{n}_T = {{'d': {n}()}}\n"

    def probes(self):
        return [f"{self.name}_D.total()", f"{self.name}_T['d'].total()", f"{self.name}().total()"]

    def changed(self, number, entries):
        return evolve(self, number=self.number, more=True)

    def held(self):
        return f"{self.name}()", ["HELD.total()"]


@frozen
class Registry(Item):
    """Members that register themselves, and a copy of the registry in an object. way: how. entries: (key, number)."""

    name: str
    way: str
    entries: tuple

    WAYS = ("decorator", "metaclass", "init_subclass", "list")
    exotic = True

    def source(self):
        n = self.name
        members = [(f"{n}_{key}", key, number) for key, number in self.entries]
        if self.way == "decorator":
            text = f"{n}_R = {{}}\ndef {n}_reg(key):\n    def d(f):\n        {n}_R[key] = f\n        return f\n" \
                   "    return d\n"
            text += "".join(f"@{n}_reg({key!r})\ndef {member}(): return {number}\n" for member, key, number in members)
        elif self.way == "metaclass":
            text = f"{n}_R = {{}}\nclass {n}_M(type):\n    def __init__(cls, *a):\n        super().__init__(*a)\n" \
                   f"        {n}_R[cls.__name__] = cls.value\nclass {n}_B(metaclass={n}_M):\n" \
                   "    value = staticmethod(int)\n"
            text += "".join(f"class {member}({n}_B):\n    @staticmethod\n    def value(): return {number}\n"
                            for member, key, number in members)
        elif self.way == "init_subclass":
            text = f"{n}_R = {{}}\nclass {n}_B:\n    def __init_subclass__(cls):\n        {n}_R[cls.__name__] = cls\n"
            text += "".join(f"class {member}({n}_B):\n    x = {number}\n" for member, key, number in members)
        else:
            text = "".join(f"def {member}(): return {number}\n" for member, key, number in members)
            text += f"{n}_R = {{{', '.join(f'{key!r}: {member}' for member, key, _ in members)}}}\n"
        return text + f"class {n}_S:\n    def __init__(self): self.r = dict({n}_R)\n{n} = {n}_S()\n"

    def probes(self):
        value = "v.x if isinstance(v, type) else v()"
        return [f"[(k, {value}) for k, v in {each}.items()]" for each in (f"{self.name}_R", f"{self.name}.r")]

    def changed(self, number, entries):
        return evolve(self, entries=entries)


@frozen
class Cached(Item):
    """A function that keeps what it has answered. way: where and how."""

    name: str
    way: str
    number: int
    entries: tuple = ()

    WAYS = ("function", "method", "static", "class", "property", "cached_property", "by call", "made", "under")
    exotic = False

    def source(self):
        n, lru, answers = self.name, "@functools.lru_cache(None)\n", f"return {self.number}\n"
        in_class = {"method": (f"    {lru}", "self"), "static": (f"    @staticmethod\n    {lru}", ""),
                    "class": (f"    @classmethod\n    {lru}", "cls"), "property": (f"    @property\n    {lru}", "self"),
                    "cached_property": ("    @functools.cached_property\n", "self")}
        if self.way in in_class:
            head, first = in_class[self.way]
            return f"class {n}:\n{head}    def f({first}): {answers}{n}_D = {n}()\n"
        return {"function": f"{lru}def {n}(): {answers}",
                "by call": f"def {n}_f(): {answers}{n} = functools.lru_cache(None)({n}_f)\n",
                "made": f"def {n}_f():\n    {lru[:-1]}\n    def g(): {answers}    return g\n{n} = {n}_f()\n",
                "under": f"def {n}_d(f):\n    @functools.wraps(f)\n    def w(): return f()\n    return w\n"
                         f"@{n}_d\n{lru}def {n}(): {answers}"}[self.way]

    def probes(self):
        if self.way in ("property", "cached_property"):
            return [f"{self.name}_D.f"]
        return [f"{self.name}_D.f()"] if self.way in ("method", "static", "class") else [f"{self.name}()"]

    def changed(self, number, entries):
        return evolve(self, number=number)


@frozen
class Members(Item):
    """An enum, to which members come."""

    name: str
    way: str
    number: int
    entries: tuple = ()

    WAYS = ("Enum", "IntEnum")
    exotic = False

    def source(self):
        members = "".join(f"    M{at} = {at}\n" for at in range(self.number % 3 + 1))
        return f"class {self.name}(enum.{self.way}):\n{members}" \
               f"{self.name}_T = {{e.value: e.name for e in {self.name}}}\n"

    def probes(self):
        return [f"[(e.name, e.value) for e in {self.name}]", f"{self.name}_T", f"{self.name}(0).name"]

    def changed(self, number, entries):
        return evolve(self, number=2 if number % 2 else self.number)


KINDS = (Table, Copy, Made, Registry, Cached, Members)
