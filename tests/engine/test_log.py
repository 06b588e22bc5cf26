"""The log is a ring with the kernel's priorities."""
from klpfs.engine.log import Log, pr_debug, pr_err, pr_info, pr_notice, pr_warn
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
