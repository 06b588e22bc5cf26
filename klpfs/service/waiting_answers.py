"""Answers to writes that wait: until every process has followed what was written, or the time is over.
docs/PROTOCOL.md#3."""
from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Callable

from attrs import define, field

from klpfs.protocol import decisions
from klpfs.service.awaited import Awaited
from klpfs.service.limits import LIMITS

if TYPE_CHECKING:
    from klpfs.service.answer import Answer
    from klpfs.service.peer import Peer
    from klpfs.service.silence import Silence


@define(eq=False)
class WaitingAnswer:
    """The answer to a write whose decision was written as record `seq`.

    what: the write, for the log. n: the operation, 0 none. until: loop time at which the answer is given in any case.
    error: (errno, text) of an answer that says no; with seq -1 its failure could not be written, and the processes take
    back by themselves. waits_for_first_look: the answer also waits for the first try to complete the transition, which
    the kernel makes before insmod or the write returns.
    """

    answer: Answer
    seq: int
    n: int
    until: float
    error: tuple[int, str] | None = None
    waits_for_first_look: bool = False
    what: str = ""
    awaited: Awaited | None = None          # the processes that have not followed yet
    reports_out_of_the_way: dict[str, dict[str, Any]] = field(factory=dict)     # by the process's key


@define(eq=False)
class WaitingAnswers:
    """The answers that wait. silence, now, wake_at: the coordinator's. again(): the coordinator has to go round once
    more."""

    silence: Silence
    now: Callable[[], float]
    wake_at: Callable[[float], None]
    again: Callable[[], None]
    _waiting: list[WaitingAnswer] = field(init=False, factory=list)

    def __len__(self) -> int:
        return len(self._waiting)

    def __iter__(self) -> Iterator[WaitingAnswer]:
        return iter(list(self._waiting))

    def add(self, waiting: WaitingAnswer) -> None:
        """Keep an answer: `settle` gives it. An interrupt of the writer's is too late to undo anything: what was
        decided is decided, and is answered at once; a failure is waited for LIMITS.silent seconds, since it is being
        taken back."""
        def interrupt() -> None:
            waiting.until = min(waiting.until, self.now() + (LIMITS.silent if waiting.error else 0.0))
            self.again()
        waiting.answer.interrupt = interrupt
        self._waiting.append(waiting)

    def add_success(self, what: str, answer: Answer, following: dict[str, Any]) -> None:
        """Keep the answer to a write, `what`, whose record `following` was written: success, once every process has
        followed and has tried once to complete the transition."""
        transition = following["transition"]
        self.add(WaitingAnswer(answer, following["seq"], transition["n"] if transition else 0,
                               self.now() + LIMITS.silent, waits_for_first_look=bool(transition), what=what))

    def settle(self, record: dict[str, Any], known: list[Peer], look_again: Callable[[], list[Peer]]) -> None:
        """Answer those that every process has followed, or that have waited long enough. look_again(): the processes
        that are in the folder now; asked once nobody that is known has to be waited for."""
        still_waiting = []
        for waiting in self._waiting:
            waits = self._waits(waiting, record, known)
            if not waits:
                waiting.awaited = None
                try:
                    waits = self._waits(waiting, record, look_again())
                except OSError:                # the folder can't be listed: there may be others
                    waits = True
            if waits and self.now() < waiting.until:
                self.wake_at(waiting.until)
                still_waiting.append(waiting)
            elif waiting.error is not None:
                waiting.answer.fail(*waiting.error)
            else:
                waiting.answer.succeed()
        self._waiting = still_waiting

    def _waits(self, waiting: WaitingAnswer, record: dict[str, Any], peers: list[Peer]) -> bool:
        """Whether a process has to be waited for."""
        if waiting.error is not None and waiting.seq < 0:
            return any(decisions.holds(peer.report, waiting.n) for peer in peers)
        waiting.awaited = waiting.awaited or Awaited(peers)
        if not waiting.awaited.is_empty(lambda peer: self._has_followed(waiting, peer)):
            return True
        return waiting.waits_for_first_look and bool(peers) and self._may_complete(waiting, record, peers)

    def _has_followed(self, waiting: WaitingAnswer, peer: Peer) -> bool:
        return (decisions.seen(peer.report) >= waiting.seq or decisions.stuck(peer.report)
                or self.silence.passes_over(peer))

    def _may_complete(self, waiting: WaitingAnswer, record: dict[str, Any], peers: list[Peer]) -> bool:
        """Whether the transition is pending, and no process has been seen in its way so far."""
        transition = record["transition"]
        return bool(transition and transition["n"] == waiting.n
                    and not any(self._is_in_the_way(waiting, peer) for peer in peers))

    def _is_in_the_way(self, waiting: WaitingAnswer, peer: Peer) -> bool:
        """Whether the process says that it is in the way, or says nothing. A report is looked into once."""
        report = peer.report
        if report is None or decisions.seen(report) < waiting.seq:
            return self.silence.passes_over(peer)
        if waiting.reports_out_of_the_way.get(peer.key) is report:
            return False
        if report["blockers"] or report["working"]:
            return True
        waiting.reports_out_of_the_way[peer.key] = report
        return False

    def fail_all(self, code: int, text: str) -> list[str]:
        """Answer all writes that wait with this errno. Returns which of them had not been refused, and so have no line
        in the log."""
        failed = []
        while self._waiting:
            waiting = self._waiting.pop(0)
            if waiting.error is None:
                failed.append(waiting.what)
            waiting.answer.fail(code, text)
        return failed
