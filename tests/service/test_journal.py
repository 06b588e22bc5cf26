"""The journal on disk: replaced as a whole under a lock, contents beside it, faults."""
import contextlib
import errno
import fcntl
import hashlib
import os
import stat
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from klpfs.protocol import folder as folder_module
from klpfs.protocol import life
from klpfs.protocol import record_text as text
from klpfs.service.journal import Journal
from tests.service.fake_agent import sleeper

NAMES = st.text(st.characters(blacklist_categories=["Cs"]),
                max_size=12) | st.sampled_from(["", "a b", "%41", "\n", "\udce4"])
NUMBERS = st.integers(0, 2 ** 40)
PARAMS = st.dictionaries(NAMES, st.none() | NAMES, max_size=3)
SHA = st.text("0123456789abcdef", min_size=64, max_size=64)
RECORDS = st.fixed_dictionaries({
    "seq": NUMBERS,
    "patches": st.lists(st.fixed_dictionaries({
        "name": NAMES, "n": NUMBERS, "sha256": SHA, "params": PARAMS,
        "fingerprints": st.just("") | SHA}), max_size=3),
    "modules": st.lists(st.fixed_dictionaries({
        "name": NAMES, "sha256": SHA, "params": PARAMS, "livepatch": st.booleans(), "path": NAMES,
        "uses": st.lists(NAMES, max_size=2), "forced": st.booleans()}), max_size=3),
    "ftrace": st.booleans(), "change": st.none() | st.fixed_dictionaries({
        "n": NUMBERS, "name": NAMES, "sha256": SHA, "params": PARAMS, "livepatch": st.booleans(),
        "replace": st.booleans(), "pid": NUMBERS, "path": NAMES}),
    "transition": st.none() | st.fixed_dictionaries({
        "n": NUMBERS, "patch": NAMES, "dir": st.sampled_from([0, 1]), "turn": NUMBERS,
        "step": st.sampled_from(["start", "finish"]), "replace": st.booleans(), "forced": st.booleans()})})


@pytest.fixture
def journal(tmp_path):
    made = Journal(str(tmp_path))
    yield made
    made.close()


def write(journal, **changes):
    assert journal.try_lock()
    record = {**journal.read(), **changes}
    record["seq"] += 1
    try:
        journal.write(record)
    finally:
        journal.unlock()


def test_without_descriptors_the_record_that_stands_is_known(journal, monkeypatch):
    """What was written is not called failed afterwards; but another's record can't be read."""
    write(journal)
    other = Journal(journal.folder.path)

    def none_left(name):
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))
    with monkeypatch.context() as patched:
        patched.setattr(type(journal.folder), "look", lambda self, name: none_left(name))
        assert journal.read()["seq"] == 1
    write(other)
    other.close()
    with monkeypatch.context() as patched:
        patched.setattr(type(journal.folder), "look", lambda self, name: none_left(name))
        with pytest.raises(OSError, match="Too many open files"):
            journal.read()
    assert journal.read()["seq"] == 2


@settings(deadline=None, max_examples=60)
@given(RECORDS)
def test_round_trip(record):
    """What is written is read again, whatever the names are."""
    assert text.parse(text.dump(record)) == record


@settings(deadline=None, max_examples=60)
@given(RECORDS, st.data())
def test_damage_is_noticed(record, data):
    """A journal that is cut short is never taken for another one: EIO."""
    whole = text.dump(record)
    with pytest.raises(OSError) as caught:
        text.parse(whole[:data.draw(st.integers(0, len(whole) - 1))])
    assert caught.value.errno == errno.EIO


@settings(deadline=None, max_examples=60)
@given(st.binary(max_size=200))
def test_garbage_is_eio(data):
    with pytest.raises(OSError) as caught:
        text.parse(data)
    assert caught.value.errno == errno.EIO


def test_no_journal_is_idle(journal):
    assert journal.read() == text.idle(0, journal.folder.service)


