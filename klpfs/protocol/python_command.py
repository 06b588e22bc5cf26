"""The command line of a Python: by it `klpfs run` and who looks at processes know what keeps an agent out."""
from __future__ import annotations

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

# the folder whose sitecustomize.py starts the agent; `klpfs run` puts it on PYTHONPATH
BOOT = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "agent", "boot")
TAKES_VALUE = "cmWX"        # short options of python that take a value
WITHOUT_AGENT = {"I": "isolated", "E": "ignoring PYTHON* variables", "S": "without site"}     # options: how it starts


def is_python(name: str) -> bool:
    """Whether a command of this base name is a Python: python3, python3.13t, pypy."""
    import re
    return bool(re.match(r"(python|pypy)[0-9.]*t?(-dbg|d)?$", name))


def python_options(words: Sequence[str]) -> tuple[set[str], str, str]:
    """The option letters that python is given in `words` (without the command), and what it runs: (set of str, kind,
    name); kind 'script', 'module', 'code' or 'stdin'."""
    letters: set[str] = set()
    at = 0
    while at < len(words):
        word = words[at]
        if word == "--check-hash-based-pycs":
            at += 2
            continue
        if word == "-" or not word.startswith("-"):
            return (letters, "stdin", "") if word == "-" else (letters, "script", word)
        if word == "--":
            return (letters, "script", words[at + 1]) if at + 1 < len(words) else (letters, "stdin", "")
        if not word.startswith("--"):
            for i, letter in enumerate(word[1:], 1):
                if letter in TAKES_VALUE:
                    value = word[i + 1:]
                    if not value:
                        at += 1
                        value = words[at] if at < len(words) else ""
                    if letter == "m":
                        return letters, "module", value
                    if letter == "c":
                        return letters, "code", value
                    break
                letters.add(letter)
        at += 1
    return letters, "stdin", ""


def main_of(words: Sequence[str]) -> str:
    """The main program of a Python with these words (without the command): the path of its script, or what -m was
    given; '' if it can't be told.

    >>> main_of(["-u", "-m", "http.server", "80"])
    'http.server'
    """
    _, kind, name = python_options(words)
    return name if kind == "module" else os.path.abspath(name) if kind == "script" else ""
