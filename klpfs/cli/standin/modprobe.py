"""modprobe(8): finds a module by its name, loads it with what it depends on, or takes it out.

Options that are about indexes, aliases and configuration files are accepted where they change nothing here (there are
none).
"""
from __future__ import annotations

import errno
import os

from klpfs.cli.kmod import MEANING, file_of
from klpfs.cli.standin import Failed, module, options, say
from klpfs.cli.terminal import put
from klpfs.protocol.names import module_name

USAGE = """Usage:
\tmodprobe [options] [-i] [-b] modulename
\tmodprobe [options] -a [-i] [-b] modulename [modulename...]
\tmodprobe [options] -r [-i] modulename
\tmodprobe [options] -r -a [-i] modulename [modulename...]
Management Options:
\t-a, --all                   Consider every non-argument to be a module name
\t-r, --remove                Remove modules instead of inserting
\t-R, --resolve-alias         Only print the name of the module
\t    --first-time            Fail if the module is loaded, or not loaded, already
Query Options:
\t-D, --show-depends          Only print what would be loaded
General Options:
\t-n, --show, --dry-run       Do not insert or remove, only look
\t-d, --dirname=DIR           Look in DIR, and in each folder of the search path under DIR
\t-q, --quiet                 No message when the module is not found
\t-v, --verbose               Print what is done
\t-V, --version               Show version
\t-h, --help                  Show this help
Modules are files NAME.py. They are looked for in:"""

NONE, ONE = options.NONE, options.ONE
OPTIONS = {**dict.fromkeys(["all", "remove", "remove-dependencies", "resolve-alias", "first-time", "ignore-install",
                            "ignore-remove", "use-blacklist", "force", "force-modversion", "force-vermagic",
                            "show-depends", "dry-run", "show", "syslog", "quiet", "verbose", "version", "help"], NONE),
           **dict.fromkeys(["dirname", "config", "set-version", "wait"], ONE)}
SHORT = {"a": "all", "r": "remove", "R": "resolve-alias", "i": "ignore-install", "b": "use-blacklist", "f": "force",
         "D": "show-depends", "n": "dry-run", "C": "config", "d": "dirname", "S": "set-version", "s": "syslog",
         "q": "quiet", "v": "verbose", "V": "version", "h": "help", "w": "wait"}


