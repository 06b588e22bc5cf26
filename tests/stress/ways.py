"""The ways in which Python code can begin on a stack that is not its caller's doing: each a function that has a callback
called in that way, in the calling thread, before it returns.

A patched function calls way(callback), and its callback checks that what it calls is of the function's version: so it
is all one stack. WAYS: name -> Way. docs/DESIGN.md#6 has the table of ways and rules; tests/stress/test_ways.py
compares the two.
"""
import abc
import array
import asyncio
import atexit
import bisect
import codecs
import collections
import contextlib
import contextvars
import copy
import copyreg
import ctypes
import functools
import gc
import heapq
import importlib.abc
import importlib.util
import io
import itertools
import json
import logging
import operator
import os
import pickle
import re
import signal
import sqlite3
import sys
import threading
import types
import warnings
import weakref
from concurrent.futures import Future
from xml.parsers import expat

from klpfs.cpython.looks.threads import CUTS

try:
    import greenlet
except ImportError:
    greenlet = None
try:
    import cffi
except ImportError:
    cffi = None
try:
    import _xxsubinterpreters as interpreters
except ImportError:
    try:
        import _interpreters as interpreters
    except ImportError:
        interpreters = None

WAYS = {}
FAULTS = []                             # the stress's list of mixed calls
ONE_AT_A_TIME = threading.RLock()       # for what is the process's: hooks, registries
get_ident = threading.get_ident
_depth, _numbers = threading.local(), itertools.count()


class Way:
    """function(callback). main: in the main thread alone. rare: what costs milliseconds, or blocks a transition."""

    def __init__(self, function, main, rare):
        self.function, self.main, self.rare = function, main, rare
        self.name = function.__name__.strip("_")
        self.times = 0

    def __call__(self, callback):
        """Counted without a lock: roughly. A way in a way is the last: hooks that are in place would find themselves.
        Another thread's stack is not the caller's: with a Python audit hook about, a look can hold a dying object for a
        moment, whose finalizer then runs in the look's thread."""
        ident = get_ident()

        def counting(*args, **more):
            if get_ident() == ident:
                self.times += 1
                callback()
        depth = getattr(_depth, "n", 0)
        if depth > 1:
            return callback()
        _depth.n = depth + 1
        try:
            self.function(counting)
        finally:
            _depth.n = depth


def way(main=False, rare=False, where=True):
    def note(function):
        if where:
            made = Way(function, main, rare)
            WAYS[made.name] = made
        return function
    return note


class Calls:
    """An object whose methods of all kinds call the callback."""

    def __init__(self, callback):
        self.callback = callback

    def _call(self, *args):
        self.callback()


def calling(name, result, base=object):
    """A class with one special method, which calls the callback and returns the result."""
    def method(self, *args):
        self.callback()
        return result(self, *args) if callable(result) else result
    return type("Calling" + name, (base,), {name: method})


# ------------------------------------------------------------------------------------------------ signals, pending calls

@way(main=True)
def signal_handler(callback):
    was = signal.signal(signal.SIGUSR1, lambda *args: callback())
    signal.raise_signal(signal.SIGUSR1)
    signal.signal(signal.SIGUSR1, was)


@way(main=True)
def signal_in_signal(callback):
    def second(*args):
        callback()

    def first(*args):
        signal.raise_signal(signal.SIGUSR2)
        callback()
    was = signal.signal(signal.SIGUSR1, first), signal.signal(signal.SIGUSR2, second)
    signal.raise_signal(signal.SIGUSR1)
    signal.signal(signal.SIGUSR1, was[0])
    signal.signal(signal.SIGUSR2, was[1])


PENDING = ctypes.PYFUNCTYPE(ctypes.c_int, ctypes.c_void_p)


@way(main=True)
def pending_call(callback):
    done = []

    def call(argument):
        done.append(1)
        callback()
        return 0
    function = PENDING(call)
    if ctypes.pythonapi.Py_AddPendingCall(function, None) == 0:
        while not done:
            pass


# ------------------------------------------------------------------------------- the end of objects, garbage collection

class Ends:
    def __init__(self, callback):
        self.callback, self.ident = callback, get_ident()

    def __del__(self):
        if get_ident() == self.ident:
            self.callback()


@way()
def finalizer(callback):
    ends = Ends(callback)
    del ends


@way()
def finalizer_in_containers(callback):
    held = [({1: [Ends(callback)]}, collections.deque([Ends(callback)]), functools.partial(len, Ends(callback)))]
    held.clear()


@way()
def finalizer_of_a_local(callback):
    def local():
        ends = Ends(callback)
        return ends is None
    local()


@way(rare=True)
def finalizer_in_a_collection(callback):
    ends = Ends(callback)
    ends.me = ends
    del ends
    gc.collect(0)


