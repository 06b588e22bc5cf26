"""Hypothesis strategies that tests of several layers share; each new feature joins them."""
import functools
import marshal

from attrs import evolve
from hypothesis import strategies as st

from tests.builder import kind_items as kinds
from tests.builder import pairs
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


# -- the wire (tests/protocol, tests/service, tests/agent)

def int64():
    """Whole numbers that a message may hold."""
    return st.integers(-2 ** 63, 2 ** 63 - 1)


def plain_values():
    """Values of the plain types that a message is made of."""
    leaves = st.one_of(st.none(), st.booleans(), int64(), st.floats(allow_nan=False), st.text(st.characters()),
                       st.binary())
    return st.recursive(leaves, lambda inner: st.one_of(
        st.lists(inner, max_size=4), st.tuples(inner, inner),
        st.dictionaries(st.text(max_size=4), inner, max_size=4)), max_leaves=12)


@functools.cache
def marshal_values():
    """Values that marshal can write, whether a message may hold them or not: code, sets, keys of every kind."""
    keys = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False), st.text(st.characters()),
                     st.complex_numbers(allow_nan=False), st.binary(), st.tuples(st.integers(), st.text()),
                     st.integers(1, 99).map(lambda factor: factor * (2 ** 61 - 1)))
    leaves = st.one_of(keys, st.just(...), st.just(compile("1", "f", "eval")))
    return st.recursive(leaves, lambda inner: st.one_of(
        st.lists(inner, max_size=4), st.tuples(inner, inner), st.dictionaries(keys, inner, max_size=4),
        st.sets(keys, max_size=3), st.frozensets(keys, max_size=3)), max_leaves=16)


def wire_bodies(messages=()):
    """Bodies of frames as a hostile sender may make them: marshal data of any version, a message of `messages` with any
    value anywhere in it, or either with some bytes changed."""
    return _wire_bodies(lambda: messages)


@st.composite
def _wire_bodies(draw, of):
    messages = of()                            # by a call: a strategy is shown with its arguments
    if messages and draw(st.booleans()):
        message = _with_any_value(draw, messages[draw(st.integers(0, len(messages) - 1))])
    else:
        message = draw(marshal_values())
        if draw(st.booleans()):
            message = {"t": draw(st.sampled_from(("event", "report", "hello", "record", "x"))), "x": message}
    body = bytearray(marshal.dumps(message, draw(st.integers(0, 4))))
    for at, byte in draw(st.lists(st.tuples(st.integers(0, 999), st.integers(0, 255)), max_size=2)):
        at %= len(body)                        # which is not always the same: marshal looks at reference counts
        body[at:at + 1] = bytes([byte])
    return bytes(body)


def _with_any_value(draw, value):
    """A copy of a message's value in which one place, drawn, holds any value that marshal can write."""
    if isinstance(value, dict) and value and draw(st.integers(0, 3)):
        key = draw(st.sampled_from(sorted(value)))
        return {**value, key: _with_any_value(draw, value[key])}
    if isinstance(value, (list, tuple)) and value and draw(st.integers(0, 3)):
        at = draw(st.integers(0, len(value) - 1))
        return [_with_any_value(draw, member) if place == at else member for place, member in enumerate(value)]
    return draw(marshal_values())


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
    return st.sampled_from(["insmod A", "insmod B", "disable A", "enable A", "disable B", "force A", "force B",
                            "rmmod A", "rmmod B", "interrupt"])


def faults():
    """What happens to the processes of a service, its coordinators, their time and their disk, and the end of it."""
    return st.sampled_from(["kill", "stall", "wake", "join", "refuse", "crash", "compete", "dirty", "clean", "time",
                            "full", "space", "busy", "work"])


# ------------------------------------------------------------------------- pairs of module versions, for the builder

numbers = st.integers(0, 30)


def some(names):
    """Up to two of these names."""
    return st.lists(st.sampled_from(sorted(names)), unique=True, max_size=2).map(tuple) if names else st.just(())


def _of_kind(kind, items):
    return [item.name for item in items if isinstance(item, kind)]


@st.composite
def methods(draw, constants):
    """Methods of one class, which may use these constants."""
    names = draw(st.lists(st.sampled_from(("m", "n", "o", "__p")), unique=True, max_size=3))
    kinds = st.sampled_from(("", "", "property", "staticmethod", "classmethod"))
    return tuple(pairs.Method(name, draw(numbers), draw(kinds), draw(some(constants)))
                 for name in names if not name.startswith("__"))


