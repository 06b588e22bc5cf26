"""The table of modules: states, users and reference counts, parameters."""
import errno
from types import SimpleNamespace

import pytest

from klpfs.agent.load import Load
from klpfs.engine.error import KlpError
from tests.agent.puppet import change, insmod, module


def test_a_patch_in_force_uses_its_module(host):
    """As lsmod shows it: until it is disabled, or for good when it was forced."""
    host.livepatch("lp")
    insmod(host, "lp")
    found = host.modules.table["lp"]
    assert host.modules.refcnt(found) == 1
    found.patch.enabled = False
    host.engine.patches.remove(found.patch)
    assert host.modules.refcnt(found) == 0
    found.patch.forced = True
    assert host.modules.refcnt(found) == 1 and host.modules.describe()[0]["forced"]


def test_modules_use_each_other(host):
    """What a module depends on has a holder."""
    host.module("m")
    host.follow(change=change(1, "m"))
    host.follow(change=None, modules=[module("m", False)])
    host.modules.table["m"].loaded.depends = ("m", "other")
    described = host.modules.describe()[0]
    assert (described["refcnt"], described["holders"], described["state"]) == (1, ["m"], "Live")


def test_a_description_of_many_modules_asks_each_once(host, monkeypatch):
    """What n of them hold of each other costs n looks, not n times n: each load describes all."""
    for n in range(1, 4):
        host.module(f"m{n}")
        host.follow(change=change(n, f"m{n}"))
        host.follow(change=None, modules=[module(f"m{k}", False) for k in range(1, n + 1)])
    host.modules.table["m3"].loaded.depends = ("m1", "m1", "none")
    host.modules.table["m2"].loaded.depends = ("m1",)
    expected = [(name, host.modules.users(name)) for name in ("m1", "m2", "m3")]
    monkeypatch.setattr(type(host.modules), "users", lambda self, name: pytest.fail("looks at all for one"))
    assert [(found["name"], found["holders"]) for found in host.modules.describe()] == expected
    assert expected[0] == ("m1", ["m2", "m3"]) and [found["refcnt"] for found in host.modules.describe()] == [2, 0, 0]


def test_a_name_is_there_once(host):
    host.module("m")
    host.follow(change=change(1, "m"))
    with pytest.raises(KlpError) as caught:
        host.modules.load(Load(2, "m"), change(2, "m"), b"m")
    assert caught.value.errno == errno.EEXIST


def test_a_module_is_loading_then_live_then_unloading(host):
    """Its Mod, which callbacks see, says the same."""
    states = []
    host.module("m", init=lambda: states.append(shown(host)), exit=lambda: states.append(shown(host)))
    host.follow(change=change(1, "m"))
    host.follow(change=None, modules=[module("m", False)])
    states.append(shown(host))
    host.follow(modules=[])
    assert states == [("Loading", "COMING"), ("Live", "LIVE"), ("Unloading", "GOING")] and host.modules.all() == []


def shown(host):
    found = host.modules.table["m"]
    return found.state, found.mod.state


def test_exit_runs_only_after_an_init_that_ended_well(host):
    host.module("m", init=lambda: -errno.ENODEV, exit=lambda: host.called.append("exit ran"))
    report = host.follow(change=change(1, "m"))
    assert report["refused"]["errno"] == errno.ENODEV and "exit ran" not in host.called


def test_parameters(host):
    """(name, type, text, mode) of each; a write to one that is not there is ENOENT."""
    host.module("m")
    host.follow(change=change(1, "m"))
    host.modules.table["m"].loaded.params = {"level": SimpleNamespace(type=int, text="3", mode=0o644)}
    assert host.modules.describe()[0]["params"] == [("level", "int", "3", 0o644)]
    for name, param in (("m", "nope"), ("nope", "level")):
        with pytest.raises(KlpError) as caught:
            host.modules.set_param(name, param, "4")
        assert caught.value.errno == errno.ENOENT


def test_a_vote_tells_the_code_that_was_found(host):
    """Not of nops, and not the author's text for several versions of Python."""
    host.livepatch("lp")
    made = host.files["lp"](host)
    made.patch.objects[0].funcs[0].fingerprint = "3.11:a 3.12:b"
    host.files["lp"] = lambda h: made
    host.later(change=None)
    host.follow(change=change(1, "lp"))
    votes = [report["prepared"] for report in host.reports if report["prepared"]]
    assert votes and votes[-1]["fingerprints"] == "" and votes[-1]["size"] == 4096
