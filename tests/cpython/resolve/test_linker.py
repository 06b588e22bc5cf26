"""A livepatch linked to an object: where names of new functions and helpers lead, and what is refused.

docs/DESIGN.md#4.
"""
import gc
import sys

import pytest

from klpfs.cpython.resolve.linker import View
from tests.cpython.names_kit import patch, refused


def test_own_names_first_then_the_modules_then_builtins(program):
    module = program.module("X = Y = 'module'\ndef g(): return 'module g'\ndef f(): pass")
    patch(program, module, "X = 'file'\ndef f(): return X, Y, g(), len('abc')\n", "f")
    assert module.f() == ("file", "module", "module g", 3)


def test_an_unresolved_symbol_is_refused_and_named(program):
    module = program.module("def f(): return 1")
    errno, line = refused(program, module, "\n\ndef f():\n  return nowhere(1)", "f")
    assert errno == "ENOENT" and "Unknown symbol 'nowhere' in function 'f'" in line and ".py:5 " in line
    assert module.f() == 1


def test_an_unresolved_symbol_of_a_helper_is_refused_and_named(program):
    module = program.module("def f(): return 1")
    errno, line = refused(program, module, "def helper():\n  return nowhere\ndef f():\n  return helper()", "f")
    assert errno == "ENOENT" and "Unknown symbol 'nowhere' in helper 'helper'" in line


_BEFORE_314 = sys.version_info < (3, 14)
_LATER = [(text, _BEFORE_314) for text in (       # what new code makes, and whether a name that is nowhere refuses it
    "def g(x: Later): pass", "def g() -> list[Later]: pass", "async def g(*, x: (lambda: Later)()): pass",
    "def g(x: [Later for _ in 'ab']): pass", "class G:\n    x: Later", "class G:\n    def m(self, x: Later): pass")]
_LATER += [(text, True) for text in (
    "def g(x=Later): pass", "g = lambda x=Later: 0", "class G(Later): pass", "class G:\n    x = Later",
    "@Later\n  def g(): pass", "def g(): return Later", "def g(x: int = Later): pass")]
if sys.version_info >= (3, 12):
    _LATER += [(text, False) for text in (
        "def g[T: Later](): pass", "def g[T: (int, Later)](): pass", "class G[T: list[Later]]: pass", "type G = Later",
        "type G[T: Later] = T", "class G:\n    def m[T: Later](self): pass", "class G:\n    type A = dict[int, Later]")]
    _LATER += [("def g[T](x=Later): pass", True), ("class G[T](Later): pass", True), ("def g[T](): return Later", True),
               ("def g[T](x: Later): pass", _BEFORE_314)]
if sys.version_info >= (3, 13):
    _LATER += [("def g[T = Later](): pass", False), ("class G[*Ts = Later]: pass", False)]


@pytest.mark.parametrize("helper", range(2))
@pytest.mark.parametrize("text, refuses", _LATER)
def test_a_name_that_only_who_asks_will_miss_refuses_nothing(program, text, refuses, helper):
    """What is evaluated when somebody asks (annotations from 3.14 on, what belongs to type parameters, aliases)."""
    module = program.module("def f(): return 1")
    new = f"def {'h' if helper else 'f'}():\n  {text}\n  return 2\n" + "def f(): return h()" * helper
    if refuses:
        errno, line = refused(program, module, new, "f")
        assert errno == "ENOENT" and f"Unknown symbol 'Later' in {'helper' if helper else 'function'}" in line
    else:
        patch(program, module, new, "f")
        assert module.f() == 2


@pytest.mark.parametrize("name", ["Here", "Later"])
@pytest.mark.parametrize("helper", range(2))
@pytest.mark.skipif(sys.version_info < (3, 12), reason="nothing but new code itself is evaluated later")
def test_what_is_evaluated_later_is_in_the_objects_names(program, helper, name):
    """A NameError as long as there is no such name; in helpers it stays that, for a name that was nowhere."""
    module = program.module("class Here: pass\ndef f(): return 1")
    text = f"  def g[T: list[{name}]](): pass\n  type A = dict[str, {name}]\n  return g.__type_params__[0], A\n"
    patch(program, module, f"def h():\n{text}\ndef f(): return h()" if helper else f"def f():\n{text}", "f")
    parameter, alias = module.f()
    if name == "Later":
        for ask in (lambda: parameter.__bound__), (lambda: alias.__value__):
            with pytest.raises(NameError, match="'Later' is not defined"):
                ask()
        if helper:
            return
        module.Later = module.Here
    assert parameter.__bound__ == list[module.Here] and alias.__value__ == dict[str, module.Here]


