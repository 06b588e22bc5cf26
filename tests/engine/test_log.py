"""The log is a ring with the kernel's priorities."""
import threading

import pytest

from klpfs.engine import log as log_module
from klpfs.engine.log import LINE_BYTES, RECORD_BYTES, Log, line_of, pr_debug, pr_err, pr_info, pr_notice, pr_warn
from klpfs.testing import ManualClock


def test_records_are_numbered_and_timed():
    """Sequence numbers have no gaps; time is the given clock's."""
    clock = ManualClock(5)
    log = Log(clock)
    log.add("one")
    clock.advance(7)
    log.add("two", 4, "module")
    assert [(r.seq, r.usec, r.priority, r.kind, r.text) for r in log.records] == [
        (0, 5, 6, "engine", "one"), (1, 12, 4, "module", "two")]


def test_ring():
    """The oldest go first, numbers go on."""
    log = Log(ManualClock(), size=2)
    for text in "abc":
        log.add(text)
    assert [(r.seq, r.text) for r in log.records] == [(1, "b"), (2, "c")]


def test_lines():
    """A text of several lines makes several records."""
    log = Log(ManualClock())
    assert log.add("a\nb").text == "b"
    assert log.texts() == ["a", "b"]


def test_sink():
    """Told of each record at once."""
    log, seen = Log(ManualClock()), []
    log.sink = seen.append
    log.add("a\nb")
    assert [record.text for record in seen] == ["a", "b"]


def test_helpers():
    """The prefix, and the kernel's priorities; each returns its text, for a KlpError."""
    log = Log(ManualClock())
    for helper, priority in ((pr_err, 3), (pr_warn, 4), (pr_notice, 5), (pr_info, 6), (pr_debug, 7)):
        assert helper(log, "text") == "text"
        assert (log.records[-1].text, log.records[-1].priority) == ("livepatch: text", priority)


@pytest.mark.parametrize("text, line", [
    ("", ""), ("a" * 1024, "a" * 1024), ("a" * 1025, "a" * 1024), ("a" * 9000, "a" * 1024),
    ("\u00e9" * 513, "\u00e9" * 512), ("a" + "\u00e9" * 512, "a" + "\u00e9" * 511), ("\u20ac" * 400, "\u20ac" * 341),
    ("\U0001f600" * 300, "\U0001f600" * 256), ("aa" + "\U0001f600" * 256, "aa" + "\U0001f600" * 255),
    ("\udcff" * 1024, "\udcff" * 1024), ("\udcff" * 1025, "\udcff" * 1024),
    ("a\ud800b", "a\\ud800b"), ("\udfff\udcff", "\\udfff\\udcff"), ("\ud800" * 1024, "\\ud800" * 170 + "\\ud8"),
    ("tab\t\x1b[31m\0", "tab\t\x1b[31m\0")], ids=lambda text: ascii(text[:12]))
def test_a_line_is_cut_and_can_be_shown(text, line):
    """Between two characters, after so many bytes; what can't be encoded is escaped; control characters are dev/kmsg's
    to escape."""
    assert line_of(text) == line and line_of(line) == line
    assert len(line.encode("utf-8", "surrogateescape")) <= LINE_BYTES
    log = Log(ManualClock())
    assert log.add(text, 4).text == line


def test_the_ring_has_a_size_in_bytes():
    """4,096 lines of 9 KB are not 36 MB in a program, nor in a message to a new daemon."""
    log = Log(ManualClock(), 4096)
    for n in range(5000):
        log.add(f"{n} " + "x" * 9000)
    used = sum(RECORD_BYTES + len(text) for text in log.texts())
    assert 0.9 < used / log_module.RING_BYTES <= 1.0 and log.texts()[-1].startswith("4999 ")
    for _ in range(4096):
        log.add("short")
    assert len(log.records) == 4096, "and in records"


def test_threads_that_add_at_once_lose_no_line(monkeypatch):
    """Nor does the ring's size drift: what was not counted is forgotten with its lines."""
    monkeypatch.setattr(log_module, "RING_BYTES", 10000 + LINE_BYTES)
    log, seen = Log(ManualClock()), []
    log.sink = seen.append
    threads = [threading.Thread(target=lambda: [log.add("x" * 36) for _ in range(3000)]) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(record.seq for record in seen) == list(range(12000))
    for _ in range(200):
        log.add("x" * 36)
    assert 95 <= len(log.records) <= 101
