"""Import time: what importing a module's new version would do differently, done to the loaded module, and taken back.

    def of_filters(klp):                            # as if at the module's top level: the names are the module's
        global LIMIT, helper
        LIMIT = 20
        def helper(x): ...
        class Environment(metaclass=klp.part):      # only what is new in the class that the module has
            cache_size = LIMIT

    Object("jinja2.filters", funcs=[...], callbacks=ImportTime(of_filters))

The function runs in the patched module's globals when its object is about to be patched (pre_patch), before any new
code can run; so old code sees its work from then on, too, but for names that change `together` with the functions
(together.py). Its work is taken back when the last old code has taken over again (post_unpatch). What is only taken
away in the new version goes last and comes back first (post_patch, pre_unpatch). When a later patch replaces this
patch, what the later patch has put over its values stays (overlays.py).
"""
from __future__ import annotations

import sys
from types import CodeType, FunctionType, ModuleType

from klpfs.cpython.code_names import globals_at_once, stores
from klpfs.cpython.import_time import abstract_classes, caches, call_closures, carried, one_table, overlays
from klpfs.cpython.import_time.class_block import Part
from klpfs.cpython.import_time.class_work import ClassWork, free_slots
from klpfs.cpython.import_time.enum_members import forget_combinations
from klpfs.cpython.import_time.name_copies import copies_of, is_of, made_copies
from klpfs.cpython.import_time.new_modules import public_names
from klpfs.cpython.import_time.overlays import ABSENT, Attribute, Item
from klpfs.cpython.import_time.side_effects import Watch
from klpfs.cpython.import_time.still_in_use import needed
from klpfs.cpython.import_time.tables import TABLES, is_data, merged
from klpfs.cpython.import_time.together import ByVersion, Together
from klpfs.cpython.lazy_imports import is_lazy, stand_in, use
from klpfs.cpython.raw import class_at, module_dict
from klpfs.engine import shadow
from klpfs.engine.data import LIVE, Callbacks
from klpfs.engine.log import pr_info, pr_warn

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any, Callable

    from klpfs.cpython.import_time.call_closures import Closure
    from klpfs.cpython.import_time.carried import Carried
    from klpfs.cpython.import_time.new_modules import New
    from klpfs.cpython.import_time.overlays import Place
    from klpfs.engine.data import Object
    from klpfs.engine.target import Blocker


