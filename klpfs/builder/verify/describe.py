"""The description of all that a package's modules lead to, as a graph of plain values.

Runs in the interpreter of the service, on the standard library alone, and runs nothing of the program (raw_parts.py).

A node is [kind, label, edges, id]: edges are [[label, number of a node], ...] in the object's own order, id is the
object's identity in this process; of a plain value whose label is cut, it is the whole text. Kinds: plain, value (a C
type that says all in its pickle), code, opaque (nothing can be seen of it), list, dict, set, instance, class, function,
method, builtin, descriptor, cell, weakref, module, klpfs (a stand-in of klpfs's own).
"""
from __future__ import annotations

import collections
import gc
import sys
import types
import weakref
from collections.abc import Iterable
from typing import Any, Callable

from klpfs.builder.verify import c_state, raw_parts
from klpfs.builder.verify.code_signs import PLAIN, CodeSigns
from klpfs.builder.verify.object_text import NAMED_BY_C, Words, name_in_c, name_of

try:
    from _abc import _get_dump  # type: ignore[import-not-found,unused-ignore]
except ImportError:
    _get_dump = None

Node = list[Any]                # [kind, label, edges, id]
Edges = list[list[Any]]         # [[label, node], ...]
Probe = Callable[[Any, type], "dict[str, Any]"]

# C types whose pickle says all that they hold.
_VALUES = ("datetime.", "decimal.Decimal", "zoneinfo.", "builtins.range", "builtins.slice", "itertools.count")
# Types that hold what is no part of a release, or that give their referents in any order (Rust's hash maps).
_OPAQUE = ("_thread.", "_io.", "_socket.", "_ssl.", "builtins.frame", "builtins.traceback",
           "pydantic_core._pydantic_core.")
_NOT_OF_MODULES = frozenset(("__builtins__", "__cached__", "__spec__", "__loader__", "__warningregistry__", "__path__",
                             "__file__", "__conditional_annotations__", "__annotate__", "__annotations__"))
_NOT_OF_CLASSES = frozenset((
    "__dict__", "__weakref__", "__firstlineno__", "__static_attributes__", "__annotate_func__", "__annotations_cache__",
    "__annotate__", "_abc_impl", "__abstractmethods__", "__doc__", "__slotnames__"))
# Book-keeping of the library's own classes in their objects: what is asked, or ends, at some time.
_NOT_OF_OBJECTS: dict[str, frozenset[str]] = {
    "weakref.WeakKeyDictionary": frozenset(("_dirty_len", "_pending_removals", "_iterating")),
    "weakref.WeakValueDictionary": frozenset(("_pending_removals", "_iterating")),
    "_weakrefset.WeakSet": frozenset(("_pending_removals", "_iterating")),
    "logging.Logger": frozenset(("_cache",)),
    "threading.Thread": frozenset(("_is_stopped", "_tstate_lock", "_handle", "_started", "_ident", "_native_id")),
}
_CONTAINERS: tuple[tuple[type, str], ...] = (
    (dict, "dict"), (list, "list"), (tuple, "list"), (collections.deque, "list"), (set, "set"), (frozenset, "set"))
_HAVE_NO_ATTRIBUTES = frozenset((dict, list, tuple, set, frozenset))


