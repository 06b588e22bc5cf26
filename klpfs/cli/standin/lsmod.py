"""lsmod(8): the service's modules."""
from __future__ import annotations

from klpfs.cli.kmod import HEADER
from klpfs.cli.standin import module, say
from klpfs.cli.terminal import printable, put


def run(words: list[str], folders: list[str]) -> int:
    if words:
        say("Usage: lsmod")
        return 1
    try:
        found = module.loaded()
    except OSError as e:
        say(f"Error: could not get list of modules: {e.strerror}")
        return 1
    put(HEADER, *[printable(str(each)) for each in found.values()], sep="\n")
    return 0
