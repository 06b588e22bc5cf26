"""Text of programs, agents and patches as readers get it: whatever the text is, it can be shown, and does nothing to
the terminal of who reads it."""
from __future__ import annotations

import os


def is_from_bytes(text: str) -> bool:
    """Whether the text's bytes can be had back: it has no surrogates but those that os.fsdecode makes."""
    try:
        os.fsencode(text)
        return True
    except UnicodeEncodeError:
        return False


def shown_bytes(text: str) -> bytes:
    r"""The text's bytes, as os.fsencode gives them; of a text that has none, since it holds other surrogates, these
    are shown as `\udXXX`.

    >>> shown_bytes("a\udcff"), shown_bytes("a\ud800")
    (b'a\xff', b'a\\ud800')
    """
    return text.encode("utf-8", "surrogateescape" if is_from_bytes(text) else "backslashreplace")


def printable(text: str) -> str:
    r"""The text with each character that is not for reading as the bytes of it, `\xNN`, as dmesg shows them: control
    characters (newlines too, C1, ESC and what begins with it), marks that turn the direction of writing, line and
    paragraph separators, surrogates. A tab stays, and bytes of a file's name that are no text and no C1.

    >>> printable("a\x1b[2Jb\u202e\n")
    'a\\x1b[2Jb\\xe2\\x80\\xae\\x0a'
    """
    if text.isprintable():
        return text
    return "".join([c if c.isprintable() or c == "\t" or "\udca0" <= c <= "\udcff" else _escaped(c) for c in text])


def _escaped(character: str) -> str:
    data = character.encode("utf-8", "surrogateescape" if "\udc80" <= character <= "\udcff" else "backslashreplace")
    if character >= "\ud800" and data.isascii():
        return data.decode("ascii")
    return "".join([f"\\x{byte:02x}" for byte in data])
