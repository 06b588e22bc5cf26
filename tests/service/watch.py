"""Peers of a bench's folder, and what they told a test."""
import os

from klpfs.service import peer as peer_module
from klpfs.service.peers import Peers
from tests.service.foreign import USER


class Watch:
    """Peers, and what they told."""

    def __init__(self, bench):
        self.bench, self.heard, self.gone, self.lines, self.steps = bench, [], [], [], 0
        self.peers = Peers(bench.folder, bench.loop, lambda peer, kind, message: self.heard.append((peer.key, kind)),
                           lambda peer: self.gone.append(peer.key), lambda peer: None, self.step,
                           lambda text, priority: self.lines.append(text))

    def step(self):
        self.steps += 1


def speaks(bench, watch, agent, **hello):
    """The agent says hello, once it is connected to."""
    watch.peers.list()
    bench.until(lambda: agent.links)
    agent.send({"t": "hello", "version": 1, "pid": agent.pid, "comm": "x", "cmdline": [], "keep": False,
                "service": os.path.basename(bench.folder), "python": "3", "started": 0, **hello})


def heard_from(monkeypatch, pid=None, user=None):
    """The kernel says that what comes is sent by this process, this user."""
    real = peer_module.Peer._is_heard_from
    monkeypatch.setattr(peer_module.Peer, "_is_heard_from", lambda peer, true_pid, true_user: real(
        peer, true_pid if pid is None else pid, true_user if user is None else user))


def foreign_agent(bench, monkeypatch, mute=False, **heard):
    """A foreign user's agent in a folder for several; heard: who the kernel says that it is, where that is another."""
    os.chmod(bench.folder, 0o3770)
    agent = bench.agent(mute=mute)
    os.chown(agent.path, USER, -1)
    heard_from(monkeypatch, **{"user": USER, **heard})
    return agent


def left_alone(bench, watch):
    """One line, nobody is there, and nobody is asked again."""
    bench.until(lambda: watch.lines)
    bench.rest(3 * peer_module.RETRY)
    assert watch.peers.list() == [] and len(watch.lines) == 1 and not watch.heard
    assert not watch.peers.dead             # it is not ours to remove
    return watch.lines[0]


def named(bench, watch):
    """One line, its process is named for as long as it lives, and nobody asks or tells it anything."""
    watch.peers.list()
    bench.until(lambda: watch.lines)
    bench.rest(3 * peer_module.RETRY)
    peer, = watch.peers.list()
    assert peer.trouble and peer.report is None and not peer.send({}) and peer.is_of_service
    assert len(watch.lines) == 1 and not watch.heard and not watch.gone and not watch.peers.dead
    return peer.trouble