@pytest.mark.parametrize("known", [
    "def set_it():\n  global LATE\n  LATE = 1\ndef f(): pass", "def f(): return LATE",
    "SOMETIMES = False\nif SOMETIMES:\n  LATE = 1\ndef f(): pass", "LATE = 1\ndef f(): pass",
    "class C:\n  def m(self):\n    global LATE\n    import os as LATE\ndef f(): pass"])
def test_names_that_the_module_stores_anywhere_or_the_original_uses_are_known(program, known):
    module = program.module(known)
    patch(program, module, "def f():\n  try: return LATE\n  except NameError: return 'later'", "f")
    assert module.f() in (1, "later")
    module.LATE = 2
    assert module.f() == 2


def test_a_global_that_only_the_files_functions_store_is_the_files(program):
    module = program.module("def f(): pass\ndef g(): pass")
    found = patch(program, module, "def f():\n  global made\n  made = 1\ndef g(): return made", "f", "g")
    module.f()
    assert module.g() == 1 and found.namespace["made"] == 1 and "made" not in module.__dict__


def test_a_name_of_the_files_that_is_unbound_is_a_name_error(program):
    """One that only functions bind, and one that they unbind; what a builtin is called is the builtin then."""
    module = program.module("view = 1\ndef f(): pass\ndef g(): pass\ndef h(): pass\nclass C:\n def m(self): pass")
    found = patch(program, module, """
def f():
    global cache
    try:
        return cache
    except NameError as error:
        cache = 5
        return str(error), getattr(error, 'name', 'cache')
k = len = 7
__p = 8
def g():
    global k, len
    class X:
        try: x = k
        except NameError: x = 'unbound'
    try:
        return k, len, X.x, [(k := each) for each in (1,)]
    finally:
        del k, len
def h(): return k, len
class C:
    def m(self):
        global __q
        try: del __q
        except NameError as error: __q = str(error)
        return __q
""", "f", "g", "h", "C.m")
    assert module.f() == ("name 'cache' is not defined", "cache") and module.f() == found.namespace["cache"] == 5
    assert module.g() == (7, 7, 7, [1]) and not {"k", "len"} & found.namespace.keys()
    for fn in (module.g, module.h):
        with pytest.raises(NameError, match="^name 'k' is not defined$"):
            fn()
    found.namespace["k"] = 9
    assert module.h() == (9, len)
    assert module.C().m() == "name '_C__q' is not defined" == found.namespace.pop("_C__q") == module.C().m()


def test_a_name_of_the_module_s_that_is_unbound_is_a_name_error_in_helpers_too(program):
    module = program.module("k = 1\nview = 2\ndef set():\n global late\n late = 3\ndef f(): pass\ndef g(): pass")
    patch(program, module, """
def helper(): return late
def delete():
    global k, view
    del view
    del k
def f(): return helper()
def g(): return delete()
""", "f", "g")
    with pytest.raises(NameError, match="^name 'late' is not defined$"):
        module.f()
    module.set()
    assert module.f() == 3
    module.g()
    assert not {"k", "view"} & vars(module).keys()
    module.view = 2
    with pytest.raises(NameError, match="^name 'k' is not defined$"):
        module.g()


def test_a_name_that_the_module_deletes_later_is_the_builtin_or_a_name_error_in_helpers(program):
    module = program.module("""
cache, len = 1, lambda x: 'own'
def drop():
    global cache, len
    del cache, len
def f(): pass""")
    patch(program, module, """
def helper():
    try: return cache, len('abc')
    except NameError as error: return str(error), len('abc')
def f(): return helper()""", "f")
    assert module.f() == (1, "own")
    module.drop()
    assert module.f() == ("name 'cache' is not defined", 3)
    views = [each for each in gc.get_objects() if issubclass(type(each), View) and vars(each) is vars(module)]
    assert views and not [each for each in views if hasattr(each, "shape") or hasattr(each, "__len__")], "tools ask so"


