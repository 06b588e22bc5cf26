"""Ways that C code calls: callbacks, keys, special methods, handlers of libraries in C."""
import abc
import array
import bisect
import codecs
import contextvars
import copy
import copyreg
import ctypes
import functools
import heapq
import importlib.abc
import importlib.util
import io
import itertools
import json
import operator
import os
import pickle
import re
import sqlite3
import sys
import types
from xml.parsers import expat

from tests.stress.way import ONE_AT_A_TIME, Calls, Ends, calling, get_ident, numbers, way

try:
    import cffi
except ImportError:
    cffi = None

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
    name = "klpfs_stress_%d" % next(numbers)
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
    name, ident = "klpfs_stress_%d" % next(numbers), get_ident()

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
