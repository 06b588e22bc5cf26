"""The coordinator: decides from the journal and the agents' reports, writes, tells. docs/PROTOCOL.md#3 and #8.

Event driven: `step()` is called after anything that happened (a report, a process that came or went, another's write, a
timer, a request) and does all that can be done now. It blocks nowhere, has no thread, and no state worth saving: a
successor knows as much from the journal. It sees the agents through Peers:

    peers.known() -> list of peers      those that are not known to be gone
    peers.list() -> list of peers       the same, after a new look into the folder
    peers.take_restarted() -> list      those that have begun a connection since the last call: told nothing yet
    peers.unlink_gone()                 with the lock: removes the sockets of the dead
    peers.litter                        there are some that nobody has tried to remove
    peers.cut(n)                        closes connections, so that processes which have prepared n read the journal
    peer.trouble                        '', or why what it says is of no use to this daemon, with its name
    peer.is_of_service                  it may speak for the service: its user is root, this daemon's, or the folder's
    peer.disbelieve(why)                its report can't be true: it counts as one that has followed nothing
    peer.key .name .report .acked .sent_seq     name for people; the last report (dict) or None; seq numbers, -1: none
    peer.tell(record)                   sends it (or drops it: it is told again once the peer is connected)
    peer.heard                          when it last said anything (the loop's time)
    peer.ping() -> bool                 asks it for a sign of life; False: there is no connection

Its parts: rounds.py (when it goes round), current_record.py (the record, and how it is written), loading.py (a load,
till it starts or fails), silence.py (which processes are passed over), waiting_answers.py (which writer is answered
when). Here: the requests, and a transition's steps.

One rule orders everything: written first, told after.
"""
from __future__ import annotations

import errno
import os
from collections import deque
from typing import TYPE_CHECKING, Callable

from attrs import define, field

from klpfs.engine.error import mistake_of
from klpfs.protocol import decisions
from klpfs.protocol.decisions import Record, Report
from klpfs.protocol.folder import NOT_JUST_NOW
from klpfs.protocol.phases import START
from klpfs.protocol.record_text import OtherService, OtherVersion
from klpfs.service.answer import Answer
from klpfs.service.awaited import Awaited
from klpfs.service.current_record import CurrentRecord
from klpfs.service.journal import Journal
from klpfs.service.limits import LIMITS
from klpfs.service.loading import Loading
from klpfs.service.rounds import Rounds
from klpfs.service.silence import Silence
from klpfs.service.waiting_answers import WaitingAnswers
from klpfs.service.writes import Decide, Foresee, Load, Request

if TYPE_CHECKING:
    from klpfs.service.loop import Loop
    from klpfs.service.peer import Peer
    from klpfs.service.peers import Peers


May = Callable[[Record, Report], bool]


