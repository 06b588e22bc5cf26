"""Processes that are silent or die, docs/PROTOCOL.md#3 and #6: the coordinator passes over them, waits for them, or
forgets them."""
import errno

from tests.service.puppets import World, errno_of, loaded, steps


def test_silent_process_is_passed_over_after_two_seconds():
    """It has not even acknowledged: the start does not wait for it, the finish does."""
    world = World(2)
    world.agents[1].silent = True
    answer = world.ask("insmod")
    world.run()
    world.clock.advance(1.9)
    world.run()
    assert steps(world) == ["change"]
    world.clock.advance(0.2)
    world.run()
    world.clock.advance(2.1)
    world.run()
    assert errno_of(answer) == 0
    assert steps(world) == ["change", "start dir 1 turn 1"]
    assert [(p.key, why) for p, why in world.coordinator.waiting_for()] == [("1.sock", "silent")]
    world.agents[1].silent = False
    world.run()
    world.check_quiet()
    assert world.agents[1].patches == ["A"]


def test_stopped_after_it_acknowledged():
    """It is asked for a sign of life; without one it is passed over like one that never acknowledged."""
    world = World(2)
    world.agents[1].busy = True
    answer = world.ask("insmod")
    world.run()
    world.clock.advance(5)
    world.run()
    assert steps(world) == ["change"]                    # it works, and answers: waited for
    world.agents[1].silent = True
    world.coordinator.peers.there["1.sock"].last = world.clock.now()
    world.clock.advance(2.1)
    world.run()
    assert world.coordinator.peers.there["1.sock"].pings
    assert steps(world) == ["change", "start dir 1 turn 1"]
    world.clock.advance(2.1)
    assert errno_of(answer) == 0
    world.agents[1].silent = world.agents[1].busy = False
    world.run()
    world.check_quiet()


def test_the_only_process_stops_in_its_load():
    """Then it is pending like any other: the file's text says what is started.

    Where it doesn't, the end of the time does.
    """
    for foresees, code in ((True, 0), (False, errno.ETIMEDOUT)):
        world = World(1)
        world.foresees = foresees
        world.agents[0].busy = True
        answer = world.ask("insmod")
        world.run()
        world.agents[0].silent = True
        world.coordinator.peers.there["0.sock"].last = world.clock.now()
        if not foresees:
            world.clock.advance(30)
            assert errno_of(answer) is None
        world.clock.advance(40)
        assert errno_of(answer) == code
        world.agents[0].silent = world.agents[0].busy = False
        world.run()
        world.clock.advance(3)
        world.run()
        world.check_quiet()
        assert world.agents[0].patches == (["A"] if foresees else [])


def test_contents_stay_until_all_are_in_step():
    """One that still loads what was given up must find its content."""
    world = World(2)
    world.agents[0].refuse = errno.EINVAL
    world.agents[1].busy = True
    world.disk.pruned.clear()
    world.agents[0].silent = True
    world.ask("insmod")
    world.run()
    world.agents[0].silent = False
    world.run()
    assert steps(world) == ["change", "idle"] and world.disk.pruned == []
    world.agents[1].busy = False
    world.run()
    assert world.disk.pruned == [2]


def test_all_silent_is_pending():
    """Answered after 2 s, in which nobody has acknowledged; each takes the steps when it answers."""
    world = World(2)
    for agent in world.agents:
        agent.silent = True
    answer = world.ask("insmod")
    world.clock.advance(1.9)
    assert steps(world) == ["change"] and errno_of(answer) is None
    world.clock.advance(0.2)
    assert steps(world) == ["change", "start dir 1 turn 1"]
    assert errno_of(answer) == 0, "who was silent for 2 s is not waited for again"
    assert [(p.key, why) for p, why in world.coordinator.waiting_for()] == [("0.sock", "silent"), ("1.sock", "silent")]
    world.agents[0].silent = False
    world.run()
    assert steps(world)[-1] == "start dir 1 turn 1"
    world.agents[1].silent = False
    world.run()
    world.check_quiet()
    assert [a.patches for a in world.agents] == [["A"], ["A"]]


def test_all_silent_and_the_file_does_not_tell_what_it_is():
    """Nobody has looked at the module: nothing can be started."""
    world = World(1)
    world.foresees = False
    world.agents[0].silent = True
    answer = world.ask("insmod")
    world.clock.advance(2.1)
    world.run()
    assert errno_of(answer) == errno.ETIMEDOUT
    assert steps(world) == ["change", "idle"]


def test_force_passes_over_who_is_not_clean():
    """finish at once; EINVAL for a patch that is not in transition."""
    world = World(2)
    assert errno_of(world.ask("force")) == errno.EINVAL
    world.agents[1].dirty = True
    world.ask("insmod")
    world.run()
    answer = world.ask("force")
    world.run()
    assert errno_of(answer) == 0
    world.check_quiet()
    assert not world.disk.record["modules"][0]["forced"]


def test_death_at_each_step():
    """A process that dies in any step of an insmod is gone; the others go on."""
    world = World(3)
    world.ask("insmod")
    count = 0
    while world.events():
        call, *args = world.events()[0]
        call(*args)
        count += 1
    assert count > 20
    for dies_at in range(count):
        world = World(3)
        world.ask("insmod")
        for _ in range(dies_at):
            call, *args = world.events()[0]
            call(*args)
        world.agents[1].alive = False
        for c in world.coordinators:
            c.step()
        world.run()
        world.clock.advance(10)
        world.run()
        world.check_quiet()
        assert world.agents[0].patches == ["A"]


def test_the_dead_leave_nothing_behind():
    """A socket of the dead is removed with the lock, also when there is nothing to write."""
    world = World(2)
    loaded(world)
    world.agents[1].alive = False
    world.coordinator.step()
    assert world.sockets == {"0.sock"} and world.disk.lock is None


def test_idle_waits_for_who_is_behind():
    """earlydone: one that goes without the patch counts as finished, but must have followed the record, or it would
    wake up two operations behind."""
    world = World(2)
    late = world.agents[1]
    late.silent = True
    late.refuse = errno.EINVAL
    world.ask("insmod")
    world.run()
    world.clock.advance(2.1)
    world.agents[0].dirty = True
    late.silent = False
    world.run()
    assert late.not_applied
    late.silent = True
    world.agents[0].dirty = False
    world.run()
    assert steps(world)[-1] == "finish dir 1 turn 1"
    late.silent = False
    world.run()
    world.check_quiet()
    assert (late.patches, world.agents[0].patches) == ([], ["A"])
