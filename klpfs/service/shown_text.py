"""Text of programs and agents as the bytes that readers get: whatever the text is, it can be shown."""
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
