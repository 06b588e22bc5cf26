"""The Python target: CPython's functions and modules behind the engine's seam (engine/target.py).

It knows which Func is in force for each definition, and what follows for each function object: which code, which
attributes. Dispatchers, choices and looks are those of switch/ and looks/.
"""
import gc
import sys
from errno import EINVAL, ENOEXEC
from posix import stat
from types import FunctionType, ModuleType

from klpfs.engine import target as seam
from klpfs.engine.data import LIVE, Mod
from klpfs.engine.error import KlpError
from klpfs.engine.log import pr_err, pr_warn
from klpfs.cpython.resolve.defaults import open_defaults, settled, unchanged
from klpfs.cpython.resolve.definitions import class_of, Index, Registry
from klpfs.cpython.images.image_table import Images
from klpfs.cpython.resolve.linker import Link
from klpfs.cpython.resolve.live_functions import running
from klpfs.cpython.load.loader import all_loaded, invoke, loaded_of
from klpfs.cpython.resolve.new_function import annotations, as_in_file, compile_function, NewCode, warn_signature
from klpfs.cpython.resolve.original_source import defaults_of
from klpfs.cpython.switch.switching import Entry, Transition

_TYPE_NAME, _TYPE_MODULE = type.__dict__["__name__"].__get__, type.__dict__["__module__"].__get__
_MODULE_DICT = ModuleType.__dict__["__dict__"].__get__
SLICE = 4       # functions found and made between two breaths: each takes a tenth to half a millisecond


