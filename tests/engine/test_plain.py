"""Values that a livepatch gives, made plain without running code of theirs."""
import enum
import sys

import pytest

from klpfs.engine.plain import MAX_TEXT, plain_int, plain_name, plain_str, plain_text


class Bad(Exception):
    pass


def _raises(*_):
    raise Bad


class Text(str):
    __str__ = __repr__ = __format__ = __eq__ = __hash__ = __getitem__ = __len__ = _raises


class Number(int):
    __int__ = __index__ = __repr__ = __str__ = __lt__ = __eq__ = __hash__ = __neg__ = _raises


class Thing:
    __str__ = __repr__ = __bool__ = __eq__ = __hash__ = _raises


class Colour(str, enum.Enum):
    RED = "red"


def cases(*cases):
    """Values with their texts; pytest must not show the values."""
    return pytest.mark.parametrize("value, text", cases, ids=range(len(cases)))


@cases((Text("a"), "a"), (Colour.RED, "red"), ("\udc80 is a byte", "\udc80 is a byte"), ("\ud800", "\\ud800"), ("", ""))
def test_a_text_is_its_characters(value, text):
    assert type(plain_str(value)) is str and plain_str(value) == text


def test_a_name_is_not_changed():
    """A character that no file's name can have is refused later, by name."""
    assert type(plain_name(Text("a"))) is str and plain_name(Text("\ud800a")) == "\ud800a"


def test_a_number_is_its_value():
    assert type(plain_int(Number(7))) is int and plain_int(Number(7)) == 7 and plain_int(True) == 1


@cases((Text("a"), "a"), (Number(7), "7"), (True, "True"), (False, "False"), (None, "None"), (float("nan"), "nan"),
       (Thing(), "<Thing>"), (b"\xff", "b'\\xff'"), (10 ** 5000, "<int>"), ([1], "<list>"), ("\ud800", "\\ud800"))
def test_whatever_it_is_it_has_a_text(value, text):
    assert plain_text(value) == text


def test_a_text_has_a_bounded_length():
    for value in ("x" * 10 ** 6, Text("x" * 10 ** 6), b"x" * 10 ** 6):
        assert len(plain_text(value)) == MAX_TEXT


@pytest.mark.skipif(not hasattr(sys, "set_int_max_str_digits"), reason="the limit of digits is of 3.11 and later")
def test_a_lower_limit_of_digits_is_the_programs():
    before = sys.get_int_max_str_digits()
    sys.set_int_max_str_digits(640)
    try:
        assert plain_text(16 ** 700) == "0x1" + 700 * "0"
    finally:
        sys.set_int_max_str_digits(before)
