"""Registrations in the library's own tables come with a patch and go with it."""
PROGRAM = """
    import abc, functools
    class A(abc.ABC): pass
    class B(A): pass
    A.register(int)
    @functools.singledispatch
    def show(x): return "object"
    @show.register(int)
    def _(x): return "int"
"""


def test_virtual_subclasses(module, livepatch):
    live = module(PROGRAM)
    patch = livepatch(live, "def run(klp):\n    A.register(str)\n    B.register(bytes)\n")
    assert not isinstance("", live.A) and not issubclass(bytes, live.B)
    patch.enable()
    assert isinstance("", live.A) and issubclass(bytes, live.B) and issubclass(bytes, live.A)
    patch.disable()
    assert not isinstance("", live.A) and not issubclass(bytes, live.B) and not issubclass(bytes, live.A)
    assert isinstance(1, live.A)


def test_functions_for_types(module, livepatch):
    live = module(PROGRAM)
    patch = livepatch(live, """
        def run(klp):
            @show.register(str)
            def added(x): return "str"
            @show.register(int)
            def other(x): return "new int"
    """)
    assert (live.show(1), live.show("")) == ("int", "object")
    patch.enable()
    assert (live.show(1), live.show("")) == ("new int", "str")
    patch.disable()
    assert (live.show(1), live.show(""), live.show(True)) == ("int", "object", "int")
    assert list(live.show.registry) == [object, int]
