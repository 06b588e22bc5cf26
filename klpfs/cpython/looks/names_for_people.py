"""Names for people: threads, greenlets, asyncio tasks, suspended objects, and where they stand.

Everything is read without running the program's code and without holding its objects: numbers, texts and code objects are
all that leaves a C call.
"""
from klpfs.engine.target import Blocker

from . import suspended as look
from ..switch.choice import CLEAN, module_value, OVER, PREPARE

_type, _len, _tuple, _id, _list, _getattr = type, len, tuple, id, list, getattr


def function_name(code):
    """The qualified name where the code knows it (3.11)."""
    return _getattr(code, "co_qualname", code.co_name)


def frame(code, line):
    """'file:line function'."""
    return "%s:%s %s" % (code.co_filename, line, function_name(code))


def _lines(pairs):
    return [frame(code, line) for code, line in pairs]


def thread_names():
    """{ident: (native id or None, name)} of the threads that `threading` knows."""
    active, found = module_value("threading", "_active"), {}
    if _type(active) is not dict:
        return found
    for ident, thread in _list(active.items()):
        values = object.__getattribute__(thread, "__dict__")
        name, native = values.get("_name"), values.get("_native_id")
        found[ident] = (native if _type(native) is int else None), name if _type(name) is str else None
        thread = values = None
    return found


def thread(ident):
    """Blocker for a thread; task is its native id where `threading` knows it, else its ident."""
    native, name = thread_names().get(ident, (None, None))
    pairs = look.lines((ident,))[0][1]
    return Blocker("thread", native or ident, name or "thread %d" % ident, _lines(pairs))


def greenlets(kind, keys):
    """{key: Blocker} for suspended greenlets, keys their id()s: one search for all of them."""
    found = dict(look.greenlet_lines(kind, frozenset(keys)))
    return {key: Blocker("greenlet", key, "greenlet %#x" % key, _lines(found.get(key, ()))) for key in keys}


_KINDS = (("generator", "gi"), ("coroutine", "cr"), ("async generator", "ag"))


def suspended(reference, owner=None):
    """Blocker for a suspended generator, coroutine or asynchronous generator. owner: (name, id) of the asyncio task that
    waits in it: then it is that task that is in the way."""
    for kind, prefix in _KINDS:
        code, line = look.of(reference, prefix + "_code", prefix + "_frame.f_lineno")
        if code is not None:
            kind, key, name = ("task", owner[1], owner[0]) if owner else (kind, 0, function_name(code))
            return Blocker(kind, key, name, [frame(code, line)])
    return Blocker("generator", 0, "one that has just ended")


def _tasks():
    """(weak references to all asyncio tasks that asyncio knows, the C task type) or ((), None)."""
    kind, found = module_value("_asyncio", "Task"), []
    for name in ("_all_tasks", "_scheduled_tasks"):     # up to 3.11; from 3.12
        table = module_value("asyncio.tasks", name)
        data = _getattr(table, "data", None)
        if _type(data) is set:
            found += look.copied(data)
    eager = module_value("asyncio.tasks", "_eager_tasks")
    if _type(eager) is set:
        found += look.references(eager)
    return (found, kind) if kind is not None else ((), None)


def owners(references, breathe=None):
    """{id(reference): (task's name, id of the task)} for those of the weak references to generator-like objects in which an
    asyncio task waits, through any awaits in between."""
    wanted, found = {_id(r) for r in references}, {}
    tasks, kind = _tasks()
    for n, task in enumerate(tasks):
        if _len(found) == _len(wanted):
            break
        at, chain = look.called(task, kind.get_coro), 0
        while at is not None and chain < 1000:
            if _id(at) in wanted:
                name, key = look.task_name(task, kind)
                if key:
                    found[_id(at)] = name, key
            at, chain = look.awaited(at), chain + 1
        if n % 20 == 19 and breathe is not None:
            breathe()
    return found


def stacks():
    """{ident: list of 'file:line function', innermost first} of all threads, for proc/<pid>/task/<tid>/stack; {} where
    looking is not safe (look.apart)."""
    if look.apart():
        return {}
    return {ident: _lines(pairs) for ident, pairs in look.lines(_tuple(look.idents()))}


def task_states(t):
    """{ident: 0 or 1}: the version that each thread is bound to, as the kernel's patch_state; {} without a transition."""
    state = t.state
    if state.mode == OVER or look.apart():
        return {}
    idents = look.idents()
    if state.mode == PREPARE:
        return {ident: 0 for ident in idents}
    return {ident: state.goal if state.mode == CLEAN or ident in state.seen else 1 - state.goal for ident in idents}
