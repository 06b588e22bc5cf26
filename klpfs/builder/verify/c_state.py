"""The state of C objects that no attribute shows: what their own C methods say of it, asked of exact types of the
interpreter and its library alone; and state of the process that some modules keep in C.

Nothing of the program runs: a method is taken from the C type itself, whatever a subclass has for it.
"""
from __future__ import annotations

import collections
import gc
import sys
import types
import weakref
from collections.abc import Iterator
from typing import Any, Callable

from klpfs.builder.verify import raw_parts
from klpfs.builder.verify.code_signs import digest

Parts = list[tuple[str, Any]]       # [(what, value)]; a value may be any object

# Types and what is asked of their objects: a getset, or a method without arguments.
_ASKED = {
    "builtins.BaseException": "args __cause__ __context__",
    "builtins.memoryview": "obj format shape readonly tobytes()",
    "collections.deque": "maxlen",
    "array.array": "typecode tobytes()",
    "_io.BytesIO": "getvalue() tell()",
    "_io.StringIO": "getvalue() tell()",
    "_struct.Struct": "format",
    "decimal.Context": "__reduce__()",
    "re.Match": "regs",
    "_random.Random": "getstate()",
    "_hashlib.HASH": "name hexdigest()",
    "_socket.socket": "timeout",
    "_ssl._SSLContext": "options verify_mode verify_flags minimum_version maximum_version check_hostname _host_flags "
                        "protocol post_handshake_auth sni_callback num_tickets security_level keylog_filename "
                        "get_ciphers() cert_store_stats()",
}
_samples: list[Any] = [[], (), {}, {}.values(), {}.items(), set(), "", "é", b"", bytearray(), range(0), range(1 << 70)]
_reversible: list[Any] = [[], {}, {}.values(), {}.items()]
_ITERATORS = frozenset((*(type(iter(each)) for each in _samples), *(type(reversed(each)) for each in _reversible)))
_GENERATORS = {types.GeneratorType: "gi", types.CoroutineType: "cr", types.AsyncGeneratorType: "ag"}
_LONG = 200             # characters or members, then a hash stands for the rest
# Objects that nobody can see into, and in which there is nothing that a release decides.
_STATELESS = frozenset(("builtins.object", "_thread.lock", "_thread.RLock", "builtins.PyCapsule",
                        "_thread._localdummy", "_io.FileIO",
                        "_thread._ThreadHandle", "_abc._abc_data", "functools._lru_cache_wrapper",
                        "builtins.builtin_method", "_io.TextIOWrapper", "builtins.frame", "builtins.traceback"))

# State that modules keep in C: the names of functions without arguments.
_OF_MODULES = {
    "atexit": "_ncallbacks", "sys": "getrecursionlimit getswitchinterval gettrace getprofile",
    "gc": "isenabled get_threshold", "_socket": "getdefaulttimeout", "faulthandler": "is_enabled",
    "_csv": "list_dialects field_size_limit", "_locale": "localeconv",
}


def types_by_name() -> dict[type, str]:
    """{C type: what is asked of its objects}, of the types that are there."""
    found: dict[type, str] = {}
    for name, parts in _ASKED.items():
        module, _, short = name.rpartition(".")
        cls = _dict_of(module).get(short)
        if cls is not None and raw_parts.is_class(cls):
            found[cls] = parts
    return found


def _dict_of(module: str) -> dict[Any, Any]:
    found: Any = sys.modules.get(module)
    return raw_parts.dict_of_module(found) if issubclass(type(found), types.ModuleType) else {}


def is_librarys(kind: type, name: str) -> bool:
    """Whether a class is the one that a module of this name has, and not one that is only called so."""
    module, _, short = name.rpartition(".")
    return raw_parts.is_of_c(kind) or _dict_of(module).get(short) is kind


def is_stateless(name: str) -> bool:
    """Whether objects of a C type, by its name, hold nothing that a release decides."""
    return name in _STATELESS or name.startswith("klpfs.")


