"""Words for objects that are the same in two processes: plain values, names of classes and functions, keys of dicts and
sets. No identity is in them: no address, no folder, no number that stands for an object."""
from __future__ import annotations

import functools
import gc
import sys
import types
import weakref
from typing import Any, Callable

from klpfs.builder.verify import raw_parts
from klpfs.builder.verify.code_signs import PLAIN, CodeSigns, digest

NAMED_BY_C = (types.GetSetDescriptorType, types.MemberDescriptorType, types.MethodDescriptorType,
              types.WrapperDescriptorType, types.ClassMethodDescriptorType)
_MOST = 400             # characters of a value's text, then a hash stands for the rest
_MOST_BITS = 10_000     # of a number that is written in digits
_SHOWN = 300            # of them
_WHOLE_MOST = 4000
_KEY_MOST = 300
_ADDRESSES = range(1 << 44, 1 << 48, 8)     # where objects lie; a key that is one and is that of an object is its id()
_UNDER: tuple[tuple[type, Callable[[Any], Any]], ...] = (
    (str, str.__str__), (bool, bool.__repr__), (int, int.__repr__), (float, float.__repr__), (bytes, bytes.__repr__),
    (complex, complex.__repr__), (bytearray, bytearray.__repr__))
_PATHS = frozenset(f"{module}.{name}" for module in ("pathlib", "pathlib._local")
                   for name in ("PurePosixPath", "PosixPath", "PureWindowsPath", "WindowsPath"))


def name_of(obj: Any) -> str:
    """module.qualname of a class or a function; of any other object that of its class."""
    if raw_parts.is_class(obj):
        module = raw_parts.module_of(obj)
        return f"{module if type(module) is str else '?'}.{raw_parts.qualname_of(obj)}"
    if type(obj) is types.FunctionType:
        return f"{obj.__module__ if type(obj.__module__) is str else '?'}.{obj.__qualname__}"
    return name_of(type(obj))


def name_in_c(obj: Any) -> str:
    """The name of a method, descriptor or function of C."""
    if type(obj) in NAMED_BY_C:
        return f"{name_of(obj.__objclass__)}.{obj.__name__}"
    module = obj.__module__
    return f"{module if type(module) is str else ''}.{obj.__qualname__}"


class Words:
    """tree, home: the folder that the package lies in, and that of whom it runs for; in all texts they become `<tree>`
    and `<home>`, for the other process has others. signs: of codes."""

    def __init__(self, tree: str, signs: CodeSigns, home: str = "") -> None:
        self.tree, self.signs, self.home = tree, signs, home
        self._ids_known: set[int] = set()

    def _ids(self) -> set[int]:
        """Identities of all objects that the collector knows; those of others are found to be of chance (chance.py)."""
        if not self._ids_known:
            self._ids_known.update(map(id, gc.get_objects()))
        return self._ids_known

    def path(self, path: str) -> str:
        """A file's path."""
        path = path.replace(self.tree, "<tree>") if self.tree else path
        return path.replace(self.home, "<home>") if self.home else path

    def _elsewhere(self, value: Any) -> Any:
        """A value as every process has it."""
        if type(value) is str:
            return self.path(value)
        return self.path(value.decode("latin-1")).encode("latin-1") if type(value) is bytes and self.home else value

    def _text(self, value: Any) -> str:
        """The whole text of a plain value. Python writes no very large number in digits, unless it is asked to."""
        return hex(value) if type(value) is int and value.bit_length() > _MOST_BITS else repr(self._elsewhere(value))

    def value(self, value: Any) -> str:
        """A plain value, of one of the types PLAIN."""
        text = self._text(value)
        return text if len(text) < _MOST else f"{text[:_SHOWN]}...{len(text)} {digest(text)}"

    def whole(self, value: Any, text: str) -> str | int:
        """The whole text of a plain value whose text is cut, if it is not too long; else 0."""
        if len(text) <= _SHOWN:
            return 0
        whole = self._text(value)
        return whole if text != whole and len(whole) <= _WHOLE_MOST else 0

    def of_path(self, obj: Any) -> str | None:
        """What one of pathlib's paths holds, which keeps it in parts, whole texts and caches; None: it is none."""
        kind = type(obj)
        name = name_of(kind)
        if name not in _PATHS:
            return None
        module, _, short = name.rpartition(".")
        found: Any = sys.modules.get(module)
        if not issubclass(type(found), types.ModuleType):
            return None
        is_one = raw_parts.dict_of_module(found).get(short) is kind
        return f"{name} {self.value(kind.__fspath__(obj))}" if is_one else None

    def under(self, obj: Any) -> str | None:
        """What an instance of a subclass of str, int and the like holds; None: it is of no such class."""
        for base, plain in _UNDER:
            if issubclass(type(obj), base):
                held = plain(obj)
                return self.value(held) if base is str else str(held)
        return None

    def key(self, obj: Any, depth: int = 3) -> str:
        """The name of a dict's key or a set's member: by type and what it holds, `depth` levels deep."""
        kind = type(obj)
        if kind in PLAIN:
            return "#" if kind is int and obj in _ADDRESSES and obj in self._ids() else self.value(obj)
        if raw_parts.is_class(obj) or kind is types.FunctionType:
            return name_of(obj)
        if kind is types.CodeType:
            return f"code of {obj.co_name} {self.signs.loose(obj)[:8]}"
        for base in (tuple, frozenset, set, list):
            if issubclass(kind, base) and depth:
                inner = [self.key(each, depth - 1) for each in base.__iter__(obj)]
                ordered = inner if base in (tuple, list) else sorted(inner)
                return f"{raw_parts.qualname_of(kind)}({', '.join(ordered)})"
        if issubclass(kind, weakref.ref):
            return f"weak {self.key(weakref.ref.__call__(obj), depth)}"
        held = self.under(obj)
        if held is not None:
            return f"{name_of(kind)} {held}"
        path = self.of_path(obj)
        if path is not None:
            return path
        if not depth:
            return name_of(kind)
        return self._key_of_parts(obj, kind, depth)

    def _key_of_parts(self, obj: Any, kind: type, depth: int) -> str:
        if kind in NAMED_BY_C or kind is types.BuiltinFunctionType:
            parts = [name_in_c(obj)]
        elif kind is functools.partial or raw_parts.attributes(obj):
            parts = [f"{name}={self.key(value, depth - 1)}" for name, value in raw_parts.attributes(obj)]
        elif gc.is_tracked(obj) and raw_parts.module_of(kind) != "builtins":
            parts = [self.key(each, depth - 1) for each in gc.get_referents(obj) if each is not kind][:8]
        else:
            parts = []
        text = f"{name_of(kind)}({', '.join(parts)})"
        return text if len(text) < _KEY_MOST else text[:200] + digest(text)
