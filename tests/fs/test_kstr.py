"""Text written to attributes is read as the kernel reads it."""
import errno

import pytest

from klpfs.fs.kstr import intvec, kstrtobool


@pytest.mark.parametrize("text", [b"1", b"y", b"Y", b"t", b"T", b"yes", b"on", b"ON", b"oN", b"1\n\n", b"1x", b"1\0",
                                  b"1 ", b"true"])
def test_true(text):
    assert kstrtobool(text) is True


@pytest.mark.parametrize("text", [b"0", b"n", b"N", b"f", b"F", b"no", b"of", b"off", b"OFF", b"0\nrubbish", b"0\0",
                                  b"00", b"01", b"false"])
def test_false(text):
    assert kstrtobool(text) is False


@pytest.mark.parametrize("text", [b"", b"2", b" 1", b"\n0", b"-1", b"o", b"x", b"oo", b"\xff\xfe"])
def test_anything_else_is_einval(text):
    with pytest.raises(OSError) as e:
        kstrtobool(text)
    assert e.value.errno == errno.EINVAL


@pytest.mark.parametrize("text, value", [(b"1\n", 1), (b" 0", 0), (b"-3", -3), (b"0x10\n", 16), (b"010", 8),
                                         (b"2 rubbish", 2), (b"1\0x", 1)])
def test_a_sysctl_takes_a_number_as_c_writes_it(text, value):
    assert intvec(text) == value


@pytest.mark.parametrize("text", [b"", b"\n", b"x", b"1x", b"0x", b"09", b"99999999999", b"--1", b"+1", b"1_0", b"- 1"])
def test_a_sysctl_refuses_the_rest(text):
    with pytest.raises(OSError) as e:
        intvec(text)
    assert e.value.errno == errno.EINVAL
