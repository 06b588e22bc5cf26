"""Processes that join a service late: what they take on, what they refuse, and how that is told."""
import os
import subprocess
import sys
import threading
import zipfile

import pytest

from tests.harness import read, until
from tests.integration.services import NEW, OLD, Shop, Worker, inside, pids, wide, write_ware
from tests.pythons import MINORS, find

pytestmark = pytest.mark.fuse

LATE = "subprocess"


@pytest.fixture
def shop(program, mount, tmp_path):
    made = Shop(program, tmp_path)
    made.tree = mount.service("shop")
    yield made
    if made.program.process.poll() is None:
        made.end_workers()


def says(tree, *words):
    """The log's lines that hold all these words."""
    return [text for _, _, _, text in tree.records() if all(word in text for word in words)]


def lp1(lp, **more):
    return lp("lp1", "price", module="ware", **more)


# ---- fingerprints

@pytest.mark.parametrize("text", ["price", "renamed"])
def test_a_worker_recycled_after_an_upgrade(shop, lp, text):
    """The package on disk is another one: nobody has looked at this code, so it stays as it is, and the tree says
    so."""
    shop.tree.insmod(lp1(lp))
    shop.tree.settle()
    write_ware(shop.path / "lib", "a new price")
    if text == "renamed":
        path = shop.path / "lib" / "ware.py"
        path.write_text("def cost():\n    return 'a new price'\n\n\nprice = (lambda: cost())\n")
    new = shop.start(LATE)
    assert new.first == "a new price" and shop.program.do("ware.price()") == NEW
    assert shop.tree.get("lp1/ware/patched") == "0" and shop.tree.get("lp1/enabled") == "1"
    assert len(says(shop.tree, f"process {new.pid} ", "'ware' is not patched by 'lp1' here")) == 1
    assert shop.start("os.fork").first == NEW, "a child has its parent's code"
    shop.end_workers()
    until(lambda: shop.tree.get("lp1/ware/patched") == "1", "`patched` without the other code")
    shop.tree.set("lp1/enabled", "0")
    until(lambda: not shop.tree.patches(), "the way back")


def test_an_upgrade_in_a_module_that_comes_later(shop, lp):
    """A worker that had not imported the module when the patch was loaded, and finds an upgraded one."""
    late = Worker(shop.path / "late")
    shop.workers.append(late)
    script = shop.path / "late.py"
    script.write_text(
        "import os, sys\nfolder = sys.argv[1]\nlines, out = open(folder + '/in'), open(folder + '/out', 'w')\nprint([os.getpid(), ''], file=out, flush=True)\n"
        "for line in lines:\n    import ware\n    print(repr(eval(line)), file=out, flush=True)\n"
    )
    shop.program.do(
        f"import subprocess, sys; workers._kept.append(subprocess.Popen([sys.executable, {str(script)!r}, {str(late.folder)!r}]))"
    )
    late.meet()
    until(lambda: late.pid in pids(shop.tree), "the worker in the tree")
    shop.tree.insmod(lp1(lp))
    shop.tree.settle()
    write_ware(shop.path / "lib", "a new price")
    assert late.do("ware.price()") == "a new price"
    until(lambda: shop.tree.get("lp1/ware/patched") == "0", "`patched` with the other code")
    assert says(shop.tree, "disagrees about version") and says(shop.tree, f"process {late.pid} ", "'ware'")


def test_two_pythons_in_one_service(shop, lp):
    """Each CPython has bytecode of its own: what joins must have the code of a process that was there."""
    other = next((python for python in map(find, set(MINORS) - {sys.version_info[1]}) if python), None)
    if other is None:
        pytest.skip("one CPython on this machine")
    first = shop.start(LATE, python=other)
    shop.tree.insmod(lp1(lp))
    shop.tree.settle()
    assert says(shop.tree, "processes have different code of price in ware")
    assert shop.start(LATE, python=other).first == shop.start(LATE).first == first.do("ware.price()") == NEW
    assert shop.tree.get("lp1/ware/patched") == "1"


# ---- in the middle of an operation

