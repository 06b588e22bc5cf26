"""What a package looks like from inside, as text that two processes can compare: names, signatures, code, constants,
bases.

Runs in the program, standard library alone. A patched OLD should look like NEW: compare() lists where it does not. Line
numbers, docstrings, annotations and object identities are left out; so is what a release says of itself.
"""
import inspect
import re
import sys
import types

OF_RELEASE = re.compile(
    r"version|^__date__$|^__author__$|^__copyright__$|^__license__$|^__build__$|^__cached__$|^__file__$|^__doc__$|^__all__$",
    re.I,
)
_SKIP = {"__builtins__", "__dict__", "__weakref__", "__module__", "__spec__", "__loader__", "__path__",
         "__annotations__", "__qualname__", "__firstlineno__", "__static_attributes__", "__warningregistry__",
         "__annotate_func__", "__annotations_cache__", "__annotate__", "__conditional_annotations__", "__orig_bases__",
         "__parameters__", "__abstractmethods__", "__slots__", "_abc_impl", "__package__", "__name__"}
_PLAIN = (int, float, complex, bool, str, bytes, type(None), type(Ellipsis))


def shape(roots):
    """{'module:C.name': text} of the modules whose first name is in roots."""
    found, seen = {}, set()
    for name, module in sorted(sys.modules.items()):
        if name.partition(".")[0] in roots and isinstance(module, types.ModuleType):
            found[name + ":"] = "module"
            _space(found, name + ":", vars(module), seen, name)
    return found


def compare(patched, new):
    """Texts of what is otherwise in the first; what it has besides NEW's is none of them (old names may stay)."""
    found = []
    for where in sorted(new):
        if where not in patched:
            found.append("%s: missing (%s)" % (where, new[where][:60]))
        elif patched[where] != new[where]:
            one, other = patched[where], new[where]
            at = next((i for i, (a, b) in enumerate(zip(one, other)) if a != b), min(len(one), len(other)))
            found.append("%s: ...%s instead of ...%s"
                         % (where, one[max(at - 20, 0):at + 40], other[max(at - 20, 0):at + 40]))
    return found


def _space(found, prefix, space, seen, module):
    for key, value in list(space.items()):
        if key in _SKIP or OF_RELEASE.search(key):
            continue
        where = prefix + key
        found[where] = _text(value, 4)
        _inside(found, where, value, seen, module)


def _inside(found, where, value, seen, module):
    if isinstance(value, type):
        if value.__module__ == module and id(value) not in seen:
            seen.add(id(value))
            _space(found, where + ".", type.__dict__["__dict__"].__get__(value), seen, module)
    elif isinstance(value, (staticmethod, classmethod)):
        _inside(found, where, value.__func__, seen, module)
    elif isinstance(value, property):
        for name in ("fget", "fset", "fdel"):
            if getattr(value, name) is not None:
                found["%s.%s" % (where, name)] = _text(getattr(value, name), 4)


def _text(value, depth):
    if isinstance(value, types.FunctionType):
        return "def %s%s" % (_signature(value), _code(value.__code__))
    if isinstance(value, (staticmethod, classmethod)):
        return "%s %s" % (type(value).__name__, _text(value.__func__, depth))
    if isinstance(value, type):
        return "class %s(%s)" % (value.__qualname__,
                                 ", ".join(each.__module__ + "." + each.__qualname__ for each in value.__bases__))
    if isinstance(value, types.ModuleType):
        return "module " + value.__name__
    if isinstance(value, _PLAIN):
        return repr(value)
    if isinstance(value, re.Pattern):
        return "re %r %d" % (value.pattern, value.flags)
    if depth and type(value) in (list, tuple, set, frozenset):
        inner = [_text(each, depth - 1) for each in list(value)]
        return "%s[%s]" % (type(value).__name__, ", ".join(sorted(inner) if type(value) in (set, frozenset) else inner))
    if depth and type(value) is dict:
        return "{%s}" % ", ".join(sorted("%s: %s" % (_text(k, depth - 1), _text(v, depth - 1))
                                         for k, v in list(value.items())))
    wrapped = getattr(value, "__wrapped__", None) if callable(value) else None
    return (
        "%s of %s" % (type(value).__name__, _text(wrapped, depth))
        if isinstance(wrapped, types.FunctionType)
        else type(value).__name__
    )


def _signature(function):
    """Parameters and defaults, as types where the values have no text of their own."""
    parts = []
    for each in inspect.signature(function, follow_wrapped=False).parameters.values():
        text = ("*" * (each.kind == each.VAR_POSITIONAL) + "**" * (each.kind == each.VAR_KEYWORD)) + each.name
        parts.append(text if each.default is each.empty else "%s=%s" % (text, _text(each.default, 2)))
    return "(%s)" % ", ".join(parts)


def _code(code):
    """What a function's code names and holds: the same whether or not a name was led to the livepatch's file."""
    inner = [each for each in code.co_consts if isinstance(each, types.CodeType)]
    plain = sorted({_text(each, 4) for each in code.co_consts if isinstance(each, _PLAIN + (tuple, frozenset))
                    and not _documents(code, each)
                    and each is not None})
    return " %s %s names %s consts %s inner [%s]" % (code.co_name, code.co_varnames, sorted(set(code.co_names)), plain,
                                                    "; ".join(_code(each) for each in inner))


def _documents(code, value):
    return isinstance(value, str) and bool(code.co_consts) and value is code.co_consts[0]
