"""Descriptions: what objects hold, and that nothing of the program runs."""
import sys

import pytest

from klpfs.builder.verify.compare import Comparison

HOSTILE = """
    import types
    ran = []
    def fails(name):
        def method(*args, **more):
            ran.append(name)
            raise RuntimeError(name)
        return method
    NAMES = ("__getattr__ __getattribute__ __repr__ __str__ __eq__ __hash__ __bool__ __len__ __iter__ __getitem__ "
             "__contains__ __instancecheck__ __subclasscheck__ __class__ __reduce_ex__ __reduce__ __sizeof__ __dir__ "
             "__get__ __index__ __int__ __call__ keys items values mro").split()
    def hostile(kind, *bases):
        space = {name: fails(name) for name in NAMES if name not in ("__class__", "__get__", "mro", "__call__")}
        space["__class__"] = property(fails("__class__"))
        space["__slots__"] = ()
        return kind("Hostile", bases, space)
    Meta = type("Meta", (type,), {name: fails(name) for name in NAMES if name not in ("__class__", "__call__", "mro",
                                                                                     "__hash__", "__eq__")})
    objects = [object.__new__(hostile(type)), dict.__new__(hostile(type, dict)), list.__new__(hostile(type, list)),
               hostile(type, str).__new__(hostile(type, str)), hostile(Meta)]
    class Lazy:
        def __init__(self): object.__setattr__(self, "x", 1)
        __dict__ = property(fails("__dict__"))
    objects.append(type.__call__(Lazy))
    module = types.ModuleType("klp_described.inner")
    module.__getattr__ = fails("module getattr")
    del ran[:]
"""


def test_nothing_of_the_program_runs(modules):
    graph = modules.describe(HOSTILE)
    assert sys.modules["klp_described"].ran == [] and len(graph.nodes) > 100


@pytest.mark.parametrize("one, other, path, what", [
    ("D = {'a': 1, 'b': 2}", "D = {'b': 2, 'a': 1}", "D", "order"),
    ("D = {'a': 1}", "D = {'a': 2}", "D['a']", "value"),
    ("D = {'a': [1, {2}]}", "D = {'a': [1, {2, 3}]}", "D['a'][1][3]", "missing"),
    ("import collections\nD = collections.OrderedDict(a=1, b=2)",
     "import collections\nD = collections.OrderedDict(a=1, b=2)\nD.move_to_end('a')", "D", "order"),
    ("class C: x = 1", "class C: x = 2", "C.x", "value"),
    ("class C:\n    x = 1\nD = C()\nD.y = 1", "class C:\n    x = 1\nD = C()\nD.y = 2", "D.y", "value"),
    ("class C: __slots__ = ('y',)\nD = C()\nD.y = 1", "class C: __slots__ = ('y',)\nD = C()\nD.y = 2", "D.y", "value"),
    ("def f(x=1): pass", "def f(x=2): pass", "f!defaults[0]", "value"),
    ("def f(*, x=1): pass", "def f(*, x=2): pass", "f!default of x", "value"),
    ("def m(x):\n    return lambda: x\nf = m(1)", "def m(x):\n    return lambda: x\nf = m(2)", "f<x>", "value"),
    ("def f(): pass\nf.a = 1", "def f(): pass\nf.a = 2", "f.a", "value"),
    ("def f(): return 1", "def f(): return 2", "f!code", "code"),
    ("import functools\nf = functools.partial(int, 1)", "import functools\nf = functools.partial(int, 2)", "f.args[0]",
     "value"),
    ("import re\nR = re.compile('a')", "import re\nR = re.compile('b')", "R.pattern", "value"),
    ("import datetime\nT = datetime.timedelta(1)", "import datetime\nT = datetime.timedelta(2)", "T", "value"),
    ("import pathlib\nP = pathlib.Path('/a/b')", "import pathlib\nP = pathlib.Path('/a/c')", "P", "value"),
    ("import pathlib\nD = {pathlib.Path('/a/b'): 1}", "import pathlib\nD = {pathlib.Path('/a/b'): 2}",
     "D[pathlib.PosixPath '/a/b']", "value"),
    ("import pathlib\nP = pathlib.Path('/a/b')\nhash(P), str(P), P.parts",
     "import pathlib\nP = pathlib.Path('/a', 'b')", "P", ""),
    ("R = range(3)", "R = range(4)", "R", "value"),
    ("import abc\nclass A(abc.ABC): pass", "import abc\nclass A(abc.ABC): pass\nA.register(int)",
     "A!registered[weak builtins.int]", "missing"),
    ("A = []\nB = A", "A = []\nB = []", "B", "identity"),
    ("A = (1,)\nB = A", "A = (1,)\nB = (2 - 1,)", "B", ""),
    ("A = {}\nB = A", "A = {}\nB = {}", "B", "identity"),
    ("import types\nP = types.MappingProxyType({'a': 1})", "import types\nP = types.MappingProxyType({'a': 2})",
     "P!of['a']", "value"),
    ("class S(str): pass\nX = S('a')", "class S(str): pass\nX = S('b')", "X", "value"),
    ("class B(int): pass", "class B(float): pass", "B!bases[0]", "kind"),
    ("L = [1, 2, 3]", "L = [1, 3]", "L[1]", "extra"),
    ("L = [1, [2], 3]", "L = [1, [3], 3]", "L[1][0]", "value"),
    ("import weakref\nclass C: pass\nD = C()\nE = C()\nW = weakref.ref(D)",
     "import weakref\nclass C: pass\nD = C()\nE = C()\nW = weakref.ref(E)", "W!to", "identity"),
])
def test_what_an_object_holds_is_seen(modules, one, other, path, what):
    """One difference, at this path; `what` is '' where there is none."""
    mine, wanted = modules.describe(one), modules.describe(other)
    found = [(each.path.partition(":")[2], each.what) for each in Comparison(mine, wanted).run()]
    assert found == ([(path, what)] if what else [])


