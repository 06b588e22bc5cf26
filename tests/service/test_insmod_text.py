"""What is written to insmod and rmmod."""
import errno

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from klpfs.service import insmod_text


def fails(code, call, *args):
    with pytest.raises(OSError) as caught:
        call(*args)
    assert caught.value.errno == code, caught.value


@pytest.mark.parametrize("text, words", [
    (b"/a/b.py\n", ["/a/b.py"]),
    (b"  a.py\tx=1  y= ", ["a.py", "x=1", "y="]),
    (b'"a b.py" x="1 2"', ["a b.py", "x=1 2"]),
    (b'"x=1 2"', ["x=1 2"]),
    (b"'it is.py' q='\"'", ["it is.py", 'q="']),
    (b"a\\ b", ["a\\", "b"]),
    (b"a.py ''", ["a.py", ""]),
    (b"\xff.py", ["\udcff.py"])])
def test_words(text, words):
    """Blanks separate, quotes group, wherever they begin; a backslash is nothing special."""
    assert insmod_text.words(text) == words


@pytest.mark.parametrize("text", [b"", b"\n", b"  ", b"'a", b'a "b', b"a\0b", b"''"])
def test_no_words(text):
    fails(errno.EINVAL, insmod_text.words, text)


@settings(deadline=None)
@given(st.binary(max_size=40))
def test_any_text(text):
    """Whatever is written: words, or EINVAL."""
    try:
        assert insmod_text.words(text)
    except OSError as error:
        assert error.errno == errno.EINVAL


def test_parameters():
    """A parameter may have no value; the last of several counts; without a name: EINVAL."""
    assert insmod_text.insmod_text(b"a.py debug n=1 n=2 s='a=b c'") == ("a.py", {"debug": None, "n": "2", "s": "a=b c"})
    fails(errno.EINVAL, insmod_text.insmod_text, b"a.py =1")


def test_rmmod_text():
    assert insmod_text.rmmod_text(b"a-b\n") == "a_b"
    fails(errno.EINVAL, insmod_text.rmmod_text, b"a b")