def held_in(shop, step, make, name="lp1", **more):
    """Bring a patch of price() and hold() to a step of its life and keep it there; a function that lets all go on."""
    gate = shop.path / "gate"
    stop = f"def stop(obj=None):\n    import os, time\n    while not os.path.exists({str(gate)!r}):\n        time.sleep(0.01)\n"
    if step == "init":
        stop += "def init():\n    import klpfs\n    stop()\n    klpfs.enable_patch(patch)\n"
    functions = ["price"]
    if step in ("pending", "way back"):
        functions.append("hold")
        shop.program.do(
            f"import threading; thread = threading.Thread(target=ware.hold, args=({str(gate)!r},)); thread.start()"
        )
        shop.program.do(inside("hold"))
    path = make(name, *functions, module="ware", extra=stop,
                callbacks=f"{step}=stop" if step.startswith(("pre_", "post_")) else "", **more)
    if step == "way back":          # the new hold() waits as well
        path.write_text(
            path.read_text().replace(
                "return 'hold by",
                "import os, time\n    while not os.path.exists(held):\n        time.sleep(0.01)\n    return 'hold by",
            )
        )
    if step in ("way back", "post_unpatch"):
        load_now(shop.tree, path, settle=step == "post_unpatch")
        write = threading.Thread(target=shop.tree.set, args=(f"{name}/enabled", "0"))
    else:
        write = threading.Thread(target=shop.tree.insmod, args=(path,))
    if step == "way back":
        gate.touch()
        shop.tree.settle()
        gate.unlink()
        shop.program.do(f"thread = threading.Thread(target=ware.hold, args=({str(gate)!r},)); thread.start()")
        shop.program.do(inside("hold"))
    write.start()
    if step in ("pending", "way back"):
        write.join()
        assert shop.tree.get(f"{name}/transition") == "1"
    else:
        until(lambda: step in read(shop.tree.path / "blockers"), f"{step} to be running")

    def go_on():
        gate.touch()
        write.join()
        shop.tree.settle()
    return go_on


def load_now(tree, path, settle=True):
    tree.insmod(path)
    if settle:
        tree.settle()


@pytest.mark.parametrize("step, way", [
    ("init", "os.fork"), ("pre_patch", LATE), ("pending", LATE), ("post_patch", "os.fork"), ("way back", LATE),
    ("post_unpatch", LATE),
    *(wide(*case) for case in [("init", LATE), ("pre_patch", "os.fork"), ("pending", "os.fork"), ("post_patch", LATE),
                               ("way back", "os.fork"), ("post_unpatch", "os.fork")])])
def test_a_joiner_in_each_step(shop, lp, step, way):
    """It takes part in what is going on, and nothing waits for it for ever."""
    go_on = held_in(shop, step, lp)
    late = shop.start(way, wait=False)
    if step in ("pending", "way back"):
        late.meet()
        until(lambda: late.pid in pids(shop.tree), "the joiner in the tree")
        assert late.first == (NEW if step == "pending" else OLD) and shop.tree.get("lp1/transition") == "1"
    go_on()
    late.meet()
    assert shop.price() == [OLD if step in ("way back", "post_unpatch") else NEW]
    assert shop.tree.patches() == ([] if step in ("way back", "post_unpatch") else ["lp1"])
    if shop.tree.patches():
        assert shop.tree.get("lp1/ware/patched") == "1"
        shop.tree.set("lp1/enabled", "0")
        until(lambda: not shop.tree.patches(), "the way back")
        assert shop.price() == [OLD]


@pytest.mark.parametrize("reverse", [wide(False), True])
def test_joiners_in_the_middle_of_a_replace(shop, lp, reverse):
    """They keep what is replaced until nobody can reverse any more."""
    load_now(shop.tree, lp("lp0", "price", module="ware"))
    go_on = held_in(shop, "pending", lp, replace=True)
    late = [shop.start(LATE), shop.start("os.fork")]
    assert [each.first for each in late] == [NEW, NEW]
    if reverse:
        shop.tree.set("lp1/enabled", "0")
        assert shop.price() == ["price by lp0"]
    go_on()
    until(lambda: shop.tree.patches() == (["lp0"] if reverse else ["lp1"]), "the outcome")
    assert shop.price() == ["price by lp0" if reverse else NEW]
    assert shop.start(LATE).first == ("price by lp0" if reverse else NEW)


WAITS = """
import os
import time

from klpfs import Func, Object, Patch

if os.path.exists({fails!r}):
    raise OSError(5, "not here")

def price():
    while not os.path.exists({held!r}):
        time.sleep(0.01)
    return "price by lp1"

patch = Patch(objects=[Object("ware", funcs=[Func("price", price)])], replace={replace})
"""


@pytest.mark.parametrize("replace, reverse, fails", [(True, False, False), (True, True, False), (False, True, True),
                                                     wide(False, False, True), wide(False, True, False)])
