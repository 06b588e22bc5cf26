"""Methods that may have been handed on to, found on stacks."""
import gc
import sys
import threading

import pytest

from klpfs.cpython import interpreters
from klpfs.cpython.looks import codes_in_use, first_argument, methods
from klpfs.cpython.looks.methods import MAYBE, NO, SURELY

pytestmark = pytest.mark.skipif(not first_argument.KNOWN, reason="this CPython shows no functions of C")


def how(wanted):
    frame = sys._getframe(1)
    return methods.runs(frame, frame.f_code, wanted)


class Plain:
    def close(self, wanted):
        return how(wanted)

    def throw(self, wanted):
        self = None         # noqa: F841
        return how(wanted)


class OfTheClass:
    @classmethod
    def close(cls, wanted):
        return how(wanted)

    @staticmethod
    def throw(wanted):
        return how(wanted)


class Empty:
    """An object without such methods."""


class Wrapped:
    def close(self, wanted):
        return how(wanted)
    close = (lambda close: lambda self, wanted: close(self, wanted))(close)


class List(list):
    """An object whose methods C has."""
    close = list.append


def close(*all):
    return how(all[-1])


def test_a_method_is_its_objects():
    plain, wrapped = Plain(), Wrapped()
    assert plain.close(plain) == wrapped.close(wrapped) == SURELY
    assert OfTheClass().close(OfTheClass()) == OfTheClass.throw(OfTheClass()) == SURELY


def test_what_is_not_told_may_be():
    """The variable has been given another value; the object may be another of its class; the type says nothing."""
    plain = Plain()
    assert plain.throw(plain) == plain.close(Plain()) == MAYBE
    assert close(1, Empty()) == plain.close(Empty()) == close(1, Plain()) == close(1, Wrapped()) == MAYBE
    assert close(Empty()) == SURELY


def test_methods_of_c_are_no_functions():
    assert close(List()) == Plain().close(List()) == NO


def test_a_method_that_surely_runs_elsewhere_is_found():
    class Stops:
        def close(self):
            inside.set()
            go.wait(10)
    inside, go, stops = threading.Event(), threading.Event(), Stops()
    thread = threading.Thread(target=stops.close)
    thread.start()
    assert inside.wait(10)
    try:
        def asked(wanted):
            return methods.is_elsewhere(wanted, None, [sys._getframe()], False, None)
        assert asked(stops)
        assert asked(Stops()) != first_argument.OF_OTHERS       # 3.11 does not tell two of a class apart there
    finally:
        go.set()
        thread.join()


def test_no_frame_is_kept():
    class Object:
        """What a frame keeps alive."""
    gc.collect()
    gc.disable()
    try:
        value = Object()

        def holds(value):
            methods.is_elsewhere(Plain(), None, [sys._getframe()], False, None)
        before = sys.getrefcount(value)
        for _ in range(10):
            holds(value)
        assert sys.getrefcount(value) == before
    finally:
        gc.enable()


def raises(error):
    raise error


@pytest.mark.parametrize("frames", [lambda: raises(interpreters.Apart), lambda: map({}.__getitem__, (1,))],
                         ids=["before", "meanwhile"])
def test_beside_an_interpreter_of_its_own_lock_other_stacks_say_nothing(monkeypatch, frames):
    """The program's own call, which asks, goes on; also where that interpreter comes in this moment."""
    monkeypatch.setattr(methods.threads, "frames", frames)
    assert methods.is_elsewhere(Plain(), None, [sys._getframe()], False, None) is False


@pytest.mark.parametrize("ask", [
    lambda: methods.is_elsewhere(Plain(), None, [sys._getframe()], False, None), codes_in_use.on_stacks])
def test_a_key_error_of_the_programs_is_its_own(monkeypatch, ask):
    """Of a signal handler or an audit hook."""
    monkeypatch.setattr(methods.threads, "frames", lambda: raises(KeyError))
    with pytest.raises(KeyError):
        ask()
