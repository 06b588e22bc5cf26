"""insmod, rmmod, lsmod: kmod's words and exit codes."""
import errno
import json
import os

import pytest

from klpfs.cli.tree import Tree
from klpfs.service import insmod_text


def refuse(monkeypatch, number):
    def write(self, text, *parts):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(Tree, "write", write)


def test_insmod_is_one_write_of_path_and_parameters(made, klpfs, tmp_path):
    top = made.service("shop")
    module = tmp_path / "lp1.py"
    module.write_text("")
    assert klpfs("insmod", module, "a=1", "b=x y") == (0, "", "")
    assert (top / "insmod").read_text().startswith(str(module) + " a=1")


@pytest.mark.parametrize("number, text", [
    (errno.EEXIST, "File exists"),
    (errno.EBUSY, "Device or resource busy"),
    (errno.EINVAL, "Invalid parameters"),
    (errno.ENOEXEC, "Invalid module format"),
    (errno.ENOENT, "Unknown symbol in module, or unknown parameter (see dmesg)"),
])
def test_insmod_says_what_kmod_says(made, klpfs, tmp_path, monkeypatch, number, text):
    made.service("shop")
    module = tmp_path / "lp1.py"
    module.write_text("")
    refuse(monkeypatch, number)
    assert klpfs("insmod", module) == (1, "", f"insmod: ERROR: could not insert module {module}: {text}\n")


def test_insmod_of_no_file(made, klpfs):
    made.service("shop")
    assert klpfs("insmod", "/nope.py") == (1, "",
                                           "insmod: ERROR: could not load module /nope.py: No such file or directory\n")


def test_rmmod_takes_names_and_file_names(made, klpfs):
    top = made.service("shop")
    assert klpfs("rmmod", "x/lp-1.py")[0] == 0
    assert (top / "rmmod").read_text() == "lp_1"


@pytest.mark.parametrize("name", ["it's", 'say"so"', "both'and\"", "back\\slash"])
def test_rmmod_names_one_module(made, klpfs, name):
    """As insmod, whose file may have such a name."""
    top = made.service("shop")
    assert klpfs("rmmod", f"x/{name}.py")[0] == 0
    assert insmod_text.rmmod_text((top / "rmmod").read_bytes()) == name


@pytest.mark.parametrize("name", ["two words", "wide\u2003blank"])
def test_rmmod_of_a_name_that_no_module_has(made, klpfs, name):
    """It is one word for the service, which says EINVAL; not two modules."""
    top = made.service("shop")
    assert klpfs("rmmod", f"x/{name}.py")[0] == 0
    with pytest.raises(OSError, match="no name for a module"):
        insmod_text.rmmod_text((top / "rmmod").read_bytes())


@pytest.mark.parametrize("number, text", [
    (errno.ENOENT, "Module lp1 is not currently loaded"),
    (errno.EBUSY, "Module lp1 is in use"),
    (errno.EACCES, "could not remove module lp1: Permission denied"),
])
def test_rmmod_says_what_kmod_says(made, klpfs, monkeypatch, number, text):
    made.service("shop", "lp1 16384 1 - Live 0x0000000000000000 (OE K)\n")
    refuse(monkeypatch, number)
    assert klpfs("rmmod", "lp1") == (1, "", f"rmmod: ERROR: {text}\n")


def test_rmmod_names_the_holders(made, klpfs, monkeypatch):
    made.service("shop", "tgt 16384 1 lp1,lp2, Live 0x0000000000000000\n")
    refuse(monkeypatch, errno.EBUSY)
    assert klpfs("rmmod", "tgt") == (1, "", "rmmod: ERROR: Module tgt is in use by: lp1 lp2\n")


def test_lsmod_prints_as_kmod(made, klpfs):
    made.service("shop", "lp1 16384 1 - Live 0x0000000000000000 (OE K)\ntgt 12 0 a,b, Live 0x0000000000000000\n")
    assert klpfs("lsmod") == (
        0,
        "Module                  Size  Used by\nlp1                    16384  1\ntgt                       12  0 a,b\n",
        "",
    )


def test_lsmod_json(made, klpfs):
    made.service("shop", "lp1 16384 1 - Live 0x0000000000000000 (OE K)\n")
    assert json.loads(klpfs("lsmod", "--json")[1])[0]["name"] == "lp1"
