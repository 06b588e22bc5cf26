"""The rewrite of global names in new code: the file's own are live, local names hide them, every way to bind one."""
import ast
import sys

import pytest

from tests.cpython.names_kit import patch, refused


def test_own_state_is_one_and_live(program):
    """New functions, helpers, callbacks and parameters see one value, `global` included; the module's dict stays
    clean."""
    module = program.module("def f(): pass\ndef g(): pass")
    before = set(module.__dict__)
    found = patch(program, module, """
COUNT = 0
def helper():
    global COUNT
    COUNT += 10
def f():
    global COUNT
    COUNT += 1
    helper()
    return COUNT
def g():
    return COUNT
def pre(obj):
    return COUNT
""", "f", "g")
    assert (module.f(), module.g(), found.namespace["COUNT"]) == (11, 11, 11)
    found.namespace["COUNT"] = 5
    assert (module.g(), module.f(), found.namespace["pre"](None)) == (5, 16, 16)
    assert set(module.__dict__) == before


def test_module_globals_are_live(program):
    module = program.module("LIMIT = 1\ndef f(): pass")
    patch(program, module, "def f(): return LIMIT", "f")
    assert module.f() == 1
    module.LIMIT = 2
    assert module.f() == 2


def test_global_of_the_module_stores_in_the_module(program):
    module = program.module("N = 1\ndef f(): pass")
    patch(program, module, "def f():\n global N\n N += 1\n return N", "f")
    assert module.f() == 2 and module.N == 2


def test_every_binding_and_use_of_a_global(program):
    module = program.module("def f(): pass")
    found = patch(program, module, """
A = B = C = D = E = None
L = []
def f():
    global A, B, C, D, E
    A, (B, *C) = 1, (2, 3, 4)
    for D in range(3): pass
    with open("/dev/null") as E: pass
    E = None
    if (A := 7): L.append(A)
    A += 1
    del C
    C = [A for _ in range(2)]
    return A, B, C, D, E, L, [B + x for x in C], {A: B}, (lambda: A + B)()
""", "f")
    assert module.f() == (8, 2, [8, 8], 2, None, [7], [10, 10], {8: 2}, 10)
    assert found.namespace["A"] == 8


def test_local_names_hide_own_ones(program):
    module = program.module("def f(x): pass\nclass K: pass")
    patch(program, module, """
x = y = z = w = v = e = m = 'file'
def f(x):
    y = 1
    def inner(z):
        nonlocal y
        y += 1
        return x, y, z, w
    import os as v
    try: raise ValueError
    except ValueError as e: kind = type(e)
    class Local:
        m = 2
        def get(self): return m
    return inner(3), v.__name__, kind, [w for w in (5,)], Local.m, Local().get(), {m: m for m in (6,)}
""", "f")
    assert module.f(0) == ((0, 2, 3, "file"), "os", ValueError, [5], 2, "file", {6: 6})


# -- names in the blocks of classes


def test_a_name_that_a_class_block_reads_before_it_binds_it(program):
    """It is what it is in functions: the file's, then the module's; nobody's is a NameError, as ever."""
    module = program.module("limit = theirs = 'PROGRAM'\ndef f(c): pass\ndef g(): pass\ndef h(): pass")
    patch(program, module, """
limit = only = 'FILE'
items = [1]
def f(c):
    limit_ = 'function'
    class X:
        limit = limit
        theirs = theirs
        seen = [limit]
        if c: only = 1
        chosen, also = only, (lambda: only)()
        items += [2]
        limit += '!'
        del limit
        again = limit
    return X.theirs, X.seen, X.chosen, X.also, X.items, X.again
def g():
    limit = 'function'
    class X:
        limit = limit
        def m(self, limit=limit): return limit
    return X.limit, X().m(), limit
def h():
    class X:
        nowhere = nowhere
""", "f", "g", "h")
    assert module.f(0) == ("PROGRAM", ["FILE"], "FILE", "FILE", [1, 2], "FILE")
    assert module.f(1) == ("PROGRAM", ["FILE"], 1, "FILE", [1, 2, 2], "FILE")
    assert module.g() == ("FILE", "FILE", "function")
    with pytest.raises(NameError, match="^name 'nowhere' is not defined$"):
        module.h()


