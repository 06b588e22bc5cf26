"""Loading: what a coordinator does from a load's change to its start, or to its failure (docs/PROTOCOL.md#3).

The lock is held all the while. A load starts when every process has prepared it, or is passed over; a process that
refuses it, the writer's interrupt or the end of its time undo it.
"""
from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING, Any, Callable

from attrs import define, field

from klpfs.protocol import decisions
from klpfs.protocol.decisions import Record
from klpfs.protocol.record_text import forks
from klpfs.service.awaited import Awaited
from klpfs.service.current_record import REMOVED, CurrentRecord
from klpfs.service.limits import LIMITS
from klpfs.service.rounds import Rounds
from klpfs.service.silence import Silence
from klpfs.service.waiting_answers import WaitingAnswer, WaitingAnswers
from klpfs.service.writes import Load, Request

if TYPE_CHECKING:
    from klpfs.service.peer import Peer


@define(eq=False)
class Loading:
    """`load`: the load that is under way, or None. now(): the loop's time. list_again(): the processes of the folder's
    sockets now; a new one has been sent the record."""

    current: CurrentRecord
    rounds: Rounds
    silence: Silence
    waiting_answers: WaitingAnswers
    now: Callable[[], float]
    list_again: Callable[[], list[Peer]]
    load: Load | None = field(init=False, default=None)
    undone: int = field(init=False, default=0)               # n of the last load whose failure could not be written

    def begin(self, request: Request, following: Record) -> None:
        """Begin the load whose change was written, as record `following`, for `request`. The lock is kept."""
        self.load = load = Load(request.what, following["change"]["n"], request.answer, self.now(), request.foresee)

        def interrupt() -> None:
            load.interrupted = True
            self.rounds.step()
        request.answer.interrupt = interrupt

    def prepare(self) -> None:
        """Start the load, undo it, or wait on.

        The folder is looked into again before either is decided for want of a vote.
        """
        load = self.load
        assert load is not None
        if (self.current.record["change"] or {"n": 0})["n"] != load.n:
            return self.undo(errno.EIO, REMOVED, log=True, write=False)
        peers = self.current.peers.known() or self.list_again()
        failure = self._refusal(load, peers)
        if failure is not None:
            return self.undo(*failure)
        if self._is_waited_for(load, peers):
            return
        votes = self._votes(load, peers)
        if not votes:
            if self.now() < load.until and any(peer.acked >= self.current.record["seq"] for peer in peers):
                self._name_slow(load, peers)                     # nobody knows what would be started: wait on
                return self.rounds.wake_at(load.until)
            return self.undo(errno.ETIMEDOUT if peers else errno.ESRCH, "no process answers", log=True)
        if {peer.key for peer in self.list_again()} - {peer.key for peer in peers}:
            self.rounds.again()                                  # somebody new: ask it too, go on waiting
            return
        self._start(load, votes)

    def _refusal(self, load: Load, peers: list[Peer]) -> tuple[int, str, bool] | None:
        """(errno, text, whether the log says it) of a load that can't go on: a process has refused it, the writer was
        interrupted, or a process can't be told."""
        for peer in peers:
            refused = peer.report and peer.report["refused"]
            if refused and refused["n"] == load.n:
                if peer.is_of_service:                           # its own log says why
                    change = self.current.record["change"] or {}
                    return refused["errno"], refused["text"], refused["text"] == forks(change.get("name", ""))
                text = refused["text"] or os.strerror(refused["errno"])
                return refused["errno"], f"refused by {peer.name}, of another user: {text}", True
        if load.interrupted:
            return errno.EINTR, "interrupted", True
        others = self.current.not_understood()                   # one has joined, or has only now said so
        return (errno.EPROTONOSUPPORT, others, True) if others else None

    def _is_waited_for(self, load: Load, peers: list[Peer]) -> bool:
        """Whether a process still prepares the load.

        When the load's time is over it is undone, which counts as waited for.
        """
        def is_ready(peer: Peer) -> bool:
            return decisions.prepared(peer.report, load.n) or self.silence.passes_over(peer)
        if load.awaited.is_empty(is_ready):
            load.awaited = Awaited([peer for peer in peers if not is_ready(peer)])
            if not load.awaited.peers:
                return False
        unprepared = load.awaited.peers
        if self.now() >= load.until:
            names = ", ".join(peer.name for peer in unprepared)
            self.undo(errno.ETIMEDOUT, f"no end after {LIMITS.load:.0f} s: {names}", log=True)
        else:
            self._name_slow(load, unprepared)
            self.rounds.wake_at(load.until)
        return True

    def _votes(self, load: Load, peers: list[Peer]) -> list[dict[str, Any]]:
        """The processes' words on what the file is; where all are silent, so all are pending, the word of its text."""
        votes = [peer.report["prepared"] for peer in peers                              # type: ignore[index]
                 if decisions.prepared(peer.report, load.n)]
        if not votes and peers:
            foreseen = load.foresee()
            votes = [foreseen] if foreseen else []
        return votes

    def _start(self, load: Load, votes: list[dict[str, Any]]) -> None:
        """Write `start`: from here on only a user's reversal takes the operation back."""
        try:
            following = decisions.started(self.current.record, votes, lambda text: self.current.log(text, 4),
                                          self.current.journal.put)
            self.current.write(following)
        except OSError as error:
            return self.undo(error.errno or errno.EIO, error.strerror or "", log=True)
        self.load = None
        self.current.unlock()
        self.waiting_answers.add_success(load.what, load.answer, following)

    def _name_slow(self, load: Load, peers: list[Peer]) -> None:
        """Name a process that works (init, pre_patch) in the log after LIMITS.silent seconds, once a load. A process
        that has not even acknowledged is silent, and about to be passed over."""
        if self.now() < load.begun + LIMITS.silent:
            return self.rounds.wake_at(load.begun + LIMITS.silent)
        for peer in peers:
            if peer.acked >= self.current.record["seq"] and peer.key not in load.named:
                load.named.add(peer.key)
                working = (peer.report or {}).get("working")
                what = f": {working['what']}" if working else ""
                self.current.log(f"klpfs: {load.what}: waiting for {peer.name}{what}", 4)

    def undo(self, code: int, text: str, log: bool = False, write: bool = True) -> None:
        """The load has failed: write so, tell all, answer once everybody that answers has taken back. write: False:
        the journal knows nothing of it."""
        load = self.load
        assert load is not None
        text = text or os.strerror(code)
        if log:
            self.current.log(f"klpfs: {load.what}: {text}", 3)
        refused = code not in (errno.EINTR, errno.ETIMEDOUT, errno.EDQUOT)
        self.load = None
        seq, until = -1, self.now() + LIMITS.silent
        if not write:
            self.undone = load.n
            self.current.peers.cut(load.n)
            self.current.unlock()
            return self.waiting_answers.add(WaitingAnswer(load.answer, seq, load.n, until, (code, text)))
        try:
            following = decisions.given_up(self.current.record)
            self.current.write(following)
            seq = following["seq"]
            if refused:                                          # another process may still be in its init
                until = max(until, load.until)
        except OSError as error:                                 # presumed abort: the agents see the connection close
            self.undone = load.n
            self.current.write_failed(error)
            self.current.peers.cut(load.n)
        self.current.unlock()
        self.waiting_answers.add(WaitingAnswer(load.answer, seq, load.n, until, (code, text)))

    def fail(self, code: int, why: str) -> None:
        """Answer the load with this errno, without a record: its processes see that the journal has none of it."""
        load, self.load = self.load, None
        if load is not None:
            self.current.journal.unlock()
            load.answer.fail(code, why)

    def give_up(self, why: str) -> None:
        """Undo the load after a mistake of ours, EIO; if not even that can be done its processes see the connection
        close."""
        load = self.load
        assert load is not None
        try:
            self.undo(errno.EIO, why, log=True)
        except Exception:
            self.load, self.undone = None, load.n
            self.current.peers.cut(load.n)
            load.answer.fail(errno.EIO, why)
