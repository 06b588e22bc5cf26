"""The Image of each function object for any set of Funcs in force: what transitions switch between.

A definition that lies in another function lives in two places: in the function objects made so far, and in the
constants of the code around it, for function objects to come. So a change of such a definition changes the code around
it as well, up to the outermost.
"""
from __future__ import annotations

import weakref
from types import CellType, FunctionType

from klpfs.cpython.images import version_numbers
from klpfs.cpython.images.image import ANNOTATIONS, ATTRIBUTES, Image, capture, has_left, put
from klpfs.cpython.raw import GENERATOR, ITERABLE_COROUTINE, MARK, OPTIMIZED, SUSPENDS, inner, is_definition

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from types import CodeType
    from typing import Any

    from klpfs.cpython.resolve.definitions import Definition, Registry
    from klpfs.cpython.resolve.new_function import NewCode
    from klpfs.engine.data import Func
    Funcs = Mapping[Definition, Func | None]            # what is in force; no entry or None: the original
    Key = tuple[CodeType | None, NewCode | None]        # see Images.key

_NOTHING: frozenset[int] = frozenset()


class ChangedFunction:
    """A function object that klpfs has changed. original: its Image as the program made it; newest: the Image put last;
    half_put: one of which an exception may have let in a part since. program_values: {place in ATTRIBUTES: value} of
    what the program has set itself since. left: annotations of an image that outlive it there, see note_program_values.
    images: {key: Image}, see Images.key."""

    __slots__ = ("ref", "original", "newest", "half_put", "program_values", "left", "images")

    def __init__(self, fn: FunctionType, original: Image, newest: Image) -> None:
        self.ref, self.original, self.newest = weakref.ref(fn), original, newest
        self.half_put: Image | None = None
        self.left: dict[str, Any] | None = None
        self.program_values: dict[int, Any] = {}
        self.images: dict[Key, Image] = {}

    def put(self, fn: FunctionType, image: Image) -> None:
        """fn: the function object. It may be cut off, and called again with this image or another."""
        known = [each for each in (self.newest, self.half_put) if each is not None]
        if self.left is not None:
            known.append(Image(image.code, _with_values(image.values, {ANNOTATIONS: self.left})))
        if self.half_put is not None and self.half_put is not image:
            put(fn, self.newest, *known)        # so that there are never parts of two
        self.half_put = image
        put(fn, image, *known)
        self.newest, self.half_put, self.left = image, None, None

    def note_program_values(self, fn: FunctionType, now: Image) -> None:
        """now: what the function object holds. What is not of the image put last is the program's. Where it has set
        `__annotate__` to None, what an image's function had made of annotations before is not: the original's has."""
        cached = self.original.cached_annotations
        for place, value in enumerate(now.values):
            if value is not self.newest.values[place] and (
                    self.half_put is None or value is not self.half_put.values[place]):
                before = self.original.values[place]
                if place == ANNOTATIONS and self.newest.values[place] is not before and has_left(
                        fn, value, self.newest.values[place]):
                    self.left, value = value, before
                    if type(value) is not dict:
                        value = cached if cached is not None else {}
                self.program_values[place] = value
                self.images.clear()
                self.original = Image(self.original.code, _with_values(self.original.values, self.program_values))
                if ANNOTATIONS not in self.program_values:
                    self.original.cached_annotations = cached


