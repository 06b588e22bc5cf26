"""Chains of awaits, followed to the innermost object."""
import types
import weakref

from klpfs.cpython.looks import awaits, suspended


def test_who_waits_in_whom():
    """The chain of awaits, down through an asynchronous generator's asend()."""
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
    assert names == ["top", "middle", "ag", "leaf"]
    c.close()
