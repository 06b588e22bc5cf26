"""What differs between a run of CPython's tests without klpfs and one under patches, case by case."""
from __future__ import annotations

from attrs import frozen

from tests.cpython_suite.explained import why
from tests.cpython_suite.suite import Outcome


@frozen
class Difference:
    """A case whose results are not the same: what it said without klpfs and with; reason: why that is known, or
    None."""

    case: str
    plain: str
    patched: str
    reason: str | None

    def __str__(self) -> str:
        known = f" (known: {self.reason})" if self.reason else ""
        return f"{self.case}: without klpfs {self.plain}, with {self.patched}{known}"


def differences(plain: Outcome, patched: Outcome, version: str) -> list[Difference]:
    """All of them, by the case's name; the run's own end counts as a case."""
    def result(outcome: Outcome, case: str) -> str:
        kinds = " and ".join(sorted(outcome.cases.get(case, ())))
        words = outcome.words.get(case)
        return (f"{kinds}: {words}" if words and kinds not in ("ok", "skipped") else kinds) or "not run"

    found = [Difference(case, result(plain, case), result(patched, case),
                        why(case, patched.cases.get(case, set()), version))
             for case in sorted({*plain.cases, *patched.cases}) if plain.cases.get(case) != patched.cases.get(case)]
    # a failed case gives another exit code, too: that is said above
    if plain.returncode != patched.returncode and (not found or not patched.cases or not plain.cases):
        found.append(Difference("exit code", str(plain.returncode), str(patched.returncode), None))
    return found
