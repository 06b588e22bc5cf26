"""Silence: a process that does not acknowledge, or says nothing after it has, is passed over after two seconds."""
import pytest

from klpfs.service.limits import LIMITS
from klpfs.service.silence import Silence


class Peer:
    """A process as `Silence` sees it; tell and ping are counted."""

    def __init__(self, key="a"):
        self.key, self.report, self.acked, self.sent_seq, self.heard = key, None, -1, -1, 0.0
        self.pings, self.connected = 0, True

    def tell(self, record):
        self.sent_seq = record["seq"]

    def ping(self):
        self.pings += self.connected
        return self.connected

    def followed(self, seq):
        self.acked, self.report = seq, {"seen": seq}


@pytest.fixture
def world():
    """(set the time, Silence, times at which it wants to be called)"""
    class World:
        def __init__(self):
            self.time, self.wakes = 100.0, []
            self.silence = Silence(lambda: self.time, self.wakes.append)

        def send(self, peer, seq):
            self.silence.send(peer, {"seq": seq}, seq)

        def passes_over(self, peer):
            """After the grace time, too: a first answer is never yes."""
            first = self.silence.passes_over(peer)
            assert not first or self.time >= self.wakes[-1]
            self.time += LIMITS.grace
            return self.silence.passes_over(peer)
    return World()


def test_a_process_that_does_not_acknowledge(world):
    peer = Peer()
    world.send(peer, 1)
    assert peer.sent_seq == 1 and not world.passes_over(peer) and world.wakes[-1] == 100.0 + LIMITS.silent
    world.time = 100.0 + LIMITS.silent
    assert world.passes_over(peer) and not peer.pings


def test_what_arrived_while_the_daemon_was_stopped_is_taken_in_first(world):
    """The first time that a silence is found too long is not yet a reason to pass over."""
    peer = Peer()
    world.send(peer, 1)
    world.time = 1000.0
    assert not world.silence.passes_over(peer) and world.wakes[-1] == 1000.0 + LIMITS.grace
    peer.followed(1)
    world.time += LIMITS.grace
    assert not world.silence.passes_over(peer)


def test_a_process_that_works_is_asked_for_a_sign_of_life(world):
    """Once for each silence. While it answers it is not passed over."""
    peer = Peer()
    world.send(peer, 1)
    peer.acked = 1
    for _ in range(5):
        peer.heard = world.time
        world.time += LIMITS.ask_after
        world.silence.passes_over(peer)
        assert not world.silence.passes_over(peer)
    assert peer.pings == 5
    world.time = peer.heard + LIMITS.silent
    assert world.passes_over(peer) and peer.pings == 5


def test_a_question_that_could_not_be_sent_is_asked_again(world):
    peer = Peer()
    world.send(peer, 1)
    peer.acked, peer.connected = 1, False
    world.time += LIMITS.ask_after
    assert not world.silence.passes_over(peer) and not peer.pings
    peer.connected = True
    assert not world.silence.passes_over(peer) and peer.pings == 1


def test_a_process_that_followed_is_never_passed_over(world):
    peer = Peer()
    world.send(peer, 1)
    peer.followed(1)
    world.time += 1000
    assert not world.passes_over(peer)


def test_a_silence_goes_on_under_the_next_record(world):
    """Not waited for again; a process that was not passed over has two seconds for each record."""
    peer, other = Peer("a"), Peer("b")
    world.send(peer, 1)
    world.send(other, 1)
    other.followed(1)
    world.time += LIMITS.silent
    assert world.passes_over(peer)
    for each in (peer, other):
        world.send(each, 2)
    assert world.passes_over(peer) and not world.passes_over(other)
    assert world.silence.sent_us(peer) == 100_000_000 and world.silence.sent_us(other) > 101_000_000


def test_a_record_is_sent_once_a_connection(world):
    """And not at all to a process that has followed it."""
    peer = Peer()
    world.send(peer, 1)
    peer.sent_seq = 0                      # a mark: sent again it would be 1
    peer.followed(1)
    world.send(peer, 1)
    assert peer.sent_seq == 0
    world.send(peer, 2)
    assert peer.sent_seq == 2


def test_processes_that_are_gone_are_forgotten(world):
    peer, other = Peer("a"), Peer("b")
    world.send(peer, 1)
    world.send(other, 1)
    world.silence.keep_only([other])
    assert not world.silence.sent_us(peer) and world.silence.sent_us(other)


def test_what_people_are_told(world):
    peer = Peer()
    assert world.silence.is_named_silent(peer, 1)              # it has never reported
    peer.followed(0)
    world.send(peer, 1)
    assert not world.silence.is_named_silent(peer, 1)
    world.time += LIMITS.silent
    assert world.silence.is_named_silent(peer, 1)
    peer.acked = 1
    assert not world.silence.is_named_silent(peer, 1)


def test_many_silent_processes_have_one_grace(world):
    """Looked at one after another, as a round does: 256 sockets of nobody held an insmod for five seconds more."""
    peers = [Peer(str(number)) for number in range(256)]
    for peer in peers:
        world.send(peer, 1)
    world.time = 100.0 + LIMITS.silent
    assert not world.silence.passes_over(peers[0])
    world.time += LIMITS.grace
    assert all(world.silence.passes_over(peer) for peer in peers)
    late = Peer("late")                        # its silence is younger: a grace of its own
    world.send(late, 1)
    world.time += LIMITS.silent
    assert not world.silence.passes_over(late)
    world.time += LIMITS.grace
    assert world.silence.passes_over(late)
