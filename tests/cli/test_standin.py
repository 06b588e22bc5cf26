"""The module commands of `klpfs exec`, on a tree of plain files: kmod's words and exit codes. (Beside the real kmod:
integration/test_exec.py.)"""
import errno
import os

import pytest

from klpfs.cli import standin
from klpfs.cli.standin import dmesg, modinfo, modprobe, module, options, rmmod, sysctl
from klpfs.service import insmod_text


@pytest.fixture
def tree(made, monkeypatch, tmp_path):
    """A service's tree with these modules: base, used by user; lp1, a livepatch in force."""
    top = made.service("shop",
                       "user 4096 0 - Live 0x0000000000000000 (OE)\nbase 4096 1 user, Live 0x0000000000000000 (OE)\n"
                               "lp1 4096 1 - Live 0x0000000000000000 (OE K)\n")
    for each in (module, modinfo, dmesg):
        monkeypatch.setattr(each, "TREE", str(top))
    monkeypatch.delenv("KLPFS_MODULE_PATH", raising=False)
    (tmp_path / "modules").mkdir()
    for name, text in (("base", "x = 1\n"), ("us-er", "import base\n"),
                       ("lp-two", "'''A fix.'''\nfrom klpfs import Patch\npatch = Patch(objects=[])\n"),
                       ("broken", "def\n"), ("other", "import lp_two\n")):
        (tmp_path / "modules" / f"{name}.py").write_text(text)
    return top


@pytest.fixture
def command(tree, tmp_path, capfd):
    """command("rmmod lp1"): (exit code, stdout, stderr)."""
    def run(text):
        name, *words = text.split()
        code = standin.run(name, words, [str(tmp_path / "modules")], [])
        out, err = capfd.readouterr()
        return code, out, err
    return run


# -- the command line

KNOWN = {"all": options.NONE, "alias": options.NONE, "field": options.ONE, "color": options.MAYBE}
SHORT = {"a": "all", "F": "field", "L": "color"}


@pytest.mark.parametrize("words, found, rest", [
    (["-a", "x", "--all"], [("all", None), ("all", None)], ["x"]),
    (["-aF", "f", "x"], [("all", None), ("field", "f")], ["x"]),
    (["-Ff"], [("field", "f")], []),
    (["--field", "f", "--fie=g"], [("field", "f"), ("field", "g")], []),
    (["-L", "x"], [("color", None)], ["x"]),
    (["-Lnever", "--color=auto"], [("color", "never"), ("color", "auto")], []),
    (["-a", "--", "-a", "-"], [("all", None)], ["-a", "-"]),
])
def test_options_as_getopt_takes_them(words, found, rest):
    assert options.parse(words, KNOWN, SHORT) == (found, rest)


def test_options_end_at_the_first_other_word_where_that_is_asked_for(monkeypatch):
    assert options.parse(["-a", "x", "-a"], KNOWN, SHORT, in_order=True) == ([("all", None)], ["x", "-a"])
    monkeypatch.setenv("POSIXLY_CORRECT", "1")
    assert options.parse(["x", "-a"], KNOWN, SHORT) == ([], ["x", "-a"])


@pytest.mark.parametrize("words, text", [
    (["-x"], "invalid option -- 'x'"), (["--xyz=1"], "unrecognized option '--xyz'"),
    (["-F"], "option requires an argument -- 'F'"), (["--field"], "option '--field' requires an argument"),
    (["--all=1"], "option '--all' doesn't allow an argument"),
    (["--al"], "option '--al' is ambiguous; possibilities: '--all' '--alias'"),
])
def test_what_getopt_says_of_a_wrong_one(words, text):
    with pytest.raises(options.Wrong) as e:
        options.parse(words, KNOWN, SHORT)
    assert str(e.value) == text


# -- names and files

@pytest.mark.parametrize("word", ["plain", "two words", "it's", 'say "so"', "both ' and \"", "", "a=b c", "\t"])
def test_a_quoted_word_arrives_as_it_was(word):
    path, *rest = insmod_text.words(f"path {module.quoted(word)} end".encode())
    assert (path, rest) == ("path", [word, "end"])


def test_hyphen_and_underscore_are_one(tree, tmp_path):
    folders = [str(tmp_path / "nowhere"), str(tmp_path / "modules")]
    for name in ("us-er", "us_er"):
        assert module.look_for(name, folders) == str(tmp_path / "modules/us-er.py")
    assert module.look_for("us_er.ko.xz", folders) == str(tmp_path / "modules/us-er.py")
    assert module.look_for("nope", folders) is None


def test_a_ko_is_the_py_beside_it(tmp_path):
    (tmp_path / "one.py").write_text("")
    assert module.file_of(str(tmp_path / "one.ko")) == str(tmp_path / "one.py")
    (tmp_path / "one.ko").write_text("")
    assert module.file_of(str(tmp_path / "one.ko")) == str(tmp_path / "one.ko")
    assert module.file_of("two.ko") == "two.ko"


def test_the_search_path_is_read_when_a_command_runs(monkeypatch):
    monkeypatch.setenv("KLPFS_MODULE_PATH", "/b::/a")
    assert standin.search_path(["/a"], ["/c"]) == ["/a", "/b", "/c"]


# -- the commands

