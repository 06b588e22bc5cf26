"""A livepatch held against the release that it stands for, in the surroundings of a program that runs: its interpreter,
its modules, the versions of other packages that it has. What `klpfs check --against` does, without its command line.
"""
from __future__ import annotations

import ast
import os
import re
import tempfile
from collections.abc import Sequence

from klpfs.builder.error import BuildError
from klpfs.builder.plan.package_plan import PackagePlanner
from klpfs.builder.plan.plans import ModulePlan
from klpfs.builder.read import modules, sources
from klpfs.builder.read.sources import Release
from klpfs.builder.verify.verify import NoProof, Proof, Verifier
from klpfs.cpython.load.source_file import called


class NotTold(Exception):
    """Nothing is known. Its text says why."""


def against(text: str, new: str, python: str, level: int, path: Sequence[str]) -> Proof:
    """What a livepatch `text` does of what NEW does, where a program imports from `path`. new: as on the command line
    of a build. level: 1 for a program that is run with -O, 2 for -OO. NotTold."""
    with tempfile.TemporaryDirectory(prefix="klpfs-check-") as scratch:
        try:
            if _patches_main(text):
                raise NotTold("it patches the main program, which no proof runs")
            release = sources.find(new, scratch, python)
            old = on_path(release, path)
            with Verifier(_plans(old, release, python), old, release, python, level, path) as verifier:
                return verifier.proof(text)
        except (NoProof, BuildError) as error:
            raise NotTold(str(error)) from None
        except OSError as error:
            raise NotTold(f"the releases can't be laid out: {error}") from None


def on_path(new: Release, path: Sequence[str]) -> Release:
    """What lies on an import path of the packages and modules that NEW has. BuildError: nothing does."""
    files: dict[str, str] = {}
    label = "what the service has"
    for name in sorted({each.partition("/")[0] for each in new.files if each.endswith(".py")}):
        top = next((folder for folder in path if os.path.exists(os.path.join(folder, name))), None)
        if top is None:
            continue
        found = os.path.join(top, name)
        label = _label(name, top) or label
        if os.path.isfile(found):
            files[name] = found
        else:
            files.update(sources.of_folder(found, name, within=name).files)
    if not files:
        raise BuildError(f"the service imports nothing of {new.label}: looked in {':'.join(path) or 'no folder'}")
    return Release(label, files)


def _label(name: str, top: str) -> str:
    """'NAME==VERSION' of the distribution that is called as a package or module is, if it lies in a folder with it."""
    distribution = re.escape(name[:-len(".py")] if name.endswith(".py") else name).replace("_", "[-_.]")
    found = [re.fullmatch(rf"({distribution})-([^-]+)\.dist-info", each, re.I) for each in sorted(os.listdir(top))]
    return next((f"{each[1]}=={each[2]}" for each in found if each), "")


def _patches_main(text: str) -> bool:
    """Whether a livepatch has an Object(None)."""
    try:
        tree = ast.parse(text.encode("utf-8", "surrogateescape"))
    except (SyntaxError, ValueError):
        return False
    return any(isinstance(node, ast.Call) and called(node) == "Object" and any(
        isinstance(each, ast.Constant) and each.value is None
        for each in [*node.args[:1], *(keyword.value for keyword in node.keywords if keyword.arg == "name")])
        for node in ast.walk(tree))


def _plans(old: Release, new: Release, python: str) -> list[ModulePlan]:
    """What a build would plan, for the proof's words alone; [] where there is nothing to plan, or no way to."""
    try:
        return PackagePlanner(modules.pair(old, new, [python]), [python]).plans()
    except BuildError:
        return []
