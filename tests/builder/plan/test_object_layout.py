"""What old objects lack or hold otherwise, read off the two definitions of their class."""
import pytest

from tests.builder.class_texts import NOTHING, init, lacked, layout
from tests.builder.kit import running


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
    assert lacked(NOTHING, init(body, parameters) + more)["x"] == source


@pytest.mark.parametrize("default, source", [
    ("M", "C.M"), ("M + N", "C.M + N"), ("__m", "C._C__m"), ("(lambda x=M: M)()", "(lambda x=C.M: M)()"),
    ("[M for each in T]", "[M for each in C.T]"), ("other", "C.other"),
])
def test_a_default_of_the_class_block_is_the_classs(default, source):
    """A default is evaluated in the class's block, what stands for it in the module."""
    block = "M = 7\nT, __m = (1,), 2\ndef other(self): pass\n"
    found = lacked(NOTHING, init("self.x = limit", f", limit={default}", before=block))
    assert found["x"] == source


def test_objects_made_before_have_a_default_of_the_class_block(upgrade):
    module, update = running(upgrade, """
        class R:
            def __init__(self, a=1): self.a = a
            def f(self): return self.a
        """, """
        class R:
            M = 7
            def __init__(self, a=1, m=M):
                self.a = a
                self.m = m
            def f(self): return self.m
        """)
    held = module.R()
    patch = update()
    assert (held.f(), module.R().f()) == (7, 7)
    upgrade.disable(patch)
    assert held.f() == 1


def test_constants_are_told_from_what_each_object_needs_of_its_own():
    found = {each.name: each.is_constant
             for each in layout(NOTHING, init("self.a = (1, 'b')\nself.b = []\nself.c = f()")).lacked}
    assert found == {"a": True, "b": False, "c": False}


def test_a_parameter_is_had_from_where_old_code_kept_it():
    old = init("self._timeout = timeout", ", timeout")
    assert lacked(old,
                  init("self._timeout = timeout\nself.deadline = now() + timeout",
                       ", timeout")) == {"deadline": "now() + self._timeout"}


def test_an_attribute_with_a_new_name():
    body = "self.{0} = text\nif text and not args:\n    self.{0} = text.replace('%', '%%')"
    old = init(body.format("text"), ", text=None, *args")
    new = init(body.format("_text"), ", text=None, *args")
    assert lacked(old, new) == {"_text": "self.text"}
    behind = new + "    @property\n    def text(self):\n        return self._text\n"
    assert lacked(old, behind) == {"_text": "self.__dict__['text']"}


def test_private_names_are_those_that_the_class_has():
    assert lacked(init("self.__a = a", ", a", "_Key"),
                  init("self.__a = a\nself.__b = a", ", a", "_Key")) == {"_Key__b": "self._Key__a"}


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
    assert [(each.name, each.value and each.source, each.is_slot)
            for each in layout(old, new).lacked] == [("b", "-1", True), ("c", None, True)]


def test_an_attribute_that_objects_made_before_lack(upgrade):
    m, insmod = running(upgrade, """
        class A:
            def __init__(self, n): self.n = n
            def get(self): return self.n
        """, """
        class A:
            def __init__(self, n, limit=5):
                self.n, self.seen = n, []
                self.limit = limit
                self.twice = n * 2
            def get(self):
                self.seen.append(self.limit)
                return self.n, self.seen, self.limit, self.twice
        """)
    one, other = m.A(1), m.A(2)
    patch = insmod()
    assert one.get() == (1, [5], 5, 2) and one.get()[1] == [5, 5] and other.get() == (2, [5], 5, 4)
    young = m.A(3, limit=7)
    assert young.get() == (3, [7], 7, 6)
    upgrade.disable(patch)
    assert (one.get(), other.get(), young.get()) == (1, 2, 3)
    assert not hasattr(m.A, "limit") and not hasattr(m.A(4), "seen")


def test_an_attribute_for_which_they_have_no_place(upgrade):
    m, insmod = running(upgrade, """
        class Key:
            __slots__ = ("n",)
            def __init__(self, n): self.n = n
            def get(self): return self.n
        """, """
        class Key:
            __slots__ = ("n", "factor")
            def __init__(self, n):
                self.n = n
                self.factor = -1
            def get(self):
                if self.factor < 0:
                    self.factor = self.n
                return self.n, self.factor
        """)
    one = m.Key(1)
    patch = insmod()
    young = m.Key(2)
    assert one.get() == (1, 1) and young.get() == (2, 2) and one.factor == 1
    upgrade.disable(patch)
    assert (one.get(), young.get()) == (1, 2) and not hasattr(one, "factor")


def test_attributes_that_old_objects_lack(upgrade):
    """The first constant that a constructor sets; a parameter that has another name at its place."""
    upgrade.write("""
        class A:
            def __init__(self, size, name='n'):
                self.size = size
            def get(self): return self.size
        """, """
        class A:
            def __init__(self, length, name='n'):
                self.length = length
                self.must_close = False
                self.read()
            def read(self):
                for each in range(self.length):
                    self.must_close = True
            def get(self): return self.length, self.must_close
        """)
    module = upgrade.module()
    held = module.A(7)
    patch = upgrade.insmod()
    assert held.get() == (7, False) and module.A(2).get() == (2, True)
    upgrade.disable(patch)
    assert held.get() == 7 and module.A(3).get() == 3
