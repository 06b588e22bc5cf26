"""Imports and records of logging that are cut off at an instruction: what the program does next works.

A sample on this CPython; each instruction, on every CPython: make attacks (tests/attacks/interrupts.py)."""
import _frozen_importlib
import gc
import json
import sys
import threading
import types
import weakref

from klpfs.cpython.load import cut_off
from tests.attacks.interrupts import cut_off as attack


def test_whatever_instruction_of_an_import_is_cut_off_the_program_imports_logs_and_forks():
    """Also where another thread waits for the module, or has it."""
    assert attack(sys.executable, seed=3, count=15, seconds=60) == 0


def test_a_thread_in_the_standard_library_is_known():
    """By its innermost frame; in a callback of the program's it is not there."""
    seen = []
    class Text(str):
        def __hash__(self):
            seen.append(cut_off.is_in_library(cut_off.get_ident()))
            return 0
    here = threading.Event()
    thread = threading.Thread(target=here.wait)     # threading.py
    thread.start()
    while not here._cond._waiters:
        pass
    assert cut_off.is_in_library(thread.ident)
    here.set()
    thread.join()
    json.loads("[1]", object_hook=None, parse_int=lambda text: hash(Text(text)))
    assert seen == [False] and not cut_off.is_in_library(0)


def test_a_lock_of_a_module_that_was_taken_before_stays_taken():
    """By the import around: klpfs's own code within foreign code runs foreign code."""
    lock = _frozen_importlib._get_module_lock("some.module")
    lock.acquire()
    before = cut_off.taken()
    assert before == {lock: 1}
    lock.acquire()
    assert cut_off.give_back(before, None, False) == "the lock of module 'some.module'"
    assert cut_off.taken() == before and cut_off.give_back(before, None, False) == ""
    lock.release()
    assert cut_off.taken() == {}


def test_a_module_whose_import_was_cut_off_is_no_half_module(monkeypatch):
    """It leaves sys.modules, as importlib does with one that fails."""
    class Finder:
        @staticmethod
        def find_spec(name, path, target=None):
            if name == "halfway":
                sys.modules[name] = types.ModuleType(name)
                raise KeyboardInterrupt
    monkeypatch.setattr(sys, "meta_path", [Finder, *sys.meta_path])
    try:
        import halfway  # noqa: F401
    except KeyboardInterrupt as error:
        try:
            raise ValueError        # of what the foreign code makes of it
        except ValueError as other:
            other.__context__ = error
            assert "halfway" in sys.modules
            assert cut_off.give_back({}, other, True) == "half of module 'halfway'"
    assert "halfway" not in sys.modules


def test_letting_go_keeps_nothing_of_the_program():
    """Not even until the next collection."""
    class Thing:
        pass
    thing, lock = Thing(), threading.RLock()
    gone = weakref.ref(thing)
    gc.collect()
    gc.disable()
    try:
        globals()["kept"] = lock        # 3.9 finds those of modules
        lock.acquire()
        lock.acquire()
        assert cut_off.give_back({}, None, True) == "1 RLock" and not lock._is_owned()
        del thing
        assert gone() is None
    finally:
        gc.enable()
        del globals()["kept"]
