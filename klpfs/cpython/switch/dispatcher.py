"""Dispatchers: code that stands in for a function while a transition runs, and a Switch, which the code reaches.

A dispatcher has the flavour, name, free variables and, where both sides agree on it, the signature of the function it
stands in for. It reaches what it needs through constants of its code, so that nothing of the program's is in the way:
neither its globals nor the function's closure change. A body is entered at its first step, so a coroutine or a
generator chooses its side when it is first resumed, in the task that does so.
"""
from __future__ import annotations

import sys
from errno import EINVAL
from types import CodeType, FunctionType

from klpfs.engine.error import KlpError

from ..images import image as images
from ..raw import ASYNC_GENERATOR, COROUTINE, GENERATOR, ITERABLE_COROUTINE, SUSPENDS, VARARGS, VARKEYWORDS
from .choice import choose, get_ident
from .relay import first_step, going_on, relay

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from .entry import Entry
    from .live_dispatchers import Record
    from .switching import Transition
    Codes = dict[int, CodeType]

_compile, _exec, _set, _list, _zip, _tuple, _len, _type, _id = compile, exec, set, list, zip, tuple, len, type, id
_str, _bool = str, bool
_FILE = "<klpfs dispatcher"      # how the names of dispatchers' files begin
_QUALNAME = hasattr(CodeType, "co_qualname")
_repr = repr
_EQUAL, _FLOATS = (int, str, bytes, bool), (float, complex)
_NO_IDS: frozenset[int] = frozenset()
_NO_CODES: tuple[Codes, Codes] = {}, {}

# String constants of these stand for objects: '1S' the Switch, '1T' its Transition, '1F' the Switch's functions, '1I'
# get_ident; '1G', '1N', '1A' and '1B' exceptions, whose names the program may use for something else. A keyword of the
# call may be a constant as well: none begins with a digit. A string that is called would earn a SyntaxWarning: hence
# `if 1 else 0`. '1T'.choices is exchanged by Transition.flip. The arguments are the side's alone, which may wait for
# the end of what it has dropped ({drop}; of a plain call they can't be). Nothing is handed on in an exception's
# handler, or it would be the context of the side's exceptions; and neither an error stays in a variable, or its
# traceback would keep the frame, nor what is yielded or sent: hence the lists that are emptied at once.
_RELAYED = """{g} = {made}{drop}
  {v} = '1S'.relay({g})
  while True:
   try: return (WAITS {v})
   except '1G' as {e}:
    if {g}.FRAME is None: raise
    {v} = [{e}]
   try: {v} = '1S'.going_on({g}, {g}.throw({v}.pop()))
   except '1N' as {e}: return {e}.value"""
_BODIES = {
    0: "return ('1F'['1T'.choices.get(('1I' if 1 else 0)(), 2)] or '1S'.choose())({call})",
    GENERATOR: _RELAYED.replace("WAITS", "yield from").replace("FRAME", "gi_frame"),
    COROUTINE: _RELAYED.replace("WAITS", "await").replace("FRAME", "cr_frame"),
    ASYNC_GENERATOR: """{g} = {made}{drop}
  try:
   {v} = [await '1S'.first_step({g})]
   while True:
    try: {s} = [(yield {v}.pop())]
    except '1B' as {e}: {s} = [{g}.athrow({e})]
    else: {s} = [{g}.asend({s}.pop())]
    {v} = [await {s}.pop()]
  except '1A': return"""}

_EXCEPTIONS: dict[str, Any] = {"1G": GeneratorExit, "1N": StopIteration, "1A": StopAsyncIteration, "1B": BaseException}

_templates: dict[str, CodeType] = {}        # source text -> code; a large patch has few different texts
_TEMPLATES = 1000                           # so many are kept


