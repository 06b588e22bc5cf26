"""A load, to its end: refused, given up, decided without its coordinator, left out, with other code than the service's."""
import errno

import pytest

from klpfs.agent.load import given_up
from klpfs.agent.modules import Modules
from tests.agent.puppet import change, insmod, module, patch, transition


def test_a_refused_load_is_reported_and_nothing_is_left(host):
    """An unknown function: refused with EINVAL, unloaded; the same change is not tried again; the next one is."""
    host.livepatch("lp", func="nope")
    report = host.follow(change=change(1, "lp"))
    assert report["refused"]["n"] == 1 and report["refused"]["errno"] == errno.EINVAL and report["phase"] == ""
    assert not host.modules.all() and not host.engine.patches
    assert host.called.count("init of 'lp'") == 1
    host.follow(change=None)
    host.livepatch("lp")
    n = host.seq + 1
    host.later(change=None)
    report = host.follow(change=change(n, "lp"))
    assert host.called.count("init of 'lp'") == 2


@pytest.mark.parametrize("fails, expected", [("pre_patch", errno.EIO)])
def test_a_failing_pre_patch_refuses_with_its_own_errno(host, fails, expected):
    host.livepatch("lp", fails=fails)
    assert host.follow(change=change(1, "lp"))["refused"]["errno"] == expected
    assert host.called[-1] == "lp pre_patch vmlinux"


def test_a_file_that_cannot_be_had_is_refused(host):
    assert host.follow(change=change(1, "nowhere"))["refused"]["errno"] == errno.ENOENT


def test_init_that_swallows_the_error_is_unloaded_all_the_same(host):
    def init(p):
        try:
            host.enable_patch(p)
        except OSError:
            pass
    host.livepatch("lp", init=init)
    host.later(change=None)
    host.follow(change=change(1, "lp"))
    assert not host.modules.all() and not host.engine.patches


def test_what_init_says_after_the_start_is_logged_not_obeyed(host):
    def init(p):
        host.enable_patch(p)
        raise ValueError("too late")
    host.livepatch("lp", init=init)
    insmod(host, "lp")
    assert host.target.value("f") == "f by lp"
    assert any("after its patch was started" in line for line in host.lines())


def test_lost_coordinator_and_the_journal_has_started(host):
    """The connection closes while prepared: the journal says started, so it is started."""
    host.livepatch("lp")
    def lost():
        host.gone = True
        host.written = host.write(change=None, patches=[patch(1, "lp")], modules=[module("lp")], transition=transition(1, "lp"))
    host.news.append(lost)
    report = host.follow(change=change(1, "lp"))
    assert report["phase"] == "started" and not report["refused"]


def test_lost_coordinator_and_nothing_was_started(host):
    """The journal still has the change: taken back, EINTR, refused, and not loaded again for the same record."""
    host.livepatch("lp")
    def lost():
        host.gone = True
        host.written = host.record
    host.news.append(lost)
    report = host.follow(change=change(1, "lp"))
    assert report["refused"]["errno"] == errno.EINTR and report["phase"] == ""
    assert host.called.count("init of 'lp'") == 1 and not host.modules.all()


def test_lost_coordinator_and_an_unreadable_journal(host):
    """Never decided without looking: it waits until the journal can be read."""
    host.livepatch("lp")
    host.gone = True
    waits = []
    def nothing():
        waits.append(host.follower.phase())
    def readable():
        host.written = host.record
    host.news += [nothing, nothing, readable]
    assert host.follow(change=change(1, "lp"))["refused"]["errno"] == errno.EINTR
    assert waits == ["prepared", "prepared"]


def test_a_coordinator_that_lives_after_all_starts_us_late(host):
    """Taken back with EINTR, then `start` arrives: begin late."""
    host.livepatch("lp")
    def lost():
        host.gone, host.written = True, host.record
    host.news.append(lost)
    host.follow(change=change(1, "lp"))
    host.gone = False
    report = host.follow(change=None, patches=[patch(1, "lp")], modules=[module("lp")], transition=transition(1, "lp"))
    assert (report["phase"], report["n"]) == ("started", 1)


def test_started_as_what_it_is_not(host):
    """When no process answered, the file's text said whether it replaces. Where its run says otherwise, it is left out."""
    host.livepatch("lp", replace=True)
    record = dict(patches=[patch(1, "lp")], modules=[module("lp")])
    report = host.follow(transition=transition(1, "lp"), **record)
    assert (report["phase"], report["not_applied"]) == ("", [1]) and host.target.value("f") == "f original"
    assert any("was started as one that does not replace" in line for line in host.lines())


