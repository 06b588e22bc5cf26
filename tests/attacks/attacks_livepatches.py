"""Attacks by livepatches: values that klpfs can't send, exceptions that it doesn't expect, files that are no patch (A1,
A4, A5, B2, B4, B5, C4, C8, C9)."""
import re
import signal
import time

from tests import harness
from tests.attacks.table import add, attack
from tests.attacks.timing import BOUND, PATIENCE, Operation
from tests.attacks.world import kill_tree
from tests.harness import until, write

HEAD = "from klpfs import *\nimport os\ndef one(): return 'one by lp1'\n"
PATCH = "patch = Patch(objects=[Object(None, funcs=[Func('one', one)])])\n"


def loads(world, path, errnos, parameters=""):
    """insmod is refused with one of `errnos`; "ok": or the patch is in force, and goes again."""
    found = world.insmod(path, parameters=parameters)
    if found == "ok None" and "ok" in errnos:
        world.clear()
        return found
    world.expect(found in errnos, f"insmod: {found} instead of {' or '.join(errnos)}")
    tree = world.tree()
    world.expect((tree.patches(), tree.modules()) == ([], []), f"left: {tree.patches()} {tree.modules()}")
    found = world.timed("the program", world.ask, "shop", "one()")
    world.expect(found == "ok 'one original'", f"a refused patch runs: {found}")
    return "refused"


def livepatch(name, item, holds, text, errnos=("EINVAL",), parameters="", **more):
    """A row of the table: insmod of `text` answers with one of `errnos`, in time."""
    def do(world):
        loads(world, world.patch("lp1", text=text), errnos, parameters)
    add(name, item, holds, do, **more)


# ---- an errno that is none

for name, value in (("600", "600"), ("two_to_40", "2 ** 40"), ("minus_5", "-5"), ("zero", "0"), ("10_to_5000", "10 ** 5000"),
                    ("text", "'x'"), ("none", "None"), ("512", "512"), ("true", "True")):
    holds = "an errno that is none, from whatever code of a patch, is EINVAL for the writer"
    livepatch(f"file_raises_{name}", "A1", holds, f"raise OSError({value}, 'no')\n", ("EINVAL", "EPERM"),
              quick=name == "600")
    livepatch(f"init_raises_{name}", "A1", holds, f"def init(): raise OSError({value}, 'no')\n", ("EINVAL", "EPERM"))
    livepatch(f"pre_patch_raises_{name}", "A1", holds, HEAD + f"def pre(o): raise OSError({value}, 'no')\n"
              "patch = Patch(objects=[Object(None, funcs=[Func('one', one)], callbacks=Callbacks(pre))])\n",
              ("EINVAL", "EPERM"))
for name, value in (("600", "-600"), ("two_to_40", "-2 ** 40"), ("10_to_5000", "-10 ** 5000"), ("512", "-512")):
    livepatch(f"init_returns_{name}", "A1", "what init() returns is an errno, or EINVAL", f"def init(): return {value}\n",
              quick=name == "600")
    livepatch(f"pre_patch_returns_{name}", "A1", "what pre_patch returns is an errno, or EINVAL",
              HEAD + f"def pre(o): return {value}\n"
              "patch = Patch(objects=[Object(None, funcs=[Func('one', one)], callbacks=Callbacks(pre))])\n")
livepatch("init_returns_text", "A1", "what init() returns is a number, or EINVAL", "def init(): return 'x'\n", ("EINVAL", "ok"))


# ---- values that klpfs can't send

livepatch("parameter_of_5000_digits", "B4", "a parameter's value that is too long is EINVAL", HEAD + PATCH
          + "x = module_param('x', int, 1)\n", ("EINVAL", "E2BIG", "ERANGE"), "x=0x" + "f" * 4300, quick=True)
livepatch("default_of_5000_digits", "B4", "a parameter's default that is too long is EINVAL, or shown", HEAD + PATCH
          + "x = module_param('x', int, 1 << 20000)\n", ("EINVAL", "ok"))
livepatch("mode_is_text", "B4", "a parameter's mode that is no number is EINVAL", HEAD + PATCH
          + "x = module_param('x', int, 1, mode='0644')\n", quick=True)
