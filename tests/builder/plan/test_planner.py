"""How every change of a module is carried."""
import pytest

from klpfs.engine.error import KlpError
from tests.builder.kit import there_and_back


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
        """, "f(1)", "f(11)", "LIMIT", "SubError.code", "helper.__module__", "helper.cache_info().maxsize",
        "issubclass(SubError, Error)")


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
        """, "[each.shout() for each in Color]", "Color(2).name", "Color['AZURE'].name", "Level(9) + 1",
        "Level.HIGH > Level.LOW", "repr(Kind('b'))",
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


def test_what_metaclasses_and_calls_register(upgrade):
    files = {"base.py": "KNOWN = []\nTABLE = {}\nclass Meta(type):\n    def __init__(cls, *args):\n"
                        "        super().__init__(*args)\n        KNOWN.append(cls.__name__)\n"
                        "class Setting(metaclass=Meta): pass\ndef register(name, value): TABLE[name] = value\n",
             "use.py": "from . import base\nfrom .base import Setting, KNOWN, TABLE\nclass One(Setting): pass\n"
                       "base.register('one', 1)\n"}
    new = dict(files, **{"use.py": files["use.py"] + "class Two(Setting): pass\nbase.register('two', 2)\n"})
    there_and_back(upgrade, files, new, "list(KNOWN)", "dict(TABLE)", module="use")


def test_a_new_dependency_that_is_missing_is_refused(upgrade):
    upgrade.write("def f(): return 1\n", "import no_such_dependency\ndef f(): return no_such_dependency.x\n")
    module = upgrade.module()
    text = upgrade.build().text
    with pytest.raises(KlpError, match="pre-patch callback failed"):
        upgrade.insmod(text)
    assert module.f() == 1 and not hasattr(module, "no_such_dependency")
    assert any("no_such_dependency" in str(getattr(each, "text", each)) for each in upgrade.log.records)
