"""Notices: a thread writes them, in order, so that a kernel that holds up a message holds up nothing else."""
import os
import select
import socket
import struct
import threading

import pytest

from klpfs.fs import notices as notices_module
from klpfs.fs.notices import Notices


class Mount:
    """Notices on one end of a socket; `kernel` is its other end, where each message is taken in by `take`."""

    def __init__(self):
        self.kernel, self.ours = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.kernel.settimeout(10)
        self.notices = Notices(self.ours.fileno())

    def take(self):
        length, code, unique = struct.unpack_from("=IiQ", message := self.kernel.recv(65536))
        assert (length, unique) == (len(message), 0)
        return code, message[16:]

    def wakes(self, seconds=10):
        return bool(select.select([self.notices.wake_fd], [], [], seconds)[0])


@pytest.fixture
def mount():
    made = Mount()
    yield made
    made.notices.close()
    made.kernel.close()
    made.ours.close()


@pytest.fixture
def lock(mount, monkeypatch):
    """An event: until it is set the mount's notices are held up, as by a kernel whose caller has a folder's lock."""
    free, write = threading.Event(), os.write

    def write_with_lock(fd, data):
        if fd == mount.ours.fileno():
            assert free.wait(10)
        return write(fd, data)
    monkeypatch.setattr(notices_module.os, "write", write_with_lock)
    yield free
    free.set()


def test_notices_are_written_in_order_and_counted(mount):
    for n in range(3):
        mount.notices.post(n, b"%d" % n)
    assert [mount.take() for n in range(3)] == [(0, b"0"), (1, b"1"), (2, b"2")]
    assert mount.wakes()
    mount.notices.acknowledge()
    while mount.notices.pending:               # a first wake may have been for the first messages alone
        assert mount.wakes()
        mount.notices.acknowledge()
    assert mount.notices.posts == mount.notices.writes == 3


def test_a_mount_without_notices_has_no_thread(mount):
    before = threading.active_count()
    assert not mount.notices.pending and not mount.wakes(0)
    mount.notices.post(1, b"")
    assert threading.active_count() == before + 1


def test_a_poster_does_not_wait_for_the_kernel(mount, lock):
    """And is woken only once the kernel has taken in all."""
    mount.notices.post(1, b"a")
    mount.notices.post(1, b"b")
    assert mount.notices.pending and mount.notices.writes == 0 and not mount.wakes(0)
    lock.set()
    assert mount.wakes() and [mount.take()[1], mount.take()[1]] == [b"a", b"b"]


def test_a_wake_is_read_away_by_acknowledge(mount):
    mount.notices.post(1, b"a")
    assert mount.wakes()
    mount.notices.acknowledge()
    assert not mount.wakes(0) and not mount.notices.pending
    mount.notices.acknowledge()                # with nothing to read: no error, no wait


def test_a_message_that_the_kernel_refuses_is_counted(mount):
    """ENOENT, it has nothing of it; ENODEV, unmounted: answers that wait for the notice are not to wait for ever."""
    mount.kernel.close()
    mount.notices.post(1, b"a")
    assert mount.wakes() and not mount.notices.pending


def test_wakes_that_nobody_reads_hold_up_no_notice(mount):
    """The pipe is full: it wakes already."""
    with pytest.raises(BlockingIOError):
        while True:
            os.write(mount.notices._wake, bytes(4096))
    for n in range(3):
        mount.notices.post(1, b"%d" % n)
        assert mount.take() == (1, b"%d" % n)


def test_the_end_takes_thread_and_pipe_away(mount):
    mount.notices.post(1, b"a")
    thread, ends = mount.notices._thread, (mount.notices.wake_fd, mount.notices._wake)
    mount.notices.close()
    assert not thread.is_alive() and mount.take() == (1, b"a")
    for fd in ends:
        with pytest.raises(OSError):
            os.fstat(fd)
    mount.notices = Notices(mount.ours.fileno())           # for the fixture to close


def test_the_end_does_not_wait_for_the_kernel_for_ever(mount, lock, monkeypatch):
    """The thread needs the pipe, which is left open."""
    monkeypatch.setattr(notices_module, "ENDING_LIMIT", 0.01)
    mount.notices.post(1, b"a")
    thread = mount.notices._thread
    mount.notices.close()
    assert thread.is_alive() and os.fstat(mount.notices.wake_fd)
    lock.set()
    thread.join(10)
    assert not thread.is_alive() and mount.notices.writes == 1
