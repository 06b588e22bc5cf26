"""exec: a command for which a service is the kernel: livepatch tools run in it as they are.

The command gets a mount namespace of its own (as a plain user: a user namespace as well, in which it is root), where
/sys/kernel/livepatch, /sys/module and /dev/kmsg are the service's, /proc is the machine's with the service's parts over
it (klpfs/fs/machine_proc.py), and insmod, rmmod, modprobe, lsmod, modinfo, dmesg, readelf are stand-ins
(klpfs/cli/standin). sysctl needs none: kernel.ftrace_enabled is a file under /proc. Nothing outside the namespace
changes: the machine's debugfs and tracefs, with which scripts for livepatches steer the kernel's log and tracers, are
covered. Then the command is exec'ed: environment, working directory, open files and signals are the caller's.

The stand-ins lie outside the service's tree: when its daemon has died nothing in the tree can be run, /proc included,
and a stand-in that a shell can't reach would make way for the machine's own command.
"""
from __future__ import annotations

import argparse
import contextlib
import ctypes
import errno
import os
import pathlib
import shlex
import shutil
import signal
import stat
import sys

from klpfs.cli.standin import ELSEWHERE, NAMES, OWN
from klpfs.cli.tree import CommandError, find
from klpfs.service.mountinfo import mounts

PLACE = pathlib.Path("/proc/.klpfs")           # a folder that the tree's /proc keeps for us
REAL, TREE = PLACE / "real", PLACE / "tree"
BIN = pathlib.Path("/sys/kernel/.klpfs")       # not in the tree, and nobody but a kernel makes files beside it
DEFAULTS = ("/usr/local/lib/klpfs/modules", "/usr/lib/klpfs/modules")
DEBUG = pathlib.Path("/sys/kernel/debug")
OF_THE_MACHINE = ("debugfs", "tracefs")        # by which a script would steer the machine's kernel
SBIN = ("/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin")

NEWNS, NEWUSER = 0x00020000, 0x10000000
READONLY, NOSUID, NODEV, REMOUNT, BIND, REC, SLAVE, DETACH = 1, 2, 4, 32, 4096, 16384, 1 << 19, 2


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser], common: argparse.ArgumentParser) -> None:
    """Add the command to the parser's commands."""
    p = commands.add_parser(
        "exec", help="run a command for which a service is the kernel",
        usage="klpfs exec [-m MOUNTPOINT] [-M FOLDER[:FOLDER ...]] [--one-voice] SERVICE -- COMMAND [ARGUMENT ...]",
        description="modprobe and modinfo look for NAME.py in the folders of -M, then in those of $KLPFS_MODULE_PATH, "
                    "then in the folder where this was started, beside COMMAND and files given to it, then in "
                    + " and ".join(DEFAULTS) + ".")
    p.add_argument("-m", "--mount", metavar="MOUNTPOINT", help="the tree (default: any that is mounted)")
    p.add_argument("-M", "--modules", metavar="FOLDER[:FOLDER ...]", default="", help="where modprobe looks first")
    p.add_argument("--one-voice", action="store_true",
                   help="/dev/kmsg has the lines of modules and callbacks once, as a kernel's has: those of the "
                        "service's first process")
    p.add_argument("service", metavar="SERVICE")
    p.add_argument("argv", nargs=argparse.REMAINDER, metavar="COMMAND")
    p.set_defaults(do=run)


