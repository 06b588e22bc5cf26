"""The whole: OLD runs, the patch is built and loaded, it behaves as NEW; taken out, as OLD again."""
import sys

import pytest

from klpfs.builder.error import BuildError, NothingToDo
from klpfs.cpython.load import loader as loading


def there_and_back(upgrade, old, new, *expressions, module=""):
    """Each expression, evaluated in the module: as in NEW while the patch is in force, as in OLD before and after."""
    upgrade.write(old, new)
    program, after = upgrade.module(module), upgrade.new_module(module)

    def values(space):
        found = []
        for each in expressions:
            try:
                found.append(eval(each, vars(space)))
            except Exception as error:
                found.append((type(error).__name__, str(error)))
        return found
    before = values(program)
    result = upgrade.build()
    assert not result.refused, result.refused
    patch = upgrade.insmod(result.text)
    assert values(program) == values(after) != before, result.text
    upgrade.disable(patch)
    assert values(program) == before
    return result


def test_bodies_signatures_and_defaults(upgrade):
    result = there_and_back(upgrade, """
        LIMIT = 3
        MARK = object()
        def f(a, b=LIMIT): return a, b
        def g(a, mark=MARK): return a, mark is MARK
        def h(): return 'same'
        """, """
        LIMIT = 3
        MARK = object()
        def f(a, b=LIMIT, *, c=LIMIT + 1): return a, b, c
        def g(a, mark=MARK): return 'new', a, mark is MARK
        def h():
            '''Only a docstring, and an annotation.'''
            x: int
            return 'same'
        """, "f(1)", "f(1, 2)", "f(1, c=2)", "g(1)", "h()")
    assert "def h(" not in result.text


def test_methods_of_all_kinds(upgrade):
    there_and_back(upgrade, """
        class A:
            def m(self): return 1
            @staticmethod
            def s(): return 2
            @classmethod
            def c(cls): return cls.__name__, 3
            @property
            def p(self): return getattr(self, '_p', 4)
            @p.setter
            def p(self, value): self._p = value
            def __private(self): return 5
            def call(self): return self.__private()
        class B(A):
            def m(self): return super().m()
        def setter():
            a = A(); a.p = 7; return a.p
        """, """
        class A:
            def m(self): return 10
            @staticmethod
            def s(): return 20
            @classmethod
            def c(cls): return cls.__name__, 30
            @property
            def p(self): return getattr(self, '_p', 40)
            @p.setter
            def p(self, value): self._p = value * 2
            def __private(self): return 50
            def call(self): return self.__private(), self.__other()
            def __other(self): return 60
        class B(A):
            def m(self): return super().m() + 1
            def n(self): return super().m()
        def setter():
            a = A(); a.p = 7; return a.p
        """, "A().m()", "A.s()", "A.c()", "A().p", "setter()", "A().call()", "B().m()", "B().n()")


def test_added_functions_classes_imports_and_constants(upgrade):
    there_and_back(upgrade, """
        class Error(Exception): pass
        def f(x): return x
        """, """
        import functools
        from collections import OrderedDict as OD
        class Error(Exception): pass
        class SubError(Error):
            code = 7
            def __str__(self): return 'sub' + super().__str__()
        LIMIT: int = 5
        @functools.lru_cache(maxsize=LIMIT)
        def helper(x): return OD(x=x)['x'] + LIMIT
        def f(x):
            if x > 10:
                raise SubError(helper(x))
            return helper(x)
        """, "f(1)", "f(11)", "LIMIT", "SubError.code", "helper.__module__", "helper.cache_info().maxsize", "issubclass(SubError, Error)")


def test_constants_are_seen_by_who_imported_them_by_name(upgrade):
    files = {"a.py": "import re\nRULE = re.compile('{}')\nTABLE = {{'x': 1{}}}\nNUMBER = {}\nDERIVED = NUMBER * 2\n",
             "b.py": "from {p}.a import RULE, TABLE, NUMBER, DERIVED\nclass C:\n    rule = RULE\n    n = NUMBER\n"}
    old = dict(files, **{"a.py": files["a.py"].format("a+", ", 'gone': 2", 1000)})
    new = dict(files, **{"a.py": files["a.py"].format("a*", ", 'y': 2", 2000)})
    there_and_back(upgrade, old, new, "RULE.pattern", "sorted(TABLE)", "NUMBER", "DERIVED", "C.rule.pattern", "C.n", module="b")


