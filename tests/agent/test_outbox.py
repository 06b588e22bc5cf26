"""What an agent says without being asked: in which order."""
import pytest

from klpfs.agent import outbox
from klpfs.protocol import wire


def test_events_come_before_the_report_of_their_step(c):
    """After a read of `transition` 0 all events of it are there."""
    c.insmod("lp")
    over = [i for i, m in enumerate(c.messages) if m["t"] == "report" and m["over"]][0]
    line = [i for i, m in enumerate(c.messages) if m["t"] == "event" and any("patching complete" in r[4] for r in m.get("log", ()))][0]
    last = [i for i, m in enumerate(c.messages) if m["t"] == "event" and "patches" in m][-1]
    assert line < over and last < over


def test_a_child_has_neither_its_parents_log_nor_its_report(agent, c):
    """A coordinator that greets it before its first step hears of nothing that the parent alone has done."""
    n = c.change("lp", "patch = lp")
    c.until_report(phase="prepared", n=n)
    with agent.thread.lock:
        op, load = agent.follower.op, agent.follower.load
        for component in (agent.outbox, agent.log, agent.follower):
            component.after_fork()
        report = agent.outbox.full_report()
        agent.follower.op, agent.follower.load, agent.follower.interrupted_by_fork = op, load, False
    assert (report["seen"], report["n"], report["phase"], report["prepared"]) == (-1, 0, "", None)
    assert not agent.log.texts()


def test_only_what_differs_is_sent(agent, c):
    """Of a section of many patches those that have changed, and the names of all."""
    c.insmod("a")
    c.insmod("b")
    first, last = [m for m in c.of("event") if m.get("names")][0], [m for m in c.of("event") if m.get("names")][-1]
    assert first["names"] == ["a"] and last["names"] == ["a", "b"] and [p["name"] for p in last["patches"]] == ["b"]
    sent = len(c.messages)
    agent.outbox.changed()
    assert c.ask("patch_state") == -1
    assert [m["t"] for m in c.messages[sent:]] == ["answer"]


def test_a_line_of_any_thread_is_sent_soon(agent, c):
    """The server's thread sends it; lines keep their numbers."""
    agent.outbox.say("one", 4)
    agent.outbox.defect(ValueError("two"))
    c.until_line("one")
    c.until_line("ValueError: two")
    rows = [row for m in c.of("event") for row in m.get("log", ())]
    assert [(row[3], row[2]) for row in rows if row[4] in ("one",)] == [("agent", 4)] and [row[0] for row in rows] == list(range(len(rows)))


def test_pieces():
    """In their order, each of a size that a message may have; one piece at least."""
    assert outbox._pieces([], len) == [[]]
    assert outbox._pieces(["a", "b"], len) == [["a", "b"]]
    large = "x" * (outbox.PIECE - 1)
    assert outbox._pieces(["a", large, "b", "c", large * 3], len) == [["a", large], ["b", "c"], [large * 3]]


def test_a_greeting_of_much_comes_in_pieces(agent, c):
    """A full ring of long lines, large patches: a daemon of another user takes 4 MB at once. Together they say all."""
    for number in range(1500):
        agent.outbox.say(f"{number} " + "x" * 600, 4)
    agent.outbox.flush()
    patches = [{"name": f"p{i}", "replace": False, "objects": [
        {"name": None, "patched": True, "loaded": True, "funcs": "f,1\n" * 50_000}]} for i in range(4)]
    agent.outbox._sent_sections["patches"] = patches
    sent = []
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(type(agent.server), "post", lambda server, message, connection=None: sent.append(message))
        patched.setattr(agent.server, "connections", [])
        agent.outbox.greet(None, {"t": "hello"}, {"pid": 1})
    agent.outbox._sent_sections["patches"] = []
    assert [sent[0]["t"], sent[-1]["t"]] == ["hello", "report"] and all(m["t"] == "event" for m in sent[1:-1])
    assert max(len(wire.encode(m)) for m in sent) < 1 << 20
    rows = [row for m in sent for row in m.get("log", ())]
    assert [row[0] for row in rows] == list(range(rows[0][0], 1500)) and len(rows) > 1000
    assert len([m for m in sent if "log" in m]) > 1
    told, names = {}, None
    for message in sent[1:-1]:                 # as the mirror takes them
        if "patches" in message:
            assert names is None or "names" in message
            told.update({patch["name"]: patch for patch in message["patches"]})
            names = message.get("names", list(told))
            told = {name: told[name] for name in names}
    assert list(told.values()) == patches
