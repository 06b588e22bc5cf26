"""Plain values: what comes from a livepatch or a module, as klpfs keeps and sends it.

A str's subclass, an enumeration's member, an object with a __str__ of its own are foreign code wherever klpfs later
compares, formats or sends them, maybe with a lock in its hands. So what a patch's constructors are given is made plain
there, once, by the base types' own C functions, which call nothing of a subclass.
"""
from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

MAX_TEXT = 4095             # characters of a text that is shown: a page, without its newline
MAX_INT_BITS = 13_600       # an int of more bits has more than MAX_TEXT digits (from 4,300 Python does not print it)

_type_name = type.__dict__["__name__"].__get__


def plain_str(value: str) -> str:
    """A str's characters as a str itself. Characters that no encoding has (surrogates, but for those that os.fsdecode
    makes of bytes) are escaped.

    >>> plain_str("a\\ud800b")
    'a\\\\ud800b'
    """
    text = str.__str__(value)
    try:
        str.encode(text, "utf-8", "surrogateescape")
        return text
    except UnicodeEncodeError:
        return str.encode(text, "utf-8", "backslashreplace").decode("utf-8")


def plain_name(value: str) -> str:
    """A name's characters as a str itself, all as they are: a name that can't be shown is refused, not changed."""
    return str.__str__(value)


def plain_int(value: int) -> int:
    """An int's number as an int itself."""
    return int.__int__(value)


def plain_text(value: Any) -> str:
    """Whatever value, as a text of bounded length, by no code but the builtin types' own.

    >>> plain_text("text"), plain_text(7), plain_text(1.5), plain_text(None), plain_text(object())
    ('text', '7', '1.5', 'None', '<object>')
    """
    kind = type(value)
    if issubclass(kind, str):
        return plain_str(str.__getitem__(value, slice(MAX_TEXT)))
    if kind is bool or value is None:
        return "True" if value is True else "None" if value is None else "False"
    if issubclass(kind, int):
        if int.bit_length(value) > MAX_INT_BITS:
            return f"<{_type_name(kind)}>"
        try:
            return int.__repr__(value)
        except ValueError:              # the program has set a lower limit of digits
            return int.__format__(value, "#x")
    if issubclass(kind, float):
        return float.__repr__(value)
    if issubclass(kind, bytes):
        return bytes.__repr__(bytes.__getitem__(value, slice(MAX_TEXT)))[:MAX_TEXT]
    return f"<{plain_str(_type_name(kind))}>"