def test_the_programs_own_entries_stay(upgrade):
    upgrade.write("TABLE = {'a': 1, 'b': 2}", "TABLE = {'a': 10, 'c': 3}")
    module = upgrade.module()
    module.TABLE["own"] = "kept"
    patch = upgrade.insmod()
    assert module.TABLE == {"a": 10, "c": 3, "own": "kept"}
    module.TABLE["later"] = "kept"
    upgrade.disable(patch)
    assert module.TABLE == {"a": 1, "b": 2, "own": "kept", "later": "kept"}


def test_removed_names_go_and_come_back(upgrade):
    there_and_back(upgrade, """
        class A:
            def m(self): return 'base'
        class B(A):
            def m(self): return 'own'
        def gone(): return 1
        """, """
        class A:
            def m(self): return 'base'
        class B(A):
            pass
        """, "B().m()", "gone()")


def test_statements_that_act_on_objects(upgrade):
    there_and_back(upgrade, """
        REGISTRY = {}
        def register(name, value): REGISTRY[name] = value
        register('a', 1)
        """, """
        REGISTRY = {}
        def register(name, value): REGISTRY[name] = value
        register('a', 1)
        register('b', 2)
        REGISTRY['c'] = 3
        """, "sorted(REGISTRY)")


def test_nothing_to_do(upgrade):
    upgrade.write("def f(): return 1  # x\n", "def f():\n    '''Doc.'''\n    return 1\n")
    with pytest.raises(NothingToDo):
        upgrade.build()


def test_broken_syntax_is_named(upgrade):
    upgrade.write("def f(): return 1\n", "def f(: return 1\n")
    with pytest.raises(BuildError, match=r"__init__\.py:1: "):
        upgrade.build()


def test_another_source_than_what_runs_is_refused(upgrade):
    upgrade.write("def f(): return 1\n", "def f(): return 2\n")
    module = upgrade.module()
    text = upgrade.build().text
    module.f.__code__ = (lambda: 5).__code__
    exec("def f(): return 7", vars(module))
    with pytest.raises(Exception, match="disagrees about version"):
        upgrade.insmod(text)
    assert module.f() == 7


def test_new_modules_come_and_go(upgrade):
    import sys
    old = {"a.py": "def f(): return 1\n"}
    new = {"a.py": "from .fresh import value\nfrom .sub.deep import *\ndef f(): return value(), DEEP, C.x\n",
           "fresh.py": "'''A new one.'''\nimport os as _os\nNAME = __name__\nX: int = 3\nif X > 2:\n    def value(): return NAME, X, __doc__\nelse:\n    value = None\n",
           "sub/__init__.py": "", "sub/deep.py": "from ..fresh import X\nDEEP = X + 1\nclass C:\n    x = DEEP\n"}
    there_and_back(upgrade, old, new, "f()", module="a")
    assert upgrade.name + ".fresh" not in sys.modules and upgrade.name + ".sub" not in sys.modules
    assert not hasattr(upgrade.module(), "fresh")
    with pytest.raises(ImportError):
        upgrade.module("fresh")


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


def test_a_variable_that_cannot_be_had_is_refused(upgrade):
    upgrade.write("""
        def make(n):
            def inner(): return n
            return inner
        """, """
        def make(n, m=1):
            def inner(): return n + m
            return inner
        """)
    result = upgrade.build()
    assert not result.text and "no variable 'm'" in result.refused[0].why and ":3" in result.refused[0].place


def test_members_of_enumerations(upgrade):
    there_and_back(upgrade, """
        import enum
        class Color(enum.Enum):
            RED = 1
            def shout(self): return self.name + '!'
        class Level(enum.IntEnum):
            LOW = 1
        class Kind(str, enum.Enum):
            A = 'a'
        class Bits(enum.IntFlag):
            X = 1
        """, """
        import enum
        class Color(enum.Enum):
            RED = 1
            BLUE = 2
            AZURE = 2
            def shout(self): return self.name + '!!'
        class Level(enum.IntEnum):
            LOW = 1
            HIGH = 9
        class Kind(str, enum.Enum):
            A = 'a'
            B = 'b'
        class Bits(enum.IntFlag):
            X = 1
            Y = 2
        """, "[each.shout() for each in Color]", "Color(2).name", "Color['AZURE'].name", "Level(9) + 1", "Level.HIGH > Level.LOW", "repr(Kind('b'))",
        "Kind.B + 'x'", "repr(Bits(3))", "Bits.X | Bits.Y", "list(Bits.__members__)", "isinstance(Color.BLUE, Color)")


