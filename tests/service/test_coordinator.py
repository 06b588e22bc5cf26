"""The coordinator's decisions, PROTOCOL.md sections 3 and 8, with puppet agents and a clock by hand."""
import errno
import os

from hypothesis import HealthCheck, given, settings, strategies as st

from klpfs.service import record as records
from service.puppets import World, errno_of, need


def loaded(world, name="A"):
    answer = world.ask("insmod", name)
    world.run()
    assert errno_of(answer) == 0
    world.check_quiet()


def steps(world):
    """The journal's writes: what each one said."""
    out = []
    for r in world.disk.writes:
        c, t = r["change"], r["transition"]
        out.append("change" if c else f"{t['step']} dir {t['dir']} turn {t['turn']}" if t else "idle")
    return out


def raises(code):
    def call():
        raise OSError(code, os.strerror(code))
    return call


def test_insmod_is_change_start_finish_idle():
    """An insmod is four writes, and every process ends with the patch."""
    world = World(3)
    loaded(world)
    assert steps(world) == ["change", "start dir 1 turn 1", "finish dir 1 turn 1", "idle"]
    assert [a.patches for a in world.agents] == [["A"]] * 3


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
    """Then it is pending like any other: the file's text says what is started. Where it doesn't, the end of the time does."""
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
        for at in range(dies_at):
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


def test_the_dead_leave_nothing_behind():
    """A socket of the dead is removed with the lock, also when there is nothing to write."""
    world = World(2)
    loaded(world)
    world.agents[1].alive = False
    world.coordinator.step()
    assert world.sockets == {"0.sock"} and world.disk.lock is None


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


def test_idle_waits_for_who_is_behind():
    """earlydone: one that goes without the patch counts as finished, but must have followed the record, or it would wake
    up two operations behind."""
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


MAX = int(os.environ.get("KLPFS_TEST_EXAMPLES", "100"))
OPS = st.sampled_from(["insmod A", "insmod B", "disable A", "enable A", "disable B", "force A", "force B", "rmmod A", "rmmod B",
                       "interrupt"])
FAULTS = st.sampled_from(["kill", "stall", "wake", "join", "refuse", "crash", "compete", "dirty", "clean", "time", "full", "space",
                          "busy", "work"])


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
            op = data.draw(OPS)
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
    fault = data.draw(FAULTS)
    alive = [a for a in world.agents if a.alive]
    agent = data.draw(st.sampled_from(alive)) if alive else None
    if fault == "join" and len(alive) < 4:
        joiner = world.join()
        joiner.goal = world.disk.record
    elif fault == "crash":
        c = data.draw(st.sampled_from(world.coordinators))
        for request in list(c._requests):
            request.answer.fail(errno.EINTR)
        for waiting in [t.answer for t in c._takings] + ([c.load.answer] if c.load else []):
            waiting.fail(errno.EINTR)
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


def test_a_write_returns_after_the_first_try_to_complete():
    """As klp_enable_patch and __klp_disable_patch call klp_try_complete_transition: with nobody in the way the transition is
    complete when the writer goes on, with somebody it is not waited for."""
    world = World(2)
    for what in ("insmod", "disable"):
        answer = world.ask(what)
        seen = []
        answer.add_done_callback(lambda answer: seen.append(steps(world)[-1]))
        world.run()
        assert errno_of(answer) == 0 and seen == ["idle"]
