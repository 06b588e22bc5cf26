"""Caches, named by text: emptied as the text says, and what the text leads to is asked by its real type."""
import functools
import warnings

import pytest

from klpfs.cpython.import_time.caches import empty

PROGRAM = """
    from functools import lru_cache
    TABLE = {1: 2}
    NO_TABLE = [1]
    calls = []
    @lru_cache
    def f(x): calls.append(x); return x
    class C:
        shared = {3: 4}
        lazy = "computed"
        def __init__(self): self.table, self.lazy, self.maybe = {5: 6}, "computed", "computed"
        @staticmethod
        @lru_cache
        def s(x): calls.append(x); return x
        @classmethod
        def plain(cls): pass
    class D(C): pass
"""


@pytest.fixture
def live(module):
    return module(PROGRAM)


def test_what_lru_cache_keeps(live):
    live.f(1), live.f(1), live.C.s(2), live.C.s(2)
    assert live.calls == [1, 2]
    empty([f"{live.__name__}:f()", f"{live.__name__}:C.s()"])
    live.f(1), live.C.s(2)
    assert live.calls == [1, 2, 1, 2]


def test_caches_under_decorators_and_of_functions_that_others_have_made(module):
    live = module("""
        import functools
        calls = []
        def logged(f):
            @functools.wraps(f)
            def w(*a): return f(*a)
            return w
        @logged
        @functools.lru_cache(None)
        def under(x): calls.append(x)
        def make():
            @functools.lru_cache(None)
            def g(x): calls.append(x)
            return g
        made = make()
        class C:
            @property
            @functools.lru_cache(None)
            def p(self): calls.append("p")
        c = C()
        """)
    for times in (1, 2):
        for _ in range(2):
            live.under(1), live.made(2), live.c.p
        assert live.calls == [1, 2, "p"] * times
        empty([f"{live.__name__}:{name}()" for name in ("under", "make.<locals>.g", "C.p")])


def test_what_a_cached_property_keeps(module):
    """Of instances alone: the class has what makes it."""
    live = module("""
        import functools
        class C:
            @functools.cached_property
            def f(self): return []
        class D(C): pass
        """)
    one, other = live.C(), live.D()
    before = one.f, other.f
    empty([f"{live.__name__}:C.f@"])
    assert vars(one) == vars(other) == {} and (one.f, other.f) == before and one.f is not before[0]


def test_a_table_of_the_module(live):
    table = live.TABLE
    empty([f"{live.__name__}:TABLE{{}}", f"{live.__name__}:NO_TABLE{{}}"])
    assert table == {} and live.TABLE is table and live.NO_TABLE == [1]


def test_tables_of_instances_classes_and_subclasses(live):
    one, other = live.C(), live.D()
    live.D.shared = {7: 8}
    empty([f"{live.__name__}:C.table{{}}", f"{live.__name__}:C.shared{{}}"])
    assert one.table == other.table == {} and live.C.shared == live.D.shared == {}


def test_attributes_that_are_made_when_they_are_not_there(live):
    """Of instances, and of classes that have it themselves."""
    one, other = live.C(), live.D()
    empty([f"{live.__name__}:C.lazy"])
    assert "lazy" not in vars(one) and "lazy" not in vars(other) and "lazy" not in vars(live.C)


def test_attributes_that_are_made_when_they_are_none(live):
    one = live.C()
    empty([f"{live.__name__}:C.maybe=None"])
    assert one.maybe is None and "maybe" not in vars(live.C)
    bare = live.C()
    del bare.maybe
    empty([f"{live.__name__}:C.maybe=None"])
    assert "maybe" not in vars(bare), "an object that lacks it stays so"


def test_with_a_function_it_is_made_anew(live):
    """In the module's globals, for each object that has it, and for none besides."""
    one, without = live.C(), live.C()
    del without.lazy

    def make(obj):
        obj.lazy = TABLE[1]     # noqa: F821
    empty([(f"{live.__name__}:D.lazy", make)])
    assert one.lazy == "computed"
    empty([(f"{live.__name__}:C.lazy", make)])
    assert one.lazy == 2 and "lazy" not in vars(without)


@pytest.mark.parametrize("text", ["nowhere:f()", "{m}:g()", "{m}:C.g()", "{m}:X.g()", "{m}:X{{}}", "{m}:X.x",
                                  "{m}:TABLE.x", "{m}:C.plain()"])
def test_what_is_not_there_is_passed_over(live, text):
    empty([text.format(m=live.__name__)])


def test_objects_that_lie_about_their_class_and_attributes_are_not_asked(live):
    class Liar(live.C):
        def __getattribute__(self, name):
            if name in ("__class__", "__dict__", "table"):
                raise AssertionError("it is not asked")
            return object.__getattribute__(self, name)
    liar = Liar()
    empty([f"{live.__name__}:C.table{{}}"])
    assert object.__getattribute__(liar, "table") == {}


def test_metaclasses_are_not_asked(live):
    """Nor warned of: Python's own for typing.Union do it from 3.14 on."""
    class Meta(type):
        def __eq__(cls, other):
            raise AssertionError("it is not asked")
        __subclasscheck__ = __instancecheck__ = __eq__
        __hash__ = type.__hash__

    class Odd(metaclass=Meta):
        pass
    live.Odd, odd, object_of_c = Odd, Odd(), live.C()
    odd.table, object_of_c.table = {1: 2}, {1: 2}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        empty([f"{live.__name__}:Odd.table{{}}", f"{live.__name__}:C.table{{}}"])
    assert odd.table == object_of_c.table == {}


def test_functools_partial_has_none(live):
    live.p = functools.partial(len)
    empty([f"{live.__name__}:p()"])


def test_what_an_abstract_class_and_those_above_it_remember(module):
    live = module("""
        import abc
        ANSWER = True
        class Base(abc.ABC): pass
        class A(Base):
            @classmethod
            def __subclasshook__(cls, other): return ANSWER
        class Plain: pass
    """)

    def asked():
        return isinstance(1, live.A), isinstance(1, live.Base)
    assert asked() == (True, True)
    live.ANSWER = False
    assert asked() == (True, True), "remembered"
    empty([f"{live.__name__}:{name}!" for name in ("A", "Plain", "nothing")])
    assert asked() == (False, False)
