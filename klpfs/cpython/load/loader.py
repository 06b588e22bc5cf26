"""Loading a module from the bytes of its file: a livepatch, or an ordinary module that becomes part of the program.

As the kernel's load_module, up to the point where init() is to be called; the agent calls that, exit(), and tells the
engine. The file's top level runs in the calling thread, the agent's.
"""
import sys
from errno import EEXIST, EINVAL, ENOENT, ENOEXEC
from types import FunctionType, ModuleType

from klpfs.engine.data import Patch
from klpfs.engine.error import KlpError
from klpfs.cpython.load import source_file as files
from klpfs.cpython.resolve.codes import globals_of
from klpfs.cpython.load.parameters import Declared, declaring

NOT_OWN = frozenset(("patch", "init", "exit"))  # and what a module says of itself: __version__ and the like


class LoadedModule:
    """A loaded module.

    name; path: as given; livepatch: bool; patch: its Patch, or None; module: the module object; namespace: its dict.
    init, exit: functions without arguments, or None (a livepatch without init has the default one, which enables its
    patch). params: {name: Param}. docs, version, author, license: str or None. depends: names of insmod's modules that it
    imports. file: file.File. own: names that new code finds in the file; fallback: those only if the program has none.
    links: {object name: link.Link}, target.py's.
    """

    __slots__ = ("name", "path", "livepatch", "patch", "module", "namespace", "init", "exit", "params", "docs", "version",
                 "author", "license", "depends", "file", "own", "fallback", "objects", "links", "_reach")

    @property
    def size(self):
        """Bytes of its text, for proc/modules."""
        return len(self.file.text)

    def node_of(self, new_func):
        """As File.node_of, for a function that the file's top level made."""
        return self.file.node_of(new_func.__code__) if new_func.__globals__ is self.namespace else None

    def reach(self, object):
        """The statements of helpers that new functions of an object use, and the helpers that those use."""
        found = self._reach.get(object)
        if found is None:
            found = self._reach[object] = self._reached(object)
        return found

    def _reached(self, object):
        names, found = set(), {}
        for func in self._funcs(object):
            if self.node_of(func.new_func) is not None:
                names |= globals_of(func.new_func.__code__)
        todo = list(names)
        while todo:
            name = todo.pop()
            if name not in self.own:
                continue
            for each in self.file.binders(name):
                if id(each) not in found:
                    found[id(each)] = each
                    todo += set(each.used) | each.evaluated
        return list(found.values())

    def forget_text(self):
        """Lets go of what is needed only to link the file to an object that comes; made anew when one does."""
        self._reach.clear()
        self.file.forget()

    def _funcs(self, object):
        return [func for obj in self.patch.objects if obj.name == object for func in obj.funcs if not func.nop]


_loaded = {}  # name -> LoadedModule, in this process
_PROBED = ""  # no module's name


def loaded_of(fn):
    """The LoadedModule whose file has made a function, or None."""
    for each in list(_loaded.values()):
        if fn.__globals__ is each.namespace:
            return each
    return None


def all_loaded():
    """The LoadedModules of this process."""
    return list(_loaded.values())


def prepare():
    """Imports all that loading a module will need: later there may be no descriptors left, and no time."""
    import importlib.machinery  # noqa: F401
    import linecache  # noqa: F401
    import tokenize  # noqa: F401