def test_write_is_seen_by_others_at_once(journal, tmp_path):
    other = Journal(str(tmp_path))
    assert other.read()["seq"] == 0
    write(journal)
    assert other.read()["seq"] == 1
    write(journal)
    assert other.read()["seq"] == 2 and other.read() is other.read()
    other.close()


def test_the_lock_is_one(journal, tmp_path):
    """Another one does not get it, also in the same process; it is free once its holder is gone."""
    other = Journal(str(tmp_path))
    assert journal.try_lock()
    assert not other.try_lock()
    journal.unlock()
    assert other.try_lock()
    other.close()
    assert journal.try_lock()


def test_the_locks_file_may_be_removed(journal, tmp_path):
    """A lock on a file that is not the folder's any more is none."""
    other = Journal(str(tmp_path))
    assert journal.try_lock()
    os.unlink(tmp_path / "lock")
    assert other.try_lock()
    other.close()


def test_a_write_needs_the_lock_and_a_higher_seq(journal):
    with pytest.raises(RuntimeError):
        journal.write(text.idle(5))
    write(journal)
    assert journal.try_lock()
    with pytest.raises(ValueError):
        journal.write(text.idle(1))


@pytest.mark.parametrize("call", ["write", "rename", "_open"])
def test_full_disk(journal, tmp_path, monkeypatch, call):
    """The old journal stands, and nothing else is left behind."""
    write(journal)
    before = sorted(os.listdir(tmp_path))
    real = getattr(folder_module, call)

    def full(*args, **kw):
        if call == "_open" and not str(args[0]).endswith(".tmp"):
            return real(*args, **kw)
        raise OSError(errno.ENOSPC, "No space left on device")
    monkeypatch.setattr(folder_module, call, full)
    with pytest.raises(OSError) as caught:
        write(journal)
    monkeypatch.undo()
    assert caught.value.errno == errno.ENOSPC
    assert journal.read()["seq"] == 1 and sorted(os.listdir(tmp_path)) == before
    write(journal)


def test_what_is_written_is_decided(journal, monkeypatch):
    """It is not read again: no descriptors, for one, must not make a failure of it."""
    write(journal)
    real = folder_module.Folder.open

    def refuse(self, name, *more):
        if name == "journal":
            raise OSError(errno.EMFILE, "Too many open files")
        return real(self, name, *more)
    monkeypatch.setattr(folder_module.Folder, "open", refuse)
    write(journal)
    assert journal.read()["seq"] == 2


def test_short_writes(journal, monkeypatch):
    """A write that takes only a part is gone on with."""
    monkeypatch.setattr(folder_module, "write", lambda fd, data: os.write(fd, data[:7]))
    write(journal)
    monkeypatch.undo()
    assert journal.read()["seq"] == 1


def test_damaged(journal, tmp_path):
    (tmp_path / "journal").write_bytes(b"klpfs 1\nseq 3\n")
    with pytest.raises(OSError) as caught:
        journal.read()
    assert caught.value.errno == errno.EIO
    (tmp_path / "good").write_bytes(text.dump(text.idle(4)))
    os.rename(tmp_path / "good", tmp_path / "journal")
    assert journal.read()["seq"] == 4


def test_a_journal_that_is_removed_while_it_is_read_is_none(journal, tmp_path, monkeypatch):
    """Not a damaged one."""
    other = Journal(str(tmp_path))
    write(journal)
    real = folder_module.Folder.look_status

    def look_status(self, name):
        found = real(self, name)
        os.unlink(tmp_path / "journal")
        return found
    monkeypatch.setattr(folder_module.Folder, "look_status", look_status)
    assert other.read()["seq"] == 0


def test_a_journal_that_nobody_would_read_is_not_written(journal, monkeypatch):
    write(journal)
    monkeypatch.setattr(text, "MAX_JOURNAL_BYTES", 100)
    with pytest.raises(OSError) as caught:
        write(journal, change={"n": 2, "name": "n" * 100, "sha256": "", "params": {}, "livepatch": False,
                               "replace": False,
                                      "pid": 1, "path": ""})
    assert caught.value.errno == errno.EFBIG and journal.read()["seq"] == 1


