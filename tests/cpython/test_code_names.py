"""Global names that code uses, against what dis says of the same code."""
import dis
import os

from klpfs.cpython.code_names import attributes_stored, globals_of, mentions, stores
from klpfs.cpython.raw import inner

TEXT = """
import a.b as at_top
for each in at_top: read
class C:
    own = also_read
    del own
    class D:
        global in_class
        in_class = 1
    def m(self):
        global stored
        stored = late
        def deep():
            global deleted
            del deleted
"""


def code_of(text):
    return compile(text, "x.py", "exec")


def test_globals_are_what_dis_says():
    """On a large module of the standard library."""
    with open(os.__file__) as file:
        code = compile(file.read(), "os.py", "exec")
    loads = ("LOAD_GLOBAL", "LOAD_NAME", "LOAD_FROM_DICT_OR_GLOBALS", "STORE_GLOBAL", "DELETE_GLOBAL")

    def by_dis(code):
        found = {op.argval for op in dis.get_instructions(code) if op.opname in loads}
        return found.union(*map(by_dis, inner(code)))
    assert len(by_dis(code)) > 50 and globals_of(code) == by_dis(code)


def test_names_that_a_module_s_code_stores():
    """Its own, those of global statements anywhere in it; not a class body's."""
    assert stores(code_of(TEXT)) == {"at_top", "each", "C", "in_class", "stored", "deleted"}


def test_names_that_a_function_s_code_stores_are_those_of_global_statements():
    assert stores(inner(code_of("def f(a):\n  global g\n  g = a\n  b = a"))[0]) == {"g"}


def test_a_class_body_s_own_names_are_globals_where_it_reads_them():
    """They are the global ones as long as it has not bound them."""
    code = next(code for code in inner(code_of(TEXT)) if code.co_name == "C")
    names = globals_of(code)
    assert {"also_read", "in_class", "stored", "late", "deleted"} <= names and not names & {"own", "m", "D", "deep"}
    assert globals_of(inner(code_of("def f():\n class C:\n  own = own\n  only = 1"))[0]) == {"__name__", "own"}


def test_names_beyond_the_first_256():
    """Their numbers take an instruction of their own before the one that uses them."""
    code = code_of("def f():\n" + "".join("  use%d\n" % n for n in range(300)))
    assert globals_of(code) == {"use%d" % n for n in range(300)} and mentions(code, "use299")


def test_an_attribute_or_a_local_of_that_name_is_no_mention():
    code = code_of("def f(a):\n  name = a.other\n  def g(): return third")
    assert [mentions(code, name) for name in ("name", "other", "third", "nowhere")] == [False, False, True, False]


def test_attributes_that_code_sets_or_deletes():
    code = code_of("a.one = b.read\ndel a.two\na.three += 1\ndef f(): c.four = 5")
    assert attributes_stored(code) == {"one", "two", "three", "four"}
