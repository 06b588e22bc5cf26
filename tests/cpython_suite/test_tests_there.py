"""An interpreter that has CPython's tests: the one that is here, one that is fetched, or none, by name."""
import sys

import pytest

from tests.cpython_suite import __main__ as command
from tests.cpython_suite import interpreters


@pytest.fixture
def archive(tmp_path, monkeypatch):
    """archive(TEXT): no CPython here has its tests, and scripts/get-python is this shell script."""
    monkeypatch.setattr(interpreters, "find", lambda minor: None)
    monkeypatch.setattr(interpreters, "ROOT", tmp_path)
    (tmp_path / "scripts").mkdir()

    def make(text):
        script = tmp_path / "scripts" / "get-python"
        script.write_text(f"#!/bin/sh\n{text}\n")
        script.chmod(0o755)
    return make


def test_one_that_is_here(monkeypatch):
    monkeypatch.setattr(interpreters, "find", lambda minor: sys.executable if minor == 14 else None)
    monkeypatch.setattr(interpreters, "has_tests", lambda python: python == sys.executable)
    assert str(interpreters.with_tests("3.14")) == sys.executable


def test_one_that_is_fetched(archive, tmp_path):
    """With Debian's package of the tests."""
    archive('mkdir -p "$2/bin"; echo "$PACKAGES" > "$2/packages"; printf "#!/bin/sh\\n" > "$2/bin/python$1"; '
            'chmod +x "$2/bin/python$1"')
    assert interpreters.with_tests("3.15") == tmp_path / ".venvs/cpython-3.15/bin/python3.15"
    assert (tmp_path / ".venvs/cpython-3.15/packages").read_text() == "libpython3.15-testsuite\n"


def test_what_cannot_be_had_is_skipped_by_name(archive, capsys):
    """Nothing was run then: that is not success."""
    archive("echo 'scripts/get-python: forky has no python3.15' >&2; exit 3")
    with pytest.raises(interpreters.NotHere, match="forky has no python3.15"):
        interpreters.with_tests("3.15")
    if command.harness.why_no_fuse():
        pytest.skip("no FUSE mount here")
    assert command.main(["--pythons", "3.15"]) == 2
    said = capsys.readouterr().out
    assert "CPython 3.15 skipped, its tests can't be had: scripts/get-python: forky has no python3.15" in said
    assert "; skipped: 3.15" in said.splitlines()[-1]
