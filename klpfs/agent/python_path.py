"""The place of klpfs's folder in PYTHONPATH: first, whatever launchers put there.

A launcher such as opentelemetry-instrument puts a folder with a sitecustomize of its own first on PYTHONPATH and
executes the program: Python imports that sitecustomize alone, and no agent would start. Ours runs the next one
(boot/sitecustomize.py), so where a process with an agent puts something before klpfs's folder the two change places in
what its children are given. Who takes klpfs's folder off PYTHONPATH keeps it off.

The environment of children is C's, which os.environ writes by `putenv`. A dict that a program hands to execve() itself
is left as it is.
"""
from __future__ import annotations

import os

from klpfs.protocol.python_command import BOOT

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def keep_first() -> None:
    """Sees that klpfs's folder is first in the PYTHONPATH of children, if it is there at all. Once a process."""
    original: Any = os.putenv

    def putenv(name: Any, value: Any) -> None:
        """Change or add an environment variable."""
        if name in ("PYTHONPATH", b"PYTHONPATH"):
            value = with_boot_first(value)
        original(name, value)
    os.putenv = putenv


def with_boot_first(value: Any) -> Any:
    """A PYTHONPATH, text or bytes, with klpfs's folder first if it is in it.

    >>> with_boot_first("/a:/b")
    '/a:/b'
    """
    if isinstance(value, bytes):
        return os.fsencode(with_boot_first(os.fsdecode(value)))
    folders = value.split(os.pathsep) if isinstance(value, str) else []
    if BOOT not in folders:
        return value
    return os.pathsep.join([BOOT, *(folder for folder in folders if folder != BOOT)])
