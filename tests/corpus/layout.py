"""An entry of the corpus, laid out: LAB/ENTRY/{venv,old,new}, made once and kept.

The list of entries and their witnesses lie beside the project, in ../shared/corpus (its README says what they are); LAB
is $CORPUS_LAB, else .venvs/corpus. venv has the release's dependencies, not the release; old and new are its two
versions (pip --target), so that a program sees one of them by PYTHONPATH alone.
"""
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Union

from attrs import frozen

from tests.pythons import MINORS, find

ROOT = Path(__file__).resolve().parents[2]
SHARED = ROOT.parent / "shared" / "corpus"
LAB = Path(os.environ.get("CORPUS_LAB") or ROOT / ".venvs" / "corpus").resolve()    # as packages find themselves
OLDEST = (3, 9)     # the first CPython that klpfs runs on


class NotThere(Exception):
    """What the corpus needs is not on this machine; the text says what."""


@frozen
class Entry:
    """One pair of releases: `id`, the names on the index, the two versions, what it takes to run them."""

    id: str
    package: str
    old: str
    new: str
    imports: list[str]
    python: str                 # the version to run it on, "3.9"
    requirements: list[str]
    env: dict
    kind: str                   # a, b, c or d; d has no Python code to patch; of releases.json: what it is for

    @property
    def folder(self) -> Path:
        return LAB / self.id

    @property
    def interpreter(self) -> Path:
        return self.folder / "venv" / "bin" / "python"

    @property
    def witness(self) -> Path:
        return SHARED / "witness" / f"{self.id}.py"


def entries() -> list[Entry]:
    """All entries of the corpus; NotThere without its files beside the project."""
    path = SHARED / "corpus.json"
    if not path.exists():
        raise NotThere(f"{path}: the corpus' list of releases lies beside the project, and is not there")
    return [Entry(id=e["id"], package=e["package"], old=e["old"], new=e["new"], imports=e["imports"],
                  python=e["python"], requirements=e["requirements"], env=e["env"],
                  kind=e.get("class_of_the_fix_alone", e["class"]))
            for e in json.loads(path.read_text())["entries"]]


def more() -> list[Entry]:
    """Other releases (more.json), without witnesses: the patch has to load, to make OLD look like NEW, and to leave
    nothing."""
    return [
        Entry(
            id=f"{package.lower()}-{new}",
            package=package,
            old=old,
            new=new,
            imports=imports,
            python=python,
            requirements=requirements,
            env={},
            kind="-",
        )
        for package, old, new, imports, python, requirements in json.loads(
            (Path(__file__).parent / "more.json").read_text()
        )
    ]


def releases() -> list[Entry]:
    """Releases of 2025 and 2026 (releases.json), without witnesses: as for more()."""
    return [
        Entry(
            id=each["id"],
            package=each["package"],
            old=each["old"],
            new=each["new"],
            imports=each["imports"],
            python=each["python"],
            requirements=each["requirements"],
            env={},
            kind=each["kind"],
        )
        for each in json.loads((Path(__file__).parent / "releases.json").read_text())
    ]


def pythons() -> dict[tuple[int, int], Path]:
    """The CPythons here that klpfs runs on, by (major, minor)."""
    return {(3, minor): Path(python) for minor in MINORS if (python := find(minor))}


def python_for(entry: Entry, here: dict[tuple[int, int], Path]) -> Path:
    """The entry's Python, else the nearest later one that klpfs runs on, else the nearest."""
    want = tuple(int(n) for n in entry.python.split("."))
    usable = [v for v in here if v >= OLDEST]
    if not usable:
        raise NotThere("no CPython that klpfs runs on was found")
    return here[min(usable, key=lambda v: (v < want, abs(v[1] - want[1])))]


class Builder:
    """Lays entries out. Several may be laid out at once, an entry by one process at a time."""

    def lay_out(self, entry: Entry) -> None:
        """Makes what is missing of LAB/ENTRY.

        NotThere when a release or a dependency can't be had; fetch.log has pip's words.
        """
        folder = entry.folder
        folder.mkdir(parents=True, exist_ok=True)
        if not entry.interpreter.exists():
            call(entry, [python_for(entry, pythons()), "-m", "venv", "--without-pip", folder / "venv"])
        for which, version in (("old", entry.old), ("new", entry.new)):
            ready = folder / f".{which}"
            if not ready.exists():
                shutil.rmtree(folder / which, ignore_errors=True)
                self.pip(entry, "install", "--no-deps", "--no-compile", "--target", folder / which,
                         f"{entry.package}=={version}")
                ready.touch()
        if not (folder / ".venv").exists():
            self.pip(entry, "install", "--no-compile", f"{entry.package}=={entry.new}", "pytest", *entry.requirements)
            self.pip(entry, "uninstall", "-y", entry.package)
            (folder / ".venv").touch()

    def pip(self, entry: Entry, *args: Union[str, Path]) -> None:
        call(entry, [sys.executable, "-m", "pip", "-q", "--python", entry.interpreter, *args])


def call(entry: Entry, command: Sequence[Union[str, Path]]) -> None:
    """Runs a command, its words go to the entry's fetch.log; NotThere when it fails."""
    with open(entry.folder / "fetch.log", "ab") as log:
        log.write(("\n$ " + " ".join(map(str, command)) + "\n").encode())
        log.flush()
        if subprocess.run(command, stdout=log, stderr=log, stdin=subprocess.DEVNULL, timeout=900).returncode:
            raise NotThere(f"{entry.id} can't be laid out: see {log.name}")


def main(names: list[str]) -> int:
    """python -m tests.corpus.layout [ENTRY ...]: lays them out and says how it went."""
    builder, bad = Builder(), 0
    for entry in entries():
        if names and entry.id not in names:
            continue
        try:
            builder.lay_out(entry)
            print("ok  ", entry.id, flush=True)
        except (NotThere, subprocess.TimeoutExpired) as e:
            print("FAIL", e, flush=True)
            bad = 1
    return bad


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
