"""A way in which Python code begins on a stack that is not its caller's doing: the decorator `way` makes one of a function
and puts it into WAYS. ways.py has them all.
"""
import contextlib
import itertools
import threading

WAYS = {}
FAULTS = []                             # the stress's list of mixed calls
ONE_AT_A_TIME = threading.RLock()       # for what is the process's: hooks, registries
get_ident = threading.get_ident
depth_here, numbers = threading.local(), itertools.count()


class Way:
    """function(callback). main: in the main thread alone. rare: what costs milliseconds, or blocks a transition."""

    def __init__(self, function, main, rare):
        self.function, self.main, self.rare = function, main, rare
        self.name = function.__name__.strip("_")
        self.times = 0

    def __call__(self, callback):
        """Counted without a lock: roughly. A way in a way is the last: hooks that are in place would find themselves.
        Another thread's stack is not the caller's, nor is a later one: what a way has made can be garbage that the
        collector finds, in whatever thread that is; the callback is a lambda of a frame that is long gone by then."""
        ident, over = get_ident(), []

        def counting(*args, **more):
            if get_ident() == ident and not over:
                self.times += 1
                callback()
        depth = getattr(depth_here, "n", 0)
        if depth > 1:
            return callback()
        depth_here.n = depth + 1
        try:
            self.function(counting)
        finally:
            over.append(True)
            depth_here.n = depth


def way(main=False, rare=False, where=True):
    def note(function):
        if where:
            made = Way(function, main, rare)
            WAYS[made.name] = made
        return function
    return note


class Calls:
    """An object whose methods of all kinds call the callback."""

    def __init__(self, callback):
        self.callback = callback

    def _call(self, *args):
        self.callback()


def calling(name, result, base=object):
    """A class with one special method, which calls the callback and returns the result."""
    def method(self, *args):
        self.callback()
        return result(self, *args) if callable(result) else result
    return type("Calling" + name, (base,), {name: method})


class Ends:
    def __init__(self, callback):
        self.callback, self.ident = callback, get_ident()

    def __del__(self):
        if get_ident() == self.ident:
            self.callback()


@contextlib.contextmanager
def replaced(module, name, value):
    with ONE_AT_A_TIME:
        was = getattr(module, name)
        setattr(module, name, value)
        try:
            yield
        finally:
            setattr(module, name, was)


def in_this_thread(callback):
    ident = get_ident()
    return lambda *args, **more: callback() if get_ident() == ident else None
