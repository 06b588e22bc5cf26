"""A livepatch file linked to one object: where each name of its new functions and their helpers leads.

As relocations to symbols of another object are for the kernel: done when the object is loaded, refused when a symbol is
nowhere. Names of new code are looked up in the file, then in the patched module, then in builtins. Names of helpers
that the file does not know lead to the object whose new functions use them; a helper that several objects use has a
copy for each object, if it uses names of theirs.
"""
from __future__ import annotations

import _thread
import ast
import operator
import sys
from errno import EINVAL, ENOENT
from functools import partial
from types import CodeType, FunctionType

from klpfs.cpython.c_originals import original
from klpfs.cpython.code_names import mentions, stores
from klpfs.cpython.images.image import copy_annotations, put_code
from klpfs.cpython.lazy_imports import LAZY
from klpfs.cpython.load import text_annotations
from klpfs.cpython.load.name_rewriter import (
    HELPERS,
    INPLACE,
    LOCALS,
    OBJECT,
    OWN,
    READER,
    SETTER,
    SUPER,
    UNBINDABLE,
    Rewriter,
    Unrewritable,
    copied,
    exchange,
)
from klpfs.cpython.raw import MARK, inner
from klpfs.cpython.resolve.file_first import Names, file_first
from klpfs.cpython.resolve.live_functions import functions_of
from klpfs.cpython.resolve.original_source import SourceTree
from klpfs.engine.error import KlpError
from klpfs.engine.log import pr_err

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import Any

    from klpfs.cpython.load.dependencies import Statement
    from klpfs.cpython.load.loader import LoadedModule
    from klpfs.cpython.load.name_rewriter import Choose, Used
    from klpfs.cpython.resolve.definitions import Definition
    from klpfs.engine.log import Log


def read_in_class(namespace: Any, name: str, holder: Any) -> Any:
    """The function that new code calls for a name that it reads in a class's block, as LOAD_NAME does: the class's own
    if it is there, else the one elsewhere. NameError.

    namespace: the class's; the stand-in of annotationlib where an annotation's text is asked for (3.14).
    """
    if type(namespace).__module__ != "annotationlib":
        try:
            return namespace[name]
        except KeyError:
            pass
    try:
        return getattr(holder, name)
    except AttributeError:
        pass
    raise not_defined(name)


def not_defined(name: str) -> NameError:
    """What Python raises for a global name that is nowhere."""
    error = NameError(f"name '{name}' is not defined")
    if sys.version_info >= (3, 10):
        error.name = name
    return error


def set_global(holder: Any, name: str, value: Any) -> Any:
    """The function that new code calls for an assignment expression to a name of its file. Returns the value."""
    holder.__dict__[name] = value
    return value


# What new code holds by these markers.
FUNCTIONS: dict[str, Any] = {
    LOCALS: locals, READER: read_in_class, SETTER: set_global, SUPER: super,
    **{INPLACE + kind: getattr(operator, "i" + name) for kind, name in (
        ("Add", "add"), ("Sub", "sub"), ("Mult", "mul"), ("MatMult", "matmul"), ("Div", "truediv"),
        ("FloorDiv", "floordiv"), ("Mod", "mod"), ("Pow", "pow"), ("LShift", "lshift"), ("RShift", "rshift"),
        ("BitOr", "or"), ("BitXor", "xor"), ("BitAnd", "and"))}}


class View:
    """An object whose attributes are the items of a module's dict, as its code reads them: a global name that is not
    there, or there no more, is the builtin of that name, else NameError."""

    __slots__ = ("__dict__",)

    def __init__(self, namespace: dict[str, Any]) -> None:
        self.__dict__ = namespace

    def __getattr__(self, name: str) -> Any:
        error = _raised.pop(get_ident(), None)
        if error is not None:
            raise error         # a lazy import's, which _global has kept
        try:
            return builtins_of(self.__dict__)[name]
        except KeyError:
            pass
        if any(each is self for each in sys._getframe(1).f_code.co_consts):
            raise not_defined(name)
        raise AttributeError(name)      # for who looks at all objects there are, as tools that look for leaks do


# Names that would lead to a view's own attributes; a module's dict has a __doc__ and comes first.
_VIEWS = frozenset(dir(View)) - {"__doc__", "__module__"} | {"__slots__", "__qualname__"}


