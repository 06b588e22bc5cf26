"""Values of the machine, the moment or chance: what two runs of NEW have otherwise, the second in another environment.

OLD and NEW run in the same environment, so what the machine says is the same in both, and a value that differs all the
same is of the release, or of the moment and of chance; those two are told apart by their form, which a release decides:
the length of a token, what stands before and behind it.
"""
from __future__ import annotations

import ast
import re
from collections.abc import Iterable
from typing import Any

from klpfs.builder.verify.compare import Difference

_KEYS = frozenset(("missing", "extra"))
_TOKEN = re.compile(r"[\w+/=-]+")
_MEANS = re.compile(r"[^\w+=-]")        # characters that tokens do not have
_SHARED = 5             # characters that two tokens do not begin or end with alike by chance
_MAGNITUDES = 4         # by which numbers differ that are of no common range
_CUT = re.compile(r"\.\.\.\d+ [0-9a-f]{20}$")


class Unsteady:
    """The places at which two runs of NEW differ."""

    def __init__(self, found: Iterable[Difference]) -> None:
        self.paths: dict[str, dict[str, Difference]] = {}
        self._keys: dict[str, list[Difference]] = {}        # those of tables that come and go, by the table
        for each in found:
            self.paths.setdefault(each.path, {})[each.what] = each
            if each.what in _KEYS:
                self._keys.setdefault(_table(each), []).append(each)

    def covers(self, difference: Difference) -> bool:
        """Whether a difference from NEW is of that kind: another value of the same form, or what comes and goes in NEW
        as well. A place that OLD lacks, or has for another type, is no matter of chance."""
        kinds = self.paths.get(difference.path, {})
        if difference.what == "value" and "value" in kinds:
            return alike(difference.mine, kinds["value"].mine, kinds["value"].wanted)
        return bool(difference.what in kinds or difference.what in _KEYS and not _KEYS.isdisjoint(kinds)) and (
            difference.what != "value")

    def covered(self, found: Iterable[Difference]) -> set[Difference]:
        """Those of the differences that are covered. A table whose keys are of chance has as many others."""
        covered: set[Difference] = set()
        others: dict[str, list[Difference]] = {}
        missing: dict[str, int] = {}
        for each in found:
            if self.covers(each):
                covered.add(each)
                if each.what == "missing":
                    missing[_table(each)] = missing.get(_table(each), 0) + 1
            elif each.what == "extra" and _table(each) in self._keys:
                others.setdefault(_table(each), []).append(each)
        for table, extra in others.items():
            if len(extra) == missing.get(table, 0) and all(self._is_a_key(table, each) for each in extra):
                covered.update(extra)
        return covered

    def _is_a_key(self, table: str, difference: Difference) -> bool:
        pairs = ((going, coming) for going in self._keys[table] for coming in self._keys[table]
                 if (going.what, coming.what) == ("extra", "missing"))
        return any(alike(_key(difference), _key(going), _key(coming)) for going, coming in pairs)


def _table(difference: Difference) -> str:
    """The path of what a key is in."""
    up = difference.trail.up if difference.trail is not None else None
    return up.path if up is not None else difference.path.rpartition("[")[0]


def _key(difference: Difference) -> str:
    return difference.path[len(_table(difference)):].strip("[]")


def alike(mine: str, again: str, wanted: str) -> bool:
    """Whether three values, in words, are of one form; `again` and `wanted` are two that the same code has made."""
    kinds = {_type(each) for each in (mine, again, wanted)}
    if len(kinds) > 1 or kinds & {"bool", "NoneType"}:
        return False
    if kinds <= {"str", "bytes"}:
        return _alike_texts(mine, again, wanted)
    if kinds <= {"int", "float"}:
        sizes = [len(each.lstrip("-").partition(".")[0]) for each in (mine, again, wanted)]
        return not abs(sizes[1] - sizes[2]) < _MAGNITUDES <= min(abs(sizes[0] - size) for size in sizes[1:])
    return True


def _alike_texts(mine: str, again: str, wanted: str) -> bool:
    cut = any(map(_CUT.search, (mine, again, wanted)))
    mine, again, wanted = (_CUT.sub("", each).strip("b'\"") if cut else _content(each)
                           for each in (mine, again, wanted))
    before = _without_number(_shared(again, wanted))
    after = "" if cut else _without_number(_shared(again[::-1], wanted[::-1]))
    if _means(before) and not mine.startswith(before) or _means(after) and not mine[::-1].startswith(after):
        return False
    tokens = all(_TOKEN.fullmatch(each) and not each.isdigit() for each in (mine, again, wanted))
    return not (tokens and len(again) == len(wanted) != len(mine))


def _content(words: str) -> str:
    try:
        value: Any = ast.literal_eval(words)
    except (SyntaxError, ValueError):
        return words
    return value if type(value) is str else value.decode("latin-1")


def _shared(one: str, other: str) -> str:
    """What two texts begin with alike."""
    at = next((at for at, (a, b) in enumerate(zip(one, other)) if a != b), min(len(one), len(other)))
    return one[:at]


def _without_number(text: str) -> str:
    """What two texts begin with alike, up to the number at which they begin to differ: some of its digits are the same
    by chance."""
    return text.rstrip("0123456789")


def _means(text: str) -> bool:
    return len(text) >= _SHARED or bool(_MEANS.search(text))


def _type(words: str) -> str:
    """The type of a plain value, by its words; of others the words' first."""
    try:
        return type(ast.literal_eval(words)).__name__
    except (SyntaxError, ValueError, RecursionError, MemoryError):       # a long text is cut
        return {"'": "str", '"': "str", "b": "bytes"}.get(words[:1], re.split(r"[ (]", words)[0])
