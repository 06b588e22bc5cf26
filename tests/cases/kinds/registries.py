"""Registries that are filled when a class or function is made, and copies of them in live objects."""
# ruff: noqa: E501    a line of the table is a release
from tests.cases.kinds.kind import Kind

META = ("K = []\nclass Meta(type):\n    def __new__(m, n, b, d):\n        c = super().__new__(m, n, b, d)\n        K.append(c)\n        return c\n"
        "class Base(metaclass=Meta):\n    name = 'base'\nclass A(Base):\n    name = 'a'\n#\nclass App:\n    def __init__(self): self.by = {c.name: c for c in K}\napp = App()\ndef f(): return sorted(app.by)\n")
SUB = ("R = {}\nclass Plugin:\n    def __init_subclass__(cls, key=None, **kw):\n        super().__init_subclass__(**kw)\n        R[key or cls.__name__] = cls\n"
       "class A(Plugin, key='a'):\n    def run(self): return 1\n#\ndef run(k): return R[k]().run()\nTABLE = dict(R)\n")
SETNAME = ("class Field:\n    def __init__(self, n=0): self.n = n\n    def __set_name__(self, owner, name):\n        owner.__dict__.get('fields', owner.fields)[name] = self\n"
           "class M:\n    fields = {}\n    a = Field(1)\n#\ndef f(): return {k: v.n for k, v in M.fields.items()}\n")
DECO = ("R = {}\ndef reg(name, **more):\n    def d(f):\n        R[name] = (f, more)\n        return f\n    return d\n"
        "@reg('a')\ndef a(): return 'a'\n#\nclass Server:\n    def __init__(self): self.r = dict(R)\n    def call(self, n): return self.r[n][0]()\nserver = Server()\n")
HOOK = "HOOKS = []\ndef on(f):\n    HOOKS.append(f)\n    return f\n@on\ndef first(x): return x + 1\n#\ndef run(x):\n    for h in HOOKS: x = h(x)\n    return x\n"

