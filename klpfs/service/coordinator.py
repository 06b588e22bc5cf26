"""The coordinator: decides from the journal and the agents' reports, writes, tells. PROTOCOL.md sections 3 and 8.

Event driven: `step()` is called after anything that happened (a report, a process that came or went, another's write, a
timer, a request) and does all that can be done now. It blocks nowhere, has no thread, and no state worth saving: a
successor knows as much from the journal. It sees the agents through Peers:

    peers.list() -> list of peers       looks in the folder anew: registered and not known to be gone
    peers.unlink_gone()                 with the lock: removes the sockets of the dead
    peers.litter                        there are some that nobody has tried to remove
    peers.cut(n)                        closes connections, so that who has prepared n reads the journal
    peer.key .name .report .acked .told         name for people; report: the last one (dict) or None; seq numbers, -1: none
    peer.tell(record)                   sends it (or drops it: it is told again once the peer is connected)
    peer.heard                          when it last said anything (the loop's time)
    peer.ping(since)                    asks it for a sign of life, once for each `since`

One rule orders everything: written first, told after.
"""
import errno
import os
from collections import deque
from typing import Any, Callable, Deque, Dict, List, Optional, Tuple

from attrs import define, field

from klpfs.protocol import decisions as records
from klpfs.service.journal import Journal, Record
from klpfs.service.snapshots import Answer

SILENT = 2.0               # seconds after which who has not acknowledged is passed over
ASK_AFTER = 1.0            # seconds without a word after which who has acknowledged is asked for a sign of life
LOCK_WAIT = 2.0            # seconds that a write waits for the lock
LOAD = 60.0                # seconds that a load may take
GRACE = 0.02               # seconds for what has arrived while we were stopped ourselves, before somebody counts as silent
TICK = 1e-6                # seconds that a timer comes later than asked for: never, by rounding, a little too early
RETRY_LOCK = 0.01
RETRY_WRITE = 1.0
LOST = 0.25                # how often a change of somebody else is checked for a dead coordinator

Decide = Callable[[Record], Record]
Foresee = Callable[[], Optional[Dict[str, Any]]]               # vote_by_text.py


@define(eq=False)
class Request:
    """A write that waits for the lock. `decide` makes the next record of the present one, or raises OSError."""

    what: str
    decide: Decide
    answer: Answer
    until: float
    foresee: Foresee


@define(eq=False)
class Load:
    """The change that this coordinator prepares; it holds the lock until `start` or the failure."""

    what: str
    n: int
    answer: Answer
    begun: float
    foresee: Foresee
    interrupted: bool = False
    named: Dict[str, bool] = field(factory=dict)

    @property
    def until(self) -> float:
        return self.begun + LOAD


@define(eq=False)
class Taking:
    """An answer that waits until every agent has followed `seq`, or until `until`. `n`: the operation. `tries`: it also
    waits for the first try to complete the transition, which the kernel makes before insmod or the write returns."""

    seq: int
    n: int
    answer: Answer
    until: float
    error: Optional[Tuple[int, str]] = None
    tries: bool = False


