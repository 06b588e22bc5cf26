"""Builds of modules in syntax that came with 3.14 and 3.15."""
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
