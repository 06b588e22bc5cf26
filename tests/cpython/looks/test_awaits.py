"""Chains of awaits, followed to the innermost object."""
import sys
import types
import weakref
from operator import attrgetter

from klpfs.cpython.looks import awaits, suspended


def test_who_waits_in_whom():
    """The chain of awaits, down through an asynchronous generator's asend(); up to 3.10 that runs while it waits, and
    what runs is not asked."""
    @types.coroutine
    def leaf():
        yield

    async def ag():
        await leaf()
        yield 1

    async def middle():
        async for x in ag():
            pass

    async def top():
        await middle()
    c = top()
    c.send(None)
    at, names = weakref.ref(c), []
    while at is not None:
        names.append([n for n in suspended.of(at, "cr_code.co_name", "gi_code.co_name", "ag_code.co_name") if n][0])
        at = awaits.awaited(at)
    assert names == ["top", "middle", "ag", "leaf"][:4 if sys.version_info >= (3, 11) else 3]
    c.close()


def test_what_runs_is_not_asked_what_it_awaits():
    """Up to 3.12 it reads behind its stack's end, where it looks suspended."""
    found = []

    async def waits():
        found.append(list(awaits._awaits(weakref.ref(made), "cr", attrgetter("cr_await"))))
        await wraps()

    @types.coroutine
    def wraps():
        yield
    made = waits()
    made.send(None)
    assert found == [[]] if awaits._READS_BEHIND else [[None]]
    inner, = awaits._awaits(weakref.ref(made), "cr", attrgetter("cr_await"))
    assert inner.__name__ == "wraps"
    made.close()
