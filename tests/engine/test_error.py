"""The one kind of error, and what a line about another one says."""
import pytest

from klpfs.engine.error import KlpError, first_line_of, place_of


def failing(text, path):
    space = {}
    exec(compile(text, path, "exec"), space)
    try:
        space["f"]()
    except Exception as error:
        return error


def test_where_an_exception_happened():
    error = failing("def g():\n  1 / 0\ndef f():\n  g()", "/a/b.py")
    assert place_of(error) == "/a/b.py:2"
    assert place_of(error, lambda path: path == __file__).startswith(__file__ + ":")
    assert place_of(error, lambda path: False) == place_of(ValueError("never raised")) == ""


class Silent(Exception):
    """Its text is foreign code's, which fails."""

    def __str__(self):
        raise ValueError


@pytest.mark.parametrize("error, line", [
    (ValueError("one\ntwo"), "one"), (ValueError(), ""), (Silent(), "(its text can't be had)")])
def test_the_first_line_of_an_exception(error, line):
    assert first_line_of(error) == line


def test_an_error_shows_its_errno_by_name():
    assert str(KlpError(22, "words")) == "EINVAL: words" and str(KlpError(2)) == "ENOENT" and KlpError(2).func is None