class PythonTarget(seam.Target):
    """log: engine.log.Log. breathe: called between slices of long work, so that the program gets on; None: never. main: which
    program is the service's main one: the path of its script, or the name given to -m; None: whatever this process runs.
    main_waits: the definitions of the main program are not there yet, so it counts as not loaded."""

    __slots__ = ("log", "main", "main_waits", "breathe", "registry", "images", "ripe", "transition", "_index", "_main", "_mods", "_slice")

    def __init__(self, log, main=None):
        self.log, self.main = log, main
        self.main_waits = False
        self.breathe = None
        self.registry = Registry()
        self.images = Images(self.registry)
        self.ripe = {}    # name -> module whose body has just ended, though the import system still holds it
        self.transition = None  # the PythonTransition that is not over
        self._index = self._main = None
        self._mods = {}
        self._slice = 0         # functions resolved, for the breath between slices

    # -- modules

    def namespace(self, name):
        """The dict of a loaded module (None: the main program), or None."""
        if name is None:
            return None if self.main_waits else self.main_namespace()
        module = sys.modules.get(name)
        if module is None or not issubclass(type(module), ModuleType):
            return None
        namespace = _MODULE_DICT(module)
        spec = namespace.get("__spec__")
        half = _lazy(module) or getattr(spec, "_initializing", False)
        return None if half and self.ripe.get(name) is not module else namespace

    def _is_main(self, namespace):
        if self.main is None:
            return True
        path = namespace.get("__file__")
        spec = namespace.get("__spec__")
        name = getattr(spec, "name", None)
        if type(name) is str and name in (self.main, self.main + ".__main__"):
            return True
        if type(path) is not str:
            return False
        folder, _, last = path.rpartition("/")      # of a folder or an archive its __main__ is run
        return _same_file(path, self.main) or last in ("__main__.py", "__main__.pyc") and _same_file(folder, self.main)

    def main_namespace(self):
        """The dict of the main program, with or without its definitions; None: this process runs another one."""
        module = sys.modules.get("__main__")
        if module is None or not issubclass(type(module), ModuleType):
            return None
        namespace = _MODULE_DICT(module)
        if not self._is_main(namespace):
            return None
        if self._main is None or self._main[0] is not namespace:
            self._main = namespace, running(namespace)
        return self._main[1]

    def loaded(self, name):
        namespace = self.namespace(name)
        if namespace is None:
            self._mods.pop(name, None)
            return None
        was = self._mods.get(name)
        if was is None or was[0] is not namespace:
            was = self._mods[name] = namespace, Mod("__main__" if name is None else name, LIVE)
        if name in self.ripe:
            self.refresh(name)  # if it was there before: reloaded, or imported anew
        return was[1]

    # -- finding and making

    def resolve(self, obj, func):
        collects = gc.isenabled()
        gc.disable()            # what is allocated here must not make us collect the program's garbage
        try:
            self._resolve(obj, func)
        finally:
            if collects:
                gc.enable()
        self._slice += 1
        if self._slice % SLICE == 0 and self.breathe is not None:
            self.breathe()

    def _resolve(self, obj, func):
        loaded = loaded_of(func.new_func)
        node = loaded.node_of(func.new_func) if loaded is not None else None
        if node is None or getattr(node[0], "decorator_list", None):
            raise KlpError(EINVAL, pr_err(self.log, "new function '%s' for '%s' in object '%s' is not a plain function of its "
                                          "livepatch's file" % (func.new_func.__qualname__, func.old_name, obj.shown)), func)
        index = self._index_of(obj)
        if func.optional and not index.has(func.old_name, func.old_sympos):
            return
        definition = self._find(index, func)
        if self._expected(func, loaded, obj) not in (None, definition.fingerprint) or (
                func.fits and definition.fingerprint not in func.fits):
            raise KlpError(ENOEXEC, pr_err(self.log, "%s: disagrees about version of symbol '%s' in object '%s'"
                                           % (loaded.name, func.old_name, obj.shown)), func)
        link = self._link(loaded, obj, index)
        code = self._new_code(loaded, func.new_func, node, definition, link, index)
        keeps = self._keeps_defaults(index, definition, func.new_func)
        warn_signature(definition, code, self.log)
        version = NewCode(definition, code)
        version.keeps_defaults = keeps
        new = func.new_func
        version.defaults, version.kwdefaults, version.doc = new.__defaults__, new.__kwdefaults__, new.__doc__
        if not keeps and open_defaults(new):
            version.settle = lambda original: settled(
                new, original, definition.code, index.namespace, definition, self.log)
        version.annotations = annotations(new, definition, loaded, link.constants, index.namespace, link.annotations)
        version.type_params = getattr(new, "__type_params__", ())
        self.registry.made(definition, code)
        self.registry.use(definition)
        func.definition, func.version = definition, version
        func.fingerprint = definition.fingerprint  # it stays what this patch was made to fit

    def _expected(self, func, loaded, obj):
        """The fingerprint that a Func has for this version of Python."""
        if func.fingerprint is None or ":" not in func.fingerprint:
            return func.fingerprint
        by_version = dict(each.partition(":")[::2] for each in func.fingerprint.split())
        version = "%d.%d" % sys.version_info[:2]
        if version not in by_version:
            raise KlpError(ENOEXEC, pr_err(self.log, "%s: made for Python %s, this is %s: symbol '%s' in object '%s'" % (
                loaded.name, ", ".join(sorted(by_version)), version, func.old_name, obj.shown)), func)
        return by_version[version]

    def _new_code(self, loaded, new, node, definition, link, index):
        node, blocks = node
        class_name = _class_name(definition, blocks)
        code = None
        if (getattr(node, "name", None), node.lineno) not in loaded.file.nonlocals:
            code = as_in_file(new.__code__, node, blocks, class_name, definition, link.plain(definition), self.log)
        return code or compile_function(
            node, class_name, definition, link.choose(definition), link.constants, loaded.path, loaded.file.flags, self.log,
            lambda: class_of(index.namespace, definition.name))

    def _find(self, index, func):
        try:
            return index.find(func.old_name, func.old_sympos, self.log)
        except KlpError as error:
            if not func.fits:
                raise
            raise KlpError(ENOEXEC, error.strerror, func) from None  # it is in other processes: the code here is another

    def resolve_nop(self, obj, func, like):
        definition = like.definition
        if definition is None or like.obj is None or not like.obj.loaded:
            definition = self._index_of(obj).find(like.old_name, like.old_sympos, self.log)
        self.registry.use(definition)
        func.definition, func.version = definition, NewCode(definition)

    def release(self, func):
        self._index = None  # it holds function objects
        if func.definition is not None:
            if func.version.code is not None:
                self.images.forget(func.definition, func.version.code)
            self.registry.unuse(func.definition)
        func.definition = func.version = None

    def _index_of(self, obj):
        namespace = self.namespace(obj.name)
        if namespace is None:
            raise KlpError(EINVAL, pr_err(self.log, "object '%s' is not loaded" % obj.shown))
        if obj.name is not None and obj.name.partition(".")[0] == "klpfs":
            raise KlpError(EINVAL, pr_err(self.log, "object '%s' is klpfs's own, it cannot be patched" % obj.shown))
        if self._index is None or self._index.namespace is not namespace or self._index.object != obj.name:
            self._index = Index(self.registry, obj.name, namespace)
        return self._index

    def _link(self, loaded, obj, index):
        link = loaded.links.get(obj.name)
        if link is None:
            link = loaded.links[obj.name] = Link(loaded, obj.name, self.log)
            link.adds = getattr(obj.callbacks, "adds", link.adds)
        if link.namespace is not index.namespace:
            names = {func.old_name for func in obj.funcs}
            link.attach(index.namespace, [unit.code for unit in index.units.values() if unit.name in names])
        return link

    def _keeps_defaults(self, index, definition, new):
        """Whether each function object keeps its own defaults: those of nested functions are evaluated by the code around
        them, so they cannot change; so it is where one definition has function objects with different ones."""
        was = [self.images.original(fn, definition) for fn in index.functions(definition)]
        if definition.outer is None and all(_same_defaults(was[0], each, exactly=True) for each in was[1:]):
            return False
        if all(_same_defaults(each, new) for each in was) and (was or self._as_in_source(index, definition, new)):
            return True
        raise KlpError(EINVAL, pr_err(self.log, "function '%s' in object '%s' cannot be replaced: the defaults of its "
                                      "parameters are evaluated around it, they cannot change"
                                      % (definition.name, definition.shown)))

    def _as_in_source(self, index, definition, new):
        """Nobody has made such a function yet: its source says which parameters will have defaults."""
        code = definition.code
        if not code.co_argcount + code.co_kwonlyargcount and not new.__defaults__ and not new.__kwdefaults__:
            return True
        found = defaults_of(index.namespace, code) if index.tree else None
        return found == (len(new.__defaults__ or ()), set(new.__kwdefaults__ or {}))

    # -- putting into force

    def _resolved(self):
        """What finding and making needed, and which costs memory, is let go."""
        self._index = None
        for loaded in all_loaded():
            loaded.forget_text()

    def begin(self, changes):
        self._resolved()
        return PythonTransition(self, changes)

    def apply(self, changes):
        self._resolved()
        self.images.switch(changes, [change.after for change in changes])

    def revert(self, changes):
        self._index = None
        self.images.switch(changes, [change.before for change in changes])

    def refresh(self, name):
        """A module was loaded again (reload, or anew after it was taken out of sys.modules): functions that it made join
        their definitions and get what is in force. One whose code is not what the patch was made for is left alone, with
        a log line."""
        known = [each for each in self.images.concerned() if each.object == name]
        namespace = self.namespace(name)
        if not known or namespace is None:
            return
        index = self._index = Index(self.registry, name, namespace)
        for definition in known:
            there = index.all(definition.name)
            if there and definition not in there:
                pr_err(self.log, "function '%s' in object '%s' was loaded again with other code, it stays unpatched"
                       % (definition.name, definition.shown))
        for loaded in all_loaded():
            if name in loaded.links and loaded.links[name].namespace is not None:
                loaded.links[name].view.__dict__ = namespace
        if self.transition is not None:
            self.transition.join()
        else:
            self.images.settle()

    def call(self, callback, obj):
        try:
            return invoke(callback, obj)
        except Exception as error:
            self.log.add("callback %s of object '%s' failed%s: %s: %s" % (
                getattr(callback, "__name__", "?"), obj.shown, _place(error), type(error).__name__, _words(error)), 3, "module")
            errno = getattr(error, "errno", None) if isinstance(error, OSError) else None
            return -errno if type(errno) is int and errno > 0 else -EINVAL


