"""The file that `klpfs build -o` writes: replaced whole, or written through; links stay, and what fails leaves
nothing."""
import errno
import os
import resource
import stat
import subprocess
import sys
import threading

import pytest

from klpfs.cli.output import write_file
from klpfs.cli.tree import CommandError

TEXT = "x = 1\n" * 30000                        # more than a pipe takes at once


def fails(path, text=TEXT):
    """The errno of a write; its file is the path that was given."""
    with pytest.raises(OSError) as e:
        write_file(str(path), text)
    assert e.value.filename == str(path)
    return errno.errorcode[e.value.errno]


@pytest.fixture
def device(tmp_path):
    """device(minor): a memory device's node of its own (3: null, 5: zero, 7: full)."""
    def make(minor):
        path = tmp_path / f"device-{minor}"
        try:
            os.mknod(path, 0o666 | stat.S_IFCHR, os.makedev(1, minor))
            os.close(os.open(path, os.O_RDWR))
        except PermissionError as e:
            pytest.skip(f"no device nodes here: {e}")
        return path
    return make


def test_a_new_file(tmp_path):
    old = os.umask(0o027)
    try:
        assert write_file(str(tmp_path / "fix.py"), TEXT) is False
    finally:
        os.umask(old)
    assert (tmp_path / "fix.py").read_text() == TEXT and stat.S_IMODE((tmp_path / "fix.py").stat().st_mode) == 0o640
    assert os.listdir(tmp_path) == ["fix.py"]


def test_a_file_is_replaced_whole_and_keeps_its_mode(tmp_path):
    """Who has the old one open has it whole."""
    path = tmp_path / "fix.py"
    path.write_text("old\n")
    path.chmod(0o604)
    with open(path) as reader:
        write_file(str(path), TEXT)
        assert reader.read() == "old\n"
    assert (
        path.read_text() == TEXT and stat.S_IMODE(path.stat().st_mode) == 0o604 and os.listdir(tmp_path) == ["fix.py"]
    )


@pytest.mark.parametrize("there", [True, False])
def test_a_link_stays_and_leads_to_the_new_text(tmp_path, there):
    (tmp_path / "real").mkdir()
    if there:
        (tmp_path / "real/fix.py").write_text("old\n")
    (tmp_path / "second").symlink_to("real/fix.py")
    (tmp_path / "first").symlink_to(tmp_path / "second")
    write_file(str(tmp_path / "first"), TEXT)
    assert (
        os.readlink(tmp_path / "first") == str(tmp_path / "second")
        and os.readlink(tmp_path / "second") == "real/fix.py"
    )
    assert (tmp_path / "real/fix.py").read_text() == TEXT and os.listdir(tmp_path / "real") == ["fix.py"]


def test_a_device_is_written_and_stays(device):
    """As root on a machine's own /dev/null, which one names to learn whether a release can be built."""
    node = device(3)
    before = node.stat()
    assert write_file(str(node), TEXT) is False
    link = node.parent / "link"
    link.symlink_to(node)
    write_file(str(link), TEXT)
    assert stat.S_ISCHR(node.stat().st_mode) and node.stat().st_ino == before.st_ino and link.is_symlink()
    assert sorted(os.listdir(node.parent)) == [node.name, "link"]


def test_a_device_that_is_full(device):
    node = device(7)
    assert fails(node) == "ENOSPC" and stat.S_ISCHR(node.stat().st_mode) and os.listdir(node.parent) == [node.name]


def test_a_fifo_is_written_to_its_reader(tmp_path):
    os.mkfifo(tmp_path / "fifo")
    found = []
    reader = threading.Thread(target=lambda: found.append((tmp_path / "fifo").read_text()))
    reader.start()
    assert write_file(str(tmp_path / "fifo"), TEXT) is False
    reader.join()
    assert found == [TEXT] and stat.S_ISFIFO((tmp_path / "fifo").stat().st_mode) and os.listdir(tmp_path) == ["fifo"]


def test_a_fifo_whose_reader_leaves_is_a_failure(tmp_path):
    """Not a pipe of the command's own output, whose reader may have seen enough."""
    os.mkfifo(tmp_path / "fifo")
    reader = threading.Thread(target=lambda: open(tmp_path / "fifo").close())
    reader.start()
    with pytest.raises(CommandError, match="fifo: Broken pipe"):
        write_file(str(tmp_path / "fifo"), TEXT)
    reader.join()


@pytest.mark.parametrize("make, code", [
    (lambda path: path.mkdir(), "EISDIR"), (lambda path: path.symlink_to(path.name), "ELOOP"),
    (lambda path: path.symlink_to("no/where"), "ENOENT"),
])
def test_what_can_not_be_written(tmp_path, make, code):
    path = tmp_path / "fix.py"
    make(path)
    before = path.lstat()
    assert fails(path) == code and path.lstat() == before and os.listdir(tmp_path) == ["fix.py"]


@pytest.mark.parametrize("path, code", [
    ("", "ENOENT"), ("fix.py/", "EISDIR"), ("fix.py/.", "ENOENT"), ("fix.py/..", "ENOENT"), ("no/../fix.py", "ENOENT"),
    ("no/fix.py/", "ENOENT"), ("link/", "EISDIR"), ("to-folder", "EISDIR"), ("to-nowhere", "ENOENT"),
])
def test_what_is_no_name_for_a_file(tmp_path, monkeypatch, path, code):
    """As open(2) has it: realpath() makes a name of each."""
    monkeypatch.chdir(tmp_path)
    for name, where in (("link", "new.py"), ("to-folder", "new.py/"), ("to-nowhere", "no/../new.py")):
        os.symlink(where, name)
    with pytest.raises(OSError) as e:
        open(path, "w")
    assert errno.errorcode[e.value.errno] == code and fails(path) == code
    assert sorted(os.listdir(".")) == ["link", "to-folder", "to-nowhere"]


