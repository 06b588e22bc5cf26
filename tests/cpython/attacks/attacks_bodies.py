"""Attacks by module-level code that runs: bodies of modules and classes make functions of old code again."""
import contextlib
import threading

from klpfs.cpython import left_behind
from klpfs.cpython.looks import greenlets as greenlet_looks
from klpfs.cpython.looks import threads as thread_looks
from klpfs.cpython.switch.switching import Transition
from tests.cpython.attacks.attack_kit import attack, no_greenlets, wait
from tests.cpython.programs import done, entry, make

LOOP = '''
def B(): return {v}
for turn in range(2):
    def A(): return ({v}, B())
    got.append(A())
    stop()
'''
CLASS_IN_A_LOOP = '''
def B(): return {v}
for turn in range(2):
    class C:
        def A(self): return ({v}, B())
    A = C.A
    got.append(A(None))
    stop()
'''
LOOP_IN_A_CLASS = '''
def B(): return {v}
class C:
    for turn in range(2):
        def A(self): return ({v}, B())
        globals()["A"] = A
        got.append(A(None))
        stop()
'''
# the functions of the class are yet to be made when its bases are evaluated
BASES = '''
def bases():
    stop()
    return ()
class C(*bases()):
    def A(self): return ({v}, B())
A = C.A
got.append(A(None))
'''
HANDLER = '''
def B(): return {v}
def A(): return ({v}, B())
got.append(A())
for turn in range(2):
    try:
        def A(): return ({v}, B())
    finally:
        if turn:
            got.append(A())
        else:
            stop()
'''

# what the body has made runs when the body is past it
CALLED_AFTER = '''
def B(): return {v}
for turn in range(2):
    def A():
        stop()
        return ({v}, B())
    if not turn:
        stop()
got.append(A())
'''


# what the body has made is suspended when the body is past it
SUSPENDED_AFTER = '''
def B(): return {v}
for turn in range(2):
    def A():
        yield {v}
        yield B()
    if not turn:
        stop()
made = A()
got.append(next(made))
stop()
got += made
'''


class Running:
    """A body that runs in a thread of its own and stands in its first stop(). again: the same code has run before."""

    def __init__(self, text, again=False):
        self.at, self.go, self.got = threading.Event(), threading.Event(), []
        self.names = dict(stop=lambda: None, got=self.got, __name__="app")
        code = compile(text.replace("{v}", "0"), "app0.py", "exec")
        if again:
            exec("def B(): return 0", self.names)
            exec(code, self.names)
        self.names["stop"] = self.stop
        self.thread = threading.Thread(target=exec, args=(code, self.names))
        self.thread.start()
        wait(self.at)

    def stop(self):
        self.at.set()
        assert self.go.wait(10)

    def let_go(self):
        self.go.set()
        self.thread.join()


def made_again(text, again=False):
    """A body that makes A again keeps old A from new B."""
    body = Running(text, again)
    new = make("def B(): return {v}\nclass C:\n def A(self=None): return ({v}, B())\ndef A(): pass")[1]
    t = Transition([entry(body.names["A"], new["C"].A), entry(body.names["B"], new["B"])])
    t.install()
    t.start()
    clean = done(t, 1)
    body.let_go()
    return not clean and body.got == [(0, 0), (0, 0)] and done(t) and body.names["B"]() == 1


@attack("again")
def module_body_makes_a_function_again():
    """The body of a module, in a loop around a definition: what it makes has old code, whatever was patched."""
    return made_again(LOOP)


@attack("again")
def module_body_makes_a_class_again():
    """The definition lies in a class, whose body is a constant of the module's."""
    return made_again(CLASS_IN_A_LOOP)


@attack("again")
def class_body_makes_a_function_again():
    """The loop is in the class: its body's own frame will make the function again, the module's will not."""
    return made_again(LOOP_IN_A_CLASS)


@attack("again")
def class_body_is_yet_to_run():
    """The class's bases are evaluated when its body's function was made and not called."""
    return made_again(BASES, True)


