"""The function that does what importing NEW does differently."""
import ast
import textwrap

import pytest

from klpfs.builder.compare.changes import compare_modules
from klpfs.builder.plan.plans import ImportWork, ModulePlan
from klpfs.builder.read.modules import Module
from klpfs.builder.read.source_text import Source
from klpfs.builder.write.import_time_text import at_import_text, new_module_text, when_complete_text


def module(text):
    text = textwrap.dedent(text)
    return Module("m", "new: m.py", Source(text), ast.parse(text), False)


def planned(old, new):
    """A plan in which runs what differs."""
    modules = module(old), module(new)
    change = compare_modules(*(each.tree for each in modules))
    plan = ModulePlan("m", *modules, change, ImportWork(change.new_scope), ImportWork(change.new_scope))
    for each in change.walk():
        plan.at_import.statements_to_run.update(dict.fromkeys(each.to_run, "new"))
        if each.name:
            plan.at_import.amend(each)
    return plan


def body(old, new):
    """The lines below the first comment, without those that say why."""
    lines = at_import_text(planned(old, new), "of_m").split("\n")[2:-1]
    return [line[4:] for line in lines if not line.lstrip().startswith("# line")]


@pytest.mark.parametrize("old, new, lines", [
    ("", "A = 1  # said", ["global A", "", "A = 1  # said"]),
    ("", "A: int = (\n    1)", ["global A", "", "A = (", "    1)"]),
    ("", "A: int = (1)", ["global A", "", "A = (1)"]),
    ("", "A: (\n  int\n) = (  # x = y\n    1)", ["global A", "", "A = (  # x = y", "    1)"]),
    ("", "A:int=1", ["global A", "", "A = 1"]),
    ("", "A: int = 1; B = 2", ["global A, B", "", "A = 1", "B = 2"]),
    ("import a", "import a, b as c", ["global c", "", "import b as c"]),
    ("", "from .a import *", ["klp.star('.a')"]),
    ("", "A = '%(b)s' % locals()", ["global A", "", "A = '%(b)s' % globals()"]),
    ("", "@d\ndef f(): pass\nx = 1", ["global f, x", "", "@d", "def f(): pass", "", "x = 1"]),
    ("class A:\n    x = 1", "class A:\n    x = 1\n    y: int = locals()",
     ["global A", "", "class A(metaclass=klp.part):", "    y: int = locals()"]),
    ("if a:\n    def f(): pass", "if a:\n    def f(): pass\n    x = 1\nelse:\n    y = 1",
     ["global x, y", "", "if a:", "    x = 1", "else:", "    y = 1"]),
    ("try:\n    import a\n    def f(): pass\nexcept E as e:\n    pass",
     "try:\n    import a\n    def f(): pass\nexcept E as e:\n    x = 1",
     ["global x", "", "try:", "    import a", "except E as e:", "    x = 1"]),
    ("", "if a:\n    from .b import *\n    from c import d",
     ["global d", "", "if a:", "    klp.star('.b')", "    from c import d"]),
    ("", "if a: from b import *; x: int; y: int = 1", ["global y", "", "if a: klp.star('b'); pass; y = 1"]),
    ("", "if a:\n    x: int\n    y: (\n      int) = 1  # said",
     ["global y", "", "if a:", "    pass", "    y = 1  # said"]),
    ("", "try: from b import *\nexcept E: x = 1", ["global x", "", "try: klp.star('b')", "except E: x = 1"]),
    ("try:\n    from .a import *\n    def f(): pass\nexcept E:\n    pass",
     "try:\n    from .a import *\n    def f(): pass\nexcept E:\n    x = 1",
     ["global x", "", "try:", "    from .a import __name__ as klp_name", "except E:", "    x = 1"]),
    ("with a as b:\n    def f(): pass", "with a as b:\n    def f(): pass\n    x = 1",
     ["global x", "", "with a as b:", "    x = 1"]),
])
def test_statements_as_they_stand(old, new, lines):
    """And what a module alone may have (`import *`, annotations of globals) as a function may have it."""
    assert body(old, new) == lines
    compile(at_import_text(planned(old, new), "of_m"), "m", "exec")


def test_where_a_statement_comes_from_and_why():
    assert at_import_text(planned("x = 1", "\nx = 2"), "of_m").split("\n") == [
        "def of_m(klp):",
        "    # m.py: what importing it does otherwise; old code sees it, too, from the moment the patch goes in",
        "    global x", "", "    # line 2: new", "    x = 2", ""]


def test_names_of_a_star_import_that_are_known():
    plan = planned("", "from .a import *")
    plan.at_import.star_names[plan.new.tree.body[0]] = ["b", "c"]
    assert "global b, c\n" in at_import_text(plan, "of_m") and "from .a import b, c\n" in at_import_text(plan, "of_m")


def test_keys_that_a_table_has_no_more_and_attributes_with_new_names():
    plan = planned("T = {'a': 1}\n", "T = {}\nx = y.rest\n")
    plan.at_import.removed_keys["T"] = ["a"]
    plan.at_import.renamed_attributes["rest"] = "klp_rest"
    text = at_import_text(plan, "of_m")
    assert "klp.removes('T', 'a')\n" in text and "x = y.klp_rest\n" in text


def test_lines_of_a_class_plan_come_first_and_its_blocks_last():
    plan = planned("class A:\n    x = 1", "class A:\n    x = 2")
    [found] = plan.at_import.classes_to_amend.values()
    found.lines_inside.append("y = klp.slot()")
    found.blocks_after.append("klp.bases(A, B)\n")
    assert at_import_text(plan, "of_m").endswith("    class A(metaclass=klp.part):\n        y = klp.slot()\n"
                                                 "        # line 2: new\n        x = 2\n    klp.bases(A, B)\n")


def test_what_runs_when_the_transition_is_complete():
    plan = planned("", "")
    assert when_complete_text(plan, "then_of_m").endswith("when the transition is complete\n    pass\n")


def test_the_whole_of_a_new_module():
    assert new_module_text(module('"""Doc."""\nimport a\n\nx: int = 1\n'), "klp_new_m", {}) == (
        "def klp_new_m(klp):\n    global __doc__, a, x\n    __doc__ = 'Doc.'\n\n    import a\n    x = 1\n")
