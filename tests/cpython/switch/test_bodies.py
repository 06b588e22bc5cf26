"""Module-level code on stacks: what it will make again, told by where it stands."""
import gc
import threading
import weakref

import pytest

from klpfs.cpython.images import image
from klpfs.cpython.looks import threads as thread_looks
from klpfs.cpython.switch import bodies as bodies_module
from klpfs.cpython.switch.entry import Entry
from klpfs.cpython.switch.switching import Transition
from tests.cpython.programs import done, entry, make, own_code

# for a test that hangs, no measure of speed: with greenlets about each look searches the heap, large in a whole run
WAIT_S = 600


@pytest.fixture
def bodies():
    """bodies(text): the names of a body that runs in a thread of its own and stands in its first stop(); go() lets
    it come to the next. All end with the test."""
    threads = []

    def run(text):
        at, go, end = threading.Semaphore(0), threading.Semaphore(0), []

        def stop():
            at.release()
            assert go.acquire(timeout=WAIT_S)
            if end:
                raise SystemExit

        def on():
            go.release()
            assert at.acquire(timeout=WAIT_S)

        def execute(space):
            try:
                exec(compile(text, "app0.py", "exec"), space)
            except SystemExit:
                pass
        space = dict(stop=stop, go=on, __name__="app")
        threads.append((threading.Thread(target=execute, args=(space,)), end, go))
        threads[-1][0].start()
        assert at.acquire(timeout=WAIT_S)
        return space
    def end_all():
        for thread, end, go in threads:
            end.append(1)
            go.release()
            thread.join(WAIT_S)
        threads.clear()
    run.end = end_all
    yield run
    end_all()


NEW = "def f(*a): return 1\nclass C:\n def m(self): return 1\n"


def started(*functions, older=()):
    """A started transition of these functions to new ones."""
    new = make(NEW)[1]["f"]
    t = Transition([entry(function, new, older) for function in functions])
    t.install()
    t.start()
    return t


LOOPED = "for i in range(2):\n "
MAY = {
    "for": LOOPED + "def f(): return 0\n stop()",
    "while true": "while True:\n def f(): return 0\n stop()",
    "lambda": LOOPED + "f = lambda: 0\n stop()",
    "decorated": "def held(g):\n global f\n f = g\n stop()\n" + LOOPED + "@held\n def f(): return 0",
    "class": LOOPED + "class C:\n  def f(self): return 0\n f = C.f\n stop()",
    "class in a class": LOOPED + "class C:\n  class D:\n   def f(self): return 0\n f = C.D.f\n stop()",
    "in the class's loop": "class C:\n for i in range(2):\n  def f(self): return 0\n  globals()['f'] = f\n  stop()",
    "handler": LOOPED + "try:\n  def f(): return 0\n  stop()\n finally:\n  x = 1",
    "comprehension": LOOPED + "f = [(lambda: 0) for x in (1,)][0]\n stop()",
    "around": "for i in range(2):\n for j in range(2):\n  def f(): return 0\n while not i:\n  stop()",
}
MAY_NOT = {
    "above the loop": "def f(): return 0\nwhile True:\n stop()",
    "the last loop is over": LOOPED + "def f(): return 0\nstop()",
    "if main": "def f(): return 0\nif __name__ == 'app':\n while True:\n  try:\n   stop()\n  except OSError: pass",
    "imports that failed": "try:\n import no_such\nexcept ImportError:\n x = 1\ndef f(): return 0\nwhile True: stop()",
    "the other way": "if __name__ == 'app':\n def f(): return 0\nelse:\n def f(): return 1\nwhile True: stop()",
    "with": "import contextlib\ndef f(): return 0\nwith contextlib.suppress(OSError):\n while True: stop()",
    "in a class's body": "class C:\n def f(self): return 0\n globals()['f'] = f\n while True: stop()",
    "in a class's keyword": "def f(): return 0\nclass C(object, **(stop() or {})):\n def g(self): return f()",
    "left by break": "while True:\n def f(): return 0\n break\nwhile True: stop()",
    "called by a function": "def f(): return 0\ndef main():\n while True: stop()\nmain()",
}


@pytest.mark.parametrize("text", MAY.values(), ids=MAY)
def test_a_body_that_may_make_it_again_is_in_the_way(bodies, text):
    t = started(bodies(text)["f"])
    blocker, = t.look()
    assert blocker.kind == "thread" and " will make " in blocker.name and blocker.name.endswith(" again")
    t.force()
    t.finish()


@pytest.mark.parametrize("text", MAY_NOT.values(), ids=MAY_NOT)
def test_a_body_with_its_definitions_behind_it_is_not(bodies, text):
    t = started(bodies(text)["f"])
    assert t.look() == [] and done(t)


