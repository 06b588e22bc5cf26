"""Loading a module from the bytes of its file: a livepatch, or an ordinary module that becomes part of the program.

As the kernel's load_module, up to the point where init() is to be called; the agent calls that, exit(), and tells the
engine. The file's top level runs in the calling thread, the agent's.
"""
from __future__ import annotations

import sys
from errno import EEXIST, EINVAL, ENOENT, ENOEXEC
from types import FunctionType, ModuleType

from klpfs.cpython import no_collection
from klpfs.cpython.load import source_file as files
from klpfs.cpython.load.dependencies import Dependencies
from klpfs.cpython.load.parameters import Declared, declaring, stop_declaring
from klpfs.engine.data import Patch
from klpfs.engine.error import KlpError, errno_from, errno_of, first_line_of, is_ours, name_of, place_of
from klpfs.engine.log import pr_warn
from klpfs.engine.plain import plain_int

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, Optional

    from klpfs.cpython.load.parameters import Param
    from klpfs.cpython.resolve.linker import Link
    from klpfs.engine.log import Log

    Say = Callable[[str], str]
    Breathe = Optional[Callable[[], None]]
    EnablePatch = Optional[Callable[[Patch], Any]]

NOT_OWN = frozenset(("patch", "init", "exit"))  # and what a module says of itself: __version__ and the like


class LoadedModule:
    """A loaded module.

    name; path: as given; livepatch: bool; patch: its Patch, or None; module: the module object; namespace: its dict.
    init, exit: functions without arguments, or None (a livepatch without init has the default one, which enables its
    patch). params: {name: Param}. depends: names of insmod's modules that it imports. file: source_file.File.
    dependencies: which statements of the file its new functions need. own: names that new code finds in the file;
    fallback: those only if the program has none; unbindable: those of both that may be unbound when code reads them.
    objects: names of the objects of its patch. links: {object name: linker.Link}, target.py's.
    """

    __slots__ = ("name", "path", "livepatch", "patch", "module", "namespace", "init", "exit", "params", "depends",
                 "file", "dependencies", "own", "fallback", "unbindable", "objects", "links")

    def __init__(self, name: str, file: files.File, module: ModuleType, params: dict[str, Param]) -> None:
        self.name, self.path, self.file = name, file.path, file
        self.module, self.namespace, self.params = module, module.__dict__, params
        self.livepatch = False
        self.patch: Patch | None = None
        self.init: Callable[[], Any] | None = None
        self.exit: Callable[[], Any] | None = None
        self.depends: tuple[str, ...] = ()
        self.dependencies = Dependencies(self)
        self.own: frozenset[str] = frozenset()
        self.fallback: frozenset[str] = frozenset()
        self.unbindable: frozenset[str] = frozenset()
        self.objects: list[str | None] = []
        self.links: dict[str | None, Link] = {}

    def new_functions(self, object: str | None) -> list[FunctionType]:
        """The new functions of the patch for an object."""
        objects = self.patch.objects if self.patch is not None else []
        functions: list[Any] = [func.new_func for obj in objects if obj.name == object for func in obj.funcs
                                if not func.nop]
        return functions

    def node_of(self, new_func: FunctionType) -> tuple[Any, tuple[str, ...]] | None:
        """The node of a function that the file's top level made, as File.node_of; None of other functions."""
        return self.file.node_of(new_func.__code__) if new_func.__globals__ is self.namespace else None

    def forget_text(self) -> None:
        """Lets go of what is needed only to link the file to an object that comes; made anew when one does."""
        self.dependencies.forget()
        self.file.forget()


_loaded: dict[str, LoadedModule] = {}   # by name, in this process
_PROBED = ""                            # the key of what probe() has loaded: no module's name
_under_way: dict[str, _visible] = {}    # by the same keys: what runs its top level


def loaded_of(fn: FunctionType) -> LoadedModule | None:
    """The LoadedModule whose file has made a function, or None."""
    return next((loaded for loaded in list(_loaded.values()) if fn.__globals__ is loaded.namespace), None)


def all_loaded() -> list[LoadedModule]:
    """The LoadedModules of this process."""
    return list(_loaded.values())


def prepare() -> None:
    """Imports all that loading a module will need: later there may be no descriptors left, and no time."""
    import importlib.machinery  # noqa: F401
    import linecache  # noqa: F401
    import tokenize  # noqa: F401


