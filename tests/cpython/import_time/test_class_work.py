"""Changes of a class that `run` can make besides its attributes: bases, decorators, what decorators generate, slots."""
import gc
from functools import total_ordering  # noqa: F401

import pytest

CLASS = """
    from dataclasses import dataclass
    from functools import total_ordering
    class Mixin:
        def mixed(self): return True
    class Base: pass
    class Key(Base):
        def __init__(self, n): self.n = n
        def __eq__(self, other): return self.n == other.n
        def __lt__(self, other): return self.n < other.n
    @dataclass
    class Point:
        x: int
        y: int = 2
"""

MAKERS = """
    class Base:
        def __init_subclass__(cls): cls.names = cls.__annotations__
    class C(Base):
        a: int = 1
    class D:
        a: int = 1
    class A:
        class B: a: int
        class C(Base): a: int
"""


def test_other_bases(module, livepatch):
    live = module(CLASS)
    patch = livepatch(live, "def run(klp): klp.bases(Key, Mixin, Base)")
    patch.enable()
    assert live.Key(1).mixed() and live.Key.__bases__ == (live.Mixin, live.Base)
    patch.disable()
    assert live.Key.__bases__ == (live.Base,) and not hasattr(live.Key, "mixed")


def test_no_base_but_object(module, livepatch):
    """CPython gives a class no `object` itself: a stand-in does."""
    live = module(CLASS)
    patch = livepatch(live, "def run(klp): klp.bases(Key, object)")
    patch.enable()
    assert not issubclass(live.Key, live.Base)
    patch.disable()
    assert live.Key.__bases__ == (live.Base,)


def test_bases_that_cpython_refuses(module, livepatch):
    live = module(CLASS)
    with pytest.raises(TypeError):
        livepatch(live, "def run(klp): klp.bases(Key, int)").enable()
    assert live.Key.__bases__ == (live.Base,)


def test_a_decorator_more(module, livepatch):
    live = module(CLASS)
    patch = livepatch(live, "def run(klp): klp.decorated(Key, total_ordering)")
    assert "__ge__" not in vars(live.Key)
    patch.enable()
    assert live.Key(2) >= live.Key(1)
    patch.disable()
    assert "__ge__" not in vars(live.Key)


def test_a_decorator_that_makes_another_class_is_refused(module, livepatch):
    live = module(CLASS)
    with pytest.raises(TypeError, match="the decorator of class 'Key' does not change the class, but makes another"):
        livepatch(live, "def run(klp): klp.decorated(Key, lambda cls: type('Key', (cls,), {}))").enable()


def test_what_a_decorator_generates_goes_into_the_class(module, livepatch):
    """Not what the statement itself says, and __init__ only where it is asked for."""
    live = module(CLASS)
    cls, kept, init = live.Point, live.Point(1), live.Point.__init__
    text = """
        def run(klp):
            global Point
            @klp.generated%s
            @dataclass(order=True)
            class Point:
                x: int
                y: int = 2
                z: int = 3
                def method(self): return "not put: it is written, not generated"
    """
    patch = livepatch(live, text % "(init=False)")
    patch.enable()
    assert live.Point is cls and list(cls.__dataclass_fields__) == ["x", "y", "z"] and cls.__init__ is init
    assert "__lt__" in vars(cls) and not hasattr(cls, "method") and cls.__doc__ is not None
    patch.disable()
    assert (
        list(cls.__dataclass_fields__) == ["x", "y"] and "__lt__" not in vars(cls) and repr(kept) == "Point(x=1, y=2)"
    )
    patch = livepatch(live, text % "")
    patch.enable()
    assert cls(1).z == 3
    patch.disable()
    assert not hasattr(cls(1), "z")


def test_generated_for_a_class_that_the_module_has_not(module, livepatch):
    with pytest.raises(LookupError, match="class 'Nothing' is not there"):
        livepatch(module(CLASS), "def run(klp):\n global Nothing\n @klp.generated\n class Nothing: pass").enable()


def test_objects_stay_hashable_while_they_may_be_in_sets(module, livepatch):
    live = module("class Plain: pass\nfrom dataclasses import dataclass")
    kept = {live.Plain()}
    patch = livepatch(live, "def run(klp):\n global Plain\n @klp.generated\n @dataclass\n class Plain: pass")
    patch.enable()
    assert len(kept | {live.Plain()}) == 2
    patch.disable()


def test_slots_are_forgotten_when_the_patch_goes(module, livepatch):
    """Their values are kept beside the objects, which may live on for long."""
    live = module("class Value: pass\nclass Small:\n    __slots__ = ('__weakref__',)")
    small, alive = live.Small(), live.Value()
    patch = livepatch(live, """
        def run(klp):
            global Small
            class Small(metaclass=klp.part):
                extra = klp.slot()
    """)
    patch.enable()
    small.extra = alive
    assert small.extra is alive
    patch.disable()
    gc.collect()
    assert not [each for each in gc.get_referrers(alive) if type(each) is list and len(each) == 1]


@pytest.mark.parametrize("name", ["D", "A.B", "nothing"])
def test_fields_that_nothing_has_read(module, livepatch, name):
    live = module(MAKERS)
    patch = livepatch(live, f"def run(klp): klp.plain({name!r}, 'a')")
    patch.enable()
    patch.disable()


@pytest.mark.parametrize("name", ["C", "A.C"])
def test_what_a_maker_has_read_is_refused_by_name(module, livepatch, name):
    live = module(MAKERS)
    patch = livepatch(live, f"def run(klp): klp.plain({name!r}, 'a, b')")
    with pytest.raises(TypeError, match=f"class {name}: a, b: Base.__init_subclass__ reads it only when a class is made"):
        patch.enable()