def test_a_body_is_past_after_its_last_time_around(bodies):
    space = bodies(LOOPED + "def f(): return 0\n stop()\nstop()")
    t = started(space["f"])
    assert t.look()
    space["go"]()
    assert t.look()         # conditions are not judged
    space["go"]()
    assert t.look() == [] and done(t)


def test_the_side_that_is_not_the_goal_is_what_must_not_be_made(bodies):
    """A patch that is taken out: the body makes what is led to. Reversed: not."""
    space = bodies(LOOPED + "def f(): return 0\n stop()")
    original, function = space["f"].__code__, space["f"]
    function.__code__ = own_code(make(NEW)[2]["f"].__code__)
    new = make(NEW)[1]["f"]
    new.__code__ = original
    t = Transition([Entry(function, image.capture(function), image.capture(new))])
    t.install()
    t.start()
    assert t.look() == []
    t.reverse()
    assert t.look()[0].name.endswith("will make f again")
    t.reverse()
    assert t.look() == [] and done(t)


def test_older_code_counts_too(bodies):
    """The original, below two patches."""
    space = bodies(LOOPED + "def f(): return 0\n stop()")
    original = space["f"].__code__
    space["f"].__code__ = own_code(make(NEW)[2]["f"].__code__)
    assert started(space["f"], older=[original]).look()[0].name.endswith("will make f again")


def test_words_say_where_and_name_three(bodies):
    names = "abcde"
    text = LOOPED + "\n ".join("def %s(): return 0" % name for name in names) + "\n stop()"
    space = bodies(text)
    t = started(*[space[name] for name in names])
    blocker, = t.look()
    assert blocker.name.partition(": ")[2] == "app0.py:7 <module> will make a, b, c and 2 more again"
    assert [frame for frame in blocker.frames if frame.startswith("app0.py:7 <module>")]
    t.force()
    t.finish()


def test_words_name_what_is_ahead_only(bodies):
    text = "def a(): return 0\nfor i in range(2):\n def b(): return 0\n stop()"
    space = bodies(text)
    t = started(space["a"], space["b"])
    assert t.look()[0].name.endswith("<module> will make b again")
    t.force()
    t.finish()


def test_force_passes_over_it(bodies):
    t = started(bodies(MAY["for"])["f"])
    assert t.look()
    t.force()
    assert t.look() == [] and t.clean


def test_functions_that_join_are_asked_for_as_well(bodies):
    """What was found about a stack before the transition had them does not count."""
    space = bodies("def g(): return 0\n" + LOOPED + "def f(): return 0\n stop()")
    t = started(space["g"])
    assert t.rounds.look() == []
    t.add([entry(space["f"], make(NEW)[1]["f"])])
    assert t.look()[0].name.endswith("will make f again")


def test_no_code_with_old_code_in_it_is_kept(bodies):
    """A body's code goes with it, though a look has seen it."""
    space = bodies(LOOPED + "def f(): return 0\n stop()")
    code, = [code for _, lines in thread_looks.lines(tuple(thread_looks.idents())) for code, _ in lines
             if code.co_filename == "app0.py" and code.co_name == "<module>"]
    reference = weakref.ref(code)
    del code
    t = started(space["f"])
    assert t.look()
    bodies.end()
    gc.collect()
    assert reference() is None
    t.force()
    t.finish()


def test_fresh_code_that_a_program_executes_is_not_kept_without_bound(bodies, monkeypatch):
    monkeypatch.setattr(bodies_module, "PLAIN", 5)
    t = started(bodies(MAY["for"])["f"])
    references = []
    for _ in range(30):
        space = {}
        exec("def fresh(look): look()", space)
        references.append(weakref.ref(space["fresh"].__code__))
        thread = threading.Thread(target=space.pop("fresh"), args=(t.look,))
        thread.start()
        thread.join(WAIT_S)
        t.reverse()     # all stacks are asked again, as with greenlets about
    del thread
    gc.collect()
    assert len([r for r in references if r() is not None]) <= 10 and t.look()
    t.force()
    t.finish()


def test_a_stack_is_looked_at_once_more_only_where_a_body_is(bodies, monkeypatch):
    """Threads that run functions alone cost one C call each slice: their codes are known after the first."""
    space = make("def f(): return {v}")
    at, go = threading.Semaphore(0), threading.Event()

    def wait():
        at.release()
        go.wait(WAIT_S)
    threads = [threading.Thread(target=wait) for _ in range(60)]
    for thread in threads:
        thread.start()
        assert at.acquire(timeout=WAIT_S)
    asked = []
    real = thread_looks.places
    monkeypatch.setattr(thread_looks, "places", lambda idents: asked.extend(idents) or real(idents))
    t = started(space[0]["f"])
    assert t.look() == []
    go.set()
    for thread in threads:
        thread.join(WAIT_S)
    assert len(asked) <= 5 + 1      # the first slice's, and the main thread
    assert done(t)
