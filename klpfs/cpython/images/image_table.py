"""What each function object is to be, for any set of Funcs in force: the images that transitions switch between.

A definition that lies in another function lives in two places: in the function objects made so far, and in the constants
of the code around it, for those to come. So a change of it changes what is around it as well, up to the outermost.
"""
import weakref
from types import CellType, FunctionType

from klpfs.cpython.images.image import ATTRIBUTES, capture, Image, put
from klpfs.cpython.raw import inner, is_definition, MARK

_LAZY = "__annotate__" in ATTRIBUTES


class Held:
    """A function object that klpfs has changed. original: its Image as the program made it; now: the one put last;
    own: {place in ATTRIBUTES: value} of what the program has set itself since. images: {key: Image}, see Images.key."""

    __slots__ = ("ref", "definition", "original", "now", "own", "images")

    def __init__(self, fn, definition, original, now):
        self.ref, self.definition, self.original, self.now = weakref.ref(fn), definition, original, now
        self.own, self.images = {}, {}

    def note_own(self, now):
        for at, value in enumerate(now.values):
            if value is not self.now.values[at]:
                self.own[at] = value
                self.images.clear()
                self.original = Image(self.original.code, _with_own(self.original.values, self.own))


class Images:
    """state: {Definition: Func} of what is in force; no entry or None: the original."""

    __slots__ = ("registry", "state", "held", "composed", "empty")

    def __init__(self, registry):
        self.registry, self.state = registry, {}
        self.held = {}      # id(function) -> Held
        self.composed = {}  # see code(): key -> code object
        self.empty = {}     # nested Definition -> the function object that stands for those to come

    # -- which code

    def code(self, definition, state):
        """The code object of a definition when these Funcs are in force; None: the original."""
        func = state.get(definition)
        base = func.version.code if func is not None else None
        if base is not None:
            return base  # what lies in a new function is its own
        changed = [(each, self.code(each, state)) for each in definition.inners]
        changed = {key: code for each, code in changed if code is not None for key in each.originals}
        if not changed:
            return None
        key = (definition,) + tuple(sorted((old, id(new)) for old, new in changed.items()))
        found = self.composed.get(key)
        if found is None:
            found = self.composed[key] = _with(definition.code, changed)
            self.registry.made(definition, found)
        return found

    def forget(self, definition, code):
        """`code`, made for a Func, runs nowhere any more."""
        if definition is None:
            return
        self.registry.unmade(definition, code)
        for key, made in list(self.composed.items()):
            if any(new == id(code) for _, new in key[1:]):
                del self.composed[key]
                self.forget(key[0], made)

    # -- which image

    def original(self, fn, definition):
        held = self._held_of(fn)
        if held is not None:
            return held.original
        now = capture(fn)
        # One that patched code has made is born with new code; its attributes were evaluated around it, as ever.
        return now if id(now.code) in definition.originals else Image(definition.code, now.values)

    def image(self, fn, definition, state):
        """The Image of a function object when these Funcs are in force; for one that is held always the same."""
        held, original = self._held_of(fn), self.original(fn, definition)
        code, version = key = self.key(definition, state)
        if code is None:
            return original
        image = held.images.get(key) if held is not None else None
        if image is None:
            if version is None:
                image = Image(code, original.values)
            else:
                image = _image(code, version, original, held.own if held is not None else {})
            if held is not None:
                held.images[key] = image
        return image

    def key(self, definition, state):
        """Two states with one key give a function object the same image."""
        func = state.get(definition)
        return self.code(definition, state), None if func is None or func.version.code is None else func.version

    def older(self, definition, before, after):
        """Code of a definition, of whatever time, that is in force in neither state."""
        codes = self.code(definition, before), self.code(definition, after)
        known = {id(code) for code in codes}
        if None in codes:
            known.update(definition.originals)
        found = list(definition.originals.values()) + list(definition.made.values())
        return tuple(code for code in found if id(code) not in known)

    def touched(self, before, after, watched=()):
        """[(function object, Definition)] that a change between two states concerns, those to come included."""
        changed = {each for state in (before, after) for each in state if before.get(each) is not after.get(each)}
        changed.update(watched)
        found = []
        if not changed:
            return found
        for definition, functions in self.registry.functions(changed).items():
            if definition not in changed and self.key(definition, before) == self.key(definition, after):
                continue
            if definition.outer is not None:
                if definition not in self.empty:
                    self.empty[definition] = empty_function(definition)
                found.append((self.empty[definition], definition))
            found += [(fn, definition) for fn in functions]
        return found

    def concerned(self):
        """Definitions that klpfs has changed, or changes now."""
        return set(self.state) | set(self.registry.holders.values())

    def any_nested(self, state):
        return any(definition.outer is not None for definition in state)

    # -- putting

    def _held_of(self, fn):
        held = self.held.get(id(fn))
        return held if held is not None and held.ref() is fn else None

    def hold(self, fn, definition):
        """Remembers what a function object is, before it is changed. What the program has set since is its own."""
        held = self._held_of(fn)
        if held is None:
            now = capture(fn)
            self.held[id(fn)] = Held(fn, definition, self.original(fn, definition), now)
        elif fn.__code__ is held.now.code:
            held.note_own(capture(fn))

    def switch(self, changes, funcs):
        """Puts these Funcs in force at once, outside a transition."""
        state = dict(self.state)
        state.update((change.definition, func) for change, func in zip(changes, funcs))
        for fn, definition in self.touched(self.state, state):
            self._put(fn, definition, state)
        self.become(state)

    def _put(self, fn, definition, state):
        self.hold(fn, definition)
        held = self._held_of(fn)
        image = self.image(fn, definition, state)
        put(fn, image, held.now)
        held.now = image

    def put_was(self, fn, image):
        """A transition has put an image."""
        held = self._held_of(fn)
        if held is not None:
            held.now = image

    def put_state(self, definition, func):
        """One definition's function objects to what a Func makes of it, whatever they hold; what is around it too."""
        state = dict(self.state)
        state[definition] = func
        for one, functions in self.registry.functions([definition]).items():
            for fn in functions:
                held = self._held_of(fn)
                if held is not None or self.code(one, state) is not None:
                    self._put(fn, one, state)
        self.become(state, scan=False)

    def become(self, state, scan=True):
        """These Funcs are in force; the function objects that klpfs knew of hold their images already."""
        self.state = {definition: func for definition, func in state.items()
                      if func is not None and func.version is not None and func.version.code is not None}
        if scan and self.any_nested(self.state):
            self.settle()
        for key, held in list(self.held.items()):
            fn = held.ref()
            if fn is None or held.now is held.original:
                del self.held[key]
            else:
                held.images = {one: image for one, image in held.images.items() if image is held.now}
        around = {one for each in self.state for one in [each] + each.chain}
        for definition in list(self.empty):
            if definition not in around:
                del self.empty[definition]

    def settle(self):
        """Function objects that appeared meanwhile get what is in force: closures, and what a reload has made."""
        for definition, functions in self.registry.functions(self.state).items():
            for fn in functions:
                code = self.code(definition, self.state)
                held = self._held_of(fn)
                if code is not None and (held is None or fn.__code__ is not code):
                    self._put(fn, definition, self.state)


