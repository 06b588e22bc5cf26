"""An agent met over its socket: greetings, records, questions while foreign code hangs, bad peers, lost descriptors."""
import errno
import os
import socket
import sys
import threading
import time

import pytest

from tests import harness
from tests.agent.client import Coordinator, running_agent
from klpfs.protocol import folder_layout, record_text, wire


@pytest.fixture
def agent(tmp_path):
    with running_agent(tmp_path) as agent:
        yield agent


@pytest.fixture
def c(agent):
    c = Coordinator(agent.folder, agent.server.name)
    yield c
    c.close()


def test_greeting(c):
    """hello, a full event, a report: in this order, before all else."""
    c.until(lambda c: len(c.messages) >= 3)
    hello, event, report = c.messages[:3]
    assert (hello["t"], hello["version"], hello["pid"], hello["service"]) == ("hello", 1, os.getpid(), "svc")
    assert event["t"] == "event" and {"patches", "modules", "process", "log"} <= set(event)
    assert report["t"] == "report" and (report["seen"], report["phase"]) == (0, "")


def test_insmod_disable_rmmod(agent, c):
    """A whole life over the wire; the mirror's sections follow; ack before anything else that a record causes."""
    n = c.insmod("lp")
    assert agent.target.value("f") == "f by lp"
    acks = [i for i, m in enumerate(c.messages) if m["t"] == "ack"]
    first = [i for i, m in enumerate(c.messages) if m["t"] == "report" and m["n"] == n][0]
    assert c.messages[acks[0]]["seq"] == n and acks[0] < first
    patches = [m["patches"] for m in c.of("event") if "patches" in m][-1]
    assert [(p["name"], p["enabled"], p["transition"]) for p in patches] == [("lp", True, False)]
    modules = [m["modules"] for m in c.of("event") if "modules" in m][-1]
    assert [(m["name"], m["refcnt"], m["state"], m["livepatch"]) for m in modules] == [("lp", 1, "Live", True)]
    d = c.record["seq"] + 1
    c.write(transition={"n": d, "patch": "lp", "dir": 0, "turn": 1, "step": "start", "replace": False, "forced": False})
    c.until_report(clean=True, dir=0)
    c.write(transition=dict(c.record["transition"], step="finish"))
    c.until_report(over=d)
    c.write(transition=None, patches=[])
    c.write(modules=[])
    c.until_report(seen=c.record["seq"])
    assert [m["modules"] for m in c.of("event") if "modules" in m][-1] == []
    assert [line for line in c.lines if line.startswith("livepatch")] == [
        "livepatch: enabling patch 'lp'", "livepatch: 'lp': initializing patching transition",
        "livepatch: 'lp': starting patching transition", "livepatch: 'lp': completing patching transition",
        "livepatch: 'lp': patching complete", "livepatch: 'lp': initializing unpatching transition",
        "livepatch: 'lp': starting unpatching transition", "livepatch: 'lp': completing unpatching transition",
        "livepatch: 'lp': unpatching complete"]


def test_events_come_before_the_report_of_their_step(c):
    """After a read of `transition` 0 all events of it are there."""
    c.insmod("lp")
    over = [i for i, m in enumerate(c.messages) if m["t"] == "report" and m["over"]][0]
    line = [i for i, m in enumerate(c.messages) if m["t"] == "event"
            and any("patching complete" in r[4] for r in m.get("log", ()))][0]
    last = [i for i, m in enumerate(c.messages) if m["t"] == "event" and "patches" in m][-1]
    assert line < over and last < over


@pytest.mark.parametrize("text, expected, said", [
    ("1/0", errno.EINVAL, "/x/lp.py:1: ZeroDivisionError"),
    ("def init():\n  raise OSError(28, 'full')", errno.ENOSPC, "/x/lp.py:2: "),
    ("def init():\n  return -12", errno.ENOMEM, ""),
    ("x = (", errno.EINVAL, "/x/lp.py:1: SyntaxError"),
    ("import sys\nsys.exit(3)", errno.EINVAL, "/x/lp.py:2: SystemExit"),
    ("class E(Exception):\n  def __str__(self): 1/0\nraise E", errno.EINVAL, "/x/lp.py:3: E"),
])
def test_errors_of_foreign_code(agent, c, text, expected, said):
    """EINVAL or its own errno, and one log line with the place; nothing is left."""
    n = c.change("lp", text)
    c.until(lambda c: (c.report.get("refused") or {}).get("n") == n)
    assert c.report["refused"]["errno"] == expected
    assert sum("failed" in line for line in c.lines) == int(bool(said)) and any(said in line for line in c.lines + [""])
    assert not agent.modules.all()


