"""A livepatch file linked to one object: where each name of its new functions and their helpers leads.

As relocations to symbols of another object are for the kernel: done when the object is loaded, refused when a symbol is
nowhere. Names of new code are looked up in the file, then in the patched module, then in builtins. Names of helpers that
the file does not know lead to the object whose new functions use them; a helper that several objects use has a copy for
each, if it uses names of theirs.
"""
import ast
from errno import EINVAL, ENOENT
from types import FunctionType

from klpfs.engine.error import KlpError
from klpfs.engine.log import pr_err
from klpfs.cpython.resolve.codes import inner, mentions, stores
from klpfs.cpython.load.source_file import code_pairs
from klpfs.cpython.images.image import put_code
from klpfs.cpython.resolve.live_functions import functions_of
from klpfs.cpython.load.name_rewriter import (copied, exchange, HELPERS, OBJECT, OWN, Rewriter, set_global, SETTER,
                                              SUPER, Unrewritable)


class View:
    """An object whose attributes are the items of a dict."""

    __slots__ = ("__dict__",)

    def __init__(self, namespace):
        self.__dict__ = namespace


class Link:
    """One per loaded livepatch and object.

    loaded: load.LoadedModule. name: the object's. attach() is called with the module's dict each time
    that the module comes; choose() and constants are for newcode.compile_function then.
    """

    __slots__ = ("loaded", "name", "namespace", "view", "copies", "constants", "codes", "annotations", "log", "adds", "_stored",
                 "_copied", "_originals")

    def __init__(self, loaded, name, log):
        self.loaded, self.name, self.log = loaded, name, log
        self.namespace = None
        self.adds = frozenset()  # names that the object's callbacks will put into the module
        self.view, self.copies = View({}), View({})
        self.constants = {OWN: loaded.module, OBJECT: self.view, HELPERS: self.copies, SUPER: super, SETTER: set_global}
        self.codes = {}      # id(code of a helper as the file has it) -> its code now
        self.annotations = {}       # for newcode.annotations
        self._stored = None
        self._copied = frozenset()
        self._originals = []

    # -- names

    def choose(self, definition):
        """What compile_function asks for each name of a new function for this definition. KlpError ENOENT."""
        def chosen(name, node):
            if name in self._copied:
                return HELPERS
            if name in self.loaded.own:
                return OWN
            if self.known(name, definition.code):
                return None
            if name in self.loaded.fallback:
                return OWN
            raise self._unresolved(name, node, "function '%s'" % definition.name)
        return chosen

    def plain(self, definition):
        """Whether choose(definition) would leave a name alone."""
        return lambda name: name not in self._copied and name not in self.loaded.own and self.known(name, definition.code)

    def known(self, name, original=None):
        """The program knows a global name: its module (now, or by a store anywhere in its code), builtins, the original."""
        return name in builtins_of(self.namespace) or self.of_object(name) or original is not None and mentions(original, name)

    def of_object(self, name):
        if name in self.namespace or name in self.adds:
            return True
        if self._stored is None:
            self._stored = stored_names(self.namespace)
        return name in self._stored

    def _unresolved(self, name, node, where):
        text = "%s: Unknown symbol '%s' in %s at %s:%d (err %d)" % (
            self.loaded.name, name, where, self.loaded.path, node.lineno, -ENOENT)
        return KlpError(ENOENT, pr_err(self.log, text))

    # -- helpers

    def attach(self, namespace, originals):
        """The module has come. Its helpers' names are looked up in it from now on. KlpError ENOENT, EINVAL; then
        nothing was changed. originals: code objects that new functions replace."""
        was = self.namespace, self._stored
        self.namespace, self._stored, self._originals = namespace, None, originals
        try:
            own, shared = self._reached()
            self._copied = frozenset(self._to_copy(own, shared))
            self._check(own + shared)
            changed = self._compiled(own)
            copies = self._compiled(shared) if self._copied else {}
        except KlpError:
            self.namespace, self._stored = was
            raise
        self.view.__dict__ = namespace
        self._swap(changed)
        self._make_copies(copies)

    def _reached(self):
        """Statements of helpers that this object's new functions use: those that no other object uses, and the others."""
        mine = self.loaded.reach(self.name)
        others = set()
        for each in self.loaded.objects:
            if each != self.name:
                others.update(map(id, self.loaded.reach(each)))
        return [each for each in mine if id(each) not in others], [each for each in mine if id(each) in others]

    def _foreign(self, statement):
        """{name: node} of what a helper's functions use and the file does not know, builtins left out."""
        return {name: node for name, node in statement.used.items()
                if name not in self.loaded.own and (self.of_object(name) or name not in builtins_of(self.namespace))
                and not (name in self.loaded.fallback and not self.of_object(name))}

    def _to_copy(self, own, shared):
        """Names of shared helpers that need a copy for this object: they, or helpers that they use, have foreign names."""
        copied = set()
        while True:
            more = {name for each in shared for name in each.bound
                    if self._foreign(each) or copied.intersection(each.used)} - copied
            if not more:
                break
            copied |= more
        for each in shared:
            if copied.intersection(each.bound) and not _plain(each.node):
                raise KlpError(EINVAL, pr_err(self.log, "%s: '%s' at %s:%d is used by new functions of several objects and "
                                              "uses names of theirs: only a plain function may" % (
                                                  self.loaded.name, min(each.bound), self.loaded.path, each.node.lineno)))
        return copied

    def _check(self, statements):
        for each in statements:
            for name, node in self._foreign(each).items():
                if not self.known(name) and not any(mentions(code, name) for code in self._originals):
                    raise self._unresolved(name, node, "helper '%s'" % min(each.bound))

    def _chosen(self, name, node):
        if name in self._copied:
            return HELPERS
        if name in self.loaded.own or name in self.loaded.fallback and not self.of_object(name):
            return None  # the helper's globals are the file's
        return OBJECT if self.of_object(name) or name not in builtins_of(self.namespace) else None

    def _compiled(self, statements):
        """{id(code of a function in the file): new code} of the functions of these statements that have to change."""
        wanted = {id(each.node) for each in statements if self._copied.intersection(each.used) or self._foreign(each)}
        if not wanted:
            return {}
        file = self.loaded.file
        body = []
        rewriter = Rewriter(self._chosen, bool(file.flags))
        for node in file.tree.body:
            if id(node) in wanted:
                node = copied(node)
                try:
                    node = rewriter.visit(node)
                except Unrewritable as error:
                    raise KlpError(EINVAL, pr_err(self.log, "%s: %s at %s:%d" % (
                        self.loaded.name, error.text, file.path, error.node.lineno))) from None
            body.append(node)
        found = {}
        for one, other in zip(file.codes, file.compile(body)):
            found.update((id(old), exchange(new, self.constants)) for old, new in code_pairs(one, other)
                         if _has_marker(new) and old is not one)
        return found

    def _swap(self, changed):
        """Puts the new code of helpers into their functions, wherever those are."""
        now = {id(self.codes.get(key, key)): code for key, code in changed.items() if key in self.codes}
        now.update((key, code) for key, code in changed.items() if key not in self.codes)
        if now:
            for fn in functions_of([self.loaded.namespace]):
                code = now.get(id(fn.__code__))
                if code is not None:
                    put_code(fn, code)
        self.codes.update(changed)

    def _make_copies(self, codes):
        made = {}
        for name in self._copied:
            fn = self.loaded.namespace.get(name)
            if type(fn) is not FunctionType:
                continue
            one = FunctionType(codes.get(id(fn.__code__), fn.__code__), self.loaded.namespace, fn.__name__, fn.__defaults__,
                               fn.__closure__)
            one.__kwdefaults__, one.__qualname__, one.__doc__ = fn.__kwdefaults__, fn.__qualname__, fn.__doc__
            one.__annotations__ = fn.__annotations__
            made[name] = one
        self.copies.__dict__ = made


def _plain(node):
    return isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)) and not node.decorator_list


def _has_marker(code):
    return any(type(each) is str and each in (OBJECT, HELPERS) for each in code.co_consts) or any(map(_has_marker, inner(code)))


def builtins_of(namespace):
    found = namespace.get("__builtins__")
    if type(found) is dict:
        return found
    import builtins
    return builtins.__dict__


def stored_names(namespace):
    """Names that code of a module stores as globals: all of its live functions', and its source's if that is there."""
    from klpfs.cpython.resolve.original_source import SourceTree
    codes = {id(fn.__code__): fn.__code__ for fn in functions_of([namespace])}
    found = set()
    for code in codes.values():
        found |= stores(code)
    tree = SourceTree(namespace, list(codes.values()))
    return found | stores(tree.code) if tree.code is not None else found