def _with_own(values, own):
    return tuple(own.get(at, value) for at, value in enumerate(values))


def _image(code, version, original, own):
    """own: what the program has set."""
    values = dict(zip(ATTRIBUTES, original.values))
    values["__doc__"] = version.doc
    if not version.keeps_defaults:
        defaults, by_key = version.settle(original) if version.settle else (version.defaults, version.kwdefaults)
        values["__defaults__"] = defaults
        values["__kwdefaults__"] = dict(by_key) if by_key else None
    if _LAZY:
        values["__annotate__"] = None
    else:
        values["__annotations__"] = dict(version.annotations or {})
    if "__type_params__" in values:
        values["__type_params__"] = version.type_params
    image = Image(code, _with_own([values[name] for name in ATTRIBUTES], own))
    if _LAZY:
        image.annotations = dict(version.annotations or {})
    return image


def _with(code, changed):
    """A code object like `code`, with the nested ones of `changed` (id -> code) exchanged; its parts are its own."""
    def one(each):
        if not hasattr(each, "co_consts"):
            return each
        if id(each) in changed:
            return changed[id(each)]
        if is_definition(each) or not inner(each) and each.co_flags & 1 == 0:
            return each
        return _with(each, changed)
    return code.replace(co_consts=tuple(one(each) for each in code.co_consts))


def empty_function(definition):
    """A function object of a nested definition, with empty cells: stands for those that will be made later."""
    closure = tuple(CellType() for _ in definition.code.co_freevars) or None
    fn = FunctionType(definition.code, definition.namespaces[-1], definition.code.co_name, None, closure)
    fn.__qualname__ = definition.name
    setattr(fn, MARK, True)
    return fn
