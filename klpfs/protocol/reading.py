"""Reading a file from its descriptor, to the end: the journal, contents, modules, files of /proc."""
from __future__ import annotations

from errno import EFBIG
from posix import read

_PART_BYTES = 1 << 20


def read_at_most(fd: int, most: int) -> bytes:
    """The file's bytes up to its end, `most` of them at most. OSError as read(2) says."""
    parts = []
    while most > 0:
        part = read(fd, min(most, _PART_BYTES))
        if not part:
            break
        parts.append(part)
        most -= len(part)
    return b"".join(parts)


def read_whole(fd: int, most: int) -> bytes:
    """The file's bytes up to its end. OSError(EFBIG): the file has more than `most`."""
    data = read_at_most(fd, most + 1)
    if len(data) > most:
        raise OSError(EFBIG, "File too large")
    return data