@way(rare=True)
def collection_callback(callback):
    ident = get_ident()

    def call(phase, info):
        if get_ident() == ident and call in gc.callbacks:
            callback()
    with ONE_AT_A_TIME:
        gc.callbacks.append(call)
        gc.collect(0)
        gc.callbacks.remove(call)


@way()
def weakref_callback(callback):
    thing = Calls(callback)
    kept = weakref.ref(thing, lambda reference: callback())
    del thing
    assert kept() is None


@way()
def weakref_finalize(callback):
    thing = Calls(callback)
    weakref.finalize(thing, callback).atexit = False
    del thing


@way()
def weak_key(callback):
    thing, table = Calls(callback), weakref.WeakKeyDictionary()
    table[thing] = Ends(callback)
    del thing


@way(where=sys.version_info < (3, 13))
def frame_cleared(callback):
    def generator():
        ends = Ends(callback)
        yield ends is None
    made = generator()
    next(made)
    made.gi_frame.clear()


@way()
def thread_local_value(callback):
    local = threading.local()
    local.value = Ends(callback)
    del local


# ------------------------------------------------------------------------------------------- tracing and what is like it

@way()
def trace(callback):
    with ONE_AT_A_TIME:     # 3.11 knows one thread that installs
        was = sys.gettrace()
        sys.settrace(lambda frame, event, arg: callback())
        (lambda: None)()
        sys.settrace(was)


@way(where=sys.version_info[:2] != (3, 12))      # 3.12.1 crashes in settrace() when threads do this, without klpfs too
def trace_opcodes(callback):
    with ONE_AT_A_TIME:     # 3.11 knows one thread that installs
        def local(frame, event, arg):
            if event == "opcode":
                frame.f_trace_opcodes = False
                callback()
            return local

        def call(frame, event, arg):
            frame.f_trace_opcodes, frame.f_trace_lines = True, False
            return local
        was = sys.gettrace()
        sys._getframe().f_trace_opcodes = True      # else 3.13 has no such events (gh-103615)
        sys.settrace(call)
        (lambda: 1)()
        sys.settrace(was)


@way()
def profile(callback):
    with ONE_AT_A_TIME:     # 3.11 knows one thread that installs
        was = sys.getprofile()
        sys.setprofile(lambda frame, event, arg: callback())
        len("")
        sys.setprofile(was)


@way(where=hasattr(sys, "monitoring"), rare=True)
def monitoring(callback):
    def watched():
        return None
    events = sys.monitoring.events
    with ONE_AT_A_TIME:
        sys.monitoring.use_tool_id(3, "stress")
        sys.monitoring.register_callback(3, events.PY_START, lambda code, offset: callback())
        sys.monitoring.set_local_events(3, watched.__code__, events.PY_START)
        watched()
        sys.monitoring.set_local_events(3, watched.__code__, 0)
        sys.monitoring.register_callback(3, events.PY_START, None)
        sys.monitoring.free_tool_id(3)


_hooked = []


def _hook(event, args):
    if event == "klpfs.stress":
        args[0]()


@way()
def audit_hook(callback):
    if not _hooked:
        _hooked.append(sys.addaudithook(_hook))
    sys.audit("klpfs.stress", callback)


# ------------------------------------------------------------------------------------------------------ called from C

@way()
def ctypes_callback(callback):
    kind = ctypes.CFUNCTYPE(None)
    kind(callback)()


@way()
def ctypes_callback_in_qsort(callback):
    kind = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p)

    def compare(a, b):
        callback()
        return 0
    ctypes.CDLL(None).qsort((ctypes.c_int * 2)(2, 1), 2, 4, kind(compare))


_ffi = cffi.FFI() if cffi else None


@way(where=cffi is not None)
def cffi_callback(callback):
    _ffi.callback("void(void)", callback)()


@way()
def sort_key(callback):
    sorted([2, 1], key=lambda x: callback() or x)


@way()
def cmp_to_key(callback):
    [2, 1].sort(key=functools.cmp_to_key(lambda a, b: callback() or 0))


@way()
def map_filter_reduce(callback):
    list(filter(lambda x: callback(), map(lambda x: callback(), (1,))))
    functools.reduce(lambda a, b: callback(), (1, 2))
    list(itertools.starmap(lambda a: callback(), ((1,),)))


@way()
def partial(callback):
    functools.partial(callback, 1)()
    operator.methodcaller("_call")(Calls(callback))


@way()
def lru_cache(callback):
    functools.lru_cache(maxsize=1)(callback)()


@way()
def iterator_with_a_sentinel(callback):
    list(iter(callback, None))


@way()
def comparisons_in_c(callback):
    less = calling("__lt__", False)
    a, b = less(), less()
    a.callback = b.callback = callback
    heapq.heapify([a, b])
    bisect.insort([a], b)
    max(a, b, key=lambda x: callback() or 0)