def test_contents(journal, tmp_path):
    """Found by their hash, only when they are what it says; removed once no module has them."""
    name = journal.put(b"content")
    assert journal.put(b"content") == name and journal.get(name) == b"content"
    assert journal.get("../journal") is None and journal.get("0" * 64) is None
    (tmp_path / name).write_bytes(b"other")
    assert journal.get(name) is None
    assert journal.put(b"content") == name and journal.get(name) == b"content"
    module = {"name": "m", "sha256": name, "params": {}, "livepatch": False, "path": "", "uses": [], "forced": False}
    journal.prune({**text.idle(), "modules": [module]})
    assert journal.get(name) == b"content"
    patch = {"name": "p", "n": 1, "sha256": "0" * 64, "params": {}, "fingerprints": name}
    journal.prune({**text.idle(), "patches": [patch]})
    assert journal.get(name) == b"content"
    journal.prune(text.idle())
    assert journal.get(name) is None


def test_remove(journal, tmp_path):
    """A dead service's folder goes, with the sockets of its dead."""
    folder = tmp_path / "service"
    folder.mkdir()
    dead = Journal(str(folder))
    write(dead)
    (folder / "a.sock").write_bytes(b"")
    assert dead.try_lock()
    assert not dead.remove([])
    assert dead.read()["seq"] == 1
    assert dead.remove(["a.sock"])
    dead.close()
    assert not folder.exists()


def test_a_draft_of_the_dead_keeps_nothing_alive(journal, tmp_path):
    """Somebody was killed between bind and rename: its draft goes with the folder, and in a service that lives after a
    while."""
    write(journal)
    for name, age in ((".new.sock", 0), (".old.sock", 1000)):
        (tmp_path / name).touch()
        os.utime(tmp_path / name, (0, time.time() - age))
    assert journal.try_lock()
    journal.prune(journal.read())
    assert sorted(each for each in os.listdir(tmp_path) if "sock" in each) == [".new.sock"]
    assert journal.remove([]) and not tmp_path.exists()
    journal.close()


def test_a_journal_stays_while_a_process_lives_whose_socket_is_gone(journal, tmp_path):
    """Its patches are in force: the next daemon, and who joins, must know of them. (Seen once under descriptor
    pressure: the socket refused for a moment.)"""
    child = sleeper()
    try:
        (tmp_path / "a.life").symlink_to(f"{child.pid} - {life.own_life().split()[2]} -")
        assert journal.try_lock()
        journal.write({**text.idle(1)})
        assert not journal.remove(["a.sock"]) and journal.read()["seq"] == 1 and (tmp_path / "journal").exists()
    finally:
        child.kill()
        child.wait()
    assert journal.remove(["a.sock"]) and not tmp_path.exists()


@pytest.mark.parametrize("step", ["before it is sure", "when somebody came"])
def test_who_removes_a_service_is_killed(journal, tmp_path, monkeypatch, step):
    """The journal that was put aside is put back by the next one that takes the lock, before anything is cleared
    away."""
    class Killed(BaseException):
        pass

    write(journal)
    moves = []

    def move(path, to, **kw):
        moves.append(to)
        if len(moves) == 1:
            os.rename(path, to, **kw)
            (tmp_path / "new.sock").touch()
        if len(moves) == 2 or step == "before it is sure":
            raise Killed
    monkeypatch.setattr(folder_module, "rename", move)
    assert journal.try_lock()
    with pytest.raises(Killed):
        journal.remove([])
    monkeypatch.undo()
    assert not (tmp_path / "journal").exists()
    journal.close()
    after = Journal(str(tmp_path))
    assert after.try_lock()
    after.prune(after.read())
    assert after.read()["seq"] == 1
    after.close()


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
@pytest.mark.parametrize("kind", ["another user's", "a link"])
def test_what_others_put_aside_is_no_journal(journal, tmp_path, kind):
    if kind == "a link":
        os.symlink("/etc/passwd", tmp_path / "journal.aside.tmp")
    else:
        (tmp_path / "journal.aside.tmp").write_bytes(text.dump(text.idle(7)))
        os.chown(tmp_path / "journal.aside.tmp", 54321, -1)
    assert journal.try_lock() and journal.read()["seq"] == 0 and not (tmp_path / "journal").exists()


