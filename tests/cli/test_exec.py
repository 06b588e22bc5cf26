"""klpfs exec without namespaces: what it refuses and how it says so, and what it would mount where.

The command in a real namespace: tests/integration/test_exec.py.
"""
import argparse
import errno
import os
import pathlib
import signal
import stat
import subprocess
import sys

import pytest

from klpfs.cli import exec as exec_
from klpfs.cli.standin import NAMES
from klpfs.cli.tree import CommandError


def refusal(klpfs, *arguments):
    """(exit code, what it says) of a call that ends with words."""
    code, out, err = klpfs("exec", *arguments)
    assert out == ""
    return code, err


class Became(Exception):
    """The process would be another program now."""


@pytest.fixture
def become(made, monkeypatch):
    """become(*argv): (program, argv, environment) that `run` becomes in the service shop; become.calls: what came
    before."""
    made.service("shop")
    (made.path / ".exec/shop/proc/.klpfs").mkdir(parents=True)
    calls = []
    monkeypatch.setattr(exec_, "enter", lambda: calls.append("enter"))
    monkeypatch.setattr(exec_, "arrange", lambda *arguments: calls.append(arguments))
    monkeypatch.setattr(exec_.signal, "signal", lambda number, action: calls.append((number, action)))

    def execute(*arguments):
        raise Became(*arguments)
    monkeypatch.setattr(os, "execvpe", execute)
    monkeypatch.setattr(os, "execve", execute)

    def run(*argv, modules="", one_voice=False):
        with pytest.raises(Became) as caught:
            exec_.run(argparse.Namespace(service="shop", mount=str(made.path), modules=modules,
                                           one_voice=one_voice, argv=list(argv)))
        return caught.value.args
    run.calls = calls
    return run


# -- refusals

def test_no_command(klpfs):
    assert refusal(klpfs, "shop") == (2, "klpfs exec: no command; as in: klpfs exec shop -- modprobe fix\n")
    assert refusal(klpfs, "shop", "--")[0] == 2


def test_no_such_service(klpfs, made):
    made.service("shop")
    code, err = refusal(klpfs, "nope", "--", "true")
    assert code == 1 and f"no service nope in {made.path}; running: shop" in err


def test_a_daemon_of_an_earlier_klpfs(klpfs, made):
    """Its tree has no folder for the session."""
    made.service("shop")
    code, err = refusal(klpfs, "shop", "--", "true")
    assert code == 1 and "is of an earlier klpfs: umount and mount it again" in err


@pytest.mark.parametrize("number, why", [
    (errno.ENOSPC, "user namespaces are switched off (user.max_user_namespaces)"),
    (errno.EACCES, "a security profile forbids to mount"), (errno.EPERM, "Operation not permitted")])
def test_no_namespace_can_be_had(become, klpfs, monkeypatch, number, why):
    """The reason, what would help, and what needs none."""
    def fail():
        raise OSError(number, os.strerror(number))
    monkeypatch.setattr(exec_, "enter", fail)
    code, err = refusal(klpfs, "shop", "--", "true")
    assert code == 1 and f"no mount namespace of one's own can be had here: {why}." in err
    assert "klpfs insmod -s shop" in err and become.calls == []


def test_the_service_can_not_be_put_there(become, klpfs, monkeypatch):
    def fail(*arguments):
        raise OSError(errno.EINVAL, "Invalid argument", "/proc")
    monkeypatch.setattr(exec_, "arrange", fail)
    assert refusal(klpfs, "shop", "--", "true") == (
        1, "klpfs exec: /proc: Invalid argument: the service can't be put there\n")


@pytest.mark.parametrize("number, code", [(errno.ENOENT, 127), (errno.ENOTDIR, 127), (errno.EACCES, 126),
                                          (errno.E2BIG, 126)])
def test_what_can_not_be_run_has_a_shell_s_exit_codes(become, klpfs, monkeypatch, number, code):
    def fail(*arguments):
        raise OSError(number, os.strerror(number))
    monkeypatch.setattr(os, "execvpe", fail)
    assert refusal(klpfs, "shop", "--", "no-such") == (code, f"klpfs exec: no-such: {os.strerror(number)}\n")


