"""Looks at what other threads do, each in one C call, so that no other thread runs in the middle (needs the GIL).

A look is an iterator built of C iterators and run to its end by one list(): no bytecode of ours, no allocation that
collects garbage, nothing of the program's runs in between. Rules:

- No iterator and no list that holds frames or objects of the program has a name when the call ends: the last reference to
  them would be ours, and their finalizers would run in our thread. What comes out are ids, codes, numbers, weak references.
- Reading f_code, gi_code, gi_frame and the like raises an audit event, in which a Python hook lets other threads run;
  f_back and gr_frame raise none. So everything is gathered first, and read afterwards.
- Garbage collection is off meanwhile (3.11: a collection in sys._current_frames deadlocks, gh-106883), and put back by the
  same C call, so that the program's own gc.enable and gc.disable are not undone.
- Types are compared by identity: a metaclass may have a Python __hash__ or __eq__.
"""
import gc
import sys
from functools import partial
from itertools import accumulate, chain, compress, repeat, starmap, takewhile, tee
from operator import attrgetter, contains, is_not, itemgetter, truth
from types import AsyncGeneratorType, CoroutineType, GeneratorType
from weakref import ref

from ..switch.rules import BREAK

_frames, _objects, _referrers = sys._current_frames, gc.get_objects, gc.get_referrers
_list, _tuple, _map, _zip, _id, _type, _dict_items, _dict_get = list, tuple, map, zip, id, type, dict.items, dict.get
_getattr, _issubclass, _frozenset, _len = getattr, issubclass, frozenset, len
_gc_on, _gc_off, _gc_is_on, _freeze_count = gc.enable, gc.disable, gc.isenabled, gc.get_freeze_count
_freeze, _unfreeze, _collect, _callbacks = gc.freeze, gc.unfreeze, gc.collect, gc.callbacks
_modules = sys.modules
try:
    import _interpreters
except ImportError:
    try:
        import _xxsubinterpreters as _interpreters
    except ImportError:
        _interpreters = None
_CALL, _deref = partial.__call__, ref.__call__
_CODE = attrgetter("f_code")
_LINE = attrgetter("f_code", "f_lineno")

KINDS = ((GeneratorType, "gi"), (CoroutineType, "cr"), (AsyncGeneratorType, "ag"))
_KIND_IDS = frozenset(id(kind) for kind, prefix in KINDS)


# ------------------------------------------------------------------------------------------------- building C iterators

def _silent(iterator):
    """Runs the iterator, gives nothing."""
    return compress(iterator, repeat(0))


def _call(function, *args):
    """Calls the function once when it is reached; one item, its result."""
    return _map(_CALL, (partial(function, *args),))


def _still(work):
    """`work` with garbage collection off before it and as it was after it."""
    was = []
    return chain(_silent(_map(was.append, _call(_gc_is_on))), _silent(_call(_gc_off)), work,
                 _silent(_map(_CALL, compress(repeat(partial(_gc_on), 1), was))))


def _restoring(function):
    """For functions that return list(_still(...)): garbage collection is as it was also when that raises, as it does when
    the program's audit hook refuses."""
    def looked(*args):
        was = _gc_is_on()
        try:
            return function(*args)
        except BaseException:
            if was:
                _gc_on()
            raise
    looked.__name__, looked.__doc__ = function.__name__, function.__doc__
    return looked


def everything():
    """Two iterators over all objects that the collector knows, of one moment; the first must be run ahead of the second, and
    to its end. Not a tee of one: the list would hold the tee's own buffer, a cycle that keeps what it had buffered until
    the next collection, and a half-made tuple of another thread that somebody holds is a SystemError there (gh-59313)."""
    box = []
    return (chain(_silent(_map(box.append, starmap(_objects, ((),)))), chain.from_iterable(box), _silent(_map(_list.clear, box))),
            chain.from_iterable(box))


def _chains(firsts):
    """Of 1-tuples (frame or None): iterators over the frames of each stack, innermost first."""
    return _map(takewhile, repeat(truth), _map(accumulate, _map(chain, firsts, repeat(repeat("f_back"))), repeat(_getattr)))


def _gathered(stacks):
    """The same, as tuples, all taken before the first is given."""
    if "gather" in BREAK:
        return stacks
    return chain.from_iterable(_map(_list, (_map(_tuple, stacks),)))


def _codes(stacks):
    return _map(_tuple, _map(_map, repeat(_id), _map(_map, repeat(_CODE), stacks)))


# --------------------------------------------------------------------------------------------------------------- threads