def show(view: View, namespace: dict[str, Any], names: Iterable[str], unbindable: frozenset[str]) -> None:
    """Makes the items of a module's dict the attributes of a view. names: those that code reads through it; unbindable:
    those among which are all that it deletes, which is a NameError where they are unbound.

    From 3.15 on any of them may be a lazy import that nobody has used yet (PEP 810), a stand-in which only the module's
    own code turns into what it stands for, and which may come back when another patch goes. So there these names are
    read by functions that have the module's globals; elsewhere those that may be deleted are.
    """
    view.__dict__ = namespace
    by_functions = {name: _global(name, namespace) for name in names
                    if name not in _VIEWS and (LAZY is not None or name in unbindable)}
    view.__class__ = type("View", (View,), {"__slots__": (), **by_functions}) if by_functions else View


get_ident = original(_thread, "get_ident")
_raised: dict[int, AttributeError] = {}         # by thread, on its way through View.__getattr__


def _read(read: Callable[[View], Any], view: View) -> Any:
    """A global name's value. An AttributeError comes of what a lazy import runs, not of a name that is not there, as
    Python would take it."""
    try:
        return read(view)
    except AttributeError as error:
        _raised[get_ident()] = error
        raise


def _global(name: str, namespace: dict[str, Any]) -> property:
    """A property of views whose value is a global name of the code with this namespace: read, set and deleted there."""
    parameter = "view" if name != "view" else "self"
    code = inner(compile(f"lambda {parameter}: {name}", "<klpfs>", "eval", dont_inherit=True))[0]
    read: Any = FunctionType(code, namespace, name)
    setattr(read, MARK, True)       # or it would pass for the module's
    get = read if LAZY is None else partial(_read, read)

    def delete(view: View) -> None:
        try:
            del namespace[name]
        except KeyError:
            raise not_defined(name) from None
    return property(get, lambda view, value: namespace.__setitem__(name, value), delete)


