"""Between which statements of a main program its functions are there."""
import threading
import types

import pytest

from klpfs.cpython.program.between_statements import compiled, firsts, passed


def called(text, *names):
    """Which of the names in `seen` are bound at each call."""
    namespace, seen = {}, []
    code = compiled(text, "app.py", names, lambda: seen.append(sorted(set("fgC").intersection(namespace))))
    if code is not None:
        exec(code, namespace)
    return seen


@pytest.mark.parametrize("text, names, seen", [
    ("def f(): pass\ndef g(): pass\nx = 1", ["f"], ["f"]),
    ("def f(): pass\ndef g(): pass\nx = 1", ["f", "g"], ["fg"]),
    ("def f(): pass\nclass C:\n  def m(self): pass\nx = 1", ["C.m"], ["Cf"]),
    ("def f():\n  def g(): pass\nx = 1", ["f.<locals>.g"], ["f"]),
    ("def f(): pass\nx = 1\ndef f(): pass", ["f"], ["f"]),                      # the last of the name
    ("g = lambda: 1\nf = 1", ["<lambda>"], ["g"]),
    ("g = [(lambda: 1) for x in 'a']\nf = 1", ["<listcomp>.<lambda>"], ["g"]),
    ("if 1:\n  def f(): pass\n  g = 1\nC = 1", ["f"], ["f", "fg"]),             # behind it, and behind what it lies in
    ("if 0:\n  def f(): pass\nelse:\n  g = 1\nC = 1", ["f"], ["g"]),
    ("try:\n  1/0\nexcept Exception:\n  def f(): pass\n  g = 1\nelse:\n  pass", ["f"], ["f", "fg"]),
    ("for f in 'ab':\n  def f(): pass", ["f"], ["f", "f", "f"]),
    ("@(lambda f: f)\ndef g(): pass\nf = 1", ["<lambda>"], ["g"]),
    ("def f(): pass", ["g"], []),                                              # nobody makes it: no code
    ("def f(: pass", ["f"], []),
])
def test_where_the_call_comes(text, names, seen):
    assert called(text, *names) == [sorted(each) for each in seen]


def test_nothing_else_is_different():
    """Docstring, future imports, lines; the functions' codes are those that Python makes."""
    text = ('"doc"\nfrom __future__ import annotations\ndef f(x: y): return 1\n\n'
            "def g():\n  return [x for x in (1,)]\nassert f\n")
    code = compiled(text, "app.py", {"f", "g"}, int)
    plain = compile(text, "app.py", "exec", dont_inherit=True)
    mine = [each for each in code.co_consts if type(each) is types.CodeType]
    assert mine == [each for each in plain.co_consts if type(each) is types.CodeType]
    assert (code.co_filename, code.co_name, code.co_firstlineno, code.co_flags) == (
        plain.co_filename, plain.co_name, plain.co_firstlineno, plain.co_flags)
    namespace = {}
    exec(code, namespace)
    assert namespace["__doc__"] == "doc" and namespace["f"].__annotations__ == {"x": "y"}


def test_which_line_has_been_passed():
    """Of the outermost module body on a thread's stack; a thread without one has passed all."""
    text = "step()\ndef f():\n  pass\nstep()\nstep()\n"
    at, go, told = threading.Semaphore(0), threading.Semaphore(0), []

    def step():
        at.release()
        go.acquire()
    thread = threading.Thread(target=lambda: exec(compile(text, "app.py", "exec"), {"step": step}))
    thread.start()
    for _ in range(3):
        at.acquire()
        told.append((passed({"f"}, thread.ident, {"x": 1, "f": 1}), passed({"other"}, thread.ident, {"x": 1})))
        go.release()
    thread.join()
    assert told == [(False, False), (True, False), (True, False)]


@pytest.mark.parametrize("names, namespace, there", [
    ({"f", "C.m"}, {"f": 1, "C": 1}, True), ({"f", "C.m"}, {"f": 1}, False), ({"<lambda>"}, {"__name__": 1}, False),
    ({"<lambda>"}, {"x": 1}, True)])
def test_without_a_body_the_names_must_be_bound(names, namespace, there):
    """It is over, or has not begun."""
    assert passed(names, 0, namespace) is there


def test_firsts():
    assert firsts(["C.m", "C.n", "f.<locals>.<lambda>", "g"]) == {"C", "f", "g"}
