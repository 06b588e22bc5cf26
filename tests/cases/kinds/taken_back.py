"""What a livepatch does outside of its own package's names: exact when it is taken out, or refused, or told."""
# ruff: noqa: E501    a line of the table is a release
from tests.cases.kinds.kind import Kind

DEC = "import functools\ndef d1(f):\n    @functools.wraps(f)\n    def w(*a): return f(*a) + 1\n    return w\n"
D = DEC + "def g(): return 1\n{}\n"


def decorated(rest):
    return D.format(rest), DEC + "@d1\ndef g(): return 1\n" + rest + "\n"


KINDS = [
    Kind("back: a decorated function in a class's list", *decorated("class R:\n    h = [g]"), ("m.R.h[0]()", "m.g()")),
    Kind("back: a decorated function in a class's dict", *decorated("class R:\n    h = {'g': g}"), ("m.R.h['g']()",)),
    Kind("back: a decorated function in a module's table", *decorated("T = {'g': g}\nL = [g, (g,)]"), ("m.T['g']()", "m.L[0]()", "m.L[1][0]()")),
    Kind("back: a decorated function as a class's attribute", *decorated("class R:\n    h = staticmethod(g)"), ("m.R.h()",)),
    Kind("back: a decorated function as a default argument", *decorated("def f(k=g): return k()"), ("m.f()",)),
    Kind("back: a decorated function in a partial", *decorated("p = functools.partial(g)"), ("m.p()",)),
    Kind("back: a decorated function in an object", *decorated("class O: pass\no = O()\no.g = g"), ("m.o.g()",)),
    Kind("back: ABC.register of a type of the release", "import abc\nclass A(abc.ABC): pass\nclass B: pass\ndef f(): return isinstance(B(), A)\n", "import abc\nclass A(abc.ABC): pass\nclass B: pass\nA.register(B)\ndef f(): return isinstance(B(), A)\n", ("m.f()",)),
    Kind("back: ABC.register as a decorator", "import abc\nclass A(abc.ABC): pass\nclass B: pass\ndef f(): return isinstance(B(), A)\n", "import abc\nclass A(abc.ABC): pass\n@A.register\nclass B: pass\ndef f(): return isinstance(B(), A)\n", ("m.f()",)),
    Kind("back: collections.abc register", "import collections.abc\nclass B: pass\ndef f(): return isinstance(B(), collections.abc.Sequence)\n", "import collections.abc\nclass B: pass\ncollections.abc.Sequence.register(B)\ndef f(): return isinstance(B(), collections.abc.Sequence)\n", ("m.f()",), alone=True),
    Kind("back: os.environ by item", "import os\n", "import os\nos.environ['KLP_Y'] = '1'\n", ("m.os.environ.get('KLP_Y')",), alone=True),
    Kind("back: os.environ by setdefault", "import os\n", "import os\nos.environ.setdefault('KLP_Z', '1')\n", ("m.os.environ.get('KLP_Z')",), alone=True),
    Kind("back: os.environ by putenv and update", "import os\n", "import os\nos.environ.update(KLP_Q='1')\n", ("m.os.environ.get('KLP_Q')",), alone=True),
    Kind("back: an attribute of another module", "import json\n", "import json\njson.klp_extra = 5\n", ("getattr(m.json, 'klp_extra', None)",), alone=True),
    Kind("back: an attribute of another module is replaced", "import textwrap\n", "import textwrap\ntextwrap.klp_dedent = textwrap.dedent\ntextwrap.indent = textwrap.dedent\n", ("m.textwrap.indent is m.textwrap.dedent",), alone=True),
    Kind("back: an attribute set on a class of the release", "class A: pass\n", "class A: pass\nA.x = 5\nA.f = lambda self: 3\n", ("getattr(m.A, 'x', None)", "m.A().f()"), carried=True),
    Kind("back: an attribute set on another module of the release", {"o.py": "X = 1\n", "m.py": "import o\n"}, {"o.py": "X = 1\n", "m.py": "import o\no.X = 2\no.Y = 3\n"}, ("o.X", "getattr(o, 'Y', None)")),
    Kind("back: singledispatch.register", "import functools\n@functools.singledispatch\ndef f(x): return 'any'\n", "import functools\n@functools.singledispatch\ndef f(x): return 'any'\nf.register(int, lambda x: 'int')\n", ("m.f(1)",), live="m.f(1)"),
    Kind("back: singledispatch.register of another module's", {"o.py": "import functools\n@functools.singledispatch\ndef f(x): return 'any'\n", "m.py": "import o\n"}, {"o.py": "import functools\n@functools.singledispatch\ndef f(x): return 'any'\n", "m.py": "import o\n@o.f.register(int)\ndef fi(x): return 'int'\n"}, ("o.f(1)",), live="o.f(1)"),
    Kind("back: atexit", "import atexit\ndef bye(): pass\n", "import atexit\ndef bye(): pass\natexit.register(bye)\n", ("m.atexit._ncallbacks()",), alone=True),
    Kind("back: sys.path and sys.modules", "import sys\nimport json\n", "import sys\nimport json\nsys.modules['klp_json'] = json\n", ("m.sys.modules.get('klp_json') is m.json",), alone=True),
    Kind("back: logging handlers and levels", "import logging\nL = logging.getLogger('klp.a')\n", "import logging\nL = logging.getLogger('klp.a')\nL.addHandler(logging.NullHandler())\nL.setLevel(10)\n", ("len(m.L.handlers)", "m.L.level"), alone=True),
    Kind("back: warnings filters", "import warnings\n", "import warnings\nwarnings.filterwarnings('ignore', message='klp')\n", ("any('klp' in str(f[1]) for f in m.warnings.filters)",), alone=True),
    Kind("back: codecs and mimetypes", "import mimetypes\nmimetypes.init()\n", "import mimetypes\nmimetypes.init()\nmimetypes.add_type('klp/x', '.klpx')\n", ("m.mimetypes.guess_type('a.klpx')[0]",), alone=True),
    Kind("back: lists and sets of a class", "class C:\n    safe = ['a']\n    s = {'a'}\n    d = {'a': 1}\n", "class C:\n    safe = ['b', 'a']\n    s = {'a', 'b'}\n    d = {'b': 2, 'a': 1}\n", ("m.C.safe", "sorted(m.C.s)", "list(m.C.d.items())"), carried=True),
    Kind("back: append and update of a class's containers", "class C:\n    safe = ['a']\n    d = {'a': 1}\n", "class C:\n    safe = ['a']\n    d = {'a': 1}\nC.safe.append('b')\nC.d.update(z=1)\nC.d['y'] = 2\n", ("m.C.safe", "list(m.C.d.items())")),
    Kind("back: a decorated method", DEC + "class C:\n    def g(self): return 1\nc = C()\nb = c.g\n", DEC + "class C:\n    @d1\n    def g(self): return 1\nc = C()\nb = c.g\n", ("m.c.g()", "m.b()")),
    Kind("back: copyreg and pickle tables", "import copyreg\nclass C: pass\ndef red(c): return (C, ())\n", "import copyreg\nclass C: pass\ndef red(c): return (C, ())\ncopyreg.pickle(C, red)\n", ("m.C in m.copyreg.dispatch_table",), alone=True),
    Kind("back: signal, locale free: sys attribute", "import sys\n", "import sys\nsys.klp_flag = 1\n", ("getattr(m.sys, 'klp_flag', None)",), alone=True),
    Kind("back: builtins", "import builtins\n", "import builtins\nbuiltins.klp_b = 4\n", ("getattr(m.builtins, 'klp_b', None)",), alone=True),
]
