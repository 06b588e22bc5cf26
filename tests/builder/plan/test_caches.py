"""What a package has computed from values and functions that change."""
import ast
import textwrap

import pytest

from klpfs.builder.plan.caches import caches_of, computed_by, concerned
from klpfs.builder.read.modules import Module
from klpfs.builder.read.source_text import Source
from tests.builder.kit import running, there_and_back


def test_caches_of_what_changed_are_emptied(upgrade):
    upgrade.write("""
        import functools, re
        RULE = 'a+'
        @functools.lru_cache(None)
        def compiled(): return RULE
        class Scanner:
            PATTERN = 'x'
            def __init__(self): self._cache = {}
            def get(self, key):
                found = self._cache.get(key)
                if found:
                    return found
                found = self.make(key)
                self._cache[key] = found
                return found
            def make(self, key): return self.PATTERN + key
            @classmethod
            def table(cls):
                if '_table' not in cls.__dict__:
                    cls._table = [cls.PATTERN]
                return cls._table
        """, """
        import functools, re
        RULE = 'b+'
        @functools.lru_cache(None)
        def compiled(): return RULE
        class Scanner:
            PATTERN = 'y'
            def __init__(self): self._cache = {}
            def get(self, key):
                found = self._cache.get(key)
                if found:
                    return found
                found = self.make(key)
                self._cache[key] = found
                return found
            def make(self, key): return self.PATTERN + key
            @classmethod
            def table(cls):
                if '_table' not in cls.__dict__:
                    cls._table = [cls.PATTERN]
                return cls._table
        """)
    module = upgrade.module()
    held = module.Scanner()

    def seen():
        return module.compiled(), held.get("1"), module.Scanner.table()
    assert seen() == ("a+", "x1", ["x"])
    patch = upgrade.insmod()
    assert seen() == ("b+", "y1", ["y"])
    upgrade.disable(patch)
    assert seen() == ("a+", "x1", ["x"])


@pytest.mark.parametrize("text, call", [
    ("@functools.lru_cache(None)\ndef f(x): return {}\n", "f(1)"),
    ("@functools.cache\ndef f(x): return {}\n", "f(1)"),
    ("class C:\n    @functools.lru_cache(None)\n    def f(self): return {}\nD = C()\n", "D.f()"),
    ("class C:\n    @staticmethod\n    @functools.lru_cache(None)\n    def f(): return {}\n", "C.f()"),
], ids=["function", "cache", "method", "static method"])
def test_the_cache_of_a_function_whose_own_body_changed_is_emptied(upgrade, text, call):
    """On the way in and out: what the other version has answered is not answered any more."""
    module, update = running(upgrade, "import functools\n" + text.format("'old'"),
                             "import functools\n" + text.format("'new'"))
    def ask():
        return eval(call, vars(module))
    assert ask() == "old"
    patch = update()
    assert ask() == "new"
    upgrade.disable(patch)
    assert ask() == "old"


def test_what_changed_functions_have_computed_at_import(upgrade):
    result = there_and_back(upgrade, """
        def helper(): return 'old'
        def make(): return [helper()]
        TABLE = make()
        TEXT = helper() + '!'
        class Thing:
            def __init__(self, x): self.x = x
        def thing(): return Thing(helper())
        LIVE = thing()
        SAME = str(3)
        """, """
        def helper(): return 'new'
        def make(): return [helper()]
        TABLE = make()
        TEXT = helper() + '!'
        class Thing:
            def __init__(self, x): self.x = x
        def thing(): return Thing(helper())
        LIVE = thing()
        SAME = str(3)
        """, "TABLE", "TEXT", "helper()")
    assert "then=then_of_" in result.text and "SAME" not in result.text
    module = upgrade.module()
    live = module.LIVE
    patch = upgrade.insmod(result.text)
    assert module.LIVE is live
    upgrade.disable(patch)


def module(text):
    text = textwrap.dedent(text)
    return Module("m", "new: m.py", Source(text), ast.parse(text), False)


def texts(text):
    return [each.text for each in caches_of(module(text))]


@pytest.mark.parametrize("body, text", [
    ("if not hasattr(self, '_x'): self._x = 1", "m:C._x"),
    ("if '_x' not in self.__dict__: self._x = 1", "m:C._x"),
    ("if '_x' in vars(self): return self._x\n        self._x = 1", "m:C._x"),
    ("if self._x is None: self._x = 1", "m:C._x=None"),
    ("try: return self._x\n        except AttributeError: self._x = 1", "m:C._x"),
    ("try: return self._x\n        except KeyError: self._x = 1", None),
    ("if self._x == 0: self._x = 1", None),
    ("if other._x is None: other._x = 1", None),
])
def test_attributes_that_are_made_when_they_are_missing(body, text):
    assert texts(f"class C:\n    def f(self, other):\n        {body}\n") == ([text] if text else [])


