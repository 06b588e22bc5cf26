"""insmod's PATH is opened with the writer's rights: user, groups, root and working directory; what it then is, is what
is loaded."""
import errno
import os

import pytest

from tests.harness import livepatch, read

pytestmark = [pytest.mark.fuse, pytest.mark.skipif(os.geteuid() != 0, reason="takes root: writers of other users")]
USER, GROUP, OTHER = 54321, 54322, 54323


def writes(tree, text, user=USER, groups=(), cwd=None, root=None):
    """A process of that user writes `text` to insmod; its errno, 0: done."""
    pid = os.fork()
    if not pid:
        code = 255
        try:
            fd = os.open(tree.path / "insmod", os.O_WRONLY)
            if root:
                os.chroot(root)
            os.chdir(cwd or "/")
            os.setgroups(groups)
            os.setresgid(user, user, user)
            os.setresuid(user, user, user)
            os.write(fd, text.encode())
            code = 0
        except OSError as e:
            code = e.errno
        finally:
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


@pytest.fixture
def folder(live, open_path):
    """A folder that everybody can reach, and a file of the user's in it."""
    os.chmod(live.tree.path / "insmod", 0o222)
    live.expect("klpfs: insmod")
    made = open_path / "modules"
    made.mkdir()
    file = made / "lp1.py"
    file.write_text(livepatch("lp1"))
    os.chown(file, USER, USER)
    file.chmod(0o600)
    return made


def out(live):
    """lp1 goes again."""
    assert live.tree.patches() == ["lp1"]
    live.tree.settle()
    live.tree.set("lp1/enabled", "0")
    live.tree.settle()
    live.tree.rmmod("lp1")


def test_the_user_and_its_groups(live, folder):
    """What the writer may not read is not read for it, though the daemon could; a group of its own is enough."""
    assert writes(live.tree, f"{folder}/lp1.py") == 0
    out(live)
    os.chown(folder / "lp1.py", 0, 0)
    assert writes(live.tree, f"{folder}/lp1.py") == errno.EACCES and live.tree.patches() == []
    os.chown(folder / "lp1.py", 0, GROUP)
    (folder / "lp1.py").chmod(0o640)
    assert writes(live.tree, f"{folder}/lp1.py") == errno.EACCES
    assert writes(live.tree, f"{folder}/lp1.py", groups=[GROUP]) == 0
    out(live)
    folder.chmod(0o700)
    assert writes(live.tree, f"{folder}/lp1.py", groups=[GROUP]) == errno.EACCES, "nor a folder that it may not search"


def test_where_the_writer_is(live, folder):
    """A relative path, and one of a writer in a root of its own, from which no link and no '..' leads out."""
    assert writes(live.tree, "lp1.py", cwd=folder) == 0
    out(live)
    assert writes(live.tree, "modules/lp1.py", cwd=folder.parent) == 0
    out(live)
    assert writes(live.tree, "lp1.py") == errno.ENOENT
    assert writes(live.tree, "/lp1.py", root=folder) == 0
    out(live)
    (folder.parent / "lp2.py").write_text(livepatch("lp2"))
    (folder / "lp2.py").symlink_to(folder.parent / "lp2.py")
    for path in ("/../lp2.py", "../lp2.py", "/lp2.py"):
        assert writes(live.tree, path, root=folder) in (errno.ENOENT, errno.ELOOP), path
    assert live.tree.patches() == []


def test_who_else_can_write_to_it(live, folder):
    """Whoever may write to the file would decide what runs in the service."""
    file = folder / "lp1.py"
    for owner, group, mode in ((USER, USER, 0o666), (USER, OTHER, 0o664), (OTHER, USER, 0o644)):
        os.chown(file, owner, group)
        file.chmod(mode)
        assert writes(live.tree, str(file)) == errno.EACCES, (owner, group, oct(mode))
    assert live.tree.patches() == []
    assert any("strangers can write to this file" in line for line in live.tree.lines())


def test_content_and_hash_are_kept(live, folder):
    """Opened once: what is at the path later is nobody's concern, for a process that comes later neither."""
    assert writes(live.tree, f"{folder}/lp1.py") == 0
    live.tree.settle()
    (folder / "lp1.py").write_text("raise SystemExit('never read')")
    live.program.do("import subprocess")
    live.program.do(
        "child = subprocess.run([sys.executable, '-c', 'import klpfs.agent.api as a; print([m.name for m in a.agent().modules.all()])'], "
        "capture_output=True, text=True)"
    )
    assert live.program.do("child.stdout.strip()") == "['lp1']", live.program.do("child.stderr")
    record = read(live.mount.runtime / "prog" / "journal")
    content = next(line.split()[2] for line in record.splitlines() if line.startswith("patch "))
    assert read(live.mount.runtime / "prog" / content) == livepatch("lp1")
