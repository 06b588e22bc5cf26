"""A snapshot of a package says what a patch left changed in it, wherever that is."""
import sys
import types

import pytest

from tests.corpus.snapshot import Snapshot

SOURCE = '''
import functools

LIMIT = 10
TABLE = {"a": [1, 2], "b": {"c": (3, [4])}}
NAMES = {"x"}


def made(value):
    def inner():
        return value
    return inner


closure = made([1])


@functools.lru_cache
def cached(x, y=1):
    """Text."""
    return x


class Base:
    pass


class C(Base):
    field = [1]

    def method(self):
        return 1

    @staticmethod
    def static():
        return 1

    @property
    def shown(self):
        return 1
'''


@pytest.fixture
def package():
    name = "klp_snapshot_example"
    module = types.ModuleType(name)
    sys.modules[name] = module
    exec(SOURCE, module.__dict__)
    yield module
    for each in [each for each in sys.modules if each.partition(".")[0] == name]:
        del sys.modules[each]


def test_nothing_is_changed_when_nobody_changed_anything(package):
    snapshot = Snapshot([package.__name__])
    package.cached(1)
    package.C().method()
    assert snapshot.changed() == [] and snapshot.came() == []


def code_of(function, like):
    function.__code__ = like.__code__.replace()


CHANGES = {
    "LIMIT": lambda m: setattr(m, "LIMIT", 11),
    "came": lambda m: setattr(m, "more", 11),
    "NAMES": lambda m: m.NAMES.add("y"),
    "TABLE": lambda m: m.TABLE["b"]["c"][1].append(5),
    "cached.__wrapped__.__code__": lambda m: code_of(m.cached.__wrapped__, m.cached.__wrapped__),
    "cached.__wrapped__.__defaults__": lambda m: setattr(m.cached.__wrapped__, "__defaults__", (2,)),
    "C.method.__code__": lambda m: code_of(m.C.method, m.C.method),
    "C.method.__doc__": lambda m: setattr(m.C.method, "__doc__", "text"),
    "C.static.__code__": lambda m: code_of(m.C.static, m.C.static),
    "C.shown.__code__": lambda m: code_of(m.C.shown.fget, m.C.shown.fget),
    "C.field": lambda m: m.C.field.append(2),
    "C.more": lambda m: setattr(m.C, "more", 1),
    "C.__bases__": lambda m: setattr(m.C, "__bases__", (type("Other", (m.Base,), {}),)),
    "closure.<value>": lambda m: m.closure.__closure__[0].cell_contents.append(2),
}


@pytest.mark.parametrize("where", CHANGES)
def test_each_kind_of_change_is_seen(package, where):
    snapshot = Snapshot([package.__name__])
    CHANGES[where](package)
    changed = snapshot.changed()
    assert changed and all(where.partition(".__wrapped__")[0] in each for each in changed)


def test_what_is_gone_is_seen(package):
    snapshot = Snapshot([package.__name__])
    del package.C.method
    assert any("C.method: gone" in each for each in snapshot.changed())


def test_a_table_that_was_made_anew_and_says_the_same_is_no_change(package):
    snapshot = Snapshot([package.__name__])
    package.TABLE = {"a": [1, 2], "b": {"c": (3, [4])}}
    assert snapshot.changed() == []
    package.TABLE = {"a": [1, 2], "b": {"c": (3, [5])}}
    assert snapshot.changed()


def test_modules_that_came_are_told_apart(package):
    snapshot = Snapshot([package.__name__])
    sys.modules[package.__name__ + ".later"] = types.ModuleType(package.__name__ + ".later")
    assert snapshot.changed() == [] and snapshot.came() == [package.__name__ + ".later"]
