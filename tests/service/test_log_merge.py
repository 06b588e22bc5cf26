"""One log out of several rings: engine lines once a service, the others once a process, by time."""
import pytest

from klpfs.protocol import record_text as text
from klpfs.service.log_merge import LogMerge
from klpfs.service.log_ring import LogView

IDLE = text.idle()


class World:
    def __init__(self, size=100):
        self.time = 1000
        self.view = LogView(size)
        self.merge = LogMerge(self.view, lambda: self.time)
        self.record = IDLE

    def journal(self, **changes):
        self.record = {**self.record, **changes, "seq": self.record["seq"] + 1}
        self.merge.take_record(self.record)

    def take(self, agent, *rows):
        self.merge.take(agent, rows, self.record)

    def lines(self):
        return [r.text for r in self.view.records]


@pytest.fixture
def world():
    return World()


def entry(name):
    return {"name": name, "n": 1, "sha256": "", "params": {}, "fingerprints": ""}


T = {"n": 1, "patch": "p", "dir": 1, "turn": 1, "step": "start", "replace": False, "forced": False}
CHANGE = {"n": 1, "name": "p", "sha256": "", "params": {}, "livepatch": True, "replace": False, "pid": 1, "path": ""}


def test_by_time(world):
    """What has arrived together, from several agents, is in order of time; numbers are the log's own."""
    world.take("a", (0, 2000, 6, "module", "second"), (1, 4000, 6, "module", "fourth"))
    world.take("b", (0, 1500, 6, "module", "first"), (1, 3000, 4, "user", "third"))
    assert world.lines() == ["first", "second", "third", "fourth"]
    assert [r.seq for r in world.view.records] == [0, 1, 2, 3] and world.view.next_seq == 4
    world.take("a", (2, 1, 6, "module", "late"))
    assert world.lines()[-1] == "late"


def test_engine_lines_once_others_each(world):
    world.journal(change=CHANGE)
    for agent in "abc":
        world.take(agent, (0, 2000, 5, "engine", "livepatch: enabling patch 'p'"), (1, 2001, 6, "module", "hello"))
    assert world.lines() == ["livepatch: enabling patch 'p'", "hello", "hello", "hello"]


def test_a_line_that_ends_a_step_stands_behind_all_callbacks_of_the_step(world):
    """Source: __klp_disable_patch(): klp_start_transition() comes when all pre_unpatch callbacks have been called."""
    world.journal(transition=T)
    start = "livepatch: 'p': starting unpatching transition"
    world.take("a", (0, 2000, 6, "module", "pre a"), (1, 2001, 5, "engine", start), (2, 2010, 5, "engine", "done"))
    world.take("b", (0, 2002, 6, "module", "pre b"), (1, 2003, 5, "engine", start), (2, 2011, 5, "engine", "done"))
    assert world.lines() == ["pre a", "pre b", start, "done"]


def test_lines_of_modules_have_their_process_s_number(world):
    rows = [(0, 1, 6, "module", "hello"), (1, 2, 5, "engine", "livepatch: enabling patch 'p'"), (2, 3, 4, "user", "x")]
    world.merge.take("a", rows, IDLE, pid=7)
    assert [(r.text, r.pid) for r in world.view.records] == [
        ("hello", 7), ("livepatch: enabling patch 'p'", 0), ("x", 0)]


def test_what_an_agent_says_names_its_process(world):
    world.merge.take("a", [(0, 1, 4, "agent", "it goes on"), (1, 2, 6, "module", "hello")], IDLE, "process 7 (python3)")
    assert world.lines() == ["process 7 (python3): it goes on", "hello"]


def test_an_engine_line_has_its_earliest_time(world):
    """Of those that arrive together; else it would come behind what the process that was first said next."""
    world.journal(change=CHANGE)
    world.take("a", (0, 3000, 5, "engine", "completing"), (1, 3001, 6, "module", "post_patch"))
    world.take("b", (0, 1000, 5, "engine", "completing"), (1, 1001, 6, "module", "post_patch"))
    assert world.lines() == ["completing", "post_patch", "post_patch"]
    assert [r.usec for r in world.view.records] == [1000, 1001, 3001]


def test_the_same_line_again_in_one_operation(world):
    """A process that says it twice means two events: a second reversal."""
    world.journal(transition=T, patches=[entry("p")])
    for agent in "ab":
        world.take(agent, (0, 2000, 5, "engine", "reversing"), (1, 2100, 5, "engine", "reversing"))
    assert world.lines() == ["reversing", "reversing"]


def test_another_operation(world):
    """The same patch loaded again, and first seen by another process than before."""
    world.journal(change=CHANGE)
    world.take("a", (0, 2000, 5, "engine", "enabling"))
    world.journal(change=None)
    world.journal(change={**CHANGE, "n": 3})
    world.take("b", (0, 3000, 5, "engine", "enabling"))
    world.take("a", (1, 3000, 5, "engine", "enabling"))
    assert world.lines() == ["enabling", "enabling"]