def test_remove_while_somebody_comes(journal, tmp_path, monkeypatch):
    """Who has bound its socket in the last moment has read the journal perhaps: it is put back."""
    write(journal)
    inode = (tmp_path / "journal").stat().st_ino

    def comes(path, to, **kw):
        os.rename(path, to, **kw)
        (tmp_path / "new.sock").touch()
    monkeypatch.setattr(folder_module, "rename", comes)
    assert journal.try_lock()
    assert not journal.remove([])
    assert journal.read()["seq"] == 1 and (tmp_path / "journal").stat().st_ino == inode     # the same file, no copy


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root: another user's service")
def test_root_writes_for_the_services_user(journal, tmp_path):
    """The agents of that user must be able to read the journal and take the lock."""
    os.chown(tmp_path, 54321, 54321)
    write(journal)
    name = journal.put(b"x")
    assert {os.stat(tmp_path / each).st_uid for each in ("journal", "lock", name)} == {54321}


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root: another user's service")
def test_a_lock_that_was_made_before_the_folder_was_its_users_is_made_anew(journal, tmp_path):
    """mkdir, then chown: as systemd and install -d make a unit's folder."""
    with journal_locked(journal):
        pass
    os.chown(tmp_path, 54321, 54321)
    before = os.open(tmp_path / "lock", os.O_RDWR)
    fcntl.flock(before, fcntl.LOCK_EX)
    assert not journal.try_lock() and (tmp_path / "lock").stat().st_uid == 0, "whoever has it, has it"
    os.close(before)
    with journal_locked(journal):
        assert (tmp_path / "lock").stat().st_uid == 54321
        assert not Journal(str(tmp_path)).try_lock()


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
@pytest.mark.parametrize("what", ["journal", "lock"])
def test_files_that_are_not_the_services(journal, tmp_path, what):
    """Put there by another user of the folder's group: nothing is read, written or held; and root gives nothing away
    that it has not made, be it a link to anything."""
    (tmp_path / what).write_bytes(b"klpfs 1\nseq 1\nend\n")
    os.chown(tmp_path / what, 54321, -1)
    with pytest.raises(OSError) as e:
        journal.read() if what == "journal" else journal.try_lock()
    assert e.value.errno == errno.EIO and not journal.locked
    (tmp_path / what).unlink()
    (tmp_path / "root's").touch()
    os.link(tmp_path / "root's", tmp_path / "lock") if what == "lock" else None
    os.chown(tmp_path, 54321, 54321)
    if what == "lock":
        with pytest.raises(OSError) as e:
            journal.try_lock()
        assert e.value.errno == errno.EIO and not journal.locked
        (tmp_path / "lock").unlink()
    with journal_locked(journal):
        journal.put(b"text")
    assert (tmp_path / "root's").stat().st_uid == 0


@contextlib.contextmanager
def journal_locked(journal):
    assert journal.try_lock()
    try:
        yield
    finally:
        journal.unlock()


def test_a_fifo_in_a_contents_place(journal, tmp_path):
    """It holds nobody up, and the content takes its place."""
    os.mkfifo(tmp_path / hashlib.sha256(b"text").hexdigest())
    assert journal.get(hashlib.sha256(b"text").hexdigest()) is None
    with journal_locked(journal):
        assert journal.get(journal.put(b"text")) == b"text"


