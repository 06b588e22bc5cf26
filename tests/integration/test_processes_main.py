"""The main program of a process that joins late: --keep, exec, workers of the same script.

Patched between its statements.
"""
import os
import zipfile

import pytest

from tests.harness import until
from tests.integration.services import HERE, inside, wide

pytestmark = pytest.mark.fuse

MAIN = '''import os
import sys
import time
sys.path.append({root!r})
from tests.integration import program as rest


def price():
    return {price!r}


FIRST = price()


def slow(held):
    while not os.path.exists(held):
        time.sleep(0.01)
    return price(), total()


def total():
    return price() + "!"


SECOND = total(), price()


def again():
    os.execv(sys.executable, sys.orig_argv if hasattr(sys, "orig_argv") else [sys.executable] + sys.argv)


if __name__ == "__main__":
    print("ready", flush=True)
    rest.serve(sys.stdin, sys.stdout, globals())
'''
OLD, NEW = ("an old price", ("an old price!", "an old price")), ("price by lp1", ("total by lp1", "price by lp1"))


def write_main(folder, price="an old price"):
    """The program as a script, a folder, an archive and a package; what each is started with."""
    text = MAIN.format(price=price, root=str(HERE.parents[1]))
    (folder / "app").mkdir(exist_ok=True)
    for name in "script.py", "app/__main__.py", "app/__init__.py":
        (folder / name).write_text(text if "init" not in name else "")
    with zipfile.ZipFile(folder / "app.pyz", "w") as file:
        file.writestr("__main__.py", text)
    return {"script": ("script.py",), "folder": ("app",), "archive": ("app.pyz",), "-m": ("-m", "app"),
            "-m module": ("-m", "script")}


@pytest.fixture
def shop(program, mount, tmp_path):
    """shop(kind): the program, started with --keep."""
    def start(kind, **more):
        first, *rest = kinds[kind]
        first = first if first == "-m" else str(tmp_path / first)
        return program("shop", program=first, arguments=rest, keep=True, environ={"PYTHONPATH": str(tmp_path)}, **more)
    kinds = write_main(tmp_path)
    start.folder = tmp_path
    return start


def load(mount, lp, *functions):
    tree = mount.service("shop")
    tree.insmod(lp("lp1", *(functions or ("price", "total"))))
    tree.settle()
    return tree


def end(there, mount):
    there.process.stdin.close()
    there.process.wait(30)
    until(lambda: "shop" not in os.listdir(mount.root), "the service to go")


def seen(there):
    return there.do("(FIRST, SECOND)")


@pytest.mark.parametrize("kind", ["script", "-m", wide("folder"), wide("archive"), wide("-m module")])
def test_kept_patches_of_the_main_program(shop, mount, lp, kind):
    """Its functions are patched when the statement that follows their definitions runs."""
    there = shop(kind)
    load(mount, lp)
    assert seen(there) == OLD and there.do("(price(), SECOND)") == ("price by lp1", OLD[1])
    end(there, mount)
    there = shop(kind)
    assert there.do("(price(), total())") == ("price by lp1", "total by lp1")
    assert there.do("SECOND") == NEW[1], "all its functions were there"
    tree = mount.service("shop")
    assert tree.get("lp1/vmlinux/patched") == "1" and tree.settled()
    assert not [text for priority, _, _, text in tree.records() if priority <= 4]
    tree.set("lp1/enabled", "0")
    until(lambda: not tree.patches(), "the way back")
    assert there.do("(price(), total())") == ("an old price", "an old price!")


def test_an_upgraded_main_program(shop, mount, lp):
    """Other code than the patch was made for: it stays as it is, and is named."""
    there = shop("script")
    load(mount, lp)
    end(there, mount)
    write_main(shop.folder, "a new price")
    there = shop("script")
    tree = mount.service("shop")
    assert there.do("(price(), total())") == ("a new price", "a new price!")
    until(lambda: tree.get("lp1/vmlinux/patched") == "0", "`patched` 0")
    assert [text for _, _, _, text in tree.records() if f"process {there.pid} " in text and "'vmlinux'" in text]


def test_a_program_that_executes_itself_anew(shop, mount, lp):
    """As servers do for a new release (exec): it comes back patched."""
    there = shop("script")
    tree = load(mount, lp)
    there.send("again()")
    assert there.line() == "ready" and seen(there)[1] == NEW[1]
    assert tree.get("lp1/vmlinux/patched") == "1"
    until(lambda: os.listdir(tree.path / "proc").count(str(there.pid)) == 1, "the process in the tree")


def test_workers_of_the_same_script_and_others(shop, mount, lp):
    """The object is for those whose main program it is: a second process of it is patched, another program is not."""
    there = shop("script")
    tree = load(mount, lp)
    there.do("import subprocess")
    there.do(
        "same = subprocess.Popen([sys.executable, sys.argv[0]], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1)"
    )
    assert there.do("same.stdout.readline()") == "ready\n"
    assert (
        there.do("same.stdin.write('(price(), SECOND)\\n') and same.stdout.readline()")
        == f"= {('price by lp1', NEW[1])!r}\n"
    )
    other = "def price(): return 'my own'\nprint(price(), flush=True)\n__import__('sys').stdin.read()"
    there.do(
        f"other = subprocess.Popen([sys.executable, '-c', {other!r}], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)"
    )
    assert there.do("other.stdout.readline()") == "my own\n"
    until(lambda: len([name for name in os.listdir(tree.path / "proc") if name.isdigit()]) == 3,
          "all three in the tree")
    assert tree.get("lp1/vmlinux/patched") == "1"
    there.do("[each.stdin.close() or each.wait() or each.stdout.close() for each in (same, other)]")


@pytest.mark.parametrize("reverse", [wide(False), True])
def test_a_process_that_comes_in_the_middle_of_a_transition(shop, mount, lp, tmp_path, reverse):
    """Nothing mixes, and the outcome is everybody's."""
    first, gate = shop("script"), tmp_path / "gate"
    first.do(
        f"import threading; values = []; thread = threading.Thread(target=lambda: values.append(slow({str(gate)!r}))); thread.start()"
    )
    first.do(inside("slow"))
    tree = mount.service("shop")
    path = lp("lp1", "price", "total", "slow")
    path.write_text(path.read_text().replace("def slow()", "def slow(held)"))
    tree.insmod(path)
    assert tree.get("lp1/transition") == "1"
    second = shop("script")
    assert first.do("(total(), price())") == NEW[1] and tree.get("lp1/vmlinux/patched") == "0"
    assert second.do("(total(), price())") == second.do("SECOND") == OLD[1], (
        "its main program waits for the outcome, as the tree says"
    )
    assert str(second.pid) in os.listdir(tree.path / "proc") and tree.get("lp1/transition") == "1"
    if reverse:
        tree.set("lp1/enabled", "0")
    gate.touch()
    first.do("thread.join()")
    until(lambda: tree.patches() == ([] if reverse else ["lp1"]) and tree.settled(), "the outcome")
    assert first.do("values") == [("an old price", "an old price!")]
    assert first.do("(total(), price())") == second.do("(total(), price())") == (OLD[1] if reverse else NEW[1])
