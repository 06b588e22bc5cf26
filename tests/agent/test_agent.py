"""The agent over its socket: the whole life of a livepatch, and coordinators that are lost."""
import errno

from tests.agent.client import Coordinator


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
