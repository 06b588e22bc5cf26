"""Livepatches that come and go in a service while it works: through the mount's files, as an operator does it.

Rounds at random, of a seed: one or two patches are loaded; one that is pending is reversed, or its reversal is; a
cumulative patch takes the place of all; what is in force is disabled; what is out is removed. A transition that can't
end, since a patched function is on a stack all the time, is reversed.
"""
from __future__ import annotations

import collections
import errno
import os
import random
import threading
import time

from tests.harness import Tree

OPERATIONS = ("insmod", "completed", "reversed", "replaced", "disabled", "rmmod")
PENDING_SECONDS, WAY_BACK_SECONDS = 0.7, 5.0      # how long a transition may be pending here
PAUSES = (0, 0, 0.01, 0.05, 0.3)
WARNING = 4


class Churn(threading.Thread):
    """The operator, from start() till stop(). files: {name of a livepatch: (its path, whether it is cumulative)}.

    done: how often each of OPERATIONS was done; refused: {name: the log's last line} of patches that did not load;
    busy: writes that came while another change was under way; errors: writes that failed otherwise; warnings: {line of
    the log: how often}.
    """

    def __init__(self, tree: Tree, files: dict[str, tuple[str, bool]], seed: int) -> None:
        super().__init__(name="operator", daemon=True)
        self.tree, self.files, self.rng = tree, files, random.Random(seed)
        self.done: collections.Counter[str] = collections.Counter()
        self.refused: dict[str, str] = {}
        self.errors: list[str] = []
        self.busy = 0
        self.warnings: dict[str, int] = {}
        self.over = threading.Event()

    def stop(self) -> None:
        self.over.set()
        self.join()

    def run(self) -> None:
        while not self.over.is_set() and len(self.refused) < len(self.files):
            try:
                self.round()
            except OSError as e:
                if e.errno == errno.EBUSY:      # a transition is at its very end: the next round does it
                    self.busy += 1
                    self.over.wait(0.05)
                elif not self.gone():
                    self.errors.append(f"{errno.errorcode.get(e.errno or 0, e.errno)} {e.filename or ''}".strip())
                    self.over.wait(0.1)
            except Exception as e:              # this operator's own mistake: it must not be an idle one
                self.errors.append(repr(e))
                return
            self.read_log()

    def gone(self) -> bool:
        """Whether the service has ended: its last process goes a moment before stop() is called."""
        self.over.wait(3)
        return self.over.is_set() or not os.path.exists(self.tree.path / "insmod")

    def read_log(self) -> None:
        try:
            records = self.tree.records()
        except OSError:
            return
        for priority, sequence, _, text in records:
            if sequence >= self.tree.seen and priority <= WARNING:
                self.warnings[text] = self.warnings.get(text, 0) + 1
        if records:
            self.tree.seen = records[-1][1] + 1

    # ------------------------------------------------------------------------------------------------------------ steps

    def round(self) -> None:
        if not self.tree.settled():     # a way back that takes longer
            self.over.wait(0.05)
            return
        self.remove()
        usable = [name for name in self.files if name not in self.refused and name not in self.tree.modules()]
        for name in self.rng.sample(usable, min(self.rng.choice((1, 1, 2)), len(usable))):
            if not self.over.is_set() and self.tree.settled():
                self.load(name)
        present = self.tree.patches()
        for name in self.rng.sample(present, len(present)):
            self.take_out(name)
        self.remove()

    def remove(self) -> None:
        """rmmod of each livepatch that is out of force."""
        for name in self.tree.modules():
            if name in self.files and not os.path.exists(self.tree.livepatch / name):
                self.tree.rmmod(name)
                self.done["rmmod"] += 1

    def load(self, name: str) -> None:
        """insmod; then it completes, perhaps after reversals, or is on its way back."""
        path, cumulative = self.files[name]
        others = [each for each in self.tree.patches() if each != name]
        try:
            self.tree.insmod(path)
        except OSError as e:
            if e.errno in (errno.EINVAL, errno.ENOENT, errno.ENOEXEC, errno.EOPNOTSUPP) and not self.gone():
                bad = [text for _, _, _, text in self.tree.records() if name in text]
                self.refused[name] = bad[-1] if bad else errno.errorcode[e.errno]
                return
            raise
        self.done["insmod"] += 1
        self.over.wait(self.rng.choice(PAUSES))
        if self.rng.random() < 0.5:
            for text in "010"[:self.rng.choice((1, 2, 2, 3))]:      # out, in again, out
                if not self.reverse(name, text):
                    break
                self.over.wait(self.rng.choice(PAUSES))
        if not self.settled(name, PENDING_SECONDS):
            self.reverse(name, "0")
        elif self.value(name, "enabled") == "1":
            self.done["completed"] += 1
            self.done["replaced"] += bool(cumulative and others)
            self.over.wait(self.rng.choice(PAUSES))

    def reverse(self, name: str, text: str) -> bool:
        """A pending transition is turned round; False: it isn't pending, or goes that way already."""
        if self.value(name, "transition") != "1" or self.value(name, "enabled") == text:
            return False
        try:
            self.tree.set(f"{name}/enabled", text)
        except OSError as e:
            if e.errno in (errno.ENOENT, errno.EINVAL, errno.EBUSY, errno.ENODEV):
                return False        # it has become complete meanwhile
            raise
        self.done["reversed"] += 1
        return True

    def take_out(self, name: str) -> None:
        if self.value(name, "enabled") == "1" and self.value(name, "transition") == "0":
            self.tree.set(f"{name}/enabled", "0")
            self.done["disabled"] += 1
            if self.rng.random() < 0.2 and self.reverse(name, "1") and self.settled(name, PENDING_SECONDS):
                if self.value(name, "enabled") == "1":
                    self.tree.set(f"{name}/enabled", "0")
                    self.done["disabled"] += 1
        end = time.monotonic() + WAY_BACK_SECONDS
        while os.path.exists(self.tree.livepatch / name) and time.monotonic() < end and not self.over.is_set():
            self.over.wait(0.01)

    # ---------------------------------------------------------------------------------------------------------- looking

    def value(self, name: str, attribute: str) -> str | None:
        try:
            return self.tree.get(f"{name}/{attribute}")
        except FileNotFoundError:
            return None

    def settled(self, name: str, seconds: float) -> bool:
        """Whether its transition is over within that time, one way or the other."""
        end = time.monotonic() + seconds
        while self.value(name, "transition") == "1":
            if time.monotonic() > end or self.over.is_set():
                return False
            self.over.wait(0.01)
        return True
