"""make corpus: real security releases, built, loaded into running programs, judged, taken out. A table, and a JSON
file.

    python -m tests.corpus [ENTRY ...] [--more | --releases] [--suites] [--patch FILE] [--json FILE] [--jobs N]

--more, --releases: the pairs of more.json, of releases.json (2025 and 2026) instead, which have no witness. --patch: a
livepatch file instead of a built one, for one ENTRY. --suites: also the tests that NEW ships, on OLD, patched and NEW.
Exit code 1 when the goal is missed.
"""
from __future__ import annotations

import argparse
import json
import sys
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path

from attrs import asdict

from tests.corpus import atomic, layout, report, session


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="make corpus")
    parser.add_argument("entries", nargs="*", metavar="ENTRY")
    lists = parser.add_mutually_exclusive_group()
    lists.add_argument("--more", action="store_true")
    lists.add_argument("--releases", action="store_true")
    parser.add_argument("--suites", action="store_true")
    parser.add_argument("--patch", type=Path)
    parser.add_argument("--json", type=Path, default=layout.LAB / "results.json")
    parser.add_argument("--jobs", type=int, default=2)
    wanted = parser.parse_args(argv)
    try:
        known = layout.more() if wanted.more else layout.releases() if wanted.releases else layout.entries()
    except layout.NotThere as e:
        print(f"corpus: {e}", file=sys.stderr)
        return 1
    unknown = set(wanted.entries) - {entry.id for entry in known}
    if unknown:
        parser.error(f"no such entry: {', '.join(sorted(unknown))}")
    chosen = [entry for entry in known if not wanted.entries or entry.id in wanted.entries]
    if wanted.patch and len(chosen) != 1:
        parser.error("--patch is for one ENTRY")
    results = []
    with ProcessPoolExecutor(wanted.jobs) as pool:
        print(report.HEADER, flush=True)
        work = partial(session.one, patch=wanted.patch)
        for result in pool.map(work, chosen):
            results.append(result)
            print(report.row(result), flush=True)
    if wanted.suites:
        from tests.corpus import suite
        by_id = {entry.id: entry for entry in chosen}
        print(report.SUITE_HEADER, flush=True)
        for result in results:
            result.suites = suite.run(by_id[result.entry])
            print(report.suite_row(result), flush=True)
    wanted.json.parent.mkdir(parents=True, exist_ok=True)
    wanted.json.write_text(json.dumps([asdict(each) for each in results], indent=1) + "\n")
    print(atomic.table(atomic.of_file(entry.id, entry.folder / f"{session.patch_name(entry)}.py") for entry in chosen))
    print(report.totals(results))
    return 0 if report.reached(results) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