def test_equality_makes_unhashable_and_back(upgrade):
    there_and_back(upgrade, """
        class A:
            pass
        class B:
            def __eq__(self, other): return True
        """, """
        class A:
            def __eq__(self, other): return True
        class B:
            pass
        """, "hash(A()) and 1", "A() == 3", "B() == 3", "type(hash(B()))")


def test_what_is_refused_gets_a_stub(upgrade):
    upgrade.write("import os\nos.environ.setdefault('KLP_NONE', '1')\ndef f(): return 1\n", "import os\ndef f(): return 2\n")
    result = upgrade.build()
    assert not result.text and ":2" in result.refused[0].place
    result = upgrade.build(allow=True)
    assert "def by_hand_" in result.text and "__init__.py:2" in result.text
    upgrade.module()
    patch = upgrade.insmod(result.text)
    assert upgrade.module().f() == 2
    upgrade.disable(patch)


def test_a_cumulative_patch_takes_the_place_of_an_earlier_one(upgrade):
    """What the first has changed at import time goes with it where the second does not change it; disabled, all is as at first."""
    old = "A = 1\nB = 'b'\nT = {'k': 1}\nclass C:\n    x = 1\ndef f(): return A, B, T, C.x, C.__dict__.get('y')\n"
    upgrade.write(old, old.replace("A = 1", "A = 2").replace("x = 1", "x = 2\n    y = 3").replace("'k': 1", "'k': 2, 'm': 3"))
    program = upgrade.module()
    first = upgrade.insmod()
    assert program.f() == (2, "b", {"k": 2, "m": 3}, 2, 3)
    upgrade.write(old, old.replace("B = 'b'", "B = 'c'").replace("x = 1", "x = 5"))
    second = upgrade.insmod()
    assert program.f() == (1, "c", {"k": 1}, 5, None) and not first.patch.enabled
    upgrade.disable(second)
    assert program.f() == (1, "b", {"k": 1}, 1, None)
    loading.unload(first)
    upgrade.loaded.remove(first)


def test_what_several_statements_make_is_made_anew(upgrade):
    there_and_back(upgrade, """
        NAMES = ['a']
        try:
            import json
            NAMES.append('json')
        except ImportError:
            pass
        WORDS = ('x',)
        WORDS += ('y',)
        GONE = [1]
        GONE.append(2)
        """, """
        NAMES = ['a']
        try:
            import json
        except ImportError:
            pass
        else:
            NAMES.append('json2')
        WORDS = ('x',)
        WORDS += ('z',)
        GONE = [1]
        """, "NAMES", "WORDS", "GONE")


def test_attributes_that_old_objects_lack(upgrade):
    """The first constant that a constructor sets; a parameter that has another name at its place."""
    upgrade.write("""
        class A:
            def __init__(self, size, name='n'):
                self.size = size
            def get(self): return self.size
        """, """
        class A:
            def __init__(self, length, name='n'):
                self.length = length
                self.must_close = False
                self.read()
            def read(self):
                for each in range(self.length):
                    self.must_close = True
            def get(self): return self.length, self.must_close
        """)
    module = upgrade.module()
    held = module.A(7)
    patch = upgrade.insmod()
    assert held.get() == (7, False) and module.A(2).get() == (2, True)
    upgrade.disable(patch)
    assert held.get() == 7 and module.A(3).get() == 3


def test_what_metaclasses_and_calls_register(upgrade):
    files = {"base.py": "KNOWN = []\nTABLE = {}\nclass Meta(type):\n    def __init__(cls, *args):\n        super().__init__(*args)\n        KNOWN.append(cls.__name__)\n"
                        "class Setting(metaclass=Meta): pass\ndef register(name, value): TABLE[name] = value\n",
             "use.py": "from . import base\nfrom .base import Setting, KNOWN, TABLE\nclass One(Setting): pass\nbase.register('one', 1)\n"}
    new = dict(files, **{"use.py": files["use.py"] + "class Two(Setting): pass\nbase.register('two', 2)\n"})
    there_and_back(upgrade, files, new, "list(KNOWN)", "dict(TABLE)", module="use")