@attack("again")
def module_body_leaves_a_handler():
    """The way back to the definition leads through a `finally`."""
    return made_again(HANDLER)


@attack("again")
def body_in_a_suspended_greenlet():
    """The body is in a greenlet that somebody else's has taken the place of, as a program's main greenlet is while an
    event loop runs."""
    import greenlet
    got, d = [], make("def B(): return {v}\ndef A(): return ({v}, B())")
    here = greenlet.getcurrent()
    names = dict(got=got, stop=lambda: here.switch(), __name__="app")
    code = compile(LOOP.replace("{v}", "0"), "app0.py", "exec")
    body = greenlet.greenlet(lambda: exec(code, names))
    body.switch()
    t = Transition([entry(names[name], d[1][name]) for name in "AB"])
    t.install()
    t.start()
    clean = done(t, 1)
    body.switch()
    body.switch()
    return not clean and got == [(0, 0), (0, 0)] and done(t) and names["B"]() == 1


@contextlib.contextmanager
def before_places(looks, meanwhile):
    """What happens, once, between a look that has found a stack clean and the look at where its codes stand."""
    real, left = looks.places, [meanwhile]

    def places(*wanted):
        if left:
            left.pop()()
        return real(*wanted)
    looks.places = places
    try:
        yield
    finally:
        looks.places = real


@attack("again")
def body_goes_on_in_the_middle_of_a_look():
    """Its stack is clean while the definition is ahead; where it stands is behind it when the old function is on the
    stack."""
    body = Running(CALLED_AFTER)
    inside, go = threading.Event(), threading.Event()

    def stop():
        inside.set()
        assert go.wait(10)

    def on():
        body.names["stop"] = stop
        body.go.set()
        wait(inside)
    new = make("def B(): return {v}\ndef A(): return ({v}, B())")[1]
    t = Transition([entry(body.names[name], new[name]) for name in "AB"])
    t.install()
    t.start()
    with no_greenlets(), before_places(thread_looks, on):
        clean = done(t, 1)
    go.set()
    body.let_go()
    return not clean and body.got == [(0, 0)] and done(t) and body.names["B"]() == 1


@attack("again")
def body_in_a_greenlet_goes_on_in_the_middle_of_a_look():
    """As in a thread."""
    import greenlet
    got, new = [], make("def B(): return {v}\ndef A(): return ({v}, B())")[1]
    here = greenlet.getcurrent()
    names = dict(got=got, stop=lambda: here.switch(), __name__="app")
    code = compile(CALLED_AFTER.replace("{v}", "0"), "app0.py", "exec")
    body = greenlet.greenlet(lambda: exec(code, names))
    body.switch()
    t = Transition([entry(names[name], new[name]) for name in "AB"])
    t.install()
    t.start()
    with before_places(greenlet_looks, body.switch):
        clean = done(t, 1)
    while not body.dead:
        body.switch()
    return not clean and got == [(0, 0)] and done(t) and names["B"]() == 1


@attack()
def body_in_a_greenlet_suspends_a_generator_in_the_middle_of_a_look():
    """In a child that was forked beside threads, where no references are counted."""
    import greenlet
    got, new = [], make("def B(): return {v}\ndef A():\n yield {v}\n yield B()")[1]
    here = greenlet.getcurrent()
    names = dict(got=got, stop=lambda: here.switch(), __name__="app")
    body = greenlet.greenlet(lambda: exec(compile(SUSPENDED_AFTER.replace("{v}", "0"), "app0.py", "exec"), names))
    body.switch()
    t = Transition([entry(names[name], new[name]) for name in "AB"])
    t.install()
    t.start()
    are_here, left_behind.are_here = left_behind.are_here, lambda: True
    try:
        with before_places(greenlet_looks, body.switch):
            clean = done(t, 1)
    finally:
        left_behind.are_here = are_here
    body.switch()
    return body.dead and not clean and got == [0, 0] and done(t) and names["B"]() == 1