class Images:
    """state: {Definition: Func} of what is in force; no entry or None: the original. unsettled: functions that hold
    something else, because what put it, and then what took it back, was cut off by an exception (see mend; id(function)
    -> (function, Definition))."""

    __slots__ = ("registry", "state", "changed", "composed", "stand_ins", "unsettled")

    def __init__(self, registry: Registry) -> None:
        self.registry = registry
        self.state: dict[Definition, Func] = {}
        self.changed: dict[int, ChangedFunction] = {}                   # id(function) -> ChangedFunction
        self.composed: dict[tuple[Any, ...], CodeType] = {}             # see code()
        # Definition that lies in another function -> the function object that stands for those to come
        self.stand_ins: dict[Definition, FunctionType] = {}
        self.unsettled: dict[int, tuple[FunctionType, Definition]] = {}

    # -- which code

    def code(self, definition: Definition, state: Funcs) -> CodeType | None:
        """The code object of a definition when these Funcs are in force; None: the original."""
        func = state.get(definition)
        new: CodeType | None = func.new_code.code if func is not None else None
        if new is not None:
            return new          # what lies in a new function is its own
        inner_codes = [(definition, self.code(definition, state)) for definition in definition.inners]
        # of the originals those alone that lie there: copies come and go, and each state has one code for good
        there = _parts(definition.code) if any(code is not None for _, code in inner_codes) else _NOTHING
        exchanged = {key: code for inner_definition, code in inner_codes if code is not None
                     for key in inner_definition.originals if key in there}
        if not exchanged:
            return None
        key = (definition,) + tuple(sorted((old, id(code)) for old, code in exchanged.items()))
        code = self.composed.get(key)
        if code is None:
            code = self.composed[key] = _with(definition.code, exchanged)
            self.registry.made(definition, code)
        return code

    def forget(self, definition: Definition | None, code: CodeType) -> None:
        """`code`, made for a Func, runs nowhere any more."""
        if definition is None:
            return
        self.registry.unmade(definition, code)
        for key, composed in list(self.composed.items()):
            if any(new == id(code) for _, new in key[1:]):
                del self.composed[key]
                self.forget(key[0], composed)

    # -- which image

    def original(self, fn: FunctionType, definition: Definition) -> Image:
        """The Image of a function object as the program made it."""
        changed = self._changed(fn)
        if changed is not None:
            return changed.original
        now = capture(fn)
        # A function object that patched code has made is born with new code; its attributes were evaluated around it,
        # as ever.
        if definition.is_original(now.code):
            return now
        # 3.12: only a function whose defaults are those that it was made with may have its code's version number
        as_made = now.version_number == version_numbers.number_of_code(now.code)
        code = self._marked(definition, definition.code, now.code)
        image = Image(code, now.values, None if as_made else version_numbers.new_number())
        image.cached_annotations = now.cached_annotations
        return image

    def image(self, fn: FunctionType, definition: Definition, state: Funcs) -> Image:
        """The Image of a function object when these Funcs are in force; for a ChangedFunction's always the same
        object."""
        changed, original = self._changed(fn), self.original(fn, definition)
        code, new_code = key = self.key(definition, state)
        if code is None:
            return original
        image = changed.images.get(key) if changed is not None else None
        if image is None:
            code = self._marked(definition, code, original.code)
            if new_code is None:
                image = Image(code, original.values)
                image.cached_annotations = original.cached_annotations
            else:
                image = _image(fn, code, new_code, original, changed.program_values if changed is not None else {})
            if changed is not None:
                changed.images[key] = image
        return image

    def key(self, definition: Definition, state: Funcs) -> Key:
        """Two states with one key give a function object the same image."""
        func = state.get(definition)
        return self.code(definition, state), None if func is None or func.new_code.code is None else func.new_code

    def _marked(self, definition: Definition, code: CodeType, like: CodeType) -> CodeType:
        """A code of the definition's, or a copy that types.coroutine's mark is on: it may have marked the code of each
        function object that was made (`like`)."""
        if not like.co_flags & ITERABLE_COROUTINE or code.co_flags & SUSPENDS != GENERATOR or \
                code.co_flags & ITERABLE_COROUTINE:
            return code
        key = (definition, (ITERABLE_COROUTINE, id(code)))
        marked = self.composed.get(key)
        if marked is None and id(code) in definition.originals:
            marked = definition.marked()
        if marked is None:
            marked = code.replace(co_flags=code.co_flags | ITERABLE_COROUTINE)
            self.registry.copied(definition, code, marked)
            if id(code) not in definition.originals:    # `forget` comes for klpfs's own codes only
                self.composed[key] = marked
        return marked

    def sides(self, definition: Definition, before: Funcs, after: Funcs) -> \
            tuple[dict[int, CodeType], dict[int, CodeType]]:
        """({id: code} of the codes of a definition, of whatever time, that count as older ones, without altered ones,
        and of those that count as what is in force after a change). Where the change does not concern the definition
        there are none of the latter: what is in force is neither."""
        old, new = self.code(definition, before), self.code(definition, after)
        newer = definition.alike(new)
        older = {**definition.originals, **definition.made, **definition.copies}
        return {key: code for key, code in older.items() if key not in newer}, newer if old is not new else {}

    def concerned_functions(self, before: Funcs, after: Funcs,
                watched: Iterable[Definition] = (), doubts: set[str] | None = None,
                strangers: set[tuple[Definition, str]] | None = None) -> \
            list[tuple[FunctionType, Definition]]:
        """[(function object, Definition)] that a change between two states concerns, stand-ins for those to come
        included. doubts, strangers: get what may be missing, see Registry.functions."""
        definitions = {definition for state in (before, after) for definition in state
                       if before.get(definition) is not after.get(definition)}
        definitions.update(watched)
        found: list[tuple[FunctionType, Definition]] = []
        if not definitions:
            return found
        for definition, functions in self.registry.functions(definitions, doubts, strangers).items():
            if definition not in definitions and self.key(definition, before) == self.key(definition, after):
                continue
            if definition.outer is not None:
                if definition not in self.stand_ins:
                    self.stand_ins[definition] = _stand_in(definition)
                found.append((self.stand_ins[definition], definition))
            found += [(fn, definition) for fn in functions]
        return found

    def changed_definitions(self) -> set[Definition]:
        """Definitions that klpfs has changed, or changes now. Also asked by a thread that imports, while the agent's
        changes the tables: of a copy, which is made in one step."""
        return set(list(self.state)) | set(list(self.registry.holders.values()))

    def has_nested(self, state: Funcs) -> bool:
        """Whether a definition of the state lies in another function."""
        return any(definition.outer is not None for definition in state)

    # -- putting

    def _changed(self, fn: FunctionType) -> ChangedFunction | None:
        changed = self.changed.get(id(fn))
        return changed if changed is not None and changed.ref() is fn else None

    def hold(self, fn: FunctionType, definition: Definition) -> None:
        """Remembers what a function object is, before it is changed. What the program has set since is its own.
        Counterpart: become."""
        self.registry.note_member(fn, definition)
        changed = self._changed(fn)
        if changed is None:
            now = capture(fn)
            self.changed[id(fn)] = ChangedFunction(fn, self.original(fn, definition), now)
        elif fn.__code__ is changed.newest.code or id(fn.__code__) in definition.copies:
            changed.note_program_values(fn, capture(fn))

    def forget_dead(self, keys: Iterable[int]) -> None:
        """Function objects that had these ids are gone, and what was remembered of them."""
        for key in keys:
            changed = self.changed.get(key)
            if changed is not None and changed.ref() is None:
                del self.changed[key]

    def switch(self, changes: Sequence[Any], funcs: Sequence[Func | None]) -> None:
        """Puts these Funcs in force at once, outside a transition: all of them or, where an exception cuts it off,
        none; what even then could not be taken back is `unsettled`. changes: the engine's, one for each Func."""
        before = self.state
        state: dict[Definition, Any] = dict(before)
        state.update((change.definition, func) for change, func in zip(changes, funcs))
        concerned = self.concerned_functions(before, state)
        try:
            for fn, definition in concerned:
                self._put(fn, definition, state)
            self.become(state)
        except BaseException:           # no memory, an interrupt, an audit hook that refuses
            self.state = before
            self.unsettled.update((id(fn), (fn, definition)) for fn, definition in concerned)
            try:
                self.mend()
            except BaseException:       # no memory still: it stays unsettled
                pass
            raise

    def mend(self) -> None:
        """Functions that are unsettled get what is in force. Those that still can't stay, and what the first of them
        raised is raised."""
        failed: BaseException | None = None
        for key, (fn, definition) in list(self.unsettled.items()):
            try:
                changed = self._changed(fn)
                if changed is not None:         # a definition may be forgotten by now: no _put
                    changed.put(fn, self.image(fn, definition, self.state))
                elif self.code(definition, self.state) is not None:
                    self._put(fn, definition, self.state)
                del self.unsettled[key]
            except BaseException as error:
                failed = failed or error
        if failed is not None:
            raise failed

    def _put(self, fn: FunctionType, definition: Definition, state: Funcs) -> None:
        self.hold(fn, definition)
        self.changed[id(fn)].put(fn, self.image(fn, definition, state))

    def note_put(self, fn: FunctionType, image: Image) -> None:
        """A transition has put an image."""
        changed = self._changed(fn)
        if changed is not None:
            changed.newest, changed.left = image, None

    def put_state(self, definition: Definition, func: Func | None) -> None:
        """Gives a definition's function objects, whatever they hold, what a Func makes of it; likewise what is around
        it."""
        state: dict[Definition, Any] = dict(self.state)
        state[definition] = func
        for concerned, functions in self.registry.functions([definition]).items():
            for fn in functions:
                if self._changed(fn) is not None or self.code(concerned, state) is not None:
                    self._put(fn, concerned, state)
        self.become(state, scan=False)

    def become(self, state: Funcs, scan: bool = True) -> None:
        """These Funcs are in force; the function objects that klpfs knew of hold their images already. scan: look for
        function objects that appeared meanwhile."""
        self.state = {definition: func for definition, func in state.items()
                      if func is not None and func.new_code is not None and func.new_code.code is not None}
        if scan and self.has_nested(self.state):
            self.settle()
        for fn_id, changed in list(self.changed.items()):
            if changed.ref() is None or changed.newest is changed.original:
                del self.changed[fn_id]
            else:
                changed.images = {key: image for key, image in changed.images.items() if image is changed.newest}
        around = {outer for definition in self.state for outer in [definition] + definition.chain}
        for definition in list(self.stand_ins):
            if definition not in around:
                del self.stand_ins[definition]

    def settle(self) -> bool:
        """Function objects that appeared meanwhile get what is in force: closures, and what a reload has made. Whether
        any did."""
        found = False
        for definition, functions in self.registry.functions(self.state).items():
            for fn in functions:
                code = self.code(definition, self.state)
                if code is not None and (self._changed(fn) is None or fn.__code__ is not code):
                    found = found or self._changed(fn) is None
                    self._put(fn, definition, self.state)
        return found


