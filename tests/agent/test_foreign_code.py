"""What is made of foreign code: locks, errors, stops."""
import errno
import functools
import operator
import pathlib
import subprocess
import sys
import threading

import pytest

from klpfs.agent import foreign_code
from klpfs.agent.foreign_code import place_of
from klpfs.agent.waiting import OwnedLock
from klpfs.engine.error import KlpError
from tests.agent.clocked import Clocked


@pytest.fixture
def w(monkeypatch):
    return Clocked(monkeypatch)


def code_of_klpfs(text):
    """A function as if it were klpfs's own."""
    return functools.partial(exec, compile(text, foreign_code.__file__, "exec"), {"KlpError": KlpError})


def run_foreign(w, function):
    w.thread.lock.acquire()
    try:
        return w.foreign.run("f", 1, function)
    finally:
        assert w.thread.lock.locked() and w.foreign.working is None
        w.thread.lock.release()


def test_no_lock_is_held_while_foreign_code_runs(w):
    seen = run_foreign(w, lambda: (w.thread.lock.locked(), w.foreign.inside, w.foreign.working["what"]))
    assert seen == (False, True, "f") and not w.foreign.inside


def test_an_error_that_was_logged_is_not_logged_again(w):
    told = code_of_klpfs("raise KlpError(17, 'said already')")
    with pytest.raises(KlpError) as e:
        run_foreign(w, told)
    assert e.value.errno == 17 and not w.said
    def untold():
        raise ValueError("two\nlines")
    with pytest.raises(KlpError) as e:
        run_foreign(w, untold)
    assert e.value.errno == 22 and len(w.said) == 1 and "\n" not in w.said[0] and "test_foreign_code.py:" in w.said[0]


def test_klpfs_own_code_in_foreign_code_has_the_lock(w):
    """enable_patch() within init(): the lock, and nothing that could interrupt it."""
    seen = run_foreign(w, lambda: w.foreign.own(lambda: (w.thread.lock.locked(), w.foreign.inside, w.foreign.working)))
    assert seen == (True, False, None)


def test_a_shielded_function_is_not_interrupted(w):
    """pr_info() within init(): without the lock. In any other thread it is just called."""
    w.thread.ident = foreign_code.get_ident()
    assert run_foreign(w, lambda: w.foreign.shield(lambda: (w.thread.lock.locked(),
                                                            w.foreign.inside))) == (False, False)
    w.thread.ident = 0
    assert run_foreign(w, lambda: w.foreign.shield(lambda: w.foreign.inside)) is True


def test_a_stop_that_comes_too_late_is_taken_back(w):
    """Asked for while foreign code ends: it never reaches klpfs's own code, nor the next foreign code."""
    w.thread.ident = foreign_code.get_ident()
    def ends():
        w.foreign.interrupt(1)
    with pytest.raises(KlpError):
        run_foreign(w, lambda: (ends(), sum(range(10 ** 6))))
    for _ in range(1000):
        pass
    assert run_foreign(w, lambda: 5) == 5


def test_what_belongs_to_another_operation_is_not_stopped(w):
    w.thread.ident = foreign_code.get_ident()
    w.foreign.interrupt(1)
    assert (
        run_foreign(w, lambda: (w.foreign.interrupt(2), sum(range(10**5)))[1]) == sum(range(10**5))
        and not w.foreign._asked
    )


def test_the_place_of_an_error_is_the_foreign_codes():
    """The innermost frame that is not klpfs's own; of a SyntaxError, where it was found."""
    try:
        _ = KlpError(22).nothing
    except AttributeError as error:
        assert place_of(error).startswith(__file__ + ":")
    try:
        compile("x = (", "/x/lp.py", "exec")
    except SyntaxError as error:
        assert place_of(error) == "/x/lp.py:1"
    assert place_of(ValueError()) == ""


STOPPED = """
from types import SimpleNamespace
from klpfs.agent.agent_thread import AgentThread
from klpfs.agent.foreign_code import ForeignCode, get_ident
from klpfs.engine.error import KlpError
import sys
import threading
thread = AgentThread(SimpleNamespace(own_tids=set()))
thread.ident = get_ident()
foreign = ForeignCode(thread, lambda text, priority: None)
thread.lock.acquire()
try:
    foreign.run("f", 1, lambda: (foreign.interrupt(1), sum(range(10 ** 6))))
except KlpError:
    print("stopped")
def traced(n):
    return sum(range(n))
sys.settrace(lambda *args: None)
print(traced(3))
"""


