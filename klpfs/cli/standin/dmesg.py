"""dmesg(1): the service's log, from /dev/kmsg.

Printing is left to the machine's own dmesg where it is util-linux's: it reads /dev/kmsg too. What it does to the kernel
by syslog(2) is done to the service here: -C and -c clear (for all readers, as the kernel's); -n, -D and -E accept, for
want of a console; -S and -s are dropped. Without util-linux its commoner options are printed here.
"""
from __future__ import annotations

import os
import time

from klpfs.cli.kmsg import Ended, Record, records
from klpfs.cli.standin import REAL, TREE, options, say
from klpfs.cli.terminal import printable, put

NONE, ONE, MAYBE = options.NONE, options.ONE, options.MAYBE
OPTIONS = {**dict.fromkeys(["clear", "read-clear", "console-off", "show-delta", "reltime", "console-on", "human",
                            "json", "kernel", "nopager", "force-prefix", "raw", "noescape", "syslog", "userspace",
                            "follow", "follow-new", "decode", "ctime", "notime", "help", "version"], NONE),
           **dict.fromkeys(["file", "facility", "level", "console-level", "buffer-size", "time-format", "since",
                            "until"], ONE), "color": MAYBE}
SHORT = {"C": "clear", "c": "read-clear", "D": "console-off", "d": "show-delta", "e": "reltime", "E": "console-on",
         "F": "file", "f": "facility", "H": "human", "J": "json", "k": "kernel", "L": "color", "l": "level",
         "n": "console-level", "P": "nopager", "p": "force-prefix", "r": "raw", "S": "syslog", "s": "buffer-size",
         "u": "userspace", "w": "follow", "W": "follow-new", "x": "decode", "T": "ctime", "t": "notime", "h": "help",
         "V": "version"}
LEVELS = ("emerg", "alert", "crit", "err", "warn", "notice", "info", "debug")
FACILITIES = ("kern", "user", "mail", "daemon", "auth", "syslog", "lpr", "news", "uucp", "cron", "authpriv", "ftp")
NOT_TOGETHER = ("clear", "read-clear", "console-off", "console-on", "console-level", "raw")
NEEDS = ("show-delta", "reltime", "json", "file", "time-format", "since", "until")     # util-linux

USAGE = """Usage:
 dmesg [options]

Display or control the service's log.

 -C, --clear                 clear the log, for dmesg
 -c, --read-clear            read and clear all messages
 -k, --kernel                display kernel messages
 -l, --level <list>          restrict output to defined levels
 -r, --raw                   print the raw message buffer
 -t, --notime                don't show any timestamp with messages
 -T, --ctime                 show human-readable timestamp
 -u, --userspace             display userspace messages
 -w, --follow                wait for new messages
 -W, --follow-new            wait and print only new messages
 -x, --decode                decode facility and level to readable string

 -h, --help                  display this help
 -V, --version               display version"""


def run(words: list[str], folders: list[str]) -> int:
    found, rest = options.parse(words, OPTIONS, SHORT)
    given = dict(found)
    if "help" in given:
        put(USAGE)
        return 0
    if rest:
        raise options.Wrong("bad usage")
    if len(set(given) & set(NOT_TOGETHER)) > 1:
        say(
            "dmesg: mutually exclusive arguments: --clear --console-off --console-on --read-clear --console-level --raw"
        )
        return 1
    if "clear" in given:
        return clear()
    if "console-level" in given:
        return level_of(given["console-level"] or "")
    if "console-off" in given or "console-on" in given:
        return 0
    real = f"{REAL}/dmesg"
    if os.access(real, os.X_OK):
        if not set(given) & {"follow", "follow-new", "file"} and nothing():
            if "json" in given:                # util-linux would go and read the kernel's own log
                put('{\n   "dmesg": [\n   ]\n}')
            return 0
        return by_real(real, found, "read-clear" in given)
    code = printed(given)
    return code or (clear() if "read-clear" in given else 0)


def clear() -> int:
    """Clear the log for all readers; the exit code."""
    try:
        fd = os.open(f"{TREE}/dev/.clear", os.O_WRONLY)
        try:
            os.write(fd, b"1")
        finally:
            os.close(fd)
    except PermissionError:
        say("dmesg: clear kernel buffer failed: Operation not permitted")
        return 1
    except OSError as e:
        say(f"dmesg: clear kernel buffer failed: {e.strerror}")
        return 1
    return 0


