"""A patch that breaks what klpfs might use itself: everything still works, and the patch can be taken back."""
import pytest

from tests.harness import read, until

pytestmark = pytest.mark.fuse

FUNCTIONS = {
    "json": ["loads", "dumps"],
    "json.encoder": ["JSONEncoder.encode"],
    "socket": ["socket.accept", "socket.close", "create_connection"],
    "selectors": ["EpollSelector.select"],
    "threading": ["current_thread", "Thread.start", "Thread.run", "Event.wait", "enumerate", "main_thread"],
    "posixpath": ["join", "dirname", "basename", "abspath"],
    "os": ["makedirs", "get_exec_path"],
    "linecache": ["getline", "getlines", "checkcache"],
    "traceback": ["format_exc", "print_exception", "format_tb"],
    "tokenize": ["open", "detect_encoding"],
    "ast": ["parse", "NodeVisitor.visit", "NodeTransformer.generic_visit"],
    "symtable": ["symtable"],
    "weakref": ["WeakKeyDictionary.__setitem__"],
    "functools": ["update_wrapper", "wraps"],
    "inspect": ["getsource", "signature"],
    "logging": ["Logger.info", "getLogger"],
    "collections": ["namedtuple"],
    "codecs": ["getincrementaldecoder"],
    "importlib": ["import_module", "reload"],
    "tempfile": ["mkstemp"],
    "signal": ["signal"],
}
# loading may use these: it fails then, taking back does not
LOADING = ("ast", "tokenize", "symtable", "codecs", "linecache")
RAISES = "def {name}(*arguments, **named):\n    raise RuntimeError('broken on purpose')\n\n"


def broken(module, names):
    """A livepatch under which each function raises."""
    bodies, funcs = "", []
    for n, name in enumerate(names):
        bodies += RAISES.format(name=f"new_{n}")
        funcs.append(f"Func({name!r}, new_{n})")
    return f"from klpfs import Func, Object, Patch\n\n{bodies}patch = Patch(objects=[Object({module!r}, funcs=[{', '.join(funcs)}])])\n"


@pytest.mark.parametrize("module", FUNCTIONS)
def test_a_module_that_klpfs_might_use_is_broken_and_mended(live, lp, module):
    """Load, read everything, load another (which may fail where loading uses it), take both back, all with them
    broken."""
    live.expect("takes other parameters")
    live.program.do(f"import {module}")
    live.tree.insmod(lp("bad", text=broken(module, FUNCTIONS[module])))
    live.tree.settle()
    first = FUNCTIONS[module][0]
    call = f"import {module} as broken_module\ntry: broken_module.{first}()\nexcept RuntimeError as e: seen = str(e)\nelse: seen = None"
    live.program.do(call)
    assert live.program.do("seen") == "broken on purpose"
    top = live.tree.path / "proc" / str(live.program.pid)
    assert read(top / "patch_state") == "-1\n"
    for task in (top / "task").iterdir():
        read(task / "comm"), read(task / "stack")
    assert read(live.tree.path / "blockers") == ""
    try:
        live.tree.insmod(lp("lp1", callbacks="pre_patch=lambda obj: 0"))
    except OSError:
        assert module in LOADING
        live.expect("broken on purpose")
    else:
        live.tree.settle()
        assert live.program.do("one()") == "one by lp1"
    for name in live.tree.patches():
        live.tree.set(f"{name}/enabled", "0")
        until(lambda: name not in live.tree.patches(), f"the way back of {name}")
        live.tree.rmmod(name)
    assert live.tree.modules() == []
    live.program.do(f"import {module} as mended\nassert 'broken' not in str(mended.{first}.__code__.co_consts)")


def test_all_of_them_at_once(live, lp):
    live.expect("takes other parameters")
    objects = []
    bodies = ""
    for module, names in FUNCTIONS.items():
        live.program.do(f"import {module}")
        funcs = []
        for name in names:
            new = f"new_{len(bodies)}"
            bodies += RAISES.format(name=new)
            funcs.append(f"Func({name!r}, {new})")
        objects.append(f"Object({module!r}, funcs=[{', '.join(funcs)}])")
    live.tree.insmod(
        lp(
            "bad",
            text=f"from klpfs import Func, Object, Patch\n\n{bodies}patch = Patch(objects=[{', '.join(objects)}])\n",
        )
    )
    live.tree.settle()
    assert live.program.do("__import__('json').loads is not None") is True
    live.tree.set("bad/enabled", "0")
    until(lambda: not live.tree.patches(), "the way back")
    assert live.program.do("__import__('json').loads('[1]')") == [1]