def load(name: str, source: bytes, path: str, params: dict[str, str | None] | None = None, log: Log | None = None,
         breathe: Breathe = None, enable_patch: EnablePatch = None, probing: bool = False) -> LoadedModule:
    """Loads a module: parses and runs the file, checks parameters. Returns a LoadedModule; init() is the caller's to
    call.

    name: as protocol.names.module_name(path) gives it. path: where it came from, for tracebacks. params: {name: text or
    None}. log: gets the one line that each failure logs. breathe: called between slices of long work. enable_patch:
    what the default init calls; None: klpfs.enable_patch. probing: as probe() wants it. Counterpart: unload.
    KlpError, and nothing is left behind: EEXIST: loaded already, or an ordinary module's name is taken. ENOEXEC: the
    file does not parse. ENOENT: unknown parameter, or it imports what is not there. EINVAL: the file is empty, a
    parameter's value, a `patch` that is no Patch, or the file raised (an OSError: its errno).
    """
    say = _sayer(log)
    if not source:      # as finit_module(2)
        raise KlpError(EINVAL, say(f"{name}: {path} is empty"))
    if name in _loaded and not probing:
        raise KlpError(EEXIST, say(f"module '{name}' is already loaded"))
    try:
        file = files.File(source, path, breathe)
    except (SyntaxError, ValueError) as error:
        line, words = getattr(error, "lineno", None) or 1, getattr(error, "msg", None) or error
        raise KlpError(ENOEXEC, say(f"{name}: {path}:{line}: {words}")) from None
    if log is not None:
        for line in file.warnings:
            pr_warn(log, f"{name}: {path}:{line}")
    livepatch = files.is_livepatch(file.tree)
    if not livepatch and name in sys.modules:
        raise KlpError(EEXIST, say(f"{name}: the program has a module of that name"))
    module, key = _new_module(name, path), _PROBED if probing else name
    declared = Declared(name, params or {}, module.__dict__,
                        lambda parameter: files.variable_of(file.tree, parameter), say)
    try:
        with _visible(key, module, file, listed=not livepatch, lines=not probing) as visible:
            before = set(module.__dict__)
            with declaring(declared):
                for code in file.codes:
                    exec(code, module.__dict__)
            declared.check_unknown()
            loaded = LoadedModule(name, file, module, declared.params)
            if livepatch:
                _take_patch(loaded, enable_patch, say)
            _take_functions(loaded, say)
            loaded.depends = tuple(needed for needed in files.imported(file.tree)
                                   if needed in _loaded and not _loaded[needed].livepatch and needed != name)
            _decide_names(loaded, set(module.__dict__) - before, say)
            if not livepatch:
                loaded.forget_text()
            if _under_way.get(key) is visible:      # else it has forked, and this is the child: see abandon
                _loaded[key] = loaded
    except BaseException as error:
        raise _failed(name, file, error, say) from None
    return loaded


def probe(name: str, source: bytes, path: str, params: dict[str, str | None] | None = None,
          log: Log | None = None) -> LoadedModule | None:
    """A livepatch, loaded as by load but only to be looked at, also while a module of that name is loaded.

    None: the file is no livepatch, and was not run. One at a time. Counterpart: end_probe.
    """
    try:
        livepatch = files.is_livepatch(files.File(source, path).tree)
    except (SyntaxError, ValueError):
        livepatch = True  # load says what is wrong
    return load(name, source, path, params, log=log, probing=True) if livepatch else None


def end_probe() -> None:
    """Forgets the module that probe() returned."""
    _loaded.pop(_PROBED, None)


def unload(loaded: LoadedModule) -> None:
    """A module is gone: exit() ran, livepatches saw it go. Its name is free again. What it left in the program
    stays."""
    if _loaded.get(loaded.name) is loaded:
        del _loaded[loaded.name]
    if not loaded.livepatch and sys.modules.get(loaded.name) is loaded.module:
        del sys.modules[loaded.name]


def abandon(name: str) -> None:
    """A load that was cut off is taken back, as its failure would be: in a forked child, by a thread of the parent that
    was in it, or had just ended it; or by an exception at whatever instruction. The name is free again. Nothing happens
    where there is none."""
    no_collection.restore()
    visible, loaded = _under_way.pop(name, None), _loaded.get(name)
    if visible is not None:
        visible.take_back()
    if loaded is not None:
        unload(loaded)
    stop_declaring(name)


def set_param(loaded: LoadedModule, name: str, text: str) -> None:
    """A write to parameters/<name>. KlpError ENOENT: no such parameter; EINVAL: no such value."""
    param = loaded.params.get(name)
    if param is None:
        raise KlpError(ENOENT)
    param.set(text)


def invoke(function: Callable[..., Any], *arguments: Any) -> int:
    """Calls init() and the like: 0 or a negative errno, as the kernel's functions return; exceptions pass through."""
    result = function(*arguments)
    if not issubclass(type(result), int):
        return 0
    number = plain_int(result)
    return 0 if number >= 0 else -errno_from(-number)


def _new_module(name: str, path: str) -> ModuleType:
    from importlib.machinery import ModuleSpec
    module = ModuleType(name)
    module.__file__ = path
    module.__spec__ = ModuleSpec(name, None, origin=path)
    module.__dict__["__builtins__"] = __builtins__ if isinstance(__builtins__, dict) else vars(__builtins__)
    return module


