"""The parts of a livepatch: struct klp_patch, klp_object, klp_func, klp_callbacks and klp_state.

The constructors are the border: they check types and make values plain (plain.py), so that the engine need not; what a
livepatch sets afterwards is checked once more when the patch is enabled (`freeze`), and from then on it can't be set:
the engine has written by it what it did, and finds it by it again. What needs a log line (names that
the tree cannot show, functions that the program has not) is checked then, too. Each class says which of its
fields are the author's, which are the engine's, and which the target's.

A livepatch of a main program's function `greet`, with callbacks around it, and of a method of the module `shop`:

>>> def greet(name):
...     return "Hello, " + name
>>> def total(self):
...     return sum(self.prices)
>>> def pre_patch(obj):
...     return 0
>>> Patch([Object(None, [Func("greet", greet)], Callbacks(pre_patch=pre_patch)),
...        Object("shop", [Func("Cart.total", total, fingerprint="3.12:5f0c")])], states=[State(1, version=2)])
<Patch not enabled>

A livepatch file gives such a Patch to enable_patch() in its init(), or binds it to the name `patch`.
"""
from __future__ import annotations

from types import FunctionType, MethodType

from klpfs.engine.names import VMLINUX
from klpfs.engine.plain import plain_int, plain_name

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Iterable, Sequence
    from typing import Any, TypeVar
    Kind = TypeVar("Kind")

    from klpfs.engine.target import Blocker
    Callback = Callable[["Object"], Any]

IMPLICIT = ("__init_subclass__", "__class_getitem__")   # class methods without a decorator
COMING, LIVE, GOING = "COMING", "LIVE", "GOING"


keep = object.__setattr__       # keep(part, field, value): the engine sets a fixed field


class Part:
    """A part of a livepatch whose FIXED fields can't be set while it is frozen: AttributeError. The engine sets them by
    `keep`. frozen: None, or the Patch that it is frozen for; of a State, which patches may share, True."""

    __slots__ = ("frozen",)

    FIXED: frozenset[str] = frozenset()
    frozen: object

    def __setattr__(self, field: str, value: object) -> None:
        if field in self.FIXED:
            self._may_change(field)
        keep(self, field, value)

    def __delattr__(self, field: str) -> None:
        self._may_change(field)
        object.__delattr__(self, field)

    def __setstate__(self, state: tuple[dict[str, Any] | None, dict[str, Any]]) -> None:
        """For copy.copy() and copy.deepcopy(): a copy's fields are those of the original, also when that is frozen."""
        for fields in state:
            for field, value in (fields or {}).items():
                keep(self, field, value)

    def _may_change(self, field: str) -> None:
        if getattr(self, "frozen", None) is not None:       # not yet there: a subclass sets it before our constructor
            raise AttributeError(f"{type(self).__name__}: {field} can't be changed once the patch is enabled")


class Mod:
    """A module as callbacks see it (struct module): name, and state: COMING, LIVE or GOING.

    >>> Mod("shop")
    Mod('shop', LIVE)
    """

    __slots__ = ("name", "state", "__weakref__")

    def __init__(self, name: str, state: str = LIVE) -> None:
        name = _str("Mod", "name", name)
        if state not in (COMING, LIVE, GOING):
            raise ValueError(f"Mod: state is COMING, LIVE or GOING, not {state!r}")
        self.name, self.state = name, state

    def __repr__(self) -> str:
        return f"Mod({self.name!r}, {self.state})"


