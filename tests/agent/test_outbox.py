"""What an agent says without being asked: in which order."""


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
