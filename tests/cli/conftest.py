"""A hand-made tree of plain files, shaped as docs/DESIGN.md#3 has it: the commands can't tell."""
import pytest

from klpfs.cli import main as front


class Made:
    """A mount folder with services made by hand."""

    def __init__(self, path):
        self.path = path

    def service(self, name, modules=""):
        top = self.path / name
        (top / "sys/kernel/livepatch").mkdir(parents=True)
        (top / "sys/module").mkdir()
        (top / "proc").mkdir()
        (top / "dev").mkdir()
        (top / "proc/modules").write_text(modules)
        for each in ("blockers", "insmod", "rmmod", "dev/kmsg"):
            (top / each).write_text("")
        return top

    def patch(self, top, name, enabled="1", transition="0", replace="0", order="1", objects=None):
        folder = top / "sys/kernel/livepatch" / name
        folder.mkdir()
        for attribute, value in (("enabled", enabled), ("transition", transition), ("force", ""), ("replace", replace),
                                 ("stack_order", order)):
            (folder / attribute).write_text(value + "\n")
        for each, (patched, functions) in (objects or {"vmlinux": ("1", ["one,1"])}).items():
            (folder / each).mkdir()
            (folder / each / "patched").write_text(patched + "\n")
            for function in functions:
                (folder / each / function).mkdir()
        return folder

    def process(self, top, pid, cmdline, tasks=()):
        folder = top / "proc" / str(pid)
        folder.mkdir()
        (folder / "comm").write_text("prog\n")
        (folder / "cmdline").write_text("\0".join(cmdline) + "\0")
        (folder / "patch_state").write_text("-1\n")
        for tid, state in tasks:
            (folder / "task" / str(tid)).mkdir(parents=True)
            (folder / "task" / str(tid) / "comm").write_text("t\n")
            (folder / "task" / str(tid) / "patch_state").write_text(f"{state}\n")


@pytest.fixture
def made(tmp_path):
    (tmp_path / "mnt").mkdir()
    return Made(tmp_path / "mnt")


@pytest.fixture
def klpfs(made, capfd):
    """klpfs(*arguments): run a command on the made tree; (exit code, stdout, stderr)."""

    def run(command, *arguments):
        code = front.main([command, "-m", str(made.path), *map(str, arguments)])
        out, err = capfd.readouterr()
        return code, out, err

    return run
