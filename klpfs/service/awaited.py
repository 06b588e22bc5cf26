"""Awaited processes: those that a decision or an answer still waits for, so that a round looks at no process in
vain."""
from __future__ import annotations

from typing import TYPE_CHECKING, Callable

from attrs import define

if TYPE_CHECKING:
    from klpfs.service.peers import Peer


@define(eq=False)
class Awaited:
    """The processes that have not done yet what is awaited of them. A round looks at the last one, and goes on to the
    next only when that one has done it. So n reports cost n looks, not n times n. What is awaited must be asked of all
    once more in the
    end by whoever decides: a process that has done it may have changed its mind meanwhile."""

    peers: list[Peer]

    def is_empty(self, has_done: Callable[[Peer], bool]) -> bool:
        """Whether all of them have done it (or are gone)."""
        while self.peers and (self.peers[-1].gone or has_done(self.peers[-1])):
            self.peers.pop()
        return not self.peers
