"""A service's tree of plain files for the stand-ins. (Beside the real kmod: tests/integration/test_exec.py.)"""
import pytest

from klpfs.cli import standin
from klpfs.cli.standin import dmesg, modinfo, module


@pytest.fixture
def tree(made, monkeypatch, tmp_path):
    """A service's tree with these modules: base, used by user; lp1, a livepatch in force."""
    top = made.service("shop", "user 4096 0 - Live 0x0000000000000000 (OE)\n"
                               "base 4096 1 user, Live 0x0000000000000000 (OE)\n"
                               "lp1 4096 1 - Live 0x0000000000000000 (OE K)\n")
    for reader in (module, modinfo, dmesg):
        monkeypatch.setattr(reader, "TREE", str(top))
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
