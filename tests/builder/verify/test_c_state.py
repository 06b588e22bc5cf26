"""The state of C objects: seen, and nothing of the program runs for it."""
import atexit
import csv
import logging
import signal
import sys
import threading

import pytest

from klpfs.builder.verify import c_state
from klpfs.builder.verify.compare import Comparison
from klpfs.builder.verify.describe import Description


@pytest.mark.parametrize("one, other, path", [
    ("import collections\nD = collections.deque([1], 3)", "import collections\nD = collections.deque([1], 4)",
     "D!maxlen"),
    ("import collections\nD = collections.Counter('ab')", "import collections\nD = collections.Counter('ba')", "D"),
    ("import collections\nD = collections.OrderedDict([(1, 1), (2, 2)])",
     "import collections\nD = collections.OrderedDict([(1, 1), (2, 2)])\nD.move_to_end(1)", "D"),
    ("class C(dict): pass\nD = C(a=1, b=2)", "class C(dict): pass\nD = C(b=2, a=1)", "D"),
    ("import ssl\nD = ssl.create_default_context()",
     "import ssl\nD = ssl.create_default_context()\nD.minimum_version = ssl.TLSVersion.TLSv1_3", "D!minimum_version"),
    ("import ssl\nD = ssl.create_default_context()",
     "import ssl\nD = ssl.create_default_context()\nD.check_hostname = False", "D!check_hostname"),
    ("D = ValueError(1)", "D = ValueError(2)", "D!args[0]"),
    ("class E(Exception): pass\nD = E(1)", "class E(Exception): pass\nD = E(2)", "D!args[0]"),
    ("import array\nD = array.array('i', [1])", "import array\nD = array.array('i', [2])", "D!tobytes()"),
    ("import io\nD = io.BytesIO(b'1')", "import io\nD = io.BytesIO(b'2')", "D!getvalue()"),
    ("import io\nD = io.StringIO('1')", "import io\nD = io.StringIO('2')", "D!getvalue()"),
    ("import contextvars\nD = contextvars.ContextVar('x', default=1)",
     "import contextvars\nD = contextvars.ContextVar('x', default=2)", "D!default 1"),
    ("import contextvars\nD = contextvars.ContextVar('x')",
     "import contextvars\nD = contextvars.ContextVar('x')\nD.set(3)", "D!value"),
    ("import threading\nD = threading.local()\nD.x = 1", "import threading\nD = threading.local()\nD.x = 2",
     "D!__dict__['x']"),
    ("import decimal\nD = decimal.Context(prec=3)", "import decimal\nD = decimal.Context(prec=4)",
     "D!__reduce__()[1][0]"),
    ("import decimal\nD = decimal.Decimal(3)", "import decimal\nD = decimal.Decimal(4)", "D"),
    ("D = memoryview(b'1')", "D = memoryview(b'2')", "D!obj"),
    ("import struct\nD = struct.Struct('<I')", "import struct\nD = struct.Struct('>I')", "D!format"),
    ("import itertools\nD = itertools.repeat(1, 3)", "import itertools\nD = itertools.repeat(1, 4)", "D!left"),
    ("D = iter([1])", "D = iter([2])", "D!ref0[0]"),
    ("D = iter([1, 2])", "D = iter([1, 2])\nnext(D)", "D!left"),
    ("def g():\n    x = 1\n    yield x\nD = g()", "def g():\n    x = 1\n    yield x\nD = g()\nnext(D)", "D<x>"),
    ("import random\nD = random.Random(1)", "import random\nD = random.Random(2)", "D!getstate()"),
    ("D = property(len)", "D = property(print)", "D.fget"),
    ("D = {2 ** 41: 1}", "D = {2 ** 42: 1}", "D[4398046511104]"),
    ("D = {10 ** 14: 1}", "D = {10 ** 14 + 16: 1}", "D[100000000000016]"),
    ("import enum\nclass D(enum.Enum):\n    A = 1\n    B = 2", "import enum\nclass D(enum.Enum):\n    A = 2\n    B = 1",
     "D._value2member_map_"),
    ("class C:\n    def __init__(D, names): D.__dict__.update(names)\nD = C(dict(a=1, b=2))",
     "class C:\n    def __init__(D, names): D.__dict__.update(names)\nD = C(dict(b=2, a=1))", "D.__dict__"),
    ("import weakref\nclass C: pass\nc = C()\nD = weakref.ref(c, repr)",
     "import weakref\nclass C: pass\nc = C()\nD = weakref.ref(c, print)", "D!callback"),
    ("import hashlib\nD = hashlib.sha256(b'1')", "import hashlib\nD = hashlib.sha256(b'2')", "D!hexdigest()"),
])
def test_what_c_holds_is_seen(modules, one, other, path):
    mine, wanted = modules.describe(one), modules.describe(other)
    found = [each.path.partition(":")[2] for each in Comparison(mine, wanted).run()]
    assert path in found and all(each.startswith("D") for each in found)
    assert Comparison(mine, modules.describe(one)).run() == []


