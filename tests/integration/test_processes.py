"""How processes join a service and live in it: by every way of starting one, and patched before their program's next
line."""
import os

import pytest

from tests import harness
from tests.harness import read, until
from tests.integration.services import NEW, OLD, WAYS, Shop, pids, wide
from tests.pythons import MINORS, find

pytestmark = pytest.mark.fuse


@pytest.fixture
def shop(program, tmp_path):
    made = Shop(program, tmp_path)
    yield made
    if made.program.process.poll() is None:
        made.end_workers()


def sockets(runtime, service="shop"):
    return [name for name in os.listdir(runtime / service) if name.endswith(".sock")]


@pytest.mark.parametrize("minor", [wide(minor) if minor in (10, 12) else minor for minor in MINORS])
def test_workers_of_every_kind(minor, program, mount, tmp_path, runtime, lp):
    """Each is a process of the service as soon as it is there, patched with the others, and before its first line when
    it comes later; and nothing of it is left when it has ended."""
    python = find(minor)
    if python is None:
        pytest.skip(f"no CPython 3.{minor} on this machine")
    shop = Shop(program, tmp_path, python=python)
    tree = mount.service("shop")
    before = [shop.start(way) for way in WAYS]
    assert [worker.first for worker in before] == [OLD] * len(WAYS)
    until(lambda: {worker.pid for worker in before} <= pids(tree), "all workers in the tree")
    tree.insmod(lp("lp1", "price", module="ware"))
    tree.settle()
    assert shop.price() == [NEW]
    after = [shop.start(way) for way in WAYS]
    assert dict(zip(WAYS, [worker.first for worker in after])) == dict.fromkeys(WAYS, NEW)
    until(lambda: {worker.pid for worker in after} <= pids(tree), "all workers in the tree")
    assert tree.get("lp1/ware/patched") == "1" and shop.price() == [NEW]
    tree.set("lp1/enabled", "0")
    until(lambda: not tree.patches(), "the way back")
    assert shop.price() == [OLD]
    ended = {worker.pid for worker in shop.workers}
    shop.end_workers()
    until(lambda: not ended & pids(tree), "the workers to go from the tree")
    until(lambda: len(sockets(runtime)) == len(pids(tree)), "the sockets of the dead to go")
