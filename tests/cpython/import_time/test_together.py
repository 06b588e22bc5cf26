"""Values that change together with the functions, seen by who is no new code: at pre_patch they are not there yet, at
post_patch they are, at pre_unpatch they are gone."""
import _thread
import operator
import queue

import pytest

from klpfs.cpython.diverted_names import divided
from klpfs.cpython.import_time import together
from klpfs.cpython.import_time.carried import CodeOf
from klpfs.cpython.import_time.overlays import ABSENT
from klpfs.cpython.import_time.together import ByVersion

PROGRAM = """
    LIMIT = 10
    TABLE = {"a": 1}
    class C:
        size = 1
        table = {"a": 1}
    def helper(): return LIMIT
"""
RUN = """
    def run(klp):
        global LIMIT, TABLE, C, seen
        klp.removes("TABLE", "a")
        LIMIT = 20
        TABLE = {"b": LIMIT}
        seen = LIMIT, TABLE["b"]
        class C(metaclass=klp.part):
            size = LIMIT
            table = {"b": 2}
"""
NAMES = "['LIMIT', 'TABLE', 'C.size', 'C.table']"


def names(live):
    return live.LIMIT, live.TABLE, live.C.size


def private(live):
    return {name for name in vars(live) if name.startswith("_klpfs:")}


def test_they_come_with_post_patch_and_go_with_pre_unpatch(module, livepatch):
    live = module(PROGRAM)
    table = live.TABLE
    patch = livepatch(live, RUN, together=NAMES)
    patch.callbacks.pre_patch(patch.obj)
    assert names(live) == (10, {"a": 1}, 1) and live.seen == (20, 20)       # `run` is new code
    assert type(vars(live.C)["size"]) is ByVersion and private(live) == {"_klpfs:LIMIT", "_klpfs:TABLE"}
    patch.callbacks.post_patch(patch.obj)
    assert names(live) == (20, {"b": 20}, 20) and live.TABLE is table
    assert vars(live.C)["size"] == 20 and not private(live)
    table["mine"] = 3
    patch.callbacks.pre_unpatch(patch.obj)
    assert names(live) == (10, {"a": 1, "mine": 3}, 1) and vars(live)["_klpfs:TABLE"] == {"b": 20, "mine": 3}
    patch.callbacks.post_patch(patch.obj)       # it was reversed
    assert names(live) == (20, {"b": 20, "mine": 3}, 20) and not private(live)
    patch.disable()
    assert names(live) == (10, {"a": 1, "mine": 3}, 1) and vars(live.C)["size"] == 1 and not private(live)


def test_a_transition_that_was_reversed_leaves_nothing(module, livepatch):
    live = module(PROGRAM)
    patch = livepatch(live, RUN, together=NAMES)
    patch.callbacks.pre_patch(patch.obj)
    patch.callbacks.post_unpatch(patch.obj)
    assert names(live) == (10, {"a": 1}, 1) and vars(live.C)["size"] == 1 and not private(live)


def test_an_exception_in_run_leaves_nothing(module, livepatch):
    live = module(PROGRAM)
    patch = livepatch(live, RUN + "        raise OSError(16, 'busy')\n", together=NAMES)
    with pytest.raises(OSError):
        patch.enable()
    assert names(live) == (10, {"a": 1}, 1) and vars(live.C)["size"] == 1 and not private(live)


def test_a_patch_that_was_replaced_leaves_nothing(module, livepatch):
    live = module(PROGRAM)
    patch = livepatch(live, RUN, together=NAMES)
    patch.enable()
    patch.replaced()
    assert names(live) == (10, {"a": 1}, 1) and not private(live)


def test_tables_of_classes_are_there_at_once(module, livepatch):
    live = module(PROGRAM)
    patch = livepatch(live, RUN, together=NAMES)
    patch.callbacks.pre_patch(patch.obj)
    assert live.C.table == {"b": 2}
    patch.callbacks.post_unpatch(patch.obj)


def test_where_no_name_can_be_exchanged_values_are_there_at_once(module, livepatch, monkeypatch):
    monkeypatch.setattr(together, "available", lambda: False)
    live = module(PROGRAM)
    patch = livepatch(live, RUN, together=NAMES)
    patch.callbacks.pre_patch(patch.obj)
    assert live.LIMIT == 20 and live.TABLE == {"b": 20} and not private(live)
    patch.callbacks.post_patch(patch.obj)
    patch.disable()
    assert names(live) == (10, {"a": 1}, 1)