@pytest.mark.parametrize("text", [
    "import zlib\nD = zlib.compressobj()", "import mmap\nD = mmap.mmap(-1, 10)", "import ctypes\nD = ctypes.c_int(1)",
])
def test_what_nobody_sees_is_named(modules, text):
    comparison = Comparison(modules.describe(text), modules.describe(text))
    assert comparison.run() == [] and [each.path.partition(":")[2] for each in comparison.unseen] == ["D"]


@pytest.mark.parametrize("text", [
    "import threading\nD = threading.Lock()", "D = object()", "import logging\nD = logging.getLogger('klp_described')",
    "class C: pass\nD = C()", "class E(Exception): pass\nD = E()", "import functools\nD = functools.lru_cache(len)",
    "import functools\nclass P(functools.partial): pass\nD = P(len)", "import enum\nclass C(enum.Flag):\n    D = 1",
])
def test_what_has_nothing_hidden_is_not(modules, text):
    comparison = Comparison(modules.describe(text), modules.describe(text))
    assert comparison.run() == comparison.unseen == []


def test_keys_that_are_identities_are_no_difference(modules):
    text = "KEPT = []\nD = {id(KEPT): %d}"
    mine = modules.describe(text % 1)
    assert Comparison(mine, modules.describe(text % 1)).run() == []
    assert [each.what for each in Comparison(mine, modules.describe(text % 2)).run()] == ["value"]


def test_composites_of_flags_are_no_difference(modules):
    text = "import enum\nclass D(enum.Flag):\n    A = 1\n    B = 2\n"
    assert Comparison(modules.describe(text), modules.describe(text + "D(3)\n")).run() == []


@pytest.mark.parametrize("module, what, change, back", [
    ("atexit", "_ncallbacks()", lambda: atexit.register(callback), lambda: atexit.unregister(callback)),
    ("sys", "getrecursionlimit()", lambda: sys.setrecursionlimit(sys.getrecursionlimit() + 1),
     lambda: sys.setrecursionlimit(sys.getrecursionlimit() - 1)),
    ("_signal", f"handler of {int(signal.SIGUSR2)}", lambda: signal.signal(signal.SIGUSR2, signal.SIG_IGN),
     lambda: signal.signal(signal.SIGUSR2, signal.SIG_DFL)),
    ("_csv", "list_dialects()", lambda: csv.register_dialect("klpfs"), lambda: csv.unregister_dialect("klpfs")),
])
def test_state_of_the_process_is_seen(module, what, change, back):
    before = dict(c_state.of_module(module))
    change()
    try:
        after = dict(c_state.of_module(module))
        assert {name for name in after if after[name] != before[name]} == {what}
    finally:
        back()


def test_what_is_made_anew_each_time_has_no_identity():
    assert all(type(value) not in (list, dict) for name in ("_csv", "_locale", "gc", "sys")
               for _, value in c_state.of_module(name))


def test_modules_without_such_state(modules):
    assert list(c_state.of_module("klp_none")) == list(c_state.of_module(None)) == []


def callback():
    pass


def test_levels_of_loggers_that_nobody_holds_are_seen(modules):
    modules.describe("import logging\nlogging.getLogger('klp_described.x').setLevel(10)")
    described = Description(["klp_described"], "/tree", [], [])
    manager = described._node(logging.Logger.manager)
    described._run()
    table = next(described.nodes[to] for label, to in described.nodes[manager][2] if label == ".loggerDict")
    assert [label for label, _ in table[2]] == ["['klp_described']", "['klp_described.x']"], "and no others'"


def test_a_subclass_is_not_asked_for_what_it_would_make(modules):
    text = """
        import threading
        ran = []
        class Local(threading.local):
            def __init__(self): ran.append(1)
        def make(): places.append(Local())
        places = []
        thread = threading.Thread(target=make)
        thread.start()
        thread.join()
        del thread
        """
    modules.describe(text)
    assert sys.modules["klp_described"].ran == [1] and threading.active_count() > 0
