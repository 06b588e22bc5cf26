"""C functions as Python has them, also where gevent has put its own in their place before klpfs came.

A greenlet's number for a thread's, or a sleep that runs an event loop, would be no use here.
"""
from __future__ import annotations

from sys import modules

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import ModuleType
    from typing import Any


def original(module: ModuleType, name: str) -> Any:
    """The function of that name that gevent.monkey has saved of an imported module, or else the module's own."""
    saved = getattr(modules.get("gevent.monkey"), "saved", None) or {}
    found = saved.get(module.__name__, {}).get(name)
    return getattr(module, name) if found is None else found