def test_a_dry_run_has_no_patch(module, livepatch):
    """`klpfs check` compiles the functions of objects that belong to no patch yet."""
    patch = livepatch(module(PROGRAM), RUN, together="['LIMIT', 'other:SIZE']")
    patch.obj.patch = None
    code = compile("def f(o): return LIMIT, o.SIZE", "f.py", "exec").co_consts[0]
    assert patch.callbacks.divided(patch.obj, code).co_names == ("LIMIT", "SIZE")


def test_a_name_cannot_be_of_two_modules(module, livepatch):
    with pytest.raises(TypeError, match="'LIMIT' is together with two modules"):
        livepatch(module(PROGRAM), RUN, together="['a:LIMIT', 'b:LIMIT']")


def test_a_copy_of_a_class_that_was_made_meanwhile_has_the_value_of_all_when_it_is_over(module, livepatch):
    live = module(PROGRAM)
    patch = livepatch(live, RUN, together=NAMES)
    patch.callbacks.pre_patch(patch.obj)
    copy = type("C", (), dict(vars(live.C)))
    assert copy.size == 1
    patch.callbacks.post_patch(patch.obj)
    assert copy.size == live.C.size == 20
    patch.callbacks.pre_unpatch(patch.obj)
    assert copy.size == live.C.size == 1
    patch.callbacks.post_unpatch(patch.obj)
    assert copy.size == live.C.size == 1


def test_a_thread_that_runs_nothing_but_a_function_of_c_has_the_old_value(module, livepatch):
    live = module(PROGRAM)
    patch = livepatch(live, RUN, together=NAMES)
    patch.callbacks.pre_patch(patch.obj)
    found, read = queue.SimpleQueue(), operator.attrgetter("size")
    _thread.start_new_thread(operator.methodcaller("send", None), (reading(read, live.C, found),))
    assert found.get(timeout=60) == 1
    _thread.start_new_thread(map(found.put, map(read, [live.C])).__next__, ())      # without any frame
    assert found.get(timeout=60) == 1
    patch.callbacks.post_unpatch(patch.obj)


def reading(read, cls, found):
    found.put(read(cls))
    yield


def test_run_is_made_ready_once_however_often_it_runs(module, livepatch):
    live = module(PROGRAM)
    patch = livepatch(live, RUN, together=NAMES)
    sizes = set()
    for _ in range(3):
        patch.enable()
        patch.disable()
        sizes.add(len(patch.callbacks.together.diversion._slots))
    assert len(sizes) == 1


def test_a_set_of_codes_finds_new_code_whose_names_were_elsewhere(module, livepatch):
    """The hash of code goes by its names."""
    live = module(PROGRAM + "    internal = {helper.__code__}\n")
    patch = livepatch(live, RUN, together=NAMES)
    old = live.helper.__code__
    new = divided(old.replace(co_name="newer"), patch.callbacks.together.diversion, {})
    patch.callbacks.carried = [("internal", ABSENT, CodeOf(f"{live.__name__}:helper"))]
    patch.callbacks.pre_patch(patch.obj)
    live.helper.__code__ = new
    for _ in range(2):
        patch.callbacks.post_patch(patch.obj)
        assert new in live.internal and old not in live.internal
        patch.callbacks.pre_unpatch(patch.obj)
        assert len(live.internal) == 1 and old in live.internal
    live.helper.__code__ = old
    patch.callbacks.post_unpatch(patch.obj)
    assert live.internal == {old}


def test_a_reload_while_it_pends_does_not_pass_for_the_programs_own_doing(module, livepatch):
    live = module(PROGRAM)
    patch = livepatch(live, RUN, together="['LIMIT', 'TABLE']")
    patch.callbacks.pre_patch(patch.obj)
    exec("LIMIT = 10\nTABLE = {'a': 1}", vars(live))
    patch.callbacks.post_patch(patch.obj)
    assert (live.LIMIT, live.TABLE) == (20, {"b": 20})
    patch.disable()
    assert (live.LIMIT, live.TABLE) == (10, {"a": 1})


@pytest.mark.parametrize("where", ["begin_again", "settle"])
def test_a_way_back_that_had_no_memory_leaves_nothing_when_it_is_over(module, livepatch, monkeypatch, where):
    live = module(PROGRAM)
    patch = livepatch(live, RUN, together=NAMES)
    patch.enable()

    def fail(*args):
        raise MemoryError
    with monkeypatch.context() as context:
        context.setattr(together.Together, where, fail)
        with pytest.raises(MemoryError):
            patch.callbacks.pre_unpatch(patch.obj)
    patch.callbacks.post_unpatch(patch.obj)
    assert names(live) == (10, {"a": 1}, 1) and vars(live.C)["size"] == 1 and not private(live)
