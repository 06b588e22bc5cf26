"""Directories of /proc as `klpfs exec` shows it: what a service has there, and links to the machine's own for all else.

A file system of ours can't pass the machine's /proc through (/proc/self, /proc/PID/fd/N, /proc/PID/ns/* are more than
the text of a link), nor can files be added to the real one. So the real one is mounted a second time, on the directory
PLACE of the root here, and a name that the service has nothing for is a symbolic link into that mount.
"""
from __future__ import annotations

import os
from collections.abc import Iterator
from errno import ENOENT

from attrs import define

from klpfs.fs.nodes import Dir, Link, Node, fail

OWN = ("modules",)         # names that a service has of its own while it is there, beside its processes' numbers
PLACE = ".klpfs"           # in the root: where `klpfs exec` mounts a folder that has the machine's /proc as "proc"
MACHINE = "/proc"


class MachineLink(Link):
    """A link to the machine's own entry. The entry of a process may come and go unseen, and a service may have an
    entry of its own in its place; others last."""

    def maybe_free(self) -> None:
        """Links of processes go when the kernel has forgotten them: a service sees many in its time."""
        if not self.removed and self.raw.isdigit() and self.lookups <= 0:
            self.remove()
        else:
            super().maybe_free()


@define(eq=False)
class MachineDir(Dir):
    """A directory of /proc: the service's own entries, and links to the machine's. `proc_path`: below /proc, as
    `12/task`; '' is /proc itself. `lists_machine`: list the machine's names too, not only the service's (all can be
    looked up all the same)."""

    proc_path: str = ""
    lists_machine: bool = True

    def lookup(self, raw: bytes) -> Node:
        child = self.children.get(raw)
        if child is not None and child.__class__ is not MachineLink:
            return child
        if not self.removed and os.path.lexists(os.path.join(os.fsencode(f"{MACHINE}/{self.proc_path}"), raw)):
            return self._link(os.fsdecode(raw))
        if child is not None:
            child.remove()
        raise fail(ENOENT)

    def listing(self, start: int) -> Iterator[tuple[int, Node]]:
        if start == 0 and self.lists_machine and not self.removed:
            self._look()
        return super().listing(start)

    def below(self, name: str, **more: object) -> MachineDir:
        """A directory of the service's own in this one."""
        self.make_room(name)
        below = f"{self.proc_path}/{name}".lstrip("/")
        return MachineDir(self.table, self, name, 0o555, proc_path=below, **more)  # type: ignore[arg-type]

    def make_room(self, name: str) -> None:
        """The service has something of this name: no link."""
        child = self.get(name)
        if child is not None and child.__class__ is MachineLink:
            child.remove()

    def _look(self) -> None:
        try:
            names = set(os.listdir(f"{MACHINE}/{self.proc_path}"))
        except OSError:                            # the process has ended
            names = set()
        for child in list(self.children.values()):
            if child.__class__ is MachineLink and child.name not in names:
                child.remove()
        for name in names:
            if self.get(name) is None:
                self._link(name)

    def _link(self, name: str) -> Link:
        target, child = self._target(name), self.get(name)
        if isinstance(child, Link):
            if child.target == target:
                return child
            child.remove()                         # a number is used again
        return MachineLink(self.table, self, name, 0o777, target, lasting=not name.isdigit() and name not in OWN)

    def _target(self, name: str) -> str:
        if self.proc_path:
            return "../" * (self.proc_path.count("/") + 1) + f"{PLACE}/proc/{self.proc_path}/{name}"
        if name.isdigit():                         # /proc/TID of a thread of the service's; it is not listed
            for child in self.children.values():
                if child.__class__ is MachineDir and os.path.lexists(f"{MACHINE}/{child.name}/task/{name}"):
                    return f"{child.name}/task/{name}"
        return f"{PLACE}/proc/{name}"
