"""The globals of what evaluates annotations from 3.14 on, and what belongs to type parameters, as a module would have
them that has the names of a livepatch file before those of the patched module.

annotationlib has STRING and FORWARDREF made by stand-ins, which it puts in the place of globals and cells. A name of
the file that is a constant in the code can have none. So there all names stay global, and the globals are a mapping
that looks where names of new code lead when it is asked: a lazy import stays one, and what comes later is there.

CPython asks it as a mapping in functions, but reads a dict's own storage for names at the top level of what eval()
gets, as ForwardRef.evaluate() calls it. Builtins are asked as a mapping there, too: so the storage has hardly more than
`__builtins__`, which are a mapping of the same names with those of builtins behind them.
"""
from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import ItemsView, Iterator, KeysView, ValuesView
    from typing import Any, Callable, Optional

    from klpfs.cpython.load.loader import LoadedModule
    from klpfs.cpython.resolve.linker import View

    Part = tuple[Callable[[], dict[str, Any]], Optional[frozenset[str]]]

_NOTHING = object()


class Names(dict):
    """A mapping of names: those of the first part that has them count.

    parts: pairs of a function that gives a namespace, and the names of it that count, None for all.
    """

    __slots__ = ("_parts",)

    def __init__(self, parts: tuple[Part, ...], storage: dict[str, Any]) -> None:
        dict.__init__(self, storage)
        self._parts = parts

    def get(self, name: Any, default: Any = None) -> Any:
        for namespace, names in self._parts:
            if names is None or name in names:
                value = namespace().get(name, _NOTHING)
                if value is not _NOTHING:
                    return value
        return default

    def __getitem__(self, name: Any) -> Any:
        value = self.get(name, _NOTHING)
        if value is _NOTHING:
            raise KeyError(name)
        return value

    def __contains__(self, name: Any) -> bool:
        return self.get(name, _NOTHING) is not _NOTHING

    def copy(self) -> dict[str, Any]:
        """A dict of what there is now."""
        found: dict[str, Any] = {}
        for namespace, names in reversed(self._parts):
            found.update({name: value for name, value in namespace().copy().items() if names is None or name in names})
        return found

    def keys(self) -> KeysView[str]:    # type: ignore[override]
        return self.copy().keys()

    def values(self) -> ValuesView[Any]:    # type: ignore[override]
        return self.copy().values()

    def items(self) -> ItemsView[str, Any]:     # type: ignore[override]
        return self.copy().items()

    def __iter__(self) -> Iterator[str]:
        return iter(self.copy())

    def __len__(self) -> int:
        return len(self.copy())


def file_first(loaded: LoadedModule, copies: View, namespace: dict[str, Any], builtins: dict[str, Any]) -> Names:
    """The globals with the names of a livepatch file before those of a patched module's namespace. copies: those of the
    file's helpers that are the object's alone. builtins: the module's."""
    file, own = loaded.namespace, loaded.own        # not `loaded`: forward references that the program keeps have this
    parts: tuple[Part, ...] = ((lambda: copies.__dict__, None), (lambda: file, own), (lambda: namespace, None))
    behind = Names((*parts, (lambda: builtins, None)), {})
    storage = {"__builtins__": behind}
    if "__name__" in namespace:         # functions that are made with these globals read it in the storage
        storage["__name__"] = namespace["__name__"]
    return Names(parts, storage)
