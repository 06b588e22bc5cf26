"""rmmod(8): takes modules out."""
from __future__ import annotations

import errno
import os

from klpfs.cli.standin import module, options, say
from klpfs.cli.terminal import put
from klpfs.protocol.names import module_name

USAGE = """Usage:
\trmmod [options] modulename ...
Options:
\t-f, --force       don't look whether the module is in use before asking the service
\t-s, --syslog      accepted; errors go to the standard error
\t-v, --verbose     enables more messages
\t-V, --version     show version
\t-h, --help        show this help"""


def run(words: list[str], folders: list[str]) -> int:
    found, rest = options.parse(words, dict.fromkeys(["force", "wait", "syslog", "verbose", "version", "help"],
                                                     options.NONE),
                                {"f": "force", "w": "wait", "s": "syslog", "v": "verbose", "V": "version", "h": "help"})
    given = [name for name, _ in found]
    for name in given:
        if name in ("help", "version"):
            put(USAGE if name == "help" else "klpfs, for kmod version 30")
            return 0
    if not rest:
        say("rmmod: ERROR: missing module name.")
        return 1
    failed = 0
    for word in rest:
        name = module_name(word)
        if "force" not in given and why_not(name):
            say(f"rmmod: ERROR: {why_not(name)}")
            failed = 1
            continue
        try:
            module.remove(name)
        except OSError as e:
            # delete_module(2) has another word for a module in use
            said = os.strerror(errno.EAGAIN) if e.errno == errno.EBUSY else e.strerror
            say(f"rmmod: ERROR: could not remove module {word}: {said}")
            failed = 1
    return failed


def why_not(name: str) -> str:
    """Why the module can't be removed, by what the service shows; '' when nothing speaks against it."""
    there = module.loaded().get(name)
    if there is None:
        return f"Module {name} is not currently loaded"
    if there.holders:
        return f"Module {name} is in use by: {' '.join(there.holders)}"
    return f"Module {name} is in use" if there.refcnt else ""
