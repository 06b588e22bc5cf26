"""Attacks by what lies in a service's folder, put by a worker of its group, or by the user whose folder it is (A3)."""
import contextlib
import os
import re
import signal
import time

from tests.attacks.table import attack
from tests.attacks.timing import BOUND, PATIENCE
from tests.attacks.world import NOBODY
from tests.harness import until

LIKE_SHADOW = "root:$y$j9T$secret:1:0:99999:7:::\n"


@attack("A3", quick=True)
def keep_is_a_fifo(world):
    """a worker makes `keep` a fifo and says that it wants to keep: nobody waits for the fifo's reader"""
    world.evil("put('keep', 'fifo')\nagent(hello={'keep': True})").meet()
    world.others()
    world.insmod(world.patch("lp1"), bound=BOUND + PATIENCE)
    world.others()


@attack("A3")
def keep_is_a_link(world):
    """a worker makes `keep` a link and says that it wants to keep: nothing is made or changed where it leads"""
    target = world.folder / "made"
    world.evil(f"put('keep', 'link', {str(target)!r})\nagent(hello={{'keep': True}})").meet()
    world.insmod(world.patch("lp1"), bound=BOUND + PATIENCE)
    world.others()
    world.expect(not target.exists(), "root has made the file that the link names")


@attack("A3")
def daemon_ends_beside_fifos(world):
    """SIGTERM ends a daemon whose service's folder is full of fifos that a worker has made"""
    world.evil("for name in ('keep', 'x.sock', 'a' * 64, 'y.tmp'): put(name, 'fifo')\nagent(hello={'keep': True})").meet()
    time.sleep(0.3)             # it may have opened them or not: both must end
    world.mount.process.send_signal(signal.SIGTERM)
    begun = time.monotonic()
    with contextlib.suppress(AssertionError):
        until(lambda: world.mount.process.poll() is not None, "", BOUND * 4)
    ended = world.mount.process.poll() is not None
    world.mount.process.kill()
    world.mount.process.wait()
    world.expect(ended, f"it runs {time.monotonic() - begun:.0f} s after SIGTERM")
    world.mount.start()
    for name in "shop", "bank":
        world.mount.service(name)
    world.before.pop("daemon", None)


@attack("A3")
def content_sparse(world):
    """a `want` of a hash whose file is sparse has nobody read it"""
    world.evil("fill('a' * 64, 6 * 10 ** 9)\nagent(then=lambda c: send(c, {'t': 'want', 'sha256': 'a' * 64}))").meet()
    world.others()
    world.insmod(world.patch("lp1"), bound=BOUND + PATIENCE)
    world.others()


@attack("A3")
def content_not_regular(world):
    """a `want` of a hash whose file is a fifo, a link or a folder has nobody wait or read"""
    secret = world.folder / "secret"
    secret.write_text(LIKE_SHADOW)
    secret.chmod(0o600)
    for how in "fifo", "link", "folder", "socket":
        evil = world.evil(f"""
got = []
put('b' * 64, {how!r}, {str(secret)!r})
def content(m):
    got.append(m['data'])
    return []
agent(then=lambda c: send(c, {{'t': 'want', 'sha256': 'b' * 64}}), content=content)""")
        evil.meet()
        world.others()
        world.insmod(world.patch("lp1"), bound=BOUND + PATIENCE)
        world.expect(not any(b"secret" in data for data in evil.do("got")), f"{how}: root has read it out")
        evil.end()
        world.clear()


@attack("A3")
def patch_lies_there_already(world):
    """what root loads is root's, whatever a worker has put under its hash: or it is refused, as a worker may refuse it"""
    path = world.patch("lp1")
    for how in "'fifo'", "'link', '/dev/zero'", "'link', '/etc/passwd'", "'folder'":
        evil = world.evil(f"put(hashlib.sha256({path.read_bytes()!r}).hexdigest(), {how})")
        found = world.insmod(path)
        world.expect(found == "ok None" or re.fullmatch("E[A-Z0-9]+", found), f"{how}: insmod: {found}")
        if found == "ok None":
            until(lambda: world.ask("shop", "one()") == "one by lp1", "the patch")
        world.others()
        world.clear()
        evil.end()


@attack("A3")
def sockets_that_are_none(world):
    """names of sockets that are fifos, links, folders or dead sockets hold up nobody"""
    world.evil("""
for number, (how, to) in enumerate((('fifo', ''), ('link', '/dev/zero'), ('link', FOLDER), ('link', 'journal'), ('folder', ''), ('socket', ''))):
    put('n%d.sock' % number, how, to)
    put('n%d.tmp' % number, how, to)
""")
    world.insmod(world.patch("lp1"), bound=BOUND + PATIENCE)
    world.others()
    world.log()


# ---- the folder of a service whose user is not root

