"""Services as they come and go."""
import os
import time

import pytest

from klpfs.protocol import record_text as text
from klpfs.service import manager as manager_module
from klpfs.service.manager import Manager
from klpfs.service.snapshots import Caller

ME = Caller(os.getpid(), os.geteuid(), os.getegid())


class Watched(Manager):
    """A Manager that remembers what it told."""

    def __init__(self, *args):
        super().__init__(*args)
        self.came, self.gone = [], []
        self.on_added(lambda service: self.came.append(service.name))
        self.on_removed(lambda service: self.gone.append(service.name))


@pytest.fixture
def manager(bench, folder):
    made = Watched(bench.loop, folder)
    yield made
    made.close()


def place(folder, name="shop", mode=0o700):
    path = os.path.join(folder, name)
    os.mkdir(path, mode)
    os.chmod(path, mode)
    return path


def test_what_is_there_at_the_start(bench, folder, manager):
    bench.agent(folder=place(folder))
    manager.start()
    manager.settle()
    assert manager.came == ["shop"] and len(manager.services["shop"].processes) == 1


def test_what_comes_later(bench, folder, manager):
    """A folder, then a socket in it; a second process of the same service; another service."""
    manager.start()
    path = place(folder)
    bench.rest()
    assert manager.services == {}
    bench.agent("a", folder=path)
    bench.until(lambda: manager.came == ["shop"])
    bench.agent("b", folder=path)
    bench.until(lambda: len(manager.services["shop"].processes) == 2)
    bench.agent("a", folder=place(folder, "other"))
    bench.until(lambda: manager.came == ["shop", "other"])


def test_the_last_process_dies(bench, folder, manager):
    """The service vanishes, and its folder; one that comes later under this name is a new one."""
    path = place(folder)
    bench.agent("a", folder=path)
    bench.agent("b", folder=path)
    manager.start()
    manager.settle()
    service = manager.services["shop"]
    bench.processes[0].kill()
    bench.until(lambda: len(service.processes) == 1)
    assert manager.gone == []
    bench.processes[1].kill()
    bench.until(lambda: manager.gone == ["shop"])
    assert manager.services == {} and not os.path.exists(path)
    bench.agent(folder=place(folder))
    bench.until(lambda: manager.came == ["shop", "shop"])


def test_a_kept_journal_outlives_the_service(bench, folder, manager):
    path = place(folder)
    bench.agent(folder=path, keep=True)
    manager.start()
    manager.settle()
    bench.processes[0].kill()
    bench.agents[0].close()
    bench.until(lambda: manager.gone == ["shop"])
    assert os.path.exists(os.path.join(path, "keep")) and not os.path.exists(os.path.join(path, "a.sock"))
    bench.agent("b", folder=path)
    bench.until(lambda: manager.came == ["shop", "shop"])


@pytest.mark.parametrize("ends", ["well", "killed"])
@pytest.mark.parametrize("began", ["before its folder was seen", "later"])
def test_a_process_that_comes_and_goes_before_the_daemon_looks(bench, folder, manager, monkeypatch, ends, began):
    """Its folder goes all the same; on a busy machine a short program is over before its events are read."""
    monkeypatch.setattr(manager_module, "STALE", 0.05 if began == "before its folder was seen" else 1000)
    manager.start()
    path = place(folder)
    if began == "later":
        bench.until(lambda: "shop" in manager._places)
    agent = bench.agent(folder=path)
    agent.close()
    if ends == "well":
        os.unlink(agent.path)
    bench.until(lambda: not os.path.exists(path), 10)
    assert manager.services == {} and manager.came == []


def test_dead_services_vanish_at_the_start(bench, folder, manager):
    """A folder with the sockets of the dead, and an old one without; a fresh empty one is about to be used."""
    bench.agent(folder=place(folder, "killed")).close()
    old = place(folder, "old")
    open(os.path.join(old, "journal"), "wb").write(text.dump(text.idle(3)))
    os.utime(old, (time.time() - 100,) * 2)
    place(folder, "new")
    manager.start()
    bench.rest()
    assert os.listdir(folder) == ["new"] and manager.services == {}


def test_a_silent_service_is_shown(bench, folder, manager, monkeypatch):
    """Its processes are stopped: they are there all the same."""
    monkeypatch.setattr(manager_module, "SILENT", 0.05)
    bench.agent(folder=place(folder), mute=True)
    manager.start()
    bench.until(lambda: manager.came == ["shop"])


def test_what_is_no_service(bench, folder, manager):
    """A file, a link, a folder that everybody may write to."""
    open(os.path.join(folder, "file"), "w").close()
    os.symlink("/tmp", os.path.join(folder, "link"))
    bench.agent(folder=place(folder, "open", 0o777))
    manager.start()
    bench.rest()
    assert manager.services == {}


def test_a_runtime_folder_of_everybody(folder, manager):
    os.chmod(folder, 0o777)
    with pytest.raises(PermissionError):
        manager.start()


def test_another_daemons_writes(bench, folder, manager):
    """Seen at once, by inotify: what another mount did, this one shows."""
    path = place(folder)
    bench.agent(folder=path)
    other = Watched(bench.loop, folder)
    manager.start()
    other.start()
    bench.until(lambda: "shop" in manager.services and "shop" in other.services)
    file = os.path.join(folder, "m.py")
    open(file, "w").write("")
    bench.until(lambda: all(p.report["seen"] >= 0 for p in other.services["shop"].peers.known()))
    answer = other.services["shop"].insmod(file.encode(), ME)
    bench.until(answer.done)
    assert answer.exception() is None
    bench.until(lambda: "m" in manager.services["shop"].patches)
    bench.until(lambda: not manager.services["shop"].patches["m"].transition)
    other.close()


def test_a_daemon_started_again(bench, folder, manager):
    """It resumes from the journal and what the agents tell: a pending transition is driven on."""
    agent = bench.agent(folder=place(folder))
    first = Watched(bench.loop, folder)
    first.start()
    first.settle()
    agent.puppet.dirty = True
    file = os.path.join(folder, "m.py")
    open(file, "w").write("")
    answer = first.services["shop"].insmod(file.encode(), ME)
    bench.until(answer.done)
    first.close()
    manager.start()
    manager.settle()
    assert manager.services["shop"].patches["m"].transition
    agent.puppet.dirty = False
    agent.work()
    bench.until(lambda: not manager.services["shop"].patches["m"].transition)


def test_the_daemon_dies_in_a_load(bench, folder, manager):
    """Its lock is free, its change is taken back."""
    agent = bench.agent(folder=place(folder))
    first = Watched(bench.loop, folder)
    first.start()
    first.settle()
    agent.puppet.busy = True
    file = os.path.join(folder, "m.py")
    open(file, "w").write("")
    first.services["shop"].insmod(file.encode(), ME)
    bench.until(lambda: first.services["shop"].journal.read()["change"])
    first.close()
    manager.start()
    manager.settle()
    bench.until(lambda: not manager.services["shop"].journal.read()["change"])
    agent.puppet.busy = False
    agent.work()
    bench.rest()
    assert agent.puppet.op is None and not agent.puppet.mods


def test_no_descriptor_is_left(bench, folder):
    """close() lets go of everything."""
    bench.agent(folder=place(folder))
    before = len(os.listdir("/proc/self/fd"))
    manager = Watched(bench.loop, folder)
    manager.start()
    manager.settle()
    manager.close()
    bench.rest()
    assert len(os.listdir("/proc/self/fd")) == before
