"""Annotations that are texts in dataclasses of new code: as Python has them, or refused by name."""
import sys

import pytest

from klpfs.engine.error import KlpError
from tests.cpython.names_kit import livepatch, patch, refused

FUTURE = "from __future__ import annotations"
HEAD = "import dataclasses, typing\nfrom dataclasses import dataclass, fields, InitVar\nfrom typing import ClassVar\n"
CLASS = """
@{decorator}
class C:
    a: {int}
    if True:
        n: {mark} = 3
"""
OF_NEW = "def f():\n{inner}\n    return C(1), [each.name for each in fields(C)]"
OF_HELPER = "def helper():\n{inner}\n    return C(1), [each.name for each in fields(C)]\ndef f(): return helper()"
TOP = "{top}\ndef f(): return C(1), [each.name for each in fields(C)]"
MARKS = "ClassVar[int]", "typing.ClassVar[int]", "InitVar[int]", "dataclasses.InitVar[int]", "int"


def text_of(shape, mark, how="future", decorator="dataclass"):
    """(text, head) of a livepatch that makes a dataclass in a new function, a helper or at its top level, with
    annotations that are texts by the future statement, by quotes, or are none."""
    quote = repr if how == "quotes" else str
    top = CLASS.format(decorator=decorator, int=quote("int"), mark=quote(mark))
    inner = "".join(f"    {line}\n" for line in top.splitlines())
    return HEAD + shape.format(inner=inner, top=top), FUTURE + "\n" if how == "future" else ""


@pytest.mark.parametrize("mark", MARKS)
@pytest.mark.parametrize("how", ["future", "quotes", "none"])
@pytest.mark.parametrize("shape", [OF_NEW, OF_HELPER, TOP], ids=["new", "helper", "top"])
@pytest.mark.parametrize("decorator", ["dataclass", "dataclasses.dataclass(order=True)"])
def test_they_mean_what_they_mean_in_python_or_are_refused(program, shape, how, mark, decorator):
    """Refused, by name, where dataclasses would not find the file's ClassVar or InitVar; up to 3.14, all texts where it
    would find no module."""
    text, head = text_of(shape, mark, how, decorator)
    plain = program.module(head + text)
    module = program.module("def f(): pass")
    misread = how != "none" and (mark != "int" or shape != OF_NEW and sys.version_info < (3, 15))
    try:
        program.patch(livepatch(module, text, "f"), head=head + "from klpfs import Func, Object, Patch")
    except KlpError as error:
        assert misread and error.errno == 22
        words = "has the annotation" if shape != TOP or sys.version_info >= (3, 15) else "AttributeError"
        assert words in program.log.texts()[-1] and module.f() is None
    else:
        assert not misread and str(module.f()) == str(plain.f())


def test_what_the_module_has_too_is_found_there(program):
    module = program.module(HEAD + "def f(): pass")
    text, head = text_of(OF_NEW, "ClassVar[int]", "quotes")
    program.patch(livepatch(module, text, "f"))
    assert module.f()[1] == ["a"]


def test_the_line_says_which_class(program):
    module = program.module("def f(): pass")
    text, _ = text_of(OF_NEW, "typing.ClassVar[int]", "quotes")
    code, line = refused(program, module, text, "f")
    assert code == "EINVAL"
    assert "class 'C' at " in line and line.endswith(
        "has the annotation 'typing.ClassVar[int]' as text, which dataclasses does not look up in a livepatch")


@pytest.mark.parametrize("decorator", ["", "@functools.total_ordering"])
def test_classes_that_dataclasses_does_not_make_are_left_alone(program, decorator):
    module = program.module("def f(): pass")
    patch(program, module, f"""
import functools
from dataclasses import dataclass
from typing import ClassVar
def helper():
    {decorator}
    class C:
        n: {'"ClassVar[int]"' if not decorator else '"int"'} = 3
        def __lt__(self, other): pass
    return C.n
def f(): return helper()""", "f")
    assert module.f() == 3