def test_comprehensions_in_a_class_block_do_not_see_its_names(program):
    """But their outermost iterable is the block's."""
    module = program.module("k = 'PROGRAM'\ndef f(): pass\ndef g(): pass")
    patch(program, module, """
k = rows = 'FILE'
def g():
    class X:
        k = 5
        z = [k for _ in (1,)]
    return X.z
def f():
    class X:
        k, rows = 5, [1, 2]
        z = [(k, row) for row in rows]
        w = list(k for _ in rows)
        y = {j: k for j in [k] for _ in rows}
    return X.z, X.w, X.y
""", "f", "g")
    assert module.g() == ["FILE"]
    assert module.f() == ([("FILE", 1), ("FILE", 2)], ["FILE"] * 2, {5: "FILE"})


def test_names_of_a_class_block_that_its_comprehensions_have_too(program):
    """On 3.12 locals() loses them where code.replace() has made the code."""
    module = program.module("k = 'PROGRAM'\ndef f(): pass")
    patch(program, module, """
k = b = 'FILE'
def f():
    class X:
        k = 'own'
        if 0: b = [k for k in (b,)]
        seen = b, k
        again = b, k
    return X.seen, X.again, X.k
""", "f")
    assert module.f() == (("FILE", "own"), ("FILE", "own"), "own")


def test_what_a_class_namespace_has_by_itself_comes_first(program):
    """Names that Python, a metaclass or a call puts there; one that is declared global is not looked up in it."""
    module = program.module("def f(): pass")
    found = patch(program, module, """
preset = put = stated = 'FILE'
x: int = 1
class Space(dict):
    def __missing__(self, name):
        if name == 'made': return 'MISSING'
        raise KeyError(name)
class Meta(type):
    def __prepare__(name, bases): return Space(preset='META', stated='META')
made = 0
def f():
    class X(metaclass=Meta):
        global stated
        a, b, c = preset, made, stated
        locals()['put'] = 1
        d, e = put, __qualname__
        __k = 2
        f = __k
        stated += '!'
        y: int
        if hasattr(type(x), 'q'): __annotations__
    return X.a, X.b, X.c, X.d, X.e, X.f
""", "f")
    assert module.f() == ("META", "MISSING", "FILE", 1, "f.<locals>.X", 2) and found.namespace["stated"] == "FILE!"


def test_every_operator_of_an_augmented_assignment_in_a_class_block(program):
    operators = {"+=": 9, "-=": 5, "*=": 14, "/=": 3.5, "//=": 3, "%=": 1, "**=": 49, "<<=": 28, ">>=": 1, "|=": 7,
                 "^=": 5, "&=": 2}
    module = program.module("def f(): pass\ndef g(): pass")
    patch(program, module, "n = 7\nclass M:\n def __imatmul__(self, other): return other\nm = M()\n" + "def f():\n"
          + "".join(" class X%d:\n  n %s 2\n" % each for each in enumerate(operators)) + " return %s\n" % ", ".join(
              "X%d.n" % number for number in range(len(operators)))
          + "def g():\n class X:\n  m @= 3\n return X.m", "f", "g")
    assert module.f() == tuple(operators.values()) and module.g() == 3


def test_names_in_class_blocks_of_helpers(program):
    module = program.module("limit = 'PROGRAM'\ndef f(c): pass")
    patch(program, module, """
own = 'FILE'
def helper(c):
    class X:
        if c: limit = 5
        limit, own = limit, own
        z = [limit for _ in (1,)]
    return X.limit, X.own, X.z
def f(c): return helper(c)
""", "f")
    assert module.f(0) == ("PROGRAM", "FILE", ["PROGRAM"]) and module.f(1) == (5, "FILE", ["PROGRAM"])


