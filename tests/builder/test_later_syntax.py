"""Builds of modules in syntax that came with 3.12 and later."""
import sys

import pytest

from tests.builder.kit import there_and_back


@pytest.mark.skipif(sys.version_info < (3, 14), reason="t-strings are new in 3.14")
def test_template_strings(upgrade):
    shown = ".values", ".strings", ".interpolations[0].expression"
    there_and_back(upgrade, """
        LIMIT = 1
        TEXT = t"a{LIMIT}"
        def f(x): return t"{x}b{LIMIT}"
        """, """
        LIMIT = 2
        TEXT = t"a{LIMIT + 1!r:>4}"
        def f(x):
            return t'''{x + 1}
        c{LIMIT}
            '''
        """, *(f"f(1){each}" for each in shown), *(f"TEXT{each}" for each in shown), "LIMIT")


@pytest.mark.skipif(sys.version_info < (3, 14), reason="t-strings are new in 3.14")
def test_what_a_template_shows_of_its_text_counts(upgrade):
    there_and_back(upgrade, 'def f(x): return t"{x}"', 'def f(x): return t"{ x}"', "f(1).interpolations[0].expression")


@pytest.mark.skipif(sys.version_info < (3, 14), reason="`except` without brackets is new in 3.14")
def test_except_without_brackets(upgrade):
    """Between with brackets and without there is no difference."""
    there_and_back(upgrade, """
        try: N = int("x")
        except ValueError: N = 0
        def f(x):
            try: return int(x)
            except (ValueError, TypeError): return 0
        def g(x):
            try: return int(x)
            except ValueError: return 0
        """, """
        try: N = [][1]
        except ValueError, IndexError: N = 1
        def f(x):
            try: return int(x)
            except ValueError, TypeError: return 0
        def g(x):
            try: return int(x)
            except ValueError, TypeError: return 1
        """, "N", "g(None)", "g('x')")
    assert "def f(" not in upgrade.build().text


@pytest.mark.skipif(sys.version_info < (3, 15), reason="unpacking in comprehensions is new in 3.15")
def test_unpacking_in_comprehensions(upgrade):
    there_and_back(upgrade, """
        ROWS, TABLES = [[1], [2, 3]], [{"a": 1}]
        FLAT = [x for row in ROWS for x in row]
        MERGED = {**TABLES[0]}
        def f(): return [x for row in ROWS for x in row] + [len(TABLES)]
        def g(row=[row for row in ROWS]): return row
        """, """
        ROWS, TABLES = [[1], [2, 3]], [{"a": 1}, {"b": 2}]
        FLAT = [*row for row in ROWS if row[0] > 1]
        MERGED = {**table for table in TABLES}
        def f():
            return [*row for row in ROWS], {*row for row in ROWS}, {**each for each in TABLES}, list((*r for r in ROWS))
        def g(row=[*row for row in ROWS]): return row
        """, "FLAT", "MERGED", "f()", "g()")


@pytest.mark.skipif(sys.version_info < (3, 15), reason="frozendict is new in 3.15")
def test_frozendict(upgrade):
    there_and_back(upgrade, """
        T = frozendict(a=1)
        S = frozendict(c=1)
        def f(x=T): return x | T
        def make(): return frozendict(n=1)
        MADE = make()
        """, """
        T = frozendict(a=2, b=3)
        S = frozendict(c=1)
        def f(x=T): return x | T
        def make(): return frozendict(n=2)
        MADE = make()
        """, "T", "f()", "MADE")


@pytest.mark.skipif(sys.version_info < (3, 12), reason="type parameters are new in 3.12")
def test_type_parameters_and_aliases(upgrade):
    there_and_back(upgrade, """
        class Box: pass
        type Pair = tuple[Box, int]
        def f(): return 1
        class Old[T]:
            def get(self) -> T: return 1
        """, """
        class Box: pass
        class Crate(Box): pass
        type Pair = tuple[Crate, int]
        type Many[T: Crate] = list[T]
        def helper[T: Crate](x: T) -> T: return x
        class Stack[T: Crate](list[T]):
            def first(self) -> T: return self[0]
        class Old[T]:
            def get(self) -> T:
                def g[U: Crate](x: U) -> U: return x
                return g(2), g.__type_params__[0].__bound__.__name__
        def f(): return helper(2), Stack([3]).first(), Stack.__type_params__[0].__bound__ is Crate
        """, "f()", "Old().get()", "Pair.__value__.__args__[0].__name__", "Many.__type_params__[0].__bound__.__name__")