def test_a_helpers_other_names_are_the_objects(program):
    module = program.module("LIMIT = 3\ndef low(): return 'low'\nlen = lambda x: 'own len'\ndef f(): pass")
    patch(program, module, """
import functools
def deep(): return LIMIT, low(), len('')
@functools.lru_cache(None)
def cached(): return deep()
class Helper:
    def get(self): return [LIMIT for _ in range(2)], cached()
table = {'h': lambda: Helper().get()}
def f(): return table['h']()
""", "f")
    assert module.f() == ([3, 3], (3, "low", "own len"))
    module.LIMIT = 4
    assert module.f()[0] == [4, 4]


def test_a_helper_of_several_objects_resolves_in_each(program):
    one = program.module("TAG = 'one'\ndef f(): pass")
    two = program.module("TAG = 'two'\ndef f(): pass")
    found = program.patch("""
COUNT = []
def low(): return TAG
def helper():
    COUNT.append(1)
    return low() + shared()
def shared(): return '!'
def f1(): return helper()
def f2(): return helper()
patch = Patch([Object(%r, [Func("f", f1)]), Object(%r, [Func("f", f2)])])
""" % (one.__name__, two.__name__))
    assert (one.f(), two.f()) == ("one!", "two!")
    assert len(found.namespace["COUNT"]) == 2


def test_a_shared_helper_that_is_no_plain_function_is_refused(program):
    one = program.module("TAG = 'one'\ndef f(): pass")
    two = program.module("TAG = 'two'\ndef f(): pass")
    errno, line = program.refused("""
class Helper:
    def get(self): return TAG
def f1(): return Helper().get()
def f2(): return Helper().get()
patch = Patch([Object(%r, [Func("f", f1)]), Object(%r, [Func("f", f2)])])
""" % (one.__name__, two.__name__))
    assert errno == "EINVAL" and "'Helper'" in line


def test_a_helper_that_nobody_uses_is_not_checked(program):
    module = program.module("def f(): pass")
    patch(program, module, "def unused(): return nowhere\ndef f(): return 1", "f")
    assert module.f() == 1


def test_an_attribute_of_the_originals_is_no_global(program):
    module = program.module("def f(x): return x.nowhere")
    assert refused(program, module, "def f(x): return nowhere", "f")[0] == "ENOENT"


# -- lazy imports (3.15)

lazily = pytest.mark.skipif(sys.version_info < (3, 15), reason="lazy imports are new in 3.15")
LAZY = "lazy import sched\nlazy from colorsys import rgb_to_hsv\nLIMIT = 1\ndef f(): return 1\ndef g(): return 1\n"


@pytest.fixture
def unused(monkeypatch):
    """Modules that nobody has imported."""
    names = ("sched", "colorsys", "stringprep")
    for name in names:
        monkeypatch.delitem(sys.modules, name, raising=False)
    yield names
    for name in names:
        sys.modules.pop(name, None)


@lazily
def test_a_helper_may_be_the_first_who_uses_what_the_module_imports_lazily(program, unused):
    module = program.module(LAZY)
    patch(program, module, "def h(): return sched.scheduler\ndef k(): return rgb_to_hsv(1, 1, 1)\n"
                           "def f(): return h()\ndef g(): return k()", "f", "g")
    assert not set(unused) & sys.modules.keys()
    assert module.g() == (0.0, 0.0, 1) and module.f().__name__ == "scheduler"
    assert vars(module)["sched"] is sys.modules["sched"]        # put into its place, as the module's own code does


@lazily
def test_a_helper_s_globals_of_the_module_are_read_set_and_deleted_there(program, unused):
    module = program.module(LAZY)
    found = patch(program, module, """
class Helper:
    def go(self):
        global LIMIT
        LIMIT += 1
        return LIMIT, [sched.scheduler for _ in (1,)]
def delete():
    global LIMIT
    del LIMIT
def f(): return Helper().go()
def g(): return delete()
""", "f", "g")
    assert module.f()[0] == module.LIMIT == 2 and "LIMIT" not in found.namespace
    module.g()
    assert not hasattr(module, "LIMIT")
    with pytest.raises(NameError):
        module.f()


