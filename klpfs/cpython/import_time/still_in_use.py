"""Code of a livepatch that lives on when the patch is gone: closures, instances of its classes, generators, running threads.

They were made while it was in force, and keep the version that they are of. What they use by name of what the patch had
added to the module stays there for them.
"""
import gc
from types import CodeType, FunctionType

from klpfs.cpython.looks import look
from klpfs.cpython.raw import inner, SUSPENDS
from klpfs.cpython.images.image import MARK
from klpfs.cpython.resolve.live_functions import functions_of

_DICT = type.__dict__["__dict__"].__get__


def needed(run, namespace, added):
    """Which of the names `added` code that lives on may use. run: ImportTime's function; its file is the livepatch's.
    namespace: of the patched module. added: {name: value} of what is to be taken away."""
    path = run.__code__.co_filename
    classes = {name: value for name, value in added.items() if isinstance(value, type)}
    alive = _alive(list(classes.values()))
    todo = [code for code in _codes(run, namespace, path) + _running(run, path)]
    for cls in alive:
        todo += _methods(cls, path)
    used, found = set(), set()
    seen = set()
    while todo:
        code = todo.pop()
        if id(code) in seen:
            continue
        seen.add(id(code))
        used.update(code.co_names)
        todo += inner(code)
        for name in used & added.keys() - found:
            found.add(name)
            value = added[name]
            if isinstance(value, type):
                todo += _methods(value, path)
            else:
                todo += [each for each in (_code(value, path),) if each is not None]
    return found


def _codes(run, namespace, path):
    """Of closures and lambdas that new code has made; not those of `run` itself, which the patch has put into place."""
    own = run.__qualname__ + ".<locals>."
    return [fn.__code__ for fn in functions_of([namespace])
            if fn.__code__.co_filename == path and "<locals>" in fn.__qualname__ and not fn.__qualname__.startswith(own)
            and not hasattr(fn, MARK)]


def _running(run, path):
    """Code of the file that a thread is in, or that is suspended."""
    found = [code for _, stack in look.lines(tuple(look.idents())) for code, _ in stack if code.co_filename == path]
    suspendable = [code for code in _all(run.__code__) if code.co_flags & SUSPENDS]
    if suspendable:
        _, references, _ = look.suspended(suspendable)
        if any(look.has_frame(each) for each in references):
            found += suspendable
    return found


def _all(code):
    found = [code]
    for each in inner(code):
        found += _all(each)
    return found


def _alive(classes):
    """Those of some classes that have instances, themselves or by a class under them."""
    if not classes:
        return []
    family = {}     # id(class under one of them) -> which
    for cls in classes:
        todo = [cls]
        while todo:
            each = todo.pop()
            family.setdefault(id(each), []).append(cls)
            todo += type.__subclasses__(each)
    found = {}
    for kind in set(map(id, map(type, gc.get_objects()))) & family.keys():
        for cls in family[kind]:
            found[id(cls)] = cls
    return list(found.values())


def _methods(cls, path):
    found = []
    for value in list(_DICT(cls).values()):
        for each in (value, *(getattr(value, name, None) for name in ("fget", "fset", "fdel"))):
            code = _code(each, path)
            if code is not None:
                found.append(code)
    return found


def _code(value, path):
    """The code of a function of the livepatch's file, behind what wraps it."""
    while True:
        code = value.__code__ if type(value) is FunctionType else None
        if type(code) is CodeType and code.co_filename == path:
            return code
        value = (value.__dict__.get("__wrapped__") if type(value) is FunctionType else
                 value.__func__ if isinstance(value, (staticmethod, classmethod)) else getattr(value, "__wrapped__", None))
        if value is None:
            return None
