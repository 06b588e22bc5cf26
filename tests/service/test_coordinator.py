"""The coordinator's decisions, docs/PROTOCOL.md#3, with puppet agents and a clock by hand."""
import errno

from klpfs.service.silence import Silence
from tests.service.puppets import World, errno_of, loaded, steps


def test_insmod_is_change_start_finish_idle():
    """An insmod is four writes, and every process ends with the patch."""
    world = World(3)
    loaded(world)
    assert steps(world) == ["change", "start dir 1 turn 1", "finish dir 1 turn 1", "idle"]
    assert [a.patches for a in world.agents] == [["A"]] * 3


def test_reversal_while_pending():
    """The opposite value turns the direction, any number of times; clean of an earlier turn does not count."""
    world = World(2)
    world.agents[1].dirty = True
    world.ask("insmod")
    world.run()
    assert errno_of(world.ask("enable")) == errno.EINVAL
    back = world.ask("disable")
    world.run()
    assert errno_of(back) == 0
    again = world.ask("enable")
    world.run()
    assert errno_of(again) == 0
    assert steps(world)[-2:] == ["start dir 0 turn 2", "start dir 1 turn 3"]
    world.ask("disable")
    world.agents[1].dirty = False
    world.run()
    world.check_quiet()
    assert [a.patches for a in world.agents] == [[], []]
    assert [a.mods for a in world.agents] == [{"A"}, {"A"}]


def test_disable_and_rmmod():
    """A disable needs no prepare; the module stays until rmmod, which is refused before."""
    world = World(2)
    loaded(world)
    assert errno_of(world.ask("rmmod")) == errno.EBUSY
    answer = world.ask("disable")
    world.run()
    assert errno_of(answer) == 0
    world.check_quiet()
    answer = world.ask("rmmod")
    world.run()
    assert errno_of(answer) == 0
    assert errno_of(world.ask("rmmod")) == errno.ENOENT
    assert [a.mods for a in world.agents] == [set(), set()]


def test_the_opposite_at_finish_is_busy():
    """`finish` decides: no reversal, no force after it."""
    world = World(2)
    world.ask("insmod")
    while world.disk.record["transition"] is None or world.disk.record["transition"]["step"] != "finish":
        call, *args = world.events()[0]
        call(*args)
    assert errno_of(world.ask("disable")) == errno.EBUSY
    assert errno_of(world.ask("force")) == errno.EBUSY
    assert errno_of(world.ask("insmod", "B")) == errno.EBUSY
    world.run()
    world.check_quiet()


def test_forced_while_it_leaves_can_never_be_removed():
    """As the kernel: the code may still run."""
    world = World(1)
    loaded(world)
    world.agents[0].dirty = True
    world.ask("disable")
    world.run()
    world.ask("force")
    world.run()
    world.check_quiet()
    assert errno_of(world.ask("rmmod")) == errno.EBUSY


def test_replace_leaves_the_new_patch_alone():
    world = World(2)
    loaded(world)
    world.replacing.add("B")
    loaded(world, "B")
    assert [a.patches for a in world.agents] == [["B"], ["B"]]
    assert errno_of(world.ask("disable")) == errno.ENODEV


def test_an_ordinary_module_beside_a_transition():
    """Decided by what the agents say they have prepared."""
    world = World(1)
    world.agents[0].dirty = True
    world.ask("insmod")
    world.run()
    answer = world.ask("insmod", "mod")
    n = world.disk.record["change"]["n"]
    peer = world.coordinator.peers.known()[0]
    report = world.agents[0].report()
    report["prepared"] = {"n": n, "livepatch": False, "replace": False, "size": 1, "uses": [], "fingerprints": ""}
    peer.mail.clear()
    peer.back.append(report)
    world.hear(world.coordinator, peer)
    assert [m["name"] for m in world.disk.record["modules"]] == ["A", "mod"]
    assert world.disk.record["change"] is None
    assert world.disk.record["transition"]["patch"] == "A"
    world.clock.advance(2.1)
    assert errno_of(answer) == 0


def test_clean_counts_for_its_turn_only():
    """noturn: a report of clean that was on its way while another reversed says nothing of the new direction."""
    world = World(2)
    first, second = world.agents
    second.dirty = True
    world.ask("insmod")
    world.run()
    second.dirty = False
    second.step()
    assert second.op["clean"] and world.coordinator.peers.there[second.key].back
    first.silent = second.silent = True
    world.ask("disable")
    world.hear(world.coordinator, world.coordinator.peers.there[second.key])
    assert steps(world)[-1] == "start dir 0 turn 2"
    first.silent = second.silent = False
    world.run()
    world.check_quiet()


def test_a_write_returns_after_the_first_try_to_complete():
    """As klp_enable_patch and __klp_disable_patch call klp_try_complete_transition: with nobody in the way the
    transition is complete when the writer goes on, with somebody it is not waited for."""
    world = World(2)
    for what in ("insmod", "disable"):
        answer = world.ask(what)
        seen = []
        answer.add_done_callback(lambda answer, seen=seen: seen.append(steps(world)[-1]))
        world.run()
        assert errno_of(answer) == 0 and seen == ["idle"]


def test_a_disable_looks_at_each_process_a_few_times_however_many_there_are(monkeypatch):
    """A round takes one report in; what it costs does not grow with the processes whose reports came before."""
    looks = []
    real = Silence.passes_over
    monkeypatch.setattr(Silence, "passes_over", lambda self, peer: looks.append(peer.key) or real(self, peer))
    counts = {}
    for processes in (2, 24):
        world = World(processes)
        loaded(world)
        del looks[:]
        world.ask("disable")
        world.run()
        world.check_quiet()
        counts[processes] = len(looks) / processes
    assert max(counts.values()) <= 4
