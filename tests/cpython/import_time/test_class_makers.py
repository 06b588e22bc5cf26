"""What reads the annotations of a class when it is made: told by the code of metaclasses and hooks, never by a call."""
import abc
import enum
import typing

import pytest

from klpfs.cpython.import_time.class_makers import maker_of


def hints(cls):
    return typing.get_type_hints(cls)


def far(cls):
    return [hints(each) for each in [cls]]


class Table:
    @staticmethod
    def of(cls):
        return cls.__dict__.get("__annotations__")


class Reads(type):
    def __init__(cls, *args):
        cls.made = far(cls)


class ByClass(type):
    def __new__(meta, *args):
        made = super().__new__(meta, *args)
        made.table = Table.of(made)
        return made


KNOWN = []


class Registers(type):
    def __init__(cls, *args):
        KNOWN.append(cls)

    def __call__(cls, *args):
        return far(cls) or super().__call__(*args)      # of its calls: not when it is made


class Fields:
    def __init_subclass__(cls):
        cls.names = hints(cls)


class Marks:
    def __init_subclass__(cls):
        cls.mark = "a" in cls.__dict__


class Member(enum.Enum):
    a: int = 1


@typing.runtime_checkable
class Checked(typing.Protocol):
    a: int


class Unchecked(typing.Protocol):
    a: int


class Row(typing.NamedTuple):
    a: int


class Keys(typing.TypedDict):
    a: int




def closure():
    read = far

    class Hooked:
        def __init_subclass__(cls):
            read(cls)
    return Hooked


@pytest.mark.parametrize("bases, keywords, maker", [
    ((), {}, ""), ((Table, dict), {}, ""), ((abc.ABC,), {}, ""), ((typing.Generic[typing.TypeVar("T")],), {}, ""),
    ((), {"metaclass": Registers}, ""), ((Marks,), {}, ""), ((Unchecked,), {}, ""), ((Checked,), {}, ""),
    ((), {"metaclass": Reads}, "its metaclass Reads"), ((), {"metaclass": ByClass}, "its metaclass ByClass"),
    ((Fields,), {}, "Fields.__init_subclass__"), ((closure(),), {}, "Hooked.__init_subclass__"),
])
def test_makers_are_told_by_their_code(bases, keywords, maker):
    class Made(*bases, **keywords):
        a: int = 1
    assert maker_of(Made) == maker


def test_those_of_python():
    assert [maker_of(each) for each in (Member, Checked, Unchecked, Row, Keys)] == [
        "", "runtime_checkable", "", "NamedTuple", ""]


def test_a_maker_in_c_counts_as_a_reader():
    import ctypes
    assert maker_of(type("S", (ctypes.Structure,), {})).startswith("its metaclass")