@_restoring
def idents():
    """List of the identifiers of all threads that have a Python frame."""
    return _list(_still(chain.from_iterable(starmap(_frames, ((),)))))


def _first_frames(wanted):
    """For each ident in the tuple `wanted`: a 1-tuple of its innermost frame or None, all from one moment."""
    every = chain.from_iterable(_map(repeat, starmap(_frames, ((),)), (_len(wanted),)))
    return _zip(_map(_dict_get, every, wanted))


@_restoring
def stacks(wanted):
    """[(ident, (id of code, ...) innermost first)] of the threads in the tuple `wanted`; () for one that has ended."""
    return _list(_still(_zip(wanted, _codes(_gathered(_chains(_first_frames(wanted)))))))


@_restoring
def lines(wanted):
    """[(ident, ((code, line number), ...))] of the threads in the tuple `wanted`, for people to read."""
    return _list(_still(_zip(wanted, _map(_tuple, _map(_map, repeat(_LINE), _gathered(_chains(_first_frames(wanted))))))))


# ----------------------------------------------------------------------------------------------------- sub-interpreters

def interpreters():
    """How many sub-interpreters this process has, as far as CPython tells. Their functions are objects of their own."""
    return _len(_interpreters.list_all()) - 1 if _interpreters is not None else 0


def apart():
    """How many of them run beside us, with an interpreter lock of their own (3.12): then nothing that looks at frames is one
    moment, and asking for them is not even safe. Where that can't be told, all are counted."""
    if sys.version_info < (3, 12) or not interpreters():
        return 0
    config = _getattr(_interpreters, "get_config", None)
    found = [each for each in _interpreters.list_all() if each != _interpreters.get_current()]
    return _len(found if config is None else [1 for each in found if _own_lock(config, each)])


def _own_lock(config, each):
    try:
        return config(each[0] if _type(each) is tuple else each).gil != "shared"
    except Exception:       # it is gone, or is not ours to ask
        return True


# ------------------------------------------------------------------------------------------------------------ greenlets

class _Canary:
    """An object that a look at all greenlets must find, unless the heap is frozen."""


_bird = _Canary()
_bird_ref = ref(_bird)


def _greenlets(kinds):
    """Weak references to all greenlets, made when the iterator is run."""
    c, d = everything()
    return _map(ref, compress(c, _map(_issubclass, _map(_type, d), repeat(kinds))))


def _all_stacks(kind, before, after):
    """Keys and stacks of all threads and all suspended greenlets, (key, ids of codes), of one moment; to the lists before and
    after go references to all greenlets (and our canary) that there were before and after that.

    Asking for all objects is an audit event, in which a Python hook lets other threads run; so is asking for the threads'
    frames. From then on none comes until all frames are gathered: what runs and what is suspended are of one moment, but
    for greenlets that were born behind the first search, and those the second one shows.
    """
    a, b = tee(chain.from_iterable(_map(_dict_items, starmap(_frames, ((),)))))
    c, d = tee(_map(_deref, chain.from_iterable((before,))))
    e, f = tee(compress(c, _map(is_not, d, repeat(None))))
    keys = chain(_map(itemgetter(0), a), _map(_id, e))
    firsts = chain(_map(itemgetter(slice(1, 2)), b), _zip(_map(kind.gr_frame.__get__, f)))
    return chain(_silent(_map(before.extend, _map(_list, (_greenlets(kind),)))),
                 _zip(keys, _codes(_gathered(_chains(firsts)))),
                 _silent(_map(after.extend, _map(_list, (_greenlets((kind, _Canary)),)))))


def _torn(before, after):
    """FROZEN, COME or None."""
    if _before_us[0]:
        _before_us[0] = _hidden()
    if _before_us[0] or not [r for r in after if r is _bird_ref]:
        return FROZEN
    known = _frozenset(_map(_id, before)) | {_id(_bird_ref)}
    return COME if [r for r in after if _id(r) not in known] and "torn" not in BREAK else None


@_restoring
def _lets(kind, before, after):
    return _list(_still(_all_stacks(kind, before, after)))


def stacks_and_greenlets(kind):
    """(why nothing can be said: FROZEN, COME or None, [(thread ident or id of greenlet, (id of code, ...))] of all threads and
    suspended greenlets at one moment). COME: greenlets were born meanwhile; nobody knows what they do."""
    before, after = [], []
    stacks = _lets(kind, before, after)
    return _torn(before, after), stacks