# 3.10 allocates a frame for the code that a function has when a call begins, and fills it for the code that it has
# after a collection in the middle of that (_PyFrame_New_NoTrack reads con->fc_code twice). A dispatcher that needs more
# stack than what it replaces then writes behind the frame's end. So there its stack is kept one entry smaller, which is
# slower.
_SMALL = sys.version_info[:2] == (3, 10)
if _SMALL:
    _BODIES[0] = "return (('1F' if 1 else 0)('1T'.choices.get(('1I' if 1 else 0)())) or '1S'.choose())({call})"
    _BODIES[GENERATOR] = "return (yield from {made})"     # GeneratorExit closes: README, Limits
    _BODIES[COROUTINE] = "return await {made}"


class _Functions(list):
    """The function objects of a Switch: a list that has a hash, since the program's tools keep sets of code objects,
    and a code's hash asks its constants."""

    __slots__ = ()
    __hash__ = object.__hash__      # type: ignore[assignment]


class Switch:
    """A function object in a transition.

    function; entry: which it was made for; record: the function's Record; transition; before, after: Images of the
        sides 0 and 1; found_image: the Image that the function held.
    functions: indexed by the remembered choice: 0 or 1 gives that side's function object (made on its first call, see
        function_of), 2 means "no choice remembered" and holds None, so the dispatcher calls choose(). On 3.10 a dict
        without 2.
    dispatcher_id: id of the dispatcher's code. only_watched: nothing is switched here, only frames of older code are
        looked for. gone: its object has gone out of the program, and the function holds what that left it.
    codes_by_side: ({id: code} of side 0, of side 1), their comprehensions and what a force left running included; older
        and newer code is the entry's. callable_ids: ids of
        the codes of all sides that the function ever had, as far as a dispatcher may have called them.
    """

    __slots__ = ("function", "entry", "record", "transition", "before", "after", "found_image", "functions",
                 "only_watched", "gone", "codes_by_side", "callable_ids", "dispatcher_id")

    choose = choose         # a method of the class's: a bound one in a slot would be a cycle, which keeps old code
    relay, going_on, first_step = staticmethod(relay), staticmethod(going_on), staticmethod(first_step)

    def __init__(self, entry: Entry, record: Record, transition: Transition, found_image: images.Image) -> None:
        self.function, self.entry, self.record, self.transition = entry.fn, entry, record, transition
        self.before, self.after, self.found_image = entry.before, entry.after, found_image
        self.only_watched, self.gone = entry.before.code is entry.after.code, False
        self.functions: Any = {0: None, 1: None} if _SMALL else _Functions((None, None, None))
        self.codes_by_side: tuple[dict[int, CodeType], dict[int, CodeType]] = {}, {}
        self.callable_ids: frozenset[int] = _NO_IDS
        self.dispatcher_id: int | None = None

    def function_of(self, side: int) -> FunctionType:
        """The function object of a side; most of a large patch's are never asked for. Called by the program's threads,
        maybe by several at once: each makes an equal function object, and the last store stays."""
        function: FunctionType | None = self.functions[side]
        if function is None:
            function = self.functions[side] = images.clone(self.function, self.after if side else self.before)
        return function

    def function_in_force(self) -> FunctionType:
        """OVER: the function object to call when a tool has put back a dispatcher, or a copy of that. Called by the
        program's threads."""
        code = code_of_calls(self)
        for side, image in ((0, self.before), (1, self.after)):
            if image.code is code:
                return self.function_of(side)
        return images.clone(self.function, images.Image(code, images.capture(self.function).values))

    def has(self, code_id: int) -> bool:
        """Whether the code with this id is the function's: of a side, older or newer."""
        return self.is_of(code_id, 0) or self.is_of(code_id, 1)

    def is_of(self, code_id: int, side: int) -> bool:
        """Whether the code with this id is the function's, and of that side."""
        return code_id in self.codes_by_side[side] or code_id in (self.entry.newer if side else self.entry.older)

    def is_settled(self, goal: int) -> bool:
        """Whether the function's own code is of the goal; of one that is only watched: is what is in force."""
        code_id = _id(self.function.__code__)
        return code_id not in self.entry.older if self.before is self.after else self.is_of(code_id, goal)

    def noted(self, made: Any) -> Any:
        """What the dispatcher has made of a side, which may hand something on; returned as it is. As in choose: a
        dispatcher of an earlier transition has asked the newest."""
        newest = self.record.switch
        return (self if newest is None else newest).transition.waiting.note(made)

    def drop_functions(self) -> None:
        """The function objects of the sides go; each is made again if it is asked for."""
        self.functions[0] = self.functions[1] = None

    def release(self) -> None:
        """A Switch that no dispatcher calls any more lets go of codes: its Transition may live on until garbage is
        collected."""
        self.callable_ids, self.codes_by_side = _NO_IDS, _NO_CODES


