"""status and blockers."""
import json

from klpfs.service import agentless


def test_status_shows_processes_patches_and_who_blocks(made, klpfs):
    top = made.service("shop")
    made.process(top, 12, ["python3", "app.py"])
    made.patch(top, "old", order="1")
    made.patch(top, "new", order="2", transition="1", replace="1", objects={"m": ("0", ["f,1"]), "vmlinux": ("1", [])})
    (top / "blockers").write_text("12 thread worker-1 [   12.000001] new worker-1\n app.py:10 f\n")
    assert klpfs("status") == (
        0,
        "service shop\nprocess 12 python3 app.py\npatch old enabled\n  vmlinux patched: one,1\n"
        "patch new patching replace\n  m not patched: f,1\n  vmlinux patched: callbacks only\n"
        "blocked by 12 thread worker-1 [   12.000001] new worker-1\n  app.py:10 f\n",
        "",
    )


def test_status_names_who_keeps_all_writes_from_the_service(made, klpfs):
    """Without a transition, too."""
    top = made.service("shop")
    (top / "blockers").write_text("12 process - - - speaks version 2 of the wire\n")
    assert klpfs("status") == (0, "service shop\nblocked by 12 process - - - speaks version 2 of the wire\n", "")


def test_status_of_the_way_back(made, klpfs):
    made.patch(made.service("shop"), "p", enabled="0", transition="1")
    assert "patch p unpatching\n" in klpfs("status")[1]


def test_status_json(made, klpfs):
    made.patch(made.service("shop"), "p")
    found = json.loads(klpfs("status", "--json")[1])
    assert found["patches"][0]["state"] == "enabled" and found["blockers"] == []


def test_blockers(made, klpfs):
    top = made.service("shop")
    assert klpfs("blockers") == (0, "", "")
    (top / "blockers").write_text("a\nb\n")
    assert klpfs("blockers") == (0, "a\nb\n", "")
    assert json.loads(klpfs("blockers", "--json")[1]) == ["a", "b"]


def test_status_names_who_has_no_agent_where_no_service_is(made, klpfs, monkeypatch):
    """`klpfs run` has started it, and it is in no tree."""
    found = agentless.Agentless(12, "python3 -I a.py", "shop", "-I: Python starts isolated")
    monkeypatch.setattr(agentless, "find", lambda runtime, known, service: [found])
    code, out, err = klpfs("status")
    assert (code, out) == (1, "")
    assert err.splitlines() == [f"service shop: {found.text}",
                                "klpfs status: no service is running; start one with: klpfs run -- COMMAND"]
    made.service("shop")
    assert klpfs("status") == (0, f"service shop\n{found.text}\n", "")
