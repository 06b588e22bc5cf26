"""The operations of a service: the kernel's errors, one log line for each failure, and what is answered when."""
import errno
import os
import stat
import time

import pytest

from klpfs.protocol.record_text import idle
from klpfs.service import child_work, coordinator, open_as_writer
from klpfs.service import service as service_module
from klpfs.service.journal import Journal
from klpfs.service.limits import LIMITS
from klpfs.service.loading import Loading
from klpfs.service.service import Service
from klpfs.service.snapshots import Caller, PatchView
from klpfs.service.waiting_answers import WaitingAnswers
from tests.service import foreign

ME = Caller(os.getpid(), os.geteuid(), os.getegid())


@pytest.fixture
def service(bench):
    made = Service("s", bench.loop, bench.folder)
    made.start()
    yield made
    made.close()


@pytest.fixture
def result(bench):
    """0 or the errno of an answer, once it is there."""
    def wait(answer, seconds=60.0):
        bench.until(answer.done, seconds)
        error = answer.exception()
        return error.errno if error else 0
    return wait


@pytest.fixture
def source(tmp_path):
    path = tmp_path / "lp-1.py"
    path.write_bytes(b"patch = 1\n")
    return str(path).encode()


def ready(bench, service, *agents):
    service.look()
    bench.until(lambda: len(service.processes) == len(agents)
                and all(p.report and p.report["seen"] >= 0 for p in service.peers.known()))


def lines(service):
    return [r.text for r in service.log.records if r.text.startswith("klpfs: ")]


def test_a_life(bench, service, result, source):
    """insmod, disable, rmmod with two agents; the views follow."""
    ready(bench, service, bench.agent("a"), bench.agent("b"))
    changes = []
    service.on_change(lambda kind, key: changes.append((kind, key)))
    assert result(service.insmod(source + b" x=1\n", ME)) == 0
    bench.until(lambda: not service.patches["lp_1"].transition)
    assert service.patches["lp_1"] == PatchView("lp_1", True, False, False, 1)
    assert service.journal.read()["patches"][0]["params"] == {"x": "1"}
    assert ("patch", "lp_1") in changes and ("module", "lp_1") in changes and ("log", None) in changes
    assert result(service.rmmod(b"lp_1", ME)) == errno.EBUSY
    assert result(service.set_enabled("lp_1", True, ME)) == errno.EINVAL
    assert result(service.set_enabled("lp_1", False, ME)) == 0
    bench.until(lambda: not service.patches)
    assert result(service.set_enabled("lp_1", False, ME)) == errno.ENODEV
    assert result(service.rmmod(b"lp_1\n", ME)) == 0
    assert service.modules == {}
    bench.until(lambda: [n for n in os.listdir(bench.folder) if len(n) == 64] == [])


def test_nothing_is_made_in_a_folder_in_which_nothing_is(bench, service):
    """It may be a folder of another user's in the making, and still root's."""
    bench.until(lambda: not service.coordinator.current.litter)
    assert os.listdir(bench.folder) == []


@pytest.mark.parametrize("text, code", [
    (b"", errno.EINVAL), (b"'", errno.EINVAL), (b"/none/x.py", errno.ENOENT), (b"/", errno.EINVAL),
    (b"/tmp", errno.EISDIR), (b"/dev/null", errno.EINVAL)])
def test_bad_insmod(bench, service, result, text, code):
    """The errno, and one line that says what and where."""
    ready(bench, service, bench.agent())
    assert result(service.insmod(text, ME)) == code
    assert len(lines(service)) == 1 and "insmod" in lines(service)[0]
    assert service.journal.read() == idle(0, service.folder.service)


def test_loaded_twice(bench, service, result, source):
    ready(bench, service, bench.agent())
    assert result(service.insmod(source, ME)) == 0
    bench.until(lambda: not service.patches["lp_1"].transition)
    assert result(service.insmod(source, ME)) == errno.EEXIST
    assert result(service.rmmod(b"none", ME)) == errno.ENOENT
    assert result(service.rmmod(b"a b", ME)) == errno.EINVAL
    assert result(service.force("lp_1")) == errno.EINVAL
    assert len(lines(service)) == 4


