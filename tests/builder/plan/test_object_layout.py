"""What old objects lack or hold otherwise, read off the two definitions of their class."""
import ast
import textwrap

import pytest

from klpfs.builder.plan.followed_constructors import constructed
from klpfs.builder.plan.object_layout import compare


def classdef(text):
    return ast.parse(textwrap.dedent(text)).body[-1]


def layout(old, new, *readers):
    return compare(classdef(old), classdef(new), lambda name: [ast.parse(textwrap.dedent(each)) for each in readers])


def values(old, new, *readers):
    found = layout(old, new, *readers)
    assert not found.refused and not found.converted
    return {each.name: each.source for each in found.lacked}


def init(body, parameters="", name="C", before=""):
    return f"class {name}:\n{textwrap.indent(before, '    ')}\n    def __init__(self{parameters}):\n{textwrap.indent(textwrap.dedent(body), '        ')}\n"


NOTHING = init("pass")


@pytest.mark.parametrize("body, parameters, source", [
    ("self.x = 1", "", "1"),
    ("self.x = self.y = -1", "", "-1"),
    ("self.x: int = None", "", "None"),
    ("self.x = limit", ", limit=100", "100"),
    ("self.x = limit", ", *, limit=None", "None"),
    ("self.x = []", "", "[]"),
    ("self.x = Lock()", "", "Lock()"),
    ("size = 3\nself.x = [0] * size", "", "[0] * 3"),
    ("if limit is None:\n    limit = LIMIT\nself.x = limit", ", limit=None", "LIMIT if None is None else None"),
    ("if not limit:\n    raise ValueError\nself.x = limit", ", limit=5", "5"),
    ("self.reset()", "", "0"),
])
def test_an_attribute_that_old_objects_lack(body, parameters, source):
    more = "\n    def reset(self):\n        self.x = 0\n"
    assert values(NOTHING, init(body, parameters) + more)["x"] == source


def test_constants_are_told_from_what_each_object_needs_of_its_own():
    found = {each.name: each.is_constant for each in layout(NOTHING, init("self.a = (1, 'b')\nself.b = []\nself.c = f()")).lacked}
    assert found == {"a": True, "b": False, "c": False}


def test_a_parameter_is_had_from_where_old_code_kept_it():
    old = init("self._timeout = timeout", ", timeout")
    assert values(old, init("self._timeout = timeout\nself.deadline = now() + timeout", ", timeout")) == {"deadline": "now() + self._timeout"}


def test_an_attribute_with_a_new_name():
    body = "self.{0} = text\nif text and not args:\n    self.{0} = text.replace('%', '%%')"
    old = init(body.format("text"), ", text=None, *args")
    new = init(body.format("_text"), ", text=None, *args")
    assert values(old, new) == {"_text": "self.text"}
    behind = new + "    @property\n    def text(self):\n        return self._text\n"
    assert values(old, behind) == {"_text": "self.__dict__['text']"}


def test_private_names_are_those_that_the_class_has():
    assert values(init("self.__a = a", ", a", "_Key"), init("self.__a = a\nself.__b = a", ", a", "_Key")) == {"_Key__b": "self._Key__a"}


@pytest.mark.parametrize("body, parameters", [
    ("self.x = size", ", size"),                                # a new parameter without default
    ("for each in range(3):\n    self.x = each", ""),
    ("with lock:\n    y = take()\nself.x = y", ""),
    ("self.x = rest", ", **rest"),
])
def test_what_cannot_be_told_is_refused(body, parameters):
    refused = layout(NOTHING, init(body, parameters)).refused
    assert len(refused) == 1 and "'x'" in refused[0].why and refused[0].line


def test_a_parameter_that_old_code_did_not_keep_is_refused():
    assert layout(init("use(size)", ", size=3"), init("self.size = size", ", size=3")).refused


def test_what_the_class_or_old_objects_have_is_no_change():
    assert not layout(NOTHING, init("self.x = 1", before="x = 0"))
    assert not layout(init("self.x = 1"), init("self.x = 2"))
    assert not layout(init("self.x = None"), init("self.x = []"))


def test_a_slot_that_is_new():
    old, new = init("pass", before="__slots__ = ('a',)"), init("self.b = -1", before="__slots__ = ('a', 'b', 'c')")
    assert [(each.name, each.value and each.source, each.is_slot) for each in layout(old, new).lacked] == [("b", "-1", True), ("c", None, True)]


# fields of dataclasses

PART = "@dataclass\nclass Part:\n    content: str\n"


def test_a_field_with_a_default_of_its_own():
    assert values(PART, PART + "    rest: list = field(default_factory=list)\n    n: int = field(default=3)") == {"rest": "list()", "n": "3"}
    assert values(PART, PART + "    n: str = field(default=None, converter=clean)") == {"n": "clean(None)"}
    assert not layout(PART, PART + "    n: int = 3")    # an attribute of the class, carried as such


def test_a_field_without_default_that_is_only_asked_for_truth():
    new = PART + "    suffixed: bool"
    assert values(PART, new, "def f(part):\n    if part.suffixed and not part.content:\n        pass") == {"suffixed": "False"}
    assert layout(PART, new, "def f(part):\n    return part.suffixed").refused
    assert layout(PART, PART + "    weight: Weight", "def f(part):\n    if part.weight: pass").refused


def test_a_field_with_a_new_name():
    assert values(PART + "    _stream: IO = field(default=None)", PART + "    stream: IO = field(default=None)") == {"stream": "self._stream"}
    assert layout(PART + "    a: IO\n    b: IO", PART + "    c: IO\n    d: IO").refused   # which is which?


# another form

READER = """
class Reader:
    def __init__(self):
        self.rest = {0}

    def read(self, data):
        self.rest {1}
        self.rest = {2}
"""


def test_a_count_that_becomes_what_is_counted():
    found = layout(READER.format("0", "-= len(data)", "2"), READER.format("b''", "= self.rest[len(data):]", "b'\\r\\n'"))
    [changed] = found.converted
    assert (changed.name, changed.values, changed.counts_rest) == ("rest", ((0, b""), (2, b"\r\n")), True) and not found.refused


def test_constants_that_become_others():
    found = layout(READER.format("0", "= 1", "2"), READER.format("'new'", "= 'open'", "'closed'"))
    assert found.converted[0].values == ((0, "new"), (1, "open"), (2, "closed")) and not found.converted[0].counts_rest


@pytest.mark.parametrize("old, new", [
    (("0", "-= len(data)", "2"), ("b''", "= self.rest[1:]", "b'\\r\\n'")),      # cut otherwise than counted
    (("0", "= 1", "2"), ("''", "= data", "'x'")),                               # takes any value
    (("0", "= 1", "1"), ("''", "= 'a'", "'b'")),                                # 1 stands for two
    (("[]", "= []", "[]"), ("{}", "= {}", "{}")),
])
def test_a_form_that_cannot_be_translated_is_refused(old, new):
    found = layout(READER.format(*old), READER.format(*new))
    assert len(found.refused) == 1 and "'rest'" in found.refused[0].why and not found.converted


def test_what_branches_set_is_followed():
    found = constructed(classdef(init("if wide:\n    self.x = 1\nelse:\n    self.x = 2\ntry:\n    self.y = f()\nexcept OSError:\n    pass", ", wide")))
    assert ast.unparse(found["x"][0]) == "1 if wide else 2" and found["y"][0] is None
