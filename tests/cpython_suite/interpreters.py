"""The CPythons whose own tests are run: one that is here and has them, else one out of Debian's archive.

Debian packs the tests apart (libpython3.N-testsuite); `scripts/get-python` takes them, with an interpreter, into
.venvs/cpython-3.N, through apt and without root.
"""
from __future__ import annotations

import os
import subprocess
from pathlib import Path

from tests.pythons import find

ROOT = Path(__file__).resolve().parents[2]
SECONDS = 600   # what fetching may take
CHECK = "import test.test_asyncio, test.test_threading"


class NotHere(Exception):
    """No CPython of this version with its tests can be had; the text says why."""


def has_tests(python: str | Path) -> bool:
    """Whether an interpreter has CPython's tests."""
    try:
        done = subprocess.run([python, "-I", "-c", CHECK], capture_output=True, stdin=subprocess.DEVNULL)
    except OSError:
        return False
    return done.returncode == 0


def with_tests(version: str) -> Path:
    """The interpreter of CPython 3.N that has its tests; NotHere."""
    here = find(int(version.removeprefix("3.")))
    if here and has_tests(here):
        return Path(here)
    folder = ROOT / ".venvs" / f"cpython-{version}"
    python = folder / "bin" / f"python{version}"
    if has_tests(python):
        return python
    print(f"cpython: CPython {version} with its tests, out of Debian's archive ...", flush=True)
    environ = {**os.environ, "PACKAGES": f"libpython{version}-testsuite"}
    try:
        done = subprocess.run([ROOT / "scripts" / "get-python", version, folder], env=environ, timeout=SECONDS,
                              stdin=subprocess.DEVNULL, capture_output=True, text=True)
    except subprocess.TimeoutExpired:
        raise NotHere(f"the archive took more than {SECONDS} s") from None
    if done.returncode:
        said = [line for line in done.stderr.splitlines() if line.strip()]
        raise NotHere(said[-1] if said else f"scripts/get-python: exit code {done.returncode}")
    if not has_tests(python):
        raise NotHere(f"{python.relative_to(ROOT)} has no tests")
    return python