def test_a_refusal_is_the_agents_line(bench, service, result, source):
    """It has said why; the service adds nothing."""
    agent = bench.agent()
    ready(bench, service, agent)
    agent.puppet.refuse = errno.ENOEXEC
    assert result(service.insmod(source, ME)) == errno.ENOEXEC
    assert lines(service) == [] and service.journal.read()["change"] is None


def test_transition_pending(bench, service, result, source, tmp_path):
    """`transition` while one is not clean; another livepatch: EBUSY from the processes; reversal; force."""
    agent = bench.agent()
    ready(bench, service, agent)
    agent.puppet.dirty = True
    assert result(service.insmod(source, ME)) == 0
    assert service.patches["lp_1"].transition
    assert result(service.set_enabled("lp_1", False, ME)) == 0
    assert not service.patches["lp_1"].enabled and service.patches["lp_1"].transition
    assert result(service.force("lp_1")) == 0
    bench.until(lambda: not service.patches)
    assert service.modules["lp_1"].forced and result(service.rmmod(b"lp_1", ME)) == errno.EBUSY


def test_content_is_given_to_who_asks(bench, service, result, source):
    """By its hash; what is not there is empty."""
    agent = bench.agent()
    ready(bench, service, agent)
    result(service.insmod(source, ME))
    name = service.journal.read()["modules"][0]["sha256"]
    agent.send({"t": "want", "sha256": name})
    agent.send({"t": "want", "sha256": "../journal"})
    bench.until(lambda: len([m for m in agent.got if m["t"] == "content"]) == 2)
    assert [m["data"] for m in agent.got if m["t"] == "content"] == [b"patch = 1\n", b""]


def test_full_disk(bench, service, result, source, monkeypatch):
    """ENOSPC when nothing can be stored; nothing is left behind."""
    ready(bench, service, bench.agent())
    before = sorted(os.listdir(bench.folder))
    monkeypatch.setattr(service_module.Journal, "_put",
                        lambda *a: (_ for _ in ()).throw(OSError(errno.ENOSPC, "No space")))
    assert result(service.insmod(source, ME)) == errno.ENOSPC
    monkeypatch.undo()
    assert set(os.listdir(bench.folder)) - set(before) <= {"lock"} and len(lines(service)) == 1
    assert result(service.insmod(source, ME)) == 0


def test_damaged_journal(bench, service, result, source):
    ready(bench, service, bench.agent())
    with open(os.path.join(bench.folder, "bad"), "wb") as file:
        file.write(b"klpfs 1\n")
    os.rename(os.path.join(bench.folder, "bad"), service.journal.folder.path + "/journal")
    assert result(service.insmod(source, ME)) == errno.EIO
    assert result(service.rmmod(b"x", ME)) == errno.EIO


def test_a_journal_of_another_version(bench, service, result, source):
    """EIO on every write, by name; it is not touched."""
    ready(bench, service, bench.agent())
    other = b"klpfs 3\nwhatever a later version writes\n"
    with open(os.path.join(bench.folder, "other"), "wb") as file:
        file.write(other)
    os.rename(os.path.join(bench.folder, "other"), service.journal.folder.path + "/journal")
    assert result(service.insmod(source, ME)) == result(service.rmmod(b"x", ME)) == errno.EIO
    assert any("the journal is of version 3, this klpfs reads versions 1 and 2" in line for line in lines(service))
    with open(service.journal.folder.path + "/journal", "rb") as file:
        assert file.read() == other


def test_a_process_that_speaks_another_version(bench, service, result, source):
    """Nothing is written while it lives: the service would be patched by half. Then all is as before."""
    ready(bench, service, bench.agent())
    bench.agent("b", version=2)
    service.look()
    bench.until(lambda: service.coordinator.not_understood())
    assert result(service.insmod(source, ME)) == result(service.rmmod(b"x", ME)) == errno.EPROTONOSUPPORT
    assert any("(prog) speaks version 2 of the wire, this daemon version 1" in line for line in lines(service))
    assert service.journal.read()["seq"] == 0
    bench.processes[1].kill()
    bench.until(lambda: not service.coordinator.not_understood())
    assert result(service.insmod(source, ME)) == 0


def broken_report(agent):
    report = agent.puppet.report
    agent.puppet.report = lambda: {key: value for key, value in report().items() if key != "over"}