def load(name, source, path, params=None, env=None, probing=False):
    """Loads a module: parses and runs the file, checks parameters. Returns a LoadedModule; init() is the caller's to call.

    name: as protocol.names.module_name(path) gives it. source: bytes. path: where it came from, for tracebacks. params: {name: text or None}.
    env: .log (engine.log.Log) for the one line that each failure logs; .enable_patch(patch) for the default init; .breathe, if it
    has that, is called between slices of long work.
    KlpError, and nothing is left behind: EEXIST: loaded already, or an ordinary module's name is taken. ENOEXEC: the
    file does not parse. ENOENT: unknown parameter, or it imports what is not there. EINVAL: a parameter's value, a
    `patch` that is none, or the file raised (an OSError: its errno).
    probing: as probe() wants it.
    """
    say = _sayer(env)
    if name in _loaded and not probing:
        raise KlpError(EEXIST, say("module '%s' is already loaded" % name))
    try:
        file = files.File(source, path, getattr(env, "breathe", None))
    except (SyntaxError, ValueError) as error:
        place = "%s:%s" % (path, getattr(error, "lineno", None) or 1)
        raise KlpError(ENOEXEC, say("%s: %s: %s" % (name, place, getattr(error, "msg", None) or error))) from None
    livepatch = files.is_livepatch(file.tree)
    if not livepatch and name in sys.modules:
        raise KlpError(EEXIST, say("%s: the program has a module of that name" % name))
    module = _new_module(name, path)
    declared = Declared(name, params or {}, module.__dict__, lambda parameter: files.variable_of(file.tree, parameter), say)
    if not probing:
        _remember_lines(file)
    if not livepatch:
        module.__spec__._initializing = True  # half imported, for the program's threads and for us
        sys.modules[name] = module
    try:
        before = set(module.__dict__)
        with declaring(declared):
            for code in file.codes:
                exec(code, module.__dict__)
        declared.check_unknown()
        found = _made(name, file, module, before, declared, livepatch, env, say)
    except BaseException as error:
        if not livepatch and sys.modules.get(name) is module:
            del sys.modules[name]
        if not probing:
            _forget_lines(file)
        raise _failed(name, file, error, say) from None
    finally:
        if not livepatch:
            module.__spec__._initializing = False
    if not livepatch:
        found.forget_text()
    _loaded[_PROBED if probing else name] = found
    return found


def probe(name, source, path, params=None, env=None):
    """As load, for a livepatch that is only to be looked at, also while one of that name is loaded; end_probe() ends it.
    None: the file is no livepatch, and was not run. One at a time."""
    try:
        livepatch = files.is_livepatch(files.File(source, path).tree)
    except (SyntaxError, ValueError):
        livepatch = True  # load says what is wrong
    return load(name, source, path, params, env, True) if livepatch else None


def end_probe():
    """What probe() returned is looked at no more."""
    _loaded.pop(_PROBED, None)


def unload(loaded):
    """A module is gone: exit() ran, livepatches saw it go. Its name is free again. What it left in the program stays."""
    if _loaded.get(loaded.name) is loaded:
        del _loaded[loaded.name]
    if not loaded.livepatch and sys.modules.get(loaded.name) is loaded.module:
        del sys.modules[loaded.name]


def set_param(loaded, name, text):
    """A write to parameters/<name>. KlpError ENOENT: no such parameter; EINVAL: no such value."""
    param = loaded.params.get(name)
    if param is None:
        raise KlpError(ENOENT)
    param.set(text)


def invoke(function, *arguments):
    """Calls init() and the like: 0 or a negative errno, as the kernel's functions return; exceptions pass through."""
    result = function(*arguments)
    return result if isinstance(result, int) and not isinstance(result, bool) and result < 0 else 0


def _new_module(name, path):
    from importlib.machinery import ModuleSpec
    module = ModuleType(name)
    module.__file__ = path
    module.__spec__ = ModuleSpec(name, None, origin=path)
    module.__builtins__ = __builtins__ if isinstance(__builtins__, dict) else __builtins__.__dict__
    return module


def _made(name, file, module, before, declared, livepatch, env, say):
    namespace = module.__dict__
    found = LoadedModule()
    found.name, found.path, found.livepatch, found.file = name, file.path, livepatch, file
    found.module, found.namespace, found.params = module, namespace, declared.params
    found.patch = None
    if livepatch:
        found.patch = namespace.get("patch")
        if not isinstance(found.patch, Patch):
            raise KlpError(EINVAL, say("%s: 'patch' is no Patch" % name))
    found.init, found.exit = _function(namespace, "init", found, say), _function(namespace, "exit", found, say)
    if livepatch and found.init is None:
        patch = found.patch
        found.init = lambda: _enable(env, patch)
    found.docs = _text(namespace.get("__doc__"))
    found.version, found.author, found.license = (_text(namespace.get("__%s__" % each)) for each in
                                                  ("version", "author", "license"))
    found.depends = tuple(each for each in files.imported(file.tree)
                          if each in _loaded and not _loaded[each].livepatch and each != name)
    _names(found, set(namespace) - before, say)
    return found


