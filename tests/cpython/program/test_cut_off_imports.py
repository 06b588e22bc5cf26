"""Imports and reloads that are cut off, by what signal handlers raise or other threads throw in: at any line, no module is
left that was not noticed."""
import _frozen_importlib as bootstrap
import _imp
import contextlib
import ctypes
import gc
import importlib
import importlib.machinery
import inspect
import signal
import sys
import threading
import weakref

import pytest

from klpfs.cpython.program import import_hooks
from klpfs.engine.error import Orphan, place_of
from tests.cpython.import_system import Own, finder, mistake


class Limit(Exception):
    """What a signal handler of the program raises."""


class OwnLoader:
    """A loader of the program's own, and its finder, for a module of this name."""

    def __init__(self, name):
        self.name = name

    def find_spec(self, wanted, path=None, target=None):
        return importlib.machinery.ModuleSpec(wanted, self) if wanted == self.name else None

    def create_module(self, spec):
        return None

    def exec_module(self, module):
        exec("done = True", module.__dict__)


@pytest.mark.parametrize("kind", [Limit, KeyboardInterrupt])
@pytest.mark.parametrize("times", [1, 2])
@pytest.mark.parametrize("loader", ["python", "own"])
def test_what_a_signal_handler_raises_waits_until_the_callback_has_come_to_its_end(program, kind, times, loader, monkeypatch):
    """With Python's loaders the module leaves sys.modules, as ever where an import is cut off. With others it stays, and a
    second import of it waits for nothing."""
    calls = []

    def handler(*args):
        raise kind

    def callback(name):
        calls.append(name)
        if len(calls) <= times:
            signal.raise_signal(signal.SIGUSR1)
        done.append(name)
    name, done = program.write("done = True"), []
    program.imported.append(name)
    if loader == "own":
        monkeypatch.setattr(sys, "meta_path", [OwnLoader(name), *sys.meta_path])
    before = signal.signal(signal.SIGUSR1, handler)
    try:
        import_hooks.install(callback, program.target)
        with pytest.raises(kind):
            importlib.import_module(name)
        assert done == [name] and (name in sys.modules) is (loader == "own") and not program.target.ripe
        assert importlib.import_module(name).done and done == [name] * (1 if loader == "own" else 2)
        calls.clear()
        with pytest.raises(kind):
            importlib.reload(sys.modules[name])
        assert set(done) == {name} and len(done) > 1
    finally:
        signal.signal(signal.SIGUSR1, before)


def traced(trace, work):
    """work() under a trace function that may raise Limit in it. Between taking the import lock and its `try`, importlib is
    cut off for good: it is let go of here, or other threads' imports would wait for ever."""
    before = sys.gettrace()
    sys.settrace(trace)
    try:
        work()
    except Limit:
        pass
    finally:
        sys.settrace(before)
        with contextlib.suppress(RuntimeError):     # another thread may have it
            while True:
                _imp.release_lock()


HOOKS = inspect.getsource(import_hooks).splitlines()


def is_try(frame):
    """Whether a frame of the hooks is at a line `try:`, at which no signal handler runs."""
    return frame.f_globals is vars(import_hooks) and HOOKS[frame.f_lineno - 1].strip().startswith("try:")


def lines_behind(name, at, kind):
    """A trace function that raises `kind` at the n-th line or beginning of a function, n from 0, behind the body of the
    module; [n, what it raised it at, or None]."""
    said = [-1, None]

    def trace(frame, event, arg):
        if frame.f_code.co_filename.endswith(name + ".py"):
            said[0] = max(said[0], 0)
            return None
        if event in ("line", "call") and said[0] >= 0 and said[1] is None and not is_try(frame):
            said[0] += 1
            if said[0] > at:
                said[1] = frame.f_code.co_name, frame.f_lineno
                raise kind
        return trace
    return trace, said


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("loader", ["python", "own"])
def test_an_import_that_is_cut_off_at_any_line_leaves_no_module_that_was_not_asked_for(program, loader, monkeypatch):
    """Whatever line of the import system or of klpfs it is: a module that is in sys.modules then had its callback."""
    done, at, places = [], 0, []
    import_hooks.install(done.append, program.target)
    while True:
        name = program.write("done = True")
        program.imported.append(name)
        importlib.invalidate_caches()
        if loader == "own":
            monkeypatch.setattr(sys, "meta_path", [finder(name, lambda spec: Own(spec.name, spec.origin)), *sys.meta_path])
        trace, said = lines_behind(name, at, Limit)
        traced(trace, lambda name=name: importlib.import_module(name))
        if said[1] is None:
            break
        assert name in done or name not in sys.modules, said
        places.append(said[1])
        at += 1
    hook = "exec_module" if loader == "python" else "_verbose_message"
    assert {hook, "finished"} <= {function for function, line in places}


