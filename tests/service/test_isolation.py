"""One service's flood is not another's: whatever foreign workers of the one do, an operation in the other takes as many
rounds of the loop as without them, and no round takes in more than a bounded part of the flood."""
import itertools
import os
import socket
import struct

import pytest

from klpfs.protocol.wire import FOREIGN_MESSAGE, encode
from klpfs.service import budget as budget_module
from klpfs.service import peer as peer_module
from klpfs.service.budget import Budget
from klpfs.service.intake import READ_BYTES
from klpfs.service.loop import LAST
from klpfs.service.manager import Manager
from klpfs.service.snapshots import Caller
from tests.service import foreign, puppets

ME = Caller(os.getpid(), os.geteuid(), os.getegid())
FLOODERS = 12


class Flooder:
    """A foreign worker of the service A. data: what it sends after its hello, over and over, as fast as it is read;
    closes: it ends each connection at once."""

    def __init__(self, world, name, data, closes=False):
        self.agent = world.bench.agent(name, folder=world.folder("a"))
        self.data, self.closes, self.at = memoryview(data), closes, 0

    def go_on(self):
        """Send what the socket takes; how many bytes that were: so many were read in the last round."""
        sent = 0
        if self.closes:
            self.agent.cut()
        if self.data:
            self.agent.mute = True             # it answers no more: its answer would wait for the daemon, in one loop
        for link in self.agent.links:
            try:
                while self.data:
                    size = link.send(self.data[self.at:])
                    self.at, sent = (self.at + size) % len(self.data), sent + size
            except OSError:                    # the socket is full, or the daemon has closed it
                pass
        return sent


class World:
    """Two services in one daemon's loop, and a request that is always there: each round must come to it."""

    def __init__(self, bench, tmp_path):
        self.bench, self.loop, self.base = bench, bench.loop, bench.folder
        self.rounds, self.served, self.taken, self.flooders = 0, 0, [], []
        self.more = lambda: None               # what else the flooders do in a round
        for name in "ab":
            os.mkdir(self.folder(name), 0o700)
        self.manager = Manager(self.loop, self.base)
        self.manager.start()
        self.ends = socket.socketpair()
        self.ends[1].send(b"x")
        self.loop.add(self.ends[0].fileno(), self._serve, LAST)
        self.source = tmp_path / "lp_1.py"
        self.source.write_bytes(b"patch = 1\n")
        bench.agent("b", folder=self.folder("b"))
        self.until(lambda: self.ready("b", 1))

    def folder(self, name):
        return os.path.join(self.base, name)

    def _serve(self, events):
        self.served += 1

    def ready(self, name, count):
        service = self.manager.services.get(name)
        return service and len([p for p in service.peers.known() if p.report and p.report["seen"] >= 0]) == count

    def round(self):
        self.more()
        self.taken.append(sum([flooder.go_on() for flooder in self.flooders]))
        before = self.served
        self.loop.run_once(0)
        assert self.served == before + 1, "a round that comes to no request"
        self.rounds += 1

    def until(self, condition, most=10_000):
        begun = self.rounds
        while not condition():
            self.round()
            assert self.rounds < begun + most, "it does not happen"
        return self.rounds - begun

    def operations(self):
        """Rounds that a load, a disable and an unload take in B."""
        service, count = self.manager.services["b"], 0
        for operation in (lambda: service.insmod(str(self.source).encode(), ME),
                          lambda: service.set_enabled("lp_1", False, ME), lambda: service.rmmod(b"lp_1", ME)):
            answer = operation()
            count += self.until(answer.done)
            assert answer.exception() is None
            count += self.until(lambda: not any(patch.transition for patch in service.patches.values()))
        return count

    def close(self):
        self.manager.close()
        self.loop.remove(self.ends[0].fileno())
        for end in self.ends:
            end.close()


@pytest.fixture
def world(bench, tmp_path, monkeypatch):
    foreign.pretend(monkeypatch)
    made = World(bench, tmp_path)
    pay = Budget.pay                           # bytes alone: a machine's speed is not this test's
    monkeypatch.setattr(Budget, "pay", lambda budget, size, seconds=0.0: pay(budget, size))
    yield made
    made.close()


