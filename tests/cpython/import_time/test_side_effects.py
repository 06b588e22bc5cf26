"""Changes that statements make without binding a name are noted as an owner's, so that they go with it."""
import sys
import types

from klpfs.cpython.import_time import overlays
from klpfs.cpython.import_time.side_effects import Watch

PROGRAM = """
    REGISTRY, ORDER, KNOWN = {"a": 1}, [1, 2], {1}
    __hidden__ = {}
    class Meta(type):
        classes = []
        def __init__(cls, *args): Meta.classes.append(cls)
    class Plugin:
        table = {}
    class Registered(Plugin): pass
    class Router:
        def __init__(self): self.routes = []
    router = Router()
    def register(name): REGISTRY[name] = True
"""


def run(module, text, names=()):
    """Runs statements in a module under a Watch; the owner of what they did."""
    code, owner = compile(text, "statements", "exec"), object()
    watch = Watch(module.__dict__, code, names)
    exec(code, module.__dict__)
    watch.note(owner)
    return owner


def test_entries_of_tables_of_the_module(module):
    live = module(PROGRAM)
    owner = run(live, "register('b'); REGISTRY.pop('a'); ORDER.insert(0, 0); KNOWN.add(2); KNOWN.discard(1)")
    assert (live.REGISTRY, live.ORDER, live.KNOWN) == ({"b": True}, [0, 1, 2], {2})
    overlays.take(owner)
    assert (live.REGISTRY, live.ORDER, live.KNOWN) == ({"a": 1}, [1, 2], {1})


def test_names_of_the_module_that_functions_bind_which_the_statements_call(module):
    live = module("""
        import sys
        mode, gone = "old", 1
        def deprecate(name): setattr(sys.modules[__name__], name, "deprecated")
        def switch():
            global mode, gone, added
            mode, added = "new", 1
            del gone
    """)
    owner = run(live, "deprecate('gone'); switch(); deprecate('new_name')")
    assert (live.mode, live.added, live.new_name, hasattr(live, "gone")) == ("new", 1, "deprecated", False)
    overlays.take(owner)
    assert (live.mode, live.gone, hasattr(live, "added"), hasattr(live, "new_name")) == ("old", 1, False, False)


def test_a_name_that_the_program_has_bound_again_stays(module):
    live = module("""
        count = 0
        def next():
            global count
            count += 1
    """)
    owner = run(live, "next()")
    live.next()
    overlays.take(owner)
    assert live.count == 2


def test_a_module_that_the_statements_import_stays_in_its_package(module, monkeypatch):
    live = module("", "pkg_se2")
    monkeypatch.setitem(sys.modules, "pkg_se2.sub", types.ModuleType("pkg_se2.sub"))
    live.sub_of = lambda: setattr(live, "sub", sys.modules["pkg_se2.sub"])       # as the import system does it
    overlays.take(run(live, "sub_of()"))
    assert live.sub is sys.modules["pkg_se2.sub"]


def test_a_value_that_is_exchanged_in_a_table(module):
    live = module(PROGRAM)
    owner = run(live, "REGISTRY['a'] = 2")
    overlays.take(owner)
    assert live.REGISTRY == {"a": 1}


def test_tables_of_classes_their_bases_and_metaclasses(module):
    live = module(PROGRAM)
    owner = run(live, "Registered.table['x'] = 1\nMeta.classes.append(1)")
    assert live.Plugin.table == {"x": 1}
    overlays.take(owner)
    assert live.Plugin.table == {} and live.Meta.classes == []


def test_tables_of_other_modules_of_the_package(module):
    base = module("TABLE = {}\ndef add(key): TABLE[key] = 1", "pkg_se.base")
    foreign = module("TABLE = {}", "foreign_se")
    live = module("", "pkg_se.live")
    live.add, live.base, live.foreign_se = base.add, base, foreign
    owner = run(live, "add('x'); base.TABLE['y'] = 1; foreign_se.TABLE['z'] = 1")
    overlays.take(owner)
    assert base.TABLE == {} and foreign.TABLE == {"z": 1}, "of another package only what the livepatch names"
    owner = run(live, "foreign_se.TABLE['w'] = 1", ["foreign_se"])
    overlays.take(owner)
    assert foreign.TABLE == {"z": 1}


def test_what_objects_that_the_livepatch_names_hold(module):
    live = module(PROGRAM)
    owner = run(live, "router.routes.append(1); router.more = 2", ["router"])
    assert live.router.routes == [1]
    overlays.take(owner)
    assert live.router.routes == [] and not hasattr(live.router, "more")
    owner = run(live, "router.routes.append(1)")
    overlays.take(owner)
    assert live.router.routes == [1], "not named: nobody looked"


def test_names_that_the_statements_bind_and_hidden_names_are_left_alone(module):
    """Who runs the statements takes note of what these bind."""
    live = module(PROGRAM)
    owner = run(live, "fresh = 1; __hidden__['x'] = 1; globals()['__other__'] = 2")
    assert overlays.pairs(owner) == []


def test_large_tables_are_left_alone(module):
    live = module("LARGE = dict.fromkeys(range(20000))")
    owner = run(live, "LARGE['x'] = 1")
    assert overlays.pairs(owner) == []


def test_klpfs_and_the_interpreters_own_modules_are_never_compared(module):
    import sys
    live = module("import sys")
    owner = run(live, "sys.path.append('/tmp/never')", ["sys"])
    sys.path.remove("/tmp/never")
    assert overlays.pairs(owner) == []


def test_attributes_of_modules_that_it_sets(module):
    """Of any package: those that the statements name."""
    other = module("X = 1\nGONE = 3\nKEPT = 4", "foreign_attr")
    live = module("")
    live.other = other
    owner = run(live, "other.X = 2\nother.Y = 3\ndel other.GONE\nsetattr(other, 'KEPT', 5)")
    assert (other.X, other.Y, hasattr(other, "GONE"), other.KEPT) == (2, 3, False, 5)
    overlays.take(owner)
    assert (other.X, hasattr(other, "Y"), other.GONE) == (1, False, 3)
    assert other.KEPT == 5, "by no name of the text"


def test_tables_of_other_packages_of_the_release(module):
    other = module("TABLE = {}\ndef add(key): TABLE[key] = 1", "second_se")
    live = module("", "first_se")
    live.second = other
    code, owner = compile("second.add('x')", "statements", "exec"), object()
    watch = Watch(live.__dict__, code, (), {"second_se"})
    exec(code, live.__dict__)
    watch.note(owner)
    overlays.take(owner)
    assert other.TABLE == {}


def test_functions_of_singledispatch_in_modules_that_it_names(module):
    other = module("import functools\n@functools.singledispatch\ndef f(x): return 'any'", "dispatching")
    live = module("")
    live.other = other
    owner = run(live, "other.f.register(int, lambda x: 'int')")
    assert other.f(1) == "int"
    overlays.take(owner)
    assert other.f(1) == "any"
