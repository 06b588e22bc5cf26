"""Names of threads, read without running the program's code."""
import subprocess
import sys
import threading

import pytest

from klpfs.cpython.looks.thread_names import thread_names


@pytest.fixture
def running():
    """running(Thread class, name): a started thread that waits for the test's end."""
    go, threads = threading.Event(), []

    def run(kind, name):
        threads.append(kind(target=go.wait, name=name))
        threads[-1].start()
        return threads[-1]
    yield run
    go.set()
    for thread in threads:
        thread.join()


def test_threads_have_their_native_ids_and_names(running):
    thread = running(threading.Thread, "worker 7")
    main = threading.main_thread()
    names = thread_names()
    assert names[thread.ident] == (thread.native_id, "worker 7")
    assert names[main.ident] == (main.native_id, "MainThread")


def test_a_thread_class_of_the_program_is_not_asked(running):
    """Neither a __getattr__, a __getattribute__ nor a property is run: what they would give is no name."""
    asked = []

    def ask(what):
        def get(self):
            if armed:
                asked.append(what)
                raise AssertionError(what)
            return self.values[what]

        def put(self, value):
            vars(self).setdefault("values", {})[what] = value
        return property(get, put)

    class Properties(threading.Thread):
        _name, _native_id = ask("_name"), ask("_native_id")

    class Asks(threading.Thread):
        def __getattribute__(self, name):
            if armed:
                asked.append(name)
                raise AssertionError(name)
            return super().__getattribute__(name)

        def __getattr__(self, name):
            asked.append(name)
            raise AssertionError(name)

    class Dict(threading.Thread):
        @property
        def __dict__(self):
            asked.append("__dict__")
            raise AssertionError("__dict__")

    armed = False
    threads = [running(kind, "mine") for kind in (Properties, Asks, Dict)]
    idents, native = [thread.ident for thread in threads], [thread.native_id for thread in threads]
    armed = True
    names = thread_names()
    armed = False
    assert asked == []
    assert [names[ident] for ident in idents] == [(None, None), (native[1], "mine"), (native[2], "mine")]


def test_values_of_other_types_are_no_names(running):
    """A subclass of str may have methods of its own."""
    class Name(str):
        def __eq__(self, other):
            raise AssertionError
        __hash__ = str.__hash__
    thread = running(threading.Thread, "worker")
    thread._name, native, thread._native_id = Name("worker"), thread._native_id, True
    try:
        assert thread_names()[thread.ident] == (None, None)
    finally:
        thread._name, thread._native_id = "worker", native


@pytest.mark.parametrize("active", ["None", "[]", "type('D', (dict,), {})()"])
def test_something_else_in_the_place_of_the_table(active):
    """A program may have a `threading` of its own; and an entry in sys.modules need not be a module."""
    text = ("import sys, types; from klpfs.cpython.looks.thread_names import thread_names as f\n"
            "assert f() == {}, 'not imported'\n"
            "sys.modules['threading'] = m = types.ModuleType('threading'); assert f() == {}\n"
            f"m._active = {active}; assert f() == {{}}\n"
            "m._active = {7: 'no thread', 8: object()}; assert f() == {7: (None, None), 8: (None, None)}\n"
            "sys.modules['threading'] = None; assert f() == {}\n")
    subprocess.run([sys.executable, "-S", "-c", text], check=True)
