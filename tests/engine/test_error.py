"""The one kind of error, and what a line about another one says."""
import errno
import subprocess
import sys

import pytest

from klpfs.engine.error import KlpError, errno_from, errno_of, first_line_of, place_of, words_of


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


@pytest.mark.parametrize("value, code", [
    (1, 1), (511, 511), (512, errno.EINVAL), (0, errno.EINVAL), (-5, errno.EINVAL), (2 ** 40, errno.EINVAL),
    (True, errno.EINVAL), ("5", errno.EINVAL), (None, errno.EINVAL)])
def test_an_errno_is_one_that_a_system_call_may_return(value, code):
    """Anything else leaves the writer without an answer: the kernel refuses it."""
    assert errno_from(value) == code and errno_of(OSError(value, "x")) == code and KlpError(value).errno == code


def test_exceptions_that_are_no_system_errors_have_an_errno():
    found = [errno_of(error) for error in (MemoryError(), KeyboardInterrupt(), SystemExit(), TypeError())]
    assert found == [errno.ENOMEM, errno.EINVAL, errno.EINVAL, errno.EINVAL]


def test_an_errno_of_the_exceptions_own_making_is_not_asked_for():
    class Odd(OSError):
        errno = property(lambda self: 1 / 0)
    assert errno_of(Odd(5, "x")) == 5


@pytest.mark.parametrize("text, plain", [(5, "5"), (None, None), (object(), "<object>"), ("\ud800", "\\ud800")])
def test_a_text_that_is_none_is_shown_as_text(text, plain):
    assert KlpError(22, text).strerror == plain


def test_words_that_can_not_be_had():
    class Mute(Exception):
        def __str__(self):
            raise ValueError
    assert words_of(Mute()) == "(its text can't be had)" and len(words_of(ValueError("x" * 10 ** 6))) < 5000


def test_an_instruction_without_a_line_counts_to_its_function():
    """tb_lineno is None there, from 3.11 on."""
    def raises():
        raise ValueError
    if sys.version_info >= (3, 10):
        raises.__code__ = raises.__code__.replace(co_linetable=b"\xff" * 20 if sys.version_info >= (3, 11) else b"")
    try:
        raises()
    except ValueError as error:
        assert place_of(error).startswith(__file__ + ":") and "None" not in place_of(error)


def test_where_the_program_forbids_to_look_at_code():
    """Its audit hook raises: the place is told by the module's file, in words that never fail."""
    code = """
import subprocess
import sys
from klpfs.engine import error
space = {"__file__": "/a/b.py"}
exec(compile("def f():\\n  1 / 0", "/a/c.py", "exec"), space)
def hook(event, args):
    if event == "object.__getattr__" and args[1] == "f_code":
        raise RuntimeError
sys.addaudithook(hook)
try:
    space["f"]()
except ZeroDivisionError as e:
    print(error.place_of(e), error.is_ours(e))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True,
                          env={"PYTHONPATH": ":".join(sys.path)})
    assert done.stdout == "/a/b.py:2 False\n", done.stderr