def test_a_name_may_be_as_long_as_names_are(tmp_path):
    path = tmp_path / ("x" * 252 + ".py")
    for text in ("old\n", TEXT):
        write_file(str(path), text)
        assert path.read_text() == text and os.listdir(tmp_path) == [path.name]


@pytest.mark.parametrize("folder", ["/dev/fd", "/proc/self/fd"])
def test_an_open_file_without_a_path_is_written_through(tmp_path, folder):
    """Its link under /proc says `fix.py (deleted)`, which may even be the name of another file."""
    path = tmp_path / "fix.py"
    with open(path, "w+") as file:
        file.write("old\n" * len(TEXT))
        file.flush()
        path.unlink()
        for others in ([], ["fix.py (deleted)"]):
            for other in others:
                (tmp_path / other).write_text("another\n")
            assert write_file(f"{folder}/{file.fileno()}", TEXT) is False
            file.seek(0)
            assert file.read() == TEXT and os.listdir(tmp_path) == others
            assert all((tmp_path / other).read_text() == "another\n" for other in others)


def test_a_pipe_is_written_through_by_its_number():
    r, w = os.pipe()
    with open(r) as reader:
        assert write_file(f"/proc/self/fd/{w}", "text\n") is False
        os.close(w)
        assert reader.read() == "text\n"


def limit():
    resource.setrlimit(resource.RLIMIT_FSIZE, (40, 40))    # bytes: what is longer fails, as on a full disk


def build(*options, **popen):
    """klpfs build of two small releases; the finished process."""
    return subprocess.run([sys.executable, "-m", "klpfs", "build", "--no-verify", *map(str, options)],
                          stderr=subprocess.PIPE, text=True, **popen)


@pytest.fixture
def releases(tmp_path):
    folder = tmp_path / "releases"
    for version, number in (("old", 1), ("new", 2)):
        (folder / version).mkdir(parents=True)
        (folder / version / "m.py").write_text(f"def f():\n    return {number}\n")
    return folder / "old", folder / "new"


def test_a_full_disk_leaves_the_old_file_and_no_other(tmp_path, releases):
    (tmp_path / "out").mkdir()
    path = tmp_path / "out" / "fix.py"
    done = build(*releases, "-o", path, preexec_fn=limit, stdout=subprocess.DEVNULL)
    assert (done.returncode, done.stderr) == (1, f"klpfs build: {path}: File too large\n")
    assert os.listdir(path.parent) == []
    path.write_text("old\n")
    assert build(*releases, "-o", path, preexec_fn=limit, stdout=subprocess.DEVNULL).returncode == 1
    assert path.read_text() == "old\n" and os.listdir(path.parent) == ["fix.py"]


def test_an_interrupt_leaves_no_other_file(tmp_path, monkeypatch):
    def interrupted(fd, data):
        raise KeyboardInterrupt
    monkeypatch.setattr(os, "write", interrupted)
    with pytest.raises(KeyboardInterrupt):
        write_file(str(tmp_path / "fix.py"), TEXT)
    monkeypatch.undo()
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("name", ["/dev/stdout", "/dev/fd/1", "/proc/self/fd/1"])
def test_the_standard_output_is_printed_to(releases, name):
    """The livepatch alone: what else there is to say goes to the standard error."""
    done = build(*releases, "-o", name, stdout=subprocess.PIPE)
    assert done.returncode == 0 and done.stderr == f"{name}: 1 functions in 1 modules\n"
    compile(done.stdout, name, "exec")
    assert "patch = Patch(" in done.stdout


def test_the_standard_output_is_a_file(tmp_path, releases):
    """What is in it already stays: `{ echo; klpfs build ... -o /dev/stdout; echo; } > FILE`."""
    with open(tmp_path / "all", "w") as out:
        out.write("# before\n")
        out.flush()
        assert build(*releases, "-o", "/dev/stdout", stdout=out).returncode == 0
        out.seek(0, os.SEEK_END)
        out.write("# after\n")
    text = (tmp_path / "all").read_text()
    assert text.startswith("# before\n") and text.endswith("# after\n") and "patch = Patch(" in text
    assert sorted(os.listdir(tmp_path)) == ["all", "releases"]


def test_the_null_device_as_output_and_as_standard_output_is_quiet(releases, device):
    with open(device(3), "w") as null:
        done = build(*releases, "-o", null.name, stdout=null)
    assert (done.returncode, done.stderr) == (0, "")


def test_build_says_what_it_wrote(tmp_path, releases):
    done = build(*releases, "-o", tmp_path / "fix.py", stdout=subprocess.PIPE)
    assert (done.returncode, done.stdout, done.stderr) == (0, f"{tmp_path}/fix.py: 1 functions in 1 modules\n", "")


def test_build_names_the_output_that_has_no_name(releases):
    done = build(*releases, "-o", "", stdout=subprocess.PIPE)
    assert (done.returncode, done.stdout, done.stderr) == (1, "", "klpfs build: '': No such file or directory\n")
