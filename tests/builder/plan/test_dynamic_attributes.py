"""Constructors that set attributes whose names the text does not say."""
import ast

import pytest

from klpfs.builder.plan.dynamic_attributes import names_set_by

CLASS = "class C:\n    def __init__(self, other=None):\n        for name in OPTIONS:\n            {}\n"


def decided(statement, changed=frozenset(("OPTIONS",))):
    return names_set_by(ast.parse(CLASS.format(statement)).body[0], set(changed))


@pytest.mark.parametrize("statement", [
    "setattr(self, name, 1)", "object.__setattr__(self, name, 1)", "self.__setattr__(name, 1)",
    "super().__setattr__(name, 1)", "self.__dict__[name] = 1", "vars(self)[name] = 1", "self.__dict__.update(OPTIONS)",
    "vars(self).setdefault(name, 1)"])
def test_a_changed_name_decides_them(statement):
    assert decided(statement) == ("OPTIONS", 4)
    assert decided(statement, {"other_name"}) is None


@pytest.mark.parametrize("statement", [
    "setattr(self, 'a', name)", "setattr(other, name, 1)", "other[name] = 1", "self.a = name", "other.update(OPTIONS)",
    "self.__dict__.update({'a': 1})", "self.table.update(OPTIONS)"])
def test_names_that_the_text_says_are_followed_elsewhere(statement):
    assert decided(statement) is None
