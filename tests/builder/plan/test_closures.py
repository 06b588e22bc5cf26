"""Live closures, and what they need to run NEW's code."""
import ast
import errno
import textwrap

import pytest

from klpfs.builder.plan.closures import (
    inner_functions,
    may_outlive_its_call,
    only_inner,
    pairs,
    prelude,
    statements_before,
)
from klpfs.engine.error import KlpError


def test_live_closures_get_the_new_code(upgrade):
    upgrade.write("""
        def make(n):
            def inner(x, k=n): return ('old', x, n, k)
            return inner
        """, """
        def make(n):
            def inner(x, k=n): return ('new', x, n, k)
            return inner
        """)
    module = upgrade.module()
    made = module.make(3)
    result = upgrade.build()
    assert "def make" not in result.text
    patch = upgrade.insmod(result.text)
    later = module.make(4)
    assert made(1) == ("new", 1, 3, 3) and later(1) == ("new", 1, 4, 4)
    upgrade.disable(patch)
    assert made(1) == ("old", 1, 3, 3) and later(1) == ("old", 1, 4, 4)


def test_live_closures_that_lack_a_variable(upgrade):
    upgrade.write("""
        def make(names):
            if isinstance(names, str):
                def check(x): return x == names
            else:
                table = list(names)
                def check(x): return x in table
            return check
        """, """
        def make(names):
            if isinstance(names, str):
                all_names = [names]
            else:
                all_names = list(names)
            table = set(all_names)
            def check(x):
                '''Doc.'''
                return bool(x) and x.lower() in table
            return check
        """)
    module = upgrade.module()
    one, many = module.make("a"), module.make(["a", "b"])
    patch = upgrade.insmod()
    assert one("A") and many("B") and not one("") and not many("x") and module.make("c")("C")
    upgrade.disable(patch)
    assert not one("A") and not many("B") and one("a") and many("b")


LACKING = """
    def make(n):
        def inner(): return n
        return inner
    """, """
    def make(n, m=1):
        def inner(): return n + m
        return inner
    """


def test_a_variable_that_cannot_be_had_is_named_and_decided_at_load(upgrade):
    upgrade.write(*LACKING)
    result = upgrade.build()
    assert not result.refused and "closures=[('make.<locals>.inner', 3)]" in result.text
    assert any("have no variable 'm'" in note for note in result.notes)


def test_a_living_closure_that_cannot_get_the_code_refuses_the_load(upgrade):
    upgrade.write(*LACKING)
    module = upgrade.module()
    alive = module.make(1)
    with pytest.raises(KlpError) as error:
        upgrade.insmod()
    assert error.value.errno == errno.EBUSY and alive() == 1
    assert any("'make.<locals>.inner'" in record.text for record in upgrade.log.records)
    del alive
    patch = upgrade.insmod()
    assert module.make(1)() == 2
    upgrade.disable(patch)
    assert module.make(1)() == 1


def test_a_closure_of_a_call_that_is_under_way_keeps_the_transition_pending(upgrade):
    old, new = (text.replace("return inner", "yield inner") for text in LACKING)
    upgrade.write(old, new)
    module = upgrade.module()
    call = module.make(1)
    alive = next(call)
    patch = upgrade.insmod(settle=False)
    call.close()
    assert "function 'make.<locals>.inner'" in [each.name for each in upgrade.engine.look()][0] and alive() == 1
    del alive
    upgrade.look_until_clean()
    upgrade.settle()
    assert next(module.make(1))() == 2
    upgrade.disable(patch)


def test_a_function_that_becomes_a_generator_is_decided_at_load(upgrade):
    upgrade.write("def make():\n    def inner(): return 1\n    return inner\n",
                  "def make():\n    def inner(): yield 1\n    return inner\n")
    module = upgrade.module()
    patch = upgrade.insmod()
    assert list(module.make()()) == [1]
    upgrade.disable(patch)
    alive = module.make()
    with pytest.raises(KlpError):
        upgrade.insmod()
    assert alive() == 1


def function(text):
    return ast.parse(textwrap.dedent(text)).body[0]


def texts(statements):
    return statements if statements is None else [ast.unparse(each) for each in statements]


