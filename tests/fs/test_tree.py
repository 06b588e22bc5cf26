"""The tree shows what a service says of itself, and writes become its operations; no mount."""
import errno
import gc
import os
import weakref

import pytest

from klpfs.fs import nodes
from klpfs.fs.nodes import Dir, File, Later, Link, Table, Watcher
from klpfs.fs.tree import NEWEST, Tree, blockers_text, modules_text
from klpfs.service.loop import Loop
from klpfs.service.snapshots import Caller, ModuleView, ObjectView, ParamView, ProcessView
from tests.fs.fake import Blocked, FakeManager

ME = Caller(1, 0, 0)


class World:
    def __init__(self, kernel=NEWEST):
        self.loop = Loop()
        self.manager = FakeManager(self.loop)
        self.table = Table()
        Tree(self.table, self.manager, kernel)
        self.shop = self.manager.put("shop")

    def node(self, path):
        node = self.table.root
        for name in path.split("/"):
            if getattr(node, "refresh", None):
                later = node.refresh()
                if later:
                    later.finish(later.future.result())
            node = node.lookup(os.fsencode(name))
        return node

    def names(self, path):
        return [node.name for _, node in self.node(path).listing(2)]

    def read(self, path):
        data = self.node(path).open(os.O_RDONLY).read(65536, 0)
        return (data.finish(data.future.result()) if isinstance(data, Later) else data).decode()

    def write(self, path, data):
        written = self.node(path).open(os.O_WRONLY).write(data, ME)
        return written.finish(written.future.result()) if isinstance(written, Later) else written

    def write_fails(self, path, data):
        with pytest.raises(OSError) as e:
            self.write(path, data)
        return e.value.errno

    def there(self, path):
        try:
            return self.node(path)
        except OSError as e:
            assert e.errno == errno.ENOENT
            return None


@pytest.fixture
def world():
    made = World()
    yield made
    made.loop.close()


LP = "shop/sys/kernel/livepatch"


def test_the_root_lists_the_services_that_there_are(world):
    world.manager.put("web")
    assert sorted(node.name for _, node in world.table.root.listing(2)) == ["shop", "web"]
    world.manager.remove("shop")
    assert [node.name for _, node in world.table.root.listing(2)] == ["web"]


def test_a_service_looks_like_a_machine(world):
    assert set(world.names("shop")) == {"sys", "proc", "dev", "blockers", "check", "insmod", "rmmod"}
    assert set(world.names("shop/sys")) == {"kernel", "module"}
    assert world.names("shop/sys/kernel") == ["livepatch"] and world.names("shop/dev") == ["kmsg"]
    assert world.names(LP) == [] and world.node(LP).nlink == 2


@pytest.mark.parametrize("path, mode, size", [
    ("enabled", 0o100644, 4096), ("transition", 0o100444, 4096), ("force", 0o100200, 4096), ("replace", 0o100444, 4096),
    ("stack_order", 0o100444, 4096), ("vmlinux", 0o40755, 0), ("vmlinux/patched", 0o100444, 4096),
    ("vmlinux/func_0,1", 0o40755, 0)])
def test_modes_and_sizes_of_a_patch(world, path, mode, size):
    world.shop.add("lp1")
    node = world.node(f"{LP}/lp1/{path}")
    assert (oct(node.mode), node.size) == (oct(mode), size)


def test_a_patch_is_listed_in_the_kernels_order(world):
    world.shop.add("lp3", objects=("vmlinux",))
    assert [n for n in world.names(f"{LP}/lp3")
            if n not in ("replace", "stack_order")] == ["enabled", "vmlinux", "transition", "force"]
    assert world.node(f"{LP}/lp3").nlink == 3 and world.node(f"{LP}/lp3/vmlinux").nlink == 7


