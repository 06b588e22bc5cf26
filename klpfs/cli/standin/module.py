"""Modules: what a service has loaded, where their files are, and loading and unloading them, for the commands here."""
import errno
import os
import typing

from klpfs.cli.standin import TREE

MEANING = {  # kmod's mod_strerror(), for insmod
    errno.ENOEXEC: "Invalid module format",
    errno.ENOENT: "Unknown symbol in module, or unknown parameter (see dmesg)",
    errno.ESRCH: "Module has wrong symbol version",
    errno.EINVAL: "Invalid parameters",
}


class Loaded(typing.NamedTuple):
    """A line of proc/modules."""

    name: str
    size: int
    refcnt: int
    holders: "list[str]"
    state: str


def loaded() -> "dict[str, Loaded]":
    """The service's modules by name, the newest first. OSError as it comes."""
    found = {}
    with open(f"{TREE}/proc/modules") as lines:
        for line in lines:
            name, size, refcnt, holders, state = line.split()[:5]
            found[name] = Loaded(name, int(size), int(refcnt), [each for each in holders.split(",") if each not in ("", "-")], state)
    return found


def name_of(path: str) -> str:
    """A file's module name, or a name as the kernel has it."""
    return path.rpartition("/")[2].partition(".")[0].replace("-", "_")


def file_of(path: str) -> str:
    """The file that `path` means: NAME.ko is NAME.py beside it when there is no NAME.ko."""
    if path.endswith(".ko") and not os.path.lexists(path) and os.path.exists(path[:-3] + ".py"):
        return path[:-3] + ".py"
    return path


def look_for(name: str, folders: "list[str]") -> typing.Optional[str]:
    """The path of the module `name` ('-' and '_' are one), or None."""
    wanted = name.replace("-", "_")
    for folder in folders:
        try:
            there = sorted(os.listdir(folder))
        except OSError:
            continue
        for each in there:
            stem, _, kind = each.rpartition(".")
            if kind == "py" and stem.replace("-", "_") == wanted:
                return os.path.join(folder, each)
    return None


def quoted(word: str) -> str:
    """A word as the tree's files take it: quotes around what needs them."""
    if word and not set(word) & set(" \t\r\n\v\f'\""):
        return word
    if '"' not in word:
        return f'"{word}"'
    return "\"'\"".join(f"'{part}'" for part in word.split("'"))


def write(name: str, text: str) -> None:
    """One write(2) to a file of the service. OSError; EPERM where the kernel's own call gives that: not the owner."""
    try:
        fd = os.open(f"{TREE}/{name}", os.O_WRONLY)
    except PermissionError:
        raise PermissionError(errno.EPERM, os.strerror(errno.EPERM)) from None
    try:
        os.write(fd, os.fsencode(text))
    finally:
        os.close(fd)


def insert(path: str, parameters: "list[str]") -> None:
    """Load a file, as finit_module(2). OSError."""
    write("insmod", " ".join(map(quoted, [os.path.abspath(path), *parameters])))


def remove(name: str) -> None:
    """Unload a module, as delete_module(2). OSError."""
    write("rmmod", name)
