"""The places that a version's source comes from: a folder, a file, an sdist, a wheel, a requirement that pip fetches,
or what a Python has installed. All become a Release: paths as they lie on the import path, and where to read them."""
from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tarfile
import zipfile

from attrs import define, field

from klpfs.builder.error import BuildError
from klpfs.builder.read.other_pythons import NoAnswer, ask
from klpfs.builder.read.requirements import requires_of
from klpfs.builder.read.shipped_tests import shipped_tests

_LEFT_OUT = re.compile(r"(^|/)(__pycache__|[^/]*\.dist-info|[^/]*\.egg-info|\.git)(/|$)|\.pyc$"
                       r"|(^|/)\.ok$|^bin/")
_NOT_IMPORTED = re.compile(r"^(test|docs?|examples?|bench(marks?)?|scripts|tools|build|dist|[^/]*\.data)(/|$)"
                           r"|^(setup|noxfile|conftest|tasks)\.py$")
_TESTS = re.compile(r"/tests?/")
_REQUIREMENT = re.compile(r"^[A-Za-z0-9][A-Za-z0-9._-]*(\[[^]]*\])?\s*(==|===|~=|>=|<=|!=|<|>)?[^/]*$")


@define
class Release:
    """A version of a package. label: for people (jinja2==3.1.5, a path). files: {path as on the import path: path on
    disk}. tests: likewise, Python files that are tests, which are no part of what a service runs (shipped_tests.py).
    requires: what its metadata says that it wants of other packages; None: it does not say."""

    label: str
    files: dict[str, str]
    tests: dict[str, str] = field(factory=dict)
    requires: list[str] | None = None


def find(spec: str, scratch: str, python: str = sys.executable) -> Release:
    """The release that a word of the command line names. scratch: an empty folder, for what has to be unpacked.

    BuildError: the word names no folder, file or requirement, or pip does not find the requirement.
    """
    if os.path.isdir(spec):
        return of_folder(spec, spec)
    if os.path.isfile(spec):
        if spec.endswith(".py"):
            return Release(spec, {os.path.basename(spec): spec})
        return of_archive(spec, scratch)
    if _REQUIREMENT.match(spec) and os.sep not in spec:
        return fetched(spec, scratch, python)
    raise BuildError(f"{spec}: no such folder or file, and no requirement like NAME==VERSION")


def of_folder(folder: str, label: str, within: str = "") -> Release:
    """The release in a folder on the import path, a package's own folder, or a source tree (in its src folder, if it
    has any). within: the package whose own folder it is, also where it has no __init__.py.

    BuildError: the folder holds no files of a package.
    """
    folder_given, folder = folder, os.path.abspath(folder)
    top = folder
    if within or os.path.exists(os.path.join(folder, "__init__.py")):
        top, within = os.path.split(folder)
    elif _is_source_tree(folder) and os.path.isdir(os.path.join(folder, "src")):
        top = os.path.join(folder, "src")
    found: dict[str, str] = {}
    for path, folders, names in os.walk(os.path.join(top, within)):
        folders.sort()
        for name in sorted(names):
            relative = os.path.relpath(os.path.join(path, name), top)
            if not _LEFT_OUT.search(relative) and not _NOT_IMPORTED.search(relative):
                found[relative] = os.path.join(path, name)
    files, tests = _parted(found)
    if not files:
        raise BuildError(f"{label}: holds no files of a package")
    infos = [name for name in sorted(os.listdir(top)) if name.endswith(".dist-info")]
    if len(infos) == 1 and label == folder_given:  # pip install --target
        label = "==".join(infos[0][:-len(".dist-info")].split("-", 1))
    return Release(label, files, tests, requires_of(folder if _is_source_tree(folder) else top))