def test_a_raising_exit_is_logged_and_the_module_goes(agent, c):
    n = c.change("m", "def exit():\n  raise ValueError('no')")
    c.until(lambda c: (c.report.get("prepared") or {}).get("n") == n)
    c.write(change=None, modules=[{"name": "m", "sha256": "x", "params": {}, "livepatch": False, "path": "", "uses": [],
                                   "forced": False}])
    c.write(modules=[])
    c.until_report(seen=c.record["seq"])
    c.until_line("exit of 'm' failed at /x/m.py:2: ValueError: no")
    assert not agent.modules.all()


@pytest.mark.timing
def test_questions_are_answered_while_init_hangs_and_it_is_stopped_when_dropped(agent, c):
    """A loop in init(): named, questions answered at once; the record drops the change: it is stopped, EINTR,
    unloaded."""
    c.change("lp", "patch = lp\ndef init():\n  while True: pass")
    c.until_report(phase="loading")
    begun = time.monotonic()
    assert c.ask("tasks") and c.ask("patch_state") == -1 and c.ask("stack", 1) == ["x.py:1 f"]
    assert time.monotonic() - begun < 2
    c.until(lambda c: c.report.get("working"), "the name of what runs")
    assert c.report["working"]["what"] == "init of 'lp'"
    assert c.ask("blockers")[0]["name"] == "working: init of 'lp'"
    c.write(change=None)
    c.until_report(seen=c.record["seq"])
    c.until_line("init of 'lp' was stopped at /x/lp.py:3")
    assert not agent.modules.all()


def test_init_that_catches_the_stop_is_asked_again(agent, c):
    c.change(
        "lp",
        "patch = lp\ndef init():\n  for i in range(3):\n    try:\n      while True: pass\n    except BaseException: pass",
    )
    c.until_report(phase="loading")
    c.write(change=None)
    c.until_report(seen=c.record["seq"])
    assert not agent.modules.all() and not agent.engine.patches


def test_init_that_hangs_in_c_stays_a_named_blocker(agent, c):
    """A lock that nobody gives back can't be interrupted: named, and everything else is answered."""
    agent.parts.shared["lock"] = lock = threading.Lock()
    lock.acquire()
    c.change("lp", "patch = lp\ndef init():\n  shared['lock'].acquire()")
    c.until(lambda c: c.report.get("working"))
    c.write(change=None)
    c.until(lambda c: agent.foreign._asked, "the request to stop")
    assert c.ask("blockers")[0]["kind"] == "working" and c.ask("status")["seen"] < c.record["seq"]
    lock.release()
    c.until_report(seen=c.record["seq"])
    assert not agent.modules.all()


def test_lost_coordinator_while_prepared(agent, c):
    """Its connection closes, the journal still has the change: taken back, as another coordinator sees."""
    n = c.change("lp", "patch = lp")
    c.until_report(phase="prepared")
    c.close()
    other = Coordinator(agent.folder, agent.server.name)
    other.until(lambda o: (o.report.get("refused") or {}).get("n") == n)
    assert other.report["refused"]["errno"] == errno.EINTR and not agent.modules.all()
    other.close()


def test_lost_coordinator_that_had_started(agent, c):
    """Never decided without looking: the journal says start, so it is started."""
    n = c.change("lp", "patch = lp")
    c.until_report(phase="prepared")
    c.send = lambda **m: None
    c.start(n)
    c.close()
    other = Coordinator(agent.folder, agent.server.name)
    other.until_report(phase="started", n=n, clean=True)
    other.close()


def test_content_is_asked_for_when_the_folder_has_not_got_it(agent, c):
    """want{sha256}, content."""
    sha = c.store("patch = lp")
    path = os.path.join(agent.folder, sha)
    os.rename(path, path + ".away")
    c.change("lp", None, sha=sha)
    c.until(lambda c: c.of("want"))
    assert c.of("want")[0]["sha256"] == sha
    c.send(t="content", sha256=sha, data=b"patch = lp")
    c.until_report(phase="prepared")


