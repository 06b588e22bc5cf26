"""A service of three processes and who coordinates it: two daemons at once, one after another, and a journal that is
damaged."""
import contextlib
import errno
import os
import threading

import pytest

from tests import conftest, harness
from tests.harness import fails, read, until

pytestmark = pytest.mark.fuse
OLD = ("one original", "two original")


@pytest.fixture
def three(program, mount):
    """A service of three processes, and its tree."""
    yield from conftest.watched(program("prog", processes=3), mount)


@pytest.fixture
def second(runtime, tmp_path, three):
    """The tree of another daemon on the same services."""
    made = harness.Mount(runtime, tmp_path / "mnt2")
    yield made.service("prog")
    made.close()


def code(live):
    """What all processes run: they agree."""
    found = {process.do("pair()") for process in live.program.each}
    assert len(found) == 1, found
    return found.pop()


def by(name):
    return (f"one by {name}", f"two by {name}")


def test_two_daemons_show_and_do_the_same(three, second, lp):
    """What was written through one, the other shows at once; either may end what the other began."""
    three.program.each[2].do("held = Held()")
    three.tree.insmod(lp("lp1", "one", "two", "hold"))
    assert second.get("lp1/transition") == "1" and second.patches() == ["lp1"]
    second.set("lp1/enabled", "0")
    until(lambda: not three.tree.patches() and not second.patches(), "the way back")
    assert code(three) == OLD
    second.rmmod("lp1")
    assert three.tree.modules() == []
    three.program.each[2].do("held.let_go()")


def test_two_writers_at_two_daemons(three, second, lp):
    """Of two loads at once one waits for the other or is refused with EBUSY; nothing is mixed, all processes agree."""
    # in those that were loading what one has refused
    three.expect("another operation", "is pending", "is finishing", "was stopped")
    paths = [lp(name, "one", "two") for name in ("lp1", "lp2")]
    for _ in range(5):
        codes = {}

        def write(tree, name, path):
            try:
                tree.insmod(path)
                codes[name] = 0
            except OSError as e:
                codes[name] = e.errno
        writers = [threading.Thread(target=write, args=each)
                   for each in zip((three.tree, second), ("lp1", "lp2"), paths)]
        for each in writers:
            each.start()
        for each in writers:
            each.join(30)
        assert set(codes.values()) <= {0, errno.EBUSY} and 0 in codes.values()
        three.tree.settle()
        assert sorted(name for name in codes if not codes[name]) == three.tree.patches() == second.patches()
        order = sorted(three.tree.patches(), key=lambda name: int(three.tree.get(f"{name}/stack_order")))
        assert code(three) == by(order[-1])
        for name in order[::-1]:
            second.set(f"{name}/enabled", "0")
            until(lambda: name not in three.tree.patches(), "the way back")
        for name in order:
            three.tree.rmmod(name)
        assert code(three) == OLD and second.modules() == []


def test_reversed_at_two_daemons_at_once(three, second, lp):
    """Each write is one of the journal: of two that want the same, one gets EINVAL; it comes to rest either way."""
    three.expect("is being disabled already", "is enabled already", "is pending", "is finishing", "there is no patch",
                 "another operation", "being disabled")
    three.program.each[1].do("held = Held()")
    three.tree.insmod(lp("lp1", "one", "two", "hold"))
    for _ in range(10):
        writers = [threading.Thread(target=quiet, args=(tree.set, "lp1/enabled", value))
                   for tree, value in ((three.tree, "0"), (second, "1"), (second, "0"))]
        for each in writers:
            each.start()
        for each in writers:
            each.join(30)
            assert not each.is_alive()
    three.program.each[1].do("held.let_go()")
    three.tree.settle()
    assert code(three) == (by("lp1") if three.tree.patches() else OLD)
    assert three.tree.patches() == second.patches()


def quiet(do, *arguments):
    with contextlib.suppress(OSError):
        do(*arguments)