@define(eq=False)
class Coordinator:
    """The coordinator of a service. log(text, priority) writes to the service's log; on_record(record) is called with
    each new record of the journal, before anybody is told."""

    journal: Journal
    peers: Peers
    loop: Loop
    log: Callable[[str, int], None]
    on_record: Callable[[Record], None]
    damaged: OSError | None = field(init=False, default=None)
    rounds: Rounds = field(init=False)
    current: CurrentRecord = field(init=False)
    silence: Silence = field(init=False)
    waiting_answers: WaitingAnswers = field(init=False)
    loading: Loading = field(init=False)
    _requests: deque[Request] = field(init=False, factory=deque)
    _sent_seq: int = field(init=False, default=-2)               # of the record that all known processes were sent
    # processes that hold up the transition's next step
    _awaited: Awaited = field(init=False, factory=lambda: Awaited([]))
    _cannot_read: bool = field(init=False, default=False)        # the journal, just now: the record's trouble
    _look_lost: float = field(init=False, default=0.0)
    _unanswered: Answer | None = field(init=False, default=None)     # of the write that the round works at
    _mistake: str = field(init=False, default="")                # of ours, that was named last

    def __attrs_post_init__(self) -> None:
        self.rounds = Rounds(self.loop, self._guarded_round)
        now, wake_at = self.loop.now, self.rounds.wake_at
        self.current = CurrentRecord(self.journal, self.peers, self.rounds, now, self.log, self._is_new)
        self.silence = Silence(now, wake_at)
        self.waiting_answers = WaitingAnswers(self.silence, now, wake_at, self.step)
        self.loading = Loading(self.current, self.rounds, self.silence, self.waiting_answers, now, self._list)

    @property
    def record(self) -> Record:
        """The journal's record, as it was read or written last."""
        return self.current.record

    @property
    def load(self) -> Load | None:
        """The load that is under way."""
        return self.loading.load

    @property
    def trouble(self) -> str | None:
        """Why the journal can't be written, or read just now."""
        return self.current.trouble

    # -- for the service

    def submit(self, what: str, decide: Decide, answer: Answer, foresee: Foresee = lambda: None) -> None:
        """Ask for a write: `decide(record)`, under the lock. A record with a new change makes this a load; foresee():
        what it will turn out to be, asked when no process says so; None: can't be told."""
        request = Request(what, decide, answer, self.loop.now() + LIMITS.lock_wait, foresee)
        answer.interrupt = lambda: self._interrupt_request(request)
        self._requests.append(request)
        self.step()

    def step(self) -> None:
        """Do all that can be done now."""
        self.rounds.step()

    def _guarded_round(self) -> None:
        self._unanswered = None
        try:
            self._round()
        except OSError as error:       # no descriptors to read the journal or the folder: nothing is decided without
            self._cannot_read = True
            self.current.write_failed(error)
            self._give_up_load(error)
        except Exception as error:
            self._give_up_all(mistake_of(error))
        else:
            if self._cannot_read:
                self._cannot_read, self.current.trouble = False, None

    def _give_up_all(self, why: str) -> None:
        """After a mistake of ours in a round: whoever waits is answered EIO, a load under way is undone, the lock is
        free. Tried again in a second."""
        unanswered = self._unanswered
        if self.load is not None:
            self.loading.give_up(why)
        elif self._mistake != why:             # once, though each round may make it
            self.log(f"klpfs: {why}", 3)
        self._mistake = why
        self._refuse_all(why)
        if unanswered is not None:
            unanswered.fail(errno.EIO, why)
        self.journal.unlock()
        self.current.retry = self.loop.now() + LIMITS.retry_write
        self.rounds.wake_at(self.current.retry)

    def _give_up_load(self, error: OSError) -> None:
        """The folder can't be listed, so that nobody knows who has to prepare the load: it is undone; for want of
        descriptors only when its time is over."""
        if self.load is not None and (error.errno not in NOT_JUST_NOW or self.loop.now() >= self.load.until):
            code = error.errno or errno.EIO
            self.loading.undo(code, error.strerror or os.strerror(code), log=True)

    def close(self) -> None:
        """Let go: a load under way is lost (its agents see the connection close), a transition goes on pending."""
        self.rounds.close()
        self.journal.unlock()
        for request in self._requests:
            request.answer.fail(errno.ENODEV, "the service's daemon ends")
        self.waiting_answers.fail_all(errno.ENODEV, "the service's daemon ends")
        self.loading.fail(errno.EINTR, "the service's daemon ends")
        self._requests.clear()

    def waiting_for(self) -> list[tuple[Peer, str]]:
        """The processes that keep the transition pending, each with a reason, 'silent' or 'pending'.

        Empty without a transition.
        """
        record = self.record
        if not record["transition"]:
            return []
        may = self._may()
        return [(peer, "silent" if self.silence.is_named_silent(peer, record["seq"]) else "pending")
                for peer in self.peers.known() if not may(record, peer.report)]

    @property
    def is_busy(self) -> bool:
        """Whether a write waits for something."""
        return bool(self._requests or self.load is not None or self.waiting_answers)

    def writes_under_way(self) -> list[tuple[int, str, bool]]:
        """The writes that wait: (a number, what, whether it should have been answered by now)."""
        now = self.loop.now()
        late = [(id(request), request.what, now >= request.until) for request in self._requests]
        if self.load is not None:
            late.append((id(self.load), self.load.what, now >= self.load.until))
        return late + [(id(waiting), f"record {waiting.seq}", now >= waiting.until) for waiting in self.waiting_answers]

    def take_report(self, peer: Peer) -> None:
        """Look whether a report can be true: see CurrentRecord."""
        self.current.take_report(peer)

    def not_understood(self) -> str:
        """Why nothing can be written while some processes of the service run; '': it can. See CurrentRecord."""
        return self.current.not_understood()

    # -- one round

    def _round(self) -> None:
        if not self._read():
            return
        self._tell()
        if self.waiting_answers:
            self.waiting_answers.settle(self.record, self.peers.known(), self._list)
        if self.load is not None:
            self._unanswered = self.load.answer
            self.loading.prepare()
        elif self._requests:
            self._next_request()
        else:
            self._drive()
        if self.load is not None and self._requests:
            self._expire()

    def _read(self) -> bool:
        """Read the journal. Damaged: touch nothing, EIO on every write."""
        try:
            record = self.journal.read()
        except OSError as error:
            if error.errno in NOT_JUST_NOW:
                self._expire(error)
                raise
            if self.damaged is None:
                self.log(f"klpfs: journal: {error.strerror}", 3)
            self.damaged = error
            named = isinstance(error, (OtherVersion, OtherService))
            self._fail_all(str(error.strerror) if named else "the journal is damaged")
            return False
        self.damaged = None
        self.current.take(record)
        return True

    def _fail_all(self, why: str) -> None:
        """Answer all writes with EIO: the journal can't be obeyed."""
        if self.load is not None:
            self.log(f"klpfs: {self.load.what}: {why}", 3)
        self.loading.fail(errno.EIO, why)
        self._refuse_all(why)

    def _refuse_all(self, why: str) -> None:
        while self._requests:
            request = self._requests.popleft()
            self._refuse(request.what, request.answer, OSError(errno.EIO, why))
        for what in self.waiting_answers.fail_all(errno.EIO, why):
            self.log(f"klpfs: {what}: {why}", 3)

    def _is_new(self, record: Record) -> None:
        self._look_lost = 0.0
        self.on_record(record)

    def _tell(self) -> None:
        """Send the record to the processes that were not sent it yet: to all when it is new, else to those that have
        connected."""
        record, seq = self.record, self.record["seq"]
        restarted = self.peers.take_restarted()
        if seq != self._sent_seq:
            self._sent_seq = seq
            restarted = self.peers.known()
        for peer in restarted:
            self.silence.send(peer, record, seq)
        self.silence.keep_only(self.peers.known())

    def _list(self) -> list[Peer]:
        """The processes of the folder's sockets now; a new one is sent the record at once."""
        peers = self.peers.list()
        self._tell()
        return peers

    def _may(self) -> May:
        """The condition that a process's report must meet before the transition's next step is decided."""
        return decisions.may_finish if self.record["transition"]["step"] == START else decisions.may_rest

    # -- requests

    def _refuse(self, what: str, answer: Answer, error: OSError) -> None:
        code = error.errno or errno.EIO
        self.log(f"klpfs: {what}: {error.strerror or os.strerror(code)}", 3)
        answer.fail(code, error.strerror or os.strerror(code))

    def _interrupt_request(self, request: Request) -> None:
        if request in self._requests:
            self._requests.remove(request)
            self._refuse(request.what, request.answer, OSError(errno.EINTR, os.strerror(errno.EINTR)))

    def _expire(self, error: OSError | None = None) -> None:
        """Refuse the requests that have waited long enough. error: why, by default that the lock is held."""
        if error is None:
            error = OSError(errno.EBUSY, "another operation holds the journal's lock")
        now = self.loop.now()
        for request in [request for request in self._requests if now >= request.until]:
            self._requests.remove(request)
            self._refuse(request.what, request.answer, error)
        for request in self._requests:
            self.rounds.wake_at(request.until)

    def _next_request(self) -> None:
        """Take the lock and write what the first request decides."""
        request = self._requests[0]
        try:
            if not self.journal.try_lock():
                self._expire()
                if self._requests:
                    self.rounds.wake_at(self.loop.now() + LIMITS.retry_lock)
                self._drive()
                return
        except OSError as error:
            self._requests.popleft()
            self._refuse(request.what, request.answer, error)
            self.rounds.again()
            return
        self._unanswered = request.answer                        # before it is in no list any more
        self._requests.popleft()
        self.rounds.again()
        try:
            following = request.decide(self.current.read_locked())
            self.current.write(following)
        except OSError as error:
            self.current.litter = True                           # its content, perhaps
            self.journal.unlock()
            self._refuse(request.what, request.answer, error)
            return
        except Exception as error:                               # a mistake of ours, or no memory
            self.journal.unlock()
            self._refuse(request.what, request.answer, OSError(errno.EIO, mistake_of(error)))
            return
        if following["change"]:                                  # the lock is kept
            self.loading.begin(request, following)
        else:
            self.current.unlock()
            self.waiting_answers.add_success(request.what, request.answer, following)

    # -- drive: recover what is left, start -> finish -> idle

    def _drive(self) -> None:
        record = self.record
        if record["change"]:
            self._recover()
        elif record["transition"]:
            self._decide(self._may())
        elif (self.current.litter or self.peers.litter) and all(
                decisions.seen(peer.report) >= record["seq"] for peer in self.peers.known()):
            self._clean_up()

    def _clean_up(self) -> None:
        """Contents that nobody needs any more and the sockets of the dead are removed; with the lock, since its
        holder may be about to need a content, and so that no second daemon does the same."""
        if self.loop.now() < self.current.retry:
            return self.rounds.wake_at(self.current.retry)
        try:
            if not self.peers.litter and self.journal.is_bare():
                self.current.litter = False     # not a lock either: a folder that is being made may be its user's later
                return
            if not self.journal.try_lock():
                return
            try:
                if self.journal.read() is self.record:
                    self.journal.prune(self.record)
                    self.current.litter = False
                self.peers.unlink_gone()
            finally:
                self.journal.unlock()
        except OSError:                                          # no descriptors, for now
            self.current.retry = self.loop.now() + LIMITS.retry_write

    def _recover(self) -> None:
        """Undo a change that is not ours: a free lock means that its coordinator is dead."""
        now = self.loop.now()
        if now < max(self._look_lost, self.current.retry):
            self.rounds.wake_at(max(self._look_lost, self.current.retry))
            return
        self._look_lost = now + LIMITS.lost
        self.rounds.wake_at(self._look_lost)
        ours = self.record["change"]["n"] == self.loading.undone    # and said so, when it could not be written
        self._commit(lambda record: decisions.given_up(record) if record["change"] else None,
                     "" if ours else "klpfs: coordinator lost: the load is undone")

    def _decide(self, may: May) -> None:
        """Write the transition's next step when every process has reported what it needs."""
        record = self.record
        if not self._awaited.is_empty(lambda peer: may(record, peer.report)):
            return
        self._awaited = Awaited([peer for peer in self.peers.known() if not may(record, peer.report)])
        if self._awaited.peers:
            return
        known = {peer.key for peer in self.peers.known()}
        # List AGAIN: a child may have been forked before its parent was clean.
        newcomers = [peer for peer in self._list() if peer.key not in known]
        if not all(may(record, peer.report) for peer in newcomers):
            return
        if self.loop.now() < self.current.retry:
            return self.rounds.wake_at(self.current.retry)
        self._commit(lambda now: decisions.decided(now) if now["seq"] == record["seq"] else None)

    def _commit(self, decide: Callable[[Record], Record | None], log: str = "") -> None:
        """Lock, read again, write what `decide` makes of it (None: it is not what it was; start over), unlock."""
        try:
            if not self.journal.try_lock():
                self.rounds.wake_at(self.loop.now() + LIMITS.retry_lock if not log else self._look_lost)
                return
            try:
                following = decide(self.journal.read())
                if following is not None:
                    self.current.write(following)
                    if log:
                        self.log(log, 4)
            finally:
                self.current.unlock()
        except OSError as error:
            self.current.write_failed(error)

