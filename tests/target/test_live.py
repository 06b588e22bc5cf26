"""Finding live functions, and other searches of the whole heap: what they must not do to the program."""
import gc
import threading
import time
import types

import pytest

from klpfs.target.python import live, look


@pytest.fixture
def no_collection():
    """Without a collection in between: garbage in a cycle would stay."""
    gc.collect()
    gc.disable()
    yield
    gc.enable()


def generator():
    yield


MANY = [generator.__code__] + [compile("1", f"code {n}", "eval") for n in range(look.FEW)]
SEARCHES = {
    "functions": lambda: live.functions_of([globals()]),
    "suspended, few codes": lambda: look.suspended(MANY[:1]),
    "suspended, many codes": lambda: look.suspended(MANY),
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


def test_the_body_of_a_module_that_runs_is_no_function_of_it():
    """Since CPython 3.11 a module's code runs in a function object of its own."""
    module = types.ModuleType("m")
    module.functions = lambda: live.functions_of([module.__dict__])
    exec("def f(): pass\nclass C:\n    def g(self): pass\n    found = functions()\nfound = functions()", module.__dict__)
    assert {fn.__name__ for fn in module.found} == {"f", "g"}
    assert {fn.__name__ for fn in module.C.found} == {"f", "g"}
