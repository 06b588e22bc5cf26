"""Who lives, whatever a socket says: the note beside it, and when it is believed."""
import os
import pathlib
import signal
import subprocess
import sys

import pytest

from klpfs.protocol import life
from klpfs.protocol.folder import Folder
from klpfs.protocol.life import anybody, forget, life_name, lives, note, own_life, pid_of
from tests import harness

SOCKET = "0123abcd.sock"
NOTES = """
import os, sys
from klpfs.protocol import life
from klpfs.protocol.folder import Folder
life.note(Folder(sys.argv[1]), sys.argv[2])
print("noted", flush=True)
line = sys.stdin.readline()
if line == "exec\\n":
    os.execvp("cat", ["cat"])
"""


@pytest.fixture
def folder(tmp_path):
    return Folder(str(tmp_path / "shop")) if (tmp_path / "shop").mkdir(0o700) is None else None


@pytest.fixture
def other(folder):
    """A process that has noted itself."""
    process = subprocess.Popen([sys.executable, "-c", NOTES, folder.path, SOCKET], stdin=subprocess.PIPE,
                               stdout=subprocess.PIPE, text=True, cwd=harness.HERE.parent)
    assert process.stdout.readline() == "noted\n"
    yield process
    process.kill()
    process.communicate()


def noted(folder, **words):
    """Note this process, with other words."""
    pid, began, namespace, space = own_life().split()
    known = {"pid": pid, "began": began, "namespace": namespace, "space": space, **words}
    folder.put_link(life_name(SOCKET), " ".join(known.values()))


def test_a_process_notes_itself_and_is_forgotten(folder):
    note(folder, SOCKET)
    assert os.listdir(folder.path) == ["0123abcd.life"] and os.path.islink(folder.path + "/0123abcd.life")
    assert lives(folder, SOCKET) and anybody(folder, folder.names()) and pid_of(folder, SOCKET) == os.getpid()
    note(folder, SOCKET)
    forget(folder, SOCKET)
    assert os.listdir(folder.path) == [] and not lives(folder, SOCKET) and not anybody(folder, folder.names())
    assert pid_of(folder, SOCKET) == 0


def test_a_process_that_is_dead(folder, other):
    """Also before its parent has waited for it: then its number is not another's yet."""
    assert lives(folder, SOCKET) and pid_of(folder, SOCKET) == other.pid
    other.send_signal(signal.SIGSTOP)
    assert lives(folder, SOCKET)
    other.kill()
    os.waitid(os.P_PID, other.pid, os.WEXITED | os.WNOWAIT)
    assert not lives(folder, SOCKET)
    other.wait()
    assert not lives(folder, SOCKET)


def test_a_process_that_has_become_another_program(folder, other):
    """Its agent is gone."""
    assert lives(folder, SOCKET)
    other.stdin.write("exec\n")
    other.stdin.flush()
    harness.until(lambda: pathlib.Path(f"/proc/{other.pid}/comm").read_text() == "cat\n", "the other program")
    harness.until(lambda: not lives(folder, SOCKET), "its end")         # its stack is laid out after its name


def test_a_number_that_is_another_processs_by_now(folder):
    noted(folder, began="1")
    assert not lives(folder, SOCKET)


@pytest.mark.parametrize("words", [{"began": "-"}, {"space": "-"}, {"began": "-", "space": "-"}])
def test_what_could_not_be_noted_is_not_compared(folder, words):
    """Without descriptors /proc can't be read."""
    noted(folder, **words)
    assert lives(folder, SOCKET)


def test_notes_of_the_dead_go_once_their_sockets_are_gone(folder, other):
    """Of whoever has removed a socket and not the note."""
    note(folder, "a.sock")
    folder.put_link("b.life", "1 1 1 1")
    folder.put_link("c.life", os.readlink(folder.path + "/a.life").replace(str(os.getpid()), "999999999"))
    folder.put_link("d.life", os.readlink(folder.path + "/c.life"))
    open(folder.path + "/d.sock", "w").close()
    life.forget_dead(folder, folder.names())
    assert sorted(folder.names()) == ["0123abcd.life", "a.life", "b.life", "d.life", "d.sock"]


