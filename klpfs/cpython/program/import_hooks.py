"""Import hooks: modules that finish their body are noticed before the code that imports them goes on (the kernel's
MODULE_STATE_COMING).

What is hooked is not sys.meta_path, which is the program's to change, but functions of the import system itself
(importlib._bootstrap) that every import of a found module goes through, in the middle of it: the module still counts as
being initialised, so other threads that import it wait as well. Python's own loaders, which may also be called by hand,
and importlib.reload have hooks of their own. In the first of these an import that is cut off still takes its module out
of sys.modules: so the next import of it runs the body again, and does not find it there, unpatched. A loader of the
program's own may run Python's and go on behind it, so then the import's end counts as well. The hooks' frames are named
as the import system's, so that tracebacks of failing imports leave them out.

What is not noticed here the agent looks for with the next import or load (agent/imports.py): a module that a program
puts into sys.modules by hand, after running its code by exec(), and whatever signal handlers cut off more than once in
the same few lines.
"""
from __future__ import annotations

import _frozen_importlib as _bootstrap
import sys
from _frozen_importlib_external import SourceFileLoader, SourcelessFileLoader, _LoaderBasics
from posix import getpid, register_at_fork

from klpfs.cpython.lazy_imports import import_own
from klpfs.engine.error import is_own_mistake, is_the_programs

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from types import FunctionType, ModuleType
    from typing import Any, Protocol

    class Target(Protocol):
        """A PythonTarget, as far as it is needed here."""

        ripe: dict[str, ModuleType]
        bodies: dict[tuple[int, object], ModuleType]

        def begins_again(self, name: str) -> None:
            """A patched module's body is about to run again."""

        def loaded_again(self) -> list[str]:
            """Patched modules whose bodies have run again, and that were not taken in since."""

_IMPORTED = "import {!r} # {!r}"    # what _load_unlocked says at its end, while the module still is initialised
TRIES = 4               # of a callback that signal handlers cut off
_hooked = False         # for good: a program's imports may be in the middle of the hooks
_own_exec_module: Any = None            # the hook of Python's own loaders
_callback: Callable[[str], Any] | None = None           # both None: not installed
_target: Target | None = None
_under_way: dict[str, int] = {}         # by name: imports, each with one of these
_PROGRAMS, _PYTHONS, _CALLED = range(3)     # a loader of the program's; one of Python's; nothing is left to be noticed


def install(callback: Callable[[str], Any], target: Target) -> None:
    """Hooks the import system. callback(name) is called in the importing thread when a module's body has ended; what it
    raises by a mistake of klpfs's own is dropped. target: PythonTarget, which takes the module for loaded from then on.

    Once a process; a second call replaces callback and target. Counterpart: let_go.
    """
    global _callback, _target, _hooked, _own_exec_module
    _callback, _target = callback, target
    if _hooked:
        return
    _hooked = True
    code = _bootstrap._load_unlocked.__code__  # type: ignore[attr-defined]
    if _IMPORTED in code.co_consts and "_verbose_message" in code.co_names:
        _hook(_bootstrap, "_verbose_message", _verbose_message)
        _hook(_bootstrap, "_load_unlocked", _load_unlocked)
    else:
        _hook(_bootstrap, "_load_unlocked", _after_spec)
    for name in ("_load_backward_compatible", "_exec"):
        if hasattr(_bootstrap, name):
            _hook(_bootstrap, name, _after_spec)
    _own_exec_module = _hook(_LoaderBasics, "exec_module", _exec_module)
    register_at_fork(after_in_child=_under_way.clear)       # other threads' imports are not the child's


def let_go() -> None:
    """The program ends: the hooks, which stay, do nothing more and hold nothing of klpfs's. The import system is what
    CPython takes apart last; what it frees then crashes 3.14 and 3.15 under -v and -X perf."""
    global _callback, _target
    _callback = _target = None


def _hook(owner: Any, name: str, make: Callable[[Any], FunctionType]) -> FunctionType:
    original = getattr(owner, name)
    hook = make(original)
    hook.__name__, hook.__qualname__, hook.__module__ = original.__name__, original.__qualname__, original.__module__
    hook.__doc__ = original.__doc__
    hook.__code__ = hook.__code__.replace(co_filename=original.__code__.co_filename, co_name=name)
    setattr(owner, name, hook)
    return hook


def _verbose_message(original: Any) -> Any:
    def _verbose_message(message: str, *args: Any, verbosity: int = 1) -> None:
        original(message, *args, verbosity=verbosity)
        if message == _IMPORTED and args:
            _end(args[0])
    return _verbose_message


def _load_unlocked(original: Any) -> Any:
    def _load_unlocked(spec: Any) -> Any:
        name, around = spec.name, _under_way.get(spec.name)     # around: a body that imports its module anew
        try:
            _under_way[name] = _PYTHONS if _is_pythons(spec.loader) else _PROGRAMS
            return original(spec)
        except BaseException:           # cut off behind a body that has ended, the module stays in sys.modules
            _end(name)
            raise
        finally:
            try:        # twice, as in _after_spec
                _leave(name, around)
            finally:
                _leave(name, around)
    return _load_unlocked


def _leave(name: str, around: int | None) -> None:
    if around is None:
        _under_way.pop(name, None)
    else:
        _under_way[name] = around


