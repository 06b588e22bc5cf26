"""Ways that are the process's: hooks, warnings, the interpreter's end, forks, sub-interpreters."""
import atexit
import logging
import os
import signal
import sys
import warnings
import weakref
from concurrent.futures import Future

from tests.stress.way import FAULTS, ONE_AT_A_TIME, Ends, depth_here, in_this_thread, replaced, way

try:
    import _xxsubinterpreters as interpreters
except ImportError:
    try:
        import _interpreters as interpreters
    except ImportError:
        interpreters = None

# ----------------------------------------------------------------------------------------------------- hooks of a kind

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
    weakref.finalize._shutdown = False      # which weakref's own exit function sets: no finalizer would run any more


def forked():
    """os.fork() that no alarm comes in: the system begins a fork anew for a signal, on a busy machine without end."""
    blocked = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGPROF})
    try:
        return os.fork()
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, blocked)


@way(main=True, rare=True)
def fork(callback):
    with ONE_AT_A_TIME:         # or the child waits for a thread that it has not
        child = forked()
        if not child:
            known, status, depth_here.n = len(FAULTS), 1, 2     # no way in this one: others hold locks of theirs
            try:
                callback()
                status = len(FAULTS) - known
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
        child = forked()
        if not child:
            os._exit(0)
        os.waitpid(child, 0)
    finally:
        _forks.clear()


@way(rare=True, main=True, where=interpreters is not None)
def sub_interpreter(callback):
    """Its functions are its own; what is called after it is back on the stack around it."""
    made = interpreters.create(isolated=False) if sys.version_info < (3, 13) else interpreters.create("legacy")
    try:
        interpreters.run_string(made, "def f(): return 1\nf()")
    finally:
        interpreters.destroy(made)
    callback()
