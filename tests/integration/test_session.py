"""A session: programs patched through the tree, taken back, replaced, side by side, with plain file I/O and the
shell."""
import errno
import os
import re
import subprocess
import sys

import pytest

from tests.harness import fails, read, until, write

pytestmark = pytest.mark.fuse


def test_insmod_patches_and_writing_0_takes_it_back(live, lp):
    """Load, transition, run, back: each step's effect is there as soon as the transition reads 0."""
    live.tree.insmod(lp("lp1"))
    live.tree.settle()
    assert live.program.do("pair()") == ("one by lp1", "two original")
    assert (live.tree.get("lp1/enabled"), live.tree.get("lp1/vmlinux/patched")) == ("1", "1")
    live.tree.set("lp1/enabled", "0")
    until(lambda: not live.tree.patches(), "the way back")
    assert live.program.do("pair()") == ("one original", "two original")
    assert live.tree.modules() == ["lp1"]
    live.tree.rmmod("lp1")
    assert live.tree.modules() == []


def test_what_klpfs_borrows_of_a_process_it_gives_back(live, lp):
    """Garbage collection, the switch interval, the size of new threads' stacks: as they were, patched and unpatched."""
    borrowed = "__import__('gc').isenabled(), __import__('sys').getswitchinterval(), __import__('_thread').stack_size()"
    before = True, 0.005, 0                 # as a Python begins
    for _ in range(2):
        live.tree.insmod(lp("lp1"))
        live.tree.settle()
        until(lambda: live.program.do(borrowed) == before, f"patched: {before}")
        live.tree.set("lp1/enabled", "0")
        until(lambda: not live.tree.patches(), "the way back")
        until(lambda: live.program.do(borrowed) == before, f"unpatched: {before}")
        live.tree.rmmod("lp1")


def test_a_shell_is_enough(live, lp):
    """echo, cat and find, as docs/DESIGN.md#10 shows them."""
    live.tree.insmod(lp("lp1"))
    live.tree.settle()
    script = f"cd {live.tree.livepatch} && cat lp1/enabled lp1/transition && find . -name 'one,1' -type d && echo 0 > lp1/enabled"
    assert subprocess.run(["sh", "-ec", script], capture_output=True, text=True).stdout == "1\n0\n./lp1/vmlinux/one,1\n"


def test_a_task_inside_a_patched_function_blocks_and_is_named(live, lp):
    """Nobody else waits for it, it runs old code to its end, and the blockers file says who, where."""
    live.program.do("held = Held('sitter')")
    live.tree.insmod(lp("lp1", "hold", "one"))
    until(lambda: "sitter" in read(live.tree.path / "blockers"), "a blocker with a name")
    line = read(live.tree.path / "blockers")
    assert re.search(r"program\.py:\d+", line) and str(live.program.pid) in line and "hold" in line
    assert live.tree.get("lp1/transition") == "1"
    assert live.program.do("held.let_go()") == ("one original", "two original"), (
        "a dirty stack must stay old to its bottom"
    )
    live.tree.settle()
    assert live.program.do("one()") == "one by lp1"
    assert read(live.tree.path / "blockers") == ""


def test_a_pending_patch_can_be_reversed_at_once(live, lp):
    live.program.do("held = Held()")
    live.tree.insmod(lp("lp1", "hold", "one"))
    assert live.tree.get("lp1/transition") == "1"
    live.tree.set("lp1/enabled", "0")
    until(lambda: not live.tree.patches(), "the reversal")
    assert live.program.do("held.let_go()") == ("one original", "two original")
    assert "livepatch: 'lp1': reversing transition from patching to unpatching" in live.tree.lines()


def test_a_transition_can_be_forced(live, lp):
    live.program.do("held = Held()")
    live.tree.insmod(lp("lp1", "hold", "one"))
    assert fails(errno.EINVAL, live.tree.set, "lp1/force", "x")
    live.expect("forcing remaining tasks")
    live.tree.set("lp1/force", "1")
    live.tree.settle()
    assert live.program.do("held.let_go()") == ("one by lp1", "two original"), "what was forced may mix"
    live.tree.set("lp1/enabled", "0")
    until(lambda: not live.tree.patches(), "the way back")
    live.tree.rmmod("lp1")


HOLDING = """from klpfs import Func, Object, Patch

def hold(held):
    held.inside.set()
    held.go.wait()
    return one()

def one():
    return "one by lp1"

patch = Patch(objects=[Object(None, funcs=[Func("hold", hold), Func("one", one)])])
"""


