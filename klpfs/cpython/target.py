"""The Python target: CPython's functions and modules behind the engine's seam (engine/target.py).

It knows which Func is in force for each definition, and what follows for each function object: which code, which
attributes. Dispatchers, choices and looks are transition.py's.
"""
from __future__ import annotations

import sys
from errno import EBUSY, EINVAL, ENOEXEC
from posix import getpid, stat
from types import FunctionType, ModuleType

from klpfs.cpython import no_collection
from klpfs.cpython.c_api import callers_frame
from klpfs.cpython.diverted_names import Undivided
from klpfs.cpython.exchanged import exchanged
from klpfs.cpython.images.image import LAZY, check_interpreter
from klpfs.cpython.images.image_table import Images
from klpfs.cpython.interpreters import Apart
from klpfs.cpython.load.loader import all_loaded, invoke, loaded_of
from klpfs.cpython.looks import codes_in_use
from klpfs.cpython.raw import module_dict, type_module, type_name
from klpfs.cpython.resolve.annotate import annotate_of
from klpfs.cpython.resolve.around import Around
from klpfs.cpython.resolve.defaults import has_open_defaults, settled, unchanged
from klpfs.cpython.resolve.definitions import Definition, Registry, not_replaceable
from klpfs.cpython.resolve.fingerprint import OTHERS, of_this_python, this_python
from klpfs.cpython.resolve.index import Index
from klpfs.cpython.resolve.jitters import jitter_of
from klpfs.cpython.resolve.linker import Link
from klpfs.cpython.resolve.live_functions import running
from klpfs.cpython.resolve.new_function import (
    NewCode,
    annotations_of,
    are_postponed,
    as_in_file,
    compile_function,
    warn_signature,
)
from klpfs.cpython.resolve.original_source import defaults_of
from klpfs.cpython.resolve.type_params import type_params_of
from klpfs.cpython.switch import dispatcher
from klpfs.cpython.transition import PythonTransition
from klpfs.engine import target as seam
from klpfs.engine.data import LIVE, Mod
from klpfs.engine.error import KlpError, errno_of, first_line_of, name_of, place_of
from klpfs.engine.log import pr_err, pr_warn
from klpfs.engine.plain import plain_text

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from types import CodeType
    from typing import Any

    from klpfs.cpython.images.image import Image
    from klpfs.cpython.load.loader import LoadedModule
    from klpfs.cpython.resolve.type_params import TypeParams
    from klpfs.engine.data import Func, Object
    from klpfs.engine.log import Log

SLICE = 4       # functions found and made between two breaths: each takes a tenth to half a millisecond
_CONSTANTS = (bool, int, float, str, bytes, type(None))     # types whose values are compared by what they are