@pytest.mark.skipif(sys.version_info < (3, 12), reason="type parameters are new in 3.12")
@pytest.mark.parametrize("old, new", [
    ("[T: int]", "[T: str]"), ("", "[T: (Later, C)]"), ("[T]", "[T: Later, *Ts, **P]"), ("[T: Later]", "[T]")])
def test_type_parameters(upgrade, old, new):
    """Also where nothing else differs."""
    program = """
        import contextlib
        class C:
            Attr = bytes
            def m@OLD@(self): return 1
            @classmethod
            def c@OLD@(cls): return 1
            @contextlib.contextmanager
            def k@OLD@(self): yield 1
            def kept[U: Attr](self): return 1
        class Later: pass
        def f@OLD@(x): return 1
        def make(k):
            def inner(x): return k
            return inner
        one = make(3)
    """
    after = program.replace("@OLD@", new).replace("self): return 1", "self): return 2").replace(
        "def inner(x): return k", "def inner[V: int](x): return V.__bound__, k")
    shown = [f"repr([(p, type(p), getattr(p, '__bound__', 0), getattr(p, '__constraints__', 0))"
             f" for p in {name}.__type_params__])"
             for name in ("f", "C.m", "C.c", "C.k.__wrapped__", "C.kept")]
    there_and_back(upgrade, program.replace("@OLD@", old), after, *shown, "f(1)", "C().m()", "C.c()", "C().kept()",
                   "make(1)(1)", "one(1)")


@pytest.mark.skipif(sys.version_info < (3, 12), reason="type parameters are new in 3.12")
def test_new_code_uses_its_type_parameters(upgrade):
    there_and_back(upgrade, """
        class Box[T]:
            Attr = int
            def m(self): return 1
        def f[T](x): return T.__name__
        def g(x): return 1
        """, """
        class Box[T]:
            Attr = int
            def m[U: (T, Attr)](self): return U.__constraints__
        def f[T: Later](x): return T.__bound__
        def g[T: list[Later]](x): return T.__bound__, [h(T.__name__) for _ in 'ab']
        def h[T](x): return x, T
        class Later: pass
        """, *(f"repr({each})" for each in ("Box().m()", "f(1)", "g(1)")))


@pytest.mark.skipif(sys.version_info < (3, 12), reason="type parameters are new in 3.12")
def test_what_is_new_in_a_generic_class_uses_its_type_parameters(upgrade):
    """Not the module's names of that kind."""
    old = """
        T = Us = 7
        class Box[T, *Us]:
            Attr = int
            def m(self): return 1
            def plain(self): return 1
        """
    there_and_back(upgrade, old, old.replace("return 1", "return T", 1) + """
            def n[U: (T, Attr)](self, x: list[T] = None) -> U: return T, Us, U.__constraints__
            held = dict[str, T]
            class Inner:
                def f(self, x: T = None): return [T]
        """, *(f"repr({each})" for each in (
            "Box().m()", "Box().n()", "Box.n.__annotations__", "Box.held", "Box.Inner().f()",
            "Box.Inner.f.__annotations__", "Box.__type_params__")))


@pytest.mark.skipif(sys.version_info < (3, 12), reason="type parameters are new in 3.12")
@pytest.mark.parametrize("old, new", [("", "[T]"), ("[T]", ""), ("[T]", "[T, U]"), ("[T]", "[*T]")])
def test_type_parameters_of_a_class_that_differ_are_refused(upgrade, old, new):
    upgrade.write(f"class C{old}:\n    def f(self): return 1", f"class C{new}:\n    def f(self): return 2")
    (refusal,) = upgrade.build().refused
    assert refusal.what == "class C: its type parameters changed"