def test_values_are_the_services_present_ones(world):
    world.shop.add("lp1", enabled=True, transition=True, replace=True)
    assert [world.read(f"{LP}/lp1/{a}") for a in ("enabled", "transition", "replace", "stack_order",
                                                  "vmlinux/patched")] == ["1\n"] * 5
    world.shop.change("lp1", enabled=False, transition=False, replace=False, stack_order=3,
                      objects=tuple(ObjectView(o.name, False, o.funcs) for o in world.shop.patches["lp1"].objects))
    assert [world.read(f"{LP}/lp1/{a}") for a in ("enabled", "transition", "replace", "stack_order",
                                                  "vmlinux/patched")] == ["0\n", "0\n", "0\n", "3\n", "0\n"]


def test_what_stays_stays_the_same_node(world):
    world.shop.add("lp1")
    before = {p: world.node(f"{LP}/lp1/{p}") for p in ("", "enabled", "mod1", "mod1/patched", "mod1/func_0,1") if p}
    objects = world.shop.patches["lp1"].objects
    world.shop.change("lp1", transition=True,
                      objects=(objects[1], ObjectView("vmlinux", False, (("func_0", 1), ("new", 2)))))
    assert all(world.node(f"{LP}/lp1/{p}") is node for p, node in before.items())
    assert set(world.names(f"{LP}/lp1/vmlinux")) == {"patched", "func_0,1", "new,2"}
    assert world.there(f"{LP}/lp1/mod2") is None


class Believer:
    """A kernel that has looked at all that is there, as often as it can, and believes each name that it may.

    lies: names that went from a folder that stays, though the kernel may believe in them for an hour."""

    def __init__(self, world, monkeypatch):
        self.world, self.gone, drop = world, [], Dir.drop

        def noting(folder, node):
            self.gone.append((folder, node))
            drop(folder, node)
        monkeypatch.setattr(Dir, "drop", noting)

    def look(self):
        for node in self.world.table.by_id.values():
            node.cached = node.cached or node.lasting

    def lies(self):
        gone, self.gone = self.gone, []
        return [node.path for folder, node in gone if node.cached and not folder.removed]


@pytest.mark.parametrize("name", ["one patch that stays", "machine", "nops", "process", "parameters", "a service"])
def test_no_name_that_the_kernel_may_believe_goes_before_its_folder(world, monkeypatch, name):
    """Else it would be found for an hour, unless the kernel could be told in time, which a program can hold up."""
    kernel, shop = Believer(world, monkeypatch), world.shop
    shop.add("lp1")
    shop.module("m", params={"x": ParamView("int", "1", 0o644), "y": ParamView("int", "1", 0o644)}, holders=("h",))
    views = shop.patches["lp1"].objects

    def one_patch_that_stays():                # a process with objects and functions of its own has ended
        shop.change("lp1", objects=tuple(ObjectView(o.name, True, o.funcs[1:]) for o in views))
        yield
        shop.change("lp1", objects=views[:1])

    def machine():
        over = world.node(".exec/shop/proc")
        for entry in ("modules", "self", "1"):
            world.there(f".exec/shop/proc/{entry}")
        yield
        world.manager.remove("shop")
        world.there(".exec/shop/proc/modules")
        yield
        world.shop = world.manager.put("shop")
        assert over.lookup(b"modules").__class__ is nodes.Attr

    def nops():
        shop.add("lp2", transition=True, replace=True)
        yield
        shop.change("lp2", objects=views[:2])
        yield
        shop.change("lp2", objects=tuple(ObjectView(o.name, True, o.funcs[1:]) for o in views[:2]))
        shop.change("lp2", transition=False)
        yield
        shop.delete("lp1")

    def process():
        monkeypatch.setattr("klpfs.fs.tree.FRESH", 0.0)
        shop.processes[42] = ProcessView(42, "python", ())
        shop.tell("process", 42)
        world.node("shop/proc/42/task/101")
        yield
        shop.tasks = [(100, "main")]
        world.there("shop/proc/42/task/101")
        yield
        del shop.processes[42]
        shop.tell("process", 42)

    def parameters():
        shop.module("m", params={"y": ParamView("int", "1", 0o644)})
        yield
        shop.module("m")
        yield
        del shop.modules["m"]
        shop.tell("module", "m")

    def a_service():
        world.manager.remove("shop")
        yield
    kernel.look()
    for _ in locals()[name.replace(" ", "_")]():
        assert kernel.lies() == []
        kernel.look()
    assert kernel.lies() == []