def test_another_pid_namespace_is_not_judged(folder):
    """Process 1 of a container is not process 1 here: nobody is known to be dead, so nothing is removed."""
    noted(folder, namespace="1", pid="999999999", began="1")
    assert lives(folder, SOCKET) and pid_of(folder, SOCKET) == 0


def test_a_beginning_in_another_time_namespace_is_not_compared(folder, monkeypatch):
    """The kernel shows it shifted as the reader's namespace is (time_namespaces(7))."""
    note(folder, SOCKET)
    with monkeypatch.context() as patched:
        patched.setattr(life, "FIRST_TIME", "1")
        assert own_life().split()[1] == "-" and lives(folder, SOCKET)
        noted(folder, began="1", space="1/1/1")
        assert not lives(folder, SOCKET), "another address space is another program"
        noted(folder, began="1")
        assert lives(folder, SOCKET)
    assert not lives(folder, SOCKET)


def test_a_process_in_a_time_namespace_of_its_own_lives(folder):
    command = ["unshare", "-T", "--boottime", "100000", "--fork", "--kill-child"]
    if subprocess.run([*command, "true"], capture_output=True).returncode:
        pytest.skip("no time namespace can be made")
    process = subprocess.Popen([*command, sys.executable, "-c", NOTES, folder.path, SOCKET], stdin=subprocess.PIPE,
                               stdout=subprocess.PIPE, text=True, cwd=harness.HERE.parent)
    assert process.stdout.readline() == "noted\n"
    assert lives(folder, SOCKET) and pid_of(folder, SOCKET) not in (0, process.pid)
    process.kill()
    process.communicate()
    harness.until(lambda: not lives(folder, SOCKET), "its end")


def test_a_process_that_can_not_be_looked_at_lives(folder, monkeypatch):
    """No descriptors here; or another user's where /proc hides them."""
    noted(folder)
    monkeypatch.setattr(life, "_stat_of", lambda pid: None)
    assert lives(folder, SOCKET)
    noted(folder, pid="1")
    assert lives(folder, SOCKET)
    noted(folder, pid="999999999")
    assert not lives(folder, SOCKET)


@pytest.mark.parametrize("text", ["", "1", "a b c d", "-1 1 1 1", "0 1 1 1", "99999999999999999999 1 1 1", "1 1 1 1 1",
                                  "/etc/passwd", "\\udcff 1 1 1"])
def test_what_is_no_note_says_nothing(folder, text):
    if text:
        os.symlink(text, folder.path + "/0123abcd.life")
    else:
        open(folder.path + "/0123abcd.life", "w").close()
    assert not lives(folder, SOCKET) and not anybody(folder, folder.names()) and pid_of(folder, SOCKET) == 0


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root: other users")
def test_in_a_shared_folder_nobody_is_believed_about_another_users_process(folder):
    """Else a worker could keep a dead service's journal in force for ever, by a note about process 1."""
    def note_of(user, **words):
        noted(folder, **words)
        os.chown(folder.path + "/0123abcd.life", user, user, follow_symlinks=False)
    child = subprocess.Popen(["sleep", "60"], user=12345)
    try:
        for words, lives_still in (({"pid": str(child.pid), "began": "-", "space": "-"}, True),
                                   ({"pid": "1", "began": "-", "space": "-"}, False), ({}, False),
                                   ({"namespace": "1"}, False)):
            note_of(12345, **words)
            assert lives(folder, SOCKET) == lives_still, words
            note_of(0, **words)
            assert lives(folder, SOCKET)
    finally:
        child.kill()
        child.wait()


def test_no_descriptor_is_needed(folder):
    """Where a program has none left, its agent can bind no socket; but it can say that it lives, and be believed."""
    code = (f"import resource, sys\nfrom klpfs.protocol import life\nfrom klpfs.protocol.folder import Folder\n"
            f"resource.setrlimit(resource.RLIMIT_NOFILE, (0, 0))\nfolder = Folder({folder.path!r})\n"
            f"life.note(folder, {SOCKET!r})\nassert life.lives(folder, {SOCKET!r})\nlife.forget(folder, 'x.sock')")
    done = subprocess.run([sys.executable, "-c", code], cwd=harness.HERE.parent, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    pid, began, _, space = os.readlink(folder.path + "/0123abcd.life").split()
    assert (began, space) == ("-", "-") and int(pid) and not lives(folder, SOCKET)
