"""CPython's C API: what Python's own ways give, without an audit event."""
import signal
import subprocess
import sys

import pytest

from klpfs.cpython import c_api


def free(a, b=1, *, c=2):
    """Doc."""
    return a, b, c


def test_it_is_there():
    """Where it is not, klpfs works on: see test_without_it."""
    assert c_api.AVAILABLE


def test_a_code_and_an_address():
    frame = sys._getframe()
    assert c_api.frame_code(frame) is frame.f_code and c_api.address(frame) == id(frame)


def test_the_callers_frame():
    def called():
        return c_api.callers_frame()
    assert called() is sys._getframe()


def test_a_function():
    """As types.FunctionType makes it, with its closure."""
    cell = 5

    def inner(a, b=1, *, c=2):
        return a, b, c, cell
    for function in (free, inner):
        made = c_api.new_function(function.__code__, globals(), "other", (7,), {"c": 8}, function.__closure__)
        assert made(1)[:3] == (1, 7, 8) and made.__name__ == "other" and made.__closure__ is function.__closure__
        assert made.__globals__ is globals() and made.__code__ is function.__code__
    bare = c_api.new_function(free.__code__, globals(), "bare", None, None, None)
    assert bare.__defaults__ is None and bare.__kwdefaults__ is None


def test_memory():
    """Four bytes of a bytes object's own, which has none but this holder."""
    text = bytes(range(8)) * 2
    place = id(text) + bytes.__basicsize__ - 1
    assert c_api.peek(place) == int.from_bytes(text[:4], sys.byteorder)
    c_api.poke(place + 4, 0x01020304)
    assert c_api.peek(place + 4) == 0x01020304 and text[:4] == bytes(range(4)) and text[8:] == bytes(range(8))


def test_a_new_code():
    assert c_api.new_code() is not c_api.new_code()


def test_members():
    """A number, a byte and a reference of an object's, by their places."""
    read, write = c_api.member(bytes, bytes.__basicsize__ - 1)
    text = bytes(range(8)) * 2
    assert read(text) == int.from_bytes(text[:4], sys.byteorder)
    write(text, 0x01020304)
    assert read(text) == 0x01020304 and text[4:8] == bytes(range(4, 8))
    assert c_api.byte_member(bytes, bytes.__basicsize__ + 4)(text) == 5
    at = c_api._place_of(free, free.__defaults__)
    read, write = c_api.member(type(free), at, c_api.OBJECT)
    made, value = c_api.new_function(free.__code__, {}, "f", None, None, None), (object(),)
    counts = [sys.getrefcount(value)]
    write(made, value)
    counts.append(sys.getrefcount(value))
    assert read(made) is value is made.__defaults__
    write(made, (1,))
    counts.append(sys.getrefcount(value))
    assert counts == [counts[0], counts[0] + 1, counts[0]]
    with pytest.raises(TypeError):
        read(text)


def test_references_are_right():
    frame, code, space = sys._getframe(), free.__code__, {}
    made = [None] * 100
    before = [sys.getrefcount(each) for each in (frame, code, space)]
    for k in range(100):
        c_api.frame_code(frame), c_api.address(frame), c_api.new_code()
        made[k] = c_api.new_function(code, space, "other", None, None, None)
        c_api.callers_frame()
    made.clear()
    assert [sys.getrefcount(each) for each in (frame, code, space)] == before



def test_what_a_signal_handler_raises_is_no_hooks_refusal():
    """At each instruction of the question."""
    def handler(*args):
        raise KeyboardInterrupt

    def trace(frame, event, arg):
        frame.f_trace_opcodes = frame.f_code is c_api.is_audited.__code__
        if event == "opcode":
            steps[0] += 1
            if steps[0] == at:
                signal.raise_signal(signal.SIGUSR1)
        return trace
    before, at, steps, raised = signal.signal(signal.SIGUSR1, handler), 0, [1], 0
    sys._getframe().f_trace_opcodes = True      # 3.12 has events of opcodes where a frame wants some before settrace
    try:
        while steps[0] >= at:
            at, steps[0] = at + 1, 0
            try:
                sys.settrace(trace)
                assert c_api.is_audited() is False
            except KeyboardInterrupt:
                raised += 1
            finally:
                sys.settrace(None)
    finally:
        signal.signal(signal.SIGUSR1, before)
    assert at > 20 and raised >= at - 3     # none is lost; of the last steps one has no instruction


PROGRAM = r'''
import sys
from klpfs.cpython import c_api
from tests.cpython.test_c_api import free
if %r: c_api.__dict__.update(vars(__import__("tests.cpython.test_c_api", fromlist=["x"]).without()))
code, space, frame, on, seen = free.__code__, {}, sys._getframe(), [], []
sys.addaudithook(lambda event, args: seen.append(event) if on else None)
def all_of():
    place = c_api.address(seen)
    c_api.callers_frame(), c_api.frame_code(frame)
    c_api.new_function(code, space, "n", (1,), {"c": 1}, None)
    if c_api.AVAILABLE and not c_api.LOUD: c_api.peek(place), c_api.poke(place, c_api.peek(place)), c_api.new_code()
def caller():
    all_of()
on.append(1)
caller()
on.clear()
print(sorted(set(seen)))
'''


def run(program):
    done = subprocess.run([sys.executable, "-c", program], stdout=-1, stderr=-2, text=True, timeout=60)
    return done.stdout.strip()


def test_no_audit_event():
    assert run(PROGRAM % False) == "[]"


def without():
    """The module as it is where _ctypes can't be had."""
    import importlib.util
    spec = importlib.util.find_spec("klpfs.cpython.c_api")
    module = importlib.util.module_from_spec(spec)
    kept = sys.modules.get("_ctypes")
    sys.modules["_ctypes"] = None
    try:
        spec.loader.exec_module(module)
    finally:
        if kept is None:
            del sys.modules["_ctypes"]
        else:
            sys.modules["_ctypes"] = kept
    return module


def test_without_it():
    """Then Python's own ways do the same, and raise events."""
    module = without()
    assert not module.AVAILABLE
    frame = sys._getframe()
    assert module.frame_code(frame) is frame.f_code and module.address(frame) == id(frame)

    def called():
        return module.callers_frame()
    assert called() is frame
    made = module.new_function(free.__code__, globals(), "other", (7,), {"c": 8}, None)
    assert made(1) == (1, 7, 8) and made.__name__ == "other"
    assert "sys._getframe" in run(PROGRAM % True)


@pytest.mark.parametrize("name", ["PyFrame_GetCode", "PyFunction_New"])
def test_a_program_that_hides_its_c_functions(monkeypatch, name):
    """An embedded interpreter whose library was opened for itself alone."""
    import _ctypes
    real = _ctypes.dlsym

    def dlsym(handle, wanted):
        if wanted == name:
            raise OSError(f"undefined symbol: {wanted}")
        return real(handle, wanted)
    monkeypatch.setattr(_ctypes, "dlsym", dlsym)
    assert c_api._find() is None
