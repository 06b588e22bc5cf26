"""Module parameters: text forms, insmod's values, the variable that is the parameter."""
import errno

import pytest

from klpfs.cpython.load import loader as loading
from klpfs.cpython.load.parameters import module_param, parse, show
from klpfs.engine.error import KlpError


@pytest.mark.parametrize("type, text, value", [
    (bool, "y", True), (bool, "Yes", True), (bool, "1", True), (bool, "true", True), (bool, "on", True),
    (bool, "oN\n", True),
    (bool, "n", False), (bool, "0 rubbish", False), (bool, "f", False), (bool, "off", False), (bool, None, True),
    (int, "5\n", 5), (int, "-5", -5), (int, "+5", 5), (int, "0x1F", 31), (int, "010", 8), (int, "0", 0),
    (str, "a b\n", "a b"), (str, "", ""), (float, "1.5", 1.5), (float, "1e3\n", 1000.0)])
def test_texts(type, text, value):
    assert parse(type, text) == value and parse(type, show(type, value)) == value


@pytest.mark.parametrize("type, text", [
    (bool, ""), (bool, "\n"), (bool, " 1"), (bool, "o"), (bool, "x"), (bool, "-1"), (bool, "2"),
    (int, ""), (int, "1 2"), (int, " 1"), (int, "1.5"), (int, "1_0"), (int, "--1"), (int, "0x"), (int, "٣"),
    (int, "08"), (int, None), (float, "x"),
    (str, None), (int, "1\n\n"), (int, "0x" + "f" * 4000), (int, "9" * 5000)])
def test_texts_that_are_no_values(type, text):
    with pytest.raises(KlpError) as caught:
        parse(type, text)
    assert caught.value.errno == errno.EINVAL


def test_a_bool_reads_as_a_letter():
    assert show(bool, True) == "Y" and show(bool, False) == "N" and show(int, 12) == "12" and show(float, 0.5) == "0.5"


TEXT = """
a = module_param("a", int, 1)
flag = module_param("flag", bool)
label = module_param("label", str, "x", mode=0o444)
other: float = module_param("ratio", float, 1)
def get(): return a, flag, label, other
def change():
    global a
    a = 77
"""


def test_defaults_and_what_insmod_gives(program):
    found = program.load(TEXT)
    assert found.namespace["get"]() == (1, False, "x", 1.0)
    assert [(each.name, each.type, each.text, each.mode) for each in found.params.values()] == [
        ("a", int, "1", 0o644), ("flag", bool, "N", 0o644), ("label", str, "x", 0o444), ("ratio", float, "1.0", 0o644)]
    given = program.load(TEXT, a="0x10", flag=None, label="n=1", ratio="2")
    assert given.namespace["get"]() == (16, True, "n=1", 2.0)


def test_the_variable_is_the_parameter(program):
    found = program.load(TEXT)
    loading.set_param(found, "a", "5\n")
    loading.set_param(found, "ratio", "2.5")
    assert found.namespace["get"]() == (5, False, "x", 2.5)
    found.namespace["change"]()
    assert found.params["a"].text == "77"


def test_a_write_that_is_no_value_changes_nothing(program):
    found = program.load(TEXT)
    for name, text, number in (("a", "x", errno.EINVAL), ("nope", "1", errno.ENOENT)):
        with pytest.raises(KlpError) as caught:
            loading.set_param(found, name, text)
        assert caught.value.errno == number
    assert found.params["a"].text == "1"


@pytest.mark.parametrize("params, number, line", [
    ({"b": "1"}, errno.ENOENT, "%s: Unknown parameter `b'"),
    ({"a": "x"}, errno.EINVAL, "%s: `x' invalid for parameter `a'"),
    ({"flag": "maybe"}, errno.EINVAL, "%s: `maybe' invalid for parameter `flag'")])
def test_what_insmod_may_not_give(program, params, number, line):
    name = program.name("lp")
    with pytest.raises(KlpError) as caught:
        program.load(TEXT, name=name, **params)
    assert caught.value.errno == number and program.log.texts() == [line % name]
    assert name not in loading._loaded


@pytest.mark.parametrize("call", ["module_param(1, int)", "module_param('a b', int)", "module_param('a', list)",
                                  "module_param('a', int, 'x')", "module_param('a', int, True)",
                                  "module_param('a', int, mode='0644')", "module_param('a', int, mode=True)",
                                  "module_param('a', int, mode=0o1000)", "module_param('a', int, mode=10**30)",
                                  "module_param('a', int, 10**5000)",
                                  "(module_param('a', int), module_param('a', int))"])
def test_wrong_declarations_refuse_the_module(program, call):
    with pytest.raises(KlpError):
        program.load(call)
    assert len(program.log.texts()) == 1


def test_only_a_modules_top_level_declares(program):
    with pytest.raises(RuntimeError):
        module_param("a", int, 1)
    found = program.load("def late(): return module_param('x', int, 1)")
    with pytest.raises(RuntimeError):
        found.namespace["late"]()


class Thing:
    """A value whose every use is foreign code."""

    def raises(self, *_):
        raise ZeroDivisionError

    __str__ = __repr__ = __bool__ = __eq__ = __hash__ = raises


@pytest.mark.parametrize("type, value, text", [
    (int, Thing(), "<Thing>"), (bool, Thing(), "<Thing>"), (str, Thing(), "<Thing>"), (float, Thing(), "<Thing>"),
    (int, 10 ** 5000, "<int>"), (int, True, "True"), (str, "\ud800", "\\ud800"), (str, "x" * 10 ** 6, "x" * 4095),
    (float, float("nan"), "nan"), (bool, 0, "N"), (bool, "y", "Y"), (float, 3, "3"), (int, b"\xff", "b'\\xff'")],
    ids=range(13))
def test_whatever_the_variable_holds_it_is_shown_without_running_its_code(type, value, text):
    """A module may put anything there, and its file is read with locks held."""
    assert show(type, value) == text


def test_names_defaults_and_modes_are_plain(program):
    found = program.load("""
import enum
class S(str):
    def __str__(self): raise ZeroDivisionError
class I(int):
    def __index__(self): raise ZeroDivisionError
a = module_param(S("a"), int, I(5), I(0o444))
b = module_param("b", str, S("x"))
def kinds(): return type(a), type(b)
""")
    assert list(found.params) == ["a", "b"] and [type(name) for name in found.params] == [str, str]
    assert (found.params["a"].mode, found.params["a"].text, found.params["b"].text) == (0o444, "5", "x")
    assert found.namespace["kinds"]() == (int, str)