@way()
def hash_and_equality(callback):
    class Key:
        def __hash__(self):
            callback()
            return 1

        def __eq__(self, other):
            callback()
            return self is other
    table = {Key(): 1}
    table.get(Key())
    {Key()} & {Key()}


@way()
def keyword_names(callback):
    class Name(str):
        __hash__ = str.__hash__

        def __eq__(self, other):
            callback()
            return str.__eq__(self, other)

    def taken(name=None):
        return name
    taken(**{Name("name"): 1})


@way()
def index_and_numbers(callback):
    for name, use, result in (("__index__", lambda x: [1][x], 0), ("__int__", int, 1), ("__float__", float, 1.0),
                              ("__bool__", bool, True), ("__len__", len, 1), ("__add__", lambda x: sum([x], x), 1)):
        made = calling(name, result)()
        made.callback = callback
        use(made)


@way()
def texts(callback):
    for name, use in (("__format__", "{}".format), ("__str__", str), ("__repr__", repr), ("__fspath__", os.fspath)):
        made = calling(name, "x")()
        made.callback = callback
        use(made)


@way()
def mappings(callback):
    class Table(dict):
        def __missing__(self, key):
            callback()
            return 1
    eval("name", {}, Table())
    "%(a)s" % Table()


@way()
def iterators(callback):
    class Iterates:
        def __iter__(self):
            callback()
            return iter(())

        def __length_hint__(self):
            callback()
            return 0

    class Items(list):
        def __init__(self, found):
            super().__init__(found)
    Items(Iterates())
    dict.fromkeys(Iterates())
    "".join(Iterates())


@way()
def attributes(callback):
    class Attributes:
        @property
        def own(self):
            callback()

        def __getattr__(self, name):
            callback()
            return 1

        def __setattr__(self, name, value):
            callback()
    thing = Attributes()
    assert thing.own is None and thing.other
    operator.attrgetter("more")(thing)
    thing.x = 1


@way()
def type_creation(callback):
    class Meta(type):
        @classmethod
        def __prepare__(cls, *args):
            callback()
            return {}

        def __call__(cls, *args):
            callback()
            return super().__call__(*args)

        def __instancecheck__(cls, thing):
            callback()
            return True

    class Named:
        def __set_name__(self, owner, name):
            callback()

        def __get__(self, thing, owner):
            callback()

    class Entries:
        def __mro_entries__(self, bases):
            callback()
            return (Base,)

    class Base(metaclass=Meta):
        named = Named()

        def __init_subclass__(cls):
            callback()

        def __class_getitem__(cls, item):
            callback()

        def __new__(cls):
            callback()
            return super().__new__(cls)

    class Made(Entries()):
        pass
    assert Made().named is Base[1] is None
    isinstance(1, Base)


@way()
def abstract_subclass_hook(callback):
    class Hook(abc.ABC):
        @classmethod
        def __subclasshook__(cls, other):
            callback()
            return True

        @abc.abstractmethod
        def method(self):
            pass
    issubclass(Calls, Hook)


@way()
def pickle_and_copy(callback):
    class Reduced:
        def __reduce__(self):
            callback()
            return int, ()
    pickle.dumps(Reduced())
    copy.copy(Reduced())


@way(rare=True)
def copyreg_function(callback):
    kind = type("Registered", (), {})
    copyreg.pickle(kind, lambda thing: (callback() or int, ()))
    pickle.dumps(kind())
    copyreg.dispatch_table.pop(kind, None)


@way()
def json_hooks(callback):
    json.dumps(object(), default=lambda x: callback())
    json.loads('{"a": 1}', object_hook=lambda x: callback())


@way()
def regular_expression(callback):
    re.sub("x", lambda found: callback() or "", "xx")


@way()
def sqlite(callback):
    connection = sqlite3.connect(":memory:")
    connection.create_function("f", 0, lambda: callback() or 1)
    connection.set_progress_handler(lambda: callback() or 0, 1)
    connection.create_collation("c", lambda a, b: callback() or 0)
    connection.execute("select f() union select 2 order by 1").fetchall()
    connection.close()


@way()
def expat_handler(callback):
    parser = expat.ParserCreate()
    parser.StartElementHandler = lambda name, attributes: callback()
    parser.Parse("<a/>", True)


@way(rare=True)
def codecs_error_handler(callback):
    with ONE_AT_A_TIME:
        codecs.register_error("klpfs-stress", lambda error: callback() or ("", error.end))
        "\udc80".encode("utf-8", "klpfs-stress")


_searched = {}


def _search(name):
    found = _searched.pop(name, None)
    if found:
        found()
    return None


