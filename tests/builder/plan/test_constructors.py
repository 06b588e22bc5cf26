"""Constructors that a decorator makes of fields."""
import ast
import gc

import pytest

from klpfs.builder.plan.constructors import compatible, parameters_of, written_constructor
from tests.builder.kit import running

FIELD = """
    from dataclasses import dataclass
    @dataclass{0}
    class Part:
        content: str
{1}        weight: int = 1
        def shown(self): return self.content{2}
    def make(): return Part({3})
    """


@pytest.mark.parametrize("options", ["", "(frozen=True)"])
def test_a_field_in_the_middle_of_a_dataclass(upgrade, options):
    m, insmod = running(upgrade, FIELD.format(options, "", "", "'x', 2"),
                        FIELD.format(options, "        suffixed: bool\n",
                                     " if not self.suffixed else self.content + '/'", "'x', True, 2"))
    one, old = m.make(), repr(m.make())
    patch = insmod()
    assert one.shown() == "x" and m.make().shown() == "x/" and m.make() == m.make() != one
    assert repr(m.make()) == "Part(content='x', suffixed=True, weight=2)" and m.Part("y", False).weight == 1
    upgrade.disable(patch)
    assert repr(m.make()) == old and m.Part("y").weight == 1 and m.make() == m.make() == one
    with pytest.raises(TypeError):
        m.Part("y", False, 3)
    gc.disable()    # what the patch made of the class lies about until a collection: it is not the class's
    try:
        upgrade.disable(insmod())
    finally:
        gc.enable()


def classdef(text):
    return ast.parse(text).body[-1]


def shown(parameters):
    return parameters and (parameters.positional, parameters.keyword, parameters.rest)


@pytest.mark.parametrize("text, parameters", [
    ("class A:\n    def __init__(self, a, b=1, *, c, d=2): pass",
     ({"a": False, "b": True}, {"c": False, "d": True}, False)),
    ("class A:\n    def __init__(self, *rest): pass", ({}, {}, True)),
    ("class A: pass", ({}, {}, False)),
    ("class A(B): pass", None),
    ("@dataclass\nclass A(B):\n    a: int", None),
    ("@dataclass\nclass A:\n    a: int\n    b: int = 1\n    c: ClassVar[int] = 2",
     ({"a": False, "b": True}, {}, False)),
    ("@dataclass(kw_only=True)\nclass A:\n    a: int", ({}, {"a": False}, False)),
    ("@dataclass\nclass A:\n    _: KW_ONLY\n    a: int = field(init=False)\n    b: int = field(default=1)",
     ({}, {"b": True}, False)),
    ("@attr.s\nclass A:\n    _a: int = attr.ib()", ({"a": False}, {}, False)),
    ("@define\nclass A:\n    a: list = Factory(list)\n    b: int = field(kw_only=True)",
     ({"a": True}, {"b": False}, False)),
])
def test_parameters_of_a_constructor(text, parameters):
    assert shown(parameters_of(classdef(text))) == parameters


@pytest.mark.parametrize("old, new, fits", [
    ("a", "a, b=1", True), ("a", "a, *, b=1", True), ("a=1", "a", False), ("a", "b", False), ("a", "a, b", False),
    ("a, b", "b, a", False),
    ("*, a=1", "*, a", False), ("*, a", "a=1", True), ("*, a", "", False), ("*rest", "*rest", False),
])
def test_calls_that_fit_the_new_constructor(old, new, fits):
    before, after = (parameters_of(classdef(f"class A:\n    def __init__(self, {each}): pass")) for each in (old, new))
    assert compatible(before, after) == fits


@pytest.mark.parametrize("text, constructor", [
    ("@dataclass\nclass A:\n    a: int\n    b: int = 1",
     "def __init__(self, a, b=1):\n    self.a = a\n    self.b = b"),
    ("@dataclass(frozen=True)\nclass A:\n    a: int\n    def __post_init__(self): pass",
     "def __init__(self, a):\n    object.__setattr__(self, 'a', a)\n    self.__post_init__()"),
    ("@dataclass\nclass A: pass", "def __init__(self):\n    pass"),
    ("@dataclass\nclass A(B): pass", None),
    ("@dataclass(kw_only=True)\nclass A: pass", None),
    ("@dataclass\nclass A:\n    a: InitVar[int]", None),
    ("@dataclass\nclass A:\n    a: list = field(default_factory=list)", None),
    ("@define\nclass A:\n    a: int", None),
])
def test_the_constructor_that_a_dataclass_makes(text, constructor):
    made = written_constructor(classdef(text))
    assert (made and ast.unparse(made)) == constructor