def test_a_patch_forced_out_while_its_code_runs_stays_loaded(live, lp):
    """Its code may run still: its module can never go, and its use count says so."""
    live.tree.insmod(lp("lp1", text=HOLDING))
    live.program.do("held = Held()")
    live.tree.set("lp1/enabled", "0")
    assert live.tree.get("lp1/transition") == "1"
    live.expect("forcing remaining tasks", "in use")
    live.tree.set("lp1/force", "1")
    until(lambda: not live.tree.patches(), "the way back")
    assert fails(errno.EBUSY, live.tree.rmmod, "lp1")
    assert read(live.tree.path / "sys/module/lp1/refcnt") == "1\n"
    assert live.program.do("held.let_go()") == "one original"


def test_a_cumulative_patch_replaces_all_others(live, lp):
    live.tree.insmod(lp("lp1"))
    live.tree.settle()
    live.tree.insmod(lp("lp2", "two"))
    live.tree.settle()
    live.tree.insmod(lp("lp3", "two", replace=True))
    live.tree.settle()
    assert live.program.do("pair()") == ("one original", "two by lp3") and live.tree.patches() == ["lp3"]
    live.tree.rmmod("lp1")
    live.tree.rmmod("lp2")
    live.tree.set("lp3/enabled", "0")
    until(lambda: not live.tree.patches(), "the way back")
    assert live.program.do("pair()") == ("one original", "two original")


def test_sympos_chooses_among_definitions_of_one_name(live, lp, tmp_path):
    text = "from klpfs import Func, Object, Patch\ndef name_show():\n    return 'by lp1'\npatch = Patch(objects=[Object(None, funcs=[Func('name_show', name_show, %d)])])\n"
    live.expect("unresolvable ambiguity", "symbol position", "failed to")
    assert fails(errno.EINVAL, live.tree.insmod, lp("lp1", text=text % 0))
    assert "livepatch: unresolvable ambiguity for symbol 'name_show' in object '(null)'" in live.tree.lines()
    assert fails(errno.EINVAL, live.tree.insmod, lp("lp1", text=text % 3))
    assert "livepatch: symbol position 3 for symbol 'name_show' in object 'vmlinux' not found" in live.tree.lines()
    live.tree.insmod(lp("lp1", text=text % 2))
    live.tree.settle()
    assert live.program.do("(first_name_show(), name_show())") == ("first", "by lp1")
    assert (
        os.listdir(live.tree.livepatch / "lp1/vmlinux") and (live.tree.livepatch / "lp1/vmlinux/name_show,2").is_dir()
    )


def test_a_module_that_comes_later_is_patched_before_its_importer_goes_on(live, lp, tmp_path):
    (tmp_path / "later.py").write_text("def f():\n    return 'original'\n")
    live.tree.insmod(lp("lp1", "f", module="later"))
    live.tree.settle()
    assert live.tree.get("lp1/later/patched") == "0"
    live.program.do(f"sys.path.insert(0, {str(tmp_path)!r})")
    assert live.program.do("__import__('later').f()") == "f by lp1"
    assert live.tree.get("lp1/later/patched") == "1"


def test_parameters_are_set_at_insmod_and_read_and_written(live, lp):
    live.tree.insmod(lp("lp1", extra="level = module_param('level', int, 3)\ncallback = None\n"), "level=7")
    path = live.tree.path / "sys/module/lp1/parameters/level"
    assert read(path) == "7\n"
    write(path, "9\n")
    assert read(path) == "9\n"
    assert fails(errno.EINVAL, write, path, "x") and read(path) == "9\n"
    live.expect("level")


def test_kmsg_is_in_the_kernels_format_and_takes_lines(live, lp):
    live.tree.lines()
    write(live.tree.path / "dev/kmsg", "<5>hello from the test\n")
    priority, _, when, text = live.tree.records()[-1]
    assert (priority, text) == (5, "hello from the test") and when > 0


def test_several_services_side_by_side(program, mount, lp):
    """A patch of one is nobody else's."""
    first, second = program("first"), program("second")
    trees = mount.service("first"), mount.service("second")
    trees[0].insmod(lp("lp1"))
    trees[0].settle()
    assert (first.do("one()"), second.do("one()")) == ("one by lp1", "one original")
    assert (trees[0].patches(), trees[1].patches(), trees[1].modules()) == (["lp1"], [], [])
    assert sorted(os.listdir(mount.root)) == ["first", "second"]
    second.kill()
    until(lambda: os.listdir(mount.root) == ["first"], "the dead service's folder to go")
    assert trees[0].get("lp1/enabled") == "1"


def test_proc_shows_the_process_its_tasks_and_stacks(live):
    live.program.do("held = Held('sitter')")
    top = live.tree.path / "proc" / str(live.program.pid)
    assert "program.py" in read(top / "cmdline")
    assert read(top / "patch_state") == "-1\n"
    names = {read(task / "comm").strip(): task for task in (top / "task").iterdir()}
    assert "sitter" in names
    assert "hold" in read(names["sitter"] / "stack")
    live.program.do("held.let_go()")


