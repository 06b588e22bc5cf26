"""Which process says what in the log of a service of several: callers, one voice, and the order of a step's lines."""
import os
import re
import subprocess
import sys

import pytest

from tests.harness import until
from tests.integration.services import Shop, pids

pytestmark = pytest.mark.fuse
KLPFS = (sys.executable, "-m", "klpfs")
LIVEPATCH = """
from klpfs import Callbacks, Func, Object, Patch, pr_info
def price():
    return "new"
def say(what):
    return lambda obj: pr_info("lp: " + what)
names = ["pre_patch", "post_patch", "pre_unpatch", "post_unpatch"]
patch = Patch([Object("ware", [Func("price", price)], Callbacks(*map(say, names)))])
"""


@pytest.fixture
def shop(program, mount, tmp_path):
    made = Shop(program, tmp_path)
    made.tree = mount.service("shop")
    for _ in range(2):
        made.start("os.fork")
    (tmp_path / "lp.py").write_text(LIVEPATCH)
    made.tree.insmod(tmp_path / "lp.py")
    made.tree.settle()
    made.tree.set("lp/enabled", "0")
    until(lambda: not made.tree.patches(), "the way back")
    yield made
    made.end_workers()


def dmesg(shop, *options):
    done = subprocess.run([*KLPFS, "dmesg", "-m", str(shop.tree.path.parent), "-s", "shop", *options],
                          capture_output=True, text=True, timeout=60, check=True)
    return [line.partition("] ")[2] for line in done.stdout.splitlines()]


def test_callers_are_named_on_request(shop):
    lines = dmesg(shop, "--caller")
    said = [match for match in (re.fullmatch(r"\[ *T(\d+)\] lp: pre_patch", line) for line in lines) if match]
    assert {int(match[1]) for match in said} == pids(shop.tree) and len(said) == 3
    assert "livepatch: enabling patch 'lp'" in lines, "the service's"
    assert dmesg(shop).count("lp: pre_patch") == 3


def test_a_session_may_have_one_voice(shop):
    """As the kernel's own scripts want it, which compare line by line."""
    done = subprocess.run([*KLPFS, "exec", "-m", str(shop.tree.path.parent), "--one-voice", "shop", "--", "dmesg"],
                          capture_output=True, text=True, timeout=60, check=True)
    lines = [line.partition("] ")[2] for line in done.stdout.splitlines()]
    at = lines.index("livepatch: enabling patch 'lp'")
    assert lines[at:] == [
        "livepatch: enabling patch 'lp'",
        "livepatch: 'lp': initializing patching transition",
        "lp: pre_patch",
        "livepatch: 'lp': starting patching transition",
        "livepatch: 'lp': completing patching transition",
        "lp: post_patch",
        "livepatch: 'lp': patching complete",
        "livepatch: 'lp': initializing unpatching transition",
        "lp: pre_unpatch",
        "livepatch: 'lp': starting unpatching transition",
        "livepatch: 'lp': completing unpatching transition",
        "lp: post_unpatch",
        "livepatch: 'lp': unpatching complete"]


def test_all_callbacks_of_a_step_stand_before_the_line_that_ends_it(shop):
    lines = dmesg(shop)
    starts = lines.index("livepatch: 'lp': starting unpatching transition")
    assert lines[:starts].count("lp: pre_unpatch") == 3 and lines[:starts].count("lp: post_unpatch") == 0
