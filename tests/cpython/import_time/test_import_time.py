"""ImportTime's callbacks: what each of its parameters does to a live module, when, and how it is taken back."""
import sys
from importlib.machinery import ModuleSpec

import pytest

from klpfs.cpython.import_time import overlays
from klpfs.cpython.import_time.import_time import ImportTime

PROGRAM = """
    LIMIT = 10
    OLD = "old"
    TABLE = {"a": 1, "mine": 2}
    def helper(): return LIMIT
    class C:
        gone = 1
        def m(self): return helper()
"""


def test_names_are_the_modules_and_are_taken_back(module, livepatch):
    live = module(PROGRAM)
    helper = live.helper
    patch = livepatch(live, """
        def run(klp):
            global LIMIT, added
            LIMIT = LIMIT * 2
            added = helper() + 1        # runs in the module: sees the new LIMIT
    """)
    patch.enable()
    assert (live.LIMIT, live.added, live.C().m()) == (20, 21, 20)
    patch.disable()
    assert live.LIMIT == 10 and not hasattr(live, "added") and live.helper is helper


def test_old_code_sees_it_before_new_code_runs_and_until_none_is_left(module, livepatch):
    """pre_patch to post_unpatch; what is only taken away: post_patch to pre_unpatch."""
    live = module(PROGRAM)
    patch = livepatch(live, "def run(klp):\n global LIMIT\n LIMIT = 20", removed="['OLD', 'C.gone', 'nothing', 'X.y']")
    patch.callbacks.pre_patch(patch.obj)
    assert live.LIMIT == 20 and live.OLD == "old" and live.C.gone == 1
    patch.callbacks.post_patch(patch.obj)
    assert not hasattr(live, "OLD") and not hasattr(live.C, "gone")
    patch.callbacks.pre_unpatch(patch.obj)
    assert live.LIMIT == 20 and live.OLD == "old" and live.C.gone == 1
    patch.callbacks.post_unpatch(patch.obj)
    assert live.LIMIT == 10


def test_an_exception_takes_back_what_was_done(module, livepatch):
    live = module(PROGRAM)
    text = """
        def run(klp):
            global LIMIT, added
            LIMIT = added = 20
            TABLE["b"] = 1
            raise OSError(16, "busy")
    """
    with pytest.raises(OSError):
        livepatch(live, text).enable()
    assert live.LIMIT == 10 and not hasattr(live, "added") and live.TABLE == {"a": 1, "mine": 2}


def test_an_exception_in_before_takes_back_what_run_did(module, livepatch):
    live = module(PROGRAM)
    text = "def run(klp):\n global LIMIT\n LIMIT = 20\ndef before(obj): raise ValueError(obj.name)"
    with pytest.raises(ValueError, match=live.__name__):
        livepatch(live, text, before="before").enable()
    assert live.LIMIT == 10


def test_before_and_after_are_called_around_it_and_before_may_refuse(module, livepatch):
    live = module(PROGRAM)
    text = """
        def run(klp):
            global LIMIT
            LIMIT = 20
        calls = []
        def before(obj): calls.append(("before", sys.modules[obj.name].LIMIT)); return -16
        def after(obj): calls.append(("after", sys.modules[obj.name].LIMIT))
        import sys
    """
    patch = livepatch(live, text, before="before", after="after")
    assert patch.enable() == -16
    patch.disable()
    assert patch.callbacks.before.__globals__["calls"] == [("before", 20), ("after", 20)] and live.LIMIT == 10


def test_tables_are_changed_in_place_and_the_programs_entries_stay(module, livepatch):
    live = module(PROGRAM)
    table = live.TABLE
    patch = livepatch(live, """
        def run(klp):
            global TABLE
            klp.removes("TABLE", "a")
            TABLE = {"b": 3}
    """)
    patch.enable()
    assert live.TABLE is table == {"mine": 2, "b": 3}
    table["late"] = 4
    patch.disable()
    assert live.TABLE is table == {"a": 1, "mine": 2, "late": 4}


def test_everywhere_exchanges_the_value_where_it_is_held_by_name(module, livepatch):
    """And back, also in modules that came meanwhile."""
    live, user = module(PROGRAM), module("")
    user.h = old = live.helper
    patch = livepatch(live, "def run(klp):\n global helper\n def helper(): return 'new'", everywhere="['helper']")
    patch.enable()
    assert user.h is live.helper is not old and user.h() == "new"
    late = module("")
    late.h = live.helper
    patch.disable()
    assert user.h is live.helper is late.h is old


def test_watched_objects_give_back_what_statements_put_into_them(module, livepatch):
    live = module(
        PROGRAM + "\n    class Router:\n        def __init__(self): self.routes = []\n    router = Router()\n"
    )
    patch = livepatch(live, "def run(klp): router.routes.append(LIMIT)", watch="['router']")
    patch.enable()
    assert live.router.routes == [10]
    patch.disable()
    assert live.router.routes == []


