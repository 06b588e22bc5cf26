"""Finding the tree: the mount in /proc/self/mountinfo, the service in the mount, and plain file I/O on what lies there.

Nothing else of klpfs is used by the commands that ask about a service: what they can do, cat and echo can.
"""
from __future__ import annotations

import contextlib
import os
import sys
from _thread import allocate_lock, start_new_thread
from time import monotonic
from typing import NamedTuple

from klpfs.cli.kmod import Module, parse_modules
from klpfs.cli.terminal import printable, put
from klpfs.service.mountinfo import klpfs_mounts

ANSWER_S = 5.0              # in which a mount that nobody has named has to say which services it shows


class CommandError(Exception):
    """A message for the user, complete, and the command's exit code."""

    def __init__(self, text: str, code: int = 1) -> None:
        super().__init__(text)
        self.code = code


class Silence(CommandError):
    """A mount does not answer."""


def mounts() -> list[str]:
    """The mount points of klpfs, the newest first."""
    return klpfs_mounts()[::-1]


def services(mount: str) -> list[str]:
    """The names of the services in a mount. CommandError when its daemon is gone."""
    try:
        return sorted(os.listdir(mount))
    except OSError as e:
        hint = (
            "only the user who mounted it sees it"
            if isinstance(e, PermissionError)
            else f"is its daemon gone? Mount it again: klpfs mount {mount}"
        )
        raise CommandError(f"{mount}: {e.strerror}; {hint}") from None


def _all_services(places: list[str]) -> dict[str, list[str] | CommandError]:
    """{mount: the names of its services, or why they can't be had}. Several mounts are asked at the same time: each may
    be somebody else's, whose daemon is stopped and never answers."""
    found: dict[str, list[str] | CommandError] = {}
    done = {place: allocate_lock() for place in places}

    def ask(place: str) -> None:
        try:
            found[place] = services(place)
        except CommandError as error:
            found[place] = error
        done[place].release()
    for place in places:
        done[place].acquire()
        start_new_thread(ask, (place,))
    until = monotonic() + ANSWER_S
    for place in places:
        if not done[place].acquire(timeout=max(0.0, until - monotonic())):
            found.setdefault(place, Silence(f"{place}: its daemon does not answer (is it stopped?)"))
    return {place: found[place] for place in places}


def find(service: str | None = None, mount: str | os.PathLike[str] | None = None) -> Tree:
    """The tree of `service` (None: of the only service that runs). CommandError says what to do when there is none, or
    several. Without `mount` a mount that does not answer is left out, with a line on stderr."""
    places = mounts() if mount is None else [os.fspath(mount).rstrip("/") or os.fspath(mount)[:1]]
    if not places:
        raise CommandError("no klpfs is mounted; do it with: klpfs mount MOUNTPOINT")
    found: dict[str, list[str]] = {}               # service -> the mounts that show it
    dead: list[CommandError] = []
    for place, names in ({places[0]: services(places[0])} if mount is not None else _all_services(places)).items():
        if isinstance(names, CommandError):
            dead.append(names)
        else:
            for name in names:
                found.setdefault(name, []).append(place)
    if dead and not found:
        raise dead[-1]
    for error in (each for each in dead if isinstance(each, Silence)):
        put(printable(f"klpfs: {error}; left out"), file=sys.stderr)
    if service is None:
        if not found:
            raise CommandError("no service is running; start one with: klpfs run -- COMMAND")
        if len(found) > 1:
            raise CommandError(f"several services are running, choose one with -s: {', '.join(sorted(found))}")
        service = next(iter(found))
    elif service not in found:
        raise CommandError(
            f"no service {service} in {' or '.join(places)}; running: {', '.join(sorted(found)) or 'none'}"
        )
    if len(found[service]) > 1:
        raise CommandError(
            f"there is a service {service} in several mounts, choose one with -m: {' '.join(found[service])}"
        )
    return Tree(os.path.join(found[service][0], service))


def rest(fd: int) -> str:
    """The rest of a file, without the newline at its end."""
    data = b""
    while True:
        piece = os.read(fd, 1 << 16)
        data += piece
        if not piece:
            return data.decode("utf-8", "replace").rstrip("\n")


