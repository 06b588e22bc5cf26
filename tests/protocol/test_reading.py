"""A file read to its end: whatever read(2) gives at a time, and no more than is allowed."""
import errno
import os

import pytest

from klpfs.protocol import reading


@pytest.fixture
def pipe():
    """(write(data), the reading end); the writing end is closed by end()."""
    ours, theirs = os.pipe()
    open_ends = [ours, theirs]

    def end():
        open_ends.remove(theirs)
        os.close(theirs)
    yield ours, theirs, end
    for fd in open_ends:
        os.close(fd)


def test_parts_are_put_together(pipe, monkeypatch):
    """read(2) may give less than was asked for."""
    monkeypatch.setattr(reading, "read", lambda fd, most: os.read(fd, min(most, 3)))
    ours, theirs, end = pipe
    os.write(theirs, b"0123456789")
    end()
    assert reading.read_whole(ours, 10) == b"0123456789"


def test_at_most(pipe):
    ours, theirs, end = pipe
    os.write(theirs, b"0123456789")
    assert reading.read_at_most(ours, 4) == b"0123"      # and does not wait for an end
    assert reading.read_at_most(ours, 0) == b""
    end()
    assert reading.read_at_most(ours, 100) == b"456789"


def test_a_file_that_is_too_large(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"12345")
    for most, fits in ((5, True), (4, False), (0, False)):
        fd = os.open(path, os.O_RDONLY)
        try:
            if fits:
                assert reading.read_whole(fd, most) == b"12345"
            else:
                with pytest.raises(OSError) as error:
                    reading.read_whole(fd, most)
                assert error.value.errno == errno.EFBIG
        finally:
            os.close(fd)