class Func(Part):
    """A function that is to be replaced (struct klp_func).

    old_name: its qualified name in the object (`C.m`, `make.<locals>.h`). new_func: a plain function; of a class block
    also a method that Python itself makes a class method (IMPLICIT). old_sympos: 0, the name must be unique in the
    object; n >= 1, the n-th of that name in source order. fingerprint: the hash of the code that is replaced, str, or
    None to take any code; "3.11:HASH 3.12:HASH 3.12-O:HASH" where it is to fit several versions of Python, and programs
    that are run with -O or -OO. optional: the definition stands under a condition (a platform, a library that may be
    missing): in a program without it nothing is replaced.
    TypeError: a field of another type, or new_func is a method, a class, a builtin ...; ValueError: old_sympos is
    negative. An unknown name is refused (EINVAL) when the patch is enabled.

    >>> def total(self): return 0
    >>> Func("Cart.total", total, old_sympos=2)
    <Func Cart.total,2>
    >>> Func("total", len)                                              # doctest: +ELLIPSIS
    Traceback (most recent call last):
    TypeError: Func: new_func of 'total' is a plain function, written without decorators, not builtin_...

    The driver's: accepted_fingerprints (None, or those that the code may have because other processes had them when the
    patch was loaded).

    The engine's: obj, nop (stands for the original in an atomic replace), patched (it is on its function's stack),
    transition. The target's, opaque to the engine: definition (hashable, equal for all Funcs of one definition; None
    while the object is not loaded), new_code (what the new function became for it).
    """

    __slots__ = ("old_name", "new_func", "old_sympos", "fingerprint", "optional", "accepted_fingerprints",
                 "obj", "nop", "patched", "transition", "definition", "new_code", "__weakref__")
    FIXED = frozenset(("frozen", "old_name", "new_func", "old_sympos", "optional", "obj", "nop"))

    obj: Object | None
    patched: bool
    definition: Hashable | None
    new_code: Any

    def __init__(self, old_name: str, new_func: Callable[..., Any], old_sympos: int = 0, fingerprint: str | None = None,
                 optional: bool = False) -> None:
        old_name = _str("Func", "old_name", old_name)
        if (type(new_func) is MethodType and new_func.__func__.__name__ in IMPLICIT
                and isinstance(new_func.__self__, type)):
            new_func = new_func.__func__
        if type(new_func) is not FunctionType:
            raise TypeError(f"Func: new_func of '{old_name}' is a plain function, written without decorators, not "
                            f"{type(new_func).__name__}")
        old_sympos = _int("Func", "old_sympos", old_sympos)
        if old_sympos < 0:
            raise ValueError(f"Func: old_sympos of '{old_name}' is 0 (unique) or a position from 1")
        if fingerprint is not None:
            fingerprint = _str("Func", "fingerprint", fingerprint)
        self._init(old_name, new_func, old_sympos, fingerprint, False)
        self.optional = bool(optional)

    def _init(self, old_name: str, new_func: Callable[..., Any] | None, old_sympos: int, fingerprint: str | None,
              nop: bool) -> None:
        keep(self, "frozen", None)
        self.old_name, self.new_func = old_name, new_func
        self.old_sympos, self.fingerprint = old_sympos, fingerprint
        self.accepted_fingerprints: Iterable[str] | None = None
        self.optional = False
        self.obj = None
        self.nop = nop
        self.patched = self.transition = False
        self.definition = self.new_code = None

    @classmethod
    def make_nop(cls, like: Func) -> Func:
        """A nop for the definition of Func `like`: its new code is the original (klp_alloc_func_nop)."""
        func = cls.__new__(cls)
        func._init(like.old_name, None, like.old_sympos, None, True)
        return func

    def __repr__(self) -> str:
        patch = self.obj.patch if self.obj is not None else None
        of = f" of {patch.name}" if patch is not None and patch.name else ""
        return f"<Func {self.old_name},{self.old_sympos or 1}{of}{' nop' if self.nop else ''}>"


class Callbacks:
    """Functions to be called around an object's patching (struct klp_callbacks), each with the Object; None: nothing to
    call.

    pre_patch refuses by raising or by returning a negative errno; the results of the other three are not looked at.
    When each of them runs: engine/callbacks.py. TypeError: not callable.

    >>> def pre_patch(obj):
    ...     if obj.mod is not None and obj.mod.state != LIVE:
    ...         raise OSError(16, "not while it is being imported")     # 16: EBUSY
    >>> Callbacks(pre_patch=pre_patch).post_patch is None
    True

    A subclass may have more (ImportTime has all five): adds, names that its callbacks will put into the module, so new
    code may use them; runs, functions of the livepatch's file that its callbacks run in the module; divided, which
    gives the code that a new function of an Object is to have for the code that it has; replaced, a function to be
    called with the Object when a patch takes the place of this one, whose other callbacks then never run; in_the_way, a
    function that gives, for the Object, Blockers of a patching transition beside the target's.
    """

    __slots__ = ("pre_patch", "post_patch", "pre_unpatch", "post_unpatch")

    adds: frozenset[str] = frozenset()
    runs: Sequence[Callable[..., Any]] = ()
    replaced: Callback | None = None
    divided: Callable[[Object, Any], Any] | None = None
    in_the_way: Callable[[Object], list[Blocker]] | None = None

    def __init__(self, pre_patch: Callback | None = None, post_patch: Callback | None = None,
                 pre_unpatch: Callback | None = None, post_unpatch: Callback | None = None) -> None:
        for name, value in (("pre_patch", pre_patch), ("post_patch", post_patch),
                            ("pre_unpatch", pre_unpatch), ("post_unpatch", post_unpatch)):
            if value is not None and not callable(value):
                raise TypeError(f"Callbacks: {name} must be callable, not {type(value).__name__}")
        self.pre_patch, self.post_patch = pre_patch, post_patch
        self.pre_unpatch, self.post_unpatch = pre_unpatch, post_unpatch


