"""The table's totals: what counts for the goal, and what counts apart."""
from tests.corpus import report
from tests.corpus.session import Result


def results(*given):
    return [Result(f"e{n}", kind, hand=hand, ok=ok) for n, (kind, hand, ok) in enumerate(given)]


def test_the_goal_is_reached():
    rows = results(*[("a", 0, True)] * 19, ("c", 20, True), ("d", 0, False))
    assert report.reached(rows)
    assert report.totals(rows).startswith(
        "19 of 20 with no hand-written line (95 %, goal 95 %), 20 with at most 20 (goal 20)"
    )
    assert "without Python code, apart: 0 of 1" in report.totals(rows)


def test_it_is_missed_by_one_entry_too_many_with_hand_written_lines():
    assert not report.reached(results(*[("a", 0, True)] * 18, *[("a", 1, True)] * 2))


def test_it_is_missed_by_one_entry_that_is_not_carried():
    assert not report.reached(results(*[("a", 0, True)] * 39, ("c", 0, False)))


def test_it_is_missed_by_one_entry_with_too_many_lines():
    assert not report.reached(results(*[("a", 0, True)] * 39, ("c", 21, True)))


def test_what_is_not_carried_is_counted_by_how_it_ends():
    rows = [Result("a", "-", ok=True, outcome="carried", cpu=4.0), Result("b", "-", outcome="refused", cpu=2.0),
            Result("c", "-", outcome="loaded and wrong", cpu=9.0)]
    assert "; loaded and wrong: 1; refused: 1; " in report.totals(rows)
    assert report.totals(rows).endswith("4.0 s of processor time (median), 9.0 at most")


def test_a_row_says_why():
    row = report.row(Result("x-1", "a", reason="not built: because"))
    assert row.startswith("x-1 ") and row.endswith("not built: because")
