"""Event loops: where the stack of a task ends, for every way in which a task is stepped."""
import asyncio
import functools
import sys
import threading
import time

import pytest

from klpfs.cpython.switch import event_loops
from tests.cpython.one_version import Watch
from tests.cpython.programs import back, done, make, transition

EAGER = sys.version_info >= (3, 12)
try:
    import uvloop
except ImportError:
    uvloop = None
try:
    import anyio
except ImportError:
    anyio = None
in_c = pytest.mark.skipif(uvloop is None, reason="no uvloop here")
eager = pytest.mark.skipif(not EAGER, reason="no eager tasks before 3.12")

# `stop` puts the transition in while A or main is on the stack
SOURCE = """
async def A(make, stop):
 stop()
 made = make(B)
 return here(), made, await made, C()
async def B():
 first = here(), C()
 await asyncio.sleep(0)
 return (*first, here(), C())
def C(): return here()
def main(run, stop):
 stop()
 return here(), run(), here()
"""


@pytest.fixture
def program():
    watch = Watch()
    d = make(SOURCE, here=watch.here)
    t = transition(d[0], d[1])
    begun = []

    def stop():
        begun.append(t)
        t.install()
        t.start()
        assert [blocker.kind for blocker in t.look()] != []
    yield d[0], t, stop
    assert begun and done(t) and watch.calls and not watch.mixed


def begun(function):
    """A coroutine function started eagerly by the running coroutine."""
    return asyncio.Task(function(), loop=asyncio.get_running_loop(), eager_start=True)


@eager
@pytest.mark.parametrize("begin", [
    begun,
    lambda function: asyncio.eager_task_factory(asyncio.get_running_loop(), function()),
    lambda function: asyncio.tasks._PyTask(function(), loop=asyncio.get_running_loop(), eager_start=True),
    lambda function: begun(functools.partial(unpatched, function)),
    lambda function: begun(lambda: unpatched(lambda: begun(function)))], ids=[
        "task", "factory", "python-task", "root-not-patched", "nested"])
def test_an_eager_task_begins_with_its_makers_version(program, begin):
    """Its first step is on its maker's stack; a body that was entered keeps its version."""
    n, t, stop = program
    version, _, found, last = asyncio.run(n["A"](begin, stop))
    assert (version, found, last) == (0, (0, 0, 0, 0), 0)


async def unpatched(function):
    return await function()


def test_a_task_for_the_loop_has_the_goal(program):
    """Its steps are on the loop's stack, not on its maker's."""
    n, t, stop = program
    version, _, found, last = asyncio.run(n["A"](lambda function: asyncio.ensure_future(function()), stop))
    assert (version, found, last) == (0, (1, 1, 1, 1), 0)


@eager
def test_what_an_eager_task_calls_after_its_first_step_has_the_goal(program):
    """Then the loop steps it, and nothing of its maker's is below."""
    n, t, stop = program

    async def unbound():
        first = n["C"]()
        await asyncio.sleep(0)
        return first, n["C"](), await n["B"]()
    assert asyncio.run(n["A"](lambda _: begun(unbound), stop))[2] == (0, 1, (1, 1, 1, 1))


@eager
def test_an_eager_tasks_own_eager_task_and_what_comes_after_it(program):
    """The current task is exchanged and put back by each: the frames alone count."""
    n, t, stop = program

    async def outer():
        inner = begun(n["B"])
        return n["C"](), await inner, n["C"]()
    assert asyncio.run(n["A"](lambda _: begun(outer), stop))[2] == (0, (0, 0, 0, 0), 1)


@eager
def test_a_group_whose_tasks_are_eager(program):
    n, t, stop = program

    async def group():
        async with asyncio.TaskGroup() as tasks:
            made = [tasks.create_task(n["B"]()) for _ in range(3)]
        return [task.result() for task in made]

    async def main():
        asyncio.get_running_loop().set_task_factory(asyncio.eager_task_factory)
        return await n["A"](lambda _: group(), stop)
    assert asyncio.run(main())[2] == [(0, 0, 0, 0)] * 3


def looping(work):
    """Runs the coroutine function in a loop of its own, as a main() does."""
    loop = asyncio.new_event_loop()
    try:
        return loop.run_until_complete(work())
    finally:
        loop.close()


def test_tasks_above_an_old_main_switch(program):
    """A main() that never returns keeps the transition pending, not its tasks old."""
    n, t, stop = program
    assert n["main"](lambda: looping(n["B"]), stop) == (0, (1, 1, 1, 1), 0)


