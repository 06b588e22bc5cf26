"""insmod(8): loads a file."""
from __future__ import annotations

import os

from klpfs.cli.kmod import MEANING, file_of
from klpfs.cli.standin import module, options, say
from klpfs.cli.terminal import put

USAGE = """Usage:
\tinsmod [options] filename [args]
Options:
\t-f, --force       accepted; a service has no versions to ignore
\t-s, --syslog      accepted; errors go to the standard error
\t-v, --verbose     enables more messages
\t-V, --version     show version
\t-h, --help        show this help"""


def run(words: list[str], folders: list[str]) -> int:
    found, rest = options.parse(words, dict.fromkeys(["force", "syslog", "verbose", "version", "help"], options.NONE),
                                {"f": "force", "s": "syslog", "v": "verbose", "V": "version", "h": "help"},
                                in_order=True)
    for name, _ in found:
        if name in ("help", "version"):
            put(USAGE if name == "help" else "klpfs, for kmod version 30")
            return 0
    if not rest:
        say("insmod: ERROR: missing filename.")
        return 1
    path = file_of(rest[0])
    try:
        os.close(os.open(path, os.O_RDONLY))
    except OSError as e:
        say(f"insmod: ERROR: could not load module {rest[0]}: {e.strerror}")
        return 1
    try:
        module.insert(path, rest[1:])
    except OSError as e:
        say(f"insmod: ERROR: could not insert module {rest[0]}: {MEANING.get(e.errno or 0, e.strerror)}")
        return 1
    return 0
