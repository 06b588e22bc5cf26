"""Names for people: threads, greenlets, asyncio tasks, suspended objects, and where they stand.

Everything is read without running the program's code and without holding its objects: numbers, texts and code objects
are all that leaves a C call.
"""
from __future__ import annotations

from klpfs.engine.bounds import MAX_FRAME_CHARS, MAX_FRAMES, middle_left_out
from klpfs.engine.target import Blocker

from .. import interpreters
from ..raw import ASYNC_GENERATOR, COROUTINE
from ..switch.choice import module_value
from . import awaits, reads, threads
from . import greenlets as greenlet_looks
from . import suspended as suspended_objects
from .thread_names import thread_names

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from types import CodeType
    from typing import Any, Callable
    from weakref import ref

_type, _len, _tuple, _id, _getattr, _dict, _frozenset = type, len, tuple, id, getattr, dict, frozenset
_set, _enumerate, _list = set, enumerate, list


def function_name(code: CodeType) -> str:
    """The qualified name where the code knows it (3.11)."""
    return _getattr(code, "co_qualname", code.co_name)


def frame(code: CodeType, line: int | None) -> str:
    """'file:line function'."""
    return f"{code.co_filename}:{line} {function_name(code)}"[:MAX_FRAME_CHARS]


def _lines(pairs: Iterable[tuple[CodeType, int]]) -> list[str]:
    first, more, last = middle_left_out(_list(pairs), MAX_FRAMES)
    lines = [frame(code, line) for code, line in first]
    return [*lines, f"({more} more)", *[frame(code, line) for code, line in last]] if more else lines


def thread(ident: int) -> Blocker:
    """Blocker for a thread; task is its native id where `threading` knows it, else its ident."""
    native, name = thread_names().get(ident, (None, None))
    pairs = threads.lines((ident,))[0][1]
    return Blocker("thread", native or ident, name or f"thread {ident}", _lines(pairs))


def greenlets(kind: Any, keys: Iterable[int]) -> dict[int, Blocker]:
    """{key: Blocker} for suspended greenlets, keys their id()s: one search for all of them."""
    lines = _dict(greenlet_looks.greenlet_lines(kind, _frozenset(keys)))
    return {key: Blocker("greenlet", key, f"greenlet {key:#x}", _lines(lines.get(key, ()))) for key in keys}


_KINDS = (("generator", "gi"), ("coroutine", "cr"), ("async generator", "ag"))


def suspended(reference: ref[Any], owner: tuple[str, int] | None = None,
              codes: Mapping[int, CodeType] | None = None) -> Blocker:
    """Blocker for a suspended generator, coroutine or asynchronous generator. owner: (name, id) of the asyncio task
    that waits in it: then that task is in the way. codes: {id: code}: where an audit hook is about, asking the object
    for its code and its line raises events, so the line is that of the code's beginning."""
    for kind, prefix in _KINDS:
        code: CodeType | None
        line: int | None
        if codes is not None and reads.audited() and reads.SILENT:
            code = codes.get(suspended_objects.code_id(reference, prefix), None)
            line = code.co_firstlineno if code is not None else None
        else:
            code, line = suspended_objects.of(reference, prefix + "_code", prefix + "_frame.f_lineno")
        if code is not None:
            kind, key, name = ("task", owner[1], owner[0]) if owner else (kind, 0, function_name(code))
            return Blocker(kind, key, name, [frame(code, line)])
    return Blocker("generator", 0, "one that has just ended")


def _tasks() -> tuple[Sequence[ref[Any]], Any]:
    """(weak references to all asyncio tasks that asyncio knows, the C task type) or ((), None)."""
    kind = module_value("_asyncio", "Task")
    tasks: list[ref[Any]] = []
    for name in ("_all_tasks", "_scheduled_tasks"):     # up to 3.11; from 3.12
        table = module_value("asyncio.tasks", name)
        data: Any = _getattr(table, "data", None)
        if _type(data) is _set:
            tasks += awaits.copied(data)
    eager = module_value("asyncio.tasks", "_eager_tasks")
    if _type(eager) is _set:
        tasks += awaits.references(eager)
    if kind is None:
        return (), None
    if module_value("_asyncio", "all_tasks") is not None:       # 3.14: C has lists of its own, one for each thread
        tasks += awaits.instances(kind)
    return tasks, kind


def _awaited_by_tasks(breathe: Callable[[], None] | None) -> Iterator[tuple[ref[Any], ref[Any], Any]]:
    """Iterator over (weak reference to a generator-like object, weak reference to the asyncio task that waits in it,
    through any awaits in between; the task type)."""
    tasks, kind = _tasks()
    for n, task in _enumerate(tasks):
        at, depth = awaits.called(task, kind.get_coro), 0
        while at is not None and depth < 1000:
            yield at, task, kind
            at, depth = awaits.awaited(at), depth + 1
        if n % 20 == 19 and breathe is not None:
            breathe()


def owners(references: Sequence[ref[Any]], breathe: Callable[[], None] | None = None) -> dict[int, tuple[str, int]]:
    """{id(reference): (task's name, id of the task)} for those of the weak references to generator-like objects in
    which an asyncio task waits, through any awaits in between."""
    wanted = {_id(r) for r in references}
    names: dict[int, tuple[str, int]] = {}
    for at, task, kind in _awaited_by_tasks(breathe) if wanted else ():
        if _id(at) in wanted:
            name, key = awaits.task_name(task, kind)
            if key:
                names[_id(at)] = name, key
            if _len(names) == _len(wanted):
                break
    return names


def running(codes: Mapping[int, CodeType], breathe: Callable[[], None] | None = None) -> list[Blocker]:
    """Blockers for generator-like objects that run, or may be dying, of some codes, {id: code}: for the asyncio tasks
    that wait in such an object, or else for the code alone."""
    found: list[Blocker] = []
    left = _dict(codes)
    for at, task, kind in _awaited_by_tasks(breathe):
        for _, prefix in _KINDS:
            code = codes.get(suspended_objects.code_id(at, prefix))
            if code is not None:
                line = None if reads.audited() else suspended_objects.of(at, prefix + "_frame.f_lineno")[0]
                name, key = awaits.task_name(task, kind)
                found.append(Blocker("task", key, name, [frame(code, line or code.co_firstlineno)]))
                left.pop(_id(code), None)
    for code in left.values():
        what = "coroutine" if code.co_flags & COROUTINE else "async generator" if code.co_flags & ASYNC_GENERATOR else \
            "generator"
        found.append(Blocker(what, 0, function_name(code), [frame(code, code.co_firstlineno)]))
    return found


def stacks() -> dict[int, list[str]]:
    """{ident: list of 'file:line function', innermost first} of all threads, for proc/<pid>/task/<tid>/stack; {} where
    looking is not safe (interpreters.apart)."""
    try:
        return {ident: _lines(pairs) for ident, pairs in threads.lines(_tuple(threads.idents()))}
    except interpreters.Apart:
        return {}
