"""Objects of which only the address is known: taken only where memory says, at that moment, that they are there."""
import ctypes
import gc
import mmap
import sys

import pytest

from klpfs.cpython import c_api
from klpfs.cpython.looks import at_address, reads
from klpfs.cpython.looks.at_address import DYING, GONE, THERE

pytestmark = pytest.mark.skipif(not c_api.AVAILABLE, reason="this CPython shows no functions of C")


def generator():
    yield


async def coroutine():
    pass


async def asynchronous():
    yield


def other():
    yield

CODES = {f.__code__ for f in (generator, coroutine, asynchronous)}
IDS = {id(code) for code in CODES}


def taken(*addresses):
    return list(at_address.objects(addresses, IDS))


def test_what_has_not_ended_is_there():
    made = [generator(), generator(), coroutine(), asynchronous()]
    next(made[1])
    before = [sys.getrefcount(each) for each in made]
    assert [at_address.there(id(each), IDS) for each in made] == [THERE] * 4
    found = taken(*map(id, made))
    assert all(a is b for a, b in zip(found, made)) and len(found) == 4
    del found
    assert [sys.getrefcount(each) for each in made] == before
    made[2].close()


def test_what_has_ended_or_is_of_another_code_is_gone():
    ended, foreign = generator(), other()
    list(ended)
    things = [ended, foreign, 5, "text", [], sys, None]
    assert [at_address.there(id(each), IDS) for each in things] == [GONE] * len(things)
    assert taken(*map(id, things)) == []


def test_what_dies_is_there_in_its_finally_blocks_and_gone_behind_them():
    seen = []

    def generator():
        try:
            yield
        finally:
            seen.append(at_address.there(address, {id(code)}))
    made = generator()
    next(made)
    code, address = made.gi_code, id(made)
    del made
    assert seen == [THERE] and at_address.there(address, {id(code)}) == GONE


def test_what_has_no_reference_is_not_touched():
    """It is in that state while the callbacks of its weak references run."""
    import weakref
    made, seen = generator(), []
    next(made)
    address = id(made)
    watch = weakref.ref(made, lambda reference: seen.append((at_address.there(address, IDS), taken(address))))
    gc.disable()
    try:
        del made
    finally:
        gc.enable()
    assert seen == [(DYING, [])] and watch() is None


@pytest.mark.parametrize("readable", [True, False])
def test_memory_that_is_no_objects_any_more_is_not_read(readable):
    """Given back to the system; or mapped again, so that it must not be read."""
    memory = mmap.mmap(-1, 1 << 20)
    held = (ctypes.c_char * 8).from_buffer(memory)
    address = ctypes.addressof(held)
    if readable:
        del held
        memory.close()
    else:
        protect = ctypes.CDLL(None).mprotect
        protect.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
        assert protect(address, 1 << 20, 0) == 0
    assert at_address.there(address + 64, IDS) == GONE and taken(address + 64) == []
    assert at_address.there(address + mmap.PAGESIZE - 8, IDS) == GONE and at_address.there(0, IDS) == GONE


def test_a_page_that_can_be_read_is_read():
    text = bytes(range(256)) * 64
    start = id(text) + bytes.__basicsize__ - 1
    for at in range(0, 4096 * 3, 1000):
        assert list(c_api.bytes_of(start + at, reads.SIZE)) == [text[at:at + reads.SIZE]]