def test_functions_are_believed_once_their_patch_is_not_in_transition(world):
    """A listing of thousands must not be asked for one by one; nops, which go, are there in a transition alone."""
    world.shop.add("lp1", transition=True)
    function = world.node(f"{LP}/lp1/mod1/func_1,1")
    assert not function.lasting
    world.shop.change("lp1", transition=False)
    assert function.lasting and world.node(f"{LP}/lp1/mod1/patched").lasting


def test_a_change_wakes_just_who_polls_what_changed(world):
    world.shop.add("lp1")
    woken = []
    world.table.watcher = type("W", (Watcher,), {"woken": lambda self, file: woken.append(file.node.name)})()
    files = [world.node(f"{LP}/lp1/{a}").open(0) for a in ("enabled", "transition", "vmlinux/patched")]
    world.shop.change("lp1", transition=True)
    assert woken == ["transition"] and files
    objects = world.shop.patches["lp1"].objects
    world.shop.change("lp1", objects=(ObjectView("vmlinux", False, objects[0].funcs), *objects[1:]))
    assert woken == ["transition", "patched"]


def test_a_patch_that_comes_back_is_another(world):
    world.shop.add("lp1")
    f, ino = world.node(f"{LP}/lp1/enabled").open(0), world.node(f"{LP}/lp1").ino
    world.shop.delete("lp1")
    world.shop.add("lp1")
    assert world.node(f"{LP}/lp1").ino != ino
    with pytest.raises(OSError) as e:
        f.read(9, 0)
    assert e.value.errno == errno.ENODEV


def test_enabled_takes_what_kstrtobool_takes(world):
    world.shop.add("lp1")
    assert world.write(f"{LP}/lp1/enabled", b"n") == 1 and world.shop.calls == [("enabled", "lp1", False)]
    assert world.write_fails(f"{LP}/lp1/enabled", b"2") == errno.EINVAL
    assert world.write_fails(f"{LP}/lp1/enabled", b"0") == errno.EINVAL, "the present value"


def test_force_0_does_nothing_and_1_is_for_a_transition(world):
    world.shop.add("lp1")
    assert world.write(f"{LP}/lp1/force", b"0\n") == 2 and world.shop.calls == []
    assert world.write_fails(f"{LP}/lp1/force", b"1") == errno.EINVAL
    assert world.write_fails(f"{LP}/lp1/force", b"x") == errno.EINVAL
    world.shop.change("lp1", transition=True)
    assert world.write(f"{LP}/lp1/force", b"1") == 1


def test_names_are_shown_as_they_are(world):
    name = "make.<locals>.h ünï ☃"
    world.shop.patches.clear()
    world.shop.add("lp-1.é")
    world.shop.change("lp-1.é", objects=(ObjectView("a.b c", True, ((name, 2),)),))
    assert world.there(f"{LP}/lp-1.é/a.b c/{name},2")


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "a\0b", "x" * 256, "é" * 128, "\ud800", "a\nb", "a\x7fb",
                                  "a\x85b"])
def test_a_name_that_no_file_can_have_is_not_shown(world, name):
    world.shop.add("lp1")
    world.shop.change("lp1", objects=(ObjectView(name, True, ((name + "/", 1),)),
                                      ObjectView("ok", True, ((name + "/", 1),))))
    world.shop.module(name)
    world.shop.add(name)
    assert [n for n in world.names(f"{LP}/lp1") if n == name] == [] and world.names(f"{LP}/lp1/ok") == ["patched"]
    assert name not in world.names(LP) + world.names("shop/sys/module")


