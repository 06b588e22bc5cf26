"""Dispatchers: the code that stands in for a function while a transition runs, and what it holds.

A dispatcher has the flavour, name, free variables and, where both versions agree on it, the signature of the function it
stands in for. It reaches what it needs through constants of its code, so that nothing of the program's is in the way:
neither its globals nor the function's closure change. A body is entered at its first step, so a coroutine or a generator
chooses its version when it is first resumed, in the task that does so.
"""
import errno
import sys
import types

from klpfs.engine.error import KlpError

from ..images import image as images
from .choice import choose, get_ident

_Method = types.MethodType
_compile, _exec, _set, _zip, _tuple, _len = compile, exec, set, zip, tuple, len
_QUALNAME = hasattr(types.CodeType, "co_qualname")
_GENERATOR, _COROUTINE, _ASYNC_GENERATOR = images.GENERATOR, images.COROUTINE, images.ASYNC_GENERATOR

# String constants of these stand for objects. A string that is called would earn a SyntaxWarning: hence `if 1 else 0`.
_BODIES = {
    0: "return ('V'['T'.sel.get(('I' if 1 else 0)(), 2)] or 'S'.pick())({call})",
    _GENERATOR: "return (yield from 'S'.pick()({call}))",
    _COROUTINE: "return await 'S'.pick()({call})",
    _ASYNC_GENERATOR: """{g} = 'S'.pick()({call})
  try:
   {v} = await {g}.__anext__()
   while True:
    try: {s} = yield {v}
    except GeneratorExit: await {g}.aclose(); raise
    except BaseException as {e}: {v} = await {g}.athrow({e})
    else: {v} = await {g}.asend({s})
  except StopAsyncIteration: return"""}

_templates = {}         # source text -> code; a large patch has few different ones


# 3.10 allocates a frame for the code that a function has when a call begins, and fills it for the one that it has after a
# collection in the middle of that (_PyFrame_New_NoTrack reads con->fc_code twice). A dispatcher that needs more stack than
# what it replaces then writes behind the frame's end. So there its stack is kept one entry smaller, which is slower.
_SMALL = sys.version_info[:2] == (3, 10)
if _SMALL:
    _BODIES[0] = "return (('V' if 1 else 0)('T'.sel.get(('I' if 1 else 0)())) or 'S'.pick())({call})"


class Switch:
    """One function object under one transition.

    function; record: the function's Record; t: the Transition; before, after: Images; held: the Image that was found;
    v: [function object of `before`, of `after`, None], the first two there when they have been called once, see version(), the
    last for who has no remembered choice; pick: choose for this Switch; key: id of the dispatcher's code; watch: nothing is switched here, only frames of older code are looked for; bodies: (codes of version 0, of version 1)
    by id; own: ids of all versions that the function ever had, as far as a dispatcher may have called them.
    """

    __slots__ = ("function", "record", "t", "before", "after", "held", "v", "pick", "watch", "bodies", "own", "key")

    def __init__(self, function, record, t, before, after, held):
        self.function, self.record, self.t = function, record, t
        self.before, self.after, self.held = before, after, held
        self.watch = before.code is after.code
        self.v = {0: None, 1: None} if _SMALL else [None, None, None]
        self.pick = None if self.watch else _Method(choose, self)

    def version(self, number):
        """The function object of a version; most of a large patch's are never asked for."""
        found = self.v[number]
        if found is None:
            found = self.v[number] = images.clone(self.function, self.after if number else self.before)
        return found


def check(function, before, after):
    """Raises KlpError(EINVAL) if `after` can't take the place of `before` in the function object."""
    if type(function) is not types.FunctionType:
        raise KlpError(errno.EINVAL, "%s is not a Python function" % (type(function).__name__,))
    name = function.__qualname__
    if before.code.co_freevars != after.code.co_freevars:
        raise KlpError(errno.EINVAL, "%s: the new code's free variables differ" % name)
    if (before.code.co_flags ^ after.code.co_flags) & images.FLAVOUR:
        raise KlpError(errno.EINVAL, "%s: a function can't become a generator or coroutine, or cease to be one" % name)


