"""One run of CPython's tests, `python -m test`, in a process of its own: alone, or under `klpfs run`."""
from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from pathlib import Path

from attrs import Factory, define

ROOT = Path(__file__).resolve().parents[2]
CASE_SECONDS, SECONDS = 240, 900        # of one test file, after which Python says all stacks and ends; of a run
KINDS = {"failure": "failed", "error": "error", "skipped": "skipped"}


@define
class Outcome:
    """What a run said. cases: {name of a case: all its results, of {"ok", "failed", "error", "skipped"}}; words:
    {name: the last line of what it raised}."""

    returncode: int | str
    seconds: float
    cases: dict[str, set[str]] = Factory(dict)
    words: dict[str, str] = Factory(dict)
    log: str = ""


class Run:
    """A started run. folder: of its own, where the tests work; times: how often each test is run; service: the name
    of the service that it is, None: without klpfs."""

    def __init__(self, python: Path, tests: tuple[str, ...], folder: Path, times: int = 1,
                 service: str | None = None) -> None:
        self.folder = folder
        folder.mkdir()
        command = ["sh", "-c", 'cd "$0" && exec "$@"', folder, python, "-m", "test", "--timeout", CASE_SECONDS,
                   "--junit-xml", folder / "cases.xml", *tests * times]
        if service:
            command = [sys.executable, "-m", "klpfs", "run", "-s", service, "--", *command]
        environ = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
        environ.update(TMPDIR=str(folder), PYTHON_JIT="0")      # klpfs run sets it: alone it's the same
        with open(folder / "log", "w") as log:
            self.process = subprocess.Popen(list(map(str, command)), stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                            cwd=ROOT, env=environ, start_new_session=True)

    def wait(self) -> int | str:
        """The exit code, "timeout" when it took too long; nothing of it runs then."""
        try:
            return self.process.wait(SECONDS)
        except subprocess.TimeoutExpired:
            return "timeout"
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()

    def outcome(self, returncode: int | str, seconds: float) -> Outcome:
        """What is known when it is over."""
        found = Outcome(returncode, seconds, log=(self.folder / "log").read_text(errors="replace"))
        try:
            found.cases, found.words = cases((self.folder / "cases.xml").read_bytes())
        except (OSError, ElementTree.ParseError):
            pass        # it did not come to its end, which the exit code says
        return found


def cases(xml: bytes) -> tuple[dict[str, set[str]], dict[str, str]]:
    """The results and words of all cases in a file of --junit-xml. Results of subtests are those of their case."""
    results: dict[str, set[str]] = {}
    words: dict[str, str] = {}
    for case in ElementTree.fromstring(xml).iter("testcase"):
        name = case.get("name", "?").partition(" ")[0].removeprefix("test.")
        kinds = [(KINDS[each.tag], each) for each in case if each.tag in KINDS]
        results.setdefault(name, set()).update([kind for kind, _ in kinds] or ["ok"])
        for _, each in kinds:
            lines = (each.text or each.get("message") or "").strip().splitlines()
            words[name] = lines[-1] if lines else ""
    return results, words