def test_a_process_whose_report_lacks_a_field(bench, service, result, source):
    """An older klpfs in a process that lives long: no write answers 0 and does nothing. It is named, in the answer's
    line and in blockers, with what to do; once it has ended all is as before."""
    old = bench.agent("b")
    broken_report(old)
    bench.agent()
    service.look()
    bench.until(lambda: service.coordinator.not_understood())
    assert result(service.insmod(source, ME)) == result(service.rmmod(b"x", ME)) == errno.EPROTONOSUPPORT
    assert any(f"process {old.pid} (prog) says what this daemon does not understand" in line
               and "end it, or mount with its klpfs" in line for line in lines(service))
    answer = service.ask("blockers")
    bench.until(answer.done)
    assert [(view.pid, view.kind) for view in answer.result() if "does not understand" in view.name] == [
        (old.pid, "process")]
    assert not service.patches
    bench.processes[0].kill()
    bench.until(lambda: not service.coordinator.not_understood())
    assert result(service.insmod(source, ME)) == 0


def test_a_foreign_process_has_no_veto(bench, service, result, source, monkeypatch):
    """One of another user that speaks another version, or says what can't be, keeps a transition pending, by its name;
    other processes follow, and every write can be made."""
    foreign.pretend(monkeypatch)
    monkeypatch.setattr(LIMITS, "silent", 0.2)
    bench.agent("f", version=2)
    liar = bench.agent("f2")
    liar.puppet.seen, liar.follow = 2 ** 62, False
    bench.agent("a")
    service.look()
    bench.until(lambda: len([peer for peer in service.peers.known() if peer.hello]) == 2)
    bench.until(lambda: any(peer.trouble for peer in service.peers.known()))
    assert result(service.insmod(source, ME)) == 0 and service.patches["lp_1"].transition
    answer = service.ask("blockers")
    bench.until(answer.done)
    said = [view.name for view in answer.result()]
    assert any("speaks version 2" in name for name in said)
    lie = f"says that it has followed record {2 ** 62}, the journal's last one is "
    assert any(lie in line for line in lines(service))
    assert result(service.set_enabled("lp_1", False, ME)) == 0
    assert result(service.force("lp_1")) == 0


@pytest.mark.parametrize("code", [600, -5, 2 ** 40])
def test_an_errno_that_no_system_call_returns(bench, service, result, source, code):
    """From init() of a livepatch, in whatever klpfs the process has: EINVAL, at once."""
    agent = bench.agent()
    ready(bench, service, agent)
    report = agent.puppet.report
    agent.puppet.report = lambda: {**report(), "refused": {"n": 1, "errno": code, "text": "no"}}
    assert result(service.insmod(source, ME)) == errno.EINVAL


def test_a_process_of_another_version_that_joins_a_load(bench, service, result, source):
    """It can't be told of it: the load is undone."""
    agent = bench.agent()
    ready(bench, service, agent)
    agent.follow = False
    answer = service.insmod(source, ME)
    bench.until(lambda: service.coordinator.load)
    bench.agent("b", version=2)
    service.look()
    assert result(answer) == errno.EPROTONOSUPPORT and not service.patches
    assert service.journal.read()["change"] is None


def test_parameters(bench, service, result, source):
    """Written in all processes and noted for those that come; the first refusal is the answer."""
    event = {"modules": [{"name": "lp_1", "size": 1, "refcnt": 0, "livepatch": True, "state": "Live", "holders": [],
                          "params": [("x", "int", "0", 0o644)], "forced": False}]}
    agents = [bench.agent("a", events=[event]), bench.agent("b", events=[event])]
    ready(bench, service, *agents)
    assert result(service.insmod(source, ME)) == 0
    assert result(service.set_param("lp_1", "x", b"5\n")) == 0
    assert all({"t": "set", "module": "lp_1", "param": "x", "text": "5"}.items() <= m.items()
               for a in agents for m in a.got if m["t"] == "set")
    assert service.journal.read()["modules"][0]["params"] == {"x": "5"}
    agents[1].answers["set"] = errno.EINVAL
    assert result(service.set_param("lp_1", "x", b"a")) == errno.EINVAL
    assert service.journal.read()["modules"][0]["params"] == {"x": "5"}
    assert [[m["text"] for m in a.got if m["t"] == "set"] for a in agents] == [["5", "a", "0"], ["5", "a"]], (
        "as it was, where it was set"
    )
    assert result(service.set_param("lp_1", "y", b"a")) == errno.ENODEV
    assert len(lines(service)) == 2


