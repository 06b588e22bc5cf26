"""Names, files and words of the module commands."""
import errno
import os

import pytest

from klpfs.cli.standin import module
from klpfs.service import insmod_text


@pytest.mark.parametrize("name", ["lp1", "it's", 'say"so"', "both'and\"", "back\\slash"])
def test_remove_names_one_module(tree, name):
    """rmmod and modprobe -r."""
    module.remove(name)
    assert insmod_text.rmmod_text((tree / "rmmod").read_bytes()) == name


def test_hyphen_and_underscore_are_one(tree, tmp_path):
    folders = [str(tmp_path / "nowhere"), str(tmp_path / "modules")]
    for name in ("us-er", "us_er"):
        assert module.look_for(name, folders) == str(tmp_path / "modules/us-er.py")
    assert module.look_for("us_er.ko.xz", folders) == str(tmp_path / "modules/us-er.py")
    assert module.look_for("nope", folders) is None


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
