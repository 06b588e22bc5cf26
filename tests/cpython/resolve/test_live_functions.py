"""Finding live functions, and other searches of the whole heap: what they must not do to the program."""
import gc
import pathlib
import subprocess
import sys
import threading
import time
import types

import pytest

from klpfs.cpython.looks import suspended
from klpfs.cpython.resolve import live_functions


@pytest.fixture
def no_collection():
    """Without a collection in between: garbage in a cycle would stay."""
    gc.collect()
    gc.disable()
    yield
    gc.enable()


def generator():
    yield


MANY = [generator.__code__] + [compile("1", f"code {n}", "eval") for n in range(suspended.FEW)]
SEARCHES = {
    "functions": lambda: live_functions.functions_of([globals()]),
    "suspended, few codes": lambda: suspended.find(MANY[:1]),
    "suspended, many codes": lambda: suspended.find(MANY),
}


@pytest.mark.parametrize("search", SEARCHES.values(), ids=SEARCHES)
def test_a_search_keeps_nothing_of_the_program(no_collection, search):
    """Not in garbage either: a tee over all objects buffers itself."""
    young = tuple([[], []])
    before = len(gc.get_referrers(young))
    search()
    assert len(gc.get_referrers(young)) == before


@pytest.mark.parametrize("search", SEARCHES.values(), ids=SEARCHES)
def test_a_search_does_not_disturb_a_tuple_in_the_making(no_collection, search):
    """CPython gh-59313: tuple(...) of another thread fails when somebody holds what it has so far."""
    stop, failed = [], []

    def make():
        while not stop:
            try:
                tuple(time.sleep(0) for _ in range(3))
            except SystemError as e:
                failed.append(e)

    threads = [threading.Thread(target=make) for _ in range(3)]
    for thread in threads:
        thread.start()
    for _ in range(30):
        search()
    stop.append(1)
    for thread in threads:
        thread.join()
    assert not failed


def test_many_modules_are_searched_for_a_few_at_a_time(monkeypatch):
    modules = [types.ModuleType("m%d" % n) for n in range(2 * live_functions.FEW + 1)]
    for module in modules:
        exec("def f(): pass\nclass C:\n    @property\n    def g(self): return lambda: 0\nkept = C().g", module.__dict__)
    found = live_functions.functions_of([module.__dict__ for module in modules])
    assert len(found) == len(set(map(id, found))) == 3 * len(modules)
    assert {id(fn.__globals__) for fn in found} == {id(module.__dict__) for module in modules}


@pytest.mark.parametrize("when", ["before klpfs came", "later", "never"])
def test_functions_of_a_frozen_heap_are_found(when):
    """As prefork servers freeze it, before or after klpfs is imported."""
    text = """
import gc, types
module = types.ModuleType("m")
exec("def f(): pass\\ndef g(): pass", module.__dict__)
%s
from klpfs.cpython.resolve import live_functions as live
%s
live._reachable = lambda *roots, real=live._reachable: asked.append(1) or real(*roots)
asked = []
exec("def h(): pass", module.__dict__)
print(sorted(fn.__name__ for fn in live.functions_of([module.__dict__])), bool(asked))
""" % ("gc.freeze()" * (when == "before klpfs came"), "gc.freeze()" * (when == "later"))
    said = subprocess.run([sys.executable, "-c", text], capture_output=True, text=True,
                          cwd=pathlib.Path(live_functions.__file__).parents[3])
    assert said.stdout == "['f', 'g', 'h'] %s\n" % (when != "never"), said.stderr


def test_a_search_of_a_frozen_heap_goes_through_other_modules(no_collection, monkeypatch):
    module, other = types.ModuleType("m"), types.ModuleType("o")
    exec("def make():\n def h(): pass\n return h", module.__dict__)
    other.kept = [module.make()]
    monkeypatch.setitem(sys.modules, "o", other)
    doubts = set()
    assert len(live_functions.functions_of([module.__dict__], doubts)) == 2 and not doubts
    gc.freeze()
    try:
        found = live_functions.functions_of([module.__dict__], doubts)
    finally:
        gc.unfreeze()
    assert {id(fn) for fn in found} >= {id(other.kept[0])} and doubts == {"frozen heap"}


def test_a_search_while_a_collection_is_under_way_has_doubts(no_collection):
    """What is garbage then is in no list, and a finalizer may bring it back."""
    doubts, found, module = [], [], types.ModuleType("m")
    exec("def make():\n def h(): pass\n return h", module.__dict__)

    class Garbage:
        def __init__(self):
            self.me, self.function = self, module.make()

        def __del__(self):
            doubts.append(set())
            found.extend(live_functions.functions_of([module.__dict__], doubts[0]))
    Garbage()
    gc.collect()
    assert doubts == [{"collection"}]
    assert not live_functions.functions_of([module.__dict__], doubts[0].clear() or doubts[0])[1:] and not doubts[0]


def test_a_search_does_not_end_the_programs_freeze(no_collection):
    gc.freeze()
    try:
        before = gc.get_freeze_count()
        live_functions.functions_of([globals()], set())
        assert gc.get_freeze_count() > before // 2
    finally:
        gc.unfreeze()


def test_the_body_of_a_module_that_runs_is_no_function_of_it():
    """Since CPython 3.11 a module's code runs in a function object of its own."""
    module = types.ModuleType("m")
    module.functions = lambda: live_functions.functions_of([module.__dict__])
    text = "def f(): pass\nclass C:\n    def g(self): pass\n    found = functions()\nfound = functions()"
    exec(text, module.__dict__)
    assert {fn.__name__ for fn in module.found} == {"f", "g"}
    assert {fn.__name__ for fn in module.C.found} == {"f", "g"}
