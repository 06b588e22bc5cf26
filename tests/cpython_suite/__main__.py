"""make cpython: a sample of CPython's own tests, without klpfs and while patches of what they test come and go.

    python -m tests.cpython_suite [--pythons 3.N ...] [--rows TEXT ...] [--seed N] [--json FILE]

Each row is run once alone and once in a program under `klpfs run`, with a real mount, by an operator who works on it
all the time (churn.py). The livepatches change nothing (identity.py), so nothing may differ, case by case, but what
explained.py has a reason for. Short tests are run several times under patches, that there is time for some. Exit code
1: a difference without a reason, a livepatch that was refused, a write that failed; 2: nothing could be run.
"""
from __future__ import annotations

import argparse
import json
import math
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

from attrs import asdict, define

from tests import harness
from tests.cpython_suite import identity, interpreters, rows
from tests.cpython_suite.churn import OPERATIONS, Churn
from tests.cpython_suite.compare import Difference, differences
from tests.cpython_suite.suite import Outcome, Run
from tests.pythons import MINORS

VERSIONS = ("3.14", "3.15")
LEAST_SECONDS, MOST_TIMES = 20, 30       # of a row under patches: shorter ones are run so often, at most
NOTED = "could not be applied here"     # a process of the service goes without a patch
FORMAT = "{:<6}{:<37}{:>6}{:>5}" + "{:>10}" * len(OPERATIONS) + "{:>13}"


@define
class Result:
    """A row of one version, when it is over."""

    version: str
    row: str
    cases: int
    times: int
    done: dict[str, int]
    differences: list[Difference]
    wrong: list[str]            # what else fails it
    warnings: dict[str, int]    # of the service's log: {line: how often}; NOTED ones are printed
    seconds: tuple[float, float]

    @property
    def failed(self) -> bool:
        return bool(self.wrong) or any(each.reason is None for each in self.differences)

    def line(self) -> str:
        known = sum(each.reason is not None for each in self.differences)
        said = str(len(self.differences) - known) + (f" + {known} known" if known else "")
        counts = [self.done.get(each, 0) for each in OPERATIONS]
        return FORMAT.format(self.version, self.row, self.cases, self.times, *counts, said)


def available(python: Path) -> list[str]:
    """The tests of an interpreter that rows may want, as it names them."""
    wanted = ["test_asyncio", *rows.SINGLE]
    code = f"import importlib.util as u; print(*[name for name in {wanted} if u.find_spec('test.' + name)])"
    there = said_by([python, "-I", "-c", code]).split()
    return said_by([python, "-m", "test", "--list-tests", *there]).split()


def said_by(command: list[object]) -> str:
    """What a command writes on standard output."""
    done = subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL, cwd="/")
    if done.returncode:
        raise SystemExit(f"cpython: {' '.join(map(str, command))}: exit code {done.returncode}: {done.stderr}")
    return done.stdout


def livepatches(python: Path, row: rows.Row, folder: Path) -> dict[str, tuple[str, bool]]:
    """The row's livepatches, made anew: {name: (path, whether it is cumulative)}."""
    folder.mkdir()
    counts = json.loads(said_by([python, "-S", identity.__file__, folder, *row.patched]))
    return {name: (str(folder / f"{name}.py"), cumulative)
            for module, functions in counts.items() if functions
            for cumulative in (False, True)
            for name in [identity.file_name("only" if cumulative else "same", module)]}


def timed(run: Run) -> Outcome:
    began = time.monotonic()
    returncode = run.wait()
    return run.outcome(returncode, round(time.monotonic() - began, 1))


def one(version: str, python: Path, row: rows.Row, mount: harness.Mount, folder: Path, seed: int) -> Result:
    """A row, alone and under patches. folder: a new one for it; its name is that of the service, too."""
    folder.mkdir()
    plain = timed(Run(python, row.tests, folder / "alone"))
    times = min(math.ceil(LEAST_SECONDS / max(plain.seconds, 0.1)), MOST_TIMES)
    files = livepatches(python, row, folder / "livepatches")
    run = Run(python, row.tests, folder / "patched", times, folder.name)
    try:
        operator = Churn(mount.service(folder.name), files, seed)
        operator.start()
    finally:
        patched = timed(run)
    operator.stop()
    wrong = [f"{name} was refused: {line}" for name, line in operator.refused.items()]
    wrong += [f"a write failed: {error}" for error in operator.errors]
    if not plain.cases:
        wrong.append(f"no result without klpfs: {plain.log[-500:]}")
    if not operator.done["completed"]:
        wrong.append("no patch was ever in force")
    return Result(version, row.name, len({*plain.cases, *patched.cases}), times, dict(operator.done),
                  differences(plain, patched, version), wrong, operator.warnings, (plain.seconds, patched.seconds))


def run_version(version: str, python: Path, options: argparse.Namespace, base: Path) -> list[Result]:
    """All rows of one version, each printed when it is over."""
    (base / version).mkdir()
    mount, results = harness.Mount(base / f"run-{version}", base / f"mnt-{version}"), []
    os.environ["KLPFS_RUNTIME_DIR"] = str(base / f"run-{version}")
    try:
        for number, row in enumerate(rows.rows(available(python))):
            if options.rows and not any(text in row.name for text in options.rows):
                continue
            result = one(version, python, row, mount, base / version / f"row{number}", options.seed)
            results.append(result)
            print(result.line(), flush=True)
            noted = [f"log: {line}" for line in result.warnings if NOTED in line]
            for each in [*result.differences, *result.wrong, *noted]:
                print(f"      {each}", flush=True)
    finally:
        mount.close()
    return results


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="make cpython")
    parser.add_argument("--pythons", nargs="*", default=VERSIONS, choices=[f"3.{minor}" for minor in MINORS])
    parser.add_argument("--rows", nargs="*", default=())
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--keep", action="store_true", help="the folder with logs and livepatches stays")
    options = parser.parse_args(argv)
    why = harness.why_no_fuse()
    if why:
        print(f"cpython: no FUSE mount here: {why}", file=sys.stderr)
        return 2
    base, results, skipped = harness.short_folder(), [], []
    try:
        print(FORMAT.format("", "tests", "cases", "runs", *OPERATIONS, "differ"), flush=True)
        for version in options.pythons:
            try:
                python = interpreters.with_tests(version)
            except interpreters.NotHere as e:
                skipped.append(version)
                print(f"cpython: CPython {version} skipped, its tests can't be had: {e}", flush=True)
                continue
            results += run_version(version, python, options, base)
    finally:
        if options.keep:
            print(f"cpython: kept {base}")
        else:
            shutil.rmtree(base, ignore_errors=True)
    if options.json:
        options.json.write_text(json.dumps([asdict(each) for each in results], indent=1) + "\n")
    bad = [f"{each.row} on {each.version}" for each in results if each.failed]
    print(f"{len(results) - len(bad)} of {len(results)} rows as they should be, "
          f"{sum(each.cases for each in results)} cases"
          + (f"; not: {', '.join(bad)}" if bad else "")
          + (f"; skipped: {', '.join(skipped)}" if skipped else ""))
    return 1 if bad else 0 if results else 2


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
