"""Fields that are new in a dataclass, and what objects made before have for them."""
import ast

import pytest

from klpfs.builder.plan.dataclass_fields import annotated, default_of, has_default, is_described, maker_of
from tests.builder.class_texts import classdef, lacked, layout

PART = "@dataclass\nclass Part:\n    content: str\n"


def test_a_field_with_a_default_of_its_own():
    assert lacked(PART,
                  PART + "    rest: list = field(default_factory=list)\n    n: int = field(default=3)") == {
                      "rest": "list()", "n": "3"}
    assert lacked(PART, PART + "    n: str = field(default=None, converter=clean)") == {"n": "clean(None)"}
    assert not layout(PART, PART + "    n: int = 3")    # an attribute of the class, carried as such


def test_a_field_without_default_that_is_only_asked_for_truth():
    new = PART + "    suffixed: bool"
    assert lacked(PART, new,
                  "def f(part):\n    if part.suffixed and not part.content:\n        pass") == {"suffixed": "False"}
    assert layout(PART, new, "def f(part):\n    return part.suffixed").refused
    assert layout(PART, PART + "    weight: Weight", "def f(part):\n    if part.weight: pass").refused


def test_a_field_with_a_new_name():
    assert lacked(PART + "    _stream: IO = field(default=None)",
                  PART + "    stream: IO = field(default=None)") == {"stream": "self._stream"}
    assert layout(PART + "    a: IO\n    b: IO", PART + "    c: IO\n    d: IO").refused   # which is which?


@pytest.mark.parametrize("decorator, maker", [
    ("dataclass", "dataclass"), ("dataclasses.dataclass(frozen=True)", "dataclass"), ("attr.s", "attrs"),
    ("attrs.define", "attrs"),
    ("attr.dataclass", "attrs"), ("s", ""), ("property", ""),
])
def test_the_decorator_that_makes_methods_of_fields(decorator, maker):
    assert maker_of(classdef(f"@{decorator}\nclass A: pass")) == maker


@pytest.mark.parametrize("value, described, has, default", [
    ("1", False, True, None), ("field()", True, False, None), ("field(default=1)", True, True, "1"),
    ("attr.ib(factory=list)", True, True, "list()"),
    ("Factory(list)", True, True, "list()"), ("field(default=Factory(list))", True, True, "list()"),
    ("field(default=1, converter=int)", True, True, "int(1)"), ("make()", False, True, None),
])
def test_what_a_field_s_value_says(value, described, has, default):
    node = ast.parse(value, mode="eval").body
    made = default_of(node) if described else None
    assert (is_described(node), has_default(node), made and ast.unparse(made)) == (described, has, default)
    assert (is_described(None), has_default(None), default_of(None)) == (False, False, None)


def test_class_variables_are_no_fields():
    assert list(annotated(classdef("class A:\n    a: int\n    b: ClassVar[int]\n    c = 1\n"))) == ["a"]
