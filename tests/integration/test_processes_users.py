"""Services whose processes change to another user: `klpfs run --group`, and what such a process can't do to others."""
import contextlib
import grp
import hashlib
import os
import pathlib
import pwd
import shutil
import subprocess
import sys
import time

import pytest

from tests import harness
from tests.harness import HERE, read, until
from tests.integration.services import NEW, OLD, Shop, pids

ROOT = HERE.parent
OTHER = pwd.getpwnam("nobody")
GROUP = grp.getgrgid(OTHER.pw_gid).gr_name


def common_python():
    """An interpreter that the other user can run, with the same library, and with klpfs in its reach; None."""
    for python in sys.executable, "/usr/bin/python3":
        with contextlib.suppress(OSError):
            said = [subprocess.run([*become, python, "-c", "import ast, klpfs.agent.start_agent; print(ast.__file__)"],
                                   env={"PYTHONPATH": str(ROOT)}, cwd="/", capture_output=True, text=True).stdout
                    for become in ([], ["setpriv", "--reuid", str(OTHER.pw_uid), "--clear-groups"])]
            if said[0] and said[0] == said[1]:
                return python
    return None


PYTHON = common_python() if os.geteuid() == 0 else None
pytestmark = [pytest.mark.fuse, pytest.mark.skipif(not PYTHON,
                                                   reason="needs root, setpriv, and a Python that other users can run")]


@pytest.fixture
def place():
    """A folder that all users can look into."""
    path = harness.short_folder()
    path.chmod(0o755)
    yield path
    shutil.rmtree(path, ignore_errors=True)


@pytest.fixture
def shop(program, mount, place):
    """shop(options): a service of root's that runs with them."""
    made = []

    def start(*options):
        there = Shop(program, place, python=PYTHON, options=options)
        there.tree = mount.service("shop")
        made.append(there)
        return there
    yield start
    for each in made:
        each.end_workers()


def says(tree, *words):
    return [text for _, _, _, text in tree.records() if all(word in text for word in words)]


def user(pid):
    with open(f"/proc/{pid}/status") as status:
        return int(next(line for line in status if line.startswith("Uid:")).split()[2])


def dropped(shop):
    """A worker that was forked as root and is another user now."""
    worker = shop.start("os.fork", user=(OTHER.pw_uid, OTHER.pw_gid))
    assert user(worker.pid) == OTHER.pw_uid
    return worker


def test_workers_that_change_their_user(shop, lp, runtime):
    """What is in force reaches them, their children and what they execute; nothing of it can be told from root's."""
    there = shop("--group", GROUP)
    worker = dropped(there)
    path = lp("lp1", "price", module="ware")
    there.tree.insmod(path)
    there.tree.settle()
    assert there.price() == [NEW]
    late = [there.by(worker, way) for way in ("os.fork", "subprocess", "mp spawn", "double fork")]
    late.append(dropped(there))
    assert [each.first for each in late] == [NEW] * 5 and {user(each.pid) for each in late} == {OTHER.pw_uid}
    until(lambda: {each.pid for each in there.workers} <= pids(there.tree), "all in the tree")
    assert there.tree.get("lp1/ware/patched") == "1"
    there.tree.set("lp1/enabled", "0")
    until(lambda: not there.tree.patches(), "the way back")
    assert there.price() == [OLD]
    there.tree.rmmod("lp1")
    there.tree.insmod(path)
    there.tree.settle()
    assert there.price() == [NEW]
    assert not [text for priority, _, _, text in there.tree.records() if priority <= 4]


