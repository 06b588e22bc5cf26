"""Changed values of modules while a transition pends: a task that is held in the old version asks for them and gets the
old ones, new tasks get the new ones, in both directions; between transitions new code is what its text says."""
import queue
import sys
import threading

import pytest

from klpfs.builder.plan.plans import Refusal
from klpfs.cpython.import_time.import_time import ImportTime
from tests.builder.kit import there_and_back

M = """
    import re
    LIMIT = 10
    DOUBLE = LIMIT * 2
    WORD = re.compile("a+")
    TABLE = {"a": 1, "b": 2}
    NAMES = ["x"]
    class C:
        size = 1
        def limit(self): return LIMIT
        def sizes(self): return self.size, C.size, D.size, D().size, [c.size for c in (C(), D())][1]
    class D(C):
        pass
    class Own(C):
        size = "own"
    def values(size=DOUBLE):
        def inner(): return LIMIT
        return (LIMIT, DOUBLE, WORD.pattern, TABLE.get("a"), sorted(TABLE), len(NAMES), C().limit(), inner(), size,
                [LIMIT for _ in NAMES][0], (lambda: LIMIT)(), *C().sizes(), Own().size)
    def serve(questions, answers):
        for _ in iter(questions.get, None):
            answers.put((LIMIT, WORD.pattern, sorted(TABLE), values()))
"""
N = """
    from . import m
    from .m import DOUBLE as TWICE, TABLE
    def values():
        from .m import LIMIT
        return m.LIMIT, TWICE, sorted(TABLE), m.WORD.pattern, LIMIT
"""
NEW_M = M.replace("= 10", "= 20").replace('"a+"', '"b+"').replace('{"a": 1, "b": 2}', '{"a": 5, "c": 3}').replace(
    '["x"]', '["x", "y"]').replace("size = 1", "size = 7")
OLD_VALUES = (10, 20, "a+", 1, ["a", "b"], 1, 10, 10, 20, 10, 10, 1, 1, 1, 1, 1, "own")
NEW_VALUES = (20, 40, "b+", 5, ["a", "c"], 2, 20, 20, 40, 20, 20, 7, 7, 7, 7, 7, "own")
OLD_OF_N, NEW_OF_N = (10, 20, ["a", "b"], "a+", 10), (20, 40, ["a", "c"], "b+", 20)
OLD_ANSWER, NEW_ANSWER = ((values[0], values[2], values[4], values) for values in (OLD_VALUES, NEW_VALUES))


class Task:
    """A thread that stays in a function of the program, and asks it for values when it is told to."""

    def __init__(self, function):
        self.questions, self.answers = queue.Queue(), queue.Queue()
        self.thread = threading.Thread(target=function, args=(self.questions, self.answers), daemon=True)
        self.thread.start()
        self.ask()      # it is inside

    def ask(self):
        self.questions.put("?")
        return self.answers.get(timeout=60)

    def end(self):
        self.questions.put(None)
        self.thread.join()


@pytest.fixture
def program(upgrade):
    """(the upgrade, module m, module n) of OLD, running."""
    upgrade.write({"m.py": M, "n.py": N}, {"m.py": NEW_M, "n.py": N})
    return upgrade, upgrade.module("m"), upgrade.module("n")


def private_names(*modules):
    return [name for module in modules for name in vars(module) if name.startswith("_klpfs:")]


