"""modinfo: by name, by path, of what is only loaded."""
import os

from klpfs.cli.standin import modprobe


def test_modinfo_by_name_and_path(command, tmp_path):
    path = tmp_path / "modules/lp-two.py"
    for what in ("lp_two", "lp-two", path):
        assert command(f"modinfo {what}") == (
            0,
            f"filename:       {path}\ndescription:    A fix.\ndepends:        \nname:           lp_two\n"
            f"livepatch:      Y\nvermagic:       {os.uname().release} klpfs\n",
            "",
        )
    assert command("modinfo -F livepatch lp_two") == (0, "Y\n", "") and command("modinfo -n lp_two")[1] == f"{path}\n"
    assert command("modinfo -0 -d lp_two")[1] == "A fix.\0"


def test_modinfo_of_what_is_only_loaded(command):
    assert command("modinfo lp1") == (0, "name:           lp1\nlivepatch:      Y\n", "")
    assert command("modinfo -F livepatch user") == (0, "", "")


def test_modinfo_of_nothing(command):
    assert command("modinfo nope base") == (1, command("modinfo base")[1], "modinfo: ERROR: Module nope not found.\n")
    assert command("modinfo broken") == (1, "",
                                         "modinfo: ERROR: could not get modinfo from 'broken': Invalid argument\n")
    assert modprobe.needs("/nowhere/x.py") == []
