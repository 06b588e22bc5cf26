"""Names that the tree can show, and the words for those that it can't."""
import pytest

from klpfs.engine.names import MAX_NAME_BYTES, showable, why_unshowable


@pytest.mark.parametrize("name", ["lp1", "a.b", "make.<locals>.h", "two words", ".hidden", "...", "\xa0", "\xe9\u2603",
                                  "\udcff", "x" * 255, "\xe9" * 127])
def test_names_that_can_be_shown(name):
    assert showable(name)


@pytest.mark.parametrize("name, why", [
    ("", "cannot be a file name"), (".", "cannot be a file name"), ("..", "cannot be a file name"),
    ("a/b", "cannot be a file name"), ("\ud800", "cannot be a file name"), ("x" * 256, "is longer than 255 bytes"),
    ("\xe9" * 128, "is longer than 255 bytes"), ("\udcff" * 256, "is longer than 255 bytes"),
    *((f"a{chr(code)}b", "has control characters") for code in (0, 9, 10, 31, 127, 128, 0x85, 0x9f)),
])
def test_names_that_can_not(name, why):
    assert why_unshowable(name) == why and not showable(name)


def test_the_name_of_an_attribute_is_taken():
    assert why_unshowable("enabled", ("enabled", "force")) == "is the name of an attribute"
    assert not why_unshowable("enabled", ("force",))


def test_the_longest_name_is_one_that_a_directory_takes(tmp_path):
    (tmp_path / ("x" * MAX_NAME_BYTES)).touch()
    with pytest.raises(OSError):
        (tmp_path / ("x" * (MAX_NAME_BYTES + 1))).touch()
