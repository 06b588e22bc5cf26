"""The vote of a module's text: whether it is a livepatch, for a service none of whose processes answers.

Such an insmod is pending, not refused (docs/DESIGN.md#7): the transition starts, and each process loads the file when
it answers. Who starts it must know whether the file is a livepatch and whether it replaces, which the processes' votes
say else.
"""
from __future__ import annotations

import ast
from typing import Any

from klpfs.cpython.load import source_file as files

MAX_TEXT_BYTES = 1 << 20   # a longer file is not looked into here


def foresee(data: bytes) -> dict[str, Any] | None:
    """The `prepared` (wire.py) that the processes will report of the file `data`. None: it is no livepatch (then there
    is nothing that could be pending), or its text does not tell."""
    if len(data) > MAX_TEXT_BYTES:
        return None
    try:
        tree = ast.parse(data)
        replace = files.replaces(tree)
        if replace is None:
            return None
        return {"livepatch": True, "replace": replace, "uses": files.imported(tree), "fingerprints": ""}
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None