class ImportTime(Callbacks):
    """Callbacks that do to a module what importing its new version would do differently, and take it back.

    run: a function of one parameter, as above; None: nothing. Its parameter is this object's Run. everywhere: names of
    `run` whose old value, where modules and classes hold it under whatever name, is exchanged for the new value as
    well. removed: names ("LIMIT", "Environment.method") that the new version has no more. watch: names whose objects
    the statements of `run` change without binding a name; what they hold is compared before and after. before, after:
    functions of one parameter, the Object: what is written by hand, called after `run`, and before it is taken back.
    modules: NewModules that can be imported from before `run` on until it was taken back. caches: as caches.py names
    them, emptied when the patch goes in, when its transition is complete, and likewise on the way out.

    carried: values of objects that are alive (carried.py), put in after `run`. closures: (qualified name, line) of
    functions made by calls that can't get new code (call_closures.py): none may be alive.

    together: names whose new values are new code's alone until all tasks run it (together.py).

    then: as run, for values that are computed by functions which the patch changes: it runs when the transition is
    complete, and what it binds is taken back before the next transition begins. Only data counts (numbers, text,
    tables, patterns): an object with a life of its own stays the object that it is.

    An exception in `run` or `before` refuses the patch (EINVAL, or the errno of an OSError); what it did is taken back.
    TypeError: run or then is no plain function.
    """

    __slots__ = ("run", "everywhere", "removed", "watch", "before", "after", "modules", "caches", "space", "then",
                 "carried", "together", "closures", "codes", "offered", "applied", "owners", "run_code")

    def __init__(self, run: FunctionType | None = None, everywhere: Iterable[str] = (), removed: Iterable[str] = (),
                 watch: Iterable[str] = (), before: Callable[[Object], Any] | None = None,
                 after: Callable[[Object], Any] | None = None, modules: Iterable[New] = (),
                 caches: Iterable[str | tuple[str, FunctionType]] = (), then: FunctionType | None = None,
                 carried: Iterable[Carried] = (), together: Iterable[str] = (),
                 closures: Iterable[Closure] = ()) -> None:
        for function in (run, then):
            if function is not None and type(function) is not FunctionType:
                raise TypeError(f"ImportTime: run is a plain function, not {type(function).__name__}")
        Callbacks.__init__(self, self._apply, self._remove, self._restore, self._undo)
        self.run, self.everywhere, self.removed, self.watch = run, tuple(everywhere), tuple(removed), tuple(watch)
        self.before, self.after, self.modules, self.caches = before, after, tuple(modules), tuple(caches)
        self.then, self.carried, self.together = then, tuple(carried), Together(together)
        self.closures = tuple(closures)
        # the dict of the module that it was done to, also when `run` has put a stand-in into the module's place
        self.space: dict[str, Any] = {}
        self.codes: list[Any] = []      # as carried.codes gives them
        self.offered: ImportTime | None = None      # whose _apply has offered the modules
        self.applied = False
        self.run_code: CodeType | None = None       # of `run`, with names that can be exchanged
        self.owners: dict[str, object] = {}     # what -> the owner of its values in overlays

    @property
    def adds(self) -> frozenset[str]:       # type: ignore[override]
        """Global names that `run` binds in the module."""
        return frozenset() if self.run is None else frozenset(stores(self.run.__code__))

    @property
    def runs(self) -> list[FunctionType]:   # type: ignore[override]
        """Functions of the livepatch's file that run in other modules' globals."""
        making = [cache[1] for cache in self.caches if not isinstance(cache, str)]
        return [function for function in (self.run, self.then, *(module.run for module in self.modules), *making)
                if function is not None]

    def divided(self, obj: Object, code: CodeType) -> CodeType:
        """The code of a new function of the object, whose names change together. diverted_names.Undivided."""
        return self.together.divided(obj, code)

    def in_the_way(self, obj: Object) -> list[Blocker]:
        """Closures that run old code, and that the transition to the patch waits for."""
        return call_closures.in_the_way(obj.name, self.space, self.closures, _path_of(obj))

    def replaced(self, obj: Object) -> None:
        """Another patch has taken the place of this one's; its own values stay."""
        self.together.end(self.space)
        overlays.take(self._owner(obj))
        overlays.take(self._owner(obj, "removed"))
        overlays.take(self._owner(obj, "codes"))
        self._withdraw(obj)

    # -- the four callbacks

    def _apply(self, obj: Object) -> Any:
        """pre_patch. Counterpart: _undo."""
        self.space = namespace = _namespace(obj)
        call_closures.refuse(obj.name, namespace, self.closures, _path_of(obj))
        owner = self._owner(obj)
        module_names = ModuleNames(obj.name)
        try:
            self._offer(obj)
            self.together.begin(namespace)
            if self.run is not None:
                try:
                    Run(self, owner, namespace, obj).go(self.run)
                finally:
                    module_names.note(owner)
            for name in self.together.new:
                at = self._place(name)
                self.together.own[name] = ABSENT if at is None else overlays.own(at)
            carried.put(owner, obj.name, namespace, self._carried(False))
            abstract_classes.settle(owner)
            self.codes = carried.codes(namespace, self.carried)
            if self.before is not None:
                return self.before(obj)
            self._empty(obj)
        except BaseException:
            self.together.settle(False)
            self.together.end(namespace)
            overlays.take(owner)
            self._withdraw(obj)
            raise

    def _carried(self, together: bool) -> list[Carried]:
        """What is carried in values that change together with the functions, or in all others."""
        return [each for each in self.carried
                if (each[0].replace("[", ".").partition(".")[0] in self.together.diversion.names) is together]

    def _offer(self, obj: Object) -> None:
        """Offers the new modules of all loaded objects of the patch, for what runs for an object may import those of
        any: modules import each other in circles."""
        self.applied = True
        for other in _import_times(obj):
            if other.offered is None:
                other.offered = self
                for module in other.modules:
                    module.offer()

    def _empty(self, obj: Object) -> None:
        """Empties the caches of all objects of the patch, when the last of its loaded objects has changed."""
        if self._is_alone(obj) or self._is_last(obj):
            caches.empty([cache for patched in _with_import_time(obj) for cache in patched.callbacks.caches])

    def _withdraw(self, obj: Object) -> None:
        """Counterpart of _offer: withdraws the modules of this object, and those that it has offered for objects that
        were never applied."""
        self.applied = False
        for other in reversed(_import_times(obj)):
            if other is self or other.offered is self and not other.applied:
                for module in reversed(other.modules if other.offered is not None else ()):
                    module.withdraw()
                other.offered = None

    def _remove(self, obj: Object) -> None:
        """post_patch. Counterpart: _restore."""
        namespace, owner = self.space, self._owner(obj, "removed")
        for name in self.removed:
            at = self._place(name)
            if at is not None and at.get() is not ABSENT:
                overlays.put(owner, at, ABSENT)
        for blocker in self.in_the_way(obj):        # made in the last moment, or left by force
            pr_warn(shadow.log, f"{blocker.name}, in the old version")     # type: ignore[arg-type]
        for name, new in list(self.together.new.items()):
            at = self._place(name)
            if at is not None and self.together.is_untouched(name, overlays.own(at)):
                Run(self, owner, namespace, obj).bind(at, new, name, self.together.gone.get(name))
        self.together.end(namespace)
        self.together.settle(True)
        carried.put(owner, obj.name, namespace, self._carried(True))
        abstract_classes.settle(owner)
        if self.then is not None:
            Run(self, owner, namespace, obj, True).go(self.then)
        self._put_codes(obj)
        self._empty(obj)

    def _place(self, name: str) -> Place | None:
        """The place of a name, "LIMIT" or "Environment.size"; None: there is no such class."""
        holder, _, key = name.rpartition(".")
        if not holder:
            return Item(self.space, key)
        cls = class_at(self.space, holder)
        return Attribute(cls, key) if cls is not None else None

    def _put_codes(self, obj: Object) -> None:
        """Puts codes of the objects of the patch into the sets that had those of before, when the last of its loaded
        objects is complete: only then all have the names, and the hash, that they keep."""
        for other in [self] if self._is_alone(obj) else _import_times(obj) if self._is_last(obj) else []:
            carried.put_codes(other._owner(obj, "codes"), other.codes)

    def _is_alone(self, obj: Object) -> bool:
        """Whether the object comes or goes alone, with its module."""
        return not (obj.mod is None or obj.mod.state == LIVE)

    def _is_last(self, obj: Object) -> bool:
        """Whether no loaded object of the patch comes after this one."""
        objects = _with_import_time(obj)
        return not any(patched.loaded for patched in objects[objects.index(obj) + 1:])

    def _restore(self, obj: Object) -> None:
        """pre_unpatch. Counterpart: _remove."""
        owner = self._owner(obj, "removed")
        others = [self] if self._is_alone(obj) else _import_times(obj)
        for other in others:                    # as long as all codes have the hash with which they were put in
            overlays.take(other._owner(obj, "codes"))
        for other in others:                    # all new code has its values before any goes
            other.together.begin_again(other.space)
        self._forget_programs_own()
        self.together.settle(None)
        for _, below, value in overlays.pairs(self._owner(obj)):
            if type(value) is ByVersion:        # the patch that was below may have been replaced
                value.put_over(below)
        self._exchange_back(obj, owner)
        self._take(owner)

    def _forget_programs_own(self) -> None:
        """What the program has put into the places of values is not put there again, if this transition turns back."""
        for name in list(self.together.new):
            at = self._place(name)
            if at is None or not self.together.is_untouched(name, overlays.own(at)):
                del self.together.new[name]

    def _undo(self, obj: Object) -> None:
        """post_unpatch. Counterpart: _apply."""
        try:
            if self.after is not None:
                self.after(obj)
        finally:
            owner = self._owner(obj)
            self.together.settle(False)
            self.together.end(self.space)
            for kept in ("codes", "removed"):       # _restore has taken them, but where it was cut off
                self._exchange_back(obj, self._owner(obj, kept))
                self._take(self._owner(obj, kept))
            self._exchange_back(obj, owner)
            free_slots(owner)
            self._leave(obj, owner)
            self._take(owner)
            forget_combinations(owner)
            self._withdraw(obj)
            self._empty(obj)

    def _take(self, owner: object) -> None:
        """Takes back all that an owner has put."""
        hooked = abstract_classes.hooked(owner)
        overlays.take(owner)
        for cls in hooked:
            abstract_classes.forget(cls)

    def _leave(self, obj: Object, owner: object) -> None:
        """Leaves in the module what was added and closures or objects made meanwhile go on using: nothing tells when
        they end."""
        added = [(place, new) for place, old, new in overlays.pairs(owner)
                 if old is ABSENT and type(place) in (Item, Attribute) and type(place.key) is str]
        if self.run is None or not added:
            return
        stays = needed(self.run, self.space, {place.key: new for place, new in added})
        for place, _ in added:
            if place.key in stays:
                overlays.leave(owner, place)
        if stays:
            names, verb, them = ", ".join(f"'{name}'" for name in sorted(stays)), "stay", "them"
            if len(stays) == 1:
                verb, them = "stays", "it"
            patch: Any = obj.patch
            pr_info(shadow.log, f"'{patch.name}': {names} of '{obj.name}' {verb}: "     # type: ignore[arg-type]
                                f"what was made while patched may use {them}")

    def _owner(self, obj: Object, what: str = "run") -> object:
        return self.owners.setdefault(what, object())

    def _exchange_back(self, obj: Object, owner: object) -> None:
        """Gives modules that came meanwhile, and have imported new values by name, the old values."""
        for place, old, new in overlays.pairs(owner):
            name = place.key
            if type(place) is Attribute:
                name = f"{place.holder.__qualname__}.{place.key}"
            elif type(place) is not Item:
                continue
            if type(name) is str and name in self.everywhere:
                new = place.get() if is_lazy(new) else new
                imported = not is_of(new, self.space)       # another module has it, too, and is to keep it
                for copy in copies_of(new, name, obj.name or "__main__", by_name=imported):
                    if copy.identity != place.identity and not overlays.known(copy):
                        copy.set(old)


