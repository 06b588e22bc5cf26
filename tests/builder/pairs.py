"""Random pairs of modules: an older and a newer version of one program, for the tests of `klpfs build`.

A pair knows what may be asked of each version (`probes`), and of objects that were made while the old one ran (`held`): what a
patched old module has to answer as the new one does, and as the old one does when the patch is out again.
"""
from attrs import define, evolve, frozen
from hypothesis import strategies as st


@frozen
class Constant:
    """NAME = (kind, number)."""

    name: str
    kind: str
    number: int

    def source(self):
        n = self.number
        return f"{self.name} = " + {
            "number": f"{n}", "text": f"'text {n}'", "tuple": f"({n}, 'x')", "list": f"[{n}, {n + 1}]", "table": f"{{'a': {n}, {n}: 'b'}}",
            "pattern": f"re.compile('[a-z]{{{n % 3 + 1}}}')"}[self.kind] + "\n"

    def probes(self):
        return [f"show({self.name})"]


@frozen
class Function:
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
        parts = [str(self.number), "x"] + ([] if self.default is None else ["more"]) + [f"show({name})" for name in self.uses]
        parts += [f"answer({name}, x)" for name in self.called]
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
class Class:
    """A class with attributes (name, number) and methods; each object has `made`."""

    name: str
    attributes: tuple = ()
    methods: tuple = ()
    base: str = ""

    def source(self):
        body = "".join(f"    {name} = {number}\n" for name, number in self.attributes)
        if not self.base:
            body += "    def __init__(self):\n        self.made = 'made'\n"
        return f"class {self.name}{f'({self.base})' if self.base else ''}:\n{body}{''.join(m.source() for m in self.methods) or '    pass'}\n"

    def _of(self, thing):
        return [f"{thing}.{name}" for name, _ in self.attributes] + [m.of(thing) for m in self.methods]

    def probes(self):
        return self._of(f"{self.name}()")

    def held(self):
        return f"{self.name}()", self._of("HELD")


@frozen
class Factory:
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


HEAD = '''import functools
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

    def probes(self, items):
        """Expressions to be evaluated in the module."""
        return [probe for item in items for probe in item.probes()]

    def held(self):
        """[(expression that makes an object while the old one runs, probes of it in the old, probes of it in the new)]: HELD is
        the object."""
        new = {item.name: item for item in self.new if hasattr(item, "held")}
        return [(*item.held(), new[item.name].held()[1]) for item in self.old if hasattr(item, "held") and type(new.get(item.name)) is type(item)]


numbers = st.integers(0, 30)
KINDS = ("number", "text", "tuple", "list", "table", "pattern")


@st.composite
def _methods(draw, constants):
    names = draw(st.lists(st.sampled_from(("m", "n", "o", "__p")), unique=True, max_size=3))
    return tuple(Method(name, draw(numbers), draw(st.sampled_from(("", "", "property", "staticmethod", "classmethod"))),
                        draw(_some(constants))) for name in names if not name.startswith("__"))


def _some(names):
    return st.lists(st.sampled_from(sorted(names)), unique=True, max_size=2).map(tuple) if names else st.just(())


@st.composite
def _items(draw, at, before):
    """An item called after its place, that may use those before it."""
    constants = [item.name for item in before if isinstance(item, Constant)]
    functions = [item.name for item in before if isinstance(item, Function)]
    kind = draw(st.sampled_from(("constant", "function", "function", "class", "factory")))
    if kind == "constant":
        return Constant(f"CONSTANT_{at}", draw(st.sampled_from(KINDS)), draw(numbers))
    if kind == "function":
        return Function(f"function_{at}", draw(numbers), draw(_some(constants)), draw(_some(functions)), draw(st.none() | numbers),
                        draw(st.booleans()))
    if kind == "factory":
        return Factory(f"factory_{at}", draw(numbers), draw(_some(constants)))
    bases = [item.name for item in before if isinstance(item, Class)]
    attributes = tuple((name, draw(numbers)) for name in draw(st.lists(st.sampled_from(("a", "b")), unique=True)))
    return Class(f"Class_{at}", attributes, draw(_methods(constants)), draw(st.sampled_from([""] + bases)))


@st.composite
def _changed(draw, item, before):
    """The item in a new version; before: the new version's items so far."""
    there = {each.name for each in before}
    constants = [each.name for each in before if isinstance(each, Constant)]
    functions = [each.name for each in before if isinstance(each, Function)]
    if isinstance(item, Constant):
        return evolve(item, number=draw(numbers))
    if isinstance(item, Function):
        return evolve(item, number=draw(numbers), uses=draw(_some(constants)), called=draw(_some(functions)), doc=draw(st.sampled_from(("", "said"))),
                      default=draw(st.none() | numbers))
    if isinstance(item, Factory):
        return evolve(item, number=draw(numbers), uses=draw(_some(constants)))
    kinds = {m.name: m.kind for m in item.methods}      # a method keeps its kind
    methods = tuple(evolve(m, kind=kinds.get(m.name, m.kind)) for m in draw(_methods(constants)))
    attributes = tuple((name, draw(numbers)) for name in draw(st.lists(st.sampled_from(("a", "b", "c")), unique=True)))
    return evolve(item, attributes=attributes, methods=methods, base=item.base if item.base in there else "")


def _fits(item, there):
    """Whether all that the item uses is there."""
    used = set(getattr(item, "uses", ())) | set(getattr(item, "called", ())) | {getattr(item, "base", "")} - {""}
    for method in getattr(item, "methods", ()):
        used |= set(method.uses)
    return used <= there


@st.composite
def pairs(draw, most=5):
    """A Pair of up to `most` items, some changed, removed or added."""
    old = []
    for at in range(draw(st.integers(1, most))):
        old.append(draw(_items(at, old)))
    new = []
    for item in old:
        fate = draw(st.sampled_from(("keep", "change", "change", "remove")))
        if fate == "keep" and _fits(item, {each.name for each in new}):
            new.append(item)
        elif fate != "remove":
            new.append(draw(_changed(item, new)))
    for at in range(draw(st.integers(0, 2))):
        new.append(draw(_items(100 + at, new)))
    return Pair(tuple(old), tuple(new))