class _visible:
    """Context manager: what the program sees of a module while its top level runs, taken back if that fails.

    listed: the module is in sys.modules, half imported until the end, for the program's threads and for us. lines:
    tracebacks and inspect.getsource show the file as it was given, whatever becomes of it on disk.
    """

    __slots__ = ("key", "module", "name", "spec", "file", "listed", "lines")

    def __init__(self, key: str, module: ModuleType, file: files.File, listed: bool, lines: bool) -> None:
        self.key, self.module, self.file, self.listed, self.lines = key, module, file, listed, lines
        self.name, self.spec = module.__name__, module.__spec__     # the module's own: it may give itself others

    def __enter__(self) -> _visible:
        _under_way[self.key] = self
        if self.lines:
            import linecache
            text, path = self.file.text, self.file.path
            linecache.cache[path] = (len(text), None, text.splitlines(True), path)
        if self.listed:
            self.spec._initializing = True  # type: ignore[union-attr]
            sys.modules[self.name] = self.module
        return self

    def take_back(self) -> None:
        """The program sees nothing of the module any more."""
        if self.listed and sys.modules.get(self.name) is self.module:
            del sys.modules[self.name]
        if self.lines:
            import linecache
            linecache.cache.pop(self.file.path, None)

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is not None:
            self.take_back()
        if self.listed:
            self.spec._initializing = False  # type: ignore[union-attr]
        if _under_way.get(self.key) is self:
            del _under_way[self.key]


def _take_patch(loaded: LoadedModule, enable_patch: EnablePatch, say: Say) -> None:
    """Takes a livepatch's Patch from its namespace. init: the default one, which enables it."""
    patch = loaded.namespace.get("patch")
    if not isinstance(patch, Patch):
        raise KlpError(EINVAL, say(f"{loaded.name}: 'patch' is no Patch"))
    loaded.livepatch, loaded.patch = True, patch
    loaded.objects = [obj.name for obj in patch.objects]

    def init() -> Any:
        if enable_patch is not None:
            return enable_patch(patch)
        import klpfs
        return klpfs.enable_patch(patch)
    loaded.init = init


def _take_functions(loaded: LoadedModule, say: Say) -> None:
    """Takes init and exit: only what the file itself defines as a function; a builtin `exit` is not in the
    namespace."""
    for name in ("init", "exit"):
        value = loaded.namespace.get(name)
        if type(value) is FunctionType:
            setattr(loaded, name, value)
        elif value is not None and loaded.livepatch:
            raise KlpError(EINVAL, say(f"{loaded.name}: '{name}' is no function"))


def _decide_names(loaded: LoadedModule, bound: set[str], say: Say) -> None:
    """Decides which names of the file new code sees, and checks the new functions. bound: what the file's top level
    bound."""
    objects = loaded.patch.objects if loaded.patch is not None else []
    new: list[Any] = [func.new_func for obj in objects for func in obj.funcs]
    from_klpfs = files.from_klpfs(loaded.file.tree) & bound
    nodes = {node[0] for node in map(loaded.node_of, new) if node is not None}
    for function, line in loaded.file.nonlocals - {(getattr(node, "name", None), node.lineno) for node in nodes}:
        raise KlpError(ENOEXEC, say(
            f"{loaded.name}: {loaded.path}:{line}: no binding for what '{function}' declares nonlocal"))
    not_own = set(NOT_OWN) | {name for name in bound if name[:2] == name[-2:] == "__"} | from_klpfs
    not_own |= files.class_blocks(loaded.file.tree, nodes)
    new_ids = set(map(id, new))
    not_own.update(name for name in bound if type(loaded.namespace[name]) is FunctionType
                   and id(loaded.namespace[name]) in new_ids)
    loaded.own = frozenset(bound - not_own)
    run_elsewhere = [fn for obj in objects if obj.callbacks is not None for fn in obj.callbacks.runs]
    elsewhere = {name for name in bound if any(loaded.namespace[name] is fn for fn in run_elsewhere)}
    loaded.fallback = frozenset((from_klpfs | loaded.dependencies.stored(elsewhere)) - loaded.own - NOT_OWN)
    loaded.unbindable = frozenset(loaded.dependencies.unbindable(bound))


def _failed(name: str, file: files.File, error: BaseException, say: Say) -> BaseException:
    """The KlpError for what the file's top level has raised, and its one line."""
    if isinstance(error, KlpError) and error.strerror and is_ours(error):
        return error  # logged already
    if not isinstance(error, Exception) and type(error).__module__.startswith("klpfs."):
        return error  # the agent stops us
    place = place_of(error, lambda path: path == file.path) or file.path
    text = say(f"{name}: {place}: {name_of(error)}: {first_line_of(error)}")
    return KlpError(ENOENT if isinstance(error, ImportError) else errno_of(error), text)


def _sayer(log: Log | None) -> Say:
    def say(text: str) -> str:
        if log is not None:
            log.add(text, 3)
        return text
    return say
