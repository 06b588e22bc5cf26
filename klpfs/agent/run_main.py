"""Runs the main program of a joiner so that the agent is called between its statements (docs/DESIGN.md#6, Coming).

CPython compiles and runs a script in C, out of reach. But if an importer of sys.path_hooks takes the script's path, as
zipimport does with an archive, CPython asks the module `runpy` to run it: so for that once we are its importer and its
`runpy`. What the program sees, sys.path and the names in __main__, is as without us, and nothing of ours is on its
stack. A program named by -m, a folder and an archive go through the real runpy, which is given another code object
only. What multiprocessing spawns has the program as soon as it is prepared, before it does its work.

Not to be had this way, and left to CPython: -c, standard input, a .pyc, a program that does not parse.
"""
from __future__ import annotations

import sys
from collections import defaultdict
from functools import partial
from posix import stat

from klpfs.cpython.program.between_statements import compiled
from klpfs.cpython.resolve.fingerprint import fingerprint

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from posix import stat_result
    from types import CodeType
    from typing import Any


def arrange(names: set[str], call: Callable[[], object]) -> bool:
    """Called before the main program runs, in its thread: call() will come as soon as its functions of these
    qualified names are there, between its statements, maybe more than once. False: this is no program where that can be
    had. True is no promise: a program that turns out not to parse runs as ever, without a call."""
    words = getattr(sys, "argv", None) or [""]
    first = words[0]
    if first == "-c" and "--multiprocessing-fork" in words:
        _behind_preparing(call)
        return True
    if first in ("", "-", "-c"):
        return False
    if first == "-m" or _has_importer(first):
        _through_runpy(names, call)
        return True
    return _as_importer(first, names, call)


def _behind_preparing(call: Callable[[], object]) -> None:
    from multiprocessing import spawn
    was = spawn.prepare

    def prepare(data: Any) -> None:
        spawn.prepare = was
        was(data)
        call()
    spawn.prepare = prepare


def _has_importer(path: str) -> bool:
    """A folder or an archive."""
    for hook in sys.path_hooks:
        try:
            hook(path)
            return True
        except ImportError:
            pass
    return False


def _through_runpy(names: set[str], call: Callable[[], object]) -> None:
    import runpy as runpy_module
    runpy: Any = runpy_module
    was = runpy._get_module_details

    def _get_module_details(name: str, *rest: Any) -> Any:
        runpy._get_module_details = was
        name, spec, code = was(name, *rest)
        return name, spec, _with_call(spec, code, names, call)
    runpy._get_module_details = _get_module_details


def _with_call(spec: Any, code: CodeType, names: set[str], call: Callable[[], object]) -> CodeType:
    """The module's code with the call in it; as it is when that can't be made of the source that it comes from."""
    try:
        source = spec.loader.get_source(spec.name)
        plain = compile(source, code.co_filename, "exec", dont_inherit=True)
        if fingerprint(plain) == fingerprint(code):
            return compiled(source, code.co_filename, names, call) or code
    except Exception:       # a loader of the program's, which does as it likes
        pass
    return code


def _as_importer(script: str, names: set[str], call: Callable[[], object]) -> bool:
    try:
        with open(script, "rb") as file:
            source = file.read()
        found = stat(script)
    except OSError:
        return False        # CPython says it
    code = compiled(source, script, names, call)
    if code is None:
        return False

    modules: dict[str, Any] = sys.modules

    def hook(path: str) -> Any:
        """The first path that CPython asks about is the script's; as it gives it, so its code names it."""
        if hook not in sys.path_hooks or not _is(path, found):
            raise ImportError(f"no importer for {path!r}")
        sys.path_hooks.remove(hook)
        same = compiled(source, path, names, call)
        assert same is not None     # as `code` is: only the path is spelt otherwise
        modules["runpy"] = _Runpy(path, same)
        return modules["runpy"]
    sys.path_hooks.insert(0, hook)
    return True


def _is(path: str, found: stat_result) -> bool:
    try:
        return stat(path)[1:3] == found[1:3]    # st_ino, st_dev
    except OSError:
        return False


class _Runpy:
    """The object that CPython takes for runpy, for the only call that it makes of runpy."""

    def __init__(self, path: str, code: CodeType) -> None:
        self._path, self._code = path, code

    @property
    def _run_module_as_main(self) -> Any:
        path = self._path
        modules: dict[str, Any] = sys.modules
        if modules.get("runpy") is self:
            del modules["runpy"]
        sys.path_importer_cache[path] = None        # as CPython leaves it
        if sys.path and sys.path[0] == path:
            sys.path[:1] = [] if getattr(sys.flags, "safe_path", False) else [_folder(path)]
        main = sys.modules["__main__"].__dict__
        from _frozen_importlib_external import SourceFileLoader
        main.update(__file__=path, __cached__=None, __loader__=SourceFileLoader("__main__", path))
        return _callable(self._code, main)


def _folder(path: str) -> str:
    """The folder of the real script, as CPython puts it first on sys.path."""
    from posixpath import dirname, realpath
    return dirname(realpath(path))


def _callable(code: CodeType, namespace: dict[str, Any]) -> Any:
    """An object that runs the code when it is called with any two arguments, in C alone: a frame of ours below the
    program would be seen in each of its tracebacks. Looking up __call__ runs it: max() asks its key function, which is
    the __missing__ of a dict, and gives `slice`, which takes the two arguments."""
    run: Any = defaultdict(partial(exec, code, namespace)).__getitem__
    return type("program", (list,), {"__call__": property(partial(max, key=run))})((slice,))
