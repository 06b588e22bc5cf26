"""Constructors followed without running them: what they set."""
import ast

import pytest

from klpfs.builder.plan.followed_constructors import constructed
from tests.builder.class_texts import classdef, init


def test_what_branches_set_is_followed():
    body = "if wide:\n    self.x = 1\nelse:\n    self.x = 2\ntry:\n    self.y = f()\nexcept OSError:\n    pass"
    found = constructed(classdef(init(body, ", wide")))
    assert ast.unparse(found["x"][0]) == "1 if wide else 2" and found["y"][0] is None


def found(body, parameters=""):
    """{attribute: the text of its expression, or None} of a constructor's body."""
    return {name: value and ast.unparse(value) for name,
            (value, _) in constructed(classdef(init(body, parameters))).items()}


@pytest.mark.parametrize("body, parameters, attributes", [
    ("self.x = a\nself.y = self.x", ", a", {"x": "a", "y": "self.x"}),
    ("self.x, self.y = a, b", ", a, b", {"x": "a", "y": "b"}),
    ("self.x, self.y = a", ", a", {"x": None, "y": None}),
    ("b = a + 1\nself.x = [b for b in b]", ", a", {"x": "[b for b in b]"}),     # the comprehension's own
    ("import json\nself.x = json.loads", "", {"x": None}),                      # the constructor's own json
    ("for i in a:\n    self.x = i", ", a", {"x": None}),
    ("if a:\n    return\nself.x = 1", ", a", {"x": "1"}),
    ("if a:\n    self.x = 1\nelse:\n    raise ValueError", ", a", {"x": "1"}),
    ("if a:\n    self.x = 1", ", a", {"x": None}),
    ("if a:\n    self.x = 1\nelse:\n    self.x = 1", ", a", {"x": "1"}),
    ("self.x = " + " + ".join("a" * 60), ", a", {"x": None}),                   # nobody could review it
    ("self.x = rest", ", a, *rest", {"x": "*rest"}),
])
def test_what_a_constructor_sets(body, parameters, attributes):
    assert found(body, parameters) == attributes


@pytest.mark.parametrize("body, parameters, attributes", [
    ("setattr(self, 'x', a)", ", a", {"x": "a"}),
    ("object.__setattr__(self, 'x', a)", ", a", {"x": "a"}),
    ("super().__setattr__('x', a)", ", a", {"x": "a"}),
    ("self.__dict__.update(x=a, y=1)", ", a", {"x": "a", "y": "1"}),
    ("self.__dict__.update({'x': a, **b}, y=1, **b)", ", a, b", {"x": "a", "y": "1"}),
    ("vars(self).update(x=a)", ", a", {"x": "a"}),
    ("self.__dict__.setdefault('x', a)", ", a", {"x": "a"}),
    ("self.__dict__['x'] = a\nvars(self)['y'] = 1", ", a", {"x": "a", "y": "1"}),
    ("for name in ('x', 'y'):\n    setattr(self, name, a)", ", a", {"x": "a", "y": "a"}),
    ("for name in ('x', 'y'):\n    setattr(self, name, a)\n    break", ", a", {}),
    ("for name in a:\n    setattr(self, name, 1)", ", a", {}),
    ("while a:\n    setattr(self, 'x', 1)", ", a", {"x": None}),
    ("setattr(a, 'x', 1)\na.__dict__.update(y=1)\nvars(a)['z'] = 1", ", a", {}),
])
def test_an_attribute_that_is_set_by_its_name_as_text(body, parameters, attributes):
    assert found(body, parameters) == attributes


def test_what_new_sets_on_what_it_has_made():
    method = "class C:\n    def __new__(cls, a=1):\n        made = {}.__new__(cls)\n        made.x = a\n" \
             "        return made\n"
    for maker in ("super()", "object"):
        assert list(constructed(classdef(method.format(maker)))) == ["x"]
    assert constructed(classdef(method.format("other"))) == {}


@pytest.mark.parametrize("expression", ["[y := f(), y + 1]", "(y := f()) or 3", "g((yield))", "(y := 1)"])
def test_an_expression_that_does_more_than_give_a_value_is_unknown(expression):
    """At any depth: what is left of it without that part would be another value."""
    assert found(f"self.x = {expression}") == {"x": None}


def test_methods_of_the_class_are_followed_and_private_names_are_the_class_s():
    text = init("self.reset()", name="_Key") + "    def reset(self):\n        self.__x = 1\n"
    assert list(constructed(classdef(text))) == ["_Key__x"]
    text = init("self.a()") + "".join(f"    def {name}(self): self.{following}()\n" for name,
                                      following in zip("abcd", "bcde"))
    text += "    def e(self): self.x = 1\n"
    assert constructed(classdef(text)) == {}        # too deep


def test_attributes_that_branches_set_keep_their_order():
    """Also those that one branch alone sets, whatever the hash seed."""
    names = [f"name_{number}" for number in range(20)]
    body = "if a:\n" + "".join(f"    self.{name} = 1\n" for name in names) + "else:\n    self.last = 1\n"
    assert list(found(body, ", a")) == ["last", *names]


def test_a_dataclass_goes_on_where_its_constructor_ends():
    text = "class C:\n    def __post_init__(self):\n        self.x = 1\n"
    assert list(constructed(classdef(text))) == ["x"]