class Description:
    """The graph of one process. roots: first names of the package's modules. tree: the folder that they lie in.

    everywhere: other packages' modules are described, too. ours: objects of klpfs's own, which are left out. kept: a
    list that keeps alive what was seen, so that ids of two graphs of one process mean the same. probe(object, class):
    the values that klpfs's stand-ins give for attributes that the object lacks. docs: docstrings of the package's
    functions and classes are part of what they are. home: the folder of whom the process runs for.
    """

    def __init__(self, roots: Iterable[str], tree: str, ours: Iterable[object], kept: list[Any],
                 everywhere: bool = False, probe: Probe | None = None, docs: bool = False, home: str = "") -> None:
        self.roots, self.everywhere, self.probe, self.docs = frozenset(roots), everywhere, probe, docs
        self.asked = c_state.types_by_name()
        self._hiding: dict[type, bool] = {}
        self._skipped: dict[type, frozenset[str]] = {}
        self._answering: dict[type, bool] = {}      # types of whose objects something is asked
        self.signs = CodeSigns()
        self.words = Words(tree, self.signs, home)
        self.ours = {id(each) for each in ours}
        self.kept = kept
        self.nodes: list[Node] = []
        self._numbers: dict[int, int] = {}                      # of nodes, by ids
        self._plain: dict[tuple[type, str], int] = {}
        self._todo: collections.deque[tuple[int, Any]] = collections.deque()

    def take(self) -> dict[str, Any]:
        """{'nodes': [...], 'roots': {module: node}, 'elsewhere': {module: node}}."""
        modules = [(name, module) for name, module in list(sys.modules.items())
                   if type(name) is str and issubclass(type(module), types.ModuleType)]
        own = {name: module for name, module in modules if self._is_owned(name)}
        roots = {name: self._node(module) for name, module in sorted(own.items())}
        self._run()
        elsewhere = {}
        if self.everywhere:
            elsewhere = {name: self._node(module) for name, module in sorted(modules)
                         if name not in own and name.partition(".")[0] not in ("klpfs", "__main__")}
            self._run()
        return {"nodes": self.nodes, "roots": roots, "elsewhere": elsewhere}

    def _run(self) -> None:
        while self._todo:
            number, obj = self._todo.popleft()
            self.nodes[number][:3] = self._describe(obj)

    def _is_owned(self, module: Any) -> bool:
        return type(module) is str and module.partition(".")[0] in self.roots

    # -- nodes

    def _node(self, obj: Any) -> int:
        """The number of an object's node; the object is described later."""
        kind = type(obj)
        if kind in PLAIN:
            text = self.words.value(obj)
            number = self._plain.get((kind, text))
            if number is None:
                number = self._plain[kind, text] = self._add(["plain", text, [], self.words.whole(obj, text)])
            return number
        number = self._numbers.get(id(obj))
        if number is None:
            number = self._numbers[id(obj)] = self._add([None, None, [], id(obj)])
            self.kept.append(obj)
            self._todo.append((number, obj))
        return number

    def _add(self, node: Node) -> int:
        self.nodes.append(node)
        return len(self.nodes) - 1

    def _made(self, kind: str, edges: Edges) -> int:
        """A node of no object of the program's."""
        return self._add([kind, "", edges, 0])

    def _items(self, values: Iterable[Any]) -> Edges:
        return [[f"[{number}]", self._node(each)] for number, each in enumerate(values)]

    def _keyed(self, items: Iterable[tuple[str, Any, Any]]) -> Edges:
        """Edges of (name of the key, the key, value); keys that are objects have one of their own."""
        edges: Edges = []
        seen: dict[str, int] = {}
        for text, key, value in items:
            count = seen[text] = seen.get(text, 0) + 1
            text = text if count == 1 else f"{text}#{count}"
            edges.append([f"[{text}]", self._node(value)])
            if type(key) not in PLAIN and type(key) is not tuple:
                edges.append([f"key {text}", self._node(key)])
        return edges

    def _names(self, texts: Iterable[str]) -> int:
        return self._made("set", self._keyed((each, None, each) for each in sorted(texts)))

    def _part(self, table: dict[Any, Any], chosen: Callable[[Any, Any], bool]) -> int:
        """A node of those items of a dict that are chosen."""
        return self._add(["dict", "builtins.dict", self._keyed(
            (self.words.key(key), key, value) for key, value in list(table.items()) if chosen(key, value)), 0])

    def _label(self, key: Any) -> str:
        return key if type(key) is str else self.words.key(key)

    # -- what each kind of object holds

    def _describe(self, obj: Any) -> Node:
        """[kind, label, edges]"""
        kind = type(obj)
        known = _BY_TYPE.get(kind)
        if known is not None:
            return known(self, obj)
        if raw_parts.is_class(obj):
            return self._class(obj)
        if issubclass(kind, types.ModuleType):
            return self._module(obj)
        if issubclass(kind, weakref.ref):
            return ["weakref", name_of(kind), [["to", self._node(weakref.ref.__call__(obj))],
                                               ["callback", self._node(c_state.callback_of(obj))],
                                               *self._attributes(obj, kind, name_of(kind))[0]]]
        name = name_of(kind)
        if name.startswith("klpfs."):
            return ["klpfs", name, []]
        if kind in NAMED_BY_C:
            return ["descriptor", name_in_c(obj), []]
        path = self.words.of_path(obj)
        if path is not None:
            return ["value", path, []]
        if c_state.is_seen(kind, self.asked):
            return self._instance(obj, kind, name)
        if name.startswith(_OPAQUE):
            return ["opaque", name, []]
        if name.startswith(_VALUES) and c_state.is_librarys(kind, name):
            try:
                return ["value", f"{name} {self.words.key(obj.__reduce_ex__(2)[1:])}", []]
            except Exception:       # one that can't be pickled
                return ["opaque", name, []]
        return self._instance(obj, kind, name)

    def _instance(self, obj: Any, kind: type, name: str) -> Node:
        owned = self._is_owned(raw_parts.module_of(kind))
        edges: Edges = [["class", self._node(kind)]] if owned else []
        what, label = "instance", name
        for base, container in _CONTAINERS:
            if issubclass(kind, base):
                what = container
                edges += self._contents(obj, base, container)
                break
        else:
            held = self.words.under(obj)
            label = name if held is None else f"{name} {held}"
        if kind in _HAVE_NO_ATTRIBUTES:
            return [what, label, edges]
        attributes, has = self._attributes(obj, kind, name)
        edges += attributes
        if owned:
            if self.probe is not None:
                edges += [[f".{key}", self._node(value)] for key, value in self.probe(obj, kind).items()
                          if key not in has]
            fixed = raw_parts.of_c(kind)
            if fixed:
                edges.append(["of C", self._names(fixed)])
        state = self._state(obj, kind)
        edges += state
        if what == "instance" and not has and not state and not raw_parts.has_dict(obj):
            if gc.is_tracked(obj):
                edges += [[f"ref{number}", self._node(each)] for number, each in enumerate(gc.get_referents(obj))
                          if each is not kind]
        if what == "instance" and label == name and not state and self._hides(kind):
            edges.append(["more than is seen", self._node(None)])
        return [what, label, edges]

    def _state(self, obj: Any, kind: type) -> Edges:
        """Edges to what C says of an object."""
        answers = self._answering.get(kind)
        if answers is None:
            answers = self._answering[kind] = c_state.is_seen(kind, self.asked) or any(
                base in self.asked for base in raw_parts.mro(kind))
        return [[each, self._node(value)] for each, value in c_state.parts_of(obj, self.asked)] if answers else []

    def _hides(self, kind: type) -> bool:
        """Whether objects of a class may hold what no attribute and no method that is asked shows: a base of it is of
        C, and none that is known."""
        known = self._hiding.get(kind)
        if known is None:
            known = self._hiding[kind] = any(
                not raw_parts.is_of_python(base) and base not in self.asked and not raw_parts.shows_members(base)
                and not c_state.is_stateless(name_of(base)) for base in raw_parts.mro(kind))
        return known

    def _attributes(self, obj: Any, kind: type, name: str) -> tuple[Edges, set[str]]:
        """(edges to an object's attributes, their names)."""
        skipped = self._skipped.get(kind)
        if skipped is None:
            skipped = self._skipped[kind] = frozenset(
                each for base in raw_parts.mro(kind) for each in _NOT_OF_OBJECTS.get(name_of(base), ()))
        attributes = raw_parts.attributes(obj)
        if skipped:
            attributes = [(key, value) for key, value in attributes if key not in skipped]
        edges = [[f".{self._label(key)}", self._node(value)] for key, value in attributes]
        if name == "logging.Manager":       # others ask for loggers whenever they like
            edges = [[f".{key}", self._part(value, lambda name, _: self._is_owned(name))]
                     if key == "loggerDict" and type(value) is dict else edge
                     for edge, (key, value) in zip(edges, attributes)]
        return (edges,
                {key for key, _ in attributes if type(key) is str})

    def _contents(self, obj: Any, base: type, container: str) -> Edges:
        if container == "list":
            return self._items(base.__iter__(obj))      # type: ignore[attr-defined]
        if container == "set":
            members = [(self.words.key(each), each) for each in base.__iter__(obj)]     # type: ignore[attr-defined]
            return self._keyed((text, None, each) for text, each in sorted(members, key=lambda member: member[0]))
        items = list(dict.items(obj))
        if c_state.is_ordered(type(obj)):
            places = {id(key): at for at, key in enumerate(c_state.ordered(obj))}
            items.sort(key=lambda item: places[id(item[0])])
        return self._keyed((self.words.key(key), key, value) for key, value in items)

    def _module(self, module: Any) -> Node:
        space = raw_parts.dict_of_module(module)
        name = space.get("__name__")
        if not self._is_owned(name) and not self.everywhere:
            return ["module", str(name), []]
        edges = [[self._label(key), self._node(value)] for key, value in list(space.items())
                 if key not in _NOT_OF_MODULES and id(value) not in self.ours]
        return ["module", str(name), [*edges, *([what, self._node(value)] for what, value in c_state.of_module(name))]]

    def _class(self, cls: Any) -> Node:
        name, space = name_of(cls), raw_parts.class_dict(cls)
        if name.startswith("klpfs."):
            return ["klpfs", name, []]
        if raw_parts.is_of_c(cls) or not (self._is_owned(space.get("__module__")) or self.everywhere):
            return ["class", name, []]
        edges: Edges = [["bases", self._made("list", self._items(raw_parts.bases(cls)))],
                        ["metaclass", self._node(type(cls))]]
        edges += [[f".{self._label(key)}", self._attribute(space, key, value)] for key, value in space.items()
                  if key not in _NOT_OF_CLASSES]
        if self.docs and "__doc__" in space and self._is_owned(space.get("__module__")):
            edges.append([".__doc__", self._node(space["__doc__"])])
        if self._is_owned(space.get("__module__")):
            edges.append(["subclasses", self._names(
                text for text in map(name_of, raw_parts.subclasses(cls)) if not text.startswith("klpfs."))])
        if "_abc_impl" in space and _get_dump is not None:
            edges.append(["registered", self._names(self.words.key(each) for each in _get_dump(cls)[0])])
        return ["class", name, edges]

    def _attribute(self, space: dict[str, Any], key: str, value: Any) -> int:
        """The node of a class's attribute; of an enumeration's values those that members have: composites of flags are
        made when somebody asks."""
        members = space.get("_member_map_")
        if key == "_value2member_map_" and type(value) is dict and type(members) is dict:
            ids = set(map(id, members.values()))
            return self._part(value, lambda _, member: id(member) in ids)
        return self._node(value)

    def _function(self, function: types.FunctionType) -> Node:
        edges: Edges = []
        modules = function.__globals__.get("__name__"), function.__module__
        if self.everywhere or any(map(self._is_owned, modules)):
            edges.append(["code", self._node(function.__code__)])
            if function.__defaults__:
                edges.append(["defaults", self._made("list", self._items(function.__defaults__))])
            edges += [[f"default of {key}", self._node(value)]
                      for key, value in sorted((function.__kwdefaults__ or {}).items())]
        if self.docs and any(map(self._is_owned, modules)):
            edges.append([".__doc__", self._node(function.__doc__)])
        edges += self._closure(function)        # a foreign function may close over what is the package's
        edges += [[f".{self._label(key)}", self._node(value)] for key, value in list(function.__dict__.items())]
        return ["function", name_of(function), edges]

    def _closure(self, function: types.FunctionType) -> Edges:
        edges: Edges = []
        for name, cell in zip(function.__code__.co_freevars, function.__closure__ or ()):
            try:
                edges.append([f"<{name}>", self._node(cell.cell_contents)])
            except ValueError:
                edges.append([f"<{name}>", self._made("cell", [])])
        return edges

    def _cell(self, cell: types.CellType) -> Node:
        try:
            return ["cell", "", [["cell", self._node(cell.cell_contents)]]]
        except ValueError:
            return ["cell", "empty", []]

    def _code(self, code: types.CodeType) -> Node:
        """The label has six parts, split by `|`: the file, the signs exact, loose and own (code_signs.py), the first
        line, the name."""
        loose = own = ""
        if self._may_be_patched(code.co_filename):
            loose, own = self.signs.loose(code), self.signs.own(code)
        return ["code", "|".join((self.words.path(code.co_filename), self.signs.exact(code), loose, own,
                                  str(code.co_firstlineno), code.co_name)), []]

    def _may_be_patched(self, path: str) -> bool:
        """Whether code of this file can be the package's, or a livepatch's in its place."""
        return self.words.tree in path or "/lib/python3" not in path and not path.startswith("<frozen")

    def _method(self, method: types.MethodType) -> Node:
        return ["method", "", [["__func__", self._node(method.__func__)], ["__self__", self._node(method.__self__)]]]

    def _builtin(self, builtin: types.BuiltinFunctionType) -> Node:
        of = builtin.__self__
        bound = of is not None and not issubclass(type(of), types.ModuleType)
        return ["builtin", name_in_c(builtin), [["__self__", self._node(of)]] if bound else []]

    def _mappingproxy(self, proxy: Any) -> Node:
        return ["mappingproxy", "", [["of", self._node(each)] for each in gc.get_referents(proxy)]]


_BY_TYPE: dict[type, Callable[[Description, Any], Node]] = {
    types.FunctionType: Description._function, types.CodeType: Description._code, types.MethodType: Description._method,
    types.BuiltinFunctionType: Description._builtin, types.CellType: Description._cell,
    types.MappingProxyType: Description._mappingproxy,
}