def _same(a, b):
    """Whether two tuples (or None) hold the very same objects."""
    return a is b or a is not None and b is not None and _len(a) == _len(b) and \
        not [1 for x, y in _zip(a, b) if x is not y]


def _signature(code):
    n = code.co_argcount + code.co_kwonlyargcount + bool(code.co_flags & 4) + bool(code.co_flags & 8)
    return code.co_argcount, code.co_posonlyargcount, code.co_kwonlyargcount, code.co_flags & 12, code.co_varnames[:n]


def _agree(before, after):
    """Whether one parameter list serves both images: same parameters, the very same defaults."""
    if _signature(before.code) != _signature(after.code) or not _same(before.defaults, after.defaults):
        return False
    a, b = before.kwdefaults or {}, after.kwdefaults or {}
    return _tuple(a) == _tuple(b) and _same(_tuple(a.values()), _tuple(b.values()))


def _parameters(code):
    """(parameter list, arguments that pass it on), two texts. The defaults lie in the function object."""
    names, positional, keyword = code.co_varnames, code.co_argcount, code.co_kwonlyargcount
    declared, passed = list(names[:positional]), list(names[:positional])
    only, rest = list(names[positional:positional + keyword]), list(names[positional + keyword:])
    if code.co_posonlyargcount:
        declared.insert(code.co_posonlyargcount, "/")
    if code.co_flags & 4:
        star = "*" + rest.pop(0)
        declared.append(star)
        passed.append(star)
    elif only:
        declared.append("*")
    declared += only
    passed += ["%s=%s" % (k, k) for k in only]
    if code.co_flags & 8:
        declared.append("**" + rest[0])
        passed.append("**" + rest[0])
    return ", ".join(declared), ", ".join(passed)


def _source(before, after):
    code = before.code
    declared = passed = "*a, **k"
    taken = _set("ak")
    if _agree(before, after) and not [n for n in code.co_varnames if "." in n]:
        declared, passed = _parameters(code)
        taken = _set(code.co_varnames)
    taken.update(code.co_freevars)
    own = {}
    for letter in "gvse":
        name = letter
        while name in taken:
            name += "_"
        own[letter] = name
    kind = code.co_flags & images.SUSPENDS
    body = _BODIES[kind].format(call=passed, **own)
    free = code.co_freevars
    # naming the free variables in dead code makes them the dispatcher's as well: the closure fits
    return "def outer():\n %s\n %sdef dispatcher(%s):\n  %s\n  %s\n return dispatcher" % (
        " = ".join(free) + " = None" if free else "pass", "async " if kind in (_COROUTINE, _ASYNC_GENERATOR) else "",
        declared, "if 0: (%s,)" % ", ".join(free) if free else "pass", body)


def make(switch):
    """The dispatcher's code for a Switch: a code object that no other function has."""
    before, after, function = switch.before, switch.after, switch.function
    source = _source(before, after)
    template = _templates.get(source)
    if template is None:
        if _len(_templates) > 1000:
            _templates.clear()
        space = {}
        _exec(_compile(source, "<klpfs dispatcher>", "exec", dont_inherit=True), space)
        template = _templates[source] = space["outer"]().__code__
        space.clear()
    code = before.code
    stands = {"S": switch, "T": switch.t, "V": switch.v.get if _SMALL else switch.v, "I": get_ident}
    changes = {
        "co_name": code.co_name, "co_firstlineno": code.co_firstlineno,
        "co_filename": "<klpfs dispatcher of %s>" % function.__qualname__,
        "co_consts": _tuple([stands.get(c, c) if type(c) is str else c for c in template.co_consts]),
        "co_flags": template.co_flags | code.co_flags & images.ITERABLE_COROUTINE}
    if _QUALNAME:
        changes["co_qualname"] = code.co_qualname
    made = template.replace(**changes)
    if made.co_freevars != code.co_freevars:
        raise KlpError(errno.EINVAL, "%s: its free variables can't be kept" % function.__qualname__)
    return made
