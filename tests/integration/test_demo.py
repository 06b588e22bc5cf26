"""The demonstration is the acceptance test: make run, with a real service of several processes, must end well."""
import pathlib
import re
import subprocess
import sys

import pytest

from demo import __main__ as story

PROJECT = pathlib.Path(__file__).parents[2]


@pytest.mark.fuse
@pytest.mark.slow
def test_make_run():
    done = subprocess.run([sys.executable, "-m", "demo"], cwd=PROJECT, capture_output=True, text=True, timeout=300)
    if done.returncode == 2:
        pytest.skip(done.stderr.strip().splitlines()[-1])
    assert done.returncode == 0, done.stdout + done.stderr
    assert "not one request lost" in done.stdout
    steps = done.stdout.split("\n== ")[1:]
    asked = [len(set(re.findall(r"^  worker (\d+):", step, re.M))) for step in steps]
    assert asked == [2, 2, 2, 3, 3], "each worker was asked in each step"
    assert "Traceback" not in done.stdout + done.stderr


@pytest.mark.fuse
def test_a_service_that_has_ended_is_said_with_its_words(tmp_path, monkeypatch, capsys):
    """As a worker that can't boot ends gunicorn, which has its port by then."""
    server = tmp_path / "python"
    server.write_text("#!/bin/sh\necho 1\necho 'no worker can boot' >&2\n")
    server.chmod(0o755)
    monkeypatch.setattr(story, "environment", lambda: (server, "0"))
    assert story.main() == 1
    said = capsys.readouterr().err
    assert "demo: FAILED: " in said and "the service has ended by itself" in said and "\nno worker can boot\n" in said
