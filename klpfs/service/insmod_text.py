"""The text that is written to insmod and rmmod: words, parameters, the module's name.

Errors are OSErrors with what finit_module(2) or kmod would say.
"""
from __future__ import annotations

import errno
import os

from klpfs.engine.bounds import MAX_ENTRIES
from klpfs.protocol.decisions import Params
from klpfs.protocol.names import check_module, module_name


def words(text: bytes) -> list[str]:
    """The words of a written line. Blanks separate; quotes, '..' or "..", group, wherever they begin, as a shell and
    the kernel's next_arg() have it, and are taken away; there is no other escape. EINVAL: none, a NUL, a quote left
    open."""
    out: list[bytearray] = []
    quote, inside = 0, False
    if b"\0" in text:
        raise OSError(errno.EINVAL, "a NUL in the text")
    for byte in text:
        if quote:
            if byte == quote:
                quote = 0
            else:
                out[-1].append(byte)
        elif byte in b" \t\r\n\v\f":
            inside = False
        else:
            if not inside:
                out.append(bytearray())
                inside = True
            if byte in b"'\"":
                quote = byte
            else:
                out[-1].append(byte)
    if quote:
        raise OSError(errno.EINVAL, "a quote is left open")
    if not out or not out[0]:
        raise OSError(errno.EINVAL, "no name")
    return [os.fsdecode(bytes(word)) for word in out]


def insmod_text(text: bytes) -> tuple[str, Params]:
    """PATH [param=value ...]: the path, the parameters; None: one without `=value`, which a bool alone takes, as true.
    Source: parse_one() in kernel/params.c."""
    path, *rest = words(text)
    params: Params = {}
    for word in rest:
        name, equals, value = word.partition("=")
        if not name:
            raise OSError(errno.EINVAL, f"bad parameter {word!r}")
        params[name] = value if equals else None
    if len(params) > MAX_ENTRIES:
        raise OSError(errno.EINVAL, f"more than {MAX_ENTRIES} parameters")
    return path, params


def rmmod_text(text: bytes) -> str:
    """NAME, or a path as rmmod(8) takes it. EINVAL: several words, or a word that is no module's name."""
    parts = words(text)
    if len(parts) != 1:
        raise OSError(errno.EINVAL, "one name is expected")
    return check_module(module_name(parts[0]))