def test_a_joiner_in_the_middle_of_a_disable(shop, lp, replace, reverse, fails, tmp_path):
    """It takes part, also where the patch is cumulative; one that can't have the patch is no reason to wait."""
    held, flag = tmp_path / "held", tmp_path / "fails"
    held.touch()
    load_now(shop.tree, lp("lp1", text=WAITS.format(held=str(held), fails=str(flag), replace=replace)))
    held.unlink()
    shop.program.do("import threading\nthread = threading.Thread(target=ware.price)\nthread.start()")
    shop.program.do(inside("price"))
    shop.tree.set("lp1/enabled", "0")
    assert shop.tree.get("lp1/transition") == "1"
    if fails:
        flag.touch()
    late = shop.start(LATE)
    assert late.first == OLD and shop.tree.get("lp1/transition") == "1"
    if reverse:
        shop.tree.set("lp1/enabled", "1")
    held.touch()
    shop.tree.settle()
    assert bool(says(shop.tree, "could not be applied here")) == fails
    assert late.do("ware.price()") == (NEW if reverse and not fails else OLD)
    assert shop.program.do("ware.price()") == (NEW if reverse else OLD)


@pytest.mark.parametrize("where, way, pending", [
    ("init", LATE, False), ("pre_patch", LATE, True), ("top level", "os.fork", True),
    *(wide(*case) for case in [("top level", LATE, False), ("pre_patch", LATE, False), ("top level", LATE, True),
                               ("init", LATE, True), ("init", "os.fork", True), ("pre_patch", "os.fork", True)])])
def test_a_joiner_that_fails(shop, lp, where, way, pending):
    """It goes without the patch, is named, and runs; the others keep it."""
    flag = shop.path / "fails"
    fail = f"    import os\n    if os.path.exists({str(flag)!r}):\n        raise RuntimeError('not here')\n"
    extra = {"top level": "if True:\n" + fail,
             "init": "def init():\n    import klpfs\n" + fail + "    klpfs.enable_patch(patch)\n",
             "pre_patch": "def fails(obj):\n" + fail}[where]
    callbacks = "pre_patch=fails" if where == "pre_patch" else ""
    if pending:
        shop.program.do(
            f"import threading; thread = threading.Thread(target=ware.hold, args=({str(shop.path / 'gate')!r},)); thread.start()"
        )
        shop.program.do(inside("hold"))
    shop.tree.insmod(lp("lp1", "price", "hold", module="ware", extra=extra, callbacks=callbacks))
    if not pending:
        shop.tree.settle()
    flag.touch()
    late = shop.start(way)
    (shop.path / "gate").touch()
    shop.tree.settle()
    if way == "os.fork":
        assert shop.price() == [NEW], "it was started before the fork"
        return
    assert late.first == late.do("ware.price()") == OLD and shop.program.do("ware.price()") == NEW
    until(lambda: shop.tree.get("lp1/ware/patched") == "0", "`patched` of a patch that one process goes without")
    assert says(shop.tree, "not here") and says(shop.tree, f"process {late.pid} ", "'lp1'")
    flag.unlink()
    assert shop.start(way).first == NEW
    shop.tree.set("lp1/enabled", "0")
    until(lambda: not shop.tree.patches(), "the way back")
    shop.tree.rmmod("lp1")
    shop.tree.insmod(lp1(lp))
    shop.tree.settle()
    assert shop.price() == [NEW] and shop.tree.get("lp1/ware/patched") == "1", (
        "a patch that is loaded again is tried again"
    )


def test_a_joiner_whose_load_takes_its_time(shop, lp):
    """Its program waits for it."""
    flag = shop.path / "slow"
    extra = f"def init():\n    import klpfs, os, time\n    time.sleep(2.5 * os.path.exists({str(flag)!r}))\n    klpfs.enable_patch(patch)\n"
    load_now(shop.tree, lp1(lp, extra=extra))
    flag.touch()
    assert shop.start(LATE).first == NEW and shop.tree.get("lp1/ware/patched") == "1"


@pytest.mark.wide
@pytest.mark.parametrize("where", ["init", "pre_patch"])
def test_a_joiner_whose_load_hangs(shop, lp, where):
    """After ten seconds its program goes on, without the patch; what hung is stopped, and the tree tells the truth."""
    flag = shop.path / "hangs"
    extra = f"def stop(obj=None):\n    import os, time\n    while os.path.exists({str(flag)!r}):\n        time.sleep(0.01)\n"
    extra += "def init():\n    import klpfs\n    stop()\n    klpfs.enable_patch(patch)\n" if where == "init" else ""
    text = lp("lp1", "price", module="ware", extra=extra).read_text()
    if where == "pre_patch":        # of an object that is there from the beginning
        text = text.replace("objects=[", "objects=[Object('os', callbacks=Callbacks(pre_patch=stop)), ")
    load_now(shop.tree, lp("lp1", text=text))
    flag.touch()
    late = shop.start(LATE)
    assert late.first == late.do("ware.price()") == OLD
    until(lambda: says(shop.tree, f"process {late.pid} ", "the program goes on"), "the line that says so")
    until(lambda: says(shop.tree, f"process {late.pid} ", "'lp1' could not be applied here"),
          "what hangs to be stopped")
    assert shop.tree.get("lp1/ware/patched") == "0"
    flag.unlink()
    assert shop.start(LATE).first == NEW and late.do("ware.price()") == OLD
    shop.tree.set("lp1/enabled", "0")
    until(lambda: not shop.tree.patches(), "the way back")


