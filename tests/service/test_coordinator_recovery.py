"""docs/PROTOCOL.md#8 and what the coordinator can't read, write or be alone with: dead and other coordinators, a full
disk, a damaged journal, no descriptors."""
import errno
import sys

from klpfs.protocol import decisions as records
from klpfs.protocol import record_text as text
from klpfs.service.answer import Answer
from tests.service.puppets import World, errno_of, loaded, raises, steps


def test_another_operation_waits_two_seconds_for_the_lock():
    world = World(1)
    world.agents[0].busy = True
    world.ask("insmod")
    world.run()
    second = world.ask("insmod", "B")
    world.clock.advance(1.9)
    assert errno_of(second) is None
    world.clock.advance(0.2)
    assert errno_of(second) == errno.EBUSY
    assert any("lock" in line for line in world.logged)


def test_the_lock_of_another_process():
    """Held by somebody else: waited for, 2 s."""
    world = World(1)
    world.disk.lock = object()
    late, busy = world.ask("insmod"), world.ask("rmmod", "X")
    world.clock.advance(1)
    assert errno_of(late) is None
    world.clock.advance(1.1)
    assert errno_of(late) == errno_of(busy) == errno.EBUSY
    third = world.ask("insmod")
    world.disk.lock = None
    world.clock.advance(0.1)
    world.run()
    assert errno_of(third) == 0


def test_a_dead_coordinator_before_start_is_taken_back():
    """A free lock and a change: its coordinator is dead; the agents see the connection close."""
    world = World(2)
    world.agents[1].busy = True
    world.ask("insmod")
    world.run()
    world.crash(world.coordinator)
    world.coordinator = world.coordinate()
    world.agents[1].busy = False
    world.run()
    world.check_quiet()
    assert steps(world) == ["change", "idle"]
    assert any("coordinator lost" in line for line in world.logged)


def test_a_dead_coordinator_after_start_is_finished():
    """Driven on, never taken back."""
    world = World(2)
    world.agents[1].dirty = True
    world.ask("insmod")
    world.run()
    world.crash(world.coordinator)
    world.coordinator = world.coordinate()
    world.agents[1].dirty = False
    world.run()
    world.check_quiet()
    assert world.agents[1].patches == ["A"]


def test_a_living_coordinators_change_is_left_alone():
    world = World(1)
    world.agents[0].busy = True
    answer = world.ask("insmod")
    world.run()
    world.coordinate()
    world.clock.advance(5)
    world.run()
    assert steps(world) == ["change"]
    world.agents[0].busy = False
    world.run()
    assert errno_of(answer) == 0


def test_a_full_disk_before_the_change():
    world = World(1)
    world.disk.full = errno.ENOSPC
    assert errno_of(world.ask("insmod")) == errno.ENOSPC
    assert world.disk.lock is None
    world.disk.full = 0
    assert world.disk.pruned == [0], "its content, which was stored before, is removed"
    loaded(world)


def test_no_descriptors_to_look_into_the_folder():
    """Nothing is decided without: somebody new may be there. It is named, and tried again every second."""
    world = World(2)
    answer = world.ask("insmod")
    look, world.coordinator.peers.list = world.coordinator.peers.list, raises(errno.EMFILE)
    world.run()
    world.clock.advance(0.9)
    assert steps(world) == ["change"] and world.coordinator.trouble == "journal: Too many open files"
    world.coordinator.peers.list = look
    world.clock.advance(1.1)
    world.run()
    assert errno_of(answer) == 0 and world.coordinator.trouble is None
    world.check_quiet()


def test_no_descriptors_to_read_the_journal():
    """It is not damaged: it can't be read just now. A write waits for it as it does for the lock."""
    world = World(1)
    loaded(world)
    read, world.coordinator.journal.read = world.coordinator.journal.read, raises(errno.EMFILE)
    answer = world.ask("disable")
    world.clock.advance(1.9)
    assert errno_of(answer) is None
    world.clock.advance(1.1)
    assert errno_of(answer) == errno.EMFILE and world.coordinator.damaged is None
    world.coordinator.journal.read = read
    world.clock.advance(1.1)
    assert errno_of(world.ask("disable")) is None
    world.run()
    world.check_quiet()


