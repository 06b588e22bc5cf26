"""The corpus' results as text: a row each, and the totals beside the goal."""
from __future__ import annotations

from collections import Counter
from statistics import median

from tests.corpus.session import Result

GOAL_PERCENT, GOAL_LINES = 95, 20       # with no hand-written line; all of them with at most that many

HEADER = f"{'entry':28}{'class':>9}{'functions':>10}{'callbacks':>10}{'hand':>5}{'CPU s':>7}  result"
SUITE_HEADER = f"{'tests of NEW':26}{'OLD passed/failed':>20}{'patched':>16}{'NEW':>16}"


def row(result: Result) -> str:
    """A line of the table."""
    said = "ok" if result.ok else result.reason
    if result.outcome and not result.ok:
        said = f"{result.outcome}: {said}"
    if result.graph:
        said += f"; the proof: {result.graph[0].partition(': ')[2]}" + (
            f" (and {len(result.graph) - 1} more)" if len(result.graph) > 1 else "")
    counts = f"{result.functions or '-':>10}{result.callbacks or '-':>10}{result.hand:>5}{result.cpu:>7}"
    return f"{result.entry:28}{result.kind:>9}{counts}  {said}"


def suite_row(result: Result) -> str:
    """A line of the table of suites."""
    def cell(which: str) -> str:
        found = result.suites.get(which)
        return f"{found['passed']}/{found['failed']}" if found else "-"
    more = result.suites.get("note", "")
    worse = result.suites.get("lost", [])
    if worse:
        more += f"  {len(worse)} pass on NEW and not patched: {worse[0]}"
    return f"{result.entry:26}{cell('old'):>20}{cell('patched'):>16}{cell('new'):>16}  {more}".rstrip()


def _counted(results: list[Result]) -> list[Result]:
    return [each for each in results if each.kind != "d"]


def totals(results: list[Result]) -> str:
    """The last line: how many of those with Python code are carried, without and with hand-written lines."""
    counted, apart = _counted(results), [each for each in results if each.kind == "d"]
    alone = [each for each in counted if each.ok and not each.hand]
    helped = [each for each in counted if each.ok and 0 < each.hand <= GOAL_LINES]
    percent = 100 * len(alone) / max(len(counted), 1)
    text = (f"{len(alone)} of {len(counted)} with no hand-written line ({percent:.0f} %, goal {GOAL_PERCENT} %), "
            f"{len(alone) + len(helped)} with at most {GOAL_LINES} (goal {len(counted)})")
    text += f"; {sum(each.ok and not each.graph for each in counted)} of them shown to be NEW, object by object"
    others = Counter(each.outcome for each in counted if each.outcome and not each.ok)
    text += "".join(f"; {what}: {count}" for what, count in sorted(others.items()))
    built = [each.cpu for each in counted if each.cpu]
    if built:
        text += f"; a build with its proof: {median(built):.1f} s of processor time (median), {max(built):.1f} at most"
    if apart:
        text += f"; without Python code, apart: {sum(each.ok for each in apart)} of {len(apart)}"
    return text


def reached(results: list[Result]) -> bool:
    """Whether the goal is met."""
    counted = _counted(results)
    alone = sum(each.ok and not each.hand for each in counted)
    return alone * 100 >= GOAL_PERCENT * len(counted) and all(
        each.ok and each.hand <= GOAL_LINES and not each.graph for each in counted)