@way(rare=True)
def codecs_search_function(callback):
    if "registered" not in _searched:
        _searched["registered"] = None
        codecs.register(_search)
    name = "klpfs_stress_%d" % next(_numbers)
    _searched[name] = callback
    try:
        codecs.lookup(name)
    except LookupError:
        pass


@way()
def opener(callback):
    def opens(path, flags):
        callback()
        return os.open(path, flags)
    open(os.devnull, opener=opens).close()


@way()
def io_in_python(callback):
    class Raw(io.RawIOBase):
        def readable(self):
            return True

        def readinto(self, buffer):
            callback()
            return 0
    io.TextIOWrapper(io.BufferedReader(Raw())).read()


@way()
def buffer_protocol(callback):
    class Buffer(array.array):
        def __buffer__(self, flags):
            callback()
            return memoryview(b"")

        def __bytes__(self):
            callback()
            return b""
    bytes(Buffer("b"))


@way()
def context_run(callback):
    contextvars.copy_context().run(callback)


_variable = contextvars.ContextVar("stress")


@way()
def context_value(callback):
    token = _variable.set(Ends(callback))
    _variable.reset(token)
    del token


@way()
def import_hooks(callback):
    name, ident = "klpfs_stress_%d" % next(_numbers), get_ident()

    class Finder(importlib.abc.MetaPathFinder, importlib.abc.Loader):
        def find_spec(self, wanted, path, target=None):
            if wanted == name and get_ident() == ident:
                callback()
                return importlib.util.spec_from_loader(name, self)

        def create_module(self, spec):
            callback()

        def exec_module(self, module):
            callback()
    finder = Finder()
    with ONE_AT_A_TIME:         # imports pass over finders while others are taken out
        sys.meta_path.append(finder)
        __import__(name)
        sys.meta_path.remove(finder)
        del sys.modules[name]


@way()
def module_getattr(callback):
    module = types.ModuleType("m")
    module.__getattr__ = lambda name: callback()
    assert module.x is None


# ----------------------------------------------------------------------------------------------------- hooks of a kind

@contextlib.contextmanager
def replaced(module, name, value):
    with ONE_AT_A_TIME:
        was = getattr(module, name)
        setattr(module, name, value)
        try:
            yield
        finally:
            setattr(module, name, was)


def in_this_thread(callback):
    ident = get_ident()
    return lambda *args, **more: callback() if get_ident() == ident else None


@way()
def unraisable_hook(callback):
    def fails():
        raise KeyError
    with replaced(sys, "unraisablehook", in_this_thread(callback)):
        ends = Ends(fails)
        del ends


@way(main=True)
def display_hook(callback):
    with replaced(sys, "displayhook", in_this_thread(callback)):
        exec(compile("1", "", "single"))


@way()
def warning_shown(callback):
    with ONE_AT_A_TIME, warnings.catch_warnings():
        warnings.simplefilter("always")
        warnings.showwarning = in_this_thread(callback)
        warnings.warn("klpfs", stacklevel=1)


@way()
def logging_handler(callback):
    logger = logging.Logger("klpfs")
    handler = logging.Handler()
    handler.emit = lambda record: callback()
    logger.addFilter(lambda record: callback() or True)
    logger.addHandler(handler)
    logger.error("x")


@way()
def future_callback(callback):
    future = Future()
    future.set_result(1)
    future.add_done_callback(callback)


@way(main=True, rare=True)
def at_exit(callback):
    atexit.register(in_this_thread(callback))
    atexit._run_exitfuncs()


@way(main=True, rare=True)
def fork(callback):
    with ONE_AT_A_TIME:         # or the child waits for a thread that it has not
        child = os.fork()
        if not child:
            status, _depth.n = 1, 2         # no way in this one: others hold locks of theirs
            try:
                callback()
                status = len(FAULTS)
            finally:
                os._exit(min(status, 1))
        if os.waitpid(child, 0)[1]:
            FAULTS.append(("in a forked child",))
    callback()


_forks = []
os.register_at_fork(before=lambda: [f() for f in list(_forks)], after_in_parent=lambda: [f() for f in list(_forks)])


@way(main=True, rare=True)
def at_fork(callback):
    _forks.append(in_this_thread(callback))
    try:
        child = os.fork()
        if not child:
            os._exit(0)
        os.waitpid(child, 0)
    finally:
        _forks.clear()


@way(rare=True, main=True, where=interpreters is not None)
def sub_interpreter(callback):
    """Its functions are its own; what is called after it is back on the stack around it."""
    made = interpreters.create(isolated=False) if sys.version_info < (3, 13) and sys.version_info >= (3, 9) \
        else interpreters.create("legacy")
    try:
        interpreters.run_string(made, "def f(): return 1\nf()")
    finally:
        interpreters.destroy(made)
    callback()


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