def _import_times(obj: Object) -> list[ImportTime]:
    """The ImportTimes of an object and of the loaded objects of its patch."""
    return [patched.callbacks for patched in _with_import_time(obj) if patched is obj or patched.loaded]


def _with_import_time(obj: Object) -> list[Any]:
    """The objects of an object's patch whose callbacks are an ImportTime."""
    patch: Any = obj.patch
    return [patched for patched in patch.objects if isinstance(patched.callbacks, ImportTime)]


class Run(ClassWork):
    """The parameter of `run`, for one module: klp.part, klp.lacks(NAME), klp.removes(NAME, key ...), and for classes
    what ClassWork has."""

    __slots__ = ("import_time", "owner", "namespace", "obj", "part", "removed_keys", "data_only")

    def __init__(self, import_time: ImportTime, owner: object, namespace: dict[str, Any], obj: Object,
                 data_only: bool = False) -> None:
        self.obj = obj
        self.import_time, self.owner, self.namespace, self.data_only = import_time, owner, namespace, data_only
        self.part = Part(self)
        self.removed_keys: dict[str, tuple[Any, ...]] = {}      # see removes

    def removes(self, name: str, *keys: Any) -> None:
        """The table that `name` is bound to is changed in place where other code may hold it; of what the table has now
        and the new table has not, only these keys go: all other keys are the program's own entries."""
        self.removed_keys[name] = keys

    def lacks(self, name: str) -> bool:
        """Whether the program itself has no such global name, or attribute of a class: "C.m". """
        holder, _, key = name.rpartition(".")
        cls = class_at(self.namespace, holder) if holder else None
        place: Place = Item(self.namespace, key) if cls is None else Attribute(cls, key)
        return overlays.own(place) is ABSENT

    def star(self, name: str) -> None:
        """from NAME import *"""
        for key, value in public_names(name, self.namespace).items():
            place = Item(self.namespace, key)
            old = place.get()
            if old is not value:
                overlays.put(self.owner, place, value)

    def lazy(self, statement: str) -> Any:
        """What the import statement of one name binds in the module when it is lazy (3.15): in a function none can be.
        Before 3.15 what it imports."""
        return stand_in(statement, self.namespace)

    def go(self, run: FunctionType) -> None:
        """Runs the function in the module's globals and notes what it did; or raises what it raised, with its names
        bound as before."""
        code = run.__code__
        together = not self.data_only
        names = sorted(stores(code))
        # what it works on is there before it is watched: else what it changes would pass for the module's own
        use(self.namespace, (globals_at_once(code) | {*self.import_time.watch}).difference(names))
        before = {name: dict.get(self.namespace, name, ABSENT) for name in names}
        patch: Any = self.obj.patch
        watched = Watch(self.namespace, code, self.import_time.watch,
                        {each.name.partition(".")[0] for each in patch.objects if each.name})
        try:
            if together and self.import_time.run_code is None:
                self.import_time.run_code = self.import_time.divided(self.obj, code)
            runs = self.import_time.run_code if together else None
            FunctionType(runs or code, self.namespace, code.co_name)(self)
        except BaseException:
            watched.note(self.owner)
            for name, value in before.items():
                Item(self.namespace, name).set(value)
            raise
        watched.note(self.owner)
        if together:
            self.import_time.together.note(self.namespace, self.removed_keys)
        for name, old in before.items():
            self.bound(Item(self.namespace, name), old, name)

    def bound(self, place: Place, old: Any, name: str) -> None:
        """Notes that `run` has bound a name, so that it can be taken back. name: as `everywhere` has it."""
        new = place.get()
        if new is old or new is ABSENT:
            return
        if old is not ABSENT and not overlays.known(place):
            changes = merged(old, new, self.removed_keys.get(name))
            if changes is not None:  # the same table, with other contents
                place.set(old)
                self._change_table(old, new, changes)
                return
        if self.data_only and not is_data(new):
            place.set(old)
            return
        overlays.note(self.owner, place, old)
        self._everywhere(old, new, name)

    def _change_table(self, old: Any, new: Any, changes: list[tuple[Place, Any]]) -> None:
        """Changes a table in place; who has got the new one gets it instead."""
        if type(new) in TABLES:
            for attribute, _, value in overlays.pairs(self.owner):
                if value is new and type(attribute) is Attribute:
                    overlays.put(self.owner, attribute, old)
            one_table.put_in_place_of(new, old, self.import_time.together.new)
        for entry, value in changes:
            overlays.put(self.owner, entry, value)
        for copy in made_copies(new, self.namespace):       # it is imported from where it is made now
            overlays.put(self.owner, copy, old)

    def by_version(self, name: str, old: Any, new: Any) -> Any:
        """What a class gets in the place of a value that changes together with the functions; None: the value."""
        run = self.import_time.run
        return None if run is None or self.data_only else self.import_time.together.by_version(
            name, old, new, run.__code__.co_filename)

    def bind(self, place: Place, new: Any, name: str, gone: tuple[Any, ...] | None) -> None:
        """Binds a name, as if `run` had, or changes its table. gone: keys of the table, as removes() has them."""
        old = place.get()
        changes = merged(old, new, gone) if old is not ABSENT and not overlays.known(place) else None
        if changes is not None:
            self._change_table(old, new, changes)
        elif new is not old:
            overlays.put(self.owner, place, new)
            self._everywhere(old, new, name)

    def _everywhere(self, old: Any, new: Any, name: str) -> None:
        """Exchanges a value where else it is, if it is one of those."""
        if old is not ABSENT and name in self.import_time.everywhere:
            copies = copies_of(old, name, str(self.namespace.get("__name__")))
            if copies and is_lazy(new):         # by an import of another module, or as an attribute, nobody has it so
                new = new.resolve()
            for copy in copies:
                overlays.put(self.owner, copy, new)