def test_an_object_named_like_an_attribute_does_not_break_the_patch(world):
    world.shop.add("lp1", objects=("enabled", "vmlinux"))
    assert isinstance(world.node(f"{LP}/lp1/enabled"), File) and world.there(f"{LP}/lp1/vmlinux")


def test_a_module(world):
    world.shop.module("m", refcnt=2, holders=("a", "b"),
                      params={"x": ParamView("int", "7", 0o644), "s": ParamView("str", "q", 0o444),
                              "hidden": ParamView("int", "1", 0)})
    m = "shop/sys/module/m"
    assert set(world.names(m)) == {"refcnt", "initstate", "holders", "parameters"}
    assert world.read(f"{m}/refcnt") == "2\n" and world.read(f"{m}/initstate") == "live\n"
    assert set(world.names(f"{m}/holders")) == {"a", "b"}
    link = world.node(f"{m}/holders/a")
    assert isinstance(link, Link) and link.target == "../../a" and link.mode == 0o120777
    assert set(world.names(f"{m}/parameters")) == {"x", "s"} and world.read(f"{m}/parameters/x") == "7\n"


def test_a_parameter_is_written(world):
    world.shop.module("m", params={"x": ParamView("int", "7", 0o644), "s": ParamView("str", "q", 0o444)})
    path = "shop/sys/module/m/parameters/"
    assert world.write(path + "x", b"8\n") == 2 and world.read(path + "x") == "8\n"
    assert world.write_fails(path + "x", b"junk") == errno.EINVAL
    assert world.write_fails(path + "s", b"r") == errno.EACCES


def test_a_module_without_parameters_has_no_folder_for_them(world):
    world.shop.module("m")
    assert world.there("shop/sys/module/m/parameters") is None
    world.shop.module("m", params={"x": ParamView("int", "7", 0o644)}, holders=("h",), state="Unloading")
    assert world.there("shop/sys/module/m/parameters/x") and world.there("shop/sys/module/m/holders/h")
    assert world.read("shop/sys/module/m/initstate") == "going\n"
    world.shop.module("m")
    assert world.there("shop/sys/module/m/parameters") is None and world.names("shop/sys/module/m/holders") == []


def test_proc_modules():
    m = [ModuleView("old", 16384, 0, "Live"), ModuleView("lp1", 16384, 1, "Live", livepatch=True),
         ModuleView("dep", 4096, 2, "Loading", holders=("a", "b"))]
    assert modules_text(m).decode().splitlines() == [
        "dep 4096 2 a,b, Loading 0x0000000000000000 (OE+)", "lp1 16384 1 - Live 0x0000000000000000 (OE K)",
        "old 16384 0 - Live 0x0000000000000000 (OE)"]


def test_a_process_and_its_tasks(world):
    world.shop.processes[42] = ProcessView(42, "python", ("python", "a b.py"))
    world.shop.tell("process", 42)
    p = "shop/proc/42"
    assert (
        world.read(f"{p}/comm") == "python\n"
        and world.read(f"{p}/cmdline") == "python\0a b.py\0"
        and world.read(f"{p}/patch_state") == "-1\n"
    )
    assert world.names(p) and world.node(f"{p}/comm").size == 4096 and oct(world.node(p).mode) == "0o40555"
    assert world.read(f"{p}/task/101/comm") == "worker\n" and world.read(f"{p}/task/101/patch_state") == "-1\n"
    assert world.read(f"{p}/task/101/stack") == "[<0>] shop.py:12 serve\n[<0>] shop.py:90 main\n"
    del world.shop.processes[42]
    world.shop.tell("process", 42)
    assert world.there(p) is None


def test_tasks_come_and_go_between_two_looks(world, monkeypatch):
    monkeypatch.setattr("klpfs.fs.tree.FRESH", 0.0)
    world.shop.processes[42] = ProcessView(42, "python", ())
    world.shop.tell("process", 42)
    first = world.node("shop/proc/42/task/100")
    world.shop.tasks = [(100, "main"), (102, "new")]
    assert world.node("shop/proc/42/task/100") is first and world.there("shop/proc/42/task/102")
    assert world.there("shop/proc/42/task/101") is None and not first.lasting


