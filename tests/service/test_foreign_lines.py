"""Lines of a foreign user's processes: they carry a name, and can't pass for the engine's, the service's, a user's."""
import pytest

from klpfs.protocol import record_text as text
from klpfs.service import foreign_lines as module
from klpfs.service.foreign_lines import Stranger
from klpfs.service.log_merge import LogMerge
from klpfs.service.log_ring import LogView

NAME = "process 71 (worker)"
WORKER = Stranger(NAME, 65534, 5_000_000)
SECOND = 1_000_000
CHANGE = {"n": 1, "name": "p", "sha256": "", "params": {}, "livepatch": True, "replace": False, "pid": 1, "path": ""}
T = {"n": 1, "patch": "p", "dir": 1, "turn": 1, "step": "start", "replace": False, "forced": False}


class World:
    def __init__(self, waits=False):
        self.time, self.timers = 10 * SECOND, []
        self.view = LogView()
        self.merge = LogMerge(self.view, lambda: self.time)
        self.merge.foreign.later = lambda seconds, call: self.timers.append((self.time + int(seconds * 1e6), call))
        self.merge.foreign.waits = lambda: waits
        self.record = text.idle()

    def foreign(self, *rows, agent="71", stranger=WORKER):
        self.merge.take(agent, rows, self.record, stranger.name, stranger)

    def own(self, *rows, agent="1"):
        self.merge.take(agent, rows, self.record, "process 1 (master)")

    def advance(self, seconds):
        self.time += int(seconds * 1e6)
        due, self.timers = [t for t in self.timers if t[0] <= self.time], [t for t in self.timers if t[0] > self.time]
        for _, call in due:
            call()

    def lines(self):
        return [(record.prio >> 3, record.prio & 7, record.text) for record in self.view.records]

    def texts(self):
        return [line for _, _, line in self.lines()]


@pytest.fixture
def world():
    return World()


@pytest.mark.parametrize("kind", ["engine", "module", "user", "agent", "unheard of"])
@pytest.mark.parametrize("priority", [0, 4, 6, 8 | 1, 1 << 40, 2 ** 63 - 1])
def test_a_line_carries_its_process(world, kind, priority):
    """Whatever kind it says it is of: the name before it, the facility of users, no more urgent than a warning."""
    world.foreign((0, 9 * SECOND, priority, kind, "livepatch: 'cve_fix': patching complete"))
    [(facility, level, line)] = world.lines()
    assert line == f"{NAME}: livepatch: 'cve_fix': patching complete"
    assert facility == 1 and level == max(priority & 7, 4)


@pytest.mark.parametrize("usec, shown", [(0, 5 * SECOND), (9 * SECOND, 9 * SECOND), (2 ** 63 - 1, 10 * SECOND)])
def test_its_time_is_between_its_start_and_now(world, usec, shown):
    world.foreign((0, usec, 6, "module", "x"))
    assert world.view.records[0].usec == shown


def test_its_text_is_cut_and_has_no_line_of_its_own(world):
    world.foreign((0, 1, 6, "module", "x" * 100_000))
    world.foreign((1, 1, 6, "module", "innocent\nlivepatch: 'p': patching complete"))
    assert len(world.texts()[0]) == module.LONGEST
    assert all(line.startswith(NAME) for line in world.texts())


def test_what_the_service_has_said_it_stands_for(world):
    """A worker that has changed its user follows as its master does: one line for all, the master's."""
    world.own((0, 9 * SECOND, 5, "engine", "livepatch: enabling patch 'p'"))
    world.foreign((0, 9 * SECOND, 5, "engine", "livepatch: enabling patch 'p'"))
    assert world.lines() == [(0, 5, "livepatch: enabling patch 'p'")]


def test_it_waits_for_the_service_to_say_the_same():
    """Workers are often quicker than their master."""
    world = World(waits=True)
    for agent in ("71", "72"):
        world.foreign((0, 9 * SECOND, 5, "engine", "livepatch: enabling patch 'p'"), agent=agent)
    assert not world.lines()
    world.own((0, 9 * SECOND, 5, "engine", "livepatch: enabling patch 'p'"))
    world.foreign((0, 9 * SECOND, 5, "engine", "livepatch: enabling patch 'p'"), agent="73")
    world.advance(60)
    assert world.lines() == [(0, 5, "livepatch: enabling patch 'p'")]


def test_it_does_not_wait_for_ever():
    """What no process of the service says is shown, once, with the name, after a moment or with the next operation."""
    world = World(waits=True)
    for agent in ("71", "72"):
        world.foreign((0, 9 * SECOND, 3, "engine", "livepatch: failed"), agent=agent)
    world.advance(module.WAIT_SECONDS)
    assert world.lines() == [(1, 4, f"{NAME}: livepatch: failed")]
    world.foreign((1, 9 * SECOND, 3, "engine", "livepatch: more"))
    world.merge.take_record({**world.record, "seq": 1, "transition": T})
    assert world.texts()[1:] == [f"{NAME}: livepatch: more"]
    world.own((0, 9 * SECOND, 3, "engine", "livepatch: failed"))
    assert world.lines()[-1] == (0, 3, "livepatch: failed")


def test_a_service_of_foreign_processes_alone(world):
    """One process's line for all of them; the same in the next operation is another event."""
    for n in (1, 2):
        world.record = {**world.record, "seq": n, "change": {**CHANGE, "n": n}}
        world.merge.take_record(world.record)
        for agent in ("71", "72", "73"):
            world.foreign((n, 9 * SECOND, 5, "engine", "livepatch: enabling patch 'p'"), agent=agent)
    assert world.texts() == [f"{NAME}: livepatch: enabling patch 'p'"] * 2


def test_the_lines_that_wait_are_few():
    world = World(waits=True)
    world.foreign(*[(i, 1, 6, "engine", f"livepatch: {i}") for i in range(module.MOST_WAITING + 3)])
    assert len(world.texts()) == 3


def test_a_user_can_not_wash_the_ring_out(world):
    """So many lines, then so many in a second, whatever the number of processes; a line says that some are missing."""
    world.own((0, 9 * SECOND, 4, "module", "the master's"))
    for agent in range(10):
        world.foreign(*[(i, 1, 6, "module", f"{i}") for i in range(1000)], agent=str(agent))
    assert len(world.texts()) == 1 + module.BURST + 1 < world.view.size
    assert "the master's" in world.texts() and world.texts()[-1] == (
        "klpfs: lines of processes of user 65534 are left out: there are too many")
    world.advance(1)
    world.foreign(*[(i, 1, 6, "module", f"{i}") for i in range(1000, 2000)])
    assert len(world.texts()) == module.BURST + 2 + module.PER_SECOND


def test_the_services_own_lines_are_as_before(world):
    """No name, every priority, the time that they say."""
    world.own((0, 7, 0, "module", "x"), (1, 8, 8 | 2, "user", "y"), (2, 9, 3, "agent", "z"))
    assert world.lines() == [(0, 0, "x"), (1, 2, "y"), (0, 3, "process 1 (master): z")]
    assert [record.usec for record in world.view.records] == [7, 8, 9]


def test_a_kind_of_a_later_klpfs_is_the_processs_own(world):
    world.own((0, 7, 5, "unheard of", "x"))
    assert world.texts() == ["process 1 (master): x"]