def class_attributes(names):
    return st.lists(st.sampled_from(names), unique=True).flatmap(
        lambda chosen: st.tuples(*(st.tuples(st.just(name), numbers) for name in chosen)))


@st.composite
def items(draw, at, before):
    """An item of a module, called after its place, that may use the items before it."""
    constants, functions = _of_kind(pairs.Constant, before), _of_kind(pairs.Function, before)
    kind = draw(st.sampled_from(("constant", "function", "function", "class", "factory")))
    if kind == "constant":
        return pairs.Constant(f"CONSTANT_{at}", draw(st.sampled_from(pairs.KINDS)), draw(numbers))
    if kind == "function":
        return pairs.Function(f"function_{at}", draw(numbers), draw(some(constants)), draw(some(functions)),
                              draw(st.none() | numbers), draw(st.booleans()))
    if kind == "factory":
        return pairs.Factory(f"factory_{at}", draw(numbers), draw(some(constants)))
    base = draw(st.sampled_from(["", *_of_kind(pairs.Class, before)]))
    return pairs.Class(f"Class_{at}", draw(class_attributes(("a", "b"))), draw(methods(constants)), base)


@st.composite
def changed_items(draw, item, before):
    """An item in its new version. before: the new version's items so far."""
    constants, functions = _of_kind(pairs.Constant, before), _of_kind(pairs.Function, before)
    if isinstance(item, pairs.Constant):
        return evolve(item, number=draw(numbers))
    if isinstance(item, pairs.Function):
        return evolve(item, number=draw(numbers), uses=draw(some(constants)), called=draw(some(functions)),
                      doc=draw(st.sampled_from(("", "said"))), default=draw(st.none() | numbers))
    if isinstance(item, pairs.Factory):
        return evolve(item, number=draw(numbers), uses=draw(some(constants)))
    kinds = {method.name: method.kind for method in item.methods}      # a method keeps its kind
    new_methods = tuple(evolve(method, kind=kinds.get(method.name, method.kind)) for method in draw(methods(constants)))
    return evolve(item, attributes=draw(class_attributes(("a", "b", "c"))), methods=new_methods,
                  base=item.base if item.base in [each.name for each in before] else "")


@st.composite
def module_pairs(draw, most=5):
    """A pairs.Pair of up to `most` items, some of them changed, removed or added."""
    old, new = [], []
    for at in range(draw(st.integers(1, most))):
        old.append(draw(items(at, old)))
    for item in old:
        fate = draw(st.sampled_from(("keep", "change", "change", "remove")))
        if fate == "keep" and item.used_names <= {each.name for each in new}:
            new.append(item)
        elif fate != "remove":
            new.append(draw(changed_items(item, new)))
    for at in range(draw(st.integers(0, 2))):
        new.append(draw(items(100 + at, new)))
    return pairs.Pair(tuple(old), tuple(new))


entries = st.lists(st.tuples(st.sampled_from("pqrst"), numbers), unique_by=lambda each: each[0], min_size=1,
                   max_size=4).map(tuple)


@st.composite
def kind_items(draw, at):
    """An item of whose making import time makes something more (tests/builder/kind_items.py)."""
    kind = draw(st.sampled_from(kinds.KINDS))
    name, way = f"{kind.__name__.upper()}_{at}", draw(st.sampled_from(kind.WAYS))
    return kind(name, way, draw(entries)) if kind in (kinds.Table, kinds.Registry) else kind(name, way, draw(numbers))


@st.composite
def kind_pairs(draw, most=3):
    """A pairs.Pair of items of every kind, ordinary ones among them: each is kept, changed or added."""
    old, new = [], []
    for at in range(draw(st.integers(1, most))):
        item = draw(st.one_of(kind_items(at), kind_items(at), items(at, [])))
        fate = draw(st.sampled_from(("keep", "change", "change", "change", "add")))
        if fate != "add":
            old.append(item)
        if fate == "change":
            item = item.changed(draw(numbers), draw(entries)) if isinstance(item, kinds.KINDS) else draw(
                changed_items(item, new))
        new.append(item)
    return pairs.Pair(tuple(old), tuple(new))
