"""What the tests of the engine share: patches written in one line, an engine over a puppet target."""
import pytest

from klpfs import KlpError
from klpfs.engine.core import Engine
from klpfs.engine.data import Callbacks, Func, Object, Patch
from klpfs.engine.log import Log
from klpfs.testing import ManualClock, PuppetTarget

KINDS = ("pre_patch", "post_patch", "pre_unpatch", "post_unpatch")
MAIN = None


def new_code():
    """Stands for every new function: the puppet target does not look at it."""


def take_outcome(engine, patch, dir, name=None, running=True):
    """A process that had no part in a transition takes its outcome, as agent/follower.py does: by join_apply and
    drop."""
    if not dir:
        if patch in engine.patches:
            engine.drop(patch, running)
        return
    older = [each for each in engine.patches if each is not patch] if patch.replace else []
    try:
        if patch not in engine.patches:
            engine.join_apply(patch, name, len(engine.patches), running)
    finally:
        for each in older:
            engine.drop(each, running)


def refused(code, attempt, *args, **kwargs):
    """The KlpError, of this errno, that attempt(...) raises."""
    with pytest.raises(KlpError) as caught:
        attempt(*args, **kwargs)
    assert caught.value.errno == code, caught.value
    return caught.value


def clean(kit):
    """Nothing of any patch is there."""
    assert kit.engine.patches == [] and kit.engine.transition is None and kit.engine.stacks.table == {}
    assert kit.target.live == [] and not any(kit.target.image.values()) and kit.target.transition is None
    return True


class Kit:
    """engine, target, log, and shortcuts over them."""

    def __init__(self, **modules):
        """modules: functions of each; `vmlinux` is the main program."""
        self.target = PuppetTarget({MAIN if name == "vmlinux" else name: functions
                                    for name, functions in modules.items()})
        self.log = Log(ManualClock())
        self.engine = Engine(self.target, self.log)
        self.do = {}  # (patch, kind, object) -> what a callback does: called with the Object, its result is returned

    def patch(self, _name, replace=False, states=(), callbacks=True, **objects):
        """A Patch whose callbacks log "NAME: KIND OBJECT", as the kernel's test modules do."""
        return Patch([Object(MAIN if name == "vmlinux" else name, [Func(each, new_code) for each in functions],
                             self.callbacks(_name) if callbacks else None)
                      for name, functions in objects.items()], replace, states)

    def callbacks(self, name):
        def make(kind):
            def callback(obj):
                self.log.add("%s: %s %s" % (name, kind, obj.shown), kind="module")
                return self.do.get((name, kind, obj.shown), lambda obj: 0)(obj)
            return callback
        return Callbacks(*[make(kind) for kind in KINDS])

    def finish(self):
        assert self.engine.look() == []
        self.engine.finish()

    def load(self, _name, _patch=None, **objects):
        """insmod, and the transition to its end."""
        patch = _patch or self.patch(_name, **objects)
        self.engine.enable(patch, _name)
        self.engine.start()
        self.finish()
        return patch

    def unload(self, patch):
        self.engine.disable(patch)
        self.finish()

    def come(self, name, functions=None, **more):
        """Imports a module."""
        self.target.load(name, functions)
        try:
            self.engine.coming(name, **more)
        except OSError:
            self.target.unload(name)
            raise
        self.target.mods[name].state = "LIVE"

    def go(self, name):
        self.engine.going(name)
        self.target.unload(name)

    def lines(self):
        """The log's new lines, without "livepatch: "."""
        texts = [text[11:] if text.startswith("livepatch: ") else text for text in self.log.texts()]
        self.log.records.clear()
        return texts

    def tree(self):
        """{patch: {object: functions}} as describe() tells it."""
        return {d["name"]: {o["name"]: [line for line in o["funcs"].split("\n") if line] for o in d["objects"]}
                for d in self.engine.describe()}