def test_a_late_refusal_is_not_applied(host):
    """Asked after `start`, a failure does not refuse: the load number is left out, and counts as finished."""
    host.livepatch("lp", func="nope")
    record = dict(patches=[patch(1, "lp")], modules=[module("lp")])
    report = host.follow(transition=transition(1, "lp"), **record)
    assert report["not_applied"] == [1] and report["refused"] is None and report["phase"] == ""
    report = host.follow(transition=transition(1, "lp", step="finish"))
    assert report["over"] == 1
    host.follow(transition=None)
    assert host.called.count("init of 'lp'") == 1
    host.livepatch("lp")
    host.follow(patches=[], modules=[])
    n = host.seq + 1
    host.follow(patches=[patch(n, "lp")], modules=[module("lp")])
    assert host.target.value("f") == "f by lp"


def test_a_joiner_is_told_which_code_the_others_had(host):
    """Each Func of a patch in force must find one of the fingerprints that the journal has for it."""
    host.livepatch("lp")
    host.prints["fps"] = b"vmlinux f 1 a\nvmlinux f 1 b\nm f 1 c\n"
    host.follow(patches=[dict(patch(1, "lp"), fingerprints="fps")], modules=[module("lp")])
    assert host.engine.patches[0].objects[0].funcs[0].accepted_fingerprints == {"a", "b"}


def test_a_joiners_load_is_given_up_only_when_it_is_left_out_or_not_in_force_any_more(host):
    """What is in force is neither a change nor a transition; foreign code of it may take its time."""
    host.livepatch("lp")
    asked = []
    host.files["lp"], make = (lambda h: asked.append([given_up(host.follower, 1), host.follower.not_applied.add(1), given_up(host.follower, 1)])
                              or host.follower.not_applied.discard(1) or make(h)), host.files["lp"]
    host.follow(patches=[patch(1, "lp")], modules=[module("lp")])
    assert asked == [[False, None, True]] and host.target.value("f") == "f by lp"


def test_modules_that_come_after_the_start_must_have_the_others_code(host):
    """This process had no `h` when the patch was loaded; another had."""
    host.livepatch("lp", func="h", obj="m")
    host.prints["fps"] = b"m h 1 a\n"
    entry = dict(patch(1, "lp"), fingerprints="fps")
    host.later(change=None, patches=[entry], modules=[module("lp")], transition=transition(1, "lp"))
    host.follow(change=change(1, "lp"))
    assert host.engine.patches[0].objects[0].funcs[0].accepted_fingerprints == {"a"}


@pytest.mark.parametrize("content", [None, b"vmlinux f 1"])
def test_a_joiner_that_cannot_have_them_goes_without_the_patch(host, content):
    """Code that nobody can compare is not patched."""
    host.livepatch("lp")
    if content:
        host.prints["fps"] = content
    host.follow(patches=[dict(patch(1, "lp"), fingerprints="fps")], modules=[module("lp")])
    assert host.engine.patches == [] and host.follower.not_applied == {1} and "could not be applied here" in host.log.texts()[-1]


def test_who_takes_part_in_the_start_does_so_without_them_too(host):
    """It was decided, and what is here was looked at by this process itself."""
    host.livepatch("lp")
    entry = dict(patch(1, "lp"), fingerprints="nowhere")
    host.later(change=None, patches=[entry], modules=[module("lp")], transition=transition(1, "lp"))
    host.follow(change=change(1, "lp"))
    func = host.engine.patches[0].objects[0].funcs[0]
    assert host.follower.report()["phase"] == "started" and func.accepted_fingerprints == {""}     # modules that come later are left alone


def test_a_livepatch_in_mid_transition_is_ebusy(host):
    host.livepatch("a")
    host.livepatch("b")
    insmod(host, "a", finish=False)
    report = host.follow(change=change(host.seq + 1, "b"))
    assert report["refused"]["errno"] == errno.EBUSY and "b" not in host.modules


def test_a_livepatchs_own_fault_in_mid_transition_is_told(host):
    """As Linux does: EBUSY is for what could be loaded otherwise."""
    host.livepatch("a")
    host.livepatch("b", "nope")
    insmod(host, "a", finish=False)
    report = host.follow(change=change(host.seq + 1, "b"))
    assert report["refused"]["errno"] == errno.EINVAL and "b" not in host.modules


def test_a_patch_that_fails_refuses_a_module(host):
    """insmod of a module whose livepatch can't be applied: the module's load fails, and it is gone."""
    host.livepatch("lp", "nope", "m")
    host.module("m", init=lambda: host.called.append("m init ran"))
    insmod(host, "lp")
    report = host.follow(change=change(host.seq + 1, "m"))
    assert report["refused"]["errno"] == errno.EINVAL and "m" not in host.modules and "m init ran" not in host.called


