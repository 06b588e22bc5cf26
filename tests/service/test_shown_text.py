"""Text of programs as bytes: whatever it is, it can be shown."""
import doctest
import os

from hypothesis import given
from hypothesis import strategies as st

from klpfs.service import shown_text


@given(st.text(st.characters(exclude_categories=())))
def test_any_text_can_be_shown(text):
    data = shown_text.shown_bytes(text)
    assert os.fsencode(text) == data if shown_text.is_from_bytes(text) else b"\\ud" in data


@given(st.binary())
def test_bytes_come_back_as_they_were(data):
    assert shown_text.shown_bytes(os.fsdecode(data)) == data


@given(st.text(st.characters(exclude_categories=())))
def test_what_is_printed_does_nothing_to_a_terminal(text):
    """No control character, no mark that turns the direction of writing, no separator of lines; and it has bytes."""
    shown = shown_text.printable(text)
    assert all(c.isprintable() or c == "\t" or "\udca0" <= c <= "\udcff" for c in shown)
    data = os.fsencode(shown)
    assert not set(data) & (set(range(32)) - {9}) and shown_text.printable(shown) == shown


@given(st.text(st.characters(categories=("L", "N", "P", "S"), include_characters=" ")))
def test_what_is_for_reading_is_printed_as_it_is(text):
    assert shown_text.printable(text) == text


def test_the_example():
    assert doctest.testmod(shown_text).failed == 0
