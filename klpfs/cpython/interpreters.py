"""Sub-interpreters of this process: their functions are objects of their own, and their threads may run beside ours."""
from __future__ import annotations

import sys
from errno import EBUSY
from itertools import starmap

from klpfs.engine.error import KlpError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any, Callable

try:
    import _interpreters  # type: ignore[import-not-found]
except ImportError:
    try:
        import _xxsubinterpreters as _interpreters  # type: ignore[import-not-found]
    except ImportError:
        _interpreters = None

_getattr, _len, _type, _tuple, _bool, _map, _str = getattr, len, type, tuple, bool, map, str
_list_all = _getattr(_interpreters, "list_all", None)
_current, _config = _getattr(_interpreters, "get_current", None), _getattr(_interpreters, "get_config", None)
_MAY_RUN_APART = sys.version_info >= (3, 12)


def interpreters() -> int:
    """How many sub-interpreters this process has, as far as CPython tells."""
    return _len(_list_all()) - 1 if _list_all is not None else 0


def apart() -> int:
    """How many sub-interpreters have an interpreter lock of their own (3.12): with one, nothing that looks at frames is
    one moment, and asking for frames is not even safe. Where CPython does not tell, all are counted; so are those that
    are being made, for their lock is."""
    if not _MAY_RUN_APART or not interpreters():
        return 0
    others = [interpreter for interpreter in _list_all() if interpreter != _current()]       # type: ignore[misc]
    if _config is None:
        return _len(others)
    ready = _list_all(require_ready=True)       # type: ignore[misc]
    return _len([1 for interpreter in others if interpreter not in ready or _has_own_lock(_config, interpreter)])


class Apart(KlpError):
    """A sub-interpreter has a lock of its own: frames can't be asked for, so nobody can say what runs (EBUSY)."""

    def __init__(self) -> None:
        KlpError.__init__(self, EBUSY, "sub-interpreters with a lock of their own: what runs can't be seen")


def need_one_lock() -> None:
    """Apart, where asking for frames is not safe: sys._current_frames() reads the frames of all interpreters' threads,
    which on 3.12 and newer may run at the same time, and crashes 3.12 and 3.13."""
    if apart():
        raise Apart


def in_one_moment(ask: Callable[[], Any]) -> Iterator[Any]:
    """An iterator of one item: what ask(), a C function that asks for frames, returns. Apart. KeyError when the
    iterator is run: another interpreter has come since, or one has gone, and ask() is not called; no other thread can
    make one between that and the call."""
    if not _MAY_RUN_APART or _list_all is None:
        return starmap(ask, ((),))
    as_now: dict[str, tuple[()]] = {_str(_list_all()): ()}     # texts: on 3.12 ids keep interpreters alive
    need_one_lock()
    return starmap(ask, _map(as_now.__getitem__, _map(_str, starmap(_list_all, ((),)))))


def _has_own_lock(config: Callable[[Any], Any], interpreter: Any) -> bool:
    try:
        found = config(interpreter[0] if _type(interpreter) is _tuple else interpreter)
        return _bool(found.gil != "shared")
    except Exception:       # the interpreter is gone, or is not ours to ask
        return True
