"""dmesg: records of dev/kmsg in dmesg's form."""
import json
import os
import threading


def records(top, *lines):
    """dev/kmsg of one record a read: a pipe in packet mode."""
    (top / "dev/kmsg").unlink()
    r, w = os.pipe2(os.O_DIRECT)
    for line in lines:
        os.write(w, line)
    (top / "dev/kmsg").symlink_to(f"/proc/self/fd/{r}")
    return r, w


def test_dmesg_prints_all_there_is_and_ends(made, klpfs):
    r, w = records(made.service("shop"), b"6,0,1000001,-;one\n", b"5,1,2000002,-;two\n")
    assert klpfs("dmesg") == (0, "[    1.000001] one\n[    2.000002] two\n", "")
    os.close(r), os.close(w)


def test_dmesg_json(made, klpfs):
    r, w = records(made.service("shop"), b"6,0,1000001,-;one\n")
    assert json.loads(klpfs("dmesg", "--json")[1]) == {"priority": 6, "sequence": 0, "usec": 1000001, "text": "one"}
    os.close(r), os.close(w)


def test_dmesg_w_waits_for_new_lines(made, klpfs):
    r, w = records(made.service("shop"), b"6,0,1000001,-;one\n")
    writer = threading.Timer(0.1, lambda: (os.write(w, b"6,1,2,-;late\n"), os.close(w)))
    writer.start()
    assert klpfs("dmesg", "-w") == (0, "[    1.000001] one\n[    0.000002] late\n", "")
    os.close(r)


def test_dmesg_C_clears_and_prints_nothing(made, klpfs):
    top = made.service("shop")
    (top / "dev/.clear").write_text("")
    assert klpfs("dmesg", "-C") == (0, "", "") and (top / "dev/.clear").read_text() == "1"
