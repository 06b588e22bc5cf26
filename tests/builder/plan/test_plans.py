"""Plans as records."""
import ast

from klpfs.builder.compare.changes import compare_modules
from klpfs.builder.plan.plans import ClassPlan, ImportWork, ModulePlan, Refusal
from klpfs.builder.read.modules import Module
from klpfs.builder.read.source_text import Source


def module_plan(old, new):
    """A plan without decisions."""
    change = compare_modules(ast.parse(old), ast.parse(new))
    modules = [Module("m", f"{label}: m.py", Source(text), ast.parse(text), False) for label,
               text in (("old", old), ("new", new))]
    return ModulePlan("m", *modules, change, ImportWork(change.new_scope), ImportWork(change.new_scope))


def test_a_refusal_says_where():
    refusal = Refusal("what", "why", 3)
    assert refusal.in_file("old: a.py").place == "old: a.py:3" and Refusal("what", "why", path="a.so").place == "a.so"


def test_refusals_name_the_version_that_they_stand_in():
    plan = module_plan("x = 1", "\ny = 1")
    plan.refuse(plan.new.tree.body[0], "a", "b")
    plan.refuse_old(plan.old.tree.body[0], "c", "d")
    plan.refuse(plan.new.tree, "e", "f")
    assert [refusal.place for refusal in plan.refused] == ["new: m.py:2", "old: m.py:1", "new: m.py:1"]


def test_names_and_attributes_with_other_values():
    plan = module_plan("a = 1\nclass C:\n    x = 1\n", "a = 2\nb = 1\nclass C:\n    x = 2\n    y = 1\n")
    assert plan.is_empty and not plan.at_import
    for change in plan.change.walk():
        plan.at_import.statements_to_run.update(dict.fromkeys(change.to_run, "changed"))
    plan.at_import.amend(plan.change.classes[0])
    assert (plan.rebound_names, plan.rebound_attributes) == ({"a"}, {"x"})
    assert plan.at_import.bound_names == {"a", "b", "C"} and not plan.is_empty


def test_the_names_of_a_star_import_are_bound():
    work = module_plan("", "from a import *").at_import
    work.statements_to_run = dict.fromkeys(work.scope.statements, "new")
    assert work.bound_names == set()
    work.star_names[work.scope.statements[0].node] = ["b", "c"]
    assert work.bound_names == {"b", "c"}


def test_a_class_has_one_plan():
    plan = module_plan("class C:\n    x = 1\n", "class C:\n    x = 2\n")
    change = plan.change.classes[0]
    found = plan.at_import.classes_to_amend[change.new] = ClassPlan(change, ["line"])
    assert plan.at_import.amend(change) is found
    found.refuse("what", "why")
    assert found.refused[0].line == 1