def test_the_log_is_dev_kmsg(world):
    world.shop.line("hello")
    assert world.read("shop/dev/kmsg") == "6,0,1000000,-;hello\n"
    assert world.write("shop/dev/kmsg", b"from a user\n") == 12 and world.shop.log.records[-1].text == "from a user"


def test_ftrace_enabled(world):
    path = "shop/proc/sys/kernel/ftrace_enabled"
    assert world.read(path) == "1\n" and world.write(path, b"0\n") == 2 and world.read(path) == "0\n"
    world.write(path, b"1")
    world.shop.add("lp1")
    assert world.write_fails(path, b"0") == errno.EBUSY and world.write_fails(path, b"x") == errno.EINVAL


def test_insmod_and_rmmod_are_for_writing_only(world):
    for name in ("insmod", "rmmod"):
        assert oct(world.node(f"shop/{name}").mode) == "0o100200"
        with pytest.raises(OSError) as e:
            world.node(f"shop/{name}").open(os.O_RDONLY)
        assert e.value.errno == errno.EACCES
    assert world.write("shop/insmod", b"add lp9\n") == 8 and world.there(f"{LP}/lp9")
    assert (
        world.write_fails("shop/insmod", b"/nowhere") == errno.ENOENT
        and world.write_fails("shop/rmmod", b"nothing") == errno.ENOENT
    )
    assert world.write_fails("shop/insmod", b"x" * 8193) == errno.E2BIG


def test_blockers_are_named_with_their_frames(world):
    world.shop.blockers = [Blocked(pid=42, kind="thread", task=101, name="worker",
                                   frames=("shop.py:12 serve", "shop.py:90 main"), since=12_000_345, patch="lp1"),
                           Blocked(pid=0, kind="journal", task=None, name="No space left on device", frames=(), since=0,
                                   patch="")]
    assert world.read("shop/blockers").splitlines() == [
        "42 thread 101 [   12.000345] lp1 worker", " shop.py:12 serve", " shop.py:90 main",
        "0 journal - [    0.000000] - No space left on device"]
    assert blockers_text([]) == b""


def test_a_service_that_has_gone_is_left_alone(world):
    shop = world.shop
    world.manager.remove("shop")
    shop.add("lp1")
    assert world.there("shop") is None


def test_a_service_that_comes_back_is_shown_anew(world):
    node = world.node("shop")
    world.manager.remove("shop")
    world.manager.put("shop")
    assert world.node("shop") is not node and isinstance(world.node("shop"), Dir)


def test_nothing_is_left_of_what_has_gone(world):
    before = set(world.table.by_id)
    for _ in range(3):
        world.shop.add("lp1", 20)
        world.shop.module("m", params={"x": ParamView("int", "7", 0o644)})
        world.shop.delete("lp1")
        del world.shop.modules["m"]
        world.shop.tell("module", "m")
    assert set(world.table.by_id) == before


def test_what_has_gone_needs_no_garbage_collection(world):
    """The daemon has it look away from what is there at its start."""
    gc.collect()
    gc.disable()
    try:
        world.shop.add("lp1")
        world.shop.module("m", params={"x": ParamView("int", "7", 0o644)}, holders=("h",))
        world.shop.processes[42] = ProcessView(42, "python", ())
        world.shop.tell("process", 42)
        world.node("shop/proc/42/task/100/stack")
        nodes = [weakref.ref(world.node(p)) for p in (f"{LP}/lp1", f"{LP}/lp1/enabled", f"{LP}/lp1/vmlinux/func_0,1",
                                                      "shop/sys/module/m/refcnt", "shop/sys/module/m/parameters/x",
                                                      "shop/proc/42", "shop/proc/42/task",
                                                      "shop/proc/42/task/100/stack")]
        world.shop.delete("lp1")
        del world.shop.modules["m"], world.shop.processes[42]
        world.shop.tell("module", "m")
        world.shop.tell("process", 42)
        assert [ref().path for ref in nodes if ref() is not None] == []
    finally:
        gc.enable()


