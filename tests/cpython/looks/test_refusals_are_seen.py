"""Every way in which a load can refuse a livepatch is seen by a dry run, in the same words; what callbacks refuse, which
a dry run does not call, is seen by the proof of a build (tests/builder/verify) and of `check --against`."""
import os
import sys

import pytest

from klpfs.cpython.load import loader as loading
from klpfs.cpython.looks.dry_run import survey
from klpfs.engine.core import Engine
from klpfs.engine.error import KlpError
from klpfs.engine.log import Log
from tests.programs import HEAD, Program

PROGRAM = """
def f(x): return x
def steps(): yield 1
def make(n):
    def inner(): return n
    return inner
made = make(1)
class C:
    def m(self): return 1
    def __init_subclass__(cls): pass
same = [lambda: 1, lambda: 2]
def twice(): return 1
kept = twice
def twice(): return 2
"""
DEF = "def f(x): return -x\n"
# name: (the file, words of the refusal)
TABLE = {
    "a syntax error": ("def f(:\npatch = Patch([])", ":2: "),
    "its top level raises": ("1 / 0\npatch = Patch([])", "ZeroDivisionError"),
    "an import that is not there": ("import no_such_module\npatch = Patch([])", "no_such_module"),
    "no Patch": ("from klpfs import Patch\npatch = 7", "'patch' is no Patch"),
    "init is no function": ("init = 7\npatch = Patch([])", "'init' is no function"),
    "a parameter twice": ("x = module_param('x', int, 0)\ny = module_param('x', int, 0)\npatch = Patch([])", "declared twice"),
    "a parameter's name": ("x = module_param('a/b', int, 0)\npatch = Patch([])", "'a/b' is no name"),
    "a Func of no function": ("patch = Patch([Object('PROG', [Func('f', 7)])])", "TypeError"),
    "a negative position": (DEF + "patch = Patch([Object('PROG', [Func('f', f, -1)])])", "ValueError"),
    "nonlocal of nothing": ("def f(x):\n    nonlocal gone\n    gone = 1\npatch = Patch([Object('PROG', [Func('f', f)])])",
                            "gone"),
    "fields that were set": (DEF + "F = Func('f', f)\npatch = Patch([Object('PROG', [F])])\nF.old_name = 7", "can't be used"),
    "a name that can't be shown": (DEF + "patch = Patch([Object('a/b', [Func('f', f)])])", "object name"),
    "an object twice": (DEF + "patch = Patch([Object('PROG', []), Object('PROG', [])])", "is twice in patch"),
    "a function twice": (DEF + "patch = Patch([Object('PROG', [Func('f', f), Func('f', f)])])", "is twice in object"),
    "a function twice by two positions": (DEF + "patch = Patch([Object('PROG', [Func('f', f), Func('f', f, 2)])])",
                                          "position 2"),
    "a module by two names": (DEF + "patch = Patch([Object('PROG', [Func('f', f)]), Object('ALIAS', [Func('f', f)])])",
                              "is patched twice"),
    "a state of before": ("patch = Patch([], states=[State(1, version=1)])", "is not compatible"),
    "a state that is not replaced": ("patch = Patch([], replace=True)", "is not compatible"),
    "klpfs's own": (DEF + "patch = Patch([Object('klpfs.engine.log', [Func('pr_err', f)])])", "klpfs's own"),
    "a symbol that is not there": (DEF + "patch = Patch([Object('PROG', [Func('gone', f)])])", "not found in symbol table"),
    "a symbol of several": (DEF + "patch = Patch([Object('PROG', [Func('twice', f)])])", "unresolvable ambiguity"),
    "a fingerprint": (DEF + "patch = Patch([Object('PROG', [Func('f', f, fingerprint='0')])])", "disagrees about version"),
    "another Python": (DEF + "patch = Patch([Object('PROG', [Func('f', f, fingerprint='2.7:0')])])", "made for Python 2.7"),
    "a name that nobody knows": ("def f(x): return unknown\npatch = Patch([Object('PROG', [Func('f', f)])])",
                                 "Unknown symbol 'unknown'"),
    "another kind": ("def f(): return 1\npatch = Patch([Object('PROG', [Func('steps', f)])])", "it is a generator"),
    "other free variables": ("def f():\n    return n, more\npatch = Patch([Object('PROG', [Func('make.<locals>.inner', "
                             "f)])])", "Unknown symbol 'more'"),
    "a name of a helper's that nobody knows": ("def h(): return __doc__, made, __file__, __spec__, __path__\ndef f(x): return h()\n"
                                         "patch = Patch([Object('PROG', [Func('f', f)])])", "Unknown symbol '__path__'"),
    "no plain function of the file": ("import os\npatch = Patch([Object('PROG', [Func('f', os.path.join)])])",
                                      "is not a plain function of its livepatch's file"),
    "a decorated one": ("def d(f): return f\n@d\ndef f(x): return x\npatch = Patch([Object('PROG', [Func('f', f)])])",
                        "is not a plain function of its livepatch's file"),
}


@pytest.fixture
def program(tmp_path):
    made = Program(tmp_path)
    made.prog = made.module(PROGRAM)
    sys.modules[f"{made.prog.__name__}_alias"] = made.prog
    yield made
    del sys.modules[f"{made.prog.__name__}_alias"]
    made.close()


def words_of_check(target, name, source, in_force):
    """All refusals that a dry run tells."""
    try:
        probed = loading.probe(name, source, f"/x/{name}.py", {}, Log(lambda: 0))
        assert probed is not None
        found = survey(target, probed, in_force)
    except KlpError as error:
        return [error.strerror]
    finally:
        loading.end_probe()
    return [each for each in (found["refused"], *(row["refused"] for obj in found["objects"] for row in obj["funcs"]))
            if each]


def words_of_load(engine, name, source):
    """The refusal of a load."""
    loaded = None
    try:
        loaded = loading.load(name, source, f"/x/{name}.py", {}, log=engine.log)
        engine.enable(loaded.patch, name)
    except KlpError as error:
        return error.strerror or engine.log.texts()[-1]
    finally:
        if loaded is not None:
            loading.unload(loaded)
    raise AssertionError("it was not refused")


@pytest.mark.parametrize("case", TABLE)
def test_a_dry_run_says_what_a_load_says(program, case):
    text, words = TABLE[case]
    text = text.replace("PROG", program.prog.__name__).replace("ALIAS", f"{program.prog.__name__}_alias")
    source = (HEAD.replace("\n", "; ") + "\n" + text).encode()
    engine = Engine(program.target, program.log)
    stands = program.load("patch = Patch([], states=[State(1, version=2)])", name="stands")
    engine.enable(stands.patch, "stands")
    engine.start()
    assert engine.look() == []
    engine.finish()
    said = words_of_check(program.target, "lp_seen", source, engine.patches)
    wanted = words_of_load(engine, "lp_seen", source).replace("livepatch: ", "", 1)
    assert words in wanted and wanted in said, (wanted, said)
    engine.disable(stands.patch)
    engine.look()
    engine.finish()
    assert os.path.isfile(program.prog.__file__)