def test_a_default_out_of_the_class_block(upgrade):
    there_and_back(upgrade, """
        class A:
            WORDS = ('a',)
            def f(self, words=WORDS): return words
        """, """
        class A:
            WORDS = ('a', 'b')
            def f(self, words=WORDS): return words
        """, "A().f()")


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


def test_a_patch_for_another_python_says_so(upgrade):
    upgrade.write("def f(): return 1\n", "def f(): return 2\n")
    module = upgrade.module()
    text = upgrade.build().text
    here = "%d.%d:" % sys.version_info[:2]
    assert here in text
    with pytest.raises(Exception, match="made for Python 3.7, this is"):
        upgrade.insmod(text.replace(here, "3.7:"))
    assert module.f() == 1
    patch = upgrade.insmod(text.replace(f"'{here}", f"'3.7:0000 {here}"))
    assert module.f() == 2
    upgrade.disable(patch)


def test_the_main_program(upgrade):
    upgrade.write("def f(): return 1\n", "def f(): return 2\n")
    assert "Object(None, funcs=[" in upgrade.build(main=upgrade.name).text


def test_one_line_of_many_statements(upgrade):
    there_and_back(upgrade, "a = 1; b = 2\ndef f(x=a): return x; pass\n", "a = 3; b = 2; c: int = 4\ndef f(x=a): return x + 1; pass\n", "a, b", "f()", "c")


def test_generators_coroutines_and_lambdas(upgrade):
    there_and_back(upgrade, """
        import asyncio
        def run(made): return asyncio.new_event_loop().run_until_complete(made)
        def g():
            yield 1
        async def c(): return 1
        async def a():
            yield 1
        async def all_of(): return [each async for each in a()]
        key = lambda x: x
        KEYS = {'k': lambda x: x}
        def became(): return [1]
        class A:
            def m(self): return self
            static = staticmethod(lambda: 1)
            def now(self): return 1
        """, """
        import asyncio
        def run(made): return asyncio.new_event_loop().run_until_complete(made)
        def g():
            yield 2
            yield 3
        async def c(): return 2
        async def a():
            yield 2
        async def all_of(): return [each async for each in a()] * 2
        key = lambda x: -x
        KEYS = {'k': lambda x: x * 2}
        def became():
            yield 1
        class A:
            @classmethod
            def m(cls): return cls
            static = staticmethod(lambda: 2)
            @property
            def now(self): return 2
        """, "list(g())", "run(c())", "run(all_of())", "key(3)", "KEYS['k'](3)", "type(became()).__name__", "A().m() is A", "A.static()",
        "A().now if not callable(A().now) else A().now()")


def test_several_modules_that_import_one_another(upgrade):
    old = {"a.py": "from .b import base\ndef f(): return base(1)\n", "b.py": "def base(x): return x\n"}
    new = {"a.py": "from .b import base, LIMIT, Error\ndef f():\n    try:\n        return base(LIMIT)\n    except Error as e:\n        return str(e)\n",
           "b.py": "LIMIT = 7\nclass Error(ValueError): pass\ndef base(x, more=LIMIT):\n    raise Error((x, more))\n"}
    there_and_back(upgrade, old, new, "f()", module="a")


def test_a_new_dependency_that_is_missing_is_refused(upgrade):
    upgrade.write("def f(): return 1\n", "import no_such_dependency\ndef f(): return no_such_dependency.x\n")
    module = upgrade.module()
    text = upgrade.build().text
    with pytest.raises(Exception):
        upgrade.insmod(text)
    assert module.f() == 1 and not hasattr(module, "no_such_dependency")
    assert any("no_such_dependency" in str(getattr(each, "text", each)) for each in upgrade.log.records)


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


def test_what_is_left_out_is_said(upgrade):
    upgrade.write({"__init__.py": "__version__ = '1'\nimport os\ndef f(): return 1\n", "gone.py": "x = 1\n", "tests/a.py": "x = 1\n", "data.txt": "1"},
                  {"__init__.py": "__version__ = '2'\ndef f(): return 2\n", "tests/a.py": "x = 2\n", "data.txt": "2"})
    said = " ".join(upgrade.build().notes)
    for words in ("data file", "gone is no more", "files in test folders", "__version__", "still holds the import 'os'"):
        assert words in said
