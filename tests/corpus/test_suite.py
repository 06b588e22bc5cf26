"""The tests of NEW that a release changed."""
from tests.corpus.suite import changed_tests


def test_they_are_found_in_both_source_archives(tmp_path):
    for which, files in (("old", {"tests/test_a.py": "1", "tests/test_b.py": "1", "p/a.py": "1"}),
                         ("new", {"tests/test_a.py": "2", "tests/test_b.py": "1", "p/a.py": "2", "tests/data.py": "2",
                                  "p/tests/test_c.py": "2", "test_d.py": "2", "p/deep/er/test_e.py": "2"})):
        for name, text in files.items():
            path = tmp_path / which / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
    assert changed_tests(tmp_path / "new", tmp_path / "old") == ["p/tests/test_c.py", "test_d.py", "tests/test_a.py"]
