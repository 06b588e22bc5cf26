"""Values that patches put into the running program, each over the one before, and how they are taken back in any order.

A place is one value that can be read, set and deleted: an item of a dict, an attribute of a class, a member of a set, the
contents of a list. Over what the program has there itself lie the values of the patches, each with its owner. When a
patch goes from the middle (it was replaced), what lies above stays; when the topmost goes, what is below is in force
again. What the program itself has put there since is the program's, and stays.

Used by one thread at a time: callbacks run one after the other.
"""

ABSENT = type("Absent", (), {"__repr__": lambda self: "<absent>", "__slots__": ()})()


class Item:
    """An item of a dict."""

    __slots__ = ("holder", "key")

    def __init__(self, holder, key):
        self.holder, self.key = holder, key

    @property
    def identity(self):
        return "item", id(self.holder), _hashable(self.key)

    def get(self):
        return dict.get(self.holder, self.key, ABSENT) if isinstance(self.holder, dict) else self.holder.get(self.key, ABSENT)

    def set(self, value):
        if value is ABSENT:
            self.holder.pop(self.key, None)
        else:
            self.holder[self.key] = value


class Attribute:
    """An attribute of a class's own dict. The metaclass is not asked: type's own way, which tells the caches."""

    __slots__ = ("holder", "key")

    def __init__(self, holder, key):
        self.holder, self.key = holder, key

    @property
    def identity(self):
        return "attribute", id(self.holder), self.key

    def get(self):
        return type.__dict__["__dict__"].__get__(self.holder).get(self.key, ABSENT)

    def set(self, value):
        if value is ABSENT:
            type.__delattr__(self.holder, self.key)
        else:
            type.__setattr__(self.holder, self.key, value)


class Field:
    """An attribute of an object that is no class, through object's own way; '__bases__' and the like of a class, too."""

    __slots__ = ("holder", "key")

    def __init__(self, holder, key):
        self.holder, self.key = holder, key

    @property
    def identity(self):
        return "field", id(self.holder), self.key

    def get(self):
        try:
            return (type if isinstance(self.holder, type) else object).__getattribute__(self.holder, self.key)
        except AttributeError:
            return ABSENT

    def set(self, value):
        kind = type if isinstance(self.holder, type) else object
        if value is ABSENT:
            kind.__delattr__(self.holder, self.key)
        else:
            kind.__setattr__(self.holder, self.key, value)


class Member:
    """Whether something is in a set: True or ABSENT."""

    __slots__ = ("holder", "key")

    def __init__(self, holder, key):
        self.holder, self.key = holder, key

    @property
    def identity(self):
        return "member", id(self.holder), self.key

    def get(self):
        return True if self.key in self.holder else ABSENT

    def set(self, value):
        if value is ABSENT:
            self.holder.discard(self.key)
        else:
            self.holder.add(self.key)


class Contents:
    """All elements of a list (or what has slices like one), as a tuple."""

    __slots__ = ("holder",)

    def __init__(self, holder):
        self.holder = holder

    @property
    def identity(self):
        return "contents", id(self.holder), None

    def get(self):
        return _Elements(self.holder)

    def set(self, value):
        self.holder[:] = value


class _Elements(tuple):
    """Compared by the identity of each element."""

    __slots__ = ()

    def same(self, other):
        return len(self) == len(other) and all(a is b for a, b in zip(self, other))


def _hashable(key):
    return type(key).__name__, key


def _same(one, other):
    return one is other or type(one) is _Elements and type(other) is _Elements and one.same(other)


class _Stack:
    __slots__ = ("place", "values")

    def __init__(self, place):
        self.place, self.values = place, [[None, place.get()]]


_stacks = {}  # a place's identity -> _Stack; it holds the place, so that its id stays its own


def put(owner, place, value):
    """Lays a value over what is in force at a place. owner: any object; once for each place, a second value of the same owner replaces the first."""
    if type(place) is Contents:
        value = _Elements(value)
    stack = _stacks.get(place.identity)
    if stack is None:
        stack = _Stack(place)
    now = place.get()
    if not _same(now, stack.values[-1][1]):
        stack.values[-1][1] = now  # the program has set it meanwhile: that is what will be there again
    place.set(value)
    _stacks[place.identity] = stack
    for each in stack.values[1:]:
        if each[0] is owner:
            each[1] = value
            if each is not stack.values[-1]:
                stack.values.remove(each)
                stack.values.append(each)
            return
    stack.values.append([owner, value])


def note(owner, place, before):
    """As put, for a value that is there already: `before` is what was there."""
    now = place.get()
    value = tuple(now) if type(place) is Contents else now
    place.set(before)
    put(owner, place, value)


def take(owner):
    """Takes all values of an owner away, the last put first. Returns the errors of places that could not be set."""
    errors = []
    for identity, stack in reversed(list(_stacks.items())):
        for at, (whose, value) in enumerate(stack.values):
            if at and whose is owner:
                del stack.values[at]
                if at == len(stack.values) and _same(stack.place.get(), value):
                    try:
                        stack.place.set(stack.values[-1][1])
                    except Exception as error:
                        errors.append(error)
                break
        if len(stack.values) == 1:
            _stacks.pop(identity, None)
    return errors


def leave(owner, place):
    """An owner's value at a place becomes what is there anyhow: nobody takes it away again."""
    stack = _stacks.get(place.identity)
    if stack is not None:
        stack.values[0][1] = next((value for whose, value in stack.values[1:] if whose is owner), stack.values[0][1])
        stack.values = [each for at, each in enumerate(stack.values) if not at or each[0] is not owner]
        if len(stack.values) == 1:
            del _stacks[place.identity]


def pairs(owner):
    """[(place, value below, the owner's value)] of the places that hold a value of an owner."""
    found = []
    for stack in list(_stacks.values()):
        for below, each in zip(stack.values, stack.values[1:]):
            if each[0] is owner:
                found.append((stack.place, below[1], each[1]))
    return found


def known(place):
    """Whether a patch has put a value there."""
    return place.identity in _stacks