def test_a_held_task_has_old_values_and_new_tasks_have_new_ones_in_both_directions(program):
    upgrade, m, n = program
    held = Task(m.serve)
    patch = upgrade.insmod(settle=False)
    assert upgrade.engine.look()
    assert held.ask() == OLD_ANSWER
    assert m.values() == NEW_VALUES and n.values() == NEW_OF_N
    assert (m.LIMIT, n.TWICE, m.TABLE, m.C.size) == (10, 20, {"a": 1, "b": 2}, 1)  # who else reads them is to wait
    held.end()
    upgrade.settle()
    assert (m.LIMIT, n.TWICE, m.TABLE, vars(m.C)["size"]) == (20, 40, {"a": 5, "c": 3}, 7)
    assert m.values() == NEW_VALUES and n.values() == NEW_OF_N
    held = Task(m.serve)
    upgrade.engine.disable(patch.patch)
    assert upgrade.engine.look()
    assert held.ask() == NEW_ANSWER
    assert m.values() == OLD_VALUES and n.values() == OLD_OF_N
    assert (m.LIMIT, n.TWICE, m.TABLE, m.C.size) == (10, 20, {"a": 1, "b": 2}, 1)
    assert held.ask() == NEW_ANSWER
    held.end()
    upgrade.settle()
    assert vars(m.C)["size"] == 1
    assert m.values() == OLD_VALUES and n.values() == OLD_OF_N and not private_names(m, n)


def test_a_transition_that_turns_back_leaves_all_tasks_with_old_values(program):
    upgrade, m, n = program
    held = Task(m.serve)
    upgrade.insmod(settle=False)
    assert upgrade.engine.look() and m.values() == NEW_VALUES
    upgrade.engine.reverse()
    assert held.ask() == OLD_ANSWER
    upgrade.settle()
    assert held.ask() == OLD_ANSWER and m.values() == OLD_VALUES and n.values() == OLD_OF_N
    assert m.LIMIT == 10 and not private_names(m, n)
    held.end()


def test_a_way_back_that_turns_to_the_patch_again_leaves_all_tasks_with_new_values(program):
    upgrade, m, n = program
    patch = upgrade.insmod()
    held = Task(m.serve)
    upgrade.engine.disable(patch.patch)
    assert upgrade.engine.look() and m.values() == OLD_VALUES
    upgrade.engine.reverse()
    assert held.ask() == NEW_ANSWER
    upgrade.settle()
    assert held.ask() == NEW_ANSWER and m.values() == NEW_VALUES and n.values() == NEW_OF_N and m.LIMIT == 20
    held.end()
    upgrade.disable(patch)
    assert m.values() == OLD_VALUES and n.values() == OLD_OF_N and m.TABLE == {"a": 1, "b": 2}


def test_between_transitions_new_code_reads_what_the_module_has(program):
    """As its text says: settings that the program makes count, also in a frame that has begun in the transition."""
    upgrade, m, n = program
    held = Task(m.serve)
    patch = upgrade.insmod(settle=False)
    assert upgrade.engine.look()
    new = Task(m.serve)
    held.end()
    upgrade.settle()
    assert not private_names(m, n) and "LIMIT" in m.values.__code__.co_names
    m.LIMIT, m.TABLE["mine"] = 99, 7
    assert m.values()[0] == n.values()[0] == new.ask()[0] == 99 and "mine" in new.ask()[2]
    new.end()
    upgrade.disable(patch)
    assert m.LIMIT == 99 and m.TABLE == {"a": 1, "b": 2, "mine": 7}     # what the program has set is the program's


def test_a_cumulative_patch_over_a_patch(program):
    upgrade, m, n = program
    first = upgrade.insmod()
    text = upgrade.build().text.replace("LIMIT = 20", "LIMIT = 30")
    held = Task(m.serve)
    upgrade.insmod(text, settle=False)
    assert upgrade.engine.look()
    assert held.ask() == NEW_ANSWER and m.values()[0] == n.values()[0] == 30 and m.LIMIT == 20
    held.end()
    upgrade.settle()
    assert not first.patch.enabled and m.LIMIT == m.values()[0] == n.values()[0] == 30 and not private_names(m, n)
    upgrade.disable(upgrade.loaded[-1])
    assert m.values() == OLD_VALUES and n.values() == OLD_OF_N


def test_a_module_that_comes_while_the_transition_pends(upgrade):
    upgrade.write({"m.py": M, "n.py": N}, {"m.py": NEW_M, "n.py": N})
    m = upgrade.module("m")
    held = Task(m.serve)
    patch = upgrade.insmod(settle=False)
    assert upgrade.engine.look()
    n = upgrade.module("n")
    upgrade.engine.coming(n.__name__, refuse=False)
    assert n.values() == NEW_OF_N and held.ask() == OLD_ANSWER
    held.end()
    upgrade.settle()
    assert n.values() == NEW_OF_N and not private_names(m, n)
    upgrade.disable(patch)
    assert n.values() == OLD_OF_N


