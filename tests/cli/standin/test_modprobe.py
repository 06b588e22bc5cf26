"""modprobe: names, dependencies, kmod's words and exit codes."""
import errno
import os

import pytest

from klpfs.cli.standin import module


@pytest.mark.parametrize("number, said", [(errno.EBUSY, "Device or resource busy"), (errno.EINVAL, "Invalid argument"),
                                          (errno.ENOENT, "Unknown symbol in module, or unknown parameter (see dmesg)")])
def test_modprobe_has_other_words(command, monkeypatch, number, said):
    def refuse(path, parameters):
        raise OSError(number, os.strerror(number))
    monkeypatch.setattr(module, "insert", refuse)
    assert command("modprobe lp-two") == (1, "", f"modprobe: ERROR: could not insert 'lp_two': {said}\n")


def test_modprobe_loads_what_is_needed_first(command, tmp_path):
    folder = tmp_path / "modules"
    assert command("modprobe -n -v other x=1") == (0, f"insmod {folder}/lp-two.py \ninsmod {folder}/other.py x=1\n", "")
    assert command("modprobe --show-depends us-er") == (0, f"insmod {folder}/base.py \ninsmod {folder}/us-er.py \n", "")
    assert command("modprobe -n other") == (0, "", "")


def test_modprobe_of_what_is_loaded(command):
    assert command("modprobe base") == (0, "", "")
    assert command("modprobe --first-time base") == (
        1,
        "",
        "modprobe: ERROR: could not insert 'base': Module already in kernel\n",
    )


def test_modprobe_of_nothing(command, tmp_path):
    where = f"not found in directory {tmp_path}/modules\n"
    assert command("modprobe nope") == (1, "", f"modprobe: FATAL: Module nope {where}")
    assert command("modprobe -a nope base") == (1, "", f"modprobe: WARNING: Module nope {where}")
    assert command("modprobe -q nope") == (1, "", "")
    assert command("modprobe -r nope") == (1, "", "modprobe: FATAL: Module nope not found.\n")
    assert command("modprobe -r other") == (0, "", "")
    assert command("modprobe -r --first-time other") == (1, "", "modprobe: FATAL: Module other is not in kernel.\n")


def test_modprobe_d_looks_below_a_folder(command, tmp_path):
    deep = tmp_path / "image" / str(tmp_path / "modules")[1:]
    deep.mkdir(parents=True)
    (deep / "deep.py").write_text("")
    (tmp_path / "image" / "flat.py").write_text("")
    for name, path in (("deep", deep / "deep.py"), ("flat", tmp_path / "image/flat.py")):
        assert command(f"modprobe -d {tmp_path}/image -n -v {name}") == (0, f"insmod {path} \n", "")


def test_modprobe_r(tree, command):
    assert command("modprobe -r lp1") == (1, "", "modprobe: FATAL: Module lp1 is in use.\n")
    assert command("modprobe -r base") == (1, "", "modprobe: FATAL: Module base is in use.\n")
    assert command("modprobe -r -n -v user") == (0, "rmmod user\n", "") and (tree / "rmmod").read_text() == ""