def nothing() -> bool:
    """Whether the log has no record since the last clear."""
    try:
        fd = os.open("/dev/kmsg", os.O_RDONLY | os.O_NONBLOCK)
    except OSError:                            # whoever reads it will say so
        return False
    try:
        os.lseek(fd, 0, os.SEEK_DATA)
        os.read(fd, 8192)
    except BlockingIOError:
        return True
    except OSError:
        pass
    finally:
        os.close(fd)
    return False


def level_of(name: str) -> int:
    """Exit code 0 for a level of the console's; nothing else is done, for there is no console."""
    if name.isdigit() and 1 <= int(name) <= 8 or name in LEVELS:
        return 0
    say(f"dmesg: unknown level '{name}'")
    return 1


def by_real(real: str, found: options.Found, then_clear: bool) -> int:
    """Let the machine's own dmesg print. Returns only when the log is to be cleared afterwards; the exit code."""
    argv = ["dmesg"]
    for name, value in found:
        if name not in ("read-clear", "syslog", "buffer-size"):
            argv.append(f"--{name}" + ("" if value is None else f"={value}"))
    if not then_clear:
        os.execv(real, argv)
    pid = os.fork()
    if not pid:
        os.execv(real, argv)
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    return code or clear()


# -- where there is no util-linux

def chosen(text: str | None, names: tuple[str, ...], what: str) -> set[int] | None:
    """The numbers of a list as -l and -f take it, None for all. Empty: a name is unknown, which has been said."""
    if text is None:
        return None
    found: set[int] = set()
    for word in text.split(","):
        below, above = word.endswith("+"), word.startswith("+")  # 'err+': and all more urgent; '+err': and all less
        name = word.strip("+")
        if name not in names:
            say(f"dmesg: unknown {what} '{word}'")
            return set()
        at = names.index(name)
        found |= set(range(at + 1)) if below else set(range(at, len(names))) if above else {at}
    return found


def printed(given: dict[str, str | None]) -> int:
    """Print the log as far as its options can be done here; the exit code."""
    for name in NEEDS:
        if name in given:
            say(f"dmesg: --{name} needs util-linux's dmesg, which this machine has not")
            return 1
    levels = chosen(given.get("level"), LEVELS, "level")
    facilities = chosen(given.get("facility"), FACILITIES, "facility")
    if levels == set() or facilities == set():
        return 1
    if "kernel" in given or "userspace" in given:
        facilities = ({0} if "kernel" in given else set()) | (set(range(1, 24)) if "userspace" in given else set())
    follow = "follow" in given or "follow-new" in given
    try:
        fd = os.open("/dev/kmsg", os.O_RDONLY | (0 if follow else os.O_NONBLOCK))
    except OSError as e:
        say(f"dmesg: read kernel buffer failed: {e.strerror}")
        return 1
    os.lseek(fd, 0, os.SEEK_END if "follow-new" in given else os.SEEK_DATA)
    booted = time.time() - time.clock_gettime(time.CLOCK_MONOTONIC)
    try:
        for record in records(fd):
            if (levels is None or record.level in levels) and (facilities is None or record.facility in facilities):
                text = line(record, given, booted)
                if "noescape" in given:
                    print(text, flush=follow)
                else:
                    put(printable(text), flush=follow)
    except Ended as e:
        say(f"dmesg: read kernel buffer failed: {e.strerror}")
        return 1
    return 0


def line(record: Record, given: dict[str, str | None], booted: float) -> str:
    """A record as it is printed."""
    if "notime" in given:
        when = ""
    elif "ctime" in given or "human" in given:
        when = time.strftime("[%a %b %e %H:%M:%S %Y] ", time.localtime(booted + record.usec / 1e6))
    else:
        when = f"{record.stamp} "
    if "raw" in given:
        return f"<{record.facility << 3 | record.level}>{record}"
    kind = FACILITIES[record.facility] if record.facility < len(FACILITIES) else str(record.facility)
    before = f"{kind:<6}:{LEVELS[record.level]:<6}: " if "decode" in given else ""
    return f"{before}{when}{record.text}"