def test_what_is_kept_is_synced_at_rest(journal, tmp_path, monkeypatch):
    """--keep: each idle journal, before it takes its place, and the folder after; not otherwise."""
    synced = []
    monkeypatch.setattr(folder_module, "fsync", lambda fd: synced.append(stat.S_ISDIR(os.fstat(fd).st_mode)))
    with journal_locked(journal):
        journal.write({**text.idle(1)})
        assert synced == []
        (tmp_path / "keep").touch()
        change = {"n": 2, "name": "m", "sha256": "", "params": {}, "livepatch": False, "replace": False, "pid": 1,
                  "path": ""}
        journal.write({**text.idle(2), "change": change})
        assert synced == []
        journal.write({**text.idle(3)})
        assert synced == [False, True]


# ---- what others have put there

@pytest.mark.parametrize("said", [b"klpfs 2\nseq 7\nservice bank\nend\n"])
def test_a_journal_of_another_service(journal, tmp_path, said):
    """Copied, or the folder was renamed: EIO by name, and it stays as it is."""
    (tmp_path / "journal").write_bytes(said)
    with pytest.raises(text.OtherService) as e:
        journal.read()
    assert e.value.errno == errno.EIO and "of service 'bank'" in e.value.strerror
    assert tmp_path.name in e.value.strerror and (tmp_path / "journal").read_bytes() == said


def test_a_journal_of_a_klpfs_that_did_not_say_whose(journal, tmp_path):
    """It is read; with the next write it says so."""
    (tmp_path / "journal").write_bytes(b"klpfs 1\nseq 7\nend\n")
    assert journal.read() == text.idle(7)
    write(journal)
    assert b"\nservice %s\n" % tmp_path.name.encode() in (tmp_path / "journal").read_bytes()


@pytest.mark.parametrize("kind", ["fifo", "link", "folder"])
def test_a_service_is_removed_whatever_its_journal_is(tmp_path, kind, monkeypatch):
    """Its user has put something else there: nothing is opened, and it is put back as it was where a process comes."""
    folder, secret = tmp_path / "svc", tmp_path / "secret"
    folder.mkdir()
    secret.write_bytes(b"secret")
    made = {"fifo": os.mkfifo, "link": lambda path: os.symlink(secret, path), "folder": os.mkdir}[kind]
    made(folder / "journal")
    journal = Journal(str(folder))

    def comes(path, to, **kw):
        os.rename(path, to, **kw)
        (folder / "new.sock").touch()
    monkeypatch.setattr(folder_module, "rename", comes)
    with journal_locked(journal):
        assert not journal.remove([])
        monkeypatch.undo()
        assert stat.S_IFMT((folder / "journal").lstat().st_mode) == {
            "fifo": stat.S_IFIFO, "link": stat.S_IFLNK, "folder": stat.S_IFDIR}[kind]
        assert b"secret" not in b"".join(each.read_bytes() for each in folder.iterdir()
                                         if each.is_file() and not each.is_symlink())
        assert journal.remove(["new.sock"]) == (kind != "folder")


def test_a_folder_that_is_another_one_now(tmp_path):
    """Where the folder is held: a link has its name when it is to be removed, and nothing of what it leads to goes."""
    folder, other = tmp_path / "svc", tmp_path / "other"
    folder.mkdir()
    other.mkdir()
    (other / "precious").touch()
    journal = Journal(str(folder))
    fd = os.open(folder, os.O_PATH)
    journal.folder.hold(fd)
    os.close(fd)
    folder.rename(tmp_path / "away")
    folder.symlink_to("other")
    with journal_locked(journal):
        assert not journal.remove([])
    journal.folder.release()
    assert os.listdir(other) == ["precious"] and os.listdir(tmp_path / "away") == []


def test_a_sparse_content_is_not_read(journal, tmp_path):
    with open(tmp_path / ("a" * 64), "wb") as file:
        file.truncate(6 * 10 ** 9)
    assert journal.get("a" * 64) is None