class Link:
    """The link of one loaded livepatch to one object.

    loaded: the LoadedModule. name: the object's. namespace: the dict of the object's module, None before attach().
    view: its names, for helpers; copies: the copies of shared helpers by name. constants: marker -> object, what new
    code holds. codes: id(code of a helper as the file has it) -> its code now. annotations: compiled annotations by
    their text, see new_function.annotations_of, annotate.annotate_of. adds: names that the object's callbacks will put
    into the module.
    attach() is called with the module's dict each time that the module comes; choose() and constants are for
    new_function.compile_function then.
    """

    __slots__ = ("loaded", "name", "log", "namespace", "view", "copies", "constants", "codes", "annotations", "adds",
                 "_stored", "_copied", "_shown", "_globals", "_decorates")

    def __init__(self, loaded: LoadedModule, name: str | None, adds: frozenset[str], log: Log) -> None:
        self.loaded, self.name, self.adds, self.log = loaded, name, adds, log
        self.namespace: Any = None
        self.view, self.copies = View({}), View({})
        self.constants: dict[str, Any] = {**FUNCTIONS, OWN: loaded.module, OBJECT: self.view, HELPERS: self.copies}
        if loaded.unbindable:
            own = self.constants[UNBINDABLE] = View({})
            show(own, loaded.namespace, loaded.unbindable, loaded.unbindable)
        self.codes: dict[int, CodeType] = {}
        self.annotations: dict[Any, CodeType] = {}
        self._globals: Names | None = None
        self._decorates: bool | None = None     # whether the file has decorated classes, once that was asked
        self._stored: set[str] | None = None
        self._copied: frozenset[str] = frozenset()
        self._shown: frozenset[str] = frozenset()       # names that helpers read of the object

    # -- names

    def choose(self, definition: Definition) -> Choose:
        """The function that compile_function asks for each name of a new function for a definition. KlpError ENOENT."""
        def choose(name: str, node: ast.AST | None) -> str | None:
            if name in self._copied:
                return HELPERS
            own = UNBINDABLE if name in self.loaded.unbindable else OWN
            if name in self.loaded.own:
                return own
            if self._known(name, definition.code):
                return None
            if name in self.loaded.fallback:
                return own
            if node is None:
                return None
            raise self._unresolved(name, node, f"function '{definition.name}'")
        return choose

    def plain(self, definition: Definition) -> Callable[[str], bool]:
        """The function that says whether choose(definition) would leave a name alone."""
        return lambda name: (name not in self._copied and name not in self.loaded.own
                             and self._known(name, definition.code))

    def _known(self, name: str, original: CodeType | None = None) -> bool:
        """Whether the program knows a global name: its module (now, or by a store anywhere in its code), builtins, the
        original."""
        return (name in builtins_of(self.namespace) or self._of_object(name)
                or original is not None and mentions(original, name))

    def _of_object(self, name: str) -> bool:
        """Whether a global name is the object's."""
        if name in self.namespace or name in self.adds:
            return True
        if self._stored is None:
            self._stored = stored_names(self.namespace)
        return name in self._stored

    def _unresolved(self, name: str, node: Any, where: str) -> KlpError:
        return KlpError(ENOENT, pr_err(
            self.log, f"{self.loaded.name}: Unknown symbol '{name}' in {where} at {self.loaded.path}:{node.lineno} "
                      f"(err {-ENOENT})"))

    def globals_for(self, names: set[str]) -> dict[str, Any]:
        """The globals of code that looks up names where new code does, without being rewritten: the object's own where
        they will do."""
        namespace: dict[str, Any] = self.namespace
        if names.isdisjoint(self.loaded.own):
            return namespace
        if self._globals is None:
            self._globals = file_first(self.loaded, self.copies, namespace, builtins_of(namespace))
        return self._globals

    def check_texts(self, node: ast.AST, module: dict[str, Any] | None) -> None:
        """Refuses dataclasses in new code that would come out other than the text means. module: as misread has it.
        KlpError EINVAL."""
        if self._decorates is None:
            self._decorates = text_annotations.are_there(self.loaded.file.tree)
        found = self._decorates and text_annotations.misread(
            node, bool(self.loaded.file.flags), self._value_of, module)
        if found:
            place = f"{self.loaded.path}:{found[0].lineno}"
            raise KlpError(EINVAL, pr_err(
                self.log, f"{self.loaded.name}: class '{found[0].name}' at {place} has the annotation '{found[1]}' as "
                          "text, which dataclasses does not look up in a livepatch"))

    def _value_of(self, name: str) -> Any:
        """What a global name of new code is now; None where it is nothing."""
        return (self.loaded.namespace if name in self.loaded.own else self.namespace or {}).get(name)

    # -- helpers

    def attach(self, namespace: dict[str, Any], originals: list[CodeType]) -> None:
        """The module has come: its helpers' names are looked up in it from now on. originals: code objects that new
        functions replace. KlpError ENOENT, EINVAL; then nothing was changed."""
        before = self.namespace, self._stored
        self.namespace, self._stored = namespace, None
        try:
            alone, shared = self._helpers()
            self._copied = frozenset(self._to_copy(shared))
            self._check(alone + shared, originals)
            for helper in alone + shared:
                self.check_texts(helper.node, None)
            changed = self._compiled(alone)
            copies = self._compiled(shared) if self._copied else {}
        except KlpError:
            self.namespace, self._stored = before
            raise
        self._shown = frozenset(name for helper in alone + shared for name in self._foreign(helper))
        self.show(namespace)
        self._swap(changed)
        self._make_copies(copies)
        self._globals = None

    def show(self, namespace: dict[str, Any]) -> None:
        """Helpers read the names of a module's dict from now on: of the module that has come, or was loaded again."""
        show(self.view, namespace, self._shown, self.loaded.unbindable)

    def _helpers(self) -> tuple[list[Statement], list[Statement]]:
        """The helpers that this object's new functions need: those that no other object needs, and those that are
        shared."""
        dependencies = self.loaded.dependencies
        helpers = dependencies.helpers(self.name)
        others: set[int] = set()
        for name in self.loaded.objects:
            if name != self.name:
                others.update(map(id, dependencies.helpers(name)))
        return ([helper for helper in helpers if id(helper) not in others],
                [helper for helper in helpers if id(helper) in others])

    def _foreign(self, helper: Statement) -> Used:
        """{name: node} of what a helper's functions use and the file does not know, builtins left out, and what is
        nowhere and need not be."""
        return {name: node for name, node in helper.used.items()
                if name not in self.loaded.own and (self._of_object(name) or name not in builtins_of(self.namespace))
                and not ((node is None or name in self.loaded.fallback) and not self._of_object(name))}

    def _to_copy(self, shared: list[Statement]) -> set[str]:
        """Names of shared helpers that need a copy for this object: they, or helpers that they use, have foreign
        names."""
        names: set[str] = set()
        while True:
            more = {name for helper in shared for name in helper.bound
                    if self._foreign(helper) or names.intersection(helper.used)} - names
            if not more:
                break
            names |= more
        for helper in shared:
            if names.intersection(helper.bound) and not _is_plain(helper.node):
                place = f"{self.loaded.path}:{helper.node.lineno}"
                raise KlpError(EINVAL, pr_err(
                    self.log, f"{self.loaded.name}: '{min(helper.bound)}' at {place} is used by new functions of "
                              "several objects and uses names of theirs: only a plain function may"))
        return names

    def _check(self, helpers: Iterable[Statement], originals: list[CodeType]) -> None:
        for helper in helpers:
            for name, node in self._foreign(helper).items():
                if not self._known(name) and not any(mentions(code, name) for code in originals):
                    raise self._unresolved(name, node, f"helper '{min(helper.bound)}'")
                if name in _VIEWS:
                    place = f"{self.loaded.path}:{getattr(node, 'lineno', helper.node.lineno)}"
                    raise KlpError(EINVAL, pr_err(
                        self.log, f"{self.loaded.name}: helper '{min(helper.bound)}' uses the module's '{name}' at "
                                  f"{place}: only a new function may"))

    def _choose_in_helper(self, name: str, node: ast.AST | None) -> str | None:
        if name in self._copied:
            return HELPERS
        if name in self.loaded.own or name in self.loaded.fallback and not self._of_object(name):
            return None  # the helper's globals are the file's
        return OBJECT if self._of_object(name) or node is not None and name not in builtins_of(self.namespace) else None

    def _compiled(self, helpers: list[Statement]) -> dict[int, CodeType]:
        """{id(code of a function in the file): new code} of the helpers' functions that have to change."""
        changing = {id(helper.node) for helper in helpers
                    if self._copied.intersection(helper.used) or self._foreign(helper)}
        if not changing:
            return {}
        file = self.loaded.file
        body = []
        rewriter = Rewriter(self._choose_in_helper, bool(file.flags))
        for node in file.tree.body:
            if id(node) in changing:
                node = copied(node)
                try:
                    node = rewriter.visit(node)
                except Unrewritable as error:
                    raise KlpError(EINVAL, pr_err(
                        self.log, f"{self.loaded.name}: {error.text} at {file.path}:{error.node.lineno}")) from None
            body.append(node)
        top_levels = set(map(id, file.codes))       # they do not run again
        return {id(old): exchange(new, self.constants) for old, new in file.recompiled(body)
                if _has_marker(new) and id(old) not in top_levels}

    def _swap(self, changed: dict[int, CodeType]) -> None:
        """Puts the new code of helpers into their functions, wherever those are."""
        now = {id(self.codes[key]) if key in self.codes else key: code for key, code in changed.items()}
        if now:
            for fn in functions_of([self.loaded.namespace]):
                new = now.get(id(fn.__code__))
                if new is not None:
                    put_code(fn, new)
        self.codes.update(changed)

    def _make_copies(self, codes: dict[int, CodeType]) -> None:
        copies = {}
        for name in self._copied:
            fn = self.loaded.namespace.get(name)
            if type(fn) is not FunctionType:
                continue
            code = codes.get(id(fn.__code__), fn.__code__)
            copy = FunctionType(code, self.loaded.namespace, fn.__name__, fn.__defaults__, fn.__closure__)
            copy.__kwdefaults__, copy.__qualname__, copy.__doc__ = fn.__kwdefaults__, fn.__qualname__, fn.__doc__
            copy_annotations(copy, fn)
            copies[name] = copy
        self.copies.__dict__ = copies


def _is_plain(node: ast.AST) -> bool:
    return isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)) and not node.decorator_list


def _has_marker(code: CodeType) -> bool:
    return (any(type(const) is str and const in (OBJECT, HELPERS) for const in code.co_consts)
            or any(map(_has_marker, inner(code))))


def builtins_of(namespace: dict[str, Any]) -> dict[str, Any]:
    """The builtins that code with these globals uses."""
    found = namespace.get("__builtins__")
    if type(found) is dict:
        return found
    import builtins
    return builtins.__dict__


def stored_names(namespace: dict[str, Any]) -> set[str]:
    """Names that code of a module stores as globals: all of its live functions', and its source's if that is known."""
    codes = {id(fn.__code__): fn.__code__ for fn in functions_of([namespace])}
    names: set[str] = set()
    for code in codes.values():
        names |= stores(code)
    tree = SourceTree(namespace, list(codes.values()))
    return names | stores(tree.code) if tree.code is not None else names