@pytest.mark.parametrize("shape", [OF_NEW, OF_HELPER], ids=["new", "helper"])
@pytest.mark.parametrize("mark", ["NS.CV", "here.CV[int]", "here . NS. CV", "NS.other", "os.path.ClassVar"])
def test_marks_that_are_attributes(program, shape, mark):
    """From 3.15 on dataclasses finds them; before, they are fields."""
    text, _ = text_of(shape, mark, "quotes")
    text = ("import os, types\n" + text).replace("\nfrom typing import ClassVar\n", """
from typing import ClassVar
class NS: CV = ClassVar; other = int
here = types.SimpleNamespace(CV=ClassVar, NS=NS)
""")
    plain, module = program.module(text), program.module("def f(): pass")
    if sys.version_info < (3, 15) and shape == OF_HELPER or sys.version_info >= (3, 15) and "CV" in mark:
        assert refused(program, module, text, "f")[0] == "EINVAL"
    else:
        program.patch(livepatch(module, text, "f"))
        assert str(module.f()) == str(plain.f())


ALIASES = "Count = ClassVar[int]\nGiven = InitVar[int]\n"


@pytest.mark.parametrize("mark", ["Count", "Given"])
@pytest.mark.parametrize("shape", [OF_NEW, OF_HELPER], ids=["new", "helper"])
def test_aliases_of_marks_are_marks(program, shape, mark):
    text, _ = text_of(shape, mark, "quotes")
    module = program.module("def f(): pass")
    assert refused(program, module, text.replace(HEAD, HEAD + ALIASES), "f")[0] == "EINVAL"


def test_a_name_of_the_files_that_is_a_mark_in_the_module(program):
    """dataclasses would find the module's, and lose a field."""
    text, _ = text_of(OF_NEW, "Given", "quotes")
    module = program.module("from dataclasses import InitVar as Given\ndef f(): pass")
    assert refused(program, module, text.replace(HEAD, HEAD + "Given = int\n"), "f")[0] == "EINVAL"


@pytest.mark.parametrize("mark", ["ClassVar[int]", "typing.ClassVar[int]", "int"])
def test_a_helper_whose_names_are_the_modules(program, mark):
    """Also where the decorator is: the class says that it is of the livepatch, where dataclasses finds none of them."""
    text, _ = text_of(OF_HELPER, mark, "quotes")
    module = program.module(HEAD + "def f(): pass")
    plain = program.module(text)
    if mark != "int" or sys.version_info < (3, 15):
        assert refused(program, module, text.replace(HEAD, ""), "f")[0] == "EINVAL"
    else:
        program.patch(livepatch(module, text.replace(HEAD, ""), "f"))
        assert str(module.f()) == str(plain.f())


def test_a_helper_of_several_objects(program):
    one, two = (program.module("TAG = %d\ndef f(): pass" % n) for n in range(2))
    text = text_of(OF_HELPER, "typing.ClassVar[int]", "quotes")[0].replace("def helper():", "def helper():\n    TAG")
    code, line = program.refused(
        text.replace("def f(): return helper()", "def f1(): return helper()\ndef f2(): return helper()")
        + "\npatch = Patch([Object(%r, [Func('f', f1)]), Object(%r, [Func('f', f2)])])" % (one.__name__, two.__name__))
    assert code == "EINVAL" and "has the annotation" in line


def test_annotations_of_what_stands_in_a_class_are_not_the_classes(program):
    """Of parameters, of inner functions' variables, of attributes of other objects."""
    text = "import types\n" + HEAD + """
def f():
    other = types.SimpleNamespace()
    @dataclass
    class C:
        a: int
        other.n: 'ClassVar[int]' = 3
        def m(self, x: 'ClassVar[int]' = 3):
            n: 'ClassVar[int]' = 3
            return n + x
    return C(1).m(), [each.name for each in fields(C)]
"""
    module = program.module("def f(): pass")
    program.patch(livepatch(module, text, "f"))
    assert module.f() == (6, ["a"])