def of_user(world, code):
    """A hostile user owns the folder of a service `web`, and does `code` in it."""
    world.user_folder("web")
    evil = world.evil(code, "web")
    return evil


@attack("A3", quick=True)
def journal_is_a_fifo(world):
    """the user of a service makes its journal a fifo, and ends: root's daemon waits for nobody"""
    evil = of_user(world, "agent()")
    evil.meet()
    evil.do("put('journal', 'fifo')")
    world.others()
    evil.process.kill()         # with a fifo in its place when the daemon removes the folder
    evil.process.wait()
    end = time.monotonic() + 1
    while time.monotonic() < end:
        world.others()


@attack("A3")
def lock_is_none(world):
    """the user of a service makes its lock a fifo or a link: root's daemon waits for nobody, and makes nothing"""
    target = world.folder / "made"
    evil = of_user(world, "agent()")
    evil.meet()
    for how in "'fifo'", f"'link', {str(target)!r}", "'folder'":
        evil.do("try: os.unlink(FOLDER + '/lock')\nexcept OSError: pass")
        evil.do(f"put('lock', {how})")
        world.others()
        if "web" in os.listdir(world.mount.root):
            found = world.timed("insmod into web", world.tree("web").insmod, world.patch("lp1"), bound=BOUND + PATIENCE)
            world.expect(not found.startswith("died"), found)
        world.others()
        evil.do("os.rmdir(FOLDER + '/lock') if os.path.isdir(FOLDER + '/lock') else os.unlink(FOLDER + '/lock')")
    world.expect(not target.exists(), "root has made the file that the link names")


@attack("A3", quick=True)
def steal(world):
    """the user of a service makes its journal a link to root's file: nobody but root ever has its text"""
    secret = world.folder / "secret"
    secret.write_text(LIKE_SHADOW)
    secret.chmod(0o600)
    folder = world.user_folder("web")
    evil = world.evil(STEAL, "web")
    for number in range(1 if world.few else 3):
        evil.do(f"begin({number})")
        with contextlib.suppress(AssertionError):
            until(lambda: evil.do("met()"), "the daemon", 3)
        stolen = evil.do(f"steal({number}, {str(secret)!r})", 30)
        world.expect(not stolen, f"root's file stands in {stolen}, for the user to read")
        world.others()
        if not folder.exists():         # root's daemon has removed it; a unit's manager makes it again
            world.user_folder("web")
    world.expect(secret.read_text() == LIKE_SHADOW, "root's file was changed")


# The daemon removes the folder of a service whose agents are gone. When it has taken the journal away, a socket of somebody
# who is about to live there stands in the folder: then all must be as before.
STEAL = """
def begin(number):
    agent(name='r%d.sock' % number)

def steal(number, secret):
    os.symlink(secret, FOLDER + '/j')
    os.rename(FOLDER + '/j', FOLDER + '/journal')
    s = socket.socket(socket.AF_UNIX)
    s.bind(FOLDER + '/.hidden')
    s.listen(5)
    open(FOLDER + '/mine', 'w').close()
    leave()
    end = time.monotonic() + 2
    while os.path.islink(FOLDER + '/journal') and time.monotonic() < end:
        pass
    try:
        os.rename(FOLDER + '/.hidden', FOLDER + '/h%d.sock' % number)
    except OSError:
        pass
    end, found = time.monotonic() + .5, ''
    while time.monotonic() < end and not found:
        try:
            found = next((name for name in os.listdir(FOLDER) if not name.endswith('.sock')
                          and 'secret' in open(FOLDER + '/' + name, errors='replace').read()), '')
        except OSError:
            pass
    s.close()
    for name in ('journal', 'h%d.sock' % number, '.hidden', 'mine'):
        try:
            os.unlink(FOLDER + '/' + name)
        except OSError:
            pass
    return found
"""


@attack("A3")
def steal_by_hard_link(world):
    """the user of a service makes its journal another name of its own file: that file is left alone"""
    folder = world.user_folder("web")
    evil = world.evil("open(FOLDER + '/mine', 'w').write('mine')\nput('journal', 'hard link', FOLDER + '/mine')\nagent()", "web")
    evil.meet()
    with open(folder / "mine") as file:
        world.others()
        evil.end()
        world.others()
        world.expect(file.read() == "mine" and os.fstat(file.fileno()).st_uid == NOBODY.pw_uid, "the file was changed")


@attack("A3")
def journal_sparse(world):
    """the user of a service makes its journal large: root's daemon does not read it"""
    evil = of_user(world, "fill('journal', 6 * 10 ** 9)\nagent()")
    evil.meet()
    world.others()
    with contextlib.suppress(OSError):
        world.timed("ls of web", os.listdir, world.mount.root / "web")
    world.others()
    evil.end()
    world.others()