def test_annotations_and_defaults_in_a_class_block(program):
    """Each is the block's name where that binds it, or the file's."""
    module = program.module("size = Kind = 'PROGRAM'\ndef f(c): pass")
    patch(program, module, """
import dataclasses
size, Kind = 7, float
def f(c):
    @dataclasses.dataclass
    class Q:
        if c: Kind = int
        size: Kind = size
        def m(self, x: Kind = size, y: size = 1): pass
    return Q().size, Q.__annotations__, Q.m.__annotations__, Q.m.__defaults__
""", "f")
    assert module.f(1) == (7, {"size": int}, {"x": int, "y": 7}, (7, 1))
    assert module.f(0) == (7, {"size": float}, {"x": float, "y": 7}, (7, 1))


@pytest.mark.skipif(sys.version_info < (3, 12), reason="type parameters are new in 3.12")
def test_type_parameters_in_a_class_block(program):
    """Their bounds, the aliases of types and the annotations see the names of the class; defaults lie outside."""
    module = program.module("k = T = 'PROGRAM'\ndef f(c): pass")
    patch(program, module, """
k, T = str, 'FILE'
def f(c):
    class X:
        if c: k = int
        def g[T: k](x: k, y: T = T): return k
        class Y[U: k](dict[k, U]): pass
        type A[U] = dict[k, U]
        type B = k
    return (X.g.__type_params__[0].__bound__, X.g.__annotations__["x"], X.g.__defaults__, X.g(1),
            X.Y.__orig_bases__[0].__args__[0], X.A.__value__.__args__[0], X.B.__value__)
""", "f")
    assert module.f(1) == (int, int, ("FILE",), str, int, int, int)
    assert module.f(0) == (str, str, ("FILE",), str, str, str, str)


@pytest.mark.skipif(sys.version_info < (3, 14), reason="annotations are deferred from 3.14 on")
def test_deferred_annotations_in_a_class_block(program):
    """In all formats, and in comprehensions in them, which do not see the class's names."""
    text = """
k = str
def f(c):
    class X:
        if c: k = int
        x: k
        y: [k for _ in (1,)]
    return X
"""
    plain = {}
    exec(text, plain)
    module = program.module("k = 'PROGRAM'\ndef f(c): pass")
    patch(program, module, text, "f")
    from annotationlib import Format, get_annotations
    for c, kind in ((0, str), (1, int)):
        for form in (Format.VALUE, Format.FORWARDREF):
            assert (get_annotations(module.f(c), format=form) == get_annotations(plain["f"](c), format=form)
                    == {"x": kind, "y": [str]})
        assert "'str'" in get_annotations(module.f(c), format=Format.STRING)["x"]   # the file's, as in functions


# -- helpers


@pytest.mark.skipif(sys.version_info < (3, 10), reason="match is new in 3.10")
def test_match_statements(program):
    module = program.module("def f(x): pass")
    patch(program, module, """
POINT = 1
class Own:
    A = 'a'
def f(x):
    match x:
        case Own.A: return POINT
        case {'k': v, **rest}: return v, rest
        case [POINT_, *others]: return POINT_, others
        case other: return other
""", "f")
    assert [module.f(each) for each in ("a", {"k": 1, "l": 2}, [1, 2], 5)] == [1, (1, {"l": 2}), (1, [2]), 5]


