"""What a livepatch is made of: struct klp_patch, klp_object, klp_func, klp_callbacks and klp_state.

The constructors are the border: they check types, so that the engine need not. What needs a log line (names that the
tree cannot show, functions that are not there) is checked when the patch is enabled. Each class says which of its
fields are the author's, which are the engine's, and which the target's.
"""
from types import FunctionType, MethodType

IMPLICIT = ("__init_subclass__", "__class_getitem__")   # class methods without a decorator
COMING, LIVE, GOING = "COMING", "LIVE", "GOING"


class Mod:
    """A module as callbacks see it (struct module): name, and state: COMING, LIVE or GOING."""

    __slots__ = ("name", "state", "__weakref__")

    def __init__(self, name, state=LIVE):
        _check("Mod", "name", name, str)
        if state not in (COMING, LIVE, GOING):
            raise ValueError("Mod: state is COMING, LIVE or GOING, not %r" % (state,))
        self.name, self.state = name, state

    def __repr__(self):
        return "Mod(%r, %s)" % (self.name, self.state)


class Func:
    """One function to be replaced (struct klp_func).

    old_name: its qualified name in the object (`C.m`, `make.<locals>.h`). new_func: a plain function; of a class block also
    what Python itself makes a class method (IMPLICIT). old_sympos: 0,
    the name must be unique in the object; n >= 1, the n-th in source order. fingerprint: the hash of the code that it
    replaces, str, or None to take what is found; "3.11:HASH 3.12:HASH" where it is to fit several versions of Python.
    optional: the definition stands under a condition (a platform, a library that may be missing): where the program has none,
    there is nothing to replace.
    fits: whoever drives the engine sets it: None, or the fingerprints that the code may have because other processes had
    them when the patch was loaded.

    The engine's: obj, nop (stands for the original in an atomic replace), patched (it is on its function's stack),
    transition. The target's, opaque to the engine: definition (hashable, equal for all Funcs of one definition; None
    while the object is not loaded), version.
    """

    __slots__ = ("old_name", "new_func", "old_sympos", "fingerprint", "optional", "fits",
                 "obj", "nop", "patched", "transition", "definition", "version", "__weakref__")

    def __init__(self, old_name, new_func, old_sympos=0, fingerprint=None, optional=False):
        _check("Func", "old_name", old_name, str)
        if type(new_func) is MethodType and new_func.__func__.__name__ in IMPLICIT and isinstance(new_func.__self__, type):
            new_func = new_func.__func__
        if type(new_func) is not FunctionType:
            raise TypeError("Func: new_func of '%s' is a plain function, written without decorators, not %s"
                            % (old_name, type(new_func).__name__))
        _check("Func", "old_sympos", old_sympos, int)
        if old_sympos < 0:
            raise ValueError("Func: old_sympos of '%s' is 0 (unique) or a position from 1" % old_name)
        if fingerprint is not None:
            _check("Func", "fingerprint", fingerprint, str)
        self._init(old_name, new_func, old_sympos, fingerprint, False)
        self.optional = bool(optional)

    def _init(self, old_name, new_func, old_sympos, fingerprint, nop):
        self.old_name, self.new_func = old_name, new_func
        self.old_sympos, self.fingerprint = old_sympos, fingerprint
        self.fits, self.optional = None, False
        self.obj = None
        self.nop = nop
        self.patched = self.transition = False
        self.definition = self.version = None

    @classmethod
    def make_nop(cls, like):
        """A nop for the definition of Func `like`: its new code is the original (klp_alloc_func_nop)."""
        func = cls.__new__(cls)
        func._init(like.old_name, None, like.old_sympos, None, True)
        return func

    def __repr__(self):
        name = "%s,%d" % (self.old_name, self.old_sympos or 1)
        patch = self.obj.patch if self.obj is not None else None
        return "<Func %s%s%s>" % (name, " of " + patch.name if patch is not None and patch.name else "",
                                  " nop" if self.nop else "")