def test_a_silent_process_sets_the_parameter_later(bench, service, result, monkeypatch, source):
    """It has it in its socket; the log names it, and the others have the value."""
    monkeypatch.setattr(LIMITS, "order", 0.05)
    event = {"modules": [{"name": "lp_1", "size": 1, "refcnt": 0, "livepatch": True, "state": "Live", "holders": [],
                          "params": [("x", "int", "0", 0o644)], "forced": False}]}
    agents = [bench.agent("a", events=[event]), bench.agent("b", events=[event])]
    ready(bench, service, *agents)
    assert result(service.insmod(source, ME)) == 0
    agents[1].answers["set"] = None
    assert result(service.set_param("lp_1", "x", b"5")) == 0
    assert service.journal.read()["modules"][0]["params"] == {"x": "5"}
    assert lines(service)[-1].endswith("does not answer") and [m["text"] for m in agents[1].got if m["t"] == "set"] == [
        "5"
    ]


def test_nobody_sets_the_parameter(bench, service, result, monkeypatch, source):
    monkeypatch.setattr(LIMITS, "order", 0.05)
    event = {"modules": [{"name": "lp_1", "size": 1, "refcnt": 0, "params": [("x", "int", "0", 0o644)]}]}
    agent = bench.agent(events=[event])
    ready(bench, service, agent)
    result(service.insmod(source, ME))
    agent.answers["set"] = None
    assert result(service.set_param("lp_1", "x", b"5")) == errno.ETIMEDOUT


def test_ftrace(bench, service, result, source):
    """It is the journal's, so that all follow it, who comes later too; EBUSY while there is a patch."""
    agent = bench.agent("a", events=[{}])
    ready(bench, service, agent)
    assert result(service.set_ftrace(False)) == 0
    assert not service.ftrace_enabled and not service.journal.read()["ftrace"]
    assert [m["r"]["ftrace"] for m in agent.got if m["t"] == "record"][-1] is False
    assert result(service.set_ftrace(True)) == 0
    assert result(service.insmod(source, ME)) == 0
    assert result(service.set_ftrace(False)) == errno.EBUSY and service.ftrace_enabled


def test_kmsg(bench, service, result):
    """A line lives with a process of the service and comes back from there; without one it is the daemon's."""
    agent = bench.agent()
    ready(bench, service, agent)
    answer = service.kmsg(b"<6>hello\n")
    bench.until(lambda: any(m["t"] == "kmsg" for m in agent.got))
    message = next(m for m in agent.got if m["t"] == "kmsg")
    assert (message["text"], message["priority"]) == ("hello", 8 | 6)      # nobody but the kernel writes as the kernel
    assert not answer.done()
    agent.send({"t": "event", "log": [(0, 1, 6, "user", "hello")]})
    assert result(answer) == 0 and service.log.records[-1].text == "hello"
    answer = service.kmsg(b"nobody answers")
    assert result(answer) == 0
    assert (service.log.records[-1].text, service.log.records[-1].prio) == ("nobody answers", 8 | 4)


def test_questions(bench, service, result):
    """To the process that is meant; ESRCH, ETIMEDOUT after 100 ms, -1 without asking when there is no transition."""
    agent = bench.agent()
    ready(bench, service, agent)
    agent.answers["tasks"] = [(1, "main")]
    answer = service.ask("tasks", agent.pid)
    assert result(answer) == 0 and answer.result() == [(1, "main")]
    assert service.ask("patch_state", agent.pid).result() == -1
    assert result(service.ask("stack", agent.pid, 1)) == errno.ETIMEDOUT
    assert result(service.ask("tasks", 1)) == errno.ESRCH
    agent.answers["stack"] = None
    assert result(service.ask("stack", agent.pid, 1)) == errno.ESRCH
    agent.answers["tasks"] = "nonsense"
    assert result(service.ask("tasks", agent.pid)) == errno.ETIMEDOUT


