"""The agent's table of docs/PROTOCOL.md#5, line by line."""
import errno

import pytest

from klpfs.agent.follower import RULES
from klpfs.engine.error import Orphan
from klpfs.protocol.phases import TABLE
from tests.agent.puppet import change, insmod, module, patch, transition


def test_insmod_prepares_waits_starts_and_finishes(host):
    """change -> prepared, init() waits; start -> enable_patch returns 0; clean by a look; finish; idle."""
    host.livepatch("lp")
    def decided():
        last = host.reports[-1]
        assert (last["n"], last["phase"]) == (1, "prepared")
        assert last["prepared"] == {"n": 1, "livepatch": True, "replace": False, "size": 4096, "uses": [],
                                    "fingerprints": "vmlinux f 1 fp-f\n"}
        assert host.target.value("f") == "f original"
        host.tell(host.write(change=None, patches=[patch(1, "lp")], modules=[module("lp")],
                             transition=transition(1, "lp")))
    host.news.append(decided)
    report = host.follow(change=change(1, "lp"))
    assert (report["phase"], report["dir"], report["turn"], report["clean"],
            report["seen"]) == ("started", 1, 1, False, 2)
    assert report["prepared"] is None
    assert host.follower.look_key() and host.follower.look() == []
    assert host.reports[-1]["clean"] and host.target.value("f") == "f by lp"
    report = host.follow(transition=transition(1, "lp", step="finish"))
    assert (report["phase"], report["over"], report["seen"]) == ("", 1, 3)
    assert host.called == ["loading 'lp'", "init of 'lp'", "lp pre_patch vmlinux", "lp post_patch vmlinux"]
    assert host.follow(transition=None)["seen"] == 4


def test_no_finish_without_a_record_that_says_so(host):
    """However clean one is oneself: post_patch does not run before `finish`."""
    host.livepatch("lp")
    insmod(host, "lp", finish=False)
    host.follower.look()
    host.run_steps()
    assert "lp post_patch vmlinux" not in host.called and host.engine.transition is not None


def test_a_dropped_change_is_taken_back(host):
    """Neither transition nor change has its n: enable_patch raises EINTR, post_unpatch runs, the module goes."""
    seen = []
    def init(p):
        try:
            host.enable_patch(p)
        except OSError as e:
            seen.append(e.errno)
            raise
    host.livepatch("lp", init=init)
    host.later(change=None)
    report = host.follow(change=change(1, "lp"))
    assert seen == [errno.EINTR] and report["phase"] == "" and report["seen"] == 2
    assert host.called[-2:] == ["lp pre_patch vmlinux", "lp post_unpatch vmlinux"]
    assert not host.modules.all() and host.target.value("f") == "f original"


def test_a_reversal_takes_the_other_direction_and_is_clean_anew(host):
    """Each turn is its own: clean goes back to no, and post_unpatch ends it."""
    host.livepatch("lp")
    insmod(host, "lp", finish=False)
    host.follower.look()
    report = host.follow(transition=transition(1, "lp", dir=0, turn=2))
    assert (report["dir"], report["turn"], report["clean"]) == (0, 2, False)
    host.follower.look()
    host.follow(transition=transition(1, "lp", dir=0, turn=2, step="finish"))
    host.follow(transition=None, patches=[])
    assert host.called[-1] == "lp post_unpatch vmlinux" and host.target.value("f") == "f original"
    assert "lp" in host.modules


def test_two_reversals_at_once_keep_the_direction_but_not_the_clean(host):
    """A process that slept over two turns: same dir, a new turn, so what it saw clean before counts no more."""
    host.livepatch("lp")
    insmod(host, "lp", finish=False)
    host.follower.look()
    report = host.follow(transition=transition(1, "lp", dir=1, turn=3))
    assert (report["dir"], report["turn"], report["clean"]) == (1, 3, False)
    assert not any("reversing" in line for line in host.lines())


