"""Which command is meant, and where modules are looked for."""
import pytest

from klpfs.cli import standin


def test_the_search_path_is_read_when_a_command_runs(monkeypatch):
    monkeypatch.setenv("KLPFS_MODULE_PATH", "/b::/a")
    assert standin.search_path(["/a"], ["/c"]) == ["/a", "/b", "/c"]


def test_kmod_is_all_of_them(monkeypatch, command, capfd):
    monkeypatch.setattr(standin.sys, "argv", ["x", "/bin/kmod", "list"])
    with pytest.raises(SystemExit) as e:
        standin.main([], [])
    assert e.value.code == 0 and capfd.readouterr().out.startswith("Module ")
    assert command("nonsense")[0] == 1
