"""Releases laid out as folders on the import path, and the modules that a proof imports."""
from __future__ import annotations

import os
import re
import shutil

from klpfs.builder.read.modules import module_name
from klpfs.builder.read.sources import Release, distribution_of, version_of

# Modules that are not imported for a proof: they are programs, or other people's packages.
_LEFT_OUT = re.compile(r"(^|\.)(__main__|_vendor|vendored?)(\.|$)")


def lay_out(release: Release, folder: str) -> None:
    """Copies all files of a release into a folder, as they lie on the import path, beside what importlib.metadata reads
    of a release whose name and version are known. Links would lead a module that asks where it lies out of the folder,
    and each release elsewhere."""
    name, version = distribution_of(release.label), version_of(release.label)
    if "==" in release.label and version:
        info = os.path.join(folder, f"{name.replace('-', '_')}-{version}.dist-info")
        os.makedirs(info)
        with open(os.path.join(info, "METADATA"), "w", encoding="utf-8") as file:
            file.write(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
    for path, where in release.files.items():
        copy = os.path.join(folder, path)
        os.makedirs(os.path.dirname(copy), exist_ok=True)
        shutil.copyfile(where, copy)


def modules_of(release: Release) -> set[str]:
    """Names of a release's modules, of those that a proof imports."""
    names = {module_name(path) for path in release.files if path.endswith(".py")}
    return {name for name in names if not _LEFT_OUT.search(name) and all(map(str.isidentifier, name.split(".")))}


def roots_of(names: set[str]) -> set[str]:
    """First names of modules."""
    return {name.partition(".")[0] for name in names}
