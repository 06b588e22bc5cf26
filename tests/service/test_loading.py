"""A load: from its change to its start, or to its failure."""
import errno

from klpfs.protocol.record_text import forks
from tests.service.puppets import World, errno_of, steps


def test_nothing_is_started_before_all_have_prepared():
    """A process that still works in init is waited for, named after 2 s; the journal stays at the change."""
    world = World(2)
    world.agents[1].busy = True
    answer = world.ask("insmod")
    world.run()
    world.clock.advance(3)
    world.run()
    assert steps(world) == ["change"] and errno_of(answer) is None
    assert any("waiting for process 1.sock: init of A" in line for line in world.logged)
    world.agents[1].busy = False
    world.run()
    assert errno_of(answer) == 0
    world.check_quiet()


def test_one_refusal_fails_the_load_after_all_took_back():
    """The refuser's errno is the answer, once no process has the operation any more."""
    world = World(2)
    world.agents[1].refuse = errno.EINVAL
    answer = world.ask("insmod")
    world.run()
    assert errno_of(answer) == errno.EINVAL
    assert steps(world) == ["change", "idle"]
    world.check_quiet()
    assert not world.agents[0].mods


def test_a_refusal_of_a_child_that_the_load_has_forked_is_said():
    """The child may have ended before its log is read. Other refusals are in the refuser's own log."""
    world = World(2)
    world.agents[1].refuse, world.agents[1].words = errno.EDEADLK, forks("A")
    answer = world.ask("insmod")
    world.run()
    assert errno_of(answer) == errno.EDEADLK
    assert [line for line in world.logged if "the load of 'A' forks" in line]
    world.agents[1].refuse, world.agents[1].words = errno.EINVAL, "it says why"
    answer = world.ask("insmod")
    world.run()
    assert errno_of(answer) == errno.EINVAL and not [line for line in world.logged if "it says why" in line]


def test_refusal_is_not_answered_before_the_others_took_back():
    """errearly: who reads the answer must not find anything half done."""
    world = World(2)
    answer = world.ask("insmod")
    world.agents[1].refuse = errno.EINVAL
    while not world.disk.record["seq"] == 2:
        events = [e for e in world.events()]
        events[0][0](*events[0][1:])
    world.agents[0].silent = True
    world.run()
    assert errno_of(answer) is None
    world.agents[0].silent = False
    world.run()
    assert errno_of(answer) == errno.EINVAL


def test_refusal_waits_for_who_still_works():
    """Longer than 2 s, since it answers; but the writer may interrupt that too."""
    for interrupted in (False, True):
        world = World(2)
        world.agents[0].silent = world.agents[1].busy = True
        answer = world.ask("insmod")
        world.run()
        world.agents[0].refuse, world.agents[0].silent = errno.ENOEXEC, False
        world.run()
        world.clock.advance(10)
        world.run()
        assert steps(world) == ["change", "idle"] and errno_of(answer) is None
        if interrupted:
            answer.cancel()
            world.clock.advance(2.1)
        world.agents[1].busy = False
        if not interrupted:
            world.run()
        assert errno_of(answer) == errno.ENOEXEC
        world.run()
        world.check_quiet()


def test_no_process_is_a_failure():
    """A service whose last process has just died."""
    world = World(0)
    assert errno_of(world.ask("insmod")) == errno.ESRCH


def test_a_load_ends_after_sixty_seconds():
    """ETIMEDOUT; the one that hangs in init is not waited for any longer than 2 s more."""
    world = World(2)
    world.agents[1].busy = True
    answer = world.ask("insmod")
    world.run()
    world.clock.advance(59)
    world.run()
    assert errno_of(answer) is None
    world.clock.advance(1.1)
    world.run()
    assert steps(world) == ["change", "idle"]
    world.clock.advance(2.1)
    assert errno_of(answer) == errno.ETIMEDOUT
    world.agents[1].busy = False
    world.run()
    world.check_quiet()


def test_the_writer_may_interrupt_a_load():
    """EINTR, and all is as before; after the start it is too late, and the answer is success."""
    world = World(2)
    world.agents[1].busy = True
    answer = world.ask("insmod")
    world.run()
    assert answer.cancel()
    world.agents[1].busy = False
    world.run()
    assert errno_of(answer) == errno.EINTR
    world.check_quiet()
    answer = world.ask("insmod")
    world.agents[1].silent = True
    world.run()
    world.clock.advance(2.1)
    assert steps(world)[-1] == "start dir 1 turn 1" and errno_of(answer) is None
    assert answer.cancel()
    assert errno_of(answer) == 0


def test_a_process_that_comes_between_is_asked_too():
    """The second list: a child forked before its parent became clean is waited for."""
    world = World(1)
    world.agents[0].dirty = True
    world.ask("insmod")
    world.run()
    assert steps(world)[-1] == "start dir 1 turn 1"
    child = world.join()
    child.dirty = child.live = True
    world.agents[0].dirty = False
    child.silent = True
    world.run()
    assert steps(world)[-1] == "start dir 1 turn 1"
    child.silent = child.dirty = False
    world.run()
    world.check_quiet()
    assert child.patches == ["A"]