def test_new_modules_can_be_imported_by_run(module, livepatch):
    live = module("")
    text = """
        from klpfs.cpython.import_time.new_modules import New
        def top(klp):
            global VALUE
            VALUE = 7
        def run(klp):
            global got
            from only_new import VALUE as got
    """
    patch = livepatch(live, text, modules="[New('only_new', top)]")
    patch.enable()
    assert live.got == 7 and "only_new" in sys.modules
    patch.disable()
    assert not hasattr(live, "got") and "only_new" not in sys.modules


def test_star_takes_the_public_names_of_a_module(module, livepatch):
    base, live = module("a, _b = 1, 2"), module("a = 0")
    patch = livepatch(live, f"def run(klp): klp.star({base.__name__!r})")
    patch.enable()
    assert live.a == 1 and not hasattr(live, "_b")
    patch.disable()
    assert live.a == 0


def test_caches_are_emptied_when_it_goes_in_is_complete_and_on_the_way_out(module, livepatch):
    live = module("CACHE = {1: 1}\nLIMIT = 1")
    patch = livepatch(live, "def run(klp):\n global LIMIT\n LIMIT = 2", caches=f"['{live.__name__}:CACHE{{}}']")
    emptied = []
    for step in ("pre_patch", "post_patch", "pre_unpatch", "post_unpatch"):
        live.CACHE[1] = 1
        getattr(patch.callbacks, step)(patch.obj)
        emptied.append(step if not live.CACHE else None)
    assert emptied == ["pre_patch", "post_patch", None, "post_unpatch"]


def test_then_runs_when_the_transition_is_complete_and_binds_data_alone(module, livepatch):
    live = module(PROGRAM + "\n    computed, thing = helper(), object()\n")
    thing = live.thing
    patch = livepatch(live, """
        def run(klp):
            global LIMIT
            LIMIT = 20
        def then(klp):
            global computed, thing
            computed, thing = helper(), object()
    """, then="then")
    patch.callbacks.pre_patch(patch.obj)
    assert live.computed == 10
    patch.callbacks.post_patch(patch.obj)
    assert live.computed == 20 and live.thing is thing, "an object with a life of its own stays the object that it is"
    patch.callbacks.pre_unpatch(patch.obj)
    assert live.computed == 10
    patch.callbacks.post_unpatch(patch.obj)


def test_a_patch_that_is_replaced_leaves_what_the_later_one_has_put(module, livepatch):
    live = module(PROGRAM)
    first = livepatch(live, "def run(klp):\n global LIMIT, only_first\n LIMIT = only_first = 20")
    second = livepatch(live, "def run(klp):\n global LIMIT\n LIMIT = 30")
    first.enable()
    second.enable()
    first.replaced()
    assert live.LIMIT == 30 and not hasattr(live, "only_first")
    second.disable()
    assert live.LIMIT == 10


def test_what_code_that_lives_on_may_use_stays_and_is_logged(module, livepatch, log):
    live = module(PROGRAM)
    patch = livepatch(live, """
        def run(klp):
            global Added, used, unused
            class Added:
                def m(self): return used
            used, unused = 1, 2
    """)
    patch.enable()
    kept = live.Added()
    patch.disable()
    assert kept.m() == 1 and not hasattr(live, "unused") and not hasattr(live, "Added")
    assert log.texts() == [
        f"livepatch: 'lp': 'used' of '{live.__name__}' stays: what was made while patched may use it"
    ]


def test_other_names_for_modules_and_stand_ins_are_taken_back(module, livepatch):
    """Modules that were imported under their own names stay."""
    parent = module("", "it_parent")
    live = module("", "it_parent.live")
    parent.live, parent.__spec__ = live, ModuleSpec("it_parent", None)
    patch = livepatch(live, """
        def run(klp):
            import sys, types
            stand_in = types.ModuleType(__name__)
            sys.modules[__name__] = sys.modules["it_parent"].live = stand_in
            sys.modules["it_alias"] = sys.modules["it_parent"]
            import colorsys
    """)
    patch.enable()
    assert sys.modules["it_parent.live"] is not live and "it_alias" in sys.modules and "colorsys" in sys.modules
    patch.disable()
    assert sys.modules["it_parent.live"] is live is parent.live and "it_alias" not in sys.modules
    assert "colorsys" in sys.modules


def test_adds_and_runs_are_for_the_loader():
    def run(klp):
        global a, b
        a = 1

        def b():
            pass

    def make(obj):
        pass
    callbacks = ImportTime(run, caches=["x:y()", ("x:C.z", make)], then=make)
    assert callbacks.adds == {"a", "b"} and callbacks.runs == [run, make, make]
    assert ImportTime().adds == frozenset() and ImportTime().runs == []


@pytest.mark.parametrize("options", [{"run": len}, {"run": lambda: 1, "then": "text"}], ids=["run", "then"])
def test_run_and_then_are_plain_functions(options):
    with pytest.raises(TypeError, match="run is a plain function"):
        ImportTime(**options)


def test_nothing_is_known_of_it_afterwards(module, livepatch):
    live = module(PROGRAM)
    patch = livepatch(live, "def run(klp):\n global LIMIT\n LIMIT = 20")
    patch.enable()
    assert overlays._stacks
    patch.disable()
    assert not overlays._stacks