def _end(name: str) -> None:
    """The end of an import: the callback is called, unless it was behind the body and nothing has run since. A module
    that is lazy still (importlib.util.LazyLoader) has no body yet: its loader is called by hand, in a way, later."""
    util = sys.modules.get("importlib.util")
    if _under_way.get(name) != _CALLED and (
            util is None or type(sys.modules.get(name)) is not getattr(util, "_LazyModule", None)):
        finished(name, True)


def _is_pythons(loader: Any) -> bool:
    """Whether a loader does nothing more than Python's own exec_module, which calls `finished`."""
    kind = type(loader)
    return kind in (SourceFileLoader, SourcelessFileLoader) and kind.exec_module is _own_exec_module and (
        "exec_module" not in vars(loader))


def _after_spec(original: Any) -> Any:
    def _after_spec(spec: Any, *args: Any) -> Any:
        # The body runs again, for a reload, which has no mark of the import system's own: as long, the target takes the
        # module for half imported. No context manager: its frame would be in tracebacks. The mark goes before
        # `finished`: a patch that comes in between finds the module loaded, or is among those that are applied then.
        target, mark = _target, (getpid(), object())    # in a child that is forked meanwhile, the body may run no more
        try:
            if target is not None and args:     # else an import of an old loader, no reload
                _begin(target, mark, spec.name, args[0])
            return original(spec, *args)
        finally:  # a reload that fails half way has made functions, too
            # A `try` at once, and no function of ours at whose entry a signal handler may run: what that raises in
            # these lines finds the lines below.
            try:
                if target is not None:
                    target.bodies.pop(mark, None)
                finished(spec.name)
            except BaseException:
                if target is not None:
                    target.bodies.pop(mark, None)
                    if spec.name in target.loaded_again():
                        finished(spec.name)
                raise
    return _after_spec


def _exec_module(original: Any) -> Any:
    def exec_module(self: Any, module: ModuleType) -> None:
        spec, target = getattr(module, "__spec__", None), _target   # before the body runs, which may change it
        name = getattr(spec, "name", None)
        if not isinstance(name, str):
            name = getattr(module, "__name__", None)
        if not isinstance(name, str) or target is None:
            original(self, module)
            return
        imported = name in _under_way and sys.modules.get(name) is module
        if not imported and not _is_running(target, spec, module):      # called by hand
            mark, ended = (getpid(), object()), False
            try:
                _begin(target, mark, name, module)
                original(self, module)
                ended = True
            finally:
                try:        # twice, as in _after_spec
                    target.bodies.pop(mark, None)
                finally:
                    target.bodies.pop(mark, None)
                    if sys.modules.get(name) is module and (ended or name in target.loaded_again()):
                        finished(name)
            return
        original(self, module)
        if imported:                    # of what the body has left in sys.modules by that name
            finished(name, _under_way.get(name) != _PROGRAMS)
    return exec_module


def _is_running(target: Target, spec: Any, module: ModuleType) -> bool:
    """Whether an import or a reload, whose end is noticed, runs a module's body."""
    return getattr(spec, "_initializing", False) or any(
        body is module and mark[0] == getpid() for mark, body in list(target.bodies.items()))


def _begin(target: Target, mark: tuple[int, object], name: str, module: ModuleType) -> None:
    """The body of a module begins to run again. The caller takes the mark away."""
    target.bodies[mark] = module
    try:
        if sys.modules.get(name) is module:
            target.begins_again(name)
    except Exception as error:
        if not is_own_mistake(error):
            raise
        # a line of the log is not had: the import is not to blame


def finished(name: str, last: bool = False) -> None:
    """A module's body has ended; its importers are still held up. What a signal handler raises meanwhile is raised when
    the callback has come to its end: where the module is in sys.modules then, the next import of it does not wait.
    last: nothing more happens to the module in the import that is under way."""
    if name[:6] == "klpfs.":
        import_own(name)
    target, callback = _target, _callback
    module = sys.modules.get(name)
    if callback is None or target is None or module is None:
        return
    raised: list[BaseException] = []
    try:
        target.ripe[name] = module
        while len(raised) < TRIES:
            try:
                if not raised or is_the_programs(raised[-1]):
                    callback(name)
                break
            except BaseException as error:
                raised.append(error)
    finally:
        try:    # twice, as in _after_spec
            if target.ripe.get(name) is module:
                target.ripe.pop(name, None)
        finally:
            if target.ripe.get(name) is module:
                target.ripe.pop(name, None)
    if last and name in _under_way:
        _under_way[name] = _CALLED
    # of klpfs's own mistakes the import is not to blame, and the callback's owner logs its failures; but where there
    # was no room for it, the module is not patched
    raised = [each for each in raised if isinstance(each, (RecursionError, MemoryError)) or not is_own_mistake(each)]
    try:
        if raised:
            _raise(raised)
    finally:
        del raised          # or the exception, whose traceback has this frame, would be kept by it


def _raise(raised: list[BaseException]) -> None:
    """Raises what several signal handlers have raised: the first that ends the program (SystemExit, KeyboardInterrupt),
    else the last. Another is its context, as in a `finally`; Python sets that, and closes no cycles."""
    chosen = next((each for each in raised if not isinstance(each, Exception)), raised[-1])
    others = [each for each in raised if each is not chosen]
    try:
        if others:
            raise others[-1]
    finally:
        try:
            raise chosen
        finally:
            del raised, others, chosen      # frames that exceptions hold hold none
