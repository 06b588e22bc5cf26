"""CPython's JIT, under which no function object is switched: that it is refused, and that there is reason to.

The experiments run in processes of their own, which crash. An experiment that no longer fails (XPASS) says that this
CPython may be asked again: klpfs/cpython/jit.py, docs/FACTS-python.md#jit.
"""
import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest

from klpfs.cpython import jit
from klpfs.cpython.images import image
from klpfs.cpython.looks import dry_run
from klpfs.engine.error import KlpError
from tests.cpython.names_kit import livepatch, refused

JIT = getattr(sys, "_jit", None)
needs_jit = pytest.mark.skipif(not JIT or not JIT.is_available(), reason="this CPython has no JIT")


def run(text, **environ):
    return subprocess.run([sys.executable, "-c", text], capture_output=True, text=True, timeout=120, env={
        **os.environ, "PYTHON_JIT": "1", "PYTHONPATH": str(Path(__file__).parents[2]), **environ})


@pytest.mark.parametrize("value, on", [(None, False), ("", False), (b"", False), ("0", False), (b"0", False),
                                       ("00", False), ("1", True), (b"1", True), ("no", True)])
def test_what_turns_it_on(value, on):
    """As CPython reads it: anything that does not begin with 0."""
    assert jit.asked_for(value) is on


@pytest.mark.parametrize("value, on", [(b"0", "False"), (b"1", "True"), ("1", "True")])
def test_bytes_are_never_compared_with_str(value, on):
    """Python warns of it under -b: under -bb all livepatches were refused."""
    code = f"from klpfs.cpython import jit; print(jit.asked_for({value!r}))"
    done = subprocess.run([sys.executable, "-bb", "-c", code], capture_output=True, text=True)
    assert (done.stdout, done.stderr) == (f"{on}\n", "")


@needs_jit
@pytest.mark.parametrize("value, options, on", [("1", (), True), ("0", (), False), ("1", ("-E",), False)])
def test_it_is_foreseen_while_site_is_imported(tmp_path, value, options, on):
    """When CPython has not turned it on yet."""
    root = Path(__file__).parents[2]
    (tmp_path / "sitecustomize.py").write_text(
        f"import sys\nsys.path.insert(0, {str(root)!r})\nfrom klpfs.cpython import jit\n"
        "early = jit.will_be_on(), jit.is_on()")
    text = "import sys; sys.path.insert(0, {0!r}); {1}import sitecustomize as s; print(*s.early, s.jit.is_on())"
    done = subprocess.run([sys.executable, *options, "-c", text.format(str(tmp_path), options and "del sys.modules['sitecustomize']; " or "")], text=True, capture_output=True,
                          env={**os.environ, "PYTHON_JIT": value, "PYTHONPATH": str(tmp_path)}, timeout=60)
    early = "False" if options else str(on)             # -E: imported later, when it has been decided
    assert done.stdout == f"{early} False {on}\n", done.stderr


def test_a_process_with_it_refuses_every_patch(program, monkeypatch):
    """In one line, before anything is changed; `klpfs check` says it beforehand."""
    module = program.module("def f(): return 1")
    monkeypatch.setattr(jit, "is_on", lambda: True)
    errno_name, line = refused(program, module, "def f(): return 2", "f")
    words = "CPython's JIT crashes when the code of a running function is exchanged: start the program with PYTHON_JIT=0"
    assert (errno_name, line) == (errno.errorcode[errno.EOPNOTSUPP], f"livepatch: {words}") and module.f() == 1
    probed = program.load(livepatch(module, "def f(): return 2", "f"), name="lp_jit")
    assert dry_run.survey(program.target, probed)["objects"][0]["funcs"][0]["refused"] == words
    with pytest.raises(KlpError):
        image.check_interpreter()


@needs_jit
def test_a_process_with_it_is_told():
    assert "CPython's JIT crashes" in run("from klpfs.cpython.images.image import check_interpreter as c\nc()").stderr


# -- the experiments

RUNNING = """
G = 7
def small(x): return x
def other(x): return x + 0
def loop(n, hook):
    hook()
    a = b = c = d = 0
    for i in range(n):
        a = small(i)
        b = "old constant"
        c = 12345
        d = other(a), 1.5, "tail", G
        assert b == "old constant" and c == 12345 and d == (i, 1.5, "tail", 7)
def new(n, hook):
    q = [111, "NEW1", 2.25, "NEW2", b"NEW3", 99999, "NEW4", 3.5, (1, 2), "NEW5"]
    return "NEW6", small, other, q
def tiny(n, hook): pass
own = loop.__code__
for code in new.__code__, tiny.__code__:
    loop(200000, lambda: setattr(loop, "__code__", code))
    loop.__code__ = own.replace()
"""

TRACED = """
class C:
    def __init__(self, x): self.x = 1
def init(self, x): self.x = 2
def star(*items): return 1
def star2(*items): return 2
def exchange():
    C.__init__.__code__, star.__code__ = init.__code__, star2.__code__
def loop(n, hook):
    stale, items = 0, (1, 2)
    for i in range(n):
        if i == n // 2: hook()
        made, called = C(i).x, star(*items)
        if i > n // 2 and (made != 2 or called != 2): stale += 1
    return stale
stale = loop(60000, exchange)
assert not stale, f"{stale} calls of old code after the exchange"
"""


@needs_jit
@pytest.mark.xfail(reason="a loop that gets hot after its function's code was exchanged crashes", strict=False)
def test_a_running_function_may_be_switched():
    """The optimizer takes the constants of the code that the function has by then: SIGSEGV on 3.14.8 and 3.15.0."""
    done = run(RUNNING)
    assert done.returncode == 0, (done.returncode, done.stderr)


@needs_jit
@pytest.mark.xfail(JIT is not None and sys.version_info >= (3, 15), strict=False,
                   reason="compiled calls go on with the old function")
def test_a_compiled_call_sees_the_exchange():
    """3.15.0: `C(x)` and `f(*args)` run old code for ever."""
    done = run(TRACED)
    assert done.returncode == 0, (done.returncode, done.stderr)
