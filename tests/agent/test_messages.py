"""What a coordinator asks of an agent, and the answers, over its socket."""
import errno
import os
import socket
import time

import pytest

from klpfs.agent.messages import Messages
from klpfs.protocol import wire


def test_greeting(c):
    """hello, a full event, a report: in this order, before all else."""
    c.until(lambda c: len(c.messages) >= 3)
    hello, event, report = c.messages[:3]
    assert (hello["t"], hello["version"], hello["pid"], hello["service"]) == ("hello", 1, os.getpid(), "svc")
    assert event["t"] == "event" and {"patches", "modules", "process", "log"} <= set(event)
    assert report["t"] == "report" and (report["seen"], report["phase"]) == (0, "")


@pytest.mark.timing
def test_questions_are_answered_while_init_hangs_and_it_is_stopped_when_dropped(agent, c):
    """A loop in init(): named, questions answered at once; the record drops the change: it is stopped, EINTR, unloaded."""
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
    before = [i for i, m in enumerate(c.messages) if m.get("modules") and [p[2] for p in m["modules"][0]["params"]] == ["7"]][0]
    assert before < [i for i, m in enumerate(c.messages) if m["t"] == "done"][0]


def test_parameters_are_set_while_exit_hangs(agent, c):
    """An exit() that waits for a parameter gets it."""
    n = c.change("m", "def exit():\n  while shared.get('x') != '1': pass")
    c.until(lambda c: (c.report.get("prepared") or {}).get("n") == n)
    c.write(change=None, modules=[{"name": "m", "sha256": "x", "params": {}, "livepatch": False, "path": "", "uses": [], "forced": False}])
    c.write(modules=[])
    c.send(t="set", id=1, module="m", param="x", text="1")
    c.until_report(seen=c.record["seq"])
    assert not agent.modules.all()