def test_a_cancelled_task_above_an_old_main_switches(program):
    """What is thrown into a coroutine that waits for others comes from the loop, also on 3.9, which shows no stack
    below the root then."""
    n, t, stop = program

    async def inner():
        try:
            await asyncio.sleep(3600)
        except asyncio.CancelledError:
            return n["C"]()

    async def middle():
        return await inner()

    async def work():
        task = asyncio.ensure_future(middle())
        await asyncio.sleep(0)
        task.cancel()
        return await task
    assert n["main"](lambda: looping(work), stop) == (0, 1, 0)


@eager
def test_an_eager_task_of_a_new_task_above_an_old_main(program):
    n, t, stop = program

    async def work():
        return await begun(n["B"])
    assert n["main"](lambda: looping(work), stop) == (0, (1, 1, 1, 1), 0)


def test_a_callback_of_the_loop_is_on_the_stack_of_who_runs_the_loop(program):
    """A callback is no task: main() calls it, by way of the loop."""
    n, t, stop = program

    async def work():
        soon = asyncio.get_running_loop().create_future()
        asyncio.get_running_loop().call_soon(lambda: soon.set_result(n["C"]()))
        return await soon, n["C"]()
    assert n["main"](lambda: looping(work), stop) == (0, (0, 1), 0)


@eager
def test_an_eager_task_of_a_callback_is_on_the_callbacks_stack(program):
    n, t, stop = program

    async def work():
        soon = asyncio.get_running_loop().create_future()

        def callback():
            soon.set_result((n["C"](), begun(n["B"])))
        asyncio.get_running_loop().call_soon(callback)
        found, task = await soon
        return found, await task
    assert n["main"](lambda: looping(work), stop) == (0, (0, (0, 0, 0, 0)), 0)


def test_a_loop_that_runs_its_callbacks_at_once(program):
    """A task's root is above its maker then, on every version of CPython: on its stack."""
    n, t, stop = program

    class AtOnce(asyncio.SelectorEventLoop):
        now = False

        def call_soon(self, callback, *args, context=None):
            if not self.now:
                return super().call_soon(callback, *args, context=context)
            self.now = False
            before = asyncio.tasks.current_task()
            asyncio.tasks._leave_task(self, before)
            (context.run if context else lambda f, *a: f(*a))(callback, *args)
            asyncio.tasks._enter_task(self, before)
            return asyncio.Handle(callback, args, self)
    loop = AtOnce()

    async def work():
        def make(function):
            loop.now = True
            return loop.create_task(function())
        return await n["A"](make, stop)
    version, _, found, last = loop.run_until_complete(work())
    loop.close()
    assert (version, found, last) == (0, (0, 0, 0, 0), 0)


def test_a_loop_inside_a_task_is_a_stack_of_its_own(program):
    """As with nest_asyncio: a task waits in a plain call that runs the loop again. Its tasks are bound to nothing, as
    those above an old main()."""
    n, t, stop = program

    def make(function):
        done_, outer = [], asyncio.get_running_loop()
        task = asyncio.current_task()

        async def work():
            done_.append(await function())
        asyncio.tasks._leave_task(outer, task)
        asyncio._set_running_loop(None)
        try:
            looping(work)
        finally:
            asyncio._set_running_loop(outer)
            asyncio.tasks._enter_task(outer, task)
        return asyncio.sleep(0, done_[0])
    version, _, found, last = asyncio.run(n["A"](make, stop))
    assert (version, found, last) == (0, (1, 1, 1, 1), 0)


def test_a_handle_of_the_programs_own_makes_the_stack_longer(program, monkeypatch):
    """An instrument wraps Handle._run: whose frame is directly below the root is not known, so the stack goes on."""
    n, t, stop = program
    real = asyncio.events.Handle._run

    def _run(self):
        return real(self)
    monkeypatch.setattr(asyncio.events.Handle, "_run", _run)
    assert n["main"](lambda: looping(n["B"]), stop) == (0, (0, 0, 0, 0), 0)


def test_a_loops_function_that_is_patched_itself_decides():
    """Then it is on the stack of the tasks that it steps, as any other function."""
    watch = Watch()
    d = make("async def B(): return here()\ndef run(self): return here_({v}), real(self)", here=watch.here)
    for space in d:
        space.update(real=asyncio.events.Handle._run, here_=lambda version: None)
    was = asyncio.events.Handle._run
    asyncio.events.Handle._run = d[0]["run"]
    try:
        t = transition(d[0], d[1])
        t.install()
        t.start()
        assert _id_of(d[0]["run"]) not in event_loops.stepping_codes(t.dispatcher_ids)
        assert asyncio.run(d[0]["B"]()) == 1 and not watch.mixed and done(t)
    finally:
        asyncio.events.Handle._run = was