def test_disable_and_rmmod(host):
    """dir 0 from the start: pre_unpatch, a transition, post_unpatch; the module stays until it is not in `modules`."""
    host.livepatch("lp", exit=lambda: host.called.append("exit ran"))
    insmod(host, "lp")
    n = host.seq + 1
    report = host.follow(transition=transition(n, "lp", dir=0))
    assert (report["phase"], report["dir"], report["n"]) == ("started", 0, n)
    host.follower.look()
    host.follow(transition=transition(n, "lp", dir=0, step="finish"))
    host.follow(transition=None, patches=[])
    assert host.called[-2:] == ["lp pre_unpatch vmlinux", "lp post_unpatch vmlinux"]
    host.follow(modules=[])
    assert host.called[-1] == "exit ran" and not host.modules.all()


def test_a_disable_turned_back_before_we_heard_of_it(host):
    """dir 1, turn 2, patch there, never over: pre_unpatch, then a transition to the patch; post_patch at its end."""
    host.livepatch("lp")
    insmod(host, "lp")
    n = host.seq + 1
    report = host.follow(transition=transition(n, "lp", dir=1, turn=2))
    assert (report["phase"], report["dir"], report["turn"]) == ("started", 1, 2)
    host.follower.look()
    host.follow(transition=transition(n, "lp", dir=1, turn=2, step="finish"))
    assert host.called[-2:] == ["lp pre_unpatch vmlinux", "lp post_patch vmlinux"]
    assert host.target.value("f") == "f by lp"


def test_a_forced_finish_passes_over_dirty_tasks(host):
    host.livepatch("lp")
    task = host.target.spawn()
    host.target.call_function(task, "f")
    insmod(host, "lp", finish=False)
    assert host.follower.look()
    host.follow(transition=transition(1, "lp", step="finish", forced=True))
    assert host.follower.last_finished == 1 and host.target.value("f") == "f by lp"
    assert "livepatch: forcing remaining tasks to the patched state" in host.lines()


def test_finish_while_dirty_waits_for_a_look(host):
    """Cannot be decided without us; if it is said all the same, nothing is torn: it is done when seen clean."""
    host.livepatch("lp")
    task = host.target.spawn()
    host.target.call_function(task, "f")
    insmod(host, "lp", finish=False)
    host.follow(transition=transition(1, "lp", step="finish"))
    assert host.follower.look_key() and host.engine.transition is not None
    host.target.leave(task)
    host.follower.look()
    host.run_steps()
    assert host.follower.last_finished == 1
    assert host.reports[-1]["over"] == 1 and host.reports[-1]["phase"] == ""      # else no coordinator decides idle
    said = len(host.reports)
    host.run_steps()
    assert len(host.reports) == said            # and nothing is said twice


def test_replace_drops_the_others(host):
    host.livepatch("a", "f")
    host.livepatch("b", "g", replace=True)
    insmod(host, "a")
    insmod(host, "b", replace=True)
    assert [p.name for p in host.engine.patches] == ["b"]
    assert host.target.value("f") == "f original" and host.target.value("g") == "g by b"
    assert "a" in host.modules


def test_passed_over_while_loading_goes_on_with_the_start(host):
    """A silent process is started by the record that it finds when it wakes: loading, then started."""
    host.livepatch("lp")
    report = host.follow(patches=[patch(1, "lp")], modules=[module("lp")], transition=transition(1, "lp"))
    assert (report["phase"], report["n"], report["turn"]) == ("started", 1, 1)


def test_begins_late_in_a_reversed_transition(host):
    """pre_patch, no post_patch, then post_unpatch, as with a module that comes in mid-transition."""
    host.livepatch("lp")
    report = host.follow(patches=[patch(1, "lp")], modules=[module("lp")],
                         transition=transition(1, "lp", dir=0, turn=2))
    assert (report["phase"], report["dir"], report["turn"]) == ("started", 0, 2)
    host.follower.look()
    host.follow(transition=transition(1, "lp", dir=0, turn=2, step="finish"))
    assert host.called[-2:] == ["lp pre_patch vmlinux", "lp post_unpatch vmlinux"]