class Object(Part):
    """A module to be patched (struct klp_object), or the main program: name None, shown as vmlinux.

    An object without functions may carry callbacks alone. TypeError: a field of another type; ValueError: a Func twice.

    >>> Object("shop", [Func("price", lambda: 0)]).shown, Object(None).shown
    ('shop', 'vmlinux')

    The engine's: patch, mod (Mod while a module is loaded; None
    for the main program), loaded, left_out (loaded, but it could not be patched and runs as it is), patched, dynamic
    (there for nops only), post_unpatch_enabled (pre_patch succeeded), stage (the last callback: None, 'pre_patch',
    'post_patch', 'pre_unpatch'), listed (what Engine.describe last said of funcs), exchanged (the funcs that are in
    force, and that the program has given other code since).
    """

    __slots__ = ("name", "funcs", "callbacks",
                 "patch", "mod", "loaded", "left_out", "patched", "dynamic", "post_unpatch_enabled", "stage", "listed",
                 "exchanged", "__weakref__")
    FIXED = frozenset(("frozen", "name", "funcs", "callbacks", "patch", "dynamic"))

    funcs: Sequence[Func]           # a list until the patch is enabled, then a tuple
    patch: Patch | None
    mod: Mod | None
    loaded: bool
    left_out: bool
    patched: bool
    dynamic: bool
    post_unpatch_enabled: bool
    stage: str | None

    def __init__(self, name: str | None, funcs: Iterable[Func] = (), callbacks: Callbacks | None = None) -> None:
        keep(self, "frozen", None)
        if name is not None:
            name = _str("Object", "name", name)
        self.name = name
        self.funcs = _list("Object", "funcs", funcs, Func)
        if callbacks is not None:
            _check("Object", "callbacks", callbacks, Callbacks)
        self.callbacks = callbacks
        self.patch = None
        self.listed: tuple[Sequence[Func], str] = ((), "")
        self.exchanged: frozenset[Func] = frozenset()
        self.mod = None
        self.loaded = self.left_out = self.patched = self.dynamic = self.post_unpatch_enabled = False
        self.stage = None

    @property
    def shown(self) -> str:
        """The object's name in the tree and the log: 'vmlinux' for the main program."""
        return VMLINUX if self.name is None else self.name

    def __repr__(self) -> str:
        return f"<Object {self.shown}{' of ' + self.patch.name if self.patch and self.patch.name else ''}>"


class State(Part):
    """A system state that a patch changes (struct klp_state): id and version are ints, data is the callbacks' own.

    A patch of a lower version of a state than one in force is refused (EINVAL), see is_patch_compatible. TypeError: no
    ints.

    >>> state = State(1, version=2)
    >>> state.data = "what the next patch needs to know"
    >>> state
    State(1, version=2)
    """

    __slots__ = ("id", "version", "data", "__weakref__")
    FIXED = frozenset(("frozen", "id", "version"))

    def __init__(self, id: int, version: int = 0, data: Any = None) -> None:
        keep(self, "frozen", None)
        self.id, self.version, self.data = _int("State", "id", id), _int("State", "version", version), data

    def __repr__(self) -> str:
        return f"State({self.id}, version={self.version})"


class Patch(Part):
    """A livepatch (struct klp_patch): its objects, whether it takes the place of all earlier patches, its system
    states.

    TypeError: a field of another type; ValueError: the same Object or State twice. AttributeError: a field of it, or of
    its objects, funcs and states, is set or deleted while the patch is enabled (what the functions of a Callbacks are
    may change: they are called by name).

    >>> Patch([Object("shop")], replace=True).replace
    True
    >>> Patch("shop")
    Traceback (most recent call last):
    TypeError: Patch: objects must be a list of Object

    The engine's: name (its module's; None until enabled), mod (Mod), enabled, forced (a transition was forced while
    its code could still run: its module is never unloaded).
    """

    __slots__ = ("objects", "replace", "states", "name", "mod", "enabled", "forced", "__weakref__")
    FIXED = frozenset(("frozen", "objects", "replace", "states", "name", "mod"))

    objects: Sequence[Object]       # a list until the patch is enabled, then a tuple
    name: str | None
    mod: Mod | None
    enabled: bool
    forced: bool

    def __init__(self, objects: Iterable[Object], replace: bool = False, states: Iterable[State] = ()) -> None:
        keep(self, "frozen", None)
        self.objects = _list("Patch", "objects", objects, Object)
        _check("Patch", "replace", replace, (bool, int))
        self.replace = bool(replace)
        self.states = tuple(_list("Patch", "states", states, State))
        self.name = self.mod = None
        self.enabled = self.forced = False

    def __repr__(self) -> str:
        return f"<Patch {self.name or 'not enabled'}>"


