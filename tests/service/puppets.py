"""Puppets for the coordinator's tests: a clock and timers by hand, a disk, and agents that follow docs/PROTOCOL.md#5.

Nothing moves by itself: `World.run()` delivers all that is on its way and lets every agent that is not held take its
steps; `World.events()` lists what could happen next, for a test that chooses.
"""
import copy
import errno
import heapq
import itertools
import os

from klpfs.protocol import record_text as text
from klpfs.service.answer import Answer
from klpfs.service.coordinator import Coordinator


class Broken(AssertionError):
    """An invariant of docs/PROTOCOL.md does not hold."""


def need(condition, words):
    if not condition:
        raise Broken(words)


class Clock:
    """A loop whose time stands still until `advance`."""

    def __init__(self):
        self.time, self.timers, self.count = 1000.0, [], itertools.count()

    def now(self):
        return self.time

    def call_later(self, seconds, call):
        timer = type("Timer", (), {"call": staticmethod(call), "cancel": lambda self: setattr(self, "call", None)})()
        heapq.heappush(self.timers, (self.time + seconds, next(self.count), timer))
        return timer

    def next(self):
        while self.timers and self.timers[0][2].call is None:
            heapq.heappop(self.timers)
        return self.timers[0][0] if self.timers else None

    def advance(self, seconds):
        end = self.time + seconds
        while self.next() is not None and self.next() <= end:
            when, _, timer = heapq.heappop(self.timers)
            self.time = max(self.time, when)
            timer.call()
        self.time = end


class Disk:
    """What is in the folder: the journal's bytes, the lock's owner, contents; `full`: an errno that writes fail
    with."""

    def __init__(self, record=None):
        self.data, self.lock, self.full, self.writes, self.pruned = text.dump(record or text.idle()), None, 0, [], []
        self.record = text.parse(self.data)


class DiskJournal:
    """The Journal of one coordinator, on a Disk."""

    def __init__(self, disk):
        self.disk, self.cached = disk, None

    def read(self):
        if self.cached is None or self.cached[0] is not self.disk.data:
            self.cached = (self.disk.data, text.parse(self.disk.data))
        return self.cached[1]

    def try_lock(self):
        need(self.disk.lock is not self, "the lock is taken twice")
        if self.disk.lock is not None:
            return False
        self.disk.lock = self
        return True

    def unlock(self):
        if self.disk.lock is self:
            self.disk.lock = None

    def write(self, record):
        need(self.disk.lock is self, "a write without the lock")
        if self.disk.full:
            raise OSError(self.disk.full, "No space left on device")
        before = text.parse(self.disk.data)
        need(record["seq"] == before["seq"] + 1, "seq goes up by one")
        need(not (record["change"] and before["change"]), "one change at a time")
        self.disk.data = text.dump(record)
        self.disk.record = text.parse(self.disk.data)
        self.disk.writes.append(self.disk.record)

    def put(self, data):
        need(self.disk.lock is self, "a content is stored without the lock")
        return "hash"

    def is_bare(self):
        return False

    def prune(self, record):
        need(self.disk.lock is self, "contents are removed without the lock")
        self.disk.pruned.append(record["seq"])


def outcome(record):
    t = record["transition"]
    if not t:
        return [p["name"] for p in record["patches"]]
    if not t["dir"]:
        return [p["name"] for p in record["patches"] if p["name"] != t["patch"]]
    return [p["name"] for p in record["patches"] if p["name"] == t["patch"] or not t["replace"]]