def test_ftrace_enabled_is_followed(host):
    """Off once nothing is in force, on before what needs it, and by who joins."""
    host.livepatch("lp")
    host.follow(ftrace=False)
    assert not host.engine.ftrace_enabled
    assert host.follow(change=change(2, "lp"))["refused"]["errno"] == errno.EBUSY
    report = host.follow(ftrace=True, change=None)
    assert host.engine.ftrace_enabled and report["seen"] == 3


def test_a_joiner_applies_what_is_in_force_in_order(host):
    """pre_patch, images, post_patch, no transition; a patch that comes to an older place goes there."""
    host.livepatch("a")
    host.livepatch("b")
    host.follow(patches=[patch(1, "a"), patch(2, "b")], modules=[module("a"), module("b")])
    assert [p.name for p in host.engine.patches] == ["a", "b"] and host.target.value("f") == "f by b"
    assert host.called == ["loading 'a'", "init of 'a'", "a pre_patch vmlinux", "a post_patch vmlinux",
                           "loading 'b'", "init of 'b'", "b pre_patch vmlinux", "b post_patch vmlinux"]
    assert host.modules.refcnt(host.modules.table["a"]) == 1


def test_a_joiner_puts_an_older_patch_below(host):
    host.livepatch("a")
    host.livepatch("b")
    host.follow(patches=[patch(2, "b")], modules=[module("b")])
    host.follow(patches=[patch(1, "a"), patch(2, "b")], modules=[module("a"), module("b")])
    assert [p.name for p in host.engine.patches] == ["a", "b"] and host.target.value("f") == "f by b"


def test_a_joiner_in_mid_transition_starts_and_waits(host):
    """The outcome at once could not be reversed."""
    host.livepatch("a")
    host.livepatch("b")
    host.follow(patches=[patch(1, "a"), patch(2, "b")], modules=[module("a"), module("b")],
                transition=transition(2, "b"))
    assert host.engine.transition.patch.name == "b" and [p.name for p in host.engine.patches] == ["a", "b"]


def test_a_joiner_at_finish_takes_the_outcome(host):
    host.livepatch("a")
    host.livepatch("b", replace=True)
    report = host.follow(patches=[patch(1, "a"), patch(2, "b")], modules=[module("a"), module("b")],
                         transition=transition(2, "b", step="finish", replace=True))
    assert [p.name for p in host.engine.patches] == ["b"] and report["over"] == 2 and report["phase"] == ""


def test_a_joiner_at_the_finish_of_a_disable_takes_nothing(host):
    host.livepatch("a")
    report = host.follow(patches=[patch(1, "a")], modules=[module("a")],
                         transition=transition(2, "a", dir=0, step="finish"))
    assert not host.engine.patches and report["over"] == 2


def test_left_out_of_a_replace_the_others_are_dropped(host):
    """It has the journal's patches less those that it can't apply."""
    host.livepatch("a")
    host.livepatch("b", "nope", replace=True)
    insmod(host, "a")
    n = host.seq + 1
    r = dict(patches=[host.record["patches"][0], patch(n, "b")], modules=[module("a"), module("b")])
    host.follow(transition=transition(n, "b", replace=True), **r)
    assert host.follower.not_applied == {n} and host.target.value("f") == "f by a"
    host.follow(transition=transition(n, "b", step="finish", replace=True))
    assert not host.engine.patches and host.target.value("f") == "f original"


def test_left_out_of_a_patch_it_has_no_part_in_the_disable_either(host):
    """Though the patch could be loaded by now: what would be loaded late nobody waits for, and nobody takes out."""
    host.livepatch("a", "nope")
    n = host.seq + 1
    r = dict(patches=[patch(n, "a")], modules=[module("a")])
    host.follow(transition=transition(n, "a"), **r)
    host.follow(transition=transition(n, "a", step="finish"))
    host.follow(transition=None, **r)
    assert host.follower.not_applied == {n}
    host.livepatch("a", "f")
    host.called.clear()
    later = host.seq + 1
    report = host.follow(transition=transition(later, "a", dir=0), **r)
    assert report["phase"] == "" and not host.called and not host.modules.all()
    report = host.follow(transition=transition(later, "a", dir=0, step="finish"), **r)
    assert report["over"] == later
    host.follow(transition=None, patches=[], modules=[])
    assert not host.called and not host.modules.all()