@pytest.mark.skipif(sys.version_info < (3, 10), reason="match is new in 3.10")
def test_patterns_of_classes(program):
    """Of the file's and of the module's, by themselves and in others; `locals()` in a case shows the function's own
    variables alone."""
    module = program.module("class Theirs:\n x = 1\ndef f(x): pass\nclass C:\n def m(self, x): yield")
    found = patch(program, module, """
class Pt:
    __match_args__ = ('x',)
    def __init__(self, x): self.x = x
class Own:
    class Pt(Pt): pass
def helper(x):
    match x:
        case Theirs(x=1): return 'theirs'
        case Own.Pt(): return 'inner'
def f(x):
    while True:
        match x:
            case Own.Pt(x=[Pt(y), *rest]) if y and [y for y in rest]: return 'inner', locals()
            case Pt(3) | Theirs() | {'k': Pt()}: return 'three', locals()
            case Pt(Pt(y)):
                match y:
                    case Pt(4): x = 5; continue
                    case int(): break
                return 'none', locals()
            case 5: return 'five', locals()
        return helper(x), locals()
    return 'broken', locals()
class C:
    def m(self, x):
        match x:
            case Pt(self.__class__): return 1
            case Pt(x) | x: yield x, locals()
        yield 2, locals()
""", "f", "C.m")
    Pt, Own = found.namespace["Pt"], found.namespace["Own"]
    inner, three, four, c = Own.Pt([Pt(1), 2]), Pt(3), Pt(4), module.C()
    assert module.f(inner) == ("inner", {"x": inner, "y": 1, "rest": [2]})
    assert module.f(three) == ("three", {"x": three}) and module.f({"k": three})[0] == "three"
    assert module.f(module.Theirs())[0] == "three" and module.f(Pt(Pt(four))) == ("five", {"x": 5, "y": four})
    assert module.f(Pt(Pt(7)))[0] == "broken" and module.f(Pt(Pt(None)))[0] == "none"
    assert module.f(7) == (None, {"x": 7}) and module.f(Own.Pt(0))[0] == "inner"
    assert list(c.m(three)) == [(3, {"self": c, "x": 3}), (2, {"self": c, "x": 3})]


@pytest.mark.skipif(sys.version_info < (3, 10), reason="match is new in 3.10")
def test_patterns_of_classes_in_a_class_block_are_refused(program):
    module = program.module("def f(): pass")
    error, line = refused(program, module, """
class Pt: pass
def f():
    class X:
        match 1:
            case int() | Pt(): pass
""", "f")
    assert error == "EINVAL" and line.endswith(":7: 'Pt' in a pattern, in the block of a class")


@pytest.mark.parametrize("late", [
    "type A = list(fb for _ in (1,))", "type A = [fb for _ in (1,)]", "type A = (lambda: fb)()", "type A = fb",
    "def A[T: [fb for _ in (1,)]](self): pass", "a: [fb for _ in (1,)]", "a: [x for x in fb]"])
@pytest.mark.parametrize("block", ["pass", "fb = 'class'", "global fb"])
@pytest.mark.skipif(sys.version_info < (3, 12), reason="type parameters are new in 3.12")
def test_comprehensions_in_what_a_class_block_has_evaluated_later(program, late, block):
    """They do not see the block's names. (3.12 refuses most of them.)"""
    text = f"""
fb = 'file'
def f():
    fb = 'local'
    class C:
        {block}
        {late}
    found = getattr(C, 'A', None)
    return (getattr(found, '__value__', 0), [each.__bound__ for each in getattr(found, '__type_params__', ())],
            C.__annotations__)"""
    plain = {}
    try:
        exec(text, plain)
    except SyntaxError:
        pytest.skip("no comprehension or lambda there on 3.12")
    module = program.module("fb = 'module'\ndef f(): pass")
    patch(program, module, text, "f")
    assert module.f() == plain["f"]()


@pytest.mark.parametrize("expression", [
    "[(lambda: (a := 7))() for k in (1,)]", "[(lambda b=(a := 7): b)() for k in (1,)]", "[a := 7 for k in (1,)]",
    "[[(a := 7) for j in (1,)] for k in (1,)]", "[(lambda: [(a := 7) for j in (1,)])() for k in (1,)]"])
def test_assignment_expressions_in_comprehensions_and_lambdas(program, expression):
    text = f"a = 'file'\ndef helper():\n x = {expression}\n return x, a\ndef f():\n x = {expression}\n return x, a, helper()"
    plain = {}
    exec(text, plain)
    module = program.module("a = 'module'\ndef f(): pass")
    found = patch(program, module, text, "f")
    assert module.f() == plain["f"]() and found.namespace["a"] == plain["a"] and module.a == "module"