def test_a_parameter_without_a_value(live, lp):
    """A bool is true by its name alone, also for a child that comes later; anything else needs a value, as parse_one()
    has it."""
    path = lp("lp1", extra="quiet = module_param('quiet', bool, False)\nname = module_param('name', str, '')\n")
    live.expect("lp1: `' invalid for parameter `name'")
    assert fails(errno.EINVAL, live.tree.insmod, path, "name") and live.tree.modules() == []
    live.tree.insmod(path, "quiet name=")
    live.tree.settle()
    parameters = live.tree.path / "sys/module/lp1/parameters"
    assert (read(parameters / "quiet"), read(parameters / "name")) == ("Y\n", "\n")
    live.program.do(
        "import subprocess; child = subprocess.run([sys.executable, '-c', 'import klpfs.agent.api as a; "
        'print([m.loaded.params["quiet"].value for m in a.agent().modules.all()])\'], capture_output=True, text=True)'
    )
    assert live.program.do("child.stdout") == "[True]\n", live.program.do("child.stderr")


def test_no_patches_while_ftrace_is_off(live, lp):
    flag = live.tree.path / "proc/sys/kernel/ftrace_enabled"
    assert read(flag) == "1\n"
    write(flag, "0\n")
    live.expect("failed to")
    assert fails(errno.EBUSY, live.tree.insmod, lp("lp1"))
    assert any("failed to register ftrace handler for function 'one' (-16)" in line for line in live.tree.lines())
    live.mount.kill()
    live.program.do("import os; child = os.fork() or serve(os.fdopen(os.pipe()[0]), sys.stdout, globals())")
    live.mount.start()
    live.tree = live.mount.service("prog")
    live.program.do("os.kill(child, 9), os.wait()")
    assert read(flag) == "0\n" and fails(errno.EBUSY, live.tree.insmod, lp("lp1")), "a new daemon and a child know it"
    write(flag, "1\n")
    live.tree.insmod(lp("lp1"))
    live.tree.settle()
    live.expect("kernel.ftrace_enabled: a patch is enabled")
    assert fails(errno.EBUSY, write, flag, "0\n")


def klpfs(mount, *arguments):
    return subprocess.run([sys.executable, "-m", "klpfs", *map(str, arguments), "-m", str(mount.root)],
                          capture_output=True, text=True)


def test_the_commands_do_what_the_files_do(live, lp):
    path = lp("lp1", "hold")
    live.expect("module lp1 is already loaded", "module lp1 is in use")
    live.program.do("held = Held('sitter')")
    assert klpfs(live.mount, "insmod", path).returncode == 0
    assert klpfs(live.mount, "insmod", path).stderr == f"insmod: ERROR: could not insert module {path}: File exists\n"
    assert klpfs(live.mount, "rmmod", "lp1").stderr == "rmmod: ERROR: Module lp1 is in use\n"
    assert klpfs(live.mount, "lsmod").stdout.split("\n")[1].split()[0] == "lp1"
    assert "sitter" in klpfs(live.mount, "blockers").stdout
    waited = klpfs(live.mount, "wait", "lp1", "--or-reverse", "-t", "0.2")
    assert waited.returncode == 4 and waited.stderr.endswith("lp1 was reversed\n")
    assert "sitter" in waited.stderr or "lp1: patching" not in waited.stderr
    status = klpfs(live.mount, "status").stdout
    assert status.startswith("service prog\nprocess ") and "patch" not in status
    assert re.search(r"^\[ *\d+\.\d{6}\] livepatch: 'lp1': unpatching complete$", klpfs(live.mount, "dmesg").stdout,
                     re.M)
    assert klpfs(live.mount, "rmmod", "lp1").returncode == 0
    live.program.do("held.let_go()")


def test_a_kept_service_starts_patched(program, mount, lp):
    """klpfs run --keep: the next start's own functions are in their place before the program runs, and can be taken
    back."""
    first = program("prog", keep=True)
    tree = mount.service("prog")
    tree.insmod(lp("lp1"))
    tree.settle()
    assert first.do("one()") == "one by lp1"
    first.kill()
    again = program("prog", keep=True)
    assert again.do("pair()") == ("one by lp1", "two original")
    until(lambda: (tree.patches(), tree.get("lp1/enabled"), tree.get("lp1/transition"), tree.get("lp1/vmlinux/patched"))
          == (["lp1"], "1", "0", "1"), "the same tree")
    tree.set("lp1/enabled", "0")
    until(lambda: not tree.patches(), "the way back")
    assert again.do("one()") == "one original"
