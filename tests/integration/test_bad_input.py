"""Bad input: each failing write has the kernel's errno and one line in the log that says what and where, and leaves
nothing."""
import errno
import os
import signal
import threading

import pytest

from tests.harness import fails, in_background, read, until, write

pytestmark = pytest.mark.fuse


@pytest.fixture
def untouched(live):
    """Checks at the end that the program runs its original code, with no patch and no module left, and takes a good
    patch."""
    yield live
    assert (live.tree.patches(), live.tree.modules()) == ([], [])
    assert live.program.do("pair()") == ("one original", "two original")
    assert read(live.tree.path / "blockers") == ""


def refused(live, number, path, *says):
    """insmod of `path` fails with this errno, and one line of the log holds each of `says`."""
    live.tree.lines()
    live.expect(*says, "failed to")
    assert fails(number, live.tree.insmod, path)
    lines = live.tree.lines()
    found = [line for line in lines if all(each in line for each in says)]
    assert len(found) == 1, lines


def test_a_file_that_does_not_parse(untouched, lp):
    refused(untouched, errno.ENOEXEC, lp("bad", text="def f(:\n"), "bad.py:1: invalid syntax")


def test_a_file_that_is_not_text(untouched, lp, tmp_path):
    path = tmp_path / "bad.py"
    path.write_bytes(b"\xff\xfe\x00")
    refused(untouched, errno.ENOEXEC, path, "bad.py")


def test_a_file_that_raises(untouched, lp):
    refused(untouched, errno.EINVAL, lp("bad", text="from klpfs import Patch\n1/0\n"), "ZeroDivisionError", "bad.py:2")


def test_a_file_that_raises_an_oserror_gives_its_errno(untouched, lp):
    refused(untouched, errno.ENOSPC, lp("bad", text="import errno\nraise OSError(errno.ENOSPC, 'no room')\n"),
            "bad.py:2")


def test_a_file_that_exits(untouched, lp):
    """SystemExit ends nothing but the load."""
    refused(untouched, errno.EINVAL, lp("bad", text="raise SystemExit(3)\n"), "SystemExit")


def test_a_function_that_is_not_there(untouched, lp):
    refused(untouched, errno.EINVAL, lp("bad", "nope"), "symbol 'nope' not found in symbol table")


def test_a_name_that_nobody_knows(untouched, lp):
    text = "from klpfs import Func, Object, Patch\ndef one():\n    return no_such_name\npatch = Patch(objects=[Object(None, funcs=[Func('one', one)])])\n"
    refused(untouched, errno.ENOENT, lp("bad", text=text), "no_such_name")


def test_a_new_function_that_is_none(untouched, lp):
    text = "from klpfs import Func, Object, Patch\npatch = Patch(objects=[Object(None, funcs=[Func('one', len)])])\n"
    refused(untouched, errno.EINVAL, lp("bad", text=text), "one")


def test_a_generator_for_a_plain_function(untouched, lp):
    text = "from klpfs import Func, Object, Patch\ndef one():\n    yield 1\npatch = Patch(objects=[Object(None, funcs=[Func('one', one)])])\n"
    refused(untouched, errno.EINVAL, lp("bad", text=text), "one")


def test_a_fingerprint_that_disagrees(untouched, lp):
    text = "from klpfs import Func, Object, Patch\ndef one():\n    return 1\npatch = Patch(objects=[Object(None, funcs=[Func('one', one, fingerprint='0' * 64)])])\n"
    refused(untouched, errno.ENOEXEC, lp("bad", text=text), "disagrees about version")


def test_a_signature_that_differs_is_a_warning(live, lp):
    """It loads: callers may have been changed with it."""
    text = "from klpfs import Func, Object, Patch\ndef one(a, b=1):\n    return a\npatch = Patch(objects=[Object(None, funcs=[Func('one', one)])])\n"
    live.expect("takes other parameters")
    live.tree.insmod(lp("lp1", text=text))
    live.tree.settle()
    assert live.program.do("one(5)") == 5
    assert len([line for line in live.tree.lines() if "takes other parameters" in line]) == 1


def test_an_unknown_parameter_and_a_bad_value(untouched, lp):
    path = lp("bad", extra="level = module_param('level', int, 3)\n")
    untouched.expect("nope", "level")
    assert fails(errno.ENOENT, untouched.tree.insmod, path, "nope=1")
    assert fails(errno.EINVAL, untouched.tree.insmod, path, "level=x")


def test_callbacks_that_raise(untouched, lp):
    """pre_patch refuses the load, with an OSError's errno; what follows it only logs."""
    refused(untouched, errno.EINVAL, lp("bad", extra="def pre(obj): 1/0\n", callbacks="pre_patch=pre"),
            "ZeroDivisionError")
    refused(untouched, errno.EPERM, lp("bad", extra="def pre(obj): return -1\n", callbacks="pre_patch=pre"),
            "pre-patch callback failed for object 'vmlinux'")
    refused(untouched, errno.EPERM, lp("bad", extra="def pre(obj): raise PermissionError(1, 'no')\n",
                                       callbacks="pre_patch=pre"), "PermissionError")


