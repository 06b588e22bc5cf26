"""The current record: what processes say is compared with it, and nothing is known of it before it is written."""
import errno

import pytest

from klpfs.protocol import record_text as text
from tests.service import puppets
from tests.service.puppets import World, loaded


@pytest.fixture
def world():
    made = World(1)
    loaded(made)
    return made


def report(world, seen, of_service=True):
    """The process says that it has followed record `seen`."""
    peer = world.coordinator.peers.there["0.sock"]
    peer.report = {**peer.report, "seen": seen}
    peer.is_of_service = of_service
    peer.disbelieve = world.logged.append
    return peer


def test_a_journal_that_was_removed_is_written_again(world, monkeypatch):
    """By a daemon that has read what the processes have followed."""
    before = world.coordinator.record
    world.disk.data = text.dump(text.idle())
    monkeypatch.setattr(puppets, "need", lambda condition, words: None)     # numbers without gaps
    current = world.coordinator.current
    assert current.journal.try_lock()
    again = current.read_locked()
    assert again["patches"] == before["patches"] and again["seq"] == before["seq"] + 1
    assert any("journal was removed while the service runs: it is written again" in line for line in world.logged)


def test_a_record_that_this_daemon_never_read_is_not_made_up(world):
    """EIO: a process of the service has followed more than the daemon knows."""
    report(world, 1000)
    current = world.coordinator.current
    assert current.journal.try_lock()
    with pytest.raises(OSError) as caught:
        current.read_locked()
    assert caught.value.errno == errno.EIO


def test_a_process_of_another_user_is_not_believed(world):
    """It would keep all from writing."""
    report(world, 1000, of_service=False)
    current = world.coordinator.current
    assert current.journal.try_lock()
    assert current.read_locked()["seq"] == world.coordinator.record["seq"]
    assert any("says that it has followed record 1000" in line for line in world.logged)


def test_a_write_is_known_before_anybody_is_told(world):
    """And asks for another round."""
    current, seen = world.coordinator.current, []
    current.on_record = lambda record: seen.append((record["seq"], world.disk.record["seq"]))
    assert current.journal.try_lock()
    written = current.write({**current.record, "seq": current.record["seq"] + 1})
    assert seen == [(written["seq"], written["seq"])] and current.record is written and current.litter
    current.unlock()
    assert world.disk.lock is None


def test_a_write_that_fails_is_said_once_and_tried_again_later(world):
    current = world.coordinator.current
    for _ in range(2):
        current.write_failed(OSError(errno.ENOSPC, "No space left on device"))
    assert current.trouble == "journal: No space left on device" and current.retry > current.now()
    assert len([line for line in world.logged if "No space left" in line]) == 1
