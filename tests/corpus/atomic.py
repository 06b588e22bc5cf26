"""Changed values of the corpus' releases: how many change together with the functions, and why others don't.

Counted in the livepatch's file: the names that its `together` lists have, and its notes on what is there at once.
"""
from __future__ import annotations

import ast
import re
from collections.abc import Iterable
from pathlib import Path

from attrs import define, field

from klpfs.builder.plan.atomic import AT_ONCE

GOAL_PERCENT = 90


@define
class Atomic:
    """The changed values of one livepatch. together: names; early: [(name, why)]."""

    entry: str
    together: list[str] = field(factory=list)
    early: list[tuple[str, str]] = field(factory=list)

    @property
    def count(self) -> int:
        return len(self.together) + len(self.early)


def of_file(entry: str, path: Path) -> Atomic:
    """What a livepatch's file says; nothing where there is none."""
    found = Atomic(entry)
    if not path.exists():
        return found
    tree = ast.parse(path.read_text(encoding="utf-8"))
    notes = re.split(r"\n- ", ast.get_docstring(tree, clean=False) or "")
    for note in notes:
        text = " ".join(note.split())
        if text.startswith(AT_ONCE):
            names, _, rest = text[len(AT_ONCE):].partition(" of ")
            module, _, why = rest.partition(": ")
            found.early += [(f"{module}:{name}", why) for name in names.split(", ")]
    for call in ast.walk(tree):
        if isinstance(call, ast.Call) and getattr(call.func, "id", "") == "Object":
            module = ast.unparse(call.args[0]).strip("'\"")
            for keyword in (keyword for inner in ast.walk(call) if isinstance(inner, ast.Call)
                            for keyword in inner.keywords if keyword.arg == "together"):
                found.together += [f"{module}:{name}" for name in ast.literal_eval(keyword.value) if ":" not in name]
    return found


def table(found: Iterable[Atomic]) -> str:
    """The table: a row for each livepatch that changes values, and the totals."""
    rows = [each for each in found if each.count]
    lines = [f"{'changed values':26}{'all':>6}{'atomic':>8}{'early':>7}  why early"]
    for each in rows:
        reasons: dict[str, list[str]] = {}
        for name, why in each.early:
            reasons.setdefault(why, []).append(name.partition(":")[2])
        said = "; ".join(f"{', '.join(names[:3])}{f' and {len(names) - 3} more' if len(names) > 3 else ''}: {why}"
                         for why, names in reasons.items())
        lines.append(f"{each.entry:26}{each.count:>6}{len(each.together):>8}{len(each.early):>7}  {said}".rstrip())
    return "\n".join([*lines, totals(rows)])


def totals(rows: list[Atomic]) -> str:
    """The last line: shares of all, and of the values that are modules' own."""
    together, count = sum(len(each.together) for each in rows), sum(each.count for each in rows)
    every = [name for each in rows for name in [*each.together, *(name for name, _ in each.early)]]
    own = [name for name in every if "." not in _last(name)]
    own_together = [name for each in rows for name in each.together if "." not in _last(name)]
    return (f"{together} of {count} changed values are atomic ({_percent(together, count)} %, goal {GOAL_PERCENT} %); "
            f"{len(own_together)} of {len(own)} values of modules ({_percent(len(own_together), len(own))} %), "
            f"{together - len(own_together)} of {count - len(own)} of classes")


def _last(name: str) -> str:
    return name.partition(":")[2]


def _percent(part: int, whole: int) -> str:
    return f"{100 * part / max(whole, 1):.0f}"
