"""Classes that change in more than their bodies, with objects made before the patch."""
import sys

import pytest

from tests.builder.kit import running


def test_another_base(upgrade):
    m, insmod = running(upgrade, """
        class Base:
            def names(self): return ["a", ".."]
        class C(Base): pass
        """, """
        class Base:
            def names(self): return ["a", ".."]
        class Clean:
            def names(self): return [each for each in super().names() if each != ".."]
        class C(Clean, Base): pass
        """)
    one = m.C()
    patch = insmod()
    assert one.names() == ["a"] and isinstance(one, m.Clean)
    upgrade.disable(patch)
    assert one.names() == ["a", ".."] and m.C.__bases__ == (m.Base,)


def test_a_decorator_more(upgrade):
    m, insmod = running(upgrade, """
        def marked(cls):
            cls.mark = cls.__name__
            return cls
        class A: pass
        """, """
        def marked(cls):
            cls.mark = cls.__name__
            return cls
        @marked
        class A: pass
        """)
    patch = insmod()
    assert m.A.mark == "A"
    upgrade.disable(patch)
    assert not hasattr(m.A, "mark")


@pytest.mark.skipif(sys.version_info < (3, 11), reason="global_enum is of 3.11")
def test_members_that_are_names_of_the_module(upgrade):
    m, insmod = running(upgrade, """
        import enum
        @enum.global_enum
        class E(enum.IntEnum):
            A = 1
            GONE = 9
        def f(): return A + 0
        """, """
        import enum
        @enum.global_enum
        class E(enum.IntEnum):
            A = 1
            B = 2
        def f(): return B + 0
        """)
    patch = insmod()
    assert m.f() == 2 and m.B is m.E.B and not hasattr(m, "GONE")
    upgrade.disable(patch)
    assert m.f() == 1 and not hasattr(m, "B") and m.GONE is m.E.GONE


def test_a_member_with_another_value(upgrade):
    m, insmod = running(upgrade, "import enum\nclass E(enum.Enum):\n    A = 1\n    B = 2\n",
                        "import enum\nclass E(enum.Enum):\n    A = 3\n    B = 2\n")
    member = m.E.A
    patch = insmod()
    assert m.E(3) is m.E.A is member and [each.value for each in m.E] == [3, 2]
    upgrade.disable(patch)
    assert m.E(1) is m.E.A is member


@pytest.mark.parametrize("old, new", [
    ("class A(metaclass=type): pass", "class A(metaclass=__import__('abc').ABCMeta): pass"),
    ("class B: pass\nclass A: pass", "class B: pass\nclass A(B): pass"),
    ("def d(cls): return cls\n@d\nclass A: pass", "def d(cls): return cls\nclass A: pass"),
    ("class A:\n    def __init__(self): pass\n    def f(self): return 1",
     "class A:\n    def __init__(self, n): self.n = n\n    def f(self): return self.n"),
])
def test_what_cannot_be_carried_is_refused(upgrade, old, new):
    upgrade.write(old, new)
    result = upgrade.build()
    assert result.refused and not result.text


@pytest.mark.parametrize("value, is_said", [("[]", True), ("0", False)])
def test_what_objects_have_got_at_first_use_and_keep_is_said(upgrade, value, is_said):
    text = "class C:\n    def __init__(self):\n        self.a = 1\n{}    def f(self): return self.{}\n"
    upgrade.write(text.format("", "a"), text.format(f"        self.seen = {value}\n", "seen"))
    result = upgrade.build()
    note = "objects of C that got 'seen' at its first use keep it when the patch is taken out"
    assert not result.refused and (note in result.notes) is ("klp.first_use" in result.text) is is_said
