"""The corpus' results as text: a row each, and the totals beside the goal."""
from __future__ import annotations

from tests.corpus.session import Result

GOAL_PERCENT, GOAL_LINES = 95, 20       # with no hand-written line; all of them with at most that many

HEADER = f"{'entry':26}{'class':>6}{'functions':>10}{'callbacks':>10}{'hand':>5}  result"
SUITE_HEADER = f"{'tests of NEW':26}{'OLD passed/failed':>20}{'patched':>16}{'NEW':>16}"


def row(result: Result) -> str:
    """A line of the table."""
    said = "ok" if result.ok else result.reason
    if result.differs:
        said += f"; unlike NEW in {len(result.differs)} places: {result.differs[0]}"
    if result.graph:
        said += f"; the proof: {result.graph[0].partition(': ')[2]}" + (
            f" (and {len(result.graph) - 1} more)" if len(result.graph) > 1 else "")
    counts = f"{result.functions or '-':>10}{result.callbacks or '-':>10}{result.hand:>5}"
    return f"{result.entry:26}{result.kind:>6}{counts}  {said}"


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
    if apart:
        text += f"; without Python code, apart: {sum(each.ok for each in apart)} of {len(apart)}"
    return text


def reached(results: list[Result]) -> bool:
    """Whether the goal is met."""
    counted = _counted(results)
    alone = sum(each.ok and not each.hand for each in counted)
    return alone * 100 >= GOAL_PERCENT * len(counted) and all(
        each.ok and each.hand <= GOAL_LINES and not each.graph for each in counted)