class Agent:
    """An agent of a process: the table of section 5, one small step a call. silent: stopped; busy: in foreign code;
    dirty: a task never becomes clean; refuse, words: errno and text for the next load; ordinary: it loads no
    livepatch."""

    def __init__(self, world, key, live=True):
        self.world, self.key, self.live, self.alive = world, key, live, True
        self.silent = self.busy = self.dirty = False
        self.refuse, self.livepatch, self.replace = 0, {}, {}
        self.words = ""
        self.seen, self.over, self.goal, self.op, self.refused = -1, 0, None, None, None
        self.patches, self.mods, self.not_applied, self.cb, self.prepared = [], set(), set(), {}, None
        self.clean_now = False

    def call(self, patch, what):
        """A callback: pre_patch -> post_patch or post_unpatch; pre_unpatch -> post_unpatch or post_patch."""
        was = self.cb.pop(patch, None)
        may = {"pre": (None,), "post": ("pre", "preun"), "preun": ("post",), "postun": ("pre", "preun")}[what]
        need(was in may, f"{self.key}: {what} of {patch} after {was}")
        if what != "postun":
            self.cb[patch] = what

    def report(self):
        op = self.op or {"n": 0, "phase": "", "dir": 0, "turn": 0, "clean": False}
        return {"t": "report", "seen": self.seen, **{k: op[k] for k in ("n", "phase", "dir", "turn", "clean")},
                "over": self.over, "refused": self.refused, "not_applied": sorted(self.not_applied),
                "prepared": self.prepared, "working": {"what": f"init of {op['patch']}",
                                                       "since": 0} if op["phase"] == "loading" else None,
                "blockers": [{"kind": "thread", "task": 1, "name": "dirty", "frames": [], "since": 0}]
                if self.dirty and op["phase"] == "started" and not op["clean"] else []}

    def take_back(self):
        op, self.op, self.prepared = self.op, None, None
        need(op["phase"] in ("loading", "prepared"), f"{self.key}: its started operation {op['n']} is gone")
        if op["phase"] == "prepared":
            self.call(op["patch"], "postun")
        self.mods.discard(op["patch"])

    def lost(self):
        """The connection of the change's coordinator has closed."""
        op, now = self.op, self.world.disk.record
        if not op or op["phase"] != "prepared":
            return
        if now["seq"] > (self.goal["seq"] if self.goal else self.seen):
            self.goal = now                              # the table says what becomes of the operation
        elif not (now["transition"] and now["transition"]["n"] == op["n"]):
            self.take_back()
            self.refused = {"n": op["n"], "errno": errno.EINTR, "text": "the coordinator was lost"}
            self.tell()

    def tell(self):
        self.world.say(self, self.report())

    def can_step(self):
        return (
            self.alive
            and not self.silent
            and (
                self.goal is not None
                and not (self.op and self.op["phase"] == "loading" and self.busy)
                or self.can_clean()
            )
        )

    def can_clean(self):
        return bool(self.op and self.op["phase"] == "started" and not self.op["clean"] and not self.dirty)

    def step(self):
        """The first line that fits."""
        g = self.goal
        if g is None:
            if self.can_clean():
                self.op["clean"] = True
                self.tell()
            return
        if not self.advance(g):
            self.seen, self.goal = g["seq"], None
            self.live = True
            self.tell()

    def advance(self, g):
        t, c, op = g["transition"], g["change"], self.op
        mine = op and (t and t["n"] == op["n"] or c and c["n"] == op["n"])
        if op and not mine:
            self.take_back()
            return True
        if op and op["phase"] == "loading":
            if self.refuse:
                self.op = None
                if t and t["n"] == op["n"]:
                    self.not_applied.add(op["n"])
                else:
                    self.refused = {"n": op["n"], "errno": self.refuse, "text": self.words or "it refuses"}
                self.refuse = 0
                self.tell()
                return True
            self.call(op["patch"], "pre")
            op["phase"] = "prepared"
            self.mods.add(op["patch"])
            self.prepared = {"n": op["n"], "livepatch": True, "replace": self.world.replaces(op["patch"]), "size": 1,
                             "uses": [], "fingerprints": ""}
            self.tell()
            return True
        loads = {p["name"]: p["n"] for p in g["patches"]}
        joins = bool(t and t["step"] == "finish" and not op and (t["patch"] not in self.patches or self.over == t["n"]))
        want = outcome(g) if joins else [p["name"] for p in g["patches"]]
        for name in want:
            if name in self.patches or loads[name] in self.not_applied or t and name == t["patch"] and not joins:
                continue
            if t and name == t["patch"]:
                self.over = t["n"]
            self.call(name, "pre")
            self.call(name, "post")
            self.mods.add(name)
            self.place(g, name)
            return True
        if t and (self.over != t["n"] or joins and set(self.patches) - set(want)):
            name = t["patch"]
            if joins or loads.get(name) in self.not_applied:
                if t["step"] == "finish":
                    self.over = t["n"]
                    self.keep(outcome(g))
                    return True
            elif not op and name not in self.patches:
                self.op = {"n": t["n"], "patch": name, "phase": "loading", "dir": 0, "turn": 0, "clean": False}
                return True
            elif not op or op["phase"] == "prepared":
                if not op:
                    self.call(name, "preun")
                self.place(g, name)
                self.prepared = None
                self.op = {"n": t["n"], "patch": name, "phase": "started", "dir": t["dir"], "turn": t["turn"],
                           "clean": not self.live}
                self.tell()
                return True
            elif op["phase"] == "started" and op["turn"] != t["turn"]:
                op.update(dir=t["dir"], turn=t["turn"], clean=not self.live)
                self.tell()
                return True
            elif op["phase"] == "started" and t["step"] == "finish":
                self.world.check_finish(self, g)
                self.call(name, "post" if op["dir"] else "postun")
                self.op, self.over = None, t["n"]
                self.keep(outcome(g))
                return True
        if c and not op and not (self.refused and self.refused["n"] == c["n"]):
            self.op = {"n": c["n"], "patch": c["name"], "phase": "loading", "dir": 0, "turn": 0, "clean": False}
            self.tell()
            return True
        gone = self.mods - {m["name"] for m in g["modules"]} if not op else set()
        if gone:
            need(not gone & set(self.patches), f"{self.key} unloads a patch in use")
            self.mods -= gone
            return True
        return False

    def place(self, g, name):
        order = [p["name"] for p in g["patches"]]
        self.patches = sorted(set(self.patches) | {name}, key=order.index)

    def keep(self, names):
        self.patches = [p for p in self.patches if p in names]
        self.cb = {k: v for k, v in self.cb.items() if k in names}


