"""Questions to other interpreters: which may print at their start, fail, or never end."""
import doctest
import sys

import pytest

from klpfs.builder.plan.flag_complements import any_inverts
from klpfs.builder.read import other_pythons
from klpfs.builder.read.other_pythons import NoAnswer, ask, version_of


@pytest.fixture
def fake(tmp_path):
    def fake(text):
        path = tmp_path / "python"
        path.write_text(f"#!/bin/sh\necho x >> {tmp_path}/asked\n{text}\n")
        path.chmod(0o755)
        return str(path)
    return fake


def test_what_an_interpreter_prints_at_its_start_is_no_answer(fake):
    """Nor at its end."""
    python = fake(f"printf 'sitecustomize says 9 9'; {sys.executable} \"$@\"; echo 9 9")
    assert ask(python, "import sys; print(sys.argv[1], sys.stdin.read())", "a", input=b"b") == "a b"
    assert version_of(python) == sys.version_info[:2] and any_inverts([python]) == (sys.version_info >= (3, 15))


def test_the_version_is_asked_once(fake, tmp_path):
    python = fake("echo klpfs asks:; echo 3 99")
    assert version_of(python) == version_of(python) == (3, 99)
    assert (tmp_path / "asked").read_text() == "x\n"


@pytest.mark.parametrize("text, words", [
    ("echo 3 15", "it ran nothing of what it was given"), ("echo what a pity >&2; exit 1", "what a pity"),
    ("exit 1", "it failed"), ("exec sleep 100", "no answer within 0.5 seconds"),
])
def test_no_answer_says_why(fake, text, words, monkeypatch):
    python = fake(text)
    with pytest.raises(NoAnswer, match=words):
        ask(python, "print(1)", limit=0.5 if "sleep" in text else 60)
    if "sleep" not in text:
        assert version_of(python) is None and not any_inverts([python])


def test_what_is_not_there_gives_no_answer():
    with pytest.raises(NoAnswer, match="No such file"):
        ask("/no/such/python", "print(1)")
    assert version_of("/no/such/python") is None


def test_an_answer_that_is_no_version(fake):
    assert version_of(fake("echo klpfs asks:; echo hello world")) is None


def test_examples():
    assert doctest.testmod(other_pythons).failed == 0
