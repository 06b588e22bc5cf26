"""The CPythons that are on this machine, each by its minor version."""
from __future__ import annotations

import functools
import pathlib
import subprocess

ROOT = pathlib.Path(__file__).resolve().parents[1]
MINORS = range(9, 16)


@functools.lru_cache(None)
def find(minor: int) -> str | None:
    """An interpreter of CPython 3.<minor>, as scripts/find-python finds it; None."""
    done = subprocess.run([ROOT / "scripts" / "find-python", f"3.{minor}"], capture_output=True, text=True)
    return done.stdout.strip() or None