def test_content_that_is_not_its_hash_is_not_loaded(agent, c):
    """Whoever changes the file in the folder changes nothing."""
    sha = c.store("patch = lp")
    with open(os.path.join(agent.folder, sha), "w") as f:
        f.write("raise SystemExit")
    c.change("lp", None, sha=sha)
    c.until(lambda c: c.of("want"))
    c.send(t="content", sha256=sha, data=b"")
    c.until(lambda c: c.report.get("refused"))
    assert c.report["refused"]["errno"] == errno.ENOENT


def test_parameters_and_kmsg(agent, c):
    c.insmod("lp")
    c.send(t="set", id=1, module="lp", param="x", text="7")
    c.send(t="set", id=2, module="lp", param="x", text="bad")
    c.send(t="set", id=3, module="lp", param="y", text="7")
    c.send(t="set", id=4, module="nope", param="y", text="7")
    c.send(t="kmsg", text="hello", priority=3)
    c.until(lambda c: len(c.of("done")) == 4)
    assert {m["id"]: m["errno"] for m in c.of("done")} == {1: 0, 2: errno.EINVAL, 3: errno.ENOENT, 4: errno.ENOENT}
    c.until_line("hello")
    before = [i for i, m in enumerate(c.messages) if m.get("modules")
              and [p[2] for p in m["modules"][0]["params"]] == ["7"]][0]
    assert before < [i for i, m in enumerate(c.messages) if m["t"] == "done"][0]


def test_parameters_are_set_while_exit_hangs(agent, c):
    """An exit() that waits for a parameter gets it."""
    n = c.change("m", "def exit():\n  while shared.get('x') != '1': pass")
    c.until(lambda c: (c.report.get("prepared") or {}).get("n") == n)
    c.write(change=None, modules=[{"name": "m", "sha256": "x", "params": {}, "livepatch": False, "path": "", "uses": [],
                                   "forced": False}])
    c.write(modules=[])
    c.send(t="set", id=1, module="m", param="x", text="1")
    c.until_report(seen=c.record["seq"])
    assert not agent.modules.all()


@pytest.mark.parametrize("data", [b"\xff\xff\xff\xff", wire.encode({"t": "x"})[:4] + b"junk" * 10,
                                  wire.encode({"t": "nonsense"}), wire.encode({"t": "record", "r": {"seq": "x"}}),
                                  wire.encode({"t": "record", "r": 5}),
                                  wire.encode({"t": "ask", "id": 1, "what": "everything"}), wire.encode({"t": "ask"})])
def test_a_bad_message_costs_its_sender_the_connection(agent, c, data):
    """One log line; others are served on, nothing changes."""
    bad = socket.socket(socket.AF_UNIX)
    bad.connect(os.path.join(agent.folder, agent.server.name))
    bad.sendall(data)
    bad.settimeout(20)
    while bad.recv(1 << 16):
        pass
    c.until_line("a bad message of process %d" % os.getpid())
    assert c.ask("patch_state") == -1


def test_a_peer_that_does_not_end_its_message_is_cut_off(agent, c):
    agent.limits.message = 0.1
    slow = socket.socket(socket.AF_UNIX)
    slow.connect(os.path.join(agent.folder, agent.server.name))
    slow.sendall(b"\x10\0\0\0{")
    slow.settimeout(20)
    while slow.recv(1 << 16):
        pass
    c.until_line("does not end its message")


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to be somebody else")
def test_a_foreign_peer_is_turned_away(agent, c):
    """Peer credentials: neither this user nor root."""
    os.chmod(agent.folder, 0o755)
    parent = os.path.dirname(agent.folder)
    while parent != "/":
        os.chmod(parent, os.stat(parent).st_mode | 0o055)
        parent = os.path.dirname(parent)
    os.chmod(os.path.join(agent.folder, agent.server.name), 0o777)
    pid = os.fork()
    if pid == 0:
        try:
            os.setuid(65534)
            s = socket.socket(socket.AF_UNIX)
            s.connect(os.path.join(agent.folder, agent.server.name))
            os._exit(len(s.recv(10)))
        except BaseException:
            os._exit(99)
    assert os.waitpid(pid, 0)[1] == 0
    c.until_line("of user 65534 was refused")