@pytest.mark.parametrize("name, text", [
    ("f", "def f():\n def g(x):\n  class C:\n   nonlocal x\n   x += 1\n  return x\n return g(5)"),
    ("f", "def h():\n def g(x):\n  class C:\n   nonlocal x\n   x += 1\n  return x\n return g(5)\ndef f(): return h()"),
    ("f", "class D:\n def m(self):\n  nonlocal __class__\n  old = __class__.__name__\n  __class__ = int\n"
          "  return old, __class__\ndef f(): return D().m()"),
    ("f", "class D:\n def m(self):\n  class E:\n   nonlocal __class__\n   __class__ = 42\n  return __class__\n"
          "def f(): return D().m()")])
def test_nonlocal_names_of_what_is_around_a_class_block(program, name, text):
    plain = {"__name__": "plain"}
    exec(text, plain)
    module = program.module("def f(): pass")
    patch(program, module, text, name)
    assert module.f() == plain["f"]()


@pytest.mark.skipif(sys.version_info < (3, 12), reason="type parameters are new in 3.12")
def test_type_parameters(program):
    module = program.module("def f[T](x: T) -> T:\n  return x\nclass C: pass")
    patch(program, module, "own = 1\ndef f[T: C](x: T) -> T:\n  return x, own", "f")
    assert module.f(1) == (1, 1) and module.f.__type_params__[0].__name__ == "T"


def test_private_names_of_the_file_in_class_blocks(program):
    """A name of the file that a method can only mean mangled."""
    module = program.module("class C:\n  def m(self): pass")
    patch(program, module, "_C__own = 7\nclass C:\n  def m(self): return __own", "C.m")
    assert module.C().m() == 7


def test_private_variables_of_comprehensions_are_no_names_of_the_file(program):
    module = program.module("class C:\n def m(self): pass\ndef f(): pass")
    found = patch(program, module, """
_C__p = 'file'
class C:
    def m(self): return [__p for __p in (1, 2)], {__p: __p for __p in (3,)}, list(__p for __p in (4,)), __p
def f():
    class C:
        out = [__p for __p in (1, 2)], __p
    return C.out""", "C.m", "f")
    assert module.C().m() == ([1, 2], {3: 3}, [4], "file")
    assert module.f() == ([1, 2], "file") and found.namespace["_C__p"] == "file"


# -- scopes, against the compiler's own analysis


# -- syntax that came later


@pytest.mark.skipif(sys.version_info < (3, 12), reason="type parameters are new in 3.12")
def test_bounds_of_type_parameters(program):
    """They are evaluated when somebody asks, in functions of their own."""
    module = program.module("class Own: pass\nclass Theirs: pass\ndef f(): return 1")
    patch(program, module, """
class Own: pass
def f():
    def g[T: (Own, Theirs), U: Own](x): return x
    class C[V: Own](Own): pass
    type A[W: Own] = dict[W, Own]
    return g, C, A
""", "f")
    g, C, A = module.f()
    Own = C.__mro__[1]
    assert Own is not module.Own and g.__type_params__[0].__constraints__ == (Own, module.Theirs)
    assert g.__type_params__[1].__bound__ is C.__type_params__[0].__bound__ is A.__type_params__[0].__bound__ is Own
    assert A.__value__ == dict[A.__type_params__[0], Own]


@pytest.mark.skipif(sys.version_info < (3, 13), reason="defaults of type parameters are new in 3.13")
def test_defaults_of_type_parameters(program):
    module = program.module("def f(): return 1")
    patch(program, module, "class Own: pass\ndef f():\n def g[T = Own, *Ts = Own, **P = Own](x): return x\n return g, Own",
          "f")
    g, own = module.f()
    assert [each.__default__ for each in g.__type_params__] == [own] * 3


