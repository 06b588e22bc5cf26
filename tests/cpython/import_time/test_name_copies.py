"""Copies of a value by name: found where it is certain that this value is meant, and only there."""
import functools
import sys

from klpfs.cpython.import_time.name_copies import copies_of
from klpfs.cpython.import_time.overlays import Attribute, Item


def places(value, name, owner):
    return {(type(place), place.key, place.holder.get("__name__") if type(place) is Item else place.holder.__name__)
            for place in copies_of(value, name, owner)}


def test_functions_and_classes_are_found_under_any_name(module):
    """A definition makes one object: all that holds this object means the definition."""
    a = module("def f(): pass\nclass C: pass")
    b = module("")
    b.other, b.K = a.f, a.C

    class Holder:
        method = a.f
    assert places(a.f, "f", a.__name__) == {
        (Item, "f", a.__name__), (Item, "other", b.__name__), (Attribute, "method", "Holder")}
    assert places(a.C, "C", a.__name__) == {(Item, "C", a.__name__), (Item, "K", b.__name__)}


def test_what_a_cache_wraps_is_unique_as_well(module):
    a, b = module(""), module("")
    a.f = functools.lru_cache(lambda x: x)
    b.g = a.f
    assert places(a.f, "f", a.__name__) == {(Item, "f", a.__name__), (Item, "g", b.__name__)}


def test_values_that_many_share_by_chance_are_nobodys(module):
    a, b = module(""), module("")
    for value in (None, True, 7, 1.5, "text", b"x", ..., NotImplemented, sys):
        a.value = b.value = value
        assert copies_of(value, "value", a.__name__) == []


def imported(tmp_path, monkeypatch, **files):
    """Modules of these names and texts, with source files."""
    import importlib
    monkeypatch.syspath_prepend(str(tmp_path))
    for name, text in files.items():
        (tmp_path / f"{name}.py").write_text(text)
        monkeypatch.delitem(sys.modules, name, raising=False)
    importlib.invalidate_caches()
    return [importlib.import_module(name) for name in files]


def test_other_values_are_found_in_modules_that_import_them_by_name(tmp_path, monkeypatch):
    """Their source says so, and their name is the same; a module that happens to hold the same object does not
    count."""
    a, b, c, d = imported(tmp_path, monkeypatch, nc_a="TABLE = (1, [])", nc_b="from nc_a import TABLE",
                          nc_c="from nc_a import *", nc_d="import nc_a\nTABLE = nc_a.TABLE")
    assert a.TABLE is b.TABLE is c.TABLE is d.TABLE
    assert places(a.TABLE, "TABLE", "nc_a") == {(Item, "TABLE", "nc_b"), (Item, "TABLE", "nc_c")}
    assert copies_of(a.TABLE, "C.TABLE", "nc_a") == [], "an attribute of a class has no importers"
    for name in ("nc_a", "nc_b", "nc_c", "nc_d"):
        monkeypatch.delitem(sys.modules, name)


def test_modules_without_source_are_taken_to_import_it(module):
    """And a module whose source can't be read is not."""
    a, b, c = module(""), module(""), module("")
    a.T = b.T = c.T = [1]
    c.__file__ = "/nowhere/at/all.py"
    assert places(a.T, "T", a.__name__) == {(Item, "T", b.__name__)}


def test_klpfss_own_modules_are_left_alone(module):
    a, own = module("def f(): pass"), module("", "klpfs.stand_in_for_a_test")
    own.f = a.f
    assert places(a.f, "f", a.__name__) == {(Item, "f", a.__name__)}


def test_metaclasses_are_not_asked_for_what_their_classes_are(module):
    class Meta(type):
        def __getattribute__(cls, name):
            raise AssertionError("it is not asked")

    class Holder(metaclass=Meta):
        pass
    a = module("def f(): pass")
    type.__setattr__(Holder, "method", a.f)
    assert [place.key for place in copies_of(a.f, "f", a.__name__) if type(place) is Attribute] == ["method"]


def test_what_only_pretends_to_be_a_module_is_not_asked(module, monkeypatch):
    class Pretender:
        @property
        def __class__(self):
            raise AssertionError("its __class__ is not asked")
    a = module("def f(): pass")
    monkeypatch.setitem(sys.modules, "pretender", Pretender())
    assert places(a.f, "f", a.__name__) == {(Item, "f", a.__name__)}
