"""sysctl, where the machine has none."""
from klpfs.cli.standin import sysctl


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
