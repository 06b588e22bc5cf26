"""What commands print: names, log lines and texts come from programs and patches, and do nothing to a terminal.

All that a command prints goes through put() (tests/cli/test_terminal.py holds them to it); a field in which a newline
would make a line of its own goes through printable() as well.
"""
from __future__ import annotations

from klpfs.service.shown_text import printable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import TextIO

__all__ = ["printable", "put"]


def put(*values: object, sep: str = " ", end: str = "\n", file: TextIO | None = None, flush: bool = False) -> None:
    """print(), with all escaped that is not for reading, but for the newlines between lines."""
    text = sep.join([str(value) for value in values])
    print("\n".join([printable(line) for line in text.split("\n")]), end=end, file=file, flush=flush)
