"""Records of dev/kmsg: their form, and reading them."""
import os

import pytest

from klpfs.cli.kmsg import Ended, Record, records


def test_a_record_prints_as_dmesg_does():
    assert (
        str(Record.parse(b"5,12,5123402117,-;livepatch: 'x': patching complete\n"))
        == "[ 5123.402117] livepatch: 'x': patching complete"
    )
    assert str(Record.parse(b"5,12,7,-;a\n KEY=value\n")) == "[    0.000007] a"


def test_escapes_of_the_kernel_are_undone():
    assert Record.parse(b"12,0,1,-;tab\\x09end\n").text == "tab\tend"
    assert Record.parse(b"12,0,1,-;x\n").level == 4


def test_facility_and_level_are_of_one_number():
    assert Record.parse(b"30,7,1,-;x\n")[:3] == (3, 6, 7)


def test_reading_ends_where_nothing_is_left():
    r, w = os.pipe2(os.O_DIRECT | os.O_NONBLOCK)
    os.write(w, b"6,0,1000001,-;one\n")
    os.write(w, b"6,1,1000002,-;semi\\x3bcolon; two\n")
    assert [record.text for record in records(r)] == ["one", "semi;colon; two"]
    os.close(w)
    assert list(records(r)) == []
    os.close(r)


def test_dropped_records_are_passed_over(monkeypatch):
    """As the kernel's, a read of a place that is no more says EPIPE."""
    reads = iter([BrokenPipeError(), b"6,5,1,-;later\n", BlockingIOError()])

    def read(fd, size):
        found = next(reads)
        if isinstance(found, OSError):
            raise found
        return found
    monkeypatch.setattr(os, "read", read)
    assert [record.sequence for record in records(0)] == [5]


def test_a_read_that_fails_is_the_end_of_the_log():
    """ENODEV of a service that is gone, ENOTCONN of its mount; here EBADF."""
    with pytest.raises(Ended, match="Bad file descriptor"):
        next(records(-1))
