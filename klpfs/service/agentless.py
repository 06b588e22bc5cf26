"""Processes of a service that have no agent: Pythons with the service's environment that `klpfs run` has not reached.

Such a process runs on unpatched, whatever the tree says of the others, so people are to hear of it, and why that may
be. What is known of a process is what /proc shows to whoever asks: its environment when it was started (a variable that
a program sets later is not seen), its command line, the files in its memory. A process that is no Python, is too young
to have an agent, or is another user's and can't be looked at is not named.

Looking at another process's environment waits while that process's memory is being changed, so the daemon does it in a
child (child_work.py).
"""
from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import NamedTuple

from klpfs.protocol.process_identity import stat_words
from klpfs.protocol.python_command import BOOT, WITHOUT_AGENT, is_python, python_options

YOUNG_S = 3.0               # a process that began later may be about to start its agent
_LIBRARY = re.compile(r"/libpython(\d)\.(\d+)(t?)[^/]*$")
_NAMED = re.compile(r"/python(\d)\.(\d+)(t?)[^/]*$")
_STARTED = 22 - 3           # words of /proc/PID/stat, from the state on: proc(5)


# without annotations, for which typing imports Python's parser from 3.14 on
class Agentless(NamedTuple("Agentless", [("pid", int), ("command", str), ("service", str), ("why", str)])):
    """A Python process with a service's environment, and no agent. command: its words, with blanks between. why: for
    people.

    >>> Agentless(12, "python3 -I app.py", "shop", "-I: Python starts isolated").text
    'process 12 python3 -I app.py: has no agent and is not patched: -I: Python starts isolated'
    """

    __slots__ = ()

    @property
    def text(self) -> str:
        """A line for people."""
        return f"process {self.pid} {self.command}: has no agent and is not patched: {self.why}"


def find(runtime_dir: str, known: Collection[int], service: str | None = None, root: str = "/proc") -> list[Agentless]:
    """The processes without an agent, by number. runtime_dir: the folder of the services' folders. known: the processes
    that have an agent. service: its name; None: of all services. root: where proc(5) is mounted."""
    return sorted(_find(os.path.realpath(runtime_dir), known, service, root))


def _find(runtime_dir: str, known: Collection[int], service: str | None, root: str) -> Iterator[Agentless]:
    newest = _uptime(root) - YOUNG_S
    for name in os.listdir(root):
        if not name.isascii() or not name.isdigit() or int(name) in known:
            continue
        # it ends meanwhile, or is another user's
        with contextlib.suppress(OSError, ValueError, IndexError):
            place = f"{root}/{name}"
            environ = dict(_pairs(_words(f"{place}/environ")))
            of = environ.get("KLPFS_SERVICE", "")
            if not of or service not in (None, of):
                continue
            if os.path.realpath(environ.get("KLPFS_RUNTIME_DIR", "")) != runtime_dir or _began(name, root) > newest:
                continue
            words, files = _words(f"{place}/cmdline"), _files(place)
            if words and _is_python(files):
                yield Agentless(int(name), " ".join(words), of, _why(words, environ, files, f"{place}/root"))


def _uptime(root: str) -> float:
    """Seconds since the machine has started."""
    with open(f"{root}/uptime", encoding="ascii") as file:
        return float(file.read().split()[0])


def _began(name: str, root: str) -> float:
    """When a process has begun, in seconds since the machine has started."""
    return int(stat_words(name, root)[_STARTED]) / os.sysconf("SC_CLK_TCK")


def _words(path: str) -> list[str]:
    with open(path, "rb") as file:
        return [os.fsdecode(word) for word in file.read().split(b"\0") if word]


def _pairs(words: Iterable[str]) -> Iterator[tuple[str, str]]:
    for word in words:
        key, is_there, value = word.partition("=")
        if is_there:
            yield key, value


def _files(place: str) -> list[str]:
    """The program's file first, then what is mapped of files that a Python may be in."""
    files = [os.readlink(f"{place}/exe")]
    with open(f"{place}/maps", encoding="utf-8", errors="surrogateescape") as file:
        files += dict.fromkeys(line[line.index("/"):].rstrip("\n") for line in file if "/libpython" in line)
    return files


def _is_python(files: list[str]) -> bool:
    return bool(is_python(os.path.basename(files[0])) or len(files) > 1)


def _why(words: list[str], environ: Mapping[str, str], files: list[str], root: str) -> str:
    """The reason that fits best why a Python has no agent. root: the process's root directory."""
    from klpfs.agent.supported import why_not  # not for a command that finds no such process

    version = next((found for found in map(_LIBRARY.search, files[1:]) if found), None) or _NAMED.search(files[0])
    refused = "pypy" in files[0] and "klpfs patches CPython" or version and why_not(
        "cpython", (int(version[1]), int(version[2])), free_threaded=bool(version[3]))
    if refused:
        return refused
    if is_python(os.path.basename(files[0])):
        letters, _, _ = python_options(words[1:])
        for letter, how in WITHOUT_AGENT.items():
            if letter in letters:
                return f"-{letter}: Python starts {how}"
    else:
        return "its Python is part of another program, which may not read PYTHONPATH: call klpfs.agent.start() in it"
    folders = environ.get("PYTHONPATH", "").split(os.pathsep)
    if BOOT not in folders:
        return "its PYTHONPATH has no longer the folder that klpfs run has put there"
    for folder in folders[:folders.index(BOOT)]:
        hides = os.path.join(folder, "sitecustomize.py")
        if folder and os.path.exists(root + hides):
            return f"{hides} comes before klpfs's sitecustomize"
    return "why, its standard error may say"
