"""The tests that NEW ships, on OLD, on OLD patched, and on NEW: how many pass and fail.

The files are those that the release changed, as corpus.json lists them, or as the source archives of both versions
show; what they need beside the release, suite_req.py there. The patched process imports the package, takes the patch,
and only then runs pytest (Django: its runtests.py) in itself.
"""
from __future__ import annotations

import filecmp
import glob
import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path
from typing import Any

from tests.corpus import session
from tests.corpus.layout import SHARED, Entry, NotThere, call

SECONDS = 900
_OPTIONS = ["-q", "-p", "no:cacheprovider", "-p", "corpus_report", "-o", "addopts=", "-o", "filterwarnings=default",
            "-o", "xfail_strict=false"]
_LINE = re.compile(r"^(test\w+ \([\w.]+\)).*?\.\.\. (ok|FAIL|ERROR|skipped|expected failure)", re.M | re.S)
_OF_TESTS = re.compile(r"(t|tests?|Tests)/|[^/]*/tests?/|test_[^/]*$")
_FAILED = re.compile(r"^(?:FAIL|ERROR): (test\w+ \([\w.]+\))", re.M)


def run(entry: Entry) -> dict[str, Any]:
    """{'old', 'patched', 'new': {'passed', 'failed'}, 'lost': tests that pass on NEW and not patched, 'note'}."""
    listed = {each["id"]: each for each in json.loads((SHARED / "corpus.json").read_text())["entries"]}
    try:
        if entry.id in listed:
            files = (listed[entry.id].get("suite") or {}).get("files") or []
        else:
            files = changed_tests(prepare(entry), unpacked(entry, entry.old, "sdist-old"))
        if not files:
            return {"note": "no tests in the release that it changed"}
        folder = prepare(entry)
        outcomes = {"old": plain(entry, "old", folder, files), "new": plain(entry, "new", folder, files),
                    "patched": patched(entry, folder, files)}
    except (session.Wrong, NotThere, AssertionError, OSError, subprocess.TimeoutExpired) as e:
        return {"note": str(e)}
    found = {which: {"passed": sum(each == "passed" for each in said.values()),
                     "failed": sum(each == "failed" for each in said.values())}
             for which, said in outcomes.items()}
    found["lost"] = sorted(name for name, said in outcomes["new"].items() if said == "passed"
                           and outcomes["patched"].get(name) != "passed")
    return found


def prepare(entry: Entry) -> Path:
    """LAB/ENTRY/suite: NEW's source archive, unpacked, without the package itself; its tests' needs installed."""
    if (entry.folder / ".suite").exists():
        return entry.folder / "suite"
    folder = unpacked(entry, entry.new, "suite")
    for name in entry.imports:
        for base in ("", "src/", "lib/", "lib3/", "Lib/"):
            shutil.rmtree(folder / base / name, ignore_errors=True)
            (folder / base / f"{name}.py").unlink(missing_ok=True)
    needs = _shared("REQ")
    wanted = needs.get(entry.id, needs.get(entry.package.lower(), []))
    if wanted:
        call(entry, [sys.executable, "-m", "pip", "-q", "--python", entry.interpreter, "install", "--no-compile",
                     *wanted])
    (entry.folder / ".suite").touch()
    return folder


def unpacked(entry: Entry, version: str, name: str) -> Path:
    """LAB/ENTRY/name: a version's source archive, unpacked."""
    folder, download = entry.folder / name, entry.folder / f"{name}.download"
    if folder.exists():
        return folder
    shutil.rmtree(download, ignore_errors=True)
    call(entry, [sys.executable, "-m", "pip", "-q", "download", "--no-deps", "--no-binary", entry.package, "-d",
                 download, f"{entry.package}=={version}"])
    archive = glob.glob(f"{download}/*")[0]
    with (zipfile.ZipFile(archive) if archive.endswith(".zip") else tarfile.open(archive)) as opened:
        opened.extractall(download / "src")
    shutil.move(str(next((download / "src").iterdir())), folder)
    shutil.rmtree(download)
    return folder


def changed_tests(new: Path, old: Path) -> list[str]:
    """Test files of NEW's source archive that OLD's has not, or has otherwise; paths in the archive."""
    files = {str(path.relative_to(new)): path for path in sorted(new.rglob("*.py"))
             if path.name.startswith("test") or path.name.endswith("_test.py")}
    return [name for name, path in files.items() if _OF_TESTS.match(name)
            and not ((old / name).is_file() and filecmp.cmp(old / name, path, shallow=False))]


def _shared(name: str) -> Any:
    """A table of suite_req.py."""
    space: dict[str, Any] = {}
    exec((SHARED / "suite_req.py").read_text(), space)
    return space[name]


def arguments(entry: Entry, files: list[str]) -> list[str]:
    if entry.package == "Django":
        return ["runtests.py", "--parallel=1", "-v", "2", *files]
    return [*_OPTIONS, *_shared("EXTRA_ARGS").get(entry.id, []), *files]


def environ(entry: Entry, which: str, report: Path) -> dict[str, str]:
    return {**session.running_old(entry), "PYTHONPATH": f"{entry.folder / which}:{SHARED}",
            "CORPUS_REPORT": str(report)}


def outcomes(entry: Entry, report: Path, printed: str) -> dict[str, str]:
    """{test: 'passed' | 'failed' | 'skipped'}"""
    if entry.package == "Django":
        said = {found[1]: {"ok": "passed", "FAIL": "failed", "ERROR": "failed"}.get(found[2], "skipped")
                for found in _LINE.finditer(printed)}
        return {**said, **{found[1]: "failed" for found in _FAILED.finditer(printed)}}
    return json.loads(report.read_text()) if report.exists() else {}


def plain(entry: Entry, which: str, folder: Path, files: list[str]) -> dict[str, str]:
    """NEW's tests on one of the two releases, without klpfs."""
    report = entry.folder / f"suite-{which}.json"
    report.unlink(missing_ok=True)
    django = entry.package == "Django"
    done = subprocess.run([entry.interpreter, *([] if django else ["-m", "pytest"]), *arguments(entry, files)],
                          cwd=folder / "tests" if django else folder,
                          env={**os.environ, **environ(entry, which, report)}, capture_output=True, text=True,
                          stdin=subprocess.DEVNULL, timeout=SECONDS, errors="replace")
    (entry.folder / f"suite-{which}.log").write_text(done.stdout + done.stderr)
    return outcomes(entry, report, done.stderr)


def patched(entry: Entry, folder: Path, files: list[str]) -> dict[str, str]:
    """NEW's tests inside a process that runs OLD with the patch that session.build made."""
    report = entry.folder / "suite-patched.json"
    report.unlink(missing_ok=True)
    path = entry.folder / f"{session.patch_name(entry)}.py"
    if not path.exists():
        raise session.Wrong("no patch")
    with session.Session(entry, witness=False, environ=environ(entry, "old", report)) as running:
        running.insmod(path)
        where = folder / "tests" if entry.package == "Django" else folder
        code = running.program.do(f"run_tests({str(where)!r}, {arguments(entry, files)!r})", SECONDS)
        printed = running.program.errors()
        (entry.folder / "suite-patched.log").write_text(f"{code}\n{printed}")
        return outcomes(entry, report, printed)