def run(arguments: argparse.Namespace) -> int:
    """Become the command. Returns only with an error."""
    argv = arguments.argv[1:] if arguments.argv[:1] == ["--"] else arguments.argv
    if not argv:
        raise CommandError("no command; as in: klpfs exec shop -- modprobe fix", 2)
    tree = pathlib.Path(os.path.abspath(find(arguments.service, arguments.mount).path))
    proc = tree.parent / ".exec" / tree.name / "proc"
    kmsg = tree / "dev" / (".kmsg.one-voice" if arguments.one_voice else "kmsg")
    if not os.path.isdir(proc / PLACE.name) or not os.path.exists(kmsg):
        raise CommandError(f"the daemon of {tree.parent} is of an earlier klpfs: umount and mount it again")
    first = [os.path.abspath(folder) for folder in arguments.modules.split(":") if folder]
    last = [*beside(argv), *DEFAULTS]
    environ = {**os.environ, "PATH": f"{BIN}:{os.environ.get('PATH', os.defpath)}"}
    try:
        enter()
    except OSError as e:
        why = {errno.ENOSPC: "user namespaces are switched off (user.max_user_namespaces)",
               errno.EACCES: "a security profile forbids to mount"}.get(e.errno or 0, e.strerror)
        raise CommandError(f"no mount namespace of one's own can be had here: {why}. Let the container have "
                           f"CAP_SYS_ADMIN or user namespaces; or use what needs none: klpfs insmod -s {tree.name} and "
                           f"the others, and the files of {tree}") from None
    try:
        arrange(tree, proc, kmsg, first, last)
    except OSError as e:
        raise CommandError(f"{e.filename}: {e.strerror}: the service can't be put there") from None
    for name in ("SIGPIPE", "SIGXFZ", "SIGXFSZ"):  # which Python ignores
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), signal.SIG_DFL)
    try:
        os.execvpe(argv[0], argv, environ)
    except OSError as e:
        if e.errno == errno.ENOEXEC:           # a script without a first line that says whose: as execvp(3) does it
            script = shutil.which(argv[0], path=environ["PATH"]) or argv[0]
            os.execve("/bin/sh", ["sh", script, *argv[1:]], environ)
        code = 127 if e.errno in (errno.ENOENT, errno.ENOTDIR) else 126
        raise CommandError(f"{argv[0]}: {e.strerror}", code) from None


def beside(argv: list[str]) -> list[str]:
    """The folders in which the command's modules may lie: the working directory, those of the command and of its
    files."""
    try:
        here = [os.getcwd()]
    except FileNotFoundError:                  # it was removed: the command may be about something else
        return []
    return here + [os.path.dirname(os.path.abspath(word)) for word in argv if "/" in word and os.path.isfile(word)]


# -- namespaces

_libc = ctypes.CDLL(None, use_errno=True)


def _check(result: int, what: str) -> None:
    if result:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), what)


def mount(source: str, target: str | os.PathLike[str], kind: str = "", flags: int = 0, data: str = "") -> None:
    """mount(2). OSError with the target as its file."""
    result = _libc.mount(os.fsencode(source), os.fsencode(target), kind.encode(), ctypes.c_ulong(flags), data.encode())
    _check(result, os.fspath(target))


def enter() -> None:
    """Gives this process a mount namespace of its own; where it lacks the right to that, as root of a user namespace.

    OSError, EPERM above all: neither can be had.
    """
    try:
        _check(_libc.unshare(NEWNS), "")
    except OSError:
        uid, gid = os.geteuid(), os.getegid()
        _check(_libc.unshare(NEWUSER | NEWNS), "")
        for name, text in (("setgroups", "deny"), ("uid_map", f"0 {uid} 1"), ("gid_map", f"0 {gid} 1")):
            pathlib.Path("/proc/self", name).write_text(text, encoding="ascii")
    mount("none", "/", flags=REC | SLAVE)      # what is mounted here stays here


def arrange(tree: pathlib.Path, proc: pathlib.Path, kmsg: pathlib.Path, first: list[str], last: list[str]) -> None:
    """Mount the service where a kernel is. OSError as of mount(2).

    kmsg: what becomes /dev/kmsg.
    first, last: where modprobe looks before and after $KLPFS_MODULE_PATH.
    """
    cover_the_machine()
    place = proc / PLACE.name                  # first there: once /proc is covered its own path leads nowhere
    mount("klpfs", place, "tmpfs", NOSUID | NODEV, "mode=755,size=1m")
    (place / "proc").mkdir()
    mount("/proc", place / "proc", flags=BIND | REC)
    mount(str(proc), "/proc", flags=BIND | REC)
    _check(_libc.umount2(os.fsencode(place), DETACH), str(place))
    mount(str(PLACE / "proc/sys"), "/proc/sys", flags=BIND | REC)
    bind(tree, TREE)
    bind(tree / "proc/sys/kernel/ftrace_enabled", pathlib.Path("/proc/sys/kernel/ftrace_enabled"))
    bind(tree / "sys/kernel/livepatch", pathlib.Path("/sys/kernel/livepatch"))
    bind(tree / "sys/module", pathlib.Path("/sys/module"))
    bind(kmsg, pathlib.Path("/dev/kmsg"))
    stand_in(first, last)


