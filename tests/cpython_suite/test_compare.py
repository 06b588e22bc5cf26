"""What differs between two runs of CPython's tests, and what of it has a reason."""
import pytest

from tests.cpython_suite import compare, explained, rows, suite

XML = b"""<testsuites><testsuite>
<testcase name="test.test_x.C.test_good" /><testcase name="test.test_x.C.test_twice" />
<testcase name="test.test_x.C.test_twice"><failure>Traceback
  more
AssertionError: 1 != 2
</failure></testcase>
<testcase name="test.test_x.C.test_skipped"><skipped>why</skipped></testcase>
<testcase name="test.test_x.C.test_sub (i=1)"><error type="x">KeyError: 3</error></testcase>
</testsuite></testsuites>"""


def outcome(returncode=0, **cases):
    return suite.Outcome(returncode, 1.0, {f"test_x.C.{name}": {*kinds.split()} for name, kinds in cases.items()})


def test_cases_of_a_file():
    """Each with all its results, those of its subtests, too."""
    results, words = suite.cases(XML)
    assert results == {"test_x.C.test_good": {"ok"}, "test_x.C.test_twice": {"ok", "failed"},
                       "test_x.C.test_skipped": {"skipped"}, "test_x.C.test_sub": {"error"}}
    assert words["test_x.C.test_twice"] == "AssertionError: 1 != 2"


@pytest.mark.parametrize("plain, patched, said", [
    ("ok", "ok", None), ("failed", "failed", None), ("skipped", "skipped", None),
    ("ok", "failed ok", "without klpfs ok, with failed and ok"), ("failed", "ok", "without klpfs failed, with ok"),
    ("ok", "skipped", "without klpfs ok, with skipped"), ("ok", "", "without klpfs ok, with not run"),
])
def test_each_case_is_compared(plain, patched, said):
    """In both directions; a case that is missing differs, too."""
    found = compare.differences(outcome(f=plain), outcome(f=patched), "3.15")
    assert [str(each) for each in found] == ([f"test_x.C.f: {said}"] if said else [])


def test_a_run_that_did_not_end_differs():
    """By its exit code, besides all cases that it does not have."""
    found = compare.differences(outcome(f="ok"), suite.Outcome(-11, 1.0), "3.15")
    assert [each.case for each in found] == ["test_x.C.f", "exit code"] and all(not each.reason for each in found)


def test_explained_ones_have_reasons_and_only_they(monkeypatch):
    monkeypatch.setattr(explained, "KNOWN", (("test_x", "C.f*", "failed", ("3.15",), "a reason"),))
    plain, patched = outcome(f="ok", f2="ok", g="ok"), outcome(f="failed", f2="failed ok", g="failed")
    assert [each.reason for each in compare.differences(plain, patched, "3.15")] == ["a reason", "a reason", None]
    assert [each.reason for each in compare.differences(plain, patched, "3.14")] == [None] * 3
    for other in "error", "failed error", "":
        assert [each.reason for each in compare.differences(outcome(f="ok"), outcome(f=other), "3.15")] == [None]


def test_rows_of_what_an_interpreter_has():
    """Long modules of test_asyncio by themselves, the others together; nothing that isn't there."""
    found = rows.rows(["test_threading", "test_asyncio.test_tasks", "test_asyncio.test_locks",
                       "test_asyncio.test_queues", "test_asyncio.test_windows_utils", "test_interpreters.test_api"])
    assert [(row.name, row.tests) for row in found] == [
        ("test_threading", ("test_threading",)), ("test_interpreters", ("test_interpreters",)),
        ("test_asyncio.test_tasks", ("test_asyncio.test_tasks",)),
        ("test_asyncio (2 others)", ("test_asyncio.test_locks", "test_asyncio.test_queues"))]
    assert [row.tests for row in rows.rows(["test_asyncio"])] == [("test_asyncio",)]