def _parted(found: dict[str, str]) -> tuple[dict[str, str], dict[str, str]]:
    """(files, tests) of a Release."""
    tests = shipped_tests(found)
    return ({path: where for path, where in found.items() if path not in tests},
            {path: found[path] for path in found if path in tests and path.endswith(".py") and _TESTS.search(path)})


def _is_source_tree(folder: str) -> bool:
    return any(os.path.exists(os.path.join(folder, name)) for name in ("setup.py", "setup.cfg", "pyproject.toml"))


def of_archive(path: str, scratch: str) -> Release:
    """The release in a wheel or an sdist. BuildError: the file is no such archive, or a member leads out of it."""
    try:
        if path.endswith((".whl", ".zip")):
            with zipfile.ZipFile(path) as archive:
                archive.extractall(scratch)
        else:
            with tarfile.open(path) as archive:
                if hasattr(tarfile, "data_filter"):
                    archive.extractall(scratch, filter="data")
                else:
                    _check_members(archive, path)
                    archive.extractall(scratch)
    except (zipfile.BadZipFile, tarfile.TarError, EOFError) as e:
        raise BuildError(f"{path}: no wheel or sdist: {e}") from None
    inner = os.listdir(scratch)
    top = os.path.join(scratch, inner[0]) if len(inner) == 1 and not path.endswith(".whl") else scratch
    return of_folder(top, os.path.basename(path))


def _check_members(archive: tarfile.TarFile, path: str) -> None:
    """The check of tarfile's data_filter, for Pythons that have none (3.9.16, 3.11.3 and older)."""
    for member in archive.getmembers():
        if member.name.startswith("/") or ".." in member.name.split("/") or not (member.isfile() or member.isdir()):
            raise BuildError(f"{path}: '{member.name}' is no plain file in the archive")


def fetched(requirement: str, scratch: str, python: str) -> Release:
    """The release that pip installs for a requirement, without its dependencies. BuildError: pip fails."""
    command = [sys.executable, "-m", "pip", "--disable-pip-version-check", "-q"]
    if python != sys.executable:
        command += ["--python", python]
    command += ["install", "--no-deps", "--no-compile", "--target", scratch, requirement]
    done = subprocess.run(command, capture_output=True, encoding="utf-8", errors="replace")
    if done.returncode:
        lines = [line for line in done.stderr.splitlines() if line.strip()] or ["pip failed"]
        raise BuildError(f"{requirement}: {next((line for line in lines if 'ERROR' in line), lines[-1])}")
    return of_folder(scratch, requirement)


_LIST_FILES = """
import importlib.metadata, json, sys
found = importlib.metadata.distribution(sys.argv[1])
files = [[str(each), str(each.locate())] for each in found.files or ()]
print(json.dumps([found.version, found.requires or [], files]))
"""


def installed(name: str, python: str) -> Release:
    """The distribution that a Python has installed. BuildError: the Python has none of that name, or no list of its
    files."""
    try:
        version, requires, files = json.loads(ask(python, _LIST_FILES, name))
    except (NoAnswer, ValueError):
        raise BuildError(f"{name}: {python} has no such distribution installed") from None
    kept, tests = _parted({
        path: where for path, where in files
        if not _LEFT_OUT.search(path) and not path.startswith("..") and os.path.isfile(where)})
    if not kept:
        raise BuildError(f"{name}: {python} does not say which files it has installed")
    return Release(f"{name}=={version} (installed)", kept, tests, requires)


def distribution_of(requirement: str) -> str:
    """'jinja2' of 'jinja2==3.1.6' or 'jinja2[i18n]>=3'."""
    found = re.match(r"[A-Za-z0-9._-]+", requirement)
    return found[0] if found else requirement


def version_of(label: str) -> str | None:
    """The version that a release's label names, if it does."""
    found = re.search(r"==\s*([^\s;(]+)", label)
    found = found or re.search(r"-(\d[^-/]*?)(?:-[^/]*\.whl|\.tar\.gz|\.zip|\.tgz)$", label)
    return found[1] if found else None
