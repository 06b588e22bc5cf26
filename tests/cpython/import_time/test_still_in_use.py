"""Names of a livepatch that code which lives on may use: closures, instances, generators, running threads."""
import threading

from klpfs.cpython import interpreters
from klpfs.cpython.import_time.still_in_use import needed

NEW = """
    def run(klp):
        global helper, deeper, unused, Added, AddedToo, suspended, making, stopping, LIMIT
        LIMIT = 5
        def helper(): return deeper()
        def deeper(): return LIMIT
        def unused(): return 0
        class Added:
            def method(self): return helper()
            @property
            def prop(self): return deeper()
        class AddedToo:
            def method(self): return unused()
        def suspended():
            yield helper
            yield 2
        def making():
            def closure(): return helper()
            return closure
        def stopping(stop):
            stop()
            return helper
"""
NAMES = ("helper", "deeper", "unused", "Added", "AddedToo", "suspended", "making", "stopping")


def live(module):
    """The namespace of a module into which the livepatch's `run` has put its names."""
    import textwrap
    space = module("").__dict__
    code = compile(textwrap.dedent(NEW), f"/livepatches/{space['__name__']}.py", "exec")
    exec(code, space)
    run = space.pop("run")
    run(None)
    return run, space


def names(run, space, *without):
    return needed(run, space, {name: space[name] for name in NAMES + ("LIMIT",) if name not in without})


def test_nothing_lives_nothing_is_needed(module):
    run, space = live(module)
    assert names(run, space) == set()


def test_where_nobody_can_see_what_runs_all_is_needed(module, monkeypatch):
    """Beside a sub-interpreter with a lock of its own."""
    def apart():
        raise interpreters.Apart
    run, space = live(module)
    monkeypatch.setattr(interpreters, "need_one_lock", apart)
    monkeypatch.setattr(interpreters, "_MAY_RUN_APART", True)
    assert names(run, space) == {*NAMES, "LIMIT"}


def test_an_instance_needs_what_its_methods_use_and_what_that_uses(module):
    run, space = live(module)
    kept = space["Added"]()
    assert names(run, space) == {"helper", "deeper", "LIMIT"}
    del kept
    assert names(run, space) == set()


def test_an_instance_of_a_subclass_counts(module):
    run, space = live(module)
    kept = type("Sub", (space["AddedToo"],), {})()
    assert names(run, space) == {"unused"}
    del kept


def test_a_closure_that_new_code_has_made(module):
    run, space = live(module)
    kept = space["making"]()
    assert names(run, space) == {"helper", "deeper", "LIMIT"}
    del kept


def test_a_suspended_generator_and_a_running_thread(module):
    run, space = live(module)
    kept = space["suspended"]()
    next(kept)
    assert names(run, space) >= {"helper", "deeper", "LIMIT"}
    del kept
    assert names(run, space) == set()
    at, go = threading.Event(), threading.Event()
    thread = threading.Thread(target=space["stopping"], args=(lambda: (at.set(), go.wait(30)),))
    thread.start()
    at.wait(30)
    inside = names(run, space)
    go.set()
    thread.join()
    assert inside == {"helper", "deeper", "LIMIT"} and names(run, space) == set()