def _with_values(values: Sequence[Any], program_values: Mapping[int, Any]) -> tuple[Any, ...]:
    return tuple(program_values.get(place, value) for place, value in enumerate(values))


def _image(fn: FunctionType, code: CodeType, new_code: NewCode, original: Image,
           program_values: Mapping[int, Any]) -> Image:
    """The Image that new code makes of a function object. program_values: what the program has set, which stays."""
    values: dict[str, Any] = dict(zip(ATTRIBUTES, original.values))
    values["__doc__"] = new_code.doc
    if not new_code.keeps_defaults:
        defaults, by_key = new_code.settle(original) if new_code.settle else (new_code.defaults, new_code.kwdefaults)
        values["__defaults__"] = defaults
        values["__kwdefaults__"] = dict(by_key) if by_key else None
    own = new_code.type_params.of(original, fn) if new_code.type_params is not None else ()
    annotations = new_code.annotations
    if annotations is None or isinstance(annotations, dict):
        values[ATTRIBUTES[ANNOTATIONS]] = dict(annotations or {})
    else:
        values[ATTRIBUTES[ANNOTATIONS]] = annotations.function(original.values[ANNOTATIONS], fn, own)
    if "__type_params__" in values:
        values["__type_params__"] = own
    return Image(code, _with_values([values[name] for name in ATTRIBUTES], program_values))