# -- what it becomes

def test_the_command_gets_its_words_and_the_stand_ins_first(become, monkeypatch):
    monkeypatch.setenv("PATH", "/a:/b")
    monkeypatch.setenv("FLAVOUR", "plum")
    program, argv, environ = become("--", "sh", "-c", "--")
    assert (program, argv) == ("sh", ["sh", "-c", "--"])
    assert environ["PATH"] == "/sys/kernel/.klpfs:/a:/b" and environ["FLAVOUR"] == "plum"


def test_the_namespace_is_entered_before_anything_is_mounted(become, made, monkeypatch, tmp_path):
    """And modprobe looks in the folders of -M first, then where this was started and beside what is run."""
    monkeypatch.chdir(tmp_path)
    become("true", modules="x::/y")
    tree = made.path / "shop"
    assert become.calls[:2] == ["enter", (tree, made.path / ".exec/shop/proc", tree / "dev/kmsg",
                                          [str(tmp_path / "x"), "/y"], [str(tmp_path), *exec_.DEFAULTS])]


def test_the_signals_that_python_ignores_are_as_they_were(become):
    become("true")
    assert (signal.SIGPIPE, signal.SIG_DFL) in become.calls and (signal.SIGXFSZ, signal.SIG_DFL) in become.calls


def test_a_script_without_a_first_line_is_a_shell_s(become, monkeypatch, tmp_path):
    """As execvp(3) does it, found in the PATH too."""
    script = tmp_path / "fix"
    script.write_text("echo x\n")
    script.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))

    def fail(*arguments):
        raise OSError(errno.ENOEXEC, "Exec format error")
    monkeypatch.setattr(os, "execvpe", fail)
    assert become("fix", "a")[:2] == ("/bin/sh", ["sh", str(script), "a"])


# -- where modules may lie

def test_folders_beside_what_is_run(monkeypatch, tmp_path):
    """The working directory, and those of files among the words; a bare word is in the PATH, a missing file nowhere."""
    (tmp_path / "sub").mkdir()
    for name in ("run", "sub/data", "bare"):
        (tmp_path / name).touch()
    monkeypatch.chdir(tmp_path)
    here = str(tmp_path)
    assert exec_.beside(["bash"]) == [here]
    assert exec_.beside(["./run", "bare", "sub/data", "sub/none", "sub/"]) == [here, here, f"{here}/sub"]


def test_a_working_directory_that_was_removed(monkeypatch, tmp_path):
    def fail():
        raise FileNotFoundError
    monkeypatch.setattr(os, "getcwd", fail)
    assert exec_.beside(["./run"]) == []


# -- what is mounted where

@pytest.fixture
def mounts(monkeypatch):
    """The mounts that would be made: (source, target). What a tmpfs covers is moved away."""
    made = []

    def mount(source, target, kind="", flags=0, data=""):
        made.append((source, str(target)))
        if kind == "tmpfs":
            os.rename(target, f"{target}.covered")
            os.mkdir(target)
    monkeypatch.setattr(exec_, "mount", mount)
    monkeypatch.setattr(exec_, "_copies", set())
    return made


def test_a_target_that_exists_is_mounted_on_as_it_is(mounts, tmp_path):
    (tmp_path / "source").mkdir()
    (tmp_path / "target").mkdir()
    exec_.bind(tmp_path / "source", tmp_path / "target")
    assert mounts == [(str(tmp_path / "source"), str(tmp_path / "target"))]


@pytest.mark.parametrize("kind", ["folder", "file"])
def test_a_target_that_does_not_exist_is_made_in_a_copy_of_its_folder(mounts, tmp_path, kind):
    """What was in the folder is mounted into the copy; links are made again."""
    source, place = tmp_path / "source", tmp_path / "place"
    source.mkdir() if kind == "folder" else source.touch()
    place.mkdir()
    (place / "sub").mkdir()
    (place / "file").touch()
    (place / "link").symlink_to("file")
    exec_.bind(source, place / "new")
    assert mounts[0] == ("klpfs", str(place)) and mounts[-1] == (str(source), str(place / "new"))
    assert sorted(mounts[1:-1]) == [("file", str(place / "file")), ("sub", str(place / "sub"))]
    assert os.readlink(place / "link") == "file" and (place / "sub").is_dir() and (place / "file").is_file()
    assert stat.S_ISDIR((place / "new").stat().st_mode) == (kind == "folder")


