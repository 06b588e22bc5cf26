"""One entry from OLD to patched and back, in a process that runs under klpfs and is met through the tree alone.

Ways to end: FIXED and reverted (good), or the first thing that is not as it must be, as a Wrong with a reason.
"""
from __future__ import annotations

import ast
import contextlib
import os
import re
import resource
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from attrs import define, field

from klpfs.builder.verify.graphs import Graph
from tests import harness
from tests.corpus import graphs
from tests.corpus.layout import ROOT, SHARED, Builder, Entry

HERE = Path(__file__).resolve().parent
SECONDS = 120           # how long a step may take before it counts as never
TRIES = 4               # of a check that goes by time, on a machine that does other things as well
HAND = HERE / "hand"    # ENTRY.py: what somebody wrote on top of what was built


CARRIED, REFUSED, NO_PROOF, NOT_LAID_OUT = "carried", "refused", "no proof", "not laid out"
WRONG, NOT_BACK = "loaded and wrong", "not taken back"


class Wrong(Exception):
    """The entry is not carried; the text says what was otherwise. outcome: in a word."""

    def __init__(self, text: str, outcome: str = WRONG) -> None:
        super().__init__(text)
        self.outcome = outcome


@define
class Result:
    """An entry's line of the table. `left`: what the package did not get back at revert; `differs`: where the patched
    package in the program is not NEW's; `graph`: where the builder's proof says so; `log`: what the service logged;
    `cpu`: seconds of processor time of the build with its proof."""

    entry: str
    kind: str
    functions: int = 0
    callbacks: int = 0
    hand: int = 0
    outcome: str = ""           # CARRIED, or the first of the others that holds
    ok: bool = False
    reason: str = ""
    flagged: list[str] = field(factory=list)
    left: list[str] = field(factory=list)
    differs: list[str] = field(factory=list)
    graph: list[str] = field(factory=list)
    log: list[str] = field(factory=list)
    suites: dict = field(factory=dict)
    cpu: float = 0.0
    seconds: float = 0.0


def counts(text: str) -> tuple[int, int]:
    """(functions, objects with callbacks) of a livepatch file's text."""
    calls = [node for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Call)]
    names = [getattr(node.func, "id", getattr(node.func, "attr", "")) for node in calls]
    return names.count("Func"), sum(names.count(each) for each in ("Callbacks", "ImportTime"))


def hand_lines(built: str, final: str) -> int:
    """Lines of code in `final` that are not in `built`; blank lines and comments are not counted."""
    def code(text: str) -> list[str]:
        return [line.strip() for line in text.splitlines() if line.strip() and not line.strip().startswith("#")]
    left, count = code(built), 0
    for line in code(final):
        if line in left:
            left.remove(line)
        else:
            count += 1
    return count


def patch_name(entry: Entry) -> str:
    return re.sub(r"\W", "_", entry.id)


def build(entry: Entry, result: Result, given: Path | None = None) -> Path:
    """The livepatch file of an entry: built, or as given. Wrong when the builder refuses it."""
    path = entry.folder / f"{patch_name(entry)}.py"
    if given is not None:
        shutil.copy(given, path)
    else:
        path.unlink(missing_ok=True)
        hand = HAND / f"{entry.id}.py"
        command = [sys.executable, "-m", "klpfs", "build", entry.folder / "old", entry.folder / "new", "-o", path,
                   "--python", entry.interpreter, *(["--allow"] if hand.exists() else [])]
        before = _processor_time()
        done = _run(command)
        result.cpu = round(_processor_time() - before, 1)
        said = (done.stdout + done.stderr).strip().splitlines()
        (entry.folder / "build.log").write_text(done.stdout + done.stderr)
        if done.returncode and entry.witness.exists():      # nobody has verified it: what a witness says is of use
            result.graph = done.stderr.strip().splitlines()[:-1]
            done = _run([*command, "--no-verify"])
            said = (done.stdout + done.stderr).strip().splitlines()
        if done.returncode or not path.exists():
            result.flagged = [line for line in said if ": note: " not in line]
            why = result.flagged[0] if result.flagged else f"exit code {done.returncode}"
            unproved = "--no-verify writes what nobody has verified" in why
            raise Wrong(f"not built: {why}", NO_PROOF if unproved else REFUSED)
        if hand.exists():
            result.hand = hand_lines(path.read_text(), hand.read_text())
            shutil.copy(hand, path)
    os.chmod(path, 0o644)
    result.functions, result.callbacks = counts(path.read_text())
    return path