@lazily
def test_a_helper_of_several_modules_that_import_lazily(program, unused):
    one, two = (program.module(f"lazy import {name} as it\ndef f(): pass") for name in ("sched", "colorsys"))
    program.patch("""
def helper(): return it.__name__
def f1(): return helper()
def f2(): return helper()
patch = Patch([Object(%r, [Func("f", f1)]), Object(%r, [Func("f", f2)])])
""" % (one.__name__, two.__name__))
    assert (one.f(), two.f()) == ("sched", "colorsys")


@lazily
def test_a_stand_in_that_comes_back(program, unused):
    """As when another patch goes that had put something else there."""
    module = program.module(LAZY)
    stand_in, vars(module)["sched"] = vars(module)["sched"], 5
    patch(program, module, "def h(): return sched\ndef f(): return h()", "f")
    assert module.f() == 5
    vars(module)["sched"] = stand_in
    assert module.f().__name__ == "sched"


@lazily
def test_a_module_that_is_loaded_again_has_new_stand_ins(program, unused):
    import importlib
    module = program.module(LAZY)
    patch(program, module, "def h(): return sched.__name__\ndef f(): return h()", "f")
    assert module.f() == "sched"
    importlib.reload(module)
    program.target.ripe[module.__name__] = module
    program.target.loaded(module.__name__)
    program.target.ripe.clear()
    assert type(vars(module)["sched"]).__name__ == "lazy_import" and module.f() == "sched"


@lazily
def test_what_reads_the_module_s_names_is_no_function_of_the_module(program, unused):
    module = program.module(LAZY)
    patch(program, module, "def h(): return LIMIT\ndef f(): return h()", "f")
    from klpfs.cpython.resolve.index import Index
    names = Index(program.target.registry, module.__name__, vars(module)).by_name
    assert set(names) == {"f", "g"}


@lazily
def test_a_livepatch_that_imports_lazily_itself(program, unused):
    module = program.module(LAZY)
    patch(program, module, "lazy import stringprep\nlazy from sched import scheduler\ndef h(): return scheduler.__name__\n"
                           "def f(): return stringprep.in_table_a1('a'), h()", "f")
    assert not set(unused) & sys.modules.keys() and module.f() == (False, "scheduler")


@lazily
def test_an_import_that_fails_does_so_in_the_helper(program):
    module = program.module("lazy import no_such_module\ndef f(): pass")
    patch(program, module, "def h(): return no_such_module.x\ndef f(): return h()", "f")
    for _ in range(2):
        with pytest.raises(ImportError):
            module.f()


@lazily
@pytest.mark.parametrize("statement", ["lazy import {} as dep", "lazy from {} import open as dep", "lazy from {} import open"])
def test_an_attribute_error_of_a_lazy_imports_body_is_raised_in_the_helper(program, statement):
    """Not taken for a name that is not there, whose builtin is read instead."""
    broken = program.write("import sys\nsys.no_such_thing\n")
    module = program.module(statement.format(broken) + "\ndef f(): pass")
    patch(program, module, f"def helper(): return {statement.split()[-1]}\ndef f(): return helper()", "f")
    for _ in range(2):
        with pytest.raises(AttributeError, match="no_such_thing"):
            module.f()
    for name in {"open"} - {statement.split()[-1]}:     # and nothing is left for the next name
        assert getattr(View({}), name) is open


@pytest.mark.parametrize("name", ["__class__", "__dict__", "__hash__", "__slots__", "__qualname__"])
def test_names_that_lead_to_the_view_itself_are_refused_in_helpers(program, name):
    module = program.module(f"{name} = 3\ndef f(): pass")
    errno, line = refused(program, module, f"def helper(): return {name}\ndef f(): return helper()", "f")
    assert errno == "EINVAL" and f"helper 'helper' uses the module's '{name}' at " in line
    patch(program, module, f"def f(): return {name}", "f")
    assert module.f() == 3