@pytest.mark.parametrize("body, text", [
    ("if key in T: return T[key]\n    T[key] = make(key)\n    return T[key]", "m:T{}"),
    ("found = T.get(key)\n    if found: return found\n    found = T[key] = make(key)\n    return found", "m:T{}"),
    ("found = T.get(key)\n    if found: return found\n    found = make(key)\n    T[key] = found\n    return found",
     "m:T{}"),
    ("T.get(key)\n    T[key] = make(key)", None),                   # its result is not what it stores
    ("T.get(key)\n    T[key] = key\n    return key", None),         # what it was given
    ("T = {}\n    T.get(key)\n    T[key] = make(key)\n    return T[key]", None),
    ("global T\n    T = {}\n    T.get(key)\n    T[key] = make(key)\n    return T[key]", "m:T{}"),
])
def test_tables_that_a_function_looks_into_and_puts_its_results_into(body, text):
    assert texts(f"def f(key):\n    {body}\n") == ([text] if text else [])


def test_lru_caches_of_functions_and_methods():
    assert texts("@functools.lru_cache(maxsize=1)\ndef f(): pass\n"
                 "class C:\n    class D:\n        @cache\n        def g(self): pass\n") == [
        "m:f()", "m:C.D.g()"]


@pytest.mark.parametrize("text, found", [
    ("class C:\n    @cached_property\n    def f(self): return 1\n", ["m:C.f@"]),
    ("class C:\n    @functools.cached_property\n    def f(self): return 1\n", ["m:C.f@"]),
    ("@cached_property\ndef f(self): return 1\n", []),
    ("def make():\n    @lru_cache\n    def f(x): return 1\n    return f\n", ["m:make.<locals>.f()"]),
    ("class C:\n    def make(self):\n        def a():\n            @cache\n            def f(x): return 1\n",
     ["m:C.make.<locals>.a.<locals>.f()"]),
    ("def g(x): return 1\nf = functools.lru_cache(None)(g)\nh = cache(m.g)\ni = lru_cache(5)\nj = other(g)\n",
     ["m:f()", "m:h()"]),
])
def test_what_functions_have_answered(text, found):
    assert texts(text) == found


def test_a_cached_property_s_values_are_made_anew(upgrade):
    text = """
        import functools
        class C:
            @functools.cached_property
            def f(self): return 1
        c = C()
        def made(k):
            @functools.lru_cache(None)
            def g(x): return k, x
            return g
        held = made(0)
        def logged(f):
            @functools.wraps(f)
            def w(*a): return f(*a)
            return w
        @logged
        @functools.lru_cache(None)
        def under(x): return x
        def plain(x): return x
        f = functools.lru_cache(None)(plain)
        """
    new = text.replace("return 1", "return 2").replace("return k, x", "return x, k")
    new = new.replace("return x\n", "return -x\n")
    there_and_back(upgrade, text, new, "c.f", "held(5)", "under(3)", "f(4)")


def test_a_constructor_s_cache_says_how_it_is_made():
    [found] = caches_of(module("""
        class C:
            def __call__(cls):
                if not hasattr(cls, '_table'):
                    cls._table = RULE
                return cls._table
        """))
    assert (found.text, found.holder, ast.unparse(found.making)) == ("m:C._table", "cls", "cls._table = RULE")


CACHES = """
    @lru_cache
    def f(): return helper()
    def helper(): return RULE
    @lru_cache
    def g(self): return getattr(self, self.name)
    def h(key):
        if key in T: return T[key]
        T[key] = helper()
        return T[key]
    """


@pytest.mark.parametrize("data, functions, attributes, found", [
    ({"RULE"}, set(), False, ["m:f()", "m:T{}"]),
    ({"OTHER"}, set(), False, []),
    ({"x"}, set(), True, ["m:g()"]),                # by whatever name
    (set(), {"helper"}, False, ["m:f()"]),          # lru_cache alone: calling again does no harm
])
def test_caches_of_what_changes(data, functions, attributes, found):
    assert [each.text for each in concerned(caches_of(module(CACHES)), data, functions, attributes)] == found


def test_a_value_computed_by_functions_that_change():
    tree = module("def a(): return b()\ndef b(): return 1\nclass C:\n    def c(self): return b()\n").tree
    computed = [computed_by(tree, ast.parse(text), {"b"}) for text in ("x = a()", "x = b()", "x = c()", "x = a")]
    assert computed == [True, True, False, False]


def test_what_a_subclass_hook_has_answered_is_forgotten(upgrade):
    """A class remembers it, and so do those above it; also where what the hook calls has changed."""
    text = ("import abc\ndef is_one(c): return hasattr(c, '{}')\nclass Base(abc.ABC): pass\n"
            "class A(Base):\n    @classmethod\n    def __subclasshook__(cls, c): return is_one(c)\n")
    upgrade.write(text.format("real"), text.format("upper"))
    module = upgrade.module()

    def seen():
        return isinstance(1, module.A), isinstance("", module.Base)
    assert seen() == (True, False)
    patch = upgrade.insmod()
    assert seen() == (False, True)
    upgrade.disable(patch)
    assert seen() == (True, False)
