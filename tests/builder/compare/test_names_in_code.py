"""The names that code binds and reads while it runs."""
import ast

import pytest

from klpfs.builder.compare.names_in_code import ANY, names_bound, names_changed_in_place, names_read
from tests.builder.kit import there_and_back


def test_values_made_of_the_namespace(upgrade):
    there_and_back(upgrade, """
        DIGIT = '[0-9]'
        PORT = '%(DIGIT)s+' % locals()
        HOST = 'h:%(PORT)s' % vars()
        OTHER = '%(x)s' % {'x': 1}
        class A:
            a = 'x'
            b = '%(a)s!' % locals()
        """, """
        DIGIT = '[0-9A-F]'
        PORT = '%(DIGIT)s+' % locals()
        HOST = 'h:%(PORT)s' % vars()
        OTHER = '%(x)s' % {'x': 1}
        class A:
            a = 'y'
            b = '%(a)s!' % locals()
        """, "PORT", "HOST", "A.b", "OTHER")


def statement(text):
    return ast.parse(text).body[0]


@pytest.mark.parametrize("text, bound, read", [
    ("a = b", {"a"}, {"b"}),
    ("a.x = b[c]", set(), {"a", "b", "c"}),
    ("a += 1", {"a"}, {"a"}),
    ("a: T = b", {"a"}, {"b"}),
    ("a: T", set(), set()),
    ("import a.b, c as d", {"a", "d"}, set()),
    ("from a import b as c", {"c"}, set()),
    ("for a in b: c = a", {"a", "c"}, {"b", "a"}),
    ("with a as b: pass", {"b"}, {"a"}),
    ("try: a\nexcept B as c: pass", {"c"}, {"a", "B"}),
    ("x = [a for a in b if a > c]", {"x"}, {"b", "c"}),
    ("x = {a: b for a, b in c}", {"x"}, {"c"}),
    ("x = [y := a]", {"x", "y"}, {"a"}),
    ("def f(a=b, *, c=d): return e", {"f"}, {"b", "d"}),
    ("x = lambda a=b: c", {"x"}, {"b"}),
    ("@d\nclass A(B, m=C):\n    e = f\n    g = e\n    def h(self): return i", {"A"}, {"d", "B", "C", "f"}),
])
def test_names_that_a_statement_binds_and_reads(text, bound, read):
    assert (names_bound(statement(text)), names_read(statement(text))) == (bound, read)


@pytest.mark.parametrize("text, read", [
    ("x = '%(a)s {b}' % locals()", {"locals", "a", "b"}),
    ("x = vars()[n]", {"vars", "n", ANY}),
    ("x = vars(a)", {"vars", "a"}),     # another object's
])
def test_names_that_stand_in_texts(text, read):
    assert names_read(statement(text)) == read


def test_attributes_of_plain_names():
    """Of classes and defaults, too; what is bound on the way is no name of the scope."""
    assert names_read(statement("x = a.b + c.d.e + f().g")) == {"a", "a.b", "c", "c.d", "f"}
    assert names_read(statement("x = lambda: a.b")) == set()
    text = "class C:\n    x = a.b\n    def f(self, *, n=c.d): return e.f"
    assert names_read(statement(text)) == {"a", "a.b", "c", "c.d"}
    assert names_read(statement("x = [a.b for a in c]")) == {"c"}


def test_values_made_of_attributes_of_other_modules(upgrade):
    user = "from {p} import c\nclass P:\n    size = c.LIMIT\n    def read(self, *, n=c.LIMIT): return n\np = P()\n"
    there_and_back(upgrade, {"c.py": "LIMIT = 5\n", "m.py": user}, {"c.py": "LIMIT = 50\n", "m.py": user},
                   "p.read()", "P.size", module="m")


@pytest.mark.parametrize("text, names", [
    ("a.append(1)", {"a"}), ("a.b.c.append(1)", {"a"}), ("a[1] = 2", {"a"}), ("a.x = 1", {"a"}), ("a += 1", {"a"}),
    ("del a[1]", {"a"}), ("if x:\n    a.append(1)", {"a"}), ("a = 1", set()), ("f(a)", set()),
    ("def f(): a.append(1)", set()),
    ("f().x = 1", set()),
])
def test_objects_that_a_statement_changes(text, names):
    assert names_changed_in_place(statement(text)) == names
