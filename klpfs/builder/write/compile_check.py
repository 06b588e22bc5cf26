"""A built livepatch compiles, as the program will compile it, on all Pythons that it is to fit, or is refused: nobody
finds out at its load."""
from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Iterable, Sequence
from typing import Any

import klpfs
from klpfs.builder.plan.plans import ModulePlan, Refusal
from klpfs.builder.read.other_pythons import NoAnswer, ask
from klpfs.cpython.load.source_file import File

_TITLE = re.compile(r"# -{20} (\S+) \(.*\) -*$")
_DEFINED = re.compile(r" *(?:async )?(?:def|class) (\w+)")
_LINE = re.compile(r" *# line (\d+):")
_ROOT = os.path.dirname(os.path.dirname(os.path.abspath(klpfs.__file__)))
_CHILD = f"""
import json, sys
sys.path.insert(0, {_ROOT!r})
from klpfs.cpython.load.source_file import File
try:
    File(sys.stdin.buffer.read(), "")
except (SyntaxError, ValueError) as error:
    print(json.dumps([getattr(error, "lineno", None), getattr(error, "msg", None) or str(error)]))
else:
    print("null")
"""


def uncompilable(text: str, plans: Iterable[ModulePlan], pythons: Sequence[str]) -> list[Refusal]:
    """The place of NEW whose text does not compile, by the first of the pythons that says so; [] if all compile it."""
    for python in pythons:
        found = _error_of(text, python)
        if found is not None:
            return [_refusal(text.split("\n"), plans, *found)]
    return []


def _error_of(text: str, python: str) -> tuple[int, str] | None:
    """(line, words) of what an interpreter does not compile."""
    if python == sys.executable:
        try:
            File(text.encode(), "")
        except (SyntaxError, ValueError) as error:
            return getattr(error, "lineno", None) or 1, getattr(error, "msg", None) or str(error)
        return None
    try:
        found: Any = json.loads(ask(python, _CHILD, input=text.encode()))
    except (NoAnswer, ValueError) as error:
        return 1, f"{python}: {error}"
    return None if found is None else (found[0] or 1, f"{python}: {found[1]}")


def _refusal(lines: list[str], plans: Iterable[ModulePlan], at: int, words: str) -> Refusal:
    """The refusal of what a line of the file is written for."""
    above = lines[:at][::-1]
    defined = next((found[1] for found in map(_DEFINED.match, above) if found), "")
    module = next((found[1] for found in map(_TITLE.match, above) if found), "")
    path = next((plan.new.path for plan in plans if plan.name == module), "")
    return Refusal(f"{defined or 'the livepatch'}: `{lines[at - 1].strip()}`",
                   f"what stands for it in a livepatch does not compile: {words}", _line_of(lines, at), path)


def _line_of(lines: list[str], at: int) -> int:
    """The line of NEW that a line of the file comes from: of the comment above it in its definition, or of the first
    below."""
    begins = ("def ", "async def ", "class ")
    top = next((number for number in range(at - 1, 0, -1) if lines[number].startswith(begins)), 0)
    found = [*lines[max(top - 1, 0):at][::-1], *lines[at:]]
    return next((int(said[1]) for said in map(_LINE.match, found) if said), 0)
