"""Hypothesis strategies that tests of several layers share; each new feature joins them."""
from attrs import evolve
from hypothesis import strategies as st

from tests.builder.pairs import Class, Constant, Factory, Function, Method, Pair
from tests.engine.explore import ENGINE, Scenario
from tests.engine.world import Spec

MODULES = {None: ["f", "g"], "m": ["h", "i"], "n": ["k"]}  # None: the main program


def names():
    """Names of modules and patches that the tree can show."""
    letters = st.characters(min_codepoint=0x21, max_codepoint=0x2fff, blacklist_characters="/\x7f",
                            blacklist_categories=("Cc", "Cs"))
    return st.text(letters, min_size=1, max_size=40).filter(
        lambda name: name not in (".", "..", "enabled", "transition", "force", "replace", "stack_order"))


def objects(modules=MODULES):
    """What a patch changes: {module: some of its functions}, in any order."""
    one = st.sampled_from(sorted(modules, key=str)).flatmap(
        lambda name: st.tuples(st.just(name), st.lists(st.sampled_from(modules[name]), unique=True)))
    return st.lists(one, max_size=len(modules), unique_by=lambda each: each[0]).map(dict)


@st.composite
def scenarios(draw, modules=MODULES):
    """A small world: two to four patches, modules that come and go, tasks, faults."""
    specs = [Spec(name, draw(objects(modules)), draw(st.booleans())) for name in "ABCD"[:draw(st.integers(2, 4))]]
    loaded = [None] + draw(st.lists(st.sampled_from(["m", "n"]), unique=True))
    return Scenario("random", specs, modules, loaded,
                    ENGINE + " turned start_turned coming going fault nested call leave suspend resume spawn exit "
                    "join join_fails drop outcome",
                    tasks=draw(st.integers(0, 3)), depth=3, suspended=2, forces=3)


def choices(size=60):
    """Numbers that choose, one after another, among the steps that are possible."""
    return st.lists(st.integers(0, 10_000), max_size=size)


def any_names():
    """Names, good and bad: what one rule refuses is all there, at the limits of lengths above all."""
    edges = st.sampled_from(["", ".", "..", "/", "\0", "\n", "\x1f", " ", "\x7e", "\x7f", "\x80", "\x85", "\x9f",
                             "\xa0", "\u2028", "\udc80", "\ud800", "enabled", "patched", "patched,1", "-", "a", ".a",
                             "\xe9", "x" * 253, "x" * 255, "x" * 256])
    return st.lists(st.one_of(edges, st.text(st.characters(), max_size=4)), max_size=3).map("".join)


# -- the coordinator (tests/service)

def requests():
    """What users ask of a coordinator: an operation and its patch; `interrupt` gives up all that was asked."""
    return st.sampled_from(["insmod A", "insmod B", "disable A", "enable A", "disable B", "force A", "force B", "rmmod A", "rmmod B",
                            "interrupt"])


def faults():
    """What happens to the processes of a service, its coordinators, their time and their disk, and the end of it."""
    return st.sampled_from(["kill", "stall", "wake", "join", "refuse", "crash", "compete", "dirty", "clean", "time", "full", "space",
                            "busy", "work"])


# -- klpfs build (tests/builder): an older and a newer version of a module

NUMBERS = st.integers(0, 30)
KINDS = ("number", "text", "tuple", "list", "table", "pattern")     # of constants


@st.composite
def _methods(draw, constants):
    names = draw(st.lists(st.sampled_from(("m", "n", "o", "__p")), unique=True, max_size=3))
    return tuple(Method(name, draw(NUMBERS), draw(st.sampled_from(("", "", "property", "staticmethod", "classmethod"))),
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
        return Constant(f"CONSTANT_{at}", draw(st.sampled_from(KINDS)), draw(NUMBERS))
    if kind == "function":
        return Function(f"function_{at}", draw(NUMBERS), draw(_some(constants)), draw(_some(functions)), draw(st.none() | NUMBERS),
                        draw(st.booleans()))
    if kind == "factory":
        return Factory(f"factory_{at}", draw(NUMBERS), draw(_some(constants)))
    bases = [item.name for item in before if isinstance(item, Class)]
    attributes = tuple((name, draw(NUMBERS)) for name in draw(st.lists(st.sampled_from(("a", "b")), unique=True)))
    return Class(f"Class_{at}", attributes, draw(_methods(constants)), draw(st.sampled_from([""] + bases)))


@st.composite
def _changed(draw, item, before):
    """The item in a new version; before: the new version's items so far."""
    there = {each.name for each in before}
    constants = [each.name for each in before if isinstance(each, Constant)]
    functions = [each.name for each in before if isinstance(each, Function)]
    if isinstance(item, Constant):
        return evolve(item, number=draw(NUMBERS))
    if isinstance(item, Function):
        return evolve(item, number=draw(NUMBERS), uses=draw(_some(constants)), called=draw(_some(functions)), doc=draw(st.sampled_from(("", "said"))),
                      default=draw(st.none() | NUMBERS))
    if isinstance(item, Factory):
        return evolve(item, number=draw(NUMBERS), uses=draw(_some(constants)))
    kinds = {m.name: m.kind for m in item.methods}      # a method keeps its kind
    methods = tuple(evolve(m, kind=kinds.get(m.name, m.kind)) for m in draw(_methods(constants)))
    attributes = tuple((name, draw(NUMBERS)) for name in draw(st.lists(st.sampled_from(("a", "b", "c")), unique=True)))
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
