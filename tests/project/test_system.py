"""scripts/system: parts of the system that are there, that are missing, that nobody knows."""
from __future__ import annotations

import os
import pathlib
import shutil
import subprocess

import pytest

SYSTEM = pathlib.Path(__file__).resolve().parents[2] / "scripts" / "system"


@pytest.fixture
def bare(tmp_path: pathlib.Path) -> pathlib.Path:
    """The PATH of a machine that has next to nothing, and no apt-get either."""
    for name in ("sh", "id", "tr", "sed"):
        (tmp_path / name).symlink_to(shutil.which(name) or pytest.fail(f"no {name} here"))
    return tmp_path


def system(path: pathlib.Path, *parts: str) -> tuple[int, str, str]:
    done = subprocess.run([SYSTEM, *parts], env={**os.environ, "PATH": str(path)}, capture_output=True, text=True)
    return done.returncode, done.stdout, done.stderr


def test_what_is_missing_is_one_line_with_the_command(bare: pathlib.Path) -> None:
    assert system(bare, "fuse", "curl", "redis") == (
        1, "", "scripts/system: missing here: fuse curl redis (as root: apt-get install fuse3 curl redis-server)\n")


def test_what_is_there_is_not_missed(bare: pathlib.Path) -> None:
    for name in ("fusermount3", "curl"):
        (bare / name).write_text("#!/bin/sh\n")
        (bare / name).chmod(0o755)
    assert system(bare, "fuse", "curl") == (0, "", "")
    assert system(bare, "curl", "redis")[2] == (
        "scripts/system: missing here: redis (as root: apt-get install redis-server)\n")


def test_root_installs_each_part_by_itself(bare: pathlib.Path) -> None:
    """What can't be had keeps nothing else away; it is named at the end."""
    (bare / "id").unlink()
    (bare / "chmod").symlink_to(shutil.which("chmod") or "")
    for name, text in (("id", "echo 0"), ("apt-get", """
            case "$*" in
            *fuse3) exit 100 ;;
            *curl) : > "${0%/*}/curl"; chmod +x "${0%/*}/curl" ;;
            esac""")):
        (bare / name).write_text(f"#!/bin/sh\n{text}\n")
        (bare / name).chmod(0o755)
    assert system(bare, "fuse", "curl") == (
        1, "", "scripts/system: missing here: fuse (as root: apt-get install fuse3)\n")
    assert (bare / "curl").exists()


def test_a_part_that_it_does_not_know(bare: pathlib.Path) -> None:
    assert system(bare, "curl", "bogus") == (2, "", "scripts/system: it knows no part bogus\n")