def test_an_ordinary_module(host):
    """change -> its top level, coming, init: prepared; in `modules`: live; out of it: exit, going, gone."""
    host.module("m", init=lambda: host.called.append("m init ran"), exit=lambda: host.called.append("m exit ran"))
    report = host.follow(change=change(1, "m"))
    assert (report["phase"], report["prepared"]["n"], report["prepared"]["livepatch"]) == ("prepared", 1, False)
    report = host.follow(change=None, modules=[module("m", False)])
    assert (
        report["phase"] == ""
        and host.modules.table["m"].state == "Live"
        and host.target.value("h", "m") == "h original"
    )
    host.follow(modules=[])
    assert host.called[-1] == "m exit ran" and "m" not in host.target.mods


def test_an_ordinary_module_that_others_refuse_is_taken_back(host):
    host.module("m", exit=lambda: host.called.append("m exit ran"))
    host.follow(change=change(1, "m"))
    host.follow(change=None)
    assert host.called[-1] == "m exit ran" and not host.modules.all()


def test_an_ordinary_module_beside_a_transition(host):
    """The report describes the transition; `prepared` has the change's number. The transition goes on."""
    host.livepatch("lp", "h", "m")
    host.module("m")
    insmod(host, "lp", finish=False)
    report = host.follow(change=change(host.seq + 1, "m"))
    assert (report["phase"], report["n"], report["prepared"]["n"]) == ("started", 1, 3)
    report = host.follow(change=None, modules=host.record["modules"] + [module("m", False)])
    assert report["prepared"] is None and host.target.value("h", "m") == "h by lp"
    host.follower.look()
    host.follow(transition=transition(1, "lp", step="finish"))
    assert host.called[-1] == "lp post_patch m"


def test_an_ordinary_module_goes_beside_a_transition(host):
    """Its task may be what keeps the transition pending: its exit is not to wait for the end."""
    host.livepatch("lp", "h", "m")
    host.module("m", exit=lambda: host.called.append("m exit ran"))
    host.follow(change=change(1, "m"))
    host.follow(change=None, modules=[module("m", False)])
    insmod(host, "lp", finish=False)
    host.follow(modules=[each for each in host.record["modules"] if each["name"] != "m"])
    assert "m exit ran" in host.called and host.called[-1] == "lp post_unpatch m" and "m" not in host.target.mods


def test_a_joiner_loads_ordinary_modules_first(host):
    host.module("m")
    host.livepatch("lp", "h", "m")
    host.follow(patches=[patch(2, "lp")], modules=[module("m", False), module("lp")])
    assert host.target.value("h", "m") == "h by lp"


def test_a_started_operation_that_the_journal_does_not_have(host):
    """Cannot happen: logged once, all is left as it is."""
    host.livepatch("lp")
    insmod(host, "lp", finish=False)
    report = host.follow(transition=None, patches=[])
    assert report["phase"] == "started" and sum("the journal does not have it" in line for line in host.lines()) == 1


def test_a_record_that_comes_between_the_last_step_and_the_report_of_it(host):
    """Is not taken for followed: its own steps come first."""
    host.livepatch("lp")
    insmod(host, "lp", finish=False)
    host.follower.look()
    assert not host.follower.step()
    host.tell(host.write(transition=transition(1, "lp", step="finish")))    # by the server's thread
    host.follower.mark_followed()
    assert host.follower.seen == host.seq - 1
    report = host.run_steps()
    assert (report["seen"], report["over"], report["phase"]) == (host.seq, 1, "")


def test_lower_records_are_ignored(host):
    """An agent works towards the highest seq only, whoever sent it."""
    old = host.write(change=change(1, "x"))
    host.follow(change=None)
    assert not host.follower.set_goal(old)


