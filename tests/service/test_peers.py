"""The sockets of a service's folder: which of them are of processes that live, of the dead, or left alone."""
import os
import socket

import pytest

from klpfs.protocol import life
from klpfs.service import peer as peer_module
from klpfs.service import peers as peers_module
from tests.service.fake_agent import sleeper
from tests.service.watch import foreign_agent, left_alone, speaks


def test_drafts_and_other_files_are_no_agents(bench, watch):
    for name in (".x.sock", "journal", "lock"):
        open(os.path.join(bench.folder, name), "w").close()
    assert watch.peers.list() == []


def test_a_socket_that_refuses_and_never_answered_is_gone(bench, watch):
    """Its process died before this daemon came; with the lock its socket is removed."""
    agent = bench.agent()
    agent.close()
    assert watch.peers.list() == [] and watch.gone == ["a.sock"]
    watch.peers.unlink_gone()
    assert os.listdir(bench.folder) == []


def noted(bench, name, pid):
    """A socket that refuses, and beside it the note of a process."""
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(os.path.join(bench.folder, name + ".sock"))
    namespace = life.own_life().split()[2]
    os.symlink(f"{pid} - {namespace} -", os.path.join(bench.folder, name + ".life"))


def test_a_socket_that_refuses_while_its_process_lives(bench, watch, monkeypatch):
    """A program that has closed its descriptors, and has none left for another socket: it is not gone. Its end is."""
    monkeypatch.setattr(peer_module, "RETRY_REFUSED", 0.01)
    process = sleeper()
    try:
        noted(bench, "a", process.pid)
        assert [peer.key for peer in watch.peers.list()] == ["a.sock"]
        bench.rest(0.1)
        assert not watch.gone and not watch.peers.litter and watch.peers.lives_unseen()
    finally:
        process.kill()
        process.wait()
    bench.until(lambda: watch.gone == ["a.sock"])
    watch.peers.unlink_gone()
    assert os.listdir(bench.folder) == [] and not watch.peers.lives_unseen()


def test_an_old_socket_of_a_process_that_answers_on_another(bench, watch, monkeypatch):
    """It had no right to remove the old one, as after a change of its user."""
    monkeypatch.setattr(peer_module, "RETRY_REFUSED", 0.01)
    agent = bench.agent("b")
    noted(bench, "a", agent.pid)
    assert len(watch.peers.list()) == 2
    bench.until(lambda: watch.gone == ["a.sock"])
    assert [peer.key for peer in watch.peers.known()] == ["b.sock"]


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
def test_very_many_sockets_of_another_user(bench, watch, monkeypatch):
    """Each costs a descriptor here: no more than so many, and one line; the service's own are not counted."""
    monkeypatch.setattr(peers_module, "MOST", 3)
    os.chmod(bench.folder, 0o3770)
    made = [bench.agent(f"y{i}") for i in range(6)]
    for i in range(5):
        os.chown(made[i].path, 54321, -1)
    assert len(watch.peers.list()) == 4 == len(watch.peers.list())
    assert len(watch.lines) == 1 and "user 54321 has more than 3 sockets" in watch.lines[0]
    monkeypatch.setattr(watch.peers.folder.__class__, "look_socket", lambda self, name: pytest.fail("looked at again"))
    assert len(watch.peers.list()) == 4
    monkeypatch.undo()
    os.unlink(made[0].path)                     # there is room for another
    watch.peers.known()[0].drop()
    watch.peers.list()
    assert "y3.sock" in [peer.key for peer in watch.peers.list()]


def test_what_is_no_socket(bench, watch):
    """Links, fifos and folders with a socket's name are left alone."""
    for name, make in (("a.sock", os.mkfifo), ("b.sock", os.mkdir),
                       ("c.sock", lambda path: os.symlink("/dev/zero", path))):
        make(os.path.join(bench.folder, name))
    assert watch.peers.list() == []


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
def test_a_socket_that_was_refused_is_litter_once_its_process_is_dead(bench, watch, monkeypatch):
    """A foreign user's: with the lock it is removed then, not before."""
    agent = foreign_agent(bench, monkeypatch, mute=True)
    speaks(bench, watch, agent, service="bank")
    left_alone(bench, watch)
    watch.peers.unlink_gone()
    assert os.path.exists(agent.path) and watch.peers.refused
    agent.close()
    watch.peers.unlink_gone()
    assert not os.path.exists(agent.path) and not watch.peers.refused


def test_two_names_of_a_socket(bench, watch):
    """A process is not there twice because somebody has made a link of its socket."""
    agent = bench.agent("b")
    watch.peers.list()
    bench.until(lambda: len(watch.heard) == 2)
    os.link(agent.path, agent.path.replace("b.sock", "a.sock"))
    assert [peer.key for peer in watch.peers.list()] == ["b.sock"] and len(agent.links) == 1


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
def test_a_strangers_socket_in_a_private_folder(bench, watch):
    """Nobody but the owner and root can have put it there: it is left alone."""
    agent = bench.agent()
    os.chown(agent.path, 54321, -1)
    assert watch.peers.list() == [] and not agent.links