def test_the_other_daemon_goes_on(three, second, lp):
    """The one that has begun is killed while the transition is pending: its successor needs nothing from it."""
    three.program.each[0].do("held = Held()")
    three.tree.insmod(lp("lp1", "one", "two", "hold"))
    three.mount.kill()
    three.program.each[0].do("held.let_go()")
    until(lambda: second.get("lp1/transition") == "0", "the end")
    assert code(three) == by("lp1")
    three.mount.start()
    three.tree = three.mount.service("prog")


def test_a_damaged_journal(three, lp):
    """Nobody guesses: EIO on every write, nothing is touched, all run on and are shown; with the journal back all goes
    on."""
    three.tree.insmod(lp("lp1", "one", "two"))
    three.tree.settle()
    path = three.mount.runtime / "prog" / "journal"
    whole = path.read_bytes()
    three.expect("the journal is damaged", "klpfs: journal")
    for damage in (whole[:-5], b"", b"\0" * 100, whole.replace(b"seq", b"sex")):
        put(path, damage)
        for write in (lambda: three.tree.insmod(lp("lp2", "one")), lambda: three.tree.set("lp1/enabled", "0"),
                      lambda: three.tree.rmmod("lp1")):
            assert fails(errno.EIO, write)
        assert path.read_bytes() == damage and code(three) == by("lp1")
        assert three.tree.patches() == ["lp1"] and three.tree.get("lp1/vmlinux/patched") == "1"
        three.mount.kill()
        three.mount.start()
        three.tree = three.mount.service("prog")
        assert fails(errno.EIO, three.tree.insmod, lp("lp2", "one"))
        put(path, whole)
        three.tree.insmod(lp("lp2", "one"))
        three.tree.settle()
        three.tree.set("lp2/enabled", "0")
        until(lambda: three.tree.patches() == ["lp1"], "the way back")
        three.tree.rmmod("lp2")
        whole = path.read_bytes()
    assert code(three) == by("lp1")


def put(path, data):
    draft = path.with_name("draft")            # not *.tmp, which a daemon may sweep away at any time
    draft.write_bytes(data)
    os.rename(draft, path)


def test_an_ordinary_module_beside_a_transition(three, second, lp):
    """It may come while a patch is pending, and then is in all processes; another livepatch may not."""
    three.expect("is pending")
    three.program.each[2].do("held = Held()")
    three.tree.insmod(lp("lp1", "one", "two", "hold"))
    second.insmod(lp("helper", text="value = 7\n"))
    assert [process.do("__import__('helper').value") for process in three.program.each] == [7, 7, 7]
    assert three.tree.modules() == ["helper", "lp1"] and three.tree.get("lp1/transition") == "1"
    assert fails(errno.EBUSY, second.insmod, lp("lp2", "one"))
    three.program.each[2].do("held.let_go()")
    three.tree.settle()
    assert code(three) == by("lp1")
    second.rmmod("helper")
    assert [process.do("'helper' in sys.modules") for process in three.program.each] == [False, False, False]


def test_values_of_several_processes(three, lp):
    """refcnt is summed, a parameter is written in all, `patched` is what all have, a module's line comes once a
    process."""
    three.tree.insmod(lp("lp1", "one",
                         extra="speed = module_param('speed', int, 1)\ndef exit():\n    pr_info('lp1: exit')\n"))
    three.tree.settle()
    parameter = three.tree.path / "sys/module/lp1/parameters/speed"
    harness.write(parameter, "5")
    assert read(parameter) == "5\n"
    values = [
        process.do(
            "[m.loaded.namespace['speed'] for m in __import__('klpfs.agent.api').agent.api.agent().modules.all()]"
        )
        for process in three.program.each
    ]
    assert values == [[5], [5], [5]]
    assert read(three.tree.path / "sys/module/lp1/refcnt") == "1\n" and three.tree.get("lp1/vmlinux/patched") == "1"
    three.tree.set("lp1/enabled", "0")
    until(lambda: not three.tree.patches(), "the way back")
    three.tree.lines()
    three.tree.rmmod("lp1")
    assert three.tree.lines() == ["lp1: exit"] * 3
