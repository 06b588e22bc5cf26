"""Awaited processes: those that a decision or an answer still waits for, so that a round looks at no process in
vain."""
from __future__ import annotations

from typing import TYPE_CHECKING, Callable

from attrs import define

if TYPE_CHECKING:
    from klpfs.service.peer import Peer


@define(eq=False)
class Awaited:
    """The processes that have not done yet what is awaited of them, in a list of its own.

    A round looks at the last process, and goes on to the next only when that process has done it: so n reports cost n
    looks, not n times n. Whoever decides must ask all processes once more in the end: a process that has done what is
    awaited may have changed its mind meanwhile."""

    peers: list[Peer]

    def __attrs_post_init__(self) -> None:
        self.peers = list(self.peers)

    def is_empty(self, has_done: Callable[[Peer], bool]) -> bool:
        """Whether every awaited process has done it, or is gone."""
        while self.peers and (self.peers[-1].gone or has_done(self.peers[-1])):
            self.peers.pop()
        return not self.peers
