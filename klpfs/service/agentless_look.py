"""The daemon's looks for processes without an agent: at each `check`, and some time behind each load, for the
log.

A look is made in a child process and keeps nobody waiting but who has asked `check`.
"""
from __future__ import annotations

import os
from collections.abc import Collection
from typing import Callable

from attrs import define, field

from klpfs.service import agentless
from klpfs.service.child_work import ChildWork
from klpfs.service.loop import Loop

MOST = 20           # lines for one look: a service may have started very many


@define(eq=False)
class AgentlessLook:
    """Looks for processes of a service without an agent. service: its name. runtime_dir: the folder that its folder is
    in. known(): the processes that have an agent."""

    loop: Loop
    service: str
    runtime_dir: str
    known: Callable[[], Collection[int]]
    _children: set[ChildWork] = field(init=False, factory=set)

    def look(self, use: Callable[[list[str]], None]) -> None:
        """Calls use(lines) later, with a line for each process, or what went wrong; not after close()."""
        def seen(data: bytes | None, error: OSError | None) -> None:
            self._children.discard(child)
            use(_failed(error) if data is None else os.fsdecode(data).splitlines())
        child = ChildWork(self.loop, "/proc can't be looked at", seen)
        known = frozenset(self.known())
        try:
            child.start(lambda: _lines(self.runtime_dir, known, self.service))
        except OSError as error:
            failed = _failed(error)
            self.loop.call_soon(lambda: use(failed))
            return
        self._children.add(child)

    @property
    def is_open(self) -> bool:
        """Whether a look is under way."""
        return bool(self._children)

    def close(self) -> None:
        """End all looks."""
        for child in self._children:
            child.cancel()
        self._children.clear()


def _lines(runtime_dir: str, known: frozenset[int], service: str) -> bytes:
    os.nice(10)                 # the program's work goes first
    found = agentless.find(runtime_dir, known, service)
    lines = [each.text.replace("\n", "\\n") for each in found[:MOST]]
    if len(found) > MOST:
        lines.append(f"{len(found) - MOST} more processes have no agent and are not patched")
    return os.fsencode("\n".join(lines))


def _failed(error: OSError | None) -> list[str]:
    why = error.strerror if error is not None else ""
    return [f"whether there are processes without an agent can't be seen: {why}"]