def test_a_stop_leaves_nothing_pending_in_the_interpreter():
    """On CPython 3.11 a traced function would never get past its first instruction, on others calls would be slower for
    good."""
    said = subprocess.run([sys.executable, "-c", STOPPED], capture_output=True, text=True, timeout=30,
                          cwd=pathlib.Path(foreign_code.__file__).parents[2])
    assert said.stdout.split() == ["stopped", "3"], said.stderr


# ---- in an agent, over its socket

@pytest.mark.parametrize("text, expected, said", [
    ("1/0", errno.EINVAL, "/x/lp.py:1: ZeroDivisionError"),
    ("def init():\n  raise OSError(28, 'full')", errno.ENOSPC, "/x/lp.py:2: "),
    ("def init():\n  return -12", errno.ENOMEM, ""),
    ("x = (", errno.EINVAL, "/x/lp.py:1: SyntaxError"),
    ("import sys\nsys.exit(3)", errno.EINVAL, "/x/lp.py:2: SystemExit"),
    ("class E(Exception):\n  def __str__(self): 1/0\nraise E", errno.EINVAL, "/x/lp.py:3: E"),
])
def test_errors_of_foreign_code(agent, c, text, expected, said):
    """EINVAL or its own errno, and one log line with the place; nothing is left."""
    n = c.change("lp", text)
    c.until(lambda c: (c.report.get("refused") or {}).get("n") == n)
    assert c.report["refused"]["errno"] == expected
    assert sum("failed" in line for line in c.lines) == int(bool(said)) and any(said in line for line in c.lines + [""])
    assert not agent.modules.all()


def test_a_raising_exit_is_logged_and_the_module_goes(agent, c):
    n = c.change("m", "def exit():\n  raise ValueError('no')")
    c.until(lambda c: (c.report.get("prepared") or {}).get("n") == n)
    c.write(change=None, modules=[{"name": "m", "sha256": "x", "params": {}, "livepatch": False, "path": "", "uses": [], "forced": False}])
    c.write(modules=[])
    c.until_report(seen=c.record["seq"])
    c.until_line("exit of 'm' failed at /x/m.py:2: ValueError: no")
    assert not agent.modules.all()


def test_init_that_catches_the_stop_is_asked_again(agent, c):
    c.change("lp", "patch = lp\ndef init():\n  for i in range(3):\n    try:\n      while True: pass\n    except BaseException: pass")
    c.until_report(phase="loading")
    c.write(change=None)
    c.until_report(seen=c.record["seq"])
    assert not agent.modules.all() and not agent.engine.patches


def test_init_that_hangs_in_c_stays_a_named_blocker(agent, c):
    """A lock that nobody gives back can't be interrupted: named, and everything else is answered."""
    agent.parts.shared["lock"] = lock = threading.Lock()
    lock.acquire()
    c.change("lp", "patch = lp\ndef init():\n  shared['lock'].acquire()")
    c.until(lambda c: c.report.get("working"))
    c.write(change=None)
    c.until(lambda c: agent.foreign._asked, "the request to stop")
    assert c.ask("blockers")[0]["kind"] == "working" and c.ask("status")["seen"] < c.record["seq"]
    lock.release()
    c.until_report(seen=c.record["seq"])
    assert not agent.modules.all()


@pytest.fixture
def here(w):
    """The test's thread is the agent's, so a stop that is asked for comes in the test."""
    w.thread.ident = foreign_code.get_ident()
    return w


def test_a_stop_that_is_asked_for_while_klpfs_works_comes_behind_it(here):
    """pr_info() in a loop is nearly always in klpfs's code: the line is written, and then the loop ends."""
    done = []
    def hangs():
        while True:
            here.foreign.shield(lambda: (here.foreign.interrupt(1), done.append(1)))
    with pytest.raises(KlpError) as caught:
        run_foreign(here, hangs)
    assert caught.value.errno == errno.EINTR and done == [1]


