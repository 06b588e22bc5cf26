"""What a release wants of other packages, by its metadata: a livepatch brings none of it."""
from __future__ import annotations

import configparser
import email.parser
import os
import re
from collections.abc import Iterable, Iterator
from typing import Any

_PARTS = re.compile(r"\s*([A-Za-z0-9][A-Za-z0-9._-]*)\s*(\[[^]]*\])?\s*\(?\s*([^;()]*?)\s*\)?\s*(?:;\s*(.*))?$")
_SEPARATORS = re.compile(r"[-_.]+")
_EXTRA = re.compile(r"\bextra\b")


def requires_of(top: str) -> list[str] | None:
    """The requirements of the release in a folder on the import path, or of a source tree; None: no metadata says, or
    those of several releases lie there."""
    try:
        names = sorted(os.listdir(top))
    except OSError:
        return None
    infos = [name for name in names if name.endswith(".dist-info")]
    if infos:
        return _headers(os.path.join(top, infos[0], "METADATA")) if len(infos) == 1 else None
    of_sdist = _headers(os.path.join(top, "PKG-INFO"))
    if of_sdist:
        return of_sdist
    eggs = [os.path.join(folder, name, "requires.txt") for folder in (top, os.path.join(top, "src"))
            if os.path.isdir(folder) for name in sorted(os.listdir(folder)) if name.endswith(".egg-info")]
    for found in (*map(_requires_txt, eggs), _pyproject(os.path.join(top, "pyproject.toml")),
                  _setup_cfg(os.path.join(top, "setup.cfg"))):
        if found is not None:
            return found
    return None


def new_wishes(old: Iterable[str] | None, new: Iterable[str] | None) -> list[str]:
    """What NEW wants otherwise than OLD, in words; what takes an extra to be wanted is left out. [] where one of the
    two is not known."""
    if old is None or new is None:
        return []
    before = dict(map(_key, old))
    was = {key[0]: text for key, text in before.items()}
    return [f"NEW wants {text}{f' (OLD: {was[key[0]]})' if key[0] in was else ''}; the livepatch doesn't bring it"
            for key, text in map(_key, new) if key not in before and not _EXTRA.search(key[3])]


def _key(requirement: str) -> tuple[tuple[str, str, str, str], str]:
    """((name, extras, versions, marker) in one form of writing, in words) of a requirement."""
    found = _PARTS.match(requirement)
    if found is None:
        return (requirement, "", "", ""), requirement
    name, extras, versions, marker = (each or "" for each in found.groups())
    versions = ",".join(sorted(re.sub(r"\s+", "", each) for each in versions.split(",") if each.strip()))
    marker = " ".join(marker.replace('"', "'").replace("(", " ").replace(")", " ").split())
    extras = "".join(extras.split()).lower()
    return ((_SEPARATORS.sub("-", name).lower(), extras, versions, marker),
            f"{name}{extras}{versions}{f'; {marker}' if marker else ''}")


# -- where metadata says it

def _text_of(path: str) -> str | None:
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read()
    except OSError:
        return None


def _headers(path: str) -> list[str] | None:
    text = _text_of(path)
    return None if text is None else email.parser.HeaderParser().parsestr(text).get_all("Requires-Dist", [])


def _requires_txt(path: str) -> list[str] | None:
    """Of an egg-info: sections [extra:marker] but for what is always wanted."""
    text = _text_of(path)
    return None if text is None else list(_of_sections(text.splitlines()))


def _of_sections(lines: Iterable[str]) -> Iterator[str]:
    extra = marker = ""
    for line in map(str.strip, lines):
        if line[:1] == "[":
            extra, _, marker = line.strip("[]").partition(":")
        elif line and line[0] != "#":
            conditions = [each for each in (marker, f"extra == '{extra}'" if extra else "") if each]
            yield line + (f"; {' and '.join(conditions)}" if conditions else "")


def _pyproject(path: str) -> list[str] | None:
    try:
        import tomllib
    except ImportError:             # before 3.11
        return None
    try:
        with open(path, "rb") as file:
            project: Any = tomllib.load(file).get("project")
    except (OSError, ValueError):
        return None
    if not isinstance(project, dict) or "dependencies" in project.get("dynamic", ()):
        return None
    return list(map(str, project.get("dependencies", [])))


def _setup_cfg(path: str) -> list[str] | None:
    parser = configparser.ConfigParser(interpolation=None)
    try:
        parser.read_string(_text_of(path) or "")
    except configparser.Error:
        return None
    text = parser.get("options", "install_requires", fallback=None)
    return None if text is None else [line.strip() for line in text.splitlines() if line.strip()]
