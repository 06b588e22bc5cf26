"""The coordinator in random orders of everything that can happen."""
import errno
import os

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests import strategies
from tests.service.puppets import World, need, open_answers

MAX = int(os.environ.get("KLPFS_TEST_EXAMPLES", "100"))


@settings(max_examples=MAX, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.data())
def test_any_interleaving(data):
    """Random orders of deliveries, users and faults: no invariant breaks, and at the end all comes to rest."""
    world = World(data.draw(st.integers(1, 3)))
    if data.draw(st.booleans()):
        world.replacing.add("B")
    answers = []
    for _ in range(data.draw(st.integers(5, 120))):
        events = world.events()
        choice = data.draw(st.integers(0, 19))
        if events and choice < 15:
            call, *args = events[data.draw(st.integers(0, len(events) - 1))]
            call(*args)
        elif choice < 18:
            op = data.draw(strategies.requests())
            c = data.draw(st.sampled_from(world.coordinators))
            if op == "interrupt":
                for answer in answers:
                    answer.cancel()
            else:
                answers.append(world.ask(*op.split(), c=c))
        else:
            happen(world, data)
    world.disk.full = 0
    for a in world.agents:
        a.silent = a.dirty = a.busy = False
    for _ in range(8):
        world.run()
        world.clock.advance(65)
        for c in world.coordinators:
            c.peers.list()
            c.step()
    world.run()
    world.check_quiet()
    for answer in answers:
        need(answer.done() or not world.coordinators, "a write is never answered")


def happen(world, data):
    """A fault, or its end."""
    fault = data.draw(strategies.faults())
    alive = [a for a in world.agents if a.alive]
    agent = data.draw(st.sampled_from(alive)) if alive else None
    if fault == "join" and len(alive) < 4:
        joiner = world.join()
        joiner.goal = world.disk.record
    elif fault == "crash":
        c = data.draw(st.sampled_from(world.coordinators))
        for answer in open_answers(c):
            answer.fail(errno.EINTR)
        world.crash(c)
        if not world.coordinators:
            world.coordinator = world.coordinate()
    elif fault == "compete" and len(world.coordinators) < 2:
        world.coordinate()
    elif fault == "time":
        world.clock.advance(data.draw(st.sampled_from([0.1, 1.0, 2.5, 61.0])))
    elif fault == "full":
        world.disk.full = errno.ENOSPC
    elif fault == "space":
        world.disk.full = 0
    elif agent is not None:
        if fault == "kill" and len(alive) > 1:
            agent.alive = False
        elif fault == "refuse":
            agent.refuse = errno.EINVAL
        elif fault in ("stall", "wake"):
            agent.silent = fault == "stall"
        elif fault in ("dirty", "clean"):
            agent.dirty = fault == "dirty"
        elif fault in ("busy", "work"):
            agent.busy = fault == "busy"