def test_enable_patch_of_a_load_that_is_to_stop_is_not_begun(here):
    def calls():
        here.foreign.shield(lambda: None)
        inside = here.foreign.shut()
        here.foreign.interrupt(1)           # as while a fork's hooks run
        assert not here.foreign.inside
        here.foreign._inside = inside
        here.foreign.own(pytest.fail)
    with pytest.raises(KlpError) as caught:
        run_foreign(here, calls)
    assert caught.value.errno == errno.EINTR


def test_the_door_is_shut_while_a_fork_happens(here):
    """And a stop that was asked for meanwhile is known when it opens."""
    def forks():
        inside = here.foreign.shut()
        here.foreign.interrupt(1)
        sum(range(10 ** 5))
        return inside, here.foreign.open(inside), here.foreign.inside
    assert run_foreign(here, forks) == (1, True, True)


def test_a_stop_that_was_asked_for_behind_the_shut_door_is_raised_by_what_opens_it(here):
    """A function of C, the last of a fork's hooks: nobody asks a second time in between."""
    seen = []
    def forks():
        inside = here.foreign.shut()
        here.foreign.interrupt(1)
        opens = here.foreign.open_behind(inside, False)
        here.foreign.interrupt(1)
        sum(range(10 ** 5))
        seen.append("shut")
        opens()
        sum(range(10 ** 5))
        seen.append("not here")
    with pytest.raises(KlpError) as caught:
        run_foreign(here, forks)
    assert caught.value.errno == errno.EINTR and seen == ["shut"]


def test_what_opens_the_door_raises_nothing_where_nobody_asked_or_the_library_forks(here, monkeypatch):
    """In the library at first: it stays put off, and is raised by what opens the door when patience is over."""
    now, seen = [10 ** 9], []
    monkeypatch.setattr(foreign_code, "clock_us", lambda: now[0])
    def forks():
        here.foreign.open_behind(here.foreign.shut(), False)()
        seen.append(here.foreign.inside)
        for _ in range(2):
            inside = here.foreign.shut()
            here.foreign.put_off()
            here.foreign.open_behind(inside, True)()
            seen.append(here.foreign.inside)
            now[0] += foreign_code.PATIENCE_US
        seen.append("not here")
    with pytest.raises(KlpError) as caught:
        run_foreign(here, forks)
    assert caught.value.errno == errno.EINTR and seen == [True, True]


def test_a_stop_behind_the_taking_of_the_mark_leaves_it_free(here):
    """From 3.14 on a `with` would not let go of it: the next shutting of the door waited for ever."""
    def forks():
        import ctypes
        setter = functools.partial(ctypes.pythonapi.PyThreadState_SetAsyncExc, ctypes.c_ulong(here.thread.ident),
                                   ctypes.py_object(foreign_code.Stopped))
        call = operator.methodcaller("__call__")

        class Mark(OwnedLock):
            """Is taken, and then a stop is due, once."""
            once = iter([setter])

            def acquire(self):
                return sorted([functools.partial(OwnedLock.acquire, self), functools.partial(sum, map(call, self.once))],
                              key=call)
        here.foreign._mark = Mark()
        here.foreign.open(here.foreign.shut())
        return here.foreign._mark.is_mine(), [*Mark.once]
    assert run_foreign(here, forks) == (False, [])


def test_a_stop_is_not_asked_for_twice_at_once(here, monkeypatch):
    """Two in a row could not be taken; after a second it is asked for again: the first may have been caught."""
    asked, now = [], [10 ** 9]
    monkeypatch.setattr(foreign_code, "_async_setter", lambda ident, exception: lambda: asked.append(now[0]))
    monkeypatch.setattr(foreign_code, "clock_us", lambda: now[0])
    def hangs():
        for _ in range(11):
            here.foreign.interrupt(1)
            now[0] += 100_000
    run_foreign(here, hangs)
    assert len(asked) == 2 and asked[1] - asked[0] >= 800_000


