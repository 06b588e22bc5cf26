"""One table where statements have made a second: `A = [...]; R.t = A` runs again, A keeps the table that it has, with
other contents, and R.t is to have that table, too.

What the second table was put into while the statements ran gets the first: items of dicts and lists, attributes, cells.
What holds it in a way that can't be changed (a tuple, a slot) keeps it; the proof of a build names that.
"""
from __future__ import annotations

import gc
from types import CellType

from klpfs.cpython.raw import object_dict

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def put_in_place_of(new: Any, old: Any, ours: Any = None) -> None:
    """Whoever holds `new` gets `old`, but for `ours`."""
    for holder in gc.get_referrers(new):
        if holder is ours:
            continue
        if isinstance(holder, dict):
            if not _is_of_class(holder):        # of which the interpreter has caches: it is set otherwise
                _in_dict(holder, new, old)
        elif isinstance(holder, list):
            for at, value in enumerate(list.__iter__(holder)):
                if value is new:
                    list.__setitem__(holder, at, old)
        elif type(holder) is CellType:
            holder.cell_contents = old
        elif not isinstance(holder, (type, tuple)):
            own = object_dict(holder)           # a dict that nobody has asked for is no object (3.11)
            _in_dict(own if isinstance(own, dict) else {}, new, old)


def _is_of_class(table: dict[Any, Any]) -> bool:
    return "__module__" in table and "__doc__" in table and "__name__" not in table


def _in_dict(table: dict[Any, Any], new: Any, old: Any) -> None:
    for key in [key for key, value in dict.items(table) if value is new]:
        dict.__setitem__(table, key, old)
