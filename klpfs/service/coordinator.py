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

Which processes are silent, and so passed over, is silence.py's; the answers that wait for processes are
waiting_answers.py's.

One rule orders everything: written first, told after.
"""
from __future__ import annotations

import errno
import os
from collections import deque
from typing import TYPE_CHECKING, Any, Callable

from attrs import define, field

from klpfs.protocol import decisions
from klpfs.protocol.decisions import Record, Report
from klpfs.protocol.phases import START
from klpfs.protocol.record_text import OtherService, OtherVersion
from klpfs.service.answer import Answer
from klpfs.service.awaited import Awaited
from klpfs.service.journal import Journal
from klpfs.service.limits import LIMITS
from klpfs.service.silence import Silence
from klpfs.service.waiting_answers import WaitingAnswer, WaitingAnswers
from klpfs.service.writes import Decide, Foresee, Load, Request, of_mistake

if TYPE_CHECKING:
    from klpfs.service.loop import Loop, Timer
    from klpfs.service.peer import Peer
    from klpfs.service.peers import Peers

TICK = 1e-6                # seconds that a timer comes later than asked for: never, by rounding, a little too early
REMOVED = "the journal was removed while the service runs"
NOT_JUST_NOW = (errno.EMFILE, errno.ENFILE, errno.ENOMEM)      # the journal can't be read just now; it is not damaged

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
    record: Record = field(init=False, factory=decisions.none)
    damaged: OSError | None = field(init=False, default=None)
    trouble: str | None = field(init=False, default=None)        # why the journal can't be written, or read just now
    _cannot_read: bool = field(init=False, default=False)        # it is the latter
    load: Load | None = field(init=False, default=None)
    silence: Silence = field(init=False)
    waiting_answers: WaitingAnswers = field(init=False)
    _requests: deque[Request] = field(init=False, factory=deque)
    _sent_seq: int = field(init=False, default=-2)               # of the record that all known processes were sent
    # processes that hold up the transition's next step
    _awaited: Awaited = field(init=False, factory=lambda: Awaited([]))
    _timer: Timer | None = field(init=False, default=None)
    _wake: float | None = field(init=False, default=None)
    _busy: bool = field(init=False, default=False)
    _again: bool = field(init=False, default=False)
    _retry: float = field(init=False, default=0.0)               # no write before this time: the last one failed
    _look_lost: float = field(init=False, default=0.0)
    _litter: bool = field(init=False, default=True)              # contents may lie about that nobody needs
    _newest: Record = field(init=False, factory=decisions.none)      # of all that were read
    _unanswered: Answer | None = field(init=False, default=None)     # of the write that the round works at
    _mistake: str = field(init=False, default="")                # of ours, that was named last
    _undone: int = field(init=False, default=0)                  # n of the last load whose failure could not be written

    def __attrs_post_init__(self) -> None:
        self.silence = Silence(self.loop.now, self._wake_at)
        self.waiting_answers = WaitingAnswers(self.silence, self.loop.now, self._wake_at, self.step)

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
        self._again = True
        if self._busy:
            return
        self._busy = True
        try:
            while self._again:
                self._again = False
                self._wake = None
                self._unanswered = None
                try:
                    self._round()
                except OSError as error:  # no descriptors to read the journal or the folder: nothing is decided without
                    self._cannot_read = True
                    self._write_failed(error)
                    self._give_up_load(error)
                except Exception as error:
                    self._give_up_all(of_mistake(error))
                else:
                    if self._cannot_read:
                        self._cannot_read, self.trouble = False, None
        finally:
            self._busy = False
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._wake is not None:
            self._timer = self.loop.call_later(max(0.0, self._wake - self.loop.now()) + TICK, self.step)

    def _give_up_all(self, why: str) -> None:
        """After a mistake of ours in a round: whoever waits is answered EIO, a load under way is undone, the lock is
        free. Tried again in a second."""
        load, unanswered = self.load, self._unanswered
        if load is not None:
            try:
                self._undo(load, errno.EIO, why, log=True)
            except Exception:           # its agents see the connection close
                self.load, self._undone = None, load.n
                self.peers.cut(load.n)
                load.answer.fail(errno.EIO, why)
        elif self._mistake != why:             # once, though each round may make it
            self.log(f"klpfs: {why}", 3)
        self._mistake = why
        while self._requests:
            request = self._requests.popleft()
            self._refuse(request.what, request.answer, OSError(errno.EIO, why))
        self.waiting_answers.fail_all(errno.EIO, why)
        if unanswered is not None:
            unanswered.fail(errno.EIO, why)
        self.journal.unlock()
        self._retry = self.loop.now() + LIMITS.retry_write
        self._wake_at(self._retry)

    def _give_up_load(self, error: OSError) -> None:
        """The folder can't be listed, so that nobody knows who has to prepare the load: it is undone; for want of
        descriptors only when its time is over."""
        if self.load is not None and (error.errno not in NOT_JUST_NOW or self.loop.now() >= self.load.until):
            code = error.errno or errno.EIO
            self._undo(self.load, code, error.strerror or os.strerror(code), log=True)

    def close(self) -> None:
        """Let go: a load under way is lost (its agents see the connection close), a transition goes on pending."""
        if self._timer is not None:
            self._timer.cancel()
        self.journal.unlock()
        for request in self._requests:
            request.answer.fail(errno.ENODEV, "the service's daemon ends")
        self.waiting_answers.fail_all(errno.ENODEV, "the service's daemon ends")
        if self.load is not None:
            self.load.answer.fail(errno.EINTR, "the service's daemon ends")
        self._requests.clear()
        self.load = None

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

    def not_understood(self) -> str:
        """The service's own processes whose klpfs this daemon can't talk to, and why, as text; '': none. If any:
        EPROTONOSUPPORT. (One of another user has no veto: it is silent, so pending and named.)"""
        return "; ".join(peer.trouble for peer in self.peers.known() if peer.trouble and peer.is_of_service)

    def take_report(self, peer: Peer) -> None:
        """Look whether a report can be true: no process has followed a record that was never written. One of the
        service's own has seen a journal that somebody has removed since; any other is not believed."""
        if decisions.seen(peer.report) > self.record["seq"] and not peer.is_of_service:
            try:
                written = self.journal.read()["seq"]             # before anybody was told of it
            except OSError:
                return
            if decisions.seen(peer.report) > written:
                self._disbelieve(peer, written)

    def _disbelieve(self, peer: Peer, written: int) -> None:
        peer.disbelieve(f"says that it has followed record {decisions.seen(peer.report)}, the journal's last one is "
                        f"{written}")

    # -- one round

    def _round(self) -> None:
        if not self._read():
            return
        self._tell()
        if self.waiting_answers:
            self.waiting_answers.settle(self.record, self.peers.known(), self._list)
        if self.load is not None:
            self._prepare(self.load)
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
        self._take(record)
        return True

    def _fail_all(self, why: str) -> None:
        """Answer all writes with EIO: the journal can't be obeyed."""
        if self.load is not None:
            load, self.load = self.load, None
            self.journal.unlock()
            load.answer.fail(errno.EIO, why)
        while self._requests:
            request = self._requests.popleft()
            self._refuse(request.what, request.answer, OSError(errno.EIO, why))
        self.waiting_answers.fail_all(errno.EIO, why)

    def _take(self, record: Record) -> None:
        if record is not self.record:
            self.record = record
            if record["seq"] >= self._newest["seq"]:
                self._newest = record
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

    def _wake_at(self, when: float) -> None:
        """Go round at that time, at the latest."""
        if self._wake is None or when < self._wake:
            self._wake = when

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
            self._wake_at(request.until)

    def _next_request(self) -> None:
        """Take the lock and write what the first request decides."""
        request = self._requests[0]
        try:
            if not self.journal.try_lock():
                self._expire()
                if self._requests:
                    self._wake_at(self.loop.now() + LIMITS.retry_lock)
                self._drive()
                return
        except OSError as error:
            self._requests.popleft()
            self._refuse(request.what, request.answer, error)
            self._again = True
            return
        self._requests.popleft()
        self._again = True
        self._unanswered = request.answer
        try:
            following = request.decide(self._read_locked())
            self._write(following)
        except OSError as error:
            self._litter = True                                  # its content, perhaps
            self.journal.unlock()
            self._refuse(request.what, request.answer, error)
            return
        except Exception as error:                               # a mistake of ours, or no memory
            self.journal.unlock()
            self._refuse(request.what, request.answer, OSError(errno.EIO, of_mistake(error)))
            return
        if following["change"]:                                  # the lock is kept
            self.load = load = Load(request.what, following["change"]["n"], request.answer, self.loop.now(),
                                    request.foresee)
            request.answer.interrupt = lambda: self._interrupt_load(load)
        else:
            self._unlock_after_write()
            self._answer_after_first_look(request.answer, following)

    def _read_locked(self) -> Record:
        """The journal's record, read with the lock. A change in it has lost its coordinator, since the lock was free:
        it is undone.
        EIO: processes have followed a newer one, so somebody has removed the journal. EPROTONOSUPPORT:
        not_understood()."""
        record = self.journal.read()
        for peer in self.peers.known():
            if decisions.seen(peer.report) > record["seq"]:
                if peer.is_of_service:
                    record = self._write_again(decisions.seen(peer.report))
                else:
                    self._disbelieve(peer, record["seq"])
        others = self.not_understood()
        if others:                                               # never told of it: half of a service would be patched
            raise OSError(errno.EPROTONOSUPPORT, others)
        if record["change"]:
            record = self._write(decisions.given_up(record))
            self.log("klpfs: coordinator lost: the load is undone", 4)
        return record

    def _write_again(self, seen: int) -> Record:
        """The journal was removed while the service runs: what was decided last is written once more, if nobody has
        followed a newer record (`seen`) than this daemon has read; else EIO."""
        if self._newest["seq"] < seen:
            raise OSError(errno.EIO, REMOVED)
        record = self._write({**self._newest, "seq": self._newest["seq"] + 1, "change": None})
        self.log(f"klpfs: {REMOVED}: it is written again", 3)
        return record

    def _answer_after_first_look(self, answer: Answer, following: Record) -> None:
        """Answer with success once every process has followed, and has tried once to complete the transition."""
        transition = following["transition"]
        self._answer_when_followed(WaitingAnswer(answer, following["seq"], transition["n"] if transition else 0,
                                                 self.loop.now() + LIMITS.silent,
                                                 waits_for_first_look=bool(transition)))

    def _answer_when_followed(self, waiting: WaitingAnswer) -> None:
        self.waiting_answers.add(waiting)
        self._again = True

    def _write(self, record: Record) -> Record:
        """Write; with the lock. Then nothing has been told yet: on_record comes first."""
        self.journal.write(record)
        self.trouble = None
        self._litter = True
        record = self.journal.read()
        self._take(record)
        return record

    def _unlock_after_write(self) -> None:
        """Unlock; the sockets that the dead left are removed before."""
        self.peers.unlink_gone()
        self.journal.unlock()
        self._again = True

    # -- prepare: change -> start, or the failure

    def _interrupt_load(self, load: Load) -> None:
        load.interrupted = True
        self.step()

    def _prepare(self, load: Load) -> None:
        """Start the load, undo it, or wait on.

        The folder is looked into again before either is decided for want of a vote.
        """
        self._unanswered = load.answer
        if (self.record["change"] or {"n": 0})["n"] != load.n:
            return self._undo(load, errno.EIO, REMOVED, log=True, write=False)
        peers = self.peers.known() or self._list()
        failure = self._refusal(load, peers)
        if failure is not None:
            return self._undo(load, *failure)
        if self._is_waited_for(load, peers):
            return
        votes = self._votes(load, peers)
        if not votes:
            if self.loop.now() < load.until and any(peer.acked >= self.record["seq"] for peer in peers):
                self._name_slow(load, peers)                     # nobody knows what would be started: wait on
                return self._wake_at(load.until)
            return self._undo(load, errno.ETIMEDOUT if peers else errno.ESRCH, "no process answers", log=True)
        if {peer.key for peer in self._list()} - {peer.key for peer in peers}:
            self._again = True                                   # somebody new: ask it too, go on waiting
            return
        self._start(load, votes)

    def _refusal(self, load: Load, peers: list[Peer]) -> tuple[int, str, bool] | None:
        """(errno, text, whether the log says it) of a load that can't go on: a process has refused it, the writer was
        interrupted, or a process can't be told."""
        for peer in peers:
            refused = peer.report and peer.report["refused"]
            if refused and refused["n"] == load.n:
                if peer.is_of_service:                           # its own log says why
                    return refused["errno"], refused["text"], False
                text = refused["text"] or os.strerror(refused["errno"])
                return refused["errno"], f"refused by {peer.name}, of another user: {text}", True
        if load.interrupted:
            return errno.EINTR, "interrupted", True
        others = self.not_understood()                           # one has joined, or has only now said so
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
        if self.loop.now() >= load.until:
            names = ", ".join(peer.name for peer in unprepared)
            self._undo(load, errno.ETIMEDOUT, f"no end after {LIMITS.load:.0f} s: {names}", log=True)
        else:
            self._name_slow(load, unprepared)
            self._wake_at(load.until)
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
            following = decisions.started(self.record, votes, lambda text: self.log(text, 4), self.journal.put)
            self._write(following)
        except OSError as error:
            return self._undo(load, error.errno or errno.EIO, error.strerror or "", log=True)
        self.load = None
        self._unlock_after_write()
        self._answer_after_first_look(load.answer, following)

    def _name_slow(self, load: Load, peers: list[Peer]) -> None:
        """Name a process that works (init, pre_patch) in the log after LIMITS.silent seconds, once a load. A process
        that has not even acknowledged is silent, and about to be passed over."""
        if self.loop.now() < load.begun + LIMITS.silent:
            return self._wake_at(load.begun + LIMITS.silent)
        for peer in peers:
            if peer.acked >= self.record["seq"] and peer.key not in load.named:
                load.named.add(peer.key)
                working = (peer.report or {}).get("working")
                self.log(f"klpfs: {load.what}: waiting for {peer.name}" + (f": {working['what']}" if working else ""),
                         4)

    def _undo(self, load: Load, code: int, text: str, log: bool = False, write: bool = True) -> None:
        """The load has failed: write so, tell all, answer once everybody that answers has taken back. write: False:
        the journal knows nothing of it."""
        text = text or os.strerror(code)
        if log:
            self.log(f"klpfs: {load.what}: {text}", 3)
        refused = code not in (errno.EINTR, errno.ETIMEDOUT, errno.EDQUOT)
        self.load = None
        seq, until = -1, self.loop.now() + LIMITS.silent
        if not write:
            self._undone = load.n
            self.peers.cut(load.n)
            self._unlock_after_write()
            return self._answer_when_followed(WaitingAnswer(load.answer, seq, load.n, until, (code, text)))
        try:
            following = decisions.given_up(self.record)
            self._write(following)
            seq = following["seq"]
            if refused:                                          # another process may still be in its init
                until = max(until, load.until)
        except OSError as error:                                 # presumed abort: the agents see the connection close
            self._undone = load.n
            self._write_failed(error)
            self.peers.cut(load.n)
        self._unlock_after_write()
        self._answer_when_followed(WaitingAnswer(load.answer, seq, load.n, until, (code, text)))

    # -- drive: recover what is left, start -> finish -> idle

    def _drive(self) -> None:
        record = self.record
        if record["change"]:
            self._recover()
        elif record["transition"]:
            self._decide(self._may())
        elif (self._litter or self.peers.litter) and all(
                decisions.seen(peer.report) >= record["seq"] for peer in self.peers.known()):
            self._clean_up()

    def _clean_up(self) -> None:
        """Contents that nobody needs any more and the sockets of the dead are removed; with the lock, since its
        holder may be about to need a content, and so that no second daemon does the same."""
        if self.loop.now() < self._retry:
            return self._wake_at(self._retry)
        try:
            if not self.journal.try_lock():
                return
            try:
                if self.journal.read() is self.record:
                    self.journal.prune(self.record)
                    self._litter = False
                self.peers.unlink_gone()
            finally:
                self.journal.unlock()
        except OSError:                                          # no descriptors, for now
            self._retry = self.loop.now() + LIMITS.retry_write

    def _recover(self) -> None:
        """Undo a change that is not ours: a free lock means that its coordinator is dead."""
        now = self.loop.now()
        if now < max(self._look_lost, self._retry):
            self._wake_at(max(self._look_lost, self._retry))
            return
        self._look_lost = now + LIMITS.lost
        self._wake_at(self._look_lost)
        ours = self.record["change"]["n"] == self._undone        # and said so, when it could not be written
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
        if self.loop.now() < self._retry:
            return self._wake_at(self._retry)
        self._commit(lambda now: decisions.decided(now) if now["seq"] == record["seq"] else None)

    def _commit(self, decide: Callable[[Record], Record | None], log: str = "") -> None:
        """Lock, read again, write what `decide` makes of it (None: it is not what it was; start over), unlock."""
        try:
            if not self.journal.try_lock():
                self._wake_at(self.loop.now() + LIMITS.retry_lock if not log else self._look_lost)
                return
            try:
                following = decide(self.journal.read())
                if following is not None:
                    self._write(following)
                    if log:
                        self.log(log, 4)
            finally:
                self._unlock_after_write()
        except OSError as error:
            self._write_failed(error)

    def _write_failed(self, error: OSError) -> None:
        """A full disk: the old journal stands; tried again every second; a blocker meanwhile."""
        text = f"journal: {error.strerror or error}"
        if self.trouble != text:
            self.trouble = text
            self.log(f"klpfs: {text}", 3)
        self._retry = self.loop.now() + LIMITS.retry_write
        self._wake_at(self._retry)