class PythonTarget(seam.Target):
    """The target of this process.

    main: which program is the service's main one: the path of its script, or the name given to -m; None: whatever this
    process runs. breathe: called between slices of long work, so that the program gets on; None: never. ripe: name ->
    module whose body has just ended, though the import system still holds it; bodies: modules whose body runs
    again, for a reload, by (process id, mark) (import_hooks fills both). transition: the PythonTransition that
    is not over.
    """

    __slots__ = ("log", "main", "breathe", "registry", "images", "ripe", "bodies", "transition", "_again", "_index",
                 "_main", "_mods", "_resolved")

    def __init__(self, log: Log, main: str | None = None) -> None:
        self.log, self.main = log, main
        self.breathe: Callable[[], None] | None = None
        self.registry = Registry()
        self.registry.in_force = dispatcher.in_force
        self.images = Images(self.registry)
        self.ripe: dict[str, ModuleType] = {}
        self.bodies: dict[tuple[int, object], ModuleType] = {}
        self.transition: PythonTransition | None = None
        self._again: set[str] = set()           # modules that begins_again has named, until refresh
        self._index: Index | None = None        # the last one; it holds function objects, so it is let go soon
        self._main: tuple[dict[str, Any], dict[str, Any]] | None = None     # the main module's dict, its code's globals
        self._mods: dict[str | None, tuple[dict[str, Any], Mod]] = {}
        self._resolved = 0                      # functions, for the breath between slices

    def exchanged(self) -> set[Any]:
        """As Target.exchanged."""
        return set() if self.transition is not None or self.images.unsettled else exchanged(self.images)

    # -- modules

    def namespace(self, name: str | None) -> dict[str, Any] | None:
        """The dict of a loaded module (None: the main program), or None. A module that is loaded again is loaded only
        if it is patched: its first load stays in force."""
        if name is None:
            return self.main_namespace()
        module = _module(name)
        if module is None:
            return None
        namespace = module_dict(module)
        if _is_lazy(module):
            return namespace if self.ripe.get(name) is module else None
        return namespace if not self.imports_now(name) or (
            not _is_initializing(module) and self._is_patched(name)) else None

    def imports_now(self, name: str) -> bool:
        """Whether a module is half imported: its body runs, for the first time or again."""
        module = _module(name)
        if module is None or self.ripe.get(name) is module:
            return False
        return _is_initializing(module) or any(
            body is module and mark[0] == getpid() for mark, body in list(self.bodies.items()))

    def runs_body(self, name: str) -> bool:
        """Whether a thread is in the middle of a module's body, which nothing told us of. Where other threads' stacks
        can't be asked for (interpreters.Apart), the calling thread."""
        module = _module(name)
        if module is None:
            return False
        namespace, frame = module_dict(module), callers_frame()
        while frame is not None:
            if frame.f_globals is namespace and frame.f_code.co_name == "<module>":
                return True
            frame = frame.f_back        # type: ignore[assignment]
        try:
            return any(code.co_name == "<module>" and space == id(namespace)
                       for code, space in codes_in_use.on_stacks())
        except Apart:
            return False

    def begins_again(self, name: str) -> None:
        """The body of a module is about to run again, for a reload: a line, if it is patched. Its counterpart is
        `refresh`'s. In the thread that imports."""
        if self._is_patched(name):
            self._again.add(name)
            pr_warn(self.log, f"module '{name}' is being loaded again: until that is over, calls of its functions may "
                              "have old code")

    def loaded_again(self) -> list[str]:
        """Patched modules whose bodies have run again, and of which refresh() knows nothing yet: where a signal handler
        has cut off what calls it, nothing else does."""
        return [name for name in list(self._again) if self._is_patched(name)
                and self.namespace(name) is not None and not self.imports_now(name)]

    def _is_patched(self, name: str) -> bool:
        return any(definition.object == name for definition in self.images.changed_definitions())

    def _is_main(self, namespace: dict[str, Any]) -> bool:
        if self.main is None:
            return True
        path = namespace.get("__file__")
        name = getattr(namespace.get("__spec__"), "name", None)
        if type(name) is str and name in (self.main, self.main + ".__main__"):
            return True
        if type(path) is not str:
            return False
        folder, _, last = path.rpartition("/")      # of a folder or an archive its __main__ is run
        return _same_file(path, self.main) or last in ("__main__.py", "__main__.pyc") and _same_file(folder, self.main)

    def main_namespace(self) -> dict[str, Any] | None:
        """The dict of the main program, with or without its definitions; None: this process runs another one."""
        module = sys.modules.get("__main__")
        if module is None or not issubclass(type(module), ModuleType):
            return None
        namespace = module_dict(module)
        if not self._is_main(namespace):
            return None
        if self._main is None or self._main[0] is not namespace:
            self._main = namespace, running(namespace)
        return self._main[1]

    def loaded(self, name: str | None) -> Mod | None:
        namespace = self.namespace(name)
        if namespace is None:
            self._mods.pop(name, None)
            return None
        known = self._mods.get(name)
        if known is None or known[0] is not namespace:
            known = self._mods[name] = namespace, Mod("__main__" if name is None else name, LIVE)
        if name is not None and name in self.ripe:
            self.refresh(name)  # if it was there before: reloaded, or imported anew
        return known[1]

    # -- finding and making

    def resolve(self, obj: Object, func: Func) -> None:
        held = False
        try:
            held = no_collection.hold()
            self._resolve(obj, func)
        except BaseException:
            self._index = None      # the module may be asked for again when its body has gone on
            raise
        finally:
            if held:
                no_collection.let_go()
        self._resolved += 1
        if self._resolved % SLICE == 0 and self.breathe is not None:
            self.breathe()

    def _resolve(self, obj: Object, func: Func) -> None:
        try:
            check_interpreter()
        except KlpError as error:
            raise KlpError(error.errno, pr_err(self.log, error.strerror or ""), func) from None
        new: Any = func.new_func        # a function: Func sees to that
        self.images.mend()
        loaded = loaded_of(new)
        place = loaded.node_of(new) if loaded is not None else None
        if loaded is None or place is None or getattr(place[0], "decorator_list", None):
            raise KlpError(EINVAL, pr_err(
                self.log, f"new function '{new.__qualname__}' for '{func.old_name}' in object '{obj.shown}' is not a "
                          "plain function of its livepatch's file"), func)
        index = self._index_of(obj)
        if func.optional and not index.has(func.old_name, func.old_sympos):
            return
        definition = self._find(index, func)
        if func.optional and any(definition.code.co_filename == each.path for each in all_loaded()):
            return      # an earlier livepatch has defined it, and takes it away with itself
        if self._expected(func, loaded, obj) not in (None, definition.fingerprint) or (
                func.accepted_fingerprints and definition.fingerprint not in func.accepted_fingerprints):
            raise KlpError(ENOEXEC, pr_err(
                self.log, f"{loaded.name}: disagrees about version of symbol '{func.old_name}' in object "
                          f"'{obj.shown}'"), func)
        jitter = jitter_of(index.functions(definition))
        if jitter is not None:
            raise not_replaceable(self.log, definition, f"a {jitter} compiles it, and what that has made runs on")
        link = self._link(loaded, obj, index)
        class_name = _class_name(definition, place[1])
        known: dict[Definition, list[Image]] = {}

        def originals(definition: Definition) -> list[Image]:
            if definition not in known:
                known[definition] = [self.images.original(fn, definition) for fn in index.functions(definition)]
            return known[definition]
        around = Around(definition, index.namespace, originals)
        type_params = type_params_of(place[0], class_name, definition, link, around, originals(definition), self.log)
        code = self._divided(obj, definition, self._compile(loaded, new, place, definition, link, around, type_params))
        keeps_defaults = self._keeps_defaults(index, definition, new, originals(definition))
        warn_signature(definition, code, self.log)
        new_code = NewCode(definition, code)
        new_code.keeps_defaults = keeps_defaults
        new_code.defaults, new_code.kwdefaults, new_code.doc = new.__defaults__, new.__kwdefaults__, new.__doc__
        if not keeps_defaults and has_open_defaults(new):
            namespace = index.namespace         # the index itself would go with the patch, and it holds the program's
            new_code.settle = lambda original: settled(
                new, original, definition.code, namespace, definition, self.log,
                lambda code: self._divided(obj, definition, code))
        if LAZY and not are_postponed(loaded, definition):
            new_code.annotations = annotate_of(new, place[0], class_name, definition, link, around, self.log)
        else:
            new_code.annotations = annotations_of(new, definition, loaded, link.constants, index.namespace,
                                                  link.annotations, around, type_params)
        new_code.type_params = type_params
        func.new_code, func.definition = new_code, definition       # first, and in this order: `release` goes by them
        self.registry.made(definition, code)
        self.registry.use(definition, func)
        func.fingerprint = definition.fingerprint  # it stays what this patch was made to fit

    def _expected(self, func: Func, loaded: LoadedModule, obj: Object) -> Any:
        """The fingerprint that a Func has for this version of Python, and how the program is run (-O)."""
        if func.fingerprint is None or ":" not in func.fingerprint:
            return func.fingerprint
        wanted = of_this_python(func.fingerprint)
        if wanted is None or wanted == OTHERS:
            version, level = this_python()
            made_for = f"without {level}" if wanted else ", ".join(sorted(
                part.partition(":")[0] for part in func.fingerprint.split()))
            raise KlpError(ENOEXEC, pr_err(
                self.log, f"{loaded.name}: made for Python {made_for}, this is {version}{level}: symbol "
                          f"'{func.old_name}' in object '{obj.shown}'"), func)
        return wanted

    def _compile(self, loaded: LoadedModule, new: FunctionType, place: tuple[Any, tuple[str, ...]],
                 definition: Definition, link: Link, around: Around, type_params: TypeParams | None) -> CodeType:
        """The code of a new function. place: its node, and the names of the class blocks around it. type_params: its
        own."""
        node, blocks = place
        class_name = _class_name(definition, blocks)
        link.check_texts(node, link.namespace)
        code = None
        if (getattr(node, "name", None), node.lineno) not in loaded.file.nonlocals:
            plain = link.plain(definition)
            code = as_in_file(new.__code__, node, blocks, class_name, definition,
                              lambda name: name not in around.parameters and plain(name), self.log)
        return code or compile_function(
            node, class_name, definition, link.choose(definition), link.constants, loaded.path, loaded.file.flags,
            self.log, around.owner, type_params, around.replaced,
            {name: cell.cell_contents for name, cell in around.parameters.items()})

    def _divided(self, obj: Object, definition: Definition, code: CodeType) -> CodeType:
        """New code, whose names change together with the functions where the object's callbacks say so."""
        divided = obj.callbacks.divided if obj.callbacks is not None else None
        try:
            return code if divided is None else divided(obj, code)
        except Undivided as error:
            raise not_replaceable(self.log, definition, str(error)) from None

    def _find(self, index: Index, func: Func) -> Definition:
        try:
            return index.find(func.old_name, func.old_sympos, self.log)
        except KlpError as error:
            if not func.accepted_fingerprints:
                raise
            raise KlpError(ENOEXEC, error.strerror, func) from None  # other processes have it: the code here is another

    def resolve_nop(self, obj: Object, func: Func, like: Func) -> None:
        definition: Any = like.definition
        if definition is None or like.obj is None or not like.obj.loaded:
            definition = self._index_of(obj).find(like.old_name, like.old_sympos, self.log)
        func.new_code, func.definition = NewCode(definition), definition
        self.registry.use(definition, func)

    def release(self, func: Func) -> None:
        self._index = None
        definition: Any = func.definition
        new_code = func.new_code
        func.definition = func.new_code = None      # first: what is cut off here is not done twice
        if definition is not None:
            if new_code.code is not None:
                self.images.forget(definition, new_code.code)
            self.registry.unuse(definition, func)

    def _index_of(self, obj: Object) -> Index:
        namespace = self.namespace(obj.name)
        if obj.name is not None and namespace is not None and self.imports_now(obj.name):
            raise KlpError(EBUSY, pr_err(
                self.log, f"object '{obj.shown}' is being loaded again, try when that is over"))
        if namespace is None:
            raise KlpError(EINVAL, pr_err(self.log, f"object '{obj.shown}' is not loaded"))
        if obj.name is not None and obj.name.partition(".")[0] == "klpfs":
            raise KlpError(EINVAL, pr_err(self.log, f"object '{obj.shown}' is klpfs's own, it cannot be patched"))
        if self._index is None or self._index.namespace is not namespace or self._index.object != obj.name:
            self._index = Index(self.registry, obj.name, namespace)
        return self._index

    def _link(self, loaded: LoadedModule, obj: Object, index: Index) -> Link:
        link = loaded.links.get(obj.name)
        if link is None:
            adds = obj.callbacks.adds if obj.callbacks is not None else frozenset()
            link = loaded.links[obj.name] = Link(loaded, obj.name, adds, self.log)
        if link.namespace is not index.namespace:
            names = {func.old_name for func in obj.funcs}
            link.attach(index.namespace, [unit.code for unit in index.units.values() if unit.name in names])
        return link

    def _keeps_defaults(self, index: Index, definition: Definition, new: FunctionType,
                        originals: list[Image]) -> bool:
        """Whether each function object keeps its own defaults: those of nested functions are evaluated by the code
        around them, so they cannot change; so it is where one definition has function objects with different ones."""
        if definition.outer is None and all(
                _same_defaults(originals[0], other, exactly=True) for other in originals[1:]):
            return False
        if all(_same_defaults(original, new) for original in originals) and (
                originals or self._as_in_source(index, definition, new)):
            return True
        raise not_replaceable(self.log, definition,
                              "the defaults of its parameters are evaluated around it, they cannot change")

    def _as_in_source(self, index: Index, definition: Definition, new: FunctionType) -> bool:
        """Whether the source gives a function that is not made yet defaults for the parameters that have them in the
        new function."""
        code = definition.code
        if not code.co_argcount + code.co_kwonlyargcount and not new.__defaults__ and not new.__kwdefaults__:
            return True
        found = defaults_of(index.namespace, code) if index.tree else None
        return found == (len(new.__defaults__ or ()), set(new.__kwdefaults__ or {}))

    # -- putting into force

    def _forget_texts(self) -> None:
        """Lets go of what finding and making needed, and which costs memory."""
        self._index = None
        for loaded in all_loaded():
            loaded.forget_text()

    def begin(self, changes: Sequence[seam.Change]) -> PythonTransition:
        self._forget_texts()
        self.images.mend()
        return PythonTransition(self, changes)

    def recover(self, known: seam.TargetTransition | None) -> None:
        no_collection.restore()
        self._index = None
        if self.transition is not None and self.transition is not known:
            self.transition.undo()
        self.images.mend()

    def apply(self, changes: Sequence[seam.Change]) -> None:
        self._forget_texts()
        self._switch(changes, [change.after for change in changes])

    def revert(self, changes: Sequence[seam.Change]) -> None:
        self._index = None
        self._switch(changes, [change.before for change in changes])

    def _switch(self, changes: Sequence[seam.Change], funcs: Sequence[Func | None]) -> None:
        self.images.mend()
        try:
            self.images.switch(changes, funcs)
        except BaseException:
            for title in sorted({definition.title for _, definition in self.images.unsettled.values()}):
                pr_err(self.log, f"{title} could not be taken back, it runs what is not in force until it can")
            raise

    def refresh(self, name: str) -> None:
        """A module was loaded again (reload, or anew after it was taken out of sys.modules): functions that it made
        join their definitions and get what is in force. A function whose code is not what the patch was made for is
        left alone, with a log line."""
        known = [definition for definition in self.images.changed_definitions() if definition.object == name]
        namespace = self.namespace(name)
        if not known or namespace is None:
            return
        self._again.discard(name)
        index = self._index = Index(self.registry, name, namespace)
        for definition in known:
            alive = index.all(definition.name)
            if alive and definition not in alive:
                pr_err(self.log, f"{definition.title} was loaded again with other code, it stays unpatched")
        for loaded in all_loaded():
            if name in loaded.links and loaded.links[name].namespace is not None:
                loaded.links[name].show(namespace)
        late = self.transition.join() if self.transition is not None else self.images.settle()
        if late:
            pr_warn(self.log, f"module '{name}' was loaded again: its new functions are patched from now on, until now "
                              "calls had their old code")

    def call(self, callback: Callable[[Object], Any], obj: Object) -> int:
        try:
            return invoke(callback, obj)
        except Exception as error:
            name, place = plain_text(getattr(callback, "__name__", "?")), place_of(error)
            self.log.add(f"callback {name} of object '{obj.shown}' failed{place and ' at ' + place}: "
                         f"{name_of(error)}: {first_line_of(error)}", 3, "module")
            return -errno_of(error)


