"""Attacks with a throw() or close() of the program's own objects, to which an old object hands on: methods of every
kind, and functions that only have that name."""
import _thread
import sys
import threading

from tests.cpython.attacks.attack_kit import attack, wait
from tests.cpython.programs import done, make, transition

SOURCE = """
def generator(waits_for, row):
 row.append({v})
 try: yield from waits_for
 finally: row.append(f())
def calls(function): return [{v}, function(), {v}]
def close(self, *more): self.row.append({v})
def throw(self, *more): return self.row.append({v}) or 1
def f(): return {v}
"""


class Iterable:
    def __iter__(self):
        return self

    def __next__(self):
        return 1


class Program:
    """A program in which an old generator waits for an object of the given class, and what came of it."""

    def __init__(self, kind, *arguments):
        self.d, self.row = make(SOURCE), []
        self.waits_for = kind(*arguments)
        self.waits_for.row, self.waits_for.f = self.row, lambda: self.row.append(self.d[0]["f"]())
        self.old = self.d[0]["generator"](self.waits_for, self.row)
        next(self.old)
        self.t = transition(self.d[0], self.d[1])

    def begin(self):
        self.t.install()
        self.t.start()

    def right(self):
        self.old = None
        return self.row == [0, 0, 0] and done(self.t)


class ChangesSelf(Iterable):
    def close(self):
        f, self = self.f, None
        f()


class ForgetsSelf(Iterable):
    def close(self):
        f = self.f
        (lambda: self)      # noqa: F821
        del self
        f()


class Swaps(Iterable):
    def close(self, other=None):
        other, self = self, ChangesSelf()
        other.f()


class TakesAll(Iterable):
    def close(*all):
        all[0].f()


class OfTheClass(Iterable):
    f = None

    @classmethod
    def close(cls):
        cls.function()


class Static(Iterable):
    @staticmethod
    def close(more=None):
        OfTheClass.function()


class InTheInstance(Iterable):
    def __init__(self):
        def close(more=1):
            self.f()
        self.close = close


class HandsOutAnothers(Iterable):
    def __init__(self):
        self.__dict__["inner"] = ChangesSelf()

    def __getattr__(self, name):
        if name == "close":
            self.inner.f = self.f
        return getattr(self.inner, name)


class Wraps(Iterable):
    def close(self):
        self.f()
    close = (lambda close: lambda self: close(self))(close)


class Overrides(ChangesSelf):
    """Its instance has the attribute as well."""

    def __init__(self):
        def close(more=1):
            self.f()
        self.close = close


class AnswersItself(ChangesSelf):
    def __getattribute__(self, name):
        if name != "close":
            return object.__getattribute__(self, name)
        f = self.f

        def close():
            f()
        return close


class WrapsAndForgets(Iterable):
    def close(*all):
        f, all = all[0].f, ()
        f()
    close = (lambda close: lambda self: close(self))(close)


KINDS = Overrides, AnswersItself, WrapsAndForgets, ChangesSelf, ForgetsSelf, Swaps, TakesAll, OfTheClass, Static, InTheInstance, HandsOutAnothers, Wraps


@attack("delegation")
def methods_of_every_kind_are_handed_on_to():
    """Whatever has become of the first argument, and of whatever kind the attribute is."""
    for kind in KINDS:
        p = Program(kind)
        OfTheClass.function = staticmethod(p.waits_for.f)
        p.begin()
        p.old.close()
        if not p.right():
            return False
    return True


@attack("delegation")
def method_that_is_handed_on_to_is_itself_in_transition():
    for name in "close", "throw":
        p = Program(Iterable)
        setattr(Iterable, name, p.d[0][name])
        p.begin()
        try:
            if name == "close":
                p.old.close()
            else:
                p.old.throw(KeyError())
        finally:
            delattr(Iterable, name)
        if not p.right():
            return False
    return True


class Stops(Iterable):
    """An object whose close() takes until a test goes on."""

    def __init__(self):
        self.inside, self.go = threading.Event(), threading.Event()

    def close(self):
        self.inside.set()
        self.go.wait(10)


def named_close(text, f):
    space = {"f": f}
    exec(text, space)
    return space["close"]


@attack("whose")
def function_has_only_the_name():
    """New code calls functions that have the name, while an old object hands close() on in another thread."""
    for text in ("def close(): return f()", "def close(connection=None): return f()", "def close(*all): return f()",
                 "def close(self=5):\n del self\n return f()"):
        p = Program(Stops)
        p.begin()
        thread = threading.Thread(target=p.old.close)
        thread.start()
        wait(p.waits_for.inside)
        found = p.d[0]["calls"](named_close(text, p.d[0]["f"]))
        p.waits_for.go.set()
        thread.join()
        if found != [1, 1, 1] or p.row != [0, 0]:
            return False
        p.old = None
        if not done(p.t):
            return False
    return True


@attack(*["whose"] if sys.version_info >= (3, 14) else [])        # before, a frame in __next__() looks as if it ran
def generator_at_the_bottom_of_a_thread_waits_for_what_is_closed():
    """Its frame has none below it, for it is a thread's first; so it hands nothing on."""
    class Blocks(Iterable):
        def __init__(self):
            self.steps, self.inside, self.go = 0, threading.Event(), threading.Event()

        def __next__(self):
            self.steps += 1
            if self.steps > 1:
                self.inside.set()
                self.go.wait(10)
                raise StopIteration
            return 1

        def close(self):
            return self.f()
    p = Program(Blocks)
    p.waits_for.f = p.d[0]["f"]
    _thread.start_new_thread(next, (p.old, None))
    wait(p.waits_for.inside)
    p.begin()
    found = p.d[0]["calls"](p.waits_for.close)
    p.waits_for.go.set()
    while p.old.gi_running:
        pass
    p.old = None
    return found == [1, 1, 1] and done(p.t)


@attack("whose")
def greenlet_hands_on_meanwhile():
    """Its stack is no thread's: new code calls a function of that name in another greenlet."""
    import greenlet
    main = greenlet.getcurrent()

    class Switches(Iterable):
        def close(self):
            main.switch()
    p = Program(Switches)
    p.begin()
    closes = greenlet.greenlet(p.old.close)
    closes.switch()
    found = p.d[0]["calls"](named_close("def close(): return f()", p.d[0]["f"]))
    closes.switch()
    p.old = None
    return found == [1, 1, 1] and p.row == [0, 0] and done(p.t)
