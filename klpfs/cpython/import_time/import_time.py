"""What importing the new version of a module would do differently, done to the module that is loaded, and taken back.

    def of_filters(klp):                            # as if at the module's top level: the names are the module's
        global LIMIT, helper
        LIMIT = 20
        def helper(x): ...
        class Environment(metaclass=klp.part):      # only what is new in the class that is there
            cache_size = LIMIT

    Object("jinja2.filters", funcs=[...], callbacks=ImportTime(of_filters))

The function runs in the patched module's globals when its object is about to be patched (pre_patch), before any new
code can run; so old code sees it from then on, too. It is taken back when the last old code has taken over again
(post_unpatch). What is only taken away in the new version goes last and comes back first (post_patch, pre_unpatch).
When another patch replaces this one, what the other has put over it stays (overlays.py).
"""
import sys
from types import FunctionType, ModuleType

from klpfs.engine import shadow
from klpfs.engine.data import LIVE, Callbacks
from klpfs.engine.log import pr_info
from klpfs.cpython.import_time import caches, overlays
from klpfs.cpython.import_time.class_work import ClassWork, free_slots
from klpfs.cpython.code_names import stores
from klpfs.cpython.import_time.enum_members import forget_combinations
from klpfs.cpython.import_time.name_copies import copies_of
from klpfs.cpython.import_time.overlays import ABSENT, Attribute, Item
from klpfs.cpython.import_time.tables import is_data, merged
from klpfs.cpython.import_time.new_modules import public_names
from klpfs.cpython.import_time.class_block import owner_of, Part
from klpfs.cpython.import_time.side_effects import Watch
from klpfs.cpython.import_time.still_in_use import needed


class ImportTime(Callbacks):
    """run: a function of one parameter, as above; None: nothing. Its parameter is this object's Run.

    everywhere: names of `run` whose old value, where modules and classes hold it under whatever name, is exchanged for
    the new one as well. removed: names ("LIMIT", "Environment.method") that the new version has no more. watch: names
    whose objects the statements of `run` change without binding a name; what they hold is compared before and after.
    before, after: functions of one parameter, the Object: what is written by hand, called after `run`, and before it is
    taken back. modules: NewModules that can be imported from before `run` on until it was taken back.
    caches: as caches.py names them, emptied when the patch goes in, when its transition is complete, and likewise on the way out.

    then: as run, for values that are computed by functions which the patch changes: it runs when the transition is complete,
    and what it binds is taken back before the next one begins. Only data counts (numbers, text, tables, patterns): an object
    with a life of its own stays the one that it is.

    An exception in `run` or `before` refuses the patch (EINVAL, or the errno of an OSError); what it did is taken back.
    """

    __slots__ = ("run", "everywhere", "removed", "watch", "before", "after", "modules", "caches", "space", "then")

    def __init__(self, run=None, everywhere=(), removed=(), watch=(), before=None, after=None, modules=(), caches=(),
                 then=None):
        for each in (run, then):
            if each is not None and type(each) is not FunctionType:
                raise TypeError("ImportTime: run is a plain function, not %s" % type(each).__name__)
        Callbacks.__init__(self, self._apply, self._remove, self._restore, self._undo)
        self.run, self.everywhere, self.removed, self.watch = run, tuple(everywhere), tuple(removed), tuple(watch)
        self.before, self.after, self.modules, self.caches = before, after, tuple(modules), tuple(caches)
        self.then = then
        self.space = None   # the dict of the module that it was done to, also when `run` has put a stand-in into its place

    @property
    def adds(self):
        """Global names that `run` binds in the module."""
        return frozenset() if self.run is None else frozenset(stores(self.run.__code__))

    @property
    def runs(self):
        """Functions of the livepatch's file that run in other modules' globals."""
        making = [each[1] for each in self.caches if not isinstance(each, str)]
        return [each for each in (self.run, self.then, *(one.run for one in self.modules), *making) if each is not None]

    def replaced(self, obj):
        """Another patch has taken the place of this one; its own values stay."""
        overlays.take(self._owner(obj))
        overlays.take(self._owner(obj, "removed"))
        self._withdraw()

    # -- the four callbacks

    def _apply(self, obj):
        self.space = namespace = _namespace(obj)
        owner = self._owner(obj)
        names = Names(obj.name)
        try:
            for each in self.modules:
                each.offer()
            if self.run is not None:
                try:
                    Run(self, owner, namespace).go(self.run)
                finally:
                    names.note(owner)
            if self.before is not None:
                return self.before(obj)
            self._empty(obj)
        except BaseException:
            overlays.take(owner)
            self._withdraw()
            raise

    def _empty(self, obj):
        """Empties the caches of all objects of the patch, when the last of its loaded objects has changed."""
        objects = [each for each in obj.patch.objects if isinstance(each.callbacks, ImportTime)]
        if obj.mod is None or obj.mod.state == LIVE:
            if any(each.loaded for each in objects[objects.index(obj) + 1:]):
                return
        caches.empty([one for each in objects for one in each.callbacks.caches])

    def _withdraw(self):
        for each in reversed(self.modules):
            each.withdraw()

    def _remove(self, obj):
        namespace, owner = self.space, self._owner(obj, "removed")
        for name in self.removed:
            holder, _, key = name.rpartition(".")
            cls = owner_of(namespace, holder) if holder else None
            if not holder:
                place = Item(namespace, key)
            elif cls is not None:
                place = Attribute(cls, key)
            else:
                continue
            if place.get() is not ABSENT:
                overlays.put(owner, place, ABSENT)
        if self.then is not None:
            Run(self, owner, namespace, True).go(self.then)
        self._empty(obj)

    def _restore(self, obj):
        overlays.take(self._owner(obj, "removed"))

    def _undo(self, obj):
        try:
            if self.after is not None:
                self.after(obj)
        finally:
            owner = self._owner(obj)
            self._exchange_back(obj, owner)
            free_slots(owner)
            self._leave(obj, owner)
            overlays.take(owner)
            forget_combinations(owner)
            self._withdraw()
            self._empty(obj)

    def _leave(self, obj, owner):
        """What was added and closures or objects made meanwhile go on using stays, until nobody knows when."""
        added = [(place, new) for place, old, new in overlays.pairs(owner) if old is ABSENT and type(place) in (Item, Attribute)
                 and type(place.key) is str]
        if self.run is None or not added:
            return
        stays = needed(self.run, self.space, {place.key: new for place, new in added})
        for place, _ in added:
            if place.key in stays:
                overlays.leave(owner, place)
        if stays:
            pr_info(shadow.log, "'%s': %s of '%s' stay%s: what was made while patched may use %s" % (
                obj.patch.name, ", ".join("'%s'" % each for each in sorted(stays)), obj.name,
                "s" * (len(stays) == 1), "them" if len(stays) > 1 else "it"))

    def _owner(self, obj, what="run"):
        return _owners.setdefault((id(self), what), (self, what))

    def _exchange_back(self, obj, owner):
        """Modules that came meanwhile have imported new values by name; they get the old ones."""
        for place, old, new in overlays.pairs(owner):
            name = place.key if type(place) is Item else "%s.%s" % (place.holder.__qualname__, place.key) if type(place) is Attribute else None
            if type(name) is str and name in self.everywhere:
                for copy in copies_of(new, name, obj.name or "__main__"):
                    if copy.identity != place.identity and not overlays.known(copy):
                        copy.set(old)


