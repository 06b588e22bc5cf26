"""C iterators of which looks are built, each run to its end in one C call (the package's docstring has the rules).

Other parts of klpfs.cpython that search the heap build with them as well.
"""
from __future__ import annotations

import gc
from functools import partial
from itertools import chain, compress, repeat, starmap

from ..interpreters import Apart, says_another

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from typing import Any, Callable, TypeVar
    Function = TypeVar("Function", bound=Callable[..., Any])

_objects = gc.get_objects
_list, _map = list, map
_gc_on, _gc_off, _gc_is_on = gc.enable, gc.disable, gc.isenabled
CALL = partial.__call__


def silent(iterator: Iterable[Any]) -> Iterator[Any]:
    """An iterator that runs another one to its end and gives nothing."""
    return compress(iterator, repeat(0))


def call(function: Callable[..., Any], *args: Any) -> Iterator[Any]:
    """An iterator of one item: what the function returns, called when the iterator is run."""
    return _map(CALL, (partial(function, *args),))


def still(work: Iterable[Any]) -> Iterator[Any]:
    """`work` with garbage collection off before it and as it was after it. Counterpart for exceptions: restoring."""
    was: list[bool] = []
    return chain(silent(_map(was.append, call(_gc_is_on))), silent(call(_gc_off)), work,
                 silent(_map(CALL, compress(repeat(partial(_gc_on), 1), was))))


def restoring(function: Function) -> Function:
    """Decorates functions that return list(still(...)): garbage collection is as it was also when that raises, as it
    does when the program's audit hook refuses. KeyError, by which a look at frames says that another interpreter has
    come (interpreters.in_one_moment), becomes Apart."""
    def looked(*args: Any) -> Any:
        was = _gc_is_on()
        try:
            return function(*args)
        except BaseException as error:
            if was:
                _gc_on()
            if says_another(error):
                raise Apart from None
            raise
    looked.__name__, looked.__doc__ = function.__name__, function.__doc__
    return looked       # type: ignore[return-value]


def everything() -> tuple[Iterator[Any], Iterator[Any]]:
    """Two iterators over all objects that the collector knows, of one moment; the first must be run ahead of the
    second, and to its end. Not a tee of one iterator: the list would hold the tee's own buffer, a cycle that keeps what
    it had buffered until the next collection, and a half-made tuple of another thread that somebody holds is a
    SystemError there (gh-59313)."""
    box: list[list[Any]] = []
    return (chain(silent(_map(box.append, starmap(_objects, ((),)))), chain.from_iterable(box),
                  silent(_map(_list.clear, box))),
            chain.from_iterable(box))