@_restoring
def greenlet_lines(kind, wanted):
    """[(id of greenlet, ((code, line number), ...))] of the suspended greenlets whose id is in the set `wanted`."""
    return _list(_still(_greenlet_lines(kind, wanted)))


def _greenlet_lines(kind, wanted):
    c, d = everything()
    e, f = tee(compress(c, _map(wanted.__contains__, _map(_id, d))))
    g, h = tee(compress(e, _map(_issubclass, _map(_type, f), repeat(kind))))
    return _zip(_map(_id, g), _map(_tuple, _map(_map, repeat(_LINE), _chains(_zip(_map(kind.gr_frame.__get__, h))))))


# ---------------------------------------------------------------------------------------------------- garbage collection

_canary = (x for x in ())       # a suspended generator: a look that does not find it can't find the program's either
_canary_code, _canary_ref = _canary.gi_code, ref(_canary)


def _hidden():
    """Whether the heap is frozen, told by our oldest object, sys.modules. Costs a scan of the heap."""
    return bool(_freeze_count()) and \
        _id(_modules) not in _list(_map(_id, chain.from_iterable(starmap(_referrers, ((sys,),)))))


_before_us = [_hidden()]        # the program had called gc.freeze when we came: our canary does not show that


def _probe(seen, hide):
    """Iterator that puts something into the dict `seen` if no collection is under way in any thread.

    gc.collect does nothing, not even its callbacks, when one is. hide: a list of one bool, read when the iterator runs:
    the heap is frozen meanwhile, so that nothing of the program's is collected (which a heap that the program has frozen
    can't be: putting it back would undo that). The program's callbacks are not called. Counting collections by a callback
    of ours is not sound.
    """
    saved = []
    return chain(_call(saved.extend, _callbacks),
                 _call(_callbacks.__setitem__, slice(None), (seen.__setitem__,)),
                 _map(_CALL, compress((partial(_freeze),), hide)), _call(_collect, 0),
                 _map(_CALL, compress((partial(_unfreeze),), hide)),
                 _call(_callbacks.__setitem__, slice(None), saved))


@_restoring
def _quiet(seen):
    return _list(_still(_silent(_probe(seen, [not _freeze_count()]))))


def quiet():
    """True if there was a moment in this call at which no thread was collecting garbage. Up to 3.11, where the count of
    frozen objects tells whether the program froze them; later there is no need to ask."""
    seen = {}
    if not NEEDS_QUIET:
        return True
    _quiet(seen)
    return bool(seen)


@_restoring
def _exchange(function, code, seen):
    return _list(_still(chain(_silent(_probe(seen, [not _freeze_count()])),
                              _silent(_map(_CALL, compress((partial(setattr, function, "__code__", code),), _map(truth, (seen,))))))))


def exchange_code(function, code):
    """Gives the function its code if no thread is collecting garbage, in the same C call. Whether it did.

    For 3.10, where a call's frame is made for the code that the function has at first, and then runs the code that it has
    after the collection that making it may set off: one that needs more room would write behind the frame.
    """
    seen = {}
    _exchange(function, code, seen)
    return bool(seen)


NEEDS_QUIET = sys.version_info < (3, 12)
"""Up to 3.11 a collection can run in the middle of a call, after the function's code was read and before its frame can be
seen (FACTS-python.md, trap T1). When no collection is under way, no call is there."""


# ------------------------------------------------------------------------------------------------------ suspended objects

FEW = 12        # from so many codes on, looking at all objects' types is quicker than asking for the codes' referrers


def _suspendable(codes):
    """Iterator over the generators, coroutines and asynchronous generators that refer to one of a few code objects, or
    over all that there are."""
    if _len(codes) < FEW:
        a, b = tee(chain.from_iterable(starmap(_referrers, (_tuple(codes) + (_canary_code,),))))
    else:
        a, b = everything()
    return compress(a, _map(_KIND_IDS.__contains__, _map(_id, _map(_type, b))))


def _references(box, ids):
    """Iterators over weak references to those objects in the list in `box` whose code's id is in ids (a code never
    changes, so an audit hook may see these reads)."""
    found = []
    for kind, prefix in KINDS:
        a, b = tee(chain.from_iterable(box))
        a, b = tee(compress(a, _map(_id(kind).__eq__, _map(_id, _map(_type, b)))))
        found.append(_map(ref, compress(a, _map(ids.__contains__, _map(_id, _map(attrgetter(prefix + "_code"), b))))))
    return chain.from_iterable(found)