def report(**changes):
    return {**puppets.Agent(None, "x").report(), **changes}


PREPARED = {"n": 1, "livepatch": True, "replace": False, "uses": []}
LARGE = encode(report(prepared={**PREPARED, "fingerprints": "x" * (FOREIGN_MESSAGE - 2000)}))
OBJECTS = encode({"t": "event", "log": [(1, 1, 6, "module", "")] * 30_000})
FLOODS = {
    "largest messages": LARGE, "many objects": OBJECTS, "smallest messages": encode({"t": "ack", "seq": 0}) * 10_000,
    "reports": encode(report()) * 500,
    "log lines": encode({"t": "event", "log": [(1, 1, 6, "engine", "x" * 900)]}) * 200,
    "wants": encode({"t": "want", "sha256": "0" * 64}) * 5000, "garbage": struct.pack("<I", 8) + b"\xff" * 8,
    "announcements": struct.pack("<I", FOREIGN_MESSAGE + 1), "one that never ends": LARGE[:-1] * 10,
}


@pytest.mark.parametrize("flood", FLOODS)
def test_a_flood_of_messages(world, flood):
    quiet = world.operations()
    world.flooders = [Flooder(world, f"f{i}", b"") for i in range(FLOODERS)]
    world.until(lambda: world.manager.services.get("a") and len(world.manager.services["a"].processes) == FLOODERS)
    for flooder in world.flooders:
        flooder.data = memoryview(FLOODS[flood])
    for _ in range(5):
        world.round()
    world.taken.clear()
    assert world.operations() <= quiet + 10
    assert max(world.taken) <= budget_module.ROUND_BYTES + 2 * READ_BYTES


def test_a_budget_that_is_spent(world, monkeypatch):
    """Then nothing of that user is read until it has filled up; one line names the user, once a minute."""
    monkeypatch.setattr(budget_module, "BYTES_PER_SECOND", 1)
    world.flooders = [Flooder(world, f"f{i}", b"") for i in range(3)]
    world.until(lambda: world.manager.services.get("a") and len(world.manager.services["a"].processes) == 3)
    service = world.manager.services["a"]
    for flooder in world.flooders:
        flooder.data = memoryview(LARGE)
    world.until(lambda: service.peers.users.budget_of(foreign.USER).is_spent)
    for _ in range(20):
        world.round()
    world.taken.clear()
    world.operations()
    assert sum(world.taken) == 0
    named = [record.text for record in service.log.records if "say more than this daemon takes in" in record.text]
    assert len(named) == 1 and f"user {foreign.USER}" in named[0] and "(prog)" in named[0]


def test_connections_that_end_at_once(world):
    """Each is made again later and later: so many in all, however long it goes on."""
    clock = itertools.count()
    world.loop.clock = lambda: next(clock) / 1000
    quiet = world.operations()
    accepted = []
    world.flooders = [Flooder(world, f"f{i}", b"", closes=True) for i in range(FLOODERS)]
    for flooder in world.flooders:
        accept = flooder.agent._accept
        world.loop.remove(flooder.agent.sock.fileno())
        world.loop.add(flooder.agent.sock.fileno(), lambda events, accept=accept: (accepted.append(1), accept(events)))
    for _ in range(300):
        world.round()
    assert world.operations() <= quiet + 10
    seconds = world.loop.clock()
    assert len(accepted) <= FLOODERS * (5 + (int(seconds / peer_module.RETRY)).bit_length())


def test_sockets_that_come_and_go(world):
    """Names that are made, taken away and made again in every round."""
    quiet = world.operations()
    numbers = itertools.count()
    world.bench.agent("f", folder=world.folder("a"))
    world.until(lambda: world.manager.services.get("a"))

    def churn():
        for number in itertools.islice(numbers, 20):
            path = os.path.join(world.folder("a"), f"f{number}.sock")
            with socket.socket(socket.AF_UNIX) as sock:
                sock.bind(path)
                sock.listen(1)
                os.rename(path, os.path.join(world.folder("a"), f"f{number % 7}.sock"))
    world.more = churn
    for _ in range(5):
        world.round()
    assert world.operations() <= quiet + 10
