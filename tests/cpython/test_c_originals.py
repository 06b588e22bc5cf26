"""C functions behind those that gevent has put in their place."""
import _thread
import sys
import types

from klpfs.cpython.c_originals import original


def test_the_functions_that_gevent_replaced(monkeypatch):
    """Its originals, and only of the module that is asked for."""
    assert original(_thread, "get_ident") is _thread.get_ident
    monkey = types.ModuleType("gevent.monkey")
    monkey.saved = {"_thread": {"get_ident": int}}
    monkeypatch.setitem(sys.modules, "gevent.monkey", monkey)
    assert original(_thread, "get_ident") is int and original(_thread, "allocate_lock") is _thread.allocate_lock
