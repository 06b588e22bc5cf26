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


def test_the_example():
    assert doctest.testmod(shown_text).failed == 0