def test_a_stop_waits_for_a_place_where_it_cuts_off_no_import(here, monkeypatch):
    """At first. Code that is always in the standard library is stopped there, three tenths of a second later."""
    asked, now, places = [], [10 ** 9], []
    monkeypatch.setattr(foreign_code, "_async_setter", lambda ident, exception: lambda: asked.append(now[0] - 10 ** 9))
    monkeypatch.setattr(foreign_code, "clock_us", lambda: now[0])
    monkeypatch.setattr(foreign_code.cut_off, "is_in_library", lambda ident: places.pop(0) if places else True)
    def imports():
        places[:] = [True, True, False]
        here.foreign.interrupt(1)
    run_foreign(here, imports)
    assert asked == [0] and not places
    def always():
        for _ in range(5):
            here.foreign.interrupt(1)
            now[0] += 100_000
    del asked[:]
    run_foreign(here, always)
    assert asked == [300_000]


def test_what_foreign_code_that_is_stopped_has_left_taken_is_let_go_and_said(here, monkeypatch):
    import _imp
    program = threading.RLock()
    monkeypatch.setattr(sys.modules[__name__], "PROGRAM", program, raising=False)      # where 3.9 finds it
    def hangs():
        _imp.acquire_lock()
        program.acquire()
        here.foreign.interrupt(1)
        while True:
            pass
    with pytest.raises(KlpError):
        run_foreign(here, hangs)
    free = []
    def other():
        free.append(program.acquire(False))
        program.release()
    thread = threading.Thread(target=other)
    thread.start()
    thread.join()
    assert free == [True] and not _imp.lock_held()
    assert "f was cut off, and let go: the import lock, 1 RLock" in here.said


def test_what_foreign_code_takes_and_keeps_stays_taken(here):
    """It was not stopped: what it has taken is its own business, also when it fails."""
    program = threading.RLock()
    def takes():
        program.acquire()
        raise ValueError
    with pytest.raises(KlpError):
        run_foreign(here, takes)
    program.release()
    assert not any("let go" in line for line in here.said)


def test_the_words_of_an_exception_are_foreign_code_too(here):
    """They may hang, and are stopped then; no lock is held."""
    locked = []
    class Slow(Exception):
        def __str__(self):
            locked.append(here.thread.lock.locked())
            here.foreign.interrupt(1)
            while True:
                pass
    def raises():
        raise Slow
    with pytest.raises(KlpError) as caught:
        run_foreign(here, raises)
    assert caught.value.errno == errno.EINTR and locked == [False] and not here.foreign.inside


@pytest.mark.parametrize("error, code", [
    (OSError(600, "x"), errno.EINVAL), (OSError(2 ** 40, "x"), errno.EINVAL), (OSError(-5, "x"), errno.EINVAL),
    (OSError(5, "x"), errno.EIO), (MemoryError(), errno.ENOMEM), (KeyboardInterrupt(), errno.EINVAL),
    (SystemExit(), errno.EINVAL), (RecursionError(), errno.EINVAL), (KlpError(22, 5), errno.EINVAL)])
def test_the_errno_of_what_foreign_code_raises_is_one_that_can_be_answered(w, error, code):
    """With one line."""
    def raises():
        raise error
    with pytest.raises(KlpError) as caught:
        run_foreign(w, raises)
    assert caught.value.errno == code and len(w.said) == 1


def test_what_a_load_was_in_is_forgotten_when_it_was_cut_off(w):
    w.foreign.working, w.foreign._inside = {"what": "f", "since": 0, "n": 1}, 1
    w.foreign._mark.acquire()
    w.foreign.recover()
    assert w.foreign.working is None and not w.foreign.inside and not w.foreign._mark.locked()


FORKS_IN_C = """
import ctypes, os, sys, threading
from types import SimpleNamespace
from klpfs.agent.agent_thread import AgentThread
from klpfs.agent.foreign_code import ForeignCode
from klpfs.engine.error import Orphan
thread = AgentThread(SimpleNamespace(own_tids=set()))
foreign = ForeignCode(thread, lambda text, priority: None)
thread.lock.acquire()
try:
    pid = foreign.run("f", 1, ctypes.CDLL(None).fork)
except Orphan:
    os._exit(3)
print(os.waitpid(pid, 0)[1] >> 8)
"""


def test_a_fork_in_c_leaves_no_second_agent():
    """No hook runs. The child's thread, which takes itself for the agent's, ends."""
    done = subprocess.run([sys.executable, "-c", FORKS_IN_C], cwd=pathlib.Path(__file__).parents[2], text=True,
                          capture_output=True, timeout=30)
    assert done.stdout == "3\n", done.stderr
