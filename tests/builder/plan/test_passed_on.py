"""What a constructor passes on to its base's."""
import pytest

from klpfs.builder.plan.passed_on import passed_on
from tests.builder.class_texts import classdef
from tests.builder.kit import there_and_back


def of(parameters, body):
    lines = "".join(f"        {line}\n" for line in body.split("\n"))
    return list(passed_on(classdef(f"class C(B):\n    def __init__(self, {parameters}):\n{lines}")))


@pytest.mark.parametrize("parameters, body, found", [
    ("**kw", "kw.setdefault('limit', 3)\nsuper().__init__(**kw)", ["limit"]),
    ("**kw", "kw['limit'] = 3\nsuper().__init__(**kw)", ["limit"]),
    ("**kw", "super().__init__(limit=3, **kw)", ["limit"]),
    ("*args", "B.__init__(self, *args, limit=[])", ["limit"]),
    ("**kw", "kw.setdefault('limit', None)\nsuper().__init__(**kw)", []),
    ("limit=None, **kw", "super().__init__(limit=limit, **kw)", []),
    ("**kw", "kw.setdefault('limit', 3)\nself.kw = kw\nsuper().__init__()", []),
    ("**kw", "kw.setdefault('other', 3)\nself.kw = kw\nsuper().__init__(limit=3)", ["limit"]),
    ("**kw", "other.setdefault('limit', 3)\nother['x'] = 1\nsuper().__init__(**kw)", []),
])
def test_what_is_passed_on(parameters, body, found):
    assert of(parameters, body) == found


BASE = "class B:\n    def __init__(self, limit=None): self.limit = limit\nclass C(B):\n" \
       "    def __init__(self, **kw):\n        super().__init__(**kw)\n    def f(self): return self.limit\n"


def test_a_new_argument_of_the_base_is_refused_where_somebody_reads_it(upgrade):
    """An object of the program's has the base's own default, and nothing tells that it is old."""
    upgrade.write(BASE, BASE.replace("__init__(**kw)", "__init__(limit=3, **kw)"))
    assert [(each.line, "'limit' is passed on" in each.why) for each in upgrade.build().refused] == [(5, True)]


def test_what_nobody_reads_is_carried(upgrade):
    there_and_back(upgrade, BASE.replace("self.limit\n", "1\n"),
                   BASE.replace("__init__(**kw)", "__init__(limit=3, **kw)").replace("self.limit\n", "2\n"), "C().f()")
