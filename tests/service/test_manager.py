"""Services as they come and go."""
import errno
import os
import socket
import stat
import time

import pytest

from klpfs.protocol import life
from klpfs.protocol import record_text as text
from klpfs.service import manager as manager_module
from klpfs.service.manager import Manager
from klpfs.service.snapshots import Caller
from tests.service.fake_agent import sleeper

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


@pytest.mark.parametrize("socket_is", ["refuses", "removed"])
def test_a_service_whose_process_lives_and_has_no_socket(bench, folder, manager, monkeypatch, socket_is):
    """Its journal stays, whatever became of the socket, until the process is dead."""
    monkeypatch.setattr(manager_module, "STALE", 0.05)
    path, agent = place(folder), sleeper()
    try:
        os.symlink(f"{agent.pid} - {life.own_life().split()[2]} -", os.path.join(path, "a.life"))
        with socket.socket(socket.AF_UNIX) as dead:
            dead.bind(os.path.join(path, "a.sock"))
        if socket_is == "removed":
            os.unlink(os.path.join(path, "a.sock"))
        open(os.path.join(path, "journal"), "wb").write(text.dump(text.idle(3, "shop")))
        os.utime(path, (time.time() - 100,) * 2)
        manager.start()
        bench.rest(0.3)
        assert os.path.exists(os.path.join(path, "journal"))
        back = bench.agent(folder=path, pid=agent.pid, name="b")        # it can bind again
        bench.until(lambda: manager.came == ["shop"])
        back.close()
        os.unlink(back.path)
    finally:
        agent.kill()
        agent.wait()
    bench.until(lambda: not os.path.exists(path), 20)


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
    bench.until(lambda: all(p.report and p.report["seen"] >= 0 for p in other.services["shop"].peers.known()))
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


# ---- what users put there

def shown(bench, manager, *names):
    bench.until(lambda: sorted(manager.services) == sorted(names))


def test_a_folder_of_another_services_processes(bench, folder, manager, monkeypatch):
    """It was renamed: its processes, which go on under the old name, are named, and nothing is written while they
    live, also where one of its own comes later."""
    monkeypatch.setattr(manager_module, "STALE", 1.0)
    path = place(folder)
    agent = bench.agent(folder=path)
    os.rename(path, os.path.join(folder, "moved"))
    agent.path = os.path.join(folder, "moved", "a.sock")
    manager.start()
    bench.until(lambda: agent.links)
    bench.rest(1.0)
    service = manager.services["moved"]
    bench.agent("b", folder=os.path.join(folder, "moved"))
    bench.until(lambda: len(service.processes) == 1)
    assert [view.pid for view in service.processes.values()] == [bench.agents[1].pid]
    answer = service.set_ftrace(False)
    bench.until(answer.done)
    assert answer.exception().errno == errno.EPROTONOSUPPORT and "of service 'shop'" in answer.exception().strerror
    blockers = service.ask("blockers")
    bench.until(blockers.done)
    assert any(view.pid == agent.pid and "of service 'shop'" in view.name for view in blockers.result())
    bench.processes[0].kill()
    bench.until(lambda: len(service.peers.known()) == 1)
    answer = service.set_ftrace(False)
    bench.until(answer.done)
    assert answer.exception() is None
    bench.processes[1].kill()
    bench.until(lambda: manager.gone == ["moved"])
    bench.agents[1].close()
    agent.close()                               # then all of it goes
    bench.until(lambda: not os.path.exists(os.path.join(folder, "moved")))


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
@pytest.mark.parametrize("kind", ["fifo", "link"])
def test_a_user_puts_something_else_in_the_journals_place(bench, folder, manager, tmp_path, kind):
    """A service of a user's (User= of a unit), root's daemon: it does not wait, and hands out nothing of root's."""
    secret = tmp_path / "secret"
    secret.write_text("of root")
    path = place(folder)
    os.chown(path, 54321, 54321)
    bench.agent(folder=path)
    manager.start()
    manager.settle()
    journal = os.path.join(path, "journal")
    os.mkfifo(journal) if kind == "fifo" else os.symlink(secret, journal)
    bench.rest()
    with open(os.path.join(folder, "m.py"), "w"):
        pass
    answer = manager.services["shop"].insmod(os.path.join(folder, "m.py").encode(), ME)
    bench.until(answer.done)
    assert answer.exception().errno == 5
    bench.processes[0].kill()
    bench.until(lambda: manager.gone == ["shop"])
    assert secret.read_text() == "of root" and not os.path.exists(path)


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
def test_a_user_puts_a_link_in_the_folders_place(bench, folder, manager, tmp_path):
    """In a runtime folder of that user's: what the link leads to is not looked into, and nothing of it is removed."""
    os.chown(folder, 54321, 54321)
    other = tmp_path / "other"
    other.mkdir(0o700)
    for name in ("precious", "precious.tmp", "journal"):
        (other / name).touch()
    path = place(folder)
    os.chown(path, 54321, 54321)
    bench.agent(folder=path)
    manager.start()
    manager.settle()
    os.rename(path, os.path.join(folder, ".away"))
    os.symlink(other, path)
    bench.processes[0].kill()
    bench.until(lambda: manager.services == {})
    bench.rest(0.3)
    assert sorted(os.listdir(other)) == ["journal", "precious", "precious.tmp"] and os.path.islink(path)


