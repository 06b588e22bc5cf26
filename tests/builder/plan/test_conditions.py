"""Functions that stand under other conditions in NEW: where the program does not have them, they are defined."""
import pytest

from tests.builder.kit import there_and_back

NEVER, EVER = "if sys.version_info < (3, 1):\n", "if sys.version_info < (4, 1):\n"
G, G2 = "    def g(): return 1\n", "    def g(): return 2\n"
METHOD = "import sys\nclass C:\n    def f(self): return 0\n"


def indented(text):
    return "".join(f"    {line}\n" for line in text.splitlines())


@pytest.mark.parametrize("old, new, value", [
    ("import sys\n" + NEVER + G, "import sys\n" + EVER + G2, "'g' in globals() and g()"),
    ("import sys\n" + NEVER + G, "import sys\ndef g(): return 2\n", "'g' in globals() and g()"),
    ("import sys\n" + EVER + G, "import sys\ndef g(): return 2\n", "g()"),
    (METHOD + indented(NEVER + G.replace("()", "(self)")), METHOD + indented(EVER + G2.replace("()", "(self)")),
     "hasattr(C, 'g') and C().g()"),
    (METHOD + indented(NEVER + G.replace("()", "(self)")), METHOD + indented(EVER + G.replace("()", "(self)")),
     "hasattr(C, 'g') and C().g()"),
], ids=["now it is there", "none any more", "it was there", "a method", "the same method"])
def test_the_function_is_there_as_in_new(upgrade, old, new, value):
    there_and_back(upgrade, old, new, value)


def test_the_function_that_the_program_has_stays_the_object_that_it_is(upgrade):
    """Its code changes with all others' at once; another object would be seen before."""
    upgrade.write("import sys\n" + EVER + G, "import sys\ndef g(): return 2\n")
    module = upgrade.module()
    before = module.g
    upgrade.insmod()
    assert module.g is before and before() == 2


def test_a_later_cumulative_patch_does_not_take_an_earlier_ones_function_for_the_programs(upgrade):
    upgrade.write("import sys\n" + NEVER + G, "import sys\ndef g(): return 2\n")
    module, text = upgrade.module(), upgrade.build().text
    upgrade.insmod(text)
    upgrade.insmod(text)
    assert module.g() == 2
