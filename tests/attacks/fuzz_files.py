"""Random files: a worker of the group litters the service's folder, a user litters the folder of a service of its own,
with fifos, links, sparse files, folders, sockets and devices, while root loads and looks (hostile.litter)."""
import contextlib
import hashlib
import os
import random
import re
import shutil
import stat
import time

from tests import harness
from tests.attacks.table import Failed
from tests.attacks.timing import BOUND, PATIENCE
from tests.attacks.world import NOBODY


def run(world, seed, count):
    """`count` tries, of the seeds from `seed` on: SEED=n COUNT=1 is the n-th alone."""
    secret = world.folder / "secret"
    secret.write_text("root's own text\n")
    secret.chmod(0o600)
    for number in range(seed, seed + count):
        world.tried = number - seed + 1
        try:
            one(world, number, secret)
        except AssertionError as e:
            raise Failed(f"SEED={number} COUNT=1: {e}") from None


def one(world, seed, secret):
    rng, path = random.Random(seed), world.patch("lp1")
    name = rng.choice(("shop", "shop", "web"))
    folder = world.runtime / name
    if name == "web" and not folder.exists():
        world.user_folder(name)
    evil = world.evil(folder=name)
    sha = hashlib.sha256(path.read_bytes()).hexdigest()
    evil.do(f"TARGETS.append({str(secret)!r})\nlitter({seed}, {sha!r})")
    passwd = os.stat("/etc/passwd")
    for _ in range(3):
        if rng.random() < 0.3:          # a device is root's to make; it lies there all the same
            with contextlib.suppress(OSError):
                device = folder / rng.choice(("dev.sock", "c" * 64, "d.tmp"))
                os.mknod(device, 0o666 | stat.S_IFCHR, os.makedev(1, 5))
                os.chown(device, NOBODY.pw_uid, NOBODY.pw_gid)
        time.sleep(rng.random() * 0.05)
        world.others()
        # a silent agent that comes in the middle of the load has its own time for an answer
        found = world.insmod(path, bound=BOUND + 2 * PATIENCE)
        world.expect(re.fullmatch("ok None|E[A-Z0-9]+", found), f"insmod: {found}")
        if name in os.listdir(world.mount.root):
            world.timed("cat proc/modules", harness.read, world.tree(name).path / "proc/modules")
            world.log()
        found = world.timed("the way back", harness.write, world.tree().livepatch / "lp1/enabled", "0", bound=BOUND + PATIENCE)
        world.expect(re.fullmatch("ok .|E[A-Z0-9]+", found), f"the way back: {found}")
        for each in leaks(folder, secret.read_bytes()):
            raise Failed(f"root's file stands in {each}")
    world.expect(os.stat("/etc/passwd").st_mtime == passwd.st_mtime, "/etc/passwd was changed")
    world.expect(secret.read_text() == "root's own text\n" and secret.stat().st_uid == 0, "root's file was changed")
    evil.end()
    world.evils.remove(evil)
    with contextlib.suppress(FileNotFoundError):            # the daemon clears it, too
        for each in list(folder.iterdir()):
            with contextlib.suppress(FileNotFoundError):
                if each.lstat().st_uid == NOBODY.pw_uid:
                    shutil.rmtree(each) if each.is_dir() and not each.is_symlink() else each.unlink()
    if name == "web":
        with contextlib.suppress(OSError):      # the daemon has cleared it away, or holds it open as long as it is there
            folder.rmdir()
    world.clear()
    world.cycle_in_process()


def leaks(folder, text):
    """Names of regular files in the folder that hold `text`."""
    with contextlib.suppress(OSError):
        for each in folder.iterdir():
            with contextlib.suppress(OSError):
                if stat.S_ISREG(each.lstat().st_mode) and each.lstat().st_size < 10 ** 6 and text in each.read_bytes():
                    yield each.name
