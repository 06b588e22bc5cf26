"""Names that new code has elsewhere for a time: in all code that has them, also while it runs, and nowhere else."""
import os
import subprocess
import sys
import types

import pytest

from klpfs.cpython import diverted_names
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


@pytest.mark.parametrize("begins", [True, False])
def test_what_was_cut_off_between_two_codes_is_put_right_by_end(monkeypatch, begins):
    """No memory, an interrupt: some codes have the name elsewhere then, others have not."""
    diversion = Diversion(["LIMIT"])
    module = functions("LIMIT = 1\ndef one(): return LIMIT\ndef two(): return LIMIT", diversion)
    put, calls = next(iter(diversion._slots.values()))[1], []

    def once(names, name):
        if calls.append(name) or len(calls) == 2:
            raise MemoryError
        put(names, name)
    if not begins:
        diversion.begin(vars(module), {"LIMIT": 2})
    for key, slot in diversion._slots.items():
        diversion._slots[key] = (slot[0], once, *slot[2:])
    with pytest.raises(MemoryError):
        diversion.begin(vars(module), {"LIMIT": 2}) if begins else diversion.end(vars(module))
    diversion.end(vars(module))
    assert module.one() == module.two() == 1 and not [name for name in vars(module) if PREFIX in name]


def test_an_end_that_did_not_begin_leaves_the_names_of_another():
    """Two patches of one module have the same names: the replaced one ends while its successor has them elsewhere."""
    one, other = Diversion(["LIMIT"]), Diversion(["LIMIT"])
    module = functions("LIMIT = 1\ndef f(): return LIMIT", other)
    other.begin(vars(module), {"LIMIT": 2})
    one.end(vars(module))
    assert module.f() == 2
    other.end(vars(module))


def test_references_to_names_are_kept_count_of():
    diversion = Diversion(["LIMIT_OF_REFERENCES"])
    module = functions("def f(): return LIMIT_OF_REFERENCES", diversion)
    name, other = module.f.__code__.co_names[0], diverted_names.private("LIMIT_OF_REFERENCES")
    before = sys.getrefcount(name), sys.getrefcount(other)
    for _ in range(100):
        diversion.begin(vars(module), {"LIMIT_OF_REFERENCES": 1})
        diversion.end(vars(module))
    assert (sys.getrefcount(name), sys.getrefcount(other)) == before


def test_clones_of_code_that_tools_make_while_it_is_in_force_come_back_as_well():
    diversion = Diversion(["LIMIT"])
    module = functions("LIMIT = 1\ndef f(): return LIMIT", diversion)
    diversion.begin(vars(module), {"LIMIT": 2})
    clone = types.FunctionType(module.f.__code__.replace(co_name="clone"), vars(module))
    assert clone() == 2
    diversion.end(vars(module))
    assert clone() == 1


def test_no_audit_event_comes_of_it():
    """A hook of the program's may refuse any event, or call what is being patched."""
    program = """
import sys, types
from klpfs.cpython.diverted_names import Diversion, available, divided
assert available()
module = types.ModuleType("m")
exec("LIMIT = 1\\ndef f(): return LIMIT", vars(module))
diversion = Diversion(["LIMIT"])
module.f.__code__ = divided(module.f.__code__, diversion, {})
def refuse(event, args):
    raise RuntimeError(event)
sys.addaudithook(refuse)
diversion.begin(vars(module), {"LIMIT": 2})
two = module.f()
diversion.end(vars(module))
assert (two, module.f()) == (2, 1)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True,
                          env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)})
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.skipif(sys.version_info < (3, 14), reason="annotations are code of their own from 3.14 on")
def test_annotations_of_a_class_in_a_function():
    diversion = Diversion(["LIMIT"])
    module = functions("LIMIT = 1\ndef f():\n class C:\n  x: LIMIT\n return C.__annotations__", diversion)
    diversion.begin(vars(module), {"LIMIT": 2})
    assert module.f() == {"x": 2}
    diversion.end(vars(module))
    assert module.f() == {"x": 1}
    with pytest.raises(Undivided, match="has 'LIMIT' as its own and as the module's"):
        functions("def f():\n class C:\n  LIMIT = 1\n  x: LIMIT\n return C", diversion)
