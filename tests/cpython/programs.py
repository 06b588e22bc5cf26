"""Small programs in three versions, and transitions between them, for the tests of consistency.

`{v}` in a program's source is the version. The functions of version 0 are the program's; those of 1 and 2 are what
livepatches would bring: their code lives in version 0's globals.
"""
import asyncio
import contextlib
import sys
import types

from klpfs.cpython import raw
from klpfs.cpython.images import image
from klpfs.cpython.switch import rules
from klpfs.cpython.switch.dispatcher import Switch
from klpfs.cpython.switch.entry import Entry
from klpfs.cpython.switch.switching import Transition


def make(source, **names):
    """[namespace of version 0, 1, 2]."""
    found = []
    for version in (0, 1, 2):
        space = dict(names, asyncio=asyncio, __name__="app")
        exec(compile(source.replace("{v}", str(version)), "app%d.py" % version, "exec"), space)
        found.append(space)
    return found


def functions(space):
    return {name: f for name, f in space.items() if type(f) is types.FunctionType
            and f.__code__.co_filename.startswith("app")}


def own_code(code, flags=0):
    """A code object equal to `code` that nobody else has, its comprehensions' too: sides are told apart by identity."""
    consts = tuple(own_code(c) if type(c) is types.CodeType and c.co_name in raw.COMPREHENSIONS else c for c in code.co_consts)
    return code.replace(co_consts=consts, co_flags=code.co_flags | flags)


def new_image(function, like=None):
    """The Image that a livepatch's `function` defines, for function objects whose code is `like` (None: any): its code
    object is its own. A generator function made awaitable by types.coroutine carries that as a flag of its code, which
    the new code, written without the decorator, gets as well."""
    flags = (
        like.co_flags & raw.ITERABLE_COROUTINE if like is not None and function.__code__.co_flags & raw.GENERATOR else 0
    )
    captured = image.capture(function)
    return image.Image(own_code(function.__code__, flags), captured.values)


def entry(function, new, older=()):
    """An Entry from what the function holds to the new function's code."""
    return Entry(function, image.capture(function), new_image(new, function.__code__), older)


def transition(old, new, only=None):
    """A Transition of all functions that both namespaces have, not installed."""
    a, b = functions(old), functions(new)
    return Transition([entry(a[name], b[name]) for name in sorted(a) if name in b and (only is None or name in only)])


def back(t):
    """A Transition that takes a finished one back, to the very images that were there."""
    return Transition([Entry(s.function, s.after, s.before) for s in t.switches])


def switch(t, name):
    return next(s for s in t.switches if s.function.__name__ == name)


def watch_choices(s, then):
    """Each choice of a Switch's dispatcher gives what then(function) gives, until the Switch's class is Switch again."""
    class Watched(Switch):
        __slots__ = ()

        def choose(self):
            return then(Switch.choose(self))
    s.__class__ = Watched


def window(s, what):
    """Runs what() once, between the choice of a Switch's dispatcher and the entry into the side."""
    def choose(function):
        s.__class__ = Switch
        what()
        return function
    watch_choices(s, choose)


def try_clean(t):
    return t.look() == []


def done(t, rounds=1000):
    """Looks until nobody is in the way, then finishes. Whether it came to that."""
    for _ in range(rounds):
        if try_clean(t):
            t.finish()
            return True
    return False


def looked(t):
    """The kinds of the Blockers of a look; a transition that has none is finished."""
    kinds = [blocker.kind for blocker in t.look()]
    if not kinds:
        t.finish()
    return kinds


def switched(function, new):
    """The Transition, over, that has given the function the new function's image."""
    t = Transition([entry(function, new)])
    t.install()
    t.start()
    assert done(t)
    return t


@contextlib.contextmanager
def without(*names):
    """The rules that are switched off for a while."""
    rules.BREAK.update(names)
    try:
        yield
    finally:
        rules.BREAK.clear()


def version():
    return "%d.%d" % sys.version_info[:2]