def cover_the_machine() -> None:
    """Cover the machine's debugfs and tracefs, wherever they are mounted, with nothing that can be written to. Of
    debugfs, dynamic_debug/control is there and takes whatever is written: a service logs its debug lines always."""
    covered: list[pathlib.Path] = []
    for point in sorted({pathlib.Path(each.point) for each in mounts() if each.type in OF_THE_MACHINE} | {DEBUG}):
        if any(above in point.parents for above in covered):
            continue
        provide(point, folder=True)
        mount("klpfs", point, "tmpfs", NOSUID | NODEV, "mode=755,size=1m")
        covered.append(point)
        if point == DEBUG:
            control = point / "dynamic_debug/control"
            control.parent.mkdir()
            control.touch()
            mount("/dev/null", control, flags=BIND)
        mount("none", point, flags=REMOUNT | BIND | READONLY | NOSUID | NODEV)


def bind(source: pathlib.Path, target: pathlib.Path) -> None:
    """Mount `source` on `target`, which is made in a copy of its folder where there is none."""
    provide(target, folder=source.is_dir())
    mount(str(source), target, flags=BIND)


_copies = {PLACE}                              # folders where files can be made: they are this session's alone


def provide(target: pathlib.Path, folder: bool) -> None:
    """Make the file or folder `target` where there is none."""
    if os.path.lexists(target):
        return
    copy(target.parent)
    if folder:
        target.mkdir()
    else:
        target.touch()


def copy(folder: pathlib.Path) -> None:
    """Cover a folder with a copy of it, to which entries can be added."""
    if folder in _copies:
        return
    _copies.add(folder)
    if not folder.exists():
        copy(folder.parent)
        folder.mkdir()
        return
    here, old = os.open(".", os.O_PATH | os.O_CLOEXEC), os.open(folder, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    inside = os.listdir(folder)
    mount("klpfs", folder, "tmpfs", NOSUID, "mode=755,size=1m")
    os.fchdir(old)
    for name in inside:
        with contextlib.suppress(FileNotFoundError):     # gone meanwhile
            copy_entry(name, folder / name)
    os.fchdir(here)
    os.close(old)
    os.close(here)


def copy_entry(name: str, new: pathlib.Path) -> None:
    """Make a copy, at `new`, of the entry `name` of the working directory."""
    mode = os.lstat(name).st_mode
    if stat.S_ISLNK(mode):
        new.symlink_to(os.readlink(name))
        return
    if stat.S_ISDIR(mode):
        new.mkdir()
    else:
        new.touch()
    mount(name, new, flags=BIND | REC)


# -- the module commands

def stand_in(first: list[str], last: list[str]) -> None:
    """Make the stand-ins, first in the PATH, and put them over the machine's own, which scripts may call by path."""
    provide(BIN, folder=True)
    mount("klpfs", BIN, "tmpfs", NOSUID | NODEV, "mode=755,size=1m")    # its own, in a session within a session as well
    REAL.mkdir()
    top = pathlib.Path(__file__).resolve().parents[2]
    code = f"import sys; sys.path.append({str(top)!r}); from klpfs.cli.standin import main; main({first!r}, {last!r})"
    script = f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -I -S -c {shlex.quote(code)} "$0" "$@"\n'
    for name in NAMES:
        if name in ELSEWHERE and pathlib.Path(shutil.which(name) or BIN / name).parent != BIN:
            continue
        path = BIN / name
        path.write_bytes(os.fsencode(script))
        path.chmod(0o755)
        for folder in SBIN:
            real = pathlib.Path(os.path.realpath(f"{folder}/{name}"))
            if real.is_file() and real.name in (name, *OWN) and BIN not in real.parents:
                kept = REAL / real.name
                if not kept.exists():          # covered already
                    kept.touch()
                    mount(str(real), kept, flags=BIND)
                    mount(str(path), real, flags=BIND)
