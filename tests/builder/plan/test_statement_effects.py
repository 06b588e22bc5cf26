"""What statements leave behind."""
import ast

import pytest

from klpfs.builder.compare.statements import parse_scope
from klpfs.builder.plan.statement_effects import is_harmless, keys_removed, makes_value, short_text


def statement(text):
    return ast.parse(text).body[0]


@pytest.mark.parametrize("text, harmless", [
    ("import a", True), ("assert a", True), ("del a", True), ("warnings.warn('a')", True), ("import_module('a')", True),
    ("a.b", True),
    ("try:\n    import a\nexcept ImportError:\n    pass", True), ("if a:\n    assert b", True),
    ("register('a')", False), ("a[1] = 2", False), ("if a:\n    b()", False), ("for a in b: c()", False),
    ("try:\n    a\nexcept B:\n    c()", False), ("with a:\n    b()", False),
])
def test_a_statement_that_left_nothing_behind(text, harmless):
    assert is_harmless(statement(text)) == harmless


@pytest.mark.parametrize("text, makes", [
    ("import a", False), ("a = b", False), ("a = b.c", False), ("a = 1", False), ("a = [1]", True), ("a = f()", True),
    ("def a(): pass", True),
    ("class A: pass", True), ("a: T = {}", True),
])
def test_a_value_that_a_statement_made(text, makes):
    assert makes_value(parse_scope([statement(text)]).statements[0]) == makes


@pytest.mark.parametrize("old, new, keys", [
    ("T = {'a': 1, 'b': 2}", "T = {'b': 3, 'c': 4}", ["a"]),
    ("T: set = {1, 2}", "T = {1}", [2]),
    ("T = {'a': 1}", "T = {x: 1}", None),
    ("T = dict(a=1)", "T = {'a': 1}", None),
    ("S = {'a': 1}", "T = {}", None),
    ("T = {**a}", "T = {}", None),
])
def test_keys_that_a_table_has_no_more(old, new, keys):
    assert keys_removed(statement(old), statement(new), "T") == keys


def test_texts_for_messages_are_short():
    assert short_text(statement("f(1)")) == "f(1)" and short_text(statement("if a:\n    b")) == "if a:"
    assert len(short_text(statement("f('" + "x" * 100 + "')"))) == 60
