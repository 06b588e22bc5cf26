"""dmesg: what is done to the service's log."""



def test_dmesg_clear(tree, command):
    (tree / "dev/.clear").write_text("")
    assert command("dmesg -C") == (0, "", "") and (tree / "dev/.clear").read_text() == "1"
    assert command("dmesg -C x") == (1, "", "dmesg: bad usage\nTry 'dmesg --help' for more information.\n")
    assert command("dmesg -c -C")[2].startswith("dmesg: mutually exclusive arguments: ")
    assert command("dmesg -n 1")[0] == 0 and command("dmesg -n 9") == (1, "", "dmesg: unknown level '9'\n")
