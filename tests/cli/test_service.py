"""run, mount, umount: what the command adds to what it calls: arguments, and errors as a shell has them."""
import os
import sys

import pytest

from klpfs.cli import main as front
from klpfs.cli import service


def test_run_becomes_the_command(monkeypatch):
    """All behind -- is the command's, options too."""
    seen = []
    monkeypatch.setattr(os, "execvpe", lambda *arguments: seen.append(arguments) or sys.exit(0))
    monkeypatch.setenv("PYTHONPATH", "/srv/lib")
    try:
        front.main(["run", "-s", "web", "--keep", "--", sys.executable, "-s", "app.py", "--", "-s", "x"])
    except SystemExit:
        pass
    command, argv, environ = seen[0]
    assert (command, argv) == (sys.executable, [sys.executable, "-s", "app.py", "--", "-s", "x"])
    assert environ["PYTHONPATH"].endswith("/agent/boot:/srv/lib")
    assert (environ["KLPFS_SERVICE"], environ["KLPFS_KEEP"]) == ("web", "1")


def test_run_of_a_command_that_is_not_there(capsys):
    assert front.main(["run", "--", "/nope"]) == 127
    assert capsys.readouterr().err == "klpfs run: /nope: no such command\n"


def test_run_of_what_can_not_be_executed(capsys, tmp_path):
    (tmp_path / "x").write_text("")
    assert front.main(["run", "--", str(tmp_path / "x")]) == 126
    assert "can't be executed" in capsys.readouterr().err


def test_run_without_a_command(capsys):
    assert front.main(["run"]) == 2
    assert capsys.readouterr().err == "klpfs run: no command; as in: klpfs run -- python3 app.py\n"


@pytest.mark.parametrize("options", [[], ["-f"]])
@pytest.mark.parametrize("place, says", [
    ("nothing", "nothing: No such file or directory"), ("file/x", "file/x: Not a directory"),
    ("loop", "loop: Too many levels of symbolic links"),
])
def test_mount_names_what_it_can_not_mount_on(runtime, tmp_path, capfd, options, place, says):
    """The daemon in the background says it as one in the foreground."""
    (tmp_path / "file").write_text("")
    (tmp_path / "loop").symlink_to("loop")
    assert front.main(["mount", *options, str(tmp_path / place)]) == 1
    assert capfd.readouterr() == ("", f"klpfs mount: {tmp_path}/{says}\n")


def test_umount_of_what_is_not_mounted(tmp_path, capsys):
    assert front.main(["umount", str(tmp_path)]) == 1
    assert "no klpfs is mounted on" in capsys.readouterr().err


def test_the_empty_path_is_no_place(runtime, tmp_path, capfd, monkeypatch):
    """Neither the working directory to mount on, nor the only mount to take away, nor any mount to look in."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(service, "klpfs_mounts", lambda: [str(tmp_path)])
    for words in (["mount", ""], ["mount", "-f", ""], ["umount", ""], ["lsmod", "-m", ""]):
        assert front.main(words) == 1
        assert "No such file or directory" in capfd.readouterr()[1]
    assert not os.path.ismount(tmp_path)