def test_the_same_text_twice_is_no_difference(modules):
    text = """
        import collections, dataclasses, decimal, enum, functools, itertools, re, threading, typing, weakref
        class E(enum.Enum):
            A = 1
            B = (2, 3)
        class F(enum.Flag):
            A = 1
            B = 2
        @dataclasses.dataclass
        class D:
            a: int = 1
            b: list = dataclasses.field(default_factory=list)
        class N(typing.NamedTuple):
            x: int
            y: str = "y"
        P = functools.partial(re.sub, "a", count=itertools.count(2))
        LOCK, LOCAL = threading.Lock(), threading.local()
        TABLE = {E.A: {D(3): 1} if D.__hash__ else 2, (1, "x"): decimal.Decimal("1.5"), 94203940114624: "by id"}
        KEYS = {int: 1, len: 2, E.B: 3, None: 4, frozenset((1, 2)): 5}
        CHAIN = collections.ChainMap({"a": 1}, {"b": 2})
        DEQUE = collections.deque([1, 2], 5)
        @functools.lru_cache(None)
        def cached(x): return x
        class Self: pass
        Self.me = Self()
        Self.me.loop = [Self.me]
        """
    mine = modules.describe(text)
    assert Comparison(mine, modules.describe(text)).run() == []


def test_a_c_type_that_nobody_has_made_ready(modules):
    """`unicodedata.UCD` has no dict on 3.9."""
    graph = modules.describe("import unicodedata\nof_c = type(unicodedata.ucd_3_2_0)\n", everywhere=True)
    module = graph.roots["klp_described"]
    assert graph.kind(graph.edges(module)["of_c"]) == "class"


def test_a_path_into_the_releases_folder_is_the_same_wherever_that_lies(modules):
    text = "import pathlib\nHERE = pathlib.Path({!r}) / 'data'\nTABLE = {{HERE: 1}}\n"
    mine, wanted = modules.describe(text.format("/tree")), modules.describe(text.format("/tree2/p"))
    assert [each.path for each in Comparison(mine, wanted).run()] != []
    found = [modules.describe(text.format(tree), tree=tree) for tree in ("/scratch/old", "/scratch/new")]
    assert Comparison(*found).run() == []


def test_only_the_librarys_own_paths_are_paths(modules):
    """A class that is called so has not its methods called."""
    text = ("ran = []\nclass P:\n    def __fspath__(self): ran.append(1)\n"
            "P.__module__, P.__qualname__ = 'pathlib', 'PosixPath'\nX = P()\n")
    modules.describe(text)
    assert sys.modules["klp_described"].ran == []