def _processor_time() -> float:
    """Seconds that processes of ours which have ended have used."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _run(command: list[Any]) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*map(str, command)], cwd=ROOT, capture_output=True, text=True, timeout=1200,
                          stdin=subprocess.DEVNULL)


def running_old(entry: Entry, which: str = "old") -> dict[str, str]:
    """The environment of a program that sees OLD, or NEW, and the witnesses' helpers."""
    return {"PYTHONPATH": f"{entry.folder / which}:{SHARED / 'witness'}", "PYTHONDONTWRITEBYTECODE": "1",
            "PYTHONHASHSEED": "0", "PYTHONWARNINGS": "ignore", "PIP_CERT": "", **entry.env}


class Session:
    """The entry's program under klpfs, and a mount of its own: a context manager."""

    def __init__(self, entry: Entry, witness: bool = True, environ: dict[str, str] | None = None) -> None:
        self.entry, self.witness = entry, witness and entry.witness.exists()
        self.environ = environ or running_old(entry)
        self.name = patch_name(entry)

    def __enter__(self) -> Session:
        self.stack = contextlib.ExitStack()
        self.folder = folder = harness.short_folder()
        self.stack.callback(shutil.rmtree, folder, ignore_errors=True)
        entry = self.entry
        arguments = [str(entry.witness) if self.witness else "-", *entry.imports]
        try:
            self.program = harness.Program(folder / "run", self.name, HERE / "program.py", arguments,
                                           python=str(entry.interpreter), environ=self.environ)
            self.program.expected = [""]
            self.stack.callback(self.program.close)
            self.stack.callback(self.program.kill)      # witnesses leave servers running
            mount = harness.Mount(folder / "run", folder / "klp")
            mount.expected = [""]
            self.stack.callback(mount.close)
            self.tree = mount.service(self.name)
        except BaseException as e:
            self.stack.close()
            raise Wrong(f"the program does not start: {last_line(e)}") from e
        return self

    def __exit__(self, *exc: object) -> None:
        self.stack.close()

    def do(self, code: str) -> Any:
        """What the program's expression gives; Wrong when it raises."""
        try:
            return self.program.do(code, SECONDS)
        except AssertionError as e:
            raise Wrong(f"{code}: {last_line(e)}") from e

    def graph(self, releases: graphs.Releases) -> Graph:
        """The graph of the package in the program, now."""
        path = self.folder / "graph"
        self.do(graphs.describe(path, self.entry.folder / "old", releases))
        return graphs.read(path)

    def insmod(self, path: Path) -> None:
        """Loads the patch and waits until it is complete; Wrong with what the log says."""
        self.tree.lines()
        try:
            self.tree.insmod(path)
        except OSError as e:
            said = [line for line in self.tree.lines() if "livepatch" in line or self.name in line]
            raise Wrong(f"insmod: {e.strerror}: {said[-1] if said else 'nothing in the log'}") from e
        self.settle("insmod")

    def remove(self) -> None:
        """Takes the patch out: disabled, complete, unloaded."""
        self.tree.set(f"{self.name}/enabled", "0")
        self.settle("echo 0")
        harness.until(lambda: self.name not in self.tree.patches(), "the patch to be gone", SECONDS)
        self.tree.rmmod(self.name)

    def settle(self, what: str) -> None:
        try:
            harness.until(self.tree.settled, f"{what} to complete", SECONDS)
        except AssertionError as e:
            raise Wrong(f"{what} does not complete: {harness.read(self.tree.path / 'blockers')[:200]!r}") from e


def last_line(error: BaseException) -> str:
    lines = [line for line in str(error).splitlines() if line.strip()]
    return lines[-1][:300] if lines else repr(error)


def expect(session: Session, copy: str, fixed: bool, when: str) -> None:
    """The witness says fixed or not, as wanted. What goes by time is tried again before it counts."""
    for _ in range(TRIES):
        value, detail = session.do(f"check({copy!r})")
        if value is fixed:
            return
        if not (fixed and str(detail).startswith("over ")):
            break
    raise Wrong(f"{when}: {'still BUG' if value is False else 'FIXED' if value else 'not the same twice'}: {detail}")


def expect_live(session: Session, copy: str, when: str) -> None:
    said = session.do(f"live({copy!r})")
    if said is not None and not said[0]:
        raise Wrong(f"{when}: broken: {said[1]}")


