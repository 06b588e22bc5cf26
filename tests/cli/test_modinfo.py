"""modinfo: of a file without running it, of a loaded module by what the tree shows."""
import json
import os

import pytest

from klpfs.cli import standin
from klpfs.protocol import names

FILE = '''"""CVE-1: a hole.

More."""
from klpfs import Func, Object, Patch, module_param
__version__ = "1.2"
__license__ = "MIT"
__author__ = "N. N."
raise SystemExit("modinfo must not run a module")
pre_ret = module_param("pre_ret", int, 0)
import base
if True:
    late = module_param("late", type=bool)
def one(): ...
patch = Patch(objects=[Object(None, funcs=[Func("one", one)])])
'''


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "lp1.py"
    path.write_text(FILE)
    (tmp_path / "base.py").write_text("")
    return path


def test_of_a_file(klpfs, file):
    code, out, err = klpfs("modinfo", file)
    assert (code, err) == (0, "")
    assert out == (
        f"filename:       {file}\nversion:        1.2\nauthor:         N. N.\nlicense:        MIT\n"
        "description:    CVE-1: a hole. More.\ndepends:        base\nname:           lp1\nlivepatch:      Y\n"
        f"vermagic:       {os.uname().release} klpfs\n"
        "parm:           pre_ret:int\nparm:           late:bool\n"
    )


def test_of_a_file_as_the_stand_in_says_it(klpfs, file, capfd):
    """One answer for one file, in the session of `klpfs exec` and outside."""
    outside = klpfs("modinfo", file)
    assert standin.run("modinfo", [str(file)], [], []) == 0
    assert capfd.readouterr().out == outside[1]


@pytest.mark.parametrize("path", ["a.b.py", "fix-1.py", "CVE-2025-1.v2.py"])
def test_the_name_is_what_insmod_will_call_it(klpfs, tmp_path, path):
    (tmp_path / path).write_text("")
    assert klpfs("modinfo", "-F", "name", tmp_path / path)[1] == names.module_name(path) + "\n"


def test_one_field_alone(klpfs, file):
    assert klpfs("modinfo", "-F", "license", file) == (0, "MIT\n", "")
    assert klpfs("modinfo", "-F", "nope", file) == (0, "", "")


def test_json(klpfs, file):
    assert {"field": "livepatch", "value": "Y"} in json.loads(klpfs("modinfo", "--json", file)[1])[0]


@pytest.mark.parametrize("text, says", [("def (", "invalid syntax"), ("\0", "null bytes")])
def test_of_a_file_that_does_not_parse(klpfs, tmp_path, text, says):
    path = tmp_path / "bad.py"
    path.write_text(text)
    code, out, err = klpfs("modinfo", path)
    assert (code, out) == (1, "") and says in err
    assert err.startswith(f"modinfo: ERROR: could not get modinfo from '{path}': ")


@pytest.mark.parametrize("text", ["x = " + "-" * 100000 + "1", "__version__ = 0x" + "f" * 10000])
def test_of_a_file_that_python_has_no_room_for(klpfs, tmp_path, text, capfd):
    path = tmp_path / "bad.py"
    path.write_text(text)
    code, out, err = klpfs("modinfo", path)
    assert (code, out) == (1, "") and err.startswith(f"modinfo: ERROR: could not get modinfo from '{path}': ")
    assert standin.run("modinfo", [str(path)], [], []) == 1
    assert capfd.readouterr() == ("", "modinfo: ERROR: could not get modinfo from 'bad': Invalid argument\n")


def test_of_no_file(klpfs):
    said = "modinfo: ERROR: could not get modinfo from '/nope.py': No such file or directory\n"
    assert klpfs("modinfo", "/nope.py") == (1, "", said)


def test_of_a_loaded_module(made, klpfs):
    top = made.service("shop", "lp1 16384 1 - Live 0x0000000000000000 (OE K)\n")
    (top / "sys/module/lp1/parameters").mkdir(parents=True)
    (top / "sys/module/lp1/parameters/pre_ret").write_text("0\n")
    made.patch(top, "lp1")
    assert klpfs("modinfo", "lp1") == (0, "name:           lp1\nlivepatch:      Y\nparm:           pre_ret=0\n", "")


def test_of_a_module_that_is_not_loaded(made, klpfs):
    made.service("shop")
    assert klpfs("modinfo", "lp1") == (1, "", "modinfo: ERROR: Module lp1 not found.\n")


def test_of_a_file_as_kmod_knows_it_by_its_name_without_a_folder(klpfs, file, monkeypatch):
    """Also where only its .py is there, as insmod in `klpfs exec` takes it."""
    monkeypatch.chdir(file.parent)
    assert klpfs("modinfo", "-F", "name", "lp1.ko") == (0, "lp1\n", "")
    file.rename(file.parent / "other.ko")
    assert klpfs("modinfo", "-F", "name", "other.ko") == (0, "other\n", "")