def test_blockers(bench, service, result, source):
    """What the processes say, and who says nothing."""
    a, b = bench.agent("a"), bench.agent("b")
    ready(bench, service, a, b)
    a.answers["blockers"] = [{"kind": "thread", "task": 7, "name": "MainThread", "frames": ["x.py:1 f"], "since": 5}]
    b.puppet.dirty = True
    result(service.insmod(source, ME))
    answer = service.ask("blockers")
    assert result(answer) == 0
    found = {v.pid: v for v in answer.result()}
    assert (found[a.pid].kind, found[a.pid].frames, found[a.pid].patch) == ("thread", ("x.py:1 f",), "lp_1")
    assert (found[b.pid].kind, found[b.pid].name) == ("process", "does not answer") and found[b.pid].since
    a.answers["blockers"] = ["nonsense"]
    assert result(service.ask("blockers")) == 0


def test_a_process_that_is_pending_and_names_nobody_is_a_blocker_itself(bench, service, result, source):
    """It has not looked yet, say: `blockers` is never empty while somebody keeps the transition pending."""
    agent = bench.agent()
    ready(bench, service, agent)
    agent.answers["blockers"] = []
    agent.puppet.dirty = True
    result(service.insmod(source, ME))
    answer = service.ask("blockers")
    assert result(answer) == 0
    [view] = answer.result()
    assert (view.pid, view.kind, view.patch) == (agent.pid, "process", "lp_1") and view.since
    assert view.name == "is not done, and has not said what is in its way"
    agent.puppet.dirty = False
    agent.puppet.step()
    bench.until(lambda: not service.coordinator.record["transition"])
    answer = service.ask("blockers")
    assert result(answer) == 0 and answer.result() == []


def test_interrupted_writer(bench, service, result, source):
    """EINTR, once everything is as it was."""
    agent = bench.agent()
    ready(bench, service, agent)
    agent.puppet.busy = True
    answer = service.insmod(source, ME)
    bench.until(lambda: service.journal.read()["change"])
    assert answer.cancel() and not answer.cancelled()
    agent.puppet.busy = False
    agent.work()
    assert result(answer) == errno.EINTR
    assert service.journal.read()["change"] is None and len(lines(service)) == 1


def test_a_file_that_can_not_be_read(bench, service, result, monkeypatch, source):
    """The daemon goes on, since a child process waits: interrupted, too late, dead; and the child is gone
    afterwards."""
    ready(bench, service, bench.agent())

    def children():
        return set(open(f"/proc/self/task/{os.getpid()}/children").read().split())
    before = children()
    monkeypatch.setattr(open_as_writer, "read_at_once", lambda *a: None)
    monkeypatch.setattr(open_as_writer, "read", lambda *a: time.sleep(30))
    answer = service.insmod(source, ME)
    bench.rest()
    assert not answer.done() and answer.cancel() and result(answer) == errno.EINTR
    monkeypatch.setattr(child_work, "SECONDS", 0.1)
    assert result(service.insmod(source, ME)) == errno.ETIMEDOUT
    monkeypatch.setattr(child_work, "SECONDS", 60)       # a dead child is noticed by its end, however late
    monkeypatch.setattr(open_as_writer, "read", lambda *a: os._exit(1))
    assert result(service.insmod(source, ME)) == errno.EIO
    monkeypatch.setattr(os, "fork", lambda: (_ for _ in ()).throw(OSError(errno.EAGAIN, "no processes left")))
    assert result(service.insmod(source, ME)) == errno.EAGAIN
    bench.rest(0.1)
    assert children() == before
    assert len(lines(service)) == 4


def test_keep(bench, service):
    """Said by an agent, remembered in the folder."""
    ready(bench, service, bench.agent(keep=True))
    assert stat.S_ISREG(os.stat(os.path.join(bench.folder, "keep")).st_mode)
    service.close()
    assert not service.remove()


def test_an_agent_with_unknown_data_does_not_end_the_service(bench, service, result, source):
    """Strange names are not shown; the connection goes on."""
    agent = bench.agent(events=[{"patches": [{"name": "../x", "replace": False, "objects": []}],
                                 "modules": [{"name": "a\nb", "size": -1, "refcnt": 0, "params": []}]}])
    ready(bench, service, agent)
    assert service.patches == {} and service.modules == {}
    assert result(service.insmod(source, ME)) == 0


@pytest.mark.parametrize("path, said", [
    (b"/" + b"x" * 8000, "x" * 900), (b"'/a\nlivepatch: forged'", "/a\\nlivepatch: forged"),
    (b"/\xff\xfe", "/\udcff\udcfe")])
