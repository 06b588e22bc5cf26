"""Fields of classes whose makers read them once: refused by name; where the text does not say, the program is asked."""
import sys

import pytest

from klpfs.builder.error import NothingToDo
from klpfs.engine.error import KlpError
from tests.builder.kit import there_and_back

MODEL = "from x import BaseModel, validator\nclass Base(BaseModel): pass\nclass M(Base):\n    {}\n" \
        "    def f(self): return 1\n"
CHECKED = "import typing\n@typing.runtime_checkable\nclass P(typing.Protocol):\n    a: int\n" \
          "class C(P):\n    a: int = {}\n    def f(self): return 1\n"
DICT = "from typing import *\nclass T(TypedDict):\n    a: {}\n"
TUPLE = "import typing\nclass N(typing.NamedTuple):\n    {}\n    def f(self): return {}\n"


@pytest.mark.parametrize("old, new, line, name", [
    (TUPLE.format("a: int", 1), TUPLE.format("a: int; b: str = 'x'", 2), 3, "class N: b"),
    (TUPLE.format("a: int = 1", 1), TUPLE.format("a: int = 2", 1), 3, "class N: a"),
    (TUPLE.format("a: int; b: int", 1), TUPLE.format("b: int; a: int", 1), 3, "class N: a, b"),
    (DICT.format("int"), DICT.format("int\n    b: int"), 4, "class T: b"),
    (DICT.format("int"), DICT.format("NotRequired[int]"), 3, "class T: a"),
    (MODEL.format("a: int"), MODEL.format("a: PositiveInt"), 4, "class M: a"),
    (MODEL.format("a: int = 1"), MODEL.format("a: int = Field(1, ge=1)"), 4, "class M: a"),
    (MODEL.format("a: int; b: int"), MODEL.format("a: int"), 3, "class M: b"),
    (MODEL.format("config = 1"), MODEL.format("config = 2"), 4, "class M: config"),
    (MODEL.format("class Config: a = 1"), MODEL.format("class Config: a = 2"), 4, "class M: Config"),
    (MODEL.format("a: int"), MODEL.format("a: int\n    @validator('a')\n    def g(cls, x): return x"), 5, "class M: g"),
    ("import msgspec\nclass A:\n    class S(msgspec.Struct):\n        a: int",
     "import msgspec\nclass A:\n    class S(msgspec.Struct):\n        a: str", 4, "class A.S: a"),
    ("import typing\n@typing.runtime_checkable\nclass P(typing.Protocol):\n    def m(self): ...",
     "import typing\n@typing.runtime_checkable\nclass P(typing.Protocol):\n    def m(self): ...\n    def n(self): ...",
     5, "class P: n"),
])
def test_what_a_known_maker_reads_is_refused(upgrade, old, new, line, name):
    upgrade.write(old, new)
    result = upgrade.build()
    refusal = result.refused[0]
    assert not result.text and (refusal.line, refusal.what) == (line, name) and "when a class is made" in refusal.why


@pytest.mark.parametrize("old, new", [
    (MODEL.format("a: int"), MODEL.format("a: int").replace("return 1", "return 2")),
    (MODEL.format("a: int"), MODEL.format("a: int") + "    def g(self): return 3\n"),
    (TUPLE.format("a: int", 1), TUPLE.format("a: int", 2)),
    (TUPLE.format("a: int", 1), TUPLE.format("a: str", 2)),             # a type is nothing to a tuple
    ("import typing\nclass P(typing.Protocol):\n    a: int\n    def m(self): return 1",
     "import typing\nclass P(typing.Protocol):\n    a: str\n    def m(self): return 2"),
    ("class C:\n    a: int = 1", "class C:\n    a: int = 2\n    b: str = 'b'"),
    ("class B: pass\nclass C(B, dict):\n    a: int = 1", "class B: pass\nclass C(B, dict):\n    a: int = 2"),
    ("import abc\nclass C(metaclass=abc.ABCMeta):\n    a: int = 1",
     "import abc\nclass C(metaclass=abc.ABCMeta):\n    a: int = 2"),
    ("import typing\nclass N(typing.NamedTuple):\n    a: int\nclass C(N):\n    b: int = 1",
     "import typing\nclass N(typing.NamedTuple):\n    a: int\nclass C(N):\n    b: int = 2"),
    (CHECKED.format(1), CHECKED.format(2)),
    ("import dataclasses\n@dataclasses.dataclass\nclass C:\n    a: int = 1",
     "import dataclasses\n@dataclasses.dataclass\nclass C:\n    a: int = 2"),
])
def test_the_rest_is_carried(upgrade, old, new):
    upgrade.write(old, new)
    result = upgrade.build()
    assert result.text and not result.refused and "klp.plain" not in result.text