class Modprobe:
    """A run of modprobe: its options, and the modules that are loaded."""

    def __init__(self, found: options.Found, folders: list[str]) -> None:
        given = {name for name, _ in found}
        self.all, self.remove, self.first_time = (
            "all" in given,
            bool(given & {"remove", "remove-dependencies"}),
            "first-time" in given,
        )
        self.dry, self.verbose, self.quiet = bool(given & {"dry-run", "show"}), "verbose" in given, "quiet" in given
        self.depends, self.resolve = "show-depends" in given, "resolve-alias" in given
        self.folders = folders
        for name, value in found:
            if name == "dirname" and value:
                self.folders = [os.path.abspath(value), *(os.path.abspath(value) + folder for folder in folders)]

    def say(self, text: str) -> None:
        """An error text: fatal, with -a a warning, with -q not printed."""
        if not self.quiet:
            say(f"modprobe: {'WARNING' if self.all else 'FATAL'}: {text}")

    def find(self, name: str) -> str:
        """The file of a module, by its name or path. Failed: there is none."""
        path = file_of(name)
        if "/" in name and os.path.isfile(path):
            return os.path.abspath(path)
        found = module.look_for(name, self.folders)
        if found is None:
            where = ":".join(self.folders)
            self.say(f"Module {name} not found." if self.remove else f"Module {name} not found in directory {where}")
            raise Failed
        return found

    def with_needed(self, path: str) -> list[str]:
        """The files that must be loaded for the file `path`, in order; `path` itself last."""
        order: list[str] = []

        def add(path: str, above: tuple[str, ...]) -> None:
            for name in needs(path):
                found = module.look_for(name, [os.path.dirname(path)])
                if found and found not in order and found not in above:
                    add(found, (*above, found))
            if path not in order:
                order.append(path)
        add(path, (path,))
        return order

    def insert(self, name: str, parameters: list[str]) -> None:
        if not os.path.isfile(file_of(name)) and not self.depends and module_name(name) in module.loaded():
            path = ""                          # loaded from elsewhere
        else:
            path = self.find(name)
        own = module_name(path or name)
        if self.resolve:
            put(own)
            return
        if self.depends:
            for file in self.with_needed(path):
                put(f"insmod {file} {' '.join(parameters) if file == path else ''}")
            return
        there = module.loaded()
        if own in there:
            if self.first_time:
                say(f"modprobe: ERROR: could not insert '{own}': Module already in kernel")
                raise Failed
            return
        for file in self.with_needed(path):
            words = parameters if file == path else []
            if module_name(file) in there:
                continue
            if self.verbose:
                put(f"insmod {file} {' '.join(words)}", flush=True)
            if not self.dry:
                self.load(file, words)

    def load(self, path: str, parameters: list[str]) -> None:
        name = module_name(path)
        try:
            module.insert(path, parameters)
        except OSError as e:
            if e.errno == errno.EEXIST:
                said = "Module already in kernel"
                if not self.first_time and name in module.loaded():     # somebody was faster
                    return
            else:
                said = MEANING[errno.ENOENT] if e.errno == errno.ENOENT else e.strerror or ""
            say(f"modprobe: ERROR: could not insert '{name}': {said}")
            raise Failed from None

    def take_out(self, name: str) -> None:
        own = module_name(name)
        there = module.loaded()
        if own not in there:
            own = module_name(self.find(name))
            if self.first_time:
                self.say(f"Module {own} is not in kernel.")
                raise Failed
            return
        if there[own].holders or there[own].refcnt:
            self.say(f"Module {own} is in use.")
            raise Failed
        path = module.look_for(own, self.folders)
        self.unload(own)
        for file in reversed(self.with_needed(path)[:-1] if path else []):     # what is in nobody's use now
            needed = module.loaded().get(module_name(file))
            if needed and not needed.refcnt and not needed.holders:
                self.unload(needed.name)

    def unload(self, name: str) -> None:
        if self.verbose:
            put(f"rmmod {name}", flush=True)
        if self.dry:
            return
        try:
            module.remove(name)
        except OSError as e:
            said = os.strerror(errno.EAGAIN) if e.errno == errno.EBUSY else e.strerror
            say(f"modprobe: ERROR: could not remove '{name}': {said}")
            raise Failed from None


def needs(path: str) -> list[str]:
    """The names of the modules beside a file that it imports."""
    return next((value.split(",") for name, value in fields(path) if name == "depends" and value), [])


def fields(path: str) -> list[tuple[str, str]]:
    """The modinfo fields of a file; none when the file can't be read or does not parse: the service will say so."""
    from klpfs.cpython.load.modinfo import modinfo
    try:
        with open(path, "rb") as file:
            return list(modinfo(path, file.read()))
    except OSError:                            # a KlpError, too
        return []


def run(words: list[str], folders: list[str]) -> int:
    found, rest = options.parse(words, OPTIONS, SHORT)
    for name, _ in found:
        if name in ("help", "version"):
            put(f"{USAGE} {':'.join(folders)}" if name == "help" else "klpfs, for kmod version 30")
            return 0
    if not rest:
        say("modprobe: ERROR: missing parameters. See -h.")
        return 1
    job = Modprobe(found, folders)
    several = job.all or job.remove
    code = 0
    for name in rest if several else rest[:1]:
        try:
            if job.remove:
                job.take_out(name)
            else:
                job.insert(name, [] if several else rest[1:])
        except Failed as e:
            code = e.code
    return code
