"""check --against NEW: the proof of a build in the surroundings of each process of a service, by what these told in the
tree's file `check`: interpreter, level of -O, import path.

That is a process's own word, and its folders hold its code: what it names runs as its user, never as who asks.
"""
from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterable
from typing import NamedTuple

from klpfs.service.check_text import IMPORTS_FROM, RUN_BY

DIFFERS = "would not do what NEW does"
NOT_TOLD = "could not tell"


class Surroundings(NamedTuple):
    """What runs a process. user: by the kernel's word."""

    python: str
    level: str
    path: tuple[str, ...]
    user: int
    group: int


def surroundings(text: str) -> dict[Surroundings, str]:
    """{surroundings: the first process that has them} of check's text."""
    found: dict[Surroundings, str] = {}
    pid = run_by = ""
    for line in text.split("\n"):
        if line[:1] != " ":
            pid = line.split(" ")[1] if line.startswith("process ") else ""
        elif pid and line.startswith(f" {RUN_BY}"):
            run_by = line[len(RUN_BY) + 1:]
        elif run_by and pid and line.startswith(f" {IMPORTS_FROM}"):
            with contextlib.suppress(OSError):      # it has ended
                owner = os.stat(f"/proc/{pid}")
                python, level = next(((run_by[:-len(each) - 1], each) for each in ("-O", "-OO")
                                      if run_by.endswith(f" {each}")), (run_by, ""))
                path = tuple(line[len(IMPORTS_FROM) + 1:].split(":"))
                found.setdefault(Surroundings(python, level, path, owner.st_uid, owner.st_gid), pid)
            pid = run_by = ""
    return found


def held_against(text: str, file: str, new: str) -> tuple[list[str], str]:
    """(lines, verdict) on the livepatch in a file; '' for a verdict: nothing speaks against it. text: what check said
    of it."""
    lines: list[str] = []
    verdicts: list[str] = []
    found = surroundings(text)
    if not found:
        return [], f"{NOT_TOLD}: no process says what runs it"
    for place, pid in found.items():
        lines.append(f"against {new}, by {f'{place.python} {place.level}'.rstrip()} as process {pid} has it")
        other = other_files(pid, (place.python, *place.path))
        if other:
            verdicts.append(f"{NOT_TOLD}: {other} is another file for process {pid} than here")
            continue
        said, verdict = _as_user(place, os.path.abspath(file), os.path.abspath(new) if os.path.exists(new) else new)
        lines += said
        verdicts.append(verdict)
    return lines, next((each for words in (DIFFERS, NOT_TOLD) for each in verdicts if each.startswith(words)), "")


def other_files(pid: str, paths: Iterable[str]) -> str:
    """The first path that leads a process elsewhere than us: it has a root or mounts of its own (a container); ''."""
    return next((path for path in paths if path[:1] == "/" and _file(path) != _file(f"/proc/{pid}/root{path}")), "")


def _file(path: str) -> tuple[int, int] | None:
    try:
        found = os.stat(path)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError:                     # nobody knows: as no file of ours
        return (-1, -1) if path.startswith("/proc/") else (-2, -2)
    return found.st_dev, found.st_ino


def _as_user(place: Surroundings, file: str, new: str) -> tuple[list[str], str]:
    """_proof, as the process's user."""
    if place.user == os.geteuid():
        return _proof(place, file, new)
    if os.geteuid():
        return [], f"{NOT_TOLD}: the process is another user's"
    read, write = os.pipe()
    child = os.fork()
    if not child:
        with contextlib.suppress(BaseException):
            _become(place)
            with os.fdopen(write, "w", encoding="utf-8") as answer:
                json.dump(_proof(place, file, new), answer)
        os._exit(0)
    os.close(write)
    with os.fdopen(read, encoding="utf-8") as answered:
        answer_text = answered.read()
    os.waitpid(child, 0)
    try:
        lines, verdict = json.loads(answer_text)
    except ValueError:
        return [], f"{NOT_TOLD}: the proof could not be run as user {place.user}"
    return lines, verdict


def _become(place: Surroundings) -> None:
    from klpfs.builder import against, verify  # noqa: F401 (while they can be read for certain)
    from klpfs.builder.verify import sandbox
    os.setgroups([])
    os.setgid(place.group)
    os.setuid(place.user)
    os.environ["HOME"] = "/"
    os.chdir("/")
    sandbox.why_not.cache_clear()


def _proof(place: Surroundings, file: str, new: str) -> tuple[list[str], str]:
    from klpfs.builder.against import NotTold, against
    try:
        with open(file, encoding="utf-8", errors="surrogateescape") as stream:
            text = stream.read()
        proof = against(text, new, place.python, max(len(place.level) - 1, 0), place.path)
    except (OSError, NotTold) as error:
        return [], f"{NOT_TOLD}: {error}"
    differences = [f"{each.what}: {each.why}" for each in proof.refused]
    lines = [f" differs: {each}" for each in differences]
    lines += [f" note: {each}" for each in dict.fromkeys(proof.warned + proof.notes)]
    return lines, f"{DIFFERS}: {differences[0]}" if differences else ""
