"""The first argument of a running function, whatever has become of the variable."""
import sys

import pytest

from klpfs.cpython.looks import first_argument
from klpfs.cpython.looks.first_argument import is_first_argument

pytestmark = pytest.mark.skipif(not first_argument.KNOWN, reason="this CPython shows no functions of C")


def asked(frame, *wanted):
    return [is_first_argument(frame, frame.f_code, each) for each in wanted]


class Object:
    def plain(self, other, *more, **named):
        return asked(sys._getframe(), self, other, named)

    def in_a_cell(self, other):
        frame = sys._getframe()
        return (lambda: self) is not None and asked(frame, self, other, frame)

    def in_another_cell(self, other):
        frame = sys._getframe()
        return (lambda: other) is not None and asked(frame, self, other, frame)

    def changed(self, other):
        was, self = self, other
        return asked(sys._getframe(), other, was, None)

    def deleted(self, other):
        was = self
        del self
        return asked(sys._getframe(), was)

    @staticmethod
    def without():
        return asked(sys._getframe(), 5)


@pytest.mark.parametrize("name", ["plain", "in_a_cell", "in_another_cell", "changed"])
def test_it_is_told_apart(name):
    assert getattr(Object(), name)(object()) == [True, False, False]


def test_what_can_not_be_told_may_be():
    assert Object().deleted(1) == [True] == Object.without()


def test_it_is_not_kept_alive():
    found, value = [], Object()
    before = sys.getrefcount(value)
    for _ in range(100):
        found.append(value.plain(1))
    assert sys.getrefcount(value) == before