def test_inner_functions_have_qualified_names_in_source_order():
    node = function("""
        def f():
            def a():
                def b(): pass
            class C:
                def m(self): pass
            if x:
                def a(): pass
            try: pass
            except E:
                def c(): pass
        """)
    assert [each.name for each in inner_functions(node, "f")] == [
        "f.<locals>.a", "f.<locals>.a.<locals>.b", "f.<locals>.C.m", "f.<locals>.a", "f.<locals>.c"]


@pytest.mark.parametrize("old, new, found", [
    ("def g(): 1", "def g(): 2", [("1", "2")]),
    ("def g(): 1\n    def g(): 2", "def g(): 3\n    def g(): 4", [("1", "3"), ("2", "4")]),
    ("def g(): 1\n    def g(): 2", "def g(): 3", [("1", "3"), ("2", "3")]),
    ("def g(): 1\n    def g(): 2", "def g(): 1\n    def g(): 3\n    def g(): 4", [("2", "4")]),
    ("def g(): 1", "pass", []),
])
def test_inner_functions_are_paired(old, new, found):
    before, after = (function(f"def f():\n    {each}\n") for each in (old, new))
    assert [tuple(ast.unparse(each.node.body) for each in both) for both in pairs(before, after, "f")] == found


@pytest.mark.parametrize("text, outlives", [
    ("def g(): pass\n    return g", True), ("def g(): pass\n    g()", False), ("def g(): pass\n    use(g)", True),
    ("@d\n    def g(): pass", True), ("class C:\n        def g(self): pass", True), ("def g(): g()", False),
    ("def g(): pass\n    def h(): g()\n    h()", True), ("def g(): pass\n    x = lambda: g()", True),
])
def test_a_function_object_that_can_outlive_its_call(text, outlives):
    inner = next(each for each in inner_functions(function(f"def f():\n    {text}\n"), "f") if each.node.name == "g")
    assert may_outlive_its_call(inner) == outlives


@pytest.mark.parametrize("before, missing, held, chosen", [
    ("x = n + 1", {"x"}, {"n"}, ["x = n + 1"]),
    ("y = n\n    x = y * 2", {"x"}, {"n"}, ["y = n", "x = y * 2"]),
    ("x = n + m", {"x"}, {"n"}, None),                          # m is a parameter that nobody kept
    ("x = n + GLOBAL", {"x"}, {"n"}, ["x = n + GLOBAL"]),
    ("x = yield n", {"x"}, {"n"}, None),
    ("with n:\n        x = 1", {"x"}, {"n"}, ["with n:\n    x = 1"]),
    ("z = 1", {"x"}, {"n"}, None),
    ("n, x = two()", {"x"}, {"n"}, ["klp_n, x = two()"]),         # what it holds stays what it holds
    ("x = threading.Lock()", {"x"}, {"n"}, None),                # an identity, a state, chance: made once
    ("x = itertools.count()", {"x"}, {"n"}, None), ("x = os.urandom(n)", {"x"}, {"n"}, None),
    ("x = [n]", {"x"}, {"n"}, None), ("x = {}\n    x[n] = 1", {"x"}, {"n"}, None),
    ("y = [n]\n    x = len(y)", {"x"}, {"n"}, ["y = [n]", "x = len(y)"]),
])
def test_statements_that_compute_what_a_closure_lacks(before, missing, held, chosen):
    node = function(f"def f(n, m, x=None):\n    {before}\n    def g(): return x\n    return g\n")
    inner = inner_functions(node, "f")[-1]
    assert texts(prelude(inner, missing, held)) == (chosen and texts(ast.parse("\n".join(chosen)).body))


def test_what_has_run_before_a_statement():
    node = function("def f():\n    a\n    if b:\n        c\n        d\n    else:\n        e\n"
                    "    for g in h:\n        i\n")
    assert texts(statements_before(node.body, node.body[1].body[1])) == ["a", "c"]
    assert texts(statements_before(node.body, node.body[1].orelse[0])) == ["a"]
    assert statements_before(node.body, node.body[2].body[0]) is None        # it may have run before


@pytest.mark.parametrize("new, alone", [
    ("def f(n):\n    def g(): return 2\n    return g", True),
    ("def f(n):\n    def g(): return 2\n    return None", False),
    ("def f(n):\n    def g(): yield 1\n    return g", False), ("def f(n):\n    def h(): return 1\n    return h", False),
])
def test_functions_that_differ_in_inner_ones_alone(new, alone):
    assert only_inner(function("def f(n):\n    def g(): return 1\n    return g"), function(new), "f") == alone
