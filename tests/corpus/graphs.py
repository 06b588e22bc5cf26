"""The graph of a package in a program that runs, by the builder's own description of it (builder/verify): before a
livepatch, with it, after it, and in a program that has NEW."""
from __future__ import annotations

import functools
import marshal
import os
import subprocess
import tempfile
from collections.abc import Collection, Mapping
from pathlib import Path

from attrs import frozen

from klpfs.builder.error import BuildError
from klpfs.builder.plan.package_plan import PackagePlanner
from klpfs.builder.read import modules
from klpfs.builder.read.sources import Release, of_folder, version_of
from klpfs.builder.verify import sandbox
from klpfs.builder.verify.compare import Comparison, Difference
from klpfs.builder.verify.graphs import Graph
from klpfs.builder.verify.import_loops import bound_by_loops
from klpfs.builder.verify.judge import Unsteady, judge, judge_back
from klpfs.builder.verify.same_source import SameSource
from klpfs.builder.verify.trees import modules_of, roots_of
from tests.corpus.layout import ROOT

PROGRAM = Path(__file__).resolve().parent / "program.py"
SECONDS = 600           # until a program of NEW's counts as one that never ends


@frozen
class Releases:
    """Both releases of an entry. names: the modules of both that a proof imports."""

    old: Release
    new: Release
    names: list[str]

    @classmethod
    def of(cls, folder: Path) -> Releases:
        """Those that lie in an entry's folder."""
        old, new = (of_folder(str(folder / which), str(folder / which)) for which in ("old", "new"))
        return cls(old, new, sorted(modules_of(old) & modules_of(new)))

    @property
    def roots(self) -> list[str]:
        """First names of the modules."""
        return sorted(roots_of(set(self.names)))


def read(path: Path) -> Graph:
    """The graph that a program has written to a file, which is removed."""
    graph = Graph(**marshal.loads(path.read_bytes()))
    path.unlink()
    return graph


def of_new(python: Path, tree: Path, releases: Releases, environ: Mapping[str, str],
           beside: Collection[str] | None = None) -> Graph:
    """The graph of a program that has imported NEW, and knows nothing of klpfs; it runs where the entry's program does.
    beside: it runs in another environment, in which all is otherwise that a release may make its values of, and which
    has these variables beside, as klpfs's programs have. AssertionError: the program has ended before."""
    with tempfile.TemporaryDirectory(prefix="klpfs-corpus-") as folder:
        path = Path(folder) / "graph"
        other = {} if beside is None else {**dict.fromkeys(beside, folder), **sandbox.environment(folder, True),
                                           "PYTHONPATH": f"{environ['PYTHONPATH']}:{folder}"}
        commands = "\n".join([import_all(releases), describe(path, tree, releases)]) + "\n"
        done = subprocess.run([python, PROGRAM, "-"], input=commands, cwd=ROOT if beside is None else folder,
                              capture_output=True, text=True,
                              env={**os.environ, **environ, **other, "PATH": os.environ["PATH"]}, timeout=SECONDS,
                              errors="replace")
        failed = [line for line in done.stdout.splitlines() if line.startswith("! ")]
        assert path.exists() and not failed, f"NEW can't be described: {(failed or [done.stderr[-300:]])[0]}"
        return read(path)


def import_all(releases: Releases) -> str:
    """The program's expression that imports all modules."""
    return f"import_all({releases.names!r})"


def describe(path: Path, tree: Path, releases: Releases) -> str:
    """The program's expression that writes the graph of a release in the folder `tree` to a file."""
    return f"describe({str(path)!r}, {str(tree)!r}, {releases.roots!r})"


def unlike_new(patched: Graph, fresh: Graph, again: Graph, text: str, releases: Releases, python: str) -> list[str]:
    """Where the package, patched by the livepatch `text`, is otherwise than NEW. fresh, again: of two programs of
    NEW's, the second in another environment."""
    unsteady = Unsteady(Comparison(again, fresh).run())

    def refusing(renamed: Mapping[str, str]) -> list[Difference]:
        found = Comparison(patched, fresh, text, SameSource(releases.old, releases.new, text, renamed)).run()
        return judge(found, unsteady, set(releases.roots), (version_of(releases.old.label),
                                                            version_of(releases.new.label)),
                     functools.cache(functools.partial(bound_by_loops, releases.new)),
                     patched.held_elsewhere()).refusing

    found = refusing({})
    if any(each.what == "code" for each in found):      # attributes may have other names in the livepatch
        found = refusing(_renamed(releases, python))
    return [words(each) for each in found]


def not_taken_back(before: Graph, after: Graph) -> list[str]:
    """Where the package is otherwise than before the livepatch came and went; both graphs are of one process. That
    somebody has drawn from a generator of random numbers is no matter."""
    return [words(each) for each in judge_back(Comparison(after, before, exact=True).run(), Unsteady([]))
            if not (each.what == "value" and each.path.endswith("!getstate()"))]


def words(difference: Difference) -> str:
    """A difference, for people."""
    return f"{difference.path} {difference.what}: {difference.mine[:100]} instead of {difference.wanted[:100]}"


def _renamed(releases: Releases, python: str) -> dict[str, str]:
    """{attribute: its name in the livepatch's code}."""
    try:
        plans = PackagePlanner(modules.pair(releases.old, releases.new, [python]), [python]).plans()
    except BuildError:
        return {}
    return {name: to for plan in plans for name, to in plan.at_import.renamed_attributes.items()}
