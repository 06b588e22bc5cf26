"""The mounts that this process sees, from their table."""
from klpfs.service.mountinfo import Mount, klpfs_mounts, mounts

TABLE = """22 1 0:20 / /proc rw - proc proc rw
30 1 0:31 / /mnt/a rw shared:1 - fuse.klpfs klpfs rw
31 1 0:32 / /mnt/b rw - fuse.sshfs host rw
32 1 0:33 / /mnt/c\\040d\\134e rw shared:7 master:2 - fuse.klpfs klpfs rw
33 1 0:33 /shop/sys/module /sys/module rw - fuse.klpfs klpfs rw
"""


def table(tmp_path, text=TABLE):
    path = tmp_path / "mountinfo"
    path.write_bytes(text.encode("utf-8", "surrogateescape"))
    return str(path)


def test_a_line_with_its_optional_fields_and_escapes(tmp_path):
    assert mounts(table(tmp_path))[3] == Mount(32, "0:33", "/", "/mnt/c d\\e", "fuse.klpfs")


def test_names_that_are_not_utf_8_or_have_line_separators(tmp_path):
    line = "40 1 0:9 / /mnt/\udcff\u2028\r rw - tmpfs tmpfs rw\n"
    assert [mount.point for mount in mounts(table(tmp_path, line * 2))] == ["/mnt/\udcff\u2028\r"] * 2


def test_mounts_of_klpfs_are_those_of_its_type_that_show_all_of_it(tmp_path):
    """Other FUSE mounts are not ours; parts of ours are what `klpfs exec` mounts."""
    assert klpfs_mounts(table(tmp_path)) == ["/mnt/a", "/mnt/c d\\e"]


def test_the_table_of_this_process():
    assert any(mount.point == "/proc" and mount.type == "proc" for mount in mounts())
