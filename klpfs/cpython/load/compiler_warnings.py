"""The compiler's warnings about texts that klpfs compiles: into the log, or nowhere.

They are the program's to hear of its own code alone: on its standard error they would be noise, and where it takes
warnings for errors a livepatch would be refused. So while this thread compiles, a filter stands before the program's,
which matches in this thread alone; in others it is one call of C more, which lets no thread in between.
"""
from __future__ import annotations

import _warnings
import sys
from _thread import _local
from functools import partial

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

_nothing: Callable[[str], Any] = {}.get


class _Words(_local):
    """What filters ask whether they match a warning's words; of this thread: one that notes them."""

    match = staticmethod(_nothing)


_words: Any = _Words()
_IGNORED = ("ignore", _words, SyntaxWarning, None, 0), ("ignore", _words, DeprecationWarning, None, 0)
_error: Any = _Words()
_ERROR = ("error", _error, SyntaxWarning, None, 0)


def _filters() -> list[Any]:
    """The filters that CPython asks first, in this thread (Python/_warnings.c: get_filter)."""
    context: Any = getattr(_warnings, "_warnings_context", None)        # from 3.14 on
    mine = context.get(None) if context is not None else None
    if mine is not None:
        return mine._filters        # type: ignore[no-any-return]
    module = sys.modules.get("warnings")
    found = vars(module).get("filters") if type(module) is type(sys) else None
    return found if type(found) is list else _warnings.filters


class Unheard:
    """A context in which the compiler's warnings, of this thread, are not heard. words: those of the warnings, in
    their order; of a context within another the outer's."""

    __slots__ = ("words", "_outer", "_list")

    def __init__(self) -> None:
        self.words: dict[str, bool] = {}
        self._outer = False
        self._list: list[Any] = []

    def __enter__(self) -> Unheard:
        self._outer = "match" not in vars(_words)
        if self._outer:
            _words.match = partial(_note, self.words)
            self._list = _filters()
            self._list[:0] = _IGNORED
        return self

    def __exit__(self, *_: object) -> None:
        if self._outer:
            vars(_words).pop("match", None)
            for item in _IGNORED:
                if item in self._list:
                    self._list.remove(item)


def _note(words: dict[str, bool], text: str) -> bool:
    words[text] = True
    return True


def lines(words: dict[str, bool], compiles: Callable[[], object]) -> list[str]:
    """'LINE: WORDS' for the SyntaxWarnings among the words that compiles() gives: it is called for each. (Warnings of
    deprecation Python shows to nobody either.)"""
    found: list[str] = []
    for text in words:
        with Unheard():
            filters = _filters()
            _error.match = text.__eq__
            filters[:0] = [_ERROR]
            try:
                compiles()
            except SyntaxError as error:
                found.append(f"{error.lineno or 1}: {text}")
            except ValueError:
                pass
            finally:
                vars(_error).pop("match", None)
                if _ERROR in filters:
                    filters.remove(_ERROR)
    return found
