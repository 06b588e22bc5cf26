"""What is made of foreign code: locks, errors, stops."""
import errno
import functools
import pathlib
import subprocess
import sys
import threading

import pytest

from klpfs.agent import foreign_code
from klpfs.agent.foreign_code import place_of
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