_owners = {}  # (id(ImportTime), what) -> the owner of its values; the ImportTime lives as long as its patch's file


class Run(ClassWork):
    """What `run` is given, for one module: klp.part, klp.removes(NAME, key ...), and for classes what ClassWork has."""

    __slots__ = ("import_time", "owner", "namespace", "part", "gone", "data_only")

    def __init__(self, import_time, owner, namespace, data_only=False):
        self.data_only = data_only
        self.import_time, self.owner, self.namespace = import_time, owner, namespace
        self.part = Part(self)
        self.gone = {}

    def removes(self, name, *keys):
        """The table that `name` is bound to is changed in place where others may hold it; of what it has now and the new
        one has not, only these keys go: the others are the program's own entries."""
        self.gone[name] = keys

    def star(self, name):
        """from NAME import *"""
        for key, value in public_names(name, self.namespace).items():
            place = Item(self.namespace, key)
            old = place.get()
            if old is not value:
                overlays.put(self.owner, place, value)

    def go(self, run):
        code = run.__code__
        names = sorted(stores(code))
        before = {name: dict.get(self.namespace, name, ABSENT) for name in names}
        watched = Watch(self.namespace, code, self.import_time.watch)
        try:
            FunctionType(code, self.namespace, code.co_name)(self)
        except BaseException:
            watched.note(self.owner)
            for name, value in before.items():
                Item(self.namespace, name).set(value)
            raise
        watched.note(self.owner)
        for name, old in before.items():
            self.bound(Item(self.namespace, name), old, name)

    def bound(self, place, old, name):
        """A name was bound by `run`: notes it, so that it can be taken back. name: as `everywhere` has it."""
        new = place.get()
        if new is old or new is ABSENT:
            return
        if old is not ABSENT and not overlays.known(place):
            changes = merged(old, new, self.gone.get(name))
            if changes is not None:  # the same table, with other contents
                place.set(old)
                for each, value in changes:
                    overlays.put(self.owner, each, value)
                return
        if self.data_only and not is_data(new):
            place.set(old)
            return
        overlays.note(self.owner, place, old)
        if old is not ABSENT and name in self.import_time.everywhere:
            for copy in copies_of(old, name, self.namespace.get("__name__")):
                overlays.put(self.owner, copy, new)


class Names:
    """What modules are found by name, to be compared later: import time may put a stand-in into the place of a module, or give
    one more names. Modules that were imported under their own names stay."""

    __slots__ = ("modules", "attribute", "was")

    def __init__(self, name):
        """name: of the module that is patched; its package knows it as an attribute as well."""
        self.modules, self.attribute = dict(sys.modules), None
        parent, _, last = (name or "").rpartition(".")
        if issubclass(type(self.modules.get(parent)), ModuleType):  # its __class__ is not asked: some pretend
            self.attribute = Item(ModuleType.__dict__["__dict__"].__get__(self.modules[parent]), last)
            self.was = self.attribute.get()

    def note(self, owner):
        for key, module in list(sys.modules.items()):
            before = self.modules.get(key, ABSENT)
            if before is not module and (before is not ABSENT or getattr(getattr(module, "__spec__", None), "name", key) != key):
                overlays.note(owner, Item(sys.modules, key), before)
        for key in self.modules.keys() - sys.modules.keys():
            overlays.note(owner, Item(sys.modules, key), self.modules[key])
        if self.attribute is not None and self.attribute.get() is not self.was:
            overlays.note(owner, self.attribute, self.was)


def _namespace(obj):
    module = sys.modules["__main__" if obj.name is None else obj.name]
    return ModuleType.__dict__["__dict__"].__get__(module)
