"""Compiled modules: whether two files hold the same code, whatever else they say of when and where they were built."""
from __future__ import annotations

import struct

_ALLOCATED, _NO_BITS, _NOTE = 0x2, 8, 7     # elf(5): SHF_ALLOC, SHT_NOBITS, SHT_NOTE


def same_code(old: bytes, new: bytes) -> bool:
    """Two shared objects load the same, notes (build ids) left out. False where a file can't be read."""
    old_sections, new_sections = loaded_sections(old), loaded_sections(new)
    return old_sections is not None and old_sections == new_sections


def loaded_sections(content: bytes) -> dict[tuple[bytes, int], bytes | int] | None:
    """{(section, address): its bytes, or its size where the file holds none} of what a 64-bit little-endian ELF file
    loads.

    None: the content is no such file.
    """
    if content[:6] != b"\x7fELF\x02\x01":
        return None
    try:
        table, = struct.unpack_from("<Q", content, 0x28)
        size, count, names = struct.unpack_from("<HHH", content, 0x3A)
        headers = [struct.unpack_from("<IIQQQQ", content, table + at * size) for at in range(count)]
        text = headers[names][4]
        found: dict[tuple[bytes, int], bytes | int] = {}
        for name, kind, flags, address, offset, length in headers:
            if flags & _ALLOCATED and kind != _NOTE:
                end = content.index(b"\0", text + name)
                loaded = length if kind == _NO_BITS else content[offset:offset + length]
                found[content[text + name:end], address] = loaded
        return found
    except (struct.error, IndexError, ValueError, OverflowError):
        return None