@define(eq=False)
class Coordinator:
    """One service's coordinator. log(text, priority) writes to the service's log; on_record(record) is called with each
    new record of the journal, before anybody is told; on_damage(error or None) when the journal can't be read."""

    journal: Journal
    peers: Any
    loop: Any
    log: Callable[[str, int], None]
    on_record: Callable[[Record], None]
    record: Record = field(init=False)
    damaged: Optional[OSError] = field(init=False, default=None)
    trouble: Optional[str] = field(init=False, default=None)     # why the journal can't be written, or read just now
    _blind: bool = field(init=False, default=False)              # it is the latter
    load: Optional[Load] = field(init=False, default=None)
    _requests: Deque[Request] = field(init=False, factory=deque)
    _takings: List[Taking] = field(init=False, factory=list)
    _since: Dict[str, Tuple[int, float]] = field(init=False, factory=dict)
    _late: Dict[str, Tuple[float, float]] = field(init=False, factory=dict)      # silent since; when that was found too long
    _timer: Any = field(init=False, default=None)
    _wake: Optional[float] = field(init=False, default=None)
    _busy: bool = field(init=False, default=False)
    _again: bool = field(init=False, default=False)
    _retry: float = field(init=False, default=0.0)               # no write before this time: the last one failed
    _look_lost: float = field(init=False, default=0.0)
    _litter: bool = field(init=False, default=True)              # contents may lie about that nobody needs
    _undone: int = field(init=False, default=0)                  # n of the last load whose failure could not be written

    def __attrs_post_init__(self) -> None:
        self.record = records.none()

    # -- for the service

    def submit(self, what: str, decide: Decide, answer: Answer, foresee: Foresee = lambda: None) -> None:
        """Ask for a write: `decide(record)`, under the lock. A record with a new change makes this a load; foresee(): what it
        will turn out to be, asked when no process says so; None: can't be told."""
        request = Request(what, decide, answer, self.loop.now() + LOCK_WAIT, foresee)
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
                try:
                    self._round()
                except OSError as error:       # no descriptors to read the journal or the folder: nothing is decided without
                    self._blind = True
                    self._write_failed(error)
                else:
                    if self._blind:
                        self._blind, self.trouble = False, None
        finally:
            self._busy = False
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._wake is not None:
            self._timer = self.loop.call_later(max(0.0, self._wake - self.loop.now()) + TICK, self.step)

    def close(self) -> None:
        """Let go: a load under way is lost (its agents see the connection close), a transition goes on pending."""
        if self._timer is not None:
            self._timer.cancel()
        self.journal.unlock()
        for waiting in [r.answer for r in self._requests] + [t.answer for t in self._takings]:
            waiting.fail(errno.ENODEV, "the service's daemon ends")
        if self.load is not None:
            self.load.answer.fail(errno.EINTR, "the service's daemon ends")
        self._requests.clear()
        self._takings.clear()
        self.load = None

    def waiting_for(self) -> List[Tuple[Any, str]]:
        """Who keeps the transition pending: (peer, why); why 'silent' or 'pending'. Empty without a transition."""
        record = self.record
        if not record["transition"]:
            return []
        out = []
        for peer in self.peers.known():
            if not (records.may_finish if record["transition"]["step"] == "start" else records.may_rest)(record, peer.report):
                since = self._since.get(peer.key)
                silent = peer.acked < record["seq"] and since is not None and self.loop.now() - since[1] >= SILENT
                out.append((peer, "silent" if silent or peer.report is None else "pending"))
        return out

    def told_us(self, peer: Any) -> int:
        """Since when the peer has been asked to follow the record: CLOCK_MONOTONIC microseconds, 0 unknown."""
        since = self._since.get(peer.key)
        return int(since[1] * 1e6) if since else 0

    # -- one round

    def _round(self) -> None:
        if not self._read():
            return
        self._tell(self.peers.known())
        self._answer()
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
            if error.errno in (errno.EMFILE, errno.ENFILE, errno.ENOMEM):      # it can't be read just now
                self._expire(error)
                raise
            if self.damaged is None:
                self.log(f"klpfs: journal: {error.strerror}", 3)
            self.damaged = error
            if self.load is not None:
                load, self.load = self.load, None
                self.journal.unlock()
                load.answer.fail(errno.EIO, "the journal is damaged")
            while self._requests:
                request = self._requests.popleft()
                self._refuse(request.what, request.answer, OSError(errno.EIO, "the journal is damaged"))
            while self._takings:
                self._takings.pop().answer.fail(errno.EIO, "the journal is damaged")
            return False
        self.damaged = None
        self._take(record)
        return True

    def _take(self, record: Record) -> None:
        if record is not self.record:
            self.record = record
            self._look_lost = 0.0
            self.on_record(record)

    def _tell(self, peers: List[Any]) -> None:
        """Send the record to each whose `seen` is lower, once a connection."""
        record, now = self.record, self.loop.now()
        seq = record["seq"]
        for peer in peers:
            since = self._since.get(peer.key)
            if since is None or since[0] != seq:
                silent = since is not None and self._silent_since(peer, since)
                self._since[peer.key] = (seq, silent if silent and now >= silent + SILENT else now)
            if records.seen(peer.report) < seq and peer.told < seq:
                peer.tell(record)
                if self._since[peer.key] == (seq, now):
                    self._since[peer.key] = (seq, self.loop.now())
        if len(self._since) > len(peers):
            there = {peer.key for peer in peers}
            for key in [key for key in self._since if key not in there]:
                del self._since[key]
                self._late.pop(key, None)

    def _list(self) -> List[Any]:
        """The folder's sockets now; who is new is asked at once."""
        peers = self.peers.list()
        self._tell(peers)
        return peers

    def _at(self, when: float) -> None:
        """Look again then, at the latest."""
        if self._wake is None or when < self._wake:
            self._wake = when

    def _silent_since(self, peer: Any, since: Tuple[int, float]) -> float:
        """Since when a peer that was told (a seq, at a time) has said nothing; 0.0: it has followed that."""
        seq, told = since
        if records.seen(peer.report) >= seq:
            return 0.0
        return max(told, peer.heard) if peer.acked >= seq else told

    def _passed_over(self, peer: Any) -> bool:
        """It is silent: it has not acknowledged within 2 s of being told (or of the first try to); or it has, but says nothing
        for 2 s and does not answer a question either, as an agent does at once, also while foreign code hangs: stopped. Who was
        silent under the last record already is not waited for again."""
        now = self.loop.now()
        since = self._silent_since(peer, self._since[peer.key])
        if not since:
            return False
        if peer.acked >= self.record["seq"]:
            if now >= since + ASK_AFTER:
                peer.ping(since)
            else:
                self._at(since + ASK_AFTER)
        if now < since + SILENT:
            self._at(since + SILENT)
            return False
        if self._late.get(peer.key, (0.0, 0.0))[0] != since:
            self._late[peer.key] = (since, now)
        if now < self._late[peer.key][1] + GRACE:
            self._at(self._late[peer.key][1] + GRACE)
            return False
        return True

    # -- answers

    def _answer(self) -> None:
        """Answer the writes that every agent has taken, or that have waited long enough."""
        if not self._takings:
            return
        now, left = self.loop.now(), []
        peers = self._list()
        for taking in self._takings:
            waits = [p for p in peers if records.seen(p.report) < taking.seq and not self._passed_over(p)]
            if taking.error is not None and taking.seq < 0:      # the failure could not be written
                waits = [p for p in peers if records.holds(p.report, taking.n)]
            elif not waits and taking.tries and self._may_complete(taking.n, peers):
                waits = peers
            if waits and now < taking.until:
                self._at(taking.until)
                left.append(taking)
            elif taking.error is not None:
                taking.answer.fail(*taking.error)
            else:
                taking.answer.succeed()
        self._takings = left

    def _may_complete(self, n: int, peers: List[Any]) -> bool:
        """Whether transition n is pending, and nobody has been seen in its way so far."""
        transition = self.record["transition"]
        return bool(transition and transition["n"] == n and not any(
            self._passed_over(p) or p.report["blockers"] or p.report["working"] for p in peers))

    def _refuse(self, what: str, answer: Answer, error: OSError) -> None:
        code = error.errno or errno.EIO
        self.log(f"klpfs: {what}: {error.strerror or os.strerror(code)}", 3)
        answer.fail(code, error.strerror or os.strerror(code))

    # -- requests

    def _interrupt_request(self, request: Request) -> None:
        if request in self._requests:
            self._requests.remove(request)
            self._refuse(request.what, request.answer, OSError(errno.EINTR, os.strerror(errno.EINTR)))

    def _expire(self, error: OSError = OSError(errno.EBUSY, "another operation holds the journal's lock")) -> None:
        """Refuse the requests that have waited long enough."""
        now = self.loop.now()
        for request in [r for r in self._requests if now >= r.until]:
            self._requests.remove(request)
            self._refuse(request.what, request.answer, error)
        for request in self._requests:
            self._at(request.until)

    def _next_request(self) -> None:
        request = self._requests[0]
        try:
            if not self.journal.try_lock():
                self._expire()
                if self._requests:
                    self._at(self.loop.now() + RETRY_LOCK)
                self._drive()
                return
        except OSError as error:
            self._requests.popleft()
            self._refuse(request.what, request.answer, error)
            self._again = True
            return
        self._requests.popleft()
        self._again = True
        try:
            record = self.journal.read()
            if any(records.seen(peer.report) > record["seq"] for peer in self.peers.known()):
                raise OSError(errno.EIO, "the journal was removed while the service runs")
            if record["change"]:                                 # the lock was free: its coordinator is dead
                record = self._write(records.given_up(record))
                self.log("klpfs: coordinator lost: the load is undone", 4)
            following = request.decide(record)
            self._write(following)
        except OSError as error:
            self._litter = True                                  # its content, perhaps
            self.journal.unlock()
            self._refuse(request.what, request.answer, error)
            return
        except BaseException:
            self.journal.unlock()
            raise
        if following["change"]:
            self.load = load = Load(request.what, following["change"]["n"], request.answer, self.loop.now(), request.foresee)
            request.answer.interrupt = lambda: self._interrupt_load(load)
        else:
            self._let_go()
            self._wait_tried(request.answer, following)

    def _wait_tried(self, answer: Answer, following: Record) -> None:
        transition = following["transition"]
        self._wait_taken(answer, following["seq"], n=transition["n"] if transition else 0).tries = bool(transition)

    def _wait_taken(self, answer: Answer, seq: int, error: Optional[Tuple[int, str]] = None, until: Optional[float] = None,
                    n: int = 0) -> Taking:
        taking = Taking(seq, n, answer, self.loop.now() + SILENT if until is None else until, error)
        answer.interrupt = lambda: self._interrupt_taking(taking)
        self._takings.append(taking)
        self._again = True
        return taking

    def _interrupt_taking(self, taking: Taking) -> None:
        """Too late to undo: what was decided is decided; a failure is not waited for any longer than 2 s."""
        now = self.loop.now()
        taking.until = min(taking.until, now + SILENT if taking.error else now)
        self.step()

    def _write(self, record: Record) -> Record:
        """Write; with the lock. Then nothing has been told yet: on_record comes first."""
        self.journal.write(record)
        self.trouble = None
        self._litter = True
        record = self.journal.read()
        self._take(record)
        return record

    def _let_go(self) -> None:
        """Unlock after a write: what the dead left is removed."""
        self.peers.unlink_gone()
        self.journal.unlock()
        self._again = True

    # -- prepare: change -> start, or the failure

    def _interrupt_load(self, load: Load) -> None:
        load.interrupted = True
        self.step()

    def _prepare(self, load: Load) -> None:
        now, peers = self.loop.now(), self._list()
        for peer in peers:
            refused = peer.report and peer.report["refused"]
            if refused and refused["n"] == load.n:
                return self._undo(load, refused["errno"], refused["text"])
        if load.interrupted:
            return self._undo(load, errno.EINTR, "interrupted", log=True)
        waits = [p for p in peers if not records.prepared(p.report, load.n) and not self._passed_over(p)]
        if waits:
            if now >= load.until:
                return self._undo(load, errno.ETIMEDOUT, f"no end after {LOAD:.0f} s: {', '.join(p.name for p in waits)}", log=True)
            self._name(load, waits)
            self._at(load.until)
            return
        votes = [p.report["prepared"] for p in peers if records.prepared(p.report, load.n)]
        if not votes and peers:                                  # all are silent, so all are pending
            foreseen = load.foresee()
            votes = [foreseen] if foreseen else []
        if not votes and now < load.until and any(p.acked >= self.record["seq"] for p in peers):
            self._name(load, peers)                              # nobody knows what would be started: wait on
            return self._at(load.until)
        if not votes:
            return self._undo(load, errno.ETIMEDOUT if peers else errno.ESRCH, "no process answers", log=True)
        if {p.key for p in self._list()} - {p.key for p in peers}:
            self._again = True                                   # somebody new: ask it too, go on waiting
            return
        try:
            following = records.started(self.record, votes, lambda text: self.log(text, 4), self.journal.put)
            self._write(following)
        except OSError as error:
            return self._undo(load, error.errno or errno.EIO, error.strerror or "", log=True)
        self.load = None
        self._let_go()
        self._wait_tried(load.answer, following)

    def _name(self, load: Load, waits: List[Any]) -> None:
        """A process that works (init, pre_patch) is named in the log after 2 s, once a load; one that has not even acknowledged is
        silent, and about to be passed over."""
        if self.loop.now() < load.begun + SILENT:
            return self._at(load.begun + SILENT)
        for peer in waits:
            if peer.acked >= self.record["seq"] and not load.named.get(peer.key):
                load.named[peer.key] = True
                working = (peer.report or {}).get("working")
                self.log(f"klpfs: {load.what}: waiting for {peer.name}" + (f": {working['what']}" if working else ""), 4)

    def _undo(self, load: Load, code: int, text: str, log: bool = False) -> None:
        """The load has failed: write so, tell all, answer once everybody that answers has taken back."""
        text = text or os.strerror(code)
        if log:
            self.log(f"klpfs: {load.what}: {text}", 3)
        refused = code not in (errno.EINTR, errno.ETIMEDOUT)
        self.load = None
        seq, until = -1, self.loop.now() + SILENT
        try:
            following = records.given_up(self.record)
            self._write(following)
            seq = following["seq"]
            if refused:                                          # another process may still be in its init
                until = max(until, load.until)
        except OSError as error:                                 # presumed abort: the agents see the connection close
            self._undone = load.n
            self._write_failed(error)
            self.peers.cut(load.n)
        self._let_go()
        self._wait_taken(load.answer, seq, (code, text), until, load.n)

    # -- drive: recover what is left, start -> finish -> idle

    def _drive(self) -> None:
        record = self.record
        if record["change"]:
            self._recover()
        elif record["transition"]:
            self._decide(records.may_finish if record["transition"]["step"] == "start" else records.may_rest)
        elif (self._litter or self.peers.litter) and all(records.seen(peer.report) >= record["seq"] for peer in self.peers.known()):
            self._clean_up()

    def _clean_up(self) -> None:
        """Contents that nobody needs any more and the sockets of the dead are removed; with the lock, since who holds it may
        be about to need a content, and so that nobody else does the same."""
        if self.loop.now() < self._retry:
            return self._at(self._retry)
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
            self._retry = self.loop.now() + RETRY_WRITE

    def _recover(self) -> None:
        """A change that is not ours: a free lock means that its coordinator is dead."""
        now = self.loop.now()
        if now < max(self._look_lost, self._retry):
            self._at(max(self._look_lost, self._retry))
            return
        self._look_lost = now + LOST
        self._at(self._look_lost)
        ours = self.record["change"]["n"] == self._undone        # and said so, when it could not be written
        self._commit(lambda record: records.given_up(record) if record["change"] else None,
                     "" if ours else "klpfs: coordinator lost: the load is undone")

    def _decide(self, may: Callable[[Record, Optional[Dict[str, Any]]], bool]) -> None:
        record = self.record
        if not all(may(record, peer.report) for peer in self.peers.known()):
            return
        peers = self._list()                                     # list AGAIN: a child forked before its parent was clean
        if not all(may(record, peer.report) for peer in peers):
            return
        if self.loop.now() < self._retry:
            return self._at(self._retry)
        self._commit(lambda now: records.decided(now) if now["seq"] == record["seq"] else None)

    def _commit(self, decide: Callable[[Record], Optional[Record]], log: str = "") -> None:
        """Lock, read again, write what `decide` makes of it (None: it is not what it was; start over), unlock."""
        try:
            if not self.journal.try_lock():
                self._at(self.loop.now() + RETRY_LOCK if not log else self._look_lost)
                return
            try:
                following = decide(self.journal.read())
                if following is not None:
                    self._write(following)
                    if log:
                        self.log(log, 4)
            finally:
                self._let_go()
        except OSError as error:
            self._write_failed(error)

    def _write_failed(self, error: OSError) -> None:
        """A full disk: the old journal stands; tried again every second; a blocker meanwhile."""
        text = f"journal: {error.strerror or error}"
        if self.trouble != text:
            self.trouble = text
            self.log(f"klpfs: {text}", 3)
        self._retry = self.loop.now() + RETRY_WRITE
        self._at(self._retry)
