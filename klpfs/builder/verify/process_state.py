"""The state of a process that importing changes and that no graph of objects shows: the interpreter's own lists and
settings, as words that two processes can compare."""
from __future__ import annotations

import atexit
import gc
import signal
import sys
import threading
import warnings
from typing import Any


def taken(tree: str) -> dict[str, list[str]]:
    """{what: words for each of its entries} of this process. tree: the folder of the release, which is named so."""
    found = {
        "sys.path": [str(each).replace(tree, "<tree>") for each in sys.path],
        "sys.meta_path": [_named(each) for each in sys.meta_path],
        "sys.path_hooks": [_named(each) for each in sys.path_hooks],
        "sys.excepthook": [_named(sys.excepthook)],
        "sys.unraisablehook": [_named(sys.unraisablehook)],
        "sys.displayhook": [_named(sys.displayhook)],
        "sys.getrecursionlimit()": [str(sys.getrecursionlimit())],
        "threading.excepthook": [_named(threading.excepthook)],
        "threading": [f"{threading.active_count()} threads"],
        "atexit": [f"{atexit._ncallbacks()} functions"],
        "gc": [str(gc.isenabled()), str(gc.get_threshold())],
        "warnings.filters": sorted({_filter(each) for each in warnings.filters}),
        "signal handlers": [f"{each.name}: {_handler(each)}" for each in sorted(signal.valid_signals())
                            if isinstance(each, signal.Signals)],
    }
    sockets = sys.modules.get("_socket")
    if sockets is not None:
        found["socket.getdefaulttimeout()"] = [str(sockets.getdefaulttimeout())]
    return found


def differences(mine: dict[str, list[str]], wanted: dict[str, list[str]]) -> list[str]:
    """In words, what of a process is otherwise than of another; what only one of them has says nothing."""
    found = []
    for what in mine.keys() & wanted.keys():
        here, there = mine[what], wanted[what]
        if here != there:
            more, fewer = ([each for each in one if one.count(each) > other.count(each)]
                           for one, other in ((here, there), (there, here)))
            words = [f"has {', '.join(more[:3])}"] * bool(more) + [f"lacks {', '.join(fewer[:3])}"] * bool(fewer)
            found.append(f"{what} {' and '.join(words) or 'is in another order'}")
    return sorted(found)


def _named(value: Any) -> str:
    kind = value if hasattr(value, "__qualname__") else type(value)
    return f"{kind.__module__}.{kind.__qualname__}"


def _filter(entry: Any) -> str:
    return " ".join(str(getattr(each, "pattern", None) or getattr(each, "__name__", each)) for each in entry)


def _handler(number: signal.Signals) -> str:
    found = signal.getsignal(number)
    return _named(found) if callable(found) else str(found)
