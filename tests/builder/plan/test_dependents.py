"""Statements that run again because of others."""
import ast

import pytest

from klpfs.builder.compare.changes import compare_modules
from klpfs.builder.plan.dependents import built_in_steps, dependent_statements, rebound_names
from tests.builder.kit import there_and_back


def test_what_several_statements_make_is_made_anew(upgrade):
    there_and_back(upgrade, """
        NAMES = ['a']
        try:
            import json
            NAMES.append('json')
        except ImportError:
            pass
        WORDS = ('x',)
        WORDS += ('y',)
        GONE = [1]
        GONE.append(2)
        """, """
        NAMES = ['a']
        try:
            import json
        except ImportError:
            pass
        else:
            NAMES.append('json2')
        WORDS = ('x',)
        WORDS += ('z',)
        GONE = [1]
        """, "NAMES", "WORDS", "GONE")


def change(old, new):
    return compare_modules(ast.parse(old), ast.parse(new))


def texts(statements):
    return [ast.unparse(each.node) for each in statements]


def test_what_used_a_changed_name_runs_again_and_so_on():
    scope = change("",
                   "a = 1\nb = a\nc = b\nd = 1\n@deco(c)\ndef f(): pass\n"
                   "def g(x=c): pass\nclass A(a): pass\n").new_scope
    changed = {"a"}
    again, new_defaults = dependent_statements(scope, scope.statements[:1], changed)
    assert texts(again) == ["b = a", "c = b", "@deco(c)\ndef f():\n    pass"]
    assert [each.node.name for each in new_defaults] == ["g"] and changed == {"a", "b", "c", "f"}


def test_the_order_of_statements_does_not_matter():
    scope = change("", "c = b\nb = a\n").new_scope
    assert texts(dependent_statements(scope, [], {"a"})[0]) == ["b = a", "c = b"]


def test_names_that_old_bound_too_are_rebound():
    assert rebound_names(change("a = 1\nc = 1", "a = 2\nb = 1\nc = 1")) == {"a"}


@pytest.mark.parametrize("old, new, names", [
    ("A = [1]\nA.append(2)", "A = [1]\nA.append(3)", {"A"}),
    ("A = (1,)\nA += (2,)", "A = (1,)", {"A"}),
    ("A = {}\nA['x'] = 1", "A = {}\nA['x'] = 2", set()),                # the program may have put entries into it
    ("A = make()\nA.append(2)", "A = make()\nA.append(3)", set()),
    ("A = [1]\nA = [2]\nA.append(2)", "A = [1]\nA = [2]\nA.append(3)", set()),
])
def test_values_that_several_statements_make(old, new, names):
    found, statements = built_in_steps(change(old, new))
    assert found == names and texts(statements) == (new.split("\n") if names else [])
