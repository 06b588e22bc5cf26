"""The daemon's own lines: whoever does not read them misses some, and holds up nobody."""
import os
import socket

import pytest

from klpfs.fs import log_lines
from klpfs.fs.log_lines import Lines, send_to_stderr, send_to_syslog


def test_what_is_not_taken_is_dropped_and_counted():
    taken, takes = [], [False]

    def send(text):
        if takes[0]:
            taken.append(text)
        return takes[0]
    lines = Lines(send)
    lines("a")
    lines("b")
    takes[0] = True
    lines("c\x1b[2J")
    assert taken == ["klpfs: 2 lines were dropped: nobody read them", "c\\x1b[2J"] and lines.dropped == 0


@pytest.fixture
def syslog(tmp_path, monkeypatch):
    """syslogd's socket."""
    path = str(tmp_path / "log")
    monkeypatch.setattr(log_lines, "SYSLOG", path)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as end:
        end.bind(path)
        yield end


def test_a_line_of_syslog(syslog):
    """<facility daemon, severity warning>, a time of 15 characters, the program, the text."""
    assert send_to_syslog("klpfs: a b")
    line = syslog.recv(1000)
    assert line.startswith(b"<28>") and line[4:][15:] == b" klpfs: klpfs: a b"


def test_a_syslogd_that_is_stopped(syslog):
    """Its queue is full: the daemon does not wait for it."""
    lines = Lines(send_to_syslog)
    for _ in range(5000):
        lines("klpfs: x")
        if lines.dropped:
            break
    assert lines.dropped == 1
    syslog.recv(1000)
    syslog.recv(1000)
    lines("klpfs: again")
    syslog.setblocking(False)
    got = []
    try:
        while True:
            got.append(syslog.recv(1000))
    except BlockingIOError:
        pass
    assert b"1 lines were dropped" in got[-2] and got[-1].endswith(b"klpfs: again")


def test_no_syslogd(tmp_path, monkeypatch):
    monkeypatch.setattr(log_lines, "SYSLOG", str(tmp_path / "none"))
    assert not send_to_syslog("klpfs: a")


def test_a_reader_of_standard_error_that_does_not_read(monkeypatch):
    """The daemon in the foreground: a pipe that is full, and one whose reader is gone."""
    ours, its = os.pipe()
    with open(its, "w") as stream:
        monkeypatch.setattr("sys.stderr", stream)
        assert send_to_stderr("klpfs: a")
        assert os.read(ours, 100) == b"klpfs: a\n"
        for _ in range(100):
            if not send_to_stderr("x" * 10_000):
                break
        else:
            pytest.fail("nothing is dropped")
        os.close(ours)
        assert not send_to_stderr("klpfs: b")


def test_no_standard_error(monkeypatch):
    monkeypatch.setattr("sys.stderr", None)
    assert send_to_stderr("klpfs: a")
