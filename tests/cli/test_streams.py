"""The standard streams: a command whose caller closed some does all the same what it does, and says it nowhere else;
what an encoding does not have is escaped."""
import io
import os
import pathlib
import subprocess
import sys

import pytest

from klpfs.cli import streams

ROOT = str(pathlib.Path(__file__).parents[2])
STANDIN = "from klpfs.cli import standin; from klpfs.cli.standin import module; module.TREE = {top!r}; " \
          "standin.main([], [])"


@pytest.fixture
def shell(made, tmp_path):
    """shell(CLOSED, "insmod ..."): (exit code, what came out of standard output and error) of a command, once as klpfs
    has it and once as a stand-in."""
    top = made.service("shop", "lp1 16384 0 - Live 0x0000000000000000\n")

    def run(closed, *words):
        command, *rest = map(str, words)
        found = []
        for argv in ([sys.executable, "-m", "klpfs", command, "-m", str(made.path), *rest],
                     [sys.executable, "-c", STANDIN.format(top=str(top)), command, *rest]):
            done = subprocess.run(["sh", "-c", f'exec "$@" {closed}', "sh", *argv], capture_output=True, text=True,
                                  env={**os.environ, "PYTHONPATH": ROOT})
            found.append((done.returncode, done.stdout, done.stderr))
        return found
    run.top = top
    return run


CLOSED = [">&-", "<&- >&-", "2>&-", ">&- 2>&-", "<&- >&- 2>&-"]


@pytest.mark.parametrize("closed", CLOSED)
def test_what_succeeds_succeeds(shell, tmp_path, closed):
    (tmp_path / "fix.py").write_text("")
    assert shell(closed, "insmod", tmp_path / "fix.py") == [(0, "", "")] * 2
    assert (shell.top / "insmod").read_text() == str(tmp_path / "fix.py")
    assert [(code, err) for code, _, err in shell(closed, "lsmod")] == [(0, "")] * 2


@pytest.mark.parametrize("closed", CLOSED)
def test_an_error_line_is_for_the_standard_error_alone(shell, closed):
    said = "" if "2>&-" in closed else "insmod: ERROR: could not load module /nope.py: No such file or directory\n"
    assert shell(closed, "insmod", "/nope.py") == [(1, "", said)] * 2


@pytest.mark.parametrize("closed", CLOSED)
def test_what_a_command_opens_is_no_standard_stream(closed):
    """And each is closed again for the program that takes its place."""
    code = ("import os; from klpfs.cli import streams; streams.prepare(); assert os.open('/', os.O_RDONLY) > 2; "
            "assert not any(os.get_inheritable(fd) for fd in {closed})")
    numbers = [number for number, text in enumerate(("<&-", " >&-", "2>&-")) if text in " " + closed]
    done = subprocess.run(["sh", "-c", f'exec "$@" {closed}', "sh", sys.executable, "-c", code.format(closed=numbers)],
                          env={**os.environ, "PYTHONPATH": ROOT})
    assert done.returncode == 0


@pytest.mark.parametrize("encoding, errors, text, data", [
    ("utf-8", "strict", "\ud800", b"\\ud800"), ("utf-8", "surrogateescape", "\ud800é", b"\\ud800\xc3\xa9"),
    ("ascii", "strict", "é\U0001f600", b"\\xe9\\U0001f600"), ("latin-1", "strict", "é€", b"\xe9\\u20ac"),
    ("utf-8", "strict", "\udcff\ud800\udcfe", b"\xff\\ud800\xfe"),     # the bytes of a file's name, as ls(1) has them
    ("ascii", "surrogateescape", "\udcffé", b"\xff\\xe9"),
])
def test_what_can_not_be_encoded_is_escaped(monkeypatch, encoding, errors, text, data):
    out = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(out, encoding=encoding, errors=errors))
    streams.prepare()
    print(text, end="", flush=True)
    assert out.getvalue() == data


def test_a_file_may_say_what_no_encoding_has(shell, tmp_path):
    (tmp_path / "lone.py").write_text('__version__ = "\\ud800"\n')
    assert shell("", "modinfo", "-F", "version", tmp_path / "lone.py") == [(0, "\\ud800\n", "")] * 2


def test_a_stream_that_has_its_own_way_keeps_it(monkeypatch):
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(io.BytesIO(), encoding="ascii", errors="replace"))
    streams.prepare()
    assert sys.stdout.errors == "replace"