def test_insmod_writes_path_and_parameters(tree, command, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert command("insmod modules/base.ko x=1") == (0, "", "")
    assert (tree / "insmod").read_text() == f"{tmp_path}/modules/base.py x=1"


@pytest.mark.parametrize("number, said",
                         [(errno.EEXIST, "File exists"), (errno.EINVAL, "Invalid parameters"),
                          (errno.ENOEXEC, "Invalid module format"),
                                          (errno.EBUSY, "Device or resource busy"),
                                          (errno.ENOENT, "Unknown symbol in module, or unknown parameter (see dmesg)")])
def test_insmod_says_why_in_kmod_s_words(command, monkeypatch, tmp_path, number, said):
    def refuse(path, parameters):
        raise OSError(number, os.strerror(number))
    monkeypatch.setattr(module, "insert", refuse)
    path = tmp_path / "modules/base.py"
    assert command(f"insmod {path}") == (1, "", f"insmod: ERROR: could not insert module {path}: {said}\n")


@pytest.mark.parametrize("number, said", [(errno.EBUSY, "Device or resource busy"), (errno.EINVAL, "Invalid argument"),
                                          (errno.ENOENT, "Unknown symbol in module, or unknown parameter (see dmesg)")])
def test_modprobe_has_other_words(command, monkeypatch, number, said):
    def refuse(path, parameters):
        raise OSError(number, os.strerror(number))
    monkeypatch.setattr(module, "insert", refuse)
    assert command("modprobe lp-two") == (1, "", f"modprobe: ERROR: could not insert 'lp_two': {said}\n")


def test_not_one_s_own_service_is_operation_not_permitted(monkeypatch):
    """The file's EACCES is what a system call's EPERM is for a kernel."""
    class Refusing:
        O_WRONLY, strerror = os.O_WRONLY, os.strerror

        @staticmethod
        def open(path, flags):
            raise PermissionError(errno.EACCES, "Permission denied")
    monkeypatch.setattr(module, "os", Refusing)
    with pytest.raises(PermissionError) as e:
        module.write("insmod", "x")
    assert e.value.errno == errno.EPERM


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


def test_rmmod(tree, command, monkeypatch):
    assert command("rmmod ./us-er.py")[2] == "rmmod: ERROR: Module us_er is not currently loaded\n"
    assert command("rmmod lp1 base nope") == (
        1,
        "",
        "rmmod: ERROR: Module lp1 is in use\nrmmod: ERROR: Module base is in use by: user\n"
        "rmmod: ERROR: Module nope is not currently loaded\n",
    )
    assert command("rmmod user") == (0, "", "") and (tree / "rmmod").read_text() == "user"
    monkeypatch.setattr(module, "remove",
                        lambda name: (_ for _ in ()).throw(OSError(errno.EBUSY, "Device or resource busy")))
    assert command("rmmod -f lp1") == (1, "",
                                       "rmmod: ERROR: could not remove module lp1: Resource temporarily unavailable\n")
    assert rmmod.why_not("user") == ""


def test_lsmod(command):
    assert command("lsmod") == (
        0,
        "Module                  Size  Used by\nuser                    4096  0\nbase                    4096  1 user\n"
        "lp1                     4096  1\n",
        "",
    )


def test_modinfo_by_name_and_path(command, tmp_path):
    path = tmp_path / "modules/lp-two.py"
    for what in ("lp_two", "lp-two", path):
        assert command(f"modinfo {what}") == (
            0,
            f"filename:       {path}\ndescription:    A fix.\ndepends:        \nname:           lp_two\n"
            "livepatch:      Y\n",
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


def test_kmod_is_all_of_them(monkeypatch, command, capfd):
    monkeypatch.setattr(standin.sys, "argv", ["x", "/bin/kmod", "list"])
    with pytest.raises(SystemExit) as e:
        standin.main([], [])
    assert e.value.code == 0 and capfd.readouterr().out.startswith("Module ")
    assert command("nonsense")[0] == 1


def test_sysctl_where_there_is_none(command, monkeypatch, tmp_path):
    (tmp_path / "kernel").mkdir()
    key = tmp_path / "kernel/ftrace_enabled"
    key.write_text("1\n")
    monkeypatch.setattr(sysctl, "TOP", str(tmp_path))
    assert command("sysctl kernel.ftrace_enabled") == (0, "kernel.ftrace_enabled = 1\n", "")
    assert command("sysctl -n kernel/ftrace_enabled") == (0, "1\n", "")
    assert (
        command("sysctl -w kernel.ftrace_enabled=0") == (0, "kernel.ftrace_enabled = 0\n", "")
        and key.read_text() == "0\n"
    )
    assert command("sysctl -q kernel.ftrace_enabled=1") == (0, "", "")
    assert command("sysctl kernel.nope") == (1, "",
                                             f"sysctl: cannot stat {tmp_path}/kernel/nope: No such file or directory\n")
    assert command("sysctl -e kernel.nope") == (0, "", "")
    assert command("sysctl -w kernel.ftrace_enabled")[0] == 1


def test_dmesg_clear(tree, command):
    (tree / "dev/.clear").write_text("")
    assert command("dmesg -C") == (0, "", "") and (tree / "dev/.clear").read_text() == "1"
    assert command("dmesg -C x") == (1, "", "dmesg: bad usage\nTry 'dmesg --help' for more information.\n")
    assert command("dmesg -c -C")[2].startswith("dmesg: mutually exclusive arguments: ")
    assert command("dmesg -n 1")[0] == 0 and command("dmesg -n 9") == (1, "", "dmesg: unknown level '9'\n")
