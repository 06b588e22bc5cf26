"""The code of a release that runs while it is imported: what else it has makes none of its values."""
from __future__ import annotations

import os
import sys
import threading
from types import CodeType, FrameType
from typing import Any


class Ran:
    """What runs of a folder's files while this is entered, which may be again and again. found: {"FILE:LINE": None} of
    the functions, by their first lines, decorators counted; "" is in it where somebody has stopped the watch, so that
    nothing is known."""

    def __init__(self, tree: str, wanted: bool) -> None:
        self.tree, self.wanted = os.path.join(tree, ""), wanted
        self.found: dict[str, None] = {}
        self._codes: set[CodeType] = set()

    def __enter__(self) -> None:
        if self.wanted:
            threading.setprofile(self._hook)
            sys.setprofile(self._hook)

    def __exit__(self, *_: object) -> None:
        if not self.wanted:
            return
        if sys.getprofile() != self._hook:
            self.found[""] = None
        sys.setprofile(None)
        threading.setprofile(None)      # type: ignore[arg-type, unused-ignore]
        self.found.update((f"{code.co_filename[len(self.tree):]}:{code.co_firstlineno}", None) for code in self._codes
                          if code.co_filename.startswith(self.tree))
        self._codes.clear()

    def _hook(self, frame: FrameType, event: str, arg: Any) -> None:
        if event == "call":
            self._codes.add(frame.f_code)
