"""The dry run of a load tells what the load would find, and changes nothing."""
import errno
import threading

import pytest

from klpfs.cpython.load import loader as loading
from klpfs.cpython.looks import suspended, threads
from klpfs.cpython.looks.dry_run import survey
from klpfs.engine.bounds import MAX_INSIDE
from klpfs.engine.core import Engine
from klpfs.engine.error import KlpError
from tests.programs import HEAD, Program, same, snapshot

PROGRAM = '''
import threading
inside, go = threading.Event(), threading.Event()
def work(x):
    inside.set()
    go.wait()
    return x
def steps():
    yield 1
def more():
    yield 1
async def ticks():
    yield 1
def make():
    def nested(): return 1
    return nested
made = [make(), make()]
class C:
    def m(self, a): return a
'''


@pytest.fixture
def program(tmp_path):
    made = Program(tmp_path)
    made.prog = made.module(PROGRAM)
    yield made
    made.close()


def look(program, text, name="lp_survey"):
    source = HEAD.replace("\n", "; ") + "\n" + text.replace("PROG", program.prog.__name__)
    probed = loading.probe(name, source.encode(), "/x/%s.py" % name, {}, program.log)
    try:
        return survey(program.target, probed)
    finally:
        loading.end_probe()


def funcs(found, at=0):
    return {func["name"]: func for func in found["objects"][at]["funcs"]}


def test_functions_found_with_place_count_and_changes(program):
    before = snapshot(program.prog.work, program.prog.C.m, *program.prog.made)
    found = look(
        program,
        """
def work(x): return x
def m(self, a, b=1): return a
def nested(): return 2
patch = Patch([Object("PROG", [Func("work", work), Func("C.m", m), Func("make.<locals>.nested", nested)]),
               Object("not_loaded", [Func("f", work)])], replace=True)
""",
    )
    assert found["livepatch"] and found["replace"] and found["refused"] == ""
    rows = funcs(found)
    assert rows["work,1"]["where"] == "%s:4" % program.prog.__file__
    assert rows["work,1"]["count"] == 1 and rows["make.<locals>.nested,1"]["count"] == 2
    assert rows["work,1"]["fingerprint"] == "not given"
    assert "takes other parameters" in rows["C.m,1"]["warnings"][0] and rows["work,1"]["warnings"] == []
    assert (found["objects"][1]["loaded"], funcs(found, 1)["f,1"]["where"]) == (False, "")
    assert same(snapshot(program.prog.work, program.prog.C.m, *program.prog.made), before) and program.log.texts() == []


def test_all_refusals_are_told_in_the_words_of_a_load(program):
    found = look(
        program,
        """
def work(x): return unknown_name
def steps(): return 1
def other(): return 1
patch = Patch([Object("PROG", [Func("work", work), Func("steps", steps), Func("gone", other),
                               Func("C.m", other, fingerprint="0" * 64)])])
""",
    )
    rows = funcs(found)
    assert "Unknown symbol 'unknown_name'" in rows["work,1"]["refused"]
    assert "it is a generator, what replaces it a function" in rows["steps,1"]["refused"]
    assert rows["gone,1"]["refused"] == "symbol 'gone' not found in symbol table"
    assert "disagrees about version of symbol 'C.m'" in rows["C.m,1"]["refused"]


def test_all_that_is_inside_is_counted_once(program, monkeypatch):
    """Threads and what is suspended, more of both than is told; the heap is searched once for all functions."""
    code, searches, find = program.prog.steps.__code__, [], suspended.find
    monkeypatch.setattr(threads, "lines", lambda idents: [(n, ((code, 1),)) for n in range(MAX_INSIDE + 10)])
    monkeypatch.setattr(suspended, "find", lambda *args: searches.append(args) or find(*args))
    made = [program.prog.steps() for _ in range(3)]
    found = funcs(look(program, """
def steps(): yield 2
def more(): yield 3
patch = Patch([Object("PROG", [Func("steps", steps), Func("more", more)])])
"""))
    inside = found["steps,1"]["inside"]
    assert len(inside) == MAX_INSIDE and inside[-1][2] == "14 more" and found["more,1"]["inside"] == []
    assert len(searches) == 1 and len(made) == 3


def test_a_suspended_asynchronous_generator_is_inside(program):
    """To looks it may be dying; so they tell its code alone."""
    made = program.prog.ticks()
    with pytest.raises(StopIteration):
        made.__anext__().send(None)
    row = funcs(look(program, """
async def ticks(): yield 2
patch = Patch([Object("PROG", [Func("ticks", ticks)])])
"""))["ticks,1"]
    assert [(kind, name) for kind, _, name, _ in row["inside"]] == [("async generator", "ticks")]
    with pytest.raises(StopIteration):
        made.aclose().send(None)


def test_who_is_inside(program):
    """A thread by its name, and a suspended generator; also of code that an earlier patch has brought."""
    thread = threading.Thread(target=program.prog.work, args=(1,), name="worker-1")
    thread.start()
    program.prog.inside.wait()
    suspended = program.prog.steps()
    next(suspended)
    try:
        rows = funcs(look(program, '''
def work(x): return x
def steps(): yield 2
patch = Patch([Object("PROG", [Func("work", work), Func("steps", steps)])])
'''))
    finally:
        program.prog.go.set()
        thread.join()
    (kind, task, name, frames), = rows["work,1"]["inside"]
    assert (kind, task, name) == ("thread", thread.native_id, "worker-1") and frames == [
        "%s:6 work" % program.prog.__file__
    ]
    (kind, _, name, frames), = rows["steps,1"]["inside"]
    assert (kind, name) == ("generator", "steps") and frames == ["%s:9 steps" % program.prog.__file__]


def test_a_patch_in_force_is_looked_through(program):
    """The original is still what is replaced; the file's own name may be loaded already."""
    engine = Engine(program.target, program.log)
    text = '''
def work(x): return -x
patch = Patch([Object("PROG", [Func("work", work)])])
'''
    found = program.load(text.replace("PROG", program.prog.__name__), name="lp_survey")
    engine.enable(found.patch, found.name)
    engine.start()
    assert engine.look() == []
    engine.finish()
    rows = funcs(look(program, text, found.name))
    assert rows["work,1"]["where"] == "%s:4" % program.prog.__file__ and rows["work,1"]["refused"] == ""
    assert program.prog.work(1) == -1
    engine.disable(found.patch)
    assert engine.look() == []
    engine.finish()
    program.prog.go.set()
    assert program.prog.work(1) == 1


def test_a_file_that_can_not_be_loaded(program):
    """The errno is the load's; an ordinary module is not run."""
    with pytest.raises(KlpError) as caught:
        look(program, "patch = Patch(")
    assert caught.value.errno == errno.ENOEXEC
    assert loading.probe("plain", b"raise SystemExit", "/x/plain.py", {}, program.log) is None
    assert loading.loaded_of(look) is None


def test_an_optional_function_that_is_not_there_is_no_refusal(program):
    row = funcs(look(program, '''
def gone(): pass
patch = Patch([Object("PROG", [Func("gone", gone, optional=True)])])
'''))["gone,1"]
    assert (row["refused"], row["fingerprint"], row["where"]) == ("", "not there", "")


def test_names_that_the_tree_could_not_show(program):
    assert "is twice" in look(program, 'patch = Patch([Object("a"), Object("a")])')["refused"]
