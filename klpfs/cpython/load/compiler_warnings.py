"""The compiler's warnings about texts that klpfs compiles: into the log, or nowhere.

They are the program's to hear of its own code alone: on its standard error they would be noise, and where it takes
warnings for errors a livepatch would be refused. So while this thread compiles, a filter stands before the program's
(warning_filters.py).
"""
from __future__ import annotations

from functools import partial

from klpfs.cpython.warning_filters import Words, filters, withdraw

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

_words = Words()
_IGNORED = ("ignore", _words, SyntaxWarning, None, 0), ("ignore", _words, DeprecationWarning, None, 0)
_error = Words()
_ERROR = ("error", _error, SyntaxWarning, None, 0)


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
            self._list = filters()
            self._list[:0] = _IGNORED
        return self

    def __exit__(self, *_: object) -> None:
        if self._outer:
            withdraw(_words, self._list, *_IGNORED)


def _note(words: dict[str, bool], text: str) -> bool:
    words[text] = True
    return True


def lines(words: dict[str, bool], compiles: Callable[[], object]) -> list[str]:
    """'LINE: WORDS' for the SyntaxWarnings among the words that compiles() gives: it is called for each. (Warnings of
    deprecation Python shows to nobody either.)"""
    found: list[str] = []
    for text in words:
        with Unheard():
            asked = filters()
            _error.match = text.__eq__
            asked[:0] = [_ERROR]
            try:
                compiles()
            except SyntaxError as error:
                found.append(f"{error.lineno or 1}: {text}")
            except ValueError:
                pass
            finally:
                withdraw(_error, asked, _ERROR)
    return found
