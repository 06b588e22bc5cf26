"""Questions to agents and their answers, with a time limit: nothing that an agent does or doesn't holds up the tree."""
from __future__ import annotations

import itertools
from typing import Any, Callable

from attrs import define, field

from klpfs.protocol.shapes import ANSWERS, CHECKED
from klpfs.service.limits import LIMITS

Done = Callable[[Any], None]


@define(eq=False)
class Asking:
    """`ask(peer, message, done)`: done(answer message), for orders done(errno), or done(None) when none came in time."""

    loop: Any
    peers: Any
    _ids: itertools.count[int] = field(init=False, factory=lambda: itertools.count(1))
    _open: dict[tuple[str, int], Any] = field(init=False, factory=dict)
    _lines: list[Any] = field(init=False, factory=list)

    def ask(self, peer: Any, message: dict[str, Any], done: Done) -> None:
        key = (peer.key, next(self._ids))
        if not peer.send({**message, "id": key[1]}):
            return done(None)
        timer = self.loop.call_later(self._seconds(message["t"]), lambda: self._end(key, None))
        self._open[key] = (message, done, timer)

    @staticmethod
    def _seconds(kind: str) -> float:
        return {"ask": LIMITS.question, "check": LIMITS.dry_run}.get(kind, LIMITS.order)

    def ask_each(self, peers: list[Any], message: dict[str, Any], done: Callable[[list[Any]], None]) -> None:
        """done([answer or None of each]) when all have answered, or time is over."""
        found: list[Any] = [None] * len(peers)
        left = [len(peers)]
        if not peers:
            return done(found)

        def one(at: int, data: Any) -> None:
            found[at] = data
            left[0] -= 1
            if not left[0]:
                done(found)
        for at, peer in enumerate(peers):
            self.ask(peer, message, lambda data, at=at: one(at, data))       # type: ignore[misc]

    def answered(self, peer: Any, message: dict[str, Any]) -> None:
        """An `answer` or `done` has come."""
        key = (peer.key, message["id"])
        found = self._open.get(key)
        if found is None:                      # too late
            return
        order = found[0]
        if message["t"] == "done":
            self._end(key, message["errno"])
        elif order["t"] == "ask" and ANSWERS[order["what"]](message["data"]) or order["t"] == "check" and CHECKED(message["data"]):
            self._end(key, message)
        else:
            peer.drop("bad answer")

    def lost(self, peer: Any) -> None:
        """Its connection is closed: no answers will come."""
        for key in [key for key in self._open if key[0] == peer.key]:
            self._end(key, None)
        for line in [line for line in self._lines if line[0] is peer]:
            self._give_up(line)

    def _end(self, key: tuple[str, int], data: Any) -> None:
        found = self._open.pop(key, None)
        if found is not None:
            found[2].cancel()
            found[1](data)

    # -- lines for the log

    def write_kmsg(self, text: str, priority: int, done: Callable[[], None], here: Callable[[], None]) -> None:
        """Give a line to a process of the service: done() when it has come back. here(): none takes it."""
        for peer in self.peers.known():
            if peer.report is not None and peer.send({"t": "kmsg", "text": text, "priority": priority}):
                line: list[Any] = [peer, text.split("\n")[-1], done, here, None]
                line[4] = self.loop.call_later(LIMITS.kmsg, lambda: self._give_up(line))
                self._lines.append(line)
                return
        here()

    def heard(self, peer: Any, event: dict[str, Any]) -> None:
        """An event has come: perhaps with a line that was written."""
        if not self._lines or "log" not in event:
            return
        for _, _, _, kind, text in event["log"]:
            if kind == "user":
                line = next((line for line in self._lines if line[0] is peer and line[1] == text), None)
                if line is not None:
                    self._lines.remove(line)
                    line[4].cancel()
                    line[2]()

    def _give_up(self, line: list[Any]) -> None:
        if line in self._lines:
            self._lines.remove(line)
            line[4].cancel()
            line[3]()

    def close(self) -> None:
        """End all that is open."""
        for key in list(self._open):
            self._end(key, None)
        for line in list(self._lines):
            self._give_up(line)
