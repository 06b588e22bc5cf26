"""wait: until no transition is pending, naming who blocks; `--or-reverse` takes back what does not complete in time.

Exit codes: 0 complete (or nothing was pending); 3 still pending when the time was over; 4 reversed, and that is
complete.
"""
from __future__ import annotations

import argparse
import contextlib
import os
import sys
import time
from typing import TextIO

from klpfs.cli.terminal import printable, put
from klpfs.cli.tree import CommandError, Tree, find, pending

PENDING, REVERSED = 3, 4
SHORT, LONG = 0.01, 0.2  # seconds between two looks: at first, and later
LINE = 5  # seconds between two lines in a pipe that would say the same
TREE = "sys/kernel/livepatch"


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser], common: argparse.ArgumentParser) -> None:
    p = commands.add_parser("wait", parents=[common], help="wait until a transition is complete")
    p.add_argument("patch", nargs="?", help="this patch's (default: any)")
    p.add_argument("-t", "--timeout", type=float, metavar="SECONDS", help="wait no longer")
    p.add_argument("--or-reverse", action="store_true",
                   help="when it is not complete in time (or at Ctrl-C), reverse it")
    p.set_defaults(do=wait)


class Progress:
    """The progress that the user sees: one line that is written over on a terminal, a line for each change in a
    pipe."""

    def __init__(self, out: TextIO, terminal: bool) -> None:
        self.out, self.terminal = out, terminal
        self.said, self.when = "", 0.0             # the last line, and its time.monotonic()

    def say(self, bar: str, text: str) -> None:
        text, now = printable(text), time.monotonic()
        if self.terminal:
            import shutil

            width = shutil.get_terminal_size().columns - 1
            self.out.write(f"\r\x1b[K{f'{bar} {text}'[:width]}")
            self.out.flush()
        elif text != self.said or now - self.when >= LINE:
            put(text, file=self.out, flush=True)
            self.when = now
        self.said = text

    def end(self) -> None:
        if self.terminal and self.said:
            self.out.write("\r\x1b[K")
            self.out.flush()


class Waiter:
    """A transition watched to its end."""

    def __init__(self, tree: Tree, patch: str | None, progress: Progress) -> None:
        self.tree, self.patch, self.progress = tree, patch, progress
        self.seen = ""                             # the patch whose transition was last seen pending

    def pending(self) -> bool:
        """True while the transition waited for is pending."""
        if not self.patch:
            name = pending(self.tree)
        else:
            try:
                name = self.patch if self.tree.read(TREE, self.patch, "transition") == "1" else None
            except OSError:
                name = None  # the folder went with the end of the way back
        self.seen = name or self.seen
        return name is not None

    def until(self, end: float | None) -> bool:
        """True when complete; False when `end` (time.monotonic) came first."""
        pause, begun = SHORT, time.monotonic()
        while self.pending():
            now = time.monotonic()
            if end is not None and now >= end:
                return False
            if now - begun > 0.2:  # what completes at once needs no report
                self.report()
                pause = max(LONG, 4 * (time.monotonic() - now))  # never busy the service with looking
            time.sleep(pause if end is None else max(0.0, min(pause, end - now)))
        return True

    def report(self) -> None:
        done, total = self.tasks()
        filled = 20 * done // total if total else 0
        with contextlib.suppress(OSError):
            way = "patching" if self.tree.read(TREE, self.seen, "enabled") == "1" else "unpatching"
            self.progress.say(f"[{'#' * filled}{'.' * (20 - filled)}] {done}/{total}",
                              f"{self.seen}: {way}, {self.who()}")

    def tasks(self) -> tuple[int, int]:
        """(switched, all) tasks of all processes."""
        with contextlib.suppress(OSError):
            goal = self.tree.read(TREE, self.seen, "enabled")
            states = []
            for pid, _ in self.tree.processes():
                for tid in self.tree.names("proc", str(pid), "task"):
                    with contextlib.suppress(OSError):
                        states.append(self.tree.read("proc", str(pid), "task", tid, "patch_state"))
            return states.count(goal), len(states)
        return 0, 0

    def who(self) -> str:
        """The blockers, in one line."""
        lines = []
        with contextlib.suppress(OSError):
            lines = [line.strip() for line in self.tree.blockers() if line.strip() and not line[0].isspace()]
        if not lines:
            return "waiting"
        return "waiting for " + lines[0] + (f" and {len(lines) - 1} more" if len(lines) > 1 else "")

    def opposite(self) -> str:
        """What turns the pending transition round when it is written to the patch's `enabled`."""
        return "0" if self.tree.read(TREE, self.seen, "enabled") == "1" else "1"

    def reverse(self) -> None:
        """Turn the pending transition round. CommandError when it can't be."""
        try:
            self.tree.write(self.opposite(), TREE, self.seen, "enabled")
        except OSError as e:
            if self.pending():
                raise CommandError(f"{self.seen} could not be reversed: {e.strerror}; see: klpfs dmesg") from None


def wait(arguments: argparse.Namespace) -> int:
    tree = find(arguments.service, arguments.mount)
    if arguments.patch and arguments.patch not in tree.names(TREE):
        raise CommandError(f"no patch {arguments.patch}; in this service: {', '.join(tree.names(TREE)) or 'none'}")
    if arguments.or_reverse and arguments.timeout is None and not sys.stdin.isatty():
        raise CommandError("--or-reverse needs --timeout SECONDS here", 2)
    progress = Progress(sys.stderr, os.isatty(2))
    waiter = Waiter(tree, arguments.patch, progress)
    try:
        try:
            complete = waiter.until(None if arguments.timeout is None else time.monotonic() + arguments.timeout)
        except KeyboardInterrupt:
            if not arguments.or_reverse:
                raise
            complete = False
        if complete:
            return 0
        if not arguments.or_reverse:
            who, top = waiter.who(), f"{tree.path}/{TREE}/{waiter.seen}"
            try:
                opposite = waiter.opposite()
            except OSError:
                if waiter.pending():
                    raise
                return 0        # the folder went with the end of the way back, just now
            progress.end()
            put(f"klpfs wait: {waiter.seen} is still pending, {who}; wait on, "
                  f"reverse it (echo {opposite} > {top}/enabled), or force it (echo 1 > {top}/force)", file=sys.stderr)
            return PENDING
        waiter.reverse()
        waiter.until(None)
        progress.end()
        put(f"klpfs wait: {waiter.seen} was reversed", file=sys.stderr)
        return REVERSED
    finally:
        progress.end()
