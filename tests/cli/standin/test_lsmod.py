"""lsmod: kmod's table."""



def test_lsmod(command):
    assert command("lsmod") == (
        0,
        "Module                  Size  Used by\nuser                    4096  0\nbase                    4096  1 user\n"
        "lp1                     4096  1\n",
        "",
    )
