"""Requests to agents and their answers, with a time limit: nothing that an agent does or doesn't do holds up the
tree."""
from __future__ import annotations

import itertools
from functools import partial
from typing import TYPE_CHECKING, Any, Callable

from attrs import define, field

from klpfs.protocol.shapes import ANSWERS, CHECKED
from klpfs.service.limits import LIMITS

if TYPE_CHECKING:
    from klpfs.service.loop import Loop, Timer
    from klpfs.service.peer import Message, Peer
    from klpfs.service.peers import Peers

Done = Callable[[Any], None]


@define(eq=False)
class Request:
    """A question or an order that an agent has not answered yet."""

    message: Message
    done: Done
    timer: Timer

    def is_answered_by(self, answer: Message) -> bool:
        """Whether the answer has the shape that this request asks for."""
        if self.message["t"] == "ask":
            return ANSWERS[self.message["what"]](answer["data"])
        return self.message["t"] == "check" and CHECKED(answer["data"])


@define(eq=False)
class Line:
    """A line that was given to an agent for its log. done(): it has come back; undone(agent): it has not, and
    that agent may still log it ('': none will)."""

    peer: Peer
    text: str
    done: Callable[[], None]
    undone: Callable[[str], None]
    timer: Timer | None = None


@define(eq=False)
class AgentRequests:
    """The requests and lines of one service that are under way."""

    loop: Loop
    peers: Peers
    _ids: itertools.count[int] = field(init=False, factory=lambda: itertools.count(1))
    # by the process's key and the request's id
    _requests: dict[tuple[str, int], Request] = field(init=False, factory=dict)
    _lines: list[Line] = field(init=False, factory=list)

    @property
    def is_open(self) -> bool:
        """Whether an answer, or a line that comes back, is waited for."""
        return bool(self._requests or self._lines)

    def ask(self, peer: Peer, message: Message, done: Done) -> None:
        """Send a question or an order. done(answer message), for orders done(errno), or done(None) when none came in
        time."""
        key = (peer.key, next(self._ids))
        if not peer.send({**message, "id": key[1]}):
            return done(None)
        limit = {"ask": LIMITS.question if message.get("what") == "blockers" else LIMITS.only_answer,
                 "check": LIMITS.dry_run}.get(message["t"], LIMITS.order)
        self._requests[key] = Request(message, done, self.loop.call_later(limit, lambda: self._end(key, None)))

    def ask_each(self, peers: list[Peer], message: Message, done: Callable[[list[Any]], None]) -> None:
        """Send the message to several processes. done([answer of each process, or None]) when all have answered, or
        time is over."""
        answers: list[Any] = [None] * len(peers)
        open_ = set(range(len(peers)))
        if not peers:
            return done(answers)

        def keeper(place: int) -> Done:
            def keep(answer: Any) -> None:
                answers[place] = answer
                open_.discard(place)
                if not open_:
                    done(answers)
            return keep
        for place, peer in enumerate(peers):
            self.ask(peer, message, keeper(place))

    def answered(self, peer: Peer, answer: Message) -> None:
        """An `answer` or `done` has come."""
        key = (peer.key, answer["id"])
        request = self._requests.get(key)
        if request is None:                    # too late
            return
        if answer["t"] == "done":
            self._end(key, answer["errno"])
        elif request.is_answered_by(answer):
            self._end(key, answer)
        else:
            peer.drop("bad answer")

    def lost(self, peer: Peer) -> None:
        """A process's connection is closed: no answers will come."""
        for key in [key for key in self._requests if key[0] == peer.key]:
            self._end(key, None)
        for line in [line for line in self._lines if line.peer is peer]:
            self._end_line(line, partial(line.undone, ""))

    def _end(self, key: tuple[str, int], answer: Any) -> None:
        request = self._requests.pop(key, None)
        if request is not None:
            request.timer.cancel()
            request.done(answer)

    # -- lines for the log

    def write_kmsg(self, text: str, priority: int, done: Callable[[], None], undone: Callable[[str], None]) -> None:
        """Give a line to a process of the service: done() when it has come back. undone(agent): no process takes it, or
        one has it and has said nothing in time: the agent that may still log it ('': none). A process of another user's
        is not asked: the line would come back as that process's own."""
        for peer in self.peers.known():
            message = {"t": "kmsg", "text": text, "priority": priority}
            if peer.report is not None and peer.is_of_service and peer.send(message):
                line = Line(peer, text.split("\n")[-1], done, undone)
                in_time = partial(self._end_line, line, partial(undone, peer.agent))
                line.timer = self.loop.call_later(LIMITS.kmsg, in_time)
                self._lines.append(line)
                return
        undone("")

    def take_event(self, peer: Peer, event: Message) -> None:
        """An event has come: perhaps with a line that was given to this process."""
        if not self._lines or "log" not in event:
            return
        for _, _, _, kind, text in event["log"]:
            line = next((line for line in self._lines if line.peer is peer and line.text == text), None)
            if kind == "user" and line is not None:
                self._end_line(line, line.done)

    def _end_line(self, line: Line, call: Callable[[], None]) -> None:
        if line in self._lines:
            self._lines.remove(line)
            if line.timer is not None:
                line.timer.cancel()
            call()

    def close(self) -> None:
        """End all that is open."""
        for key in list(self._requests):
            self._end(key, None)
        for line in list(self._lines):
            self._end_line(line, partial(line.undone, ""))
