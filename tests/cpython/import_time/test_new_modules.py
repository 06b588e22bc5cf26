"""Modules that only the new version has: importable while the patch is in force, and gone with it."""
import importlib
import sys

import pytest

from klpfs.cpython.import_time import new_modules
from klpfs.cpython.import_time.new_modules import Finder, New, public_names


def top(klp):
    global VALUE, __all__, helper
    VALUE = 1

    def helper():
        return VALUE, __name__
    __all__ = ["VALUE"]


def importing(klp):
    klp.star("live_package.new")


@pytest.fixture
def package(module):
    made = module("", "live_package")
    made.__path__ = ["/somewhere/live_package"]
    yield made
    for name in [name for name in sys.modules if name.startswith("live_package.")]:
        del sys.modules[name]
    assert Finder not in sys.meta_path and new_modules._table == {}


def test_it_runs_when_it_is_imported_and_goes_with_the_patch(package):
    new = New("live_package.new", top)
    new.offer()
    assert "live_package.new" not in sys.modules and not hasattr(package, "new"), (
        "nothing runs until somebody imports it"
    )
    made = importlib.import_module("live_package.new")
    assert made is package.new and made.helper() == (1, "live_package.new")
    assert made.__file__ == made.__spec__.origin == "/somewhere/live_package/new.py" and made.__loader__ is new
    new.withdraw()
    assert "live_package.new" not in sys.modules and not hasattr(package, "new")
    with pytest.raises(ImportError):
        importlib.import_module("live_package.new")
    assert made.helper() == (1, "live_package.new"), "what was taken from it stays"


def test_a_package_may_have_modules_in_it(package):
    outer, inner = New("live_package.sub", lambda klp: None, package=True), New("live_package.sub.leaf", top)
    outer.offer()
    inner.offer()
    leaf = importlib.import_module("live_package.sub.leaf")
    assert leaf.VALUE == 1 and package.sub.__path__ == ["/somewhere/live_package/sub"]
    inner.withdraw()
    outer.withdraw()
    assert not hasattr(package, "sub")


def test_star_imports_take_what_is_public(package):
    new, user = New("live_package.new", top), New("live_package.user", importing)
    new.offer()
    user.offer()
    made = importlib.import_module("live_package.user")
    assert made.VALUE == 1 and not hasattr(made, "helper"), "__all__ says so"
    user.withdraw()
    new.withdraw()


def test_public_names_without_all(module):
    live = module("a = 1\n_b = 2")
    assert public_names(live.__name__, {}) == {"a": 1}


def test_a_later_patch_hides_an_earlier_ones_module_and_gives_it_back(package):
    first, second = New("live_package.new", top), New("live_package.new", lambda klp: None)
    first.offer()
    old = importlib.import_module("live_package.new")
    second.offer()
    assert importlib.import_module("live_package.new") is not old
    second.withdraw()
    assert importlib.import_module("live_package.new") is old is package.new
    first.withdraw()


def test_an_earlier_patch_that_goes_first_leaves_nothing_of_its_own(package):
    first, second = New("live_package.new", top), New("live_package.new", top)
    first.offer()
    importlib.import_module("live_package.new")
    second.offer()
    newest = importlib.import_module("live_package.new")
    first.withdraw()
    assert importlib.import_module("live_package.new") is newest
    second.withdraw()
    assert "live_package.new" not in sys.modules


def test_a_module_that_fails_at_import_is_not_there(package):
    def failing(klp):
        raise ValueError("at import")
    new = New("live_package.new", failing)
    new.offer()
    with pytest.raises(ValueError):
        importlib.import_module("live_package.new")
    assert "live_package.new" not in sys.modules
    new.withdraw()


def two(module, livepatch):
    """Two livepatched modules of one patch; the second brings a module."""
    first, second = livepatch(module("", "live_package.a")), livepatch(module("", "live_package.b"))
    second.callbacks.modules = (New("live_package.new", top),)
    for each in (first, second):
        each.obj.loaded = True
        each.obj.patch.objects = [first.obj, second.obj]
    return first, second


def test_it_is_there_for_all_objects_of_its_patch(package, module, livepatch):
    first, second = two(module, livepatch)
    first.enable()
    assert importlib.import_module("live_package.new").VALUE == 1
    second.enable()
    assert new_modules._table["live_package.new"] == list(second.callbacks.modules)
    second.disable()
    assert new_modules._table == {}
    first.disable()


def test_it_goes_with_the_object_that_has_offered_it_where_its_own_never_came(package, module, livepatch):
    first, second = two(module, livepatch)
    first.enable()
    first.disable()
    assert new_modules._table == {} and second.callbacks.offered is None
    first.callbacks.before = lambda obj: 1 / 0
    with pytest.raises(ZeroDivisionError):
        first.enable()
    assert new_modules._table == {}
    first.callbacks.before = None
    for order in ((first, second), (second, first)):
        first.enable()
        second.enable()
        for each in order:
            each.disable()
        assert new_modules._table == {}
