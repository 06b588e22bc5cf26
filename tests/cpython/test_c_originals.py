"""C functions behind those that gevent has put in their place."""
import _thread
import select
import sys
import threading
import time
import types

import pytest

from klpfs.cpython.c_originals import clock, original


def test_the_functions_that_gevent_replaced(monkeypatch):
    """Its originals, and only of the module that is asked for."""
    assert original(_thread, "get_ident") is _thread.get_ident
    monkey = types.ModuleType("gevent.monkey")
    monkey.saved = {"_thread": {"get_ident": int}}
    monkeypatch.setitem(sys.modules, "gevent.monkey", monkey)
    assert original(_thread, "get_ident") is int and original(_thread, "allocate_lock") is _thread.allocate_lock


@pytest.mark.parametrize("module, name", [
    pytest.param(_thread, "get_ident", marks=pytest.mark.skipif(sys.version_info < (3, 10), reason="made once")),
    pytest.param(_thread, "_local", marks=pytest.mark.skipif(sys.version_info < (3, 10), reason="made once")),
    (time, "sleep"), (select, "poll")], ids=str)
def test_the_functions_that_another_tool_replaced_or_took_away(monkeypatch, module, name):
    """eventlet keeps no list of what it has replaced; of some modules it deletes names."""
    was = getattr(module, name)
    for other in (lambda *_: 1 / 0, type("local", (), {}), len, None):
        monkeypatch.setattr(module, name, other)
        found = original(module, name)
        assert type(found) is type(was) and found.__name__ == was.__name__ and found is not other
        assert getattr(module, name) is other, "the program's stays"
    monkeypatch.delattr(module, name)
    assert type(original(module, name)) is type(was) and not hasattr(module, name)
    assert original(_thread, "get_ident")() == threading.get_ident()


@pytest.mark.skipif(sys.version_info >= (3, 10), reason="it can be made anew")
def test_what_can_t_be_made_anew_is_refused(monkeypatch):
    monkeypatch.setattr(_thread, "get_ident", lambda: 1)
    with pytest.raises(ImportError, match="functions of _thread are others than Python's"):
        original(_thread, "get_ident")


def test_a_clock_that_a_tool_finds_by_its_function_is_not_found():
    """freezegun looks for references to time.monotonic among the names of all modules, by identity."""
    monotonic = clock(time, "monotonic")
    assert monotonic is not time.monotonic and abs(monotonic() - time.monotonic()) < 60