@pytest.mark.parametrize("fault", [Limit, None])
def test_what_is_raised_before_a_reload_is_the_programs_unless_klpfs_has_made_a_mistake(program, fault, monkeypatch):
    def begins_again(self, name):
        if fault is None:
            mistake()
        raise fault
    module = program.module("done = True")
    import_hooks.install(lambda name: None, program.target)
    monkeypatch.setattr(type(program.target), "begins_again", begins_again)
    if fault is Limit:
        with pytest.raises(Limit):
            importlib.reload(module)
    else:
        importlib.reload(module)
    assert not program.target.bodies


def test_of_several_exceptions_of_signal_handlers_the_one_that_ends_the_program_is_raised(program):
    """A SystemExit before a time limit that the program catches, or behind it; the other is its context."""
    name = program.write("done = True")
    program.imported.append(name)
    for kinds, chosen in ((SystemExit, Limit), SystemExit), ((Limit, KeyboardInterrupt), KeyboardInterrupt), (
            (Limit, TimeoutError), TimeoutError):
        left = [Limit if kind is Limit else kind() for kind in kinds]

        def callback(name, left=left):
            if left:
                raise left.pop(0)
        import_hooks.install(callback, program.target)
        with pytest.raises(chosen) as caught:
            importlib.import_module(name)
        other, = set(kinds) - {chosen}
        assert type(caught.value.__context__) is other and caught.value.__context__.__context__ is None


@pytest.mark.parametrize("times", [1, 2])
def test_what_was_raised_is_not_kept_by_the_hooks(program, times):
    """The exception's frames refer to nothing that refers to it: what a handler's frame has goes at once."""
    class Kept:
        pass
    left, freed = times, []

    def callback(name):
        nonlocal left
        if left:
            left -= 1
            kept = Kept()
            freed.append(weakref.ref(kept))
            raise Limit
    import_hooks.install(callback, program.target)
    gc.collect()
    gc.disable()
    try:
        try:
            program.module("done = True")
        except Limit:
            pass
        assert len(freed) == times and [each() for each in freed] == [None] * times
    finally:
        gc.enable()


def test_the_context_of_several_exceptions_is_no_circle(program):
    """Where the import stands in an `except` block, both have that exception as their context."""
    name, left = program.write("done = True"), [Limit, KeyboardInterrupt]
    program.imported.append(name)

    def callback(name):
        if left:
            raise left.pop(0)
    import_hooks.install(callback, program.target)
    with pytest.raises(KeyboardInterrupt) as caught:
        try:
            raise ValueError
        except ValueError:
            importlib.import_module(name)
    chain, each = [], caught.value
    while each is not None and len(chain) < 9:
        chain.append(type(each))
        each = each.__context__
    assert chain == [KeyboardInterrupt, Limit, ValueError]


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_reload_that_is_cut_off_at_any_line_leaves_a_module_that_counts_as_loaded(program):
    """Whatever line of the hook it is, but `try:`, at which no signal handler runs; and what the body has made until then
    has had the callback."""
    done, module, places = [], program.module("done = True"), set()
    import_hooks.install(done.append, program.target)
    for at in range(1000):
        said = [-1, None]

        def trace(frame, event, arg, at=at, said=said):
            if event in ("line", "call") and said[1] is None and frame.f_globals is vars(import_hooks) and not is_try(frame):
                said[0] += 1
                if said[0] == at:
                    said[1] = frame.f_code.co_name
                    raise Limit
            return trace
        done.clear()
        traced(trace, lambda: importlib.reload(module))
        if said[1] is None:
            break
        places.add(said[1])
        assert not program.target.bodies and not program.target.ripe and program.target.loaded(module.__name__), said
    assert {"_exec", "_begin", "exec_module", "finished"} <= places and done


