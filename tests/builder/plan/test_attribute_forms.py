"""Attributes that have another type in NEW."""
import pytest

from tests.builder.class_texts import layout
from tests.builder.kit import running

READER = """
class Reader:
    def __init__(self):
        self.rest = {0}

    def read(self, data):
        self.rest {1}
        self.rest = {2}
"""


def test_a_count_that_becomes_what_is_counted():
    found = layout(READER.format("0", "-= len(data)", "2"),
                   READER.format("b''", "= self.rest[len(data):]", "b'\\r\\n'"))
    [changed] = found.converted
    assert (changed.name, changed.values, changed.counts_rest) == ("rest", ((0, b""), (2, b"\r\n")),
                                                                   True) and not found.refused


def test_constants_that_become_others():
    found = layout(READER.format("0", "= 1", "2"), READER.format("'new'", "= 'open'", "'closed'"))
    assert found.converted[0].values == ((0, "new"), (1, "open"), (2, "closed")) and not found.converted[0].counts_rest


@pytest.mark.parametrize("old, new", [
    (("0", "-= len(data)", "2"), ("b''", "= self.rest[1:]", "b'\\r\\n'")),      # cut otherwise than counted
    (("0", "= 1", "2"), ("''", "= data", "'x'")),                               # takes any value
    (("0", "= 1", "1"), ("''", "= 'a'", "'b'")),                                # 1 stands for two
    (("[]", "= []", "[]"), ("{}", "= {}", "{}")),
])
def test_a_form_that_cannot_be_translated_is_refused(old, new):
    found = layout(READER.format(*old), READER.format(*new))
    assert len(found.refused) == 1 and "'rest'" in found.refused[0].why and not found.converted


def test_an_attribute_of_another_form(upgrade):
    m, insmod = running(upgrade, """
        class Reader:
            def __init__(self): self.rest = 0
            def end(self): self.rest = 2
            def feed(self, data): self.rest -= len(data)
            def left(self): return self.rest
        """, """
        class Reader:
            def __init__(self): self.rest = b""
            def end(self): self.rest = b"ab"
            def feed(self, data):
                if not self.rest.startswith(data):
                    raise ValueError(f"{self.rest!r}")
                self.rest = self.rest[len(data):]
            def left(self): return self.rest
        """)
    fresh, half, done = m.Reader(), m.Reader(), m.Reader()
    half.end()
    half.feed(b"?")
    done.end()
    patch = insmod()
    assert (fresh.left(), half.left(), done.left()) == (b"", b"b", b"ab")
    with pytest.raises(ValueError, match="b'ab'"):
        done.feed(b"?")
    done.feed(b"a")
    upgrade.disable(patch)
    assert (fresh.left(), half.left(), done.left()) == (0, 1, 1)


def test_new_code_that_shows_the_attribute_s_name_is_refused(upgrade):
    """It uses another attribute, and would show that one's."""
    old = READER.format("0", "= 1", "2") + "    def show(self): return f'{self.rest}'\n"
    upgrade.write(old, READER.format("'new'", "= 'open'", "'closed'") + "    def show(self): return f'{self.rest=}'\n")
    [refusal] = upgrade.build().refused
    assert refusal.what == "attribute rest" and "this string shows its name" in refusal.why
