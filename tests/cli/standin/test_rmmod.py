"""rmmod: kmod's words and exit codes."""
import errno

from klpfs.cli.standin import module, rmmod


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
