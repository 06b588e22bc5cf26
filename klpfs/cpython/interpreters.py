"""Sub-interpreters of this process: their functions are objects of their own, and their threads may run beside ours.

Before 3.13 `_xxsubinterpreters` is not asked for them. Its answers are objects that count as references of an
interpreter, and the last of these ends the interpreter: with an answer for an interpreter that the program is just
ending, klpfs would end it once more (core files of 3.12 show that). There the C API tells whether there is any, and no
more.
"""
from __future__ import annotations

import sys
from errno import EBUSY
from itertools import starmap

from klpfs.cpython.c_api import main_interpreter, newest_interpreter
from klpfs.engine.error import KlpError, is_ours

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any, Callable

try:
    import _interpreters  # type: ignore[import-not-found]
except ImportError:
    _interpreters = None

_getattr, _len, _map, _str, _bool, _type, _modules = getattr, len, map, str, bool, type, sys.modules
_list_all = _getattr(_interpreters, "list_all", None)
_current, _config = _getattr(_interpreters, "get_current", None), _getattr(_interpreters, "get_config", None)
_newest = newest_interpreter
_MAIN = main_interpreter() if main_interpreter is not None else 0
_MAY_RUN_APART = sys.version_info >= (3, 12)


def are_there() -> bool:
    """Whether this process has sub-interpreters, as far as CPython tells."""
    if _list_all is not None:
        return _len(_list_all()) > 1
    return _newest is not None and _newest() != _MAIN


def apart() -> bool:
    """Whether a sub-interpreter has an interpreter lock of its own (3.12): with one, nothing that looks at frames is
    one moment, and asking for frames is not even safe. Where CPython does not tell (3.12), any counts; so does each
    that is being made, for its lock is."""
    if not _MAY_RUN_APART:
        return False
    if _list_all is None:
        # without the C API nobody knows but those who make interpreters
        return _newest() != _MAIN if _newest is not None else "_xxsubinterpreters" in _modules
    if not are_there():
        return False
    ready = _list_all(require_ready=True)
    return [1 for interpreter in _list_all() if interpreter[0] != _current()[0] and (       # type: ignore[misc]
        interpreter not in ready or _has_own_lock(interpreter[0]))] != []


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
    if not _MAY_RUN_APART:
        return starmap(ask, ((),))
    if _list_all is None:
        need_one_lock()
        if _newest is None:
            return starmap(ask, ((),))
        alone: dict[int, tuple[()]] = {_MAIN: ()}
        return starmap(ask, _map(alone.__getitem__, starmap(_newest, ((),))))
    as_now: dict[str, tuple[()]] = {_str(_list_all()): ()}
    need_one_lock()
    return starmap(ask, _map(as_now.__getitem__, _map(_str, starmap(_list_all, ((),)))))


def says_another(error: BaseException) -> bool:
    """Whether an exception is the KeyError of in_one_moment, and not one that the program's signal handler or audit
    hook has raised meanwhile."""
    return _type(error) is KeyError and is_ours(error)


def _has_own_lock(number: int) -> bool:
    try:
        return _bool(_config(number).gil != "shared")    # type: ignore[misc]
    except Exception as error:
        if not is_ours(error):
            raise
        return True         # the interpreter is gone, or is not ours to ask
