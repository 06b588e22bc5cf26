"""The log's ring: numbers of its own, in order of time round by round; what is overrun is said."""
import pytest

from klpfs.service import log_ring
from klpfs.service.log_ring import LogRecord, LogView


def texts(view):
    return [record.text for record in view.records]


def filled(size, count):
    view = LogView(size)
    for n in range(count):
        view.add(n, 6, f"line {n}")
    return view


def test_a_record_has_its_number_time_priority_and_text():
    view = LogView()
    view.add(5, 4, "a")
    assert list(view.records) == [LogRecord(0, 5, 4, "a")] and view.get(0) == LogRecord(0, 5, 4, "a")
    assert (view.first_seq, view.next_seq) == (0, 1)


def test_an_empty_log():
    view = LogView()
    assert (view.first_seq, view.next_seq, list(view.records)) == (0, 0, []) and view.get(0) is None


def test_a_round_is_put_in_order_of_time():
    """A round ends when somebody reads; what comes later stays later, whatever its time."""
    view = LogView()
    for usec, text in ((30, "c"), (10, "a"), (20, "b")):
        view.add(usec, 6, text)
    assert texts(view) == ["a", "b", "c"]
    view.add(5, 6, "late")
    assert texts(view) == ["a", "b", "c", "late"] and [record.seq for record in view.records] == [0, 1, 2, 3]


def test_lines_of_one_microsecond_stay_as_they_came():
    view = LogView()
    for text in "bca":
        view.add(10, 6, text)
    assert texts(view) == ["b", "c", "a"]


def test_a_record_s_time_may_become_lower_within_the_round():
    """Another process has said the same line earlier."""
    view = LogView()
    view.add(20, 6, "first")
    late = view.add(30, 6, "said by two")
    late.usec = 10
    assert texts(view) == ["said by two", "first"]
    late.usec = 50                             # the round is over: readers have seen it
    assert view.get(0) == LogRecord(0, 10, 6, "said by two")


@pytest.mark.parametrize("look", [lambda view: view.first_seq, lambda view: view.records, lambda view: view.get(2)],
                         ids=["first_seq", "records", "get"])
def test_each_way_to_look_ends_the_round(look):
    view = filled(2, 3)
    assert view.next_seq == 0
    look(view)
    assert view.next_seq == 3


def test_overrun():
    """A ring: what is overrun raises IndexError once asked for, what is to come is None."""
    view = filled(3, 5)
    assert (view.first_seq, view.next_seq, texts(view)) == (2, 5, ["line 2", "line 3", "line 4"])
    with pytest.raises(IndexError):
        view.get(1)
    assert view.get(2).text == "line 2" and view.get(5) is None


def test_a_round_that_is_longer_than_the_ring():
    view = filled(2, 3)
    assert len(view.records) == 2
    for n in range(3, 8):
        view.add(n, 6, f"line {n}")
    assert texts(view) == ["line 6", "line 7"] and (view.first_seq, view.next_seq) == (6, 8)


def test_added_is_told_once_a_round():
    view, calls = LogView(), []
    view.on_added = lambda: calls.append(1)
    view.add(1, 5, "a")
    view.add(1, 5, "b")
    assert calls == [1]
    assert len(view.records) == 2
    view.add(1, 5, "c")
    assert calls == [1, 1]


def test_lines_are_cut_whoever_says_them():
    """A process need not have cut them."""
    view = LogView()
    view.add(1, 6, "x" * 9000)
    view.add(2, 6, "\u00e9" * 9000 + "\ud800")
    assert [len(text.encode()) for text in texts(view)] == [1024, 1024]


def test_the_ring_has_a_size_in_bytes():
    view = LogView(size_bytes=10 * (64 + 36))
    for n in range(25):
        view.add(n, 6, f"{n:36}")
    assert [int(text) for text in texts(view)] == list(range(15, 25)) and view.first_seq == 15
    view.add(25, 6, "x" * 500)
    assert view.first_seq == 21 and view.get(25).text == "x" * 500


def test_a_log_that_nobody_reads_does_not_grow(monkeypatch):
    monkeypatch.setattr(log_ring, "ROUND", 8)
    view = LogView(size=8)
    for n in range(100):
        view.add(n, 6, str(n))
        assert len(view._late) <= 8
    assert texts(view)[-1] == "99" and view.next_seq == 100