def _enable(env, patch):
    enable = getattr(env, "enable_patch", None)
    if enable is None:
        from klpfs import enable_patch as enable
    return enable(patch)


def _names(found, bound, say):
    """Decides which names of the file new code sees, and checks the new functions."""
    found._reach, found.links = {}, {}
    found.objects = [obj.name for obj in found.patch.objects] if found.patch is not None else []
    found.fallback = files.from_klpfs(found.file.tree) & bound
    new = [func.new_func for obj in found.patch.objects for func in obj.funcs] if found.patch is not None else []
    nodes = {node[0] for node in map(found.node_of, new) if node is not None}
    for function, line in found.file.nonlocals - {(getattr(node, "name", None), node.lineno) for node in nodes}:
        raise KlpError(ENOEXEC, say("%s: %s:%d: no binding for what '%s' declares nonlocal" % (
            found.name, found.path, line, function)))
    not_own = set(NOT_OWN) | {name for name in bound if name[:2] == name[-2:] == "__"} | found.fallback | files.class_blocks(found.file.tree, nodes)
    replacing = set(map(id, new))
    not_own.update(name for name in bound if type(found.namespace[name]) is FunctionType
                   and id(found.namespace[name]) in replacing)
    found.own = frozenset(bound - not_own)
    runs = [each for obj in found.patch.objects for each in getattr(obj.callbacks, "runs", ())] if found.patch is not None else []
    elsewhere = {name for name in bound if any(found.namespace[name] is each for each in runs)}
    found.fallback = frozenset((found.fallback | found.file.stored(elsewhere)) - found.own - NOT_OWN)


def _function(namespace, name, found, say):
    """init or exit: only what the file itself defines as a function; a builtin `exit` is not in the namespace."""
    value = namespace.get(name)
    if value is None:
        return None
    if type(value) is not FunctionType:
        if found.livepatch:
            raise KlpError(EINVAL, say("%s: '%s' is no function" % (found.name, name)))
        return None
    return value


def _text(value):
    return value if isinstance(value, str) else None


def _failed(name, file, error, say):
    """The KlpError for what the file's top level has raised, and its one line."""
    if isinstance(error, KlpError) and error.strerror:
        return error  # logged already
    if not isinstance(error, Exception) and type(error).__module__.startswith("klpfs."):
        return error  # the agent stops us
    place, tb = None, error.__traceback__
    while tb is not None:
        if tb.tb_frame.f_code.co_filename == file.path:
            place = "%s:%d" % (file.path, tb.tb_lineno)
        tb = tb.tb_next
    try:
        words = str(error).split("\n")[0]
    except Exception:
        words = "(its text can't be had)"
    text = say("%s: %s: %s: %s" % (name, place or file.path, type(error).__name__, words))
    if isinstance(error, ImportError):
        return KlpError(ENOENT, text)
    if isinstance(error, OSError) and type(error.errno) is int and error.errno > 0:
        return KlpError(error.errno, text)
    return KlpError(EINVAL, text)


def _sayer(env):
    log = getattr(env, "log", None)

    def say(text):
        if log is not None:
            log.add(text, 3)
        return text
    return say


def _remember_lines(file):
    """Tracebacks and inspect.getsource show the file as it was given, whatever becomes of it on disk."""
    import linecache
    lines = file.text.splitlines(True)
    linecache.cache[file.path] = (len(file.text), None, lines, file.path)


def _forget_lines(file):
    import linecache
    linecache.cache.pop(file.path, None)