def test_where_readers_are_refused_all_is_there_at_once_and_says_so(upgrade, monkeypatch):
    from klpfs.builder import build
    monkeypatch.setattr(build, "uncompilable", lambda text, plans, pythons: [
        Refusal("the livepatch", "it does not fit")] if "together=" in text else [])
    old = "LIMIT = 1\ndef f(): return LIMIT\n"
    result = there_and_back(upgrade, old, old.replace("1", "2"), "f()")
    said = f"LIMIT of {upgrade.name}: with the functions that read such values the livepatch is refused"
    assert said in " ".join(result.text.split()) and "reads LIMIT" not in result.text


@pytest.mark.parametrize("change, reason", [
    ("def more(): TABLE['z'] = 1", "more may change or keep the table"),
    ("def more(): return TABLE", "more may change or keep the table"),
    ("def more():\n        global TABLE\n        TABLE = {}", "a function binds it anew"),
    ("MORE = lambda: TABLE", "a lambda or generator of the module's body reads it"),
    ("def more(): return globals()['TABLE']", "its name is in a text, by which code may look it up"),
    ("def more(): return eval('len(TABLE)')", "its name is in a text, by which code may look it up"),
    ("import sys\ndef more(): return getattr(sys.modules[__name__], 'TABLE')",
     "its name is in a text, by which code may look it up"),
])
def test_what_code_changes_or_keeps_is_there_at_once_and_named(upgrade, change, reason):
    old = f"TABLE = {{'a': 1}}\n{change}\n".replace("\n        ", "\n    ")
    result = there_and_back(upgrade, old, old.replace("'a': 1", "'a': 2"), "TABLE['a']")
    assert "together" not in result.text.partition('"""\nfrom')[2]
    assert f"at once, not together with the functions: TABLE of {upgrade.name}: {reason}" in " ".join(
        result.text.split())


@pytest.mark.parametrize("before, after, reason", [
    ("size = 1", "@staticmethod\n    def get(name='size'): return 0",
     "its name is in a text, by which code may look it up"),
    ("size = 1", "@classmethod\n    def set(cls): cls.size = 3", "{p} may bind it in a class"),
    ("size = {'a': 1}", "", "it may be a table, or more than a value"),
    ("size = 1", "def all(self): return dict(vars(type(self)))",
     "{p} reads what classes hold by `__dict__` or vars()"),
    ("__slots__ = ('a',); size = 1", "", ""),
])
def test_values_of_classes_that_more_than_functions_read_are_there_at_once_and_named(upgrade, before, after, reason):
    old = f"class C:\n    {before}\n    {after}\n    def read(self): return self.size\n"
    result = there_and_back(upgrade, old, old.replace("1", "2"), "str(C.size)", "str(C().read())")
    said = f"at once, not together with the functions: C.size of {upgrade.name}: {reason.replace('{p}', upgrade.name)}"
    assert (said in " ".join(result.text.split())) is bool(reason)


def test_new_methods_that_the_interpreter_calls_are_named(upgrade):
    result = there_and_back(upgrade, "class C:\n    x = 1\n", "class C:\n    x = 1\n    def __len__(self): return 3\n",
                            "len(C())")
    assert "at once, and the interpreter acts on it: C.__len__" in " ".join(result.text.split())


def test_a_cumulative_patch_on_the_way_back_gives_old_code_the_old_values_of_the_program_itself(program):
    """Those of the patch that it has replaced are nobody's any more."""
    upgrade, m, n = program
    upgrade.insmod()
    text = upgrade.build().text
    for old, new in (("LIMIT = 20", "LIMIT = 30"), ("size = 7", "size = 8")):
        assert old in text
        text = text.replace(old, new)
    patch = upgrade.insmod(text)
    held = Task(m.serve)
    upgrade.engine.disable(patch.patch)
    assert upgrade.engine.look()
    assert held.ask()[0] == 30 and m.C.size == 1 and m.values() == OLD_VALUES and n.values() == OLD_OF_N
    held.end()
    upgrade.settle()
    assert vars(m.C)["size"] == 1 and not private_names(m, n)


