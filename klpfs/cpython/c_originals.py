"""C functions as Python has them, also where gevent has put its own in their place before we came.

A greenlet's number for a thread's, or a sleep that runs an event loop, would be no use here.
"""
from sys import modules


def original(module, name):
    """The function of that name that gevent.monkey found in an imported module, or the one that is there."""
    saved = getattr(modules.get("gevent.monkey"), "saved", None) or {}
    found = saved.get(module.__name__, {}).get(name)
    return getattr(module, name) if found is None else found