def test_enable_patch_in_an_ordinary_module(host):
    """Not marked as a livepatch module: EINVAL and the kernel's line."""
    host.livepatch("lp")
    lp = host.files["lp"](host).patch
    host.module("m", init=lambda: host.enable_patch(lp))
    assert host.follow(change=change(1, "m"))["refused"]["errno"] == errno.EINVAL
    assert "livepatch: module m is not marked as a livepatch module" in host.lines()


def test_enable_patch_outside_of_a_load(host):
    with pytest.raises(OSError) as e:
        host.enable_patch(None)
    assert e.value.errno == errno.EINVAL


def test_a_livepatch_that_enables_nothing_is_just_loaded(host):
    host.livepatch("lp", init=lambda p: None)
    report = host.follow(change=change(1, "lp"))
    assert report["prepared"]["livepatch"] is False and report["phase"] == "prepared"
    host.follow(change=None, modules=[module("lp")])
    assert host.modules.table["lp"].state == "Live"


def test_a_joiner_goes_without_a_module_that_fails(host):
    """It is tried once, named in the log; the process runs."""
    host.module("m", init=lambda: 1 / 0)
    report = host.follow(modules=[module("m", False)])
    assert report["seen"] == 1 and "m" not in host.modules
    host.follow(modules=[module("m", False)])
    assert host.called.count("init of 'm'") == 1


def cut_off(host, error):
    """What the agent's thread does: the exception goes through all of a step, then all is taken back."""
    try:
        while host.follower.step():
            pass
    except type(error) as raised:
        host.follower.recover(raised)
        host.run_steps()
        return host.reports[-1]
    raise AssertionError("nothing was raised")


@pytest.mark.parametrize("error, code", [(MemoryError(), errno.ENOMEM), (TypeError("x"), errno.EINVAL),
                                         (KeyboardInterrupt(), errno.EINVAL), (SystemExit(), errno.EINVAL)])
@pytest.mark.parametrize("where", ["resolve", "begin", "describe_load", "content"])
def test_an_exception_of_ours_undoes_the_load_and_refuses_it(host, monkeypatch, where, error, code):
    """With one line; callbacks that succeeded are undone, and the next load works."""
    host.livepatch("lp")
    owner = {"resolve": host.target, "begin": host.target, "describe_load": Modules, "content": host}[where]
    def raises(*args):
        raise error
    with monkeypatch.context() as patched:
        patched.setattr(owner, where, raises)
        host.tell(host.write(change=change(1, "lp")))
        report = cut_off(host, error)
    assert report["refused"]["n"] == 1 and report["refused"]["errno"] == code and report["phase"] == ""
    assert len([line for line in host.lines() if line.startswith("loading 'lp' failed at ")]) == 1
    assert not host.modules.all() and not host.engine.patches and host.engine.transition is None
    assert host.follower.load is None and host.follower.op is None
    assert "lp pre_patch vmlinux" not in host.called or "lp post_unpatch vmlinux" in host.called
    host.follow(change=None)
    insmod(host, "lp")
    assert host.target.value("f") == "f by lp"


def test_what_init_makes_of_an_exception_of_ours_does_not_matter(host, monkeypatch):
    """It may swallow it: the load has failed."""
    def init(patch):
        try:
            host.enable_patch(patch)
        except BaseException:
            pass
    host.livepatch("lp", init=init)
    def raises(*args):
        raise MemoryError
    with monkeypatch.context() as patched:
        patched.setattr(host.target, "begin", raises)
        host.tell(host.write(change=change(1, "lp")))
        report = cut_off(host, MemoryError())
    assert report["refused"]["errno"] == errno.ENOMEM and not host.engine.patches


def test_a_started_operation_goes_on_whatever_is_raised_behind_the_start(host, monkeypatch):
    host.livepatch("lp")
    host.later(change=None, patches=[patch(1, "lp")], modules=[module("lp")], transition=transition(1, "lp"))
    def raises():
        if host.engine.transition is not None and host.engine.transition.step == "started":
            raise MemoryError
    monkeypatch.setattr(host.outbox, "changed", raises, raising=True)
    host.tell(host.write(change=change(1, "lp")))
    try:
        host.run_steps()
    except MemoryError as error:
        monkeypatch.undo()
        host.follower.recover(error)
    assert host.follower.report()["phase"] == "started" and host.follower.look() == []
    host.follow(transition=transition(1, "lp", step="finish"))
    assert host.target.value("f") == "f by lp" and host.follower.last_finished == 1


def test_enable_patch_takes_a_patch_alone(host):
    host.livepatch("lp", init=lambda patch: host.enable_patch(5))
    assert host.follow(change=change(1, "lp"))["refused"]["errno"] == errno.EINVAL
    assert any("was given no Patch, but int" in line for line in host.lines())