def test_new_code_has_its_values_also_at_the_moment_when_a_patch_is_replaced(program, monkeypatch):
    """The replaced patch's are gone before the values of its successor are everybody's."""
    upgrade, m, n = program
    upgrade.insmod()
    text = upgrade.build().text.replace("LIMIT = 20", "LIMIT = 30")
    seen, replaced = [], ImportTime.replaced

    def replace(self, obj):
        replaced(self, obj)
        seen.append((m.values()[0], n.values()[0]))
    monkeypatch.setattr(ImportTime, "replaced", replace)
    upgrade.insmod(text)
    assert seen == [(30, 30)] * 2


@pytest.mark.parametrize("turn", [False, True])
def test_what_the_program_itself_sets_while_a_transition_pends_is_its_own(program, turn):
    upgrade, m, n = program
    held = Task(m.serve)
    patch = upgrade.insmod(settle=False)
    assert upgrade.engine.look()
    m.LIMIT, m.C.size = 99, 77
    if turn:
        upgrade.engine.reverse()
    held.end()
    upgrade.settle()
    assert (m.LIMIT, m.C.size, m.values()[0], n.values()[0]) == (99, 77, 99, 99)
    if not turn:
        assert m.WORD.pattern == "b+"
        upgrade.disable(patch)
    assert (m.LIMIT, m.C.size, m.values()[0], m.WORD.pattern) == (99, 77, 99, "a+")


def test_what_the_program_has_set_meanwhile_stays_where_a_way_back_turns_to_the_patch_again(program):
    upgrade, m, n = program
    patch = upgrade.insmod()
    m.LIMIT, m.C.size = 99, 77
    held = Task(m.serve)
    upgrade.engine.disable(patch.patch)
    assert upgrade.engine.look() and m.LIMIT == 99
    upgrade.engine.reverse()
    held.end()
    upgrade.settle()
    assert (m.LIMIT, m.C.size, m.values()[0], m.WORD.pattern) == (99, 77, 99, "b+")


def test_a_star_import_while_the_transition_pends_takes_no_private_names(program):
    upgrade, m, _ = program
    held = Task(m.serve)
    upgrade.insmod(settle=False)
    assert upgrade.engine.look() and private_names(m)
    space = {}
    exec(f"from {m.__name__} import *", space)
    assert "LIMIT" in space and not [name for name in space if "klpfs" in name]
    held.end()
    upgrade.settle()


def test_a_global_that_a_class_has_under_a_private_name_is_there_at_once_and_named(upgrade):
    old = "_C__X = 1\nclass C:\n    def read(self): return __X\n"
    result = there_and_back(upgrade, old, old.replace("1", "2"), "C().read()")
    assert "code of a class may have it under a private name" in " ".join(result.text.split())


def test_a_reader_that_keeps_its_answers_is_named(upgrade):
    old = "import functools\nLIMIT = 1\n@functools.lru_cache()\ndef f(x): return x * LIMIT\n"
    result = there_and_back(upgrade, old, old.replace("1", "2"), "f(3)")
    assert f"f of {upgrade.name} keeps its answers: as long as the transition pends" in " ".join(result.text.split())


@pytest.mark.skipif(sys.version_info < (3, 10), reason="patterns are new in 3.10")
def test_patterns_read_values_of_classes(upgrade):
    old = """
    class C:
        size = 1
    def read(o):
        match o:
            case C(size=1):
                return "one"
        return "other"
    """
    result = there_and_back(upgrade, old, old.replace("size = 1", "size = 2"), "read(C())")
    assert 'Func("read"' in result.text and "together=['C.size']" in result.text