@pytest.mark.skipif(sys.version_info < (3, 14), reason="t-strings are new in 3.14")
def test_template_strings(program):
    """Their names lead where names do; what they show of their text is the file's."""
    module = program.module("LIMIT = 2\ndef f(x): pass")
    patch(program, module, """
WIDTH = 4
def helper(x): return t"{LIMIT!r}{x}"
def f(x):
    return t"a{WIDTH + x:>{WIDTH}}b{LIMIT = }{[y for y in (WIDTH,)]}{t'{WIDTH}'}", helper(x)
""", "f")
    one, two = module.f(1)
    assert one.strings == ("a", "bLIMIT = ", "", "", "") and one.values[:3] == (5, 2, [4])
    assert [(each.expression, each.conversion, each.format_spec) for each in one.interpolations] == [
        ("WIDTH + x", None, ">4"), ("LIMIT ", "r", ""), ("[y for y in (WIDTH,)]", None, ""), ("t'{WIDTH}'", None, "")]
    assert one.values[3].values == (4,) and two.values == (2, 1) and two.interpolations[0].expression == "LIMIT"


@pytest.mark.skipif(sys.version_info < (3, 14), reason="`except` without brackets is new in 3.14")
def test_except_without_brackets(program):
    module = program.module("def f(x): pass\nclass Theirs(Exception): pass")
    patch(program, module, """
class Own(Exception): pass
def f(x):
    try: raise Own if x else Theirs
    except Own, Theirs: return type(x)
""", "f")
    assert module.f(1) is module.f(0) is int


@pytest.mark.skipif(sys.version_info < (3, 15), reason="unpacking in comprehensions is new in 3.15")
def test_unpacking_in_comprehensions(program):
    module = program.module("LISTS = [[1], [2, 3]]\nTABLES = [{1: 2}, {3: 4}]\ndef f(): pass")
    patch(program, module, """
ROWS, TABLE = [(5,), (6,)], {"own": 1}
SEEN = None
def helper(): return {**TABLE for TABLE in TABLES}, {**TABLE for _ in LISTS}
def f():
    global SEEN
    return ([*row for row in LISTS], {*row for row in ROWS}, {**TABLE for table in TABLES},
            list((*ROWS for x in LISTS if x)), [*(SEEN := [x]) for x in (1, 2)], SEEN, helper())
""", "f")
    assert module.f() == ([1, 2, 3], {5, 6}, {"own": 1}, [(5,), (6,)] * 2, [1, 2], [2], ({1: 2, 3: 4}, {"own": 1}))


@pytest.mark.skipif(sys.version_info < (3, 15), reason="frozendict is new in 3.15")
def test_frozendict(program):
    module = program.module("T = frozendict(a=1)\ndef f(): pass")
    patch(program, module, "OWN = frozendict(b=2)\ndef f(x=frozendict(c=3)): return T | OWN | x", "f")
    assert module.f() == frozendict(a=1, b=2, c=3)       # noqa: F821


def test_constants_are_exchanged_wherever_the_compiler_puts_them(program):
    """It makes one constant of a tuple of constants."""
    module = program.module("class C:\n def m(self): return 0\n def n(self): return 0")
    patch(program, module, """
class C:
    def m(self): return (__class__, 1), [__class__, 2, 3], {__class__: 1}, 5 if __class__ in (__class__, 1) else 6
    def n(self, x=1):
        return (super, 1), x in (__class__, 2), [__class__, __class__, __class__, __class__]
""", "C.m", "C.n")
    C = module.C
    assert C().m() == ((C, 1), [C, 2, 3], {C: 1}, 5) and C().n() == ((super, 1), False, [C] * 4)


def test_what_libraries_hang_on_the_nodes_of_trees_does_not_matter(program):
    """executing (sentry-sdk, IPython), asttokens and linters give each node its parent, also Load(), which all trees
    share."""
    loads = {id(node): node for node in ast.walk(ast.parse("x = y.z\n")) if isinstance(node, ast.expr_context)}
    for node in loads.values():
        node.parent = ast.parse("a = b")
        node.parent.body[0].parent = node
    try:
        module = program.module("def outer(n):\n def inner(): return n, b()\n return inner\ndef b(): return 'b0'\n")
        old = module.outer(7)
        patch(program, module, "def inner(): return 'new', n, b()", "outer.<locals>.inner=inner")
        assert old() == module.outer(7)() == ("new", 7, "b0")
    finally:
        for node in loads.values():
            del node.parent