class Peer:
    """An agent as one coordinator sees it. What is on its way: to the agent in `mail`, from it in `back`."""

    def __init__(self, agent, peers):
        self.agent, self.peers, self.key, self.name, self.pid = agent, peers, agent.key, f"process {agent.key}", 1
        self.sent_seq = self.acked = -1
        self.last, self.pings, self.trouble, self.is_of_service = 0.0, 0, "", True
        self.report = None
        self.mail, self.back = [], [agent.report()] if agent.alive and not agent.silent else []

    is_of_service = True

    @property
    def gone(self):
        return not self.agent.alive

    @property
    def heard(self):
        """Who is not silent answers every ping at once."""
        return self.last if self.agent.silent else self.peers.world.clock.now()

    def ping(self):
        self.pings += 1
        return True

    def tell(self, record):
        self.sent_seq = record["seq"]
        self.mail.append(copy.deepcopy(record))


class Peers:
    def __init__(self, world):
        self.world, self.there, self.restarted = world, {}, []

    def take_restarted(self):
        taken, self.restarted = self.restarted, []
        return [peer for peer in taken if peer.agent.alive]

    def known(self):
        self.there = {k: p for k, p in self.there.items() if p.agent.alive}
        return list(self.there.values())

    def list(self):
        for agent in self.world.agents:
            if agent.alive and agent.key not in self.there:
                self.there[agent.key] = Peer(agent, self)
                self.restarted.append(self.there[agent.key])
        return self.known()

    @property
    def litter(self):
        return not self.world.sockets <= {agent.key for agent in self.world.agents if agent.alive}

    def unlink_gone(self):
        need(self.world.disk.lock is not None, "sockets are unlinked without the lock")
        self.world.sockets &= {agent.key for agent in self.world.agents if agent.alive}

    def cut(self, n):
        for peer in self.known():
            peer.mail.clear()
            peer.sent_seq = -1
            self.restarted.append(peer)
            if peer.agent.alive and not peer.agent.silent:
                peer.agent.lost()


def answers_of(waiting_answers):
    """The answers that are waited for."""
    return [waiting.answer for waiting in waiting_answers._waiting]


def open_answers(c):
    """All answers that a coordinator has not given yet."""
    return ([request.answer for request in c._requests] + answers_of(c.waiting_answers)
            + ([c.load.answer] if c.load else []))


