"""The compiler's warnings about texts that klpfs compiles: into the log, or nowhere.

They are the program's to hear of its own code alone: on its standard error they would be noise, and where it takes
warnings for errors a livepatch would be refused. So while this thread compiles, a filter stands before the program's
(warning_filters.py).
"""
from __future__ import annotations

import _thread
from _weakref import ref
from functools import partial

from klpfs.cpython.c_originals import original
from klpfs.cpython.warning_filters import Words, filters, withdraw

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

SAID = 5            # warnings of a file that are found a line for: for each the file is compiled once more

_contexts: list[tuple[Any, list[Any], list[Any]]] = []     # weak reference to a context, its filters, their list
_current = original(_thread, "_local")()     # current: a weak reference to the outermost context of a thread


class Unheard:
    """A context in which the compiler's warnings, of this thread, are not heard. words: those of the warnings that
    are none of deprecation, in their order; of a context within another the outer's.

    An exception of a stop or of a signal handler may cut __enter__ or __exit__ off. So a context matches only as long
    as it exists and is not over; filters that such a context has left are taken out by the next (`_sweep`)."""

    __slots__ = ("words", "is_over", "_filters", "_list", "__weakref__")

    def __init__(self) -> None:
        self.words: dict[str, bool] = {}
        self.is_over = False
        self._filters: list[Any] = []       # with words of its own: no other context's filters are equal to them
        self._list: list[Any] = []

    def __enter__(self) -> Unheard:
        outer = vars(_current).get("current", _nobody)()
        if outer is None or outer.is_over:
            me = ref(self)
            deprecated, others = Words(), Words()
            deprecated.match, others.match = partial(_matches, me), partial(_note, me)
            # in this order: of a warning of deprecation the second is not asked
            self._filters = [("ignore", deprecated, DeprecationWarning, None, 0),
                             ("ignore", others, SyntaxWarning, None, 0)]
            _sweep()
            self._list = filters()
            _contexts.append((me, self._filters, self._list))
            self._list[:0] = self._filters
            _current.current = me
        return self

    def __exit__(self, *_: object) -> None:
        self.is_over = True
        self._withdraw()

    def _withdraw(self) -> None:
        for item in self._filters:
            withdraw(item[1], self._list, item)
        _sweep()


def _sweep() -> None:
    """Takes out what contexts that are over, or gone, have left."""
    for entry in list(_contexts):
        context = entry[0]()
        if context is None or context.is_over:
            for item in entry[1]:
                withdraw(item[1], entry[2], item)
            if entry in _contexts:      # another thread may sweep, too
                _contexts.remove(entry)


def _nobody() -> None:
    """A weak reference to nothing."""


def _matches(context: Callable[[], Unheard | None], text: str) -> bool:
    found = context()
    return found is not None and not found.is_over


def _note(context: Callable[[], Unheard | None], text: str) -> bool:
    found = context()
    if found is None or found.is_over:
        return False
    found.words[text] = True
    return True


def lines(words: dict[str, bool], compiles: Callable[[], object]) -> list[str]:
    """'LINE: WORDS' for the SyntaxWarnings among the words that compiles() gives: it is called for each of the first
    SAID; a last line says how many more there were."""
    found: list[str] = []
    for text in list(words)[:SAID]:
        error_words = Words()
        error_filter = ("error", error_words, SyntaxWarning, None, 0)
        with Unheard():
            asked = filters()
            error_words.match = text.__eq__
            asked[:0] = [error_filter]
            try:
                compiles()
            except SyntaxError as error:
                found.append(f"{error.lineno or 1}: {text}")
            except ValueError:
                pass
            finally:
                withdraw(error_words, asked, error_filter)
    if len(words) > SAID:
        found.append(f"1: {len(words) - SAID} more kinds of warnings")
    return found
