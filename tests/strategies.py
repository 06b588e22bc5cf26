"""Hypothesis strategies that tests of several layers share; each new feature joins them."""
from hypothesis import strategies as st

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