class PythonTransition(seam.TargetTransition):
    """A transition.Transition over function objects, for changes of definitions."""

    __slots__ = ("target", "images", "before", "after", "watched", "entries", "core", "told")

    def __init__(self, target, changes):
        self.target, self.images = target, target.images
        self.before, self.after = dict(self.images.state), dict(self.images.state)
        self.entries = {}  # id(function) -> Entry
        self.watched = set()  # definitions that the engine named, switched or not
        self.told = 0  # how many of the core's foreign functions were named
        self._note(changes)
        try:
            self.core = Transition(self._join(), target.log.clock_us, target.breathe)
            self.core.install()
        except BaseException as error:
            self._leave(list(self.entries.values()))
            self.images.become(dict(self.images.state), scan=False)
            if isinstance(error, KlpError) and error.strerror:
                pr_err(target.log, error.strerror)
            raise
        target.transition = self
        self._tell()

    def _note(self, changes):
        for change in changes:
            self.before[change.definition], self.after[change.definition] = change.before, change.after
            self.watched.add(change.definition)

    def _join(self):
        """Entries of the function objects that are alive and not in the transition yet."""
        new = []
        for fn, definition in self.images.touched(self.before, self.after, self.watched):
            if id(fn) not in self.entries:
                self.images.hold(fn, definition)
                before = self.images.image(fn, definition, self.before)
                after = before
                if self.images.key(definition, self.before) != self.images.key(definition, self.after):
                    after = self.images.image(fn, definition, self.after)
                older = self.images.older(definition, self.before, self.after)
                entry = self.entries[id(fn)] = Entry(fn, before, after, older)
                self.images.registry.holders[id(fn)] = definition
                new.append(entry)
        return new

    def _leave(self, entries):
        for entry in entries:
            self.entries.pop(id(entry.fn), None)
            self.images.registry.holders.pop(id(entry.fn), None)

    @property
    def goal(self):
        return self.core.goal

    @property
    def clean(self):
        return self.core.clean

    def add(self, changes):
        was = dict(self.before), dict(self.after), set(self.watched)
        self._note(changes)
        new = self._join()
        try:
            self.core.add(new)
        except KlpError:
            self._leave(new)
            self.before, self.after, self.watched = was
            raise
        self._tell()

    def _tell(self):
        """Functions to which the program itself has given other code meanwhile are left alone, and named."""
        for fn in self.core.foreign[self.told:]:
            definition = self.images.registry.holders.get(id(fn))
            if definition is not None:
                pr_warn(self.target.log, "function '%s' in object '%s' was given other code by the program meanwhile, it is left alone"
                        % (definition.name, definition.shown))
        self.told = len(self.core.foreign)

    def drop(self, definitions):
        gone = [entry for entry in list(self.entries.values())
                if self.images.registry.holders.get(id(entry.fn)) in definitions]
        state = self.after if self.core.started and self.core.goal else self.before
        for definition in definitions:
            self.images.put_state(definition, state.get(definition))
            self.before.pop(definition, None)
            self.after.pop(definition, None)
            self.watched.discard(definition)
        self._leave(gone)

    def start(self, goal):
        self.core.start(goal)

    def reverse(self):
        self.core.reverse()

    def look(self):
        blockers = self.core.look()
        if not blockers and self.images.any_nested(self.after) and self.join():
            self.core.reverse()  # closures made meanwhile, by code that was not clean then: look again, with them
            self.core.reverse()
            return self.core.look()
        return blockers

    def join(self):
        """Function objects made meanwhile join; whether there are any."""
        new = self._join()
        if new:
            self.core.add(new)
            self._tell()
        return bool(new)

    def force(self):
        self.core.force()

    def finish(self):
        self.core.finish()
        self._end(self.after if self.core.goal else self.before, self.core.goal)

    def cancel(self):
        self.core.cancel()
        self._end(self.before, 0)

    def _end(self, state, goal):
        self._tell()
        for entry in self.entries.values():
            self.images.put_was(entry.fn, entry.after if goal else entry.before)
        self._leave(list(self.entries.values()))
        self.core.forget()
        self.target.transition = None
        self.images.become(state)


