"""The machine whose services are attacked: `bank` of root's, private; `shop` of root's with a group (`klpfs run --group`);
`web` of a user's in root's runtime folder (`User=` of a unit, mount_scripts/klpfs-run.conf).
"""
import contextlib
import errno
import grp
import os
import pwd
import shutil
import stat
import time

from tests import harness
from tests.harness import livepatch, until
from tests.integration.security.people import leads_elsewhere, links_hard
from tests.integration.test_processes_users import PYTHON

USER = pwd.getpwnam("nobody")                   # of `web`
GROUP = grp.getgrgid(USER.pw_gid)               # of `shop`
WORKER, STRANGER = 54322, 54321                 # of shop's group, and of none


class Machine:
    def __init__(self, base):
        self.base, self.runtime = base, harness.short_folder()
        self.runtime.chmod(0o755)
        web = self.runtime / "web"
        web.mkdir(0o700)
        os.chown(web, USER.pw_uid, USER.pw_gid)
        as_user = ("setpriv", f"--reuid={USER.pw_uid}", f"--regid={USER.pw_gid}", "--clear-groups")
        self.programs = {
            "bank": harness.Program(self.runtime, "bank"),
            "shop": harness.Program(self.runtime, "shop", options=("--group", GROUP.gr_name)),
            "web": harness.Program(self.runtime, "web", wrap=as_user, python=PYTHON,
                                   environ={"PYTHONPATH": str(harness.HERE.parent), "HOME": "/"})}
        self.mount = harness.Mount(self.runtime, base / "mnt")
        self.trees = {name: self.mount.service(name) for name in self.programs}
        self.count = 0

    def folder(self, name):
        return str(self.runtime / name)

    def sockets(self, name):
        return [str(path) for path in (self.runtime / name).glob("[!.]*.sock")]

    def program(self, name):
        return self.programs[name].do("one()")

    def pids(self, name):
        return {int(each) for each in os.listdir(self.trees[name].path / "proc") if each.isdigit()}

    def lines(self, name, *words):
        return [text for _, _, _, text in self.trees[name].records() if all(word in text for word in words)]

    def patch(self, **more):
        """The path of a new livepatch of one()."""
        self.count += 1
        path = self.base / f"lp{self.count}.py"
        path.write_text(livepatch(path.stem, **more))
        return path

    def works(self, name):
        """The service is patched and is as before, at once; the others are not touched."""
        others = {other: self.program(other) for other in self.programs if other != name}
        begun, tree, path = time.monotonic(), self.trees[name], self.patch()
        before = self.program(name)
        tree.insmod(path)
        tree.settle()
        assert self.program(name) == f"one by {path.stem}"
        assert others == {other: self.program(other) for other in others}
        self.remove(name, path.stem)
        assert self.program(name) == before
        assert time.monotonic() - begun < 10 and self.mount.process.poll() is None

    def remove(self, name, patch):
        tree = self.trees[name]
        tree.set(f"{patch}/enabled", "0")
        until(lambda: patch not in tree.patches(), "the way back")
        tree.rmmod(patch)

    def clean(self):
        """What somebody has left goes: an administrator may remove it at any time."""
        for name in self.programs:
            own = {os.stat(self.runtime / name).st_uid, 0}
            for path in (self.runtime / name).iterdir():
                with contextlib.suppress(FileNotFoundError):       # the daemon removes litter, too
                    found = path.lstat()
                    if found.st_uid not in own or not (stat.S_ISREG(found.st_mode) or stat.S_ISSOCK(found.st_mode)):
                        path.rmdir() if stat.S_ISDIR(found.st_mode) else path.unlink()

    def close(self):
        for thing in (*self.programs.values(), self.mount):
            thing.close()
        shutil.rmtree(self.runtime, ignore_errors=True)


def takes_no_other(machine, attacker, service):
    target, = machine.sockets("bank")
    attacker.do(leads_elsewhere, machine.folder(service), target)
    time.sleep(0.5)                             # the daemon tries again each 0.2 s
    bank = machine.programs["bank"].pid
    assert bank not in machine.pids(service) and machine.pids("bank") == {bank}
    machine.works(service)
    machine.works("bank")
    assert attacker.code(links_hard, machine.folder(service), target) in (errno.EPERM, errno.EACCES)