# ---- children that are other programs

def test_other_programs(shop, lp):
    """Programs that are no Python, and Pythons without the module: no hindrance; the latter are in the service."""
    shop.program.do("import subprocess, sys")
    shop.program.do("shell = subprocess.Popen(['sleep', '1000'])")
    shop.program.do("other = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(1000)'])")
    other = shop.program.do("other.pid")
    until(lambda: other in pids(shop.tree), "the other program in the tree")
    load_now(shop.tree, lp1(lp))
    load_now(shop.tree, lp("lp2", "one"))
    assert (shop.tree.get("lp1/ware/patched"), shop.tree.get("lp2/vmlinux/patched")) == ("1", "1")
    assert shop.program.do("(one(), ware.price())") == ("one by lp2", NEW)
    assert shop.program.do("shell.pid") not in pids(shop.tree)
    assert "time.sleep" in read(shop.tree.path / f"proc/{other}/cmdline")
    shop.program.do("[each.kill() or each.wait() for each in (shell, other)]")


RUNS = {    # how a Python is started, what more Popen gets, and whether it is in the service
    "-I": ("[sys.executable, '-I', '-c', code]", "", False), "-E": ("[sys.executable, '-E', '-c', code]", "", False),
    "-S": ("[sys.executable, '-S', '-c', code]", "", False),
    "no environment": ("[sys.executable, '-c', code]", ", env={}", False),
    "-s": ("[sys.executable, '-s', '-c', code]", "", True), "-c": ("[sys.executable, '-c', code]", "", True),
    "-m": ("[sys.executable, '-m', 'sleeper']", ", cwd=folder", True),
    "zipapp": ("[sys.executable, folder + '/app.pyz']", "", True),
    "stdin": ("['sh', '-c', 'exec %s < %s/sleeper.py' % (sys.executable, folder)]", "", True),
    "venv": ("[folder + '/venv/bin/python', '-c', code]", "", True)}


def test_ways_to_run_python(shop):
    """Who starts Python isolated, or with an environment that it has made anew, is not in the service: nothing in the
    child could tell that it should be."""
    code = "import sys, time; print('there', 'klpfs' in sys.modules, flush=True); time.sleep(1000)"
    (shop.path / "sleeper.py").write_text(code)
    with zipfile.ZipFile(shop.path / "app.pyz", "w") as file:
        file.writestr("__main__.py", code)
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", shop.path / "venv"], check=True)
    shop.program.do(f"import subprocess, sys; folder, code, children = {str(shop.path)!r}, {code!r}, []")
    for command, more, _ in RUNS.values():
        shop.program.do(f"children.append(subprocess.Popen({command}, stdout=subprocess.PIPE, text=True{more}))")
    said = shop.program.do("[child.stdout.readline() for child in children]")
    assert dict(zip(RUNS, said)) == {how: f"there {inside}\n" for how, (_, _, inside) in RUNS.items()}
    children = dict(zip(RUNS, shop.program.do("[child.pid for child in children]")))
    until(lambda: {how for how, pid in children.items() if pid in pids(shop.tree)}
          == {how for how, run in RUNS.items() if run[2]}, "those in the service")
    shop.program.do("[child.kill() or child.wait() or child.stdout.close() for child in children]")
    until(lambda: pids(shop.tree) == {shop.program.pid}, "the children to go from the tree")


def test_a_fork_behind_pythons_back(shop, lp):
    """C's own fork() calls no hook: the child registers when it imports something, or starts the agent. (It can't wait
    for the end of other threads' imports, as a child of any such fork: here they are over.)"""
    load_now(shop.tree, lp("lp0", "one"))
    folder = Worker(shop.path / "c")
    shop.workers.append(folder)
    (shop.path / "lib" / "new_module.py").write_text("")
    shop.program.do(
        f"if not workers.fork_in_c():\n    import new_module\n    workers.serve({str(folder.folder)!r})\n    __import__('os')._exit(0)"
    )
    folder.meet()
    until(lambda: folder.pid in pids(shop.tree), "the child in the tree")
    load_now(shop.tree, lp1(lp))
    assert shop.price() == [NEW]
