"""What the compiler warns of in a livepatch goes into the log: never on the program's standard error, never a
refusal."""
import gc
import subprocess
import sys
import threading
import warnings

import pytest

from klpfs.cpython.load import compiler_warnings
from klpfs.cpython.load.compiler_warnings import SAID, Unheard, lines
from klpfs.cpython.load.parse import parse
from klpfs.cpython.warning_filters import filters
from tests.cpython.names_kit import patch

WARNED = "x is 1"           # a SyntaxWarning on all versions


@pytest.fixture(params=["error", "always", "ignore"])
def program_filters(request):
    """What the program does with warnings; whatever is shown is an error of the test."""
    with warnings.catch_warnings(record=True) as shown:
        warnings.simplefilter(request.param)
        yield shown
        assert [each for each in shown if each.category is not ResourceWarning] == []


def test_a_livepatch_that_the_compiler_warns_of(program, program_filters):
    """Of a helper, a new function, and one that is compiled again as a closure is."""
    module = program.module("def f(x): return 1\ndef outer():\n y = 1\n def inner(x): return y\n return inner")
    found = module.outer()
    patch(program, module, f"def h(x): return {WARNED}\n"
                           f"def f(x):\n    return h(x), {WARNED}\ndef inner(x):\n    return y, {WARNED}",
          "f", "outer.<locals>.inner=inner")
    assert module.f(1) == (True, True) and found(1) == (1, True)
    said = [text for text in program.log.texts() if "SyntaxWarning" in text or "literal" in text]
    assert [text.partition(" ")[0] for text in said] == ["livepatch:"] and ":2: " in said[0] and '"is"' in said[0]


@pytest.mark.skipif(sys.version_info < (3, 12), reason="a DeprecationWarning, which Python shows to nobody")
def test_each_warning_with_the_line_of_its_first_place(program, program_filters):
    module = program.module("def f(x): return 1")
    patch(program, module, "def f(x):\n    y = x is 1\n    return '\\d', y, x is 'a'", "f")
    said = [text for text in program.log.texts() if "escape" in text or "literal" in text]
    assert len(said) == 3 and sorted(text.split(":")[3] for text in said) == ["3", "4", "4"]          # its first line is the kit's


def test_the_programs_own_warnings_are_heard_meanwhile():
    """In other threads, and the program's filters are asked in their order."""
    inside, go = threading.Event(), threading.Event()

    def compiles():
        with Unheard():
            inside.set()
            go.wait(10)
    with warnings.catch_warnings(record=True) as shown:
        warnings.simplefilter("always")
        before = list(filters())
        thread = threading.Thread(target=compiles)
        thread.start()
        inside.wait(10)
        compile(f"x = 1\n{WARNED}", "own.py", "exec")
        go.set()
        thread.join()
        assert [warning.filename for warning in shown] == ["own.py"] and filters() == before


def test_a_context_within_another():
    with warnings.catch_warnings(record=True) as shown:
        warnings.simplefilter("always")
        before = list(filters())
        with Unheard() as outer:
            with Unheard() as inner:
                compile(WARNED, "a", "exec")
            compile("1()", "a", "exec")
        assert len(outer.words) == 2 and not inner.words and not shown and filters() == before
        with pytest.raises(SyntaxError), Unheard():
            compile("1 +", "a", "exec")
        assert filters() == before
        compile(WARNED, "a", "exec")
        assert len(shown) == 1


def test_nothing_is_left_behind():
    parse(WARNED)
    gc.collect()
    before = len(filters())
    for _ in range(50):
        parse(WARNED)
    assert len(filters()) == before


def test_a_program_that_takes_warnings_for_errors():
    """Set by -W, without the warnings module."""
    text = ("import klpfs.cpython.load.source_file as files\n"
            f"file = files.File(b'def f(x):\\n    return {WARNED}\\n', 'lp.py')\n"
            "assert [line[:2] for line in file.warnings] == ['2:'], file.warnings\n"
            "try: compile('x is 1', 'own', 'exec')\nexcept SyntaxError: print('own')")
    done = subprocess.run([sys.executable, "-W", "error", "-c", text], capture_output=True, text=True, timeout=60)
    assert (done.stdout, done.stderr) == ("own\n", "")


@pytest.mark.parametrize("cut_off", ["__exit__", "withdraw"])
def test_a_context_that_is_cut_off_hears_nothing_more(monkeypatch, cut_off):
    """By a stop, as its end begins, and in the middle of its end."""
    place = Unheard if cut_off == "__exit__" else compiler_warnings
    real = getattr(place, cut_off)

    def cut(*_):
        setattr(place, cut_off, real)
        raise KeyboardInterrupt
    with warnings.catch_warnings(record=True) as shown:
        warnings.simplefilter("always")
        before = list(filters())
        with monkeypatch.context() as patched:
            patched.setattr(place, cut_off, cut)
            with pytest.raises(KeyboardInterrupt), Unheard():
                compile(WARNED, "a", "exec")
        gc.collect()
        compile(WARNED, "own.py", "exec")
        assert [each.filename for each in shown] == ["own.py"]
        with Unheard() as following:
            compile(WARNED, "a", "exec")
        assert len(following.words) == len(shown) == 1
        assert filters() == before


def test_of_many_warnings_the_first_have_a_line():
    """For each of them the file is compiled once more, in the patched process."""
    compiled = []
    words = {f"kind {number}": True for number in range(40)}
    assert lines(words, lambda: compiled.append(1)) == ["1: 35 more kinds of warnings"]
    assert len(compiled) == SAID == 5


def test_a_copy_of_the_list_that_came_into_force_is_not_left_with_filters():
    with warnings.catch_warnings():
        before = list(filters())
        with Unheard():
            warnings.filters = list(warnings.filters)
        assert filters() == before