def test_the_folders_rights(shop, lp, runtime):
    """The group adds to the folder; what is obeyed is root's, and nobody else can take it away."""
    there = shop("--group", GROUP)
    there.tree.insmod(lp("lp1", "price", module="ware"))
    folder = runtime / "shop"
    mode = {path.name if len(path.name) < 64 else "content": (path.lstat().st_mode & 0o7777, path.lstat().st_uid,
                                                              path.lstat().st_gid) for path in folder.iterdir()}
    assert (folder.stat().st_mode & 0o7777, folder.stat().st_gid) == (0o3770, OTHER.pw_gid)
    assert mode["journal"] == mode["content"] == (0o640, 0, OTHER.pw_gid) and mode["lock"][0] == 0o600
    worker = dropped(there)
    for name in "journal", "lock", *(each.name for each in folder.glob("*.sock")), *(
            each.name for each in folder.glob("*.life") if each.lstat().st_uid == 0):
        for act in "os.unlink({0!r})", "os.rename({0!r}, {0!r} + 'x')", "open({0!r}, 'a')":
            if act.startswith("open") and name.endswith(".life"):
                continue                        # it leads nowhere
            assert worker.do(act.format(str(folder / name))).startswith("PermissionError"), (act, name)
    for name in (each.name for each in folder.glob("*.life")):
        for act in "os.unlink({0!r})", "os.rename({0!r}, {0!r} + 'x')":
            assert worker.do(act.format(str(folder / name))).startswith("PermissionError"), (act, name)


def test_without_a_group(shop, lp):
    """A worker that changes its user is still reached; what it starts is not, and is told so."""
    there = shop()
    worker = dropped(there)
    there.tree.insmod(lp("lp1", "price", module="ware"))
    there.tree.settle()
    assert there.price() == [NEW], "its socket is older than the change"
    child = there.by(worker, "os.fork")
    assert child.first == NEW, "as its parent"
    assert says(there.tree, "no socket for a child", "klpfs run --group")
    assert child.pid not in pids(there.tree)
    there.program.expected += ["klpfs: this process can't be patched: "]
    alone = there.by(worker, "subprocess")
    assert alone.first == OLD and "can't be patched" in there.program.errors()


@pytest.mark.parametrize("group, code, words", [("no-such-group", 1, "no such group")])
def test_groups_that_are_none(runtime, group, code, words):
    done = subprocess.run([sys.executable, "-m", "klpfs", "run", "--group", group, "--", "true"], capture_output=True,
                          text=True, cwd=ROOT)
    assert done.returncode == code and words in done.stderr


# ---- a worker of another user against the daemon and the others

HELLO = {"t": "hello", "version": 1, "pid": 1, "comm": "x", "cmdline": ["x"], "keep": False, "service": "shop",
         "python": "3", "started": 0}


def hostile(worker, code):
    """Run statements in a worker (klpfs's wire module is `wire`)."""
    said = worker.do("exec(%r, globals())" % ("import os, socket, threading\nfrom klpfs.protocol import wire\n" + code))
    assert said is None, said
    until(lambda: worker.do("met()"), "the daemon to meet what the worker does")


