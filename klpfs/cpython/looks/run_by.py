"""What runs this process's Python: the interpreter, its level of -O, and where it imports from. For a proof in the same
surroundings (`klpfs check --against`)."""
from __future__ import annotations

import sys
from posix import getcwd

from klpfs.cpython.raw import LEVELS
from klpfs.engine.bounds import MAX_PATH_CHARS, MAX_PATHS
from klpfs.engine.plain import plain_str

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def run_by() -> dict[str, Any]:
    """Plain data: {'executable': a path or '', 'level': '', '-O' or '-OO', 'path': folders of sys.path, absolute}. What
    the program has put there that is no path, or too long to be one, is left out."""
    found: Any = sys.path
    entries = [_plain(entry) for entry in found[:MAX_PATHS]] if type(found) is list else []
    try:
        here = getcwd()
    except OSError:                     # it is gone
        here = ""
    path = [entry if entry[:1] == "/" else f"{here}/{entry}".rstrip("/") for entry in entries
            if entry is not None and (here or entry[:1] == "/")]
    level = LEVELS[min(sys.flags.optimize, len(LEVELS) - 1)]
    return {"executable": _plain(sys.executable) or "", "level": level, "path": path}


def _plain(value: object) -> str | None:
    return plain_str(value) if type(value) is str and len(value) <= MAX_PATH_CHARS else None
