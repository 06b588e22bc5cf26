"""Names of modules and services, and which names the tree can show: one rule for agent, service, tree and commands."""
from __future__ import annotations

from errno import EINVAL

from klpfs.engine.names import VMLINUX, showable

__all__ = ["VMLINUX", "check_module", "check_service", "is_service", "module_name", "showable"]


def module_name(path: str) -> str:
    """The name of the module in the file `path`: the base name up to its first dot, with `_` for each `-`.

    A name that has no folder, dot or `-` stays as it is. Source: path_to_modname() in kmod's libkmod-util.c.

    >>> module_name("/srv/fixes/CVE-2025-1.v2.py")
    'CVE_2025_1'
    """
    return path.rpartition("/")[2].partition(".")[0].replace("-", "_")


def check_module(name: str) -> str:
    """Return `name`, a module's; OSError(EINVAL) when the tree can't show it, or proc/modules, where white space ends
    a column and a comma a holder."""
    if not showable(name) or any(character == "," or character.isspace() for character in name):
        raise OSError(EINVAL, f"no name for a module: {name!r}")
    return name


def is_service(name: str) -> bool:
    """Whether `name` can be a service's: a name that the tree can show, without a dot at its start.

    Names with a dot at their start are the tree's own (.exec).
    """
    return name[:1] != "." and showable(name)


def check_service(name: object) -> str:
    """Return `name`; OSError(EINVAL) when it can't be a service's."""
    if not isinstance(name, str) or not is_service(name):
        raise OSError(EINVAL, f"not a name for a service: {name!r}")
    return name