LISTEN = """
expected, came = [], []

def met():
    return set(expected) <= set(came)

def listen(name, sends, times=1000000):
    expected.append(name)
    s = socket.socket(socket.AF_UNIX)
    s.bind(FOLDER + '/.' + name)
    s.listen(64)
    os.rename(FOLDER + '/.' + name, FOLDER + '/' + name)     # found before it listens, it would be left alone as a dead process's
    def serve():
        held = []
        for _ in range(times):
            c = s.accept()[0]
            held.append(c)
            came.append(name)
            try:
                for data in sends:
                    c.sendall(data)
            except OSError:
                pass
    threading.Thread(target=serve, daemon=True).start()
"""
ATTACKS = {
    "garbage": "listen('a.sock', [os.urandom(5000)])",
    "zeroes": "listen('a.sock', [b'\\0' * 100000])",
    "a message of 4 GB": "listen('a.sock', [b'\\xff\\xff\\xff\\xff' + b'x' * 1000000])",
    "half a message": "listen('a.sock', [wire.encode(HELLO)[:20]])",
    "another's process": "listen('a.sock', [wire.encode(dict(HELLO, pid=1))])",
    "root's process": "listen('a.sock', [wire.encode(dict(HELLO, pid=os.getppid()))])",
    "wrong types": "listen('a.sock', [wire.encode(dict(HELLO, pid='1'))])",
    "no process": "listen('a.sock', [wire.encode(dict(HELLO, pid=2 ** 40))])",
    "a number without end": "listen('a.sock', [wire.encode(dict(HELLO, pid=2 ** 5000))])",
    "names that are none": """
listen('a.sock', [wire.encode(dict(HELLO, pid=os.getpid(), comm='a\\nb/../c', cmdline=['\\0' * 5, '\\udcff'])),
    wire.encode({'t': 'event', 'patches': [{'name': n, 'replace': False, 'objects': [{'name': n, 'patched': True, 'loaded': True, 'funcs': [[n, 1]]}]}
                 for n in ('../x', 'a/b', '', '.', 'x' * 100000, 'lp1')],
                 'modules': [{'name': n, 'size': -1, 'refcnt': 2 ** 80, 'params': [['../p', 'int', 'x\\n', 0o7777]]} for n in ('../x', 'lp1')],
                 'log': [[i, -1, 99, 'engine', 'x\\n\\0' * 100] for i in range(5000)], 'ftrace': 1}),
    wire.encode({'t': 'report', 'seen': 2 ** 70, 'n': 0, 'phase': '', 'dir': 0, 'turn': 0, 'clean': True, 'over': 2 ** 70, 'not_applied': [],
                 'refused': None, 'blockers': [], 'working': None, 'prepared': None}), wire.encode({'t': 'want', 'sha256': '../../../etc/shadow'})])""",
    "links and fifos": """
for name, to in ('l.sock', '/dev/zero'), ('m.sock', 'journal'), ('n.sock', '/nowhere'), ('keep', '/etc/passwd'), ('o.tmp', '/etc/passwd'):
    os.symlink(to, FOLDER + '/' + name)
for name in ('f.sock', SHA):
    os.mkfifo(FOLDER + '/' + name)
os.mkdir(FOLDER + '/d.sock')""",
    "very many sockets": """
for i in range(600):
    s = socket.socket(socket.AF_UNIX)
    s.bind('%s/x%d.sock' % (FOLDER, i))
    s.listen(1)
    kept.append(s)""",
    "connects to all": """
for name in os.listdir(FOLDER):
    if name.endswith('.sock'):
        for i in range(100):
            s = socket.socket(socket.AF_UNIX)
            try:
                s.connect(FOLDER + '/' + name)
                s.send(b'\\xff' * 100)
            except OSError:
                pass""",
}


def test_hostile_workers(shop, lp, mount, runtime):
    """One attack after the other: the service is patched as if it were not there; the tree is read, the daemon lives,
    and nothing outside is touched."""
    there = shop("--group", GROUP)
    good, path = dropped(there), lp("lp1", "price", module="ware")
    sha, passwd = hashlib.sha256(path.read_bytes()).hexdigest(), pathlib.Path("/etc/passwd").read_text()
    for attack, code in ATTACKS.items():
        evil = dropped(there)
        hostile(evil, f"FOLDER, SHA, HELLO, kept = {str(runtime / 'shop')!r}, {sha!r}, {HELLO!r}, []\n{LISTEN}{code}")
        begun = time.monotonic()
        there.tree.insmod(path)                     # within 2 s, whoever is silent
        until(lambda: good.do("ware.price()") == there.program.do("ware.price()") == NEW,
              f"the others to be patched, with {attack}")
        assert there.tree.patches() == there.tree.modules() == ["lp1"], attack
        read(there.tree.path / "blockers"), there.tree.records()
        assert 1 not in pids(there.tree) and mount.process.poll() is None and time.monotonic() - begun < 20, attack
        os.kill(evil.pid, 9)
        there.workers.remove(evil)
        evil.end()
        there.tree.settle()
        there.tree.set("lp1/enabled", "0")
        until(lambda: not there.tree.patches(), f"the way back, with {attack}")
        assert there.price() == [OLD] and pathlib.Path("/etc/passwd").read_text() == passwd, attack
        there.tree.rmmod("lp1")
        for each in (runtime / "shop").iterdir():   # what it has left, but for its sockets, which go by themselves
            if each.is_symlink() or each.is_fifo():
                each.unlink()
