"""What a daemon's watchdog takes for a wait: a step that nobody takes, and for which people are given no reason."""
import os
import signal
import subprocess
from types import SimpleNamespace

import pytest

from klpfs.protocol.long_waits import LongWaits
from klpfs.service import waits
from klpfs.service.waits import is_busy, is_stopped, now_waiting
from tests.service.puppets import World, loaded


@pytest.fixture
def world(monkeypatch):
    """Two processes; world.waits(): the texts of what waits now."""
    made = World()
    made.run()
    made.stopped = set()
    monkeypatch.setattr(waits, "is_stopped", lambda pid: pid in made.stopped)
    for place, agent in enumerate(made.agents):
        peer = made.coordinator.peers.there[agent.key]
        peer.pid, peer.connected = place + 1, True
    made.service = SimpleNamespace(name="shop", coordinator=made.coordinator, peers=made.coordinator.peers,
                                   is_reading_files=False, asks_agents=False)
    made.waits = lambda: sorted(now_waiting(made.service).values())
    return made


def test_nothing_waits_at_rest(world):
    assert world.waits() == [] and not is_busy(world.service)
    loaded(world)
    assert world.waits() == [] and not is_busy(world.service)


def test_a_load_on_which_no_process_works(world):
    world.ask("insmod")
    assert is_busy(world.service)
    [text] = [text for text in world.waits() if "insmod A" in text]
    assert "neither started nor refused" in text
    world.agents[0].busy = True
    world.run()
    assert world.coordinator.load is not None
    assert not [text for text in world.waits() if "insmod A" in text]


def test_a_process_that_does_not_acknowledge(world):
    world.ask("insmod")
    assert [text for text in world.waits() if "has not acknowledged" in text]
    world.stopped |= {1, 2}
    assert not [text for text in world.waits() if "has not acknowledged" in text]


def test_a_transition_that_a_process_holds_up_without_a_word(world):
    """Whoever is in the way has a name, and so has foreign code that runs."""
    loaded(world)
    agent = world.agents[0]
    agent.dirty = True
    world.ask("disable")
    world.run()
    peer = world.coordinator.peers.there[agent.key]
    assert peer.report["blockers"] and world.waits() == []
    peer.report = {**peer.report, "blockers": []}
    [text] = world.waits()
    assert "'A' at start" in text and f"{peer.name} says neither that it is done nor why not" in text
    world.coordinator.current.trouble = "journal: No space left on device"
    assert world.waits() == []
    world.coordinator.current.trouble = None
    peer.report = {**peer.report, "working": {"what": "pre_unpatch", "since": 1}}
    assert world.waits() == []


def test_a_decision_that_is_not_made(world):
    """All have done their part: a round that is missing would be said."""
    loaded(world)
    world.coordinator.current.retry = world.clock.now() + 3600
    world.ask("disable")
    world.run()
    assert [text for text in world.waits() if "every process has done its part" in text]
    world.clock.advance(3601)
    world.run()
    assert world.waits() == []


def test_a_writer_who_is_not_answered_in_time(world):
    world.ask("insmod")
    world.clock.time = world.coordinator.load.until
    assert [text for text in world.waits() if "the writer is not answered" in text]


def test_what_moves_is_another_wait(world):
    """Patches that come and go for a minute: nothing has waited."""
    long, said = LongWaits(), []
    for _ in range(60):
        world.clock.advance(1)
        world.ask("insmod")
        said += long.look(now_waiting(world.service), world.clock.now())
        world.run()
        world.ask("disable")
        said += long.look(now_waiting(world.service), world.clock.now())
        world.run()
        world.ask("rmmod")
        world.run()
    assert said == []


def test_who_is_stopped():
    child = subprocess.Popen(["sleep", "60"])
    try:
        assert not is_stopped(child.pid)
        os.kill(child.pid, signal.SIGSTOP)
        os.waitid(os.P_PID, child.pid, os.WSTOPPED)
        assert is_stopped(child.pid)
    finally:
        child.kill()
        child.wait()
    assert is_stopped(child.pid)