def switch_of(code: CodeType) -> Switch | None:
    """The Switch of a dispatcher's code, or of a copy of that; None of other code."""
    found: list[Switch] = [const for const in code.co_consts if _type(const) is Switch]
    return found[0] if found else None


def in_force(code: CodeType) -> CodeType:
    """The code that the calls of a dispatcher get whose transition is over; of other code that itself."""
    its = switch_of(code) if code.co_filename[:_len(_FILE)] == _FILE else None
    return code if its is None else code_of_calls(its)


def code_of_calls(its: Switch) -> CodeType:
    """The code that the calls of a Switch's dispatcher get when no task is in the way, or its transition is over."""
    record = its.record
    if record.switch is None and record.in_force is not None:
        put = record.in_force()
        if put is not None:
            return put
    newest = record.switch or its
    return (newest.after if newest.transition.state.goal else newest.before).code


def check(function: FunctionType, before: images.Image, after: images.Image) -> None:
    """Raises KlpError(EINVAL) if `after` can't take the place of `before` in the function object."""
    if _type(function) is not FunctionType:
        raise KlpError(EINVAL, f"{_type(function).__name__} is not a Python function")
    name = function.__qualname__
    if before.code.co_freevars != after.code.co_freevars:
        raise KlpError(EINVAL, f"{name}: the new code's free variables differ")
    if (before.code.co_flags ^ after.code.co_flags) & images.FLAVOUR:
        raise KlpError(EINVAL, f"{name}: a function can't become a generator or coroutine, or cease to be one")


def _alike(a: Any, b: Any) -> bool:
    """Whether two defaults are the same: one object, or equal values of a type that can't be changed. A literal is an
    object of its own in each file. Floats by their texts, for 0.0 == -0.0."""
    if a is b:
        return True
    kind = _type(a)
    if kind is not _type(b):
        return False
    if kind is _tuple:
        return _len(a) == _len(b) and not [1 for x, y in _zip(a, b) if not _alike(x, y)]
    return kind in _EQUAL and a == b or kind in _FLOATS and _repr(a) == _repr(b)


def _same(a: tuple[Any, ...] | None, b: tuple[Any, ...] | None) -> bool:
    """Whether two tuples (or None) hold the same defaults."""
    return a is b or a is not None and b is not None and _alike(a, b)


def _signature(code: CodeType) -> tuple[Any, ...]:
    n = code.co_argcount + code.co_kwonlyargcount + _bool(code.co_flags & VARARGS) + _bool(code.co_flags & VARKEYWORDS)
    return (code.co_argcount, code.co_posonlyargcount, code.co_kwonlyargcount, code.co_flags & (VARARGS | VARKEYWORDS),
            code.co_varnames[:n])


def _agree(before: images.Image, after: images.Image) -> bool:
    """Whether one parameter list serves both images: same parameters, the same defaults."""
    if _signature(before.code) != _signature(after.code) or not _same(before.defaults, after.defaults):
        return False
    a, b = before.kwdefaults or {}, after.kwdefaults or {}
    return _tuple(a) == _tuple(b) and _same(_tuple(a.values()), _tuple(b.values()))


