"""modinfo(8): what a module's file says of itself; by its path, by its name in the search path, or of a loaded module
what the service shows."""
from __future__ import annotations

import os

from klpfs.cli.kmod import file_of
from klpfs.cli.standin import TREE, module, options, say
from klpfs.cli.standin.modprobe import fields
from klpfs.cli.terminal import printable, put
from klpfs.protocol.names import module_name

USAGE = """Usage:
\tmodinfo [options] <modulename|filename> [args]
Options:
\t-a, --author                Print only 'author'
\t-d, --description           Print only 'description'
\t-l, --license               Print only 'license'
\t-p, --parameters            Print only 'parm'
\t-n, --filename              Print only 'filename'
\t-0, --null                  Use \\0 instead of \\n
\t-m, --modname               Handle argument as module name instead of alias or filename
\t-F, --field=FIELD           Print only provided FIELD
\t-k, --set-version=VERSION   Accepted; there is one search path
\t-b, --basedir=DIR           Look in DIR, and in each folder of the search path under DIR
\t-V, --version               Show version
\t-h, --help                  Show this help"""
NONE, ONE = options.NONE, options.ONE
OPTIONS = {**dict.fromkeys(["author", "description", "license", "parameters", "filename", "null", "modname", "version",
                            "help"], NONE),
           **dict.fromkeys(["field", "set-version", "basedir"], ONE)}
SHORT = {"a": "author", "d": "description", "l": "license", "p": "parameters", "n": "filename", "0": "null",
         "m": "modname", "V": "version", "h": "help", "F": "field", "k": "set-version", "b": "basedir"}
ONLY = {"author": "author", "description": "description", "license": "license", "parameters": "parm",
        "filename": "filename"}


def run(words: list[str], folders: list[str]) -> int:
    found, rest = options.parse(words, OPTIONS, SHORT)
    field, end, by_name = "", "\n", False
    for name, value in found:
        if name in ("help", "version"):
            put(USAGE if name == "help" else "klpfs, for kmod version 30")
            return 0
        if name == "basedir" and value:
            folders = [os.path.abspath(value), *(os.path.abspath(value) + folder for folder in folders)]
        end = "\0" if name == "null" else end
        by_name = by_name or name == "modname"
        field = value or "" if name == "field" else ONLY.get(name, field)
    if not rest:
        say("modinfo: ERROR: missing module or filename.")
        return 1
    code = 0
    for module_or_file in rest:
        shown = of(module_or_file, folders, by_name)
        if shown is None:
            code = 1
            continue
        for name, value in shown:
            if not field:
                put(printable(f"{name + ':':<16}{value}"), end=end)
            elif name == field:
                put(printable(value), end=end)
    return code


def of(what: str, folders: list[str], by_name: bool) -> list[tuple[str, str]] | None:
    """The fields of a file or name; None when there are none, which has been said."""
    path: str | None = file_of(what)
    if by_name or not os.path.isfile(path or ""):
        path = None if "/" in what else module.look_for(what, folders)
    if path is None:
        name = module_name(what)
        if "/" in what or name not in module.loaded():
            say(f"modinfo: ERROR: Module {what} not found.")
            return None
        return of_loaded(name)
    shown = fields(os.path.abspath(path))
    if not shown:
        reason = "Invalid argument" if os.access(path, os.R_OK) else "Permission denied"
        say(f"modinfo: ERROR: could not get modinfo from '{module_name(path)}': {reason}")
        return None
    return shown


def of_loaded(name: str) -> list[tuple[str, str]]:
    """The fields that the service shows of a loaded module whose file is not in the search path."""
    shown, loaded = [("name", name)], module.loaded().get(name)
    if loaded is not None and loaded.livepatch:
        shown.append(("livepatch", "Y"))
    folder = f"{TREE}/sys/module/{name}/parameters"
    return shown + [("parm", each) for each in (sorted(os.listdir(folder)) if os.path.isdir(folder) else [])]
