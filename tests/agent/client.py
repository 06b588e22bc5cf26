"""A coordinator that a test moves, and an agent in this process whose program is a puppet."""
import contextlib
import hashlib
import os
import select
import socket
import time
from types import SimpleNamespace

from klpfs import Func, Object, Patch
from klpfs.agent import api
from klpfs.agent.agent import Agent
from klpfs.agent.tasks import Tasks
from klpfs.protocol import folder_layout, record_text, wire
from klpfs.testing import PuppetTarget

SECONDS = 20


class CalledTarget(PuppetTarget):
    """Callbacks run as the agent's foreign code, as in lazy_target.py."""

    main = breathe = None
    main_waits = False

    def __init__(self, agent, modules):
        super().__init__(modules)
        self.agent = agent

    def loaded_again(self):
        return []

    def runs_body(self, name):
        return False

    def call(self, callback, obj):
        load = self.agent.follower.load
        try:
            return self.agent.foreign.run("a callback", load.n if load else 0, PuppetTarget.call, self, callback, obj)
        except OSError as e:
            return -e.errno


class PuppetParts:
    """What an agent takes of klpfs/cpython (lazy_target.CPython), with a puppet program of functions f and g, and
    Python
    files as modules: a file sees Patch, Object, Func, enable_patch, and `lp`, a patch of f. shared: a dict that it
    sees, too."""

    def __init__(self):
        self.shared = {}

    def target(self, agent):
        return CalledTarget(agent, {None: ["f", "g"]})

    def loader(self):
        return self

    def let_go_of_imports(self):
        pass

    def hook_imports(self, coming, target):
        pass

    def prepare(self):
        pass

    def has_interpreters(self):
        return False

    # as klpfs/cpython/load/loader.py

    def load(self, name, data, path, params, log, breathe, enable_patch):
        lp = Patch([Object(None, [Func("f", lambda: None)])])
        ns = {"Patch": Patch, "Object": Object, "Func": Func, "lp": lp, "enable_patch": enable_patch,
              "pr_info": api.pr_info, "shared": self.shared}
        exec(compile(data, path, "exec"), ns)
        patch = ns.get("patch")
        x = SimpleNamespace(type=int, text="0", mode=0o644)
        loaded = SimpleNamespace(name=name, livepatch=patch is not None, patch=patch, params={"x": x}, depends=(),
                                 exit=ns.get("exit"), init=ns.get("init"))
        if patch is not None and loaded.init is None:
            loaded.init = lambda: enable_patch(patch)
        return loaded

    def set_param(self, loaded, name, text):
        if text == "bad":
            raise OSError(22, "bad")
        loaded.params[name].text = self.shared[name] = text

    def unload(self, loaded):
        pass

    def abandon(self, name):
        self.shared.setdefault("abandoned", []).append(name)


class PuppetTasks(Tasks):
    """Stacks and states of a program that is none."""

    def stack_of_ident(self, ident):
        return []

    def stack(self, tid):
        return ["x.py:1 f"]

    def patch_state(self, tid, transition):
        return -1 if transition is None else 0


class Coordinator:
    """One connection to an agent, and the journal that it would write. messages: all that came, oldest first."""

    def __init__(self, folder, name):
        self.folder = folder
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.connect(os.path.join(folder, name))
        self.reader = wire.Reader()
        self.messages = []
        self.closed = False
        self.record = record_text.load(os.path.join(folder, "journal"))

    def send(self, **message):
        self.sock.sendall(wire.encode(message))

    def pump(self, seconds):
        ready, _, _ = select.select([self.sock], [], [], seconds)
        if ready:
            try:
                data = self.sock.recv(1 << 16)
            except ConnectionError:
                data = b""
            if not data:
                self.closed = True
            self.messages += self.reader.feed(data)

    def until(self, condition, what="it"):
        """Waits for `condition(self)` to be true."""
        end = time.monotonic() + SECONDS
        while True:
            found = condition(self)
            if found:
                return found
            assert time.monotonic() < end, "%s did not come: %r" % (what, self.messages[-5:])
            assert not self.closed, "closed before %s came: %r" % (what, self.messages[-5:])
            self.pump(0.2)

    def of(self, t):
        return [m for m in self.messages if m["t"] == t]

    @property
    def report(self):
        found = self.of("report")
        return found[-1] if found else {}

    @property
    def lines(self):
        return [text for m in self.of("event") for _, _, _, _, text in m.get("log", ())]

    def until_report(self, **fields):
        return self.until(lambda c: all(c.report.get(k) == v for k, v in fields.items()), "a report with %r" % fields)

    def until_line(self, text):
        return self.until(lambda c: any(text in line for line in c.lines), "the line %r" % text)

    def ask(self, what, tid=None):
        self.send(t="ask", id=len(self.messages) + 1000, what=what, tid=tid)
        n = len(self.of("answer"))
        return self.until(lambda c: len(c.of("answer")) > n and c.of("answer")[-1], "an answer")["data"]

    def store(self, text):
        data = text.encode()
        sha = hashlib.sha256(data).hexdigest()
        with open(os.path.join(self.folder, sha), "wb") as f:
            f.write(data)
        return sha

    def write(self, **fields):
        """The journal's next record, written and told."""
        self.record = dict(self.record, **fields)
        self.record["seq"] += 1
        with open(os.path.join(self.folder, "draft"), "wb") as f:
            f.write(record_text.dump(self.record))
        os.rename(os.path.join(self.folder, "draft"), os.path.join(self.folder, "journal"))
        self.send(t="record", r=self.record)
        return self.record["seq"]

    def change(self, name, text, pid=None, sha=None):
        """Begin a load; returns its n."""
        n = self.record["seq"] + 1
        self.write(change={"n": n, "name": name, "sha256": sha or self.store(text), "params": {}, "livepatch": False,
                           "replace": False, "pid": os.getpid() if pid is None else pid, "path": "/x/%s.py" % name})
        return n

    def start(self, n):
        c = self.record["change"]
        entry = {"name": c["name"], "sha256": c["sha256"], "params": {}}
        self.write(change=None, patches=self.record["patches"] + [dict(entry, n=n, fingerprints="")],
                   modules=self.record["modules"]
                   + [dict(entry, livepatch=True, path=c["path"], uses=[], forced=False)],
                   transition={"n": n, "patch": c["name"], "dir": 1, "turn": 1, "step": "start", "replace": False,
                               "forced": False})

    def insmod(self, name, text="patch = lp"):
        n = self.change(name, text)
        self.until(lambda c: (c.report.get("prepared") or {}).get("n") == n, "prepared")
        self.start(n)
        self.until_report(clean=True)
        self.write(transition=dict(self.record["transition"], step="finish"))
        self.until_report(over=n, seen=self.record["seq"])
        self.write(transition=None)
        self.until_report(seen=self.record["seq"])
        return n

    def close(self):
        self.sock.close()


@contextlib.contextmanager
def running_agent(folder, service="svc", keep=False):
    """An agent with PuppetParts, in this process."""
    path = folder_layout.make_folder(str(folder) + "/" + service)
    agent = Agent(service, path, keep, parts=PuppetParts())
    agent.tasks = PuppetTasks(agent)
    before = api.agent()
    api.set_agent(agent)
    try:
        agent.joining.register()
        agent.joining.start()
        yield agent
    finally:
        api.set_agent(before)
        agent.server.remove()
        assert agent.server.stop(5)
        agent.thread.stop(1)
        agent.server.after_fork()