def freeze(patch: Patch) -> None:
    """Checks the author's fields of a patch again, and makes them plain and fixed: they could be set to anything until
    now. Counterpart: thaw. TypeError, ValueError, and nothing is fixed: as the constructors; AttributeError: a field is
    not there."""
    try:
        keep(patch, "frozen", patch)        # each part before its fields are read: other threads may set them
        keep(patch, "objects", tuple(_list("Patch", "objects", patch.objects, Object)))
        keep(patch, "replace", patch.replace is True)
        keep(patch, "states", tuple(_list("Patch", "states", patch.states, State)))
        for state in patch.states:
            keep(state, "frozen", True)
            keep(state, "id", _int("State", "id", state.id))
            keep(state, "version", _int("State", "version", state.version))
        for obj in patch.objects:
            _freeze_object(patch, obj)
    except (AttributeError, TypeError, ValueError):
        thaw(patch)
        raise


def _freeze_object(patch: Patch, obj: Object) -> None:
    _freeze_for(patch, obj)
    keep(obj, "name", None if obj.name is None else _str("Object", "name", obj.name))
    keep(obj, "funcs", tuple(_list("Object", "funcs", obj.funcs, Func)))
    if obj.callbacks is not None:
        _check("Object", "callbacks", obj.callbacks, Callbacks)
    for func in obj.funcs:
        _freeze_for(patch, func)
        keep(func, "old_name", _str("Func", "old_name", func.old_name))
        keep(func, "old_sympos", _int("Func", "old_sympos", func.old_sympos))
        if func.fingerprint is not None:
            func.fingerprint = _str("Func", "fingerprint", func.fingerprint)
        if not func.nop and type(func.new_func) is not FunctionType:
            raise TypeError(f"Func: new_func of '{func.old_name}' is a plain function")


def _freeze_for(patch: Patch, part: Object | Func) -> None:
    if part.frozen is not None and part.frozen is not patch:
        raise ValueError(f"{type(part).__name__} of a patch that is enabled already")
    keep(part, "frozen", patch)


def thaw(patch: Patch) -> None:
    """The fields of a patch that is out of force may be set again, but for its states, which other patches may share.
    Never fails."""
    keep(patch, "frozen", None)
    for obj in _members(patch, "objects", Object):
        if obj.frozen is patch:
            keep(obj, "frozen", None)
        for func in _members(obj, "funcs", Func):
            if func.frozen is patch:
                keep(func, "frozen", None)


def _members(part: Any, field: str, kind: Any) -> list[Any]:
    """What a field lists, of this kind: the field may have been set to anything."""
    values: Any = getattr(part, field, None)
    return [value for value in values if issubclass(type(value), kind)] if type(values) in (list, tuple) else []


def _str(owner: str, field: str, value: str) -> str:
    _check(owner, field, value, str)
    return plain_name(value)


def _int(owner: str, field: str, value: int) -> int:
    _check(owner, field, value, int)
    return plain_int(value)


def _check(owner: str, field: str, value: object, kind: Any) -> None:
    if not issubclass(type(value), kind) or kind is int and type(value) is bool:
        expected = kind.__name__ if isinstance(kind, type) else kind[0].__name__
        raise TypeError(f"{owner}: {field} must be {expected}, not {type(value).__name__}")


def _list(owner: str, field: str, values: Iterable[Kind], kind: type[Kind]) -> list[Kind]:
    if isinstance(values, (str, bytes)):
        raise TypeError(f"{owner}: {field} must be a list of {kind.__name__}")
    found = list(values)
    for value in found:
        _check(owner, "each of " + field, value, kind)
    if len({id(value) for value in found}) < len(found):
        raise ValueError(f"{owner}: {field} has the same {kind.__name__} twice")
    return found