class World:
    """Processes, coordinators, a disk, a clock."""

    def __init__(self, processes=2, record=None):
        self.disk, self.clock, self.agents, self.coordinators, self.sockets = Disk(record), Clock(), [], [], set()
        self.logged, self.replacing, self.names, self.foresees = [], set(), itertools.count(), True
        for _ in range(processes):
            agent = self.join()
            agent.goal, agent.live = self.disk.record, False
            while agent.goal:
                agent.step()
        self.coordinator = self.coordinate()

    def replaces(self, patch):
        return patch in self.replacing

    def join(self):
        agent = Agent(self, f"{next(self.names)}.sock", live=False)
        self.sockets.add(agent.key)
        self.agents.append(agent)
        return agent

    def coordinate(self):
        c = Coordinator(DiskJournal(self.disk), Peers(self), self.clock,
                        lambda words, priority: self.logged.append(words), lambda record: None)
        self.coordinators.append(c)
        c.step()
        c.peers.list()
        c.step()
        return c

    def crash(self, c):
        """The coordinator's process dies: its lock and its connections go with it."""
        self.coordinators.remove(c)
        c.rounds.close()
        c.journal.unlock()
        for peer in c.peers.known():
            if not peer.agent.silent:
                peer.agent.lost()

    def say(self, agent, message):
        for c in self.coordinators:
            peer = c.peers.there.get(agent.key)
            if peer is not None:
                peer.back.append(message)

    def check_finish(self, agent, g):
        """Nobody finishes while another may be taken back."""
        t, now = g["transition"], self.disk.record["transition"]
        need(now and now["n"] == t["n"] and now["step"] == "finish" and now["dir"] == agent.op["dir"],
             "finishes undecided")
        if t["forced"]:
            return
        need(agent.op["clean"], f"{agent.key} finishes unclean")
        for b in self.agents:
            if b.alive and b.live and b.over != t["n"] and t["n"] not in b.not_applied:
                load = [p["n"] for p in g["patches"] if p["name"] == t["patch"]]
                need(load and load[0] in b.not_applied or b.op and b.op["n"] == t["n"] and b.op["turn"] == t["turn"]
                     and b.op["clean"], f"{agent.key} finishes, {b.key} is not clean")

    # -- what can happen

    def events(self):
        out = []
        for c in self.coordinators:
            for peer in c.peers.known():
                if peer.mail and not peer.agent.silent:
                    out.append((self.deliver, c, peer))
                if peer.back:
                    out.append((self.hear, c, peer))
        for agent in self.agents:
            if agent.can_step():
                out.append((Agent.step, agent))
        return out

    def deliver(self, c, peer):
        record, agent = peer.mail.pop(0), peer.agent
        peer.back.append({"t": "ack", "seq": record["seq"]})
        if record["seq"] > max(agent.seen, agent.goal["seq"] if agent.goal else -1):
            agent.goal = record
        elif record["seq"] <= agent.seen:
            peer.back.append(agent.report())

    def hear(self, c, peer):
        message = peer.back.pop(0)
        peer.last = self.clock.now()
        if message["t"] == "ack":
            peer.acked = max(peer.acked, message["seq"])
        else:
            peer.report = message
        c.step()

    def run(self, limit=10000):
        """All that can happen without time passing."""
        for _ in range(limit):
            events = self.events()
            if not events:
                return
            call, *args = events[0]
            call(*args)
        raise Broken("it never comes to rest")

    # -- users

    def ask(self, what, name="A", c=None, **kw):
        from klpfs.protocol import decisions as records
        answer = Answer()
        decide = {"insmod": lambda r: records.insmod(r, name, "0" * 64, {}, 1, "/" + name),
                  "rmmod": lambda r: records.rmmod(r, name),
                  "disable": lambda r: records.set_enabled(r, name, False),
                  "enable": lambda r: records.set_enabled(r, name, True),
                  "force": lambda r: records.force(r, name)}[what]
        foreseen = (
            {"livepatch": True, "replace": self.replaces(name), "uses": [], "fingerprints": ""}
            if self.foresees
            else None
        )
        (c or self.coordinator).submit(f"{what} {name}", decide, answer, lambda: foreseen)
        return answer

    def check_quiet(self):
        """I1, I2, I4, I6 and I8: at rest, with nobody held."""
        j = self.disk.record
        need(not j["change"], "a prepare that nobody ends")
        need(not j["transition"], "pending, and nobody blocks")
        for a in self.agents:
            if a.alive:
                need(a.seen == j["seq"], f"{a.key} has seen {a.seen} of {j['seq']}")
                need(a.op is None, f"{a.key} still has an operation")
                need(a.patches == [p["name"] for p in j["patches"] if p["n"] not in a.not_applied],
                     f"{a.key} has {a.patches}")
                need(all(v == "post" for v in a.cb.values()), f"{a.key} owes a callback")
        need(self.disk.lock is None, "the lock is held")
        need(self.sockets == {a.key for a in self.agents if a.alive} or not self.coordinators,
             "sockets of the dead lie about")


def errno_of(answer):
    """0, an errno, or None: not answered yet."""
    if not answer.done():
        return None
    error = answer.exception()
    return error.errno if error else 0


def loaded(world, name="A"):
    """The patch is in force everywhere."""
    answer = world.ask("insmod", name)
    world.run()
    assert errno_of(answer) == 0
    world.check_quiet()


def steps(world):
    """The journal's writes: what each one said."""
    out = []
    for r in world.disk.writes:
        c, t = r["change"], r["transition"]
        out.append("change" if c else f"{t['step']} dir {t['dir']} turn {t['turn']}" if t else "idle")
    return out


def raises(code):
    """A function that fails so."""
    def call():
        raise OSError(code, os.strerror(code))
    return call