class ModuleNames:
    """The modules that are found by name, to be compared later: import time may put a stand-in into the place of a
    module, or give a module more names. Modules that were imported under their own names stay."""

    __slots__ = ("modules", "attribute", "before")

    def __init__(self, name: str | None) -> None:
        """name: of the module that is patched; its package knows it as an attribute as well."""
        self.modules: dict[str, Any] = dict(sys.modules)
        self.attribute: Item | None = None
        parent, _, last = (name or "").rpartition(".")
        if issubclass(type(self.modules.get(parent)), ModuleType):  # its __class__ is not asked: some pretend
            self.attribute = Item(module_dict(self.modules[parent]), last)
            self.before = self.attribute.get()

    def note(self, owner: object) -> None:
        for key, module in list(sys.modules.items()):
            before = self.modules.get(key, ABSENT)
            if before is not module and (
                    before is not ABSENT or getattr(getattr(module, "__spec__", None), "name", key) != key):
                overlays.note(owner, Item(sys.modules, key), before)
        for key in self.modules.keys() - sys.modules.keys():
            overlays.note(owner, Item(sys.modules, key), self.modules[key])
        if self.attribute is not None and self.attribute.get() is not self.before:
            overlays.note(owner, self.attribute, self.before)


def _path_of(obj: Object) -> str:
    """The path of the livepatch's file, as its codes have it."""
    functions: list[Any] = [func.new_func for func in obj.funcs if func.new_func is not None]
    if not functions and obj.callbacks is not None:
        functions = list(obj.callbacks.runs)
    return functions[0].__code__.co_filename if functions else ""


def _namespace(obj: Object) -> dict[str, Any]:
    module = sys.modules["__main__" if obj.name is None else obj.name]
    return module_dict(module)