@pytest.mark.parametrize("data", [b"\xff\xff\xff\xff", wire.encode({"t": "x"})[:4] + b"junk" * 10, wire.encode({"t": "nonsense"}),
                                  wire.encode({"t": "record", "r": {"seq": "x"}}), wire.encode({"t": "record", "r": 5}),
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


def test_a_record_of_another_service_is_not_obeyed(agent, c):
    """Its sender takes this process for one of another service: a line, and all stays; the connection, too, so that
    nobody connects again and again."""
    c.until_report(seen=0)
    c.record["service"] = "bank"
    n = len(c.of("ack"))
    c.change("lp", "patch = lp")
    c.until_line(f"a record of service 'bank' of process {os.getpid()} was refused")
    assert c.ask("status")["seen"] == 0 and len(c.of("ack")) == n and agent.follower.load is None
    c.record["service"] = agent.service
    c.write(change=None)
    c.until_report(seen=c.record["seq"])


class Text(str):
    """A text that is no plain one: the wire does not take it."""


@pytest.mark.parametrize("raised", [OSError(600, "no"), OSError(-5, "no"), OSError("x", "no"), OSError(),
                                    OSError(2 ** 40, Text("no")), OSError(600, ["no"]), ValueError("no")], ids=repr)
def test_an_errno_of_a_dry_run_is_one_of_the_kernels(agent, c, monkeypatch, raised):
    """Whatever is raised: there is an answer, with words that are a text."""
    class Loader:
        def probe(self, *arguments):
            raise raised

        def end_probe(self):
            pass
    monkeypatch.setattr(type(agent.parts), "loader", lambda parts: Loader())
    c.send(t="check", id=71, name="lp", path="/x/lp.py", data=b"", params={})
    c.until(lambda c: [m for m in c.of("answer") if m["id"] == 71])
    [answer] = [m for m in c.of("answer") if m["id"] == 71]
    assert answer["data"]["errno"] == errno.EINVAL and type(answer["data"]["text"]) is str


@pytest.mark.parametrize("code, is_cut", [("while True: pass", True), ("raise InterruptedError(4, 'own')", False),
                                          ("while True:\n try:\n  while True: pass\n except BaseException as e: "
                                           "raise ValueError", True)])
def test_a_dry_run_that_was_cut_off_says_nothing_about_the_livepatch(agent, c, monkeypatch, code, is_cut):
    """Whatever its code makes of the stop; an errno of the livepatch's own is no stop."""
    class Loader:
        def probe(self, *arguments):
            exec(code, {})

        def end_probe(self):
            pass
    monkeypatch.setattr(type(agent.parts), "loader", lambda parts: Loader())
    agent.limits.check = 0.01
    c.send(t="check", id=73, name="lp", path="/x/lp.py", data=b"", params={})
    c.until(lambda c: [m for m in c.of("answer") if m["id"] == 73])
    [answer] = [m for m in c.of("answer") if m["id"] == 73]
    assert answer["data"]["errno"] and answer["data"]["unknown"] is is_cut


def test_a_dry_run_of_a_process_that_is_stuck_after_a_defect_is_answered_at_once(agent, c, monkeypatch):
    """By the server's thread: the agent's serves no requests."""
    checked = []
    monkeypatch.setattr(Messages, "check", lambda *arguments: checked.append(arguments))
    agent.thread.stuck = {"kind": "defect", "task": 1, "name": "klpfs: defect at x.py:1 f", "frames": [], "since": 1}
    c.send(t="check", id=72, name="lp", path="/x/lp.py", data=b"", params={})
    c.until(lambda c: [m for m in c.of("answer") if m["id"] == 72])
    [answer] = [m for m in c.of("answer") if m["id"] == 72]
    assert answer["data"]["errno"] == errno.EIO and not checked


@pytest.mark.parametrize("code", [600, -5, "x", None, 2 ** 40])
def test_an_errno_of_a_parameter_is_one_of_the_kernels(agent, c, monkeypatch, code):
    def refuse(*arguments):
        raise OSError(code, "no")
    monkeypatch.setattr(type(agent.modules), "set_param", refuse)
    c.send(t="set", id=72, module="lp", param="x", text="1")
    c.until(lambda c: c.of("done"))
    assert c.of("done")[-1]["errno"] == errno.EINVAL


def test_a_daemon_that_is_not_understood_is_named_once(agent, c):
    """It connects again and again: one line, with what it may be; another mistake is another line."""
    for _ in range(3):
        for message in ({"t": "of a later version"}, {"t": "ask", "id": 1, "what": "weather", "tid": None}):
            with socket.socket(socket.AF_UNIX) as link:
                link.connect(os.path.join(agent.folder, agent.server.name))
                link.sendall(wire.encode(message))
                while link.recv(1 << 16):
                    pass
    lines = [line for line in agent.log.texts() if "a bad message of process" in line]
    assert len(lines) == 6 and all("its klpfs may be another" in line for line in lines)      # they alternate
    for _ in range(3):
        with socket.socket(socket.AF_UNIX) as link:
            link.connect(os.path.join(agent.folder, agent.server.name))
            link.sendall(wire.encode({"t": "of a later version"}))
            while link.recv(1 << 16):
                pass
    assert len([line for line in agent.log.texts() if "a bad message of process" in line]) == 7


@pytest.mark.parametrize("what, answer", [("tasks", []), ("blockers", []), ("stack", None), ("patch_state", None),
                                          ("status", {})])
def test_a_question_is_answered_whatever_klpfs_makes_wrong(agent, c, monkeypatch, what, answer):
    """With what is no news; and a line. Whoever asks has a reader waiting."""
    monkeypatch.setitem(Messages.ANSWERS, what, lambda messages, tid: {}["nothing"])
    assert c.ask(what) == answer
    c.until_line("klpfs: defect at ")
    assert not c.closed


@pytest.mark.parametrize("error, code", [(TypeError(), errno.EIO), (OSError(600, "x"), errno.EINVAL),
                                         (MemoryError(), errno.ENOMEM)])
def test_a_parameter_is_set_or_refused_whatever_is_raised(agent, c, monkeypatch, error, code):
    def raises(*args):
        raise error
    monkeypatch.setattr(type(agent.modules), "set_param", raises)
    c.send(t="set", id=7, module="m", param="x", text="1")
    assert c.until(lambda c: c.of("done"), "done")[-1] == {"t": "done", "id": 7, "errno": code}


def test_a_file_without_bytes_is_a_content(agent, c):
    """What is not to be had is answered by no bytes, too, under another hash."""
    sha = c.store("")
    agent.thread.lock.acquire()
    try:
        assert agent.messages.content({"name": "empty", "sha256": sha}) == b""
    finally:
        agent.thread.lock.release()