def test_a_path_of_any_kind_is_one_line_that_can_be_read(bench, service, result, path, said):
    ready(bench, service, bench.agent())
    assert result(service.insmod(path, ME)) in (errno.ENOENT, errno.ENAMETOOLONG, errno.EINVAL)
    line, = service.log.records
    assert line.text.startswith("klpfs: insmod") and said in line.text and len(os.fsencode(line.text)) <= 1024


def ruined(monkeypatch, place, name):
    def mistake(*arguments, **more):
        raise LookupError("a mistake")
    monkeypatch.setattr(place, name, mistake)


# all that runs between a request and its answer: what is called, what makes a mistake, and whether a line says so
MISTAKES = {
    "insmod, decided": (lambda s, file: s.insmod(file, ME), (service_module.records, "insmod")),
    "insmod, stored": (lambda s, file: s.insmod(file, ME), (Journal, "put")),
    "insmod, written": (lambda s, file: s.insmod(file, ME), (Journal, "write")),
    "insmod, counted": (lambda s, file: s.insmod(file, ME), (Loading, "_votes")),
    "insmod, started": (lambda s, file: s.insmod(file, ME), (coordinator.decisions, "started")),
    "insmod, looked after": (lambda s, file: s.insmod(file, ME), (Loading, "prepare")),
    "insmod, undone": (lambda s, file: s.insmod(file, ME), (Loading, "_start"),
                       (coordinator.decisions, "given_up")),
    "insmod, waited for": (lambda s, file: s.insmod(file, ME), (WaitingAnswers, "settle")),
    "insmod, fetched": (lambda s, file: s.insmod(file, ME), (Service, "_load"), (open_as_writer, "read_at_once", None)),
    "check, fetched": (lambda s, file: s.check(file, ME), (Service, "_check"), (open_as_writer, "read_at_once", None)),
    "check": (lambda s, file: s.check(file, ME), (service_module, "check_text")),
    "rmmod": (lambda s, file: s.rmmod(b"lp_1", ME), (service_module.records, "rmmod")),
    "enabled": (lambda s, file: s.set_enabled("lp_1", False, ME), (service_module.records, "set_enabled")),
    "force": (lambda s, file: s.force("lp_1"), (service_module.records, "force")),
    "ftrace": (lambda s, file: s.set_ftrace(False), (service_module.records, "set_ftrace")),
    "blockers": (lambda s, file: s.ask("blockers"), (Service, "_blocker_views")),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_of_ours_is_an_answer_and_a_line_and_the_service_goes_on(bench, service, result, source, monkeypatch,
                                                                         name):
    """EIO, wherever it is made: nobody waits for ever, no lock is kept, and the next load works."""
    ready(bench, service, bench.agent())
    call, *ruins = MISTAKES[name]
    with monkeypatch.context() as patch:
        for place, what, *instead in ruins:
            if instead:
                patch.setattr(place, what, lambda *arguments: None)
            else:
                ruined(patch, place, what)
        try:
            found = result(call(service, source))
        except LookupError:
            found = errno.EIO                  # at once: the file system answers so (tests/fs/test_fuse.py)
        else:
            assert any("LookupError: a mistake" in line for line in lines(service))
        assert found == errno.EIO
    service.poke()
    bench.until(lambda: not service.coordinator.record["change"])
    bench.until(lambda: not service.coordinator.load and not service.coordinator.waiting_answers)
    other = source.replace(b"lp-1", b"lp-2")
    with open(other, "wb") as file:
        file.write(b"patch = 1\n")
    bench.until(lambda: all(not patch.transition for patch in service.patches.values()))
    assert result(service.insmod(other, ME)) == 0


def test_a_mistake_of_ours_in_an_answer_is_an_error_and_a_line(bench, service, result, source, monkeypatch):
    """Whoever waits is answered, whatever is wrong with what comes: a check, a question, a parameter."""
    def fails(*args):
        raise LookupError("a mistake")
    ready(bench, service, bench.agent("a"))
    monkeypatch.setattr(service_module, "check_text", fails)
    monkeypatch.setattr(Service, "_blocker_views", fails)
    assert result(service.check(source, ME)) == errno.EIO
    assert result(service.ask("blockers")) == errno.EIO
    said = f"LookupError: a mistake ({__file__}:{fails.__code__.co_firstlineno + 1})"
    assert [line.partition(": ")[2].partition(": ")[2] for line in lines(service)] == [said] * 2
