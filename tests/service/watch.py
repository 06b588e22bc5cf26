"""Peers of a bench's folder, and what they told a test."""
import os

from klpfs.service import peer as peer_module
from klpfs.service.peers import Peers


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


def left_alone(bench, watch):
    """One line, nobody is there, and nobody is asked again."""
    bench.until(lambda: watch.lines)
    bench.rest(3 * peer_module.RETRY)
    assert watch.peers.list() == [] and len(watch.lines) == 1 and not watch.heard
    assert not watch.peers.dead             # it is not ours to remove
    return watch.lines[0]
