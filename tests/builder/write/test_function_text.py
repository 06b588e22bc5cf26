"""The text of a new function."""
import ast

from klpfs.builder.compare.changes import compare_modules
from klpfs.builder.plan.plans import FuncPlan, ImportWork, ModulePlan
from klpfs.builder.read.modules import Module
from klpfs.builder.read.old_definitions import made_function
from klpfs.builder.read.source_text import Source
from klpfs.builder.syntax import FUNCTIONS
from klpfs.builder.write.function_text import function_text
from tests.builder.kit import there_and_back


def test_one_line_of_many_statements(upgrade):
    there_and_back(upgrade, "a = 1; b = 2\ndef f(x=a): return x; pass\n",
                   "a = 3; b = 2; c: int = 4\ndef f(x=a): return x + 1; pass\n", "a, b", "f()", "c")


def written(text, name="f", indent=0, renamed=None, **more):
    """The text of a module's first function."""
    module = Module("m", "new: m.py", Source(text), ast.parse(text), False)
    change = compare_modules(module.tree, module.tree)
    plan = ModulePlan("m", module, module, change, ImportWork(change.new_scope, renamed_attributes=renamed or {}),
                      ImportWork(change.new_scope))
    node = next(node for node in ast.walk(module.tree) if isinstance(node, FUNCTIONS))
    return function_text(plan, FuncPlan("f", node, made_function("f", 1), "body", **more), name, indent)


def test_upstream_s_lines_below_where_they_come_from():
    text = "@decorated\ndef f(a,\n      b):  # said\n    return '''\nx'''\n"
    assert written(text) == "# line 2: body\ndef f(a,\n      b):  # said\n    return '''\nx'''\n"
    assert written(text,
                   indent=4) == "    # line 2: body\n    def f(a,\n          b):  # said\n        return '''\nx'''\n"


def test_another_name():
    assert written("async  def  f(f): return f\n", "f_2").endswith("async  def  f_2(f): return f\n")


def test_defaults_that_the_file_can_t_evaluate():
    text = written("def f(a=MARK, *, b=LIMIT, c=1): pass\n", kept_defaults={"a"}, later_defaults={"b"})
    assert text.endswith("def f(a=unchanged, *, b=later(lambda: LIMIT), c=1): pass\n")


def test_attributes_with_new_names():
    assert written("def f(é): return é.rest, é.rests\n",
                   renamed={"rest": "klp_rest"}).endswith("return é.klp_rest, é.rests\n")
    assert "self.klp_rest" in written("def f(self): return f'''{self.rest}\n'''\n", renamed={"rest": "klp_rest"})


def test_a_function_that_no_text_has():
    text = written("@d\ndef f(a=MARK, b=1): return a.rest\n", "g", 4, {"rest": "klp_rest"}, kept_defaults={"a"},
                   generated=True)
    assert text == "    # line 2: body\n    def g(a=unchanged, b=1):\n        return a.klp_rest\n"


def test_statements_that_come_first():
    outer = ast.parse("def f(n):\n    x = n\n    def g():\n        'Doc.'\n        return x\n")
    [x] = [node for node in ast.walk(outer) if isinstance(node, ast.Assign)]
    text = "def f(n):\n    x = n\n    return x\n"
    assert written(text,
                   prelude=[x]) == ("# line 1: body\ndef f(n):\n"
                                    "    # what functions made before lack, from what they hold\n"
                                         "    x = n\n    x = n\n    return x\n")


def test_statements_that_come_first_in_a_function_of_one_line():
    [x] = ast.parse("x = n\n").body
    x.lineno = 0            # no text of NEW's
    assert written("def f(n): return x\n", prelude=[x]) == "# line 1: body\ndef f(n):\n    x = n\n    return x\n"
    assert "    x = n\n    return x\n" in written("def f(n):\n    return x\n", prelude=[x])
