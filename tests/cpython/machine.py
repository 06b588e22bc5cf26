"""A program with an engine: what the tests of the target and of its transitions share."""
import errno
import threading

import pytest

from klpfs.cpython.load import loader as loading
from klpfs.engine.core import Engine
from klpfs.engine.error import KlpError
from tests.programs import Program


class Machine(Program):
    """A program with an engine."""

    def __init__(self, folder):
        Program.__init__(self, folder)
        self.engine = Engine(self.target, self.log)

    def enable(self, text, name=None):
        """insmod up to the start of the transition; returns the LoadedModule."""
        found = self.load(text, name=name)
        try:
            self.engine.enable(found.patch, found.name)
        except KlpError:
            loading.unload(found)
            raise
        self.engine.start()
        return found

    def settle(self):
        blockers = self.engine.look()
        assert blockers == [], blockers
        self.engine.finish()

    def insmod(self, text, name=None):
        found = self.enable(text, name)
        self.settle()
        return found

    def disable(self, found):
        self.engine.disable(found.patch)
        self.settle()

    def refuses(self, text):
        with pytest.raises(KlpError) as caught:
            self.enable(text)
        return errno.errorcode[caught.value.errno]


def one(module, *pairs, **more):
    """The `patch = ...` line for functions of one module; pairs: 'old' or 'old=new'."""
    funcs = ", ".join("Func(%r, %s)" % (each.partition("=")[0], each.partition("=")[2] or each) for each in pairs)
    return "\npatch = Patch([Object(%r, [%s])]%s)" % (
        module.__name__, funcs, "".join(", %s=%r" % item for item in more.items()))


class Held:
    """A thread inside a function of the program, until it is let go."""

    def __init__(self, function, *args):
        self.inside, self.go, self.result = threading.Event(), threading.Event(), None
        self.thread = threading.Thread(target=self._run, args=(function, args))
        self.thread.start()
        assert self.inside.wait(30)

    def _run(self, function, args):
        self.result = function(self, *args)

    def stop(self):
        self.inside.set()
        self.go.wait(30)

    def let_go(self):
        self.go.set()
        self.thread.join(30)
        return self.result


PAIR = """
    def a(): return 'a0' + b()
    def b(): return 'b0'
    def hold(held):
        held.stop()
        return a() + b()
"""


NEST = """
    def b(): return 'b0'
    def make(n, k=1):
        class C:
            def m(self): return ('m0', n)
        def mid():
            def deep(x=k): return ('deep0', n, x, b())
            return deep
        def h(): return ('h0', n, b())
        return h, mid, C
    made = [make(1), make(2)]
"""


def insmod_module(machine, name):
    """An ordinary module, as the agent loads one."""
    found = machine.load("def t(): return 't0'\ndef u(): return 'u0'", name=name, head="")
    machine.engine.coming(name)
    return found


def rmmod_module(machine, found):
    machine.engine.going(found.name)
    loading.unload(found)