livepatch("mode_is_huge", "B4", "a parameter's mode that is none is EINVAL", HEAD + PATCH
          + "x = module_param('x', int, 1, mode=10 ** 5000)\n", ("EINVAL", "ok"))
livepatch("klp_error_with_numbers", "B4", "a KlpError with anything for a text refuses the load", "from klpfs import *\n"
          "from klpfs.engine.error import KlpError\ndef init(): raise KlpError(22, 5)\n")
livepatch("klp_error_in_pre_patch", "B4", "a KlpError with anything for a text refuses the load", HEAD
          + "from klpfs.engine.error import KlpError\ndef pre(o): raise KlpError(5, 5)\n"
          "patch = Patch(objects=[Object(None, funcs=[Func('one', one)], callbacks=Callbacks(pre))])\n", ("EIO", "EINVAL"))
livepatch("klp_error_with_nothing", "B4", "a KlpError with nothing in it refuses the load", "from klpfs import *\n"
          "from klpfs.engine.error import KlpError\ndef init(): raise KlpError(None, None)\n")
STR = "class S(str):\n    def __str__(self): 1/0\n    def __hash__(self): return str.__hash__(self)\n"
for name, text in (
        ("object_name", "Object(S('__main__'), funcs=[Func('one', one)])"),
        ("module_name", "Object(S('json'), funcs=[])"),
        ("func_name", "Object(None, funcs=[Func(S('one'), one)])"),
        ("fingerprint", "Object(None, funcs=[Func('one', one, fingerprint=S('0'))])")):
    livepatch(f"str_subclass_{name}", "B4", "a name that is a str's subclass is taken as a str, or EINVAL",
              HEAD + STR + f"patch = Patch(objects=[{text}])\n", ("EINVAL", "ENOEXEC", "ok"))
livepatch("enum_name", "B4", "a name that is a str enum is taken as a str, or EINVAL", HEAD + "import enum\n"
          "class E(str, enum.Enum):\n    A = 'json'\npatch = Patch(objects=[Object(E.A, funcs=[]), "
          "Object(None, funcs=[Func('one', one)])])\n", ("EINVAL", "ok"))
livepatch("parameter_with_own_str", "B4", "a parameter's value with a __str__ of its own holds up nobody",
          HEAD + PATCH + "import time\nclass V(int):\n    def __str__(self): time.sleep(9); return '1'\n"
          "    __repr__ = __str__\nx = module_param('x', int, V(1))\n", ("EINVAL", "ok"))
livepatch("parameter_whose_str_raises", "B4", "a parameter's value whose __str__ raises is shown or refused",
          HEAD + PATCH + "class V(int):\n    def __str__(self): raise MemoryError\n    __repr__ = __str__\n"
          "x = module_param('x', int, V(1))\n", ("EINVAL", "ok"))
livepatch("sympos_is_huge", "B4", "a position that is none is EINVAL", HEAD
          + "patch = Patch(objects=[Object(None, funcs=[Func('one', one, 10 ** 5000)])])\n")
livepatch("names_with_surrogates", "B4", "a name that no file can hold is EINVAL", HEAD
          + "patch = Patch(objects=[Object('\\ud800', funcs=[Func('\\udfff', one)])])\n", ("EINVAL", "ENOENT"))
livepatch("parameter_name_odd", "B4", "a parameter's name that no file can have is EINVAL", HEAD + PATCH
          + "x = module_param('a/../b', int, 1)\n", ("EINVAL", "ok"))
livepatch("name_of_very_many", "B4", "a name of a megabyte is EINVAL", HEAD
          + "patch = Patch(objects=[Object('x' * 1000000, funcs=[Func('one', one)])])\n", ("EINVAL", "ENAMETOOLONG", "E2BIG"))


@attack("B4")
def parameter_written_too_long(world):
    """a value of 4,300 digits written to a parameter's file is refused, and the agent lives"""
    path = world.patch("lp1", extra="x = module_param('x', int, 1, 0o644)\n")
    world.expect(world.insmod(path) == "ok None", "insmod")
    file = world.tree().path / "sys/module/lp1/parameters/x"
    found = world.timed("echo > x", write, file, "0x" + "f" * 4000)
    world.expect(found.startswith("ok") or re.fullmatch("E[A-Z0-9]+", found), found)
    found = world.timed("cat x", harness.read, file)
    world.expect(found.startswith("ok"), f"cat x: {found}")
    world.clear()