def _with(code: CodeType, exchanged: Mapping[int, CodeType]) -> CodeType:
    """A code object like `code`, with the nested ones of `exchanged` (id -> code) put in; its parts are its own."""
    def part(const: Any) -> Any:
        if not hasattr(const, "co_consts"):
            return const
        if id(const) in exchanged:
            return exchanged[id(const)]
        if is_definition(const) or not inner(const) and const.co_flags & OPTIMIZED == 0:
            return const
        return _with(const, exchanged)
    return code.replace(co_consts=tuple(part(const) for const in code.co_consts))


def _parts(code: CodeType) -> set[int]:
    """The ids of the codes that `_with` can exchange in a code object."""
    found: set[int] = set()
    for const in code.co_consts:
        if hasattr(const, "co_consts"):
            found.add(id(const))
            if not is_definition(const):
                found |= _parts(const)
    return found


def _stand_in(definition: Definition) -> FunctionType:
    """A function object of a nested definition, with empty cells: stands for the function objects that will be made
    later."""
    closure = tuple(CellType() for _ in definition.code.co_freevars) or None
    fn = FunctionType(definition.code, definition.namespaces[-1], definition.code.co_name, None, closure)
    fn.__qualname__ = definition.name
    setattr(fn, MARK, True)
    return fn
