"""`klpfs run --keep`: the service's patches outlive it, until they are taken out."""
import os
import shutil
import signal

import pytest

from tests.harness import fails, read, until
from tests.integration.services import HERE, NEW, OLD, inside, wide, write_ware

pytestmark = pytest.mark.fuse


@pytest.fixture
def kept(program, mount, tmp_path, runtime):
    """kept(): starts the service `prog` with --keep; kept.end(program): ends it and waits until it has gone."""
    ware = write_ware(tmp_path / "lib")

    def start(keep=True, **more):
        return program("prog", keep=keep, environ={"PYTHONPATH": f"{ware}{os.pathsep}{HERE}"}, **more)

    def end(there, number=None):
        if number:
            there.kill(number)
        else:
            there.process.stdin.close()
        there.process.wait(30)
        if mount.process.poll() is None:
            until(lambda: "prog" not in os.listdir(mount.root), "the service to go")
    start.end, start.lib = end, ware
    return start


def price(there):
    return there.do("__import__('ware').price()")


def load(mount, path, *arguments):
    tree = mount.service("prog")
    tree.insmod(path, *arguments)
    tree.settle()
    return tree


@pytest.mark.parametrize("daemon, end", [("runs on", None), ("comes later", signal.SIGKILL),
                                         wide("runs on", signal.SIGKILL), wide("comes later", None)])
def test_patches_are_in_force_at_the_next_start(kept, mount, lp, daemon, end, runtime):
    """Whoever ends the service, with the daemon or without one; parameters too."""
    there = kept()
    path = lp("lp1", "price", module="ware", extra="tax = module_param('tax', int, 0)\n")
    load(mount, path, "tax=7")
    (mount.root / "prog/sys/module/lp1/parameters/tax").write_text("8")
    path.unlink()
    if daemon == "comes later":
        mount.kill()
    kept.end(there, end)
    assert (runtime / "prog" / "journal").exists(), "it outlives the service"
    there = kept()
    assert price(there) == NEW
    if daemon == "comes later":
        mount.start()
    tree = mount.service("prog")
    assert (tree.patches(), tree.get("lp1/enabled"), tree.get("lp1/ware/patched")) == (["lp1"], "1", "1")
    assert read(tree.path / "sys/module/lp1/parameters/tax") == "8\n"
    tree.set("lp1/enabled", "0")
    until(lambda: not tree.patches(), "the way back")
    tree.rmmod("lp1")
    assert price(there) == OLD
    kept.end(there)
    assert price(kept()) == OLD, "what was taken out is not kept"


def test_a_package_upgraded_between(kept, mount, lp):
    """Fingerprints: the new code stays as it is, and the tree says so."""
    there = kept()
    price(there)
    load(mount, lp("lp1", "price", module="ware"))
    kept.end(there)
    write_ware(kept.lib, "a new price")
    there = kept()
    assert price(there) == "a new price"
    tree = mount.service("prog")
    until(lambda: tree.get("lp1/ware/patched") == "0", "`patched` 0")
    assert [text for _, _, _, text in tree.records() if "'ware' is not patched by 'lp1' here" in text]


@pytest.mark.parametrize("how", ["rm -r", "a start without --keep"])
def test_removing_what_is_kept_when_nobody_runs(kept, mount, lp, how, runtime):
    there = kept()
    load(mount, lp("lp1", "price", module="ware"))
    kept.end(there)
    if how == "rm -r":
        shutil.rmtree(runtime / "prog")
    else:
        there = kept(keep=False)
        assert price(there) == OLD
        kept.end(there)
        until(lambda: not (runtime / "prog").exists(), "the folder of a service that is not kept to go")
    there = kept()
    assert price(there) == OLD and mount.service("prog").patches() == []


def test_without_keep_nothing_is_left(kept, mount, lp, runtime):
    """Also when the daemon was not there to see the end."""
    there = kept(keep=False)
    load(mount, lp("lp1", "price", module="ware"))
    mount.kill()
    kept.end(there, signal.SIGKILL)
    there = kept(keep=False)
    assert price(there) == OLD
    mount.start()
    assert mount.service("prog").patches() == []


def test_two_of_one_name_at_once(kept, mount, lp):
    """One service of two processes: what the second one finds is what the first one has, and it is kept for both."""
    first = kept()
    load(mount, lp("lp1", "price", module="ware"))
    second = kept()
    assert price(first) == price(second) == NEW
    until(lambda: {str(first.pid), str(second.pid)} <= set(os.listdir(mount.root / "prog/proc")), "both in the tree")
    first.process.stdin.close()
    first.process.wait(30)
    third = kept(keep=False)
    assert price(third) == NEW, "a start without --keep beside others is one process more"
    third.process.stdin.close()
    third.process.wait(30)
    kept.end(second)
    assert price(kept()) == NEW


@pytest.mark.parametrize("pending", ["patching", wide("unpatching"), "loading"])
def test_killed_with_the_daemon_in_the_middle_of_an_operation(kept, mount, lp, pending, tmp_path):
    """What was started counts, as it is answered with success; what was only being prepared does not."""
    there = kept()
    gate = tmp_path / "gate"
    hold = f"import threading, ware; threading.Thread(target=ware.hold, args=({str(gate)!r},), daemon=True).start()"
    wait = f"    import os, time\n    while not os.path.exists({str(gate)!r}):\n        time.sleep(0.01)\n"
    path = lp("lp1", "price", "hold", module="ware",
              extra="def init():\n" + wait + "    enable_patch(patch)\n" if pending == "loading" else "")
    path.write_text(
        path.read_text()
        .replace("import Callbacks", "import enable_patch, Callbacks")
        .replace("    return 'hold by", wait + "    return 'hold by")
    )
    tree = mount.service("prog")
    if pending == "unpatching":
        tree.insmod(path)
        tree.settle()
    there.do(hold)
    there.do(inside("hold"))
    if pending == "loading":
        import subprocess
        writer = subprocess.Popen(["sh", "-c", f"echo {path} > {tree.path}/insmod"], stderr=subprocess.DEVNULL)
        until(lambda: "init of 'lp1'" in read(tree.path / "blockers"), "init to be running")
    else:
        tree.set("lp1/enabled", "0") if pending == "unpatching" else tree.insmod(path)
        assert tree.get("lp1/transition") == "1"
    mount.kill()
    kept.end(there, signal.SIGKILL)
    if pending == "loading":
        writer.wait(10)
    there = kept()
    assert price(there) == (NEW if pending == "patching" else OLD)
    mount.start()
    tree = mount.service("prog")
    assert tree.settled() and tree.patches() == (["lp1"] if pending == "patching" else [])
    if pending != "patching":
        gate.touch()
        load(mount, path)
        assert price(there) == NEW
    else:
        assert fails(17, tree.insmod, path)