def test_closed_descriptors_are_bound_anew(agent):
    """The program closes descriptors that are not its own: a new socket is bound, the old name is gone, and nothing is
    written to whatever has the numbers now."""
    c = Coordinator(agent.folder, agent.server.name)
    c.until(lambda c: len(c.messages) >= 3)
    old, fds = agent.server.name, [agent.server.sock.fileno(),
                                   *agent.server._wake] + [x.fd for x in agent.server.connections]
    read, write = os.pipe()
    os.set_blocking(read, False)
    for fd in fds:
        os.dup2(write, fd)      # closed, and somebody else's at once
    harness.until(lambda: agent.server.name != old, "a new socket")
    again = Coordinator(agent.folder, agent.server.name)
    again.insmod("lp")
    assert not os.path.exists(os.path.join(agent.folder, old))
    with pytest.raises(BlockingIOError):
        os.read(read, 1)
    for fd in fds + [read, write]:
        os.close(fd)
    again.close()
    c.close()


def test_a_joiner_follows_the_journal_before_its_start_returns(tmp_path):
    """What is in force is applied when start() returns, without any coordinator; a journal that is kept."""
    with running_agent(tmp_path, keep=True) as agent:
        c = Coordinator(agent.folder, agent.server.name)
        c.insmod("lp")
        c.close()
    with running_agent(tmp_path, keep=True) as agent:
        assert agent.target.value("f") == "f by lp" and agent.follower.seen == 4


def test_a_journal_that_an_earlier_run_left_is_put_back(tmp_path):
    """Nobody lives, nothing is to be kept: idle again, with a higher seq."""
    with running_agent(tmp_path) as agent:
        c = Coordinator(agent.folder, agent.server.name)
        c.insmod("lp")
        c.close()
    with running_agent(tmp_path) as agent:
        assert agent.target.value("f") == "f original"
        assert record_text.load(agent.folder + "/journal") == record_text.idle(5) and agent.follower.seen == 5


def test_a_journal_of_living_others_is_followed(tmp_path):
    with running_agent(tmp_path) as first:
        c = Coordinator(first.folder, first.server.name)
        c.insmod("lp")
        with running_agent(tmp_path) as second:
            assert second.target.value("f") == "f by lp"
        c.close()


@pytest.mark.parametrize("keep", [False, True])
def test_a_journal_of_another_version_is_named_and_left_alone(tmp_path, keep):
    """Nothing of it is guessed: the process goes without the service's patches, and says so."""
    folder_layout.make_folder(str(tmp_path / "svc"))
    (tmp_path / "svc" / "journal").write_bytes(b"klpfs 2\nas a later version has it\n")
    with running_agent(tmp_path, keep=keep) as agent:
        lines = [record.text for record in agent.log.records]
        assert (
            "version 2, this klpfs reads version 1" in lines[0] and "goes on without the service's patches" in lines[1]
        )
        assert agent.follower.seen == -1
    assert (tmp_path / "svc" / "journal").read_bytes() == b"klpfs 2\nas a later version has it\n"


def test_dead_sockets_are_swept_by_who_starts(tmp_path):
    os.mkdir(tmp_path / "svc", 0o700)
    dead = socket.socket(socket.AF_UNIX)
    dead.bind(str(tmp_path / "svc" / "dead.sock"))
    dead.close()
    with running_agent(tmp_path):
        assert not os.path.exists(tmp_path / "svc" / "dead.sock")


def test_the_agents_threads_are_no_tasks_of_the_program(agent, c):
    """Named threads by their Python name."""
    ready, go = threading.Event(), threading.Event()
    def run():
        ready.set()
        go.wait()
    t = threading.Thread(target=run, name="klp_tgt_busy")
    t.start()
    ready.wait()
    tasks = c.ask("tasks")
    assert tasks[0][0] == os.getpid() and (t.native_id, "klp_tgt_busy") in tasks
    c.until(lambda c: len(agent.own_tids) == 2)
    assert {tid for tid, _ in c.ask("tasks")}.isdisjoint(agent.own_tids)
    go.set()
    t.join()