# ---- exceptions

NO_LINE = "f.__code__ = f.__code__.replace(co_%s=b'\\xff' * 20)\n"
for name, body in (("file", "f()\n"), ("init", "def init(): f()\n"),
                   ("pre_patch", "patch = Patch(objects=[Object(None, funcs=[Func('one', one)], "
                                 "callbacks=Callbacks(lambda o: f()))])\n")):
    livepatch(f"no_line_{name}", "A5", "an exception in code that has no line refuses the load, and the agent lives",
              HEAD + "import sys\ndef f(): raise ValueError\nif sys.version_info >= (3, 10): "
              + NO_LINE % "linetable" + "else: " + NO_LINE % "lnotab" + body, ("EINVAL",), quick=name == "file")
for name, error in (("memory_error", "MemoryError"), ("recursion_error", "RecursionError"), ("exit", "SystemExit(3)"),
                    ("interrupt", "KeyboardInterrupt"), ("generator_exit", "GeneratorExit"),
                    ("own", "type('E', (BaseException,), {'__str__': lambda s: 1/0, '__repr__': lambda s: 1/0})")):
    livepatch(f"init_raises_{name}", "A5", "any exception of a patch's refuses the load, and the agent lives",
              f"def init(): raise {error}\n", ("EINVAL", "ENOMEM", "EINTR"))
    livepatch(f"file_raises_{name}", "A5", "any exception of a patch's refuses the load, and the agent lives",
              f"raise {error}\n", ("EINVAL", "ENOMEM", "EINTR"))


@attack("A5")
def memory_limit(world):
    """a load in a program without memory is refused, and the next, with memory, works"""
    big = world.patch("big", text=HEAD + PATCH + "# " + "x" * (24 << 20) + "\n")
    import resource
    pid = world.shop.pid
    until(lambda: world.ask("shop", "__import__('klpfs.agent.api').agent.api.agent().prepared"), "the program")
    with open(f"/proc/{pid}/statm") as statm:
        size = int(statm.read().split()[0]) * resource.getpagesize()
    before = resource.prlimit(pid, resource.RLIMIT_AS)
    for more in (0, 1 << 20, 16 << 20, 30 << 20, 60 << 20):
        resource.prlimit(pid, resource.RLIMIT_AS, (size + more, before[1]))
        try:
            world.whole(big, bound=BOUND * 3)
        finally:
            resource.prlimit(pid, resource.RLIMIT_AS, before)
        world.clear()
        world.cycle()
    world.before.pop("shop", None)      # a file of 24 MB was loaded
    world.before.pop("daemon", None)


@attack("A5")
def memory_limit_of_the_daemon(world):
    """a daemon without memory refuses a load, and takes the next"""
    import resource
    big = world.patch("big", text=HEAD + PATCH + "# " + "x" * (24 << 20) + "\n")
    pid = world.mount.process.pid
    with open(f"/proc/{pid}/statm") as statm:
        size = int(statm.read().split()[0]) * resource.getpagesize()
    before = resource.prlimit(pid, resource.RLIMIT_AS)
    for more in (0, 1 << 20, 16 << 20, 30 << 20, 60 << 20):
        resource.prlimit(pid, resource.RLIMIT_AS, (size + more, before[1]))
        try:
            world.whole(big, bound=BOUND * 3)
        finally:
            resource.prlimit(pid, resource.RLIMIT_AS, before)
        world.clear()
        world.cycle()
    world.before.pop("shop", None)
    world.before.pop("daemon", None)


# ---- forks

@attack("A4", quick=True)
def fork_at_load(world):
    """a module that forks while it is loaded is refused or taken; the agent takes the next, and the program forks"""
    world.allow("forks? while", "is left out", "EDEADLK", "Resource deadlock", "multi-threaded")
    bad = world.patch("lp1", text="import os\nfor i in range(200):\n    p = os.fork()\n    if not p: os._exit(0)\n"
                      "    os.waitpid(p, 0)\n")
    for number in range(4):
        found = world.insmod(bad, bound=BOUND * 4)      # 200 forks
        world.expect(found == "ok None" or re.fullmatch("E[A-Z0-9]+", found), f"insmod {number}: {found}")
        world.clear()
        world.cycle()
        forks(world)


