"""The main program of a joiner in the follower: its arrival between the service's operations, over forces and forks."""
import pytest

from tests.agent.puppet import Host, change, insmod, module, patch, transition


@pytest.fixture
def host():
    """A joiner with the patch `a` of the main program's f, whose definitions are not there yet."""
    made = Host()
    made.livepatch("a", "f")
    made.livepatch("b", "g")
    made.target.waiting.add(None)
    made.follow(patches=[patch(1, "a")], modules=[module("a")])
    assert made.follower.wait_for_main() and made.follower.main_names() == {"f"}
    return made


def come(host):
    """The definitions are there."""
    host.target.waiting.clear()
    host.follower.main_came()
    host.run_steps()


def shown(host):
    return [(o["patched"], o["loaded"]) for d in host.engine.describe() for o in d["objects"]]


def inside(host, function="f"):
    task = host.target.spawn("early")
    host.target.call_function(task, function)
    return task


def test_at_once_when_nobody_is_inside(host):
    """Nothing counts as loaded before; then patched, and that only once."""
    assert shown(host) == [(False, False)]
    come(host)
    assert shown(host) == [(True, True)] and host.target.value("f") == "f by a" and host.follower.main == ""
    assert host.called[-3:] == ["a pre_patch vmlinux", "a post_patch vmlinux", "arrived"]
    come(host)
    assert host.called[-1] == "arrived" and host.called.count("arrived") == 1


def test_nobody_waits(host):
    """No patch in force is for the main program."""
    host.follow(patches=[], modules=[])
    other = Host()
    assert not other.follower.wait_for_main() and other.follower.main_names() is None


def test_an_operation_begins_when_it_is_over(host):
    """One at a time: a record that comes meanwhile is not followed to its end before somebody inside has left."""
    task = inside(host)
    come(host)
    assert host.follower.look_key() == "arrival" and [b.name for b in host.follower.look()] == ["early"]
    host.later(change=None, patches=[patch(1, "a"), patch(3, "b")], modules=[module("a"), module("b")],
               transition=transition(3, "b"))
    host.follow(change=change(3, "b"))
    assert host.follower.seen == 1 and host.follower.op is None and host.target.value("f") == "f by a"
    host.target.leave(task)
    assert host.follower.look() == [] and host.called[-1] == "arrived"
    host.run_steps()
    assert (host.follower.op.name, host.follower.seen) == ("b", 3)


def test_it_waits_for_an_operation_under_way(host):
    """Meanwhile the object is loaded, and not patched."""
    host.livepatch("m", "h", obj="m")
    host.target.load("m")
    insmod(host, "m", finish=False)
    come(host)
    assert (
        shown(host) == [(False, True), (True, True)]
        and host.target.value("f") == "f original"
        and "arrived" not in host.called
    )
    n = host.follower.op.n
    host.follower.look()
    host.follow(transition=transition(n, "m", step="finish"))
    assert host.follower.last_finished == n and host.target.value("f") == "f by a" and host.called[-1] == "arrived"


def test_force_reaches_it(host):
    """Of the operation that waits for it; who is inside goes on in old code, and is known to the next transition."""
    inside(host)
    come(host)
    host.follow(transition=transition(2, "a", dir=0))
    assert host.follower.op is None
    host.follow(transition=transition(2, "a", dir=0, step="finish", forced=True))
    assert (
        "livepatch: forcing remaining tasks to the patched state" in host.lines() and host.called.count("arrived") == 1
    )
    assert host.target.value("f") == "f original" and host.follower.last_finished == 2


class TestForked:
    def fork(self, host):
        host.engine.after_fork()
        host.follower.after_fork()
        host.called.append("fork")
        host.run_steps()

    def test_started_goes_on(self, host):
        task = inside(host)
        come(host)
        self.fork(host)
        assert host.follower.look_key() == "arrival"
        host.target.leave(task)
        assert host.follower.look() == [] and host.target.value("f") == "f by a"

    def test_in_pre_patch_it_begins_again(self, host):
        self.cut(host, "pre_patch")
        self.fork(host)
        assert host.target.value("f") == "f by a"
        assert host.called[host.called.index("fork") + 1:] == ["a pre_patch vmlinux", "a post_patch vmlinux", "arrived"]

    def test_in_post_patch_it_is_over(self, host):
        self.cut(host, "post_patch")
        self.fork(host)
        assert host.target.value("f") == "f by a" and host.engine.arrival is None
        assert host.called[host.called.index("fork") + 1:] == ["arrived"]

    def cut(self, host, name):
        callbacks = host.engine.patches[0].objects[0].callbacks
        real = getattr(callbacks, name)

        def stops(obj):
            setattr(callbacks, name, real)
            raise KeyboardInterrupt
        setattr(callbacks, name, stops)
        with pytest.raises(KeyboardInterrupt):
            come(host)
