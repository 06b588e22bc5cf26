"""Filters that stand before the program's own while a warning is expected that klpfs is the reason of.

They match in one thread alone: in others their match is one call of C, which lets no other thread in between, so that
whoever asks the program's filters just then asks each of them. C modules only: agents use it in forks.
"""
from __future__ import annotations

import _warnings
import sys
from _thread import _local

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_nothing: Any = {}.get


class Words(_local):
    """What a filter asks whether it matches a warning's words. `match` is set and deleted by the thread that it is to
    match in."""

    match: Any = staticmethod(_nothing)


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
    """Matches no more in this thread, and takes filters out of a list that filters() gave."""
    vars(words).pop("match", None)
    for item in items:
        if item in among:
            among.remove(item)
