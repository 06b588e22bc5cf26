"""Functions that differ, carried by Funcs, with what becomes of their defaults."""
from tests.builder.kit import running, there_and_back


def test_bodies_signatures_and_defaults(upgrade):
    result = there_and_back(upgrade, """
        LIMIT = 3
        MARK = object()
        def f(a, b=LIMIT): return a, b
        def g(a, mark=MARK): return a, mark is MARK
        def h(): return 'same'
        """, """
        LIMIT = 3
        MARK = object()
        def f(a, b=LIMIT, *, c=LIMIT + 1): return a, b, c
        def g(a, mark=MARK): return 'new', a, mark is MARK
        def h():
            '''Only a docstring, and an annotation.'''
            x: int
            return 'same'
        """, "f(1)", "f(1, 2)", "f(1, c=2)", "g(1)", "h()")
    assert "def h(" not in result.text


def test_methods_of_all_kinds(upgrade):
    there_and_back(upgrade, """
        class A:
            def m(self): return 1
            @staticmethod
            def s(): return 2
            @classmethod
            def c(cls): return cls.__name__, 3
            @property
            def p(self): return getattr(self, '_p', 4)
            @p.setter
            def p(self, value): self._p = value
            def __private(self): return 5
            def call(self): return self.__private()
        class B(A):
            def m(self): return super().m()
        def setter():
            a = A(); a.p = 7; return a.p
        """, """
        class A:
            def m(self): return 10
            @staticmethod
            def s(): return 20
            @classmethod
            def c(cls): return cls.__name__, 30
            @property
            def p(self): return getattr(self, '_p', 40)
            @p.setter
            def p(self, value): self._p = value * 2
            def __private(self): return 50
            def call(self): return self.__private(), self.__other()
            def __other(self): return 60
        class B(A):
            def m(self): return super().m() + 1
            def n(self): return super().m()
        def setter():
            a = A(); a.p = 7; return a.p
        """, "A().m()", "A.s()", "A.c()", "A().p", "setter()", "A().call()", "B().m()", "B().n()")


def test_a_default_out_of_the_class_block(upgrade):
    there_and_back(upgrade, """
        class A:
            WORDS = ('a',)
            def f(self, words=WORDS): return words
        """, """
        class A:
            WORDS = ('a', 'b')
            def f(self, words=WORDS): return words
        """, "A().f()")


def test_generators_coroutines_and_lambdas(upgrade):
    there_and_back(upgrade, """
        import asyncio
        def run(made): return asyncio.new_event_loop().run_until_complete(made)
        def g():
            yield 1
        async def c(): return 1
        async def a():
            yield 1
        async def all_of(): return [each async for each in a()]
        key = lambda x: x
        KEYS = {'k': lambda x: x}
        def became(): return [1]
        class A:
            def m(self): return self
            static = staticmethod(lambda: 1)
            def now(self): return 1
        """, """
        import asyncio
        def run(made): return asyncio.new_event_loop().run_until_complete(made)
        def g():
            yield 2
            yield 3
        async def c(): return 2
        async def a():
            yield 2
        async def all_of(): return [each async for each in a()] * 2
        key = lambda x: -x
        KEYS = {'k': lambda x: x * 2}
        def became():
            yield 1
        class A:
            @classmethod
            def m(cls): return cls
            static = staticmethod(lambda: 2)
            @property
            def now(self): return 2
        """, "list(g())", "run(c())", "run(all_of())", "key(3)", "KEYS['k'](3)", "type(became()).__name__",
        "A().m() is A", "A.static()",
        "A().now if not callable(A().now) else A().now()")


def test_what_stands_under_a_condition_is_replaced_where_it_is_there(upgrade):
    text = """
        import sys
        try:
            import no_such_library
        except ImportError:
            no_such_library = None
        if no_such_library:
            def special(): return {0}
            class S:
                def m(self): return {0}
        else:
            def plain(): return {0}
        def always(): return {0}
        """
    m, insmod = running(upgrade, text.format(1), text.format(2))
    patch = insmod()
    assert (m.plain(), m.always()) == (2, 2)
    upgrade.disable(patch)
    assert (m.plain(), m.always()) == (1, 1)
    assert [func.optional for func in patch.patch.objects[0].funcs if func.old_name == "always"] == [False]
