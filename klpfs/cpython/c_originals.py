"""C functions as Python has them, also where gevent, eventlet or the like has put its own in their place before klpfs
came, and where a tool for tests (freezegun) puts its own wherever it finds them.

A greenlet's number for a thread's, a sleep that runs an event loop, or a clock that stands would be no use here.
"""
from __future__ import annotations

from _functools import partial
from sys import modules

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import ModuleType
    from typing import Any


def original(module: ModuleType, name: str) -> Any:
    """The C function or type of that name of an imported C module: what gevent.monkey has saved, or else the module's
    own, or, where that was replaced, that of another copy of the module. ImportError: up to 3.9 some modules (_thread)
    can't be made a second time."""
    saved = getattr(modules.get("gevent.monkey"), "saved", None) or {}
    found = saved.get(module.__name__, {}).get(name)
    if found is None:
        found = getattr(module, name, None)
        if not _is_of(module, found):
            found = getattr(_copy(module), name)
    return found


def clock(module: ModuleType, name: str) -> Any:
    """As `original`, in a callable of klpfs's own: freezegun replaces each name of any module by which it finds the
    function itself."""
    return partial(original(module, name))


_BuiltinFunctionType = type(len)        # the module `types` is one more to import at the start of a program


def _is_of(module: ModuleType, found: object) -> bool:
    if type(found) is _BuiltinFunctionType:
        return found.__self__ is module         # type: ignore[attr-defined]
    return isinstance(found, type) and found.__module__ == module.__name__


_copies: dict[str, ModuleType] = {}


def _copy(module: ModuleType) -> ModuleType:
    """Another module object of a C module, which the program does not see."""
    name = module.__name__
    copy = _copies.get(name)
    if copy is None:
        spec = module.__spec__
        if spec is None or spec.loader is None:
            raise ImportError(f"functions of {name} are others than Python's, and it can't be made anew here: let "
                              "klpfs start before what replaces them (eventlet.monkey_patch)")
        copy = spec.loader.create_module(spec)
        if copy is None or copy is module:
            raise ImportError(f"functions of {name} are others than Python's")
        spec.loader.exec_module(copy)
        _copies[name] = copy
    return copy