def test_other_callbacks_that_raise_change_nothing(live, lp):
    extra = "def bad(obj): raise RuntimeError('from a callback')\n"
    live.expect("from a callback")
    live.tree.insmod(lp("lp1", extra=extra, callbacks="None, bad, bad, bad"))
    live.tree.settle()
    assert live.program.do("one()") == "one by lp1"
    live.tree.set("lp1/enabled", "0")
    until(lambda: not live.tree.patches(), "the way back")
    assert live.program.do("one()") == "one original"
    assert len([line for line in live.tree.lines() if "from a callback" in line]) == 3


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("def init():\n    while True: pass\n", id="init"),
        pytest.param("while True: pass\n", id="top level"),
        pytest.param(
            "from klpfs import *\nimport time\ndef one(): pass\ndef pre(obj):\n    while True: time.sleep(.01)\n"
            "patch = Patch(objects=[Object(None, funcs=[Func('one', one)], callbacks=Callbacks(pre_patch=pre))])\n",
            id="pre_patch",
        ),
    ],
)
def test_a_load_that_loops_can_be_interrupted(untouched, lp, text):
    """The writer waits, everything else answers; a signal gives the load up, and nothing of it is left."""
    live = untouched
    if text.startswith("from klpfs import *"):
        text = text.replace("*", "Callbacks, Func, Object, Patch", 1)
    live.expect("bad", "another operation holds", "callback failed")
    pid, end = in_background(live.tree.insmod, lp("bad", text=text))
    until(lambda: "bad" in read(live.tree.path / "blockers") or "bad" in live.tree.modules(), "the load to be seen")
    assert live.program.do("pair()") == ("one original", "two original")
    assert fails(errno.EBUSY, live.tree.insmod, lp("other"))
    os.kill(pid, signal.SIGUSR1)
    assert end() == errno.EINTR
    until(lambda: not live.tree.modules(), "the load to be undone")


def test_a_post_patch_that_hangs_is_named(live, lp):
    """The patch is in force, the transition stays pending with a name, and the tree answers."""
    live.program.do("import threading; gate = threading.Event()")
    extra = "def post(obj):\n    import __main__\n    __main__.gate.wait()\n"
    live.tree.insmod(lp("lp1", extra=extra, callbacks="None, post"))
    until(lambda: "post_patch" in read(live.tree.path / "blockers"), "the callback to be named")
    assert live.program.do("one()") == "one by lp1"
    live.program.do("gate.set()")
    live.tree.settle()
    assert read(live.tree.path / "blockers") == ""


def test_names_that_the_tree_can_not_show(untouched, lp, tmp_path):
    text = "from klpfs import Func, Object, Patch\ndef f(): pass\npatch = Patch(objects=[Object('a/b', funcs=[Func('f', f)])])\n"
    refused(untouched, errno.EINVAL, lp("bad", text=text), "a/b")
    text = text.replace("a/b", "enabled")
    refused(untouched, errno.EINVAL, lp("bad", text=text), "enabled")


def test_paths_that_can_not_be_loaded(untouched, tmp_path, lp):
    live = untouched
    live.expect("bad", "nope", "no name")
    assert fails(errno.ENOENT, live.tree.insmod, tmp_path / "nope.py")
    assert fails(errno.EINVAL, write, live.tree.path / "insmod", "\n")
    os.mkfifo(tmp_path / "bad.py")
    with pytest.raises(OSError):
        live.tree.insmod(tmp_path / "bad.py")
    (tmp_path / "bad.py").unlink()
    (tmp_path / "bad.py").mkdir()
    with pytest.raises(OSError):
        live.tree.insmod(tmp_path / "bad.py")
    open_to_all = lp("bad_mode")
    open_to_all.chmod(0o666)
    with pytest.raises(OSError):
        live.tree.insmod(open_to_all)


def test_rmmod_of_what_is_not_loaded(untouched):
    untouched.expect("module nope is not loaded")
    assert fails(errno.ENOENT, untouched.tree.rmmod, "nope")


def test_two_writers_at_once(live, lp):
    """One of two loads wins, the other is told so, and never both or none."""
    paths = lp("lp1"), lp("lp2", "two")
    results = [None, None]

    def load(n):
        try:
            live.tree.insmod(paths[n])
        except OSError as e:
            results[n] = e.errno
            live.expect("lp")

    for _ in range(10):
        results[:] = [None, None]
        threads = [threading.Thread(target=load, args=[n]) for n in (0, 1)]
        for t in threads:
            t.start()
        for t in threads:
            t.join()
        live.tree.settle()
        done = [n for n in (0, 1) if results[n] is None]
        assert done and all(r in (None, errno.EBUSY) for r in results), results
        assert live.tree.patches() == [f"lp{n + 1}" for n in done]
        for n in done:
            live.tree.set(f"lp{n + 1}/enabled", "0")
            until(lambda: f"lp{n + 1}" not in live.tree.patches(), "the way back")
            live.tree.rmmod(f"lp{n + 1}")
    assert live.program.do("pair()") == ("one original", "two original")