def _module(name: str) -> ModuleType | None:
    """The module of this name, if what is in sys.modules is a module object."""
    found = sys.modules.get(name)
    return found if issubclass(type(found), ModuleType) else None


def _is_lazy(module: ModuleType) -> bool:
    """Whether importlib.util.LazyLoader made a module whose body has not run."""
    return type_name(type(module)) == "_LazyModule" and type_module(type(module)) == "importlib.util"


def _is_initializing(module: ModuleType) -> bool:
    """Whether the import system holds a module's first importers up."""
    return bool(getattr(module_dict(module).get("__spec__"), "_initializing", False))


def _same_file(one: str, other: str) -> bool:
    """Whether two paths lead to one file. No os.path: it may be what is being patched."""
    try:
        return one == other or bool(stat(one)[1:3] == stat(other)[1:3])  # st_ino, st_dev
    except OSError:
        return False


def _class_name(definition: Definition, blocks: tuple[str, ...]) -> str | None:
    """The name that private names are mangled with: the real class's, for what was written in a class block."""
    if not blocks:
        return None
    parts = definition.name.split(".")
    return parts[-2] if len(parts) > 1 and parts[-2] != "<locals>" else blocks[-1]


def _same_defaults(original: Image, other: Image | FunctionType, exactly: bool = False) -> bool:
    """Whether the same parameters have defaults, and constants are equal, as far as can be seen. A None of `other`
    stands for any value, unless exactly."""
    defaults, others = original.defaults or (), _get(other, "defaults") or ()
    by_key, others_by_key = original.kwdefaults or {}, _get(other, "kwdefaults") or {}
    return len(defaults) == len(others) and by_key.keys() == others_by_key.keys() and all(
        _same(value, its, exactly)
        for value, its in list(zip(defaults, others)) + [(by_key[name], others_by_key[name]) for name in by_key])


def _get(holder: Image | FunctionType, name: str) -> Any:
    return getattr(holder, f"__{name}__") if type(holder) is FunctionType else getattr(holder, name)


def _same(value: Any, other: Any, exactly: bool) -> bool:
    if other is unchanged:
        return True
    if value is other or other is None and not exactly:
        return True
    if any(type(value) is kind for kind in _CONSTANTS) and any(type(other) is kind for kind in _CONSTANTS):
        return type(value) is type(other) and bool(value == other)
    return not exactly or type(value) is type(other)
