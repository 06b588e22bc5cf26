"""Filters of klpfs's among the program's filters of warnings, for a warning that klpfs causes.

Such a filter stands first in the list while the warning may come, and matches in one thread alone. What other threads
ask of it is one call of C, so none of them is interrupted between two filters. C modules only: agents use it in forks.
"""
from __future__ import annotations

import _thread
import _warnings
import sys

from klpfs.cpython.c_originals import original

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_nothing: Any = {}.get
_local: Any = original(_thread, "_local")


class Words(_local):
    """The part of a filter that is asked whether a warning's words match, as a compiled pattern is. A thread that sets
    `match` has its warnings matched, until it deletes `match`. Copied or pickled it is the words, which match none."""

    match: Any = staticmethod(_nothing)
    pattern = "(?!)"        # the program may read it, as of a compiled pattern: it matches nothing

    def __reduce__(self) -> Any:
        return str, (self.pattern,)     # a plain text, which CPython compares with the whole of a warning's words


def filters() -> list[Any]:
    """The filters that CPython asks first, in this thread (Python/_warnings.c: get_filter)."""
    context: Any = getattr(_warnings, "_warnings_context", None)        # from 3.14 on
    mine = context.get(None) if context is not None else None
    if mine is not None:
        return mine._filters        # type: ignore[no-any-return]
    module = sys.modules.get("warnings")
    found = vars(module).get("filters") if type(module) is type(sys) else None
    return found if type(found) is list else _warnings.filters


def withdraw(words: Words, among: list[Any], *items: Any) -> None:
    """Ends the match of `words` in this thread, and takes filters out of a list that filters() gave, and out of the
    list in force now, which may be a copy of it. No other filter is equal to these: each has the words."""
    words.__dict__.pop("match", None)
    for found in (among, filters()):
        for item in items:
            try:
                found.remove(item)
            except ValueError:
                pass
