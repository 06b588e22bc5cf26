"""Ways of what is suspended: generators, coroutines, event loops, greenlets; and work that is handed on to stacks of its
own."""
import asyncio
import contextlib
import sys
import threading
import weakref

from klpfs.cpython.looks.threads import CUTS
from tests.stress.way import ONE_AT_A_TIME, replaced, way

try:
    import greenlet
except ImportError:
    greenlet = None

# -------------------------------------------------------------------------------- generators, coroutines, loops, greenlets

def inner(callback):
    try:
        yield
    except KeyError:
        callback()
        yield
    finally:
        callback()


def around(callback):
    yield from inner(callback)


@way()
def generator_closed(callback):
    made = inner(callback)
    next(made)
    made.close()


@way()
def generator_dropped(callback):
    made = around(callback)
    next(made)
    del made


@way()
def generator_dropped_with_a_weakref(callback):
    made = inner(callback)
    next(made)
    kept = weakref.ref(made, lambda reference: callback())
    del made
    assert kept() is None


@way()
def generator_thrown_into(callback):
    made = inner(callback)
    next(made)
    made.throw(KeyError())
    made.close()


# 3.9 hides who throws (looks/threads.py: CUTS), so there nobody can tell which version the thrower is of
@way(where=not CUTS)
def generator_thrown_into_through_others(callback):
    def far():
        yield from around(callback)
    made = far()
    next(made)
    made.throw(KeyError())


@way()
def context_manager(callback):
    @contextlib.contextmanager
    def manager():
        try:
            yield
        except KeyError:
            callback()
    with manager():
        raise KeyError


class Pause:
    def __await__(self):
        yield


@way(where=not CUTS)
def coroutine_driven_by_hand(callback):
    async def deep():
        try:
            await Pause()
        except KeyError:
            callback()

    async def middle():
        await deep()

    async def outer():
        await middle()
    made = outer()
    made.send(None)
    try:
        made.throw(KeyError())
    except StopIteration:
        pass


async def asynchronous(callback):
    try:
        yield 1
        yield 2
    finally:
        callback()


def driven(coroutine):
    try:
        while True:
            coroutine.send(None)
    except StopIteration:
        pass


@way()
def async_comprehension(callback):
    async def use():
        return [callback() async for x in asynchronous(callback)]
    driven(use())


@way()
def async_generator_hooks(callback):
    def finalizer(generator):
        callback()
        driven(generator.aclose())
    was = sys.get_asyncgen_hooks()
    sys.set_asyncgen_hooks(firstiter=lambda generator: callback(), finalizer=finalizer)
    made = [asynchronous(callback)]

    async def first():
        return await made[0].__anext__()
    driven(first())
    made.clear()
    sys.set_asyncgen_hooks(*was)


@way(where=hasattr(asyncio, "eager_task_factory"))
def eager_step(callback):
    async def first():
        callback()
    try:
        loop = asyncio.get_running_loop()
    except RuntimeError:
        driven(first())
    else:
        asyncio.Task(first(), loop=loop, eager_start=True)


@way(where=greenlet is not None)
def greenlet_switch(callback):
    greenlet.greenlet(lambda: callback()).switch()


@way(where=greenlet is not None)
def greenlet_thrown_into(callback):
    here = greenlet.getcurrent()

    def run():
        try:
            here.switch()
        except KeyError:
            callback()
    made = greenlet.greenlet(run)
    made.switch()
    made.throw(KeyError)


@way(where=greenlet is not None)
def greenlet_trace(callback):
    with ONE_AT_A_TIME:
        was = greenlet.settrace(lambda event, args: callback())
        greenlet.greenlet(lambda: None).switch()
        greenlet.settrace(was)


# ----------------------------------------------------------------------------- work that is handed on: stacks of their own

def elsewhere(work):
    """Runs in other threads and tasks: what begins there is whole in itself. WAYS has no such: the stress calls these
    with a function of the program."""
    def excepthook(args):
        work()
    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    with replaced(threading, "excepthook", excepthook):
        thread = threading.Thread(target=lambda: 1 / 0)
        thread.start()
        thread.join()
    local = threading.local()

    class Late:
        def __del__(self):
            work()

    def keeps():
        local.value = Late()
    thread = threading.Thread(target=keeps)
    thread.start()
    thread.join()


def in_tasks(work, eager=False):
    """An event loop of its own in this thread, with tasks, callbacks, asynchronous generators left over."""
    async def task():
        work()
        await asyncio.sleep(0)
        work()

    async def main():
        loop = asyncio.get_running_loop()
        if eager:
            loop.set_task_factory(asyncio.eager_task_factory)
        loop.call_soon(work)
        await asyncio.gather(task(), task())
        async for x in asynchronous(work):
            break
    asyncio.run(main())
