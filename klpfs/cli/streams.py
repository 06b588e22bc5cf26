"""The standard streams of a command, made fit to be written whatever the caller left of them.

A stream that the caller closed (`klpfs lsmod >&-`) is None in Python: flushing it is an error, and what is printed to
None goes to the standard output instead.
"""
from __future__ import annotations

import codecs
import os
import sys


def prepare() -> None:
    """Give each closed stream the null device; let the standard output escape what its encoding does not have.

    In the order of their descriptors, so that each null device takes the number that is free: nothing that the command
    opens becomes its "standard output". They are closed for a program that takes the command's place, as they were.
    """
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, mode, encoding="utf-8"))
    if getattr(sys.stdout, "errors", "") in ("strict", "surrogateescape") and hasattr(sys.stdout, "reconfigure"):
        sys.stdout.reconfigure(errors="klpfs")


def _escaped(error: UnicodeError) -> tuple[str | bytes, int]:
    """One character that can't be encoded: the byte of a file's name that it stands for (surrogateescape), or an
    escape (backslashreplace)."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    char, after = error.object[error.start], error.start + 1
    if "\udc80" <= char <= "\udcff":
        return bytes([ord(char) - 0xdc00]), after
    return char.encode("ascii", "backslashreplace").decode("ascii"), after


codecs.register_error("klpfs", _escaped)
