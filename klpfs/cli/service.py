"""run, mount, umount: what makes a service and its tree."""
import argparse
import os
import pathlib
import re
import shutil
import subprocess

import klpfs
from klpfs.cli.tree import CommandError, mounts

BOOT = pathlib.Path(klpfs.__file__).resolve().parent / "agent" / "boot"  # its sitecustomize starts the agent


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
    environ = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, [str(BOOT), os.environ.get("PYTHONPATH")])),
               "KLPFS_SERVICE": arguments.service or service_name(argv)}
    if arguments.keep:
        environ["KLPFS_KEEP"] = "1"
    try:
        os.execvpe(argv[0], argv, environ)
    except OSError as e:
        raise CommandError(f"{argv[0]}: {e.strerror}", 127 if isinstance(e, FileNotFoundError) else 126) from None


def service_name(argv: "list[str]") -> str:
    """The base name of the script, of `-m`'s module, or of the command."""
    command = os.path.basename(argv[0])
    if not re.fullmatch(r"python[0-9.]*t?", command):
        return command
    words = iter(argv[1:])
    for word in words:
        if word == "-m":
            return next(words, command)
        if word == "-c" or word == "-":
            return command
        if word in ("-W", "-X", "--check-hash-based-pycs"):
            next(words, None)
        elif not word.startswith("-"):
            return os.path.basename(word)
    return command


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
