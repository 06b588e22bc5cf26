"""Names that new code has elsewhere for a time: in all code that has them, also while it runs, and nowhere else."""
import types

import pytest

from klpfs.cpython.diverted_names import PREFIX, Diversion, Undivided, available, divided

pytestmark = pytest.mark.skipif(not available(), reason="memory can't be written here")
ROUNDS = 100        # until the interpreter has specialized what runs


def functions(text, own=None, others=None):
    """The functions of a text, each with divided code, and the module that they are in."""
    module = types.ModuleType("diverted")
    exec(text, vars(module))
    for value in list(vars(module).values()):
        if type(value) is types.FunctionType:
            value.__code__ = divided(value.__code__, own or Diversion(), others or {})
    return module


TEXT = """
LIMIT = 1
def plain(): return LIMIT
def nested():
    class C:
        limit = LIMIT
    def inner(): return LIMIT
    return [C.limit, inner(), (lambda: LIMIT)(), *[LIMIT for _ in "a"], *(LIMIT for _ in "a")]
def endless():
    while True:
        yield LIMIT
def mixed(obj): return obj.LIMIT, LIMIT, obj.LIMIT
"""


class Other:
    LIMIT = "its own"


def test_all_code_has_the_name_elsewhere_and_back_also_what_runs():
    diversion = Diversion(["LIMIT"])
    module = functions(TEXT, diversion)
    running = module.endless()

    def all_have(value):
        for _ in range(ROUNDS):
            assert module.plain() == next(running) == value and module.nested() == [value] * 5
            assert module.mixed(Other) == ("its own", value, "its own")
    all_have(1)
    for _ in range(3):
        diversion.begin(vars(module), {"LIMIT": 2})
        all_have(2)
        assert module.LIMIT == 1
        diversion.end(vars(module))
        assert not [name for name in vars(module) if name.startswith(PREFIX)]
        all_have(1)
        module.LIMIT = 3
        all_have(3)
        module.LIMIT = 1


def test_code_that_comes_while_a_diversion_is_in_force_has_it_at_once():
    diversion = Diversion(["LIMIT"])
    module = functions("LIMIT = 1")
    diversion.begin(vars(module), {"LIMIT": 2})
    exec("def late(): return LIMIT", vars(module))
    module.late.__code__ = divided(module.late.__code__, diversion, {})
    assert module.late() == 2
    diversion.end(vars(module))
    assert module.late() == 1


def test_attributes_and_imports_of_another_module(monkeypatch):
    import sys
    other = types.ModuleType("diverted_other")
    other.LIMIT = 1
    monkeypatch.setitem(sys.modules, "diverted_other", other)
    diversion, own = Diversion(["LIMIT"]), Diversion(["LIMIT"])
    module = functions("""
import diverted_other
def attribute(): return diverted_other.LIMIT
def imported():
    from diverted_other import LIMIT as found
    return found
def bound():
    global LIMIT
    from diverted_other import LIMIT
""", own, {"LIMIT": diversion})
    diversion.begin(vars(other), {"LIMIT": 2})
    own.begin(vars(module), {})
    module.bound()
    assert (module.attribute(), module.imported(), vars(module)[PREFIX + "LIMIT"]) == (2, 2, 2)
    assert not hasattr(module, "LIMIT")
    diversion.end(vars(other))
    own.end(vars(module))
    assert (module.attribute(), module.imported()) == (1, 1)


def test_a_class_that_has_the_name_as_its_own_too_is_refused():
    with pytest.raises(Undivided, match="a class in 'C' has 'LIMIT' as its own and as the module's"):
        functions("def make():\n class C:\n  LIMIT = LIMIT\n return C", Diversion(["LIMIT"]))


def test_too_many_names_to_tell_two_uses_apart_are_refused():
    many = "; ".join(f"name_{n}" for n in range(300))
    with pytest.raises(Undivided, match="too many names"):
        functions(f"def f(o):\n {many}; o.LIMIT; LIMIT", Diversion(["LIMIT"]))


def test_code_without_the_names_stays_the_same_object():
    code = (lambda: OTHER).__code__     # noqa: F821
    assert divided(code, Diversion(["LIMIT"]), {}) is code