def test_a_folder_is_copied_once(mounts, tmp_path):
    (tmp_path / "folder").mkdir()
    exec_.copy(tmp_path / "folder")
    exec_.copy(tmp_path / "folder")
    assert mounts == [("klpfs", str(tmp_path / "folder"))]


def test_a_copy_leaves_the_working_directory_as_it_was(mounts, monkeypatch, tmp_path):
    (tmp_path / "folder").mkdir()
    monkeypatch.chdir(tmp_path)
    exec_.copy(tmp_path / "folder")
    assert os.getcwd() == str(tmp_path)


# -- the stand-ins

@pytest.fixture
def machine(mounts, monkeypatch, tmp_path):
    """A machine's folders: its commands go into machine/sbin; the stand-ins come to machine/bin."""
    for name in ("sbin", "place"):
        (tmp_path / name).mkdir()
    for name, value in (("BIN", tmp_path / "bin"), ("REAL", tmp_path / "place/real"),
                        ("SBIN", (str(tmp_path / "sbin"), ))):
        monkeypatch.setattr(exec_, name, value)
    monkeypatch.setattr(exec_, "_copies", {tmp_path})
    monkeypatch.setenv("PATH", str(tmp_path / "sbin"))
    return tmp_path


def command(path, text="#!/bin/sh\n"):
    path.write_text(text)
    path.chmod(0o755)
    return path


def test_every_command_has_its_stand_in_where_the_machine_has_none(machine, mounts):
    exec_.stand_in([], [])
    assert sorted(os.listdir(machine / "bin")) == sorted(NAMES)
    assert mounts == [("klpfs", str(machine / "bin"))]


def test_a_machine_s_own_sysctl_is_left(machine):
    """kernel.ftrace_enabled is a file under /proc for it, too."""
    command(machine / "sbin/sysctl")
    exec_.stand_in([], [])
    assert sorted(os.listdir(machine / "bin")) == sorted(set(NAMES) - {"sysctl"})


def test_a_machine_s_own_commands_are_covered_and_kept_in_reach(machine, mounts):
    """A script may call them by path; the stand-in calls the real one for what is no module of a service."""
    command(machine / "sbin/modprobe")
    exec_.stand_in([], [])
    own, kept = str(machine / "sbin/modprobe"), str(machine / "place/real/modprobe")
    assert mounts[1:] == [(own, kept), (str(machine / "bin/modprobe"), own)]


def test_links_to_kmod_are_covered_by_covering_kmod_once(machine, mounts):
    own = command(machine / "sbin/kmod")
    for name in ("insmod", "lsmod", "rmmod"):
        (machine / "sbin" / name).symlink_to("kmod")
    exec_.stand_in([], [])
    assert [target for _, target in mounts[1:]] == [str(machine / "place/real/kmod"), str(own)]


def test_a_command_that_is_a_link_to_a_program_of_many_is_left(machine, mounts):
    """busybox: to cover it would cover the shell."""
    command(machine / "sbin/busybox")
    (machine / "sbin/insmod").symlink_to("busybox")
    exec_.stand_in([], [])
    assert mounts[1:] == [] and (machine / "bin/insmod").exists()


def test_a_stand_in_runs_the_python_and_the_klpfs_of_the_session(machine):
    """Whatever the command's environment says, and from any folder."""
    exec_.stand_in([], [])
    done = subprocess.run([machine / "bin/lsmod", "x"], capture_output=True, text=True, cwd="/",
                          env={"PYTHONPATH": "/none", "PYTHONHOME": "/none"}, timeout=60)
    assert (done.returncode, done.stdout, done.stderr) == (1, "", "Usage: lsmod\n")
    assert sys.executable in pathlib.Path(machine / "bin/lsmod").read_text()


def test_refusals_are_command_errors(made):
    """So that main says them in one line."""
    with pytest.raises(CommandError):
        exec_.run(argparse.Namespace(service="none", mount=str(made.path), modules="", argv=["true"]))