def unpatched(session: Session) -> None:
    """The program before any patch: its live objects are made, the hole is open."""
    for copy in ("main", "unpatched", "patched", "reverted"):
        session.do(f"born({copy!r})")
    expect(session, "main", False, "before the patch")
    expect_live(session, "unpatched", "live before the patch")


def restored(session: Session, path: Path, releases: graphs.Releases) -> list[str]:
    """What of the package is otherwise after the patch was in and out, with nobody running the program meanwhile.

    The first time that the patch is in: what it would leave behind was not there before.
    """
    before = session.graph(releases)
    session.insmod(path)
    session.remove()
    return graphs.not_taken_back(before, session.graph(releases))


def patched(session: Session, path: Path) -> None:
    """Patched, FIXED, taken out, BUG; live objects of each time go on working through all of it."""
    session.insmod(path)
    expect(session, "main", True, "patched")
    expect_live(session, "patched", "an object made before, patched")
    session.do("born('during')")
    session.do("born('young')")
    expect(session, "during", True, "patched, objects made then")
    expect_live(session, "during", "an object made while patched")
    session.remove()
    expect(session, "main", False, "taken out")
    expect_live(session, "reverted", "an object made before, taken out")
    expect(session, "young", False, "taken out, objects made while patched")
    expect_live(session, "young", "an object made while patched, taken out")


def compared(session: Session, entry: Entry, path: Path, releases: graphs.Releases) -> list[str]:
    """Where the package, all of it imported and patched, is otherwise than NEW's."""
    environ = running_old(entry, "new")
    beside = set(session.do("dict(os.environ)")) - {*os.environ, *environ}
    fresh, again = (graphs.of_new(entry.interpreter, entry.folder / "new", releases, environ, names)
                    for names in (None, beside))
    session.insmod(path)
    mine = session.graph(releases)
    session.remove()
    return graphs.unlike_new(mine, fresh, again, path.read_text(), releases, str(entry.interpreter))


def witnessed(entry: Entry, path: Path, releases: graphs.Releases, result: Result) -> None:
    """The witness' steps, in a program that has imported what the entry says, and uses it."""
    with Session(entry) as session, logged(session, result):
        unpatched(session)
        result.left = restored(session, path, releases)
        patched(session, path)


def run(entry: Entry, given: Path | None = None) -> Result:
    """All steps of one entry: built, met by its witness, then the whole package as a graph, patched and taken out."""
    result, start = Result(entry.id, entry.kind), time.monotonic()
    try:
        path = build(entry, result, given)
        releases = graphs.Releases.of(entry.folder)
        if entry.witness.exists():
            witnessed(entry, path, releases, result)
        with Session(entry, witness=False) as session, logged(session, result):
            session.do(graphs.import_all(releases))
            result.left += restored(session, path, releases)
            result.differs = compared(session, entry, path, releases)
        if result.differs:
            raise Wrong(f"unlike NEW: {_first(result.differs)}")
        if result.left:
            raise Wrong(f"not as before after it was taken out: {_first(result.left)}", NOT_BACK)
        result.ok, result.outcome = True, CARRIED
    except Wrong as e:
        result.reason, result.outcome = str(e), e.outcome
        if result.left and not result.differs:      # what was left may be why it does not go in again
            result.reason, result.outcome = f"not as before after it was taken out: {_first(result.left)}", NOT_BACK
    except (OSError, AssertionError, subprocess.TimeoutExpired, SyntaxError) as e:
        result.reason, result.outcome = f"{type(e).__name__}: {last_line(e)}", WRONG
    result.seconds = round(time.monotonic() - start, 1)
    return result


@contextlib.contextmanager
def logged(session: Session, result: Result) -> Iterator[None]:
    """Keeps what the service has logged, however it ends."""
    try:
        yield
    finally:
        with contextlib.suppress(OSError):
            result.log += [text for _, _, _, text in session.tree.records()]


def _first(found: list[str]) -> str:
    return found[0] + (f" and {len(found) - 1} more" if found[1:] else "")


def one(entry: Entry, patch: Path | None) -> Result:
    """An entry's Result; in a process of its own, for threads that parse Python disturb each other (gh-106905); so
    it is here, where a process that was not forked finds it."""
    try:
        Builder().lay_out(entry)
    except Exception as e:
        return Result(entry.id, entry.kind, reason=f"not laid out: {e}", outcome=NOT_LAID_OUT)
    return run(entry, patch)
