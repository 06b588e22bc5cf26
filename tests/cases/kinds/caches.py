"""Caches of what the release's own functions gave, of every kind that functools has, and of a release's own making."""
# ruff: noqa: E501, UP031    a line of the table is a release
from tests.cases.kinds.kind import Kind

H = "import functools\n"


def cached(decorator, where="{}def f(x): return ('old', x)\n"):
    text = H + where.format(decorator + "\n")
    return text, text.replace("'old'", "'new'")


KINDS = [
    Kind("cache: functools.lru_cache without call", *cached("@functools.lru_cache"), ("m.f(1)",), live="m.f(1)", carried=True),
    Kind("cache: of a method", *cached("", "class C:\n    @functools.lru_cache(maxsize=8)\n    def f(self, x): return ('old', x)\nc = C()\n"),
         ("m.c.f(1)", "mine.f(1)"), live="m.c.f(1)\nmine = m.C()\nmine.f(1)", carried=True),
    Kind("cache: of a static method", *cached("", "class C:\n    @staticmethod\n    @functools.lru_cache(None)\n    def f(x): return ('old', x)\n"),
         ("m.C.f(1)", "m.C().f(1)"), live="m.C.f(1)", carried=True),
    Kind("cache: of a class method", *cached("", "class C:\n    @classmethod\n    @functools.lru_cache(None)\n    def f(cls, x): return ('old', x)\n"),
         ("m.C.f(1)",), live="m.C.f(1)", carried=True),
    Kind("cache: of a property", *cached("", "class C:\n    @property\n    @functools.lru_cache(None)\n    def f(self): return 'old'\nc = C()\n"),
         ("m.c.f",), live="m.c.f", carried=True),
    Kind("cache: functools.cached_property in live objects", *cached("", "class C:\n    @functools.cached_property\n    def f(self): return 'old'\nc = C()\n"),
         ("m.c.f", "mine.f"), live="m.c.f\nmine = m.C()\nmine.f"),
    Kind("cache: functools.cached_property that calls what changed", *cached("", "def g(): return 'old'\nclass C:\n    @functools.cached_property\n    def f(self): return g()\nc = C()\n"),
         ("m.c.f", "mine.f"), live="m.c.f\nmine = m.C()\nmine.f"),
    Kind("cache: of what calls the changed function", *cached("", "def g(x): return ('old', x)\n@functools.lru_cache(None)\ndef f(x): return g(x)\n@functools.lru_cache(None)\ndef h(x): return f(x)\n"),
         ("m.f(1)", "m.h(1)"), live="m.h(1)", carried=True),
    Kind("cache: of what calls the changed function in another module",
         {"a.py": "def g(x): return 'old'\n", "m.py": H + "import a\n@functools.lru_cache(None)\ndef f(x): return a.g(x)\n"},
         {"a.py": "def g(x): return 'new'\n", "m.py": H + "import a\n@functools.lru_cache(None)\ndef f(x): return a.g(x)\n"},
         ("m.f(1)",), live="m.f(1)", carried=True),
    Kind("cache: of what reads the changed constant", H + "K = 1\n@functools.lru_cache(None)\ndef f(x): return K + x\n", H + "K = 2\n@functools.lru_cache(None)\ndef f(x): return K + x\n",
         ("m.f(1)",), live="m.f(1)", carried=True),
    Kind("cache: lru_cache called as a function", H + "def g(x): return 'old'\nf = functools.lru_cache(None)(g)\n", H + "def g(x): return 'new'\nf = functools.lru_cache(None)(g)\n",
         ("m.f(1)",), live="m.f(1)", carried=True),
    Kind("cache: functools.cache", *cached("@functools.cache"), ("m.f(1)",), live="m.f(1)", carried=True),
    Kind("cache: under another decorator", *cached("", "def logged(f):\n    @functools.wraps(f)\n    def w(*a): return f(*a)\n    return w\n@logged\n@functools.lru_cache(None)\ndef f(x): return ('old', x)\n"),
         ("m.f(1)",), live="m.f(1)", carried=True),
    Kind("cache: over another decorator", *cached("", "def logged(f):\n    @functools.wraps(f)\n    def w(*a): return f(*a)\n    return w\n@functools.lru_cache(None)\n@logged\ndef f(x): return ('old', x)\n"),
         ("m.f(1)",), live="m.f(1)", carried=True),
    Kind("cache: made and kept by a factory",
         H + "def make(k):\n    @functools.lru_cache(None)\n    def f(x): return ('old', k, x)\n    return f\nf = make(1)\n",
         H + "def make(k):\n    @functools.lru_cache(None)\n    def f(x): return ('new', k, x)\n    return f\nf = make(1)\n",
         ("m.f(1)", "mine(2)"), live="m.f(1)\nmine = m.make(2)\nmine(2)"),
    Kind("cache: added to a function", H + "def f(x): return ('old', x)\n", H + "@functools.lru_cache(None)\ndef f(x): return ('new', x)\n",
         ("m.f(1)",), live="m.f(1)", carried=True),
    Kind("cache: taken from a function", H + "@functools.lru_cache(None)\ndef f(x): return ('old', x)\n", H + "def f(x): return ('new', x)\n",
         ("m.f(1)",), live="m.f(1)", carried=True),
    Kind("cache: its size changes", H + "@functools.lru_cache(2)\ndef f(x): return 1\n", H + "@functools.lru_cache(64)\ndef f(x): return 2\n",
         ("m.f(1)", "m.f.cache_info().maxsize"), live="m.f(1)"),
    Kind("cache: a dict of the module's own", "_C = {}\ndef f(x):\n    if x not in _C: _C[x] = ('old', x)\n    return _C[x]\n", "_C = {}\ndef f(x):\n    if x not in _C: _C[x] = ('new', x)\n    return _C[x]\n",
         ("m.f(1)",), carried=True, meanwhile={"m.f(1)": "('old', 1)"}),
    Kind("cache: singledispatch, a body", H + "@functools.singledispatch\ndef f(x): return 'old'\n@f.register(int)\ndef _(x): return 'int'\n",
         H + "@functools.singledispatch\ndef f(x): return 'new'\n@f.register(int)\ndef _(x): return 'INT'\n", ("m.f('')", "m.f(1)"), live="m.f(1)"),
    Kind("cache: singledispatch, a new type", H + "@functools.singledispatch\ndef f(x): return 'any'\n@f.register(int)\ndef fi(x): return 'int'\n",
         H + "@functools.singledispatch\ndef f(x): return 'any'\n@f.register(int)\ndef fi(x): return 'int'\n@f.register(str)\ndef fs(x): return 'str'\n",
         ("m.f('')", "m.f(1)"), live="m.f('')"),
    Kind("cache: singledispatchmethod", H + "class C:\n    @functools.singledispatchmethod\n    def f(self, x): return 'old'\n    @f.register(int)\n    def _i(self, x): return 'int'\nc = C()\n",
         H + "class C:\n    @functools.singledispatchmethod\n    def f(self, x): return 'new'\n    @f.register(int)\n    def _i(self, x): return 'INT'\nc = C()\n",
         ("m.c.f('')", "m.c.f(1)"), live="m.c.f(1)"),
    Kind("cache: total_ordering and a changed method", H + "@functools.total_ordering\nclass V:\n    def __init__(self, n): self.n = n\n    def __eq__(self, o): return self.n == o.n\n    def __lt__(self, o): return self.n < o.n\na, b = V(1), V(2)\n",
         H + "@functools.total_ordering\nclass V:\n    def __init__(self, n): self.n = n\n    def __eq__(self, o): return self.n == o.n\n    def __lt__(self, o): return self.n > o.n\na, b = V(1), V(2)\n",
         ("m.a < m.b", "m.a >= m.b"), carried=True),
]
