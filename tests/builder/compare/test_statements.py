"""The statements of a body: conditions around them looked through, every one with its names."""
import ast
import textwrap

import pytest

from klpfs.builder.compare.statements import parse_scope
from tests.builder.kit import there_and_back


def test_definitions_under_conditions(upgrade):
    there_and_back(upgrade, """
        import sys
        if sys.version_info >= (3, 0):
            def f(): return 'three'
            class A:
                def m(self): return 3
        else:
            def f(): return 'two'
            class A:
                def m(self): return 2
        try:
            import no_such_module
        except ImportError:
            def g(): return 'without'
        else:
            def g(): return 'with'
            def h(): return 'h'
        """, """
        import sys
        if sys.version_info >= (3, 0):
            def f(): return 'new three'
            class A:
                def m(self): return 30
        else:
            def f(): return 'new two'
            class A:
                def m(self): return 20
        try:
            import no_such_module
        except ImportError:
            def g(): return 'new without'
            def added(): return 'added'
        else:
            def g(): return 'new with'
            def h(): return 'new h'
        """, "f()", "g()", "A().m()", "added()")


def scope(text, fields=False):
    return parse_scope(ast.parse(textwrap.dedent(text)).body, fields)


def test_definitions_are_found_by_name_accessor_and_number():
    found = scope("""
        class C: pass
        def f(): pass
        def f(): pass
        @property
        def p(self): pass
        @p.setter
        def p(self, value): pass
        @overload
        def g(a): ...
        def g(a): pass
        """)
    assert list(found.functions) == ["f", "f#2", "p", "p.setter", "g"] and list(found.classes) == ["C"]
    assert found.functions["p.setter"].line == 7


@pytest.mark.parametrize("text", [
    "'Doc.'", "pass", "x: int", "1", "from __future__ import annotations", "if TYPE_CHECKING:\n    import a",
    "if __name__ == '__main__':\n    main()", "global x",
])
def test_what_leaves_nothing_behind_is_no_statement(text):
    assert scope(text).statements == []


def test_a_bare_annotation_counts_where_it_makes_a_field():
    assert len(scope("x: int", fields=True).statements) == 1


def test_conditions_are_looked_through_where_definitions_stand_in_them():
    found = scope("""
        try:
            import a
            def f(): pass
        except ImportError:
            b = 1
        else:
            c = 1
        if x:
            d = 1
        """)
    assert [sorted(each.binds) for each in found.statements] == [["a"], ["f"], ["b"], ["c"], ["d"]]
    assert [each.kind for each in found.statements] == ["import", "function", "statement", "statement", "statement"]
    assert len({each.key for each in found.statements}) == 5
    assert found.statements[4].node.lineno == 9     # `if x:` itself: it holds no definition


def test_what_a_statement_used_when_it_ran():
    decorated, made = scope("@d(A)\ndef f(b=B): return C\nx = vars()[name]").statements
    assert decorated.used_any({"A"}) and decorated.used_any({"B"}) and not decorated.used_any({"C"})
    assert made.used_any({"whatever"}) and not made.used_any(set())
    assert decorated.changes_in_place() == set() and made.assigns


@pytest.mark.parametrize("new, same", [
    ("warnings.warn(f'b {x}', Warning)", True), ("logger.warning('b')", True), ("warned = 'b'", False),
    ("stop('b')", False)])
def test_what_a_handler_tells_people_is_no_difference(new, same):
    old = new.replace("f'b {x}'", "'a {}'.format(x)").replace("'b'", "'a'")
    text = "try:\n    check()\nexcept ValueError:\n    {}\n"
    keys = [[each.key for each in parse_scope(ast.parse(text.format(body)).body).statements] for body in (old, new)]
    assert (keys[0] == keys[1]) is same