KINDS = [
    Kind("registry: metaclass __new__, a class more, copied in a live object", META, META.replace("#\n", "class B(Base):\n    name = 'b'\n"), ("m.f()", "len(m.K)")),
    Kind("registry: metaclass __new__, a class more, copied by the program", META, META.replace("#\n", "class B(Base):\n    name = 'b'\n"), ("sorted(m.App().by)", "len(m.K)"), live="mine = m.App()"),
    Kind("registry: metaclass, a class renamed", META, META.replace("name = 'a'", "name = 'x'"), ("m.f()",)),
    Kind("registry: __init_subclass__, a class more", SUB, SUB.replace("#\n", "class B(Plugin, key='b'):\n    def run(self): return 2\n"), ("m.run('b')", "m.run('a')", "sorted(m.TABLE)")),
    Kind("registry: __init_subclass__, another key", SUB, SUB.replace("key='a'", "key='x'"), ("m.run('a')", "m.run('x')", "sorted(m.R)")),
    Kind("registry: __init_subclass__, a changed method", SUB, SUB.replace("return 1", "return 5"), ("m.run('a')",), carried=True),
    Kind("registry: __set_name__, a field more", SETNAME, SETNAME.replace("#\n", "").replace("    a = Field(1)\n", "    a = Field(1)\n    b = Field(2)\n"), ("m.f()",)),
    Kind("registry: __set_name__, a field's argument", SETNAME, SETNAME.replace("Field(1)", "Field(9)"), ("m.f()",)),
    Kind("registry: a decorator's key", DECO, DECO.replace("@reg('a')", "@reg('z')"), ("sorted(m.R)", "m.server.call('a')", "m.server.call('z')")),
    Kind("registry: a decorator's option", DECO, DECO.replace("@reg('a')", "@reg('a', safe=True)"), ("m.R['a'][1]", "m.server.r['a'][1]")),
    Kind("registry: a decorated function more, copied in a live object", DECO, DECO.replace("#\n", "@reg('b')\ndef b(): return 'b'\n"), ("m.server.call('a')", "m.server.call('b')", "sorted(m.R)")),
    Kind("registry: a hook more", HOOK, HOOK.replace("#\n", "@on\ndef second(x): return x * 10\n"), ("m.run(1)", "len(m.HOOKS)")),
    Kind("registry: a hook more, first", HOOK, HOOK.replace("@on\ndef first", "@on\ndef zeroth(x): return x * 10\n@on\ndef first"), ("m.run(1)", "len(m.HOOKS)")),
    Kind("registry: a hook less", HOOK.replace("#\n", "@on\ndef second(x): return x * 10\n"), HOOK, ("m.run(1)", "len(m.HOOKS)")),
    Kind("registry: a hook's body", HOOK, HOOK.replace("x + 1", "x + 2"), ("m.run(1)",), carried=True),
    Kind("registry: a list of entries with functions", "def a(): return 1\ndef b(): return 2\nENTRIES = [('a', a)]\n", "def a(): return 1\ndef b(): return 3\nENTRIES = [('b', b), ('a', a)]\n", ("[(n, f()) for n, f in m.ENTRIES]",), carried=True),
    Kind("registry: a call in the module's body", "R = {}\ndef add(k, v): R[k] = v\nadd('a', 1)\n", "R = {}\ndef add(k, v): R[k] = v\nadd('a', 2)\nadd('b', 3)\n", ("m.R",)),
    Kind("registry: of another module of the release", {"reg.py": "R = {}\ndef add(k):\n    def d(f):\n        R[k] = f\n        return f\n    return d\n", "m.py": "import reg\n@reg.add('a')\ndef a(): return 1\n"},
         {"reg.py": "R = {}\ndef add(k):\n    def d(f):\n        R[k] = f\n        return f\n    return d\n", "m.py": "import reg\n@reg.add('a')\ndef a(): return 1\n@reg.add('b')\ndef b(): return 2\n"},
         ("sorted(reg.R)", "reg.R['b']()")),
    Kind("registry: code objects and names in sets", "SAFE = set()\nNAMES = set()\ndef safe(f):\n    SAFE.add(f.__code__)\n    NAMES.add(f.__qualname__)\n    return f\n@safe\ndef f(): return 1\n",
         "SAFE = set()\nNAMES = set()\ndef safe(f):\n    SAFE.add(f.__code__)\n    NAMES.add(f.__qualname__)\n    return f\n@safe\ndef f(): return 2\n@safe\ndef g(): return 3\n",
         ("m.f()", "m.f.__code__ in m.SAFE", "m.g.__code__ in m.SAFE", "sorted(m.NAMES)")),
    Kind("registry: an attribute put on a function by a decorator", "def limit(n):\n    def d(f):\n        f.limit = n\n        return f\n    return d\n@limit(1)\ndef f(): return f.limit\n",
         "def limit(n):\n    def d(f):\n        f.limit = n\n        return f\n    return d\n@limit(5)\ndef f(): return f.limit\n", ("m.f()", "m.f.limit")),
    Kind("registry: subclasses of a class", "class B:\n    pass\nclass X(B):\n    n = 1\ndef f(): return sorted(c.__name__ for c in B.__subclasses__())\n",
         "class B:\n    pass\nclass X(B):\n    n = 1\nclass Y(B):\n    n = 2\ndef f(): return sorted(c.__name__ for c in B.__subclasses__())\n", ("m.f()",), carried=True),
    Kind("registry: an enum's members by value", "import enum\nclass E(enum.Enum):\n    A = 1\n    B = 2\nBY = {e.value: e.name for e in E}\ndef f(v): return E(v).name\n",
         "import enum\nclass E(enum.Enum):\n    A = 1\n    B = 2\n    C = 3\nBY = {e.value: e.name for e in E}\ndef f(v): return E(v).name\n", ("m.f(3)", "m.BY", "[e.name for e in m.E]"), carried=True),
    Kind("registry: an enum's value", "import enum\nclass E(enum.Enum):\n    A = 1\n", "import enum\nclass E(enum.Enum):\n    A = 9\n", ("m.E.A.value", "[e.value for e in m.E]")),
    Kind("registry: Flag members", "import enum\nclass F(enum.Flag):\n    R = 1\n    W = 2\nALL = F.R | F.W\n", "import enum\nclass F(enum.Flag):\n    R = 1\n    W = 2\n    X = 4\nALL = F.R | F.W | F.X\n", ("m.ALL.value", "m.F(4) is m.F.X")),
    Kind("registry: StrEnum like mixin", "import enum\nclass S(str, enum.Enum):\n    A = 'a'\ndef f(): return [s.value for s in S]\n", "import enum\nclass S(str, enum.Enum):\n    A = 'a'\n    B = 'b'\ndef f(): return [s.value for s in S] + [S('b').name]\n", ("m.f()",), carried=True),
]
