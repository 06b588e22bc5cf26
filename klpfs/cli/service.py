"""run, mount, umount: what makes a service and its tree."""
from __future__ import annotations

import argparse
import errno

from klpfs.cli.tree import CommandError
from klpfs.service.mountinfo import klpfs_mounts


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser], common: argparse.ArgumentParser) -> None:
    p = commands.add_parser("run", help="start a program that can be patched",
                            usage="klpfs run [-s SERVICE] [--keep] [--group GROUP] -- COMMAND [ARGUMENT ...]")
    p.add_argument("-s", "--service", help="the service's name (default: the base name of the script or command)")
    p.add_argument("--keep", action="store_true",
                   help="the patches outlive the service, and are applied at its next start")
    p.add_argument("--group", help="its processes may change to other users that are in this group (a name or number)")
    p.add_argument("argv", nargs=argparse.REMAINDER, metavar="COMMAND")
    p.set_defaults(do=run)
    p = commands.add_parser("mount", help="mount the tree of all services")
    p.add_argument("mountpoint")
    p.add_argument("-f", "--foreground", action="store_true", help="don't go to the background")
    p.add_argument("--kernel", type=release, metavar="MAJOR.MINOR",
                   help="leave out the attributes that patches got in later kernels (replace: 6.11, stack_order: 6.14)")
    p.set_defaults(do=mount)
    p = commands.add_parser("umount", help="take the tree away; services run on")
    p.add_argument("mountpoint", nargs="?", help="default: the only one")
    p.set_defaults(do=umount)


def run(arguments: argparse.Namespace) -> int:
    """Become the command, with an agent in it and in the Pythons that it starts. Returns only with an error."""
    from klpfs.agent.run_command import exec_program  # each of these loads what it needs, and no other command does

    argv = arguments.argv[1:] if arguments.argv[:1] == ["--"] else arguments.argv
    if not argv:
        raise CommandError("no command; as in: klpfs run -- python3 app.py", 2)
    try:
        exec_program(argv, arguments.service, arguments.keep, arguments.group)
    except OSError as e:  # as a shell says it: 127 not found, 126 can't be run
        raise CommandError(str(e.strerror), {errno.ENOENT: 127, errno.EACCES: 126}.get(e.errno or 0, 1)) from None
    raise AssertionError("exec returned")


def release(text: str) -> tuple[int, int]:
    """A kernel's release as (major, minor)."""
    major, _, minor = text.partition(".")
    return int(major), int(minor)


def mount(arguments: argparse.Namespace) -> int:
    from klpfs.fs import daemon

    chosen = {"kernel": arguments.kernel} if arguments.kernel else {}
    return daemon.mount(arguments.mountpoint, foreground=arguments.foreground, **chosen)


def umount(arguments: argparse.Namespace) -> int:
    from klpfs.fs import mount as mounting

    places = klpfs_mounts() if arguments.mountpoint is None else [arguments.mountpoint]
    if not places:
        raise CommandError("no klpfs is mounted")
    if len(places) > 1:
        raise CommandError(f"several are mounted, choose one: {' '.join(places)}")
    try:
        mounting.umount(places[0])
    except OSError as e:
        if e.errno == errno.EBUSY:
            raise CommandError(f"{e.strerror}; who uses it: fuser -m {places[0]}") from None
        raise
    return 0
