"""The end of build and diff by a signal: nothing stays, and the exit code says which signal."""
import os
import pathlib
import signal
import subprocess
import sys

import pytest

from klpfs.cli.ending import Ended, cleaned_up

ROOT = str(pathlib.Path(__file__).parents[2])
HELD = """
import sys, time
from klpfs.builder.read import sources
from klpfs.cli.main import main
def find(*arguments):
    print("in the middle", flush=True)
    while True:         # not signal.pause(): a signal that comes just before it would wait for the next (3.14, 3.15)
        time.sleep(0.01)
sources.find = find
sys.exit(main(sys.argv[1:]))
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
@pytest.mark.parametrize("words", ["build old new -o out/fix.py", "diff fix.py old new"])
def test_what_was_made_on_the_way_goes(tmp_path, words, number):
    (tmp_path / "fix.py").write_text("from klpfs import Patch\npatch = Patch([])\n")
    for name in ("tmp", "out", "old", "new"):
        (tmp_path / name).mkdir()
    environ = {**os.environ, "PYTHONPATH": ROOT, "TMPDIR": str(tmp_path / "tmp")}
    with subprocess.Popen([sys.executable, "-c", HELD, *words.split()], cwd=tmp_path, env=environ,
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                          # whoever started the tests may ignore it: a shell does for what it puts into the background
                          preexec_fn=lambda: signal.signal(number, signal.SIG_DFL)) as command:
        assert command.stdout.readline() == b"in the middle\n" and len(os.listdir(tmp_path / "tmp")) == 1
        command.send_signal(number)
        assert command.communicate() == (b"", b"")
    assert command.returncode == 128 + number
    assert os.listdir(tmp_path / "tmp") == os.listdir(tmp_path / "out") == []


@pytest.fixture
def by_default():
    """Both signals end a process: whoever started the tests may ignore SIGHUP, as nohup does."""
    before = {number: signal.signal(number, signal.SIG_DFL) for number in (signal.SIGTERM, signal.SIGHUP)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


def test_a_second_signal_does_not_end_the_cleaning_up(by_default):
    done = []
    with pytest.raises(Ended) as e, cleaned_up():
        try:
            signal.raise_signal(signal.SIGHUP)
        finally:
            signal.raise_signal(signal.SIGTERM)
            signal.raise_signal(signal.SIGHUP)
            done.append("cleaned up")
    assert done and e.value.number == signal.SIGHUP
    assert signal.getsignal(signal.SIGTERM) == signal.getsignal(signal.SIGHUP) == signal.SIG_DFL


@pytest.mark.parametrize("before", [signal.SIG_IGN, lambda number, frame: None])
def test_a_signal_that_has_its_way_keeps_it(before):
    """nohup klpfs build ..."""
    signal.signal(signal.SIGHUP, before)
    try:
        with cleaned_up():
            signal.raise_signal(signal.SIGHUP)
        assert signal.getsignal(signal.SIGHUP) is before
    finally:
        signal.signal(signal.SIGHUP, signal.SIG_DFL)