def _parameters(code: CodeType) -> tuple[str, str]:
    """(parameter list, arguments that pass it on), two texts. The defaults lie in the function object."""
    names, positional, keyword = code.co_varnames, code.co_argcount, code.co_kwonlyargcount
    declared, passed = _list(names[:positional]), _list(names[:positional])
    only, rest = _list(names[positional:positional + keyword]), _list(names[positional + keyword:])
    if code.co_posonlyargcount:
        declared.insert(code.co_posonlyargcount, "/")
    if code.co_flags & VARARGS:
        star = "*" + rest.pop(0)
        declared.append(star)
        passed.append(star)
    elif only:
        declared.append("*")
    declared += only
    passed += [f"{name}={name}" for name in only]
    if code.co_flags & VARKEYWORDS:
        declared.append("**" + rest[0])
        passed.append("**" + rest[0])
    return ", ".join(declared), ", ".join(passed)


def _source(before: images.Image, after: images.Image) -> str:
    """The text of a function that makes the dispatcher."""
    code = before.code
    of_both = _agree(before, after) and not [n for n in code.co_varnames if "." in n]
    taken = _set(code.co_freevars)
    if of_both:
        taken.update(code.co_varnames)
    else:       # what has an annotation: inspect would show it at a parameter of the dispatcher's
        taken.update(_signature(code)[-1], _signature(after.code)[-1])
    own = {}        # what the dispatcher calls its own variables
    for letter in "akgvse":
        name = letter
        while name in taken:
            name += "_"
        own[letter] = name
    names: tuple[str, ...]
    if of_both:
        declared, passed = _parameters(code)
        names = _signature(code)[-1]
    else:
        names = own["a"], own["k"]
        declared = passed = f"*{names[0]}, **{names[1]}"
    kind = code.co_flags & SUSPENDS
    made = f"'1S'.choose()({passed})"
    if kind:                # also where neither can wait: in a later transition, which it may come to be of, one may
        made = f"'1S'.noted({made})"
    drop = "\n  del " + ", ".join(names) if names else ""
    body = _BODIES[kind].format(call=passed, made=made, drop=drop, **own)
    free = code.co_freevars
    bound = f"{' = '.join(free)} = None" if free else "pass"
    asynchronous = "async " if kind in (COROUTINE, ASYNC_GENERATOR) else ""
    # naming the free variables in dead code makes them the dispatcher's as well: the closure fits
    unreached = f"if 0: ({', '.join(free)},)" if free else "pass"
    return (f"def outer():\n {bound}\n {asynchronous}def dispatcher({declared}):\n  {unreached}\n  {body}\n"
            " return dispatcher")


def make(switch: Switch) -> CodeType:
    """The dispatcher's code for a Switch: a code object that no other function has."""
    before, after, function = switch.before, switch.after, switch.function
    source = _source(before, after)
    template = _templates.get(source)
    if template is None:
        if _len(_templates) > _TEMPLATES:
            _templates.clear()
        space: dict[str, Any] = {}
        _exec(_compile(source, f"{_FILE}>", "exec", dont_inherit=True), space)
        template = _templates[source] = space["outer"]().__code__
        space.clear()
    code = before.code
    objects = {"1S": switch, "1T": switch.transition, "1I": get_ident, **_EXCEPTIONS,
               "1F": switch.functions.get if _SMALL else switch.functions}
    changes: dict[str, Any] = {
        "co_name": code.co_name, "co_firstlineno": code.co_firstlineno,
        "co_filename": f"{_FILE} of {function.__qualname__}>",
        "co_consts": _tuple([objects.get(const, const) if _type(const) is _str else const
                             for const in template.co_consts]),
        "co_flags": template.co_flags | code.co_flags & ITERABLE_COROUTINE}
    if _QUALNAME:
        changes["co_qualname"] = code.co_qualname
    made = template.replace(**changes)
    if made.co_freevars != code.co_freevars:
        raise KlpError(EINVAL, f"{function.__qualname__}: its free variables can't be kept")
    return made
