"""A follower with a puppet program and a host that the test moves: no threads, sockets or files."""
from types import SimpleNamespace

from klpfs.agent.follower import Follower
from klpfs.agent.load import enable_patch
from klpfs.agent.modules import Modules
from klpfs.engine.core import Engine
from klpfs.engine.data import Callbacks, Func, Object, Patch
from klpfs.engine.error import KlpError
from klpfs.engine.log import Log
from klpfs.protocol.record_text import idle
from klpfs.testing import ManualClock, PuppetTarget


class Host:
    """A process with main program functions f, g and module m with h. `files`: name -> function(host) that makes the
    module (a SimpleNamespace as load.py's). `news`: functions called one by one when the follower waits."""

    def __init__(self):
        self.target = PuppetTarget({None: ["f", "g"]}, {"m": ["h"]})
        self.target.breathe = None
        self.log = Log(ManualClock())
        self.engine = Engine(self.target, self.log)
        self.messages = self.outbox = self.joining = self.thread = self.foreign = self.parts = self
        self.connections, self.server = [], self
        self.modules = Modules(self)
        self.follower = Follower(self.engine, self.modules, self)
        self.files, self.news, self.reports, self.called = {}, [], [], []
        self.prints = {}        # sha256 -> text of fingerprints
        self.gone = False
        self.written = None
        self.seq = 0
        self.record = idle()

    # what Follower and Modules ask

    def content(self, entry):
        if entry.get("sha256") in self.prints:
            return self.prints[entry["sha256"]]
        if entry["name"] not in self.files:
            raise KlpError(2, "no content")
        return entry["name"].encode()

    def loader(self):
        return self

    def has_interpreters(self):
        return False

    def load(self, name, data, path, params, log, breathe, enable_patch):
        made = self.files[data.decode()](self)
        if made.new:
            self.target.load(name, made.new)
        return made

    def unload(self, loaded):
        if loaded.new:
            self.target.unload(loaded.name)

    def abandon(self, name):
        pass

    def run(self, what, n, function, *args):
        self.called.append(what)
        try:
            return function(*args)
        except OSError as e:
            raise KlpError(e.errno or 22, str(e))
        except Exception as e:
            raise KlpError(22, str(e))

    def enable_patch(self, patch):
        return enable_patch(self.follower, patch)

    def changed(self):
        pass

    def report(self):
        self.reports.append(self.follower.report())

    def wait(self):
        if not self.news:
            raise AssertionError("waits, and the test has no news")
        self.news.pop(0)()

    def lost(self, change):
        return self.gone

    def journal(self):
        return self.written

    def say(self, text, priority):
        self.log.add(text, priority, "agent")

    def arrived(self):
        self.called.append("arrived")

    # what a test does

    def livepatch(self, name, func="f", obj=None, replace=False, init=None, fails=None, exit=None):
        """A livepatch file of that name, with all callbacks noting themselves in `called`."""
        def make(host):
            def note(what):
                def callback(obj):
                    self.called.append("%s %s %s" % (name, what, obj.shown))
                    if what == fails:
                        raise OSError(5, "no")
                return callback
            cbs = Callbacks(note("pre_patch"), note("post_patch"), note("pre_unpatch"), note("post_unpatch"))
            patch = Patch([Object(obj, [Func(func, lambda: None, fingerprint="fp-" + func)], cbs)], replace=replace)
            default = lambda: self.enable_patch(patch)
            return SimpleNamespace(name=name, livepatch=True, patch=patch, params={}, depends=(), new=None, exit=exit,
                                   init=(lambda: init(patch)) if init else default)
        self.files[name] = make

    def module(self, name="m", functions=("h",), init=None, exit=None):
        def make(host):
            return SimpleNamespace(name=name, livepatch=False, patch=None, params={}, depends=(), new=list(functions),
                                   init=init, exit=exit)
        self.files[name] = make

    def write(self, **fields):
        """The service's next record."""
        self.record = dict(self.record, **fields)
        self.seq += 1
        self.record["seq"] = self.seq
        return self.record

    def tell(self, record):
        self.follower.set_goal(record)

    def run_steps(self):
        """Follow the goal to its end."""
        while self.follower.step():
            pass
        self.follower.mark_followed()
        return self.reports[-1] if self.reports else None

    def follow(self, **fields):
        self.tell(self.write(**fields))
        return self.run_steps()

    def later(self, **fields):
        """News for the time when init() waits: the next record."""
        self.news.append(lambda: self.tell(self.write(**fields)))

    def lines(self):
        return self.log.texts()


def change(n, name, pid=1):
    return {"n": n, "name": name, "sha256": name, "params": {}, "livepatch": False, "replace": False, "pid": pid,
            "path": name + ".py"}


def patch(n, name):
    return {"name": name, "n": n, "sha256": name, "params": {}, "fingerprints": ""}


def module(name, livepatch=True, sha=None):
    return {"name": name, "sha256": sha or name, "params": {}, "livepatch": livepatch, "path": name + ".py", "uses": [],
            "forced": False}


def transition(n, name, dir=1, turn=1, step="start", replace=False, forced=False):
    return {"n": n, "patch": name, "dir": dir, "turn": turn, "step": step, "replace": replace, "forced": forced}


def insmod(host, name, replace=False, finish=True):
    """A whole insmod of a livepatch, clean at once; the record's patches and modules go with it."""
    n = host.seq + 1
    r = host.record
    host.later(change=None, patches=r["patches"] + [patch(n, name)], modules=r["modules"] + [module(name)],
               transition=transition(n, name, replace=replace))
    host.follow(change=change(n, name))
    if finish:
        assert host.follower.look() == []
        host.follow(transition=transition(n, name, step="finish", replace=replace))
        kept = [p for p in host.record["patches"] if p["name"] == name or not replace]
        host.follow(transition=None, patches=kept)
    return n
