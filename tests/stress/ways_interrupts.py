"""Ways that interrupt: signals, pending calls, the end of objects, garbage collection, tracing and what is like it."""
import collections
import ctypes
import functools
import gc
import signal
import sys
import threading
import weakref

from tests.stress.way import ONE_AT_A_TIME, Calls, Ends, get_ident, way

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


LATE_CALLS = []         # CPython will call them


@way(main=True)
def pending_call(callback):
    done = []

    def call(argument):
        done.append(1)
        callback()
        return 0
    function = PENDING(call)
    if ctypes.pythonapi.Py_AddPendingCall(function, None) == 0:
        # A signal handler in the middle of a pending call: CPython runs no other until that is over
        for _ in range(100000):
            if done:
                return
        LATE_CALLS.append(function)


# ------------------------------------------------------------------------------- the end of objects, garbage collection

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
        def watched():
            return 1
        was = sys.gettrace()
        sys._getframe().f_trace_opcodes = True      # else 3.13 has no such events (gh-103615)
        sys.settrace(call)
        watched()
        watched()                                   # from 3.14 on the first call only sets up its code for such events
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
