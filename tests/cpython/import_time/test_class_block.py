"""`class C(metaclass=klp.part)`: what the block holds goes into the class that the module has, and goes again."""
import sys

import pytest

BASE = """
    class Base:
        def name(self): return "base"
    class C(Base):
        limit = 10
        __secret = 1
        def size(self): return 1
        class Inner:
            n = 1
"""


def test_methods_and_values_go_into_the_class_and_go_again(module, livepatch):
    live = module(BASE)
    patch, cls, size = livepatch(live, """
        def run(klp):
            global C
            class C(metaclass=klp.part):
                limit = 20
                def size(self): return 2
                def more(self): return self.limit
    """), live.C, live.C.size
    patch.enable()
    assert live.C is cls and (cls().size(), cls().more(), cls.limit) == (2, 20, 20)
    patch.disable()
    assert cls.size is size and cls.limit == 10 and not hasattr(cls, "more")


def test_names_of_the_block_are_the_classs_and_super_and_private_names_mean_it(module, livepatch):
    live = module(BASE)
    patch = livepatch(live, """
        def run(klp):
            global C
            class C(metaclass=klp.part):
                double = limit * 2
                def name(self): return super().name() + "!" + str(self.__secret), __class__
    """)
    patch.enable()
    assert live.C.double == 20 and live.C().name() == ("base!1", live.C)
    patch.disable()
    assert live.C().name() == "base"


def test_a_class_in_a_class_is_named_by_both(module, livepatch):
    live = module(BASE)
    patch = livepatch(live, """
        def run(klp):
            global C
            class C(metaclass=klp.part):
                class Inner(metaclass=klp.part):
                    n = 2
    """)
    patch.enable()
    assert live.C.Inner.n == 2
    patch.disable()
    assert live.C.Inner.n == 1


def test_what_the_block_annotates_or_says_of_itself_is_not_put(module, livepatch):
    live = module(BASE)
    live.C.__doc__ = "of C"
    patch = livepatch(live, """
        def run(klp):
            global C
            class C(metaclass=klp.part):
                x: int = 1
    """)
    patch.enable()
    assert live.C.x == 1 and live.C.__doc__ == "of C" and live.C.__module__ == live.__name__
    assert "x" not in getattr(live.C, "__annotations__", {})
    patch.disable()


def test_an_object_that_only_says_that_it_is_a_class_is_none(module, livepatch):
    """Its `__class__` is not asked."""
    live = module("""
        class Lies:
            @property
            def __class__(self): return type
        C = Lies()
    """)
    for name in ("C", "C.D"):
        with pytest.raises(LookupError, match=f"class '{name}' is not there"):
            livepatch(live, f"""
                def run(klp):
                    global C
                    class C(metaclass={"klp.part" if name == "C" else "type"}):
                        class D(metaclass={"klp.part" if name == "C.D" else "type"}):
                            x = 1
            """).enable()
    assert type(live.C) is live.Lies


def test_a_class_that_the_module_has_not_is_an_error_and_nothing_stays(module, livepatch):
    live = module("limit = 1")
    with pytest.raises(LookupError, match="class 'C' is not there"):
        livepatch(live, """
            def run(klp):
                global C, limit
                limit = 2
                class C(metaclass=klp.part):
                    x = 1
        """).enable()
    assert live.limit == 1


def test_attributes_learn_their_names(module, livepatch):
    live = module(BASE + """
    class Named:
        def __set_name__(self, owner, name): self.known = owner, name
    """)
    patch = livepatch(live, """
        def run(klp):
            global C
            class C(metaclass=klp.part):
                field = Named()
    """)
    patch.enable()
    assert live.C.field.known == (live.C, "field")
    patch.disable()


def test_a_default_is_put_only_where_the_class_has_none(module, livepatch):
    live = module(BASE)
    patch = livepatch(live, """
        def run(klp):
            global C
            class C(metaclass=klp.part):
                limit = klp.default(99)
                name = klp.default(99)
                other = klp.default(99)
    """)
    patch.enable()
    assert live.C.limit == 10 and live.C().name() == "base" and live.C.other == 99
    patch.disable()
    assert not hasattr(live.C, "other")


@pytest.mark.skipif(sys.version_info < (3, 12), reason="type parameters are new in 3.12")
def test_type_parameters_of_the_statement_are_the_classs(module, livepatch):
    """In the block, in its functions, in what is evaluated later; the module's names of that kind are others."""
    live = module("""
        T = Us = P = 7
        class C[T, *Us, **P]:
            Attr = int
            class D[__V]: pass
    """)
    params, patch = live.C.__type_params__, livepatch(live, """
        def run(klp):
            global C
            class C[T, *Us, **P](metaclass=klp.part):
                at_once = list[T], [T for _ in 'a']
                def use(self): return T, Us, P
                def bound[U: (T, Attr)](self, x: T = None) -> U: return U.__constraints__
                class E:
                    def use(self): return [T]
                class D[__V](metaclass=klp.part):
                    def use(self): return T, __V
        """)
    before = dict(vars(live.C)), dict(vars(live.C.D))
    for _ in range(2):
        patch.enable()
        assert live.C.at_once == (list[params[0]], [params[0]]) and live.C().use() == params
        assert live.C().bound() == (params[0], int) and live.C.E().use() == [params[0]]
        assert live.C.D().use() == (params[0], *live.C.D.__type_params__) and live.C.__type_params__ is params
        assert live.C.bound.__annotations__ == {"x": params[0], "return": live.C.bound.__type_params__[0]}
        patch.disable()
        assert (dict(vars(live.C)), dict(vars(live.C.D))) == before


@pytest.mark.skipif(sys.version_info < (3, 12), reason="type parameters are new in 3.12")
@pytest.mark.parametrize("program", ["class C: pass", "class C[U]: pass", "class C[U]:\n  T = 1", "C = 1", "C = int"])
def test_type_parameters_that_the_class_has_not_are_an_error(module, livepatch, program):
    live = module(f"T = 7\n{program}")
    with pytest.raises(LookupError, match="class 'C' has no type parameter 'T'"):
        livepatch(live, """
            def run(klp):
                global C
                class C[T](metaclass=klp.part):
                    x = T
        """).enable()
    assert not hasattr(live.C, "x")
