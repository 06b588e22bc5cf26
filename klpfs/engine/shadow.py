"""Shadow variables (kernel/livepatch/shadow.c, shadow-vars.txt): extra data attached to objects that exist already.

A variable is known by an object, by identity, and an id number. It goes with its object; an object that takes no weak
reference is held until its variable is freed (so is one that its own data refers to). Variables outlive the patch
that made them on purpose: the next one may take them over.

>>> class Session: pass
>>> session = Session()
>>> alloc(session, 1, lambda session, limit: {"left": limit}, 10)
{'left': 10}
>>> get(session, 1)["left"]
10
>>> free(session, 1); get(session, 1) is None
True

The kernel holds a lock while a constructor runs. Here no lock is held while foreign code runs: an entry under
construction is in the table already, so that a constructor runs once; other threads wait for it. The table is only
touched by single C operations on keys of ints, so a collection in the middle of an operation may safely bring us back
here.
"""
from __future__ import annotations

from _thread import allocate_lock, get_ident
from _weakref import ref
from errno import EDEADLK, EINVAL

from klpfs.engine.error import KlpError
from klpfs.engine.log import pr_err, pr_warn

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from klpfs.engine.log import Log
    Constructor = Callable[[Any, Any], Any]     # called with the object and ctor_data
    Destructor = Callable[[Any, Any], object]   # called with the object and the data
    Key = tuple[int, int]                       # id() of the object, the variable's id

log: Log | None = None  # of this process's engine

_VALUES = (type(None), int, float, complex, str, bytes)  # shared or made anew at will: their identity means nothing
_table: dict[Key, _Entry] = {}


class _Entry:
    """A variable. kept: the object, if it takes no weak reference."""

    __slots__ = ("ref", "kept", "data", "ready", "owner", "done", "claim")

    def __init__(self) -> None:
        self.ref: _Ref | None = None
        self.kept: Any = None
        self.data: Any = None
        self.ready = False
        self.claim = [True]  # the thread that pops it frees the variable
        self.owner = get_ident()
        self.done = allocate_lock()  # held while the constructor runs
        self.done.acquire()

    def object(self) -> Any:
        return self.kept if self.ref is None else self.ref()


class _Ref(ref):
    __slots__ = ("key",)
    key: Key


def _gone(reference: _Ref, pop: Callable[..., Any] = _table.pop) -> None:
    pop(reference.key, None)  # its address cannot be in use again before this returns


def get(obj: Any, id: int) -> Any:
    """klp_shadow_get: the variable's data, None if obj has no such variable (yet). EINVAL as for alloc."""
    entry = _table.get(_key(obj, id))
    return entry.data if entry is not None and entry.ready else None


def alloc(obj: Any, id: int, ctor: Constructor | None = None, ctor_data: Any = None) -> Any:
    """klp_shadow_alloc: attaches new data to obj, `ctor(obj, ctor_data)` (or ctor_data), and returns the data.

    None, with a warning in the log, when obj has the variable already. EINVAL: obj is a number, a string or None, or id
    is no int. EDEADLK: called for the same variable by its own constructor. What ctor raises is raised, nothing is
    attached.

    >>> class Session: pass
    >>> session = Session()
    >>> alloc(session, 2, ctor_data=[]), alloc(session, 2, ctor_data=[])
    ([], None)
    >>> alloc("a string", 2)
    Traceback (most recent call last):
    klpfs.engine.error.KlpError: EINVAL
    """
    data, made = _get_or_alloc(obj, id, ctor, ctor_data)
    if made:
        return data
    if log is not None:
        pr_warn(log, "Duplicate shadow variable <%x, %x>" % _key(obj, id))
    return None


def get_or_alloc(obj: Any, id: int, ctor: Constructor | None = None, ctor_data: Any = None) -> Any:
    """klp_shadow_get_or_alloc: the data that obj has, or as alloc. In a race ctor runs once, other threads wait for it.

    >>> class Session: pass
    >>> session = Session()
    >>> get_or_alloc(session, 3, ctor_data=[]).append("first")
    >>> get_or_alloc(session, 3, ctor_data=[])
    ['first']
    """
    return _get_or_alloc(obj, id, ctor, ctor_data)[0]


def free(obj: Any, id: int, dtor: Destructor | None = None) -> None:
    """klp_shadow_free: detaches the variable if obj has it, then calls `dtor(obj, data)`. EINVAL as for alloc."""
    key = _key(obj, id)
    entry = _table.get(key)
    if entry is not None and entry.ready:
        _free(key, entry, obj, dtor)


def free_all(id: int, dtor: Destructor | None = None) -> None:
    """klp_shadow_free_all: frees the variables of that id of all objects; the first error of a dtor is raised last.

    >>> class Session: pass
    >>> session = Session()
    >>> alloc(session, 4, ctor_data="token")
    'token'
    >>> free_all(4, lambda session, data: print("freed", data))
    freed token
    """
    failed: Exception | None = None
    for key, entry in list(_table.items()):
        if key[1] == id and entry.ready:
            obj = entry.object()
            if obj is not None:  # else it is dying, its variable goes with it
                try:
                    _free(key, entry, obj, dtor)
                except Exception as error:
                    failed = failed or error
    if failed is not None:
        raise failed


def after_fork() -> None:
    """In a child: constructors that other threads of the parent were running never return here."""
    me = get_ident()
    for key, entry in list(_table.items()):
        if not entry.ready and entry.owner != me:
            _table.pop(key, None)


def _key(obj: Any, id_: int) -> Key:
    if issubclass(type(obj), _VALUES) or not issubclass(type(id_), int):
        raise KlpError(EINVAL)
    return (id(obj), int(id_))


def _get_or_alloc(obj: Any, id_: int, ctor: Constructor | None, ctor_data: Any) -> tuple[Any, bool]:
    key = _key(obj, id_)
    mine: _Entry | None = None
    while True:
        entry = _table.get(key)
        if entry is None:
            mine = mine or _Entry()
            entry = _table.setdefault(key, mine)
            if entry is mine:
                return _construct(key, mine, obj, ctor, ctor_data), True
        if entry.ready:
            return entry.data, False
        if entry.owner == get_ident():
            raise KlpError(EDEADLK)
        entry.done.acquire()
        entry.done.release()


def _construct(key: Key, entry: _Entry, obj: Any, ctor: Constructor | None, ctor_data: Any) -> Any:
    try:
        data = ctor_data if ctor is None else ctor(obj, ctor_data)
        try:
            entry.ref = _Ref(obj, _gone)
            entry.ref.key = key
        except TypeError:
            entry.kept = obj
        entry.data = data
        entry.ready = True
        return data
    except BaseException as error:
        _table.pop(key, None)
        if log is not None:
            code = error.errno if isinstance(error, OSError) and error.errno else EINVAL
            pr_err(log, "Failed to construct shadow variable <%x, %x> (%d)" % (key + (-code,)))
        raise
    finally:
        entry.done.release()


def _free(key: Key, entry: _Entry, obj: Any, dtor: Destructor | None) -> None:
    try:
        entry.claim.pop()
    except IndexError:
        return  # another thread frees it
    _table.pop(key, None)
    if dtor is not None:
        dtor(obj, entry.data)
