"""Compiled modules: whether two of them hold the same code, whatever else their files say of when and where they were built."""
import struct

_ALLOCATED, _NO_BITS, _NOTE = 0x2, 8, 7     # elf(5): SHF_ALLOC, SHT_NOBITS, SHT_NOTE


def same_code(one: bytes, other: bytes) -> bool:
    """All that would be loaded of two shared objects is the same, notes (build ids) left out. False where it can't be told."""
    mine, its = loaded_sections(one), loaded_sections(other)
    return mine is not None and mine == its


def loaded_sections(content: bytes):
    """{(name, address): bytes} of what a 64-bit little-endian ELF file loads; None: it is no such file."""
    if content[:6] != b"\x7fELF\x02\x01":
        return None
    try:
        table, = struct.unpack_from("<Q", content, 0x28)
        size, count, names = struct.unpack_from("<HHH", content, 0x3A)
        heads = [struct.unpack_from("<IIQQQQ", content, table + at * size) for at in range(count)]
        text = heads[names][4]
        found = {}
        for name, kind, flags, address, offset, length in heads:
            if flags & _ALLOCATED and kind != _NOTE:
                end = content.index(b"\0", text + name)
                found[content[text + name:end], address] = length if kind == _NO_BITS else content[offset:offset + length]
        return found
    except (struct.error, IndexError, ValueError, OverflowError):
        return None
