"""Silence: which processes say nothing, since when, and which of them the coordinator passes over. docs/PROTOCOL.md#6.

A process is silent when it has not acknowledged the record that it was sent. So is one that has acknowledged, but says
nothing any more and does not answer a question: an agent answers at once, also while foreign code hangs, so that
process is stopped. A process that was silent for LIMITS.silent seconds is passed over: pending, and named, but not
waited for.
"""
from __future__ import annotations

from typing import TYPE_CHECKING, Callable

from attrs import define, field

from klpfs.protocol import decisions
from klpfs.service.limits import LIMITS

if TYPE_CHECKING:
    from klpfs.service.peer import Peer


@define(eq=False)
class Sent:
    """The state of a process since it was sent a record."""

    seq: int                        # the record's
    at: float  # loop time; of an earlier record, where the process was passed over under that already
    silence_noticed: float = -1.0   # the beginning of the silence that was found to be too long, ...
    noticed_at: float = 0.0         # ... and when that was found first: LIMITS.grace runs from here
    asked_since: float = -1.0       # the beginning of the silence for which a sign of life was asked


@define(eq=False)
class Silence:
    """now(): the loop's time. wake_at(when): the coordinator is to look again at that time, at the latest."""

    now: Callable[[], float]
    wake_at: Callable[[float], None]
    _sent: dict[str, Sent] = field(init=False, factory=dict)
    _noticed_at: float = field(init=False, default=float("-inf"))      # when a silence was found to be too long, last

    def send(self, peer: Peer, record: dict[str, object], seq: int) -> None:
        """Send the record to a process whose `seen` is lower, once a connection; its time to answer begins.

        A process that was passed over under the last record is not waited for again: its silence goes on."""
        sent, now = self._sent.get(peer.key), self.now()
        if sent is None:
            sent = self._sent[peer.key] = Sent(seq, now)
        elif sent.seq != seq:
            since = self._since(peer, sent)
            passed_over = since is not None and now >= since + LIMITS.silent
            sent.seq, sent.at = seq, since if passed_over else now        # type: ignore[assignment]
        if decisions.seen(peer.report) < seq and peer.sent_seq < seq:
            peer.tell(record)
            if sent.at == now:
                sent.at = self.now()        # sending may have taken long

    def keep_only(self, peers: list[Peer]) -> None:
        """Forget the processes that are gone."""
        if len(self._sent) > len(peers):
            keys = {peer.key for peer in peers}
            for key in [key for key in self._sent if key not in keys]:
                del self._sent[key]

    def _since(self, peer: Peer, sent: Sent) -> float | None:
        """Since when the process has said nothing; None: it has followed what it was sent."""
        if decisions.seen(peer.report) >= sent.seq:
            return None
        return max(sent.at, peer.heard) if peer.acked >= sent.seq else sent.at

    def passes_over(self, peer: Peer) -> bool:
        """Whether the process is silent, so that it counts as pending and is not waited for.

        It is asked for a sign of life in time.
        """
        sent, now = self._sent[peer.key], self.now()
        since = self._since(peer, sent)
        if since is None:
            return False
        if peer.acked >= sent.seq:
            if now < since + LIMITS.ask_after:
                self.wake_at(since + LIMITS.ask_after)
            elif sent.asked_since < since and peer.ping():
                sent.asked_since = since
        if now < since + LIMITS.silent:
            self.wake_at(since + LIMITS.silent)
            return False
        if sent.silence_noticed != since:
            if since + LIMITS.silent > self._noticed_at or now > self._noticed_at + 10 * LIMITS.grace:
                self._noticed_at = now
            # Who was too long silent when another's silence was noticed has had the same grace: n processes, one grace.
            sent.silence_noticed, sent.noticed_at = since, self._noticed_at
        if now < sent.noticed_at + LIMITS.grace:
            self.wake_at(sent.noticed_at + LIMITS.grace)
            return False
        return True

    def is_named_silent(self, peer: Peer, seq: int) -> bool:
        """Whether people are told that the process is silent: it has never reported, or not acknowledged in time."""
        sent = self._sent.get(peer.key)
        late = sent is not None and peer.acked < seq and self.now() - sent.at >= LIMITS.silent
        return late or peer.report is None

    def sent_us(self, peer: Peer) -> int:
        """Since when the process has been asked to follow the record: CLOCK_MONOTONIC microseconds, 0 unknown."""
        sent = self._sent.get(peer.key)
        return int(sent.at * 1e6) if sent else 0
