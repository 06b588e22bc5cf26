"""Types, modules and codes by their plain fields: what the program has put in the way is not asked."""
import ast
import inspect
import types

import pytest

from klpfs.cpython import raw


class Meta(type):
    """A metaclass that answers for its classes whatever it is asked."""

    def __getattribute__(cls, name):
        raise AssertionError(name)


class Odd(metaclass=Meta):
    kept = 1

    @property
    def __class__(self):
        raise AssertionError


class Plain:
    class Inner:
        tag = "inner"

    __dict__ = "its own"


def test_a_class_is_read_without_its_metaclass():
    assert raw.type_dict(Odd)["kept"] == 1 and raw.type_name(Odd) == raw.type_qualname(Odd) == "Odd"
    assert raw.type_module(Odd) == __name__ and raw.type_mro(Odd) == (Odd, object)
    assert raw.isinstance_of(Odd(), (int, Odd)) and not raw.isinstance_of(Odd(), (int, Plain))


def test_a_class_attribute_of_that_name_is_not_the_class_s_dict():
    assert raw.type_dict(Plain)["__dict__"] == "its own" and "Inner" in raw.type_dict(Plain)


def test_a_module_is_read_without_its_getattr():
    module = types.ModuleType("m")
    module.__getattr__ = lambda name: 1 / 0
    module.x = 1
    assert raw.module_dict(module)["x"] == 1


def test_an_object_s_own_attributes():
    """Its class's `__dict__`, `__getattribute__` and properties are not asked."""
    class Base:
        pass

    class Lies(Base):
        x = property(lambda self: 1 / 0)

        @property
        def __dict__(self):
            raise AssertionError

        def __getattribute__(self, name):
            raise AssertionError(name)
    value = Lies()
    object.__setattr__(value, "y", 2)
    assert raw.object_dict(value) == {"y": 2}
    assert raw.object_dict(3) == raw.object_dict("text") == {}


@pytest.mark.parametrize("path, value", [
    ("Plain", Plain), ("Plain.Inner", Plain.Inner), ("Plain.Inner.tag", "inner"), ("Plain.Inner.tag.upper", None),
    ("Plain.nowhere", None), ("nowhere.Inner", None), ("Odd.kept", 1)])
def test_what_a_dotted_name_leads_to(path, value):
    assert raw.value_at(globals(), path) is value
    assert raw.class_at(globals(), path) is (value if value in (Plain, Plain.Inner) else None)


def test_the_class_that_a_dotted_name_leads_to():
    """Only through classes, by their real types and dicts: an object that says it is a class is none."""
    class Lies(type):
        def __getattribute__(cls, name):
            raise AssertionError("the metaclass is not asked")

    class A(metaclass=Lies):
        class B:
            pass

    class SaysType:
        __class__ = type
    space = {"A": A, "n": 1, "says": SaysType()}
    assert isinstance(space["says"], type)
    assert raw.class_at(space, "A") is A and raw.class_at(space, "A.B") is raw.type_dict(A)["B"]
    for name in ("n", "n.B", "A.x", "A.x.y", "Z", "", "says", "says.B"):
        assert raw.class_at(space, name) is None


@pytest.mark.parametrize("value, compiled", [
    (len, True), (str.upper, True), ([].append, True), (type.__call__, True), (int.real, True), (lambda: 0, False),
    (3, False), (Plain, False)])
def test_what_is_compiled(value, compiled):
    assert raw.is_compiled(value) == compiled


def test_what_is_a_definition():
    """Functions and lambdas, by their code."""
    code = compile("def f(): pass\nclass C: pass\nx = lambda: 0\ny = (each for each in ())", "x.py", "exec")
    assert [(each.co_name, raw.is_definition(each)) for each in raw.inner(code)] == [
        ("f", True), ("C", False), ("<lambda>", True), ("<genexpr>", False)]
    assert not raw.is_definition(code)


def test_flags_are_the_interpreter_s():
    """As inspect has them."""
    for name in ("OPTIMIZED", "VARARGS", "VARKEYWORDS", "NESTED", "GENERATOR", "COROUTINE", "ITERABLE_COROUTINE",
                 "ASYNC_GENERATOR"):
        assert getattr(raw, name) == getattr(inspect, "CO_" + name)


@pytest.mark.parametrize("text", [
    "\ndef f(): pass", "@a\n@b(\n1)\ndef f(): pass", "\n@a\nasync def f(): pass", "f = lambda: 0"])
def test_the_first_line_of_a_definition_is_its_code_s(text):
    """Its decorators included."""
    node = next(node for node in ast.walk(ast.parse(text))
                if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)))
    assert raw.first_line(node) == raw.inner(compile(text, "x.py", "exec"))[0].co_firstlineno