class TestForked:
    """A child, at each phase of an operation (docs/PROTOCOL.md#6)."""

    def fork(self, host):
        host.engine.after_fork()
        host.follower.after_fork()
        host.run_steps()

    def test_prepared_is_dropped_with_post_unpatch(self, host):
        host.livepatch("lp")
        def forks():
            host.called.append("fork")
            op, load = host.follower.op, host.follower.load
            self.fork(host)
            raise SystemError("the thread in init() stays in the parent")
        host.news.append(forks)
        with pytest.raises(Exception):
            host.tell(host.write(change=change(1, "lp")))
            host.follower.step()
        assert host.called[-1] == "lp post_unpatch vmlinux"
        assert host.follower.op is None and not host.modules.all() and host.follower.seen == -1

    def test_started_goes_on_and_is_clean_only_when_seen_clean(self, host):
        host.livepatch("lp")
        insmod(host, "lp", finish=False)
        host.follower.look()
        self.fork(host)
        assert host.follower.phase() == "started" and not host.follower.clean() and host.follower.seen == -1
        host.tell(host.record)
        host.run_steps()
        assert host.follower.look_key() and host.follower.seen == host.seq

    def test_forked_just_before_its_parent_heard_of_finish(self, host):
        """It comes to the end of the record before its first look, and finishes after it: the coordinator, who waits
        for it, is told so."""
        host.livepatch("lp")
        insmod(host, "lp", finish=False)
        host.follower.look()
        host.write(transition=transition(1, "lp", step="finish"))
        self.fork(host)
        host.tell(host.record)
        assert host.run_steps()["seen"] == host.seq and host.reports[-1]["over"] == 0
        assert host.follower.look() == []
        assert host.run_steps()["over"] == 1

    def test_in_the_middle_of_post_patch_the_rest_is_done_once(self, host):
        """The mark is set before the callback is called: at most once, also in a child."""
        host.livepatch("lp")
        insmod(host, "lp", finish=False)
        host.follower.look()
        class Forked(Orphan):
            pass
        def callback(obj):
            host.called.append("half of post_patch")
            raise Forked
        host.engine.patches[0].objects[0].callbacks.post_patch = callback
        host.target.call = lambda cb, obj: cb(obj)
        with pytest.raises(Forked):
            host.follow(transition=transition(1, "lp", step="finish"))
        self.fork(host)
        assert host.called.count("half of post_patch") == 1
        assert host.follower.op is None and host.follower.last_finished == 1 and host.engine.transition is None

    @pytest.mark.parametrize("name", ["post_patch", "pre_unpatch", "post_unpatch"])
    def test_while_the_callback_that_forks_still_runs_nothing_is_looked_at(self, host, name):
        """The engine is in the middle of the callbacks: no look, and what the child's thread raises takes nothing
        back; when the callback is over, the rest is done, once."""
        host.livepatch("lp")
        insmod(host, "lp", finish=False)
        host.follower.look()
        class Forked(Orphan):
            pass
        def callback(obj):
            host.called.append("half")
            host.engine.after_fork(1)
            host.follower.after_fork(True)
            step = host.engine.transition.step
            host.tell(host.record)
            host.run_steps()
            assert host.follower.look_key() is None
            assert host.follower.recover(MemoryError()) is False
            assert host.engine.callbacks_running == 1 and host.engine.transition.step == step
            raise Forked
        setattr(host.engine.patches[0].objects[0].callbacks, name, callback)
        host.target.call = lambda cb, obj: cb(obj)
        with pytest.raises(Forked):
            host.follow(transition=transition(1, "lp", step="finish"))
            host.follow(transition=None)
            host.follow(transition=transition(5, "lp", dir=0))
            host.follower.look()
            host.follow(transition=transition(5, "lp", dir=0, step="finish"))
        assert not host.engine.callbacks_running
        host.run_steps()
        assert host.called.count("half") == 1 and not host.follower.interrupted_by_fork
        if name == "pre_unpatch":
            assert host.follower.look_key() and host.follower.look() == []
        else:
            assert host.engine.transition is None and host.follower.op is None

    def test_in_the_middle_of_pre_patch_it_counts_as_failed(self, host):
        host.livepatch("lp")
        class Forked(Orphan):
            pass
        def callback(obj):
            raise Forked
        made = host.files["lp"](host)
        made.patch.objects[0].callbacks.pre_patch = callback
        host.files["lp"] = lambda h: made
        host.target.call = lambda cb, obj: cb(obj)
        with pytest.raises(Forked):
            host.follow(change=change(1, "lp"))
        self.fork(host)
        assert "lp post_unpatch vmlinux" not in host.called and host.engine.transition is None
        assert not host.modules.all() and not host.engine.patches