def forks(world):
    found = world.timed("the program forks", world.ask, "shop", "os.waitpid(os.fork() or os._exit(0), 0)[1]")
    world.expect(found == "ok 0", f"the program's fork: {found}")


@attack("A4")
def fork_in_callbacks(world):
    """callbacks and init() that fork, and wait for the child, refuse the load or don't; the agent and forks live on"""
    fork = "(lambda p: p and os.waitpid(p, 0) and None)(os.fork() or os._exit(0))"
    for name in "pre_patch", "post_patch", "pre_unpatch", "post_unpatch":
        path = world.patch("lp1", extra="import os\n", callbacks=f"{name}=lambda o: {fork}")
        world.whole(path, "one", bound=BOUND + PATIENCE)
        world.clear()
        forks(world)
    world.insmod(world.patch("lp1", text=f"import os\ndef init():\n    for i in range(50): {fork}\n"), bound=BOUND + PATIENCE)
    world.clear()
    forks(world)


@attack("B5")
def fork_and_return_in_a_callback(world):
    """a child that a callback forks, and that returns out of the callback, ends or is a process of the service: the
    next load works"""
    path = world.patch("lp1", extra="import os\n", callbacks="post_patch=lambda o: os.fork() and None")
    world.insmod(path, bound=BOUND + PATIENCE)
    time.sleep(0.5)
    try:
        world.clear()
        world.cycle()
    finally:
        for child in world_children(world):
            kill_tree(child)


def world_children(world):
    from tests.attacks.world import children
    return children(world.shop.pid)


# ---- what is no patch

@attack("C4")
def empty_file(world):
    """an empty file loads, or is refused for what it is: never ENOENT"""
    world.patch("lp1", text="")
    found = world.insmod(world.folder / "lp1.py")
    world.expect(found in ("ok None", "ENOEXEC", "EINVAL"), f"insmod of an empty file: {found}")
    world.clear()


@attack("C8")
def blank_in_a_name(world):
    """a livepatch whose name has white space or a comma is refused, EINVAL, with one line that has its name"""
    for stem in "x y", " x", "x\ty", "x\xa0y", "x\u2028y", "x,y":
        path, last = world.patch(stem), world.newest()
        found = world.timed(f"insmod of {stem!r}", write, world.tree().path / "insmod", f"'{path}'")
        world.expect(found == "EINVAL", f"insmod of {stem!r}: {found}")
        lines = world.lines_since(last)
        world.expect(len(lines) == 1 and "no name for a module" in lines[0], f"of {stem!r} the log says {lines}")
        world.expect((world.tree().patches(), world.tree().modules()) == ([], []), f"{stem!r} is loaded")
    world.expect(world.insmod(world.patch("x-y")) == "ok None", "insmod of x-y")
    world.expect(world.tree().modules() == ["x_y"], f"x-y is {world.tree().modules()}")
    world.tree().settle()
    world.clear()


@attack("C9", quick=True)
def journal_removed(world):
    """a livepatch that removes the journal hangs no writer, and the next load works"""
    world.allow("journal")
    for where in ("", "def init(): "):
        body = f"os.unlink({str(world.runtime / 'shop' / 'journal')!r})"
        path = world.patch("lp1", text=f"import os\n{where}{body}\n")
        world.whole(path, bound=BOUND + PATIENCE)
        world.whole(world.patch("lp2", "two"), "two", bound=BOUND + PATIENCE)
        world.clear()
        world.cycle()


@attack("A5")
def interrupted_writer(world):
    """a writer of insmod that is interrupted is answered at once, wherever the load is"""
    loops = {"file": "while True: pass\n", "init": "def init():\n    while True: pass\n",
             "sleeps": "import time\nwhile True: time.sleep(.01)\n",
             "catches": "import time\nwhile True:\n    try:\n        while True: time.sleep(.01)\n    except Exception: pass\n"}
    for name, text in loops.items():
        operation = Operation(world.tree().insmod, world.patch("lp1", text=text))
        time.sleep(0.3)
        operation.kill(signal.SIGUSR1)
        found = world.over(f"{name}: insmod, interrupted", operation, BOUND + 0.3)
        world.expect(found == "EINTR", f"{name}: {found}")
        until(lambda: not world.tree().modules(), "the load to be undone")
        world.cycle()
