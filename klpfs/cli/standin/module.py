"""Modules: what a service has loaded, where their files are, and loading and unloading them, for the commands here."""
from __future__ import annotations

import errno
import os

from klpfs.cli.kmod import Module, parse_modules, quoted
from klpfs.cli.standin import TREE
from klpfs.protocol.names import module_name


def loaded() -> dict[str, Module]:
    """The service's modules by name, the newest first. OSError as it comes."""
    with open(f"{TREE}/proc/modules", encoding="utf-8", errors="surrogateescape", newline="\n") as file:
        return {module.name: module for module in parse_modules(file.read())}


def look_for(name: str, folders: list[str]) -> str | None:
    """The path of the first file in `folders` whose module has the name `name` ('-' and '_' are the same), or None."""
    wanted = module_name(name)
    for folder in folders:
        try:
            names = sorted(os.listdir(folder))
        except OSError:
            continue
        for file in names:
            if file.endswith(".py") and module_name(file) == wanted:
                return os.path.join(folder, file)
    return None


def write(name: str, text: str) -> None:
    """Writes to a file of the service by a single write(2). OSError; EPERM where the kernel's own call gives that: not
    the owner."""
    try:
        fd = os.open(f"{TREE}/{name}", os.O_WRONLY)
    except PermissionError:
        raise PermissionError(errno.EPERM, os.strerror(errno.EPERM)) from None
    try:
        os.write(fd, os.fsencode(text))
    finally:
        os.close(fd)


def insert(path: str, parameters: list[str]) -> None:
    """Load a file, as finit_module(2). OSError."""
    write("insmod", " ".join(map(quoted, [os.path.abspath(path), *parameters])))


def remove(name: str) -> None:
    """Unload a module, as delete_module(2). OSError."""
    write("rmmod", quoted(name))