# ---- the rules, and the table of progress

def test_every_rule_says_when_it_fits_and_what_it_does():
    assert len({rule.name for rule in RULES}) == len({rule.fits for rule in RULES}) == len(RULES)
    assert all(rule.fits.__doc__ and (rule.action is None or rule.action.__doc__) for rule in RULES)


def test_the_first_rule_that_fits_is_done_and_one_that_waits_ends_the_step(host):
    """The order is the table's: a rule below one that fits is not tried, but where that could not be done."""
    host.livepatch("lp")
    assert host.follower.step() is False    # "no record" keeps the rules below from looking at a record
    host.tell(host.write(change=change(1, "lp"), ftrace=False))
    host.later(change=None)
    assert host.follower.step()             # "load" stands above "redirection off"
    assert host.called == ["loading 'lp'", "init of 'lp'", "lp pre_patch vmlinux", "lp post_unpatch vmlinux"]
    assert host.follower.step() and not host.engine.ftrace_enabled and not host.follower.step()


class Progress:
    """Notes (machine, journal step, phase, engine step, target mode, clean) at each report and in each callback."""

    def __init__(self, host, machine):
        self.host, self.machine, self.seen = host, machine, []
        self.report, host.report = host.report, self.noted
        self.run, host.run = host.run, self.noted_run
        self.call, host.target.call = host.target.call, self.noted_call

    def note(self):
        follower, transition = self.host.follower, self.host.engine.transition
        record = follower.stepped_record or {"change": None, "transition": None}
        journal = record["transition"]["step"] if record["transition"] else "change" if record["change"] else "idle"
        mode = self.host.target.transition.phase if self.host.target.transition is not None else None
        row = self.machine, journal, follower.phase(), transition.step if transition else "idle", mode, follower.clean()
        if row not in self.seen:
            self.seen.append(row)

    def noted(self):
        self.report()
        self.note()

    def noted_run(self, what, n, function, *args):
        self.note()
        return self.run(what, n, function, *args)

    def noted_call(self, callback, obj):
        self.note()
        return self.call(callback, obj)


def rows(machine):
    return [(row.machine, row.journal, row.phase, row.step, row.mode, row.clean)
            for row in TABLE if row.machine == machine]


def test_an_operation_goes_through_the_rows_of_the_table_of_progress(host):
    """Each moment of a load and of a disable is a row of protocol/phases.py's TABLE, and each row comes, in its
    order."""
    host.livepatch("lp")
    progress = Progress(host, "patching")
    insmod(host, "lp")
    assert progress.seen == rows("patching")
    progress.machine, progress.seen = "unpatching", []
    n = host.seq + 1
    host.follow(transition=transition(n, "lp", dir=0))
    host.follower.look()
    host.follow(transition=transition(n, "lp", dir=0, step="finish"))
    host.follow(transition=None, patches=[])
    assert progress.seen == rows("unpatching")


def test_a_process_that_is_stuck_refuses_each_change_once(host):
    """While recover() fails; nothing else of the follower moves, and the change is not loaded when it works again."""
    assert host.follower.refuse_stuck() is None         # nobody asks
    host.livepatch("lp")
    host.tell(host.write(change=change(1, "lp")))
    refused = host.follower.refuse_stuck()
    assert (refused["n"], refused["errno"]) == (1, errno.EIO) and host.follower.refuse_stuck() is refused
    host.run_steps()
    assert host.called == [] and host.reports[-1]["refused"] is refused