@pytest.mark.parametrize("kernel, newer",
                         [((6, 1), set()), ((6, 12), {"replace"}), ((6, 14), {"replace", "stack_order"})])
def test_a_tree_of_an_older_kernel_has_its_attributes_only(kernel, newer):
    """`replace` came with Linux 6.11, `stack_order` with 6.14; what is left out is not told of, either."""
    world = World(kernel)
    world.shop.add("lp1")
    assert set(world.names("shop/sys/kernel/livepatch/lp1")) & {"replace", "stack_order"} == newer
    world.shop.change("lp1", replace=True, stack_order=2)
    assert world.read("shop/sys/kernel/livepatch/lp1/enabled") == "1\n"


def test_check_answers_who_asks(world):
    """One open file for the question and its answer."""
    assert oct(world.node("shop/check").mode) == "0o100600"
    file = world.node("shop/check").open(os.O_RDWR)
    later = file.write(b"/x/fix.py", None)
    assert later.finish(later.future.result()) == 9
    assert file.read(4096, 9) == b"answer to /x/fix.py"
    with pytest.raises(OSError) as e:
        file.write(b"refuse", None)
    assert e.value.errno == errno.EINVAL


# -- what `klpfs exec` mounts

def machine(world, name="shop"):
    return world.node(f".exec/{name}/proc")


def test_the_machine_with_a_service_s_part_over_it_can_be_looked_up_and_is_not_listed(world):
    assert ".exec" not in [node.name for _, node in world.table.root.listing(2)]
    proc = machine(world)
    world.shop.processes[4242] = ProcessView(4242, "python3", ("python3", "shop.py"))
    world.shop.tell("process", 4242)
    world.shop.module("lp1", size=4096, livepatch=True)
    assert world.read(".exec/shop/proc/modules") == "lp1 4096 0 - Live 0x0000000000000000 (OE K)\n"
    assert {"patch_state", "task"} <= {node.name for _, node in proc.lookup(b"4242").listing(2)}
    assert isinstance(proc.lookup(b"self"), Link) and isinstance(proc.lookup(b"uptime"), Link)
    assert isinstance(proc.lookup(b".klpfs"), Dir) and isinstance(proc.lookup(b"sys"), Dir)


def test_it_stays_when_the_service_goes_and_serves_the_next_of_its_name(world):
    """Whoever has it mounted as /proc goes on, with the machine's own."""
    proc = machine(world)
    world.manager.remove("shop")
    assert machine(world) is proc and not isinstance(proc.get("modules"), File)
    shop = world.manager.put("shop")
    shop.module("lp2")
    assert "lp2" in world.read(".exec/shop/proc/modules")


def test_there_is_none_of_a_service_that_never_was(world):
    with pytest.raises(OSError) as e:
        machine(world, "web")
    assert e.value.errno == errno.ENOENT


def test_a_clear_hides_what_was_logged_before_from_who_seeks_to_the_data(world):
    """Source: syslog(2), SYSLOG_ACTION_CLEAR; who only opens the file reads all, as with the kernel's."""
    world.shop.log.add(1, 6, "before")
    world.write("shop/dev/.clear", b"1")
    world.shop.log.add(2, 6, "after")
    reader = world.node("shop/dev/kmsg").open(os.O_RDONLY | os.O_NONBLOCK)
    assert reader.read(8192, 0, os.O_NONBLOCK).endswith(b";before\n")
    reader.seek(0, os.SEEK_DATA)
    assert reader.read(8192, 0, os.O_NONBLOCK).endswith(b";after\n")
    assert "clear" not in "".join(world.names("shop/dev"))
