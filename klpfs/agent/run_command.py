"""The work of `klpfs run`: an environment in which every Python process starts its agent, then the command in our
place.

What can be told beforehand is told: a command that isn't there, options of Python that keep sitecustomize from running,
an interpreter that can't be patched. A command that is no Python may start some; nothing is said about it.
"""
from __future__ import annotations

import os
import shutil
import subprocess
from errno import EACCES, EINVAL, ENOENT, ENOSYS

from klpfs.agent.supported import why_not
from klpfs.cpython import jit
from klpfs.protocol.folder_layout import group_number, make_folder, runtime_dir
from klpfs.protocol.names import check_service
from klpfs.protocol.python_command import BOOT, WITHOUT_AGENT, is_python, main_of, python_options

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import NoReturn

PROBE = ("import sys; print(sys.implementation.name, sys.version_info[0], sys.version_info[1], "
         "int('t' in getattr(sys, 'abiflags', '')), sys.version_info[3], "
         "int(getattr(sys, '_jit', None) is not None and sys._jit.is_available()))")


def shebang(path: str) -> list[str]:
    """The words of a script's first line '#!...', [] if it has none."""
    try:
        with open(path, "rb") as f:
            line = f.readline(4096)
    except OSError:
        return []
    if not line.startswith(b"#!"):
        return []
    words = os.fsdecode(line[2:]).split()
    if words and os.path.basename(words[0]) == "env":
        words = [w for w in words[1:] if w != "-S" and "=" not in w]
    return words


def service_name(argv: Sequence[str]) -> str:
    """The base name of the script, of `-m`'s module, or of the command."""
    command = os.path.basename(argv[0])
    if is_python(command):
        _, kind, name = python_options(argv[1:])
        if kind == "module":
            return name
        if kind == "script":
            return os.path.basename(os.path.normpath(name))
    return command


def check(argv: Sequence[str], environ: Mapping[str, str]) -> None:
    """Raise OSError(errno, what is wrong and what to do) when `argv` surely can't be run with an agent: ENOENT, EACCES
    (no such command), EINVAL (-I, -E, -S, PYTHON_JIT), ENOSYS (this Python can't be patched)."""
    found = shutil.which(argv[0], path=environ.get("PATH", os.defpath))
    if not found:
        if os.sep in argv[0] and os.path.exists(argv[0]):
            raise OSError(EACCES, f"{argv[0]}: can't be executed")
        raise OSError(ENOENT, f"{argv[0]}: no such command")
    words, where = list(argv), argv[0]
    if not is_python(os.path.basename(found)) and not is_python(os.path.basename(argv[0])):
        words = shebang(found)
        where = f"the first line of {found}"
        if not words or not is_python(os.path.basename(words[0])):
            return
        found = shutil.which(words[0], path=environ.get("PATH", os.defpath)) or words[0]
    letters, _, _ = python_options(words[1:])
    for letter, why in WITHOUT_AGENT.items():
        if letter in letters:
            raise OSError(EINVAL, f"-{letter} in {where}: Python starts {why}, so no agent can be started in it; leave "
                                  "it out, or call klpfs.agent.start() in the program")
    refused: str | None
    clean = {key: value for key, value in environ.items() if not key.startswith("PYTHON")}
    try:
        done = subprocess.run([found, "-I", "-S", "-c", PROBE], env=clean, capture_output=True, encoding="utf-8",
                              errors="replace", timeout=20)
        name, major, minor, free_threaded, level, has_jit = done.stdout.split()
        refused = why_not(name, (int(major), int(minor)), level, free_threaded == "1")
    except (OSError, ValueError, subprocess.SubprocessError):
        return                  # it will say itself what is wrong with it
    if refused:
        raise OSError(ENOSYS, f"{found}: {refused}")
    if has_jit == "1" and jit.asked_for(environ.get(jit.VARIABLE)):
        raise OSError(EINVAL, f"{jit.VARIABLE}={environ[jit.VARIABLE]}: {jit.WHY}; leave it out")


def main_program(argv: Sequence[str], environ: Mapping[str, str]) -> str:
    """The service's main program: the path of its script, or what -m was given; '' if it can't be told."""
    found = shutil.which(argv[0], path=environ.get("PATH", os.defpath))
    if is_python(os.path.basename(argv[0])):
        return main_of(argv[1:])
    words = shebang(found) if found else []
    return os.path.abspath(found) if found and words and is_python(os.path.basename(words[0])) else ""


def environment(argv: Sequence[str], service: str | None = None, keep: bool = False,
                environ: Mapping[str, str] | None = None, group: int | None = None) -> dict[str, str]:
    """The environment that starts the agent in `argv` and its children. group: a number. OSError(EINVAL):
    service's name."""
    env = dict(os.environ if environ is None else environ)
    env["KLPFS_MAIN"] = main_program(argv, env)
    env["KLPFS_MAIN_PID"] = str(os.getpid())    # the command takes our place, and a launcher's command takes its
    env["KLPFS_SERVICE"] = check_service(service or service_name(argv))
    # also of children that go to another folder, or become another user's
    env["KLPFS_RUNTIME_DIR"] = os.path.abspath(runtime_dir(env))
    for key, value in ("KLPFS_KEEP", "1" if keep else None), ("KLPFS_GROUP", None if group is None else str(group)):
        env.pop(key, None)
        if value is not None:
            env[key] = value
    if not env.get(jit.VARIABLE):
        env[jit.VARIABLE] = "0"         # some builds have it on by themselves
    rest = [path for path in env.get("PYTHONPATH", "").split(os.pathsep) if path and path != BOOT]
    env["PYTHONPATH"] = os.pathsep.join([BOOT] + rest)
    return env


def exec_program(argv: Sequence[str], service: str | None = None, keep: bool = False,
                 group: str | int | None = None) -> NoReturn:
    """Become `argv`, with an agent in it and in all Python processes that it starts; group (name or number): they may
    change to other users of that group. OSError as `check`, `environment` and folder_layout.make_folder."""
    number = group_number(group)
    env = environment(argv, service, keep, group=number)
    check(argv, env)
    if number is not None:
        make_folder(env["KLPFS_RUNTIME_DIR"] + "/" + env["KLPFS_SERVICE"], number)
    os.execvpe(argv[0], list(argv), env)