def _id_of(function):
    return id(function.__code__)


@in_c
def test_a_loop_in_c_below_asyncio_run(program):
    """uvloop has no frame of its own."""
    n, t, stop = program

    def run():
        policy = asyncio.get_event_loop_policy()
        asyncio.set_event_loop_policy(uvloop.EventLoopPolicy())
        try:
            return asyncio.run(n["B"]())
        finally:
            asyncio.set_event_loop_policy(policy)
    assert n["main"](run, stop) == (0, (1, 1, 1, 1), 0)


@in_c
def test_a_loop_in_c_that_the_program_runs_itself(program):
    """Whose frame is directly below the root is not known: the stack goes on."""
    n, t, stop = program

    def run():
        loop = uvloop.new_event_loop()
        try:
            return loop.run_until_complete(n["B"]())
        finally:
            loop.close()
    assert n["main"](run, stop) == (0, (0, 0, 0, 0), 0)


# ------------------------------------------------------------------------------------------------------------ under load

LOAD = """
async def serve(reader, writer):
 try:
  while True:
   line = await reader.readline()
   if not line: break
   here()
   writer.write(await handle(line))
 finally: writer.close(); here()
async def handle(line):
 here()
 if line[0] % 3 == 0: return await asyncio.ensure_future(answer(line))
 async with group() as tasks:
  made = [spawn(tasks, answer, line) for _ in range(3)]
 return (await made[-1]) if made[-1] is not None else line
async def answer(line):
 here()
 if line[0] % 2: await asyncio.sleep(0)
 return inner(line)
def inner(line): here(); return line
"""


LOOPS = [pytest.param(asyncio.new_event_loop, id="asyncio"),
         pytest.param(uvloop and uvloop.new_event_loop, id="uvloop", marks=in_c)]
FACTORY = getattr(asyncio, "eager_task_factory", None)


def own_factory(loop, coroutine, **more):
    """As asyncio's, which does not take what uvloop gives it on an early 3.13."""
    return asyncio.Task(coroutine, loop=loop, **{**more, "eager_start": True})


GROUPS = [pytest.param((getattr(asyncio, "TaskGroup", None),
                        lambda tasks, function, *args: tasks.create_task(function(*args)), own_factory), id="asyncio"),
          # which knows asyncio's factory, and takes it into account
          pytest.param((anyio and anyio.create_task_group,
                        lambda tasks, function, *args: tasks.start_soon(function, *args), FACTORY), id="anyio",
                       marks=pytest.mark.skipif(anyio is None, reason="no anyio here"))]


@eager
@pytest.mark.parametrize("loop", LOOPS)
@pytest.mark.parametrize("group", GROUPS)
def test_a_server_of_eager_tasks_under_load(loop, group):
    """Connections and requests while transitions go forth, back and are reversed: one version on each stack."""
    watch = Watch()
    d = make(LOAD, here=watch.here, group=group[0], spawn=group[1])
    stop, failed, port, answered = threading.Event(), [], [], []

    async def client():
        while not stop.is_set():
            reader, writer = await asyncio.open_connection("127.0.0.1", port[0])
            for k in range(20):
                writer.write(b"%c\n" % (65 + k))
                line = await reader.readline()
                answered.append(line == b"%c\n" % (65 + k))
            writer.close()

    async def main():
        asyncio.get_running_loop().set_task_factory(group[2])
        server = await asyncio.start_server(d[0]["serve"], "127.0.0.1", 0)
        port.append(server.sockets[0].getsockname()[1])
        await asyncio.gather(*[client() for _ in range(8)])
        server.close()

    def serve():
        made = loop()
        try:
            made.run_until_complete(main())
        except BaseException as e:
            failed.append(e)
        finally:
            made.close()
    thread = threading.Thread(target=serve)
    thread.start()
    end, turns, t = time.monotonic() + 2, 0, None
    try:
        while (time.monotonic() < end or turns < 2 or len(answered) <= 100) and not failed:
            t = back(t) if turns % 2 else transition(d[0], d[1]) if t is None else back(t)
            t.install()
            t.start()
            if turns % 3 == 0:
                t.look()
                t.reverse()
                t.look()
                t.reverse()
            while not done(t, 1):
                time.sleep(0.001)
            turns += 1
    finally:
        stop.set()
        thread.join()
    if failed and "eager_start" in str(failed[0]):
        pytest.skip("this uvloop does not know this asyncio's factory")
    assert watch.mixed == [], f"{len(watch.mixed)} of {watch.calls}"
    assert not failed and all(answered)
