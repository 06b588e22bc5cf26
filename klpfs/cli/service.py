"""run, mount, umount: what makes a service and its tree."""
import argparse
import os
import pathlib
import shutil
import subprocess

from klpfs.cli.tree import CommandError, mounts


def add(commands, common: argparse.ArgumentParser) -> None:
    p = commands.add_parser("run", help="start a program that can be patched", usage="klpfs run [-s SERVICE] [--keep] -- COMMAND [ARGUMENT ...]")
    p.add_argument("-s", "--service", help="the service's name (default: the base name of the script or command)")
    p.add_argument("--keep", action="store_true", help="the patches outlive the service, and are applied at its next start")
    p.add_argument("argv", nargs=argparse.REMAINDER, metavar="COMMAND")
    p.set_defaults(do=run)
    p = commands.add_parser("mount", help="mount the tree of all services")
    p.add_argument("mountpoint")
    p.add_argument("-f", "--foreground", action="store_true", help="don't go to the background")
    p.set_defaults(do=mount)
    p = commands.add_parser("umount", help="take the tree away; services run on")
    p.add_argument("mountpoint", nargs="?", help="default: the only one")
    p.set_defaults(do=umount)


def run(arguments) -> int:
    """Become the command, with an agent in it and in all Python processes that it starts. Returns only with an error."""
    argv = arguments.argv[1:] if arguments.argv[:1] == ["--"] else arguments.argv
    if not argv:
        raise CommandError("no command; as in: klpfs run -- python3 app.py", 2)
    from klpfs.agent import launch  # not in the commands that don't need it

    environ = launch.environment(argv, arguments.service, arguments.keep)
    try:
        os.execvpe(argv[0], argv, environ)
    except OSError as e:
        raise CommandError(f"{argv[0]}: {e.strerror}", 127 if isinstance(e, FileNotFoundError) else 126) from None


def mount(arguments) -> int:
    from klpfs.fs import daemon

    return daemon.main(arguments.mountpoint, foreground=arguments.foreground)


def umount(arguments) -> int:
    places = [pathlib.Path(arguments.mountpoint).absolute()] if arguments.mountpoint else mounts()
    if not places:
        raise CommandError("no klpfs is mounted")
    if len(places) > 1:
        raise CommandError(f"several are mounted, choose one: {' '.join(map(str, places))}")
    if places[0] not in mounts():
        raise CommandError(f"{places[0]} is no klpfs mount; mounted: {' '.join(map(str, mounts())) or 'none'}")
    helper = ["umount"] if os.geteuid() == 0 else [shutil.which("fusermount3") or shutil.which("fusermount") or "fusermount3", "-u"]
    done = subprocess.run([*helper, "--", str(places[0])], capture_output=True, text=True)
    if done.returncode:
        raise CommandError(f"{done.stderr.strip()}; who uses it: fuser -m {places[0]}" if "busy" in done.stderr else done.stderr.strip())
    return 0
