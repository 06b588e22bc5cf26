"""What klpfs asks of other interpreters: a program that they run and its answer.

An interpreter may print at its start (sitecustomize, a .pth file), so an answer is one line behind a marker; and it
may never end, so each question has a time limit.
"""
from __future__ import annotations

import functools
import subprocess

MARKER = "klpfs asks:"
QUICK = 60.0            # seconds, for what an interpreter knows without reading files


class NoAnswer(Exception):
    """An interpreter that can't be run, failed, printed no answer or was too slow. Its text says which."""


def ask(python: str, program: str, *arguments: str, input: bytes = b"", limit: float = QUICK) -> str:
    """The first line that an interpreter prints when it runs a program. limit: seconds. NoAnswer.

    >>> import sys
    >>> ask(sys.executable, "print(1 + 1)")
    '2'
    """
    command = [python, "-c", f"print({MARKER!r}, flush=True)\n{program}", *arguments]
    try:
        done = subprocess.run(command, input=input, capture_output=True, timeout=limit)
    except OSError as error:
        raise NoAnswer(error.strerror) from None
    except subprocess.TimeoutExpired:
        raise NoAnswer(f"no answer within {limit:g} seconds") from None
    if done.returncode:
        raise NoAnswer((done.stderr.decode(errors="replace").strip().splitlines() or ["it failed"])[-1])
    _, marker, answer = done.stdout.decode(errors="replace").partition(f"{MARKER}\n")
    if not marker:
        raise NoAnswer("it ran nothing of what it was given")
    return answer.partition("\n")[0]


@functools.cache
def version_of(python: str) -> tuple[int, int] | None:
    """The first two numbers of an interpreter's version, asked once; None: it does not answer."""
    try:
        major, minor = ask(python, "import sys; print(*sys.version_info[:2])").split()[:2]
        return int(major), int(minor)
    except (NoAnswer, ValueError):
        return None
