"""Classes that change in more than their bodies, with objects made before the patch."""
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
