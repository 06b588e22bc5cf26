"""Attacks on the rules of consistency: how they are noted, and how they get into a window.

An attack is a function that returns whether everything was consistent, or None where its window can't be reached on
this Python. The rules it is noted with are those that it gets around when they are switched off.
"""
import contextlib
import os
import subprocess
import sys

from klpfs.cpython.switch import rules

ATTACKS = []        # (function, rules)
NAMES = set()       # the rules that the running attack goes without
PARTS = os.path.dirname(os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))


def attack(*needed):
    """needed: rules; two in one text where either stands in for the other."""
    def note(function):
        ATTACKS.append((function, needed))
        return function
    return note


def wait(event):
    assert event.wait(10), "the other thread did not get there"


@contextlib.contextmanager
def no_greenlets():
    """The program has no greenlets: with greenlets about nothing is remembered."""
    gone = {name: sys.modules.pop(name) for name in ("greenlet", "greenlet._greenlet") if name in sys.modules}
    try:
        yield
    finally:
        sys.modules.update(gone)


def outside(program):
    """Runs a program in a process of its own: an audit hook can't be taken away again."""
    env = dict(os.environ, PYTHONPATH=os.pathsep.join((PARTS, os.path.join(PARTS, "tests"))))
    done = subprocess.run([sys.executable, "-c", program % (sorted(rules.BREAK),)], stdout=-1, stderr=-2, timeout=60,
                          env=env)
    return done.stdout.decode().strip()