def _lazy(module):
    """importlib.util.LazyLoader: its body has not run."""
    return _TYPE_NAME(type(module)) == "_LazyModule" and _TYPE_MODULE(type(module)) == "importlib.util"


def _same_file(one, other):
    """Whether two paths lead to one file. No os.path: it may be what is being patched."""
    try:
        return one == other or stat(one)[1:3] == stat(other)[1:3]  # st_ino, st_dev
    except OSError:
        return False


def _class_name(definition, blocks):
    """The name that private names are mangled with: the real class's, for what was written in a class block."""
    if not blocks:
        return None
    parts = definition.name.split(".")
    return parts[-2] if len(parts) > 1 and parts[-2] != "<locals>" else blocks[-1]


def _same_defaults(image, other, exactly=False):
    """As far as one can see: the same parameters have defaults, and constants are equal. other: an Image or a function;
    its None stands for any value, unless exactly."""
    one, two = image.defaults or (), _get(other, "defaults") or ()
    key, by_key = dict(image.kwdefaults or {}), dict(_get(other, "kwdefaults") or {})
    return len(one) == len(two) and key.keys() == by_key.keys() and all(
        _same(a, b, exactly) for a, b in list(zip(one, two)) + [(key[name], by_key[name]) for name in key])


def _get(holder, name):
    return getattr(holder, "__%s__" % name) if type(holder) is FunctionType else getattr(holder, name)


def _same(one, other, exactly):
    if other is unchanged:
        return True
    plain = (bool, int, float, str, bytes, type(None))
    if one is other or other is None and not exactly:
        return True
    if any(type(one) is each for each in plain) and any(type(other) is each for each in plain):
        return type(one) is type(other) and one == other
    return not exactly or type(one) is type(other)


def _place(error):
    tb, found = error.__traceback__, ""
    while tb is not None:
        found = " at %s:%d" % (tb.tb_frame.f_code.co_filename, tb.tb_lineno)
        tb = tb.tb_next
    return found


def _words(error):
    try:
        return str(error).split("\n")[0]
    except Exception:
        return "(its text can't be had)"