def test_a_full_disk_before_start_undoes_the_load():
    """Presumed abort: the agents see the connection close, the writer gets ENOSPC; later the change is taken away."""
    world = World(2)
    answer = world.ask("insmod")
    world.disk.full = errno.ENOSPC
    world.run()
    world.clock.advance(2.1)
    world.run()
    assert errno_of(answer) == errno.ENOSPC
    assert world.disk.lock is None
    assert not any(a.patches or a.op for a in world.agents)
    assert world.coordinator.trouble == "journal: No space left on device"
    world.disk.full = 0
    world.clock.advance(1.1)
    world.run()
    assert steps(world) == ["change", "idle"]
    assert not any("coordinator lost" in line for line in world.logged), "it is here"
    world.check_quiet()
    loaded(world)


def test_a_full_disk_later_keeps_the_transition_pending():
    """Tried again every second; one log line; named as a blocker meanwhile."""
    world = World(1)
    world.agents[0].dirty = True
    world.ask("insmod")
    world.run()
    world.disk.full = errno.ENOSPC
    world.agents[0].dirty = False
    world.run()
    world.clock.advance(5)
    world.run()
    assert world.disk.record["transition"]["step"] == "start"
    assert world.coordinator.trouble
    assert len([line for line in world.logged if "No space" in line]) == 1
    world.disk.full = 0
    world.clock.advance(1.1)
    world.run()
    world.check_quiet()
    assert world.coordinator.trouble is None


def test_a_damaged_journal_refuses_every_write():
    """EIO; nothing is touched; one line each."""
    world = World(1)
    good = world.disk.data
    world.disk.data = good[:-3]
    assert errno_of(world.ask("insmod")) == errno.EIO
    assert errno_of(world.ask("disable")) == errno.EIO
    assert world.disk.data == good[:-3]
    world.disk.data = good
    loaded(world)


def test_a_load_under_way_when_the_journal_is_damaged_has_a_line():
    world = World(1)
    world.agents[0].busy = True
    answer = world.ask("insmod")
    world.run()
    assert errno_of(answer) is None
    world.disk.data = world.disk.data[:-3]
    world.coordinator.step()
    assert errno_of(answer) == errno.EIO
    assert len([line for line in world.logged if "insmod A" in line and "the journal is damaged" in line]) == 1


def test_a_write_that_waits_for_processes_when_the_journal_is_damaged_has_a_line():
    world = World(1)
    loaded(world)
    answer = Answer()
    world.coordinator.waiting_answers.add_success("insmod A", answer, {"seq": 9, "transition": None})
    world.disk.data = world.disk.data[:-3]
    world.coordinator.step()
    assert errno_of(answer) == errno.EIO
    assert len([line for line in world.logged if "insmod A: the journal is damaged" in line]) == 1


def test_a_coordinator_that_missed_writes_starts_over():
    """nocas: what was listed under another journal is no ground for a decision."""
    world = World(2)
    other = world.coordinate()
    world.agents[1].dirty = True
    world.ask("insmod")
    world.run()
    for a in world.agents:
        a.dirty = False
    world.ask("disable", c=other)
    world.run()
    world.check_quiet()
    assert world.agents[0].patches == []


def test_written_only_if_the_journal_is_still_the_one():
    """nocas: between the last list and the lock another coordinator has reversed: start over."""
    world = World(1)
    other = world.coordinate()
    world.agents[0].dirty = True
    world.ask("insmod")
    world.run()
    peers, real, done = world.coordinator.peers, world.coordinator.peers.list, []

    def listing():
        if not done and records.may_finish(world.disk.record, world.agents[0].report()):
            done.append(world.ask("disable", c=other))
        return real()
    peers.list = listing
    world.agents[0].dirty = False
    world.agents[0].step()
    other.peers.there["0.sock"].back.clear()
    world.hear(world.coordinator, peers.there["0.sock"])
    assert done and steps(world)[-1] == "start dir 0 turn 2"
    world.run()
    world.check_quiet()


