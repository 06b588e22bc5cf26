"""Names of threads, as `threading` keeps them, read by plain dicts: a thread may be of the program's own class.

Imports no more than raw.py, so that an agent has it before a livepatch comes.
"""
from __future__ import annotations

import sys

from ..raw import isinstance_of, module_dict, object_dict

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_modules, _get, _type, _dict, _int, _str, _list = sys.modules, dict.get, type, dict, int, str, list
_Module = type(sys)


def thread_names() -> dict[int, tuple[int | None, str | None]]:
    """{ident: (native id or None, name or None)} of the threads that `threading` knows; it is not imported."""
    module: Any = _get(_modules, "threading")
    active: Any = _get(module_dict(module), "_active") if isinstance_of(module, (_Module,)) else None
    names: dict[int, tuple[int | None, str | None]] = {}
    if _type(active) is not _dict:
        return names
    for ident, thread in _list(active.items()):
        values: Any = object_dict(thread)
        name, native = values.get("_name"), values.get("_native_id")
        names[ident] = native if _type(native) is _int else None, name if _type(name) is _str else None
        thread = values = None
    return names