def test_a_reload_of_a_patched_module_that_is_cut_off_at_any_line_is_taken_in(program):
    """At the beginnings of functions, too, where signal handlers run: at once, or with the next import or load."""
    name, places = program.name(), set()
    module = program.module("def f(): return 'old'", name)
    program.patch("def f(): return 'new'\npatch = Patch([Object(%r, [Func('f', f)])])" % name)
    import_hooks.install(lambda each: program.target.refresh(each), program.target)
    for at in range(1000):
        said = [-1, None]

        def trace(frame, event, arg, at=at, said=said):
            if event in ("line", "call") and said[1] is None and frame.f_globals in (
                    vars(import_hooks), vars(bootstrap)) and not is_try(frame):
                said[0] += 1
                if said[0] == at:
                    said[1] = frame.f_code.co_name
                    raise Limit
            return trace
        traced(trace, lambda: importlib.reload(module))
        if said[1] is None:
            break
        places.add(said[1])
        if name not in sys.modules:     # CPython has lost it, in _exec
            assert said[1] == "_exec"
            sys.modules[name] = module
        if program.target.loaded_again():
            program.target.refresh(name)
        assert module.f() == "new", said
    assert {"_exec", "_begin", "exec_module", "finished"} <= places


@pytest.mark.parametrize("error", [RecursionError, MemoryError])
def test_an_import_in_which_the_callback_has_no_room_fails(program, error):
    """It would leave the module unpatched in silence."""
    name = program.write("done = True")

    def callback(each):
        try:
            place_of(5)
        except AttributeError as mistake:
            raise error().with_traceback(mistake.__traceback__) from None
    import_hooks.install(callback, program.target)
    with pytest.raises(error):
        importlib.import_module(name)
    assert name not in sys.modules


def test_what_another_thread_throws_in_is_not_dropped(program):
    """As time limits of threads do it: without a frame of its own."""
    def callback(name):
        if not calls.append(name) and len(calls) == 1:
            ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(threading.get_ident()), ctypes.py_object(Limit))
            for _ in range(100):
                pass
    calls = []
    import_hooks.install(callback, program.target)
    with pytest.raises(Limit):
        program.module("done = True")


def test_a_callback_that_is_cut_off_again_and_again_is_given_up(program):
    def callback(name):
        calls.append(name)
        raise Limit
    calls = []
    import_hooks.install(callback, program.target)
    with pytest.raises(Limit):
        program.module("done = True")
    assert len(calls) == import_hooks.TRIES


def test_what_ends_a_thread_of_klpfss_is_not_held_up(program):
    """It has forked, and goes on in a child."""
    def callback(name):
        calls.append(name)
        raise Orphan
    calls = []
    import_hooks.install(callback, program.target)
    with pytest.raises(Orphan):
        program.module("done = True")
    assert len(calls) == 1


def test_a_patched_module_whose_import_was_cut_off_is_patched_when_it_is_imported_again(program, in_force):
    name = program.name()
    engine, found = in_force(name)
    cut, kept = [Limit], []

    def coming(each):
        kept.append(sys.modules[each])
        engine.coming(each, refuse=False)
        if cut:
            raise cut.pop()
    import_hooks.install(coming, program.target)
    program.write("def f(): return 'old'", name)
    program.imported.append(name)
    with pytest.raises(Limit):
        importlib.import_module(name)
    assert name not in sys.modules
    assert importlib.import_module(name).f() == "new" == kept[0].f()
    engine.disable(found.patch)
    assert engine.look() == []
    engine.finish()
    assert sys.modules[name].f() == "old" == kept[0].f()