def insmod_and_disable(world):
    """The answers to an insmod and a disable, both to their end."""
    answers = [world.ask("insmod")]
    world.run()
    answers.append(world.ask("disable"))
    world.run()
    return answers


class RaisingAt:
    """A context in which the n-th line of the coordinator's code raises; n None: `lines` counts them. What answers all
    after such an exception is spared, and what calls it. only: the function whose lines are meant."""

    FILES = ("coordinator.py", "rounds.py", "current_record.py", "loading.py", "waiting_answers.py", "silence.py",
             "awaited.py", "decisions.py")
    SPARED = ("step", "_guarded_round", "submit", "_give_up_all", "_fail_all", "fail_all", "is_busy",
              "close")

    def __init__(self, n=None, only=None):
        self.n, self.lines, self.only = n, 0, only

    def __enter__(self):
        sys.settrace(self.call)
        return self

    def __exit__(self, *_):
        sys.settrace(None)

    def call(self, frame, event, arg):
        code = frame.f_code
        wanted = code.co_filename.endswith(self.FILES) and "/klpfs/" in code.co_filename
        return self.line if wanted and code.co_name not in self.SPARED and self.only in (None, code.co_name) else None

    def line(self, frame, event, arg):
        if event == "line":
            self.lines += 1
            if self.lines - 1 == self.n:
                raise MemoryError(f"at line {frame.f_lineno}")
        return self.line


def test_a_mistake_of_ours_in_a_round_answers_every_write():
    """Whatever line of a round raises: each write is answered, with success or EIO; the lock is free; the next load
    goes in, after what was begun is over."""
    with RaisingAt() as counted:
        assert [errno_of(answer) for answer in insmod_and_disable(World(2))] == [0, 0]
    raised = 0
    for n in range(0, counted.lines, 7):
        world = World(2)
        with RaisingAt(n):
            answers = insmod_and_disable(world)
        for _ in range(4):
            world.clock.advance(2)
            world.run()
        given = [errno_of(answer) for answer in answers]
        assert None not in given, (n, given, world.logged)
        assert world.disk.lock is None and world.coordinator.load is None, n
        mishaps = [line for line in world.logged if "MemoryError" in line]
        raised += bool(mishaps)
        assert len(mishaps) <= 2, mishaps               # of the write, and of the round
        if not world.disk.record["modules"]:
            again = world.ask("insmod")
            world.run()
            assert errno_of(again) == 0, n
    assert raised > counted.lines / 7 / 2


def test_a_mistake_of_ours_while_a_write_is_taken_up():
    """Whatever line it is: the write is in the list of requests, or known as the one that the round works at."""
    with RaisingAt(only="_next_request") as counted:
        assert [errno_of(answer) for answer in insmod_and_disable(World(1))] == [0, 0]
    for n in range(counted.lines):
        world = World(1)
        with RaisingAt(n, "_next_request"):
            answers = insmod_and_disable(world)
        world.clock.advance(8)
        world.run()
        assert None not in map(errno_of, answers), (n, world.logged)


def test_a_journal_that_is_removed_while_a_load_is_prepared():
    """The writer is answered, the lock is free, the agents take back; from then on every write is EIO."""
    world = World(1)
    world.agents[0].busy = True
    answer = world.ask("insmod")
    world.run()
    world.disk.data = text.dump(text.idle())
    world.disk.record = text.parse(world.disk.data)
    world.coordinator.step()
    world.agents[0].busy = False
    world.run()
    world.clock.advance(3)
    world.run()
    assert errno_of(answer) == errno.EIO and world.disk.lock is None and world.coordinator.load is None
    assert any("journal was removed" in line for line in world.logged)
