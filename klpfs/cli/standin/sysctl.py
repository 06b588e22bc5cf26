"""sysctl(8), for machines that have none: kernel.ftrace_enabled and whatever else is a file under /proc/sys."""
from __future__ import annotations

import errno
import os
import sys

from klpfs.cli.standin import options, say
from klpfs.cli.terminal import put

TOP = "/proc/sys"


def run(words: list[str], folders: list[str]) -> int:
    names = ["values", "names", "write", "ignore", "quiet", "help"]
    found, rest = options.parse(words, dict.fromkeys(names, options.NONE),
                                {"n": "values", "N": "names", "w": "write", "e": "ignore", "q": "quiet", "b": "values",
                                 "h": "help"})
    given = {name for name, _ in found}
    if not rest or "help" in given:
        put("\nUsage:\n sysctl [options] [variable[=value] ...]\n", file=sys.stderr)
        return int("help" not in given)
    return max(one(each, given) for each in rest)


def one(word: str, given: set[str]) -> int:
    """Show or set one variable; its exit code."""
    key, equals, value = word.partition("=")
    key = key.strip().replace("/", ".")
    path = f"{TOP}/{key.replace('.', '/')}"
    if not equals and "write" in given:
        say("sysctl: command line(0): invalid syntax, continuing...")
        return 1
    try:
        os.stat(path)
    except OSError as e:
        if "ignore" in given and e.errno == errno.ENOENT:
            return 0
        say(f"sysctl: cannot stat {path}: {e.strerror}")
        return 1
    try:
        if equals:
            fd = os.open(path, os.O_WRONLY)
            try:
                os.write(fd, os.fsencode(value + "\n"))
            finally:
                os.close(fd)
            text = value.strip()
        else:
            with open(path, encoding="utf-8", errors="surrogateescape") as file:
                text = file.read().rstrip("\n")
    except OSError as e:
        if equals:
            say(f'sysctl: setting key "{key}": {e.strerror}')
            return int(isinstance(e, PermissionError))
        say(f'sysctl: {"permission denied on" if isinstance(e, PermissionError) else "reading"} key \'{key}\'')
        return 1
    if not (equals and "quiet" in given):
        put(key if "names" in given else text if "values" in given else f"{key} = {text}")
    return 0
