"""Finding the tree: the mount in /proc/mounts, the service in the mount, and plain file I/O on what lies there.

Nothing else of klpfs is used by the commands that ask about a service: what they can do, cat and echo can.
"""
import contextlib
import os
import pathlib
import re
import typing

from attrs import define, frozen

FSTYPE = "fuse.klpfs"


class CommandError(Exception):
    """A message for the user, complete, and the command's exit code."""

    def __init__(self, text: str, code: int = 1):
        super().__init__(text)
        self.code = code


def mounts(table: str = "/proc/self/mountinfo") -> "list[pathlib.Path]":
    """All mount points of klpfs, the newest first. Not what `klpfs exec` has mounted of it, here and there."""
    found = []
    with open(table) as lines:
        for line in lines:
            fields = line.split(" ")
            if fields[3] == "/" and fields[fields.index("-") + 1] == FSTYPE:
                found.append(pathlib.Path(re.sub(r"\\([0-7]{3})", lambda m: chr(int(m[1], 8)), fields[4])))
    return found[::-1]


def services(mount: pathlib.Path) -> "list[str]":
    """The names of the services in a mount. CommandError when its daemon is gone."""
    try:
        return sorted(name for name in os.listdir(mount))
    except OSError as e:
        hint = "only the user who mounted it sees it" if isinstance(e, PermissionError) else f"is its daemon gone? Mount it again: klpfs mount {mount}"
        raise CommandError(f"{mount}: {e.strerror}; {hint}") from None


def find(service: "str | None" = None, mount: "str | None" = None) -> "Tree":
    """The tree of `service` (None: of the only one there is). CommandError says what to do when there is none, or several."""
    places = [pathlib.Path(mount)] if mount else mounts()
    if not places:
        raise CommandError("no klpfs is mounted; do it with: klpfs mount MOUNTPOINT")
    found, dead = {}, None
    for place in places:
        try:
            for name in services(place):
                found.setdefault(name, []).append(place)
        except CommandError as e:
            dead = e
    if dead and not found:
        raise dead
    if service is None:
        if not found:
            raise CommandError("no service is running; start one with: klpfs run -- COMMAND")
        if len(found) > 1:
            raise CommandError(f"several services are running, choose one with -s: {', '.join(sorted(found))}")
        service = next(iter(found))
    elif service not in found:
        raise CommandError(f"no service {service} in {' or '.join(map(str, places))}; running: {', '.join(sorted(found)) or 'none'}")
    if len(found[service]) > 1:
        raise CommandError(f"there is a service {service} in several mounts, choose one with -m: {' '.join(map(str, found[service]))}")
    return Tree(found[service][0] / service)


def rest(fd: int) -> str:
    """What is left to read, without the newline at its end."""
    data = b""
    while True:
        piece = os.read(fd, 1 << 16)
        data += piece
        if not piece:
            return data.decode("utf-8", "replace").rstrip("\n")


@frozen
class Module:
    """A line of proc/modules."""

    name: str
    size: int
    refcnt: int
    holders: "tuple[str, ...]"
    state: str
    taints: str

    @classmethod
    def parse(cls, line: str) -> "Module":
        fields = line.split()
        return cls(fields[0], int(fields[1]), int(fields[2]), tuple(h for h in fields[3].split(",") if h not in ("", "-")), fields[4],
                   fields[6].strip("()") if len(fields) > 6 else "")


@frozen
class Patch:
    """A folder of sys/kernel/livepatch, as its attributes read just now."""

    name: str
    enabled: bool
    transition: bool
    replace: bool
    objects: "dict[str, tuple[bool, list[str]]]"  # name -> (patched, ['function,position'])


@define
class Tree:
    """The files of one service. `path`: its folder in the mount."""

    path: pathlib.Path

    @property
    def name(self) -> str:
        return self.path.name

    def read(self, *parts: str) -> str:
        """One file's text, without the newline at its end. OSError as it comes."""
        fd = os.open(self.path.joinpath(*parts), os.O_RDONLY)
        try:
            return rest(fd)
        finally:
            os.close(fd)

    def ask(self, question: str, *parts: str) -> str:
        """The answer of a file that is asked by writing to it: one write(2), then reads of the same open file. OSError as it comes."""
        fd = os.open(self.path.joinpath(*parts), os.O_RDWR)
        try:
            os.write(fd, os.fsencode(question))
            return rest(fd)
        finally:
            os.close(fd)

    def write(self, text: str, *parts: str) -> None:
        """One write(2), as echo does it. OSError as it comes."""
        fd = os.open(self.path.joinpath(*parts), os.O_WRONLY)
        try:
            os.write(fd, os.fsencode(text))
        finally:
            os.close(fd)

    def list(self, *parts: str) -> "list[str]":
        """A folder's names in its own order; none when it is gone."""
        with contextlib.suppress(FileNotFoundError, NotADirectoryError):
            return os.listdir(self.path.joinpath(*parts))
        return []

    def modules(self) -> "list[Module]":
        return [Module.parse(line) for line in self.read("proc", "modules").splitlines()]

    def patches(self) -> "list[Patch]":
        """All patches, oldest first as far as the tree tells it; one that goes meanwhile is left out."""
        found = []
        for name in self.list("sys/kernel/livepatch"):
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
        top = self.path / "sys/kernel/livepatch" / name
        objects = {}
        for each in sorted(entry.name for entry in os.scandir(top) if entry.is_dir()):
            functions = sorted(entry.name for entry in os.scandir(top / each) if entry.is_dir())
            objects[each] = (self.read(str(top), each, "patched") == "1", functions)
        return Patch(name, self.read(str(top), "enabled") == "1", self.read(str(top), "transition") == "1",
                     self.optional(name, "replace") == "1", objects)

    def processes(self) -> "list[tuple[int, str]]":
        """(pid, command line) of each process of the service."""
        found = []
        for name in self.list("proc"):
            if name.isdigit():
                with contextlib.suppress(OSError):
                    command = self.read("proc", name, "cmdline").replace("\0", " ").strip() or self.read("proc", name, "comm")
                    found.append((int(name), command))
        return sorted(found)

    def blockers(self) -> "list[str]":
        """The lines of blockers: who keeps a transition pending."""
        text = self.read("blockers")
        return text.splitlines()


def pending(tree: Tree) -> "typing.Optional[str]":
    """The name of the patch in transition, or None."""
    for name in tree.list("sys/kernel/livepatch"):
        with contextlib.suppress(FileNotFoundError, OSError):
            if tree.read("sys/kernel/livepatch", name, "transition") == "1":
                return name
    return None
