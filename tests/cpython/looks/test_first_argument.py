"""The first argument of a running function, whatever has become of the variable."""
import sys

import pytest

from klpfs.cpython.looks import first_argument

pytestmark = pytest.mark.skipif(not first_argument.KNOWN, reason="this CPython shows no functions of C")


def asked():
    frame = sys._getframe(1)
    return first_argument.first_argument(frame, frame.f_code)


class Object:
    def plain(self, other, *more, **named):
        return asked(), self

    def in_a_cell(self, other):
        return (lambda: self) and asked(), self

    def in_another_cell(self, other):
        return (lambda: other) and asked(), self

    def changed(self, other):
        self = other        # noqa: F841
        return asked(), other

    def deleted(self, other):
        del self
        return asked(), None

    def deleted_in_a_cell(self, other):
        (lambda: self)      # noqa: F821
        del self
        return asked(), None

    def among_all(*all):
        return asked(), all[0]

    def behind_keywords(*all, key=2, other=3):
        return asked(), all[0]

    def all_in_a_cell(*all):
        return (lambda: all) and asked(), all[0]

    @staticmethod
    def without():
        return asked(), None


@pytest.mark.parametrize("name", [name for name in vars(Object) if name[0] != "_"])
def test_it_is_what_the_variable_has_by_now(name):
    found, expected = getattr(Object(), name)(*() if name == "without" else (object(),))
    assert found is expected


def test_it_is_not_kept_alive():
    value = Object()
    before = sys.getrefcount(value)
    for _ in range(100):
        assert value.plain(1)[0] is value
        value.among_all(1)
    assert sys.getrefcount(value) == before