def test_complete_is_idle(world):
    """'patching complete' is said once, with the journal's write, after the callbacks' lines; agents' own are not
    shown."""
    world.journal(transition=T, patches=[entry("p")])
    world.journal(transition={**T, "step": "finish"})
    for agent in "ab":
        world.take(agent, (0, 2000, 5, "engine", "livepatch: 'p': patching complete"),
                   (1, 2100, 6, "module", "post_patch"))
    assert world.lines() == ["post_patch", "post_patch"]
    world.journal(transition=None)
    assert world.lines()[-1] == "livepatch: 'p': patching complete"
    world.take("c", (0, 2200, 5, "engine", "livepatch: 'p': patching complete"))
    assert world.lines().count("livepatch: 'p': patching complete") == 1


def test_unpatching_complete(world):
    world.journal(transition={**T, "dir": 0}, patches=[entry("p")])
    world.journal(transition=None, patches=[])
    assert world.lines() == ["livepatch: 'p': unpatching complete"]


def test_canceled_load_completes_in_the_process(world):
    """A load that fails while it is prepared: the engine's own words, no transition of the service."""
    world.journal(change=CHANGE)
    world.take("a", (0, 2000, 5, "engine", "livepatch: 'p': unpatching complete"))
    assert world.lines() == ["livepatch: 'p': unpatching complete"]


def test_sent_again(world):
    """After a reconnection an agent sends its whole ring."""
    world.take("a", (0, 1, 6, "module", "x"))
    world.take("a", (0, 1, 6, "module", "x"), (1, 2, 6, "module", "y"))
    assert world.lines() == ["x", "y"]


def test_a_daemon_started_again(world):
    """Old rings: engine lines of one moment are one event, of another moment another."""
    world.time = world.merge._started = 100_000_000
    old = [(0, 1_000_000, 5, "engine", "enabling"), (1, 50_000_000, 5, "engine", "enabling")]
    world.take("a", *old)
    world.take("b", *[(s, t + 100, p, k, x) for s, t, p, k, x in old])
    assert world.lines() == ["enabling", "enabling"]


def test_priorities_of_agents_are_checked(world):
    world.take("a", (0, 1, 1000, "module", "x"))
    assert 0 <= world.view.records[0].prio <= 7


def test_an_agent_that_comes_back_on_another_socket(world):
    """Its ring comes again as a whole; each line is shown once. Only so many of those that have gone are remembered."""
    ring = [(0, 1, 4, "agent", "a"), (1, 2, 4, "module", "b")]
    world.take("1 5", *ring)
    world.merge.forget("1 5")
    world.take("1 5", *ring, (2, 3, 4, "agent", "c"))
    assert world.lines() == ["a", "b", "c"]
    for pid in range(1000):
        world.take(f"{pid} 0", ring[0])
        world.merge.forget(f"{pid} 0")
    assert len(world.merge._past) == 64


def test_what_the_service_itself_says(world):
    """A record for each line, at the time of saying."""
    world.merge.say("a\nb", 5)
    assert [(r.text, r.prio, r.usec) for r in world.view.records] == [("a", 5, 1000), ("b", 5, 1000)]


def test_a_writer_s_line_that_an_agent_logs_late_stands_once(world):
    """It was shown when the agent did not say it in time (a stopped process)."""
    world.merge.say_for("a", "one\ntwo", 12)
    world.take("a", (0, 2000, 12, "user", "one"), (1, 2001, 12, "user", "two"), (2, 2002, 12, "user", "three"))
    assert world.lines() == ["one", "two", "three"]
    world.take("a", (3, 2003, 12, "user", "one"))       # written again
    assert world.lines() == ["one", "two", "three", "one"]


def test_a_late_line_is_that_agent_s_and_a_writer_s(world):
    world.merge.say_for("a", "one", 12)
    world.take("b", (0, 2000, 12, "user", "one"))
    world.take("a", (0, 2000, 12, "module", "one"))
    assert world.lines() == ["one", "one", "one"]


def test_a_late_line_that_never_came_hides_no_other(world):
    """An agent logs in the order in which it was given the lines; one that has gone logs none."""
    for line in ("lost", "late"):
        world.merge.say_for("a", line, 12)
    world.take("a", (0, 2000, 12, "user", "late"), (1, 2001, 12, "user", "lost"))
    assert world.lines() == ["lost", "late", "lost"]
    world.merge.say_for("a", "gone", 12)
    world.merge.forget("a")
    world.take("a", (2, 2002, 12, "user", "gone"))
    assert world.lines()[-2:] == ["gone", "gone"]
    world.merge.say_for("", "nobody's", 12)
    assert world.lines()[-1] == "nobody's"