def _gather(codes, seen):
    ids, box, fine = _frozenset(_map(_id, codes)) | {_id(_canary_code)}, [], []
    return chain(_silent(_map(box.append, _map(_list, (_suspendable(codes),)))),
                 _silent(_map(fine.append, _map(contains, box, repeat(_canary)))),
                 _silent(chain.from_iterable(compress((_probe(seen, (True,)),), fine))),    # frozen: nothing to be said anyway
                 _references(box, ids), _silent(_call(box.clear)))


@_restoring
def _suspended(codes, seen, kind, before, after, out):
    if kind is None:
        return _list(_still(_gather(codes, seen)))
    # the stacks last: when nothing old is suspended any more, nobody who is clean can get dirty by resuming it
    return _list(_still(chain(_gather(codes, seen), _silent(_map(out.extend, _map(_list, (_all_stacks(kind, before, after),)))))))


FROZEN, COLLECTING, COME = "frozen heap", "collection", "greenlets have just come"


def suspended(codes, kind=None):
    """(why nothing can be said: FROZEN, COLLECTING, COME or None, weak references, stacks).

    codes: list of code objects of generator-like functions. The references are to all their generators, coroutines and
    asynchronous generators, maybe also some that have run to their end (has_frame tells). COLLECTING: a collection is under
    way: what it has found unreachable is in no list, but its `finally` blocks may still run. kind: the greenlet type: then
    stacks is what stacks_and_greenlets gives, of the same moment.
    """
    if _before_us[0]:
        _before_us[0] = _hidden()
    seen, before, after, out = {}, [], [], []
    found = _suspended(codes, seen, kind, before, after, out)
    why = None
    if _before_us[0] or _canary_ref not in found:
        why = FROZEN
    elif not seen and "gcscan" not in BREAK:
        why = COLLECTING
    elif kind is not None:
        why = _torn(before, after)
    return why, [r for r in found if r is not _canary_ref], out


def of(reference, *names):
    """For each name, a dotted path of attributes: its value in a weakly referenced object, None if it or the object is not
    there. For codes, numbers, texts and bools only: no name of ours may hold an object of the program's."""
    found = []
    for name in names:
        try:
            found += _list(_map(attrgetter(name), starmap(reference, ((),))))
        except AttributeError:
            found.append(None)
    return found


def has_frame(reference):
    """Whether a generator-like object is alive and has not run to its end."""
    for kind, prefix in KINDS:
        if _list(_map(truth, _map(_getattr, starmap(reference, ((),)), (prefix + "_frame",), (None,))))[0]:
            return True
    return False


# --------------------------------------------------------------------------------------------- who waits in whom, for names

def copied(weak):
    """List of the weak references in a set of them (a WeakSet's data), which other threads change."""
    return _list(weak)


def references(objects):
    """List of weak references to the objects in a set."""
    return _list(_map(ref, objects))


def called(reference, method):
    """Weak reference to what the C method returns for the weakly referenced object; None: gone, or it takes none."""
    try:
        return _list(_map(ref, _map(method, starmap(reference, ((),)))))[0]
    except TypeError:
        return None


def task_name(reference, kind):
    """(name, id) of a weakly referenced asyncio task; ('', 0) if it is gone."""
    try:
        name = _list(_map(kind.get_name, starmap(reference, ((),))))[0]
        return (name if _type(name) is str else "?"), _list(_map(_id, starmap(reference, ((),))))[0]
    except TypeError:
        return "", 0


_AWAITS = tuple(attrgetter(name) for name in ("cr_await", "gi_yieldfrom", "ag_await"))
_referents = gc.get_referents


def _waited_for(reference, await_of):
    """The generator-like objects that what it awaits refers to: an asynchronous generator's asend() and the like."""
    box = []
    return chain(_silent(_map(box.append, starmap(_referents, _zip(_map(await_of, starmap(reference, ((),))))))),
                 _map(ref, compress(chain.from_iterable(box), _map(_KIND_IDS.__contains__, _map(_id, _map(_type,
                      chain.from_iterable(box)))))), _silent(_map(_list.clear, box)))


def awaited(reference):
    """Weak reference to the generator-like object that a weakly referenced one waits for; None: something else, or none."""
    for await_of in _AWAITS:
        try:
            kind = _list(_map(_id, _map(_type, _map(await_of, starmap(reference, ((),))))))[0]
        except AttributeError:
            continue
        try:
            if kind in _KIND_IDS:
                return _list(_map(ref, _map(await_of, starmap(reference, ((),)))))[0]
            return (_list(_waited_for(reference, await_of)) + [None])[0]
        except (TypeError, AttributeError):
            return None
    return None
