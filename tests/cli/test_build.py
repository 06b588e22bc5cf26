"""build: exit codes, and what is said where. (How it is written: test_output.py; what is built: tests/builder.)"""
import errno
import os

import pytest

from klpfs.cli import main as front


@pytest.fixture
def build(tmp_path, capfd):
    """build(OLD's text, NEW's text, options ...): (exit code, stdout, stderr, was a file written)."""
    def run(old, new, *options):
        for version, text in (("old", old), ("new", new)):
            (tmp_path / version).mkdir(exist_ok=True)
            (tmp_path / version / "m.py").write_text(text)
        old, new, fix = (str(tmp_path / name) for name in ("old", "new", "fix.py"))
        code = front.main(["build", old, new, "-o", fix, *options])
        out, err = capfd.readouterr()
        return code, out.replace(str(tmp_path), ""), err, (tmp_path / "fix.py").exists()
    return run


def test_what_was_written_is_said(build):
    done = build("def f():\n    return 1\n", "def f():\n    return 2\n")
    assert done == (0, "/fix.py: 1 functions in 1 modules\n", "", True)


def test_nothing_to_do_has_an_exit_code_of_its_own(build):
    code, out, err, written = build("x = 1\n", "# a comment\nx = 1\n")
    assert (code, out, written) == (3, "", False) and err.startswith("klpfs build: ") and err.count("\n") == 1


MADE = ("class C:\n    def __init__(self{0}):\n        self.a = 1{1}\n\n    def g(self):\n        return self.a{2}\n\n"
        "\ndef f():\n    return {3}\n")
REFUSED = MADE.format("", "", "", 1), MADE.format(", m", "; self.m = m", " + self.m", 2)


def test_a_change_that_is_refused_is_named_and_nothing_is_written(build):
    code, out, err, written = build(*REFUSED)
    first, last = err.splitlines()
    assert (code, out, written) == (1, "", False)
    assert first.startswith("klpfs build: ") and "m.py:3: " in first and "'m' is new" in first
    assert last == "klpfs build: 1 change(s) refused, nothing written (--allow takes the rest)"


def test_allow_takes_the_rest(build):
    code, out, err, written = build(*REFUSED, "--allow")
    assert (code, out, written) == (0, "/fix.py: 3 functions in 1 modules\n", True)      # __init__, g, f
    assert "'m' is new" in err


def test_a_source_that_can_not_be_read(build, tmp_path, capfd):
    assert front.main(["build", str(tmp_path / "no"), str(tmp_path / "where"), "-o", str(tmp_path / "fix.py")]) == 1
    assert capfd.readouterr().err.startswith("klpfs build: ") and os.listdir(tmp_path) == []


def test_verify_refuses_what_the_livepatch_does_not_do(build):
    """By the path of the object that stays as it was; --allow writes the livepatch and says the same."""
    text = ("import threading\nclass C:\n    L = {}\n"
            "    def __init__(self): self.l, self.lock = self.L, threading.Lock()\nD = C()\n")
    old, new = text.format(1), text.format(2)
    code, out, err, written = build(old, new)
    assert (code, out, written) == (1, "", False) and "m:D.l: is 1; should be 2" in err.splitlines()[0]
    code, out, err, written = build(old, new, "--allow")
    assert (code, written) == (0, True) and "m:D.l: is 1; should be 2" in err.splitlines()[0]
    assert build(old, new, "--no-verify")[0] == 0


def test_verify_knows_the_main_program(build):
    """Object(None) is the module that --main names: what is right is carried, what is wrong is named."""
    text = ("class C:\n    L = {0}\n    def __init__(self): self.l = self.L\nD = C()\ndef f():\n    return {0}\n"
            "if __name__ == '__main__':\n    f()\n")
    code, out, err, written = build(text.format(1), text.format(2), "--main", "m")
    assert (code, written) == (0, True) and err == "klpfs build: note: carried: m:D.l becomes 2\n"


def test_verify_as_a_program_is_run_with_o(build):
    """What differs there alone is seen only when it is asked for."""
    text = ("import threading\nclass C:\n    L = {}\n    def __init__(self): self.l, self.lock = self.L, "
            "threading.Lock()\nD = None if __debug__ else C()\n")
    old, new = text.format(1), text.format(2)
    assert build(old, new)[0] == 0
    assert "m:D.l: is 1; should be 2" in build(old, new, "--optimize", "0", "--optimize", "1")[2]


def test_a_proof_that_has_no_room_is_named(build, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device", "/tmp/x")
    monkeypatch.setattr("klpfs.builder.verify.verify.lay_out", full)
    code, out, err, written = build("def f():\n    return 1\n", "def f():\n    return 2\n")
    assert (code, out, written) == (1, "", False) and err == (
        "klpfs build: no proof, the releases can't be laid out: [Errno 28] No space left on device: '/tmp/x' "
        "(--no-verify writes what nobody has verified)\n")
