"""Work in a child process, such as reading a file: what comes back; nothing of it stays, whatever became of it."""
import errno
import fcntl
import os
import time

import pytest

from klpfs.service import child_work, open_as_writer
from klpfs.service.child_work import ChildWork
from klpfs.service.snapshots import Caller

ME = Caller(os.getpid(), os.geteuid(), os.getegid())


def children():
    with open(f"/proc/self/task/{os.getpid()}/children") as file:
        return set(file.read().split())


def descriptors():
    return set(os.listdir("/proc/self/fd"))


class Reading:
    """A file that is read in a child; `outcome`: (data, errno) once it is there."""

    def __init__(self, bench):
        self.bench, self.outcomes = bench, []
        self.fetch = ChildWork(bench.loop, "reading", lambda data, error: self.outcomes.append((data, error)))

    def start(self, path="x.py"):
        self.fetch.start(lambda: open_as_writer.read(str(path), ME, ME.uid))
        return self

    @property
    def outcome(self):
        self.bench.until(lambda: self.outcomes)
        [(data, error)] = self.outcomes
        return data, error and error.errno


@pytest.fixture
def reading(bench):
    """A reading that has not begun. In the end its child is gone, and its descriptors are closed."""
    child, fds = children(), descriptors()
    yield Reading(bench)
    bench.until(lambda: children() <= child, 20)        # another test's may go meanwhile
    assert descriptors() == fds


@pytest.fixture
def read(monkeypatch):
    """read(call): the child calls this instead of open_as_writer.read."""
    def read_by(call):
        monkeypatch.setattr(open_as_writer, "read", lambda *arguments: call())
    return read_by


def test_the_file_s_bytes(reading, tmp_path):
    path = tmp_path / "lp.py"
    path.write_bytes(b"patch = 1\n\0\xff")
    assert reading.start(path).outcome == (b"patch = 1\n\0\xff", None)


def test_an_empty_file_is_no_error(reading, read):
    read(lambda: b"")
    assert reading.start().outcome == (b"", None)


def test_more_than_a_pipe_holds(reading, read):
    """The child goes on while the loop reads, which does not end before the child has."""
    data = bytes(range(256)) * 8192
    read(lambda: data)
    assert reading.start().outcome == (data, None)


def test_an_error_is_the_file_s(reading, tmp_path):
    assert reading.start(tmp_path / "none.py").outcome == (None, errno.ENOENT)


def test_an_error_keeps_its_words(reading, read):
    """Those of a refusal, which no errno has."""
    def refuse():
        raise OSError(errno.EPERM, "a stranger may write it")
    read(refuse)
    assert reading.start().outcome == (None, errno.EPERM)
    assert reading.outcomes[0][1].strerror == "a stranger may write it"


def test_an_error_without_a_number_is_eio(reading, read):
    def fail():
        raise OSError("odd")
    read(fail)
    assert reading.start().outcome == (None, errno.EIO)


def test_a_child_that_dies_is_eio(reading, read):
    read(lambda: os._exit(1))
    assert reading.start().outcome == (None, errno.EIO)


def test_a_mistake_in_the_child_is_eio_and_nothing_of_the_daemon_runs_in_it(reading, read, capfd):
    read(lambda: 1 // 0)
    assert reading.start().outcome == (None, errno.EIO) and capfd.readouterr() == ("", "")


def test_the_time_limit(reading, read, monkeypatch):
    """ETIMEDOUT; the child, which hangs, is killed."""
    monkeypatch.setattr(child_work, "SECONDS", 0.05)
    read(lambda: time.sleep(600))
    assert reading.start().outcome == (None, errno.ETIMEDOUT)


def test_the_time_limit_ends_with_the_answer(reading, read):
    read(lambda: b"x")
    timer = reading.start().fetch._timer
    assert timer.call is not None and reading.outcome == (b"x", None) and timer.call is None


def test_after_cancel_nothing_is_called(bench, reading, read):
    read(lambda: time.sleep(600))
    reading.start().fetch.cancel()
    reading.fetch.cancel()
    bench.until(lambda: reading.fetch._pid == -1)
    assert reading.outcomes == []


def test_no_process_can_be_had(reading, monkeypatch):
    """OSError of start(), and no descriptor stays (the fixture looks)."""
    def fail():
        raise OSError(errno.EAGAIN, "no processes left")
    monkeypatch.setattr(os, "fork", fail)
    with pytest.raises(OSError) as caught:
        reading.start()
    assert caught.value.errno == errno.EAGAIN and reading.outcomes == []


def test_the_child_has_nothing_of_the_daemon_s(reading, read, tmp_path):
    """Not the journal's lock, not the agents' connections: only the pipe, and the listing that tells us so."""
    with open(tmp_path / "lock", "w") as lock:
        os.set_inheritable(lock.fileno(), True)
        read(lambda: repr(sorted(map(int, os.listdir("/proc/self/fd")))).encode())
        assert reading.start().outcome == (b"[0, 1, 2, 3, 4]", None)


def test_a_lock_of_the_daemon_s_is_free_while_the_child_reads(bench, reading, read, tmp_path):
    """flock(2) is shared by inherited descriptors: a child that had one would hold the journal's lock."""
    lock = open(tmp_path / "lock", "w")
    fcntl.flock(lock, fcntl.LOCK_EX)
    started = tmp_path / "started"
    read(lambda: (started.touch(), time.sleep(600)))
    reading.start()
    bench.until(started.exists)
    lock.close()
    with open(tmp_path / "lock") as second:
        fcntl.flock(second, fcntl.LOCK_EX | fcntl.LOCK_NB)
    reading.fetch.cancel()