# without annotations, for which typing imports Python's parser from 3.14 on
class Patch(NamedTuple("Patch", [("name", str), ("enabled", bool), ("transition", bool), ("replace", bool),
                                 ("objects", dict[str, tuple[bool, list[str]]])])):
    """A folder of sys/kernel/livepatch, as its attributes read just now. objects: {name: (patched,
    ['function,position'])}."""

    __slots__ = ()


class Tree:
    """The files of one service. `path`: its folder in the mount, `name`: the service's."""

    __slots__ = ("path", "name")

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = os.fspath(path)
        self.name = os.path.basename(self.path)

    def read(self, *parts: str) -> str:
        """A file's text, without the newline at its end. OSError as it comes."""
        fd = os.open(os.path.join(self.path, *parts), os.O_RDONLY)
        try:
            return rest(fd)
        finally:
            os.close(fd)

    def ask(self, question: str, *parts: str) -> str:
        """The answer of a file that is asked by writing to it: one write(2), then reads of the same open file. OSError
        as it comes."""
        fd = os.open(os.path.join(self.path, *parts), os.O_RDWR)
        try:
            os.write(fd, os.fsencode(question))
            return rest(fd)
        finally:
            os.close(fd)

    def write(self, text: str, *parts: str) -> None:
        """Writes a text by a single write(2), as echo does. OSError as it comes."""
        fd = os.open(os.path.join(self.path, *parts), os.O_WRONLY)
        try:
            os.write(fd, os.fsencode(text))
        finally:
            os.close(fd)

    def names(self, *parts: str) -> list[str]:
        """A folder's names in its own order; none when it is gone."""
        with contextlib.suppress(FileNotFoundError, NotADirectoryError):
            return os.listdir(os.path.join(self.path, *parts))
        return []

    def modules(self) -> list[Module]:
        """The service's modules, the newest first. OSError as it comes."""
        return parse_modules(self.read("proc", "modules"))

    def patches(self) -> list[Patch]:
        """All patches, oldest first as far as the tree tells it; one that goes meanwhile is left out."""
        found = []
        for name in self.names("sys/kernel/livepatch"):
            with contextlib.suppress(FileNotFoundError, OSError):
                found.append((int(self.optional(name, "stack_order") or 0), self.patch(name)))
        return [patch for _, patch in sorted(found, key=lambda each: (each[0], each[1].name))]

    def optional(self, patch: str, attribute: str) -> str:
        """An attribute that not every kernel has; '' where it has not."""
        with contextlib.suppress(FileNotFoundError):
            return self.read("sys/kernel/livepatch", patch, attribute)
        return ""

    def patch(self, name: str) -> Patch:
        """OSError(ENOENT) when there is no such patch."""
        top = os.path.join(self.path, "sys/kernel/livepatch", name)
        objects = {}
        for shown in _folders(top):
            functions = _folders(os.path.join(top, shown))
            objects[shown] = (self.read(top, shown, "patched") == "1", functions)
        return Patch(name, self.read(top, "enabled") == "1", self.read(top, "transition") == "1",
                     self.optional(name, "replace") == "1", objects)

    def processes(self) -> list[tuple[int, str]]:
        """(pid, command line) of each process of the service."""
        found = []
        for name in self.names("proc"):
            if name.isdigit():
                with contextlib.suppress(OSError):
                    command = self.read("proc", name, "cmdline").replace("\0", " ").strip()
                    found.append((int(name), command or self.read("proc", name, "comm")))
        return sorted(found)

    def blockers(self) -> list[str]:
        """The lines of blockers: who keeps a transition pending."""
        text = self.read("blockers")
        return text.splitlines()


def _folders(path: str) -> list[str]:
    """The names of the folders in a folder, sorted."""
    return sorted(entry.name for entry in os.scandir(path) if entry.is_dir())


def pending(tree: Tree) -> str | None:
    """The name of the patch in transition, or None."""
    for name in tree.names("sys/kernel/livepatch"):
        with contextlib.suppress(FileNotFoundError, OSError):
            if tree.read("sys/kernel/livepatch", name, "transition") == "1":
                return name
    return None