BASES = """
import typing
class Plain: pass
class Hooked:
    def __init_subclass__(cls): cls.made = list(cls.__annotations__)
def fields(cls): return list(typing.get_type_hints(cls))
class Meta(type):
    def __new__(meta, name, bases, space):
        made = super().__new__(meta, name, bases, space)
        made.fields = fields(made)
        return made
class Made(metaclass=Meta): pass
class Marked:
    def __init_subclass__(cls): cls.mark = "a" in cls.__dict__
class Registering(type):
    def __init__(cls, *args): KNOWN.append(cls)
KNOWN = []
class Registered(metaclass=Registering): pass
class Calls(type):
    def __call__(cls): return super().__call__()
class Called(metaclass=Calls): pass
Tuple, Dict = typing.NamedTuple, typing.TypedDict
"""
CLASS = "from .bases import *\nclass C({}):\n    a: int = {}\ndef f(): return C.a, {}\n"


@pytest.mark.parametrize("base", ["Plain", "Called", "Marked", "Registered", "typing.Generic[typing.TypeVar('T')]"])
def test_a_base_that_makes_nothing_is_carried(upgrade, base):
    files = {"bases.py": BASES, "a.py": CLASS.format(base, 1, 1)}
    there_and_back(upgrade, files, {**files, "a.py": CLASS.format(base, 2, 2)}, "f()", "C.a", module="a")


@pytest.mark.parametrize("base, maker", [("Hooked", "Hooked.__init_subclass__"), ("Made", "its metaclass Meta"),
                                         ("Tuple", "NamedTuple")])
def test_a_base_that_reads_fields_is_refused_by_the_program(upgrade, base, maker):
    """By name, in the log, with nothing done."""
    files = {"bases.py": BASES, "a.py": CLASS.format(base, 1, 1)}
    upgrade.write(files, {**files, "a.py": CLASS.format(base, 2, 2)})
    module = upgrade.module("a")
    text = upgrade.build().text
    before = dict(vars(module.C))
    with pytest.raises(KlpError, match="pre-patch callback failed"):
        upgrade.insmod(text)
    assert module.f()[1] == 1 and dict(vars(module.C)) == before
    said = " ".join(str(each) for each in upgrade.log.records)
    assert f"class C: a: {maker} reads it only when a class is made" in said


def test_annotations_alone_are_asked_for_too(upgrade):
    """Such a release was called one in which no Python code differs."""
    files = {"bases.py": BASES, "a.py": "from .bases import *\nclass C(Made):\n    a: int\n"}
    upgrade.write(files, {**files, "a.py": files["a.py"].replace("int", "str")})
    upgrade.module("a")
    with pytest.raises(KlpError, match="pre-patch callback failed"):
        upgrade.insmod()


def test_what_is_no_class_by_now_is_passed_over(upgrade):
    """A decorator has put something else in its place."""
    files = {"bases.py": BASES + "def other(cls): return 1\n",
             "a.py": "from .bases import *\n@other\nclass C(Made):\n    a: int\ndef f(): return 1\n"}
    new = files["a.py"].replace("int", "str").replace("return 1", "return 2")
    there_and_back(upgrade, files, {**files, "a.py": new}, "f()", module="a")


def test_annotations_alone_of_plain_classes_are_no_change(upgrade):
    upgrade.write("class B: pass\nclass C(B):\n    a: int\n", "class B: pass\nclass C(B):\n    a: str\n")
    with pytest.raises(NothingToDo):
        upgrade.build()


@pytest.mark.skipif(sys.version_info < (3, 12), reason="type parameters are new in 3.12")
@pytest.mark.parametrize("new", ["class C[T, U]: pass", "class C[**T]: pass"])
def test_type_parameters_of_a_class_are_refused(upgrade, new):
    upgrade.write("class C[T]: pass\n", new)
    [refusal] = upgrade.build().refused
    assert refusal.what == "class C: its type parameters changed"