def test_a_file_system_that_a_user_has_mounted_there(bench, folder, manager, silent):
    """On a service's folder, or on what lies in it: the daemon asks it nothing, and serves all others."""
    for name in ("before", "other"):
        bench.agent(folder=place(folder, name))
    silent(place(folder, "whole"), 0o40755)
    os.mkdir(os.path.join(folder, "before", "x.sock"))
    silent(os.path.join(folder, "before", "x.sock"), 0o40755)
    manager.start()
    silent(place(folder, "late"), 0o40755)
    os.mkdir(os.path.join(folder, "other", "journal"))
    silent(os.path.join(folder, "other", "journal"), 0o40755)
    shown(bench, manager, "before", "other")
    bench.rest(0.3)
    assert len(manager.services["before"].processes) == 1


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
@pytest.mark.parametrize("kind", ["nothing", "fifo", "link", "file of its own"])
def test_who_has_a_journal_kept(bench, folder, manager, tmp_path, monkeypatch, kind):
    """The service's user and root say so; what a worker says, or puts there, is nothing."""
    path = place(folder, mode=0o3770)
    keep = os.path.join(path, "keep")
    agent = bench.agent(folder=path, keep=True, mute=True)
    os.chown(agent.path, 54321, -1)
    if kind == "fifo":
        os.mkfifo(keep)
    elif kind == "link":
        os.symlink(tmp_path / "made", keep)
    elif kind == "file of its own":
        open(keep, "w").close()
        os.chown(keep, 54321, -1)
    from klpfs.service import peer as peer_module
    real = peer_module.Peer._is_heard_from
    monkeypatch.setattr(peer_module.Peer, "_is_heard_from",
                        lambda peer, pid, user: real(peer, pid, 54321 if peer.key == "a.sock" else 0))
    manager.start()
    bench.until(lambda: agent.links)
    agent.mute = False
    agent.send({"t": "hello", "version": 1, "pid": agent.pid, "comm": "x", "cmdline": [], "keep": True,
                "service": "shop", "python": "3", "started": 0})
    shown(bench, manager, "shop")
    assert not manager.services["shop"].folder.keeps and not (tmp_path / "made").exists()
    bench.agent("b", folder=path, keep=True)
    bench.until(lambda: manager.services["shop"].folder.keeps)
    assert stat.S_ISREG(os.lstat(keep).st_mode) and os.lstat(keep).st_uid == 0 and not (tmp_path / "made").exists()


def test_a_runtime_folder_that_strangers_can_exchange(bench, folder):
    """All may write to a folder above it: EACCES, by name."""
    above = place(folder, "above", 0o777)
    manager = Watched(bench.loop, place(above, "run"))
    with pytest.raises(PermissionError, match="above"):
        manager.start()


def test_files_that_tell_nothing_are_not_looked_at(bench, folder, manager, monkeypatch):
    """A worker makes and removes them as fast as it can: the daemon does not list the folder because of it."""
    path = place(folder)
    bench.agent(folder=path)
    manager.start()
    manager.settle()
    bench.rest()
    looked = []
    monkeypatch.setattr(type(manager.services["shop"]), "look", lambda self: looked.append(1))
    for i in range(100):
        open(os.path.join(path, f"f{i}"), "w").close()
        bench.rest(0.001)
    assert not looked
    bench.agent("b", folder=path)
    bench.until(lambda: looked)


def test_a_journal_alone_is_no_reason_to_list_the_folder(bench, folder, manager, monkeypatch):
    """It is written four times a load, and beside it lie the contents of all that is loaded."""
    path = place(folder)
    bench.agent(folder=path)
    manager.start()
    manager.settle()
    bench.rest()
    service, listed, stepped = manager.services["shop"], [], []
    monkeypatch.setattr(type(service.peers), "list", lambda self: listed.append(1) or self.known())
    monkeypatch.setattr(type(service.coordinator), "step", lambda self: stepped.append(1))
    with open(os.path.join(path, "new"), "w") as file:
        file.write("no journal\n")
    os.rename(os.path.join(path, "new"), os.path.join(path, "journal"))
    bench.until(lambda: stepped)
    assert not listed


@pytest.mark.parametrize("code", [errno.EMFILE, errno.ENOSPC])
def test_what_could_not_be_taken_up_is_looked_for_again(bench, folder, manager, monkeypatch, code):
    """No descriptors, or no inotify watches, for a while: the daemon says it, once."""
    lines, come = [], Manager._come
    manager.log = lines.append

    def refuses(*args):
        raise OSError(code, os.strerror(code))
    monkeypatch.setattr(manager_module, "LOOK_AGAIN", 0.05)
    monkeypatch.setattr(Manager, "_come", refuses)
    bench.agent(folder=place(folder))
    manager.start()
    for _ in range(3):
        bench.rest(0.1)
    assert manager.came == [] and len(lines) == 1 and "service 'shop' is not shown" in lines[0]
    monkeypatch.setattr(Manager, "_come", come)
    bench.until(lambda: manager.came == ["shop"])
    assert len(lines) == 1


@pytest.mark.parametrize("owner, name, words", [
    (os, "pidfd_open", "pidfd_open(2), by which processes are watched, "),
    (manager_module, "INotify", "inotify(7), by which services are found, ")])
def test_calls_that_a_container_refuses_are_named(manager, monkeypatch, owner, name, words):
    def refuses(*args, **named):
        raise PermissionError(errno.EPERM, "")
    monkeypatch.setattr(owner, name, refuses)
    with pytest.raises(OSError) as caught:
        manager.start()
    assert (caught.value.errno, caught.value.strerror) == (
        errno.EPERM, words + "can't be used here: Operation not permitted")
