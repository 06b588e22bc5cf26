"""Abstract methods and subclass hooks that come with a patch and go with it."""
import pytest

PROGRAM = """
    import abc
    class A(abc.ABC):
        @abc.abstractmethod
        def f(self): ...
        def g(self): ...
        @classmethod
        def __subclasshook__(cls, other): return hasattr(other, "real")
    class B(A):
        def f(self): ...
    class C(B): pass
"""


def test_a_method_that_becomes_abstract_is_so_for_all_below(module, livepatch):
    live = module(PROGRAM)
    patch = livepatch(live, """
        def run(klp):
            global A
            class A(metaclass=klp.part):
                @abc.abstractmethod
                def h(self): ...
    """)
    live.C()
    patch.enable()
    assert live.A.__abstractmethods__ == {"f", "h"} and live.B.__abstractmethods__ == {"h"}
    with pytest.raises(TypeError, match="abstract"):
        live.C()
    patch.disable()
    assert live.A.__abstractmethods__ == {"f"} and not live.C.__abstractmethods__
    live.C()


def test_a_method_that_is_written_now_can_be_called(module, livepatch):
    live = module(PROGRAM)
    patch = livepatch(live, """
        def run(klp):
            global A
            class A(metaclass=klp.part):
                def f(self): return 1
    """)
    with pytest.raises(TypeError, match="abstract"):
        live.A()
    patch.enable()
    assert live.A().f() == 1
    patch.disable()
    with pytest.raises(TypeError, match="abstract"):
        live.A()


def test_what_a_hook_has_answered_is_forgotten_both_ways(module, livepatch):
    live = module(PROGRAM)
    patch = livepatch(live, """
        def run(klp):
            global A
            class A(metaclass=klp.part):
                @classmethod
                def __subclasshook__(cls, other): return hasattr(other, "upper")
    """)
    assert (isinstance(1, live.A), isinstance("", live.A)) == (True, False)
    patch.enable()
    assert (isinstance(1, live.A), isinstance("", live.A)) == (False, True)
    patch.disable()
    assert (isinstance(1, live.A), isinstance("", live.A)) == (True, False)
