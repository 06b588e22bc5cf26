"""The target of an agent: made when it is used, with callbacks that run as foreign code."""
import errno
from types import SimpleNamespace

from klpfs.agent.lazy_target import CPython, LazyTarget
from klpfs.engine.data import Callbacks, Object, Patch
from klpfs.engine.error import KlpError
from klpfs.engine.log import Log


class Foreign:
    """Notes what runs; raises `error`, if it is set, in place of running it."""

    def __init__(self):
        self.ran, self.error = [], None

    def run(self, what, n, function, *args):
        self.ran.append((what, n))
        if self.error:
            raise self.error
        return function(*args)


def made():
    agent = SimpleNamespace(log=Log(lambda: 0), foreign=Foreign(), follower=SimpleNamespace(load=None))
    return LazyTarget(agent, None)


def test_it_is_made_when_it_is_used_first():
    """What comes before that is kept: modules whose body has just ended."""
    target = made()
    target.ripe["m"] = "the module"
    assert target._real is None
    assert target.transition is None and target._real is target.real()
    assert target.real().ripe is target.ripe and target.breathe is target.real().breathe is not None


def test_a_main_program_that_waits_counts_as_not_loaded():
    """Without making the target: most joiners have no patch of it."""
    target = made()
    target.main_waits = True
    assert target.loaded(None) is None and target._real is None
    target.main_waits = False
    assert target.loaded("sys").name == "sys"


def test_callbacks_run_as_foreign_code():
    """Under their names and the number of the load that they belong to; a stop or an error is a negative errno."""
    target = made()
    target.agent.follower.load = SimpleNamespace(n=5)
    obj = Object(None, callbacks=Callbacks(pre_patch=lambda obj: -errno.EXDEV))
    Patch([obj]).name = "lp"
    obj.patch = SimpleNamespace(name="lp")
    assert target.call(obj.callbacks.pre_patch, obj) == -errno.EXDEV
    assert target.call(lambda obj: None, obj) == 0
    target.agent.foreign.error = KlpError(errno.EINTR, "it was stopped")
    assert target.call(obj.callbacks.pre_patch, obj) == -errno.EINTR
    assert target.agent.foreign.ran == [("pre_patch of 'lp'", 5), ("callback of 'lp'", 5), ("pre_patch of 'lp'", 5)]


def test_which_program_is_the_main_one(monkeypatch):
    """`klpfs run` says so in the environment (bytes there)."""
    from klpfs.agent import lazy_target
    for environ, main in (({}, None), ({b"KLPFS_MAIN": b""}, None), ({b"KLPFS_MAIN": b"/srv/app.py"}, "/srv/app.py")):
        monkeypatch.setattr(lazy_target, "environ", environ)
        assert CPython.target(None).main == main


def test_the_parts_are_those_of_klpfs_cpython():
    CPython.prepare()
    assert CPython.loader().__name__ == "klpfs.cpython.load.loader" and not CPython.has_interpreters()