def parts_of(obj: Any, asked: dict[type, str]) -> Parts:
    """What the C types among an object's bases say of it. asked: as types_by_name() has it."""
    kind = type(obj)
    if kind in _GENERATORS:
        return _generator(obj, kind, _GENERATORS[kind])
    if kind in _ITERATORS:
        return [("left", kind.__length_hint__(obj)), *_referents(obj)]
    if kind is _REPEAT:
        return [("left", _hint(obj)), *_referents(obj)]
    if kind is _CONTEXT_VAR:
        value = kind.get(obj, None)
        return [("value", value), *((f"default {at}", each) for at, (_, each) in enumerate(_referents(obj)))]
    if kind is _LOCAL:          # a subclass's __init__ would run in a thread that has not used it
        return [("__dict__", kind.__getattribute__(obj, "__dict__"))]
    found: Parts = []
    for base in raw_parts.mro(kind):
        if base in asked:
            found += _asked_of(obj, base, asked[base])
    return found


def _asked_of(obj: Any, base: type, names: str) -> Parts:
    found: Parts = []
    space = raw_parts.class_dict(base)
    for name in names.split():
        getter = space.get(name.rstrip("()"))
        if getter is None:
            continue
        try:
            value = getter(obj) if name.endswith("()") else getter.__get__(obj, base)
        except Exception:       # a closed file, a context without a server
            continue
        found.append((name, _short(_fixed(value)) if name.endswith("()") else value))
    return found


def _fixed(value: Any) -> Any:
    """A value that a method has made anew, without what has an identity."""
    if type(value) is dict:
        value = sorted(value.items(), key=repr)
    return tuple(map(_fixed, value)) if type(value) in (list, tuple) else value


def _short(value: Any) -> Any:
    """A value of C's, long ones as a hash."""
    if type(value) is tuple and len(value) > 8:
        return f"{len(value)} {digest(repr(value))}"        # C has made it, of plain values
    if type(value) in (str, bytes) and len(value) > _LONG:
        return f"{len(value)} {digest(repr(value))}"
    return value


def _generator(obj: Any, kind: type, prefix: str) -> Parts:
    """Where a generator stands, and its variables."""
    space = raw_parts.class_dict(kind)
    frame = space[f"{prefix}_frame"].__get__(obj, kind)
    found: Parts = [("code", space[f"{prefix}_code"].__get__(obj, kind))]
    if frame is None:
        return [*found, ("ended", True)]
    return [*found, ("at", frame.f_lasti), *((f"<{name}>", value) for name, value in dict(frame.f_locals).items())]


def _referents(obj: Any) -> Parts:
    return [(f"ref{number}", each) for number, each in enumerate(gc.get_referents(obj)) if each is not type(obj)]


def _hint(obj: Any) -> Any:
    try:
        return type(obj).__length_hint__(obj)
    except TypeError:           # of repeat() without an end
        return None


def _from(module: str, name: str) -> Any:
    return _dict_of(module).get(name)


_REPEAT = type(__import__("itertools").repeat(0))
_CONTEXT_VAR: Any = type(__import__("contextvars").ContextVar("klpfs"))


_LOCAL: Any = _from("_thread", "_local")


def is_seen(kind: type, asked: dict[type, str]) -> bool:
    """Whether parts_of() says all there is of objects of exactly this type."""
    return kind in asked or kind in _GENERATORS or kind in _ITERATORS or kind in (_REPEAT, _CONTEXT_VAR, _LOCAL)


def ordered(table: dict[Any, Any]) -> list[Any]:
    """The keys of an OrderedDict in its own order: move_to_end() leaves the dict's. The order in which C visits them:
    to look one up would run its hash."""
    keys = list(dict.keys(table))
    ids = {id(key): key for key in keys}
    found: dict[int, Any] = {}
    for each in gc.get_referents(table):
        if id(each) in ids and id(each) not in found:
            found[id(each)] = each
            if len(found) == len(ids):
                return list(found.values())
    return keys


def is_ordered(kind: type) -> bool:
    """Whether a class is an OrderedDict of C."""
    return issubclass(kind, collections.OrderedDict)


def callback_of(reference: Any) -> Any:
    """What a weak reference calls in the end."""
    getter = raw_parts.class_dict(weakref.ref).get("__callback__")
    return getter.__get__(reference, type(reference)) if getter is not None else None


def of_module(name: Any) -> Iterator[tuple[str, Any]]:
    """(what, value) of the state that a module of the library keeps in C."""
    space = _dict_of(name) if type(name) is str else {}
    for each in _OF_MODULES.get(name, "").split():
        function: Callable[[], Any] | None = space.get(each)
        if type(function) is types.BuiltinFunctionType:
            yield f"{each}()", _fixed(function())
    if name == "_signal":
        for number in sorted(space["valid_signals"]()):
            yield f"handler of {int(number)}", space["getsignal"](number)