class Callbacks:
    """What to call around an object's patching (struct klp_callbacks); each is called with the Object, or None.

    pre_patch refuses by raising or by returning a negative errno; the results of the others are not looked at.
    """

    __slots__ = ("pre_patch", "post_patch", "pre_unpatch", "post_unpatch")

    adds = frozenset()  # names that the callbacks will put into the module: new code may use them
    runs = ()           # functions of the livepatch's file that the callbacks run in the module
    replaced = None     # called with the Object when another patch takes the place of this one

    def __init__(self, pre_patch=None, post_patch=None, pre_unpatch=None, post_unpatch=None):
        for name, value in (("pre_patch", pre_patch), ("post_patch", post_patch),
                            ("pre_unpatch", pre_unpatch), ("post_unpatch", post_unpatch)):
            if value is not None and not callable(value):
                raise TypeError("Callbacks: %s must be callable, not %s" % (name, type(value).__name__))
        self.pre_patch, self.post_patch = pre_patch, post_patch
        self.pre_unpatch, self.post_unpatch = pre_unpatch, post_unpatch


class Object:
    """A module to be patched (struct klp_object), or the main program: name None, shown as vmlinux.

    An object without functions may carry callbacks alone. The engine's: patch, mod (Mod while a module is loaded; None
    for the main program), loaded, left_out (loaded, but it could not be patched and runs as it is), patched, dynamic
    (there for nops only), post_unpatch_enabled (pre_patch succeeded), stage (the last callback: None, 'pre_patch',
    'post_patch', 'pre_unpatch'), listed (what Engine.describe last said of funcs).
    """

    __slots__ = ("name", "funcs", "callbacks",
                 "patch", "mod", "loaded", "left_out", "patched", "dynamic", "post_unpatch_enabled", "stage", "listed",
                 "__weakref__")

    def __init__(self, name, funcs=(), callbacks=None):
        if name is not None:
            _check("Object", "name", name, str)
        self.name = name
        self.funcs = _list("Object", "funcs", funcs, Func)
        if callbacks is not None:
            _check("Object", "callbacks", callbacks, Callbacks)
        self.callbacks = callbacks
        self.patch = None
        self.listed = ((), "")
        self.mod = None
        self.loaded = self.left_out = self.patched = self.dynamic = self.post_unpatch_enabled = False
        self.stage = None

    @property
    def shown(self):
        """Its name in the tree and the log: 'vmlinux' for the main program."""
        return "vmlinux" if self.name is None else self.name

    def __repr__(self):
        return "<Object %s%s>" % (self.shown, " of " + self.patch.name if self.patch and self.patch.name else "")


class State:
    """A system state that a patch changes (struct klp_state): id and version are ints, data is the callbacks' own."""

    __slots__ = ("id", "version", "data", "__weakref__")

    def __init__(self, id, version=0, data=None):
        _check("State", "id", id, int)
        _check("State", "version", version, int)
        self.id, self.version, self.data = id, version, data

    def __repr__(self):
        return "State(%d, version=%d)" % (self.id, self.version)


class Patch:
    """A livepatch (struct klp_patch): its objects, whether it takes the place of all earlier ones, its system states.

    The engine's: name (its module's; None until enabled), mod (Mod), enabled, forced (a transition was forced while
    its code could still run: its module is never unloaded).
    """

    __slots__ = ("objects", "replace", "states", "name", "mod", "enabled", "forced", "__weakref__")

    def __init__(self, objects, replace=False, states=()):
        self.objects = _list("Patch", "objects", objects, Object)
        _check("Patch", "replace", replace, (bool, int))
        self.replace = bool(replace)
        self.states = tuple(_list("Patch", "states", states, State))
        self.name = self.mod = None
        self.enabled = self.forced = False

    def __repr__(self):
        return "<Patch %s>" % (self.name or "not enabled")


def _check(owner, field, value, kind):
    if not isinstance(value, kind) or kind is int and isinstance(value, bool):
        expected = kind.__name__ if isinstance(kind, type) else kind[0].__name__
        raise TypeError("%s: %s must be %s, not %s" % (owner, field, expected, type(value).__name__))


def _list(owner, field, values, kind):
    if isinstance(values, (str, bytes)):
        raise TypeError("%s: %s must be a list of %s" % (owner, field, kind.__name__))
    found = list(values)
    for value in found:
        _check(owner, "each of " + field, value, kind)
    if len({id(value) for value in found}) < len(found):
        raise ValueError("%s: %s has the same %s twice" % (owner, field, kind.__name__))
    return found
