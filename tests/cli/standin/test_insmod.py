"""insmod: kmod's words and exit codes."""
import errno
import os

import pytest

from klpfs.cli.standin import module


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
